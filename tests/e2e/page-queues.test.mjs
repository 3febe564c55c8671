// The Queues tab: two browsers publish, work, and kill workers; inboxes that are
// left and come back to; a server that is killed, and has everything afterwards.
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { io } from "client4";
import { launch, out, skip } from "./lib/browser.mjs";
import { until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { inside, sees, state, visit } from "./lib/visit.mjs";

const view = { query: "&tab=queues", viewport: { width: 1440, height: 1000 } };

/** The cards in a lane: { seq, attempt, worker }. */
const cards = ({ id }, lane) =>
  id(`lane-${lane}`).getByTestId("card").evaluateAll((list) => list.map(({ dataset }) => ({ seq: +dataset.seq, attempt: +dataset.attempt, worker: dataset.worker })));

/** Waits for a card in a lane, and returns it. */
async function card(visitor, lane, wanted) {
  let found;
  const is = (one) => Object.entries(wanted).every(([key, value]) => one[key] === value);
  await until(async () => (found = (await cards(visitor, lane)).find(is)), `${visitor.name} sees ${JSON.stringify(wanted)} in ${lane}`);
  return found;
}

const number = async ({ id }, testid) => Number(await id(testid).textContent());
const shows = (visitor, testid, text) => until(async () => text.test(await visitor.id(testid).textContent()), `${visitor.name}: ${testid} has ${text}`);
const letters = ({ id }) => id("letter").evaluateAll((list) => list.map((one) => `${one.dataset.seq} ${one.dataset.acked}`));
async function has(visitor, ...expected) {
  let found;
  const same = async () => (found = (await letters(visitor)).join()) === expected.join();
  await until(same, `${visitor.name} has ${expected.join()}`).catch((err) => assert.fail(`${err.message}; but ${found}`));
}
const inbox = (visitor, wanted) => until(async () => (await visitor.id("inbox").getAttribute("data-state")) === wanted, `${visitor.name}'s inbox is ${wanted}`);

/** Publishes one message of a kind and returns its number, which everybody sees. */
async function publish(visitor, kind) {
  const before = (await Promise.all(["ready", "leased", "done", "dead"].map((lane) => cards(visitor, lane)))).flat().map(({ seq }) => seq);
  await visitor.id(`kind-${kind}`).click();
  await visitor.id("publish-1").click();
  await shows(visitor, "queue-said", /^1 message stored/);
  let seq;
  await until(async () => {
    const now = (await Promise.all(["ready", "leased", "done", "dead"].map((lane) => cards(visitor, lane)))).flat();
    return (seq = Math.max(0, ...now.map((one) => one.seq).filter((n) => !before.includes(n)))) > 0;
  }, "the number of the message");
  return seq;
}

async function send({ id }, to, text) {
  await id("inbox-to").fill(to);
  await id("inbox-text").fill(text);
  await id("inbox-text").press("Enter");
}

test("queues, in two browsers", { skip }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), "roomcast-queues-"));
  let server = await startProgram({ flags: ["--data", data] });
  const browser = await launch();
  try {
    const ada = await visit(browser, server.url, "Ada", view);
    const grace = await visit(browser, server.url, "Grace", view);
    await sees(ada, "Ada", "Grace");

    await t.test("a worker in one window gets what the other publishes, and both see its way", { timeout: 30_000 }, async () => {
      const seq = await publish(ada, "plain");
      await card(grace, "ready", { seq });
      await until(async () => (await number(grace, "depth")) === 1, "the depth");
      await grace.id("worker-start").click();
      for (const visitor of [ada, grace]) await card(visitor, "leased", { seq, worker: "Grace, worker 1", attempt: 1 });
      await until(async () => (await number(ada, "in-flight")) === 1, "one in flight");
      for (const visitor of [ada, grace]) await card(visitor, "done", { seq, worker: "Grace, worker 1" });
      await until(async () => (await number(ada, "in-flight")) === 0 && (await number(ada, "depth")) === 0, "an empty queue");
    });

    await t.test("a killed worker's message goes to the next at once, also in the other window", { timeout: 30_000 }, async () => {
      const seq = await publish(ada, "plain");
      await card(grace, "leased", { seq, worker: "Grace, worker 1" });
      await ada.id("worker-start").click();
      await until(async () => (await ada.id("worker").getAttribute("data-state")) === "idle", "Ada's worker waits");
      await grace.id("worker-kill").click();
      await shows(grace, "queue-said", new RegExp(`Worker 1 was killed\\. #${seq} is back`));
      for (const visitor of [ada, grace]) await card(visitor, "done", { seq, worker: "Ada, worker 1", attempt: 2 });
    });

    // From here on work takes a second.
    for (const { page } of [ada, grace]) await page.evaluate(() => (Math.random = () => 0));

    await t.test("what fails once is tried again; poison is dead after five failures, and done when redriven to workers that digest it", { timeout: 40_000 }, async () => {
      const once = await publish(ada, "once");
      const seq = await publish(grace, "poison");
      await until(async () => /again soon: fails the first time/.test(await ada.id("lane-ready").textContent()), "the retry is announced");
      await card(ada, "done", { seq: once, attempt: 2 });
      for (const visitor of [ada, grace]) await card(visitor, "dead", { seq, attempt: 5 });
      assert.match(await grace.id("dead-letter").textContent(), new RegExp(`#${seq} failed too often after 5 attempts`));
      assert.match(await grace.id("dead-letter").textContent(), /cannot digest it/);
      await ada.page.screenshot({ path: join(out, "queues-light.png") });
      await ada.id("fixed").click();
      await grace.id("redrive").click();
      await card(grace, "done", { seq, worker: "Ada, worker 1" });
      await until(async () => (await number(grace, "dead-count")) === 0, "no dead letters");
    });

    await t.test("a worker elsewhere rejects with a reason; purged is gone", { timeout: 30_000 }, async () => {
      await ada.id("worker-kill").click();
      const seq = await publish(ada, "plain");
      const node = io(server.url, { transports: ["websocket"], forceNew: true, auth: { name: "node" } });
      node.on("queue:message", (m, ack) => ack({ reject: true, reason: "no such address" }));
      assert.equal((await node.emitWithAck("queue:consume", { queue: "demo" })).ok, true);
      await card(ada, "dead", { seq });
      await shows(ada, "dead-letter", /rejected after 1 attempt.*no such address/);
      node.close();
      await grace.id("purge").click();
      for (const visitor of [ada, grace]) await until(async () => (await cards(visitor, "dead")).length === 0 && (await number(visitor, "dead-count")) === 0, "purged");
    });

    await t.test("pages are told what is dropped from a full queue", { timeout: 30_000 }, async () => {
      assert.equal(await grace.id("queue-dropped").count(), 0);
      const node = io(server.url, { transports: ["websocket"], forceNew: true, auth: { name: "node" } });
      const configure = async (config) => assert.deepEqual(await node.emitWithAck("queue:admin", { op: "configure", queue: "demo", config }), { ok: true });
      await configure({ leaseMs: 10_000, maxLen: 3, overflow: "drop-oldest" });
      await ada.id("publish-10").click();
      for (const visitor of [ada, grace]) await shows(visitor, "queue-dropped", /^The queue is full: .* 7 messages that waited longest were dropped/);
      await configure({ leaseMs: 10_000 });
      assert.deepEqual(await node.emitWithAck("queue:admin", { op: "purge", queue: "demo" }), { ok: true, n: 3 });
      node.close();
    });

    await t.test("what is sent to an inbox that was left waits, is counted, and arrives in order", { timeout: 30_000 }, async () => {
      await inbox(ada, "open");
      await send(grace, "Ada", "you are here");
      await has(ada, "1 false");
      await ada.id("inbox-ack").click();
      await has(ada, "1 true");
      await ada.id("inbox-leave").click();
      await inbox(ada, "left");
      for (const [i, text] of ["first", "second", "third"].entries()) {
        await send(grace, "Ada", text);
        await shows(grace, "inbox-said", new RegExp(`number ${i + 2} in the inbox of Ada`));
      }
      await shows(ada, "inbox-waiting", /3 wait/);
      await has(ada, "1 true");
      await ada.id("inbox-open").click();
      await has(ada, "1 true", "2 false", "3 false", "4 false");
      await shows(ada, "inbox-said", /3 waited for you/);
      await ada.id("inbox-ack").first().click();
      await has(ada, "1 true", "2 true", "3 false", "4 false");
    });

    await t.test("another window of the same name takes the inbox over, and it can be taken back", { timeout: 30_000 }, async () => {
      // By polling the answer and what was in the inbox come together.
      const other = await visit(browser, server.url, "Ada", { ...view, query: `${view.query}&transport=polling` });
      await inbox(other, "open");
      await has(other, "3 false", "4 false"); // what the first one has not acknowledged
      await inbox(ada, "taken");
      assert.match(await ada.id("inbox").textContent(), /Taken over by another window/);
      await ada.id("inbox-open").click();
      await inbox(ada, "open");
      await inbox(other, "taken");
      await has(ada, "1 true", "2 true", "3 false", "4 false");
      assert.deepEqual(other.complained, []);
      await other.context.close();
    });

    await t.test("a cut line opens the inbox again by itself", { timeout: 30_000 }, async () => {
      await ada.id("cut").click();
      await until(async () => (await state(ada)) === "connected", "connected again");
      await send(grace, "Ada", "after the cut");
      await has(ada, "1 true", "2 true", "3 false", "4 false", "5 false");
      await ada.id("inbox-at-once").click();
      await has(ada, "1 true", "2 true", "3 true", "4 true", "5 true");
    });

    await t.test("a server that is killed has all messages afterwards, and workers and inboxes go on", { timeout: 60_000 }, async () => {
      await grace.id("worker-start").click();
      await until(async () => (await grace.id("worker").last().getAttribute("data-state")) === "idle", "Grace's worker");
      await grace.id("inbox-leave").click();
      await inbox(grace, "left");
      await send(ada, "Grace", "for later");
      await shows(grace, "inbox-waiting", /1 waits/);
      await ada.id("kind-plain").click();
      await ada.id("publish-10").click();
      await shows(ada, "queue-said", /10 messages stored/);
      await until(async () => (await cards(ada, "leased")).length === 1, "one is being worked on");
      const before = [await number(ada, "depth"), await number(ada, "in-flight")];
      await server.kill();
      await until(async () => (await state(ada)) === "reconnecting", "the loss is seen");
      assert.deepEqual(ada.complained.concat(grace.complained).filter((line) => !/WebSocket|Failed to load|ERR_/.test(line)), []);
      server = await startProgram({ listen: server.address, flags: ["--data", data] });
      await inside(ada);
      await inside(grace);
      await until(async () => (await grace.id("worker").last().getAttribute("data-state")) === "busy", "the worker goes on by itself");
      const now = async () => (await number(ada, "depth")) + (await number(ada, "in-flight"));
      await until(async () => (await now()) > 0, "the queue is seen again");
      assert.ok((await now()) >= before[0] + before[1] - 3, `${before} before, ${await now()} after`); // some may be done by now
      await grace.id("inbox-open").click();
      await has(grace, "1 false");
    });

    await t.test("an inbox that was lost with the server's data is said to be a new one; another name has another", { timeout: 60_000 }, async () => {
      await server.kill();
      server = await startProgram({ listen: server.address }); // in memory
      await inside(ada);
      await shows(ada, "inbox-said", /This is a new inbox/);
      await until(async () => (await number(ada, "depth")) === 0 && (await cards(ada, "leased")).length === 0, "an empty queue");
      await ada.id("inbox-leave").click();
      await inbox(ada, "left");
      await ada.page.locator('[data-testid="name-input"]:visible').fill("Ada Lovelace");
      await ada.page.keyboard.press("Enter");
      await inbox(ada, "open");
      await send(ada, "Ada Lovelace", "to a name with a space");
      await has(ada, "1 true");
    });
  } finally {
    await browser.close();
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }
});
