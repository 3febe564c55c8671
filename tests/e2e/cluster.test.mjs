// Several nodes behind a balancer, without sticky sessions.
//
// E2E_FULL runs every scenario with every client, behind every balancer; else each runs with some, behind nginx.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Run, ask, modes, next, same, until, versions } from "./lib/clients.mjs";
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

const kinds = ["nginx", "haproxy", "caddy", "traefik"];

for (const kind of full ? kinds : ["nginx"]) {
  matrix(
    {
      name: `three nodes behind ${kind}, round robin`,
      config: heartbeat,
      start: (config) => startServers(config, kind),
      skip: notHere(kind),
      thin: full ? 1 : 6,
    },
    all,
  );
}

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

for (const kind of kinds) {
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
          // Caddy may have found only one of them healthy by now.
          if (variant === "plain" && kind !== "caddy") assert.ok(on.size > 1, "on several nodes");
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
          if (variant === "plain") assert.ok(handed > 0 || kind === "caddy");
          // HAProxy's, Caddy's and Traefik's stickiness is a cookie, which clients in Node don't keep.
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
        let answer;
        do { // what a client sends that has not noticed yet is lost
          await until(() => socket.connected, "connected again", 30_000);
          [answer] = await Promise.race([ask(socket, "join", { room: "after" }), next(socket, "disconnect")]);
        } while (!answer.ok);
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

test("a rolling restart under traffic", { skip: notHere("haproxy") }, async (t) => {
  // Balancers have a moment to notice that a node stops.
  const flags = ["--shutdown-delay", "1s", "--shutdown-window", "1s"];
  const cluster = await startPrograms("haproxy", "plain", { flags });
  const room = "rolling";
  const fresh = new Map(); // client -> how often it wasn't recovered
  const join = (socket, name) => {
    let first = true;
    socket.on("connect", () => {
      if (!first && !socket.recovered) fresh.set(name, (fresh.get(name) ?? 0) + 1);
      if (!socket.recovered) socket.emit("join", { room });
      first = false;
    });
  };
  try {
    const receivers = [];
    for (const mode of Object.keys(modes)) {
      for (let i = 0; i < 3; i++) {
        const [socket] = await visit(cluster, "4.8", mode);
        const got = [];
        join(socket, `${mode} ${i}`);
        socket.on("message", ({ data }) => got.push(data));
        await ask(socket, "join", { room });
        receivers.push({ name: `${mode} ${i}`, socket, got });
      }
    }
    const [sender] = await visit(cluster, "4.8", "websocket");
    join(sender, "sender");
    await ask(sender, "join", { room });

    const sent = []; // what the server has acknowledged
    const doubtful = new Set(); // what it may have got
    let going = true;
    const traffic = (async () => {
      for (let n = 0; going; n++) {
        await until(() => sender.connected, "the sender is connected", 30_000);
        try {
          const answer = await sender.timeout(3000).emitWithAck("send", { room, data: n });
          if (answer.ok) sent.push(n);
        } catch {
          doubtful.add(n);
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    for (const [i, old] of cluster.nodes.entries()) {
      await old.stop();
      cluster.nodes[i] = await startNode(`node${i + 1}`, cluster.redis.url, { listen: old.address, flags });
      const ready = async () => (await fetch(`${cluster.nodes[i].url}/readyz`)).ok;
      await until(ready, "the new node is ready");
      await new Promise((resolve) => setTimeout(resolve, 500)); // and the balancer knows it
    }
    going = false;
    await traffic;
    for (const { name, socket, got } of receivers) {
      await t.test(`${name} got all of it, once and in order`, async () => {
        await until(() => socket.connected && got.at(-1) >= sent.at(-1), `the last message (has ${got.at(-1)} of ${sent.at(-1)})`);
        assert.deepEqual(got, [...new Set(got)].sort((a, b) => a - b), "twice, or out of order");
        assert.deepEqual(sent.filter((n) => !got.includes(n)), [], "lost");
        assert.equal(fresh.get(name), undefined, "not recovered");
      });
    }
    t.diagnostic(`${sent.length} messages sent, ${doubtful.size} in doubt`);
  } finally {
    leave();
    await cluster.stop();
  }
});
