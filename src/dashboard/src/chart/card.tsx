// A chart with its head and legend. It asks for samples while it is in view, and paints once a change.

import { useComputed, useSignal, useSignalEffect } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { ChartType } from "../api";
import { Tool } from "../shell/tool";
import { largest, stackColumns, type Series } from "../series";
import { isDark } from "../theme";
import { now, second, timeline, windowOf } from "../timeline";
import { scaleOf } from "../units";
import { formatTime, zone } from "../zone";
import { saveCsv, savePng } from "./export";
import { Feed, type Load } from "./feed";
import { Legend, writeValues } from "./legend";
import { Plot } from "./plot";
import { toggled } from "./selection";

export interface CardProps {
  /** The element's id, which a link can point at. */
  readonly id: string;
  readonly title: string;
  readonly subtitle: string;
  readonly units: string;
  readonly kind: ChartType;
  readonly updateEvery: number;
  readonly load: Load;
  /** Names of its files. */
  readonly file: string;
  readonly actions?: ComponentChildren;
  readonly isTall?: boolean;
  /** Rows that are asked for at most, where each costs more than a pixel is worth. */
  readonly mostRows?: number;
  /** Seconds; see `Pace`. */
  readonly wholeEvery?: number;
  readonly isDashed?: (name: string) => boolean;
}

const KINDS: readonly ChartType[] = ["line", "area", "stacked"];
/** A chart's surroundings that count as in view, so that it is there when it comes. */
const NEAR = "250px 0px";
/** Pixels that a row of samples is wide at least. */
const ROW_WIDTH = 1.6;

const never = (): boolean => false;

