import { describe, expect, test } from 'vitest';
import { chartSpan, steps, withSample } from '../src/tabs/queues/chart';
import { lane, readDropped, readListed, readNews, reconcile, tell, unsettled, type Cards, type Listed, type News } from '../src/tabs/queues/flow';
import { gapText, notRecovered, processed, put, readEntry, type Line } from '../src/tabs/queues/letters';
import { newTask, readTask, verdict } from '../src/tabs/queues/task';

const task = { from: 'Ada', kind: 'plain', ms: 1_000 } as const;
const none: Cards = new Map();

const after = (...news: News[]) => news.reduce((cards, one, i) => tell(cards, one, 100 + i), none);
const published = (id: string, seq: number): News => ({ kind: 'published', id, seq, task, later: false });
const took = (id: string, worker: string, attempt = 1): News => ({ kind: 'took', id, task, worker, attempt });
const listed = (id: string, seq: number, phase: Listed['phase'], attempt = 0, place = 0): Listed => ({ id, seq, phase, place, attempt, task, error: '', reason: '' });

describe('the way of a message, told by pages', () => {
  test('published, taken, done', () => {
    const cards = after(published('a', 7), took('a', 'w1'), { kind: 'done', id: 'a', worker: 'w1' });
    expect(cards.get('a')).toMatchObject({ seq: 7, phase: 'done', worker: 'w1', attempt: 1 });
  });
  test('a worker may be faster than the word of the publisher', () => {
    expect(after(took('a', 'w1'), published('a', 7)).get('a')).toMatchObject({ seq: 7, phase: 'leased' });
  });
  test('a killed worker gives back what it had, but not what another has by now', () => {
    expect(after(published('a', 1), took('a', 'w1'), { kind: 'lost', id: 'a', worker: 'w1' }).get('a')).toMatchObject({ phase: 'ready', attempt: 1 });
    expect(after(took('a', 'w1'), took('a', 'w2', 2), { kind: 'lost', id: 'a', worker: 'w1' }).get('a')).toMatchObject({ phase: 'leased', worker: 'w2' });
    expect(after(took('a', 'w2', 2), took('a', 'w1', 1)).get('a')).toMatchObject({ worker: 'w2', attempt: 2 });
  });
  test('a failure is scheduled again, with its error', () => {
    expect(after(took('a', 'w1'), { kind: 'failed', id: 'a', worker: 'w1', error: 'no' }).get('a')).toMatchObject({ phase: 'scheduled', error: 'no' });
  });
  test('a purge takes the dead', () => {
    const cards = reconcile(after(published('a', 1)), [listed('b', 2, 'dead', 5)], 50, 200);
    expect([...tell(cards, { kind: 'purged' }, 300).keys()]).toEqual(['a']);
  });
  test('only so many done ones are kept', () => {
    let cards = none;
    for (let i = 1; i <= 50; i++) cards = tell(tell(cards, took(`m${i}`, 'w'), i), { kind: 'done', id: `m${i}`, worker: 'w' }, i);
    expect(cards.size).toBe(30);
    expect(lane(cards, 'done')[0]!.id).toBe('m50');
  });
});

describe('the list of the server', () => {
  test('shows what nobody told of', () => {
    expect(reconcile(none, [listed('a', 1, 'leased', 2)], 10, 20).get('a')).toMatchObject({ phase: 'leased', attempt: 2, worker: '' });
  });
  test('is older than news that came after it was asked for', () => {
    const cards = tell(after(published('a', 1)), took('a', 'w1'), 500);
    expect(reconcile(cards, [listed('a', 1, 'ready')], 400, 600).get('a')).toMatchObject({ phase: 'leased', worker: 'w1' });
  });
  test('keeps the worker of the same attempt, and forgets it with the next', () => {
    const cards = after(published('a', 1), took('a', 'w1'));
    expect(reconcile(cards, [listed('a', 1, 'leased', 1)], 400, 600).get('a')!.worker).toBe('w1');
    expect(reconcile(cards, [listed('a', 1, 'leased', 2)], 400, 600).get('a')!.worker).toBe('');
  });
  test('takes the later of two places, since the states are listed one after the other', () => {
    expect(reconcile(none, [listed('a', 1, 'ready'), listed('a', 1, 'leased', 1)], 10, 20).get('a')!.phase).toBe('leased');
  });
  test('without a card, twice: done if a worker had it, else out of sight', () => {
    const before = after(took('a', 'w1'), published('b', 2));
    const once = reconcile(before, [], 400, 500);
    expect([once.get('a')!.phase, once.get('b')!.phase, unsettled(once)]).toEqual(['leased', 'ready', true]);
    const twice = reconcile(once, [], 600, 700);
    expect([twice.get('a')!.phase, twice.has('b'), unsettled(twice)]).toEqual(['done', false, false]);
    expect(reconcile(once, [listed('a', 1, 'leased', 1)], 600, 700).get('a')).toMatchObject({ phase: 'leased', missing: 0 });
  });
  test('is read from what queue:peek answers', () => {
    expect(readListed({ id: 'a', seq: 3, state: 'dead', attempt: 5, reason: 'failures', error: 'no', data: { kind: 'poison' } })).toMatchObject({
      phase: 'dead', reason: 'failures', error: 'no', task: { kind: 'poison' },
    });
    expect(readListed({ id: 'a', state: 'blocked' })!.phase).toBe('ready');
    expect([readListed(null), readListed({ id: 4 })]).toEqual([null, null]);
  });
  test('is shown in the order of the queue, what is over newest first', () => {
    const cards = reconcile(none, [listed('c', 3, 'ready'), listed('a', 1, 'scheduled'), listed('b', 2, 'ready')], 10, 20);
    expect(lane(cards, 'ready', 'scheduled').map((card) => card.seq)).toEqual([2, 3, 1]);
  });
  test('is shown as it will be handed out: what was delayed and what came back are not where their numbers say', () => {
    const list = [listed('late', 1, 'ready', 0, 2), listed('x', 7, 'ready', 0, 0), listed('y', 8, 'ready', 0, 1)];
    let cards = tell(reconcile(none, list, 10, 20), published('new', 9), 30);
    expect(lane(cards, 'ready').map((card) => card.seq)).toEqual([7, 8, 1, 9]);
    cards = tell(tell(cards, took('y', 'w1'), 40), { kind: 'lost', id: 'y', worker: 'w1' }, 50);
    expect(lane(cards, 'ready').map((card) => card.seq)).toEqual([8, 7, 1, 9]);
    expect(readListed({ id: 'a', state: 'blocked' }, 2)!.place).toBeGreaterThan(readListed({ id: 'b', state: 'ready' }, 99)!.place);
  });
});

