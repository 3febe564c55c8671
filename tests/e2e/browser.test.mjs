// Clients 4.8 and 2.5 in Chromium, in a page of another origin than the server.
import { test } from "node:test";
import assert from "node:assert/strict";
import http from "node:http";
import { createRequire } from "node:module";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { launch, skip } from "./lib/browser.mjs";
import { modes } from "./lib/clients.mjs";
import { startServer } from "./lib/server.mjs";

const folder = (name) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
const bundles = {
  "4.8": readFileSync(join(folder("client4"), "dist/socket.io.js")),
  "2.5": readFileSync(join(folder("client2"), "dist/socket.io.js")),
};

/** Serves an empty page with each client: /4.8 and /2.5. */
async function startPages() {
  const server = http.createServer((req, res) => {
    const [, version, file] = req.url.split("/");
    if (!bundles[version]) return res.writeHead(req.url === "/favicon.ico" ? 204 : 404).end();
    if (file === "client.js") return res.setHeader("Content-Type", "text/javascript").end(bundles[version]);
    res.setHeader("Content-Type", "text/html; charset=utf-8");
    res.end(`<!doctype html><title>client ${version}</title><script src="/${version}/client.js"></script>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

// toolkit runs in the page: bytes as hex, questions as promises.
function toolkit() {
  window.hex = (value) => {
    if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)].map((b) => b.toString(16).padStart(2, "0")).join("") };
    if (ArrayBuffer.isView(value)) return hex(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
    if (Array.isArray(value)) return value.map(hex);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, hex(v)]));
    return value;
  };
  window.within = (promise, what) =>
    Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`no ${what} within 8 s`)), 8000))]);
  window.ask = (socket, event, ...args) =>
    within(new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))), `answer to ${event}`);
  window.until = async (check, what) => {
    const end = Date.now() + 8000;
    while (!check()) {
      if (Date.now() > end) throw new Error(`not within 8 s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  window.connect = async (url, options, transport) => {
    const socket = io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
    await until(() => socket.connected && socket.id, "connected");
    await until(() => socket.io.engine.transport.name === transport, transport);
    return socket;
  };
}

// steps run in the page: name -> async (url, options, transport) => what to check here.
const steps = {
  async "connects with the id that the server has"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const [info] = await ask(socket, "info");
    socket.close();
    return { got: [info.id === undefined, info.transport, info.userAgent.includes("Chrome")], want: [false, transport, true] };
  },
  async "events and acknowledgements with text, bytes, blobs"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const bytes = new Uint8Array([0, 1, 2, 254, 255]);
    const args = ["ünï 🎉", { deep: [bytes.buffer, { n: 1.5 }] }, bytes.buffer, null];
    const echoed = within(new Promise((resolve) => socket.on("echo", (...a) => resolve(a))), "echo");
    socket.emit("echo", ...args);
    const got = [await echoed, await ask(socket, "echo", ...args), await ask(socket, "echo", new Blob([bytes, "blob"]))];
    socket.on("double", (a, ack) => ack(a, a));
    got.push(await ask(socket, "call", "double", bytes.buffer), await ask(socket, "call", "double", "text"));
    socket.close();
    const blob = new TextEncoder().encode("\0").buffer && [...bytes, ...new TextEncoder().encode("blob")];
    return {
      got: hex(got),
      want: hex([args, args, [new Uint8Array(blob).buffer], [bytes.buffer, bytes.buffer], ["text", "text"]]),
    };
  },
  async "large messages, and 300 in order"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const large = "ä".repeat(100_000);
    const bytes = new Uint8Array(300_000).map((_, i) => i % 251).buffer;
    const [text, back] = await ask(socket, "echo", large, bytes);
    const order = [];
    socket.on("echo", (i) => order.push(i));
    for (let i = 0; i < 300; i++) socket.emit("echo", i, i % 10 ? "text" : bytes.slice(0, 10));
    await until(() => order.length === 300, "300 echoes");
    socket.close();
    return { got: [text === large, hex(back).bytes === hex(bytes).bytes, order.every((v, i) => v === i)], want: [true, true, true] };
  },
  async "rooms: two sockets hear each other"(url, options, transport) {
    const [one, two] = await Promise.all([connect(url, options, transport), connect(url, options, transport)]);
    const room = `browser-${Math.random()}`;
    const heard = [[], []];
    [one, two].forEach((socket, i) => socket.on("word", (...args) => heard[i].push(args)));
    await Promise.all([ask(one, "join", [room]), ask(two, "join", [room])]);
    const bytes = new Uint8Array([7, 8]).buffer;
    await ask(one, "cast", { by: "socket", to: [room] }, "word", "from one", bytes);
    await ask(two, "cast", { to: [room] }, "word", "from two", 2);
    await Promise.all([ask(one, "info"), ask(two, "info")]);
    one.close();
    two.close();
    const last = ["from two", 2];
    return { got: hex(heard), want: hex([[last], [["from one", bytes], last]]) };
  },
  async "comes back after its connection closed"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const sid = socket.io.engine.id;
    socket.io.engine.close();
    await until(() => socket.connected && socket.io.engine.id !== sid, "connected again");
    const got = await ask(socket, "echo", "again");
    socket.close();
    return { got, want: ["again"] };
  },
  async "is refused by a middleware, with data"(url, options) {
    const socket = io(url + "/guarded", { forceNew: true, ...options });
    const told = await within(
      new Promise((resolve) => {
        socket.on("connect_error", (err) => resolve(err.data));
        socket.on("error", resolve); // v2
      }),
      "refusal",
    );
    socket.close();
    return { got: told, want: { code: 4001 } };
  },
};

