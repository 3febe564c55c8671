// Every event of queues and inboxes, with every member of its request, answer and messages, as docs/queues.md lists them.
import assert from "node:assert/strict";
import { ask, modes, next, same, until, versions } from "../lib/clients.mjs";

const queue = "demo";
let unique = 0; // for names that nobody has had

/** Asks for something that is granted; members are those of the answer besides ok. */
async function granted(socket, event, request, members = []) {
  const [answer, ...more] = await ask(socket, event, request);
  const what = `${event} ${JSON.stringify(request)}: ${JSON.stringify(answer)}`;
  assert.equal(answer.ok, true, what);
  assert.equal(more.length, 0, what);
  assert.deepEqual(Object.keys(answer).sort(), ["ok", ...members].sort(), what);
  return answer;
}

/** Asks for something that is refused with a code. */
async function refused(socket, event, request, code) {
  const [answer] = await ask(socket, event, request);
  assert.deepEqual([answer.ok, answer.code], [false, code], `${event} ${JSON.stringify(request).slice(0, 200)}: ${JSON.stringify(answer)}`);
  assert.ok(answer.message);
  return answer;
}

/** Gathers events: take(n) waits for n, and returns each as { v, ack }. */
function gather(socket, event) {
  const got = [];
  socket.on(event, (v, ack) => got.push({ v, ack }));
  return {
    got,
    take: async (n) => {
      await until(() => got.length >= n, `${n} × ${event} (have ${got.length})`);
      return got.splice(0);
    },
  };
}

const stats = (socket) => ask(socket, "queue:stats", { queue }).then(([answer]) => answer);
const idle = (socket) =>
  until(async () => {
    const s = await stats(socket);
    return s.ready + s.scheduled + s.leased + s.blocked === 0;
  }, "an empty queue");
/** Consumes with a lease: another node than the one that was asked may know the former configuration for some seconds. */
const consuming = (socket, lease) =>
  until(async () => {
    const { consumer, leaseMs } = await granted(socket, "queue:consume", { queue, renew: false }, ["consumer", "leaseMs", "resumed"]);
    if (leaseMs === lease) return consumer;
    await granted(socket, "queue:cancel", { consumer });
  }, `a lease of ${lease} ms`);
const message = ["at", "attempt", "data", "fence", "id", "leaseMs", "queue", "r"];

/** The clients to play with: few, or with E2E_FULL each of each version and mode. */
export function thinned(few) {
  if (!process.env.E2E_FULL) return few;
  return Object.keys(versions).flatMap((version) => Object.keys(modes).map((mode) => [version, mode]));
}

/**
 * Plays all parts with a version of the client: connect(version, role, name) makes one, and leave() ends them all.
 */
export async function play(t, version, connect, leave) {
  // In the demo a client of version 2 can't say who it is: who has to be somebody is another's then.
  const visit = (role, name) => connect(name && versions[version].major === 2 ? "4.8" : version, role, name ?? `${role}-${unique}`);
  for (const [name, part] of Object.entries(parts)) {
    unique++;
    await t.test(name, async () => {
      try {
        await part(visit);
      } finally {
        leave();
      }
    });
  }
}

/**
 * The parts: each takes visit(role, name), which connects a client; roles are producer, worker, other and admin. They leave
 * the queue empty and as it was.
 */
