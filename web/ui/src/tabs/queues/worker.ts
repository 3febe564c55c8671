import { signal } from '@preact/signals';
import { io, type Socket } from 'socket.io-client';
import { isRecord } from '../../room/protocol';
import type { News } from './flow';
import { readTask, verdict, type Task } from './task';

export interface Job {
  id: string;
  task: Task;
  attempt: number;
}

export type WorkerState = 'connecting' | 'idle' | 'busy' | 'away' | 'killed';

export interface WorkerOptions {
  queue: string;
  label: string; // how the page calls it: "Worker 1"
  owner: string; // the visitor
  pollingOnly: boolean;
  fixed(): boolean; // poison is digested
  tell(news: News): void;
  say(text: string): void; // to the visitor, what is worth telling in words
}

/**
 * Worker is a consumer of a queue with a connection of its own, as a worker in
 * a process of its own would have. It takes one message at a time.
 */
export class Worker {
  readonly label: string;
  readonly name: string; // how the other pages call it
  readonly state = signal<WorkerState>('connecting');
  readonly job = signal<Job | null>(null);
  readonly done = signal(0);
  readonly problem = signal('');

  private readonly socket: Socket;
  private readonly options: WorkerOptions;
  private line = 0; // counts connections: an ack callback is good on the one that its message came by
  private timer: ReturnType<typeof setTimeout> | undefined;
  private work: Promise<void> = Promise.resolve(); // what is being done, and what waits behind it

  constructor(options: WorkerOptions) {
    this.options = options;
    this.label = options.label;
    this.name = `${options.owner}, ${options.label.toLowerCase()}`;
    this.socket = io({
      forceNew: true,
      auth: { name: options.owner },
      transports: options.pollingOnly ? ['polling'] : ['websocket', 'polling'],
      tryAllTransports: true,
      reconnectionDelay: 400,
      reconnectionDelayMax: 4_000,
    });
    this.socket.on('connect', () => {
      this.line++;
      this.state.value = this.job.value ? 'busy' : 'idle';
      this.socket.emit('queue:consume', { queue: options.queue, prefetch: 1 }, (answer: unknown) => {
        this.problem.value = isRecord(answer) && answer.ok !== true ? `Refused: ${String(answer.message)}` : '';
      });
    });
    this.socket.on('disconnect', () => {
      if (this.state.value !== 'killed') this.state.value = 'away';
    });
    this.socket.on('queue:message', (message: unknown, ack: (verdict?: object) => void) => {
      const line = this.line;
      this.work = this.work.then(() => this.process(message, ack, line));
    });
    this.socket.on('queue:closed', () => (this.problem.value = 'The queue has closed this worker.'));
  }

  /** kill closes the connection as the end of its process does: nothing is said, nothing is finished. */
  kill(): void {
    const job = this.job.value;
    this.state.value = 'killed';
    this.job.value = null;
    clearTimeout(this.timer);
    this.socket.io.reconnection(false);
    this.socket.io.engine?.close();
    if (job) this.options.tell({ kind: 'lost', id: job.id, worker: this.name });
  }

  private async process(message: unknown, ack: (verdict?: object) => void, line: number): Promise<void> {
    if (this.state.value === 'killed' || !isRecord(message) || typeof message.id !== 'string') return;
    const { id, r } = message;
    const task = readTask(message.data);
    const attempt = typeof message.attempt === 'number' ? message.attempt : 1;
    if (line !== this.line) return; // it has gone back while it waited here
    this.job.value = { id, task, attempt };
    this.state.value = 'busy';
    this.options.tell({ kind: 'took', id, task, worker: this.name, attempt });
    await new Promise((resolve) => (this.timer = setTimeout(resolve, task.ms)));

    const failed = verdict(task, attempt, this.options.fixed());
    const settled = () => {
      this.options.tell(failed ? { kind: 'failed', id, worker: this.name, error: failed.error } : { kind: 'done', id, worker: this.name });
      if (!failed) this.done.value++;
    };
    if (this.socket.connected && line === this.line) {
      if (failed) ack(failed);
      else ack();
      settled();
    } else {
      // Another connection: the callback could settle another's message, the receipt can't. It is sent when there is one.
      this.socket.emit('queue:settle', failed ? { nack: [{ r, delay: failed.delay, error: failed.error }] } : { ack: [r] }, (answer: unknown) => {
        const result = isRecord(answer) && isRecord(answer.results) ? answer.results[String(r)] : 'unavailable';
        if (result === 'ok') settled();
        else this.options.say(result === 'superseded' ? `${this.label} finished too late: the message had been given to another worker.` : `${this.label} finished too late: the message is ${String(result)}.`);
      });
    }
    this.job.value = null;
    this.state.value = this.socket.connected ? 'idle' : 'away';
  }
}
