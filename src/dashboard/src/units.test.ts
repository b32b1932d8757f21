import { expect, test } from "vitest";
import { formatAge, formatDuration, formatNumber, formatQuantity, scaleOf } from "./units";

test.each([
  [1536, "KiB/s", "1.5 MiB/s"],
  [0.5, "KiB", "512 B"],
  [90_000, "kilobits/s", "90 Mbit/s"],
  [12, "milliseconds", "12 ms"],
  [90_000, "milliseconds", "1 min 30 s"],
  [0.000_25, "seconds", "250 µs"],
  [4_000_000, "seconds", "46 d 7 h"],
  [1500, "milliseconds/s", "1.5 s/s"],
  [42.123, "percentage", "42.1 %"],
  [9800, "context switches/s", "9800 context switches/s"],
  [28_500, "packets/s", "28.5 k packets/s"],
  [-140_000, "kilobits/s", "-140 Mbit/s"],
  [0, "MiB", "0 MiB"],
  [0, "milliseconds", "0 ms"],
  [3.7e9, "Hz", "3.7 GHz"],
  [null, "MiB", "–"],
] as const)("%s %s is %s", (value, unit, text) => {
  expect(formatQuantity(value, unit)).toBe(text);
});

test("a chart has one unit, that of its largest value", () => {
  const { factor, name } = scaleOf("KiB/s", 5_000);
  expect(name).toBe("MiB/s");
  expect(5_000 * factor).toBeCloseTo(4.883, 3);
});

test.each([
  [0, "0"], [0.123_456, "0.12"], [0.001_234, "0.0012"], [9.999, "10"], [12.34, "12.3"], [123.44, "123.4"], [123, "123"], [12_345.6, "12\u202f346"], [-0.000_001, "0"],
])("%s reads %s", (value, text) => {
  expect(formatNumber(value)).toBe(text);
});

test.each([[0, "0 s"], [59.94, "59.9 s"], [60, "1 min"], [3_725, "1 h 2 min"], [86_400, "1 d"], [-90, "−1 min 30 s"], [40_000_000, "1 y 97 d"]])(
  "%s seconds last %s",
  (seconds, text) => expect(formatDuration(seconds)).toBe(text),
);

test.each([[1, "1 s"], [89, "89 s"], [90, "2 min"], [7200, "2 h"], [200_000, "2 d"]])("%s seconds are %s old", (seconds, text) =>
  expect(formatAge(seconds)).toBe(text),
);
