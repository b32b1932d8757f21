// Where the cells of the heat map are: groups below one another, each a block of squares under its name.

export interface Layout {
  readonly size: number;
  readonly columns: number;
  readonly height: number;
  /** Of each group: the top of its name and of its squares. */
  readonly groups: readonly { readonly top: number; readonly cellsTop: number; readonly count: number }[];
}

const LARGEST = 34;
const SMALLEST = 9;
const HEAD = 26;
const BETWEEN = 10;

/** The largest squares with which all groups fit into the height; the smallest, if none do. */
export function layout(counts: readonly number[], width: number, height: number, hasNames: boolean): Layout {
  for (let size = LARGEST; size > SMALLEST; size -= 1) {
    const found = place(counts, width, size, hasNames);
    if (found.height <= height) return found;
  }
  return place(counts, width, SMALLEST, hasNames);
}

function place(counts: readonly number[], width: number, size: number, hasNames: boolean): Layout {
  const columns = Math.max(1, Math.floor(width / size));
  let top = 0;
  const groups = counts.map((count) => {
    const cellsTop = top + (hasNames ? HEAD : 0);
    const group = { top, cellsTop, count };
    top = cellsTop + Math.ceil(count / columns) * size + (hasNames ? BETWEEN : 0);
    return group;
  });
  return { size, columns, height: top, groups };
}

/** Which cell is at a point, as group and place within it. */
export function cellAt({ size, columns, groups }: Layout, x: number, y: number): readonly [number, number] | undefined {
  const group = groups.findLastIndex(({ cellsTop }) => y >= cellsTop);
  const found = groups[group];
  const column = Math.floor(x / size);
  if (!found || column < 0 || column >= columns) return undefined;
  const index = Math.floor((y - found.cellsTop) / size) * columns + column;
  return index < found.count ? [group, index] : undefined;
}

/** The left and top edge of a cell. */
export function cellPlace({ size, columns, groups }: Layout, group: number, index: number): readonly [number, number] {
  return [(index % columns) * size, (groups[group]?.cellsTop ?? 0) + Math.floor(index / columns) * size];
}
