// What the page keeps in its address, so that a link leads to the same place:
// ?tab=board&room=lobby&board=lobby&transport=polling

/** withParams returns href with the given search parameters set; null removes one. */
export function withParams(href: string, params: Record<string, string | null>): string {
  const url = new URL(href);
  for (const [key, value] of Object.entries(params)) {
    if (value === null) url.searchParams.delete(key);
    else url.searchParams.set(key, value);
  }
  return url.href;
}

export const address = {
  get: (key: string): string | null => new URLSearchParams(location.search).get(key),

  set(key: string, value: string | null): void {
    history.replaceState(null, '', withParams(location.href, { [key]: value }));
  },

  /** take reads a parameter and removes it from the address. */
  take(key: string): string | null {
    const value = address.get(key);
    if (value !== null) address.set(key, null);
    return value;
  },
};
