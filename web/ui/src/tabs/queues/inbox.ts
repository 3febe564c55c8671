import { signal } from '@preact/signals';
import type { Socket } from 'socket.io-client';
import { newId } from '../../ids';
import { name } from '../../profile';
import { ask, isRecord } from '../../room/protocol';
import { gapText, notRecovered, processed, put, readEntry, type Line, type Position } from './letters';

/** opening: until the server answers. taken: another window has it. */
export type InboxState = 'opening' | 'open' | 'left' | 'taken' | 'refused';

const keyOf = (owner: string) => `roomcast.inbox.${owner}`; // two windows of one browser may have different names

/** Inbox is the visitor's own inbox: what is sent to the name that the page has. */
export class Inbox {
  readonly state = signal<InboxState>('opening');
  readonly lines = signal<Line[]>([]);
  readonly waiting = signal(0); // sent while it was closed, as far as this page knows
  readonly atOnce = signal(false); // acknowledge what arrives
  readonly said = signal('');

  private readonly socket: Socket;
  private readonly whisper: (data: object) => void;
  private readonly acks = new Map<number, () => void>(); // of this connection
  private owner = name.value;
  private box = ''; // the inbox's name on the server
  private position: Position | null = null;
  private wanted = true;
  private early: [message: unknown, ack: () => void][] = []; // came by one poll with the answer that opened it

  /** whisper tells the other pages of what was sent, so that they can count it. */
  constructor(socket: Socket, whisper: (data: object) => void) {
    this.socket = socket;
    this.whisper = whisper;
    socket.on('connect', () => {
      this.acks.clear();
      this.early = [];
      if (this.owner !== name.value) this.change();
      if (this.wanted) void this.open();
    });
    socket.on('disconnect', () => {
      this.acks.clear();
      if (this.state.value === 'open') this.state.value = 'opening';
    });
    socket.on('inbox:message', (message: unknown, ack: () => void) => this.receive(message, ack));
    socket.on('inbox:gap', (gap: unknown) => {
      if (!isRecord(gap) || gap.inbox !== this.box) return;
      const [from, to] = [Number(gap.from), Number(gap.to)];
      this.lines.value = put(this.lines.value, { kind: 'gap', seq: from, text: gapText(from, to), from: '', at: Date.now(), acked: true });
    });
    socket.on('inbox:closed', (closed: unknown) => {
      if (!isRecord(closed) || closed.inbox !== this.box) return;
      this.wanted = false;
      if (closed.code === 'taken_over') this.close('taken', '');
      else this.close('left', `The server closed the inbox: ${String(closed.code)}.`);
    });
    if (socket.connected) void this.open();
  }

  /** open asks for the inbox from where this browser left it. */
  async open(): Promise<void> {
    this.wanted = true;
    this.state.value = 'opening';
    const owner = this.owner;
    const since = load(owner);
    try {
      const answer = await ask(this.socket, 'inbox:open', { since: since ?? undefined, prefetch: 16 });
      if (owner !== this.owner) return; // renamed meanwhile, and asked anew
      if (this.box !== answer.inbox) this.lines.value = [];
      this.box = String(answer.inbox);
      this.position = { epoch: Number(answer.epoch), seq: Number(answer.acked) };
      this.lines.value = this.lines.value.filter((line) => line.acked); // the others come again
      const waited = Number(answer.last) - Number(answer.acked);
      this.said.value = since && answer.recovered === false ? notRecovered(String(answer.reason)) : waited > 0 ? `${waited} waited for you.` : '';
      this.waiting.value = 0;
      this.state.value = 'open';
      for (const [message, ack] of this.early.splice(0)) this.receive(message, ack);
    } catch (error) {
      if (!this.socket.connected) return; // asked again when it is
      this.state.value = 'refused';
      this.said.value = (error as Error).message;
    }
  }

  /** leave closes the inbox. What is not acknowledged waits, and so does what is sent from now on. */
  async leave(): Promise<void> {
    this.wanted = false;
    try {
      await ask(this.socket, 'inbox:close', {});
    } catch {
      // Not open any more, which is what was asked for.
    }
    this.close('left', '');
  }

  acknowledge(seq: number): void {
    const ack = this.acks.get(seq);
    if (!ack || !this.position) return;
    ack();
    this.acks.delete(seq);
    this.lines.value = this.lines.value.map((line) => (line.seq === seq && line.kind === 'entry' ? { ...line, acked: true } : line));
    this.position = { ...this.position, seq: processed(this.lines.value, this.position.seq) };
    save(this.owner, this.position);
  }

  acknowledgeAll(on: boolean): void {
    this.atOnce.value = on;
    if (on) for (const line of this.lines.value) if (!line.acked) this.acknowledge(line.seq);
  }

  async send(to: string, text: string): Promise<void> {
    try {
      const answer = await ask(this.socket, 'inbox:send', { to: [to], id: newId(), data: { from: name.value, text } });
      const [box, seq] = Object.entries(isRecord(answer.seqs) ? answer.seqs : {})[0] ?? ['', 0];
      const news = { kind: 'sent', inbox: box, seq };
      this.hear(news);
      this.whisper(news);
      this.said.value = `Stored as number ${seq} in the inbox of ${to}.`;
    } catch (error) {
      this.said.value = `Not sent: ${(error as Error).message}`;
    }
  }

  /** hear takes a page's word that something was sent to an inbox. */
  hear(data: unknown): void {
    if (!isRecord(data) || data.kind !== 'sent' || data.inbox !== this.box || this.state.value !== 'left' || !this.position) return;
    if (Number.isSafeInteger(data.seq)) this.waiting.value = Math.max(this.waiting.value, (data.seq as number) - this.position.seq);
  }

  private receive(message: unknown, ack: () => void): void {
    if (this.state.value === 'opening') {
      this.early.push([message, ack]);
      return;
    }
    const line = readEntry(message);
    if (!line || !isRecord(message) || message.inbox !== this.box) return;
    if (this.position && message.epoch === this.position.epoch && line.seq <= this.position.seq) {
      ack(); // processed before; the ack was lost
      return;
    }
    this.acks.set(line.seq, ack);
    this.lines.value = put(this.lines.value, line);
    if (this.atOnce.value) this.acknowledge(line.seq);
  }

  /** change takes the inbox of the visitor's new name. */
  private change(): void {
    this.owner = name.value;
    this.box = '';
    this.position = null;
    this.lines.value = [];
    this.waiting.value = 0;
    this.said.value = '';
    this.wanted = true;
  }

  private close(state: InboxState, said: string): void {
    const unread = this.lines.value.filter((line) => !line.acked).length;
    this.acks.clear();
    this.lines.value = this.lines.value.filter((line) => line.acked);
    this.waiting.value = state === 'left' ? unread : 0; // another window has them
    this.state.value = state;
    this.said.value = said;
  }
}

/** load returns what the owner has processed last in this browser. */
function load(owner: string): Position | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(keyOf(owner)) ?? 'null');
    if (!isRecord(value)) return null;
    return { epoch: Number(value.epoch), seq: Number(value.seq) };
  } catch {
    return null; // storage is blocked, or something else is in it
  }
}

function save(owner: string, position: Position): void {
  try {
    localStorage.setItem(keyOf(owner), JSON.stringify(position));
  } catch {
    // Storage is blocked: the server knows what was acknowledged.
  }
}
