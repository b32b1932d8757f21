// Who streams to us, over whom, and to whom we send on, from the state of all hosts and the paths of those behind proxies.

import type { Node, PathStep } from "../api";

/** An agent in the tree: a host that we mirror, or a proxy that we know only from a path. */
export interface Branch {
  readonly id: string;
  readonly name: string;
  node?: Node;
  readonly branches: Branch[];
}

/** A parent of ours, and all hosts that go there. */
export interface Upstream {
  readonly to: string;
  readonly hosts: number;
  readonly streaming: number;
  readonly waiting: number;
  readonly sent: number;
  /** Why links ended, most frequent first, of those that do not stream. */
  readonly reasons: readonly string[];
}

const compare = new Intl.Collator("en", { numeric: true }).compare;

/** Hosts under whom they come over. `paths` has the agents of each host that is not direct, the host itself first. */
export function treeOf(nodes: readonly Node[], paths: ReadonlyMap<string, readonly PathStep[]>): Branch[] {
  const roots: Branch[] = [];
  const known = new Map<string, Branch>();
  const byGuid = new Map(nodes.map((node) => [node.machine_guid, node]));
  const branch = (siblings: Branch[], id: string, name: string): Branch => {
    let found = known.get(id);
    if (!found) {
      const node = byGuid.get(id);
      found = { id, name: node?.hostname ?? name, branches: [], ...(node ? { node } : {}) };
      known.set(id, found);
      siblings.push(found);
    }
    return found;
  };
  const own = new Set(nodes.filter((node) => node.state === "localhost").map((node) => node.machine_guid));
  const neighbours = new Map<string, Node[]>();
  for (const node of nodes.filter(({ hops }) => hops === 1)) {
    const address = addressOf(node);
    if (address !== undefined) neighbours.set(address, [...(neighbours.get(address) ?? []), node]);
  }
  // Those nearest to us first, so that a proxy stands where it belongs before hosts behind it need it.
  for (const node of [...nodes].sort((a, b) => a.hops - b.hops)) {
    if (own.has(node.machine_guid)) continue;
    let siblings = roots;
    for (const step of between(node, paths.get(node.machine_guid) ?? [], own, neighbours)) siblings = branch(siblings, step.id, step.name).branches;
    branch(siblings, node.machine_guid, node.hostname);
  }
  sort(roots);
  return roots;
}

function addressOf(node: Node): string | undefined {
  return node.connection?.peer.replace(/:\d+$/, "");
}

/**
 * The agents from us to a host, without both. Hosts of 1.x tell no path: the one direct host of the address that they come from is
 * taken for the proxy, and the address itself when there are more.
 */
function between(
  node: Node,
  path: readonly PathStep[],
  own: ReadonlySet<string>,
  neighbours: ReadonlyMap<string, readonly Node[]>,
): { id: string; name: string }[] {
  if (node.hops <= 1) return [];
  const agents = path.filter((step) => step.host_id !== node.machine_guid && !own.has(step.host_id)).sort((a, b) => b.hops - a.hops);
  if (agents.length > 0) return agents.map((step) => ({ id: step.host_id, name: step.hostname }));
  const address = addressOf(node);
  const [neighbour, ...others] = neighbours.get(address ?? "") ?? [];
  if (neighbour && others.length === 0) return [{ id: neighbour.machine_guid, name: neighbour.hostname }];
  return [address === undefined ? { id: "away", name: "behind proxies, not connected" } : { id: `peer ${address}`, name: `a proxy at ${address}` }];
}

function sort(branches: Branch[]): void {
  branches.sort((a, b) => Number(b.branches.length > 0) - Number(a.branches.length > 0) || compare(a.name, b.name));
  branches.forEach((branch) => sort(branch.branches));
}

export interface Line {
  readonly branch: Branch;
  readonly depth: number;
}

/** The tree as lines; what is below a closed branch is left out, and so is what does not match. */
export function linesOf(branches: readonly Branch[], closed: ReadonlySet<string>, matches: (branch: Branch) => boolean, depth = 0): Line[] {
  return branches.flatMap((branch) => {
    const below = linesOf(branch.branches, closed, matches, depth + 1);
    if (below.length === 0 && !matches(branch)) return [];
    return [{ branch, depth }, ...(closed.has(branch.id) ? [] : below)];
  });
}

export function upstreamsOf(nodes: readonly Node[]): Upstream[] {
  const found = new Map<string, { hosts: number; streaming: number; waiting: number; sent: number; reasons: Map<string, number> }>();
  for (const { sending } of nodes) {
    if (!sending) continue;
    let upstream = found.get(sending.to);
    if (!upstream) found.set(sending.to, (upstream = { hosts: 0, streaming: 0, waiting: 0, sent: 0, reasons: new Map() }));
    upstream.hosts += 1;
    upstream.streaming += Number(sending.streaming);
    upstream.waiting += sending.waiting_bytes;
    upstream.sent += sending.sent_bytes;
    const { last_reason: reason } = sending;
    if (!sending.streaming && reason !== null) upstream.reasons.set(reason, (upstream.reasons.get(reason) ?? 0) + 1);
  }
  return [...found]
    .map(([to, { reasons, ...rest }]) => ({ to, ...rest, reasons: [...reasons].sort((a, b) => b[1] - a[1]).map(([reason]) => reason) }))
    .sort((a, b) => compare(a.to, b.to));
}

/** What has been sent to a parent when, and at which rate since the time before. */
export interface Sent {
  readonly at: number;
  readonly bytes: number;
  readonly perSecond: number | undefined;
}

/** Bytes a second to each parent, from two answers. Links that were made anew count from zero, which is no rate. */
export function sentRates(before: ReadonlyMap<string, Sent>, upstreams: readonly Upstream[], at: number): Map<string, Sent> {
  return new Map(upstreams.map(({ to, sent }) => {
    const last = before.get(to);
    if (!last || at <= last.at) return [to, last ?? { at, bytes: sent, perSecond: undefined }];
    return [to, { at, bytes: sent, perSecond: sent >= last.bytes ? (sent - last.bytes) / (at - last.at) : undefined }];
  }));
}

/** How far the replication of a host is, from 0 to 1, of all that it has asked for and still lacks; `undefined` when nothing is. */
export function replicated(node: Node): number | undefined {
  const done = node.connection?.replication.replayed_rows ?? 0;
  return node.missing_rows > 0 ? done / (done + node.missing_rows) : undefined;
}
