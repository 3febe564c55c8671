// Clients 4.8 and 2.5 in Chromium as producers, workers and owners of inboxes, on one node and on three.
import { test } from "node:test";
import assert from "node:assert/strict";
import { launch, skip } from "./lib/browser.mjs";
import { startPrograms } from "./lib/cluster.mjs";
import { bundles, openPage, runIn } from "./lib/pages.mjs";
import { startProgram } from "./lib/program.mjs";
import { skip as noRedis, which } from "./lib/redis.mjs";

const queue = "demo";

/** A page of a node's own, with a client of a version, connected as socket. */
async function visit(browser, node, version, transports) {
  const page = await openPage(browser, `${node.url}/livez`);
  await page.addScriptTag({ content: bundles[version].toString() });
  await runIn(page, async (url, name, transports) => {
    window.socket = await connect(url, { transports, auth: { name } }, "websocket");
    window.must = async (event, request) => {
      const [answer] = await ask(socket, event, request);
      if (!answer.ok) throw new Error(`${event} ${JSON.stringify(request)}: ${JSON.stringify(answer)}`);
      return answer;
    };
  }, node.url, `browser ${version}`, transports);
  return page;
}

/** The worker does all that is published, some of it at the second attempt, some never. */
async function work(page) {
  await runIn(page, async (queue) => {
    window.seen = [];
    socket.on("queue:message", (m, ack) => {
      seen.push([m.id, m.attempt, m.data.bytes ? hex(m.data.bytes).bytes : m.data.text]);
      if (m.id.startsWith("twice-") && m.attempt === 1) return ack({ nack: true, delay: 0, error: "not yet" });
      if (m.id.startsWith("never-")) return socket.emit("queue:settle", { reject: [{ r: m.r, reason: "bad" }] }, () => {});
      ack();
    });
    window.consumer = (await must("queue:consume", { queue, prefetch: 3 })).consumer;
  }, queue);
}

