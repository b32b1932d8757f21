// Which hosts are listed, in what order, under which heads: plain functions over all of them, quick enough for each key press.

import type { Node } from "../api";
import { hostPath } from "../location";
import { measure, STATES, type Row, type RowState } from "./measures";
import type { Usage } from "./usage";

export interface Choice {
  readonly search: string;
  /** Empty: all. */
  readonly states: readonly string[];
  /** A column, with `-` before it the other way round. */
  readonly sort: string;
  /** `state`, `version`, `os`, `hops`, or `label:` and a name; empty: no groups. */
  readonly group: string;
}

export interface Group {
  readonly name: string;
  readonly rows: readonly Row[];
}

/** The group of hosts that have no such label, behind all others. */
const WITHOUT = "without";
const compare = new Intl.Collator("en", { numeric: true }).compare;

export function rowsOf(nodes: readonly Node[], usage: ReadonlyMap<string, Usage>): Row[] {
  const names = new Map<string, number>();
  for (const { hostname } of nodes) names.set(hostname, (names.get(hostname) ?? 0) + 1);
  return nodes.map((node) => {
    const isUnique = names.get(node.hostname) === 1;
    return {
      node,
      link: hostPath(isUnique ? node.hostname : node.machine_guid),
      state: stateOf(node),
      usage: node.state === "offline" ? undefined : usage.get(node.machine_guid),
    };
  });
}

/** A host that is not connected and never was since the parent was started is archived. */
export function stateOf(node: Node): RowState {
  return node.state === "offline" && node.disconnects === 0 ? "archived" : node.state;
}

/** Every word has to be somewhere: in the name, the machine GUID, the version, or a label as `name=value`. */
export function matches(row: Row, words: readonly string[]): boolean {
  if (words.length === 0) return true;
  const { hostname, machine_guid, version, os, labels } = row.node;
  const text = [hostname, machine_guid, version, os, row.state, ...Object.entries(labels).map(([name, value]) => `${name}=${value}`)];
  const searched = text.join("\n").toLowerCase();
  return words.every((word) => searched.includes(word));
}

type Key = (row: Row) => number | string | undefined;

const KEYS: Readonly<Record<string, Key>> = {
  host: (row) => row.node.hostname,
  state: (row) => STATES.indexOf(row.state),
  charts: (row) => row.node.charts,
  version: (row) => row.node.version,
  seen: (row) => row.node.connection?.since ?? row.node.last_seen,
};

function keyOf(column: string): Key {
  const known = measure(column);
  return known ? (row) => known.value(row) : (KEYS[column] ?? (KEYS["host"] as Key));
}

/** In the order of a column; those of which it is not known come last, either way. */
export function sorted(rows: readonly Row[], sort: string): Row[] {
  const isDown = sort.startsWith("-");
  const key = keyOf(isDown ? sort.slice(1) : sort);
  const keyed = rows.map((row) => [key(row), row] as const);
  keyed.sort(([a, first], [b, second]) => {
    if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined) || byName(first, second);
    const order = typeof a === "string" || typeof b === "string" ? compare(String(a), String(b)) : a - b;
    return (isDown ? -order : order) || byName(first, second);
  });
  return keyed.map(([, row]) => row);
}

function byName(a: Row, b: Row): number {
  return compare(a.node.hostname, b.node.hostname);
}

export function groupName(row: Row, group: string): string {
  const { node } = row;
  if (group.startsWith("label:")) return node.labels[group.slice(6)] ?? WITHOUT;
  switch (group) {
    case "state":
      return row.state;
    case "version":
      return node.version;
    case "os":
      return node.os;
    case "hops":
      return node.hops === 0 ? "this parent" : node.hops === 1 ? "direct" : `over ${node.hops - 1} proxies`;
    default:
      return "";
  }
}

/** What is shown of all hosts. */
export function choose(rows: readonly Row[], choice: Choice): Group[] {
  const words = choice.search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const states = new Set(choice.states);
  const found = rows.filter((row) => (states.size === 0 || states.has(row.state)) && matches(row, words));
  const groups = new Map<string, Row[]>();
  for (const row of sorted(found, choice.sort)) {
    const name = groupName(row, choice.group);
    const group = groups.get(name);
    if (group) group.push(row);
    else groups.set(name, [row]);
  }
  return [...groups].map(([name, members]) => ({ name, rows: members })).sort((a, b) => Number(a.name === WITHOUT) - Number(b.name === WITHOUT) || compare(a.name, b.name));
}

/** Names of labels that divide the hosts: on more than a few of them, with fewer values than hosts. */
export function groupingLabels(rows: readonly Row[]): string[] {
  const values = new Map<string, { hosts: number; values: Set<string> }>();
  for (const { node } of rows) {
    for (const [name, value] of Object.entries(node.labels)) {
      let known = values.get(name);
      if (!known) values.set(name, (known = { hosts: 0, values: new Set() }));
      known.hosts += 1;
      known.values.add(value);
    }
  }
  const dividing = [...values].filter(([, known]) => known.values.size > 1 && known.values.size <= Math.max(2, known.hosts / 2));
  return dividing.map(([name]) => name).sort(compare);
}

/** How many hosts are in each state, and what they send together. */
export function totals(rows: readonly Row[]): { states: Map<RowState, number>; samples: number; charts: number } {
  const states = new Map<RowState, number>();
  let samples = 0;
  let charts = 0;
  for (const row of rows) {
    states.set(row.state, (states.get(row.state) ?? 0) + 1);
    samples += row.node.connection?.samples_per_second ?? 0;
    charts += row.node.charts;
  }
  return { states, samples, charts };
}
