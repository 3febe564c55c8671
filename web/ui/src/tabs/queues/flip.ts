import { useLayoutEffect, useRef } from 'preact/hooks';
import type { RefObject } from 'preact';

/**
 * useFlip lets the elements with data-card glide from where they were at the
 * last change to where they are now, even if another parent has them. Who asks
 * for less motion sees them in their place at once. The element of root must be
 * the one that they are positioned in.
 */
export function useFlip(root: RefObject<HTMLElement | null>, change: unknown): void {
  const last = useRef(new Map<string, [x: number, y: number]>());
  useLayoutEffect(() => {
    const still = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const places = new Map<string, [number, number]>();
    for (const element of root.current!.querySelectorAll<HTMLElement>('[data-card]')) {
      const id = element.dataset.card!;
      const [x, y] = [element.offsetLeft, element.offsetTop];
      places.set(id, [x, y]);
      if (still) continue;
      const from = last.current.get(id);
      if (!from) element.animate([{ opacity: 0 }, { opacity: 1 }], 200);
      else if (from[0] !== x || from[1] !== y) {
        element.animate([{ transform: `translate(${from[0] - x}px, ${from[1] - y}px)` }, { transform: 'none' }], { duration: 320, easing: 'cubic-bezier(0.2, 0.8, 0.2, 1)' });
      }
    }
    last.current = places;
  }, [change]);
}
