import { signal } from '@preact/signals';
import { withParams } from '../address';
import { randomName } from '../names';

const guest = signal(randomName());
const copied = signal(false);

const href = () => withParams(location.href.split('#')[0]!, { name: guest.value });

function open(event: MouseEvent): void {
  const link = event.currentTarget as HTMLAnchorElement;
  link.href = href(); // the address may have changed since it was drawn
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  const width = Math.min(1100, Math.round(screen.availWidth / 2));
  if (width >= 480) {
    const left = screen.availWidth - width;
    const made = window.open(link.href, '_blank', `popup,width=${width},height=${screen.availHeight},left=${left},top=0`);
    if (made) event.preventDefault(); // otherwise the link opens a tab
  }
  setTimeout(() => (guest.value = randomName()));
}

async function copy(): Promise<void> {
  await navigator.clipboard.writeText(withParams(location.href, { name: null }));
  copied.value = true;
  setTimeout(() => (copied.value = false), 2_000);
}

/** A link to the same place under another name, in a window that stands beside this one. */
export function SecondWindow({ testid }: { testid: string }) {
  return <a class="button primary" data-testid={testid} target="_blank" rel="noopener" href={href()} onClick={open}>Open a second window</a>;
}

export function Invite() {
  return (
    <div class="invite">
      <SecondWindow testid="invite" />
      {navigator.clipboard && (
        <button type="button" class="button" data-testid="copy-link" onClick={() => void copy()}>{copied.value ? 'Link copied' : 'Copy room link'}</button>
      )}
      <p>It joins the same room as <b>{guest.value}</b>. Put the two side by side.</p>
    </div>
  );
}
