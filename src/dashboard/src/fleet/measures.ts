// What hosts are measured by: one table for the columns of the list and the colours of the heat map.

import type { HostState, Node } from "../api";
import { formatLag, formatNumber } from "../units";
import type { Usage } from "./usage";

export interface Row {
  readonly node: Node;
  /** Address of its page: by its name, or by its machine GUID where two have one name. */
  readonly link: string;
  readonly state: RowState;
  readonly usage: Usage | undefined;
}

/** As the API has it; `archived` is known from the disk alone. */
export type RowState = HostState | "archived";

export const STATES: readonly RowState[] = ["localhost", "live", "stale", "offline", "archived"];

export interface Measure {
  readonly id: string;
  readonly title: string;
  /** `undefined`: not known of this host. */
  value(row: Row): number | undefined;
  text(value: number): string;
  /** Where on the colour scale a value is, from 0 (calm) to 1. */
  heat(value: number): number;
  /** The words under the scale. */
  readonly legend: readonly [string, string];
}

const ratio = (most: number) => (value: number): number => Math.min(1, Math.max(0, value / most));
/** Each ten times more is a step. */
const decades = (first: number, steps: number) => (value: number): number =>
  Math.min(1, Math.max(0, Math.log10(Math.max(value, first / 10) / first) / steps));
const perCent = (value: number): string => `${formatNumber(Math.round(value * 10) / 10)} %`;

export const MEASURES: readonly Measure[] = [
  {
    id: "cpu", title: "CPU", legend: ["0 %", "100 %"],
    value: ({ usage }) => usage?.cpu, text: perCent, heat: ratio(100),
  },
  {
    id: "memory", title: "Memory", legend: ["0 %", "100 %"],
    value: ({ usage }) => usage?.memory, text: perCent, heat: ratio(100),
  },
  {
    id: "lag", title: "Lag", legend: ["1 s", "2 min"],
    value: ({ node, state }) => (state === "offline" || state === "archived" ? undefined : (node.lag_seconds ?? undefined)),
    text: formatLag, heat: decades(2, 1.8),
  },
  {
    id: "samples", title: "Samples/s", legend: ["1", "10 000"],
    value: ({ node }) => node.connection?.samples_per_second, text: (value) => formatNumber(value >= 10 ? Math.round(value) : value), heat: decades(1, 4),
  },
  {
    id: "missing", title: "Missing rows", legend: ["1", "1 000 000"],
    value: ({ node }) => node.missing_rows, text: (value) => (value === 0 ? "–" : formatNumber(value)), heat: decades(1, 6),
  },
];

export function measure(id: string | undefined): Measure | undefined {
  return MEASURES.find((known) => known.id === id);
}
