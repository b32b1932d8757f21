// What a host is and how it does, in one line.

import type { Node } from "../api";
import { stateOf } from "../fleet/rows";
import { now, setTimeline, timeline } from "../timeline";
import { formatAge, formatDuration, formatLag, formatNumber } from "../units";
import { formatDate, zone } from "../zone";

/** Of a host that is away the live window has nothing: a way to its last samples. */
export function Away({ node }: { readonly node: Node | null }) {
  if (!node || node.state !== "offline" || !node.retention || !timeline.value.live) return null;
  const { span } = timeline.value;
  const { last } = node.retention;
  if (now() - last < span) return null;
  return (
    <p class="panel away">
      The newest sample of this host is of {formatDate(last, zone.value)}.{" "}
      <button type="button" onClick={() => setTimeline({ live: false, after: last - span, before: last })}>Show its last {formatDuration(span)}</button>
    </p>
  );
}

export function HostFacts({ node }: { readonly node: Node | null }) {
  if (!node) return null;
  const state = stateOf(node);
  const isAway = state === "offline" || state === "archived";
  const labels = Object.entries(node.labels).filter(([name]) => !name.startsWith("_"));
  return (
    <ul class="facts" aria-label="State of the host">
      <li><i class={`dot ${state}`} aria-hidden="true" /> {state}{isAway && node.last_seen > 0 ? ` for ${formatAge(now() - node.last_seen)}` : ""}</li>
      {!isAway && node.lag_seconds !== null && <li class="wide">lag {formatLag(node.lag_seconds)}</li>}
      {node.connection && <li class="wide">{formatNumber(Math.round(node.connection.samples_per_second))} samples/s</li>}
      {node.missing_rows > 0 && <li>{formatNumber(node.missing_rows)} rows missing</li>}
      {isAway && node.last_disconnect && <li>{node.last_disconnect.reason}</li>}
      <li class="wide">{node.program} {node.version}</li>
      {labels.slice(0, 4).map(([name, value]) => <li key={name} class="wider tag">{name} {value}</li>)}
    </ul>
  );
}
