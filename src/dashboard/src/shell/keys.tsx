// What keys do, and the page that tells.

import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { navigate } from "../location";
import { now, pan, setTimeline, timeline, windowOf, zoom, DEFAULT_SPAN } from "../timeline";
import { nextTheme } from "../theme";
import { openHostMenu } from "./host_menu";
import { Tool } from "./tool";

export const helpIsOpen = signal(false);

/** Keys that lead somewhere, after `g`. */
const PLACES: Readonly<Record<string, string>> = { f: "/", c: "/compare", s: "/streaming", d: "/storage" };
const GO_WITHIN_MS = 1200;

const ZOOM = 1.5;
const STEP = 0.25;

const KEYS: Readonly<Record<string, () => void>> = {
  "?": () => (helpIsOpen.value = true),
  "/": () => document.querySelector<HTMLElement>("[data-search]")?.focus(),
  h: openHostMenu,
  t: nextTheme,
};

/** On pages with a time line. */
const TIME_KEYS: Readonly<Record<string, () => void>> = {
  ArrowLeft: () => setTimeline(pan(timeline.peek(), -STEP, now())),
  ArrowRight: () => setTimeline(pan(timeline.peek(), STEP, now())),
  "+": () => zoomBy(1 / ZOOM),
  "=": () => zoomBy(1 / ZOOM),
  "-": () => zoomBy(ZOOM),
  l: goLive,
  "0": () => setTimeline({ live: true, span: DEFAULT_SPAN }),
};

export function zoomBy(factor: number): void {
  const { after, before } = windowOf(timeline.peek(), now());
  setTimeline(zoom(timeline.peek(), factor, timeline.peek().live ? before : (after + before) / 2, now()));
}

/** The newest samples, as many of them as are shown. */
export function goLive(): void {
  const { after, before } = windowOf(timeline.peek(), now());
  setTimeline({ live: true, span: Math.round(before - after) });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName));
}

export function useKeys(): void {
  useEffect(() => {
    let goPressed = 0;
    const onKey = (event: KeyboardEvent): void => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
      if (event.key === "Escape" && isTyping(event.target)) (event.target as HTMLElement).blur();
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const place = event.timeStamp - goPressed < GO_WITHIN_MS ? PLACES[event.key] : undefined;
      goPressed = event.key === "g" ? event.timeStamp : 0;
      const keys = document.querySelector(".time-bar") ? { ...KEYS, ...TIME_KEYS } : KEYS;
      const act = place === undefined ? keys[event.key] : () => navigate(place);
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

const ROWS: readonly (readonly [string, string])[] = [
  ["/", "search"],
  ["h", "the menu of hosts"],
  ["g f, g c, g s, g d", "fleet, compare, streaming, storage"],
  ["← →", "along the time line; on a chart, along its samples"],
  ["+ −", "shorter and longer windows"],
  ["l", "live again, in a window of the same length"],
  ["0, double click", "back to the newest ten minutes"],
  ["drag", "choose a window"],
  ["shift and drag, one finger", "move along the time line"],
  ["shift or ctrl and wheel, two fingers", "zoom around the pointer"],
  ["click on a dimension", "hide or show it; with shift, it alone"],
  ["t", "theme: as the system, light, dark"],
  ["?", "this page"],
];

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isOpen = helpIsOpen.value;
  useEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return (
    <dialog ref={dialog} class="help" aria-labelledby="help-title" onClose={() => (helpIsOpen.value = false)}>
      <header>
        <h2 id="help-title">Keys and gestures</h2>
        <Tool label="Close" icon="close" onClick={() => (helpIsOpen.value = false)} />
      </header>
      <dl>
        {ROWS.map(([keys, what]) => [<dt key={keys}>{keys}</dt>, <dd key={what}>{what}</dd>])}
      </dl>
      <p class="quiet">mainstem is free software (Apache-2.0). <a href="/assets/licences.txt" target="_blank">Licences of what is in this page</a></p>
    </dialog>
  );
}
