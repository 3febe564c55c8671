// The fixtures on the official server: what tests/e2e/server does with ours.
// It proves the tests themselves (npm run test:reference).
//
// Takes its configuration as one JSON argument, prints {"port": n} when it
// listens, and ends when its standard input closes.
import { createServer } from "node:http";
import { Server } from "socket.io";
import msgpack from "socket.io-msgpack-parser";

const config = JSON.parse(process.argv[2] ?? "{}");

const options = {
  allowEIO3: true, // v2 clients
  perMessageDeflate: config.deflate ?? false,
};
if (config.pingInterval) options.pingInterval = config.pingInterval; // ms
if (config.pingTimeout) options.pingTimeout = config.pingTimeout; // ms
if (config.parser === "msgpack") options.parser = msgpack;
if (config.recovery) options.connectionStateRecovery = { maxDisconnectionDuration: 120_000, skipMiddlewares: false };
if (config.origins) {
  // The origins that are allowed besides the server's own; others are refused on all transports.
  options.cors = { origin: config.origins, credentials: true };
  options.allowRequest = (req, answer) => {
    const origin = req.headers.origin;
    answer(null, !origin || config.origins.includes(origin) || origin === `http://${req.headers.host}`);
  };
}

const http = createServer((_req, res) => res.writeHead(404).end());
const io = new Server(http, options);

const reasons = new Map(); // socket id -> why it was disconnected
const waiting = new Map(); // socket id -> who wants to know

// select makes the broadcast that a client describes:
// {to, except: rooms, by: "socket" (leaves out the sender), volatile, timeout: ms}
function select(socket, { to = [], except = [], by, volatile, timeout }) {
  let target = by === "socket" ? socket.broadcast : socket.nsp;
  if (to.length) target = target.to(to);
  if (except.length) target = target.except(except);
  if (volatile) target = target.volatile;
  if (timeout) target = target.timeout(timeout);
  return target;
}

function fixtures(socket) {
  const done = (args) => typeof args.at(-1) === "function" && args.pop();

  socket.on("echo", (...args) => {
    const ack = done(args);
    if (ack) ack(...args);
    else socket.emit("echo", ...args);
  });
  socket.on("info", (ack) =>
    ack({
      id: socket.id,
      namespace: socket.nsp.name,
      transport: socket.conn.transport.name,
      protocol: socket.conn.protocol,
      recovered: socket.recovered,
      rooms: [...socket.rooms].sort(),
      auth: socket.handshake.auth,
      query: socket.handshake.query,
      userAgent: socket.handshake.headers["user-agent"] ?? "",
      data: socket.data,
    }),
  );
  // call asks the client and answers with what the client answered.
  socket.on("call", (event, ...args) => {
    const ack = done(args);
    socket.timeout(5000).emit(event, ...args, (err, ...answer) => (err ? ack({ error: err.message }) : ack(...answer)));
  });
  socket.on("call-briefly", (ms, event, ack) => {
    socket.timeout(ms).emit(event, (err) => ack({ timedOut: err !== null }));
  });
  socket.on("set", (key, value, ack) => {
    socket.data[key] = value;
    ack();
  });
  socket.on("join", (rooms, ack) => {
    socket.join(rooms);
    ack();
  });
  socket.on("leave", (room, ack) => {
    socket.leave(room);
    ack();
  });
  socket.on("cast", (target, event, ...args) => {
    const ack = done(args);
    select(socket, target).emit(event, ...args);
    if (ack) ack();
  });
  socket.on("cast-call", (target, event, ...args) => {
    const ack = done(args);
    select(socket, target).emit(event, ...args, (err, answers) => ack({ timedOut: err !== null, answers }));
  });
  socket.on("fetch", async (target, ack) => {
    const found = await select(socket, target).fetchSockets();
    ack(found.map(({ id, rooms, data }) => ({ id, rooms: [...rooms].sort(), data })));
  });
  socket.on("sockets-join", (target, rooms, ack) => {
    select(socket, target).socketsJoin(rooms);
    ack();
  });
  socket.on("sockets-leave", (target, rooms, ack) => {
    select(socket, target).socketsLeave(rooms);
    ack();
  });
  socket.on("sockets-disconnect", (target, close, ack) => {
    select(socket, target).disconnectSockets(close);
    ack();
  });
  socket.on("leave-me", (close) => socket.disconnect(close));
  // reason answers when the socket of that id has been disconnected.
  socket.on("reason", (id, ack) => {
    if (reasons.has(id)) ack(reasons.get(id));
    else waiting.set(id, ack);
  });
  socket.on("disconnect", (reason) => {
    reasons.set(socket.id, reason);
    waiting.get(socket.id)?.(reason);
    waiting.delete(socket.id);
  });
}

function guard(socket, next) {
  if (socket.handshake.auth.token === "secret") return next();
  const err = new Error("not authorised");
  err.data = { code: 4001 };
  next(err);
}

io.on("connection", fixtures);
io.of("/custom").on("connection", fixtures);
io.of("/guarded").use(guard).on("connection", fixtures);
// What middlewares see is kept: the socket has joined a room and sent nothing.
io.of("/lobby")
  .use((socket, next) => {
    socket.join("everybody");
    next();
  })
  .on("connection", fixtures);
io.of(/^\/dynamic-\d+$/).on("connection", fixtures);
io.of((name, auth, next) => next(null, name === "/open-sesame" && auth.word === "sesame")).on("connection", fixtures);
io.of("/greeting").on("connection", (socket) => {
  socket.emit("greeting", "hello", Buffer.from([1, 2, 3]));
  fixtures(socket);
});

http.listen(config.port ?? 0, "127.0.0.1", () => console.log(JSON.stringify({ port: http.address().port })));
process.stdin.resume().on("end", () => io.close(() => process.exit(0)));
