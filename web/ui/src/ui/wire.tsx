import { useEffect, useRef } from 'preact/hooks';
import type { Link } from '../link/link';
import type { Transport } from '../link/transport';
import { engineLane, wireSpan, type Wire } from '../link/wire';
import { themeVersion } from './theme';

const laneHeight = 30; // CSS pixels
const gutter = 84; // for the names of the lanes

/** The strip that shows each packet on the connection, a lane for each namespace. */
export function WireStrip({ link }: { link: Link }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const lanes = ['/', ...[...link.ids.value.keys()].filter((namespace) => namespace !== '/'), engineLane];
  const names = lanes.join(' ');

  useEffect(() => {
    const element = canvas.current!;
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const style = getComputedStyle(element);
    let frame = 0;
    let drawn = -Infinity;
    let colors = readColors(style);
    const stop = themeVersion.subscribe(() => { colors = readColors(style); });
    const step = (now: number) => {
      frame = requestAnimationFrame(step);
      if (now - drawn < (still ? 1_000 : 40)) return;
      drawn = now;
      paint(element, link.wire, names.split(' '), colors, performance.now());
    };
    frame = requestAnimationFrame(step);
    return () => {
      cancelAnimationFrame(frame);
      stop();
    };
  }, [link, names]);

  return (
    <figure class="wire">
      <figcaption>
        <b>On the wire</b> <span>the last 30 seconds: sent above the line, received below</span>
        <span class="key polling">polling</span><span class="key websocket">WebSocket</span>
      </figcaption>
      <canvas
        ref={canvas} data-testid="wire" role="img" style={{ height: `${lanes.length * laneHeight}px` }}
        aria-label={`Packets of one connection, in lanes: ${lanes.join(', ')}`}
      />
    </figure>
  );
}

type Colors = Record<Transport | 'text' | 'line', string> & { font: string };

function readColors(style: CSSStyleDeclaration): Colors {
  const get = (name: string) => style.getPropertyValue(name).trim();
  return { polling: get('--polling'), websocket: get('--live'), webtransport: get('--live'), text: get('--muted'), line: get('--line'), font: get('--mono') };
}

function paint(element: HTMLCanvasElement, wire: Wire, lanes: string[], colors: Colors, now: number): void {
  const width = element.clientWidth;
  const height = lanes.length * laneHeight;
  const scale = devicePixelRatio;
  if (element.width !== Math.round(width * scale) || element.height !== height * scale) {
    element.width = Math.round(width * scale);
    element.height = height * scale;
  }
  const context = element.getContext('2d')!;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const x = (at: number) => gutter + (1 - (now - at) / wireSpan) * (width - gutter - 6);
  const y = (lane: number) => (lane + 0.5) * laneHeight;

  context.font = `12px ${colors.font}`;
  context.textBaseline = 'middle';
  lanes.forEach((lane, i) => {
    context.fillStyle = colors.text;
    context.fillText(lane, 2, y(i));
    context.fillStyle = colors.line;
    context.fillRect(gutter, y(i) - 0.5, width - gutter - 6, 1);
  });
  wire.stretches.forEach(({ at, transport }, i) => {
    const end = wire.stretches[i + 1]?.at ?? now;
    if (transport === null || end < now - wireSpan) return;
    const from = Math.max(x(at), gutter);
    context.fillStyle = colors[transport];
    context.globalAlpha = 0.45;
    for (let lane = 0; lane < lanes.length; lane++) context.fillRect(from, y(lane) - 1, x(end) - from, 2);
    context.globalAlpha = 1;
    if (transport !== 'polling' && wire.stretches[i - 1]?.transport === 'polling' && x(at) > gutter) {
      context.fillRect(x(at), 2, 1.5, height - 4);
    }
  });
  for (const tick of wire.ticks) {
    const lane = lanes.indexOf(tick.lane);
    if (lane < 0 || tick.at < now - wireSpan) continue;
    const tall = Math.min(12, 3 + Math.log2(tick.size + 1));
    context.fillStyle = colors[tick.transport];
    context.fillRect(x(tick.at) - 1, tick.direction === 'out' ? y(lane) - 1 - tall : y(lane) + 1, 2.5, tall);
  }
}
