// Clients 4.8 and 2.5 in Chromium and all versions in Node, over every transport,
// on one server: in one room, when the server is killed, and recovered.
import { test } from "node:test";
import assert from "node:assert/strict";
import { launch, skip } from "./lib/browser.mjs";
import { Run, ask, modes, next, plain, settle, until, versions } from "./lib/clients.mjs";
import { bundles, openPage, runIn, startPages } from "./lib/pages.mjs";
import { startServer } from "./lib/server.mjs";

const words = [["text", "ünïcödé 🎉", 1], [{ n: [1, null] }, "more"]];
const bytes = Buffer.from([0, 1, 254, 255]);


test("clients in Chromium and in Node, together", { skip }, async (t) => {
  const pages = await startPages();
  const config = { origins: [pages.url], recovery: true, pingInterval: 2000, pingTimeout: 4000 };
  let server = await startServer(config);
  const browser = await launch();
  const inPages = []; // { name, page, key }: sockets in a page, under window.all[key]
  const inNode = []; // { name, c, socket, words }
  try {
    for (const version of Object.keys(bundles)) {
      const page = await openPage(browser, `${pages.url}/${version}`);
      for (const [mode, options] of Object.entries(modes)) {
        await runIn(page, async (url, options, transport, key) => {
          const socket = await connect(url, options, transport);
          const heard = [];
          // With recovery there is an offset behind the arguments, which version 2 (io.protocol 4) doesn't get.
          socket.on("word", (...args) => heard.push(hex(io.protocol === 4 ? args : args.slice(0, -1))));
          await ask(socket, "join", ["all"]);
          (window.all ??= {})[key] = { socket, heard, transport };
        }, server.url, options, mode === "polling" ? "polling" : "websocket", mode);
        inPages.push({ name: `Chromium ${version}, ${mode}`, page, key: mode, version });
      }
    }
    for (const version of Object.keys(versions)) {
      for (const mode of Object.keys(modes)) {
        const c = new Run(server, version, mode, config);
        const socket = await c.connect();
        await ask(socket, "join", ["all"]);
        inNode.push({ name: `Node ${version}, ${mode}`, c, socket, words: c.inbox(socket, "word") });
      }
    }
    const heardInPage = ({ page, key }) => runIn(page, async (key) => {
      await ask(all[key].socket, "info"); // what was sent before is here now
      return all[key].heard.splice(0);
    }, key);

    await t.test("each reaches all others exactly once, with text and bytes", { timeout: 60_000 }, async () => {
      const expected = [];
      for (const [i, sender] of inPages.entries()) {
        await runIn(sender.page, async (key, words, i) => {
          for (const word of words) await ask(all[key].socket, "cast", { to: ["all"] }, "word", `page ${i}`, ...word);
          await ask(all[key].socket, "cast", { to: ["all"] }, "word", `page ${i}`, new Uint8Array([0, 1, 254, 255]).buffer);
        }, sender.key, words, i);
        for (const word of [...words, [bytes]]) expected.push([`page ${i}`, ...word]);
      }
      for (const [i, { socket }] of inNode.entries()) {
        for (const word of [...words, [bytes]]) {
          await ask(socket, "cast", { to: ["all"] }, "word", `node ${i}`, ...word);
          expected.push([`node ${i}`, ...word]);
        }
      }
      await settle(...inNode.map(({ socket }) => socket));
      for (const { name, words } of inNode) assert.deepEqual(plain(words.splice(0)), plain(expected), name);
      for (const visitor of inPages) assert.deepEqual(await heardInPage(visitor), plain(expected), visitor.name);
    });

    for (const visitor of inPages.filter(({ version }) => version === "4.8")) {
      await t.test(`${visitor.name}: recovered, with what it missed`, { timeout: 30_000 }, async () => {
        await runIn(visitor.page, async (key) => {
          const { socket } = all[key];
          socket.io.reconnection(false);
          const gone = new Promise((resolve) => socket.once("disconnect", resolve));
          socket.io.engine.close();
          await gone;
        }, visitor.key);
        const [{ socket }] = inNode;
        for (let i = 0; i < 3; i++) await ask(socket, "cast", { to: ["all"] }, "word", i);
        const recovered = await runIn(visitor.page, async (key) => {
          const { socket, transport } = all[key];
          socket.io.reconnection(true);
          socket.connect();
          await until(() => socket.connected, "connected again");
          await until(() => socket.io.engine.transport.name === transport, transport);
          return socket.recovered;
        }, visitor.key);
        assert.equal(recovered, true);
        assert.deepEqual(await heardInPage(visitor), [[0], [1], [2]]);
        await settle(...inNode.map(({ socket }) => socket));
        for (const { words } of inNode) words.splice(0);
        for (const other of inPages) if (other !== visitor) await heardInPage(other);
      });
    }

    await t.test("the server is killed, and another starts in its place", { timeout: 60_000 }, async () => {
      const gone = inNode.map(({ socket }) => next(socket, "disconnect", 20_000));
      await server.kill();
      await Promise.all(gone);
      server = await startServer({ ...config, port: server.port });
      for (const { name, page, key } of inPages) {
        const answer = await runIn(page, async (key) => {
          const { socket, transport } = all[key];
          await until(() => socket.connected && socket.io.engine.transport.name === transport, `connected again by ${transport}`);
          await ask(socket, "join", ["all"]);
          return hex(await ask(socket, "echo", "again", new Uint8Array([7]).buffer));
        }, key);
        assert.deepEqual(answer, ["again", { bytes: "07" }], name);
      }
      for (const { c, socket } of inNode) {
        await until(() => socket.connected, "connected again");
        await c.upgraded(socket);
        await ask(socket, "join", ["all"]);
      }
      const [first] = inPages;
      await runIn(first.page, (key) => ask(all[key].socket, "cast", { to: ["all"] }, "word", "once more"), first.key);
      await settle(...inNode.map(({ socket }) => socket));
      for (const { name, words } of inNode) assert.deepEqual(words.splice(0), [["once more"]], name);
      for (const visitor of inPages) assert.deepEqual(await heardInPage(visitor), [["once more"]], visitor.name);
    });
  } finally {
    for (const { c } of inNode) c.close();
    await browser.close();
    await server.stop();
    pages.close();
  }
});