const parts = {
  "publish, consume, and what a message has": async (visit) => {
    const [p, w] = [await visit("producer"), await visit("worker")];
    const tag = `e${unique}-`;
    const now = Date.now();
    const first = await granted(p, "queue:publish", { queue, id: `${tag}low`, data: { n: 1, b: Buffer.from([0, 255]) }, at: 1 }, ["id", "seq"]);
    assert.equal(first.id, `${tag}low`);
    const again = await granted(p, "queue:publish", { queue, id: `${tag}low`, data: 2 }, ["duplicate", "id", "seq"]);
    same([again.duplicate, again.seq], [true, first.seq]);
    const late = { data: "late", id: `${tag}late`, delay: 400 };
    const { results } = await granted(
      p,
      "queue:publish",
      {
        queue,
        messages: [
          { data: "high", id: `${tag}high`, priority: 3, headers: { h: "ü" }, ttl: 60_000 },
          { data: "gone", id: `${tag}gone`, ttl: 1 },
          late,
          { data: "then", id: `${tag}then`, at: now + 600_000 },
          { data: 0, priority: 1, key: "k" },
          { id: `${tag}none` },
        ],
      },
      ["results"],
    );
    same(results.map((r) => r.code ?? r.ok), [true, true, true, true, "bad_request", "bad_request"]);
    assert.ok((await stats(p)).scheduled >= 1);
    await new Promise((resolve) => setTimeout(resolve, 20)); // the ttl
    const work = gather(w, "to do");
    const opened = await granted(
      w,
      "queue:consume",
      { queue, prefetch: 1, prefetchBytes: 100_000, event: "to do", renew: true, mode: "at-least-once" },
      ["consumer", "leaseMs", "resumed"],
    );
    same([opened.leaseMs, opened.resumed, typeof opened.consumer], [10_000, [], "number"]);
    const [high] = await work.take(1);
    assert.deepEqual(Object.keys(high.v).sort(), [...message, "headers"].sort());
    same([high.v.queue, high.v.id, high.v.data, high.v.headers, high.v.attempt, high.v.leaseMs], [queue, `${tag}high`, "high", { h: "ü" }, 1, 10_000]);
    assert.ok(high.v.fence > 0 && Math.abs(high.v.at - now) < 600_000);
    high.ack();
    const [low] = await work.take(1);
    assert.deepEqual(Object.keys(low.v).sort(), message);
    same(low.v.data, { n: 1, b: Buffer.from([0, 255]) });
    assert.ok(low.v.fence > high.v.fence);
    low.ack();
    const [delayed] = await work.take(1); // not the one whose time to live is over, nor the one of later
    same(delayed.v.data, "late");
    delayed.ack();
    await granted(p, "queue:publish", { queue, data: "k1", key: "k" }, ["id", "seq"]);
    await granted(p, "queue:publish", { queue, data: "k2", key: "k" }, ["id", "seq"]);
    const [k1] = await work.take(1);
    same([k1.v.data, k1.v.key], ["k1", "k"]);
    k1.ack();
    const [k2] = await work.take(1);
    k2.ack();
    const s = await until(async () => {
      const s = await stats(p);
      return s.leased === 0 && s;
    }, "all settled");
    assert.deepEqual(
      Object.keys(s).sort(),
      ["acked", "blocked", "bytes", "dead", "deadLettered", "delivered", "dropped", "duplicates", "expired", "lapsed", "leased", "nacked", "ok",
        "oldestMs", "published", "queue", "ready", "redelivered", "refused", "released", "scheduled"],
    );
    assert.equal(s.scheduled, 1);
    assert.ok(s.expired >= 1 && s.duplicates >= 1 && s.delivered >= 5);
    assert.ok((await granted(p, "queue:stats", {}, ["queues"])).queues.some((q) => q.queue === queue));
    assert.equal((await granted(p, "queue:admin", { op: "purge", queue }, ["n"])).n, 1);
    await granted(w, "queue:cancel", { consumer: opened.consumer });
    await refused(w, "queue:cancel", { consumer: opened.consumer }, "not_found");
  },

  "outcomes, by callback and by receipt": async (visit) => {
    const [p, w] = [await visit("producer"), await visit("worker")];
    const work = gather(w, "queue:message");
    const { consumer } = await granted(w, "queue:consume", { queue, prefetch: 4 }, ["consumer", "leaseMs", "resumed"]);
    const publish = (...data) => granted(p, "queue:publish", { queue, messages: data.map((d) => ({ data: d })) }, ["results"]);
    await publish("nack", "release", "reject", "ack");
    const by = Object.fromEntries((await work.take(4)).map((m) => [m.v.data, m]));
    by.nack.ack({ nack: true, delay: 0, error: "not yet" });
    by.release.ack({ release: true });
    by.reject.ack({ reject: true, reason: "bad data" });
    by.ack.ack();
    const again = Object.fromEntries((await work.take(2)).map((m) => [m.v.data, m]));
    same([again.nack.v.attempt, again.release.v.attempt], [2, 2]);
    const { messages } = await granted(p, "queue:peek", { queue, state: "leased", n: 10, offset: 0 }, ["messages"]);
    const shown = messages.find((m) => m.data === "nack");
    assert.deepEqual(Object.keys(shown).sort(), ["at", "attempt", "data", "error", "failures", "holder", "id", "seq", "state", "until"]);
    same([shown.attempt, shown.failures, shown.error, shown.state], [2, 1, "not yet", "leased"]);
    assert.equal((await granted(p, "queue:peek", { queue, state: "leased", n: 10, offset: 2 }, ["messages"])).messages.length, 0);
    const old = by.release.v.r;
    same((await granted(w, "queue:settle", { ack: [old] }, ["results"])).results, { [old]: "superseded" });
    const rs = [again.nack.v.r, again.release.v.r];
    same((await granted(w, "queue:extend", { receipts: [...rs, old, "x"], ms: 30_000 }, ["results"])).results, {
      [rs[0]]: "ok", [rs[1]]: "ok", [old]: "superseded", x: "bad_request",
    });
    await publish("c", "d");
    const more = await work.take(2);
    const { results } = await granted(
      w,
      "queue:settle",
      { ack: [rs[0]], release: [rs[1]], nack: [{ r: more[0].v.r, delay: 0, error: "later" }], reject: [{ r: more[1].v.r, reason: "no" }] },
      ["results"],
    );
    same(Object.values(results), ["ok", "ok", "ok", "ok"]);
    same((await granted(w, "queue:settle", { ack: [rs[0]] }, ["results"])).results, { [rs[0]]: "gone" });
    for (const m of await work.take(2)) m.ack();
    await idle(p);
    const dead = (await granted(p, "queue:peek", { queue, state: "dead" }, ["messages"])).messages;
    same(dead.map((m) => [m.data, m.reason, m.error]).sort(), [["d", "rejected", "no"], ["reject", "rejected", "bad data"]]);
    assert.equal((await granted(p, "queue:admin", { op: "redrive", queue, ids: [dead[0].id] }, ["n"])).n, 1);
    (await work.take(1))[0].ack();
    assert.equal((await granted(p, "queue:admin", { op: "redrive", queue, n: 5, rate: 100 }, ["n"])).n, 1);
    (await work.take(1))[0].ack();
    await idle(p);

    // Credit: none, and more.
    await granted(w, "queue:credit", { consumer, prefetch: 0 });
    await publish(1, 2);
    await until(async () => (await stats(p)).ready === 2, "waiting");
    await granted(w, "queue:credit", { consumer, prefetch: 1 });
    const [one] = await work.take(1);
    await granted(w, "queue:cancel", { consumer, drain: true });
    one.ack();
    await until(async () => (await ask(w, "queue:credit", { consumer, prefetch: 1 }))[0].code === "not_found", "drained");
    same([(await stats(p)).ready, work.got.length], [1, 0]);
    await granted(p, "queue:admin", { op: "purge", queue }, ["n"]);
  },

  "batches, at most once, and a session": async (visit) => {
    const [p, w, other] = [await visit("producer"), await visit("worker"), await visit("other")];
    const batches = gather(w, "queue:batch");
    const { consumer } = await granted(w, "queue:consume", { queue, prefetch: 10, batch: { max: 4, waitMs: 5000 } }, ["consumer", "leaseMs", "resumed"]);
    const tag = `b${unique}-`;
    await granted(p, "queue:publish", { queue, messages: ["a", "b", "c", "d"].map((id) => ({ id: tag + id, data: id })) }, ["results"]);
    const [batch] = await batches.take(1);
    same(batch.v.map((m) => m.data), ["a", "b", "c", "d"]);
    await granted(w, "queue:credit", { consumer, prefetch: 0 });
    batch.ack({ nack: [{ id: `${tag}b`, delay: 0, error: "no" }], release: [`${tag}c`], reject: [{ id: `${tag}d`, reason: "never" }] });
    const s = await until(async () => {
      const s = await stats(p);
      return s.leased === 0 && s;
    }, "settled");
    same([s.ready, s.dead], [2, 1]);
    await granted(w, "queue:cancel", { consumer });
    await granted(p, "queue:admin", { op: "purge", queue, dead: true }, ["n"]);

    const once = gather(other, "queue:message");
    const fast = await granted(other, "queue:consume", { queue, mode: "at-most-once" }, ["consumer", "leaseMs", "resumed"]);
    same((await once.take(2)).map((m) => m.v.data).sort(), ["b", "c"]);
    await idle(p);
    await granted(other, "queue:cancel", { consumer: fast.consumer });

    // A session belongs to a principal, which a client of version 2 can't be twice here: so it is taken from oneself.
    const open = { queue, session: tag, graceMs: 5000 };
    const held = await granted(other, "queue:consume", open, ["consumer", "leaseMs", "resumed"]);
    await granted(p, "queue:publish", { queue, data: "kept" }, ["id", "seq"]);
    const [kept] = await once.take(1);
    const closed = next(other, "queue:closed");
    const taken = await granted(other, "queue:consume", open, ["consumer", "leaseMs", "resumed"]);
    same(taken.resumed, [kept.v.r]);
    same((await closed)[0], { queue, consumer: held.consumer, code: "taken_over" });
    same((await granted(w, "queue:settle", { ack: taken.resumed }, ["results"])).results, { [kept.v.r]: "ok" });
    await granted(other, "queue:cancel", { consumer: taken.consumer });
  },

  "what an admin does, and what is told": async (visit) => {
    const [p, w, admin] = [await visit("producer"), await visit("worker"), await visit("admin")];
    const op = (op, more, members) => granted(admin, "queue:admin", { op, queue, ...more }, members);
    await op("configure", { config: { leaseMs: 1500, maxLen: 2 } });
    const work = gather(w, "queue:message");
    const revoked = next(w, "queue:revoked");
    const consumer = await consuming(w, 1500);
    await granted(p, "queue:publish", { queue, data: "slow" }, ["id", "seq"]);
    const [slow] = await work.take(1);
    await granted(w, "queue:credit", { consumer, prefetch: 0 }); // it isn't to have it again
    same((await revoked)[0], { queue, consumer, receipts: [slow.v.r], reason: "lapsed" });
    same((await granted(p, "queue:settle", { ack: [slow.v.r] }, ["results"])).results, { [slow.v.r]: "ok" }); // nobody else has got it
    await granted(w, "queue:cancel", { consumer });
    await idle(p);

    await op("pause", { publish: true });
    await refused(p, "queue:publish", { queue, data: 1 }, "paused");
    assert.equal((await stats(p)).paused, "publish");
    await op("resume");
    await op("pause", { consume: true });
    await granted(p, "queue:publish", { queue, messages: [{ data: 1 }, { data: 2 }] }, ["results"]);
    const full = await refused(p, "queue:publish", { queue, data: 3 }, "queue_full");
    assert.ok(full.retryAfter > 0);
    const near = await visit("admin"); // those of the node that deletes the queue are told at once
    const nearby = gather(near, "queue:message");
    await granted(near, "queue:consume", { queue }, ["consumer", "leaseMs", "resumed"]);
    await op("watch");
    await op("configure", { config: { maxLen: 2, overflow: "drop-oldest" } });
    const dropped = next(admin, "queue:dropped");
    await granted(p, "queue:publish", { queue, data: 3 }, ["id", "seq"]);
    same((await dropped)[0], { queue, n: 1 });
    await op("unwatch");
    await op("resume", { consume: true });
    const [two] = await nearby.take(1);
    assert.equal(two.v.data, 2); // nothing came before
    await refused(admin, "queue:admin", { op: "delete", queue }, "conflict");
    const gone = next(near, "queue:closed");
    await op("delete", { force: true });
    assert.equal((await gone)[0].code, "not_found");
    await op("configure", { config: { leaseMs: 10_000 } });
    await until(async () => {
      const { results } = await granted(p, "queue:publish", { queue, messages: [{ data: 1 }, { data: 2 }, { data: 3 }] }, ["results"]);
      await op("purge", {}, ["n"]);
      return results.every((r) => r.ok);
    }, "the queue as it was");
    await granted(w, "queue:cancel", { consumer: await consuming(w, 10_000) });
    await idle(p);
  },

  "inboxes and topics": async (visit) => {
    const [sender, owner] = [await visit("producer"), await visit("worker")];
    const opening = ["acked", "epoch", "first", "inbox", "last", "recovered"];
    const entries = gather(owner, "inbox:message");
    const { inbox, epoch } = await granted(owner, "inbox:open", {}, opening); // a client of version 2 learns its name here
    await granted(owner, "inbox:close", {});
    const send = (data, more = {}) => granted(sender, "inbox:send", { to: [inbox], data, ...more }, ["seqs"]);
    const id = `i${unique}`;
    same((await send({ b: Buffer.from([7]) }, { id, headers: { h: "1" }, ttl: 600_000 })).seqs, { [inbox]: 1 });
    same((await send("again", { id })).seqs, { [inbox]: 1 });
    await send("short", { ttl: 1 });
    await send("three");
    await new Promise((resolve) => setTimeout(resolve, 20)); // the ttl
    const lost = next(owner, "inbox:gap");
    const opened = await granted(owner, "inbox:open", { prefetch: 2 }, [...opening, "reason"]);
    same([opened.recovered, opened.reason, opened.epoch, opened.first, opened.last, opened.acked], [false, "expired", epoch, 1, 3, 0]);
    const [one, three] = await entries.take(2);
    assert.deepEqual(Object.keys(one.v).sort(), ["at", "data", "epoch", "headers", "id", "inbox", "seq"]);
    same([one.v.inbox, one.v.epoch, one.v.seq, one.v.id, one.v.headers, one.v.data], [inbox, epoch, 1, id, { h: "1" }, { b: Buffer.from([7]) }]);
    assert.equal(three.v.seq, 3);
    same((await lost)[0], { inbox, epoch, from: 2, to: 2 });
    await send("four");
    await send("five");
    assert.equal(entries.got.length, 0); // the window
    one.ack();
    const [four] = await entries.take(1);
    assert.equal(four.v.seq, 4);
    await refused(owner, "inbox:ack", { epoch: epoch + 1, seq: 4 }, "conflict");
    assert.equal((await granted(owner, "inbox:ack", { inbox, epoch, seq: 4 }, ["acked"])).acked, 4);
    (await entries.take(1))[0].ack();

    const topic = `t${unique}`;
    await granted(owner, "inbox:subscribe", { topic });
    const sent = await granted(sender, "inbox:send", { topic, data: "news" }, ["accepted", "tseq"]);
    assert.ok(sent.accepted && sent.tseq > 0);
    const [news] = await entries.take(1);
    same([news.v.topic, news.v.data, news.v.seq], [topic, "news", 6]);
    news.ack();
    await granted(owner, "inbox:unsubscribe", { topic });

    // Another window: beside this one, and instead of it.
    await granted(owner, "inbox:open", { since: { epoch, seq: 6 }, mirror: true }, opening);
    const [beside, instead] = [await visit("other", inbox), await visit("admin", inbox)];
    const [mirrored, last] = [gather(beside, "inbox:message"), gather(instead, "inbox:message")];
    const same6 = await granted(beside, "inbox:open", { since: { epoch, seq: 6 }, mirror: true }, opening);
    same([same6.recovered, same6.first], [true, 7]);
    await send("both");
    const both = [(await entries.take(1))[0], (await mirrored.take(1))[0]];
    same(both.map((e) => e.v.data), ["both", "both"]);
    const closed = [next(owner, "inbox:closed"), next(beside, "inbox:closed")];
    const anew = await granted(instead, "inbox:open", { since: { epoch: epoch + 1, seq: 6 } }, [...opening, "reason"]);
    same([anew.recovered, anew.reason], [false, "epoch"]);
    for (const c of closed) same((await c)[0], { inbox, code: "taken_over" });
    await last.take(1);
    await granted(instead, "inbox:ack", { epoch, seq: 7 }, ["acked"]);
    await refused(owner, "inbox:ack", { epoch, seq: 7 }, "conflict");
    await granted(instead, "inbox:close", { inbox });
    await send("later");
    await refused(instead, "inbox:close", { inbox }, "conflict");
    assert.equal(last.got.filter((e) => e.v.data === "later").length, 0);
  },

  "refusals": async (visit) => {
    const w = await visit("worker");
    await refused(w, "queue:publish", { queue: "none", data: 1 }, "not_found");
    await refused(w, "queue:publish", { queue, data: "x".repeat(300_000) }, "too_large");
    await refused(w, "queue:publish", "text", "bad_request");
    await refused(w, "queue:admin", { op: "boil", queue }, "bad_request");
    await refused(w, "inbox:open", { inbox: "somebody-else" }, "unauthorized");
    for (let n = 0; n < 16; n++) await granted(w, "queue:consume", { queue }, ["consumer", "leaseMs", "resumed"]);
    await refused(w, "queue:consume", { queue }, "rate_limited");
  },
};
