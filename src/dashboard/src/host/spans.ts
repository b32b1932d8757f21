// From when to when charts have samples, as the list of charts last said. The API answers a window without any with an error, which
// browsers put into their console: so it is not asked.

import type { Chart } from "../api";
import type { Window } from "../timeline";

interface Span {
  readonly first: number;
  /** Infinity while samples come. */
  readonly last: number;
}

/** A chart whose newest sample is older than so many seconds, and intervals, gets no more before the list is asked again. */
const ENDED_AFTER_S = 30;
const ENDED_AFTER_INTERVALS = 5;
/** Intervals beside a span in which the API still has something to say. */
const BESIDE = 2;

export class Spans {
  readonly #spans = new Map<string, Span>();

  learn(charts: Iterable<Chart>, now: number): void {
    this.#spans.clear();
    for (const { id, first_entry: first, last_entry: last, update_every: every } of charts) {
      const ended = now - last > Math.max(ENDED_AFTER_S, ENDED_AFTER_INTERVALS * every);
      this.#spans.set(id, { first: first - BESIDE * every, last: ended ? last + BESIDE * every : Infinity });
    }
  }

  /** Whether a chart may have a sample in a window. */
  has(chart: string, { after, before }: Window): boolean {
    const span = this.#spans.get(chart);
    return span === undefined || (before >= span.first && after <= span.last);
  }
}
