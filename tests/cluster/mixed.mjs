// One of ours and an official server in a cluster: each says everything to the other.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Emitter } from "@socket.io/redis-emitter";
import client2 from "client2";
import { createClient } from "redis";
import { connect, sleep, startServer, until } from "./harness.mjs";
import { streamName, streamsEmitter, warm } from "./streams.mjs";

/**
 * Says everything to each other through set: { adapter, client, mode, ... }, on the
 * Redis that redis() returns. Sets may share one: each has a prefix of its own.
 */
export function mixed(set, redis) {
  const name = [set.adapter, set.client, set.mode, set.prefix].filter(Boolean).join(", ");
  describe(name, { concurrency: 1 }, () => {
    // Official servers don't hear themselves where a prefix has glob characters:
    // they don't escape their patterns.
    const config = () => ({ prefix: name, emitter: streamName({ prefix: name, ...set }), ...set, redis: redis().ports });
    const start = async (kind) => {
      const s = await startServer(kind, config());
      const numbers = Array.from({ length: set.streams ?? 1 }, (_, i) => i);
      if (set.adapter === "streams" && kind === "node") await warm(redis(), s, numbers.map((i) => streamName(config(), i)));
      return s;
    };
    let servers, clients;
    before(async () => {
      servers = await Promise.all(["go", "node"].map(start));
      clients = await Promise.all(servers.map((s) => connect(s)));
      await until(async () => (await servers[0].do("nodes")) === 2 && (await servers[1].do("nodes")) === 2, "two nodes");
    });
    after(async () => {
      clients?.forEach((c) => c.close());
      await Promise.all((servers ?? []).map((s) => s.stop()));
    });
    // each way: from one kind to the other
    const ways = (title, f, options = {}) =>
      [0, 1].forEach((from) => test(`${title}, from ${["go", "node"][from]}`, options, () => f(servers[from], clients[from], servers[1 - from], clients[1 - from])));
    // In a Redis Cluster official servers publish each message of classic through any of its nodes: it has no order then.
    const inOrder = (here, got) => {
      const shuffled = here.kind === "node" && set.adapter === "classic" && redis().ports.length > 1;
      return shuffled ? got.map((v) => JSON.stringify(v)).sort() : got;
    };
    // joins and waits until the subscriptions of the dynamic modes are there
    const join = async (c, ...rooms) => {
      await c.join(...rooms);
      await sleep(60);
    };

    ways("events", async (here, own, there, other) => {
      if (set.globs && here.kind === "go") return; // the official server is deaf there
      own.got.length = other.got.length = 0;
      const [a, b, mine, number] = here.kind === "go" ? ["a", "b", "own", "42"] : ["c", "d", "own2", "43"];
      await join(own, a, mine);
      await join(other, a, b, number);
      const emit = (event, o) => here.do("emit", { event, args: [1], ...o });
      await emit("both: all");
      await emit("both: room", { rooms: [a] });
      await emit("both: rooms", { rooms: [a, b] });
      await emit("other: room", { rooms: [b] });
      await emit("other: except", { except: [mine] });
      await emit("other: room, except", { rooms: [a], except: [mine] });
      await emit("other: id", { rooms: [other.id] });
      await emit("other: number", { rooms: [number] });
      await until(() => own.got.length >= 3 && other.got.length >= 8, "the first events"); // volatile ones are dropped while others are written
      await sleep(50);
      await emit("both: flags", { volatile: true, noCompress: true });
      await emit("own: local", { local: true });
      await emit("nobody", { rooms: ["nobody"] });
      const both = ["both: all", "both: flags", "both: room", "both: rooms"];
      assert.deepEqual(await other.names(9), [...both, "other: except", "other: id", "other: number", "other: room", "other: room, except"]);
      assert.deepEqual(await own.names(5), [...both, "own: local"]);
    });
    if (set.globs) return; // the rest is the same

    ways("values", async (here, own, there, other) => {
      own.got.length = other.got.length = 0;
      const values = [
        [], [null, true, false, "", "é😀\n\"\\\u2028", {}, []], [0, -1, 127, 128, 65536, 4294967296, 9007199254740991, 9007199254740994, 1.5, -0.25, 1e-7],
        [{ z: 1, a: { list: [[], [1, { b: null }]] } }], ["x".repeat(1_000_000)], [{ _placeholder: true, num: 0 }],
        [{ $date: 1700000000123 }, { $date: 0 }, { at: { $date: -1 } }], [{ $nan: 1 }, { $undefined: 1 }],
      ];
      if (here.kind === "go") values[2].push(1e21, -1e21, 2 ** 64); // of those official servers make other numbers
      const bin = { $bin: "AQL/" };
      for (const args of values) {
        await here.do("emit", { event: "v", args });
        if (!JSON.stringify(args).includes("_placeholder")) await here.do("emit", { event: "v", args: [...args, { bin: [bin, { deep: { $bin: "" } }] }] });
      }
      await until(() => own.got.length >= 15 && other.got.length >= 15, () => `all values: ${own.got.length} ${other.got.length} ${own.connected} ${other.connected} ${JSON.stringify(other.got).slice(-200)}`);
      assert.deepEqual(inOrder(here, other.got), inOrder(here, own.got)); // what crosses is what stays
      assert.deepEqual(own.got.find(([, v]) => typeof v === "string" && v.startsWith("2023")), ["v", "2023-11-14T22:13:20.123Z", "1970-01-01T00:00:00.000Z", { at: "1969-12-31T23:59:59.999Z" }]);
    });

    ways("random values", async (here, own, there, other) => {
      own.got.length = other.got.length = 0;
      let seed = 7;
      let binary = 0; // clients take 10 attachments
      const random = (n) => (seed = (seed * 48271) % 2147483647) % n;
      const value = (depth) => {
        switch (random(depth > 3 ? 6 : 9)) {
          case 0: return null;
          case 1: return random(2) === 1;
          case 2: return random(2 ** 31) - 2 ** 30;
          case 3: return random(1000) / 7;
          case 4: return "s".repeat(random(40)) + "é\u0000\"";
          case 5: return ++binary > 10 ? "x" : { $bin: Buffer.alloc(random(300), random(256)).toString("base64") };
          case 6: return Array.from({ length: random(20) }, () => value(depth + 1));
          default: return Object.fromEntries(Array.from({ length: random(20) }, (_, i) => ["k" + i, value(depth + 1)]));
        }
      };
      for (let i = 0; i < 150; i++) {
        binary = 0;
        await here.do("emit", { event: "r", args: [value(0), value(0)] });
      }
      await until(() => own.got.length >= 150 && other.got.length >= 150, "all values");
      assert.deepEqual(inOrder(here, other.got), inOrder(here, own.got));
    });

    ways("order", async (here, own, there, other) => {
      await join(other, "order");
      other.got.length = 0;
      for (let i = 0; i < 200; i++) here.do("emit", { event: "n", args: [i], rooms: ["order"] });
      await until(() => other.got.length >= 200, "all events");
      assert.deepEqual(inOrder(here, other.got), inOrder(here, Array.from({ length: 200 }, (_, i) => ["n", i])));
    });

    ways("broadcast with acks", async (here, own, there, other) => {
      const more = await connect(there);
      for (const c of [own, other, more]) c.removeAllListeners("q").on("q", (v, done) => done(v, "second"));
      let r = await here.do("call", { event: "q", args: [{ $bin: "AQI=" }], timeout: 3000 });
      assert.deepEqual(r, { error: null, answers: Array(3).fill({ $bin: "AQI=" }) });
      r = await here.do("call", { event: "q", rooms: ["nobody"], timeout: 3000 });
      assert.deepEqual(r, { error: null, answers: [] });
      other.removeAllListeners("q").on("q", (done) => done()); // without an argument
      more.removeAllListeners("q"); // never
      for (const timeout of [300, 3000, 15_000]) { // long enough for one to answer in time
        r = await here.do("call", { event: "q", rooms: [other.id, more.id], timeout });
        if (r.answers.length > 0) break;
      }
      assert.ok(r.error, "no error though one is silent");
      assert.deepEqual(r.answers, [null]);
      more.close();
    });

    ways("fetchSockets, joins and leaves", async (here, own, there, other) => {
      await other.emitWithAck("data", { user: "bob", list: [1, { a: null }] });
      await other.join("f");
      await until(async () => (await here.do("fetch")).length === 2, "the sockets there are"); // a client of before may be going
      const [s, ...rest] = await here.do("fetch", { rooms: ["f"] });
      assert.deepEqual([s.id, s.data, s.query, rest.length], [other.id, { user: "bob", list: [1, { a: null }] }, "4", 0]);
      assert.ok(s.rooms.includes("f") && s.rooms.includes(other.id));
      assert.deepEqual(await here.do("fetch", { rooms: ["nobody"] }), []);
      assert.equal((await here.do("fetch", { except: ["f"] })).length, 1);
      const j1 = "j1-" + here.kind;
      await here.do("join", { rooms: [other.id], names: [j1, "j2"] });
      await here.do("leave", { rooms: [j1], names: ["f", "j2"] });
      await until(async () => {
        const [s] = await here.do("fetch", { rooms: [j1] });
        return s?.id === other.id && !s.rooms.includes("f") && !s.rooms.includes("j2");
      }, "joined and left");
    });

    ways("serverSideEmit", async (here, own, there) => {
      await there.do("noted");
      const args = set.adapter === "classic" ? ["x", 1, { a: [null] }] : ["x", { $bin: "AQI=" }];
      await here.do("serverEmit", { event: "note", args });
      assert.deepEqual(await until(async () => { const n = await there.do("noted"); return n.length && n; }, "a note"), [args]);
      assert.deepEqual(await here.do("noted"), []);
      assert.deepEqual(await here.do("serverCall", { event: "add", args: [2, 3] }), { error: null, answers: [5] });
      assert.deepEqual((await here.do("serverCall", { event: "same", args: [{ k: [1.5] }] })).answers, [{ k: [1.5] }]);
    });

    test("a listener that is missing on the other side", async () => {
      const [go, node] = await Promise.all(servers.map((s) => s.do("serverCall", { event: "unknown" })));
      assert.ok(go.error && node.error, "as officially, there is no answer");
    }, { timeout: 15_000 });

    ways("namespaces", async (here, own, there) => {
      // of four streams, official servers write the events of /dashboard to one that they don't read themselves
      for (const nsp of ["/chat", "/a#b", "/dashboard"]) {
        await Promise.all(servers.map((s) => s.do("open", { nsp })));
        const [a, b] = [await connect(here, nsp), await connect(there, nsp)];
        await until(async () => (await here.do("fetch", { nsp })).length === 2, "both sockets");
        own.got.length = 0;
        await here.do("emit", { nsp, event: "hi" });
        assert.deepEqual([await a.names(1), await b.names(1)], [["hi"], ["hi"]]);
        assert.deepEqual(own.got, []);
        a.close();
        b.close();
      }
      await here.do("open", { nsp: "/" + here.kind }); // on one side only
      assert.deepEqual(await here.do("fetch", { nsp: "/" + here.kind }), []);
    });

    ways("disconnect", async (here, own, there) => {
      const c = await connect(there);
      await until(async () => (await here.do("fetch", { rooms: [c.id] })).length === 1, "the socket");
      await here.do("disconnect", { rooms: [c.id] });
      await until(() => !c.connected, "the client is disconnected");
      c.close();
    });

    if (set.adapter === "classic") {
      test("allRooms from node", async () => {
        await clients[0].join("on-go");
        await until(async () => (await servers[1].do("allRooms")).includes("on-go"), "the rooms of the Go node");
      });
      test("the official emitter", async () => {
        const client = createClient({ url: `redis://127.0.0.1:${redis().ports[0]}` });
        await client.connect();
        const e = new Emitter(client, { key: name });
        const [c] = clients;
        await join(c, "em");
        c.got.length = 0;
        e.emit("all", 1, Buffer.from([1]));
        e.to("em").except("zz").volatile.emit("room");
        e.to("em").except(c.id).emit("not");
        e.in("em").socketsJoin("em2");
        await until(async () => (await servers[1].do("fetch", { rooms: ["em2"] })).length === 1, "the join");
        e.serverSideEmit("note", "from the emitter");
        assert.deepEqual(await c.names(2), ["all", "room"]);
        await until(async () => (await servers[0].do("noted")).some(([v]) => v === "from the emitter"), "the note");
        e.in("em2").disconnectSockets(true);
        await until(() => !c.connected, "the client is disconnected");
        clients[0].close();
        clients[0] = await connect(servers[0]);
        client.destroy();
      });
    }

    if (set.adapter === "streams") {
      test("entries of the official emitter", async () => {
        const [c] = clients;
        await join(c, "em");
        c.got.length = 0;
        const stream = config().emitter;
        const to = (options) => streamsEmitter(redis(), stream, options);
        await to().emit("all", 1, Buffer.from([1]));
        await to({ rooms: ["em"], except: ["zz"], flags: { compress: false } }).emit("room");
        await to({ rooms: ["em"], except: [c.id] }).emit("not");
        await to({ nsp: "chat" }).emit("nobody");
        await to({ rooms: ["em"] }).join(["em2", "em3"]);
        await to({ rooms: ["em"] }).leave(["em3"]);
        await to().server("note", "from the emitter", Buffer.from([2]));
        await to().emit("end");
        await until(() => c.got.length >= 3, () => `all, room and end; got ${JSON.stringify(c.got)}`);
        assert.deepEqual(c.got.splice(0), [["all", 1, { $bin: "AQ==" }], ["room"], ["end"]]);
        await until(async () => (await servers[1].do("fetch", { rooms: ["em2"], except: ["em3"] })).length === 1, "the join and the leave");
        await until(async () => (await servers[0].do("noted")).some(([v, b]) => v === "from the emitter" && b.$bin === "Ag=="), "the note");
        await to({ rooms: ["em2"] }).disconnect(true);
        await until(() => !c.connected, "the client is disconnected");
        c.close();
        clients[0] = await connect(servers[0]);
      });
    }

    ways("rooms and ids of other lengths", async (here, own, there) => {
      await Promise.all(servers.map((s) => s.do("open", { nsp: "/chat" })));
      const old = client2(`http://127.0.0.1:${there.port}/chat`, { transports: ["websocket"], forceNew: true });
      const got = [];
      await new Promise((resolve, reject) => old.on("connect", resolve).on("error", reject));
      for (const event of ["id", "long", "end"]) old.on(event, () => got.push(event));
      const long = "a-public-room-of-20-".slice(0, 19) + (here.kind === "go" ? "g" : "n");
      await new Promise((resolve) => old.emit("join", [long], resolve));
      await sleep(60);
      // Servers with the dynamic mode don't find clients of version 2 on official
      // servers by their id, unless they are told on the main channel, as ours do.
      const { id } = (await here.do("fetch", { nsp: "/chat", rooms: [long] }))[0];
      assert.ok(id.startsWith("/chat#") && id.length === 26, id);
      await here.do("emit", { nsp: "/chat", event: "id", rooms: [id] });
      await here.do("emit", { nsp: "/chat", event: "long", rooms: [long] });
      await here.do("emit", { nsp: "/chat", event: "end" });
      await until(() => got.length >= 3, `id, long and end; got ${got}`);
      old.close();
    });

    test("our emitter", async () => {
      const [, c] = clients;
      await join(c, "oe");
      c.got.length = 0;
      await servers[0].do("emitter", { event: "all", args: [{ $bin: "AQ==" }] });
      await servers[0].do("emitter", { event: "room", rooms: ["oe"], except: ["zz"] });
      await servers[0].do("emitter", { event: "not", rooms: ["oe"], except: [c.id] });
      assert.deepEqual(await c.names(2), ["all", "room"]);
      await servers[0].do("emitter", { names: ["oe2"], rooms: ["oe"] });
      await until(async () => (await servers[0].do("fetch", { rooms: ["oe2"] })).length === 1, "the join");
      await servers[1].do("noted");
      await servers[0].do("emitter", { event: "server:note", args: ["x"] });
      await until(async () => (await servers[1].do("noted")).length === 1, "the note");
    });

    test("two of each, that come and go", async () => {
      const more = await Promise.all(["go", "node"].map(start));
      const all = [...servers, ...more];
      const both = await Promise.all(more.map((s) => connect(s)));
      for (const s of all) await until(async () => (await s.do("nodes")) === 4, "four nodes");
      for (const from of all) {
        const everyone = [...clients, ...both];
        for (const c of everyone) c.got.length = 0;
        for (const c of everyone) c.removeAllListeners("w").on("w", (done) => done(1));
        await from.do("emit", { event: "e" });
        for (const c of everyone) assert.deepEqual(await c.names(1), ["e"]);
        assert.equal((await from.do("fetch")).length, 4);
        assert.deepEqual(await from.do("call", { event: "w", timeout: 3000 }), { error: null, answers: [1, 1, 1, 1] });
        assert.deepEqual((await from.do("serverCall", { event: "add", args: [1, 1] })).answers, [2, 2, 2]);
      }
      both.forEach((c) => c.close());
      await more[1].stop();
      more[0].child.kill("SIGKILL");
      for (const s of servers) {
        await until(async () => (await s.do("nodes")) === 2, "two nodes again");
        await until(async () => (await s.do("fetch")).length === 2, "two sockets again");
      }
    });

    test("a Go node that hangs is not waited for by another", async () => {
      const frozen = await start("go");
      await until(async () => (await servers[0].do("nodes")) === 3, "three nodes");
      await sleep(1000); // heartbeats
      frozen.child.kill("SIGSTOP");
      await until(async () => (await servers[0].do("nodes")) === 2, "the hanging node isn't counted any more");
      assert.equal((await servers[0].do("fetch")).length, 2);
      frozen.child.kill("SIGKILL");
    });

    test("all servers have survived", async () => {
      for (const s of servers) {
        await until(async () => (await s.do("nodes")) === 2, "two nodes"); // the killed one is gone
        assert.equal((await s.do("fetch")).length, 2);
      }
    });
  });
}
