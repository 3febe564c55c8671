import { batch, signal } from '@preact/signals';
import type { Socket } from 'socket.io-client';
import { newId } from '../../ids';
import type { Link } from '../../link/link';
import { name } from '../../profile';
import { AnswerError, ask } from '../../room/protocol';
import { Room } from '../../room/room';
import { withSample, type Sample } from './chart';
import { readDropped, readListed, readNews, reconcile, tell, unsettled, type Cards, type Listed, type News, type Phase } from './flow';
import { Inbox } from './inbox';
import { newTask, type Kind } from './task';
import { Worker } from './worker';

const queue = 'demo';
const meeting = 'queue-demo'; // the room in which pages tell each other what their workers do
const killedShown = 4_000; // milliseconds

export const maxWorkers = 6;

/** How many messages of each state are asked for. */
const listed = { ready: 12, scheduled: 12, leased: 20, dead: 20 } as const;

/** The numbers of a queue that the page shows. */
export interface Stats {
  ready: number;
  scheduled: number;
  leased: number;
  blocked: number;
  dead: number;
  oldestMs: number;
  acked: number;
  redelivered: number;
}

/** Queue is what the Queues tab knows: the server's queue, and this page's workers. */
export class Queue {
  readonly stats = signal<Stats | null>(null);
  readonly depth = signal<Sample[]>([]);
  readonly flight = signal<Sample[]>([]);
  readonly cards = signal<Cards>(new Map());
  readonly workers = signal<Worker[]>([]);
  readonly fixed = signal(false); // the workers digest poison
  readonly said = signal('');
  readonly problem = signal('');
  readonly dropped = signal(0); // messages that had to make room since the page was opened
  readonly room: Room;
  readonly inbox: Inbox;

  private readonly socket: Socket;
  private readonly link: Link;
  private refreshing = false;
  private last = ''; // the numbers of the last list
  private started = 0;

  constructor(link: Link) {
    this.link = link;
    this.socket = link.socket('/');
    this.room = new Room(link, '/', null, {
      message: ({ data }) => {
        const news = readNews(data);
        if (news) this.cards.value = tell(this.cards.value, news, performance.now());
        else this.inbox.hear(data);
      },
    }, meeting);
    this.inbox = new Inbox(this.socket, (data) => this.room.sendVolatile(data));
    this.socket.on('connect', () => {
      this.last = '';
      ask(this.socket, 'queue:admin', { op: 'watch', queue }).catch(() => {}); // without leave to it, nothing is told
    });
    this.socket.on('queue:dropped', (news: unknown) => (this.dropped.value += readDropped(news, queue)));
  }

  /** refresh asks the server for the numbers, and if they have changed for the messages. */
  async refresh(): Promise<void> {
    if (this.refreshing || !this.socket.connected) return;
    this.refreshing = true;
    const asked = performance.now();
    try {
      const stats = readStats(await ask(this.socket, 'queue:stats', { queue }));
      const now = performance.now();
      batch(() => {
        this.problem.value = '';
        this.stats.value = stats;
        this.depth.value = withSample(this.depth.value, { at: now, value: stats.ready + stats.scheduled + stats.blocked });
        this.flight.value = withSample(this.flight.value, { at: now, value: stats.leased });
      });
      const numbers = JSON.stringify({ ...stats, oldestMs: 0 });
      if (numbers === this.last && !unsettled(this.cards.value)) return;
      const list = await this.list(stats);
      this.cards.value = reconcile(this.cards.value, list, asked, performance.now());
      this.last = numbers;
    } catch (error) {
      if (this.socket.connected) this.problem.value = `The queue can't be watched: ${(error as Error).message}`;
    } finally {
      this.refreshing = false;
    }
  }

  /** publish puts messages into the queue. They have ids, so that trying again can't store one twice. */
  async publish(count: number, kind: Kind, delay: number): Promise<void> {
    const drafts = Array.from({ length: count }, () => ({ id: newId(), data: newTask(name.value, kind), delay }));
    try {
      const answer = await this.stubborn('queue:publish', { queue, messages: drafts });
      const results = Array.isArray(answer.results) ? answer.results : [];
      let refused = '';
      drafts.forEach((draft, i) => {
        const result = results[i] as Record<string, unknown> | undefined;
        if (result?.ok !== true) refused = String(result?.message ?? 'The server said no.');
        else this.tell({ kind: 'published', id: draft.id, seq: Number(result.seq), task: draft.data, later: delay > 0 }, count <= 10);
      });
      this.said.value = refused ? `Not stored: ${refused}` : `${messages(count)} stored${delay > 0 ? `, due in ${delay / 1_000} s` : ''}.`;
    } catch (error) {
      this.said.value = `Not published: ${(error as Error).message}`;
    }
    void this.refresh();
  }

