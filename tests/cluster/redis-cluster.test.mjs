// The same on a Redis Cluster of three masters, where channels and streams have their slots.
// E2E_FULL has each adapter with both Redis clients, else with one.
import { after, before, describe } from "node:test";
import { startRedisCluster } from "./harness.mjs";
import { mixed } from "./mixed.mjs";

let redis;
before(async () => void (redis = await startRedisCluster()));
after(() => redis.stop());

const sets = [
  { adapter: "classic", client: "ioredis" },
  { adapter: "sharded", client: "redis", mode: "dynamic" },
  { adapter: "streams", client: "ioredis", streams: 4, sharded: true },
];
if (process.env.E2E_FULL) {
  sets.push(
    { adapter: "classic", client: "redis" },
    { adapter: "sharded", client: "ioredis", mode: "dynamic" },
    { adapter: "streams", client: "redis" },
  );
}

describe("mixed clusters on a Redis Cluster", { concurrency: 3 }, () => sets.forEach((set) => mixed(set, () => redis)));
