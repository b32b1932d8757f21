// A chart that becomes one when it comes near: a host may have thousands of them, and most are never looked at.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface LazyProps {
  readonly id: string;
  readonly title: string;
  readonly chart: () => VNode;
}

/** Further than the surroundings in which charts ask for samples. */
const NEAR = "800px 0px";

const waiting = new Map<Element, () => void>();
const observer = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) waiting.get(target)?.();
  },
  { rootMargin: NEAR },
);

export function LazyChart({ id, title, chart }: LazyProps) {
  const place = useRef<HTMLElement>(null);
  const isNear = useSignal(false);
  useEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    const forget = (): void => {
      observer.unobserve(element);
      waiting.delete(element);
    };
    waiting.set(element, () => {
      forget();
      isNear.value = true;
    });
    observer.observe(element);
    return forget;
  }, []);
  // The place has the size, the id and the title of the chart: links lead to it, and the page's search finds it.
  return isNear.value ? chart() : <article id={id} ref={place} class="chart place"><header><h4>{title}</h4></header></article>;
}
