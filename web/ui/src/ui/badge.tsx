import { formatMs } from '../format';
import { transportLabel, type Transport } from '../link/transport';
import { hueOf, initialsOf } from '../names';

export function TransportBadge({ transport }: { transport: Transport | null }) {
  if (!transport) return null;
  return <span class={`badge ${transport}`}>{transportLabel[transport]}</span>;
}

export function Latency({ ms }: { ms: number | null }) {
  return <span class="latency" data-testid="member-latency">{ms === null ? '' : formatMs(ms)}</span>;
}

export function Avatar({ name }: { name: string }) {
  return <span class={`avatar hue-${hueOf(name)}`} aria-hidden="true">{initialsOf(name)}</span>;
}
