// Times as people read them, in the time zone that they have chosen: the browser's, UTC, or any other.

import { computed, signal } from "@preact/signals";
import { parameters, setParameters } from "./location";
import { remembered, remember } from "./memory";

export const BROWSER_ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;
const preferred = signal(remembered("zone") ?? "");

/** What the address says, else what was chosen last, else the browser's. */
export const zone = computed(() => {
  const wanted = parameters.value["tz"] ?? preferred.value;
  return isZone(wanted) ? wanted : BROWSER_ZONE;
});

export function setZone(name: string): void {
  preferred.value = name === BROWSER_ZONE ? "" : name;
  remember("zone", preferred.value);
  setParameters({ tz: "" });
}

export function isZone(name: string): boolean {
  if (name === "") return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** Asked of the browser once: there are four hundred. */
let zones: readonly string[] | undefined;

export function allZones(): readonly string[] {
  zones ??= ["UTC", ...Intl.supportedValuesOf("timeZone").filter((name) => name !== "UTC")];
  return zones;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function format(options: Intl.DateTimeFormatOptions, timeZone: string): Intl.DateTimeFormat {
  const key = `${timeZone} ${Object.entries(options).join()}`;
  const known = formats.get(key);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-GB", { ...options, timeZone, hourCycle: "h23" });
  formats.set(key, made);
  return made;
}

const CLOCK = { hour: "2-digit", minute: "2-digit" } as const;
const DAY = { day: "numeric", month: "short" } as const;

/** 14:05:09, with its day when it is not today. */
export function formatTime(seconds: number, timeZone: string, today = Date.now() / 1000): string {
  const day = format(DAY, timeZone);
  const time = format({ ...CLOCK, second: "2-digit" }, timeZone).format(seconds * 1000);
  const dated = day.format(seconds * 1000);
  return dated === day.format(today * 1000) ? time : `${dated}, ${time}`;
}

/** 2026-11-29 14:05:09. */
export function formatDate(seconds: number, timeZone: string): string {
  const date = format({ year: "numeric", month: "2-digit", day: "2-digit" }, timeZone);
  const [day, month, year] = date.format(seconds * 1000).split("/");
  return `${year}-${month}-${day} ${format({ ...CLOCK, second: "2-digit" }, timeZone).format(seconds * 1000)}`;
}

/** A tick of a time axis whose ticks are so far apart: 14:05:30, 14:05, 29 Nov. */
export function formatTick(seconds: number, apart: number, timeZone: string): string {
  const at = seconds * 1000;
  if (apart < 60) return format({ ...CLOCK, second: "2-digit" }, timeZone).format(at);
  const time = format(CLOCK, timeZone).format(at);
  if (apart < 86_400) return time === "00:00" ? format(DAY, timeZone).format(at) : time;
  return format(DAY, timeZone).format(at);
}
