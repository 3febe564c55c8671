import type { Member } from './protocol';

// Who is in a room, as an immutable list in the order of arrival.

/** put adds a member or replaces the one with the same id. */
export function put(members: readonly Member[], member: Member): Member[] {
  const known = members.some((other) => other.id === member.id);
  return known ? members.map((other) => (other.id === member.id ? member : other)) : [...members, member];
}

/** drop removes the member with this id. */
export function drop(members: readonly Member[], id: string): Member[] {
  return members.filter((member) => member.id !== id);
}

/** withSelf puts the visitor first, with what the page itself knows best. */
export function withSelf(members: readonly Member[], self: Member | null): Member[] {
  return self ? [self, ...drop(members, self.id)] : [...members];
}

/**
 * isElder tells whether id is the one of those who were here before the
 * newcomer that is to greet it: a choice that all make alike without asking.
 */
export function isElder(members: readonly Member[], id: string, newcomer: string): boolean {
  const others = members.map((member) => member.id).filter((other) => other !== newcomer);
  return others.every((other) => id <= other);
}
