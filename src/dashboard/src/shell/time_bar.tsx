// The time line's handles: live or a window, its length, moves, and the zone that times are told in.

import { useComputed } from "@preact/signals";
import { now, pan, second, setTimeline, SPANS, timeline, windowOf } from "../timeline";
import { formatDuration } from "../units";
import { allZones, BROWSER_ZONE, formatTime, setZone, zone } from "../zone";
import { goLive, zoomBy } from "./keys";
import { Tool } from "./tool";

const STEP = 0.5;
const ZOOM = 2;

export function TimeBar() {
  const { value: current } = timeline;
  const span = current.live ? current.span : current.before - current.after;
  const isListed = SPANS.some(([length]) => length === span);
  return (
    <div class="time-bar" role="group" aria-label="Time line">
      <button type="button" class="live-button" aria-pressed={current.live} onClick={goLive}
        title={current.live ? "Samples come as they are collected" : "Back to the newest samples"}>
        <i aria-hidden="true" /> Live
      </button>
      <select aria-label="Length of the window" value={String(span)}
        onChange={(event) => setTimeline({ live: true, span: Number(event.currentTarget.value) })}>
        {!isListed && <option value={String(span)}>{formatDuration(span)}</option>}
        {SPANS.map(([length, name]) => <option key={length} value={String(length)}>{name}</option>)}
      </select>
      <span class="group">
        <Tool label="Earlier" icon="left" onClick={() => setTimeline(pan(timeline.peek(), -STEP, now()))} />
        <Tool label="Later" icon="right" onClick={() => setTimeline(pan(timeline.peek(), STEP, now()))} />
        <Tool label="Longer window" icon="minus" onClick={() => zoomBy(ZOOM)} />
        <Tool label="Shorter window" icon="plus" onClick={() => zoomBy(1 / ZOOM)} />
      </span>
      <WindowText />
      <ZoneSelect />
    </div>
  );
}

/** Apart, since it changes each second. */
function WindowText() {
  const text = useComputed(() => {
    if (timeline.value.live) second.value;
    const { after, before } = windowOf(timeline.value, now());
    return `${formatTime(after, zone.value)} – ${formatTime(before, zone.value)}`;
  });
  return <span class="window">{text}</span>;
}

function ZoneSelect() {
  return (
    <select class="zone" aria-label="Time zone" value={zone.value} onChange={(event) => setZone(event.currentTarget.value)}>
      <option value={BROWSER_ZONE}>{BROWSER_ZONE} (browser)</option>
      {allZones().filter((name) => name !== BROWSER_ZONE).map((name) => <option key={name}>{name}</option>)}
    </select>
  );
}
