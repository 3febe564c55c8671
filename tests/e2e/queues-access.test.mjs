// Who may do what with queues and inboxes, by users and roles of real tokens, as a file of settings says.
import { createHmac } from "node:crypto";
import { test } from "node:test";
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Run, ask, next, until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { reference } from "./lib/server.mjs";

const secret = "0123456789abcdef0123456789abcdef";
const settings = `
queue_store: memory
auth:
  roles: realm.roles
  keys: [{secret: ${secret}}]
queues:
  - {name: orders.new, publish: ["role:api"], admin: ["role:admin"]}
  - {name: "orders.*", publish: ["role:api"], consume: ["role:worker-*"], inspect: [boss]}
  - {name: "orders.tmp.*", admin: ["role:api"]}
inboxes:
  send: deny
  topics: deny
  rules:
    - {name: "shop-*", send: ["role:api"], open: ["role:support"]}
    - {name: "news.*", send: ["role:api"], subscribe: allow}
    - {name: news.staff, subscribe: ["role:support"]}
limits: {queues: 4}
namespaces:
  - {name: /, auth: none}
  - {name: /work, queues: true}
`;

function sign(sub, roles) {
  const part = (v) => Buffer.from(JSON.stringify(v)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub, exp: Math.floor(Date.now() / 1000) + 600, realm: roles && { roles } })}`;
  return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
}

test("queues by roles", { skip: reference && "the official server has none", timeout: 60_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-access-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, "roomcast.yaml");
  writeFileSync(config, settings);
  const server = await startProgram({ config });
  const opened = [];
  const visit = async (sub, roles, version = "4.8") => {
    const run = new Run(server, version, "websocket");
    opened.push(run);
    return run.connect({ namespace: "/work", auth: { token: sign(sub, roles) } });
  };
  /** The code of the answer, or "ok". */
  const say = async (socket, event, request) => {
    const [answer] = await ask(socket, event, request);
    return answer.ok ? "ok" : answer.code;
  };
  const table = async (socket, rows) => {
    for (const [event, request, want] of rows) assert.equal(await say(socket, event, request), want, `${event} ${JSON.stringify(request)}`);
  };
  try {
    for (const version of ["2.5", "4.8"]) {
      await t.test(`who may is served, and nobody else, client ${version}`, async () => {
        const api = await visit("server-1", ["api"], version);
        const worker = await visit("joe", ["other", "worker-eu"], version);
        const none = await visit("role:api", undefined, version); // a name is no role
        const boss = await visit("boss", [], version);
        const publish = { queue: "orders.new", data: { n: 1 } };
        await table(none, [
          ["queue:publish", publish, "unauthorized"], ["queue:consume", { queue: "orders.new" }, "unauthorized"],
          ["queue:stats", { queue: "orders.new" }, "unauthorized"], ["queue:publish", { queue: "others", data: 1 }, "not_found"],
        ]);
        await table(boss, [["queue:stats", { queue: "orders.new" }, "ok"], ["queue:publish", publish, "unauthorized"]]);
        await table(worker, [["queue:publish", publish, "unauthorized"], ["queue:peek", { queue: "orders.new" }, "unauthorized"]]);
        await table(api, [
          ["queue:publish", publish, "ok"], ["queue:consume", { queue: "orders.new" }, "unauthorized"],
          ["queue:publish", { queue: "orders.nowhere", data: 1 }, "not_found"], // a rule makes no queue
        ]);
        const got = next(worker, "queue:message");
        assert.equal(await say(worker, "queue:consume", { queue: "orders.new" }), "ok");
        const [message, ack] = await got;
        assert.equal(message.data.n, 1);
        ack();
        await until(async () => (await ask(boss, "queue:stats", { queue: "orders.new" }))[0].leased === 0, "settled");
        opened.splice(0).forEach((run) => run.close());
      });
    }

    await t.test("queues are made by who may admin their names, and only so many", async () => {
      const api = await visit("server-1", ["api"]);
      const make = (queue) => ["queue:admin", { op: "configure", queue, config: {} }];
      await table(api, [
        [...make("orders.new"), "unauthorized"], [...make("orders.more"), "unauthorized"], [...make("orders.tmp.1"), "ok"],
        ["queue:publish", { queue: "orders.tmp.1", data: 1 }, "ok"], // by orders.*
        [...make("orders.tmp.2"), "ok"], [...make("orders.tmp.3"), "queue_full"], // there are orders.new and that of the topics
        ["queue:admin", { op: "delete", queue: "orders.tmp.2" }, "ok"], [...make("orders.tmp.3"), "ok"],
      ]);
      opened.splice(0).forEach((run) => run.close());
    });

    await t.test("inboxes and topics", async () => {
      const api = await visit("server-1", ["api"]);
      const shop = await visit("shop-1", []);
      const support = await visit("eva", ["support"]);
      await table(shop, [
        ["inbox:open", {}, "ok"], ["inbox:open", { inbox: "shop-2" }, "unauthorized"],
        ["inbox:send", { to: ["shop-2"], data: 1 }, "unauthorized"], ["inbox:send", { topic: "news.all", data: 1 }, "unauthorized"],
        ["inbox:subscribe", { topic: "news.all" }, "ok"], ["inbox:subscribe", { topic: "news.staff" }, "unauthorized"],
        ["inbox:subscribe", { topic: "others" }, "unauthorized"], ["inbox:subscribe", { topic: "news.all", inbox: "shop-2" }, "unauthorized"],
      ]);
      await table(support, [
        ["inbox:subscribe", { topic: "news.staff" }, "ok"], ["inbox:open", { inbox: "eva-2" }, "unauthorized"],
        ["inbox:send", { to: ["shop-1"], data: 1 }, "unauthorized"],
      ]);
      const arrived = next(shop, "inbox:message");
      await table(api, [
        ["inbox:send", { to: ["shop-1"], data: "parcel" }, "ok"], ["inbox:send", { to: ["eva"], data: 1 }, "unauthorized"],
        ["inbox:send", { to: ["shop-1", "eva"], data: 1 }, "unauthorized"], ["inbox:open", { inbox: "shop-1" }, "unauthorized"],
      ]);
      assert.equal((await arrived)[0].data, "parcel");
      const taken = next(shop, "inbox:closed");
      assert.equal(await say(support, "inbox:open", { inbox: "shop-1" }), "ok");
      assert.equal((await taken)[0].code, "taken_over");
    });
  } finally {
    opened.splice(0).forEach((run) => run.close());
    await server.stop();
  }
});
