// All hosts, asked for again and again while a page shows them.

import { nodes, type Nodes } from "../api";
import { learnClock } from "../timeline";
import { usePoll, type Polled } from "./poll";

const EVERY_MS = 2000;
/** An answer about a thousand hosts is a megabyte: the more there are, the less often they are asked for. */
export const MS_A_HOST = 3;

export function useNodes(): Polled<Nodes> {
  return usePoll(
    async () => {
      const found = await nodes();
      learnClock(found.now);
      return found;
    },
    (found) => Math.max(EVERY_MS, (found?.nodes.length ?? 0) * MS_A_HOST),
    [],
  );
}
