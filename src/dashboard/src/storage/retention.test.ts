import { expect, test } from "vitest";
import type { Tier } from "../api";
import { retentionOf } from "./retention";

const tier: Tier = {
  files: 2, disk_bytes: 1000, samples: 2000, first_time_s: 100_000, last_time_s: 186_400, retention_bytes: 10_000, retention_seconds: 1_000_000,
  expected_retention_seconds: 864_000,
};

test("the limit that comes first decides, and tells when it is full", () => {
  expect(retentionOf(tier)).toEqual({
    kept: 86_400, expected: 864_000, limit: "size", full: 0.1, fullIn: 777_600, bytesPerSample: 0.5, bytesPerDay: 1000,
  });
  expect(retentionOf({ ...tier, expected_retention_seconds: 1_000_000 }).limit).toBe("time");
});

test("a tier without files has nothing to tell", () => {
  const { expected_retention_seconds: _, ...rest } = tier;
  expect(retentionOf({ ...rest, files: 0, samples: 0, disk_bytes: 0 })).toMatchObject({ kept: 0, expected: undefined, bytesPerSample: undefined });
});
