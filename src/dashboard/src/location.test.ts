import { expect, test } from "vitest";
import { hostPath, readPage, readParameters, withTime, writeParameters } from "./location";

test.each([
  ["/", { name: "fleet" }],
  ["/index.html", { name: "fleet" }],
  ["/host/web-1/", { name: "host", host: "web-1" }],
  ["/host/web%2F1/", { name: "host", host: "web/1" }],
  ["/host/100%/", { name: "host", host: "100%" }],
  ["/compare", { name: "compare" }],
  ["/storage/", { name: "storage" }],
  ["/storage/more", { name: "missing", path: "/storage/more" }],
  ["/host/", { name: "missing", path: "/host/" }],
])("%s is a page", (path, page) => {
  expect(readPage(path)).toEqual(page);
});

test("a host's path leads to its page, whatever its name is", () => {
  for (const host of ["web-1", "a b", "ü/ö", "50%"]) expect(readPage(hostPath(host))).toEqual({ name: "host", host });
});

test("parameters come back as they were written, without the empty ones", () => {
  const given = { q: "role=web & more", hosts: "a,b", tz: "Europe/Berlin", group: "label:role" };
  const written = writeParameters({ ...given, sort: "" });
  expect(readParameters(written)).toEqual(given);
  expect(written).toContain("hosts=a,b");
  expect(writeParameters({ q: "" })).toBe("");
});

test("the time goes along between pages that have one", () => {
  const link = (address: string) => new URL(address, "http://parent");
  const given = { after: "1", before: "2", q: "x" };
  expect(withTime(link("/compare?context=system.cpu"), { name: "host", host: "a" }, given)).toBe("/compare?context=system.cpu&after=1&before=2");
  expect(withTime(link("/host/a/?last=60#c"), { name: "compare" }, given)).toBe("/host/a/?last=60#c");
  expect(withTime(link("/storage"), { name: "compare" }, given)).toBe("/storage");
  expect(withTime(link("/host/a/"), { name: "fleet" }, given)).toBe("/host/a/");
});
