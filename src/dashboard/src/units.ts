// Units for people: 1 536 KiB/s is 1.5 MiB/s, 90 000 milliseconds are 1 min 30 s. A chart has one unit at a time, chosen by its largest
// value, so that its numbers can be compared.

/** A unit to show values in: `value * factor` of `name`. */
export interface Scale {
  readonly factor: number;
  readonly name: string;
  /** Values are lengths of time, and are written as such. */
  readonly time?: "seconds";
}

interface Family {
  /** Steps from small to large: how much of the base each is. */
  readonly steps: readonly (readonly [number, string])[];
}

const BINARY: Family = {
  steps: [[1, "B"], [2 ** 10, "KiB"], [2 ** 20, "MiB"], [2 ** 30, "GiB"], [2 ** 40, "TiB"], [2 ** 50, "PiB"]],
};
const BITS: Family = { steps: [[1, "bit"], [1e3, "kbit"], [1e6, "Mbit"], [1e9, "Gbit"], [1e12, "Tbit"]] };
const SECONDS: Family = { steps: [[1e-9, "ns"], [1e-6, "µs"], [1e-3, "ms"], [1, "s"]] };
const HERTZ: Family = { steps: [[1, "Hz"], [1e3, "kHz"], [1e6, "MHz"], [1e9, "GHz"]] };
const PLAIN: Family = { steps: [[1, ""], [1e3, "k"], [1e6, "M"], [1e9, "G"], [1e12, "T"]] };

/** Netdata's names of units without their denominator: the family, and how much of its base one is. */
const KNOWN: Readonly<Record<string, readonly [Family, number]>> = {
  B: [BINARY, 1],
  bytes: [BINARY, 1],
  octets: [BINARY, 1],
  KB: [BINARY, 2 ** 10],
  KiB: [BINARY, 2 ** 10],
  kilobytes: [BINARY, 2 ** 10],
  MB: [BINARY, 2 ** 20],
  MiB: [BINARY, 2 ** 20],
  GB: [BINARY, 2 ** 30],
  GiB: [BINARY, 2 ** 30],
  TiB: [BINARY, 2 ** 40],
  bits: [BITS, 1],
  kilobits: [BITS, 1e3],
  megabits: [BITS, 1e6],
  nanoseconds: [SECONDS, 1e-9],
  ns: [SECONDS, 1e-9],
  microseconds: [SECONDS, 1e-6],
  us: [SECONDS, 1e-6],
  milliseconds: [SECONDS, 1e-3],
  ms: [SECONDS, 1e-3],
  seconds: [SECONDS, 1],
  s: [SECONDS, 1],
  minutes: [SECONDS, 60],
  hours: [SECONDS, 3600],
  Hz: [HERTZ, 1],
  KHz: [HERTZ, 1e3],
  MHz: [HERTZ, 1e6],
};

/** Counts up to here are written out: 9 800, then 12 k. */
const WRITTEN_OUT_TO = 10_000;
const PER_CENT = new Set(["percentage", "percent", "pcent", "%"]);

/** The unit in which values up to `largest` of the unit `unit` read best. */
export function scaleOf(unit: string, largest: number): Scale {
  if (PER_CENT.has(unit)) return { factor: 1, name: "%" };
  const slash = unit.indexOf("/");
  const [counted, per] = slash > 0 ? [unit.slice(0, slash), unit.slice(slash)] : [unit, ""];
  const known = KNOWN[counted];
  if (known === undefined) {
    if (Math.abs(largest) < WRITTEN_OUT_TO) return { factor: 1, name: unit };
    const [size, prefix] = step(PLAIN, Math.abs(largest));
    return { factor: 1 / size, name: prefix === "" ? unit : `${prefix} ${unit}` };
  }
  const [family, base] = known;
  // Of zeros the unit is their own.
  const size = (Math.abs(largest) || 1) * base;
  if (family === SECONDS && per === "" && size >= 60) return { factor: base, name: "", time: "seconds" };
  const [stepSize, name] = step(family, size);
  return { factor: base / stepSize, name: name + per };
}

function step(family: Family, size: number): readonly [number, string] {
  const [first] = family.steps;
  return family.steps.findLast(([from]) => size >= from) ?? first ?? [1, ""];
}

/** A value in a scale, without its unit. `null` is a gap. */
export function formatValue(value: number | null | undefined, scale: Scale): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const scaled = value * scale.factor;
  return scale.time ? formatDuration(scaled) : formatNumber(scaled);
}

/** A value with the unit that fits it alone. */
export function formatQuantity(value: number | null | undefined, unit: string): string {
  if (value === null || value === undefined) return "–";
  const scale = scaleOf(unit, value);
  return `${formatValue(value, scale)} ${scale.name}`.trim();
}

/** Three or four digits that matter. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  const digits = size >= 100 || size === 0 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : size >= 0.01 ? 3 : 4;
  const written = value.toFixed(size >= 100 && size < 1000 && value % 1 !== 0 ? 1 : digits);
  const trimmed = written.includes(".") ? written.replace(/\.?0+$/, "") : written;
  return groupThousands(trimmed === "-0" ? "0" : trimmed);
}

/** 12 345: a narrow space that does not break between thousands. */
function groupThousands(text: string): string {
  const [whole = "", rest] = text.split(".");
  const grouped = whole.length > 4 ? whole.replace(/\B(?=(\d{3})+$)/g, "\u202f") : whole;
  return rest === undefined ? grouped : `${grouped}.${rest}`;
}

/** A length of time in its two largest parts: 45 s, 1 min 30 s, 3 h 5 min, 12 d. */
export function formatDuration(seconds: number): string {
  const sign = seconds < 0 ? "−" : "";
  let left = Math.abs(seconds);
  if (left < 60) return `${sign}${formatNumber(left)} s`;
  left = Math.round(left);
  const parts: readonly (readonly [number, string])[] = [[31_557_600, "y"], [86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = parts.findIndex(([size]) => left >= size);
  const written: string[] = [];
  for (const [size, name] of parts.slice(first, first + 2)) {
    const count = Math.floor(left / size);
    left -= count * size;
    if (count > 0) written.push(`${count} ${name}`);
  }
  return sign + written.join(" ");
}

/** How far behind samples are. Up to a second ahead is how seconds are rounded. */
export function formatLag(seconds: number): string {
  return formatAge(seconds === -1 ? 0 : seconds);
}

/** The same in its largest part alone, for columns: 5 s, 12 min, 3 h, 40 d. */
export function formatAge(seconds: number): string {
  const size = Math.abs(seconds);
  const sign = seconds < 0 ? "−" : "";
  if (size < 90) return `${sign}${Math.round(size)} s`;
  if (size < 5400) return `${sign}${Math.round(size / 60)} min`;
  if (size < 129_600) return `${sign}${Math.round(size / 3600)} h`;
  return `${sign}${Math.round(size / 86_400)} d`;
}
