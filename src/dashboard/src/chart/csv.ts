// Values as a table that spreadsheets and programs read.

import type { Series } from "../series";

/** Comma separated, with gaps as empty fields; times in UTC, as programs want them. */
export function csvOf(series: Series): string {
  const quote = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = ["time", ...series.names.map(quote)].join(",");
  const rows = series.times.map((time, row) => {
    const values = series.columns.map((column) => column[row] ?? "");
    return [new Date(time * 1000).toISOString().replace(".000Z", "Z"), ...values].join(",");
  });
  return [head, ...rows, ""].join("\r\n");
}
