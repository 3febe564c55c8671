// Starts the program itself, "roomcast serve --demo", on free ports.
import { spawn, execFileSync } from "node:child_process";
import { createInterface } from "node:readline";
import { mkdtempSync, rmSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { within } from "./clients.mjs";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "roomcast-e2e-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

// Without settings of whoever runs the tests, or of the tests in Go: the program refuses what it doesn't know.
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("ROOMCAST_")));

/** Path of the program: E2E_PROGRAM, or built now with the page as it was built last. */
function program() {
  if (process.env.E2E_PROGRAM) return process.env.E2E_PROGRAM;
  const path = join(folder, "roomcast");
  execFileSync("go", ["build", "-o", path, "./cmd/roomcast"], { cwd: root, stdio: "inherit" });
  return path;
}

/**
 * Resolves when it listens: { url, internal, stop }. listen fixes the address, for a restart. config is the file to be
 * used instead of --demo.
 */
export async function startProgram({ listen = "127.0.0.1:0", flags = [], config } = {}) {
  const child = spawn(
    program(),
    ["serve", ...(config ? ["--config", config] : ["--demo"]), "--listen", listen, "--internal-listen", "127.0.0.1:0", "--log-format", "json", ...flags],
    { cwd: folder, env, stdio: ["ignore", "ignore", "pipe"] },
  );
  process.once("exit", () => child.kill("SIGKILL"));
  const exited = once(child, "exit");
  const server = { child, log: "" };
  const addresses = {};
  const listening = new Promise((resolve) => {
    createInterface({ input: child.stderr }).on("line", (line) => {
      server.log = (server.log + line + "\n").slice(-64 * 1024);
      try {
        const entry = JSON.parse(line);
        if (entry.msg === "listening") addresses[entry.listener] = entry.address;
      } catch {
        return; // what a library prints by itself
      }
      if (addresses.public && addresses.internal) resolve();
    });
  });
  const ended = exited.then(([code]) => {
    throw new Error(`the program ended with ${code}: ${server.log}`);
  });
  ended.catch(() => {});
  await within(Promise.race([listening, ended]), "listening program", 30_000);
  server.address = addresses.public;
  server.url = `http://${addresses.public}`;
  server.internal = `http://${addresses.internal}`;
  server.kill = async () => {
    child.kill("SIGKILL");
    await exited;
  };
  server.stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 20_000);
    const [code, signal] = await exited;
    clearTimeout(timer);
    if (code !== 0) throw new Error(`the program ended with ${signal ?? code}: ${server.log}`);
  };
  return server;
}
