import { expect, test } from "vitest";
import { bandOf, gridTimes, linesOf, ranked } from "./gather";

test("rows of hosts come onto one grid, with gaps where they have none", () => {
  const times = gridTimes({ after: 0, before: 40, step: 10, points: 4 });
  expect(times).toEqual([10, 20, 30, 40]);
  const view = { update_every: 10, dimensions: { ids: ["1", "2"], names: ["a", "b"] } };
  const answer = { view, result: { data: [[20, [2, 0, 0], [5, 0, 0]], [40, [null, 0, 1], [6, 0, 0]]] } } as Parameters<typeof linesOf>[0];
  const hosts = [{ hostname: "b", machine_guid: "2" }, { hostname: "none", machine_guid: "3" }, { hostname: "a", machine_guid: "1" }];
  expect(linesOf(answer, hosts, times)).toEqual([{ host: "b", values: [null, 5, null, 6] }, { host: "a", values: [null, 2, null, null] }]);
  expect(linesOf(null, hosts, times)).toEqual([]);
});

test("the band has a tenth of the hosts on either side", () => {
  const lines = Array.from({ length: 11 }, (_, place) => ({ host: `h${place}`, values: [place, null] }));
  expect(bandOf(lines)).toEqual({ lowest: [1, null], middle: [5, null], highest: [9, null] });
});

test("hosts are ranked by the size of their mean", () => {
  const lines = [{ host: "a", values: [1, 1] }, { host: "b", values: [null, -5] }, { host: "c", values: [] }];
  expect(ranked(lines).map(({ host, mean }) => [host, mean])).toEqual([["b", -5], ["a", 1], ["c", 0]]);
});
