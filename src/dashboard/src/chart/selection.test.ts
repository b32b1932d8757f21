import { expect, test } from "vitest";
import { toggled } from "./selection";

test("a click hides a dimension and shows it again; the last one cannot be hidden", () => {
  const one = toggled(new Set(), 1, false, 3);
  expect([...one]).toEqual([1]);
  expect([...toggled(one, 1, false, 3)]).toEqual([]);
  expect([...toggled(new Set([0, 1]), 2, false, 3)]).toEqual([]);
});

test("alone hides all others, and again shows all", () => {
  const alone = toggled(new Set([0]), 0, true, 3);
  expect([...alone]).toEqual([1, 2]);
  expect([...toggled(alone, 0, true, 3)]).toEqual([]);
});
