// The hosts as squares, coloured by a measure or by their state. Painted, since thousands of elements would not move smoothly.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { navigate } from "../location";
import { colour, isDark } from "../theme";
import { cellAt, cellPlace, layout } from "./cells";
import { measure, STATES, type Measure, type Row } from "./measures";
import type { Group } from "./rows";

interface HeatMapProps {
  readonly groups: readonly Group[];
  /** A measure, or `state`. */
  readonly by: string;
}

const GAP = 2;
const STEPS = 64;

export function HeatMap({ groups, by }: HeatMapProps) {
  const view = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const size = useSignal({ width: 0, height: 0 });
  const active = useSignal<readonly [number, number] | undefined>(undefined);
  const known = measure(by);
  const hasNames = groups.length > 1 || (groups[0]?.name ?? "") !== "";
  const { width, height } = size.value;
  const counts = groups.map((group) => group.rows.length);
  const cells = useMemo(() => layout(counts, width, height, hasNames), [counts.join(), width, height, hasNames]);
  const dark = isDark.value;
  const colours = useMemo(() => new Colours(), [dark]);

  useEffect(() => {
    const element = view.current;
    if (!element) return;
    const sized = new ResizeObserver(() => (size.value = { width: element.clientWidth, height: element.clientHeight - 4 }));
    sized.observe(element);
    return () => sized.disconnect();
  }, []);

  useEffect(() => {
    const paint = canvas.current?.getContext("2d");
    if (!paint || !canvas.current || width === 0) return;
    const ratio = devicePixelRatio || 1;
    canvas.current.width = width * ratio;
    canvas.current.height = cells.height * ratio;
    paint.scale(ratio, ratio);
    paint.font = "600 12px Inter, system-ui, sans-serif";
    const text = colour("muted");
    groups.forEach((group, place) => {
      if (hasNames) {
        paint.fillStyle = text;
        paint.fillText(`${group.name}  ${group.rows.length}`, 0, (cells.groups[place]?.top ?? 0) + 17);
      }
      group.rows.forEach((row, index) => {
        const [x, y] = cellPlace(cells, place, index);
        const { fill, isHollow } = colours.of(row, known);
        const side = cells.size - GAP;
        if (isHollow) {
          paint.strokeStyle = fill;
          paint.strokeRect(x + 0.5, y + 0.5, side - 1, side - 1);
        } else {
          paint.fillStyle = fill;
          paint.fillRect(x, y, side, side);
        }
        // Stale hosts show their last value, with a mark.
        if (known && row.state === "stale") {
          paint.fillStyle = colours.state("stale");
          paint.fillRect(x, y + side - 3, side, 3);
        }
      });
    });
  });

  const [group, index] = active.value ?? [-1, -1];
  const row = groups[group]?.rows[index];
  const place = row && cellPlace(cells, group, index);

  const onKey = (event: KeyboardEvent): void => {
    if (event.key === "Enter" && row) return navigate(row.link);
    const move = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -cells.columns, ArrowDown: cells.columns }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    active.value = step(counts, active.value ?? [0, -move], move);
  };
  const at = (event: MouseEvent): readonly [number, number] | undefined => cellAt(cells, event.offsetX, event.offsetY);

  return (
    <div class="heat-map">
      <Scale known={known} />
      <div class="cells" ref={view} tabIndex={-1}>
        <canvas ref={canvas} style={{ width, height: cells.height }} tabIndex={0} role="img"
          aria-label={`Heat map of ${counts.reduce((sum, count) => sum + count, 0)} hosts by ${known?.title ?? "state"}. Arrow keys move, Enter opens a host.`}
          onMouseMove={(event) => {
            const found = at(event);
            if (found?.join() !== active.value?.join()) active.value = found;
          }}
          onMouseLeave={() => (active.value = undefined)}
          onClick={(event) => {
            const [of, on] = at(event) ?? [-1, -1];
            const clicked = groups[of]?.rows[on];
            if (clicked) navigate(clicked.link);
          }}
          onKeyDown={onKey} />
        {row && place && (
          <div class="tip" style={tipStyle(place[0], place[1], cells.size, width)}>
            <b>{row.node.hostname}</b>
            <span><i class={`dot ${row.state}`} aria-hidden="true" /> {row.state}</span>
            {(known ? [known] : []).map((one) => {
              const value = one.value(row);
              return <span key={one.id}>{one.title} {value === undefined ? "not known" : one.text(value)}</span>;
            })}
          </div>
        )}
        {row && place && <div class="mark" style={{ left: place[0] - 1, top: place[1] - 1, width: cells.size, height: cells.size }} />}
      </div>
      <span class="sr" role="status">{row ? `${row.node.hostname}, ${row.state}${spoken(row, known)}` : ""}</span>
    </div>
  );
}

