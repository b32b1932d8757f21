// All hosts: searched, sorted and grouped, as a list or as a heat map.

import { useComputed, useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import { parameters, setParameters } from "../location";
import { Icon } from "../shell/icon";
import { MS_A_HOST, useNodes } from "../shell/nodes";
import { usePoll } from "../shell/poll";
import { formatNumber } from "../units";
import { HeatMap } from "./heat_map";
import { HostList } from "./list";
import { MEASURES, STATES } from "./measures";
import { choose, groupingLabels, rowsOf, totals } from "./rows";
import { UsageKeeper, type Usage } from "./usage";

const USAGE_EVERY_MS = 5000;

const GROUPS: readonly (readonly [string, string])[] = [
  ["", "No groups"], ["state", "State"], ["version", "Version"], ["os", "Operating system"], ["hops", "Distance"],
];

export function FleetPage() {
  const answer = useNodes();
  const keeper = useMemo(() => new UsageKeeper(), []);
  const usage = usePoll(() => keeper.read(), (found) => Math.max(USAGE_EVERY_MS, (found?.size ?? 0) * MS_A_HOST), []);
  const noUsage = useSignal<ReadonlyMap<string, Usage>>(new Map());
  const rows = useComputed(() => rowsOf(answer.value.value?.nodes ?? [], usage.value.value ?? noUsage.value));
  const choice = useComputed(() => ({
    search: parameters.value["q"] ?? "",
    states: (parameters.value["state"] ?? "").split(",").filter((state) => state !== ""),
    sort: parameters.value["sort"] ?? "host",
    group: parameters.value["group"] ?? "",
  }));
  const groups = useComputed(() => choose(rows.value, choice.value));
  const labels = useComputed(() => groupingLabels(rows.value));
  const isMap = parameters.value["view"] === "map";
  const { states, samples, charts } = totals(rows.value);
  const found = groups.value.reduce((sum, group) => sum + group.rows.length, 0);

  const toggleState = (state: string): void => {
    const now = choice.value.states;
    const next = now.includes(state) ? now.filter((other) => other !== state) : [...now, state];
    setParameters({ state: next.join(",") });
  };

  return (
    <>
      <div class="toolbar">
        <h1 class="sr">Fleet</h1>
        <div class="field search">
          <Icon name="search" />
          <input type="search" data-search placeholder="Search hosts, labels, versions" aria-label="Search hosts" value={choice.value.search}
            onInput={(event) => setParameters({ q: event.currentTarget.value })} />
        </div>
        <div class="states" role="group" aria-label="States">
          {STATES.filter((state) => states.has(state)).map((state) => (
            <button type="button" key={state} aria-pressed={choice.value.states.includes(state)} onClick={() => toggleState(state)}>
              <i class={`dot ${state}`} aria-hidden="true" />
              {state} <b>{states.get(state)}</b>
            </button>
          ))}
        </div>
        <span class="spring" />
        <label class="pick">
          <span>Group</span>
          <select value={choice.value.group} onChange={(event) => setParameters({ group: event.currentTarget.value })}>
            {GROUPS.map(([id, title]) => <option key={id} value={id}>{title}</option>)}
            {labels.value.map((label) => <option key={label} value={`label:${label}`}>Label {label}</option>)}
          </select>
        </label>
        {isMap && (
          <label class="pick">
            <span>Colour</span>
            <select value={parameters.value["by"] ?? "cpu"} onChange={(event) => setParameters({ by: event.currentTarget.value })}>
              <option value="state">State</option>
              {MEASURES.map(({ id, title }) => <option key={id} value={id}>{title}</option>)}
            </select>
          </label>
        )}
        <div class="views" role="group" aria-label="View">
          <button type="button" aria-pressed={!isMap} onClick={() => setParameters({ view: "" })}><Icon name="list" /> List</button>
          <button type="button" aria-pressed={isMap} onClick={() => setParameters({ view: "map" })}><Icon name="grid" /> Heat map</button>
        </div>
      </div>
      {answer.value.value === null ? (
        <p class="note" role="status">{answer.error.value || "Asking the parent …"}</p>
      ) : isMap ? (
        <HeatMap groups={groups.value} by={parameters.value["by"] ?? "cpu"} />
      ) : (
        <HostList groups={groups.value} sort={choice.value.sort} hasGroups={choice.value.group !== ""} />
      )}
      <div class="status" role="status">
        {found === rows.value.length ? `${formatNumber(found)} hosts` : `${formatNumber(found)} of ${formatNumber(rows.value.length)} hosts`}
        <span>{formatNumber(charts)} charts</span>
        <span>{formatNumber(Math.round(samples))} samples/s</span>
        {answer.value.value !== null && answer.error.value !== "" && <span class="error">{answer.error.value}</span>}
      </div>
    </>
  );
}
