// An official server in a cluster, driven by JSON lines on its standard input;
// server/main.go is ours, driven in the same way. The argument is JSON:
// { redis: ports, adapter: "classic"|"sharded"|"streams", client: "redis"|"redis4"|"ioredis", mode, prefix, specific, streams, sharded, recovery, maxLen, plaintext }
// Several ports are those of a Redis Cluster.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Server } from "socket.io";
import { createAdapter, createShardedAdapter } from "@socket.io/redis-adapter";
import { createAdapter as createStreamsAdapter } from "@socket.io/redis-streams-adapter";
import { plain, revive } from "./values.mjs";

const config = JSON.parse(process.argv[2]);

const several = config.redis.length > 1;

async function connect() {
  if (config.client === "ioredis") {
    const { Cluster, Redis } = await import("ioredis");
    const addresses = config.redis.map((port) => ({ host: "127.0.0.1", port }));
    const client = several ? new Cluster(addresses, { shardedSubscribers: config.adapter === "sharded" || config.sharded }) : new Redis(addresses[0]);
    client.on("error", () => {});
    return client;
  }
  const { createClient, createCluster } = await import(config.client);
  const addresses = config.redis.map((port) => ({ url: `redis://127.0.0.1:${port}` }));
  const client = several ? createCluster({ rootNodes: addresses }) : createClient(addresses[0]);
  client.on("error", () => {});
  await client.connect();
  return client;
}

const client = await connect();
const adapters = {
  classic: async () => createAdapter(client, await connect(), { key: config.prefix, publishOnSpecificResponseChannel: config.specific, requestsTimeout: 2000 }),
  sharded: async () => createShardedAdapter(client, await connect(), { channelPrefix: config.prefix, subscriptionMode: config.mode }),
  streams: () =>
    createStreamsAdapter(client, {
      channelPrefix: config.prefix, streamName: `${config.prefix}:stream`, sessionKeyPrefix: `${config.prefix}:session:`,
      streamCount: config.streams ?? 1, useShardedPubSub: config.sharded ?? false, maxLen: config.maxLen ?? 10_000, onlyPlaintext: config.plaintext ?? false,
    }),
};
const adapter = await adapters[config.adapter]();
const http = createServer();
const io = new Server(http, { adapter, allowEIO3: true, connectionStateRecovery: config.recovery ? {} : undefined });
const noted = [];
const heard = new Set(); // streams

function setup(nsp) {
  nsp.on("connection", (socket) => {
    socket.on("join", (rooms, done) => (socket.join(rooms), done(true)));
    socket.on("data", (data, done) => ((socket.data = data), done(true)));
  });
  nsp.on("add", (a, b, done) => done(a + b));
  nsp.on("same", (v, done) => done(v));
  nsp.on("warm", (stream) => heard.add(stream));
  nsp.on("note", (...args) => noted.push(plain(args)));
}
setup(io.of("/"));

function target(c) {
  let t = io.of(c.nsp ?? "/");
  if (c.rooms?.length) t = t.to(c.rooms);
  if (c.except?.length) t = t.except(c.except);
  if (c.local) t = t.local;
  if (c.volatile) t = t.volatile;
  if (c.noCompress) t = t.compress(false);
  return t;
}

const answers = (f) => new Promise((resolve) => f((err, list) => resolve({ error: err ? String(err.message ?? err) : null, answers: plain(list ?? []) })));
const commands = {
  open: (c) => setup(io.of(c.nsp)),
  emit: (c) => void target(c).emit(c.event, ...revive(c.args)),
  call: (c) => answers((done) => target(c).timeout(c.timeout).emit(c.event, ...revive(c.args), done)),
  ask: (c) => answers((done) => io.sockets.sockets.get(c.rooms[0]).timeout(2000).emit(c.event, ...revive(c.args), (err, v) => done(err, [v]))),
  fetch: async (c) => (await target(c).fetchSockets()).map((s) => ({ id: s.id, rooms: [...s.rooms], data: plain(s.data), query: s.handshake.query.EIO })),
  join: (c) => target(c).socketsJoin(c.names),
  leave: (c) => target(c).socketsLeave(c.names),
  disconnect: (c) => target(c).disconnectSockets(true),
  serverEmit: (c) => void io.of(c.nsp ?? "/").serverSideEmit(c.event, ...revive(c.args)),
  serverCall: (c) => answers((done) => io.of(c.nsp ?? "/").serverSideEmit(c.event, ...revive(c.args), done)),
  noted: () => noted.splice(0),
  heard: () => [...heard],
  nodes: () => io.of("/").adapter.serverCount(),
  close: async () => {
    await io.close(); // which saves sessions, without waiting for it
    await client.ping();
  },
  allRooms: async () => [...(await io.of("/").adapter.allRooms())],
};

createInterface({ input: process.stdin })
  .on("line", async (line) => {
    const c = JSON.parse(line);
    const reply = { id: c.id };
    try {
      reply.value = (await commands[c.do](c)) ?? null;
    } catch (err) {
      reply.error = String(err.message ?? err);
    }
    console.log(JSON.stringify(reply));
  })
  .on("close", () => process.exit(0));
http.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: http.address().port })));
