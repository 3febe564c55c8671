import type { Link } from '../link/link';
import type { Room } from '../room/room';

/** Says in place why nothing can be sent, and offers what helps. */
export function Away({ link, room }: { link: Link; room: Room }) {
  const state = link.state.value;
  const settled = room.inside.value || room.problem.value !== ''; // a refusal is said beside the room's name
  if (state === 'connected' ? settled : state === 'connecting') return null;
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
