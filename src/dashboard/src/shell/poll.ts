// What a page asks for again and again while it is looked at.

import { useSignal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

export interface Polled<T> {
  readonly value: Signal<T | null>;
  readonly error: Signal<string>;
}

/** Asks at once and then every so often, never twice at a time, and not while the page is hidden. `every` may depend on the answer. */
export function usePoll<T>(ask: () => Promise<T>, every: (answer: T | null) => number, on: readonly unknown[]): Polled<T> {
  const value = useSignal<T | null>(null);
  const error = useSignal("");
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout>;
    let isOver = false;
    const turn = async (): Promise<void> => {
      if (!document.hidden) {
        try {
          const answer = await ask();
          if (isOver) return;
          value.value = answer;
          error.value = "";
        } catch (problem) {
          error.value = problem instanceof Error ? problem.message : String(problem);
        }
      }
      if (!isOver) timer = setTimeout(() => void turn(), every(value.peek()));
    };
    void turn();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, on);
  return { value, error };
}
