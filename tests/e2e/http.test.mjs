// What isn't the client's doing: files of the client, origins, CORS, JSONP, compression, limits of versions.
import { test } from "node:test";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { readFileSync } from "node:fs";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import http from "node:http";
import { Run, ask, modes, next, same, versions } from "./lib/clients.mjs";
import { startServer } from "./lib/server.mjs";

const clientFiles = join(dirname(createRequire(import.meta.url).resolve("socket.io/package.json")), "client-dist");

/** A request with Node's plain client, which decompresses and follows nothing. */
function request(url, { method = "GET", headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const req = http.request(url, { method, headers }, (res) => {
      const chunks = [];
      res.on("data", (chunk) => chunks.push(chunk));
      res.on("end", () => resolve({ status: res.statusCode, headers: res.headers, body: Buffer.concat(chunks) }));
      res.on("error", reject);
    });
    req.on("error", reject);
    req.end(body);
  });
}

async function withServer(t, config, f) {
  const server = await startServer(config);
  try {
    await f(server, (name, g) => t.test(name, { timeout: 30_000 }, g));
  } finally {
    await server.stop();
  }
}

test("files of the client", (t) =>
  withServer(t, { clientFiles }, async (server, step) => {
    const url = (name) => `${server.url}/socket.io/${name}`;
    const names = ["socket.io.js", "socket.io.min.js", "socket.io.msgpack.min.js", "socket.io.esm.min.js"];
    for (const name of names.flatMap((name) => [name, `${name}.map`])) {
      await step(name, async () => {
        const expected = readFileSync(join(clientFiles, name));
        const res = await request(url(name));
        assert.equal(res.status, 200);
        assert.deepEqual(res.body, expected);
        assert.equal(
          res.headers["content-type"],
          name.endsWith(".map") ? "application/json; charset=utf-8" : "application/javascript; charset=utf-8",
        );
        assert.equal(res.headers["cache-control"], "public, max-age=0");
        assert.match(res.headers.etag, /^(W\/)?"4\.8\.\d+"$/);
        assert.equal((await request(url(`${name}?t=1`))).status, 200);
        for (const [encoding, decode] of [["gzip", gunzipSync], ["br", brotliDecompressSync]]) {
          const packed = await request(url(name), { headers: { "Accept-Encoding": encoding } });
          assert.equal(packed.headers["content-encoding"], encoding);
          assert.deepEqual(decode(packed.body), expected);
        }
        const known = await request(url(name), { headers: { "If-None-Match": res.headers.etag } });
        assert.equal(known.status, 304);
        assert.equal(known.body.length, 0);
      });
    }
    await step("unknown files are refused", async () => {
      assert.equal((await request(url("socket.io.evil.js"))).status, 400);
      assert.equal((await request(`${server.url}/elsewhere`)).status, 404);
      assert.equal((await request(`${server.url}/socket.io/..%2fpackage.json`)).status, 400);
    });
  }));

test("origins", (t) =>
  withServer(t, { origins: ["http://friend.example"] }, async (server, step) => {
    const attempt = (version, mode, origin) => {
      const c = new Run(server, version, mode);
      const socket = c.open({ extraHeaders: { Origin: origin }, reconnection: false });
      const failed = c.major === 2 ? "connect_error" : "connect_error";
      return Promise.race([
        next(socket, "connect").then(() => "connected"),
        next(socket, failed).then(() => "refused"),
      ]).finally(() => c.close());
    };
    for (const version of Object.keys(versions)) {
      for (const mode of Object.keys(modes)) {
        await step(`client ${version}, ${mode}: only who is on the list, and the server's own`, async () => {
          assert.equal(await attempt(version, mode, "http://friend.example"), "connected");
          assert.equal(await attempt(version, mode, server.url), "connected");
          for (const origin of ["http://enemy.example", "http://friend.example.enemy.example", "null", "https://friend.example:444"]) {
            assert.equal(await attempt(version, mode, origin), "refused", origin);
          }
        });
      }
    }
    await step("a preflight is answered", async () => {
      const res = await request(`${server.url}/socket.io/?EIO=4&transport=polling`, {
        method: "OPTIONS",
        headers: { Origin: "http://friend.example", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-own" },
      });
      assert.equal(res.status, 204);
      assert.equal(res.headers["access-control-allow-origin"], "http://friend.example");
      assert.equal(res.headers["access-control-allow-credentials"], "true");
      assert.match(res.headers["access-control-allow-methods"], /POST/);
    });
    await step("a response names the origin that may read it", async () => {
      const res = await request(`${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: "http://friend.example" } });
      assert.equal(res.status, 200);
      assert.equal(res.headers["access-control-allow-origin"], "http://friend.example");
      assert.match(res.headers.vary, /Origin/i);
    });
    await step("nobody else may read", async () => {
      const res = await request(`${server.url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: "http://enemy.example" } });
      assert.equal(res.status, 403);
      assert.notEqual(res.headers["access-control-allow-origin"], "http://enemy.example");
    });
  }));

