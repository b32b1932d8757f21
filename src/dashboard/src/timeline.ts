// The one time line of all charts of a page: the last so many seconds, or a window that stays. Times are unix seconds of the parent.

import { computed, signal } from "@preact/signals";
import { parameters, setParameters, type Parameters } from "./location";

export interface Window {
  readonly after: number;
  readonly before: number;
}

export type Timeline = { readonly live: true; readonly span: number } | ({ readonly live: false } & Window);

export const DEFAULT_SPAN = 600;
/** What can be chosen with one key press or click. */
export const SPANS: readonly (readonly [number, string])[] = [
  [300, "5 min"],
  [600, "10 min"],
  [1800, "30 min"],
  [3600, "1 h"],
  [21_600, "6 h"],
  [86_400, "1 d"],
  [604_800, "7 d"],
  [2_592_000, "30 d"],
];
const SHORTEST = 10;
const LONGEST = 10 * 366 * 86_400;
/** Windows that end this close to now, in parts of their length, are live. */
const LIVE_WITHIN = 0.02;

export function readTimeline(given: Parameters): Timeline {
  const after = Number(given["after"]);
  const before = Number(given["before"]);
  if (after > 0 && before > after) return { live: false, after, before };
  const span = Number(given["last"]);
  return { live: true, span: span >= SHORTEST && span <= LONGEST ? span : DEFAULT_SPAN };
}

export function writeTimeline(timeline: Timeline): Parameters {
  if (!timeline.live) return { after: timeline.after.toFixed(0), before: timeline.before.toFixed(0), last: "" };
  return { after: "", before: "", last: timeline.span === DEFAULT_SPAN ? "" : timeline.span.toFixed(0) };
}

export function windowOf(timeline: Timeline, now: number): Window {
  return timeline.live ? { after: now - timeline.span, before: now } : timeline;
}

/** Moves by a part of the window's length, to the past if negative. The end of time is now. */
export function pan(timeline: Timeline, part: number, now: number): Timeline {
  const { after, before } = windowOf(timeline, now);
  const move = Math.min((before - after) * part, now - before);
  return settle({ after: after + move, before: before + move }, now, part > 0);
}

/** Makes the window longer (`factor` above 1) or shorter, and keeps `around` where it is. */
export function zoom(timeline: Timeline, factor: number, around: number, now: number): Timeline {
  const { after, before } = windowOf(timeline, now);
  const length = Math.min(LONGEST, Math.max(SHORTEST, (before - after) * factor));
  if (timeline.live && around >= before) return { live: true, span: Math.round(length) };
  const share = (around - after) / (before - after);
  const start = around - share * length;
  return settle({ after: start, before: start + length }, now, factor > 1);
}

/** The window itself, in whole seconds; live again if it has come to the end of time. */
function settle(window: Window, now: number, mayBeLive: boolean): Timeline {
  const length = Math.max(SHORTEST, Math.round(window.before - window.after));
  const before = Math.min(Math.round(window.before), Math.floor(now));
  if (mayBeLive && now - window.before <= length * LIVE_WITHIN) return { live: true, span: length };
  return { live: false, after: before - length, before };
}

export const timeline = computed<Timeline>(() => readTimeline(parameters.value));

export function setTimeline(next: Timeline): void {
  setParameters(writeTimeline(next));
}

/** Seconds that the parent's clock is ahead of the browser's. */
const skew = signal(0);
/** A clock that is off by less than this is the network's doing. */
const SKEW_FROM = 3;

export function learnClock(parentNow: number): void {
  const found = parentNow - Date.now() / 1000;
  skew.value = Math.abs(found) < SKEW_FROM ? 0 : found;
}

/** Now, by the parent's clock. */
export function now(): number {
  return Date.now() / 1000 + skew.peek();
}

/** Changes once a second, while the page is looked at. */
export const second = signal(Math.floor(Date.now() / 1000));

export function startClock(): void {
  const tick = (): void => {
    if (!document.hidden) second.value = Math.floor(now());
    setTimeout(tick, 1000 - (Date.now() % 1000));
  };
  tick();
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) second.value = Math.floor(now());
  });
}
