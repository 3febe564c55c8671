// Pages for clients in a browser: one for each version, with an empty body.
import http from "node:http";
import { createRequire } from "node:module";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";

const folder = (name) => dirname(createRequire(import.meta.url).resolve(`${name}/package.json`));
export const bundles = {
  "4.8": readFileSync(join(folder("client4"), "dist/socket.io.js")),
  "2.5": readFileSync(join(folder("client2"), "dist/socket.io.js")),
};

/** Serves an empty page with each client: /4.8 and /2.5. */
export async function startPages() {
  const server = http.createServer((req, res) => {
    const [, version, file] = req.url.split("/");
    if (!bundles[version]) return res.writeHead(req.url === "/favicon.ico" ? 204 : 404).end();
    if (file === "client.js") return res.setHeader("Content-Type", "text/javascript").end(bundles[version]);
    res.setHeader("Content-Type", "text/html; charset=utf-8");
    res.end(`<!doctype html><title>client ${version}</title><script src="/${version}/client.js"></script>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** Opens a page with a client and with what the tests need in it. */
export async function openPage(browser, url) {
  const page = await browser.newPage();
  await page.goto(url);
  await page.evaluate(toolkit);
  return page;
}

/** Runs f(...args) in the page: args must be JSON. */
export const runIn = (page, f, ...args) => page.evaluate(([source, args]) => eval(`(${source})`)(...args), [source(f), args]);

/** The text of a function that may be written as a method. */
const source = (f) => (/^(async\s+)?(function|\()/.test(f.toString()) ? f.toString() : `({${f}})[${JSON.stringify(f.name)}]`);

// toolkit runs in the page: bytes as hex, questions as promises.
function toolkit() {
  window.hex = (value) => {
    if (value instanceof ArrayBuffer) return { bytes: [...new Uint8Array(value)].map((b) => b.toString(16).padStart(2, "0")).join("") };
    if (ArrayBuffer.isView(value)) return hex(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
    if (Array.isArray(value)) return value.map(hex);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, hex(v)]));
    return value;
  };
  window.within = (promise, what) =>
    Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error(`no ${what} within 20 s`)), 20_000))]);
  window.ask = (socket, event, ...args) =>
    within(new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))), `answer to ${event}`);
  window.until = async (check, what) => {
    const end = Date.now() + 20_000;
    while (!check()) {
      if (Date.now() > end) throw new Error(`not within 20 s: ${what}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  window.connect = async (url, options, transport) => {
    const socket = io(url, { forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 100, ...options });
    await until(() => socket.connected && socket.id, "connected");
    await until(() => socket.io.engine.transport.name === transport, transport);
    return socket;
  };
}
