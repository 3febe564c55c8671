// Writes node.json: what the official adapters and emitter publish, in the order
// in which they do. To run it, in an empty folder:
//
//	npm install socket.io@4.8.4 socket.io-client@4.8.4 @socket.io/redis-adapter@8.3.0 @socket.io/redis-emitter@5.1.0
//	node generate.js > node.json
//
// Two servers with a client each talk over a bus in this process that stands in
// for Redis. Messages are written as text where they are JSON, else in hexadecimal digits.
const { Server } = require("socket.io");
const { io } = require("socket.io-client");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { Emitter } = require("@socket.io/redis-emitter");
const { EventEmitter, once } = require("events");

const records = [];
let label = "";

class Bus {
  subscribers = [];
  publish(protocol, channel, message) {
    const bytes = Buffer.from(message);
    const json = bytes[0] === 0x7b;
    records.push({ protocol, label, channel, [json ? "text" : "hex"]: json ? bytes.toString() : bytes.toString("hex") });
    for (const s of this.subscribers) s.hear(channel, bytes);
  }
}

// as much of an ioredis client as the adapters use
class Client extends EventEmitter {
  constructor(bus, protocol) {
    super();
    Object.assign(this, { bus, protocol, channels: new Set(), patterns: [] });
    bus.subscribers.push(this);
  }
  subscribe(list) { [].concat(list).forEach((c) => this.channels.add(c)); }
  ssubscribe(c) { this.channels.add(c); }
  sunsubscribe(c) { [].concat(c).forEach((c) => this.channels.delete(c)); }
  psubscribe(p) { this.patterns.push(p); }
  publish(channel, message) { this.bus.publish(this.protocol, channel, message); return Promise.resolve(1); }
  spublish(channel, message) { return this.publish(channel, message); }
  send_command(_, [, channel], done) {
    done(null, [channel, this.bus.subscribers.filter((s) => s.channels.has(channel)).length]);
  }
  hear(channel, bytes) {
    for (const p of this.patterns) if (channel.startsWith(p.slice(0, -1))) this.emit("pmessageBuffer", p, Buffer.from(channel), bytes);
    if (this.channels.has(channel)) {
      this.emit("messageBuffer", Buffer.from(channel), bytes);
      this.emit("smessageBuffer", Buffer.from(channel), bytes);
    }
  }
}

const sleep = (ms) => new Promise((r) => setTimeout(r, ms));
const bin = Buffer.from([1, 2, 255]);
const args = {
  nothing: [], null: [null, undefined, true, false], numbers: [0, -1, 127, 128, 255, 256, 65536, 4294967295, 4294967296, 9007199254740991, -9007199254740991, 1.5, -0.25, 1e-7, NaN, Infinity, 2 ** 53 + 2, 1e20],
  texts: ["", "é😀\n\"\\\u2028", "x".repeat(300)], date: [new Date(0), new Date(1700000000123), new Date(-1), { at: new Date(253402300800000) }],
  nested: [{ b: 1, a: { z: [], y: {}, u: undefined } }, [[], [[1]]]], placeholder: [{ _placeholder: true, num: 0 }],
};
const binary = { one: [bin], nested: [{ a: [bin, { b: Buffer.alloc(0) }], c: new Date(1700000000123), u: undefined }], typed: [new Uint8Array([1, 2, 3]), new Uint8Array(1), new Uint8Array([1, 2, 3, 4]).buffer], mixed: [bin, 1.5, null, "x", 2 ** 32] };

async function play(protocol, adapter) {
  const bus = new Bus();
  const servers = [0, 1].map(() => new Server(0, { adapter: adapter(bus) }));
  const clients = servers.map((s) => io(`http://localhost:${s.httpServer.address().port}`, { transports: ["websocket"] }));
  await Promise.all(clients.map((c) => once(c, "connect")));
  const [a, b] = servers;
  const [socket] = [...b.of("/").sockets.values()];
  socket.join(["room1", "42"]);
  socket.data = { user: "bob", bin: protocol === "classic" ? bin : undefined, at: new Date(1700000000123) };
  clients[1].on("ack", (v, done) => done(v));
  clients[1].on("empty", (done) => done());
  b.on("q", (v, done) => done({ ok: v }));
  b.on("bin", (v, done) => done(v));
  const step = async (name, f) => { label = name; await f(); await sleep(30); };

  await step("to all", () => a.emit("e", 1));
  await step("to a room", () => a.to("room1").emit("r", 1));
  await step("to two rooms, except", () => a.to(["room1", "room2"]).except(["zz", "yy"]).emit("r", 1));
  await step("to a numeric room", () => a.to(42).emit("r", 1));
  await step("flags", () => a.volatile.compress(false).emit("r", 1));
  await step("to a socket", () => a.to(socket.id).emit("r", 1));
  for (const k in args) await step("args: " + k, () => a.emit("x", ...args[k]));
  for (const k in binary) await step("binary: " + k, () => a.emit("x", ...binary[k]));
  for (const v of ["q", bin, { a: "x", list: [1.5] }]) await step("ask", () => a.timeout(800).emit("ack", v, () => {}));
  await step("ask without value", () => a.to("room1").timeout(800).emit("empty", () => {}));
  await step("join", () => a.in("room1").except("zz").socketsJoin(["j1", "j2"]));
  await step("leave", () => a.in("room1").socketsLeave("j2"));
  await step("fetch", () => a.in("room1").fetchSockets());
  await step("fetch nobody", () => a.in("nobody").fetchSockets());
  await step("server emit", () => a.serverSideEmit("n", 1, "x"));
  await step("server emit, binary", () => a.serverSideEmit("n", bin, { b: bin }));
  await step("server ask", () => a.serverSideEmit("q", 5, () => {}));
  await step("server ask, binary", () => a.serverSideEmit("bin", bin, () => {}));
  if (protocol === "classic") await step("all rooms", () => a.of("/").adapter.allRooms());
  await step("disconnect", () => a.in("none").disconnectSockets(true));
  clients.forEach((c) => c.close());
  servers.forEach((s) => s.close());
}

async function emitter() {
  const bus = new Bus();
  const e = new Emitter(new Client(bus, "emitter"));
  label = "emitter";
  e.emit("e", 1, bin);
  e.to("room1").except("zz").volatile.emit("r", { a: 1 });
  e.to(["room1", "room2"]).emit("r");
  e.of("/chat").emit("r", "x");
  e.in("room1").socketsJoin(["j1", "j2"]);
  e.in("room1").except("zz").socketsLeave("j1");
  e.in("room1").disconnectSockets(true);
  e.serverSideEmit("n", 1, "x");
}

(async () => {
  await play("classic", (bus) => createAdapter(new Client(bus, "classic"), new Client(bus, "classic")));
  await play("sharded", (bus) => createShardedAdapter(new Client(bus, "sharded"), new Client(bus, "sharded")));
  await emitter();
  console.log(JSON.stringify(records, null, 1));
  process.exit(0);
})();
