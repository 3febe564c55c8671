import type { ComponentType } from 'preact';
import type { Link } from '../link/link';

/** A tab of the demo: one module, with a namespace of its own. Listed in index.ts. */
export interface Tab {
  readonly id: string; // in ?tab= and in the ids of elements
  readonly label: string;
  readonly namespace: string;
  /** open joins the namespace; it is called once, when the tab is first shown. */
  open(link: Link): ComponentType;
}
