const points = [
  ['Upgrade', 'Every connection starts with HTTP polling and moves to WebSocket without losing a packet. Turn on “Polling only” to see it stay.'],
  ['Rooms', 'A message goes to everybody in the room and to nobody else. Move one window to #random and talk from the other.'],
  ['Namespaces', 'Chat and Board are separate groups with rooms of their own, and share one connection. Watch their lanes on the wire.'],
  ['Recovery', '“Cut the line” closes the connection as a lost network does. The client comes back with its id, its rooms and what it missed.'],
];

export function Explanation() {
  return (
    <section id="how" class="how" aria-labelledby="how-title">
      <h2 id="how-title">What you are seeing</h2>
      <dl>
        {points.map(([title, text]) => <div key={title}><dt>{title}</dt><dd>{text}</dd></div>)}
      </dl>
    </section>
  );
}

const client = `import { io } from "socket.io-client";

const socket = io({ auth: { name: "brisk-otter" } });

await socket.emitWithAck("join", { room: "lobby" });

socket.on("message", ({ from, data }) => {
  console.log(from.name, data);
});

await socket.emitWithAck("send", {
  room: "lobby",
  data: { text: "Hello" },
});`;

const namespaces = `// A second namespace shares the connection.
const board = io("/board");

await board.emitWithAck("join", { room: "lobby" });

// Losing a cursor is fine, so nothing waits for it.
board.volatile.emit("send", {
  room: "lobby",
  data: { kind: "cursor", x: 320, y: 200 },
  volatile: true,
});`;

export function Snippets() {
  return (
    <section class="snippets" aria-labelledby="code-title">
      <h2 id="code-title">The client is the one you know</h2>
      <p>Nothing to learn and nothing to swap: install <code>socket.io-client</code> from npm and point it at Roomcast.</p>
      <div>
        <pre tabIndex={0} aria-label="Join a room and talk"><code>{client}</code></pre>
        <pre tabIndex={0} aria-label="Use a second namespace"><code>{namespaces}</code></pre>
      </div>
    </section>
  );
}