  start(): void {
    if (this.workers.value.filter((worker) => worker.state.value !== 'killed').length >= maxWorkers) return;
    const worker = new Worker({
      queue,
      label: `Worker ${++this.started}`,
      owner: name.value,
      pollingOnly: this.link.pollingOnly.value,
      fixed: () => this.fixed.value,
      tell: (news) => this.tell(news, true),
      say: (text) => (this.said.value = text),
    });
    this.workers.value = [...this.workers.value, worker];
  }

  kill(worker: Worker): void {
    const job = worker.job.value;
    worker.kill();
    this.said.value = job
      ? `${worker.label} was killed. ${this.called(job.id)} is back at the head of the queue, and goes to whoever is free.`
      : `${worker.label} was killed. It had nothing.`;
    setTimeout(() => (this.workers.value = this.workers.value.filter((other) => other !== worker)), killedShown);
  }

  /** redrive gives dead letters another life: these, or all. */
  async redrive(ids?: string[]): Promise<void> {
    await this.admin({ op: 'redrive', ...(ids ? { ids } : {}) }, (n) => `${messages(n)} sent back to the queue.`);
  }

  async purgeDead(): Promise<void> {
    await this.admin({ op: 'purge', dead: true }, (n) => `${messages(n)} deleted for good.`);
    this.tell({ kind: 'purged' }, true);
  }

  /** called is how people call a message: by its number, if that is known. */
  called(id: string): string {
    const seq = this.cards.value.get(id)?.seq;
    return seq ? `#${seq}` : 'Its message';
  }

  private async admin(request: object, done: (n: number) => string): Promise<void> {
    try {
      const answer = await ask(this.socket, 'queue:admin', { queue, ...request });
      this.said.value = done(Number(answer.n ?? 0));
    } catch (error) {
      this.said.value = `Refused: ${(error as Error).message}`;
    }
    this.last = '';
    void this.refresh();
  }

  private tell(news: News, others: boolean): void {
    this.cards.value = tell(this.cards.value, news, performance.now());
    if (others) this.room.sendVolatile(news);
  }

  private async list(stats: Stats): Promise<Listed[]> {
    const lists = (['ready', 'blocked', 'scheduled', 'leased', 'dead'] as const).filter((state) => stats[state] > 0).map(async (state) => {
      const answer = await ask(this.socket, 'queue:peek', { queue, state, n: listed[state === 'blocked' ? 'ready' : state] });
      return Array.isArray(answer.messages) ? answer.messages.map(readListed).filter((item) => item !== null) : [];
    });
    return (await Promise.all(lists)).flat();
  }

  /** stubborn asks once more if no answer came: with the same ids, which makes that safe. */
  private async stubborn(event: string, request: object): Promise<Record<string, unknown>> {
    try {
      return await ask(this.socket, event, request);
    } catch (error) {
      if (!(error instanceof AnswerError && error.code === 'timeout')) throw error;
      return ask(this.socket, event, request);
    }
  }
}

/** beyond tells how many messages of a phase there are besides those shown. */
export function beyond(stats: Stats | null, phase: Phase, shown: number): number {
  if (!stats || phase === 'done') return 0;
  const all = phase === 'ready' ? stats.ready + stats.blocked + stats.scheduled : stats[phase];
  return Math.max(0, all - shown);
}

export function readStats(answer: Record<string, unknown>): Stats {
  const count = (key: keyof Stats) => (typeof answer[key] === 'number' ? answer[key] : 0);
  return {
    ready: count('ready'), scheduled: count('scheduled'), leased: count('leased'), blocked: count('blocked'), dead: count('dead'),
    oldestMs: count('oldestMs'), acked: count('acked'), redelivered: count('redelivered'),
  };
}

export function messages(n: number): string {
  return n === 1 ? '1 message' : `${n} messages`;
}
