// Brings the samples of one chart and keeps them fresh while somebody looks: all of a window once, then what is new each second.

import { effect, signal, untracked, type Signal } from "@preact/signals";
import { isAbort, type DataAnswer } from "../api";
import { gridOf, mergeSeries, readSeries, trimEnd, type Grid, type Series } from "../series";
import { now, second, timeline, windowOf } from "../timeline";

export type Load = (grid: Grid, signal: AbortSignal) => Promise<DataAnswer | null>;

export interface Pace {
  /** Seconds between two samples. */
  readonly updateEvery: number;
  /** Seconds between two questions at least, each for the whole window; without it there is one as often as there is something new. */
  readonly wholeEvery?: number;
}

/** A window that is dragged is asked for when it rests. */
const RESTS_AFTER_MS = 90;
/** Rows that are asked for once more: those that were not complete. */
const AGAIN = 2;

export class Feed {
  readonly series: Signal<Series | null> = signal(null);
  readonly error = signal("");
  /** Whether the window's samples have come. */
  readonly ready = signal(false);
  /** Whether anybody looks. */
  readonly active = signal(false);
  /** Rows that can be told apart at the chart's width. */
  readonly most = signal(0);

  #view = "";
  #asked = 0;
  #running: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #stop: () => void;

  constructor(readonly load: Load, readonly pace: Pace) {
    this.#stop = effect(() => this.#turn());
  }

  dispose(): void {
    this.#stop();
    clearTimeout(this.#timer);
    this.#running?.abort();
  }

  #turn(): void {
    const wanted = timeline.value;
    const most = this.most.value;
    if (!this.active.value || most === 0) {
      clearTimeout(this.#timer);
      return;
    }
    if (wanted.live) second.value;
    const time = now();
    const { wholeEvery } = this.pace;
    const grid = gridOf(windowOf(wanted, time), most, this.pace.updateEvery);
    const view = wanted.live ? `last ${wanted.span} ${grid.step}` : `${wanted.after} ${wanted.before} ${grid.step}`;
    if (view !== this.#view) {
      const first = this.#view === "";
      this.#view = view;
      this.ready.value = false;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#ask(grid, false), first ? 0 : RESTS_AFTER_MS);
    } else if (wanted.live && this.#running === undefined && time - this.#asked >= Math.max(grid.step, wholeEvery ?? 0)) {
      if (wholeEvery === undefined) void this.#ask(this.#rest(grid), true);
      else void this.#ask(grid, false);
    }
  }

  /** What is missing of a grid that was loaded before. */
  #rest(grid: Grid): Grid {
    const last = untracked(() => this.series.value?.times.at(-1));
    if (last === undefined || !untracked(() => this.ready.value)) return grid;
    const after = Math.max(grid.after, Math.floor(last / grid.step - AGAIN) * grid.step);
    return { ...grid, after, points: Math.max(1, (grid.before - after) / grid.step) };
  }

  async #ask(grid: Grid, isMore: boolean): Promise<void> {
    this.#running?.abort();
    const running = new AbortController();
    this.#running = running;
    this.#asked = now();
    try {
      const answer = await this.load(grid, running.signal);
      if (running.signal.aborted) return;
      const fresh = answer && trimEnd(readSeries(answer));
      const known = this.series.peek();
      if (isMore && known && fresh) {
        const span = timeline.peek().live ? windowOf(timeline.peek(), now()).after - grid.step : 0;
        this.series.value = mergeSeries(known, fresh, span);
      } else if (!isMore) {
        this.series.value = fresh;
      }
      this.ready.value = true;
      this.error.value = "";
    } catch (error) {
      if (isAbort(error) || running.signal.aborted) return;
      this.error.value = error instanceof Error ? error.message : String(error);
      // Asked again with the next second.
      if (!isMore) this.#view = "";
    } finally {
      if (this.#running === running) this.#running = undefined;
    }
  }
}
