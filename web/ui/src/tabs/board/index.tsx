import { useEffect, useRef, useState } from 'preact/hooks';
import type { Link } from '../../link/link';
import { Away } from '../../ui/away';
import { Members, RoomPicker } from '../../ui/room';
import type { Tab } from '../tab';
import { Board } from './board';
import { clamp, colors, height, width, type Point, type Stroke } from './strokes';

/** The Board tab, in a namespace of its own. */
export const board: Tab = {
  id: 'board',
  label: 'Board',
  namespace: '/board',
  open(link) {
    const state = new Board(link);
    return () => (
      <>
        <RoomPicker room={state.room} id="board" />
        <Sheet board={state} link={link} />
        <Members room={state.room} />
      </>
    );
  },
};

const colorNames = ['red', 'amber', 'green', 'blue', 'violet', 'grey'];

function Sheet({ board, link }: { board: Board; link: Link }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [pen, setPen] = useState<{ at: Point; down: boolean } | null>(null); // moved by the keyboard

  useEffect(() => {
    const element = canvas.current!;
    const context = element.getContext('2d')!;
    const draw = ({ points, color, size }: Stroke) => {
      context.strokeStyle = color;
      context.lineWidth = size;
      context.lineCap = context.lineJoin = 'round';
      context.beginPath();
      context.moveTo(...points[0]!);
      for (const point of points) context.lineTo(...point);
      context.stroke();
    };
    const redraw = (strokes: Stroke[]) => {
      context.clearRect(0, 0, width, height);
      strokes.forEach(draw);
    };
    const resize = () => {
      const scale = (element.clientWidth * devicePixelRatio) / width;
      if (scale === 0) return; // hidden
      element.width = Math.round(width * scale);
      element.height = Math.round(height * scale);
      context.setTransform(scale, 0, 0, scale, 0, 0);
      redraw(board.all());
    };
    board.surface = { draw, redraw };
    const observer = new ResizeObserver(resize);
    observer.observe(element);
    return () => {
      observer.disconnect();
      board.surface = null;
    };
  }, [board]);

  const place = (event: PointerEvent): Point => {
    const box = canvas.current!.getBoundingClientRect();
    return [
      clamp(((event.clientX - box.left) / box.width) * width, width),
      clamp(((event.clientY - box.top) / box.height) * height, height),
    ];
  };

  const onKeyDown = (event: KeyboardEvent) => {
    const step = event.shiftKey ? 60 : 15;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    const { at, down } = pen ?? { at: [width / 2, height / 2] as Point, down: false };
    if (event.key === ' ' || event.key === 'Enter') {
      event.preventDefault();
      if (down) board.end();
      else board.begin(at);
      setPen({ at, down: !down });
    } else if (move) {
      event.preventDefault();
      const next: Point = [clamp(at[0] + move[0]!, width), clamp(at[1] + move[1]!, height)];
      if (down) board.extend(next);
      board.point(next);
      setPen({ at: next, down });
    }
  };

  return (
    <section class="sheet main" aria-label={`Board of ${board.room.name.value}`}>
      <div class="tools">
        <fieldset>
          <legend class="unseen">Colour</legend>
          {colors.map((color, i) => (
            <button
              type="button" key={color} class={`ink ink-${i}`} aria-label={colorNames[i]} aria-pressed={color === board.color.value}
              data-testid={`ink-${colorNames[i]}`} onClick={() => (board.color.value = color)}
            />
          ))}
        </fieldset>
        <span class="news" role="status">{board.news.value}</span>
        <button type="button" class="button" data-testid="board-clear" onClick={() => board.clear()}>Clear</button>
      </div>
      <div class="paper">
        <canvas
          ref={canvas} tabIndex={0} data-testid="board-canvas" role="application"
          aria-label="Drawing board. Arrow keys move the pen, space puts it down and lifts it."
          onPointerDown={(event) => {
            event.currentTarget.setPointerCapture(event.pointerId);
            setPen(null);
            board.begin(place(event));
          }}
          onPointerMove={(event) => {
            const at = place(event);
            if (event.buttons & 1) board.extend(at);
            board.point(at);
          }}
          onPointerUp={() => board.end()}
          onPointerCancel={() => board.end()}
          onKeyDown={onKeyDown}
          onBlur={() => { if (pen) { board.end(); setPen(null); } }}
        />
        {pen && <span class={`pen ${pen.down ? 'down' : ''}`} style={spot(pen.at)} />}
        {[...board.cursors.value].map(([id, cursor]) => (
          <span key={id} class={`cursor ${cursor.at[0] > width * 0.8 ? 'left' : ''} hue-${board.room.hues.value.get(id) ?? 0}`} data-testid="cursor" style={spot(cursor.at)}><i />{cursor.name}</span>
        ))}
      </div>
      <Away link={link} room={board.room} />
      <p class="hint">
        This is #{board.room.name.value} in <code>/board</code>. #{board.room.name.value} in <code>/</code> is another room with its own members: a room belongs to its namespace. Both share one connection.
      </p>
    </section>
  );
}

function spot([x, y]: Point) {
  return { left: `${(x / width) * 100}%`, top: `${(y / height) * 100}%` };
}
