import { expect, test } from "vitest";
import type { Node } from "../api";
import { choose, groupingLabels, rowsOf, sorted, stateOf, totals } from "./rows";

function node(hostname: string, more: Partial<Node> = {}): Node {
  return {
    machine_guid: `guid-${hostname}`, hostname, state: "live", last_seen: 0, hops: 1, program: "netdata", version: "v1.37.1", os: "linux", memory_mode: "dbengine",
    labels: {}, charts: 1, dimensions: 1, newest_sample: null, lag_seconds: null, missing_rows: 0, disconnects: 0, last_disconnect: null, duplicate: null, retention: null, ...more,
  };
}
const everything = { search: "", states: [], sort: "host", group: "" };
const names = (nodes: Node[], choice = {}, usage = new Map()) =>
  choose(rowsOf(nodes, usage), { ...everything, ...choice }).map((group) => [group.name, ...group.rows.map((row) => row.node.hostname)]);

test("names are sorted as people count, and hosts of which a column is not known come last either way", () => {
  const usage = new Map([["guid-web-2", { cpu: 5 }], ["guid-web-10", { cpu: 50 }]]);
  const nodes = [node("web-10"), node("web-2"), node("web-1")];
  expect(names(nodes, {}, usage)).toEqual([["", "web-1", "web-2", "web-10"]]);
  expect(names(nodes, { sort: "-cpu" }, usage)).toEqual([["", "web-10", "web-2", "web-1"]]);
  expect(names(nodes, { sort: "cpu" }, usage)).toEqual([["", "web-2", "web-10", "web-1"]]);
});

test("a search finds names, versions and labels; states are chosen beside it", () => {
  const nodes = [node("a", { labels: { role: "db" } }), node("b", { version: "v2.9.0" }), node("c", { state: "stale" })];
  expect(names(nodes, { search: "role=db" })).toEqual([["", "a"]]);
  expect(names(nodes, { search: "V2.9" })).toEqual([["", "b"]]);
  expect(names(nodes, { states: ["stale", "offline"] })).toEqual([["", "c"]]);
  expect(names(nodes, { search: "nothing" })).toEqual([]);
});

test("groups are in order of their names, those without a label behind the others", () => {
  const nodes = [node("a"), node("b", { labels: { role: "web" } }), node("c", { labels: { role: "db" } })];
  expect(names(nodes, { group: "label:role" })).toEqual([["db", "c"], ["web", "b"], ["without", "a"]]);
  expect(names([node("a"), node("b", { hops: 2 })], { group: "hops" })).toEqual([["direct", "a"], ["over 1 proxies", "b"]]);
});

test("labels that tell hosts apart make groups, those that are all alike or all different do not", () => {
  const nodes = Array.from({ length: 6 }, (_, place) => node(`h${place}`, { labels: { role: ["web", "db"][place % 2] as string, id: String(place), os: "linux" } }));
  expect(groupingLabels(rowsOf(nodes, new Map()))).toEqual(["role"]);
});

test("a host that was never here since the start is archived", () => {
  expect(stateOf(node("a", { state: "offline" }))).toBe("archived");
  expect(stateOf(node("a", { state: "offline", disconnects: 2 }))).toBe("offline");
});

test("of two hosts of one name the links have machine GUIDs, and each has its own usage", () => {
  const rows = rowsOf([node("a", { machine_guid: "1" }), node("a", { machine_guid: "2" }), node("b")], new Map([["1", { cpu: 1 }]]));
  expect(rows.map((row) => row.link)).toEqual(["/host/1/", "/host/2/", "/host/b/"]);
  expect(rows.map((row) => row.usage?.cpu)).toEqual([1, undefined, undefined]);
});

test("ten thousand hosts are sorted and counted", () => {
  const rows = rowsOf(Array.from({ length: 10_000 }, (_, place) => node(`h${(place * 7919) % 10_000}`)), new Map());
  expect(sorted(rows, "host").slice(0, 3).map((row) => row.node.hostname)).toEqual(["h0", "h1", "h2"]);
  expect(totals(rows).states.get("live")).toBe(10_000);
});
