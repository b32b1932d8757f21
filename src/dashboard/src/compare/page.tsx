// One context over hosts: a line each for those that are chosen, over the band in which the fleet moves.

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { contexts as allContexts, data, nodes as allNodes, type Context, type DataAnswer, type Node } from "../api";
import { ChartCard } from "../chart/card";
import type { Load } from "../chart/feed";
import { hostPath, parameters, setParameters } from "../location";
import type { Grid } from "../series";
import { Icon } from "../shell/icon";
import { TimeBar } from "../shell/time_bar";
import { now, timeline } from "../timeline";
import { formatQuantity } from "../units";
import { bandOf, gather, ranked, type Gathered } from "./gather";

/** Lines that can be told apart. */
const MOST_LINES = 12;
/** Hosts of the ranking. */
const MOST_LISTED = 100;
/** Rows a host is asked for: enough for the width, few enough for thousands of hosts. */
const ROWS = 120;
/** Hosts are asked again after so many seconds, in live windows: the more there are, the later. */
const EVERY_S = 10;
const HOSTS_A_SECOND = 100;
const USUAL_CONTEXT = "system.cpu";

/** What most people look for first, or else the first of the hosts' contexts. */
function defaultContext(contexts: ReadonlyMap<string, Context>): string {
  if (contexts.has(USUAL_CONTEXT)) return USUAL_CONTEXT;
  return [...contexts].sort(([, a], [, b]) => a.priority - b.priority)[0]?.[0] ?? "";
}

export function ComparePage() {
  const nodes = useSignal<readonly Node[]>([]);
  const contexts = useSignal<ReadonlyMap<string, Context>>(new Map());
  const gathered = useSignal<Gathered | null>(null);
  const error = useSignal("");

  const context = useComputed(() => parameters.value["context"] ?? defaultContext(contexts.value));
  const dimension = useComputed(() => parameters.value["dimension"] ?? "");
  const picked = useComputed(() => (parameters.value["hosts"] ?? "").split(",").filter((host) => host !== ""));
  const hosts = useComputed(() => [...new Set(nodes.value.map((node) => node.hostname))]);
  const chosen = useComputed(() => {
    const words = (parameters.value["q"] ?? "").toLowerCase().split(/\s+/).filter((word) => word !== "");
    return hosts.value.filter((host) => words.every((word) => host.toLowerCase().includes(word)));
  });

  useEffect(() => {
    Promise.all([allNodes(), allContexts()]).then(
      ([answer, known]) => {
        nodes.value = answer.nodes;
        contexts.value = known;
      },
      (problem: Error) => (error.value = problem.message),
    );
  }, []);

  const chart = contexts.value.get(context.value);
  const units = chart?.units ?? "";
  const isMean = units.startsWith("percent") || units.startsWith("%");
  const byName = useComputed(() => new Map([...nodes.value].reverse().map((node) => [node.hostname, node])));
  const all = [...new Set([...picked.value, ...chosen.value])].sort();
  const every = Math.max(EVERY_S, all.length / HOSTS_A_SECOND);
  const asking = [context.value, dimension.value, isMean, all.join()].join("\n");
  const key = `${asking}\n${picked.value.join()}`;
  const latest = useRef<{ asking: string; grid: Grid; found: Gathered; at: number } | null>(null);
  const load = useMemo<Load>(
    () => async (grid, signal) => {
      // Whom to draw apart is no reason to ask all of them again.
      const { current: last } = latest;
      if (last?.asking === asking && now() - last.at < every && last.grid.points === grid.points && last.grid.step === grid.step &&
        (timeline.peek().live || last.grid.before === grid.before)) return answerOf(last.found, picked.peek(), grid.step);
      // Who was away all the time has nothing to say.
      const asked = all.flatMap((host) => byName.peek().get(host) ?? []).filter((node) => node.state !== "offline" || (node.retention?.last ?? 0) >= grid.after);
      if (asked.length === 0) return null;
      const found = await gather(asked, { context: context.peek(), dimension: dimension.peek(), isMean }, grid, signal);
      gathered.value = found;
      latest.current = { asking, grid, found, at: now() };
      return answerOf(found, picked.peek(), grid.step);
    },
    [key],
  );

  const leaders = useComputed(() => ranked(gathered.value?.lines ?? []));
  // The chosen ones first, in the order in which they were.
  const listed = useComputed(() => {
    const chosenOnes = picked.value.map((host) => leaders.value.find((one) => one.host === host) ?? { host, mean: null });
    return [...chosenOnes, ...leaders.value.filter(({ host }) => !picked.value.includes(host)).slice(0, MOST_LISTED)];
  });
  const toggle = (host: string): void => {
    const next = picked.value.includes(host) ? picked.value.filter((other) => other !== host) : [...picked.value, host].slice(-MOST_LINES);
    setParameters({ hosts: next.join(",") });
  };
  const progress = gathered.value;

  return (
    <>
      <div class="toolbar">
        <h1>Compare</h1>
        <label class="pick">
          <span>Context</span>
          <input list="contexts" value={context.value} size={22} spellcheck={false}
            onChange={(event) => setParameters({ context: event.currentTarget.value, dimension: "" })} />
          <datalist id="contexts">
            {[...contexts.value].map(([id, known]) => <option key={id} value={id}>{known.title}</option>)}
          </datalist>
        </label>
        <label class="pick">
          <span>Dimension</span>
          <select value={dimension.value} onChange={(event) => setParameters({ dimension: event.currentTarget.value })}>
            <option value="">sum of all</option>
            {(chart?.dimensions ?? []).map((name) => <option key={name}>{name}</option>)}
          </select>
        </label>
        <div class="field search">
          <Icon name="search" />
          <input type="search" data-search placeholder="Hosts of the fleet" aria-label="Hosts of the fleet" value={parameters.value["q"] ?? ""}
            onInput={(event) => setParameters({ q: event.currentTarget.value })} />
        </div>
        <span class="spring" />
        <TimeBar />
      </div>
      <div class="compare-body">
        <div class="charts">
          {context.value !== "" && hosts.value.length > 0 && (
            <ChartCard key={key} id="comparison" title={chart?.title ?? context.value}
              subtitle={`${context.value}, ${picked.value.length === 0 ? "the fleet" : "chosen hosts over the fleet"}`}
              units={units} kind="line" updateEvery={1} load={load} file={`compare-${context.value}`} isTall
              mostRows={ROWS} wholeEvery={every} isDashed={isFleet} />
          )}
          <p class="quiet" role="status">
            {error.value || (progress
              ? `${progress.lines.length} of ${progress.hosts} hosts have this context. ` +
                "Dashed lines: a tenth of the hosts is below the lowest, a tenth above the highest."
              : "Asking the hosts …")}
          </p>
          {chart && picked.value.length > 0 && (
            <div class="chart-grid">{picked.value.map((host) => <OneHost key={`${host} ${context.value}`} host={host} context={context.value} chart={chart} />)}</div>
          )}
        </div>
        <section class="ranking" aria-labelledby="ranking-title">
          <h2 id="ranking-title">Hosts by their mean</h2>
          <ol>
            {listed.value.map(({ host, mean }) => (
                <li key={host}>
                  <label>
                    <input type="checkbox" checked={picked.value.includes(host)} onChange={() => toggle(host)} />
                    <span>{host}</span>
                  </label>
                  <span class="number">{formatQuantity(mean, units)}</span>
                  <a href={`${hostPath(host)}#${context.value}`} class="tool" aria-label={`Open ${host}`} title={`Open ${host}`}><Icon name="right" /></a>
                </li>
              ))}
          </ol>
        </section>
      </div>
    </>
  );
}

