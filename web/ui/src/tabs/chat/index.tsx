import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { formatTime } from '../../format';
import type { Link } from '../../link/link';
import { Avatar } from '../../ui/badge';
import { Away } from '../../ui/away';
import { SecondWindow } from '../../ui/invite';
import { Members, RoomPicker } from '../../ui/room';
import type { Tab } from '../tab';
import { Chat, maxText, type Line } from './chat';

/** The Chat tab, in the main namespace. */
export const chat: Tab = {
  id: 'chat',
  label: 'Chat',
  namespace: '/',
  open(link) {
    const state = new Chat(link);
    return () => (
      <>
        <RoomPicker room={state.room} id="chat" />
        <Talk chat={state} link={link} />
        <Members room={state.room} />
      </>
    );
  },
};

function Talk({ chat, link }: { chat: Chat; link: Link }) {
  const list = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const [text, setText] = useState('');
  const lines = chat.lines.value;
  const typing = chat.typing.value;
  const inside = chat.room.inside.value;
  const alone = inside && chat.room.members.value.length === 1 && !lines.some((line) => line.kind === 'said');

  useLayoutEffect(() => {
    if (atEnd.current && list.current) list.current.scrollTop = list.current.scrollHeight;
  }, [lines]);

  // A narrower window, or a phone's keyboard, doesn't hide what was said last.
  useEffect(() => {
    const element = list.current!;
    const observer = new ResizeObserver(() => { if (atEnd.current) element.scrollTop = element.scrollHeight; });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const submit = (event: Event) => {
    event.preventDefault();
    if (!text.trim()) return;
    atEnd.current = true;
    chat.say(text.trim());
    setText('');
  };

  return (
    <section class="talk main" aria-label={`Messages in ${chat.room.name.value}`}>
      <h2><span aria-hidden="true">#</span>{chat.room.name.value}</h2>
      <div
        ref={list} class="lines" role="log" aria-live="polite" aria-label="Messages" tabIndex={0} data-testid="messages"
        onScroll={(event) => {
          const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
          atEnd.current = scrollHeight - scrollTop - clientHeight < 40;
        }}
      >
        {alone && (
          <div class="empty" data-testid="alone">
            <p><b>Nobody else is in #{chat.room.name.value} yet.</b> Open a second window, or send somebody the link to this room.</p>
            <SecondWindow testid="invite-alone" />
          </div>
        )}
        <ol>
          {lines.map((line) => (line.kind === 'news'
            ? <li key={line.id} class="news">{line.text}</li>
            : <Said key={line.id} line={line} again={() => chat.again(line)} />))}
        </ol>
      </div>
      <Away link={link} room={chat.room} />
      <p class="typing" aria-hidden="true">{typing.length > 0 && `${typing.slice(0, 3).join(', ')} ${typing.length === 1 ? 'is' : 'are'} typing…`}</p>
      <form class="composer" onSubmit={submit}>
        <label class="unseen" for="composer">Message to {chat.room.name.value}</label>
        <input
          id="composer" data-testid="composer-input" maxLength={maxText} value={text} autocomplete="off" placeholder={inside ? `Message #${chat.room.name.value}` : 'Not connected'}
          onInput={(event) => { setText(event.currentTarget.value); if (event.currentTarget.value) chat.sign(); }}
        />
        <button type="submit" class="button primary" data-testid="composer-send" disabled={!chat.room.inside.value || !text.trim()}>Send</button>
      </form>
    </section>
  );
}

function Said({ line, again }: { line: Line; again: () => void }) {
  return (
    <li class={`said ${line.own ? 'own' : ''} ${line.status}`} data-testid="message" data-own={line.own} data-status={line.status}>
      {!line.own && <Avatar name={line.name} hue={line.hue} />}
      <div class="bubble">
        {!line.own && <b>{line.name}</b>}
        <span data-testid="message-text">{line.text}</span>
        <time dateTime={new Date(line.at).toISOString()}>{line.status === 'sending' ? 'sending' : formatTime(line.at)}</time>
        {line.status === 'failed' && <p class="notice">Not sent: {line.problem} <button type="button" class="plain" onClick={again}>Send again</button></p>}
      </div>
    </li>
  );
}
