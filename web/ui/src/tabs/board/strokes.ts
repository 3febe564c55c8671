import { isRecord } from '../../room/protocol';

// The drawing: strokes with coordinates on a board of fixed size, so that it
// looks the same in windows of any width. What arrives comes from other people.

export const width = 1200;
export const height = 900;
export const colors = ['#e5484d', '#e08700', '#2f9e5f', '#4a63f0', '#b453c9', '#858aa8'];

const keep = 800; // strokes on a board
const maxPoints = 4_000; // of one stroke

export type Point = [x: number, y: number];

export interface Stroke {
  id: string;
  points: Point[];
  color: string;
  size: number;
}

/** readStroke takes a stroke, or a piece of one, from another client; null if it is none. */
export function readStroke(value: unknown): Stroke | null {
  if (!isRecord(value) || !Array.isArray(value.points)) return null;
  const points = value.points.slice(0, maxPoints).map(readPoint).filter((point) => point !== null);
  if (points.length === 0) return null;
  return {
    id: typeof value.id === 'string' ? value.id.slice(0, 80) : '',
    points,
    color: typeof value.color === 'string' && /^#[0-9a-f]{6}$/i.test(value.color) ? value.color : colors[0]!,
    size: typeof value.size === 'number' ? Math.min(Math.max(value.size, 1), 40) : 6,
  };
}

export function readPoint(value: unknown): Point | null {
  if (!Array.isArray(value)) return null;
  const [x, y] = value;
  if (!Number.isFinite(x) || !Number.isFinite(y)) return null;
  return [clamp(x, width), clamp(y, height)];
}

/** clamp rounds a coordinate to the board. */
export function clamp(value: number, limit: number): number {
  return Math.round(Math.min(Math.max(value, 0), limit));
}

/** Strokes holds what is on the board; pieces with one id make one stroke. */
export class Strokes {
  private readonly byId = new Map<string, Stroke>();

  /** add returns what is to be drawn: the piece, led by the point that it continues from. */
  add(piece: Stroke): Stroke {
    const id = piece.id || crypto.randomUUID?.() || String(Math.random());
    const known = this.byId.get(id);
    if (!known) {
      this.byId.set(id, { ...piece, id, points: [...piece.points] });
      if (this.byId.size > keep) this.byId.delete(this.byId.keys().next().value!);
      return piece;
    }
    const from = known.points.at(-1)!;
    known.points.push(...piece.points.slice(0, maxPoints - known.points.length));
    return { ...known, points: [from, ...piece.points] };
  }

  has(id: string): boolean {
    return this.byId.has(id);
  }

  all(): Stroke[] {
    return [...this.byId.values()];
  }

  clear(): void {
    this.byId.clear();
  }
}

/** parcels splits strokes into groups of at most limit points each, so that no message gets too large. */
export function parcels(strokes: readonly Stroke[], limit = 4_000): Stroke[][] {
  const groups: Stroke[][] = [];
  let points = Infinity;
  for (const stroke of strokes) {
    if (points + stroke.points.length > limit) {
      groups.push([]);
      points = 0;
    }
    groups.at(-1)!.push(stroke);
    points += stroke.points.length;
  }
  return groups;
}
