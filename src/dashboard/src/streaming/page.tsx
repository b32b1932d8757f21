// How samples travel: children and proxies on their way to us, and we on our way to parents.

import { useComputed, useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { streamPath, type PathStep } from "../api";
import { stateOf } from "../fleet/rows";
import { hostPath, parameters, setParameters } from "../location";
import { Icon } from "../shell/icon";
import { useNodes } from "../shell/nodes";
import { VirtualRows } from "../shell/virtual";
import { now } from "../timeline";
import { formatAge, formatLag, formatNumber, formatQuantity } from "../units";
import { linesOf, replicated, sentRates, treeOf, upstreamsOf, type Line, type Sent } from "./tree";

const ROW_HEIGHT = 34;
/** Who is behind whom changes seldom. */
const PATHS_EVERY_MS = 60_000;

export function StreamingPage() {
  const answer = useNodes();
  const paths = useSignal<ReadonlyMap<string, readonly PathStep[]>>(new Map());
  const closed = useSignal<ReadonlySet<string>>(new Set());
  const all = useComputed(() => answer.value.value?.nodes ?? []);
  const indirect = useComputed(() => all.value.filter((node) => node.hops > 1 && node.connection).map((node) => node.machine_guid).join());

  useEffect(() => {
    if (indirect.value === "") return undefined;
    const stop = new AbortController();
    const ask = async (): Promise<void> => {
      const found = new Map<string, readonly PathStep[]>();
      await Promise.all(indirect.value.split(",").map(async (guid) => {
        const path = await streamPath(guid, stop.signal).catch(() => []);
        if (path.length > 0) found.set(guid, path);
      }));
      if (!stop.signal.aborted) paths.value = found;
    };
    void ask();
    const timer = setInterval(() => void ask(), PATHS_EVERY_MS);
    return () => {
      clearInterval(timer);
      stop.abort();
    };
  }, [indirect.value]);

  const search = parameters.value["q"] ?? "";
  const tree = useComputed(() => treeOf(all.value, paths.value));
  const lines = useComputed(() => {
    const words = (parameters.value["q"] ?? "").toLowerCase().split(/\s+/).filter((word) => word !== "");
    return linesOf(tree.value, closed.value, ({ name, node }) => {
      const text = `${name} ${node?.machine_guid ?? ""} ${node?.connection?.peer ?? ""} ${node?.last_disconnect?.reason ?? ""} ${node?.state ?? ""}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  });
  const upstreams = useComputed(() => upstreamsOf(all.value));
  const sent = useRef<ReadonlyMap<string, Sent>>(new Map());
  sent.current = sentRates(sent.current, upstreams.value, answer.value.value?.now ?? 0);
  const localhost = all.value.find((node) => node.state === "localhost");
  const rate = (of: "bytes_per_second" | "samples_per_second"): number => all.value.reduce((sum, node) => sum + (node.connection?.[of] ?? 0), 0);

  const toggle = (id: string): void => {
    const next = new Set(closed.value);
    if (!next.delete(id)) next.add(id);
    closed.value = next;
  };

  return (
    <>
      <div class="toolbar">
        <h1>Streaming</h1>
        <div class="field search">
          <Icon name="search" />
          <input type="search" data-search placeholder="Search hosts, addresses, reasons" aria-label="Search the tree" value={search}
            onInput={(event) => setParameters({ q: event.currentTarget.value })} />
        </div>
      </div>
      {answer.value.value === null ? <p class="note" role="status">{answer.error.value || "Asking the parent …"}</p> : (
        <>
          <section class="upstreams" aria-labelledby="upstreams-title">
            <h2 id="upstreams-title">Parents of this one</h2>
            {upstreams.value.length === 0 ? <p class="quiet">Nothing is sent on.</p> : (
              <ul>
                {upstreams.value.map((one) => (
                  <li key={one.to} class="panel">
                    <b><i class={`dot ${one.streaming === one.hosts ? "live" : one.streaming > 0 ? "stale" : "offline"}`} aria-hidden="true" /> {one.to}</b>
                    <span>{one.streaming} of {one.hosts} hosts stream</span>
                    <span>{formatQuantity(sent.current.get(one.to)?.perSecond, "bytes/s")}</span>
                    <span>{formatQuantity(one.sent, "bytes")} sent</span>
                    <span>{formatQuantity(one.waiting, "bytes")} wait</span>
                    {one.reasons[0] !== undefined && <span class="error">{one.reasons[0]}</span>}
                  </li>
                ))}
              </ul>
            )}
          </section>
          <p class={`panel this-parent${upstreams.value.length > 0 ? " sends" : ""}`}>
            <b><i class="dot localhost" aria-hidden="true" /> {localhost?.hostname ?? "this parent"}</b>
            <span>{formatQuantity(rate("bytes_per_second"), "bytes/s")} received</span>
            <span>{formatNumber(Math.round(rate("samples_per_second")))} samples/s</span>
          </p>
          <Tree lines={lines.value} closed={closed.value} onToggle={toggle} />
        </>
      )}
    </>
  );
}

const COLUMNS = [
  ["Host", "host"], ["State", "state"], ["Samples/s", "number"], ["Bytes/s", "number wide"], ["Lag", "number"],
  ["Replication", "replication wide"], ["Compression", "wider"], ["Peer", "wider"], ["Since", "number wider"], ["Last disconnect", "reason wide"],
] as const;

interface TreeProps {
  readonly lines: readonly Line[];
  readonly closed: ReadonlySet<string>;
  readonly onToggle: (id: string) => void;
}

function Tree({ lines, closed, onToggle }: TreeProps) {
  return (
    <div class="table tree" role="table" aria-label="Children and proxies" aria-rowcount={lines.length + 1}>
      <div role="rowgroup" class="head-group">
        <div role="row" class="row head">
          {COLUMNS.map(([title, className]) => <span key={title} role="columnheader" class={className}>{title}</span>)}
        </div>
      </div>
      <VirtualRows count={lines.length} rowHeight={ROW_HEIGHT} label="Children and proxies"
        row={(index) => <TreeRow key={(lines[index] as Line).branch.id} line={lines[index] as Line} index={index} closed={closed} onToggle={onToggle} />} />
      {lines.length === 0 && <p class="note">No child is like this, or none has come yet.</p>}
    </div>
  );
}

interface TreeRowProps {
  readonly line: Line;
  readonly index: number;
  readonly closed: ReadonlySet<string>;
  readonly onToggle: (id: string) => void;
}

function TreeRow({ line: { branch, depth }, index, closed, onToggle }: TreeRowProps) {
  const { node } = branch;
  const connection = node?.connection;
  const state = node ? stateOf(node) : "proxy";
  const isOpen = !closed.has(branch.id);
  const share = node && replicated(node);
  const quiet = <span class="quiet">–</span>;
  return (
    <div role="row" class={`row ${state}`} aria-rowindex={index + 2}>
      <span role="cell" class="host" style={{ paddingLeft: `${depth * 20 + 10}px` }}>
        {branch.branches.length > 0 ? (
          <button type="button" class="twist" aria-expanded={isOpen} aria-label={`Hosts behind ${branch.name}`} onClick={() => onToggle(branch.id)}>
            <Icon name={isOpen ? "minus" : "plus"} />
          </button>
        ) : null}
        <i class={`dot ${state}`} aria-hidden="true" />
        {node ? <a href={hostPath(branch.name)}>{branch.name}</a> : branch.name}
        {branch.branches.length > 0 && <small>{branch.branches.length} behind it</small>}
      </span>
      <span role="cell" class="state">{state}</span>
      <span role="cell" class="number">{connection ? formatNumber(Math.round(connection.samples_per_second)) : quiet}</span>
      <span role="cell" class="number wide">{connection ? formatQuantity(connection.bytes_per_second, "bytes/s") : quiet}</span>
      <span role="cell" class="number">{connection && node?.lag_seconds != null ? formatLag(node.lag_seconds) : quiet}</span>
      <span role="cell" class="replication wide">
        {share !== undefined ? (
          <>
            <span class="bar-track" aria-hidden="true"><span style={{ width: `${share * 100}%` }} /></span>
            <span class="bar-text">{formatNumber(node?.missing_rows ?? 0)} rows</span>
          </>
        ) : connection ? "complete" : quiet}
      </span>
      <span role="cell" class="wider">{connection ? `${connection.compression}${connection.tls ? ", TLS" : ""}` : quiet}</span>
      <span role="cell" class="wider">{connection?.peer ?? quiet}</span>
      <span role="cell" class="number wider">{connection ? formatAge(now() - connection.since) : node && node.last_seen > 0 ? `${formatAge(now() - node.last_seen)} ago` : quiet}</span>
      <span role="cell" class="reason wide" title={node?.last_disconnect?.reason ?? ""}>
        {node?.last_disconnect ? `${node.last_disconnect.reason}${node.disconnects > 1 ? ` (${node.disconnects} times)` : ""}` : quiet}
      </span>
    </div>
  );
}
