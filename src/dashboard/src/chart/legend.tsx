// The names of a chart's dimensions with their values, at the pointer or the newest. A name is a switch.

import type { Series } from "../series";
import { seriesColour } from "../theme";
import { formatValue, type Scale } from "../units";

interface LegendProps {
  readonly names: readonly string[];
  readonly hidden: ReadonlySet<number>;
  readonly isDashed: (name: string) => boolean;
  /** With `alone` all others are hidden, or shown again. */
  readonly onToggle: (place: number, alone: boolean) => void;
  /** Where values go; they change more often than anything else of the page. */
  readonly cells: (HTMLElement | null)[];
}

export function Legend({ names, hidden, isDashed, onToggle, cells }: LegendProps) {
  return (
    <ul class="legend" aria-label="Dimensions">
      {names.map((name, place) => (
        <li key={place}>
          <button
            type="button"
            aria-pressed={!hidden.has(place)}
            title={`${name}: click to hide or show, with shift to show it alone`}
            onClick={(event) => onToggle(place, event.shiftKey || event.ctrlKey || event.metaKey)}
          >
            <i {...(isDashed(name) ? { class: "dashed" } : { style: { background: seriesColour(place) } })} aria-hidden="true" />
            <span class="name">{name}</span>
            <span class="value" ref={(cell) => void (cells[place] = cell)} />
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Writes the values of a row into their cells: only text changes, nothing is laid out anew but that. */
export function writeValues(cells: readonly (HTMLElement | null)[], series: Series | null, row: number | null, scale: Scale): void {
  const at = row ?? (series?.times.length ?? 0) - 1;
  cells.forEach((cell, place) => {
    const text = formatValue(series?.columns[place]?.[at], scale);
    if (cell && cell.textContent !== text) cell.textContent = text;
  });
}
