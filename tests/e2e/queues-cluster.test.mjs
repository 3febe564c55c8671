// Queues and inboxes on three nodes that share Redis, with stock clients.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Run, ask, next, until } from "./lib/clients.mjs";
import { startPrograms } from "./lib/cluster.mjs";
import { skip as noRedis, which } from "./lib/redis.mjs";
import { reference } from "./lib/server.mjs";
import { play, thinned } from "./scenarios/queues.mjs";

const skip = (reference && "the official server has none") || noRedis || (!which("nginx") && "no nginx here");

async function must(socket, event, request) {
  const [answer] = await ask(socket, event, request);
  assert.equal(answer.ok, true, `${event} ${JSON.stringify(request)}: ${JSON.stringify(answer)}`);
  return answer;
}

test("queues on three nodes", { skip, timeout: process.env.E2E_FULL ? 240_000 : 90_000 }, async (t) => {
  const cluster = await startPrograms("nginx", "plain", { flags: ["--eio3"] });
  const opened = [];
  const visit = async (version, node, name, mode = "websocket") => {
    const c = new Run(cluster.nodes[node] ?? { url: cluster.url }, version, mode);
    opened.push(c);
    return c.connect(c.major === 2 ? {} : { auth: { name } });
  };
  const queue = "demo";
  try {
    await t.test("each message is worked on once, wherever it was published", async () => {
      const seen = new Map();
      for (const [node, version] of [[0, "4.8"], [1, "2.5"], [2, "4.8"]]) {
        const worker = await visit(version, node, `w${node}`);
        worker.on("queue:message", (m, ack) => {
          seen.set(m.data, (seen.get(m.data) ?? 0) + 1);
          ack();
        });
        await must(worker, "queue:consume", { queue, prefetch: 4 });
      }
      const producers = [await visit("4.8", 0, "p"), await visit("2.5", 1, "p"), await visit("4.8", "balancer", "p", "polling")];
      const work = [];
      for (let n = 0; n < 150; n++) work.push(must(producers[n % 3], "queue:publish", { queue, id: `m-${n}`, data: n }));
      await Promise.all(work);
      await until(() => seen.size === 150, "all worked on");
      await until(async () => (await must(producers[0], "queue:stats", { queue })).leased === 0, "settled");
      assert.ok([...seen.values()].every((times) => times === 1), "a message was worked on twice");
      opened.splice(0).forEach((c) => c.close());
    });

    await t.test("an idle worker hears at once of what is published elsewhere", async () => {
      const [worker, producer] = [await visit("4.8", 1, "w"), await visit("4.8", 2, "p")];
      await must(worker, "queue:consume", { queue });
      for (let n = 0; n < 5; n++) {
        const got = next(worker, "queue:message");
        await must(producer, "queue:publish", { queue, data: n });
        const [message, ack] = await got;
        assert.equal(message.data, n);
        ack();
      }
      opened.splice(0).forEach((c) => c.close());
    });

    await t.test("a session takes its messages along to another node", async () => {
      const [producer, here] = [await visit("4.8", 0, "p"), await visit("4.8", 1, "w")];
      const consume = { queue, session: "w-9", graceMs: 10_000 };
      await must(here, "queue:consume", consume);
      const got = next(here, "queue:message");
      await must(producer, "queue:publish", { queue, data: "move" });
      const [message] = await got;
      here.close();
      const there = await visit("4.8", 2, "w");
      await until(async () => (await must(producer, "queue:stats", { queue })).leased === 1, "kept");
      const { resumed } = await must(there, "queue:consume", consume);
      assert.deepEqual(resumed, [message.r]);
      assert.equal((await must(there, "queue:settle", { ack: [message.r] })).results[message.r], "ok");
      opened.splice(0).forEach((c) => c.close());
    });

    await t.test("an inbox is opened at another node", async () => {
      const [sender, ada] = [await visit("2.5", 0, "hub"), await visit("4.8", 1, "ada")];
      const entries = [];
      const gather = (m, ack) => {
        entries.push(m.data);
        ack();
      };
      ada.on("inbox:message", gather);
      await must(ada, "inbox:open", {});
      await must(sender, "inbox:send", { to: ["ada"], data: 1 });
      await until(() => entries.length === 1, "the first");
      ada.close();
      await must(sender, "inbox:send", { to: ["ada"], data: 2 });
      const again = await visit("4.8", 2, "ada");
      again.on("inbox:message", gather);
      await must(again, "inbox:open", {});
      await must(sender, "inbox:send", { to: ["ada"], data: 3 });
      await until(() => entries.length === 3, "all");
      assert.deepEqual(entries, [1, 2, 3]);
      opened.splice(0).forEach((c) => c.close());
    });

    // On one node, and each client on another.
    for (const [place, nodes] of [["one node", { producer: 0, worker: 0, other: 0, admin: 0 }], ["three", { producer: 0, worker: 1, other: 2, admin: 2 }]]) {
      for (const [version, mode] of thinned([["2.5", "websocket"]])) {
        await t.test(`every event on ${place}, client ${version}, ${mode}`, (t) =>
          play(t, version, (version, role, name) => visit(version, nodes[role], name, mode), () => opened.splice(0).forEach((c) => c.close())));
      }
    }

    await t.test("a node is killed: what its workers had goes to others", async () => {
      const [producer, worker] = [await visit("4.8", 0, "p"), await visit("4.8", 2, "w")];
      await must(worker, "queue:consume", { queue, prefetch: 3 });
      const held = [];
      worker.on("queue:message", (m) => held.push(m.id));
      for (let n = 0; n < 3; n++) await must(producer, "queue:publish", { queue, id: `held-${n}`, data: n });
      await until(() => held.length === 3, "held");
      const other = await visit("4.8", 1, "w2");
      const moved = [];
      other.on("queue:message", (m, ack) => {
        moved.push([m.id, m.attempt]);
        ack();
      });
      await must(other, "queue:consume", { queue, prefetch: 10 });
      await cluster.nodes[2].kill();
      await until(() => moved.length === 3, "moved");
      assert.deepEqual(moved.sort(), held.sort().map((id) => [id, 2]));
    });
  } finally {
    opened.splice(0).forEach((c) => c.close());
    await cluster.stop().catch((err) => {
      if (!/SIGKILL/.test(err.message)) throw err;
    });
  }
});
