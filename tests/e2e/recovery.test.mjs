// Connection state recovery: what was missed comes once and in order, or the
// session is a fresh one. Client 4.8 has it; the network is cut by a proxy.
import assert from "node:assert/strict";
import { matrix } from "./lib/matrix.mjs";
import { ask, idle, next, same, settle, until } from "./lib/clients.mjs";
import { reference } from "./lib/server.mjs";

/** A socket behind the proxy, one that stays, and what the first has received. */
async function pair(c, proxy, options) {
  const [watcher, socket] = await Promise.all([c.connect(options), c.connect({ ...options, url: proxy.url })]);
  return { watcher, socket, words: c.inbox(socket, "word"), id: socket.id };
}

/** Cuts the network, waits until the server knows, does what is missed, mends it. */
async function away(c, proxy, { watcher, socket, id }, missed) {
  await idle(socket);
  const gone = next(socket, "disconnect");
  proxy.cut();
  await gone;
  await ask(watcher, "reason", id);
  await missed();
  proxy.mend();
  await c.connected(socket);
}

const scenarios = [
  {
    name: "missed events come exactly once, in order, bytes too",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy);
      await ask(p.socket, "join", [c.room]);
      await ask(p.watcher, "cast", { to: [c.room] }, "word", 0);
      await ask(p.watcher, "cast", { to: [c.room] }, "word", "before", Buffer.from([0]));
      await settle(p.socket);
      const missed = Array.from({ length: 30 }, (_, i) => [i, { bytes: Buffer.from(`${i}`) }]);
      await away(c, proxy, p, async () => {
        for (const word of missed) await ask(p.watcher, "cast", { to: [c.room] }, "word", ...word);
      });
      assert.equal(p.socket.recovered, true);
      assert.equal(p.socket.id, p.id);
      await ask(p.watcher, "cast", { to: [c.room] }, "word", "after");
      await settle(p.socket);
      same(p.words, [[0], ["before", Buffer.from([0])], ...missed, ["after"]]);
    },
  },
  {
    name: "rooms, data and id are restored",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy);
      await ask(p.socket, "join", [c.room, `${c.room}-2`]);
      await ask(p.socket, "set", "name", { first: "Zoë" });
      await ask(p.watcher, "cast", { to: [c.room] }, "word", 1);
      await settle(p.socket);
      await away(c, proxy, p, async () => {});
      const [info] = await ask(p.socket, "info");
      assert.equal(info.recovered, true);
      assert.equal(info.id, p.id);
      same(info.rooms, [p.id, c.room, `${c.room}-2`].sort());
      same(info.data, { name: { first: "Zoë" } });
      await ask(p.watcher, "cast", { to: [p.id] }, "word", "private");
      await settle(p.socket);
      same(p.words, [[1], ["private"]]);
    },
  },
  {
    name: "several absences one after the other",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy);
      await ask(p.socket, "join", [c.room]);
      let n = 0;
      const cast = () => ask(p.watcher, "cast", { to: [c.room] }, "word", n++);
      await cast();
      await settle(p.socket);
      for (let round = 0; round < 3; round++) {
        await away(c, proxy, p, async () => {
          await cast();
          await cast();
        });
        assert.equal(p.socket.recovered, true);
        await cast();
        await settle(p.socket);
      }
      same(p.words, Array.from({ length: n }, (_, i) => [i]));
    },
  },
  {
    name: "what was addressed to others, or excepted, is not replayed",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy);
      await ask(p.socket, "join", [c.room, `${c.room}-muted`]);
      await ask(p.watcher, "cast", { to: [c.room] }, "word", "before");
      await settle(p.socket);
      await away(c, proxy, p, async () => {
        await ask(p.watcher, "cast", { to: [`${c.room}-other`] }, "word", "for others");
        await ask(p.watcher, "cast", { to: [c.room], except: [`${c.room}-muted`] }, "word", "excepted");
        await ask(p.watcher, "cast", { to: [c.room], volatile: true }, "word", "volatile");
        await ask(p.watcher, "cast", { to: [c.room, `${c.room}-other`] }, "word", "mine");
        await ask(p.watcher, "cast", { to: [p.id] }, "word", "private");
      });
      await settle(p.socket);
      same(p.words, [["before"], ["mine"], ["private"]]);
    },
  },
  {
    name: "a socket that had received nothing yet misses nothing",
    proxy: true,
    unless: () => reference, // it recovers only who has received an offset
    async run(c, proxy) {
      const p = await pair(c, proxy);
      await ask(p.socket, "join", [c.room]);
      await away(c, proxy, p, async () => {
        for (let i = 0; i < 5; i++) await ask(p.watcher, "cast", { to: [c.room] }, "word", i);
      });
      assert.equal(p.socket.recovered, true);
      assert.equal(p.socket.id, p.id);
      await settle(p.socket);
      same(p.words, [[0], [1], [2], [3], [4]]);
    },
  },
  {
    name: "in a namespace with middleware, which is asked again",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy, { namespace: "/guarded", auth: { token: "secret" } });
      await ask(p.socket, "join", [c.room]);
      await ask(p.watcher, "cast", { to: [c.room] }, "word", 1);
      await settle(p.socket);
      await away(c, proxy, p, () => ask(p.watcher, "cast", { to: [c.room] }, "word", 2));
      assert.equal(p.socket.recovered, true);
      await settle(p.socket);
      same(p.words, [[1], [2]]);

      p.socket.auth = { token: "stolen" };
      const refused = next(p.socket, "connect_error");
      p.socket.io.engine.close();
      assert.equal((await refused)[0].message, "not authorised");
      assert.equal(p.socket.connected, false);
    },
  },
  {
    name: "an unknown private id gets a fresh session",
    async run(c) {
      const socket = await c.connect({ auth: { pid: "AAAAAAAAAAAAAAAAAAAA", offset: "Q85B2c-" } });
      const [info] = await ask(socket, "info");
      assert.equal(info.recovered, false);
      assert.equal(info.id, socket.id);
      assert.ok(!socket.recovered);
      assert.deepEqual(info.rooms, [socket.id]);
    },
  },
  {
    name: "who left by itself is not recovered",
    async run(c) {
      const [watcher, socket] = await Promise.all([c.connect(), c.connect()]);
      await ask(watcher, "cast", { to: [socket.id] }, "word", 1);
      await settle(socket);
      const id = socket.id;
      socket.disconnect();
      await ask(watcher, "reason", id);
      socket.connect();
      await c.connected(socket);
      assert.notEqual(socket.id, id);
      assert.equal(socket.recovered, false);
    },
  },
  {
    name: "what the client emitted while away arrives after it is recovered",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy);
      const echoes = c.inbox(p.socket, "echo");
      await ask(p.watcher, "cast", { to: [p.id] }, "word", 0);
      await settle(p.socket);
      await away(c, proxy, p, async () => {
        await ask(p.watcher, "cast", { to: [p.id] }, "word", 1);
        for (let i = 0; i < 3; i++) p.socket.emit("echo", i);
      });
      same(await echoes.take(3), [[0], [1], [2]]);
      same(p.words, [[0], [1]]);
      assert.equal(p.socket.recovered, true);
    },
  },
  {
    name: "events that were on their way when the network broke are neither lost nor doubled",
    proxy: true,
    async run(c, proxy) {
      const p = await pair(c, proxy);
      await ask(p.socket, "join", [c.room]);
      await ask(p.watcher, "cast", { to: [c.room] }, "word", -1);
      await settle(p.socket);
      const gone = next(p.socket, "disconnect");
      for (let i = 0; i < 300; i++) {
        p.watcher.emit("cast", { to: [c.room] }, "word", i);
        if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
        if (i === 150) proxy.cut();
      }
      await gone;
      await settle(p.watcher);
      // Officially a session is kept from when the server has noticed that it is gone. If the network
      // breaks between two polls, only the heartbeat notices: who is back before that starts afresh.
      if (reference) await ask(p.watcher, "reason", p.id);
      proxy.mend();
      await c.connected(p.socket);
      await until(() => p.words.length >= 301, `all events (have ${p.words.length})`);
      await settle(p.socket);
      assert.equal(p.socket.recovered, true);
      same(p.words, Array.from({ length: 301 }, (_, i) => [i - 1]));
    },
  },
];

const config = { recovery: true, pingInterval: 2000, pingTimeout: 4000 };
matrix({ name: "recovery", config, versions: ["4.8"] }, scenarios);
matrix(
  { name: "recovery is off by default", versions: ["4.8"], modes: ["websocket"] },
  [
    {
      name: "a client that comes back is a new one",
      proxy: true,
      async run(c, proxy) {
        const p = await pair(c, proxy);
        await ask(p.watcher, "cast", { to: [p.id] }, "word", 1);
        await settle(p.socket);
        await away(c, proxy, p, () => ask(p.watcher, "cast", { to: [p.id] }, "word", "nobody's"));
        assert.ok(!p.socket.recovered);
        assert.notEqual(p.socket.id, p.id);
        same(p.words, [[1]]);
      },
    },
  ],
);
