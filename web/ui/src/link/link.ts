import { batch, computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import { Manager, type Socket } from 'socket.io-client';
import { formatMs } from '../format';
import { ask } from '../room/protocol';
import { append, median } from './series';
import { isTransport, transportLabel, type Transport } from './transport';
import { Wire } from './wire';

export type State = 'connecting' | 'connected' | 'reconnecting' | 'offline' | 'disconnected';

/** How far the upgrade from polling has come. */
export type Upgrade = 'none' | 'probing' | 'done' | 'failed';

export interface Entry {
  id: number;
  at: number; // Date.now()
  text: string;
  tone: 'plain' | 'good' | 'bad';
}

const home = '/'; // the namespace that every page is in, and that latency is measured in
const latencyEvery = 2_000; // milliseconds

type Engine = Manager['engine'];

/**
 * Link is the page's one connection to the server: an ordinary socket.io
 * Manager, and what can be seen of it. All namespaces share it.
 */
export class Link {
  readonly state = signal<State>('connecting');
  readonly attempt = signal(0); // of reconnecting
  readonly transport = signal<Transport | null>(null);
  readonly upgrade = signal<Upgrade>('none');
  readonly upgradeTook = signal<number | null>(null); // milliseconds
  readonly recovered = signal(false);
  readonly problem = signal(''); // why the last attempt failed, "" if it did not
  readonly pollingOnly: ReadonlySignal<boolean>;
  readonly samples = signal<number[]>([]); // round trips in milliseconds, newest last
  readonly latency = computed(() => median(this.samples.value.slice(-5)));
  readonly entries = signal<Entry[]>([]);
  readonly ids = signal<ReadonlyMap<string, string>>(new Map()); // namespace -> id of the socket in it
  readonly wire = new Wire();

  private readonly manager: Manager;
  private readonly sockets = new Map<string, Socket>();
  private readonly name: ReadonlySignal<string>;
  private readonly polling = signal(false);
  private watched: Engine | undefined;
  private entryId = 0;
  private wanted = false; // the visitor wants to be connected
  private measuring = false;

  constructor(options: { name: ReadonlySignal<string>; pollingOnly: boolean; url?: string }) {
    this.name = options.name;
    this.polling.value = options.pollingOnly;
    this.pollingOnly = this.polling;
    const settings = {
      autoConnect: false,
      reconnectionDelay: 400,
      reconnectionDelayMax: 4_000,
      transports: transportsFor(options.pollingOnly),
    };
    this.manager = options.url === undefined ? new Manager(settings) : new Manager(options.url, settings);

    this.manager.on('reconnect_attempt', (attempt) => {
      batch(() => {
        this.attempt.value = attempt;
        this.upgrade.value = 'none';
      });
      queueMicrotask(() => this.watchEngine()); // the manager makes its engine right after this event
    });
    this.watchBrowser();
    this.watchName();
    setInterval(() => void this.measure(), latencyEvery);
  }

  /** socket returns the page's socket in a namespace, and joins it if the page is to be connected. */
  socket(namespace: string): Socket {
    let socket = this.sockets.get(namespace);
    if (!socket) {
      socket = this.manager.socket(namespace, {
        auth: (give: (auth: object) => void) => give({ name: this.name.value }),
      });
      this.sockets.set(namespace, socket);
      this.watchSocket(namespace, socket);
      if (this.wanted) socket.connect();
    }
    return socket;
  }

  connect(): void {
    this.wanted = true;
    batch(() => {
      this.state.value = 'connecting';
      this.upgrade.value = 'none';
      this.problem.value = '';
    });
    this.socket(home);
    for (const socket of this.sockets.values()) socket.connect();
    this.watchEngine();
  }

  disconnect(): void {
    this.wanted = false;
    for (const socket of this.sockets.values()) socket.disconnect();
    this.state.value = 'disconnected';
  }

  /** cut closes the connection under the sockets, as a lost network does; the client comes back by itself. */
  cut(): void {
    if (this.state.value === 'connected') this.manager.engine.close();
  }

  /** setPollingOnly allows or forbids WebSocket, and connects again if that changes anything. */
  setPollingOnly(on: boolean): void {
    if (on === this.polling.value) return;
    this.polling.value = on;
    this.manager.opts.transports = transportsFor(on);
    this.note(on ? 'WebSocket switched off' : 'WebSocket allowed again');
    this.cut();
  }

  private watchSocket(namespace: string, socket: Socket): void {
    const setId = (id: string | undefined) => {
      const ids = new Map(this.ids.value);
      if (id === undefined) ids.delete(namespace);
      else ids.set(namespace, id);
      this.ids.value = ids;
    };

    socket.on('connect', () => {
      setId(socket.id);
      if (namespace !== home) {
        this.note(`joined namespace ${namespace} on the same connection`, 'good');
        return;
      }
      batch(() => {
        this.state.value = 'connected';
        this.attempt.value = 0;
        this.problem.value = '';
        this.recovered.value = socket.recovered;
      });
      if (socket.recovered) this.note('session recovered: same id, same rooms', 'good');
      void this.measure();
    });

    socket.on('disconnect', (reason) => {
      setId(undefined);
      if (namespace !== home) return;
      const coming = socket.active && this.wanted;
      batch(() => {
        this.recovered.value = false;
        this.state.value = coming ? this.waiting() : 'disconnected';
      });
      this.note(reasonText(reason), coming ? 'bad' : 'plain');
    });

    socket.on('connect_error', (error) => {
      if (namespace !== home) {
        this.note(`namespace ${namespace} refused: ${error.message}`, 'bad');
        return;
      }
      batch(() => {
        this.problem.value = socket.active ? 'The server does not answer yet.' : `The server refused: ${error.message}`;
        this.state.value = socket.active ? this.waiting() : 'disconnected';
      });
    });
  }

  private watchEngine(): void {
    const engine = this.manager.engine as Engine | undefined;
    if (!engine || engine === this.watched) return;
    this.watched = engine;
    let began = 0;

    const current = (): Transport => {
      const name = engine.transport?.name;
      return isTransport(name) ? name : 'polling';
    };
    const use = (transport: Transport | null) => {
      this.transport.value = transport;
      this.wire.change(performance.now(), transport);
    };

    engine.on('open', () => {
      began = performance.now();
      batch(() => {
        use(current());
        this.upgrade.value = 'none';
        this.upgradeTook.value = null;
        this.samples.value = [];
      });
      this.note(`connected by ${transportLabel[current()]}`);
    });
    engine.on('upgrading', () => {
      this.upgrade.value = 'probing';
    });
    engine.on('upgrade', () => {
      const took = performance.now() - began;
      batch(() => {
        use(current());
        this.upgrade.value = 'done';
        this.upgradeTook.value = took;
        this.samples.value = [];
      });
      this.note(`upgraded to ${transportLabel[current()]} after ${formatMs(took)}`, 'good');
      void this.measure();
    });
    engine.on('upgradeError', () => {
      this.upgrade.value = 'failed';
      this.note('upgrade failed: stays on polling', 'bad');
    });
    engine.on('packet', (packet) => {
      this.wire.packet(performance.now(), 'in', current(), packet.type, packet.data);
    });
    engine.on('packetCreate', (packet) => {
      this.wire.packet(performance.now(), 'out', current(), packet.type, packet.data);
    });
    engine.on('close', () => {
      batch(() => {
        use(null);
        this.upgrade.value = 'none';
        this.samples.value = [];
      });
    });
  }

  private watchBrowser(): void {
    const refresh = () => {
      if (this.state.value === 'reconnecting' || this.state.value === 'offline' || this.state.value === 'connecting') {
        this.state.value = this.waiting();
      }
    };
    addEventListener('offline', refresh);
    addEventListener('online', refresh);
    document.addEventListener('visibilitychange', () => void this.measure());
  }

  /** The name is part of the handshake of each namespace, so a new one means joining again. */
  private watchName(): void {
    let last = this.name.value;
    effect(() => {
      const name = this.name.value;
      if (name === last) return;
      last = name;
      if (!this.wanted) return;
      for (const socket of this.sockets.values()) socket.disconnect().connect();
      this.watchEngine();
    });
  }

  private waiting(): State {
    return navigator.onLine ? 'reconnecting' : 'offline';
  }

  private async measure(): Promise<void> {
    const socket = this.sockets.get(home);
    if (this.measuring || !socket?.connected || document.hidden) return;
    this.measuring = true;
    const engine = this.manager.engine;
    const transport = this.transport.value;
    const sent = performance.now();
    try {
      await ask(socket, 'time');
      // A sample that spans an upgrade or a reconnect belongs to neither side.
      if (engine === this.manager.engine && transport === this.transport.value) {
        this.samples.value = append(this.samples.value, performance.now() - sent, 40);
      }
    } catch {
      // No answer: the state of the connection tells the story.
    } finally {
      this.measuring = false;
    }
  }

  private note(text: string, tone: Entry['tone'] = 'plain'): void {
    const entry: Entry = { id: ++this.entryId, at: Date.now(), text, tone };
    this.entries.value = [entry, ...this.entries.value].slice(0, 20);
  }
}

function transportsFor(pollingOnly: boolean): Transport[] {
  return pollingOnly ? ['polling'] : ['polling', 'websocket'];
}

function reasonText(reason: string): string {
  switch (reason) {
    case 'io client disconnect':
      return 'left the server';
    case 'io server disconnect':
      return 'the server ended the session';
    case 'forced close':
      return 'connection closed from this page';
    case 'ping timeout':
      return 'connection lost: no heartbeat';
    default:
      return `connection lost: ${reason}`;
  }
}
