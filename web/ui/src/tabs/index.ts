import { board } from './board';
import { chat } from './chat';
import { queues } from './queues';
import type { Tab } from './tab';

/** The tabs in the order shown; the first one is the default. */
export const tabs: readonly Tab[] = [chat, board, queues];
