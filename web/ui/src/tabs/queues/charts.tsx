import { formatMs } from '../../format';
import { chartSpan, steps, type Sample } from './chart';
import type { Queue } from './queue';

/** How much waits and how much is being worked on, now and in the last minute. */
export function Charts({ queue }: { queue: Queue }) {
  const stats = queue.stats.value;
  const waiting = stats && stats.ready + stats.scheduled + stats.blocked;
  const later = stats?.scheduled ? `${stats.scheduled} of them later` : stats && stats.ready > 0 ? `oldest ${formatMs(stats.oldestMs)}` : '';
  return (
    <div class="charts">
      <Chart label="Waiting" testid="depth" value={waiting} note={later} samples={queue.depth.value} floor={10} tone="depth" />
      <Chart label="In flight" testid="in-flight" value={stats && stats.leased} note={stats ? `${stats.acked} done so far` : ''} samples={queue.flight.value} floor={4} tone="flight" />
    </div>
  );
}

const width = 300;
const height = 56;

function Chart({ label, testid, value, note, samples, floor, tone }: {
  label: string; testid: string; value: number | null; note: string; samples: Sample[]; floor: number; tone: string;
}) {
  const line = steps(samples, width, height, samples.at(-1)?.at ?? 0, floor);
  const begin = /^M([\d.]+)/.exec(line)?.[1];
  return (
    <figure class={`chart ${tone}`}>
      <figcaption><b data-testid={testid}>{value ?? '–'}</b> <span>{label}</span> <em>{note}</em></figcaption>
      <svg viewBox={`0 -2 ${width} ${height + 2}`} preserveAspectRatio="none" role="img" aria-label={`${label}, the last ${chartSpan / 1_000} seconds; now ${value ?? 'unknown'}`}>
        {begin !== undefined && <path class="area" d={`${line}V${height}H${begin}Z`} />}
        <path class="trace" d={line} />
      </svg>
    </figure>
  );
}
