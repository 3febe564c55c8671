// The recipes of docs/queues.md, run as they are there, but for the name of the queue.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { io as client } from "client4";
import { next, until } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { reference } from "./lib/server.mjs";

const guide = readFileSync(new URL("../../docs/queues.md", import.meta.url), "utf8");
const recipes = [...guide.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code.replaceAll('"thumbs"', '"demo"').replace(/^import .*$/m, ""));
const shell = [...guide.matchAll(/```sh\n(.*?)```/gs)].map(([, code]) => code);
const recipe = (mark) => recipes.filter((code) => code.includes(mark));

/** Runs a recipe with what it takes for granted. */
function run(mark, given) {
  const found = recipe(mark);
  assert.equal(found.length, 1, `recipes with ${mark}`);
  const AsyncFunction = (async () => {}).constructor;
  return new AsyncFunction(...Object.keys(given), found[0])(...Object.values(given));
}

test("the recipes of docs/queues.md", { skip: reference && "the official server has none", timeout: 60_000 }, async (t) => {
  const data = mkdtempSync(join(tmpdir(), "roomcast-recipes-"));
  t.after(() => rmSync(data, { recursive: true, force: true }));
  const server = await startProgram({ flags: ["--data", data] });
  const sockets = [];
  const io = (url, options) => {
    const socket = client(url, { transports: ["websocket"], forceNew: true, reconnectionDelay: 20, ...options });
    sockets.push(socket);
    return socket;
  };
  const leave = () => sockets.splice(0).forEach((socket) => socket.close());
  const produce = (id) => run("retries:", { io, url: server.url, auth: { name: "shop" }, id, backOff: assert.fail });
  try {
    assert.equal(recipes.length, 4);

    await t.test("what is there to try, and the commands of the shell", async () => {
      assert.equal(shell.length, 3);
      const lines = shell.join("").replaceAll("thumbs", "demo").replaceAll("ID ID", "").split("\n").filter((line) => line && !line.startsWith("scripts/"));
      const said = [];
      for (const line of lines) {
        const command = line.replace(/^(bin\/)?roomcast /, `${server.child.spawnfile} `).replace("--data .data", `--data ${data}`).replaceAll("DIR", data);
        said.push(await promisify(execFile)("sh", ["-c", command]));
      }
      const logged = [];
      assert.match(said[0].stdout, /up-7 is number 1/);
      assert.match(said[1].stdout, /demo +1/);
      assert.match(said[3].stdout, /0 ready again/);
      assert.match(said[4].stdout, /"duplicate":true/);
      run("127.0.0.1:3000", { io: (url) => io(url.replace("http://127.0.0.1:3000", server.url)), console: { log: (...line) => logged.push(line) } });
      await until(() => logged.some(([id, data]) => id === "up-7" && data.n === 7), "the message");
      leave();
    });

    await t.test("a producer and a worker, which fails once, and loses its connection while it works", async () => {
      const done = [];
      let socket;
      const makeThumb = async ({ id }, fence) => {
        assert.ok(fence > 0);
        if (id === "b" && !done.includes("b failed")) {
          done.push("b failed");
          throw new Error("no paper");
        }
        if (id === "c") {
          socket.io.engine.close();
          await next(socket, "connect");
        }
        done.push(id);
      };
      socket = io(server.url, { auth: { name: "worker" } });
      await run("WORKER_ID", { socket, WORKER_ID: "w-1", makeThumb, console: { log() {} } });
      await next(socket, "connect");
      for (const id of ["a", "b", "c", "a"]) await produce(id); // the last is known
      await until(() => done.length === 4, "all done", 20_000);
      assert.deepEqual(done.sort(), ["a", "b", "b failed", "c"]);
      await until(async () => {
        const stats = await socket.emitWithAck("queue:stats", { queue: "demo" });
        return stats.leased + stats.ready + stats.scheduled + stats.dead === 0;
      }, "an empty queue");
      leave();
    });

    await t.test("a worker that ends and is started again gives back what the one before it had", async () => {
      const seen = [];
      const start = (makeThumb) => {
        const socket = io(server.url, { auth: { name: "worker" } });
        run("WORKER_ID", { socket, WORKER_ID: "w-2", makeThumb, console });
        return socket;
      };
      const first = start(() => new Promise(() => seen.push("first")));
      await next(first, "connect");
      await produce("d");
      await until(() => seen.length === 1, "the first worker has it");
      first.close(); // its session keeps the message for 5 s
      start(async () => seen.push("second"));
      await until(() => seen.length === 2, "the second worker has it");
      assert.deepEqual(seen, ["first", "second"]);
      leave();
    });

    await t.test("an inbox that knows what it has seen", async () => {
      const localStorage = {};
      const shown = [];
      const sender = io(server.url, { auth: { name: "hub" } });
      const send = (text) => sender.emitWithAck("inbox:send", { to: ["Ada"], data: text });
      const visit = async () => {
        const socket = io(server.url, { auth: { name: "Ada" } });
        await run("inbox:open", { socket, localStorage, show: (data) => shown.push(data), reloadEverything: assert.fail });
        return socket;
      };
      await send("one");
      const first = await visit();
      await until(() => shown.length === 1, "the first");
      await send("two");
      await until(() => shown.length === 2, "the second");
      first.close();
      await send("three");
      await visit();
      await until(() => shown.length === 3, "what came meanwhile");
      assert.deepEqual(shown, ["one", "two", "three"]);
      assert.equal(JSON.parse(localStorage.seen).seq, 3);
      leave();
    });
  } finally {
    leave();
    await server.stop();
  }
});