export function ChartCard(props: CardProps) {
  const { id, title, subtitle, units, updateEvery, load, file, actions } = props;
  const card = useRef<HTMLElement>(null);
  const surface = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const cells = useRef<(HTMLElement | null)[]>([]);
  const cursor = useRef<number | null>(null);
  const { wholeEvery, mostRows = Infinity } = props;
  const feed = useMemo(
    () => new Feed(load, { updateEvery, ...(wholeEvery === undefined ? {} : { wholeEvery }) }),
    [load, updateEvery, wholeEvery],
  );
  const chosenKind = useSignal<ChartType | null>(null);
  const hidden = useSignal<ReadonlySet<number>>(new Set());
  const size = useSignal({ width: 0, height: 0 });
  const isFull = useSignal(false);
  const stamp = useRef<HTMLElement>(null);

  const kind = useComputed(() => chosenKind.value ?? props.kind);
  const names = useComputed(() => feed.series.value?.names ?? []);
  const namesKey = useComputed(() => names.value.join("\n"));
  const shown = useComputed(() => names.value.map((_, place) => place).filter((place) => !hidden.value.has(place)));
  // The unit follows the largest value, but not each time it wavers around a border.
  const scaleKey = useComputed(() => {
    const columns = shown.value.map((place) => feed.series.value?.columns[place] ?? []);
    const most = largest(kind.value === "stacked" ? stackColumns(columns).columns : columns);
    return JSON.stringify(scaleOf(units, most));
  });
  const scale = useComputed(() => JSON.parse(scaleKey.value) as ReturnType<typeof scaleOf>);

  useEffect(() => () => feed.dispose(), [feed]);

  useEffect(() => {
    const element = surface.current;
    if (!element || !card.current) return;
    const seen = new IntersectionObserver(([entry]) => (feed.active.value = entry?.isIntersecting ?? false), { rootMargin: NEAR });
    seen.observe(card.current);
    const sized = new ResizeObserver(() => {
      size.value = { width: element.clientWidth, height: element.clientHeight };
      feed.most.value = Math.min(mostRows, Math.floor(element.clientWidth / ROW_WIDTH));
    });
    sized.observe(element);
    const onFull = (): void => void (isFull.value = document.fullscreenElement === card.current);
    document.addEventListener("fullscreenchange", onFull);
    return () => {
      seen.disconnect();
      sized.disconnect();
      document.removeEventListener("fullscreenchange", onFull);
    };
  }, [feed]);

  const writeLegend = (series: Series | null): void => {
    writeValues(cells.current, series, cursor.current, scale.peek());
    const at = cursor.current === null ? undefined : series?.times[cursor.current];
    if (stamp.current) stamp.current.textContent = at === undefined ? "" : formatTime(at, zone.peek());
  };

  // What a picture is made of: when that changes, it is made anew. Far from view it is given up.
  useSignalEffect(() => {
    const isActive = feed.active.value;
    const options = {
      kind: kind.value, shown: shown.value, scale: scale.value, zone: zone.value,
      width: size.value.width, height: size.value.height, isDark: isDark.value, names: namesKey.value,
    };
    plot.current?.destroy();
    plot.current = null;
    if (!isActive || !surface.current || options.width === 0) return;
    plot.current = new Plot(
      surface.current,
      {
        ...options,
        names: names.peek(),
        isDashed: props.isDashed ?? never,
        onCursor: (row) => {
          if (row === cursor.current) return;
          cursor.current = row;
          writeLegend(feed.series.peek());
        },
      },
      windowOf(timeline.peek(), now()),
    );
    plot.current.draw(feed.series.peek(), windowOf(timeline.peek(), now()));
    writeLegend(feed.series.peek());
  });

  // What it shows.
  useSignalEffect(() => {
    const series = feed.series.value;
    const wanted = timeline.value;
    if (wanted.live) second.value;
    if (!feed.active.value || !plot.current) return;
    plot.current.draw(series, windowOf(wanted, now()));
    writeLegend(series);
  });

  const onKey = (event: KeyboardEvent): void => {
    const rows = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (rows === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    plot.current?.step(event.shiftKey ? rows * 10 : rows);
  };

  const series = feed.series.value;
  const isEmpty = feed.ready.value && (series === null || series.times.length === 0);
  const picture = (): void => {
    if (!plot.current || !series) return;
    const { canvas } = plot.current;
    savePng({ canvas, title, units: scale.value.name || units, series, shown: shown.value, zone: zone.value }, file);
  };
  const unit = scale.value.name || (scale.value.time ? "time" : units);

  return (
    <article class={`chart${props.isTall || isFull.value ? " tall" : ""}`} id={id} ref={card} aria-labelledby={`${id}--title`}>
      <header>
        <h4 id={`${id}--title`}><a href={`#${id}`} title="A link to this chart">{title}</a></h4>
        <span class="unit">{unit}</span>
        <small>{subtitle}</small>
        <span class="stamp" ref={stamp} />
        <span class="tools">
          <select
            aria-label={`Kind of chart: ${title}`}
            value={kind.value}
            onChange={(event) => (chosenKind.value = event.currentTarget.value as ChartType)}
          >
            {KINDS.map((known) => <option key={known}>{known}</option>)}
          </select>
          {actions}
          <Tool label={`Save ${title} as PNG`} icon="picture" onClick={picture} />
          <Tool label={`Save ${title} as CSV`} icon="table" onClick={() => series && saveCsv(series, file)} />
          <Tool
            label={isFull.value ? "Leave full screen" : `${title}: full screen`}
            icon="full"
            onClick={() => void (isFull.value ? document.exitFullscreen() : card.current?.requestFullscreen())}
          />
        </span>
      </header>
      <div class="body">
        <div class={`surface${feed.ready.value ? "" : " loading"}`} ref={surface} tabIndex={0} role="img"
          aria-label={`${title}, ${kind.value} chart in ${unit}. Left and right move along it.`} onKeyDown={onKey}>
          {isEmpty && <p class="note">no samples in this window</p>}
          {feed.error.value !== "" && <p class="note error" role="status">{feed.error.value}</p>}
        </div>
        <Legend names={names.value} hidden={hidden.value} isDashed={props.isDashed ?? never} cells={cells.current}
          onToggle={(place, alone) => (hidden.value = toggled(hidden.value, place, alone, names.value.length))} />
      </div>
    </article>
  );
}
