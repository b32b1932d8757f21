import { expect, test } from "vitest";
import type { Chart } from "./api";
import { searchCharts, sectionOf, sectionsOf, titleOf } from "./sections";

function chart(id: string, family: string, priority: number, more: Partial<Chart> = {}): Chart {
  return {
    id, name: id, type: id.split(".")[0] ?? "", family, context: id, title: `A title (${id})`, priority, plugin: "", module: "", units: "things",
    chart_type: "line", first_entry: 0, last_entry: 0, update_every: 1, dimensions: { a: { name: "reads" } }, chart_labels: {}, ...more,
  };
}

test.each([
  ["system", "System"], ["disk_ops", "Disks"], ["disk_space", "Mount points"], ["net_packets", "Network interfaces"], ["ipv6", "Networking"],
  ["cgroup_web_1", "Container web 1"], ["nginx_local", "Nginx local"], ["netdata", "Monitoring"],
])("charts of type %s are in the section %s", (type, title) => {
  expect(sectionOf(type).title).toBe(title);
});

test("sections stand in the order of their first charts, families in the order of theirs, numbers as numbers", () => {
  const sections = sectionsOf([
    chart("net.eth10", "eth10", 7000), chart("net.eth2", "eth2", 7000), chart("disk.sda", "sda", 2000), chart("disk_ops.sda", "sda", 2001),
    chart("system.load", "load", 105), chart("system.cpu", "cpu", 100), chart("app.x", "", 60_000),
  ]);
  expect(sections.map((section) => [section.title, section.families.map((family) => family.title)])).toEqual([
    ["System", ["cpu", "load"]],
    ["Disks", ["sda"]],
    ["Network interfaces", ["eth2", "eth10"]],
    ["Applications", ["Applications"]],
  ]);
  expect(sections[1]?.families[0]?.charts.map(({ id }) => id)).toEqual(["disk.sda", "disk_ops.sda"]);
});

test("ids of sections and families are different from one another and usable in links", () => {
  const ids = sectionsOf([chart("disk.a", "/var/lib x", 1), chart("mem.b", "/var/lib x", 2)]).flatMap((section) => [section.id, ...section.families.map(({ id }) => id)]);
  expect(new Set(ids).size).toBe(4);
  for (const id of ids) expect(id).toMatch(/^[\w.-]+$/);
});

test("a search wants all of its words, anywhere", () => {
  const charts = [chart("disk.sda", "sda", 1), chart("net.eth0", "eth0", 2)];
  expect(searchCharts(charts, "SDA reads").map(({ id }) => id)).toEqual(["disk.sda"]);
  expect(searchCharts(charts, " ")).toHaveLength(2);
  expect(searchCharts(charts, "sda eth0")).toEqual([]);
});

test("a title is shown without the name behind it", () => {
  expect(titleOf(chart("disk.sda", "sda", 1))).toBe("A title");
  expect(titleOf(chart("disk.sda", "sda", 1, { title: "Bare" }))).toBe("Bare");
});
