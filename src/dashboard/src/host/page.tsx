// One host: its charts in sections that come from what they say of themselves, all over one time line.

import { useComputed, useSignal } from "@preact/signals";
import { memo } from "preact/compat";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { charts, data, nodes, type Chart } from "../api";
import { ChartCard } from "../chart/card";
import type { Load } from "../chart/feed";
import { LazyChart } from "../chart/lazy";
import { fragment, parameters, setParameters, writeParameters } from "../location";
import { searchCharts, sectionsOf, titleOf, type Section } from "../sections";
import { Icon } from "../shell/icon";
import { usePoll } from "../shell/poll";
import { TimeBar } from "../shell/time_bar";
import { learnClock, now } from "../timeline";
import { Away, HostFacts } from "./facts";
import { SectionMenu } from "./menu";
import { Spans } from "./spans";

/** Charts come and go with what a host does. */
const CHARTS_EVERY_MS = 30_000;
const NODE_EVERY_MS = 3000;

export function HostPage({ host }: { readonly host: string }) {
  const spans = useMemo(() => new Spans(), [host]);
  const answer = usePoll(
    async () => {
      const found = await charts(host);
      spans.learn(Object.values(found.charts), now());
      return found;
    },
    (found) => (found ? CHARTS_EVERY_MS : NODE_EVERY_MS),
    [host],
  );
  const node = usePoll(
    async () => {
      const found = await nodes(host === "localhost" ? { state: "localhost" } : { nodes: host });
      learnClock(found.now);
      return found.nodes[0] ?? null;
    },
    () => NODE_EVERY_MS,
    [host],
  );
  // The same charts again are no news: what is shown of them stays.
  const known = useRef<{ key: string; charts: readonly Chart[] }>({ key: "", charts: [] });
  const all = useComputed(() => {
    const found = Object.values(answer.value.value?.charts ?? {});
    const key = found.map((chart) => `${chart.id} ${chart.units} ${chart.update_every}`).join("\n");
    if (key !== known.current.key) known.current = { key, charts: found };
    return known.current.charts;
  });
  const search = useComputed(() => parameters.value["q"] ?? "");
  const found = useComputed(() => searchCharts(all.value, search.value));
  const sections = useComputed(() => sectionsOf(found.value));
  const isMenuOpen = useSignal(false);
  const name = answer.value.value?.hostname ?? host;

  // A link to a chart leads to it once it is there.
  const hasCharts = all.value.length > 0;
  useEffect(() => {
    if (!hasCharts || fragment.value === "") return;
    document.getElementById(fragment.value)?.scrollIntoView({ block: "start" });
  }, [hasCharts, fragment.value]);

  return (
    <>
      <div class="toolbar host-bar">
        <button type="button" class="tool menu-button" aria-label="Sections" aria-expanded={isMenuOpen.value}
          onClick={() => (isMenuOpen.value = !isMenuOpen.value)}>
          <Icon name="menu" />
        </button>
        <h1>{name}</h1>
        <HostFacts node={node.value.value} />
        <span class="spring" />
        <TimeBar />
      </div>
      <div class="columns">
        <aside class={`sections${isMenuOpen.value ? " open" : ""}`}>
          <div class="field search">
            <Icon name="search" />
            <input type="search" data-search placeholder="Find a chart" aria-label="Find a chart" value={search.value}
              onInput={(event) => setParameters({ q: event.currentTarget.value })} />
          </div>
          <SectionMenu sections={sections.value} onChoose={() => (isMenuOpen.value = false)} />
        </aside>
        <div class="charts">
          <Away node={node.value.value} />
          {answer.value.value === null && <p class="note" role="status">{answer.error.value || "Asking the parent …"}</p>}
          {answer.value.value !== null && found.value.length === 0 && (
            <p class="note">{hasCharts ? "No chart is like this." : "This host has no charts."}</p>
          )}
          {sections.value.map((section) => <SectionCharts key={section.id} host={host} name={name} section={section} spans={spans} />)}
        </div>
      </div>
    </>
  );
}

interface SectionChartsProps {
  /** As the address has it. */
  readonly host: string;
  readonly name: string;
  readonly section: Section;
  readonly spans: Spans;
}

const SectionCharts = memo(function SectionCharts({ host, name, section, spans }: SectionChartsProps) {
  return (
    <section id={section.id} aria-labelledby={`${section.id}--name`}>
      <h2 id={`${section.id}--name`}>{section.title}</h2>
      <div class="families">
        {section.families.map((family, place) => (
          <section key={family.id} id={family.id} aria-labelledby={`${family.id}--name`} class={`family ${widthOf(section.families, place)}`}>
            <h3 id={`${family.id}--name`}>{family.title}</h3>
            <div class="chart-grid">
              {family.charts.map((chart) => (
                <LazyChart key={chart.id} id={chart.id} title={titleOf(chart)}
                  chart={() => <HostChart host={host} name={name} chart={chart} spans={spans} />} />
              ))}
            </div>
          </section>
        ))}
      </div>
    </section>
  );
});

/** Families of one chart stand in pairs, the last of an odd number of them alone; those of many take a row of their own. */
function widthOf(families: Section["families"], place: number): "many" | "pair" | "alone" {
  const isOne = (at: number): boolean => families[at]?.charts.length === 1;
  if (!isOne(place)) return "many";
  let first = place;
  while (isOne(first - 1)) first -= 1;
  return (place - first) % 2 === 1 || isOne(place + 1) ? "pair" : "alone";
}

const HostChart = memo(
  function HostChart({ host, name, chart, spans }: Omit<SectionChartsProps, "section"> & { readonly chart: Chart }) {
    const { id } = chart;
    const load = useMemo<Load>(
      () => async (grid, signal) => {
        const { after, before, points } = grid;
        return spans.has(id, grid) ? data(host, { chart: id, after, before, points }, signal) : null;
      },
      [host, id, spans],
    );
    const title = titleOf(chart);
    const compare = `/compare${writeParameters({ context: chart.context, hosts: name })}`;
    return (
      <ChartCard id={id} title={title} subtitle={chart.name} units={chart.units} kind={chart.chart_type} updateEvery={chart.update_every}
        load={load} file={`${host}-${id}`}
        actions={
          <a class="tool" href={compare} aria-label={`Compare ${title} with the fleet`} title="Compare with the fleet"><Icon name="compare" /></a>
        } />
    );
  },
  (before, after) => before.host === after.host && before.name === after.name && before.chart.id === after.chart.id && before.chart.units === after.chart.units,
);
