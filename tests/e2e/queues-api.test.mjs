// Poison messages and full queues, end to end: a backend with the JSON API, an operator with "roomcast queue", and stock
// clients as workers.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Run, ask, until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { reference } from "./lib/server.mjs";

test("queues by the JSON API and the command line", { skip: reference && "the official server has none", timeout: 60_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), "roomcast-api-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const server = await startProgram({ flags: ["--eio3", "--data", data] });
  const opened = [];
  const visit = async (version) => {
    const run = new Run(server, version, "websocket");
    opened.push(run);
    return run.connect(run.major === 2 ? {} : { auth: { name: "w" } });
  };
  const api = async (method, path, body) => {
    const headers = { Authorization: `Bearer ${readFileSync(join(data, "api-token"), "utf8").trim()}` };
    const res = await fetch(`${server.internal}/api${path}`, { method, headers, body: body && JSON.stringify(body) });
    return { status: res.status, ...(await res.json()) };
  };
  const cli = (...args) =>
    new Promise((resolve) => {
      const path = server.child.spawnfile;
      execFile(path, ["queue", "--server", server.internal, "--data", data, ...args], (err, stdout, stderr) => resolve({ code: err?.code ?? 0, out: stdout + stderr }));
    });
  try {
    await t.test("poison is dead after its failures, is looked at, mended and redriven", async () => {
      assert.equal((await api("PUT", "/queues/demo", { maxFailures: 3, backoffBaseMs: 1 })).status, 200);
      const attempts = [];
      let mended = false;
      for (const version of ["2.5", "4.8"]) {
        const worker = await visit(version);
        worker.on("queue:message", (m, ack) => {
          attempts.push(m.id);
          ack(m.data.poison && !mended ? { nack: true, error: "cannot digest it" } : undefined);
        });
        const [answer] = await ask(worker, "queue:consume", { queue: "demo" });
        assert.equal(answer.ok, true);
      }
      assert.equal((await cli("publish", "demo", '{"poison":true}', "--id", "bad")).code, 0);
      assert.equal((await api("POST", "/queues/demo/messages", { id: "good", data: {} })).ok, true);
      await until(async () => attempts.length === 4 && (await api("GET", "/queues/demo")).dead === 1, "dead");
      assert.deepEqual(attempts.sort(), ["bad", "bad", "bad", "good"]);
      const { messages } = await api("GET", "/queues/demo/messages?state=dead");
      assert.deepEqual([messages[0].id, messages[0].reason, messages[0].error, messages[0].failures], ["bad", "failures", "cannot digest it", 3]);
      assert.match((await cli("peek", "demo", "--state", "dead")).out, /"cannot digest it"/);
      mended = true;
      assert.match((await cli("redrive", "demo")).out, /1 ready again/);
      await until(async () => (await api("GET", "/queues/demo")).acked === 2, "done");
      assert.equal((await api("GET", "/queues/demo")).dead, 0);
      opened.splice(0).forEach((run) => run.close());
    });

    await t.test("a full queue refuses, or drops its oldest and says so", async () => {
      await api("PUT", "/queues/demo", { maxLen: 2 });
      for (const n of [1, 2]) assert.equal((await api("POST", "/queues/demo/messages", { data: n })).ok, true);
      const refused = await api("POST", "/queues/demo/messages", { data: 3 });
      assert.deepEqual([refused.status, refused.code], [429, "queue_full"]);
      const command = await cli("publish", "demo", "3");
      assert.ok(command.code !== 0 && command.out.includes("queue_full"), command.out);
      const client = await visit("2.5");
      const [answer] = await ask(client, "queue:publish", { queue: "demo", data: 3 });
      assert.deepEqual([answer.code, answer.retryAfter > 0], ["queue_full", true]);

      await api("PUT", "/queues/demo", { maxLen: 2, overflow: "drop-oldest" });
      const dropped = [];
      client.on("queue:dropped", (v) => dropped.push(v));
      assert.equal((await ask(client, "queue:admin", { op: "watch", queue: "demo" }))[0].ok, true);
      for (const n of [3, 4, 5]) assert.equal((await api("POST", "/queues/demo/messages", { data: n })).ok, true);
      await until(() => dropped.reduce((sum, v) => sum + v.n, 0) === 3, "told of what was dropped");
      const { messages } = await api("GET", "/queues/demo/messages");
      assert.deepEqual(messages.map((m) => m.data), [4, 5]);
      const stats = await api("GET", "/queues/demo");
      assert.deepEqual([stats.ready, stats.dropped, stats.refused], [2, 3, 3]);
      assert.match((await cli("purge", "demo")).out, /2 deleted/);
    });
  } finally {
    opened.splice(0).forEach((run) => run.close());
    await server.stop();
  }
});
