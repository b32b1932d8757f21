// What a chart shows: columns of values over one column of times, oldest first. `null` is a gap.

import type { DataAnswer } from "./api";
import type { Window } from "./timeline";

export interface Series {
  /** Seconds between two rows. */
  readonly step: number;
  readonly ids: readonly string[];
  readonly names: readonly string[];
  readonly times: readonly number[];
  readonly columns: readonly (readonly (number | null)[])[];
}

/** A window on boundaries of its step, as the parent aligns it: asked again a second later it has the same rows, and new ones. */
export interface Grid extends Window {
  readonly step: number;
  readonly points: number;
}

/** The grid on which a window has at most so many points. */
export function gridOf({ after, before }: Window, most: number, updateEvery: number): Grid {
  const every = Math.max(1, updateEvery);
  const step = every * Math.max(1, Math.ceil((before - after) / every / Math.max(1, most)));
  const start = Math.floor(after / step) * step;
  const end = Math.max(start + step, Math.floor(before / step) * step);
  return { step, after: start, before: end, points: (end - start) / step };
}

export function readSeries(answer: DataAnswer): Series {
  const { data } = answer.result;
  return {
    step: answer.view_update_every,
    ids: answer.dimension_ids,
    names: answer.dimension_names,
    times: data.map((row) => row[0] as number),
    columns: answer.dimension_ids.map((_, column) => data.map((row) => row[column + 1] ?? null)),
  };
}

/** `known` with the rows of `fresh` in place of its own from there on, and without those older than `from`. */
export function mergeSeries(known: Series, fresh: Series, from: number): Series {
  const same = known.step === fresh.step && known.ids.join() === fresh.ids.join();
  const [firstFresh] = fresh.times;
  if (firstFresh === undefined) return known;
  if (!same || (known.times.at(-1) ?? 0) + known.step < firstFresh) return fresh;
  const begin = firstAtOrAfter(known.times, from);
  const end = firstAtOrAfter(known.times, firstFresh);
  return {
    ...fresh,
    times: [...known.times.slice(begin, end), ...fresh.times],
    columns: known.columns.map((column, place) => [...column.slice(begin, end), ...(fresh.columns[place] ?? [])]),
  };
}

/** Without rows at the end that have no value: they are not collected yet, and are no gap. */
export function trimEnd(series: Series): Series {
  let end = series.times.length;
  while (end > 0 && series.columns.every((column) => column[end - 1] === null)) end -= 1;
  if (end === series.times.length) return series;
  return { ...series, times: series.times.slice(0, end), columns: series.columns.map((column) => column.slice(0, end)) };
}

/** The place of the first time that is not before `time`. */
export function firstAtOrAfter(times: readonly number[], time: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] as number) < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

export interface Stack {
  readonly columns: readonly (readonly (number | null)[])[];
  /** Of each column, which one it stands on; `null` where that is the ground. */
  readonly below: readonly (number | null)[];
}

/** Columns that stand on one another: those above zero upwards, those below it downwards. A gap of all stays one. */
export function stackColumns(columns: readonly (readonly (number | null)[])[]): Stack {
  const rows = columns[0]?.length ?? 0;
  const heights = { up: new Float64Array(rows), down: new Float64Array(rows) };
  const tops: { up: number | null; down: number | null } = { up: null, down: null };
  const empty = Array.from({ length: rows }, (_, row) => columns.every((column) => column[row] === null));
  const below: (number | null)[] = [];
  const stacked = columns.map((column, place) => {
    const way = goesDown(column) ? "down" : "up";
    const height = heights[way];
    below.push(tops[way]);
    tops[way] = place;
    return column.map((value, row) => {
      if (empty[row]) return null;
      height[row] = (height[row] as number) + (value ?? 0);
      return height[row] as number;
    });
  });
  return { columns: stacked, below };
}

/** Whether a column is of values below zero, such as what a machine sends. */
export function goesDown(column: readonly (number | null)[] | undefined): boolean {
  return column !== undefined && column.some((value) => (value ?? 0) < 0) && !column.some((value) => (value ?? 0) > 0);
}

/** The sum of all columns a row; a gap where all have one. */
export function sumColumns(columns: readonly (readonly (number | null)[])[]): (number | null)[] {
  const rows = columns[0]?.length ?? 0;
  return Array.from({ length: rows }, (_, row) =>
    columns.reduce<number | null>((sum, column) => {
      const value = column[row] ?? null;
      return value === null ? sum : (sum ?? 0) + value;
    }, null),
  );
}

/** The largest size of a value; 0 without any. */
export function largest(columns: readonly (readonly (number | null)[])[]): number {
  let most = 0;
  for (const column of columns) for (const value of column) if (value !== null && Math.abs(value) > most) most = Math.abs(value);
  return most;
}
