import { isRecord } from '../../room/protocol';

// What is shown of an inbox, as an immutable list in the order of its numbers.

export interface Position {
  epoch: number;
  seq: number;
}

export interface Line {
  kind: 'entry' | 'gap';
  seq: number;
  from: string;
  text: string;
  at: number; // Unix time in milliseconds
  acked: boolean;
}

const keep = 50;

/** readEntry reads an inbox:message; null if it is none. */
export function readEntry(value: unknown): Line | null {
  if (!isRecord(value) || typeof value.seq !== 'number') return null;
  const data = isRecord(value.data) ? value.data : {};
  const text = typeof data.text === 'string' ? data.text : (JSON.stringify(value.data) ?? '');
  return {
    kind: 'entry',
    seq: value.seq,
    from: typeof data.from === 'string' ? data.from.slice(0, 40) : '',
    text: text.slice(0, 500),
    at: typeof value.at === 'number' ? value.at : Date.now(),
    acked: false,
  };
}

/** put adds a line in its place, or replaces the one with its number. */
export function put(lines: readonly Line[], line: Line): Line[] {
  const others = lines.filter((other) => other.seq !== line.seq || other.kind !== line.kind);
  return [...others, line].sort((a, b) => a.seq - b.seq).slice(-keep);
}

/** processed returns the highest number up to which everything is acknowledged, counted on from seq. */
export function processed(lines: readonly Line[], seq: number): number {
  const acked = new Set(lines.filter((line) => line.kind === 'entry' && line.acked).map((line) => line.seq));
  while (acked.has(seq + 1)) seq++;
  return seq;
}

export function gapText(from: number, to: number): string {
  return from === to ? `Number ${from} is lost: it was too old, or the inbox was full.` : `Numbers ${from} to ${to} are lost: they were too old, or the inbox was full.`;
}

/** notRecovered says why an inbox can't go on from where it was left. */
export function notRecovered(reason: string): string {
  switch (reason) {
    case 'epoch':
      return 'This is a new inbox: the one that you left is gone, with what was in it.';
    case 'expired':
      return 'You were away for too long: some of what was sent has expired.';
    case 'overflow':
      return 'The inbox was full: the oldest of what was sent is lost.';
    default:
      return 'Something of what was sent is lost.';
  }
}
