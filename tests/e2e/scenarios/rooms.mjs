// Rooms and broadcasts: who receives, exactly once; what the server can do to
// the sockets of a room.
import assert from "node:assert/strict";
import { ask, next, same, settle, until } from "../lib/clients.mjs";

/** Three sockets with an inbox each, and two rooms of this scenario's own. */
async function three(c, options) {
  const sockets = await Promise.all([c.connect(options), c.connect(options), c.connect(options)]);
  const inboxes = sockets.map((socket) => c.inbox(socket, "word"));
  return {
    sockets,
    red: `${c.room}-red`,
    blue: `${c.room}-blue`,
    join: (i, ...rooms) => ask(sockets[i], "join", rooms),
    cast: (i, target, ...args) => ask(sockets[i], "cast", target, "word", ...args),
    /** Checks what each socket has received: the first argument of each event. */
    async heard(...expected) {
      await settle(...sockets);
      // From another node it takes a moment longer.
      await until(() => inboxes.every((inbox, i) => inbox.length >= expected[i].length), `[${expected.map(String)}] heard`);
      same(inboxes.map((inbox) => inbox.splice(0).map(([word]) => word)), expected);
    },
  };
}

export default [
  {
    name: "join, leave, and the room of the own id",
    async run(c) {
      const { sockets, red, blue, join, cast, heard } = await three(c);
      await join(0, red, blue);
      await join(0, red); // twice is fine
      assert.deepEqual((await ask(sockets[0], "info"))[0].rooms, [sockets[0].id, red, blue].sort());
      await join(1, red);
      await cast(2, { to: [red] }, 1);
      await heard([1], [1], []);
      await ask(sockets[0], "leave", red);
      await ask(sockets[0], "leave", "never joined");
      await cast(2, { to: [red] }, 2);
      await heard([], [2], []);
      await cast(0, { to: [sockets[2].id] }, 3);
      await heard([], [], [3]);
      await cast(0, { to: [`${c.room}-nobody`] }, 4);
      await heard([], [], []);
    },
  },
  {
    name: "several rooms are one audience: nobody hears twice",
    async run(c) {
      const { red, blue, join, cast, heard } = await three(c);
      await join(0, red, blue);
      await join(1, blue);
      await cast(2, { to: [red, blue] }, 1);
      await heard([1], [1], []);
    },
  },
  {
    name: "except wins over to",
    async run(c) {
      const { sockets, red, blue, join, cast, heard } = await three(c);
      await Promise.all([join(0, red), join(1, red, blue), join(2, red)]);
      await cast(0, { to: [red], except: [blue] }, 1);
      await heard([1], [], [1]);
      await cast(0, { to: [red], except: [sockets[2].id] }, 2);
      await heard([2], [2], []);
    },
  },
  {
    name: "a socket's broadcast leaves itself out",
    async run(c) {
      const { red, blue, join, cast, heard } = await three(c);
      await Promise.all([join(0, red), join(1, red), join(2, blue)]);
      await cast(0, { by: "socket", to: [red] }, 1);
      await heard([], [1], []);
      await cast(0, { by: "socket", to: [red, blue], except: [blue] }, 2);
      await heard([], [2], []);
    },
  },
  {
    name: "to a whole namespace, and to all but the sender",
    async run(c) {
      const namespace = `/dynamic-${1000 + (parseInt(c.room.slice(5)) % 1000)}`;
      const { cast, heard } = await three(c, { namespace });
      await cast(0, {}, 1);
      await heard([1], [1], [1]);
      await cast(0, { by: "socket" }, 2);
      await heard([], [2], [2]);
    },
  },
  {
    name: "bytes are broadcast whole, in order with text",
    async run(c) {
      const [sender, ...others] = await Promise.all([c.connect(), c.connect(), c.connect()]);
      const inboxes = others.map((socket) => c.inbox(socket, "word"));
      await Promise.all(others.map((socket) => ask(socket, "join", [c.room])));
      const words = Array.from({ length: 60 }, (_, i) =>
        i % 3 === 0 ? [{ i, bytes: [Buffer.from(`b${i}`), Buffer.alloc(i)] }, i] : [i, i],
      );
      for (const word of words) sender.emit("cast", { to: [c.room] }, "word", ...word);
      for (const inbox of inboxes) same(await inbox.take(words.length), words);
    },
  },
  {
    name: "a broadcast is answered by everybody",
    async run(c) {
      const [sender, ...others] = await Promise.all([c.connect(), c.connect(), c.connect()]);
      await Promise.all(others.map((socket) => ask(socket, "join", [c.room])));
      others.forEach((socket, i) => socket.on("poll", (bytes, ack) => ack(Buffer.concat([Buffer.from(bytes), Buffer.from([i])]))));
      const [result] = await ask(sender, "cast-call", { to: [c.room], timeout: 5000 }, "poll", Buffer.from([9]));
      assert.equal(result.timedOut, false);
      same(result.answers.map((answer) => Buffer.from(answer).toString("hex")).sort(), ["0900", "0901"]);
      const [nobody] = await ask(sender, "cast-call", { to: [`${c.room}-nobody`], timeout: 5000 }, "poll", 1);
      same(nobody, { timedOut: false, answers: [] });
    },
  },
  {
    name: "a broadcast that somebody doesn't answer times out with the other answers",
    async run(c) {
      const [sender, deaf, other] = await Promise.all([c.connect(), c.connect(), c.connect()]);
      await Promise.all([deaf, other].map((socket) => ask(socket, "join", [c.room])));
      deaf.on("poll", () => {});
      other.on("poll", (ack) => ack("here"));
      let result;
      for (const timeout of [300, 3000, 15_000]) { // long enough for the other one to answer in time
        [result] = await ask(sender, "cast-call", { to: [c.room], timeout }, "poll");
        if (result.answers.length > 0) break;
      }
      same(result, { timedOut: true, answers: ["here"] });
    },
  },
  {
    name: "fetchSockets tells ids, rooms and data",
    async run(c) {
      const [sender, one, two] = await Promise.all([c.connect(), c.connect(), c.connect()]);
      await ask(one, "join", [c.room]);
      await ask(two, "join", [c.room]);
      await ask(two, "set", "name", "Zwei");
      const [found] = await ask(sender, "fetch", { to: [c.room] });
      const expected = [
        { id: one.id, rooms: [one.id, c.room].sort(), data: {} },
        { id: two.id, rooms: [two.id, c.room].sort(), data: { name: "Zwei" } },
      ];
      const byId = (a, b) => (a.id < b.id ? -1 : 1);
      same(found.sort(byId), expected.sort(byId));
      same(await ask(sender, "fetch", { to: [c.room], except: [one.id] }), [[expected.find(({ id }) => id === two.id)]]);
    },
  },
  {
    name: "socketsJoin and socketsLeave move others",
    async run(c) {
      const { sockets, red, blue, join, cast, heard } = await three(c);
      await Promise.all([join(0, red), join(1, red)]);
      await ask(sockets[2], "sockets-join", { to: [red], except: [sockets[1].id] }, [blue]);
      await cast(2, { to: [blue] }, 1);
      await heard([1], [], []);
      await ask(sockets[2], "sockets-leave", { to: [blue] }, [blue, red]);
      await cast(2, { to: [blue, red] }, 2);
      await heard([], [2], []);
    },
  },
  {
    name: "disconnectSockets ends others",
    async run(c) {
      const [sender, one, two] = await Promise.all([c.connect(), c.connect(), c.connect()]);
      await ask(one, "join", [c.room]);
      const [id, gone] = [one.id, next(one, "disconnect")];
      await ask(sender, "sockets-disconnect", { to: [c.room] }, false);
      assert.equal((await gone)[0], "io server disconnect");
      same(await ask(sender, "reason", id), ["server namespace disconnect"]);
      same(await ask(two, "echo", 1), [1]);
      await ask(two, "join", [c.room]);
      const [id2, gone2] = [two.id, next(two, "disconnect")];
      await ask(sender, "sockets-disconnect", { to: [c.room] }, true);
      assert.equal((await gone2)[0], "io server disconnect");
      same(await ask(sender, "reason", id2), ["server namespace disconnect"]);
      await until(() => two.io.engine.readyState === "closed", "closed connection");
    },
  },
  {
    name: "a socket that has gone is in no room",
    async run(c) {
      const [sender, one] = await Promise.all([c.connect(), c.connect()]);
      await ask(one, "join", [c.room]);
      const id = one.id;
      one.disconnect();
      await ask(sender, "reason", id);
      same(await ask(sender, "fetch", { to: [c.room] }), [[]]);
      same(await ask(sender, "fetch", { to: [id] }), [[]]);
    },
  },
];
