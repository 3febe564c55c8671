// The official server as a node of scripts/chaos, with the streams adapter and
// connection state recovery: what tests/chaos/node.go is for ours, and driven in
// the same way. It prints its address, and ends with its standard input.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { createClient } from "redis";
import { Server } from "socket.io";
import { createAdapter } from "@socket.io/redis-streams-adapter";

const config = JSON.parse(process.env.ROOMCAST_CHAOS_NODE);

const [address] = config.Redis.Addrs;
const redis = createClient({ url: `redis://${config.Redis.Via?.[address] ?? address}` });
redis.on("error", () => {});
await redis.connect();

const http = createServer();
const io = new Server(http, {
  serveClient: false,
  connectionStateRecovery: {},
  adapter: createAdapter(redis, { maxLen: config.MaxLen }),
});
io.on("connection", (socket) => {
  socket.on("join", (room, done) => {
    socket.join(room);
    done(socket.recovered);
  });
});

let number = config.First;
const send = () => {
  const group = number % (config.Groups + 1);
  (group > 0 ? io.to(`r${group - 1}`) : io).emit("n", config.Number, number++, Date.now());
};
const sending = config.Rate > 0 ? setInterval(send, 1000 / config.Rate) : undefined;

createInterface({ input: process.stdin })
  .on("line", (line) => line === "quiet" && clearInterval(sending))
  .on("close", () => process.exit(0));

// As many waiting connections as for a Go program: the default is 511.
http.listen({ host: "127.0.0.1", port: 0, backlog: 4096 }, () => console.log(`127.0.0.1:${http.address().port}`));
