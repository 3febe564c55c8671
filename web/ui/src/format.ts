/** formatMs writes a duration for people: 0.4 -> "<1 ms", 12.3 -> "12 ms", 2400 -> "2.4 s". */
export function formatMs(ms: number): string {
  if (ms < 1) return '<1 ms';
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return `${(ms / 1000).toFixed(1)} s`;
}

/** listed writes names for people: "Ada", "Ada and Grace", "Ada, Grace and 3 others". */
export function listed(names: readonly string[]): string {
  if (names.length <= 1) return names[0] ?? '';
  if (names.length <= 3) return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
  return `${names.slice(0, 2).join(', ')} and ${names.length - 2} others`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const clockWithSeconds = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

export const formatTime = (at: number): string => clock.format(at);
export const formatTimeWithSeconds = (at: number): string => clockWithSeconds.format(at);