async function story(browser, nodes, [producer, worker, owner], transports) {
  const mark = `${producer}-${worker}-${transports.length}`;
  const [p, w, o] = await Promise.all([producer, worker, owner].map((version, i) => visit(browser, nodes[i % nodes.length], version, transports)));
  await work(w);

  await runIn(p, async (queue, mark) => {
    const messages = Array.from({ length: 10 }, (_, n) => ({ id: `plain-${mark}-${n}`, data: { text: `ünï ${n}` } }));
    const { results } = await must("queue:publish", { queue, messages });
    if (!results.every((r) => r.ok)) throw new Error(JSON.stringify(results));
    await must("queue:publish", { queue, id: `bytes-${mark}`, data: { bytes: new Uint8Array([0, 127, 255]).buffer } });
    await must("queue:publish", { queue, id: `twice-${mark}`, data: { text: "twice" } });
    await must("queue:publish", { queue, id: `never-${mark}`, data: { text: "never" } });
    const again = await must("queue:publish", { queue, id: `bytes-${mark}`, data: { text: "again" } });
    if (!again.duplicate) throw new Error("stored twice");
  }, queue, mark);
  const seen = await runIn(w, async (queue) => {
    await until(() => seen.length >= 14, "all messages").catch(async (err) => {
      throw new Error(`${err.message}: the worker has ${seen.map(([id, attempt]) => `${id}/${attempt}`)}; ${JSON.stringify(await must("queue:stats", { queue }))}`);
    });
    return seen;
  }, queue);
  const wanted = Array.from({ length: 10 }, (_, n) => [`plain-${mark}-${n}`, 1, `ünï ${n}`]);
  wanted.push([`bytes-${mark}`, 1, "007fff"], [`twice-${mark}`, 1, "twice"], [`twice-${mark}`, 2, "twice"], [`never-${mark}`, 1, "never"]);
  assert.deepEqual(seen.sort(), wanted.sort());

  // The dead one is seen and purged by the producer; nothing else is left.
  const left = await runIn(p, async (queue) => {
    let stats;
    for (const end = Date.now() + 8000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 20))) {
      stats = await must("queue:stats", { queue });
      if (stats.leased + stats.ready + stats.scheduled === 0 && stats.dead === 1) break;
    }
    const { messages } = await must("queue:peek", { queue, state: "dead" });
    const { n } = await must("queue:admin", { op: "purge", queue, dead: true });
    return [stats.leased + stats.ready + stats.scheduled, stats.dead, n, messages[0].reason, messages[0].error];
  }, queue);
  assert.deepEqual(left, [0, 1, 1, "rejected", "bad"]);

  // An inbox: open, left, and come back to.
  const inbox = await runIn(o, async () => {
    window.letters = [];
    socket.on("inbox:message", (m, ack) => {
      letters.push([m.seq, m.data.bytes ? hex(m.data.bytes).bytes : m.data.text]);
      ack();
    });
    const opened = await must("inbox:open", {});
    window.before = opened.last;
    window.epoch = opened.epoch;
    return opened.inbox;
  });
  const send = (data) => runIn(p, (inbox, data) => must("inbox:send", { to: [inbox], data: data === "bytes" ? { bytes: new Uint8Array([1, 2]).buffer } : { text: data } }), inbox, data);
  await send("here");
  await runIn(o, async () => {
    await until(() => letters.length === 1, "the first");
    await must("inbox:ack", { epoch, seq: before + 1 }); // answered when it is stored
    await must("inbox:close", {});
  });
  await send("away");
  await send("bytes");
  const letters = await runIn(o, async () => {
    await must("inbox:open", {});
    await until(() => letters.length === 3, "what came meanwhile");
    return letters.map(([seq, data]) => [seq - before, data]);
  });
  assert.deepEqual(letters, [[1, "here"], [2, "away"], [3, "0102"]]);

  // A worker's tab is closed: what it had goes to the next.
  const second = await visit(browser, nodes[0], producer, transports);
  await runIn(w, () => {
    socket.off("queue:message");
    window.held = [];
    socket.on("queue:message", (m) => held.push(m.id));
  });
  await runIn(p, (queue, id) => must("queue:publish", { queue, id, data: { text: "held" } }), queue, `held-${mark}`);
  await runIn(w, () => until(() => held.length === 1, "held"));
  await work(second);
  await w.close();
  assert.deepEqual(await runIn(second, async () => {
    await until(() => seen.length === 1, "the message of the tab that was closed");
    return seen;
  }), [[`held-${mark}`, 2, "held"]]);
  // A page that is closed may keep its connection for a while on a busy machine, and what comes by it: the next story's.
  await runIn(second, () => must("queue:cancel", { consumer }));
  await Promise.all([p, o, second].map((page) => page.close()));
}

const pairs = [["2.5", "4.8", "2.5"], ["4.8", "2.5", "4.8"]];

test("queues in Chromium, on one node", { skip, timeout: 120_000 }, async (t) => {
  const server = await startProgram({ flags: ["--eio3"] });
  const browser = await launch();
  try {
    for (const [i, versions] of pairs.entries()) {
      const transports = [["polling", "websocket"], ["websocket"]][i];
      await t.test(`producer ${versions[0]}, worker ${versions[1]}, inbox of ${versions[2]}, ${transports}`, () => story(browser, [server], versions, transports));
    }
  } finally {
    await browser.close();
    await server.stop();
  }
});

test("queues in Chromium, on three nodes", { skip: skip || noRedis || (!which("nginx") && "no nginx here"), timeout: 120_000 }, async (t) => {
  const cluster = await startPrograms("nginx", "plain", { flags: ["--eio3"] });
  const browser = await launch();
  try {
    for (const versions of pairs)
      await t.test(`producer ${versions[0]}, worker ${versions[1]}, inbox of ${versions[2]}`, () => story(browser, cluster.nodes, versions, ["websocket"]));
  } finally {
    await browser.close();
    await cluster.stop();
  }
});
