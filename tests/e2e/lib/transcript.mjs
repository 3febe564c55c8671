// Plays a script with clients of version 2.5 and writes down what each of them,
// and the server's handlers, saw.
import client2 from "client2";
import { modes, plain, until } from "./clients.mjs";

export class Transcript {
  seen = {}; // who -> lines, in their order
  ids = new Map(); // Engine.IO id -> name of the client
  clients = [];
  closed = false;

  /** patience: how long to wait for what may not come at all (ms). */
  constructor(server, mode, patience) {
    Object.assign(this, { server, mode, patience });
  }

  line(who, text) {
    if (this.closed) return;
    // Ids differ from run to run.
    for (const [id, name] of this.ids) text = text.replaceAll(JSON.stringify(id), `<${name}>`);
    (this.seen[who] ??= []).push(text);
  }

  write(who, what, ...values) {
    const readable = (v) => (v instanceof Error ? v.message : v);
    this.line(who, `${what} ${JSON.stringify(plain(values.map(readable)))}`);
  }

  /** Makes a client in "/" and doesn't wait for it. */
  open(name, { query = {}, ...options } = {}) {
    const io = new client2.Manager(this.server.url, {
      ...modes[this.mode],
      path: "/socket.io",
      query: { name, ...query },
      reconnection: false,
      timeout: this.patience,
      ...options,
    });
    return this.join(name, "/", io);
  }

  /** Makes a client's socket in a namespace. */
  join(name, namespace, io) {
    const socket = io.socket(namespace);
    const client = { name, who: namespace === "/" ? name : name + namespace, socket, io };
    const { who } = client;
    socket.on("connect", () => {
      if (namespace === "/") this.ids.set(io.engine.id, name);
      this.write(who, "connect");
    });
    for (const event of ["disconnect", "error", "connect_error"]) {
      socket.on(event, (value) => this.write(who, event, value instanceof Error ? "" : value));
    }
    socket.on("question", (text, answer) => {
      if (text === "nothing") return answer();
      if (text === "object") return answer({ text: "t", n: 1 }, Buffer.from([1, 2, 3]));
      answer(`re ${text}`, 7);
    });
    const { onevent } = socket;
    socket.onevent = (packet) => {
      this.write(who, "event", ...packet.data);
      onevent.call(socket, packet);
    };
    this.clients.push(client);
    return client;
  }

  /** Makes clients in "/", one after the other, and waits until they are connected. */
  async connect(...names) {
    const made = [];
    for (const name of names) {
      const c = this.open(name);
      made.push(c);
      await this.eventually(name, () => c.socket.connected, "connected");
    }
    await this.settle();
    return made;
  }

  /** Waits for what should come to be, and writes down if it doesn't. */
  async eventually(who, check, what) {
    try {
      await until(check, what, this.patience);
    } catch {
      this.line(who, `missing: ${what}`);
    }
  }

  /** Asks and writes down the answer, or that there is none. */
  async ask(c, event, ...args) {
    const answer = await this.answer(c, event, args);
    if (answer) this.write(c.who, `answer to ${event}`, ...answer);
    else this.line(c.who, `no answer to ${event}`);
  }

  /** Asks for what should not be answered: a later question is. */
  async unanswered(c, event, ...args) {
    let answered = false;
    c.socket.emit(event, ...args, () => (answered = true));
    await this.answer(c, "text", ["later"]);
    this.line(c.who, `${event} was ${answered ? "" : "not "}answered`);
  }

  answer(c, event, args) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.patience, null);
      c.socket.once("disconnect", () => setTimeout(resolve, 50, null));
      c.socket.emit(event, ...args, (...answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
    });
  }

  /** Everything that was sent before has arrived at all clients. */
  async settle() {
    for (const c of this.clients) {
      if (c.socket.connected && c.socket.nsp === "/") await this.answer(c, "text", ["settle"]);
    }
  }

  /** Writes down what the handlers have noted, in any order, once there are n lines. */
  async notes(n, but) {
    const lines = [];
    await this.eventually("notes", async () => {
      const response = await fetch(`${this.server.url}/notes`);
      lines.push(...(await response.json()).filter((line) => !but?.test(line)));
      return lines.length >= n;
    }, `${n} notes`);
    for (const line of lines.sort()) this.line("notes", line);
  }

  /** Writes down the status of a request, and what look says of it. */
  async fetch(query, look = () => [], options) {
    const response = await fetch(`${this.server.url}/socket.io/?EIO=3&transport=polling${query}`, options);
    this.write("fetch", query, response.status, ...look(response, await response.text()));
  }

  close() {
    this.closed = true;
    for (const { io } of this.clients) {
      io.skipReconnect = true;
      io.engine?.close();
    }
  }
}