function spoken(row: Row, known: Measure | undefined): string {
  const value = known?.value(row);
  return known && value !== undefined ? `, ${known.title} ${known.text(value)}` : "";
}

function tipStyle(x: number, y: number, size: number, width: number): Record<string, string> {
  const top = `${y + size + 6}px`;
  return x > width * 0.6 ? { top, right: `${width - x - size}px` } : { top, left: `${x}px` };
}

/** The cell that is so many further, over the borders of groups. */
function step(counts: readonly number[], [group, index]: readonly [number, number], move: number): readonly [number, number] {
  const before = counts.slice(0, group).reduce((sum, count) => sum + count, 0);
  const all = counts.reduce((sum, count) => sum + count, 0);
  let at = Math.min(all - 1, Math.max(0, before + index + move));
  for (let place = 0; place < counts.length; place += 1) {
    const count = counts[place] as number;
    if (at < count) return [place, at];
    at -= count;
  }
  return [group, index];
}

function Scale({ known }: { readonly known: Measure | undefined }) {
  if (!known) {
    return <p class="scale">{STATES.map((state) => <span key={state}><i class={`dot ${state}`} aria-hidden="true" /> {state}</span>)}</p>;
  }
  return (
    <p class="scale">
      <span>{known.title}</span>
      <span>{known.legend[0]}</span>
      <i class="ramp" aria-hidden="true" />
      <span>{known.legend[1]}</span>
      <span class="hollow"><i aria-hidden="true" /> not known</span>
    </p>
  );
}

/** The colours of the style sheet as a ramp, read once a theme. */
class Colours {
  readonly #ramp: readonly string[];
  readonly #states = new Map<string, string>();
  readonly #none: string;

  constructor() {
    const stops = [0, 1, 2, 3, 4].map((stop) => rgb(colour(`heat-${stop}`)));
    this.#ramp = Array.from({ length: STEPS + 1 }, (_, step) => {
      const at = (step / STEPS) * (stops.length - 1);
      const low = stops[Math.floor(at)] as readonly number[];
      const high = stops[Math.ceil(at)] as readonly number[];
      const mixed = low.map((part, place) => Math.round(part + ((high[place] as number) - part) * (at % 1)));
      return `rgb(${mixed.join()})`;
    });
    for (const state of STATES) this.#states.set(state, colour(`state-${state}`));
    this.#none = colour("line");
  }

  state(state: string): string {
    return this.#states.get(state) ?? this.#none;
  }

  of(row: Row, known: Measure | undefined): { fill: string; isHollow: boolean } {
    if (!known) return { fill: this.state(row.state), isHollow: row.state === "archived" };
    const value = known.value(row);
    if (value === undefined) return { fill: this.#none, isHollow: true };
    return { fill: this.#ramp[Math.round(known.heat(value) * STEPS)] ?? this.#none, isHollow: false };
  }
}

function rgb(colour: string): readonly number[] {
  return (colour.match(/[\d.]+/g) ?? []).slice(0, 3).map(Number);
}
