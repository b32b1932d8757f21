// What hands do on a chart's surface. Dragging with a mouse chooses a window, which is uPlot's own; here is the rest:
//
// - shift and drag, or one finger: moves along the time line
// - two fingers, or the wheel with shift, ctrl or alt: zooms around the pointer; a sideways wheel moves
// - a double click: back to live

export interface Gestures {
  /** By a part of the chart's width; negative to the past. */
  pan(part: number): void;
  zoom(factor: number, at: number): void;
  reset(): void;
}

const WHEEL_ZOOM = 1.2;

export function gestures(surface: HTMLElement, { pan, zoom, reset }: Gestures): void {
  const fingers = new Map<number, number>();
  const isMine = (event: PointerEvent): boolean => event.pointerType === "touch" || (event.shiftKey && event.button === 0);

  surface.style.touchAction = "pan-y";
  surface.addEventListener("pointerdown", (event) => {
    if (!isMine(event)) return;
    fingers.set(event.pointerId, event.offsetX);
    surface.setPointerCapture(event.pointerId);
  });
  surface.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (before === undefined) return;
    const moved = event.offsetX - before;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other === undefined) {
      if (Math.abs(moved) < 2) return;
      pan(-moved / surface.clientWidth);
    } else {
      const apart = Math.abs(before - other);
      const nowApart = Math.abs(event.offsetX - other);
      if (Math.abs(nowApart - apart) < 4 || nowApart < 8) return;
      zoom(apart / nowApart, (event.offsetX + other) / 2);
    }
    fingers.set(event.pointerId, event.offsetX);
  });
  for (const end of ["pointerup", "pointercancel"] as const) {
    surface.addEventListener(end, (event) => fingers.delete(event.pointerId));
  }
  surface.addEventListener(
    "wheel",
    (event) => {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) && !event.shiftKey;
      if (sideways) pan(event.deltaX / surface.clientWidth);
      else if (event.shiftKey || event.ctrlKey || event.altKey) {
        zoom((event.deltaY || event.deltaX) > 0 ? WHEEL_ZOOM : 1 / WHEEL_ZOOM, event.offsetX);
      } else return;
      event.preventDefault();
    },
    { passive: false },
  );
  surface.addEventListener("dblclick", reset);
}
