// The menu of a host: sections and, within them, families, from what its charts say of themselves. Nothing of it is written down anywhere.

import type { Chart } from "./api";

export interface Section {
  readonly id: string;
  readonly title: string;
  /** The priority of its first chart: sections stand in this order. */
  readonly priority: number;
  readonly families: readonly Family[];
}

export interface Family {
  /** Unique within the host, usable as the id of an element. */
  readonly id: string;
  readonly title: string;
  readonly charts: readonly Chart[];
}

/** Types of charts that belong together, by the section that they make. `*` at the end stands for any rest. */
const TYPES: readonly (readonly [string, string, readonly string[]])[] = [
  ["system", "System", ["system"]],
  ["cpu", "CPUs", ["cpu", "cpufreq", "cpuidle"]],
  ["mem", "Memory", ["mem", "numa", "zram", "ksm"]],
  ["disk", "Disks", ["disk", "disk_*", "md"]],
  ["mount", "Mount points", ["disk_space", "disk_inodes"]],
  ["net", "Network interfaces", ["net", "net_*"]],
  ["wireless", "Wireless interfaces", ["wireless"]],
  ["ip", "Networking", ["ip", "ipv4", "ipv6", "sctp", "ipvs"]],
  ["netfilter", "Firewall", ["netfilter"]],
  ["nfs", "Network file systems", ["nfs", "nfsd"]],
  ["zfs", "ZFS", ["zfs", "zfspool"]],
  ["btrfs", "BTRFS", ["btrfs"]],
  ["services", "systemd services", ["services", "systemd*"]],
  ["apps", "Applications", ["apps", "app"]],
  ["users", "Users", ["users", "user"]],
  ["groups", "User groups", ["groups", "usergroup"]],
  ["sensors", "Sensors", ["sensors", "power_supply", "powercap"]],
  ["netdata", "Monitoring", ["netdata", "mainstem"]],
];

/** The beginnings of types that have an instance's name behind them: each instance is a section of its own. */
const INSTANCES: readonly (readonly [RegExp, string])[] = [
  [/^cgroup_(.+)$/, "Container"],
  [/^qemu_(.+)$/, "Virtual machine"],
];

interface Place {
  readonly id: string;
  readonly title: string;
}

const EXACT = new Map<string, Place>();
const PREFIXES: (readonly [string, Place])[] = [];
for (const [id, title, types] of TYPES) {
  for (const type of types) {
    if (type.endsWith("*")) PREFIXES.push([type.slice(0, -1), { id, title }]);
    else EXACT.set(type, { id, title });
  }
}

/** The section of a type. An application's type is often `<plugin's name>_<instance>`: it stays one section an instance. */
export function sectionOf(type: string): Place {
  const exact = EXACT.get(type);
  if (exact !== undefined) return exact;
  const prefixed = PREFIXES.find(([prefix]) => type.startsWith(prefix));
  if (prefixed !== undefined) return prefixed[1];
  for (const [pattern, what] of INSTANCES) {
    const instance = pattern.exec(type)?.[1];
    if (instance !== undefined) return { id: type, title: `${what} ${instance.replaceAll("_", " ")}` };
  }
  return { id: type, title: sentence(type.replaceAll("_", " ")) };
}

function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** The sections of these charts, each with its families in order of their charts' priorities. */
export function sectionsOf(charts: readonly Chart[]): Section[] {
  const places = new Map<string, { place: Place; families: Map<string, Chart[]> }>();
  for (const chart of charts) {
    const place = sectionOf(chart.type);
    const section = places.get(place.id) ?? { place, families: new Map<string, Chart[]>() };
    places.set(place.id, section);
    const family = section.families.get(chart.family);
    if (family) family.push(chart);
    else section.families.set(chart.family, [chart]);
  }
  const sections = [...places.values()].map(({ place, families }) => {
    const sorted = [...families].map(([family, members]) => {
      members.sort(byPriority);
      const title = family === "" ? place.title : family;
      return { id: `${elementId(place.id)}--${elementId(title)}`, title, charts: members };
    });
    sorted.sort((a, b) => byPriority(a.charts[0] as Chart, b.charts[0] as Chart) || compare(a.title, b.title));
    const priority = Math.min(...sorted.map((family) => family.charts[0]?.priority ?? 0));
    return { id: elementId(place.id), title: place.title, priority, families: sorted };
  });
  return sections.sort((a, b) => a.priority - b.priority || compare(a.title, b.title));
}

function byPriority(a: Chart, b: Chart): number {
  return a.priority - b.priority || compare(a.id, b.id);
}

/** eth2 before eth10. */
const compare = new Intl.Collator("en", { numeric: true }).compare;

function elementId(name: string): string {
  return name.replace(/[^A-Za-z0-9_.-]+/g, "-");
}

/** The charts in which every word of a search occurs: in the id, title, family, context or a dimension. */
export function searchCharts(charts: readonly Chart[], search: string): readonly Chart[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return charts;
  return charts.filter((chart) => {
    const dimensions = Object.values(chart.dimensions).map((dimension) => dimension.name);
    const text = [chart.name, chart.title, chart.family, chart.context, chart.units, ...dimensions].join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** A title without the chart's name, which the API puts behind it in brackets. */
export function titleOf(chart: Chart): string {
  const tail = ` (${chart.name})`;
  return chart.title.endsWith(tail) ? chart.title.slice(0, -tail.length) : chart.title;
}
