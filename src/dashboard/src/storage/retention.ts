// What a tier keeps, how long it will, and what decides it.

import type { Tier } from "../api";

export interface Retention {
  /** Seconds from the oldest to the newest sample; 0 without any. */
  readonly kept: number;
  /** Seconds that will be kept when it is full, if known. */
  readonly expected: number | undefined;
  /** Which limit comes first. */
  readonly limit: "size" | "time" | undefined;
  /** How full it is, from 0 to 1, by the limit that comes first. */
  readonly full: number;
  /** Seconds until old samples begin to go; 0: they do already. */
  readonly fullIn: number | undefined;
  readonly bytesPerSample: number | undefined;
  readonly bytesPerDay: number | undefined;
}

const DAY = 86_400;

export function retentionOf(tier: Tier): Retention {
  const kept = tier.files > 0 ? Math.max(0, tier.last_time_s - tier.first_time_s) : 0;
  const expected = tier.expected_retention_seconds;
  const limit = expected === undefined ? undefined : expected === tier.retention_seconds ? "time" : "size";
  const full = expected ? Math.min(1, kept / expected) : 0;
  return {
    kept,
    expected,
    limit,
    full,
    fullIn: expected === undefined ? undefined : Math.max(0, expected - kept),
    bytesPerSample: tier.samples > 0 ? tier.disk_bytes / tier.samples : undefined,
    bytesPerDay: kept > 0 ? (tier.disk_bytes / kept) * DAY : undefined,
  };
}
