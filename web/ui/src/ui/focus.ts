/** Keeps the focus near a button that goes, or can't be pressed, once it was: on the part of the page that it is in. */
export function stay(event: { currentTarget: HTMLElement }) {
  event.currentTarget.closest<HTMLElement>('[tabindex="-1"]')?.focus();
}