/** The context of one of the chosen hosts, with all of its dimensions. */
function OneHost({ host, context, chart: { chart_type, units } }: { readonly host: string; readonly context: string; readonly chart: Context }) {
  const load = useMemo<Load>(
    () => ({ after, before, points }, signal) => data(host, { context, after, before, points }, signal),
    [host, context],
  );
  return (
    <ChartCard id={`host-${host}`} title={host} subtitle={context} units={units} kind={chart_type} updateEvery={1} load={load}
      file={`${host}-${context}`}
      actions={<a class="tool" href={hostPath(host)} aria-label={`Open ${host}`} title={`Open ${host}`}><Icon name="host" /></a>} />
  );
}

const isFleet = (name: string): boolean => name.startsWith("fleet: ");

/** What was gathered as the answer of one chart: the fleet's band, then the chosen hosts; without any the first ones. */
function answerOf({ times, lines }: Gathered, picked: readonly string[], step: number): DataAnswer {
  const band = bandOf(lines);
  const few = lines.length <= MOST_LINES && picked.length === 0;
  const shown = few ? lines : picked.flatMap((host) => lines.find((line) => line.host === host) ?? []);
  const named: [string, readonly (number | null)[]][] = shown.map((line) => [line.host, line.values]);
  if (lines.length > 2) named.push(["fleet: 90 %", band.highest], ["fleet: middle", band.middle], ["fleet: 10 %", band.lowest]);
  const names = named.map(([name]) => name);
  return {
    view_update_every: step,
    update_every: step,
    first_entry: times[0] ?? 0,
    last_entry: times.at(-1) ?? 0,
    dimension_names: names,
    dimension_ids: names,
    result: { labels: ["time", ...names], data: times.map((time, row) => [time, ...named.map(([, values]) => values[row] ?? null)]) },
  };
}
