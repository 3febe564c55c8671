// What the streams of a mixed cluster have at their edges: options of official servers that change
// what they write, questions in the gap of a client, servers that are killed, and Redis that is.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { connect, startRedis, startServer, until } from "./harness.mjs";
import { streamName, warm } from "./streams.mjs";

const events = (c) => c.got.filter(([name]) => name === "n").map(([, i]) => i);
const arrived = (c, n) => until(() => events(c).length >= n, () => `${n} events; got ${JSON.stringify(c.got)}`);
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
const emit = (s, i, more = {}) => s.do("emit", { event: "n", args: [i], rooms: ["r"], ...more });

/** Runs f with a Go and a Node server, and what f says there is of Redis. */
const cluster = (name, options, f, ...redisOptions) =>
  describe(name, { concurrency: 1 }, () => {
    const config = { adapter: "streams", client: "redis", recovery: true, prefix: "edges", ...options };
    const set = { servers: [], stream: streamName(config) };
    before(async () => {
      set.redis = await startRedis(...redisOptions);
      config.redis = set.redis.ports;
      set.start = async (kind) => {
        const s = await startServer(kind, config);
        if (kind === "node") await warm(set.redis, s, [set.stream]);
        return s;
      };
      set.servers = await Promise.all(["go", "node"].map(set.start));
      set.together = () => until(async () => (await Promise.all(set.servers.map((s) => s.do("nodes")))).every((n) => n === 2), "two nodes");
      await set.together();
    });
    after(async () => {
      await Promise.all(set.servers.map((s) => s.stop()));
      await set.redis?.stop();
    });
    /** A client in the room r that has got the event 0; and without its connection, but noticed. */
    set.member = async (s) => {
      const c = await connect(s);
      await c.join("r");
      await c.emitWithAck("data", { user: "bob" });
      await emit(s, 0, { rooms: [c.id] });
      await arrived(c, 1);
      return c;
    };
    set.drop = async (s, c) => {
      const gone = { id: c.id, _pid: c._pid, _lastOffset: c._lastOffset };
      c.io.engine.close();
      const saved = async () => (await s.do("fetch", { rooms: [gone.id] })).length === 0 && (await set.redis.command("EXISTS", `edges:session:${gone._pid}`));
      await until(saved, "the session is saved");
      return gone;
    };
    f(set);
  });

cluster("onlyPlaintext, and a short stream", { plaintext: true, maxLen: 100 }, (set) => {
  test("binary values cross as such from our server, and as JSON from one that looks for none", async () => {
    const clients = await Promise.all(set.servers.map((s) => connect(s)));
    const binary = { event: "n", args: [1, { $bin: "AQID" }] };
    await set.servers[0].do("emit", binary);
    for (const c of clients) await arrived(c, 1);
    await set.servers[1].do("emit", binary);
    for (const c of clients) await arrived(c, 2);
    const sent = [{ $bin: "AQID" }, { $bin: "AQID" }];
    assert.deepEqual(clients[1].got.map(([, , v]) => v), sent); // its own are never written
    assert.deepEqual(clients[0].got.map(([, , v]) => v), [sent[0], { type: "Buffer", data: [1, 2, 3] }]);
    for (const c of clients) c.close();
  });

  const sent = 600;
  for (const from of [0, 1])
    test(`more is missed than it holds, from ${["go to node", "node to go"][from]}`, async () => {
      const [here, there] = [set.servers[from], set.servers[1 - from]];
      const witnesses = await Promise.all([here, there].map((s) => connect(s)));
      for (const w of witnesses) await w.join("r");
      const gone = await set.drop(here, await set.member(here));
      for (let i = 1; i <= sent; i++) {
        await emit(set.servers[i % 2], i);
        if (i % 20 === 0) for (const w of witnesses) await arrived(w, i); // nobody is left behind
      }
      for (const w of witnesses) assert.deepEqual(events(w).toSorted((a, b) => a - b), numbers(1, sent + 1));
      const d = await connect(there, "/", gone);
      const kept = there.kind === "go"; // in memory
      assert.deepEqual([d.recovered, d.id === gone.id], [kept, kept]);
      await d.join("r");
      await emit(here, sent + 1);
      await arrived(witnesses[1], sent + 1);
      await arrived(d, kept ? sent + 1 : 1);
      assert.deepEqual(events(d), kept ? events(witnesses[1]) : [sent + 1]);
      for (const c of [...witnesses, d]) c.close();
    });
});

