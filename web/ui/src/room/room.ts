import { computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import type { Socket } from 'socket.io-client';
import { address } from '../address';
import { assignHues } from '../hues';
import type { Link } from '../link/link';
import { name } from '../profile';
import { drop, put, withSelf } from './members';
import { ask, isRecord, toMember, toMembers, type Member, type Message } from './protocol';

export const defaultRoom = 'lobby';
export const suggestedRooms = ['lobby', 'random'];
export const maxRoom = 40; // characters, as the page's input allows

const statusEvery = 4_000; // milliseconds between two reports of latency, at least

export interface RoomEvents {
  message?: (message: Message) => void;
  joined?: (member: Member) => void;
  left?: (member: Member) => void;
  /** The page is in the room: it came anew, or its session was recovered. */
  entered?: (room: string, recovered: boolean) => void;
}

/**
 * Room keeps the page in one room of one namespace: it joins again after a
 * reconnect, moves to another room, and knows who is there.
 */
export class Room {
  readonly namespace: string;
  readonly name = signal(defaultRoom);
  readonly inside = signal(false);
  readonly problem = signal('');
  readonly members;
  readonly hues: ReadonlySignal<ReadonlyMap<string, number>>; // id of a member -> colour

  private readonly link: Link;
  private readonly param: string | null;
  private readonly socket: Socket;
  private readonly others = signal<Member[]>([]);
  private readonly events: RoomEvents;
  private turn = 0; // counts moves, so that a late answer to an old one is dropped
  private reported = 0;

  /** param is the page's search parameter that names the room; null: it is always home. */
  constructor(link: Link, namespace: string, param: string | null, events: RoomEvents, home = defaultRoom) {
    this.link = link;
    this.namespace = namespace;
    this.param = param;
    this.events = events;
    this.name.value = cleanRoom((param && address.get(param)) ?? '') || home;
    this.members = computed(() => withSelf(this.others.value, this.self.value));
    let last: ReadonlyMap<string, number> = new Map();
    this.hues = computed(() => (last = assignHues(last, this.members.value)));
    this.socket = link.socket(namespace);
    this.listen();
    if (this.socket.connected) void this.enter();
  }

  /** The visitor as a member; null while not in the room. */
  readonly self = computed<Member | null>(() => {
    const id = this.link.ids.value.get(this.namespace);
    if (!id || !this.inside.value) return null;
    const node = this.others.value.find((member) => member.id === id)?.node ?? ''; // only the server knows
    return { id, name: name.value, transport: this.link.transport.value, latency: this.link.latency.value ?? null, node };
  });

  /** move leaves the room and joins another. */
  async move(typed: string): Promise<void> {
    const next = cleanRoom(typed);
    const last = this.name.value;
    if (!next || (next === last && this.inside.value)) return;
    this.name.value = next;
    if (this.param) address.set(this.param, next === defaultRoom ? null : next);
    const wasInside = this.inside.value;
    this.reset();
    if (!this.socket.connected) return; // joins when it is
    if (wasInside) void ask(this.socket, 'leave', { room: last }).catch(() => undefined);
    await this.enter();
  }

  /** send gives data to everybody else in the room; it resolves to the server's time, and throws an AnswerError. */
  async send(data: unknown): Promise<number> {
    const answer = await ask(this.socket, 'send', { room: this.name.value, data });
    return typeof answer.at === 'number' ? answer.at : Date.now();
  }

  /** sendVolatile is send for what is worthless later: it may get lost, and nobody answers. */
  sendVolatile(data: unknown): void {
    if (this.inside.value) this.socket.volatile.emit('send', { room: this.name.value, data, volatile: true });
  }

  private async enter(): Promise<void> {
    const turn = ++this.turn;
    const room = this.name.value;
    const recovered = this.socket.recovered && this.inside.value;
    try {
      const answer = await ask(this.socket, recovered ? 'members' : 'join', { room });
      if (turn !== this.turn) return;
      this.others.value = toMembers(answer.members);
      this.inside.value = true;
      this.problem.value = '';
      this.events.entered?.(room, recovered);
      this.report(true);
    } catch (error) {
      if (turn === this.turn && this.socket.connected) {
        this.inside.value = false;
        this.problem.value = `Could not join ${room}: ${(error as Error).message}`;
      }
    }
  }

  private reset(): void {
    this.turn++;
    this.inside.value = false;
    this.others.value = [];
    this.problem.value = '';
  }

  private listen(): void {
    this.socket.on('connect', () => {
      if (!this.socket.recovered) this.reset();
      void this.enter();
    });
    this.socket.on('disconnect', (reason) => {
      this.others.value = [];
      // After a lost connection the session may be recovered, rooms and all.
      if (reason === 'io client disconnect' || reason === 'io server disconnect') this.reset();
    });
    this.on('joined', (member) => {
      this.others.value = put(this.others.value, member);
      this.events.joined?.(member);
    });
    this.on('left', (member) => {
      this.others.value = drop(this.others.value, member.id);
      this.events.left?.(member);
    });
    this.on('updated', (member) => {
      this.others.value = put(this.others.value, member);
    });
    this.socket.on('message', (value: unknown) => {
      if (!isRecord(value) || value.room !== this.name.value) return;
      const from = toMember(value.from);
      if (!from) return;
      const at = typeof value.at === 'number' ? value.at : Date.now();
      this.events.message?.({ room: this.name.value, from, data: value.data, at });
    });
    effect(() => {
      if (this.link.latency.value !== undefined) this.report(false);
    });
  }

  private on(event: string, handle: (member: Member) => void): void {
    this.socket.on(event, (value: unknown) => {
      if (!isRecord(value) || value.room !== this.name.value) return;
      const member = toMember(value.member);
      if (member) handle(member);
    });
  }

  /** report tells the others in the room this connection's latency. */
  private report(now: boolean): void {
    const latency = this.link.latency.peek();
    const at = performance.now();
    if (latency === undefined || !this.inside.peek() || !this.socket.connected) return;
    if (!now && at - this.reported < statusEvery) return;
    this.reported = at;
    void ask(this.socket, 'status', { latency: Math.round(latency * 10) / 10 }).catch(() => undefined);
  }
}

/** cleanRoom trims a typed name of a room; "" means that nothing is left. */
export function cleanRoom(typed: string): string {
  return [...typed.trim().replace(/^#+/, '').replace(/\s+/g, '-')].slice(0, maxRoom).join('');
}
