// A short series of measurements and how it is drawn.

/** append returns series with value at its end and at most limit values. */
export function append(series: readonly number[], value: number, limit: number): number[] {
  return [...series.slice(-(limit - 1)), value];
}

/** median of the series; undefined if it is empty. */
export function median(series: readonly number[]): number | undefined {
  if (series.length === 0) return undefined;
  const sorted = [...series].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * sparkline returns the `points` of an SVG polyline in a box of width x height.
 * The newest value is at the right edge, slots values fill the width, and the
 * scale never zooms in further than floor, so that a quiet line looks quiet.
 */
export function sparkline(series: readonly number[], width: number, height: number, slots: number, floor = 20): string {
  const top = Math.max(floor, ...series);
  const step = width / (slots - 1);
  const shown = series.slice(-slots);
  return shown
    .map((value, i) => {
      const x = width - (shown.length - 1 - i) * step;
      const y = height - (value / top) * height;
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join(' ');
}
