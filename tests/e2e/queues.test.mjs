// Queues and inboxes with stock clients: as producers, workers and inbox owners.
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Run, ask, next, same, until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { reference } from "./lib/server.mjs";
import { play, thinned } from "./scenarios/queues.mjs";

/** Asks for something that has to be granted. */
async function must(socket, event, request) {
  const [answer] = await ask(socket, event, request);
  assert.equal(answer.ok, true, `${event} ${JSON.stringify(request)}: ${JSON.stringify(answer)}`);
  return answer;
}

/** Gathers what a worker is given; each is acked by finish(message). */
function work(socket, event = "queue:message") {
  const got = [];
  const acks = new Map();
  socket.on(event, (message, ack) => {
    got.push(message);
    acks.set(message.r ?? message.seq, ack);
  });
  got.take = async (n) => {
    await until(() => got.length >= n, `${n} × ${event} (have ${got.length})`);
    return got.splice(0);
  };
  got.finish = (message, ...how) => acks.get(message.r ?? message.seq)(...how);
  return got;
}

const quiet = (ms = 150) => new Promise((resolve) => setTimeout(resolve, ms));

test("queues and inboxes", { skip: reference && "the official server has none" }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), "roomcast-queues-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  let server = await startProgram({ flags: ["--eio3", "--data", data] });
  const opened = [];
  const visit = async (version, mode, name) => {
    const c = new Run(server, version, mode);
    opened.push(c);
    return c.connect(c.major === 2 ? {} : { auth: { name } });
  };
  const leave = () => opened.splice(0).forEach((c) => c.close());
  const queue = "demo";
  const empty = async () => {
    const admin = await visit("4.8", "websocket", "admin");
    // Who has just left may have left before its last ack was read: that message comes back.
    await until(async () => (await must(admin, "queue:stats", { queue })).leased === 0, "nobody has messages");
    await must(admin, "queue:admin", { op: "purge", queue });
    await must(admin, "queue:admin", { op: "purge", queue, dead: true });
    leave();
  };

  try {
    for (const [from, to] of [["2.5", "4.8"], ["4.8", "2.5"], ["3.1", "3.1"]]) {
      for (const mode of ["websocket", "polling", "upgrade"]) {
        await t.test(`producer ${from}, worker ${to}, ${mode}`, async () => {
          const [producer, worker] = [await visit(from, mode, "shop"), await visit(to, mode, "worker")];
          const got = work(worker);
          const { consumer, leaseMs } = await must(worker, "queue:consume", { queue, prefetch: 2 });
          assert.ok(consumer > 0 && leaseMs === 10_000);
          const id = `${from}-${mode}`;
          const first = await must(producer, "queue:publish", { queue, id, data: { n: 1, text: "héllo", bin: Buffer.from([0, 255]) } });
          const again = await must(producer, "queue:publish", { queue, id, data: "another" });
          assert.deepEqual([again.duplicate, again.seq], [true, first.seq]);
          const [message] = await got.take(1);
          same(message.data, { n: 1, text: "héllo", bin: Buffer.from([0, 255]) });
          assert.deepEqual([message.queue, message.id, message.attempt], [queue, id, 1]);
          got.finish(message);
          await until(async () => (await must(producer, "queue:stats", { queue })).leased === 0, "settled");

          // Failed, and tried again at once; then given up.
          await must(producer, "queue:publish", { queue, data: "poison" });
          const [poison] = await got.take(1);
          got.finish(poison, { nack: true, delay: 0, error: "not now" });
          const [retried] = await got.take(1);
          assert.equal(retried.attempt, 2);
          got.finish(retried, { reject: true, reason: "never" });
          await until(async () => (await must(producer, "queue:stats", { queue })).dead === 1, "dead");
          const { messages } = await must(producer, "queue:peek", { queue, state: "dead" });
          assert.deepEqual([messages[0].reason, messages[0].error], ["rejected", "never"]);
          leave();
          await empty();
        });
      }
    }

    for (const [version, mode] of thinned([["4.8", "polling"]])) {
      await t.test(`every event, client ${version}, ${mode}`, (t) => play(t, version, (version, role, name) => visit(version, mode, name), leave));
    }

    await t.test("a worker that is cut off: its message goes to another at once, and its late ack settles nothing", async () => {
      const [producer, first, second] = [
        await visit("4.8", "websocket", "p"), await visit("4.8", "websocket", "w1"), await visit("2.5", "websocket", "w2")];
      const [one, two] = [work(first), work(second)];
      await must(first, "queue:consume", { queue });
      await must(producer, "queue:publish", { queue, data: "a" });
      const [held] = await one.take(1);
      await must(second, "queue:consume", { queue });
      first.io.engine.close(); // it reconnects, with the ack still to come
      const [moved] = await two.take(1);
      assert.deepEqual([moved.id, moved.attempt], [held.id, 2]);
      await until(() => first.connected, "reconnected");
      await must(producer, "queue:publish", { queue, data: "b" });
      await must(first, "queue:consume", { queue });
      const [b] = await one.take(1);
      one.finish(held); // on the new connection: not b
      await quiet();
      const stats = await must(producer, "queue:stats", { queue });
      assert.equal(stats.leased, 2, "the late ack settled something");
      const { results } = await must(first, "queue:settle", { ack: [held.r] });
      assert.equal(results[held.r], "superseded");
      two.finish(moved);
      one.finish(b);
      await until(async () => (await must(producer, "queue:stats", { queue })).leased === 0, "settled");
      leave();
    });

    await t.test("a session comes back and keeps what it has", async () => {
      const [producer, worker] = [await visit("4.8", "websocket", "p"), await visit("4.8", "websocket", "w")];
      const got = work(worker);
      const consume = { queue, session: "w-1", graceMs: 8000 };
      await must(worker, "queue:consume", consume);
      await must(producer, "queue:publish", { queue, data: 1 });
      const [message] = await got.take(1);
      worker.io.engine.close();
      await next(worker, "connect");
      const { resumed } = await must(worker, "queue:consume", consume);
      assert.deepEqual(resumed, [message.r]);
      const { results } = await must(worker, "queue:settle", { ack: [message.r] });
      assert.equal(results[message.r], "ok");
      leave();
    });

    await t.test("batches, and messages of one key in their order", async () => {
      const [producer, worker] = [await visit("4.8", "polling", "p"), await visit("4.8", "websocket", "w")];
      const batches = [];
      worker.on("queue:batch", (messages, ack) => {
        batches.push(messages.map((m) => m.data));
        ack();
      });
      await must(worker, "queue:consume", { queue, prefetch: 10, batch: { max: 5, waitMs: 50 } });
      const { results } = await must(producer, "queue:publish", {
        queue, messages: Array.from({ length: 12 }, (_, n) => ({ data: n })),
      });
      assert.equal(results.filter((r) => r.ok).length, 12);
      await until(() => batches.flat().length === 12, "all");
      assert.deepEqual(batches.flat(), Array.from({ length: 12 }, (_, n) => n));
      assert.ok(batches.length < 12);
      leave();

      const [p, w] = [await visit("4.8", "websocket", "p"), await visit("4.8", "websocket", "w")];
      const got = work(w);
      await must(w, "queue:consume", { queue, prefetch: 10 });
      for (let n = 0; n < 3; n++) await must(p, "queue:publish", { queue, key: "order-7", data: n });
      for (let n = 0; n < 3; n++) {
        const [message] = await got.take(1);
        assert.equal(message.data, n);
        await quiet(30);
        assert.equal(got.length, 0, "the next of the key came too early");
        got.finish(message);
      }
      leave();
      await empty();
    });

    await t.test("retries of the client's own are stored once", async () => {
      const c = new Run(server, "4.8", "websocket");
      opened.push(c);
      const socket = await c.connect({ auth: { name: "p" }, retries: 3, ackTimeout: 2000 });
      const answers = await Promise.all([1, 2, 3].map((n) => socket.emitWithAck("queue:publish", { queue, id: `retry-${n}`, data: n })));
      assert.deepEqual(answers.map((a) => a.ok), [true, true, true]);
      const admin = await visit("4.8", "websocket", "a");
      assert.equal((await must(admin, "queue:stats", { queue })).ready, 3);
      leave();
      await empty();
    });

    for (const version of ["2.5", "4.8"]) {
      await t.test(`an inbox keeps what was sent while its owner was away, sender ${version}`, async () => {
        const sender = await visit(version, "websocket", "hub");
        const name = `ada of ${version}`; // no plain name: it is mapped
        for (let n = 1; n <= 3; n++) await must(sender, "inbox:send", { to: [name], data: { n, bin: Buffer.from([n]) } });
        let owner = await visit("4.8", "websocket", name);
        let got = work(owner, "inbox:message");
        const first = await must(owner, "inbox:open", {});
        assert.deepEqual([first.first, first.last, first.recovered], [1, 3, true]);
        const entries = await got.take(3);
        same(entries.map((e) => [e.seq, e.data]), [1, 2, 3].map((n) => [n, { n, bin: Buffer.from([n]) }]));
        got.finish(entries[0]);
        got.finish(entries[1]);
        await until(async () => (await ask(owner, "inbox:ack", { epoch: first.epoch, seq: 2 }))[0].acked === 2, "acked");
        owner.io.engine.close();
        await next(owner, "connect");
        await must(sender, "inbox:send", { to: [name], data: { n: 4 } });
        const second = await must(owner, "inbox:open", { since: { epoch: first.epoch, seq: 2 } });
        assert.deepEqual([second.first, second.recovered], [3, true]);
        assert.deepEqual((await got.take(2)).map((e) => e.data.n), [3, 4]);

        // Another window takes it over.
        const closed = next(owner, "inbox:closed");
        const other = await visit("4.8", "polling", name);
        await must(other, "inbox:open", { since: { epoch: first.epoch, seq: 4 } });
        assert.equal((await closed)[0].code, "taken_over");
        leave();
      });
    }

    await t.test("a topic reaches who subscribed, there or not", async () => {
      const bob = await visit("4.8", "websocket", "bob");
      await must(bob, "inbox:subscribe", { topic: "news" });
      bob.close();
      const sender = await visit("2.5", "websocket", "hub");
      await must(sender, "inbox:send", { topic: "news", data: "extra" });
      const again = await visit("4.8", "websocket", "bob");
      const got = work(again, "inbox:message");
      await must(again, "inbox:open", {});
      const [entry] = await got.take(1);
      assert.deepEqual([entry.topic, entry.data], ["news", "extra"]);
      got.finish(entry);
      leave();
    });

    await t.test("what is refused says why", async () => {
      const socket = await visit("4.8", "websocket", "eve");
      for (const [event, request, code] of [
        ["queue:publish", { queue: "none", data: 1 }, "not_found"],
        ["queue:publish", { queue }, "bad_request"],
        ["queue:publish", { queue, data: "x".repeat(300_000) }, "too_large"],
        ["queue:consume", { queue, prefetch: 5000 }, "bad_request"],
        ["inbox:open", { inbox: "bob" }, "unauthorized"],
        ["inbox:ack", { epoch: 1, seq: 1 }, "conflict"],
      ]) {
        const [answer] = await ask(socket, event, request);
        assert.deepEqual([answer.ok, answer.code], [false, code], event);
        assert.ok(answer.message);
      }
      leave();
    });

    await t.test("the program is killed and started again: nothing stored is lost", async () => {
      const producer = await visit("4.8", "websocket", "p");
      for (let n = 0; n < 20; n++) await must(producer, "queue:publish", { queue, id: `kill-${n}`, data: n });
      await must(producer, "inbox:send", { to: ["carl"], data: "kept" });
      const address = server.address;
      await server.kill();
      server = await startProgram({ listen: address, flags: ["--eio3", "--data", data] });
      await until(() => producer.connected, "reconnected");
      const worker = await visit("2.5", "websocket", "w");
      const got = work(worker);
      await must(worker, "queue:consume", { queue, prefetch: 50 });
      const messages = await got.take(20);
      assert.deepEqual(messages.map((m) => m.data), Array.from({ length: 20 }, (_, n) => n));
      messages.forEach((m) => got.finish(m));
      assert.equal((await must(producer, "queue:publish", { queue, id: "kill-3", data: "again" })).duplicate, true);
      const carl = await visit("4.8", "websocket", "carl");
      const inbox = work(carl, "inbox:message");
      await must(carl, "inbox:open", {});
      assert.equal((await inbox.take(1))[0].data, "kept");
      await until(async () => (await must(producer, "queue:stats", { queue })).leased === 0, "settled");
      leave();
    });
  } finally {
    leave();
    await server.stop();
  }
});
