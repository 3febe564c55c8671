// The official server with the application of the benchmark, the same as in
// ../goserver. It prints one line of JSON with its addresses when it listens.
// With REDIS_ADDR it is a node of a cluster.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { Server } from "socket.io";

const version = (name) =>
  JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url))).version;

// The benchmark ends this process by closing its standard input.
process.stdin.on("end", () => process.exit()).resume();

// What joins the nodes: the official adapters with their defaults.
let adapter;
let adapterVersion = "";
if (process.env.REDIS_ADDR) {
  const { createClient } = await import("redis");
  const connect = async () => {
    const client = createClient({ url: `redis://${process.env.REDIS_ADDR}` });
    client.on("error", (err) => console.error(err.message));
    await client.connect();
    return client;
  };
  const name = process.env.ADAPTER === "streams" ? "@socket.io/redis-streams-adapter" : "@socket.io/redis-adapter";
  const { createAdapter } = await import(name);
  adapter = name.includes("streams") ? createAdapter(await connect()) : createAdapter(await connect(), await connect());
  adapterVersion = `, ${name} ${version(name)}, redis ${version("redis")}`;
}

const http = createServer();
const io = new Server(http, {
  serveClient: false,
  pingInterval: Number(process.env.PING_INTERVAL_MS) || 25_000,
  maxHttpBufferSize: Number(process.env.MAX_PAYLOAD) || 1e6,
  ...(adapter && { adapter }),
});

io.on("connection", (socket) => {
  const echo = (value, answer) => answer(value);
  for (const event of ["echo", "object", "raw", "binary"]) {
    socket.on(event, echo);
  }
  socket.on("join", (room, answer) => {
    socket.join(room);
    answer(true);
  });
  socket.on("cast", ({ room, data }) => {
    io.to(room).emit("cast", data);
  });
});

// The side listener answers outside of what is measured.
const side = createServer(async (req, res) => {
  if (req.url === "/gc") {
    for (let i = 0; i < 3; i++) {
      globalThis.gc();
      await new Promise((done) => setTimeout(done, 50));
    }
  }
  res.setHeader("Connection", "close");
  res.setHeader("Content-Type", "application/json");
  const nodes = adapter ? await io.of("/").adapter.serverCount() : 1;
  res.end(JSON.stringify({ sockets: io.of("/").sockets.size, sessions: io.engine.clientsCount, nodes }));
});

const listen = (server, backlog) =>
  new Promise((done) => server.listen({ host: "127.0.0.1", port: 0, backlog }, () => done(server.address())));

const main = await listen(http, 4096);
const stats = await listen(side, 16);
console.log(
  JSON.stringify({
    addr: `127.0.0.1:${main.port}`,
    side: `127.0.0.1:${stats.port}`,
    version: `socket.io ${version("socket.io")}, engine.io ${version("engine.io")}, ws ${version("ws")}, Node ${process.versions.node}${adapterVersion}`,
  }),
);
