import { Code } from './code';

const points = [
  ['Upgrade', 'Every connection starts with HTTP polling and moves to WebSocket without losing a packet. Turn on “Polling only” to see it stay.'],
  ['Rooms', 'A message goes to everybody in the room and to nobody else. Move one window to #random and talk from the other.'],
  ['Namespaces', 'Chat and Board are separate groups with rooms of their own, and share one connection. Watch their lanes on the wire.'],
  ['Recovery', '“Cut the line” closes the connection as a lost network does. The client comes back with its id, its rooms and what it missed.'],
  ['Queues', 'A message in a queue is with one worker at a time. Kill the worker: the message goes to the next at once. What fails too often is put aside, with the reason.'],
  ['Inboxes', 'What is sent to a name waits while its owner is away, and arrives in order. Leave your inbox, send to it from the other window, come back.'],
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

const chat = io("https://chat.example/chat");

chat.on("said", (text) => console.log(text));

// An ack, as a promise.
const members = await chat.emitWithAck("join", "lobby");

chat.emit("say", { Room: "lobby", Text: "hello" });`;

const program = `chat := io.Of("/chat")

server.OnAck(chat, "join", func(ctx context.Context,
	s *server.Socket, room string) (int, error) {
	return chat.Count(room) + 1, s.Join(room)
})
server.On(chat, "say", func(ctx context.Context,
	s *server.Socket, m Message) error {
	return s.To(m.Room).Emit(ctx, "said", m.Text)
})

router.Any("/socket.io/*any", gin.WrapH(io))`;

export function Snippets() {
  return (
    <section class="snippets" aria-labelledby="code-title">
      <h2 id="code-title">The client is the one you know</h2>
      <p>Install <code>socket.io-client</code> from npm and point it at Roomcast. On the other end: handlers in plain Go, or the <code>roomcast</code> program and no code at all.</p>
      <div>
        <figure>
          <figcaption>Browser or Node</figcaption>
          <pre tabIndex={0} aria-label="A client"><code><Code text={client} /></code></pre>
        </figure>
        <figure>
          <figcaption>Go</figcaption>
          <pre tabIndex={0} aria-label="The server"><code><Code text={program} /></code></pre>
        </figure>
      </div>
    </section>
  );
}
