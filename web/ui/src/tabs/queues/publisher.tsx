import { useState } from 'preact/hooks';
import type { Queue } from './queue';
import { kinds, type Kind } from './task';

const labels: Record<Kind, string> = { plain: 'Plain', once: 'Fails once', poison: 'Poison' };
const delays = [0, 5] as const; // seconds

/** What is to be put into the queue. */
export function Publisher({ queue }: { queue: Queue }) {
  const [kind, setKind] = useState<Kind>('plain');
  const [delay, setDelay] = useState<number>(0);
  const inside = queue.room.inside.value;
  return (
    <fieldset class="publisher">
      <legend>Publish to <code>demo</code></legend>
      <div class="chips" role="group" aria-label="What kind">
        {kinds.map((other) => (
          <button type="button" key={other} class="chip" data-testid={`kind-${other}`} aria-pressed={other === kind} onClick={() => setKind(other)}>{labels[other]}</button>
        ))}
      </div>
      <div class="chips" role="group" aria-label="When">
        {delays.map((other) => (
          <button type="button" key={other} class="chip" data-testid={`delay-${other}`} aria-pressed={other === delay} onClick={() => setDelay(other)}>{other === 0 ? 'Now' : `In ${other} s`}</button>
        ))}
      </div>
      <div class="amounts">
        <button type="button" class="button primary" data-testid="publish-1" disabled={!inside} onClick={() => void queue.publish(1, kind, delay * 1_000)}>Publish one</button>
        {[10, 50].map((count) => (
          <button type="button" key={count} class="button" data-testid={`publish-${count}`} aria-label={`Publish ${count}`} disabled={!inside} onClick={() => void queue.publish(count, kind, delay * 1_000)}>{count}</button>
        ))}
      </div>
    </fieldset>
  );
}
