import { stay } from '../../ui/focus';
import { maxWorkers, type Queue } from './queue';
import type { Worker, WorkerState } from './worker';

const stateText: Record<WorkerState, string> = {
  connecting: 'connecting',
  idle: 'waits for a message',
  busy: '',
  away: 'no connection',
  killed: 'killed',
};

/** The workers of this window. */
export function Crew({ queue }: { queue: Queue }) {
  const workers = queue.workers.value;
  const alive = workers.filter((worker) => worker.state.value !== 'killed').length;
  return (
    <fieldset class="crew" tabIndex={-1}>
      <legend>Workers in this window</legend>
      <ul data-testid="workers">{workers.map((worker) => <Hand key={worker.label} worker={worker} queue={queue} />)}</ul>
      {workers.length === 0 && <p class="hint">None. A worker takes one message at a time, over a connection of its own.</p>}
      <button type="button" class="button" data-testid="worker-start" disabled={alive >= maxWorkers} onClick={() => queue.start()}>Start a worker</button>
      <label class="switch">
        <input type="checkbox" role="switch" data-testid="fixed" checked={queue.fixed.value} onChange={(event) => (queue.fixed.value = event.currentTarget.checked)} />
        <span>They digest poison</span>
      </label>
    </fieldset>
  );
}

function Hand({ worker, queue }: { worker: Worker; queue: Queue }) {
  const state = worker.state.value;
  const job = worker.job.value;
  return (
    <li class={`hand ${state}`} data-testid="worker" data-state={state}>
      <div>
        <b>{worker.label}</b>
        <span>{job ? `${state === 'away' ? 'cut off with' : 'has'} ${queue.called(job.id)}${job.attempt > 1 ? `, attempt ${job.attempt}` : ''}` : stateText[state]}</span>
        {worker.problem.value && <p class="notice">{worker.problem.value}</p>}
      </div>
      {state !== 'killed' && <button type="button" class="button" data-testid="worker-kill" aria-label={`Kill ${worker.label}`} onClick={(event) => (stay(event), queue.kill(worker))}>Kill</button>}
      {job && <i class="progress" key={`${job.id}-${job.attempt}`} style={{ animationDuration: `${job.task.ms}ms` }} />}
    </li>
  );
}
