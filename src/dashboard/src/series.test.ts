import { expect, test } from "vitest";
import { gridOf, largest, mergeSeries, stackColumns, sumColumns, trimEnd, type Series } from "./series";

function series(times: number[], ...columns: (number | null)[][]): Series {
  const names = columns.map((_, place) => `d${place}`);
  return { step: 1, ids: names, names, times, columns };
}

test("a grid has at most so many points, on boundaries of its step, and no step below the chart's", () => {
  expect(gridOf({ after: 1003, before: 1603 }, 100, 1)).toEqual({ step: 6, after: 1002, before: 1602, points: 100 });
  expect(gridOf({ after: 1003, before: 1063 }, 600, 10)).toEqual({ step: 10, after: 1000, before: 1060, points: 6 });
  expect(gridOf({ after: 1003, before: 1004 }, 600, 10).points).toBe(1);
});

test("new rows take the place of those that were not complete, old ones go", () => {
  const known = series([1, 2, 3, 4], [1, 2, 3, null], [5, 6, 7, null]);
  const fresh = series([4, 5], [4, 5], [8, 9]);
  expect(mergeSeries(known, fresh, 2)).toEqual(series([2, 3, 4, 5], [2, 3, 4, 5], [6, 7, 8, 9]));
});

test("rows that do not follow on one another, or of other dimensions, begin anew", () => {
  const known = series([1, 2], [1, 2]);
  expect(mergeSeries(known, series([9], [9]), 0)).toEqual(series([9], [9]));
  expect(mergeSeries(known, series([3], [3], [3]), 0)).toEqual(series([3], [3], [3]));
  expect(mergeSeries(known, series([], []), 0)).toEqual(known);
});

test("rows without any value at the end are not there yet, those between are gaps", () => {
  expect(trimEnd(series([1, 2, 3, 4], [1, null, null, null], [1, null, 3, null]))).toEqual(series([1, 2, 3], [1, null, null], [1, null, 3]));
});

test("a stack stands on the ground, upwards and downwards, and a gap of all stays a gap", () => {
  const { columns, below } = stackColumns([[1, 2, null], [10, null, null], [-1, -2, null], [-3, 0, null]]);
  expect(columns).toEqual([[1, 2, null], [11, 2, null], [-1, -2, null], [-4, -2, null]]);
  expect(below).toEqual([null, 0, null, 2]);
});

test("sums and sizes pass over gaps", () => {
  expect(sumColumns([[1, null, null], [2, 3, null]])).toEqual([3, 3, null]);
  expect(largest([[1, null], [-7, 3]])).toBe(7);
  expect(largest([])).toBe(0);
});
