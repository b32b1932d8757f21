// CPU and memory of all hosts, from the newest values of two charts, in one request.

import { allHosts } from "../api";

export interface Usage {
  /** Per cent that is not idle. */
  readonly cpu?: number;
  /** Per cent of memory that programs hold: neither free nor cache. */
  readonly memory?: number;
}

export const USAGE_CHARTS = ["system.cpu", "system.ram"];
/** Dimensions of system.cpu that are no work. */
const IDLE = new Set(["idle", "iowait", "steal"]);
/** Dimensions of system.ram that can be given to programs at once. */
const FREE = new Set(["free", "cached", "buffers"]);

const LINE = /^netdata_(system_cpu|system_ram)_\w+\{(.*)\} (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** Sums lines of Prometheus' format by host. */
export class UsageReader {
  readonly #sums = new Map<string, { cpu?: number; used?: number; ram?: number }>();

  readonly line = (text: string): void => {
    const match = LINE.exec(text);
    if (!match) return;
    const [, chart, labels = "", number] = match;
    const value = Number(number);
    let host = "";
    let dimension = "";
    for (const [, name, written = ""] of labels.matchAll(LABEL)) {
      if (name === "instance") host = written.replace(/\\(.)/g, "$1");
      else if (name === "dimension") dimension = written;
    }
    if (!Number.isFinite(value)) return;
    let sum = this.#sums.get(host);
    if (!sum) this.#sums.set(host, (sum = {}));
    if (chart === "system_cpu") {
      if (!IDLE.has(dimension)) sum.cpu = (sum.cpu ?? 0) + value;
    } else {
      sum.ram = (sum.ram ?? 0) + value;
      if (!FREE.has(dimension)) sum.used = (sum.used ?? 0) + value;
    }
  };

  /** By host name. */
  get usage(): Map<string, Usage> {
    const found = new Map<string, Usage>();
    for (const [host, { cpu, used, ram }] of this.#sums) {
      found.set(host, {
        ...(cpu === undefined ? {} : { cpu: Math.min(100, cpu) }),
        ...(ram ? { memory: ((used ?? 0) / ram) * 100 } : {}),
      });
    }
    return found;
  }
}

/** Charts that are collected seldom are not in each answer: their last values stand in for so long. */
const STANDS_FOR_MS = 60_000;

/** What was last known of each host. */
export class UsageKeeper {
  readonly #known = new Map<string, { usage: Usage; at: number }>();

  merge(fresh: ReadonlyMap<string, Usage>, at: number): Map<string, Usage> {
    for (const [host, usage] of fresh) this.#known.set(host, { usage: { ...this.#known.get(host)?.usage, ...usage }, at });
    for (const [host, known] of this.#known) if (at - known.at > STANDS_FOR_MS) this.#known.delete(host);
    return new Map([...this.#known].map(([host, { usage }]) => [host, usage]));
  }

  async read(): Promise<Map<string, Usage>> {
    const reader = new UsageReader();
    await allHosts(USAGE_CHARTS, reader.line);
    return this.merge(reader.usage, performance.now());
  }
}
