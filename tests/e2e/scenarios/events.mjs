// Events and acknowledgements both ways: text, JSON, binary, order.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { ask, same, settle, until, within } from "../lib/clients.mjs";

const payloads = {
  text: ["hello"],
  "no arguments": [],
  "text of all kinds": ["", "ünïcödé", "日本語", "🎉👩‍👩‍👧", "\u2028 \\ \" \n \u0001", "<&>", "\u001e1\u001e"],
  "JSON of all kinds": [{ a: [1, 2.5, -3, 1e-9, 9007199254740991, -9007199254740991], b: null, c: true, d: { "": {} }, e: [[]] }, null, false, 0],
  "lookalike of a placeholder": [{ _placeholder: "no", num: "0" }],
  bytes: [Buffer.from([0, 1, 2, 253, 254, 255])],
  "no bytes": [Buffer.alloc(0), "after"],
  "bytes deep inside": [
    { a: { b: [Buffer.from("one"), { c: Buffer.from("two") }] }, text: "t" },
    [[Buffer.from("three")]],
    "last",
  ],
  "ten attachments": [Array.from({ length: 10 }, (_, i) => Buffer.from([i]))],
  "an array buffer": [new Uint8Array([7, 8, 9]).buffer],
  "a large JSON object": [{ list: Array.from({ length: 2000 }, (_, i) => ({ id: i, name: `näme ${i}`, tags: ["a", "b"] })) }],
  "large bytes": [randomBytes(300_000), "and text"],
};

export default [
  ...Object.entries(payloads).map(([kind, args]) => ({
    name: `an event with ${kind} comes back as it was`,
    async run(c) {
      const socket = await c.connect();
      const echoes = c.inbox(socket, "echo");
      socket.emit("echo", ...args);
      same(await echoes.take(1), [args]);
    },
  })),
  {
    name: "a typed array arrives as bytes",
    unless: (c) => c.major === 2, // sends it as an object
    async run(c) {
      const socket = await c.connect();
      same(await ask(socket, "echo", new Uint8Array([1, 2, 255])), [Buffer.from([1, 2, 255])]);
    },
  },
  {
    name: "undefined, dates and what JSON leaves out",
    unless: (c) => c.config.parser === "msgpack", // it has forms of its own for them
    async run(c) {
      const socket = await c.connect();
      same(await ask(socket, "echo", undefined, NaN, new Date(0), { gone: undefined, kept: 1 }), [
        null,
        null,
        "1970-01-01T00:00:00.000Z",
        { kept: 1 },
      ]);
    },
  },
  {
    name: "acknowledgements from the server: none, one, several, bytes",
    async run(c) {
      const socket = await c.connect();
      for (const args of [[], ["one"], ["ünï", 2, { three: [3] }, null], ...Object.values(payloads)]) {
        same(await ask(socket, "echo", ...args), args);
      }
    },
  },
  {
    name: "acknowledgements from the client: none, one, several, bytes",
    async run(c) {
      const socket = await c.connect();
      socket.on("double", (...args) => args.pop()(...args, ...args));
      socket.on("nothing", (ack) => ack());
      for (const args of [["one"], [1, { two: "zwölf" }], [Buffer.from("three"), { four: Buffer.from("five") }]]) {
        same(await ask(socket, "call", "double", ...args), [...args, ...args]);
      }
      same(await ask(socket, "call", "nothing"), []);
    },
  },
  {
    name: "many questions at once, answered in any order",
    async run(c) {
      const socket = await c.connect();
      socket.on("later", (i, ack) => setTimeout(ack, Math.random() * 20, i * i));
      const [mine, theirs] = await Promise.all([
        Promise.all(Array.from({ length: 50 }, (_, i) => ask(socket, "echo", i, Buffer.from([i])))),
        Promise.all(Array.from({ length: 20 }, (_, i) => ask(socket, "call", "later", i))),
      ]);
      same(mine, mine.map((_, i) => [i, Buffer.from([i])]));
      same(theirs, theirs.map((_, i) => [i * i]));
    },
  },
  {
    name: "a question that nobody answers times out, on both sides",
    async run(c) {
      const socket = await c.connect();
      socket.on("deaf", () => {});
      same(await ask(socket, "call-briefly", 30, "deaf"), [{ timedOut: true }]);
      if (c.major === 4) {
        const err = await within(
          new Promise((resolve) => socket.timeout(30).emit("nobody-listens", resolve)),
          "time-out of the client",
        );
        assert.match(err.message, /timed out/);
        same(await socket.timeout(5000).emitWithAck("echo", "in time"), "in time");
      }
    },
  },
  {
    name: "emits that are repeated until acknowledged arrive in order (retries)",
    unless: (c) => c.major !== 4,
    async run(c) {
      const socket = await c.connect({ retries: 3, ackTimeout: 4000 });
      const answers = await within(
        Promise.all(
          Array.from({ length: 5 }, (_, i) => new Promise((resolve) => socket.emit("echo", i, (_err, v) => resolve(v)))),
        ),
        "answers",
      );
      same(answers, [0, 1, 2, 3, 4]);
    },
  },
  {
    name: "500 messages keep their order, text and bytes mixed",
    async run(c) {
      const socket = await c.connect();
      const echoes = c.inbox(socket, "echo");
      const sent = Array.from({ length: 500 }, (_, i) => (i % 7 === 0 ? [i, Buffer.from(`${i}`)] : [i, { n: i }]));
      for (const args of sent) socket.emit("echo", ...args);
      same(await echoes.take(500), sent);
    },
  },
  {
    name: "events and answers of one handler keep their order",
    async run(c) {
      const socket = await c.connect();
      const order = [];
      socket.on("word", (i) => order.push(i));
      for (let i = 0; i < 50; i++) socket.emit("cast", { to: [socket.id] }, "word", i, () => order.push(`ack ${i}`));
      await until(() => order.length >= 100, "50 events and 50 answers");
      same(order, Array.from({ length: 50 }, (_, i) => [i, `ack ${i}`]).flat());
    },
  },
  {
    name: "volatile events reach who is listening",
    async run(c) {
      const [socket, sender] = await Promise.all([c.connect(), c.connect()]);
      const words = c.inbox(socket, "word");
      // One may be dropped, when it comes between two polls.
      await until(async () => {
        await ask(sender, "cast", { to: [socket.id], volatile: true }, "word", 1, Buffer.from("v"), 2);
        await settle(socket);
        return words.length > 0;
      }, "a volatile event");
      for (const word of words) same(word, [1, Buffer.from("v"), 2]);
      const echoes = c.inbox(socket, "echo");
      await until(() => {
        (c.major === 2 ? socket.binary(false) : socket.volatile).emit("echo", 1);
        return echoes.length > 0;
      }, "a volatile event to the server");
    },
  },
  {
    name: "events that nobody handles hurt nobody",
    async run(c) {
      const socket = await c.connect();
      socket.emit("unheard-of", 1, Buffer.from([1]));
      socket.emit("error", "an ordinary name");
      socket.emit("__proto__", { constructor: 1 });
      same(await ask(socket, "echo", "fine"), ["fine"]);
    },
  },
];
