import { expect, test } from "vitest";
import type { Node, PathStep } from "../api";
import { linesOf, replicated, sentRates, treeOf, upstreamsOf } from "./tree";

function node(id: string, hops: number, more: Partial<Node> = {}): Node {
  return {
    machine_guid: id, hostname: id.toUpperCase(), state: hops === 0 ? "localhost" : "live", last_seen: 0, hops, program: "", version: "", os: "", memory_mode: "",
    labels: {}, charts: 0, dimensions: 0, newest_sample: null, lag_seconds: null, missing_rows: 0, disconnects: 0, last_disconnect: null, duplicate: null, retention: null, ...more,
  };
}
const step = (id: string, hops: number): PathStep => ({ host_id: id, hostname: id.toUpperCase(), hops, since: 0, flags: [] });
const shape = (nodes: Node[], paths: [string, PathStep[]][] = []) =>
  linesOf(treeOf(nodes, new Map(paths)), new Set(), () => true).map(({ branch, depth }) => `${" ".repeat(depth)}${branch.name}`);

test("hosts stand under the proxies that they come over, whether we mirror these or not", () => {
  const nodes = [node("us", 0), node("far", 3), node("direct", 1), node("proxy", 1), node("near", 2)];
  const paths: [string, PathStep[]][] = [
    ["near", [step("near", 0), step("proxy", 1), step("us", 2)]],
    ["far", [step("far", 0), step("unknown", 1), step("proxy", 2), step("us", 3)]],
  ];
  expect(shape(nodes, paths)).toEqual(["PROXY", " UNKNOWN", "  FAR", " NEAR", "DIRECT"]);
});

test("without a path the address stands for the proxy", () => {
  const connection = { peer: "10.0.0.9:4711" } as Node["connection"] & object;
  expect(shape([node("us", 0), node("a", 2, { connection }), node("b", 2)])).toEqual(["a proxy at 10.0.0.9", " A", "behind proxies, not connected", " B"]);
});

test("a direct host of the same address is the proxy, if there is one alone", () => {
  const from = (peer: string) => ({ connection: { peer } as unknown as Node["connection"] & object });
  const nodes = [node("us", 0), node("proxy", 1, from("10.0.0.9:1")), node("a", 2, from("10.0.0.9:2")), node("other", 1, from("10.0.0.7:1"))];
  expect(shape(nodes)).toEqual(["PROXY", " A", "OTHER"]);
});

test("what does not match is left out unless something below it does", () => {
  const nodes = [node("proxy", 1), node("near", 2), node("other", 1)];
  const tree = treeOf(nodes, new Map([["near", [step("near", 0), step("proxy", 1)]]]));
  expect(linesOf(tree, new Set(), ({ name }) => name === "NEAR").map(({ branch }) => branch.name)).toEqual(["PROXY", "NEAR"]);
  expect(linesOf(tree, new Set(["proxy"]), () => true).map(({ branch }) => branch.name)).toEqual(["PROXY", "OTHER"]);
});

test("parents are told with their sums and the most frequent reason", () => {
  const sending = (streaming: boolean, last_reason: string | null) =>
    ({ sending: { to: "p:19999", streaming, since: 0, capabilities: [], waiting_bytes: 5, sent_bytes: 10, last_reason } });
  const nodes = [node("us", 0, sending(true, "old")), node("b", 1, sending(false, "refused")), node("c", 1)];
  expect(upstreamsOf(nodes)).toEqual([{ to: "p:19999", hosts: 2, streaming: 1, waiting: 10, sent: 20, reasons: ["refused"] }]);
});

test("rates come of two answers, and not of links that begin anew", () => {
  const upstream = (sent: number) => [{ to: "p", hosts: 1, streaming: 1, waiting: 0, sent, reasons: [] }];
  const first = sentRates(new Map(), upstream(100), 10);
  expect(first.get("p")?.perSecond).toBeUndefined();
  const second = sentRates(first, upstream(300), 14);
  expect(second.get("p")?.perSecond).toBe(50);
  expect(sentRates(second, upstream(300), 14).get("p")?.perSecond).toBe(50);
  expect(sentRates(second, upstream(20), 16).get("p")?.perSecond).toBeUndefined();
});

test("replication is told while rows are missing", () => {
  const connection = { replication: { replayed_rows: 75 } } as unknown as Node["connection"] & object;
  expect(replicated(node("a", 1, { connection, missing_rows: 25 }))).toBe(0.75);
  expect(replicated(node("a", 1, { connection }))).toBeUndefined();
});
