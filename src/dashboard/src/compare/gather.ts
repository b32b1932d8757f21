// One context over many hosts: asks each of them, a few at a time, and tells how far it is.
//
// A host's line is one number a row: of all charts of the context on it, the sum of the chosen dimensions. For per cents of several
// charts (cores, disks) their mean, since a sum of them says nothing.

import { data, isAbort } from "../api";
import { readSeries, sumColumns, type Grid } from "../series";

export interface HostLine {
  readonly host: string;
  readonly values: readonly (number | null)[];
}

export interface Gathered {
  readonly times: readonly number[];
  readonly lines: readonly HostLine[];
  /** Names of the context's dimensions, over all hosts. */
  readonly dimensions: readonly string[];
  readonly hosts: number;
  readonly asked: number;
  readonly failed: number;
}

export interface Question {
  readonly context: string;
  /** Empty: all of them. */
  readonly dimension: string;
  readonly isMean: boolean;
}

/** The rows of a grid. */
export function gridTimes({ after, step, points }: Grid): number[] {
  return Array.from({ length: points }, (_, row) => after + (row + 1) * step);
}

/** Values of other times on these times; what has no row is a gap. */
export function onTimes(times: readonly number[], found: readonly number[], values: readonly (number | null)[]): (number | null)[] {
  const byTime = new Map(found.map((time, row) => [time, values[row] ?? null]));
  return times.map((time) => byTime.get(time) ?? null);
}

/** Asks all hosts. `progress` is called with what there is so far, at most once in a while, and in the end; not after an abort, which is thrown. */
export async function gather(
  hosts: readonly string[],
  { context, dimension, isMean }: Question,
  grid: Grid,
  progress: (gathered: Gathered) => void,
  signal: AbortSignal,
): Promise<Gathered> {
  const times = gridTimes(grid);
  const lines: HostLine[] = [];
  const dimensions = new Set<string>();
  let asked = 0;
  let failed = 0;
  let told = performance.now();
  const soFar = (): Gathered => ({ times, lines: [...lines], dimensions: [...dimensions], hosts: hosts.length, asked, failed });
  const one = async (host: string): Promise<void> => {
    try {
      const answer = await data(host, { context, after: grid.after, before: grid.before, points: grid.points }, signal);
      if (answer) {
        const series = readSeries(answer);
        series.names.forEach((name) => dimensions.add(name));
        const chosen = series.columns.filter((_, place) => dimension === "" || series.names[place] === dimension);
        if (chosen.length > 0) {
          const charts = dimension === "" ? Math.max(1, series.names.filter((name) => name === series.names[0]).length) : chosen.length;
          const sum = sumColumns(chosen);
          const values = isMean && charts > 1 ? sum.map((value) => value && value / charts) : sum;
          lines.push({ host, values: onTimes(times, series.times, values) });
        }
      }
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      failed += 1;
    }
    asked += 1;
    if (performance.now() - told > 250) {
      told = performance.now();
      progress(soFar());
    }
  };
  await Promise.all(hosts.map(one));
  signal.throwIfAborted();
  const all = soFar();
  progress(all);
  return all;
}

export interface Band {
  readonly lowest: readonly (number | null)[];
  readonly middle: readonly (number | null)[];
  readonly highest: readonly (number | null)[];
}

/** Per row the tenth, the middle and the ninetieth of a hundred hosts. */
export function bandOf(lines: readonly HostLine[]): Band {
  const rows = lines[0]?.values.length ?? 0;
  const band: { lowest: (number | null)[]; middle: (number | null)[]; highest: (number | null)[] } = { lowest: [], middle: [], highest: [] };
  for (let row = 0; row < rows; row += 1) {
    const values = lines.map((line) => line.values[row]).filter((value): value is number => value != null);
    values.sort((a, b) => a - b);
    const at = (share: number): number | null => values[Math.round((values.length - 1) * share)] ?? null;
    band.lowest.push(at(0.1));
    band.middle.push(at(0.5));
    band.highest.push(at(0.9));
  }
  return band;
}

/** The hosts with the largest means, first. */
export function ranked(lines: readonly HostLine[]): { readonly host: string; readonly mean: number; readonly line: HostLine }[] {
  return lines
    .map((line) => {
      const values = line.values.filter((value): value is number => value !== null);
      return { host: line.host, mean: values.reduce((sum, value) => sum + value, 0) / (values.length || 1), line };
    })
    .sort((a, b) => Math.abs(b.mean) - Math.abs(a.mean));
}
