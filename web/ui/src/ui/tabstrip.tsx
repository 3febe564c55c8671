import { signal } from '@preact/signals';
import type { ComponentChildren, ComponentType } from 'preact';
import { address } from '../address';
import type { Link } from '../link/link';
import type { Tab } from '../tabs/tab';
import { StatusPill } from './connection';

const selected = signal('');
const opened = signal<ReadonlyMap<string, ComponentType>>(new Map());

/** Tabs by the ARIA pattern: arrow keys, Home and End move, and moving selects. */
export function TabStrip({ link, tabs, aside }: { link: Link; tabs: readonly Tab[]; aside: ComponentChildren }) {
  const show = (tab: Tab) => {
    if (!opened.value.has(tab.id)) opened.value = new Map(opened.value).set(tab.id, tab.open(link));
    selected.value = tab.id;
    address.set('tab', tab === tabs[0] ? null : tab.id);
  };
  if (!selected.peek()) show(tabs.find((tab) => tab.id === address.get('tab')) ?? tabs[0]!);

  const onKeyDown = (event: KeyboardEvent) => {
    const at = tabs.findIndex((tab) => tab.id === selected.value);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const tab = tabs[(to + tabs.length) % tabs.length]!;
    show(tab);
    document.getElementById(`tab-${tab.id}`)?.focus(); // and scrolls it into sight
  };

  return (
    <>
      <div class="tabbar">
        <div role="tablist" aria-label="Namespaces" onKeyDown={onKeyDown}>
          {tabs.map((tab) => (
            <button
              type="button" role="tab" key={tab.id} id={`tab-${tab.id}`} data-testid={`tab-${tab.id}`}
              aria-selected={tab.id === selected.value} aria-controls={`panel-${tab.id}`}
              tabIndex={tab.id === selected.value ? 0 : -1} onClick={() => show(tab)}
            >
              {tab.label} <code>{tab.namespace}</code>
            </button>
          ))}
        </div>
        <StatusPill link={link} />
      </div>
      <div class="stage">
        {tabs.map((tab) => {
          const Panel = opened.value.get(tab.id);
          return (
            <div
              role="tabpanel" class="panel" key={tab.id} id={`panel-${tab.id}`} data-testid={`panel-${tab.id}`}
              aria-labelledby={`tab-${tab.id}`} hidden={tab.id !== selected.value}
            >
              {Panel && <Panel />}
            </div>
          );
        })}
        {aside}
      </div>
    </>
  );
}
