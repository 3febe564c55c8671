// A chart of a number that changes in steps.

export interface Sample {
  at: number; // performance.now()
  value: number;
}

export const chartSpan = 60_000; // milliseconds that a chart reaches back

/** withSample adds a sample and drops what is out of sight, but for the one that the chart begins with. */
export function withSample(samples: readonly Sample[], sample: Sample): Sample[] {
  const first = samples.findLastIndex(({ at }) => at < sample.at - chartSpan);
  return [...samples.slice(Math.max(first, 0)), sample];
}

/**
 * steps returns the `d` of an SVG path in a box of width x height whose right
 * edge is now. The scale never zooms in further than floor.
 */
export function steps(samples: readonly Sample[], width: number, height: number, now: number, floor: number): string {
  if (samples.length === 0) return '';
  const top = Math.max(floor, ...samples.map(({ value }) => value));
  const x = (at: number) => Math.max(0, width * (1 - (now - at) / chartSpan)).toFixed(1);
  const y = (value: number) => (height - (value / top) * height).toFixed(1);
  const [first, ...rest] = samples as [Sample, ...Sample[]];
  return `M${x(first.at)},${y(first.value)}${rest.map(({ at, value }) => `H${x(at)}V${y(value)}`).join('')}H${width}`;
}
