// Clients of all versions over all transports in one room.
import { test } from "node:test";
import assert from "node:assert/strict";
import { Run, ask, modes, same, settle, versions } from "./lib/clients.mjs";
import { startServer } from "./lib/server.mjs";

for (const [name, config] of [["plain server", {}], ["with recovery", { recovery: true }], ["with compression", { deflate: true }]]) {
  test(`client versions among each other: ${name}`, async (t) => {
    const server = await startServer(config);
    const members = [];
    try {
      for (const version of Object.keys(versions)) {
        for (const mode of Object.keys(modes)) {
          const c = new Run(server, version, mode, config);
          const socket = await c.connect();
          await ask(socket, "join", ["all"]);
          members.push({ name: `client ${version}, ${mode}`, socket, words: c.inbox(socket, "word"), c });
        }
      }
      const sockets = members.map(({ socket }) => socket);

      for (const sender of members) {
        await t.test(`${sender.name} reaches everybody else exactly once`, async () => {
          const words = [
            ["text", "ünïcödé 🎉", 1],
            [Buffer.from("some bytes"), { deep: [Buffer.alloc(3), "and text"] }, 2],
            [{ list: Array.from({ length: 300 }, (_, i) => `item ${i}`) }, 3],
          ];
          for (const word of words) await ask(sender.socket, "cast", { by: "socket", to: ["all"] }, "word", ...word);
          await settle(...sockets);
          for (const member of members) {
            same(member.words.splice(0), member === sender ? [] : words, member.name);
          }
        });
      }

      await t.test("all of them send at once: each order holds, nothing is lost or doubled", async () => {
        const count = 40;
        await Promise.all(
          members.map(async ({ socket }, from) => {
            for (let i = 0; i < count; i++) socket.emit("cast", { to: ["all"] }, "word", from, i % 5 ? i : Buffer.from([i]));
            await ask(socket, "info");
          }),
        );
        await settle(...sockets);
        for (const member of members) {
          const got = member.words.splice(0);
          assert.equal(got.length, members.length * count, member.name);
          for (const from of members.keys()) {
            const theirs = got.filter(([sender]) => sender === from).map(([, i]) => (typeof i === "number" ? i : Buffer.from(i)[0]));
            same(theirs, Array.from({ length: count }, (_, i) => i), `${member.name} from ${members[from].name}`);
          }
        }
      });

      await t.test("all of them answer a broadcast", async () => {
        for (const [i, { socket }] of members.entries()) socket.on("poll", (bytes, ack) => ack({ i, bytes }));
        const bytes = Buffer.from([1, 2]);
        const [result] = await ask(sockets[0], "cast-call", { to: ["all"], timeout: 5000 }, "poll", bytes);
        assert.equal(result.timedOut, false);
        result.answers.sort((a, b) => a.i - b.i);
        same(result.answers, members.map((_, i) => ({ i, bytes })));
      });

      await t.test("nobody hears what isn't theirs", async () => {
        for (const { words } of members) assert.equal(words.length, 0);
      });
    } finally {
      for (const { c } of members) c.close();
      await server.stop();
    }
  });
}
