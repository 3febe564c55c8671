import { useRef } from 'preact/hooks';
import { hueOf } from '../../hues';
import { useFlip } from './flip';
import { lane, type Card, type Phase } from './flow';
import { beyond, type Queue } from './queue';
import type { Kind } from './task';

const shown = 5; // cards in a lane

const lanes: readonly { title: string; phase: Phase; phases: Phase[]; empty: string }[] = [
  { title: 'Waiting', phase: 'ready', phases: ['ready', 'scheduled'], empty: 'Nothing waits.' },
  { title: 'With a worker', phase: 'leased', phases: ['leased'], empty: 'Nobody works.' },
  { title: 'Done', phase: 'done', phases: ['done'], empty: 'Done and deleted.' },
  { title: 'Dead', phase: 'dead', phases: ['dead'], empty: 'Nothing failed for good.' },
];

/** The messages on their way through the queue, from left to right. */
export function Lanes({ queue }: { queue: Queue }) {
  const root = useRef<HTMLDivElement>(null);
  const cards = queue.cards.value;
  useFlip(root, cards);
  return (
    <div ref={root} class="lanes" data-testid="lanes">
      {lanes.map(({ title, phase, phases, empty }) => {
        const all = lane(cards, ...phases);
        const some = all.slice(0, shown);
        const more = phase === 'done' ? 0 : beyond(queue.stats.value, phase, some.length);
        return (
          <section key={phase} class={`lane ${phase}`} aria-label={title} data-testid={`lane-${phase}`}>
            <h3>{title}</h3>
            <ul>{some.map((card) => <Message key={card.id} card={card} />)}</ul>
            {some.length === 0 && <p class="hint">{empty}</p>}
            {some.length === shown && more > 0 && <p class="hint">and {more} more</p>}
          </section>
        );
      })}
    </div>
  );
}

const kindText: Record<Kind, string> = { plain: '', once: 'fails once', poison: 'poison' };

function Message({ card }: { card: Card }) {
  const { seq, phase, task, worker, attempt, error } = card;
  const where = phase === 'leased' ? worker || 'a worker elsewhere'
    : phase === 'done' ? (worker ? `by ${worker}` : 'by a worker elsewhere')
    : phase === 'scheduled' ? (attempt > 0 ? `again soon: ${error || 'failed'}` : 'due later')
    : phase === 'dead' ? error || 'rejected'
    : attempt > 0 ? 'came back' : task.from ? `from ${task.from}` : 'from elsewhere';
  return (
    <li class={`card ${phase} hue-${hueOf(task.from)}`} data-card={card.id} data-testid="card" data-seq={seq} data-attempt={attempt} data-worker={worker}>
      <b>{seq ? `#${seq}` : '#…'}</b>
      {task.kind !== 'plain' && <span class={`badge ${task.kind}`}>{kindText[task.kind]}</span>}
      {attempt > 1 && <span class="badge tries">try {attempt}</span>}
      <span class="where" title={where}>{where}</span>
      {phase === 'leased' && <i class="progress" key={attempt} style={{ animationDuration: `${task.ms}ms` }} />}
    </li>
  );
}
