import type { Link } from './link/link';
import { tabs } from './tabs';
import { ConnectionPanel } from './ui/connection';
import { Invite } from './ui/invite';
import { Logo } from './ui/logo';
import { Explanation, Snippets } from './ui/story';
import { TabStrip } from './ui/tabstrip';
import { ThemeSwitch } from './ui/theme';
import { WireStrip } from './ui/wire';

const source = 'https://github.com/roomcast/roomcast';

export function App({ link }: { link: Link }) {
  return (
    <>
      <a class="skip" href="#demo">Skip to the live demo</a>
      <header class="top wrap">
        <a class="brand" href="/" aria-label="Roomcast, start"><Logo /> Roomcast</a>
        <nav aria-label="Main">
          <a href="#how">How it works</a>
          <a href={`${source}/tree/main/docs`}>Docs</a>
          <a href={source}>Source</a>
          <ThemeSwitch />
        </nav>
      </header>
      <main class="wrap">
        <section class="hero">
          <div>
            <h1>Realtime rooms, for every Socket.IO client.</h1>
            <p>Roomcast is a Socket.IO-compatible server in one Go binary. Everything below is live: this page is an ordinary <code>socket.io-client</code> talking to the server it came from.</p>
            <ul class="facts" aria-label="In short">
              <li>Clients 2.x to 4.x</li>
              <li>Polling, WebSocket, WebTransport</li>
              <li>Rooms, acks, recovery</li>
              <li>Durable queues and inboxes</li>
            </ul>
          </div>
          <Invite />
        </section>
        <section id="demo" class="demo" aria-label="Live demo">
          <TabStrip link={link} tabs={tabs} aside={<ConnectionPanel link={link} />} />
          <WireStrip link={link} />
        </section>
        <Explanation />
        <Snippets />
      </main>
      <footer class="wrap foot">
        <span>Roomcast, MIT licence</span>
        <a href="/third-party.txt">Third-party notices</a>
        <a href={`${source}/tree/main/docs`}>Documentation</a>
        <a href="https://socket.io/docs/v4/client-api/">Client API</a>
      </footer>
    </>
  );
}
