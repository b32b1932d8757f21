// The picture of a chart: uPlot, with our ticks, units and gestures. It paints what it is told; who asks for samples is `feed`.

import uPlot from "uplot";
import type { ChartType } from "../api";
import { goesDown, stackColumns, type Series } from "../series";
import { colour, seriesColour } from "../theme";
import { DEFAULT_SPAN, now, pan, setTimeline, timeline, zoom, type Window } from "../timeline";
import { formatValue, type Scale } from "../units";
import { formatTick } from "../zone";
import { gestures } from "./gestures";
import { timeTicks, valueRange, valueTicks, zoneOffset } from "./ticks";

export interface PlotOptions {
  readonly kind: ChartType;
  readonly names: readonly string[];
  /** Lines that stand for something else than the others. */
  readonly isDashed: (name: string) => boolean;
  /** Which dimensions are shown, by their places. */
  readonly shown: readonly number[];
  readonly scale: Scale;
  readonly zone: string;
  readonly width: number;
  readonly height: number;
  /** The row under the pointer of any chart of the page, or none. */
  readonly onCursor: (row: number | null) => void;
}

/** Charts of one key follow each other's pointer. */
const SYNC = "time";
const FONT = "11px Inter, system-ui, sans-serif";
/** Of fills, as two hexadecimal digits. */
const AREA_ALPHA = "33";
const STACK_ALPHA = "a6";
const TICK_WIDTH = 68;
const TICK_HEIGHT = 34;

export class Plot {
  readonly #plot: uPlot;
  #window: Window;
  #times: readonly number[] = [];
  #below = "";

  constructor(readonly element: HTMLElement, readonly options: PlotOptions, window: Window) {
    this.#window = window;
    this.#plot = new uPlot(this.#build(), [[], ...options.shown.map(() => [])] as unknown as uPlot.AlignedData, element);
    gestures(this.#plot.over, {
      pan: (part) => setTimeline(pan(timeline.peek(), part, now())),
      zoom: (factor, at) => setTimeline(zoom(timeline.peek(), factor, this.#timeAt(at), now())),
      reset: () => setTimeline({ live: true, span: DEFAULT_SPAN }),
    });
  }

  get canvas(): HTMLCanvasElement {
    return this.#plot.ctx.canvas;
  }

  draw(series: Series | null, window: Window): void {
    this.#window = window;
    this.#times = series?.times ?? [];
    const columns = this.options.shown.map((place) => series?.columns[place] ?? []);
    const painted = this.options.kind === "stacked" ? this.#stack(columns) : columns;
    this.#plot.setData([this.#times, ...painted] as unknown as uPlot.AlignedData);
  }

  /** In a stack a dimension is painted from the one that it stands on, so that colours do not lie on one another. */
  #stack(columns: readonly (readonly (number | null)[])[]): readonly (readonly (number | null)[])[] {
    const { columns: stacked, below } = stackColumns(columns);
    if (below.join() !== this.#below) {
      this.#below = below.join();
      this.#plot.delBand(null);
      below.forEach((under, place) => {
        if (under !== null) this.#plot.addBand({ series: [place + 1, under + 1], dir: goesDown(columns[place]) ? 1 : -1 });
      });
    }
    return stacked;
  }

