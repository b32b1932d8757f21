// Where axes have their ticks: at round times of the zone, and at round values of the unit.

import type { Scale } from "../units";

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
const TIME_STEPS = [
  1, 2, 5, 10, 15, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY, 365 * DAY,
];
/** Steps of lengths of time, in seconds. */
const DURATION_STEPS = [
  1, 2, 5, 10, 20, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 5 * HOUR, 10 * HOUR, DAY, 2 * DAY, 5 * DAY, 10 * DAY, 20 * DAY, 50 * DAY, 100 * DAY, 365 * DAY,
];

export interface Ticks {
  readonly apart: number;
  readonly at: readonly number[];
}

/** At most so many ticks in a window, on round times of a zone that is `offset` seconds east of UTC. */
export function timeTicks(after: number, before: number, most: number, offset: number): Ticks {
  const apart = TIME_STEPS.find((step) => (before - after) / step <= Math.max(1, most)) ?? 365 * DAY;
  const first = Math.ceil((after + offset) / apart) * apart - offset;
  return { apart, at: range(first, before, apart) };
}

/** At most about so many ticks between two values, on round numbers of the scale. */
export function valueTicks(low: number, high: number, most: number, scale: Scale): Ticks {
  const length = (high - low) * scale.factor;
  if (!(length > 0)) return { apart: 1, at: [low] };
  const wanted = length / Math.max(1, most);
  const apart = (scale.time ? DURATION_STEPS.find((step) => step >= wanted) : undefined) ?? roundUp(wanted);
  const at = range(Math.ceil((low * scale.factor) / apart - 1e-9) * apart, high * scale.factor + apart * 1e-9, apart);
  return { apart, at: at.map((value) => value / scale.factor) };
}

/** 1, 2 or 5 times a power of ten. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((round) => round * power >= value * 0.999) ?? 10;
  return factor * power;
}

function range(first: number, last: number, step: number): number[] {
  const count = Math.max(0, Math.floor((last - first) / step + 1e-9) + 1);
  return Array.from({ length: Math.min(count, 200) }, (_, place) => first + place * step);
}

const offsets = new Map<string, number>();
const QUARTER = 900;
/** Offsets that are remembered; more are not needed at a time. */
const MOST_OFFSETS = 1000;

/** How far east of UTC a zone is at a time, in seconds. It changes at full quarters of an hour, nowhere else. */
export function zoneOffset(seconds: number, timeZone: string): number {
  const quarter = Math.floor(seconds / QUARTER) * QUARTER;
  const key = `${timeZone} ${quarter}`;
  const known = offsets.get(key);
  if (known !== undefined) return known;
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone, hourCycle: "h23", year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
  }).formatToParts(quarter * 1000);
  const part = (type: string): number => Number(parts.find((found) => found.type === type)?.value);
  const local = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second")) / 1000;
  if (offsets.size >= MOST_OFFSETS) offsets.clear();
  offsets.set(key, local - quarter);
  return local - quarter;
}

/** What an axis of values shows of them: zero too, unless they are all far from it and a line's; and nothing above `most` for nothing. */
export function valueRange(low: number, high: number, fromZero: boolean, most = Infinity): [number, number] {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [0, 1];
  let [bottom, top] = [low, high];
  if (fromZero || (low >= 0 && low < (high - low) * 2)) bottom = Math.min(0, low);
  if (fromZero) top = Math.max(0, high);
  if (bottom === top) {
    if (top === 0) return [0, 1];
    const room = Math.abs(top) * 0.1;
    return top > 0 ? [Math.min(0, bottom) === bottom ? bottom : bottom - room, top + room] : [bottom - room, top + room];
  }
  const room = (top - bottom) * 0.06;
  return [bottom === 0 ? 0 : bottom - room, top === 0 ? 0 : Math.max(top, Math.min(top + room, most))];
}
