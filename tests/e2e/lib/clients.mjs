// The real clients, and how to speak with each of them in one way.
import client2 from "client2";
import client3 from "client3";
import { io as client4 } from "client4";
import msgpack from "socket.io-msgpack-parser";
import assert from "node:assert/strict";
import { reference } from "./server.mjs";

/** Client versions: name -> how it differs. */
export const versions = {
  "2.5": { major: 2, io: client2 },
  "3.1": { major: 3, io: client3.io ?? client3 },
  "4.8": { major: 4, io: client4 },
};

/** Transport modes: name -> client options. */
export const modes = {
  polling: { transports: ["polling"], upgrade: false },
  websocket: { transports: ["websocket"] },
  upgrade: { transports: ["polling", "websocket"] },
};

const patience = 20_000; // longest wait for anything that must happen: a busy machine needs long

/** Rejects with what was awaited when it takes too long. */
export function within(promise, what, ms = patience) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until check() returns something true, and returns it. */
export async function until(check, what, ms = patience) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await check();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** The next time that event fires, with its arguments. */
export function next(emitter, event, ms) {
  return within(new Promise((resolve) => emitter.once(event, (...args) => resolve(args))), `"${event}"`, ms);
}

/** Emits and waits for the acknowledgement: all its arguments. */
export function ask(socket, event, ...args) {
  const what = [`acknowledgement of "${event}"`];
  const lost = (reason) => what.push(`(disconnected: ${reason})`);
  socket.once("disconnect", lost);
  return within(
    new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))),
    { toString: () => what.join(" ") },
  ).finally(() => socket.off("disconnect", lost));
}

/**
 * Waits until nothing is under way: a polling client has its GET at the server,
 * so that the server sees at once when the connection breaks.
 */
export async function idle(socket) {
  await ask(socket, "info");
  await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Everything that arrived before the server answered is in the inboxes afterwards. */
export const settle = (...sockets) => Promise.all(sockets.map((socket) => ask(socket, "info")));

/** Bytes in whatever form a client gives them, made comparable. */
export function plain(value) {
  if (value instanceof ArrayBuffer) return { bytes: Buffer.from(value).toString("hex") };
  if (ArrayBuffer.isView(value)) {
    return { bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("hex") };
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]));
  }
  return value;
}

export function same(actual, expected, message) {
  assert.deepStrictEqual(plain(actual), plain(expected), message);
}

/**
 * One run of a scenario: a server, a client version, a transport mode.
 * Whatever it opens is closed when the scenario ends.
 */
export class Run {
  constructor(server, version, mode, config = {}) {
    Object.assign(this, { server, version, mode, config, url: server.url, sockets: [] });
    this.major = versions[version].major;
    this.room = `room-${Run.count++}`;
  }

  static count = 0;

  /** Whether a client that comes back is recovered and keeps its id. */
  get recovers() {
    return Boolean(this.config.recovery) && this.major === 4;
  }

  /** The same run with another version or mode; its sockets are closed with this one's. */
  with(version, mode = this.mode) {
    const run = new Run(this.server, version, mode, this.config);
    run.sockets = this.sockets;
    run.url = this.url;
    return run;
  }

  /** Makes a socket and doesn't wait for it. auth goes as the version sends it. */
  open({ namespace = "", auth, url = this.url, ...options } = {}) {
    let address = url + namespace;
    if (auth && this.major === 2) address += "?" + new URLSearchParams(auth);
    const socket = versions[this.version].io(address, {
      forceNew: true,
      reconnectionDelay: 20,
      reconnectionDelayMax: 200,
      randomizationFactor: 0.5,
      ...(this.config.parser === "msgpack" && { parser: msgpack }),
      ...modes[this.mode],
      ...(auth && this.major > 2 && { auth }),
      ...options,
    });
    this.sockets.push(socket);
    return socket;
  }

  /** Makes a socket, waits until it is connected and, in mode upgrade, upgraded. */
  async connect(options) {
    const socket = this.open(options);
    await this.connected(socket);
    return socket;
  }

  async connected(socket) {
    await until(() => socket.connected && socket.id, `connected with ${this.version}, ${this.mode}`);
    await this.upgraded(socket);
  }

  async upgraded(socket) {
    if (this.mode === "upgrade") await until(() => transport(socket) === "websocket", "upgrade to WebSocket");
  }

  /**
   * Gathers the events of one name. With recovery the server adds an offset as
   * last argument of events without an acknowledgement; it is taken off here.
   * (The official server adds it for v2 clients too, which can't use it.)
   */
  inbox(socket, event) {
    const inbox = [];
    const offsets = this.config.recovery && (reference || this.major > 2);
    socket.on(event, (...args) => {
      if (offsets && typeof args.at(-1) === "string") args.pop();
      inbox.push(args);
    });
    /** Waits for n events and checks that there aren't more so far. */
    inbox.take = async (n) => {
      await until(() => inbox.length >= n, `${n} × "${event}" (have ${inbox.length})`);
      assert.equal(inbox.length, n, `"${event}" came too often`);
      return inbox.splice(0);
    };
    return inbox;
  }

  close() {
    for (const socket of this.sockets.splice(0)) {
      socket.io.reconnection(false);
      socket.close();
      socket.io.engine?.close();
    }
  }
}

/** The transport that a socket is on: polling or websocket. */
export const transport = (socket) => socket.io.engine?.transport?.name;

/** The Engine.IO session of a socket, which a reconnect changes. */
export const session = (socket) => socket.io.engine?.id;
