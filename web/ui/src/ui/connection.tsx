import { address } from '../address';
import { formatMs, formatTimeWithSeconds } from '../format';
import type { Link, State } from '../link/link';
import { sparkline } from '../link/series';
import { transportLabel } from '../link/transport';

const stateLabel: Record<State, string> = {
  connecting: 'Connecting',
  connected: 'Connected',
  reconnecting: 'Reconnecting',
  offline: 'Offline',
  disconnected: 'Disconnected',
};

/** State, transport and latency in one line, always in sight. */
export function StatusPill({ link }: { link: Link }) {
  const state = link.state.value;
  const transport = link.transport.value;
  const latency = link.latency.value;
  return (
    <div class={`pill ${state} ${transport ?? 'none'}`}>
      <span class="dot" aria-hidden="true" />
      {state === 'connected' && transport ? transportLabel[transport] : stateLabel[state]}
      {state === 'connected' && latency !== undefined && <span class="latency">{formatMs(latency)}</span>}
    </div>
  );
}

function Track({ link }: { link: Link }) {
  const transport = link.transport.value;
  const upgrade = link.upgrade.value;
  const only = link.pollingOnly.value;
  const took = link.upgradeTook.value;
  const text = only ? 'WebSocket is switched off'
    : upgrade === 'probing' ? 'Probing WebSocket'
    : upgrade === 'failed' ? 'Upgrade failed, staying on polling'
    : upgrade === 'done' && took !== null ? `Upgraded after ${formatMs(took)}`
    : transport ? 'Starts by polling, upgrades when it can' : 'No connection';
  return (
    <div class={`track ${upgrade} ${transport ?? 'none'} ${only ? 'only' : ''}`} data-testid="upgrade" data-upgrade={upgrade}>
      <div class="rail" aria-hidden="true">
        <span class="stop polling">polling</span>
        <span class="line"><i key={upgrade} /></span>
        <span class="stop websocket">WebSocket</span>
      </div>
      <p>{text}</p>
    </div>
  );
}

export function ConnectionPanel({ link }: { link: Link }) {
  const state = link.state.value;
  const samples = link.samples.value;
  const latency = link.latency.value;
  const connected = state === 'connected';
  return (
    <aside class="connection" aria-label="This connection">
      <h2>This connection</h2>
      <p class="state" role="status" data-testid="state" data-state={state}>
        {stateLabel[state]}
        {state === 'reconnecting' && link.attempt.value > 1 && `, attempt ${link.attempt.value}`}
        {connected && link.recovered.value && <span class="badge good" data-testid="recovered">session recovered</span>}
      </p>
      {link.problem.value && <p class="notice" role="alert" data-testid="problem">{link.problem.value}</p>}
      <Track link={link} />
      <div class="gauge">
        <div><b data-testid="latency">{latency === undefined ? '–' : formatMs(latency)}</b><span>round trip</span></div>
        <svg viewBox="0 -2 160 36" preserveAspectRatio="none" aria-hidden="true"><polyline points={sparkline(samples, 160, 32, 40)} /></svg>
      </div>
      <dl>
        <dt>Transport</dt>
        <dd data-testid="transport" data-transport={link.transport.value ?? 'none'}>{link.transport.value ? transportLabel[link.transport.value] : 'none'}</dd>
        {[...link.ids.value].map(([namespace, id]) => (
          <div key={namespace}><dt>Socket in <code>{namespace}</code></dt><dd><code data-testid={namespace === '/' ? 'socket-id' : `socket-id-${namespace.slice(1)}`}>{id}</code></dd></div>
        ))}
      </dl>
      <label class="switch">
        <input
          type="checkbox" role="switch" data-testid="polling-only" checked={link.pollingOnly.value}
          onChange={(event) => {
            const on = event.currentTarget.checked;
            address.set('transport', on ? 'polling' : null);
            link.setPollingOnly(on);
          }}
        />
        <span>Polling only</span>
      </label>
      <div class="row">
        {state === 'disconnected'
          ? <button type="button" class="button primary" data-testid="connect" onClick={() => link.connect()}>Reconnect</button>
          : <button type="button" class="button" data-testid="disconnect" onClick={() => link.disconnect()}>Disconnect</button>}
        <button type="button" class="button" data-testid="cut" disabled={!connected} title="Closes the connection as a lost network does" onClick={() => link.cut()}>Cut the line</button>
      </div>
      <ol class="events" aria-label="What happened, newest first" data-testid="events" tabIndex={0}>
        {link.entries.value.map((entry) => (
          <li key={entry.id} class={entry.tone}><time>{formatTimeWithSeconds(entry.at)}</time> {entry.text}</li>
        ))}
      </ol>
    </aside>
  );
}
