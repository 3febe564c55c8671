// Traffic both ways while the transport changes: nothing lost, doubled or out of order.
import assert from "node:assert/strict";
import { ask, same, transport, until } from "../lib/clients.mjs";

const breath = () => new Promise((resolve) => setImmediate(resolve));

export default [0, 1, 2].map((round) => ({
  name: `200 messages each way during the upgrade (${["text", "bytes", "a slow start"][round]})`,
  unless: (c) => c.mode !== "upgrade",
  async run(c) {
    const sender = await c.connect();
    const socket = c.open();
    const echoes = c.inbox(socket, "echo");
    const words = c.inbox(socket, "word");
    await until(() => socket.connected && socket.id, "connected");
    const message = (i) => (round === 1 ? [i, Buffer.from(`bytes ${i}`)] : [i, { text: "x".repeat(i % 50) }]);
    let sent = 0;
    let past = 0; // sent on the new transport
    while (sent < 200 || past < 20) {
      socket.emit("echo", ...message(sent));
      sender.emit("cast", { to: [socket.id] }, "word", ...message(sent));
      sent++;
      if (transport(socket) === "websocket") past++;
      if (sent % 4 === 0 || round === 2) await breath();
      if (sent > 5000) await until(() => transport(socket) === "websocket", "upgrade");
    }
    const expected = Array.from({ length: sent }, (_, i) => message(i));
    same(await echoes.take(sent), expected);
    same(await words.take(sent), expected);
    assert.equal((await ask(socket, "info"))[0].transport, "websocket");
  },
}));
