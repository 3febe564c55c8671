import { signal } from '@preact/signals';
import { address } from './address';
import { cleanName, randomName } from './names';

// The name lives in two places: this window's own (so that two windows side by
// side can differ) and the browser's default for windows to come.
const key = 'roomcast.name';

function stored(storage: () => Storage): string {
  try {
    return cleanName(storage().getItem(key) ?? '');
  } catch {
    return ''; // storage is blocked
  }
}

function store(storage: () => Storage, name: string) {
  try {
    storage().setItem(key, name);
  } catch {
    // Storage is blocked: the name lasts as long as the page.
  }
}

const session = () => sessionStorage;
const local = () => localStorage;

function initialName(): string {
  const invited = cleanName(address.take('name') ?? '');
  const name = invited || stored(session) || stored(local) || randomName();
  store(session, name);
  if (!stored(local)) store(local, name);
  return name;
}

/** The visitor's name. */
export const name = signal(initialName());

/** setName takes a typed name; one that is empty after trimming changes nothing. */
export function setName(typed: string): void {
  const clean = cleanName(typed);
  if (!clean || clean === name.value) return;
  store(session, clean);
  store(local, clean);
  name.value = clean;
}
