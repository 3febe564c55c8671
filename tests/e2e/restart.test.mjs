// The server is killed, and another starts on its port: clients come back by
// themselves and talk again. Also heartbeats that fail.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Run, ask, idle, modes, next, same, until, versions } from "./lib/clients.mjs";
import { startProxy } from "./lib/proxy.mjs";
import { reference, startServer } from "./lib/server.mjs";

const each = (t, f) =>
  Promise.all(
    Object.keys(versions).flatMap((version) =>
      Object.keys(modes).map((mode) => t.test(`client ${version}, ${mode}`, { timeout: 60_000 }, () => f(version, mode))),
    ),
  );

for (const [name, recovery] of [["killed and restarted", false], ["killed and restarted, with recovery", true]]) {
  test(`a server ${name}`, async (t) => {
    const config = { pingInterval: 2000, pingTimeout: 4000, recovery };
    let server = await startServer(config);
    const runs = new Map();
    try {
      for (const version of Object.keys(versions)) {
        for (const mode of Object.keys(modes)) {
          const c = new Run(server, version, mode, config);
          const socket = await c.connect();
          const custom = socket.io.socket("/custom");
          c.sockets.push(custom);
          await c.connected(custom);
          runs.set(`${version} ${mode}`, { c, socket, custom, ids: [socket.id, custom.id], gone: next(socket, "disconnect", 20_000) });
        }
      }
      await server.kill();
      const again = Array.from(runs.values(), ({ socket }) => socket.emit("echo", "kept while away"));
      assert.equal(again.length, runs.size);
      server = await startServer({ ...config, port: server.port });
      await each(t, async (version, mode) => {
        const { c, socket, custom, ids, gone } = runs.get(`${version} ${mode}`);
        assert.match((await gone)[0], /^transport (close|error)$/);
        await until(() => socket.connected && custom.connected, "connected again", 30_000);
        await c.upgraded(socket);
        assert.notDeepEqual([socket.id, custom.id], ids);
        assert.ok(!socket.recovered);
        same(await ask(socket, "echo", "again", Buffer.from([1])), ["again", Buffer.from([1])]);
        same(await ask(custom, "echo", "again"), ["again"]);
        assert.equal((await ask(socket, "info"))[0].id, socket.id);
      });
      await t.test("all of them hear a broadcast, once", async () => {
        const inboxes = Array.from(runs.values(), ({ c, socket }) => c.inbox(socket, "word"));
        const [{ socket }] = runs.values();
        await ask(socket, "cast", {}, "word", 1, 2);
        await Promise.all(Array.from(runs.values(), ({ socket }) => ask(socket, "info")));
        for (const inbox of inboxes) same(await inbox.take(1), [[1, 2]]);
      });
    } finally {
      for (const { c } of runs.values()) c.close();
      await server.stop();
    }
  });
}

test("a server that ends in order", async (t) => {
  const config = {};
  const server = await startServer(config);
  const runs = [];
  try {
    for (const version of Object.keys(versions)) {
      for (const mode of Object.keys(modes)) {
        const c = new Run(server, version, mode, config);
        runs.push({ version, mode, c, socket: await c.connect() });
      }
    }
    const ends = runs.map(({ socket }) => next(socket, "disconnect"));
    await server.stop();
    for (const [i, end] of ends.entries()) {
      await t.test(`client ${runs[i].version}, ${runs[i].mode} sees its transport close`, async () => {
        assert.match((await end)[0], /^transport (close|error)$/);
        assert.equal(runs[i].socket.connected, false);
      });
    }
  } finally {
    for (const { c } of runs) c.close();
    await server.stop();
  }
});

test("the network stalls: heartbeats find out on both sides", async (t) => {
  const config = { pingInterval: 1000, pingTimeout: 1500 };
  const server = await startServer(config);
  try {
    await each(t, async (version, mode) => {
      const c = new Run(server, version, mode, config);
      const proxy = await startProxy(server.port);
      try {
        const watcher = await c.connect();
        const socket = await c.connect({ url: proxy.url, reconnection: false });
        await idle(socket);
        const [id, gone] = [socket.id, next(socket, "disconnect")];
        proxy.stall();
        assert.equal((await gone)[0], "ping timeout");
        // Officially an upgrade ends the heartbeat of revision 3 on the server for good.
        if (reference && c.major === 2 && mode === "upgrade") return;
        const [reason] = await ask(watcher, "reason", id);
        // The client closes its end as soon as it has noticed.
        assert.match(reason, /^(ping timeout|transport close|transport error)$/);
        same(await ask(watcher, "echo", "alive all the time"), ["alive all the time"]);
      } finally {
        c.close();
        await proxy.close();
      }
    });
  } finally {
    await server.stop();
  }
});
