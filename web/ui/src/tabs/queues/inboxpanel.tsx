import { useState } from 'preact/hooks';
import { formatTime } from '../../format';
import type { Link } from '../../link/link';
import { maxName } from '../../names';
import { name } from '../../profile';
import { stay } from '../../ui/focus';
import type { InboxState } from './inbox';
import type { Queue } from './queue';

const stateText: Record<InboxState, string> = {
  opening: 'Being opened.',
  open: 'Open: what is sent to you arrives at once, in order.',
  left: 'Closed: what is sent to you waits.',
  taken: 'Taken over by another window with your name: an inbox is open in one place.',
  refused: 'It could not be opened.',
};

/** The visitor's inbox, to leave and to come back to, and a line to somebody else's. */
export function InboxPanel({ queue, link }: { queue: Queue; link: Link }) {
  const inbox = queue.inbox;
  const [to, setTo] = useState('');
  const [text, setText] = useState('');
  const connected = link.state.value === 'connected';
  const state = inbox.state.value;
  const names = [...new Set(queue.room.members.value.map((member) => member.name))].slice(0, 4);
  const receiver = to.trim() || name.value;

  return (
    <section class="half inbox" aria-label="Inbox" tabIndex={-1} data-testid="inbox" data-state={state}>
      <header>
        <h3>Inbox of {name.value}</h3>
        {state === 'open'
          ? <button type="button" class="button" data-testid="inbox-leave" disabled={!connected} onClick={() => void inbox.leave()}>Leave</button>
          : <button type="button" class="button primary" data-testid="inbox-open" disabled={!connected || state === 'opening'} onClick={() => void inbox.open()}>{state === 'taken' ? 'Take it back' : 'Come back'}</button>}
      </header>
      <p class="how-it-is">
        {stateText[state]}{' '}
        {inbox.waiting.value > 0 && <b data-testid="inbox-waiting">{inbox.waiting.value} {inbox.waiting.value === 1 ? 'waits' : 'wait'} in it.</b>}
      </p>
      <p class="told" role="status" data-testid="inbox-said">{inbox.said.value}</p>
      <ul class="letters" data-testid="letters" aria-label="What came" tabIndex={inbox.lines.value.length > 0 ? 0 : undefined}>
        {inbox.lines.value.map((line) => (line.kind === 'gap'
          ? <li key={`gap-${line.seq}`} class="notice" data-testid="inbox-gap">{line.text}</li>
          : (
            <li key={line.seq} data-testid="letter" data-seq={line.seq} data-acked={line.acked}>
              <span><b>{line.seq}</b> {line.text}<em>{line.from ? `${line.from}, ` : ''}{formatTime(line.at)}</em></span>
              {line.acked ? <span class="badge good">deleted</span>
                : <button type="button" class="button" data-testid="inbox-ack" aria-label={`Acknowledge number ${line.seq}`} disabled={!connected} onClick={(event) => (stay(event), inbox.acknowledge(line.seq))}>Acknowledge</button>}
            </li>
          )))}
      </ul>
      <label class="switch">
        <input type="checkbox" role="switch" data-testid="inbox-at-once" checked={inbox.atOnce.value} onChange={(event) => inbox.acknowledgeAll(event.currentTarget.checked)} />
        <span>Acknowledge at once</span>
      </label>
      <form
        class="sender"
        onSubmit={(event) => {
          event.preventDefault();
          if (!text.trim()) return;
          void inbox.send(receiver, text.trim());
          setText('');
        }}
      >
        <div class="chips" role="group" aria-label="To whom">
          {names.map((other) => (
            <button type="button" key={other} class="chip" aria-pressed={other === receiver} onClick={() => setTo(other)}>{other === name.value ? 'Yourself' : other}</button>
          ))}
        </div>
        <label class="unseen" for="inbox-to">Name whose inbox it goes to</label>
        <input id="inbox-to" data-testid="inbox-to" maxLength={maxName} placeholder={`to ${name.value}, or another name`} value={to} autocomplete="off" spellcheck={false} onInput={(event) => setTo(event.currentTarget.value)} />
        <label class="unseen" for="inbox-text">What to send</label>
        <input id="inbox-text" data-testid="inbox-text" maxLength={500} placeholder="something that can wait" value={text} autocomplete="off" onInput={(event) => setText(event.currentTarget.value)} />
        <button type="submit" class="button" data-testid="inbox-send" disabled={!connected || !text.trim()}>Send</button>
      </form>
    </section>
  );
}
