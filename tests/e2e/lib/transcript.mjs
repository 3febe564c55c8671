// Plays a script with clients of version 2.5 and writes down what each of them,
// and the server's handlers, saw.
import http from "node:http";
import { once } from "node:events";
import client2 from "client2";
import { setTimeout as pause } from "node:timers/promises";
import { modes, plain, until, within } from "./clients.mjs";

const patience = 60_000; // (ms) for what must come, on a machine that is busy with other things

export class Transcript {
  seen = {}; // who -> lines, in their order
  ids = new Map(); // Engine.IO id -> name of the client
  clients = [];
  closed = false;

  /**
   * original: whether the server is googollee's, of which it is known what doesn't come.
   * Everything else is waited for however busy the machine is.
   */
  constructor(server, mode, original) {
    Object.assign(this, { server, mode, original });
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
      timeout: patience,
      ...options,
    });
    const { ondata } = io;
    io.ondata = (data) => {
      try {
        ondata.call(io, data);
      } catch {
        this.line(name, "a packet that can't be read");
      }
    };
    return this.join(name, "/", io);
  }

  /** Makes a client's socket in a namespace. */
  join(name, namespace, io, options) {
    const socket = io.socket(namespace, options);
    const client = { name, who: namespace === "/" ? name : name + namespace, socket, io };
    const { who } = client;
    socket.on("connect", () => {
      if (namespace === "/") this.ids.set(io.engine.id, name);
      this.write(who, "connect");
    });
    for (const event of ["disconnect", "error", "connect_error"]) {
      socket.on(event, (value) => {
        client.over = event; // it was refused, or its connection has ended
        this.write(who, event, value instanceof Error ? "" : value);
      });
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
      await this.until(() => c.socket.connected || c.over, `${name} connected`);
    }
    await this.settle();
    return made;
  }

  /** Waits for what must come to be. */
  until(check, what) {
    return until(check, what, patience);
  }

  /** Asks and writes down the answer, or that the connection has ended without one. */
  ask(c, event, ...args) {
    return this.answered(c, event, this.answer(c, event, args));
  }

  /** Asks what googollee never answers: it isn't waited for long. */
  askInVain(c, event, ...args) {
    const answer = this.answer(c, event, args);
    return this.answered(c, event, this.original ? Promise.race([answer, pause(500)]) : answer);
  }

  async answered(c, event, promise) {
    const answer = await promise;
    if (answer) this.write(c.who, `answer to ${event}`, ...answer);
    else this.line(c.who, `no answer to ${event}`);
    return Boolean(answer);
  }

  /** Asks for what should not be answered: a later question is. */
  async unanswered(c, event, ...args) {
    let answered = false;
    c.socket.emit(event, ...args, () => (answered = true));
    await this.answer(c, "text", ["later"]);
    this.line(c.who, `${event} was ${answered ? "" : "not "}answered`);
  }

  /** The answer, or undefined once the connection has ended. */
  answer(c, event, args) {
    return within(
      new Promise((resolve) => {
        const end = () => setTimeout(resolve, 50);
        if (c.over && !c.socket.connected) return end();
        c.socket.once("disconnect", end);
        c.socket.emit(event, ...args, (...answer) => resolve(answer));
      }),
      `answer to ${event}`,
      patience,
    );
  }

  /** Everything that was sent before has arrived at all clients. */
  async settle() {
    for (const c of this.clients) {
      if (c.socket.connected && c.socket.nsp === "/") await this.answer(c, "text", ["settle"]);
    }
  }

  /**
   * Writes down what the handlers have noted, in any order, once there are n lines.
   * With googollee there are more: extra. What matches but isn't counted or written.
   */
  async notes(n, { extra = 0, but } = {}) {
    if (this.original) n += extra;
    const lines = [];
    const read = async () => {
      const response = await fetch(`${this.server.url}/notes`);
      lines.push(...(await response.json()).filter((line) => !but?.test(line)));
      return lines.length >= n;
    };
    await this.until(read, `${n} notes`);
    if (extra > 0 && !this.original) {
      await pause(100); // they would be here by now
      await read();
    }
    for (const line of lines.sort()) this.line("notes", line);
  }

  /** Lets a handler go on that waits for it. */
  async release() {
    await fetch(`${this.server.url}/release`);
  }

  /** Writes down the status of a request, and what look says of it. */
  async fetch(query, look = () => [], options) {
    const response = await fetch(`${this.server.url}/socket.io/?EIO=3&transport=polling${query}`, options);
    this.write("fetch", query, response.status, ...look(response, await response.text()));
  }

  /** Writes down the status of a WebSocket's handshake, and one of its headers. */
  async upgrade(query, header) {
    const request = http.get(`${this.server.url}/socket.io/?EIO=3&transport=websocket${query}`, {
      headers: { Connection: "Upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": 13, "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==" },
    });
    const [response, socket] = await within(once(request, "upgrade"), "upgrade", patience);
    socket.destroy();
    this.write("upgrade", query, response.statusCode, response.headers[header]);
  }

  close() {
    this.closed = true;
    for (const { io } of this.clients) {
      io.skipReconnect = true;
      io.engine?.close();
    }
  }
}
