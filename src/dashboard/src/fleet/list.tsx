// The hosts as a table. Thousands of rows, of which only those in view exist.

import { VirtualRows } from "../shell/virtual";
import { now } from "../timeline";
import { formatAge } from "../units";
import { setParameters } from "../location";
import { measure, type Measure, type Row } from "./measures";
import type { Group } from "./rows";

export const ROW_HEIGHT = 34;

interface Column {
  readonly id: string;
  readonly title: string;
  readonly className: string;
  cell(row: Row): preact.ComponentChildren;
}

function bar(id: string, className: string): Column {
  const known = measure(id) as Measure;
  return {
    id, title: known.title, className: `number ${className}`,
    cell(row) {
      const value = known.value(row);
      if (value === undefined) return <span class="quiet">–</span>;
      return (
        <>
          <span class="bar-track" aria-hidden="true"><span style={{ width: `${value}%`, background: `var(--heat-${Math.min(4, Math.floor(known.heat(value) * 5))})` }} /></span>
          <span class="bar-text">{known.text(value)}</span>
        </>
      );
    },
  };
}

function plain(id: string, className = ""): Column {
  const known = measure(id) as Measure;
  return {
    id, title: known.title, className: `number ${className}`,
    cell(row) {
      const value = known.value(row);
      return value === undefined ? <span class="quiet">–</span> : known.text(value);
    },
  };
}

const COLUMNS: readonly Column[] = [
  {
    id: "host", title: "Host", className: "host",
    cell: ({ node, link, state }) => (
      <>
        <i class={`dot ${state}`} aria-hidden="true" />
        <a href={link}>{node.hostname}</a>
        {node.duplicate && <span class="tag warn" title={`${node.duplicate.peer} has the same machine GUID (${node.duplicate.outcome})`}>duplicate</span>}
      </>
    ),
  },
  { id: "state", title: "State", className: "state", cell: ({ state }) => state },
  bar("cpu", ""),
  bar("memory", "wide"),
  plain("lag"),
  plain("samples", "wide"),
  plain("missing", "wider"),
  { id: "charts", title: "Charts", className: "number wide", cell: ({ node }) => node.charts },
  { id: "version", title: "Version", className: "wider", cell: ({ node }) => node.version },
  {
    id: "seen", title: "Since", className: "number wider",
    cell: ({ node }) => {
      const since = node.connection?.since ?? node.last_seen;
      return node.state === "localhost" || since === 0 ? <span class="quiet">–</span> : formatAge(now() - since);
    },
  },
];

interface ListProps {
  readonly groups: readonly Group[];
  readonly sort: string;
  readonly hasGroups: boolean;
}

export function HostList({ groups, sort, hasGroups }: ListProps) {
  const lines: (Row | Group)[] = hasGroups ? groups.flatMap((group) => [group, ...group.rows]) : groups.flatMap((group) => group.rows);
  const isDown = sort.startsWith("-");
  const column = isDown ? sort.slice(1) : sort;
  const sortBy = (id: string): void => {
    // Numbers are of interest from the largest on.
    const first = id === "host" || id === "state" || id === "version" ? id : `-${id}`;
    const other = first.startsWith("-") ? id : `-${id}`;
    const next = sort === first ? other : first;
    setParameters({ sort: next === "host" ? "" : next });
  };
  return (
    <div class="table hosts" role="table" aria-label="Hosts" aria-rowcount={lines.length + 1}>
      <div role="rowgroup" class="head-group">
        <div role="row" class="row head">
          {COLUMNS.map(({ id, title, className }) => (
            <span key={id} role="columnheader" class={className} aria-sort={id !== column ? "none" : isDown ? "descending" : "ascending"}>
              <button type="button" onClick={() => sortBy(id)}>
                {title}
                <i aria-hidden="true">{id !== column ? "" : isDown ? "↓" : "↑"}</i>
              </button>
            </span>
          ))}
        </div>
      </div>
      <VirtualRows count={lines.length} rowHeight={ROW_HEIGHT} label="Hosts" row={(index) => {
        const line = lines[index] as Row | Group;
        if ("rows" in line) {
          return (
            <div key={`group ${line.name}`} role="row" class="row group-row" aria-rowindex={index + 2}>
              <span role="cell">{line.name} <small>{line.rows.length}</small></span>
            </div>
          );
        }
        return (
          <div key={line.node.machine_guid} role="row" class={`row ${line.state}`} aria-rowindex={index + 2}>
            {COLUMNS.map(({ id, className, cell }) => <span key={id} role="cell" class={className}>{cell(line)}</span>)}
          </div>
        );
      }} />
      {lines.length === 0 && <p class="note">No host is like this.</p>}
    </div>
  );
}
