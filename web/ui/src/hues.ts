// The colours of avatars and cursors: .hue-0 to .hue-9 in base.css, in the order of the rainbow.

export const hueCount = 10;

/** hueOf gives a name the colour that it likes best. */
export function hueOf(name: string): number {
  let hash = 0x811c9dc5; // FNV-1a, its bits mixed once more since names differ in few letters
  for (const char of name) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  return ((hash ^ (hash >>> 15)) >>> 0) % hueCount;
}

/**
 * assignHues gives each member a colour that as few others as possible have.
 * Who had one keeps it. Newcomers are served in the order of their ids, so that
 * windows which see the same people mostly agree.
 */
export function assignHues(previous: ReadonlyMap<string, number>, members: readonly { id: string; name: string }[]): Map<string, number> {
  const hues = new Map<string, number>();
  const uses = new Array<number>(hueCount).fill(0);
  const give = (id: string, hue: number) => {
    hues.set(id, hue);
    uses[hue]!++;
  };
  for (const { id } of members) {
    const hue = previous.get(id);
    if (hue !== undefined) give(id, hue);
  }
  const newcomers = members.filter(({ id }) => !hues.has(id)).sort((a, b) => (a.id < b.id ? -1 : 1));
  for (const { id, name } of newcomers) {
    const least = Math.min(...uses);
    let hue = hueOf(name);
    while (uses[hue]! > least) hue = (hue + 3) % hueCount; // a step that lands far away, and everywhere in the end
    give(id, hue);
  }
  return hues;
}
