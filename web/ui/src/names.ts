// Friendly names for visitors who have not picked one.

const moods = ['brisk', 'calm', 'clever', 'dapper', 'early', 'gentle', 'jolly', 'keen', 'lucky', 'mellow', 'nimble', 'quiet', 'sunny', 'swift', 'warm', 'witty'];
const animals = ['badger', 'crane', 'dolphin', 'falcon', 'finch', 'fox', 'gecko', 'hare', 'heron', 'lynx', 'marten', 'otter', 'owl', 'panda', 'raven', 'seal'];

/** Longest name that the server accepts, in characters. */
export const maxName = 40;

/** randomName returns a name such as "brisk-otter". random gives numbers in [0, 1). */
export function randomName(random: () => number = Math.random): string {
  const pick = (words: string[]) => words[Math.floor(random() * words.length)]!;
  return `${pick(moods)}-${pick(animals)}`;
}

/** cleanName trims a typed name to what the server accepts; "" means that nothing is left. */
export function cleanName(typed: string): string {
  return [...typed.replace(/\s+/g, ' ').trim()].slice(0, maxName).join('').trim();
}

/** initialsOf gives one or two letters for an avatar: "brisk-otter" -> "BO". */
export function initialsOf(name: string): string {
  const words = name.split(/[\s\-_.]+/).filter(Boolean);
  return words.slice(0, 2).map((word) => [...word][0]!.toUpperCase()).join('') || '?';
}
