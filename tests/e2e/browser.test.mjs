// Clients 4.8 and 2.5 in Chromium, in a page of another origin than the server.
import { test } from "node:test";
import assert from "node:assert/strict";
import { launch, skip } from "./lib/browser.mjs";
import { modes } from "./lib/clients.mjs";
import { bundles, openPage, runIn, startPages } from "./lib/pages.mjs";
import { startServer } from "./lib/server.mjs";

// steps run in the page: name -> async (url, options, transport) => what to check here.
const steps = {
  async "connects with the id that the server has"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const [info] = await ask(socket, "info");
    socket.close();
    return { got: [info.id === undefined, info.transport, info.userAgent.includes("Chrome")], want: [false, transport, true] };
  },
  async "events and acknowledgements with text, bytes, blobs"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const bytes = new Uint8Array([0, 1, 2, 254, 255]);
    const args = ["ünï 🎉", { deep: [bytes.buffer, { n: 1.5 }] }, bytes.buffer, null];
    const echoed = within(new Promise((resolve) => socket.on("echo", (...a) => resolve(a))), "echo");
    socket.emit("echo", ...args);
    const got = [await echoed, await ask(socket, "echo", ...args), await ask(socket, "echo", new Blob([bytes, "blob"]))];
    socket.on("double", (a, ack) => ack(a, a));
    got.push(await ask(socket, "call", "double", bytes.buffer), await ask(socket, "call", "double", "text"));
    socket.close();
    const blob = new TextEncoder().encode("\0").buffer && [...bytes, ...new TextEncoder().encode("blob")];
    return {
      got: hex(got),
      want: hex([args, args, [new Uint8Array(blob).buffer], [bytes.buffer, bytes.buffer], ["text", "text"]]),
    };
  },
  async "large messages, and 300 in order"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const large = "ä".repeat(100_000);
    const bytes = new Uint8Array(300_000).map((_, i) => i % 251).buffer;
    const [text, back] = await ask(socket, "echo", large, bytes);
    const order = [];
    socket.on("echo", (i) => order.push(i));
    for (let i = 0; i < 300; i++) socket.emit("echo", i, i % 10 ? "text" : bytes.slice(0, 10));
    await until(() => order.length === 300, "300 echoes");
    socket.close();
    return { got: [text === large, hex(back).bytes === hex(bytes).bytes, order.every((v, i) => v === i)], want: [true, true, true] };
  },
  async "rooms: two sockets hear each other"(url, options, transport) {
    const [one, two] = await Promise.all([connect(url, options, transport), connect(url, options, transport)]);
    const room = `browser-${Math.random()}`;
    const heard = [[], []];
    [one, two].forEach((socket, i) => socket.on("word", (...args) => heard[i].push(args)));
    await Promise.all([ask(one, "join", [room]), ask(two, "join", [room])]);
    const bytes = new Uint8Array([7, 8]).buffer;
    await ask(one, "cast", { by: "socket", to: [room] }, "word", "from one", bytes);
    await ask(two, "cast", { to: [room] }, "word", "from two", 2);
    await Promise.all([ask(one, "info"), ask(two, "info")]);
    one.close();
    two.close();
    const last = ["from two", 2];
    return { got: hex(heard), want: hex([[last], [["from one", bytes], last]]) };
  },
  async "auth reaches the server"(url, options, transport) {
    const query = io.protocol === 4 ? "?token=secret&name=Zo%C3%AB" : ""; // version 2 has nothing else
    const socket = await connect(`${url}/guarded${query}`, { ...options, auth: { token: "secret", name: "Zoë" } }, transport);
    const [info] = await ask(socket, "info");
    socket.close();
    return { got: info.auth, want: { token: "secret", name: "Zoë" } };
  },
  async "comes back after its connection closed"(url, options, transport) {
    const socket = await connect(url, options, transport);
    const sid = socket.io.engine.id;
    socket.io.engine.close();
    await until(() => socket.connected && socket.io.engine.id !== sid, "connected again");
    const got = await ask(socket, "echo", "again");
    socket.close();
    return { got, want: ["again"] };
  },
  async "is refused by a middleware, with data"(url, options) {
    const socket = io(url + "/guarded", { forceNew: true, ...options });
    const told = await within(
      new Promise((resolve) => {
        socket.on("connect_error", (err) => resolve(err.data));
        socket.on("error", resolve); // v2
      }),
      "refusal",
    );
    socket.close();
    return { got: told, want: { code: 4001 } };
  },
};

test("clients in Chromium", { skip }, async (t) => {
  const pages = await startPages();
  const strangers = await startPages(); // another port: another origin
  const server = await startServer({ origins: [pages.url], jsonp: true });
  const browser = await launch();
  const open = (url) => openPage(browser, url);
  try {
    for (const version of Object.keys(bundles)) {
      const page = await open(`${pages.url}/${version}`);
      for (const [mode, options] of Object.entries(modes)) {
        const transport = mode === "polling" ? "polling" : "websocket";
        await t.test(`client ${version}, ${mode}`, async (t) => {
          for (const [name, step] of Object.entries(steps)) {
            await t.test(name, { timeout: 30_000 }, async () => {
              const { got, want } = await runIn(page, step, server.url, options, transport);
              assert.deepEqual(got, want);
            });
          }
        });
      }

      await t.test(`client ${version}: a page of an origin that isn't listed is refused`, async () => {
        const stranger = await open(`${strangers.url}/${version}`);
        for (const transport of ["polling", "websocket"]) {
          const outcome = await stranger.evaluate(
            ([url, transport]) =>
              within(
                new Promise((resolve) => {
                  const socket = io(url, { forceNew: true, reconnection: false, transports: [transport] });
                  socket.on("connect", () => resolve("connected"));
                  socket.on("connect_error", () => resolve("refused"));
                }),
                "outcome",
              ),
            [server.url, transport],
          );
          assert.equal(outcome, "refused", transport);
        }
        await stranger.close();
      });
      await page.close();
    }

    await t.test("client 2.5, JSONP", { timeout: 30_000 }, async () => {
      const page = await open(`${pages.url}/2.5`);
      const got = await page.evaluate(async (url) => {
        const socket = await connect(url, { transports: ["polling"], upgrade: false, forceJSONP: true }, "polling");
        const scripts = document.querySelectorAll(`script[src^="${url}"]`).length;
        const text = await ask(socket, "echo", "ünï \n \\n \u2028 </script> 🎉", { n: 1 });
        const bytes = await ask(socket, "echo", new Uint8Array([0, 255]).buffer);
        socket.close();
        return [scripts > 0, text, hex(bytes)];
      }, server.url);
      assert.deepEqual(got, [true, ["ünï \n \\n \u2028 </script> 🎉", { n: 1 }], [{ bytes: "00ff" }]]);
      await page.close();
    });
  } finally {
    await browser.close();
    await server.stop();
    pages.close();
    strangers.close();
  }
});