test("a poll that comes after the goodbye", (t) =>
  withServer(t, {}, async (server, step) => {
    await step("is of a session that is unknown", async () => {
      const url = `${server.url}/socket.io/?EIO=4&transport=polling`;
      const { sid } = JSON.parse((await request(url)).body.subarray(1));
      assert.equal((await request(`${url}&sid=${sid}`, { method: "POST", body: "1" })).status, 200);
      const late = await request(`${url}&sid=${sid}`);
      assert.equal(late.status, 400);
      assert.equal(late.body.toString(), '{"code":1,"message":"Session ID unknown"}');
    });
  }));

test("JSONP", (t) =>
  withServer(t, { jsonp: true }, async (server, step) => {
    for (const [revision, hello] of [["3", "40"], ["4", null]]) {
      await step(`a conversation of revision ${revision} by script elements`, async () => {
        const base = `${server.url}/socket.io/?EIO=${revision}&transport=polling&j=0`;
        const call = (res) => {
          const [, text] = /^___eio\[0\]\((".*")\);$/s.exec(res.body.toString()) ?? assert.fail(res.body.toString());
          return JSON.parse(text);
        };
        const opened = await request(base);
        assert.equal(opened.status, 200);
        const { sid } = JSON.parse(/{"sid".*?}/.exec(call(opened))[0]);
        const session = `${base}&sid=${sid}`;
        const say = async (packet) => {
          const payload = (revision === "3" ? `${packet.length}:${packet}` : packet).replaceAll("\\n", "\\\\n"); // as the client escapes
          const sent = await request(session, {
            method: "POST",
            headers: { "Content-Type": "application/x-www-form-urlencoded" },
            body: new URLSearchParams({ d: payload }).toString(),
          });
          assert.equal(sent.body.toString(), "ok");
        };
        if (hello) assert.match(call(await request(session)) + opened.body, /40/);
        else {
          await say("40");
          assert.match(call(await request(session)), /^40{"sid":"/);
        }
        await say('420["echo","a \u2028 \\n b"]');
        assert.match(call(await request(session)), /430\["a \u2028 \\n b"\]/);
      });
    }
  }));

test("compression of WebSocket messages", (t) =>
  withServer(t, { deflate: true }, async (server, step) => {
    for (const version of Object.keys(versions)) {
      await step(`client ${version} negotiates it and gets everything back`, async () => {
        const c = new Run(server, version, "websocket");
        try {
          const socket = await c.connect({ perMessageDeflate: { threshold: 0 } });
          assert.match(socket.io.engine.transport.ws.extensions, /permessage-deflate/);
          const bytes = Buffer.from(Array.from({ length: 50_000 }, (_, i) => i % 251));
          for (const args of [["short"], ["long ".repeat(20_000)], [bytes, { again: bytes }], [[]]]) {
            same(await ask(socket, "echo", ...args), args);
          }
        } finally {
          c.close();
        }
      });
    }
  }));

test("without compression nothing is negotiated", (t) =>
  withServer(t, {}, async (server) => {
    const c = new Run(server, "4.8", "websocket");
    try {
      const socket = await c.connect({ perMessageDeflate: { threshold: 0 } });
      assert.doesNotMatch(socket.io.engine.transport.ws.extensions ?? "", /permessage-deflate/);
    } finally {
      c.close();
    }
  }));
