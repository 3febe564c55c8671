// Several nodes behind a balancer that knows nothing of sessions: our test
// servers, or the program.
import { startBalancer } from "./balancer.mjs";
import { startProgram } from "./program.mjs";
import { startRedis } from "./redis.mjs";
import { startServer } from "./server.mjs";

const names = ["node1", "node2", "node3"];

/** Stops what was started, in this order; all of it, also if something fails. */
async function stopAll(list) {
  const errors = [];
  for (const part of list) await part?.stop().catch((err) => errors.push(err));
  if (errors.length) throw errors[0];
}

/** Starts everything and puts a balancer before it: { url, port, nodes, balancer, redis, stop }. */
async function start(kind, variant, startNode) {
  const redis = await startRedis();
  const nodes = [];
  const cluster = { redis, nodes };
  cluster.stop = () => stopAll([cluster.balancer, ...nodes, redis]);
  try {
    for (const name of names) nodes.push(await startNode(name, redis.url));
    cluster.balancer = await startBalancer(kind, nodes.map((node) => node.url.slice("http://".length)), variant);
  } catch (err) {
    await cluster.stop().catch(() => {});
    throw err;
  }
  cluster.url = cluster.balancer.url;
  cluster.port = cluster.balancer.port;
  return cluster;
}

/** Three test servers. config is theirs, with the adapter to use. */
export const startServers = (config, kind = "nginx", variant = "plain") =>
  start(kind, variant, (node, redis) => startServer({ adapter: "streams", ...config, redis, node }));

/** Starts node1, node2 or node3 of startPrograms, the second time at its old address. */
export function startNode(name, redis, { listen, adapter = "streams", flags = [] } = {}) {
  const all = ["--redis", redis, "--adapter", adapter, "--node-name", name, "--trusted-proxies", "127.0.0.1", "--limits-sessions-per-ip", "off"];
  all.push("--shutdown-window", "500ms", "--shutdown-grace", "500ms");
  return startProgram({ listen, flags: [...all, ...flags] });
}

/** Three times the program's demo. */
export const startPrograms = (kind = "nginx", variant = "plain", options = {}) =>
  start(kind, variant, (name, redis) => startNode(name, redis, options));
