import { computed, signal } from '@preact/signals';
import { listed } from '../../format';
import { hueOf } from '../../hues';
import type { Link } from '../../link/link';
import { isRecord, type Member, type Message } from '../../room/protocol';
import { Room } from '../../room/room';

export const maxText = 2_000; // characters
const keep = 300; // lines
const typingEvery = 2_000; // milliseconds between two signs of typing
const typingLasts = 3_500;

export interface Line {
  id: number;
  kind: 'said' | 'news';
  own: boolean;
  name: string;
  hue: number;
  text: string;
  at: number;
  status: 'sent' | 'sending' | 'failed';
  problem: string;
}

/** textOf reads what a message says; other clients may send any JSON. null: it is a sign, not a message. */
export function textOf(data: unknown): string | null {
  if (typeof data === 'string') return data.slice(0, maxText);
  if (isRecord(data)) {
    if (data.kind === 'typing') return null;
    if (typeof data.text === 'string') return data.text.slice(0, maxText);
    if (data instanceof ArrayBuffer) return `${data.byteLength} bytes`;
  }
  return (JSON.stringify(data) ?? '').slice(0, maxText);
}

/** News of one kind, such as who joined: lines that follow each other become one. */
interface News {
  line: number; // id
  verb: string;
  names: string[];
}

/** Chat is what the Chat tab knows: the lines said in a room and who is typing. */
export class Chat {
  readonly lines = signal<Line[]>([]);
  readonly room: Room;
  readonly typing = computed(() => [...this.typists.value.values()]);
  private readonly typists = signal<ReadonlyMap<string, string>>(new Map());
  private readonly timers = new Map<string, ReturnType<typeof setTimeout>>();
  private latest: News | null = null; // null: the last line is something else
  private lastId = 0;
  private lastTyping = 0;
  private lastRoom = '';

  constructor(link: Link) {
    this.room = new Room(link, '/', 'room', {
      message: (message) => this.receive(message),
      joined: (member) => this.news('joined', member.name),
      left: (member) => {
        this.stopTyping(member.id);
        this.news('left', member.name);
      },
      entered: (room, recovered) => {
        if (!recovered && room !== this.lastRoom) this.add({ kind: 'news', text: `You are in #${room}` });
        this.lastRoom = room;
      },
    });
  }

  say(text: string): void {
    const id = this.add({ kind: 'said', own: true, text, status: 'sending' });
    this.lastTyping = 0;
    void this.deliver(id, text);
  }

  again(line: Line): void {
    this.change(line.id, { status: 'sending', problem: '' });
    void this.deliver(line.id, line.text);
  }

  /** sign tells the others that the visitor is typing. */
  sign(): void {
    const now = performance.now();
    if (this.lastTyping !== 0 && now - this.lastTyping < typingEvery) return;
    this.lastTyping = now;
    this.room.sendVolatile({ kind: 'typing' });
  }

  private async deliver(id: number, text: string): Promise<void> {
    try {
      const at = await this.room.send({ kind: 'text', text });
      this.change(id, { status: 'sent', at });
    } catch (error) {
      this.change(id, { status: 'failed', problem: (error as Error).message });
    }
  }

  private receive({ from, data, at }: Message): void {
    const text = textOf(data);
    if (text === null) {
      this.startTyping(from);
      return;
    }
    this.stopTyping(from.id);
    this.add({ kind: 'said', name: from.name, hue: this.room.hues.value.get(from.id) ?? hueOf(from.name), text, at });
  }

  private startTyping({ id, name }: Member): void {
    this.typists.value = new Map(this.typists.value).set(id, name);
    clearTimeout(this.timers.get(id));
    this.timers.set(id, setTimeout(() => this.stopTyping(id), typingLasts));
  }

  private stopTyping(id: string): void {
    clearTimeout(this.timers.get(id));
    this.timers.delete(id);
    if (!this.typists.value.has(id)) return;
    const typists = new Map(this.typists.value);
    typists.delete(id);
    this.typists.value = typists;
  }

  private news(verb: string, name: string): void {
    if (this.latest?.verb === verb) {
      const { line, names } = this.latest;
      if (!names.includes(name)) names.push(name);
      this.change(line, { text: `${listed(names)} ${verb}` });
      return;
    }
    const line = this.add({ kind: 'news', text: `${name} ${verb}` });
    this.latest = { line, verb, names: [name] };
  }

  private add(line: Pick<Line, 'kind' | 'text'> & Partial<Line>): number {
    const id = ++this.lastId;
    this.latest = null;
    const full: Line = { own: false, name: '', hue: 0, at: Date.now(), status: 'sent', problem: '', ...line, id };
    this.lines.value = [...this.lines.value, full].slice(-keep);
    return id;
  }

  private change(id: number, part: Partial<Line>): void {
    this.lines.value = this.lines.value.map((line) => (line.id === id ? { ...line, ...part } : line));
  }
}
