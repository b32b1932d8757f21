import { expect, test } from "vitest";
import { newestOf, UsageKeeper } from "./usage";

test("the newest row has a value a host, or none", () => {
  const view = { update_every: 10, dimensions: { ids: ["a", "b", "c"], names: ["a", "b", "c"] } };
  const answer = { view, result: { data: [[10, [1, 0, 0], [2, 0, 0], [3, 0, 0]], [20, [4, 0, 0], [null, 0, 1], [0, 0, 0]]] } };
  expect(newestOf(answer as Parameters<typeof newestOf>[0])).toEqual(new Map([["a", 4], ["c", 0]]));
  expect(newestOf(null)).toEqual(new Map());
});

test("what an answer leaves out stands for a minute", () => {
  const keeper = new UsageKeeper();
  keeper.merge(new Map([["a", 1], ["b", 3]]), new Map([["a", 2]]), 0);
  expect(keeper.merge(new Map([["a", 105]]), new Map(), 50_000)).toEqual(new Map([["a", { cpu: 100, memory: 2 }], ["b", { cpu: 3 }]]));
  expect(keeper.merge(new Map(), new Map(), 70_000)).toEqual(new Map([["a", { cpu: 100, memory: 2 }]]));
});