const whole = (set) => {
  for (const from of [0, 1])
    test(`what was answered isn't asked again, from ${["go to node", "node to go"][from]}`, async () => {
      const [here, there] = [set.servers[from], set.servers[1 - from]];
      const c = await set.member(here);
      let asked = 0;
      c.on("q", (done) => done(++asked));
      const room = { event: "q", rooms: ["r"], timeout: 2000 };
      assert.deepEqual((await here.do("ask", { rooms: [c.id], event: "q" })).answers, [1]);
      assert.deepEqual((await there.do("call", room)).answers, [2]);
      const gone = await set.drop(here, c);
      await emit(there, 1);
      const d = await connect(there, "/", gone);
      await arrived(d, 1);
      assert.deepEqual([d.recovered, d.id], [true, gone.id]);
      // Official servers send again what one of them has asked its own client, in the stream as it is.
      const again = d.got.filter(([name]) => name === "q").length;
      if (there.kind === "go") assert.equal(again, 0, "a question was asked again");
      d.on("q", (done) => done(++asked));
      for (const s of set.servers) {
        const before = asked;
        assert.deepEqual((await s.do("call", room)).answers, [before + 1]);
      }
      d.close();
    });

  for (const [from, kind] of ["go", "node"].entries())
    test(`${kind} is killed: what becomes of its clients`, async () => {
      const [here, there] = [set.servers[from], set.servers[1 - from]];
      const c = await set.member(here);
      const gone = { id: c.id, _pid: c._pid, _lastOffset: c._lastOffset };
      const saved = () => set.redis.command("GET", `edges:session:${gone._pid}`).then((v) => !!v && Buffer.from(v, "base64").includes("bob"));
      if (kind === "go") await until(saved, "its data is saved");
      const left = new Promise((resolve) => c.once("disconnect", resolve));
      here.child.kill("SIGKILL");
      await left;
      for (let i = 1; i < 4; i++) await emit(there, i);
      const d = await connect(there, "/", gone);
      // Ours has kept the state up to date; an official one writes it when it sees that a client goes.
      const kept = kind === "go";
      assert.deepEqual([d.recovered, d.id === gone.id], [kept, kept]);
      if (!kept) await d.join("r");
      await emit(there, 4);
      await arrived(d, kept ? 4 : 1);
      assert.deepEqual(events(d), kept ? [1, 2, 3, 4] : [4]);
      if (kept) {
        const [s] = await there.do("fetch", { rooms: [d.id] });
        assert.deepEqual([s.data, s.rooms.includes("r")], [{ user: "bob" }, true]);
      }
      d.close();
      set.servers[from] = await set.start(kind);
      await set.together();
    });

  test("Redis is killed and comes back: nobody misses anything, and clients go over in both directions", async () => {
    const clients = await Promise.all(set.servers.map(set.member));
    await set.redis.kill();
    await set.redis.restart();
    for (const [i, s] of set.servers.entries()) {
      // An official server may have to connect anew before it takes something.
      await until(() => emit(s, 1 + i).then(() => true, () => false), "it takes an event");
      for (const c of clients) await arrived(c, 2 + i);
    }
    await set.together();
    for (const [from, c] of clients.entries()) {
      const gone = await set.drop(set.servers[from], c);
      await emit(set.servers[from], 3 + from);
      const d = await connect(set.servers[1 - from], "/", gone);
      await arrived(d, 1);
      assert.deepEqual([d.recovered, d.id, events(c), events(d)], [true, gone.id, [0, 1, 2, ...(from ? [3] : [])], [3 + from]]);
      if (from === 0) await arrived(clients[1], 4);
      d.close();
    }
  });
};
cluster("the whole of a stream", {}, whole, "--appendonly", "yes", "--appendfsync", "always");
