import { stay } from '../../ui/focus';
import { lane } from './flow';
import type { Queue } from './queue';

const reasons: Record<string, string> = {
  failures: 'failed too often',
  attempts: 'was handed out too often',
  rejected: 'rejected',
  expired: 'too old',
};

/** The dead letters: why they are dead, and what can be done about it. */
export function DeadLetters({ queue }: { queue: Queue }) {
  const dead = lane(queue.cards.value, 'dead');
  const count = queue.stats.value?.dead ?? 0;
  return (
    <section class="half" aria-label="Dead letters" tabIndex={-1} data-testid="dead-letters">
      <header>
        <h3>Dead letters <span data-testid="dead-count">{count}</span></h3>
        <button type="button" class="button" data-testid="redrive-all" disabled={count === 0} onClick={(event) => (stay(event), void queue.redrive())}>Redrive all</button>
        <button type="button" class="button" data-testid="purge" disabled={count === 0} onClick={(event) => (stay(event), void queue.purgeDead())}>Purge</button>
      </header>
      {dead.length === 0 && <p class="hint">A message that fails five times is put aside here, with the reason. Publish poison to see it; then let the workers digest it, and send it through again.</p>}
      <ul class="letters" tabIndex={dead.length > 0 ? 0 : undefined} aria-label="Dead letters">
        {dead.map((card) => (
          <li key={card.id} data-testid="dead-letter">
            <span><b>#{card.seq}</b> {reasons[card.reason] ?? (card.reason || 'dead')} after {card.attempt} {card.attempt === 1 ? 'attempt' : 'attempts'}{card.error && <em>{card.error}</em>}</span>
            <button type="button" class="button" data-testid="redrive" aria-label={`Redrive #${card.seq}`} onClick={(event) => (stay(event), void queue.redrive([card.id]))}>Redrive</button>
          </li>
        ))}
      </ul>
    </section>
  );
}
