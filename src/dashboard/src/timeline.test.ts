import { expect, test } from "vitest";
import { pan, readTimeline, windowOf, writeTimeline, zoom, type Timeline } from "./timeline";

const NOW = 1_800_000_000;
const fixed: Timeline = { live: false, after: NOW - 2000, before: NOW - 1000 };

test("an address says live, how long, or which window; nonsense is the newest ten minutes", () => {
  expect(readTimeline({})).toEqual({ live: true, span: 600 });
  expect(readTimeline({ last: "3600" })).toEqual({ live: true, span: 3600 });
  expect(readTimeline({ after: "100", before: "200" })).toEqual({ live: false, after: 100, before: 200 });
  for (const bad of [{ last: "x" }, { last: "-5" }, { after: "200", before: "100" }, { after: "1" }]) {
    expect(readTimeline(bad)).toEqual({ live: true, span: 600 });
  }
});

test("what is written is read back, and what is usual is not written", () => {
  const lines: Timeline[] = [fixed, { live: true, span: 3600 }];
  for (const line of lines) expect(readTimeline(writeTimeline(line))).toEqual(line);
  expect(Object.values(writeTimeline({ live: true, span: 600 }))).toEqual(["", "", ""]);
});

test("moving back leaves live, moving to the end of time returns to it", () => {
  const live: Timeline = { live: true, span: 600 };
  const back = pan(live, -0.5, NOW);
  expect(back).toEqual({ live: false, after: NOW - 900, before: NOW - 300 });
  expect(pan(back, 0.25, NOW)).toEqual({ live: false, after: NOW - 750, before: NOW - 150 });
  expect(pan(back, 5, NOW)).toEqual(live);
});

test("zooming keeps the time under the pointer where it is", () => {
  const around = NOW - 1250;
  const closer = zoom(fixed, 0.5, around, NOW);
  expect(closer).toEqual({ live: false, after: NOW - 1625, before: NOW - 1125 });
  const { after, before } = windowOf(closer, NOW);
  expect((around - after) / (before - after)).toBeCloseTo(0.75, 5);
});

test("zooming a live window at its end changes its length alone", () => {
  expect(zoom({ live: true, span: 600 }, 2, NOW, NOW)).toEqual({ live: true, span: 1200 });
  expect(zoom({ live: true, span: 600 }, 1e-9, NOW, NOW)).toEqual({ live: true, span: 10 });
});
