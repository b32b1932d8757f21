// A long list of rows of one height, of which only those in view are elements.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface VirtualProps {
  readonly count: number;
  readonly rowHeight: number;
  readonly label: string;
  readonly row: (index: number) => VNode;
}

/** Rows beyond the edges, so that quick scrolling does not show empty ones. */
const BEYOND = 10;
/** The first row moves in steps, so that most scroll events change nothing. */
const STEP = 5;

export function VirtualRows({ count, rowHeight, label, row }: VirtualProps) {
  const view = useRef<HTMLDivElement>(null);
  const first = useSignal(0);
  const rows = useSignal(40);

  useEffect(() => {
    const element = view.current;
    if (!element) return;
    const place = (): void => {
      const top = Math.floor(element.scrollTop / rowHeight) - BEYOND;
      first.value = Math.max(0, Math.floor(top / STEP) * STEP);
      rows.value = Math.ceil(element.clientHeight / rowHeight) + 2 * BEYOND + STEP;
    };
    place();
    element.addEventListener("scroll", place, { passive: true });
    const sized = new ResizeObserver(place);
    sized.observe(element);
    return () => {
      element.removeEventListener("scroll", place);
      sized.disconnect();
    };
  }, [rowHeight]);

  const begin = Math.min(first.value, Math.max(0, count - 1));
  const end = Math.min(count, begin + rows.value);
  const shown = [];
  for (let index = begin; index < end; index += 1) shown.push(row(index));
  return (
    <div class="virtual" role="rowgroup" aria-label={label} tabIndex={0} ref={view}>
      <div role="presentation" class="all" style={{ height: count * rowHeight }}>
        <div role="presentation" style={{ transform: `translateY(${begin * rowHeight}px)` }}>{shown}</div>
      </div>
    </div>
  );
}
