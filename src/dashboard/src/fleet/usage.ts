// CPU and memory of all hosts: two questions, each about all of them.

import { fleetData, type FleetAnswer } from "../api";

export interface Usage {
  /** Per cent that is not idle. */
  readonly cpu?: number;
  /** Per cent of memory that programs hold: neither free nor cache. */
  readonly memory?: number;
}

/** Values are means of so many seconds. */
const SECONDS = 10;
/** Dimensions of system.cpu that are work. */
const BUSY = "!idle|!iowait|!steal|*";
/** Dimensions of system.ram that cannot be given to programs at once. */
const HELD = "!free|!cached|!buffers|*";
/** Charts that are collected seldom have nothing in some windows: their last values stand in for so long. */
const STANDS_FOR_MS = 60_000;

const newest = { after: -SECONDS, before: 0, points: 1, options: "unaligned" };

/** The newest value of each group that has one, by its id. */
export function newestOf(answer: FleetAnswer | null): Map<string, number> {
  const found = new Map<string, number>();
  const [, ...points] = answer?.result.data.at(-1) ?? [0];
  answer?.view.dimensions.ids.forEach((id, place) => {
    const value = points[place]?.[0];
    if (value !== null && value !== undefined) found.set(id, value);
  });
  return found;
}

/** What was last known of each host, by its machine GUID. */
export class UsageKeeper {
  readonly #known = new Map<string, { usage: Usage; at: number }>();

  merge(cpu: ReadonlyMap<string, number>, memory: ReadonlyMap<string, number>, at: number): Map<string, Usage> {
    const learn = (guid: string, fresh: Usage): void => {
      this.#known.set(guid, { usage: { ...this.#known.get(guid)?.usage, ...fresh }, at });
    };
    for (const [guid, value] of cpu) learn(guid, { cpu: Math.min(100, value) });
    for (const [guid, value] of memory) learn(guid, { memory: value });
    for (const [guid, known] of this.#known) if (at - known.at > STANDS_FOR_MS) this.#known.delete(guid);
    return new Map([...this.#known].map(([guid, { usage }]) => [guid, usage]));
  }

  async read(): Promise<Map<string, Usage>> {
    const [cpu, memory] = await Promise.all([
      fleetData({ ...newest, context: "system.cpu", dimensions: BUSY, groups: [["node", "sum"]] }),
      fleetData({ ...newest, context: "system.ram", dimensions: HELD, groups: [["node", "percentage"]] }),
    ]);
    return this.merge(newestOf(cpu), newestOf(memory), performance.now());
  }
}
