export type Transport = 'polling' | 'websocket' | 'webtransport';

/** How a transport is written for people. */
export const transportLabel: Record<Transport, string> = {
  polling: 'polling',
  websocket: 'WebSocket',
  webtransport: 'WebTransport',
};

export function isTransport(value: unknown): value is Transport {
  return typeof value === 'string' && Object.hasOwn(transportLabel, value);
}