  resize(width: number, height: number): void {
    if (width !== this.#plot.width || height !== this.#plot.height) this.#plot.setSize({ width, height });
  }

  /** Moves the pointer by rows, for those who use the keyboard. */
  step(rows: number): void {
    const last = this.#times.length - 1;
    if (last < 0) return;
    const at = Math.min(last, Math.max(0, (this.#plot.cursor.idx ?? last) + rows));
    const left = this.#plot.valToPos(this.#times[at] as number, "x");
    this.#plot.setCursor({ left, top: this.#plot.over.clientHeight / 2 });
  }

  destroy(): void {
    this.#plot.destroy();
  }

  #timeAt(left: number): number {
    return this.#plot.posToVal(left, "x");
  }

  #build(): uPlot.Options {
    const { kind, names, shown, scale, zone, width, height, onCursor } = this.options;
    const line = colour("chart-grid");
    const text = colour("muted");
    const axis = { font: FONT, stroke: text, grid: { stroke: line, width: 1 }, ticks: { show: false } };
    let apart = 1;
    return {
      width,
      height,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      focus: { alpha: 1 },
      cursor: {
        sync: { key: SYNC, setSeries: false },
        drag: { x: true, y: false, setScale: false },
        points: { size: 5, width: 0 },
        y: false,
        // Shift is for moving, and double clicks lead back to live.
        bind: {
          mousedown: (_plot, _target, handler) => (event) => (event.button === 0 && !event.shiftKey ? handler(event) : null),
          dblclick: () => () => null,
        },
      },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: { time: true, range: () => [this.#window.after, this.#window.before] },
        y: { range: (_plot, low, high) => valueRange(low ?? NaN, high ?? NaN, kind !== "line", scale.name === "%" ? 100 : Infinity) },
      },
      axes: [
        {
          ...axis,
          size: 26,
          gap: 4,
          splits: (plot) => {
            const { min = 0, max = 1 } = plot.scales["x"] ?? {};
            const most = plot.over.clientWidth / TICK_WIDTH || 4;
            const ticks = timeTicks(min ?? 0, max ?? 1, most, zoneOffset(min ?? 0, zone));
            apart = ticks.apart;
            return [...ticks.at];
          },
          values: (_plot, splits) => splits.map((at) => formatTick(at, apart, zone)),
        },
        {
          ...axis,
          size: 62,
          gap: 6,
          splits: (plot) => {
            const { min = 0, max = 1 } = plot.scales["y"] ?? {};
            const room = plot.over.clientHeight || height - 40;
            return [...valueTicks(min ?? 0, max ?? 1, room / TICK_HEIGHT, scale).at];
          },
          values: (_plot, splits) => splits.map((value) => formatValue(value, scale)),
        },
      ],
      series: [{}, ...shown.map((place) => this.#line(names[place] ?? "", place))],
      hooks: {
        setCursor: [(plot) => onCursor((plot.cursor.left ?? -1) >= 0 ? (plot.cursor.idx ?? null) : null)],
        setSelect: [(plot) => this.#select(plot)],
      },
    };
  }

  #line(label: string, place: number): uPlot.Series {
    const stroke = seriesColour(place);
    const { kind } = this.options;
    return {
      label,
      stroke,
      width: kind === "stacked" ? 0.75 : 1.5,
      ...(kind === "line" ? {} : { fill: `${stroke}${kind === "area" ? AREA_ALPHA : STACK_ALPHA}`, fillTo: 0 }),
      ...(this.options.isDashed(label) ? { dash: [5, 4], width: 1, stroke: colour("muted") } : {}),
      spanGaps: false,
      points: { show: true, size: 3, filter: isolated },
    };
  }

  #select(plot: uPlot): void {
    const { left, width } = plot.select;
    // Charts that only follow have no pointer of their own.
    if (width < 4 || plot.cursor.event === undefined || plot.cursor.event === null) return;
    const after = Math.round(plot.posToVal(left, "x"));
    const before = Math.round(plot.posToVal(left + width, "x"));
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (before - after >= 2) setTimeline({ live: false, after, before });
  }
}

/** Rows with a gap on either side: a line would not show them. */
function isolated(plot: uPlot, series: number, _show: boolean): number[] {
  const values = plot.data[series] ?? [];
  const [first = 0, last = values.length - 1] = plot.series[0]?.idxs ?? [];
  const found: number[] = [];
  for (let row = first; row <= last; row += 1) {
    if (values[row] != null && values[row - 1] == null && values[row + 1] == null) found.push(row);
  }
  return found;
}
