import { describe, expect, test } from 'vitest';
import { withParams } from '../src/address';
import { formatMs, listed } from '../src/format';
import { append, median, sparkline } from '../src/link/series';
import { laneOf, sizeOf, Wire, wireSpan } from '../src/link/wire';
import { assignHues, hueCount, hueOf } from '../src/hues';
import { cleanName, initialsOf, maxName, randomName } from '../src/names';
import { drop, isElder, put, withSelf } from '../src/room/members';
import { toMember, toMembers, type Member } from '../src/room/protocol';

const member = (id: string, name = id): Member => ({ id, name, transport: 'websocket', latency: null, node: '' });

test('durations are written for people', () => {
  expect([0.4, 12.3, 999, 2400].map(formatMs)).toEqual(['<1 ms', '12 ms', '999 ms', '2.4 s']);
});

test('the address keeps what it had', () => {
  expect(withParams('http://h/?a=1&room=x#t', { room: 'ä b', a: null, tab: 'board' })).toBe('http://h/?room=%C3%A4+b&tab=board#t');
});

describe('names', () => {
  test('are cut to what the server takes, by characters', () => {
    expect(cleanName('  Ada \n Lovelace ')).toBe('Ada Lovelace');
    expect([...cleanName('😀'.repeat(60))]).toHaveLength(maxName);
    expect(cleanName(' \t ')).toBe('');
  });
  test('have initials', () => {
    expect([initialsOf('brisk-otter'), initialsOf('Ada'), initialsOf('--')]).toEqual(['BO', 'A', '?']);
    expect(randomName(() => 0)).toBe('brisk-badger');
  });
  test('are listed for people', () => {
    expect([['A'], ['A', 'B'], ['A', 'B', 'C'], ['A', 'B', 'C', 'D']].map(listed)).toEqual(['A', 'A and B', 'A, B and C', 'A, B and 2 others']);
  });
});

describe('colours', () => {
  test('of names are spread evenly', () => {
    const uses = new Array<number>(hueCount).fill(0);
    for (let i = 0; i < 1_000; i++) uses[hueOf(`guest-${i}`)]!++;
    expect(Math.min(...uses)).toBeGreaterThan(60);
    expect(Math.max(...uses)).toBeLessThan(150);
  });
  test('of those present differ while there are enough, whatever their names', () => {
    for (const name of ['Ada', 'Linus', '']) {
      const members = Array.from({ length: 2 * hueCount }, (_, i) => member(`${i}`, name));
      expect(new Set(assignHues(new Map(), members.slice(0, hueCount)).values()).size).toBe(hueCount);
      const twice = [...assignHues(new Map(), members).values()];
      expect(Array.from({ length: hueCount }, (_, hue) => twice.filter((other) => other === hue).length)).toEqual(Array(hueCount).fill(2));
    }
  });
  test('stay with who had them, and are the same whoever looks', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((id) => member(id, 'Ada'));
    const first = assignHues(new Map(), [b!, c!]);
    const second = assignHues(first, [a!, b!, c!]);
    expect([second.get('b'), second.get('c')]).toEqual([first.get('b'), first.get('c')]);
    expect(assignHues(new Map(), [c!, b!])).toEqual(first);
    expect(assignHues(second, [a!])).toEqual(new Map([['a', second.get('a')]]));
  });
});

describe('series', () => {
  test('are bounded, with the newest last', () => {
    expect(append([1, 2, 3], 4, 3)).toEqual([2, 3, 4]);
  });
  test('median', () => {
    expect([median([]), median([5]), median([9, 1, 5]), median([4, 1, 2, 3])]).toEqual([undefined, 5, 5, 2.5]);
  });
  test('the newest value is drawn at the right edge', () => {
    expect(sparkline([0, 20], 100, 10, 11)).toBe('90.0,10.0 100.0,0.0');
  });
});

describe('wire', () => {
  test('a packet is in the lane of its namespace, an attachment in that of its packet', () => {
    expect(laneOf('message', '2["x"]', '/board')).toBe('/');
    expect(laneOf('message', '51-/board,7["x",{"_placeholder":true,"num":0}]', '/')).toBe('/board');
    expect(laneOf('message', new ArrayBuffer(3), '/board')).toBe('/board');
    expect(laneOf('ping', undefined, '/')).toBe('engine');
    expect([sizeOf('abc'), sizeOf(new Uint8Array(3)), sizeOf(undefined)]).toEqual([4, 4, 1]);
  });
  test('the recording is bounded, however much goes over it', () => {
    const wire = new Wire();
    for (let i = 0; i < 10_000; i++) wire.packet(i, 'in', 'websocket', 'message', '2["x"]');
    const changes = new Wire();
    for (let i = 0; i < 1_000; i++) changes.change(i * wireSpan, i % 2 ? 'polling' : null);
    expect(wire.ticks.length).toBeLessThanOrEqual(1200);
    expect(changes.stretches.length).toBeLessThanOrEqual(50);
    expect(wire.ticks.at(-1)?.at).toBe(9_999);
  });
});

describe('members', () => {
  test('come and go by id', () => {
    const two = put(put([], member('a')), member('b'));
    expect(put(two, member('a', 'Ada')).map((m) => m.name)).toEqual(['Ada', 'b']);
    expect(drop(two, 'a').map((m) => m.id)).toEqual(['b']);
    expect(withSelf(two, member('b')).map((m) => m.id)).toEqual(['b', 'a']);
  });
  test('one of them greets a newcomer', () => {
    const all = ['b', 'a', 'c'].map((id) => member(id));
    expect(all.filter((m) => isElder(all, m.id, 'c')).map((m) => m.id)).toEqual(['a']);
  });
  test('what is none is left out', () => {
    expect(toMembers([null, 7, {}, { id: 'x', name: '', transport: 'smoke', latency: -1 }])).toEqual([
      { id: 'x', name: 'guest', transport: null, latency: null, node: '' },
    ]);
    expect(toMember({ id: 'x', node: 'node-2' })?.node).toBe('node-2');
    expect(toMember('x')).toBeNull();
  });
});
