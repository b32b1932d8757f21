import { expect, test } from "vitest";
import { bandOf, gridTimes, onTimes, ranked } from "./gather";

test("rows of hosts come onto one grid, with gaps where they have none", () => {
  const times = gridTimes({ after: 0, before: 40, step: 10, points: 4 });
  expect(times).toEqual([10, 20, 30, 40]);
  expect(onTimes(times, [20, 40], [2, null])).toEqual([null, 2, null, null]);
});

test("the band has a tenth of the hosts on either side", () => {
  const lines = Array.from({ length: 11 }, (_, place) => ({ host: `h${place}`, values: [place, null] }));
  expect(bandOf(lines)).toEqual({ lowest: [1, null], middle: [5, null], highest: [9, null] });
});

test("hosts are ranked by the size of their mean", () => {
  const lines = [{ host: "a", values: [1, 1] }, { host: "b", values: [null, -5] }, { host: "c", values: [] }];
  expect(ranked(lines).map(({ host, mean }) => [host, mean])).toEqual([["b", -5], ["a", 1], ["c", 0]]);
});
