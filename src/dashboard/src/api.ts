// The parent's public API, as far as the pages use it: one function an endpoint, its answer as a type.

import { hostPath, writeParameters } from "./location";

/** The parent answered something else than 200, or nothing. */
export class ApiError extends Error {
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

/** How many requests wait for answers at a time: browsers open six connections to a server, one stays free for what a person just asked. */
const AT_ONCE = 5;
let running = 0;
const waiting: (() => void)[] = [];

/** Runs a task when fewer than [`AT_ONCE`] others run; the ones that wait begin in their order. */
async function gate<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  if (running < AT_ONCE) running += 1;
  // Who ends hands its place on, so that nobody slips in between.
  else await new Promise<void>((resolve) => waiting.push(resolve));
  try {
    signal?.throwIfAborted();
    return await task();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running -= 1;
  }
}

async function get(address: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, { signal: signal ?? null, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The parent does not answer.");
  }
  if (!response.ok) throw new ApiError(response.status, (await response.text()).trim().slice(0, 300));
  return response;
}

async function json<T>(address: string, signal?: AbortSignal): Promise<T> {
  return gate(async () => (await (await get(address, signal)).json()) as T, signal);
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export type HostState = "localhost" | "live" | "stale" | "offline";

/** A host as `/api/v2/nodes` tells it; docs/OPERATING.md has the meanings. */
export interface Node {
  machine_guid: string;
  hostname: string;
  state: HostState;
  last_seen: number;
  hops: number;
  program: string;
  version: string;
  os: string;
  memory_mode: string;
  ephemeral?: boolean;
  labels: Record<string, string>;
  charts: number;
  dimensions: number;
  newest_sample: number | null;
  lag_seconds: number | null;
  connection?: Connection;
  sending?: Sending;
  missing_rows: number;
  disconnects: number;
  last_disconnect: { at: number; reason: string } | null;
  duplicate: { at: number; peer: string; hostname: string; existing: string; outcome: string } | null;
  retention: { first: number; last: number; sampled_charts: number } | null;
}

export interface Connection {
  since: number;
  peer: string;
  tls: boolean;
  compression: string;
  capabilities: string[];
  received_bytes: number;
  rows: number;
  samples: number;
  bytes_per_second: number;
  rows_per_second: number;
  samples_per_second: number;
  replication: {
    charts_starting: number;
    charts_filling: number;
    requests: number;
    replayed_rows: number;
    filled_rows: number;
    given_up: number;
  };
}

/** How a host does on its way to a parent of this one. */
export interface Sending {
  to: string;
  streaming: boolean;
  since: number;
  capabilities: string[];
  waiting_bytes: number;
  sent_bytes: number;
  last_reason: string | null;
}

export interface Nodes {
  now: number;
  nodes: Node[];
}

/** All hosts, or those of a name or machine GUID, or of a state. */
export function nodes(which: { readonly nodes?: string; readonly state?: HostState } = {}): Promise<Nodes> {
  return json(`/api/v2/nodes${writeParameters(which)}`);
}

export interface Info {
  version: string;
  uid: string;
  mirrored_hosts_status: { guid: string; hostname: string; reachable: boolean; hops: number }[];
  os_name: string;
  os_version: string;
  kernel_name: string;
  kernel_version: string;
  architecture: string;
  virtualization: string;
  cores_total: string;
  ram_total: string;
  host_labels: Record<string, string>;
}

export function info(host?: string): Promise<Info> {
  return json(`${host === undefined ? "/" : hostPath(host)}api/v1/info`);
}

export type ChartType = "line" | "area" | "stacked";

export interface Chart {
  id: string;
  name: string;
  type: string;
  family: string;
  context: string;
  title: string;
  priority: number;
  plugin: string;
  module: string;
  units: string;
  chart_type: ChartType;
  first_entry: number;
  last_entry: number;
  update_every: number;
  dimensions: Record<string, { name: string }>;
  chart_labels: Record<string, string>;
}

export interface Charts {
  hostname: string;
  version: string;
  os: string;
  timezone: string;
  update_every: number;
  charts: Record<string, Chart>;
}

export function charts(host: string, signal?: AbortSignal): Promise<Charts> {
  return json(`${hostPath(host)}api/v1/charts`, signal);
}

/** A question for samples: a chart or a context of a host, on a grid of `points` over the window. */
export interface DataQuery {
  readonly chart?: string;
  readonly context?: string;
  readonly after: number;
  readonly before: number;
  readonly points: number;
}

export interface DataAnswer {
  view_update_every: number;
  update_every: number;
  first_entry: number;
  last_entry: number;
  dimension_names: string[];
  dimension_ids: string[];
  /** Oldest row first: the time, then a value a dimension. */
  result: { labels: string[]; data: (number | null)[][] };
}

/** Samples, or `null` when the window has none. */
export async function data(host: string, query: DataQuery, signal?: AbortSignal): Promise<DataAnswer | null> {
  const asked = new URLSearchParams({ after: String(query.after), before: String(query.before), points: String(query.points) });
  if (query.chart !== undefined) asked.set("chart", query.chart);
  if (query.context !== undefined) asked.set("context", query.context);
  asked.set("options", "jsonwrap,flip");
  try {
    return await json<DataAnswer>(`${hostPath(host)}api/v1/data?${asked}`, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** A question for samples of many hosts: one number a row and group. */
export interface FleetQuery {
  readonly context: string;
  /** Patterns, the first that matches decides; empty: all. */
  readonly dimensions?: string;
  readonly nodes?: string;
  /** What is put together, and how: of the first pass, then of the second. */
  readonly groups: readonly (readonly [by: string, aggregation: string])[];
  readonly after: number;
  readonly before: number;
  readonly points: number;
  readonly options?: string;
}

export interface FleetAnswer {
  view: { update_every: number; dimensions: { ids: string[]; names: string[] } };
  /** Oldest row first: the time, then of each group its value, the percent of anomalous samples, and flags. */
  result: { data: [number, ...[number | null, number, number][]][] };
}

/** Samples of all hosts in one answer, or `null` when the window has none. With `group_by=node` ids are machine GUIDs. */
export async function fleetData(query: FleetQuery, signal?: AbortSignal): Promise<FleetAnswer | null> {
  const asked = new URLSearchParams({
    scope_contexts: query.context, after: String(query.after), before: String(query.before), points: String(query.points),
    options: ["flip", "no-summary", query.options].filter((word) => word !== undefined).join(),
  });
  if (query.dimensions !== undefined) asked.set("dimensions", query.dimensions);
  if (query.nodes !== undefined) asked.set("nodes", query.nodes);
  query.groups.forEach(([by, aggregation], pass) => {
    asked.set(`group_by[${pass}]`, by);
    asked.set(`aggregation[${pass}]`, aggregation);
  });
  try {
    return await json<FleetAnswer>(`/api/v2/data?${asked}`, signal);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** A context as the charts of all hosts have it. */
export interface Context {
  title: string;
  units: string;
  family: string;
  chart_type: ChartType;
  priority: number;
  nodes: number;
  dimensions: string[];
}

/** All contexts of all hosts. */
export async function contexts(): Promise<Map<string, Context>> {
  const answer = await json<{ contexts: Record<string, Context> }>("/api/v2/contexts?options=dimensions");
  return new Map(Object.entries(answer.contexts));
}

/** One tier of `/api/v1/dbengine_stats`. */
export interface Tier {
  files: number;
  disk_bytes: number;
  samples: number;
  first_time_s: number;
  last_time_s: number;
  retention_bytes?: number;
  retention_seconds?: number;
  expected_retention_seconds?: number;
}

/** The tiers of the database, or `null` where none is on disk. */
export async function tiers(): Promise<Tier[] | null> {
  try {
    const found = await json<Record<string, Tier>>("/api/v1/dbengine_stats");
    return Object.keys(found).sort().map((name) => found[name] as Tier);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/** An agent between a host and this parent, as agents tell each other. */
export interface PathStep {
  hostname: string;
  host_id: string;
  hops: number;
  since: number;
  flags: string[];
}

export async function streamPath(host: string, signal?: AbortSignal): Promise<PathStep[]> {
  const answer = await json<{ streaming_path?: PathStep[] }>(`${hostPath(host)}api/v3/stream_path`, signal);
  return answer.streaming_path ?? [];
}

/** Our own figures by name; of those with labels the sum. */
export async function figures(): Promise<Map<string, number>> {
  const text = await gate(async () => (await get("/metrics")).text());
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([a-z_]+)(?:\{[^}]*\})? (\S+)/.exec(line);
    if (match?.[1] !== undefined) found.set(match[1], (found.get(match[1]) ?? 0) + Number(match[2]));
  }
  return found;
}
