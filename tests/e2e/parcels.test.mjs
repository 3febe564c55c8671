// examples/parcels: a shop, drivers as they come, and an inbox that waits.
import { test } from "node:test";
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Server } from "socket.io";
import { io } from "client4";
import { ask, next, until, within } from "./lib/clients.mjs";
import { reference } from "./lib/server.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

test("the story of the parcels", { skip: reference && "it is ours" }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "roomcast-parcels-"));
  const children = [];
  const sockets = [];
  t.after(async () => {
    sockets.forEach((s) => s.close());
    for (const child of children) {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    }
    rmSync(dir, { recursive: true, force: true });
  });
  execFileSync("go", ["build", "-o", join(dir, "parcels"), "./examples/parcels"], { cwd: root, stdio: "inherit" });
  const start = (command, args) => {
    const child = spawn(command, args, { cwd: dir, stdio: ["ignore", "pipe", "pipe"] });
    children.push(child);
    child.lines = [];
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", (line) => child.lines.push(line));
    child.said = (pattern) => until(() => child.lines.find((line) => pattern.test(line)), `${pattern} from ${args}: ${child.lines.join("\n")}`);
    return child;
  };
  const server = start(join(dir, "parcels"), ["--listen", "127.0.0.1:0", "--data", join(dir, "data")]);
  const url = (await server.said(/open http/)).match(/http:\S+/)[0];

  // The driver's program, with the client where npm install would put it.
  mkdirSync(join(dir, "node_modules"));
  symlinkSync(join(root, "tests/e2e/node_modules/client4"), join(dir, "node_modules/socket.io-client"));
  copyFileSync(join(root, "examples/parcels/driver.mjs"), join(dir, "driver.mjs"));
  const driver = (name, ms = "50") => start(process.execPath, ["driver.mjs", name, url, ms]);
  const kill = async (child, signal) => {
    child.kill(signal);
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };

  const connect = async (namespace, name) => {
    const socket = io(url + namespace, { auth: { name }, forceNew: true, transports: ["websocket"] });
    sockets.push(socket);
    await next(socket, "connect");
    return socket;
  };
  const hub = await connect("/hub");
  const happened = [];
  hub.on("delivered", (d) => happened.push(d.id));
  const shop = await connect("/shops", "Baker");
  const inbox = [];
  shop.on("inbox:message", (m, ack) => {
    inbox.push(m.data);
    ack();
  });

  // The shop is closed: what is delivered waits.
  for (const n of [1, 2, 3]) {
    const [taken] = await ask(shop, "hand in", { id: `p${n}`, to: `Street ${n}` });
    assert.equal(taken.shop, "shops:Baker");
  }
  await ask(shop, "hand in", { id: "p1", to: "Street 1" }); // again: it is stored once
  const seven = driver("7");
  await seven.said(/on the road/);
  await until(() => happened.length === 3, "three delivered");
  assert.equal(inbox.length, 0);
  const [opened] = await ask(shop, "inbox:open", {});
  assert.equal(opened.ok, true);
  await until(() => inbox.length === 3, "the inbox");
  assert.deepEqual(inbox.map((d) => [d.id, d.driver]).sort(), [1, 2, 3].map((n) => [`p${n}`, "drivers:7"]));

  // Nowhere: three attempts, then it is dead.
  await ask(shop, "hand in", { id: "lost", to: "Nowhere" });
  const numbers = await within(
    new Promise((resolve) => hub.on("pickups", (n) => n.dead === 1 && resolve(n))), "a dead pickup", 25_000);
  assert.deepEqual([numbers.ready, numbers.leased, numbers.acked], [0, 0, 3]);

  // The hub looks at it, and has it tried again; a shop can't.
  const peek = { queue: "pickups", state: "dead" };
  const [{ messages }] = await ask(hub, "queue:peek", peek);
  assert.deepEqual(messages.map((m) => [m.id, m.error]), [["lost", "there is no Nowhere"]]);
  assert.equal((await ask(shop, "queue:peek", peek))[0].code, "unauthorized");
  await kill(seven, "SIGKILL");
  assert.deepEqual((await ask(hub, "queue:admin", { op: "redrive", queue: "pickups", ids: ["lost"] }))[0], { ok: true, n: 1 });

  // A driver is killed on the road and starts again: what its session has kept comes again at once.
  const slow = driver("8", "600000");
  await slow.said(/^lost for Nowhere/);
  await kill(slow, "SIGKILL");
  const again = driver("8", "600000");
  await again.said(/^lost for Nowhere, attempt 2/);

  // Who may not, can't.
  const [no] = await ask(shop, "queue:consume", { queue: "pickups" });
  assert.equal(no.code, "unauthorized");

  // The server ends in good order, and knows everything when it is there again.
  await kill(server, "SIGTERM");
  assert.equal(server.exitCode, 0, server.lines.join("\n"));
  start(join(dir, "parcels"), ["--listen", new URL(url).host, "--data", join(dir, "data")]);
  const after = await within(new Promise((resolve) => hub.on("pickups", (n) => n.leased === 1 && resolve(n))), "the pickup with its driver", 25_000);
  assert.deepEqual([after.ready, after.scheduled, after.dead], [0, 0, 0]);
});

// The driver ended with an error, for good, when its connection was lost before "queue:consume" was answered.
test("a driver whose connection is lost while it asks for pickups goes on", { skip: reference && "it is ours", timeout: 30_000 }, async (t) => {
  const dir = mkdtempSync(join(tmpdir(), "roomcast-driver-"));
  mkdirSync(join(dir, "node_modules"));
  symlinkSync(join(root, "tests/e2e/node_modules/client4"), join(dir, "node_modules/socket.io-client"));
  copyFileSync(join(root, "examples/parcels/driver.mjs"), join(dir, "driver.mjs"));
  const server = new Server(0, { transports: ["websocket", "polling"] });
  let asked = 0;
  server.of("/drivers").on("connection", (socket) =>
    socket.on("queue:consume", (request, answer) => (++asked === 1 ? socket.conn.close() : answer({ ok: true, resumed: [] }))));
  const child = spawn(process.execPath, ["driver.mjs", "7", `http://127.0.0.1:${server.httpServer.address().port}`], { cwd: dir, stdio: ["ignore", "pipe", "inherit"] });
  t.after(async () => {
    child.kill("SIGKILL");
    await server.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const lines = [];
  for await (const line of createInterface({ input: child.stdout })) {
    lines.push(line);
    if (line === "driver 7 is on the road") break;
  }
  assert.equal(asked, 2, lines.join("\n"));
});
