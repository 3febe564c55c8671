import type { Transport } from './transport';

// What went over the connection lately, for the strip at the foot of the page.

/** The lane of Engine.IO's own packets: open, ping, pong, upgrade. */
export const engineLane = 'engine';

/** How long the recording reaches back, in milliseconds. */
export const wireSpan = 30_000;

export interface Tick {
  at: number; // performance.now()
  direction: 'in' | 'out';
  lane: string; // a namespace or engineLane
  transport: Transport;
  size: number; // bytes or characters
}

/** From `at` on the connection used this transport; null: there was none. */
export interface Stretch {
  at: number;
  transport: Transport | null;
}

/**
 * laneOf tells which namespace an Engine.IO packet belongs to. An attachment
 * does not say: it follows its packet, so it takes the lane before it.
 *
 * https://socket.io/docs/v4/socket-io-protocol/#packet-encoding
 */
export function laneOf(type: string, data: unknown, previous: string): string {
  if (type !== 'message') return engineLane;
  if (typeof data !== 'string') return previous;
  return /^\d(?:\d+-)?(\/[^,]*)/.exec(data)?.[1] ?? '/';
}

export function sizeOf(data: unknown): number {
  if (typeof data === 'string') return data.length + 1;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) return data.byteLength + 1;
  return 1;
}

/** Wire records packets and changes of transport, bounded in time and number. */
export class Wire {
  ticks: Tick[] = [];
  stretches: Stretch[] = [];
  private lanes = { in: '/', out: '/' };

  packet(at: number, direction: 'in' | 'out', transport: Transport, type: string, data: unknown): void {
    const lane = laneOf(type, data, this.lanes[direction]);
    if (type === 'message') this.lanes[direction] = lane;
    this.ticks.push({ at, direction, lane, transport, size: sizeOf(data) });
    if (this.ticks.length > 1200) this.trim(at);
  }

  change(at: number, transport: Transport | null): void {
    if (this.stretches.at(-1)?.transport === transport) return;
    this.stretches.push({ at, transport });
    if (this.stretches.length > 50) this.trim(at);
  }

  private trim(now: number): void {
    const since = now - wireSpan;
    this.ticks = this.ticks.filter((tick) => tick.at >= since).slice(-800);
    // The last stretch that began before the span still colours its left edge.
    const first = this.stretches.findLastIndex((stretch) => stretch.at < since);
    this.stretches = this.stretches.slice(Math.max(first, 0)).slice(-40);
  }
}
