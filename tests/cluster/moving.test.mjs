// docs/from-node.md, "Moving node by node", as it is written: three official
// servers with clients are exchanged for ours, one by one, while events go out.
import assert from "node:assert/strict";
import { once } from "node:events";
import { Agent } from "node:http";
import net from "node:net";
import { after, before, describe, test } from "node:test";
import { Manager } from "socket.io-client";
import { sleep, startRedis, startServer, until } from "./harness.mjs";
import { streamName, warm } from "./streams.mjs";

let redis;
before(async () => void (redis = await startRedis()));
after(() => redis.stop());

/**
 * A balancer for connections, sticky by the session id: those of a session go to its server, each other one to the next
 * of the servers, which may be others at any time.
 */
async function startBalancer(servers) {
  const balancer = { servers };
  const homes = new Map(); // by session id
  let next = 0;
  const listener = net.createServer((near) => {
    near.on("error", () => near.destroy());
    near.once("data", (head) => {
      const home = homes.get(/[?&]sid=([^& ]+)/.exec(head)?.[1]) ?? balancer.servers[next++ % balancer.servers.length];
      const far = net.connect(home.port, "127.0.0.1");
      far.write(head);
      far.on("data", (answer) => {
        const sid = /0{"sid":"([^"]+)"/.exec(answer)?.[1];
        if (sid) homes.set(sid, home);
      });
      for (const [from, to] of [[near, far], [far, near]]) {
        from.on("error", () => to.destroy());
        from.on("close", () => to.destroy());
        from.pipe(to);
      }
    });
  });
  await once(listener.listen(0, "127.0.0.1"), "listening");
  balancer.port = listener.address().port;
  balancer.stop = () => listener.close();
  return balancer;
}

/** What clients may do: stay on polling, begin with it, or do without. Their connections are their own. */
const ways = [["polling"], ["polling", "websocket"], ["websocket"]];

/**
 * A client that comes back by itself, and notes its events: { socket, got, inRoom, hears, fresh, recovered }. With
 * background it hears from its first event on: the room's channel of the sharded adapter is subscribed in the background.
 */
async function visit(balancer, transports, background) {
  const agent = new Agent({ keepAlive: false });
  const manager = new Manager(`http://127.0.0.1:${balancer.port}`, { agent, transports, reconnectionDelay: 300, reconnectionDelayMax: 500 });
  const socket = manager.socket("/");
  const c = { socket, got: [], inRoom: false, hears: false, fresh: 0, recovered: 0 };
  socket.on("connect", async () => {
    c.hears = !background;
    if (socket.recovered) {
      c.recovered++;
    } else {
      c.fresh++;
      await socket.emitWithAck("join", ["room"]);
    }
    c.inRoom = true;
  });
  socket.on("disconnect", () => (c.inRoom = false));
  socket.on("n", (n) => {
    c.hears = true;
    c.got.push(n);
  });
  socket.on("ask", (done) => done("here"));
  await until(() => c.inRoom, "the client is in its room");
  return c;
}

/** Everything that reaches across works from every server. */
async function together(servers, clients) {
  await until(() => clients.every((c) => c.inRoom), "all clients are in their room");
  const n = clients.length;
  for (const s of servers) {
    await until(async () => (await s.do("nodes")) === servers.length, `${s.kind} knows ${servers.length} servers`);
    await until(async () => (await s.do("fetch", { rooms: ["room"] })).length === n, `${s.kind} finds ${n} sockets`);
    await s.do("serverCall", { event: "add", args: [1, 2] }).then(({ answers }) => assert.deepEqual(answers, Array(servers.length - 1).fill(3)));
    const { error, answers } = await s.do("call", { event: "ask", rooms: ["room"], timeout: 5000 });
    assert.deepEqual([error, answers], [null, Array(n).fill("here")]);
    await s.do("join", { rooms: [clients[0].socket.id], names: ["one"] });
    await until(async () => (await s.do("fetch", { rooms: ["one"] })).length === 1, "a socket has joined");
    await s.do("leave", { rooms: ["one"], names: ["one"] });
    await until(async () => (await s.do("fetch", { rooms: ["one"] })).length === 0, "it has left");
  }
}

for (const set of [
  { adapter: "classic", client: "ioredis" },
  { adapter: "sharded", client: "redis", mode: "dynamic" },
  { adapter: "streams", client: "redis", recovery: true },
]) {
  describe(`moving from official servers, ${set.adapter}`, { concurrency: 1 }, () => {
    const config = () => ({ prefix: `moving-${set.adapter}`, ...set, redis: redis.ports });
    const start = async (kind) => {
      const s = await startServer(kind, config());
      if (set.adapter === "streams" && kind === "node") await warm(redis, s, [streamName(config())]);
      return s;
    };
    let servers, balancer, sending, going = true;
    const clients = [];
    let sent = 0;

    before(async () => {
      servers = await Promise.all(["node", "node", "node"].map(start));
      for (const s of servers) await until(async () => (await s.do("nodes")) === 3, "three servers");
      balancer = await startBalancer([...servers]);
      for (let i = 0; i < 6; i++) clients.push(await visit(balancer, ways[i % ways.length], set.mode === "dynamic"));
      // One after the other, from each server in turn: official servers give their own clients their own events
      // before others' that are earlier in the stream.
      sending = (async () => {
        for (let n = 0; going; n = ++sent) {
          const there = clients.filter((c) => c.inRoom && c.hears).map((c) => [c, c.fresh + c.recovered]);
          await servers[n % servers.length].do("emit", { event: "n", args: [n], rooms: ["room"] }).catch(() => {});
          const arrived = () => there.every(([c, session]) => !c.inRoom || session !== c.fresh + c.recovered || c.got.at(-1) >= n);
          await until(arrived, () => `event ${n} from ${servers[n % servers.length].kind}: ${clients.map((c) => c.got.at(-1))}`);
          await sleep(5);
        }
      })();
      sending.catch(() => {});
    });
    after(async () => {
      going = false;
      await sending?.catch(() => {});
      clients.forEach((c) => c.socket.disconnect());
      balancer?.stop();
      await Promise.all((servers ?? []).map((s) => s.stop()));
    });

    test("three official servers", () => together(servers, clients));

    for (let i = 0; i < 3; i++) {
      test(`${3 - i} official servers and ${i + 1} of ours`, async () => {
        const own = await start("go");
        servers.push(own);
        await together(servers, clients);
        balancer.servers = servers.filter((s) => s.kind === "go"); // the new connections are for ours
      });
      test(`${2 - i} official servers and ${i + 1} of ours`, async () => {
        const old = servers.shift();
        await old.do("close");
        await old.stop();
        await together(servers, clients);
        assert.ok(!servers.includes(old));
      });
    }

    test("nothing was lost, nothing came twice, and all in order", async () => {
      going = false;
      await sending;
      assert.ok(sent > 20, `${sent} events were sent`);
      for (const [i, c] of clients.entries()) {
        await until(() => c.socket.io.engine.transport.name === ways[i % ways.length].at(-1), "its transport");
        assert.ok(c.fresh + c.recovered > 1, "it has moved");
        assert.deepEqual(c.got, [...new Set(c.got)].sort((a, b) => a - b), "twice, or out of order");
        if (set.recovery) {
          assert.equal(c.fresh, 1, "not recovered");
          assert.deepEqual(c.got, Array.from({ length: sent - c.got[0] }, (_, i) => c.got[0] + i), "lost");
        }
      }
    });
  });
}
