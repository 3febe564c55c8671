import { useEffect, useRef } from 'preact/hooks';
import type { Link } from '../../link/link';
import { Members, NameField } from '../../ui/room';
import type { Tab } from '../tab';
import { Charts } from './charts';
import { DeadLetters } from './dead';
import { InboxPanel } from './inboxpanel';
import { Lanes } from './lanes';
import { Publisher } from './publisher';
import { messages, Queue } from './queue';
import { Crew } from './crew';

const refreshEvery = 500; // milliseconds, while the tab is seen

/** The Queues tab: the queue and the inboxes of the main namespace. */
export const queues: Tab = {
  id: 'queues',
  label: 'Queues',
  namespace: '/',
  open(link) {
    const state = new Queue(link);
    return () => (
      <>
        <div class="picker">
          <NameField id="queues" />
          <Publisher queue={state} />
          <Crew queue={state} />
        </div>
        <Desk queue={state} link={link} />
        <Members room={state.room} />
      </>
    );
  },
};

function Desk({ queue, link }: { queue: Queue; link: Link }) {
  const root = useRef<HTMLElement>(null);
  useEffect(() => {
    const refresh = () => {
      if (!document.hidden && root.current?.checkVisibility()) void queue.refresh();
    };
    refresh();
    const timer = setInterval(refresh, refreshEvery);
    return () => clearInterval(timer);
  }, [queue]);

  return (
    <section ref={root} class="desk main" aria-label="The queue demo">
      <Charts queue={queue} />
      {queue.problem.value && <p class="notice" role="alert" data-testid="queue-problem">{queue.problem.value}</p>}
      {queue.dropped.value > 0 && (
        <p class="notice" role="status" data-testid="queue-dropped">
          The queue is full: to make room for new ones, {messages(queue.dropped.value)} that waited longest {queue.dropped.value === 1 ? 'was' : 'were'} dropped.
        </p>
      )}
      <Gone link={link} />
      <Lanes queue={queue} />
      <p class="told" role="status" data-testid="queue-said">{queue.said.value}</p>
      <div class="halves">
        <DeadLetters queue={queue} />
        <InboxPanel queue={queue} link={link} />
      </div>
    </section>
  );
}

/** What holds without a connection. */
function Gone({ link }: { link: Link }) {
  const state = link.state.value;
  if (state === 'connected' || state === 'connecting') return null;
  return (
    <div class="away" role="status" data-testid="away">
      {state === 'disconnected' ? (
        <>
          <span>You have left. Your workers go on, and your inbox keeps what is sent to you.</span>
          <button type="button" class="button" data-testid="away-connect" onClick={() => link.connect()}>Reconnect</button>
        </>
      ) : <span>The connection is gone. Messages stay in the queue, and all goes on as soon as the server answers.</span>}
    </div>
  );
}
