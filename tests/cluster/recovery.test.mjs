// Clients that lose their connection go on at a server of the other kind: with
// their id, rooms and data, and with what they have missed, once and in order.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect, startRedis, startServer, until } from "./harness.mjs";
import { streamName, warm } from "./streams.mjs";

let redis;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

for (const set of [{ client: "redis" }, { client: "ioredis", streams: 4, sharded: true }]) {
  describe(`recovery, ${set.client}, ${set.streams ?? 1} streams`, { concurrency: 1 }, () => {
    const config = { adapter: "streams", recovery: true, prefix: set.client, ...set };
    const stream = streamName(config, 3); // that of the namespace "/"
    let servers;
    before(async () => {
      config.redis = redis.ports;
      servers = await Promise.all(["go", "node"].map((kind) => startServer(kind, config)));
      await warm(redis, servers[1], [stream]);
      await until(async () => (await servers[0].do("nodes")) === 2 && (await servers[1].do("nodes")) === 2, "two nodes");
    });
    after(() => Promise.all((servers ?? []).map((s) => s.stop())));

    const events = (c) => c.got.filter(([name]) => name === "n");
    const arrived = (c, n) => until(() => events(c).length >= n, () => `${n} events; got ${JSON.stringify(c.got)}`);
    const present = async (s, c) => (await s.do("fetch", { rooms: [c.id] })).length === 1;
    const session = (c) => redis.command("EXISTS", `${config.prefix}:session:${c._pid}`);
    /**
     * Connects two clients in the room r, of which c will go. The witness is on our server, where all
     * events come in the order of the stream; official servers have their own sooner.
     */
    const start = async (here, there) => {
      const witness = await connect(servers[0]);
      const c = await connect(here);
      for (const x of [witness, c]) await x.join("r");
      await c.emitWithAck("data", { user: "bob" });
      for (const [i, s] of [here, there].entries()) {
        await s.do("emit", { event: "n", args: [i], rooms: ["r"] });
        for (const x of [witness, c]) await arrived(x, i + 1);
      }
      return { witness, c };
    };
    const drop = async (here, there, c) => {
      const gone = { id: c.id, _pid: c._pid, _lastOffset: c._lastOffset, got: c.got };
      c.io.engine.close();
      await until(async () => !(await present(there, gone)) && (await session(gone)), "the session is saved");
      return gone;
    };

    for (const from of [0, 1]) {
      const way = ["go to node", "node to go"][from];

      test(`a client goes from ${way}`, async () => {
        const [here, there] = [servers[from], servers[1 - from]];
        const { witness, c } = await start(here, there);
        const gone = await drop(here, there, c);
        for (let i = 2; i < 22; i++) {
          const s = servers[i % 2];
          await s.do("emit", { event: "n", args: i % 5 === 0 ? [i, { $bin: "AQID" }] : [i], rooms: ["r"] });
          await s.do("emit", { event: "n", args: [-1], rooms: ["other"] });
          await s.do("emit", { event: "n", args: [-2], rooms: ["r"], except: [gone.id, witness.id] });
          await s.do("emit", { event: "volatile", args: [i], rooms: ["r"], volatile: true });
        }
        await arrived(witness, 22);
        const d = await connect(there, "/", gone);
        assert.deepEqual([d.recovered, d.id, d._pid], [true, gone.id, gone._pid]);
        await arrived(d, 20);
        for (const [i, s] of [here, there].entries()) {
          await s.do("emit", { event: "n", args: [22 + i], rooms: ["r"] });
          await arrived(witness, 23 + i);
        }
        await arrived(d, 22);
        // once, in order, each with its place in the stream
        assert.deepEqual([...events(gone), ...events(d)], events(witness));
        assert.deepEqual(events(d).map(([, i]) => i).sort((a, b) => a - b), Array.from({ length: 22 }, (_, i) => i + 2));
        if (there.kind === "go") assert.ok(!d.got.some(([name]) => name === "volatile"), "a volatile event was kept"); // as official servers do
        const [s] = await here.do("fetch", { rooms: [d.id] });
        assert.deepEqual([s.id, s.data, s.rooms.includes("r")], [d.id, { user: "bob" }, true]);
        for (const x of [witness, d]) x.close();
      });

      // Ours has read what came after the client's place itself; officially the stream alone is asked.
      test(`a client whose place is gone from Redis, from ${way}`, async () => {
        const [here, there] = [servers[from], servers[1 - from]];
        const { witness, c } = await start(here, there);
        const gone = await drop(here, there, c);
        await here.do("emit", { event: "n", args: [2], rooms: ["r"] });
        await arrived(witness, 3);
        await redis.command("XTRIM", stream, "MAXLEN", "=", 1);
        const d = await connect(there, "/", gone);
        const kept = there.kind === "go";
        assert.deepEqual([d.recovered, d.id === gone.id], [kept, kept]);
        await d.join("r");
        await here.do("emit", { event: "n", args: [3], rooms: ["r"] });
        const want = kept ? [2, 3] : [3];
        await arrived(d, want.length);
        assert.deepEqual(events(d).map(([, i]) => i), want);
        for (const x of [witness, d]) x.close();
      });
    }

    test("a client reconnects to our server again and again while both send", async () => {
      const sent = 300;
      const [go, node] = servers;
      const witness = await connect(go);
      let c = await connect(go);
      const all = [];
      for (const x of [witness, c]) await x.join("r");
      const sending = (async () => {
        for (let i = 0; i < sent; i++) await servers[i % 2].do("emit", { event: "n", args: [i], rooms: ["r"] });
      })();
      for (let i = 0; i < 20; i++) {
        await arrived(c, 1);
        const gone = { _pid: c._pid, _lastOffset: c._lastOffset, got: c.got };
        c.io.engine.close();
        all.push(...gone.got);
        c = await connect(go, "/", gone);
        assert.ok(c.recovered, `not recovered after ${all.length} events`);
        if (i % 5 === 4) await node.do("emit", { event: "n", args: [sent + i], rooms: ["r"] });
      }
      await sending;
      await arrived(witness, sent + 4);
      await until(() => all.length + c.got.length > sent + 3, "the same number of events");
      assert.deepEqual([...all, ...c.got], witness.got);
      for (const x of [witness, c]) x.close();
    });
  });
}
