import { expect, test } from "vitest";
import { csvOf } from "./csv";

test("times are UTC, gaps are empty, names are quoted where they have to be", () => {
  const series = { step: 1, ids: ["a", "b"], names: ["in, all", 'the "b"'], times: [0, 1], columns: [[1.5, null], [0, -2]] };
  expect(csvOf(series)).toBe('time,"in, all","the ""b"""\r\n1970-01-01T00:00:00Z,1.5,0\r\n1970-01-01T00:00:01Z,,-2\r\n');
});
