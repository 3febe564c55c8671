// Starts Redis for a test, on a free port and without persistence.
import { spawn, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./clients.mjs";

/** Path of a program, or undefined. */
export function which(name) {
  for (const folder of [...(process.env.PATH ?? "").split(":"), "/usr/sbin"]) {
    try {
      return execFileSync("/bin/sh", ["-c", 'test -x "$0" && printf %s "$0"', join(folder, name)]).toString();
    } catch {
      continue;
    }
  }
  return undefined;
}

export const skip = which("redis-server") ? false : "no redis-server here";

/** A port that was free a moment ago. */
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Resolves when something listens on the port. */
export function listening(port, what) {
  return until(
    () =>
      new Promise((resolve) => {
        const socket = net.connect(port, "127.0.0.1");
        socket.on("connect", () => socket.end(() => resolve(true)));
        socket.on("error", () => resolve(false));
      }),
    what,
    30_000,
  );
}

/** Starts a program that is ended with the test's process; stop ends it by its pid. */
export function run(file, args, options = {}) {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  const end = () => child.kill("SIGKILL");
  const term = () => child.kill("SIGTERM");
  process.setMaxListeners(0);
  process.once("exit", term);
  const program = { child, log: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => (program.log = (program.log + chunk).slice(-64 * 1024)));
  }
  const exited = once(child, "exit");
  program.stop = async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM"); // nginx ends its workers
    const timer = setTimeout(end, 5_000);
    await exited;
    clearTimeout(timer);
    process.off("exit", term);
  };
  return program;
}

/** Resolves when it answers: { url, port, stop }. */
export async function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-redis-"));
  const port = await freePort();
  const args = ["--bind", "127.0.0.1", "--port", port, "--dir", folder, "--save", "", "--appendonly", "no"];
  const redis = run(which("redis-server"), args.map(String));
  await listening(port, "Redis");
  const { stop } = redis;
  return {
    ...redis,
    port,
    url: `redis://127.0.0.1:${port}`,
    stop: async () => {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
