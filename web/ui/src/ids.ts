/** newId makes an id that nobody else has; pages without TLS have no crypto.randomUUID. */
export function newId(): string {
  return crypto.randomUUID?.() ?? Array.from({ length: 3 }, () => Math.random().toString(36).slice(2)).join('');
}
