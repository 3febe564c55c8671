// Servers of both kinds, Redis, and clients, for tests of mixed clusters.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Manager } from "socket.io-client";
import { plain } from "./values.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "roomcast-cluster-"));
const children = new Set();
process.on("exit", () => {
  for (const c of children) c.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until f returns something true, and returns it. */
export async function until(f, what, ms = 20_000) {
  for (const end = Date.now() + ms; ; await sleep(10)) {
    const v = await f();
    if (v) return v;
    if (Date.now() > end) throw new Error(`still not: ${typeof what === "function" ? what() : what}`);
  }
}

function start(command, args, options) {
  const child = spawn(command, args, options);
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

async function freePort() {
  const s = createServer().listen(0, "127.0.0.1");
  await once(s, "listening");
  const { port } = s.address();
  s.close();
  await once(s, "close");
  return port;
}

/** Starts redis-server on a port: { kill, restart }, which resolve when it is gone, and when it answers. */
async function redisServer(port, ...args) {
  const run = () => start("redis-server", ["--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", folder, "--logfile", `redis-${port}.log`, ...args], { stdio: "ignore" });
  let child = run();
  const { createClient } = await import("redis");
  const client = createClient({ url: `redis://127.0.0.1:${port}`, socket: { reconnectStrategy: 50 } });
  client.on("error", () => {});
  await client.connect();
  const server = {
    command: (...args) => client.sendCommand(args.map(String)),
    kill: async () => {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
    restart: async () => {
      child = run();
      await until(() => client.ping().catch(() => false), "Redis is back");
    },
    stop: async () => {
      client.destroy();
      await server.kill();
    },
  };
  return server;
}

/** Starts Redis with these arguments: { ports, command, kill, restart, stop }. ports is what servers are told. */
export async function startRedis(...args) {
  const port = await freePort();
  return { ...(await redisServer(port, ...args)), ports: [port] };
}

/** Starts a Redis Cluster of three masters: { ports, command, stop }. command goes where its first key is. */
export async function startRedisCluster() {
  const ports = [];
  const servers = [];
  for (let i = 0; i < 3; i++) {
    const port = await freePort();
    const bus = await freePort();
    ports.push(port);
    servers.push({ bus, ...(await redisServer(port, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-config-file", `nodes-${port}.conf`)) });
  }
  const slot = (i) => Math.floor((i * 16384) / 3);
  for (const [i, s] of servers.entries()) {
    await s.command("CLUSTER", "ADDSLOTSRANGE", slot(i), slot(i + 1) - 1);
    await s.command("CLUSTER", "SET-CONFIG-EPOCH", i + 1);
    if (i > 0) await servers[0].command("CLUSTER", "MEET", "127.0.0.1", ports[i], s.bus);
  }
  for (const s of servers) {
    const known = async () => /cluster_state:ok[^]*cluster_known_nodes:3/.test(await s.command("CLUSTER", "INFO"));
    await until(known, "the cluster is up", 30_000);
  }
  const { createCluster } = await import("redis");
  const client = createCluster({ rootNodes: ports.map((port) => ({ url: `redis://127.0.0.1:${port}` })) });
  client.on("error", () => {});
  await client.connect();
  return {
    ports,
    command: (...args) => client.sendCommand(String(args[1]), false, args.map(String)),
    stop: async () => {
      client.destroy();
      await Promise.all(servers.map((s) => s.stop()));
    },
  };
}

let built;
/** Path of our server: CLUSTER_SERVER, or built now. */
function goServer() {
  if (process.env.CLUSTER_SERVER) return process.env.CLUSTER_SERVER;
  if (!built) {
    built = join(folder, "server");
    execFileSync("go", ["build", "-o", built, "./tests/cluster/server"], { cwd: root, stdio: "inherit" });
  }
  return built;
}

/** Starts a server of a kind, "go" or "node". Its methods are commands. */
export async function startServer(kind, config) {
  const argument = JSON.stringify(config);
  const child =
    kind === "go"
      ? start(goServer(), [argument], { stdio: ["pipe", "pipe", "pipe"] })
      : start(process.execPath, [join(root, "tests/cluster/server.mjs"), argument], { stdio: ["pipe", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (b) => (log = (log + b).slice(-10_000)));
  const waiting = new Map();
  let next = 1;
  const server = { kind, child };
  const ready = new Promise((resolve, reject) => {
    child.once("exit", (code, signal) => {
      const err = new Error(`the ${kind} server ended with ${code ?? signal}: ${log}`);
      server.ended = err;
      reject(err);
      for (const w of waiting.values()) w.reject(err);
    });
    createInterface({ input: child.stdout }).on("line", (line) => {
      const m = JSON.parse(line);
      if (m.port) return resolve(m.port);
      const w = waiting.get(m.id);
      waiting.delete(m.id);
      if (m.error) w.reject(Object.assign(new Error(m.error), { value: m.value }));
      else w.resolve(m.value);
    });
  });
  ready.catch(() => {});
  server.port = await ready;
  server.do = (name, options = {}) => {
    if (server.ended) return Promise.reject(server.ended);
    return new Promise((resolve, reject) => {
      waiting.set(next, { resolve, reject });
      child.stdin.write(JSON.stringify({ nsp: "/", args: [], ...options, do: name, id: next++ }) + "\n");
    });
  };
  server.stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.stdin.end();
    await once(child, "exit");
  };
  return server;
}

/**
 * Connects a client: a socket whose events gather in .got as [name, ...args].
 * It goes on where the socket gone was, if there is one.
 */
export async function connect(server, nsp = "/", gone) {
  // by hand: a namespace with "#" is no part of a URL
  const socket = new Manager(`http://127.0.0.1:${server.port}`, { transports: ["websocket"], reconnection: false }).socket(nsp);
  if (gone) {
    socket._pid = gone._pid;
    socket._lastOffset = gone._lastOffset;
  }
  socket.got = [];
  socket.onAny((...args) => {
    if (typeof args.at(-1) === "function") args.pop();
    socket.got.push(plain(args));
  });
  await new Promise((resolve, reject) => {
    socket.once("connect", resolve).once("connect_error", reject);
    socket.connect();
  });
  socket.join = (...rooms) => socket.emitWithAck("join", rooms);
  /** The names of the events that came, sorted, when n have come; and no more. */
  socket.names = async (n) => {
    await until(() => socket.got.length >= n, `${n} events; got ${JSON.stringify(socket.got)}`);
    await sleep(40);
    return socket.got.splice(0).map(([name]) => name).sort();
  };
  return socket;
}
