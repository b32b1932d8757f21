import { expect, test } from "vitest";
import { cellAt, cellPlace, layout } from "./cells";

test("cells are as large as fit, and found where they are painted", () => {
  const found = layout([100, 40], 800, 300, true);
  expect(found.height).toBeLessThanOrEqual(300);
  for (const [group, index] of [[0, 0], [0, 99], [1, 0], [1, 39]] as const) {
    const [x, y] = cellPlace(found, group, index);
    expect(cellAt(found, x + 1, y + 1)).toEqual([group, index]);
  }
  const [x, y] = cellPlace(found, 1, 39);
  expect(cellAt(found, x + found.size + 1, y + 1)).toBeUndefined();
  expect(cellAt(found, 1, 5)).toBeUndefined();
});

test("many thousands are small and reach below the edge, none vanishes", () => {
  const found = layout([20_000], 390, 500, false);
  expect(found.size).toBe(9);
  expect(found.height).toBe(Math.ceil(20_000 / Math.floor(390 / 9)) * 9);
});
