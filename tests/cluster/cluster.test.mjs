// Our server and official ones in one cluster: each says everything to the
// other, through each adapter and both Redis clients of the official ones.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect, sleep, startRedis, startServer, until } from "./harness.mjs";
import { mixed } from "./mixed.mjs";

let redis;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

const sets = [
  { adapter: "classic", client: "ioredis" },
  { adapter: "classic", client: "redis4", specific: true },
  { adapter: "classic", client: "redis", prefix: "app[prod]*?", globs: true },
  { adapter: "sharded", client: "redis", mode: "dynamic" },
  { adapter: "sharded", client: "ioredis", mode: "static" },
  { adapter: "sharded", client: "redis4", mode: "dynamic-private" },
  { adapter: "streams", client: "redis" },
  { adapter: "streams", client: "ioredis", streams: 4, sharded: true },
];

describe("mixed clusters", { concurrency: 3 }, () => sets.forEach((set) => mixed(set, () => redis)));

for (const set of [{ adapter: "classic", client: "ioredis" }, { adapter: "sharded", client: "redis", mode: "dynamic" }]) {
  test(`Redis is restarted: ${set.adapter}`, async () => {
    const own = await startRedis();
    const servers = await Promise.all(["go", "node"].map((kind) => startServer(kind, { prefix: "r", ...set, redis: own.ports })));
    const clients = await Promise.all(servers.map((s) => connect(s)));
    for (const c of clients) await c.join("r");
    const heard = async () => {
      for (const [i, s] of servers.entries()) {
        for (const c of clients) c.got.length = 0;
        await until(async () => {
          await s.do("emit", { event: "e", rooms: ["r"] }).catch(() => {});
          await sleep(20);
          return clients[1 - i].got.length > 0;
        }, `events from ${s.kind}`);
      }
      for (const s of servers) await until(async () => (await s.do("fetch").catch(() => [])).length === 2, `answers to ${s.kind}`);
    };
    await heard();
    await own.kill();
    await servers[0].do("emit", { event: "meanwhile" });
    await until(() => clients[0].got.some(([name]) => name === "meanwhile"), "local delivery without Redis");
    await own.restart();
    await heard();
    clients.forEach((c) => c.close());
    await Promise.all(servers.map((s) => s.stop()));
    await own.stop();
  });
}
