import { isRecord } from '../../room/protocol';
import { readTask, type Task } from './task';

// Where the messages of a queue are, put together from what the server lists
// (queue:peek) and from what pages tell each other of their workers. The list is
// always right but late and without the worker's name; the news are at once.

export type Phase = 'ready' | 'scheduled' | 'leased' | 'done' | 'dead';

export interface Card {
  id: string;
  seq: number; // the queue's number of it; 0: not known yet
  phase: Phase;
  place: number; // where it waits in the queue, counted from its head: what came back or was delayed isn't where its number says
  task: Task;
  worker: string; // who has it, or had it; "" if that is not known
  attempt: number;
  error: string; // of its last failure
  reason: string; // why it is dead
  at: number; // when it came into its phase, performance.now()
  missing: number; // lists in a row that it should be in, and is not
}

export type Cards = ReadonlyMap<string, Card>;

/** What pages tell each other. */
export type News =
  | { kind: 'published'; id: string; seq: number; task: Task; later: boolean }
  | { kind: 'took'; id: string; task: Task; worker: string; attempt: number }
  | { kind: 'done'; id: string; worker: string }
  | { kind: 'failed'; id: string; worker: string; error: string }
  | { kind: 'lost'; id: string; worker: string } // the worker is gone
  | { kind: 'purged' };

const keepDone = 30;
const phases: readonly Phase[] = ['ready', 'scheduled', 'leased', 'dead'];

const head = -1;
const tail = Infinity; // until the server lists it
const behindReady = 1_000_000; // what is blocked

const unknown = { seq: 0, place: tail, worker: '', attempt: 0, error: '', reason: '', missing: 0 };

/** tell returns the cards after a piece of news. */
export function tell(cards: Cards, news: News, now: number): Cards {
  const next = new Map(cards);
  if (news.kind === 'purged') {
    for (const card of cards.values()) if (card.phase === 'dead') next.delete(card.id);
    return next;
  }
  const card = cards.get(news.id);
  switch (news.kind) {
    case 'published':
      if (card) next.set(card.id, { ...card, seq: card.seq || news.seq }); // a worker was faster
      else next.set(news.id, { ...unknown, id: news.id, seq: news.seq, task: news.task, phase: news.later ? 'scheduled' : 'ready', at: now });
      break;
    case 'took':
      if (card && card.attempt > news.attempt) break;
      next.set(news.id, { ...unknown, error: '', ...card, id: news.id, task: news.task, phase: 'leased', worker: news.worker, attempt: news.attempt, at: now, missing: 0 });
      break;
    case 'done':
      if (card) next.set(card.id, { ...card, phase: 'done', worker: news.worker, at: now });
      break;
    case 'failed':
      if (card?.worker === news.worker) next.set(card.id, { ...card, phase: 'scheduled', place: tail, error: news.error, at: now });
      break;
    case 'lost':
      if (card?.phase === 'leased' && card.worker === news.worker) next.set(card.id, { ...card, phase: 'ready', place: head, at: now });
      break;
  }
  return trimmed(next);
}

/** A message as the server lists it. */
export interface Listed {
  id: string;
  seq: number;
  phase: Phase;
  place: number; // in the list of its state
  attempt: number;
  error: string;
  reason: string;
  task: Task;
}

/** readListed reads one of queue:peek's messages, at some place in its list; null if it is none. */
export function readListed(value: unknown, place = 0): Listed | null {
  if (!isRecord(value) || typeof value.id !== 'string') return null;
  return {
    id: value.id,
    seq: typeof value.seq === 'number' ? value.seq : 0,
    phase: value.state === 'blocked' ? 'ready' : phases.find((phase) => phase === value.state) ?? 'ready',
    place: value.state === 'blocked' ? behindReady + place : place,
    attempt: typeof value.attempt === 'number' ? value.attempt : 0,
    error: typeof value.error === 'string' ? value.error : '',
    reason: typeof value.reason === 'string' ? value.reason : '',
    task: readTask(value.data),
  };
}

/**
 * reconcile returns the cards after the server's list, which was asked for at
 * asked: what changed since then is newer than the list. The lists of the four
 * states aren't one snapshot, so a card must be missing twice to be gone. One
 * that a worker had is done then; others were purged, expired, or are further
 * down than the list goes.
 */
export function reconcile(cards: Cards, list: readonly Listed[], asked: number, now: number): Cards {
  const next = new Map(cards);
  const listed = new Map(list.map((item) => [item.id, item])); // of two places the later one
  for (const item of listed.values()) {
    const card = next.get(item.id);
    if (card && card.at >= asked) continue;
    const moved = card?.phase !== item.phase;
    const worker = card && (!moved && card.attempt >= item.attempt) ? card.worker : item.phase === 'leased' ? '' : card?.worker ?? '';
    next.set(item.id, { ...item, seq: card?.seq || item.seq, error: item.error || card?.error || '', worker, at: moved ? now : card!.at, missing: 0 });
  }
  for (const card of cards.values()) {
    if (card.phase === 'done' || card.at >= asked || listed.has(card.id)) continue;
    if (card.missing === 0) next.set(card.id, { ...card, missing: 1 });
    else if (card.phase === 'leased') next.set(card.id, { ...card, phase: 'done', at: now, missing: 0 });
    else next.delete(card.id);
  }
  return trimmed(next);
}

/** unsettled tells whether the next list may say something about a card that this one didn't. */
export function unsettled(cards: Cards): boolean {
  return [...cards.values()].some((card) => card.missing > 0);
}

/** lane returns the cards in some phases, those that came last first, or in the queue's order. */
export function lane(cards: Cards, ...wanted: Phase[]): Card[] {
  const found = [...cards.values()].filter((card) => wanted.includes(card.phase));
  if (wanted.includes('done') || wanted.includes('dead')) return found.sort((a, b) => b.at - a.at || b.seq - a.seq);
  const place = ({ phase, place }: Card) => (phase === 'leased' || place === tail ? Number.MAX_SAFE_INTEGER : place);
  return found.sort((a, b) => wanted.indexOf(a.phase) - wanted.indexOf(b.phase) || place(a) - place(b) || a.seq - b.seq);
}

function trimmed(cards: Map<string, Card>): Cards {
  for (const card of lane(cards, 'done').slice(keepDone)) cards.delete(card.id);
  return cards;
}

/** readNews reads what another page tells; null if it is no news. */
export function readNews(value: unknown): News | null {
  if (!isRecord(value)) return null;
  if (value.kind === 'purged') return { kind: 'purged' };
  const id = short(value.id);
  const worker = short(value.worker);
  if (!id) return null;
  switch (value.kind) {
    case 'published':
      return { kind: 'published', id, seq: whole(value.seq), task: readTask(value.task), later: value.later === true };
    case 'took':
      return { kind: 'took', id, task: readTask(value.task), worker, attempt: whole(value.attempt) };
    case 'done':
    case 'lost':
      return { kind: value.kind, id, worker };
    case 'failed':
      return { kind: 'failed', id, worker, error: short(value.error) };
  }
  return null;
}

const short = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 80) : '');
const whole = (value: unknown): number => (Number.isSafeInteger(value) ? (value as number) : 0);

/** readDropped reads a queue:dropped: how many messages of a queue had to make room. */
export function readDropped(news: unknown, queue: string): number {
  return isRecord(news) && news.queue === queue && Number.isSafeInteger(news.n) ? Math.max(0, news.n as number) : 0;
}
