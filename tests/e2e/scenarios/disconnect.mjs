// The ends of connections, with the reason that each side gives, and coming back.
import assert from "node:assert/strict";
import { ask, idle, next, same, session, until } from "../lib/clients.mjs";

export default [
  {
    name: "the client leaves",
    async run(c) {
      const [socket, watcher] = await Promise.all([c.connect(), c.connect()]);
      const [id, gone] = [socket.id, next(socket, "disconnect")];
      socket.disconnect();
      assert.equal((await gone)[0], "io client disconnect");
      same(await ask(watcher, "reason", id), ["client namespace disconnect"]);
    },
  },
  {
    name: "the client leaves one namespace of two and joins it again",
    async run(c) {
      const main = await c.connect();
      const custom = main.io.socket("/custom");
      c.sockets.push(custom);
      await c.connected(custom);
      const id = custom.id;
      custom.disconnect();
      same(await ask(main, "reason", id), ["client namespace disconnect"]);
      same(await ask(main, "echo", "there"), ["there"]);
      custom.connect();
      await until(() => custom.connected, "connected again");
      if (c.major > 2) assert.notEqual(custom.id, id);
      same(await ask(custom, "echo", "again"), ["again"]);
      assert.equal(session(custom), session(main));
    },
  },
  {
    name: "the server ends a socket, the connection stays",
    async run(c) {
      const custom = await c.connect({ namespace: "/custom" });
      const greeting = custom.io.socket("/dynamic-7");
      c.sockets.push(greeting);
      await c.connected(greeting);
      const [id, gone] = [custom.id, next(custom, "disconnect")];
      custom.emit("leave-me", false);
      assert.equal((await gone)[0], "io server disconnect");
      same(await ask(greeting, "reason", id), ["server namespace disconnect"]);
      custom.connect(); // the client's choice
      await until(() => custom.connected, "connected again");
    },
  },
  {
    name: "the server ends a socket with its connection",
    async run(c) {
      const [socket, watcher] = await Promise.all([c.connect({ namespace: "/custom" }), c.connect()]);
      const [id, gone] = [socket.id, next(socket, "disconnect")];
      socket.emit("leave-me", true);
      assert.equal((await gone)[0], "io server disconnect");
      same(await ask(watcher, "reason", id), ["server namespace disconnect"]);
      await until(() => socket.io.engine.readyState === "closed", "closed connection");
    },
  },
  {
    name: "the client's connection closes: it comes back by itself, with a new id",
    unless: (c) => c.recovers,
    async run(c) {
      const [socket, watcher] = await Promise.all([c.connect(), c.connect()]);
      for (let round = 0; round < 3; round++) {
        const [id, sid, gone] = [socket.id, session(socket), next(socket, "disconnect")];
        socket.io.engine.close();
        assert.equal((await gone)[0], "forced close");
        same(await ask(watcher, "reason", id), ["transport close"]);
        await until(() => socket.connected && session(socket) !== sid, "connected again");
        assert.notEqual(socket.id, id);
        same(await ask(socket, "echo", "again"), ["again"]);
      }
    },
  },
  {
    name: "the network breaks: both sides notice, the client comes back and sends what it kept",
    proxy: true,
    async run(c, proxy) {
      const watcher = await c.connect();
      const socket = await c.connect({ url: proxy.url });
      await idle(socket);
      const [id, gone] = [socket.id, next(socket, "disconnect")];
      proxy.cut();
      assert.match((await gone)[0], /^transport (close|error)$/);
      const [reason] = await ask(watcher, "reason", id);
      assert.match(reason, /^(transport (close|error)|ping timeout)$/);
      const echoes = c.inbox(socket, "echo");
      for (let i = 0; i < 5; i++) socket.emit("echo", i); // kept by the client
      proxy.mend();
      same(await echoes.take(5), [[0], [1], [2], [3], [4]]);
      if (!c.recovers) assert.notEqual(socket.id, id);
    },
  },
];
