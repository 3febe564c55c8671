import { useState } from 'preact/hooks';
import { maxName } from '../names';
import { name, setName } from '../profile';
import { maxRoom, suggestedRooms, type Room } from '../room/room';
import { Avatar, Latency, NodeBadge, TransportBadge } from './badge';

/** Who the visitor is, and in which room. id tells the tabs apart. */
export function RoomPicker({ room, id }: { room: Room; id: string }) {
  const [typed, setTyped] = useState('');
  const rooms = suggestedRooms.includes(room.name.value) ? suggestedRooms : [...suggestedRooms, room.name.value];
  return (
    <div class="picker">
      <NameField id={id} />
      <form
        onSubmit={(event) => { event.preventDefault(); void room.move(typed); setTyped(''); }}
      >
        <label for={`${id}-room`}>Room in <code>{room.namespace}</code></label>
        <div class="chips">
          {rooms.map((other) => (
            <button
              type="button" key={other} class="chip" data-testid={`room-chip-${other}`}
              aria-pressed={other === room.name.value} onClick={() => void room.move(other)}
            >#{other}</button>
          ))}
        </div>
        <div class="joined">
          <input id={`${id}-room`} data-testid="room-input" maxLength={maxRoom} placeholder="another room" value={typed} autocomplete="off" spellcheck={false} onInput={(event) => setTyped(event.currentTarget.value)} />
          <button type="submit" class="button" data-testid="room-join" disabled={!typed.trim()}>Join</button>
        </div>
      </form>
      {room.problem.value && <p class="notice" role="alert" data-testid="room-problem">{room.problem.value}</p>}
    </div>
  );
}

/** The visitor's name, to be changed. */
export function NameField({ id }: { id: string }) {
  return (
    <form onSubmit={(event) => { event.preventDefault(); (document.activeElement as HTMLElement).blur(); }}>
      <label for={`${id}-name`}>Your name</label>
      <input
        id={`${id}-name`} data-testid="name-input" maxLength={maxName} value={name.value} autocomplete="off" spellcheck={false}
        onBlur={(event) => { setName(event.currentTarget.value); event.currentTarget.value = name.value; }}
      />
    </form>
  );
}

export function Members({ room }: { room: Room }) {
  const members = room.members.value;
  const self = room.self.value?.id;
  return (
    <section class="members" aria-label={`Who is in ${room.name.value}`}>
      <h2>Here now <span data-testid="member-count">{members.length}</span></h2>
      <ul data-testid="members">
        {members.map((member) => (
          <li key={member.id} data-testid="member" data-id={member.id} data-name={member.name} data-transport={member.transport ?? ''}>
            <Avatar name={member.name} hue={room.hues.value.get(member.id) ?? 0} />
            <span class="who" title={member.name}>{member.name}{member.id === self && <em> (you)</em>}</span>
            <span class="via"><TransportBadge transport={member.transport} /><NodeBadge node={member.node} /><Latency ms={member.latency} /></span>
          </li>
        ))}
      </ul>
      {members.length === 0 && <p class="hint">You are in no room while you are not connected.</p>}
    </section>
  );
}
