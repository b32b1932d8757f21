// Which dimensions of a chart are hidden.

/** The next set of hidden places after a click on one. */
export function toggled(hidden: ReadonlySet<number>, place: number, alone: boolean, count: number): ReadonlySet<number> {
  if (alone) {
    const isAlone = hidden.size === count - 1 && !hidden.has(place);
    return new Set(isAlone ? [] : Array.from({ length: count }, (_, other) => other).filter((other) => other !== place));
  }
  const next = new Set(hidden);
  if (!next.delete(place)) next.add(place);
  return next.size === count ? new Set() : next;
}