test('news of other pages are read with care', () => {
  expect(readNews({ kind: 'took', id: 'a', worker: 'w', attempt: 2, task })).toEqual(took('a', 'w', 2));
  expect(readNews({ kind: 'done', id: 'a', worker: 5 })).toEqual({ kind: 'done', id: 'a', worker: '' });
  for (const wrong of [null, 'took', {}, { kind: 'took' }, { kind: 'typing', id: 'a' }]) expect(readNews(wrong)).toBeNull();
});

describe('tasks', () => {
  test('take 1 to 3 s', () => {
    expect([newTask('A', 'plain', () => 0).ms, newTask('A', 'once', () => 1).ms]).toEqual([1_000, 3_000]);
  });
  test('are read from any data', () => {
    expect(readTask('text')).toEqual({ from: '', kind: 'plain', ms: 1_000 });
    expect(readTask({ from: 'x'.repeat(99), kind: 'what', ms: 1e9 })).toEqual({ from: 'x'.repeat(40), kind: 'plain', ms: 3_000 });
  });
  test('end well, the second time, or never until the workers are fixed', () => {
    expect(verdict(task, 1, false)).toBeNull();
    expect(verdict({ ...task, kind: 'once' }, 1, true)).toMatchObject({ nack: true });
    expect(verdict({ ...task, kind: 'once' }, 2, false)).toBeNull();
    expect(verdict({ ...task, kind: 'poison' }, 9, false)).toMatchObject({ nack: true });
    expect(verdict({ ...task, kind: 'poison' }, 9, true)).toBeNull();
  });
});

describe('a chart', () => {
  test('is drawn in steps that end now', () => {
    const samples = [{ at: 0, value: 0 }, { at: chartSpan / 2, value: 10 }];
    expect(steps(samples, 100, 50, chartSpan, 5)).toBe('M0.0,50.0H50.0V0.0H100');
    expect(steps([{ at: chartSpan, value: 2 }], 100, 50, chartSpan, 4)).toBe('M100.0,25.0H100');
    expect(steps([], 100, 50, 0, 4)).toBe('');
  });
  test('drops what is out of sight, but for what it begins with', () => {
    const samples = [0, 1, 2].map((at) => ({ at, value: at }));
    expect(withSample(samples, { at: chartSpan + 2, value: 9 }).map(({ at }) => at)).toEqual([1, 2, chartSpan + 2]);
  });
});

describe('letters', () => {
  const line = (seq: number, acked = false): Line => ({ kind: 'entry', seq, from: '', text: '', at: 0, acked });
  test('are put in order, and replaced', () => {
    expect(put(put([line(2)], line(1)), line(2, true)).map(({ seq, acked }) => [seq, acked])).toEqual([[1, false], [2, true]]);
  });
  test('count as processed as far as all are acknowledged', () => {
    expect(processed([line(3, true), line(5, true)], 2)).toBe(3);
    expect(processed([line(4, true)], 2)).toBe(2);
  });
  test('are read from any data', () => {
    expect(readEntry({ seq: 1, at: 5, data: { from: 'Ada', text: 'hi' } })).toMatchObject({ seq: 1, from: 'Ada', text: 'hi', at: 5, acked: false });
    expect(readEntry({ seq: 1, data: [1] })!.text).toBe('[1]');
    expect(readEntry({ data: 'x' })).toBeNull();
  });
  test('that are lost are said to be', () => {
    expect([gapText(3, 3), gapText(3, 5)].map((text) => text.split(' lost')[0])).toEqual(['Number 3 is', 'Numbers 3 to 5 are']);
    for (const reason of ['epoch', 'expired', 'overflow', '?']) expect(notRecovered(reason)).toMatch(/\.$/);
  });
});

test('what was dropped is counted, if it is a count of this queue', () => {
  expect(readDropped({ queue: 'demo', n: 3 }, 'demo')).toBe(3);
  for (const news of [null, 3, {}, { n: 3 }, { queue: 'orders', n: 3 }, { queue: 'demo', n: '3' }, { queue: 'demo', n: -1 }, { queue: 'demo', n: 0.5 }]) expect(readDropped(news, 'demo')).toBe(0);
});