test("clients in Chromium", { skip }, async (t) => {
  const pages = await startPages();
  const strangers = await startPages(); // another port: another origin
  const server = await startServer({ origins: [pages.url], jsonp: true });
  const browser = await launch();
  const open = async (url) => {
    const page = await browser.newPage();
    await page.goto(url);
    await page.evaluate(toolkit);
    return page;
  };
  try {
    for (const version of Object.keys(bundles)) {
      const page = await open(`${pages.url}/${version}`);
      for (const [mode, options] of Object.entries(modes)) {
        const transport = mode === "polling" ? "polling" : "websocket";
        await t.test(`client ${version}, ${mode}`, async (t) => {
          for (const [name, step] of Object.entries(steps)) {
            await t.test(name, { timeout: 30_000 }, async () => {
              const { got, want } = await page.evaluate(
                ([source, ...args]) => eval(`({${source}})`)[Object.keys(eval(`({${source}})`))[0]](...args),
                [step.toString(), server.url, options, transport],
              );
              assert.deepEqual(got, want);
            });
          }
        });
      }

      await t.test(`client ${version}: a page of an origin that isn't listed is refused`, async () => {
        const stranger = await open(`${strangers.url}/${version}`);
        for (const transport of ["polling", "websocket"]) {
          const outcome = await stranger.evaluate(
            ([url, transport]) =>
              within(
                new Promise((resolve) => {
                  const socket = io(url, { forceNew: true, reconnection: false, transports: [transport] });
                  socket.on("connect", () => resolve("connected"));
                  socket.on("connect_error", () => resolve("refused"));
                }),
                "outcome",
              ),
            [server.url, transport],
          );
          assert.equal(outcome, "refused", transport);
        }
        await stranger.close();
      });
      await page.close();
    }

    await t.test("client 2.5, JSONP", { timeout: 30_000 }, async () => {
      const page = await open(`${pages.url}/2.5`);
      const got = await page.evaluate(async (url) => {
        const socket = await connect(url, { transports: ["polling"], upgrade: false, forceJSONP: true }, "polling");
        const scripts = document.querySelectorAll(`script[src^="${url}"]`).length;
        const text = await ask(socket, "echo", "ünï \n \\n \u2028 </script> 🎉", { n: 1 });
        const bytes = await ask(socket, "echo", new Uint8Array([0, 255]).buffer);
        socket.close();
        return [scripts > 0, text, hex(bytes)];
      }, server.url);
      assert.deepEqual(got, [true, ["ünï \n \\n \u2028 </script> 🎉", { n: 1 }], [{ bytes: "00ff" }]]);
      await page.close();
    });
  } finally {
    await browser.close();
    await server.stop();
    pages.close();
    strangers.close();
  }
});
