// Connecting: ids, auth and query, refusals, namespaces.
import assert from "node:assert/strict";
import { ask, next, same, session, transport, until, within } from "../lib/clients.mjs";

/** How each version learns that a namespace refused it: what the server said. */
async function refusal(c, socket) {
  if (c.major === 2) return (await next(socket, "error"))[0];
  const [err] = await next(socket, "connect_error");
  return err.data === undefined ? { message: err.message } : { message: err.message, data: err.data };
}

export default [
  {
    name: "the client's id is the server's, in / and elsewhere",
    async run(c) {
      for (const namespace of ["", "/custom"]) {
        const socket = await c.connect({ namespace });
        const [info] = await ask(socket, "info");
        assert.equal(info.id, socket.id);
        assert.equal(info.namespace, namespace || "/");
        assert.equal(info.protocol, c.major === 2 ? 3 : 4);
        assert.equal(info.recovered, false);
        assert.deepEqual(info.rooms, [socket.id]);
        if (c.major > 2) assert.notEqual(info.id, session(socket), "the session id is a secret");
      }
    },
  },
  {
    name: "the transport is the one that was asked for, on both sides",
    async run(c) {
      const socket = await c.connect();
      const expected = c.mode === "polling" ? "polling" : "websocket";
      assert.equal(transport(socket), expected);
      const [info] = await ask(socket, "info");
      assert.equal(info.transport, expected);
    },
  },
  {
    name: "auth reaches the server",
    async run(c) {
      const auth = { token: "secret", name: "Zoë & co" };
      const socket = await c.connect({ namespace: "/guarded", auth });
      const [info] = await ask(socket, "info");
      assert.deepEqual(info.auth, auth);
    },
  },
  {
    name: "auth may be a function and hold any JSON",
    unless: (c) => c.major === 2,
    async run(c) {
      const auth = { token: "secret", list: [1, { deep: null }], flag: true };
      const socket = await c.connect({ namespace: "/guarded", auth: (give) => setImmediate(give, auth) });
      const [info] = await ask(socket, "info");
      assert.deepEqual(info.auth, auth);
    },
  },
  {
    name: "the query reaches the server",
    async run(c) {
      const socket = await c.connect({ query: { colour: "blue", text: "a&b=ü" } });
      const [info] = await ask(socket, "info");
      assert.equal(info.query.colour, "blue");
      assert.equal(info.query.text, "a&b=ü");
      assert.equal(info.query.EIO, c.major === 2 ? "3" : "4");
      assert.equal(info.query.transport, c.mode === "websocket" ? "websocket" : "polling");
    },
  },
  {
    name: "a middleware's refusal arrives with its data, and nothing else is lost",
    async run(c) {
      const refused = c.open({ namespace: "/guarded", auth: { token: "wrong" } });
      same(
        await refusal(c, refused),
        c.major === 2 ? { code: 4001 } : { message: "not authorised", data: { code: 4001 } },
      );
      assert.equal(refused.connected, false);
      const sibling = refused.io.socket("/custom"); // over the same connection
      c.sockets.push(sibling);
      await c.connected(sibling);
      same(await ask(sibling, "echo", "still here"), ["still here"]);
    },
  },
  {
    name: "a refused client may try again with better auth",
    unless: (c) => c.major === 2,
    async run(c) {
      const socket = c.open({ namespace: "/guarded", auth: { token: "wrong" } });
      await refusal(c, socket);
      socket.auth = { token: "secret" };
      socket.connect();
      await c.connected(socket);
      same(await ask(socket, "echo", 1), [1]);
    },
  },
  {
    name: "an unknown namespace is refused",
    async run(c) {
      const socket = c.open({ namespace: "/nowhere" });
      same(await refusal(c, socket), { message: "Invalid namespace" });
    },
  },
  {
    name: "dynamic namespaces: by pattern and by function",
    async run(c) {
      const [one, two] = await Promise.all([
        c.connect({ namespace: "/dynamic-1" }),
        c.connect({ namespace: "/dynamic-2" }),
      ]);
      assert.equal((await ask(one, "info"))[0].namespace, "/dynamic-1");
      assert.equal((await ask(two, "info"))[0].namespace, "/dynamic-2");
      const opened = await c.connect({ namespace: "/open-sesame", auth: { word: "sesame" } });
      assert.equal((await ask(opened, "info"))[0].namespace, "/open-sesame");
      same(await refusal(c, c.open({ namespace: "/dynamic-x" })), { message: "Invalid namespace" });
    },
  },
  {
    name: "what the server sends at once on connecting arrives",
    async run(c) {
      const socket = c.open({ namespace: "/greeting" });
      const [text, bytes] = await next(socket, "greeting");
      same([text, bytes], ["hello", Buffer.from([1, 2, 3])]);
    },
  },
  {
    name: "what the client emits before it is connected arrives, in order",
    async run(c) {
      const socket = c.open();
      const echoes = c.inbox(socket, "echo");
      for (let i = 0; i < 5; i++) socket.emit("echo", i);
      same(await echoes.take(5), [[0], [1], [2], [3], [4]]);
    },
  },
  {
    name: "twenty namespaces share one connection and don't mix",
    async run(c) {
      const first = await c.connect({ namespace: "/dynamic-100" });
      const sockets = [first];
      for (let i = 101; i < 120; i++) {
        const socket = first.io.socket(`/dynamic-${i}`);
        sockets.push(socket);
        c.sockets.push(socket);
      }
      await until(() => sockets.every((socket) => socket.connected), "twenty namespaces");
      const inboxes = sockets.map((socket) => c.inbox(socket, "word"));
      assert.equal(new Set(sockets.map(session)).size, 1);
      assert.equal(new Set(sockets.map((socket) => socket.id)).size, 20);
      await Promise.all(sockets.map((socket, i) => ask(socket, "cast", {}, "word", i, Buffer.from([i]))));
      await Promise.all(sockets.map((socket) => ask(socket, "info")));
      for (const [i, inbox] of inboxes.entries()) same(await inbox.take(1), [[i, Buffer.from([i])]]);
      sockets[3].disconnect();
      same(await ask(sockets[4], "echo", "after"), ["after"]);
    },
  },
  {
    name: "thirty clients connect at once",
    async run(c) {
      const sockets = await within(Promise.all(Array.from({ length: 30 }, () => c.connect())), "30 clients");
      assert.equal(new Set(sockets.map((socket) => socket.id)).size, 30);
      const answers = await Promise.all(sockets.map((socket, i) => ask(socket, "echo", i)));
      same(answers.flat(), sockets.map((_, i) => i));
    },
  },
];
