import { isRecord } from '../../room/protocol';

// What a message of the demo asks of a worker. Other programs may publish any JSON.

export const kinds = ['plain', 'once', 'poison'] as const;
export type Kind = (typeof kinds)[number];

export interface Task {
  from: string; // who published it; "" if it does not say
  kind: Kind;
  ms: number; // how long a worker works on it
}

const shortest = 1_000;
const longest = 3_000;

/** newTask makes a task of 1 to 3 s; poison fails sooner. random gives numbers in [0, 1). */
export function newTask(from: string, kind: Kind, random: () => number = Math.random): Task {
  return { from, kind, ms: kind === 'poison' ? 400 : Math.round(shortest + random() * (longest - shortest)) };
}

/** readTask reads a message's data; what is no task is plain work. */
export function readTask(data: unknown): Task {
  const value = isRecord(data) ? data : {};
  return {
    from: typeof value.from === 'string' ? value.from.slice(0, 40) : '',
    kind: kinds.find((kind) => kind === value.kind) ?? 'plain',
    ms: typeof value.ms === 'number' && value.ms >= 0 ? Math.min(value.ms, longest) : shortest,
  };
}

/** What a message is acked with when it failed, as queue:message takes it. */
export interface Nack {
  nack: true;
  delay: number; // milliseconds until the next attempt
  error: string;
}

/** verdict tells how the work on a task ends: null is well. Workers that are fixed digest poison. */
export function verdict(task: Task, attempt: number, fixed: boolean): Nack | null {
  if (task.kind === 'once' && attempt === 1) return { nack: true, delay: 1_500, error: 'fails the first time' };
  if (task.kind === 'poison' && !fixed) return { nack: true, delay: 600, error: 'the worker cannot digest it' };
  return null;
}
