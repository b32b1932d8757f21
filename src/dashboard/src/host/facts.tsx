// What a host is and how it does, in one line.

import type { Node } from "../api";
import { stateOf } from "../fleet/rows";
import { now } from "../timeline";
import { formatAge, formatLag, formatNumber } from "../units";

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
