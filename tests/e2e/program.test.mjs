// The program, as it comes: "roomcast serve --demo" and the events of its namespaces.
import { createHash } from "node:crypto";
import { test } from "node:test";
import assert from "node:assert/strict";
import { Run, ask, modes, next, same, until, versions } from "./lib/clients.mjs";
import { startProgram } from "./lib/program.mjs";
import { reference } from "./lib/server.mjs";

test("the program's demo", { skip: reference && "the official server has no such events" }, async (t) => {
  const server = await startProgram({ flags: ["--eio3"] });
  const opened = [];
  const visit = async (version, mode, options) => {
    const c = new Run(server, version, mode);
    opened.push(c);
    return [await c.connect(options), c];
  };
  const named = (major, name) => (major === 2 ? {} : { auth: { name } });

  try {
    for (const namespace of ["", "/board"]) {
      for (const version of Object.keys(versions)) {
        for (const mode of Object.keys(modes)) {
          await t.test(`client ${version}, ${mode}, in ${namespace || "/"}: join, send, members, leave`, async () => {
            const room = `room ${version} ${mode}${namespace}`;
            const [one, c] = await visit(version, mode, { namespace, ...named(versions[version].major, "Ada") });
            const [two] = await visit("4.8", "websocket", { namespace, auth: { name: "Grace" } });
            // The id of a client of version 2 is the key to its session.
            const id = c.major > 2 ? one.id : createHash("sha256").update(one.id).digest("base64url").slice(0, 20);
            const [none] = await ask(one, "send", { room, data: "too early" });
            assert.deepEqual([none.ok, none.code], [false, "not_in_room"]);

            const [first] = await ask(two, "join", { room });
            assert.deepEqual([first.ok, first.room, first.members.map((m) => m.name)], [true, room, ["Grace"]]);
            const joined = next(two, "joined");
            const [second] = await ask(one, "join", { room });
            assert.equal(second.ok, true);
            const self = second.members.find((member) => member.id === id);
            assert.ok(self, "the list has the one who joined");
            if (c.major > 2) assert.equal(self.name, "Ada");
            assert.equal(self.transport, mode === "polling" ? "polling" : "websocket");
            assert.equal((await joined)[0].member.id, id);

            for (const data of ["héllo 🎉", { a: [1, null] }, Buffer.from([0, 1, 255]), { deep: [Buffer.from("x")] }]) {
              const heard = next(two, "message");
              const [sent] = await ask(one, "send", { room, data });
              assert.equal(sent.ok, true);
              const [message] = await heard;
              same(message.data, data);
              assert.deepEqual([message.room, message.from.id], [room, id]);
              assert.ok(Math.abs(message.at - Date.now()) < 60_000, "at is in ms");
            }
            const left = next(two, "left");
            assert.equal((await ask(one, "leave", { room }))[0].ok, true);
            assert.equal((await left)[0].member.id, id);
            const [members] = await ask(two, "members", { room });
            assert.deepEqual(members.members.map((m) => m.id), [two.id]);
            for (const c of opened.splice(0)) c.close();
          });
        }
      }
    }

    await t.test("an upgrade is told to the others", async () => {
      const [watcher] = await visit("4.8", "websocket");
      await ask(watcher, "join", { room: "upgrades" });
      const heard = []; // what the room is told of its members, last word last
      for (const event of ["joined", "updated"]) watcher.on(event, ({ member }) => heard.push(member));
      const c = new Run(server, "4.8", "upgrade");
      opened.push(c);
      const socket = c.open();
      socket.on("connect", () => socket.emit("join", { room: "upgrades" }));
      await c.connected(socket);
      await until(
        async () => (await ask(watcher, "members", { room: "upgrades" }))[0].members.some((m) => m.id === socket.id && m.transport === "websocket"),
        "the member on WebSocket",
      );
      await until(() => heard.at(-1)?.id === socket.id && heard.at(-1).transport === "websocket", "the update");
    });

    await t.test("latency that a client reports reaches the room", async () => {
      const [one] = await visit("4.8", "websocket");
      const [two] = await visit("4.8", "polling");
      await ask(one, "join", { room: "latency" });
      await ask(two, "join", { room: "latency" });
      const updated = next(two, "updated");
      assert.equal((await ask(one, "status", { latency: 12.5 }))[0].ok, true);
      const [{ member }] = await updated;
      assert.deepEqual([member.id, member.latency], [one.id, 12.5]);
      const [{ ok, now }] = await ask(one, "time");
      assert.equal(ok, true);
      assert.ok(Math.abs(now - Date.now()) < 60_000);
    });

    await t.test("bad requests are answered, not punished", async () => {
      const [socket] = await visit("4.8", "websocket");
      for (const [event, ...args] of [["join"], ["join", 5], ["join", { room: "" }], ["join", { room: "x".repeat(10_000) }], ["no such event"]]) {
        const [answer] = await ask(socket, event, ...args);
        assert.deepEqual([answer.ok, answer.code], [false, "bad_request"], event);
        assert.equal(typeof answer.message, "string");
      }
      assert.equal(socket.connected, true);
      const c = new Run(server, "4.8", "websocket");
      opened.push(c);
      const [err] = await next(c.open({ namespace: "/elsewhere" }), "connect_error");
      assert.equal(err.message, "Invalid namespace");
    });

    await t.test("metrics and probes are on the internal listener only", async () => {
      const metrics = await fetch(`${server.internal}/metrics`);
      assert.equal(metrics.status, 200);
      assert.match(await metrics.text(), /^roomcast_/m);
      const open = await fetch(`${server.url}/metrics`);
      assert.doesNotMatch(await open.text(), /^roomcast_/m);
    });

    await t.test("it ends in order: clients see their transport close", async () => {
      const all = await Promise.all([visit("2.5", "websocket"), visit("3.1", "polling"), visit("4.8", "upgrade")]);
      const ends = all.map(([socket]) => next(socket, "disconnect"));
      await server.stop();
      for (const end of ends) assert.match((await end)[0], /^transport (close|error)$/);
    });
  } finally {
    for (const c of opened) c.close();
    await server.stop();
  }
});
