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

/** Gathers what a page complains of: errors that nobody caught, and console errors. */
export function complaints(page) {
  const list = [];
  page.on("pageerror", (err) => list.push(String(err)));
  page.on("console", (message) => message.type() === "error" && list.push(message.text()));
  return list;
}
