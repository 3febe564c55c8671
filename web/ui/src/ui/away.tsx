import type { Link } from '../link/link';

/** Says in place why nothing can be sent, and offers what helps. */
export function Away({ link, inside }: { link: Link; inside: boolean }) {
  const state = link.state.value;
  if (state === 'connected' ? inside : state === 'connecting') return null;
  return (
    <div class="away" role="status" data-testid="away">
      {state === 'disconnected' ? (
        <>
          <span>You have left. What is said meanwhile does not reach you.</span>
          <button type="button" class="button" data-testid="away-connect" onClick={() => link.connect()}>Reconnect</button>
        </>
      ) : <span>{state === 'connected' ? 'Joining the room…' : 'The connection is gone. It comes back by itself as soon as the server answers.'}</span>}
    </div>
  );
}
