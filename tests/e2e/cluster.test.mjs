// Several nodes behind a balancer, without sticky sessions.
//
// E2E_FULL runs every scenario with every client; else each runs with some.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Run, ask, modes, next, same, session, transport, until, versions } from "./lib/clients.mjs";
import { missing } from "./lib/balancer.mjs";
import { startNode, startPrograms, startServers } from "./lib/cluster.mjs";
import { matrix } from "./lib/matrix.mjs";
import { skip as noRedis } from "./lib/redis.mjs";
import { reference } from "./lib/server.mjs";
import connect from "./scenarios/connect.mjs";
import disconnect from "./scenarios/disconnect.mjs";
import events from "./scenarios/events.mjs";
import rooms from "./scenarios/rooms.mjs";
import upgrade from "./scenarios/upgrade.mjs";

const full = Boolean(process.env.E2E_FULL);
const notHere = (kind) => (reference && "the official server needs sticky sessions") || noRedis || missing(kind);
const all = [...connect, ...events, ...rooms, ...disconnect, ...upgrade];
const heartbeat = { pingInterval: 2000, pingTimeout: 4000 };

matrix(
  {
    name: "three nodes behind nginx, round robin",
    config: heartbeat,
    start: (config) => startServers(config, "nginx"),
    skip: notHere("nginx"),
    thin: full ? 1 : 5,
  },
  all,
);

const opened = [];
const visit = async (server, version, mode, options) => {
  const c = new Run(server, version, mode);
  opened.push(c);
  return [await c.connect(options), c];
};
const leave = () => opened.splice(0).forEach((c) => c.close());

/** What a node has counted. */
async function metric(node, name) {
  const text = await (await fetch(`${node.internal}/metrics`)).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith(`roomcast_${name}`))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

const total = async (cluster, name) => {
  let sum = 0;
  for (const node of cluster.nodes) sum += await metric(node, name);
  return sum;
};

for (const kind of ["nginx", "haproxy", "caddy"]) {
  for (const variant of ["plain", "sticky"]) {
    test(`the program's three nodes behind ${kind}, ${variant}`, { skip: notHere(kind) }, async (t) => {
      const cluster = await startPrograms(kind, variant);
      try {
        await t.test("clients of every version and mode meet", { timeout: 60_000 }, async () => {
          const visits = [];
          for (const version of Object.keys(versions)) {
            for (const mode of Object.keys(modes)) visits.push(visit(cluster, version, mode));
          }
          const sockets = (await Promise.all(visits)).map(([socket]) => socket);
          const heard = sockets.map(() => []);
          sockets.forEach((socket, i) => socket.on("message", ({ data }) => heard[i].push(data)));
          for (const socket of sockets) assert.equal((await ask(socket, "join", { room: "lobby" }))[0].ok, true);
          const [{ members }] = await ask(sockets[0], "members", { room: "lobby" });
          assert.equal(members.length, sockets.length);
          const on = new Set(members.map((member) => member.node));
          for (const name of on) assert.match(name, /^node[123]$/);
          if (variant === "plain") assert.ok(on.size > 1, "on several nodes");
          for (const [i, socket] of sockets.entries()) {
            assert.equal((await ask(socket, "send", { room: "lobby", data: `from ${i}` }))[0].ok, true);
          }
          for (const [i, list] of heard.entries()) {
            const expected = sockets.map((_, j) => `from ${j}`).filter((_, j) => j !== i);
            await until(() => list.length >= expected.length, `messages of client ${i} (has ${list.length})`);
            same([...list].sort(), expected.sort());
          }
        });
        await t.test(variant === "plain" ? "requests are handed on" : "stickiness saves the hop", async () => {
          const handed = await total(cluster, "forwarded_total");
          if (variant === "plain") assert.ok(handed > 0);
          // HAProxy's and Caddy's stickiness is a cookie, which clients in Node don't keep.
          else if (kind === "nginx") assert.equal(handed, 0);
          assert.equal(await total(cluster, "forward_failures_total"), 0);
          assert.equal(await total(cluster, "forwards_refused_total"), 0);
        });
      } finally {
        leave();
        await cluster.stop();
      }
    });
  }
}

test("a node is killed", { skip: notHere("nginx") }, async (t) => {
  const cluster = await startPrograms("nginx");
  const [first, second] = cluster.nodes;
  try {
    await t.test("its sessions are unknown at once, wherever they ask", async () => {
      const base = (node) => `${node.url}/socket.io/?EIO=4&transport=polling`;
      const open = JSON.parse((await (await fetch(base(first))).text()).slice(1));
      const poll = `${base(second)}&sid=${open.sid}`;
      assert.equal((await fetch(poll, { method: "POST", body: "40" })).status, 200);
      assert.match(await (await fetch(poll)).text(), /^40\{/);
      const held = fetch(poll); // held for the session's node
      const clients = await Promise.all(["2.5", "3.1", "4.8"].map((version) => visit(cluster, version, "polling")));
      await new Promise((resolve) => setTimeout(resolve, 100));
      await first.kill();
      for (const res of [await held, await fetch(poll), await fetch(poll, { method: "POST", body: "3" })]) {
        assert.deepEqual([res.status, await res.json()], [400, { code: 1, message: "Session ID unknown" }]);
      }
      for (const [socket] of clients) {
        await until(() => socket.connected, "connected again", 30_000);
        assert.equal((await ask(socket, "join", { room: "after" }))[0].ok, true);
      }
      const [{ members }] = await ask(clients[0][0], "members", { room: "after" });
      assert.equal(members.length, 3);
      for (const { node } of members) assert.notEqual(node, "node1");
    });
  } finally {
    leave();
    await cluster.stop();
  }
});
