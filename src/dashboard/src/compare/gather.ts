// One context over many hosts, in one question.
//
// A host's line is one number a row: of all charts of the context on it, the sum of the chosen dimensions. For per cents of several
// charts (cores, disks) their mean, since a sum of them says nothing.

import { fleetData, type FleetAnswer } from "../api";
import type { Grid } from "../series";

export interface HostLine {
  readonly host: string;
  readonly values: readonly (number | null)[];
}

export interface Gathered {
  readonly times: readonly number[];
  readonly lines: readonly HostLine[];
  /** How many were asked. */
  readonly hosts: number;
}

export interface Question {
  readonly context: string;
  /** Empty: all of them. */
  readonly dimension: string;
  readonly isMean: boolean;
}

/** A host to be asked. */
export interface Asked {
  readonly hostname: string;
  readonly machine_guid: string;
}

/** So many hosts are asked for by name; more of them make an address too long, so that all are asked. */
const MOST_NAMED = 50;

/** The rows of a grid. */
export function gridTimes({ after, step, points }: Grid): number[] {
  return Array.from({ length: points }, (_, row) => after + (row + 1) * step);
}

/** The lines of these hosts on these times; what has no row is a gap. Hosts without the context have none. */
export function linesOf(answer: FleetAnswer | null, hosts: readonly Asked[], times: readonly number[]): HostLine[] {
  if (!answer) return [];
  const rows = new Map(answer.result.data.map(([time, ...points]) => [time, points]));
  const places = new Map(answer.view.dimensions.ids.map((id, place) => [id, place]));
  return hosts.flatMap(({ hostname, machine_guid }) => {
    const place = places.get(machine_guid);
    if (place === undefined) return [];
    return [{ host: hostname, values: times.map((time) => rows.get(time)?.[place]?.[0] ?? null) }];
  });
}

export async function gather(
  hosts: readonly Asked[],
  { context, dimension, isMean }: Question,
  grid: Grid,
  signal: AbortSignal,
): Promise<Gathered> {
  const answer = await fleetData(
    {
      context,
      ...(dimension === "" ? {} : { dimensions: dimension }),
      ...(hosts.length > MOST_NAMED ? {} : { nodes: hosts.map((host) => host.machine_guid).join("|") }),
      groups: [["instance", "sum"], ["node", isMean ? "avg" : "sum"]],
      after: grid.after,
      before: grid.before,
      points: grid.points,
    },
    signal,
  );
  const times = gridTimes(grid);
  return { times, lines: linesOf(answer, hosts, times), hosts: hosts.length };
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
