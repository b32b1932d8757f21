import { expect, test } from "vitest";
import type { Chart } from "../api";
import { Spans } from "./spans";

const chart = (id: string, first_entry: number, last_entry: number, update_every = 1) => ({ id, first_entry, last_entry, update_every }) as Chart;

test("a window that ends before the first sample, or begins behind the last of a chart that has ended, is not asked for", () => {
  const spans = new Spans();
  spans.learn([chart("live", 1000, 1995), chart("ended", 1000, 1500), chart("slow", 1000, 1500, 600)], 2000);
  expect(spans.has("live", { after: 2400, before: 3000 })).toBe(true);
  expect(spans.has("live", { after: 100, before: 900 })).toBe(false);
  expect(spans.has("ended", { after: 1400, before: 2000 })).toBe(true);
  expect(spans.has("ended", { after: 1600, before: 2000 })).toBe(false);
  expect(spans.has("slow", { after: 1600, before: 2000 })).toBe(true);
  expect(spans.has("new", { after: 1600, before: 2000 })).toBe(true);
});
