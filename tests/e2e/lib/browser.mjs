// Chromium for the tests: the one that CHROMIUM names or Debian's.
import { existsSync, mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const places = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];

/** Path of the browser, or undefined: its tests are then skipped. */
export const executablePath = places.find((path) => path && existsSync(path));

export const skip = executablePath ? false : "no Chromium here: install it, or name it in CHROMIUM";

export function launch() {
  return chromium.launch({
    executablePath,
    headless: true,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export const out = fileURLToPath(new URL("../out/", import.meta.url));
mkdirSync(out, { recursive: true });

/**
 * Gathers what a page complains of: errors that nobody caught, console errors, and answers 4xx and 5xx with what was
 * asked and answered. The browser's own line for such an answer, which says neither, is left out.
 *
 * No complaint is a poll that a close overtook: the client asks for more and closes its session in the same moment,
 * over two connections, and if the second is faster the session is unknown to the first, by any server.
 */
export function complaints(page) {
  const list = [];
  const refused = new Set(); // URLs
  const closed = new Set(); // ids of sessions that the page has closed
  page.on("pageerror", (err) => list.push(String(err)));
  page.on("console", (message) => {
    const { url } = message.location();
    const known = message.text().startsWith("Failed to load resource: the server responded") && refused.has(url);
    if (message.type() === "error" && !known) list.push(`${message.text()} (${url})`);
  });
  const session = (request) => new URL(request.url()).searchParams.get("sid");
  page.on("request", (request) => {
    if (request.method() === "POST" && request.postData() === "1") closed.add(session(request));
  });
  page.on("response", async (response) => {
    if (response.status() < 400) return;
    refused.add(response.url());
    const request = response.request();
    const answer = await response.text().catch(String);
    if (request.method() === "GET" && closed.has(session(request)) && answer.includes("Session ID unknown")) return;
    list.push(`${request.method()} ${response.url()} ${request.postData() ?? ""}: ${response.status()} ${answer}`.slice(0, 1000));
  });
  return list;
}
