import { expect, test } from "vitest";
import { scaleOf } from "../units";
import { timeTicks, valueRange, valueTicks, zoneOffset } from "./ticks";

const MIDNIGHT = Date.UTC(2026, 10, 29) / 1000;

test("ticks of time are round, in the zone that is shown", () => {
  expect(timeTicks(MIDNIGHT + 7, MIDNIGHT + 607, 10, 0)).toEqual({ apart: 60, at: Array.from({ length: 10 }, (_, k) => MIDNIGHT + 60 * (k + 1)) });
  const india = zoneOffset(MIDNIGHT, "Asia/Kolkata");
  expect(india).toBe(19_800);
  const { apart, at } = timeTicks(MIDNIGHT, MIDNIGHT + 86_400, 4, india);
  expect(apart).toBe(21_600);
  expect((at[0] as number) + 19_800 - MIDNIGHT).toBe(21_600);
});

test("a zone's offset follows its summer time", () => {
  const change = Date.UTC(2026, 9, 25, 1) / 1000;
  expect(zoneOffset(change - 1, "Europe/Berlin")).toBe(7200);
  expect(zoneOffset(change, "Europe/Berlin")).toBe(3600);
});

test("ticks of values are round in the unit that is shown", () => {
  const scale = scaleOf("KiB/s", 5000);
  expect(valueTicks(0, 5120, 5, scale).at).toEqual([0, 1024, 2048, 3072, 4096, 5120]);
  expect(valueTicks(0, 100, 4, scaleOf("percentage", 100)).at).toEqual([0, 50, 100]);
  expect(valueTicks(-45, 20, 4, scaleOf("things", 45)).at).toEqual([-40, -20, 0, 20]);
  expect(valueTicks(0, 7200, 4, scaleOf("seconds", 7200)).at).toEqual([0, 1800, 3600, 5400, 7200]);
  expect(valueTicks(3, 3, 4, scaleOf("things", 3)).at).toEqual([3]);
});

test("areas stand on zero; a line far from it does not", () => {
  expect(valueRange(40, 60, true)[0]).toBe(0);
  expect(valueRange(1000, 1010, false)[0]).toBeGreaterThan(990);
  expect(valueRange(1, 10, false)[0]).toBe(0);
  expect(valueRange(-10, -1, true)[1]).toBe(0);
  expect(valueRange(0, 99, true, 100)).toEqual([0, 100]);
  expect(valueRange(0, 100.1, true, 100)).toEqual([0, 100.1]);
  expect(valueRange(0, 0, true)).toEqual([0, 1]);
  expect(valueRange(NaN, NaN, false)).toEqual([0, 1]);
  const [low, high] = valueRange(5, 5, false);
  expect(low).toBeLessThanOrEqual(5);
  expect(high).toBeGreaterThan(5);
});
