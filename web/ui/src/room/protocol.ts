import type { Socket } from 'socket.io-client';
import { isTransport, type Transport } from '../link/transport';

// The events of the server's configured namespaces: join, leave, send and their
// news. Every ack is one object, {ok: true, ...} or {ok: false, code, message}.

export interface Member {
  id: string;
  name: string;
  transport: Transport | null;
  latency: number | null; // milliseconds, as the member measured it
  node: string; // of the cluster that the member is connected to; "" if the server names none
}

export interface Message {
  room: string;
  from: Member;
  data: unknown;
  at: number; // Unix time in milliseconds, by the server's clock
}

/** An answer {ok: false}, or none in time. */
export class AnswerError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const patience = 8_000; // milliseconds to wait for an ack

/** ask emits an event and waits for its ack; it throws an AnswerError. */
export async function ask(socket: Socket, event: string, ...args: unknown[]): Promise<Record<string, unknown>> {
  let answer: unknown;
  try {
    answer = await socket.timeout(patience).emitWithAck(event, ...args);
  } catch {
    throw new AnswerError('timeout', 'The server did not answer in time.');
  }
  if (!isRecord(answer)) throw new AnswerError('internal', 'The server gave an answer that this page does not understand.');
  if (answer.ok !== true) throw new AnswerError(text(answer.code) || 'internal', text(answer.message) || 'The server said no.');
  return answer;
}

/** toMember reads a member as it came from the server; null if it is none. */
export function toMember(value: unknown): Member | null {
  if (!isRecord(value) || typeof value.id !== 'string') return null;
  return {
    id: value.id,
    name: text(value.name) || 'guest',
    transport: isTransport(value.transport) ? value.transport : null,
    latency: typeof value.latency === 'number' && value.latency >= 0 ? value.latency : null,
    node: text(value.node).slice(0, 40),
  };
}

/** toMembers reads a list of members; what is none is left out. */
export function toMembers(value: unknown): Member[] {
  return Array.isArray(value) ? value.map(toMember).filter((member) => member !== null) : [];
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
