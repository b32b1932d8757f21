// A chart as a file: the picture with its title and legend, or its values as a table.

import { colour, seriesColour } from "../theme";
import type { Series } from "../series";
import { formatDate } from "../zone";
import { csvOf } from "./csv";

const MARGIN = 16;
const LINE = 18;

function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name.replace(/[^A-Za-z0-9._-]+/g, "-");
  link.click();
  // Later: some browsers begin to read after the click.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export function saveCsv(series: Series, name: string): void {
  save(new Blob([csvOf(series)], { type: "text/csv" }), `${name}.csv`);
}

export interface Picture {
  readonly canvas: HTMLCanvasElement;
  readonly title: string;
  readonly units: string;
  readonly series: Series;
  readonly shown: readonly number[];
  readonly zone: string;
}

export function savePng({ canvas, title, units, series, shown, zone }: Picture, name: string): void {
  const ratio = canvas.width / canvas.clientWidth || 1;
  const width = canvas.width / ratio + 2 * MARGIN;
  const page = document.createElement("canvas");
  const paint = page.getContext("2d");
  if (!paint) return;
  paint.font = "12px Inter, system-ui, sans-serif";
  const legend = wrap(paint, shown.map((place) => series.names[place] ?? ""), width - 2 * MARGIN);
  const height = canvas.height / ratio + 2 * MARGIN + (2 + legend.length) * LINE + 8;
  page.width = width * ratio;
  page.height = height * ratio;
  paint.scale(ratio, ratio);
  paint.fillStyle = colour("surface");
  paint.fillRect(0, 0, width, height);
  paint.fillStyle = colour("text");
  paint.font = "600 14px Inter, system-ui, sans-serif";
  paint.fillText(title, MARGIN, MARGIN + 12);
  paint.font = "12px Inter, system-ui, sans-serif";
  paint.fillStyle = colour("muted");
  const [first = 0] = series.times;
  const period = `${units}   ${formatDate(first, zone)} to ${formatDate(series.times.at(-1) ?? 0, zone)} (${zone})`;
  paint.fillText(period, MARGIN, MARGIN + 12 + LINE);
  paint.drawImage(canvas, MARGIN, MARGIN + 2 * LINE, canvas.width / ratio, canvas.height / ratio);
  let place = 0;
  legend.forEach((names, line) => {
    let left = MARGIN;
    const base = MARGIN + 2 * LINE + canvas.height / ratio + (line + 1) * LINE;
    for (const label of names) {
      paint.fillStyle = seriesColour(shown[place++] ?? 0);
      paint.fillRect(left, base - 9, 10, 10);
      paint.fillStyle = colour("text");
      paint.fillText(label, left + 15, base);
      left += paint.measureText(label).width + 32;
    }
  });
  page.toBlob((blob) => blob && save(blob, `${name}.png`), "image/png");
}

/** Names in lines of this width. */
function wrap(paint: CanvasRenderingContext2D, names: readonly string[], width: number): string[][] {
  const lines: string[][] = [];
  let left = Infinity;
  for (const name of names) {
    const needed = paint.measureText(name).width + 32;
    if (left + needed > width) {
      lines.push([]);
      left = 0;
    }
    lines.at(-1)?.push(name);
    left += needed;
  }
  return lines;
}
