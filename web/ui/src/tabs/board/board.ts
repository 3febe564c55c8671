import { signal } from '@preact/signals';
import type { Link } from '../../link/link';
import { isElder } from '../../room/members';
import { isRecord, type Member, type Message } from '../../room/protocol';
import { Room } from '../../room/room';
import { colors, parcels, readPoint, readStroke, Strokes, type Point, type Stroke } from './strokes';

const flushEvery = 60; // milliseconds between two pieces of a stroke, and two places of the cursor
const cursorLasts = 4_000;

export interface Cursor {
  name: string;
  at: Point;
}

export interface Surface {
  draw(stroke: Stroke): void;
  redraw(strokes: Stroke[]): void;
}

/** Board is what the Board tab knows: the strokes in a room and where the others point. */
export class Board {
  readonly room: Room;
  readonly color = signal(colors[3]!);
  readonly cursors = signal<ReadonlyMap<string, Cursor>>(new Map());
  readonly news = signal('');
  surface: Surface | null = null;

  private readonly strokes = new Strokes();
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
  private early: Message[] = []; // the elder may answer before the server has
  private current: Stroke | null = null; // the piece that is not sent yet
  private pointed = 0;
  private flushing: ReturnType<typeof setTimeout> | undefined;
  private lastRoom = '';

  constructor(link: Link) {
    this.room = new Room(link, '/board', 'board', {
      message: (message) => this.receive(message),
      joined: (member) => this.greet(member),
      left: (member) => this.forget(member.id),
      entered: (room) => {
        if (room !== this.lastRoom) this.wipe(this.lastRoom ? `You are in #${room}` : '');
        this.lastRoom = room;
        for (const message of this.early.splice(0)) this.receive(message);
      },
    });
  }

  all(): Stroke[] {
    return this.strokes.all();
  }

  begin(point: Point): void {
    const id = `${this.room.self.peek()?.id ?? 'me'}-${Date.now().toString(36)}`;
    this.current = { id, points: [], color: this.color.value, size: 7 };
    this.extend(point);
  }

  extend(point: Point): void {
    if (!this.current) return;
    this.current.points.push(point);
    this.surface?.draw(this.strokes.add({ ...this.current, points: [point] }));
    this.flushing ??= setTimeout(() => this.flush(), flushEvery);
  }

  end(): void {
    this.flush();
    this.current = null;
  }

  point(at: Point): void {
    const now = performance.now();
    if (now - this.pointed < flushEvery) return;
    this.pointed = now;
    this.room.sendVolatile({ kind: 'cursor', x: at[0], y: at[1] });
  }

  clear(): void {
    this.wipe('You cleared the board');
    this.send({ kind: 'clear' });
  }

  private flush(): void {
    clearTimeout(this.flushing);
    this.flushing = undefined;
    if (!this.current || this.current.points.length === 0) return;
    this.send({ kind: 'stroke', ...this.current });
    this.current = { ...this.current, points: [] };
  }

  private send(data: object): void {
    if (!this.room.inside.value) return;
    this.room.send(data).catch((error: Error) => (this.news.value = `Not sent: ${error.message}`));
  }

  private receive({ from, data }: Message): void {
    if (!isRecord(data)) return;
    switch (data.kind) {
      case 'stroke': {
        const stroke = readStroke(data);
        if (stroke) this.surface?.draw(this.strokes.add(stroke));
        break;
      }
      case 'strokes':
        if (!this.room.inside.value || !this.room.self.value) this.early = [...this.early.slice(-9), { from, data } as Message];
        else if (data.to === this.room.self.value.id && Array.isArray(data.strokes)) this.adopt(data.strokes);
        break;
      case 'cursor': {
        const at = readPoint([data.x, data.y]);
        if (at) this.show(from, at);
        break;
      }
      case 'clear':
        this.wipe(`${from.name} cleared the board`);
        break;
    }
  }

  /** The server keeps no drawing: whoever is the elder hands it to a newcomer. */
  private greet(newcomer: Member): void {
    const self = this.room.self.value;
    if (!self || !isElder(this.room.members.value, self.id, newcomer.id)) return;
    for (const strokes of parcels(this.strokes.all())) this.send({ kind: 'strokes', to: newcomer.id, strokes });
  }

  private adopt(values: unknown[]): void {
    for (const value of values) {
      const stroke = readStroke(value);
      if (stroke && !this.strokes.has(stroke.id)) this.surface?.draw(this.strokes.add(stroke));
    }
  }

  private show(from: Member, at: Point): void {
    this.cursors.value = new Map(this.cursors.value).set(from.id, { name: from.name, at });
    clearTimeout(this.timers.get(from.id));
    this.timers.set(from.id, setTimeout(() => this.forget(from.id), cursorLasts));
  }

  private forget(id: string): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
    if (!this.cursors.value.has(id)) return;
    const cursors = new Map(this.cursors.value);
    cursors.delete(id);
    this.cursors.value = cursors;
  }

  private wipe(news: string): void {
    this.strokes.clear();
    this.cursors.value = new Map();
    this.surface?.redraw([]);
    this.news.value = news;
  }
}
