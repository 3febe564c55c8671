// BullMQ for scripts/bench queues: this process publishes, a second one works with concurrency 64. Both
// are told what to do, and say what they have done, as bench/queues/peer.go does.
import { fork } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Queue, Worker } from "bullmq";

const [scenario, addr, role] = process.argv.slice(2);
const [host, port] = addr.split(":");
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const nanoseconds = () => process.hrtime.bigint(); // one clock for all processes

if (role === "worker") {
  let processed = 0, counting = false, latencies = [];
  const worker = new Worker("q", async (job) => {
    processed++;
    if (counting && latencies.length < 100_000) {
      latencies.push(Number(nanoseconds() - BigInt(job.data.slice(0, 20))) / 1e6);
    }
  }, { connection, concurrency: 64, removeOnComplete: { count: 0 } });
  await worker.waitUntilReady();
  process.on("message", (what) => {
    if (what === "count") { counting = true; processed = 0; latencies = []; }
    process.send({ messages: processed, latencies: scenario === "paced" || scenario === "idle" ? latencies : [] });
  });
  process.send("ready");
} else if (scenario === "fill") { // so many messages, that nobody takes; the third argument is how many
  const queue = new Queue("q", { connection, defaultJobOptions: { removeOnComplete: true } });
  const text = () => nanoseconds().toString().padStart(20, "0") + "x".repeat(42);
  for (let left = Number(role); left > 0; left -= 1000) {
    await queue.addBulk(Array.from({ length: Math.min(left, 1000) }, () => ({ name: "work", data: text() })));
  }
  await queue.close();
} else {
  const worker = fork(new URL(import.meta.url).pathname, [scenario, addr, "worker"]);
  const answer = () => new Promise((resolve) => worker.once("message", resolve));
  const ask = (what) => { const a = answer(); worker.send(what); return a; };
  await answer();
  const queue = new Queue("q", { connection, defaultJobOptions: { removeOnComplete: true } });
  await queue.waitUntilReady();
  let running = true;
  const text = () => nanoseconds().toString().padStart(20, "0") + "x".repeat(42);
  const publisher = async (n, every) => {
    let next = Date.now();
    while (running) {
      if (n === 1) await queue.add("work", text());
      else await queue.addBulk(Array.from({ length: n }, () => ({ name: "work", data: text() })));
      if (every) { next += every; await sleep(Math.max(0, next - Date.now())); }
    }
  };
  const say = (what) => console.log(JSON.stringify(what));
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  await sleep(500);
  say({ pids: [process.pid, worker.pid] });
  await lines.next();
  if (scenario === "throughput") for (let i = 0; i < 64; i++) publisher(1);
  if (scenario === "batch") publisher(100);
  if (scenario === "paced") for (let i = 0; i < 10; i++) { publisher(1, 10); await sleep(1); }
  if (scenario === "idle") publisher(1, 200);
  await sleep(500);
  await ask("count");
  say({});
  await lines.next();
  say(await ask("report"));
  running = false;
  worker.kill("SIGKILL");
  process.exit(0);
}
