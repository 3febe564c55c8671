// googollee's example programs, in other words (compat/googollee/testdata/program),
// on Roomcast in both ways to move there, with the clients of today.
import { test } from "node:test";
import assert from "node:assert/strict";
import client1 from "client1";
import { Run, ask, modes, next, same, until, versions } from "./lib/clients.mjs";
import { build, start } from "./lib/googollee.mjs";
import { skip as noRedis, startRedis } from "./lib/redis.mjs";

versions["1.4"] = { major: 2, io: client1 }; // in this file only: it joins and asks as version 2 does

const page = "https://page.example";

/** Runs a part of the program, and f for each client version and transport. */
async function matrix(t, way, part, f) {
  const server = await start(way, part);
  try {
    for (const version of Object.keys(versions)) {
      for (const mode of Object.keys(modes)) {
        await t.test(`client ${version}, ${mode}`, async () => {
          const run = new Run(server, version, mode);
          try {
            await f(run);
          } finally {
            run.close();
          }
        });
      }
    }
  } finally {
    await server.stop();
  }
}

async function chat(run) {
  const socket = await run.connect();
  const room = await run.connect({ namespace: "/chat" });
  const replies = run.inbox(socket, "reply");
  socket.emit("notice", "ünïcödé 🎉");
  same(await replies.take(1), [["have ünïcödé 🎉"]]);
  same(await ask(room, "msg", "hello"), ["recv hello"]);
  same(await ask(room, "last"), ["hello"]);
  const bye = next(socket, "bye");
  const gone = next(socket, "disconnect");
  socket.io.reconnection(false);
  socket.emit("bye");
  same(await bye, ["ünïcödé 🎉"]);
  assert.equal((await gone)[0], "transport close");
}

// An argument with a binary value in it, both ways, and a question with one.
async function pictures(run) {
  const socket = await run.connect();
  const data = Buffer.from([0, 1, 2, 253, 254, 255]);
  same(await ask(socket, "store", { name: "näme", data }), [6]);
  same(await ask(socket, "load"), [{ name: "näme", data }]);
  const verdicts = run.inbox(socket, "verdict");
  socket.on("half", (half, answer) => {
    same(half, data.subarray(0, 3));
    answer("good", data.subarray(0, 2));
  });
  socket.emit("shrink", data);
  same(await verdicts.take(1), [["good", 2]]);
}

/** What a browser's page of another origin meets, at a path. */
async function pageOfAnotherOrigin(server, path) {
  const url = `${server.url}${path}?EIO=4&transport=polling`;
  const get = (origin) => fetch(url, { headers: { origin } });
  const good = await get(page);
  assert.equal(good.status, 200);
  assert.equal(good.headers.get("access-control-allow-origin"), page);
  assert.equal(good.headers.get("access-control-allow-credentials"), "true");
  const { sid } = JSON.parse((await good.text()).slice(1));
  const preflight = await fetch(`${url}&sid=${sid}`, { method: "OPTIONS", headers: { origin: page } });
  assert.ok(preflight.ok);
  assert.equal(preflight.headers.get("access-control-allow-origin"), page);
  assert.match(preflight.headers.get("access-control-allow-headers"), /content-type/i);
  return get;
}

// The ways take turns on the machine, not on a server.
for (const way of ["import", "replace"]) {
  test(`by ${way}`, async (t) => {
    build(way);
    await t.test("chat", (t) => matrix(t, way, "chat", chat));
    await t.test("behind Gin", (t) => matrix(t, way, "gin", pictures));
    await t.test("pages of other origins, behind Gin", async () => {
      const server = await start(way, "gin");
      try {
        const get = await pageOfAnotherOrigin(server, "/socket.io/");
        assert.equal((await get("https://evil.example")).status, 403);
        await pageOfAnotherOrigin(server, "/behind/");
        for (const path of ["/socket.io/", "/behind/"]) {
          const run = new Run(server, "4.8", "upgrade");
          const socket = run.open({ path, extraHeaders: { origin: page } });
          await run.connected(socket);
          same(await ask(socket, "store", { name: "n", data: Buffer.from("abc") }), [3]);
          run.close();
        }
      } finally {
        await server.stop();
      }
    });
    await t.test("nodes behind Redis", { skip: noRedis }, async () => {
      const redis = await startRedis();
      const nodes = [];
      const runs = [];
      try {
        for (let i = 0; i < 2; i++) nodes.push(await start(way, "redis", `127.0.0.1:${redis.port}`));
        // Clients over both transports, half of them on each node.
        const all = [];
        for (const version of Object.keys(versions)) {
          for (const mode of ["websocket", "polling"]) {
            if (version === "1.4" && mode === "polling") continue; // it takes other text than ASCII from its like only
            const run = new Run(nodes[(all.length >> 1) % 2], version, mode);
            runs.push(run);
            const socket = await run.connect();
            all.push({ socket, said: run.inbox(socket, "said"), shown: run.inbox(socket, "shown") });
          }
        }
        const members = all.slice(0, -1);
        const [first, last] = [all[0], all.at(-1)];
        for (const { socket } of members) {
          const [rooms] = await ask(socket, "join", "lobby");
          assert.equal(rooms.length, 2);
        }
        for (const { socket } of [first, last]) {
          await until(async () => (await ask(socket, "count", "lobby"))[0] === members.length, "all members are known");
          await until(async () => (await ask(socket, "rooms"))[0] === all.length + 1, "all rooms are known");
        }
        for (let i = 0; i < 56; i++) all[i % all.length].socket.emit("say", "lobby", `${i}`);
        for (const { said } of members) {
          const heard = (await said.take(56)).map(([text]) => Number(text));
          same(heard.toSorted((a, b) => a - b), Array.from({ length: 56 }, (_, i) => i));
        }
        for (const { socket } of [first, last]) socket.emit("tell-all", "ünïcödé 🎉");
        for (const { said } of all) same(await said.take(2), [["ünïcödé 🎉"], ["ünïcödé 🎉"]]);
        const data = Buffer.from([0, 1, 254, 255]);
        for (const { socket } of [first, last]) {
          socket.on("whose", (answer) => answer("mine", data)); // the program asks back, and shows everybody the answer
          socket.emit("show", "lobby");
          for (const { shown } of members) same(await shown.take(1), [["mine", { bytes: data }]]);
        }
        same(await ask(last.socket, "clear", "lobby"), [true]);
        await until(async () => (await ask(first.socket, "count", "lobby"))[0] === 0, "nobody is in the room any more");
      } finally {
        for (const run of runs) run.close();
        for (const node of nodes) await node.stop();
        await redis.stop();
      }
    });
  });
}
