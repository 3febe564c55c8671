import { formatMs } from '../format';
import { transportLabel, type Transport } from '../link/transport';
import { initialsOf } from '../names';

export function TransportBadge({ transport }: { transport: Transport | null }) {
  if (!transport) return null;
  return <span class={`badge ${transport}`}>{transportLabel[transport]}</span>;
}

export function Latency({ ms }: { ms: number | null }) {
  return <span class="latency" data-testid="member-latency">{ms === null ? '' : formatMs(ms)}</span>;
}

/** The node of the cluster that somebody is connected to. */
export function NodeBadge({ node }: { node: string }) {
  if (!node) return null;
  return <span class="badge node" data-testid="member-node" title={`connected to node ${node}`}>{node}</span>;
}

export function Avatar({ name, hue }: { name: string; hue: number }) {
  return <span class={`avatar hue-${hue}`} aria-hidden="true">{initialsOf(name)}</span>;
}
