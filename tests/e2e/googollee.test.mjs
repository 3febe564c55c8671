// googollee's example programs, in other words (compat/googollee/testdata/program),
// on Roomcast in both ways to move there, with the clients of today.
import { test } from "node:test";
import assert from "node:assert/strict";
import { once } from "node:events";
import { Run, ask, modes, next, same, until, versions, within } from "./lib/clients.mjs";
import { build, start } from "./lib/googollee.mjs";
import { startRedis } from "./lib/redis.mjs";

const ways = ["import", "replace"];
const page = "https://page.example";

/** Runs a part of the program, and f for each client version and transport. */
async function matrix(t, way, part, f) {
  const server = await start(way, part);
  try {
    for (const version of Object.keys(versions)) {
      for (const mode of Object.keys(modes)) {
        await t.test(`client ${version}, ${mode}`, async () => {
          const run = new Run(server, version, mode);
          try {
            await f(run);
          } finally {
            run.close();
          }
        });
      }
    }
    for (const [name, query] of [["polling", "transport=polling"], ["WebSocket", "transport=websocket"]]) {
      await t.test(`a client of version 1.4 connects by ${name}`, async () => {
        // It speaks Engine.IO 3 as version 2 does, and says so in the same words.
        const response = await fetch(`${server.url}/socket.io/?EIO=3&${query}`);
        assert.equal(response.status, name === "polling" ? 200 : 400); // 400: no upgrade was asked for
      });
    }
  } finally {
    await server.stop();
  }
}
