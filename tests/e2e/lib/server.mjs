// Starts the server under test as a process of its own and ends it by its pid.
//
// E2E_SERVER names what is tested: "reference" is the official server
// (reference.mjs); anything else is the path of a program that takes the same
// configuration (tests/e2e/server). Unset, that program is built first.
import { spawn, execFileSync } from "node:child_process";
import { createInterface } from "node:readline";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";

const here = fileURLToPath(new URL("..", import.meta.url));

export const reference = process.env.E2E_SERVER === "reference";

let program;

function command() {
  if (reference) return [process.execPath, [join(here, "reference.mjs")]];
  if (process.env.E2E_SERVER) return [process.env.E2E_SERVER, []];
  if (!program) {
    const dir = join(tmpdir(), `roomcast-e2e-${process.getuid?.() ?? ""}`);
    mkdirSync(dir, { recursive: true });
    program = join(dir, "server");
    execFileSync("go", ["build", "-o", program, "./tests/e2e/server"], { cwd: join(here, "..", ".."), stdio: "inherit" });
  }
  return [program, []];
}

/**
 * Starts a server and waits until it listens.
 *
 * config: { port, recovery, parser, origins, deflate, jsonp, pingInterval,
 * pingTimeout } – see reference.mjs, which has the meaning of each.
 */
export function startServer(config = {}) {
  const [file, args] = command();
  return launch(file, [...args, JSON.stringify(config)]);
}

/** Starts a program that prints {"port": n} when it listens and ends when its standard input does. */
export async function launch(file, args) {
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"] });
  const server = { child, log: "", port: 0, url: "" };
  child.stderr.on("data", (chunk) => (server.log = (server.log + chunk).slice(-64 * 1024)));
  const exited = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const first = await Promise.race([
    once(lines, "line").then(([line]) => line),
    exited.then(([code, signal]) => {
      throw new Error(`the server ended before it listened (${signal ?? code}): ${server.log}`);
    }),
  ]);
  server.port = JSON.parse(first).port;
  server.url = `http://127.0.0.1:${server.port}`;

  /** Ends the server as SIGKILL does: no goodbye to anybody. */
  server.kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };

  /** Asks the server to end (its standard input closes) and checks that it does so in order. */
  server.stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.stdin.end();
    const timer = setTimeout(() => child.kill("SIGKILL"), 10_000);
    const [code, signal] = await exited;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`the server ended with ${signal ?? code}: ${server.log}`);
  };
  return server;
}
