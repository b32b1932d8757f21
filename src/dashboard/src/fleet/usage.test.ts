import { expect, test } from "vitest";
import { UsageKeeper, UsageReader } from "./usage";

test("what works is counted, what is idle or free is not; names with quotes are names", () => {
  const reader = new UsageReader();
  [
    'netdata_info{instance="a"} 1 5',
    'netdata_system_cpu_percentage_average{chart="system.cpu",family="cpu",dimension="user",instance="a"} 30.5000000 5',
    'netdata_system_cpu_percentage_average{chart="system.cpu",family="cpu",dimension="idle",instance="a"} 60.0000000 5',
    'netdata_system_cpu_percentage_average{chart="system.cpu",family="cpu",dimension="system",instance="a"} 2.0000000 5',
    'netdata_system_ram_MiB_average{chart="system.ram",family="ram",dimension="used",instance="a"} 25.0000000 5',
    'netdata_system_ram_MiB_average{chart="system.ram",family="ram",dimension="free",instance="a"} 75.0000000 5',
    'netdata_system_cpu_percentage_average{chart="system.cpu",family="cpu",dimension="user",instance="the \\"b\\""} 7.0000000 5',
    "# TYPE netdata_system_cpu_percentage_average gauge",
  ].forEach(reader.line);
  expect(reader.usage).toEqual(new Map([["a", { cpu: 32.5, memory: 25 }], ['the "b"', { cpu: 7 }]]));
});

test("what an answer leaves out stands for a minute", () => {
  const keeper = new UsageKeeper();
  keeper.merge(new Map([["a", { cpu: 1, memory: 2 }], ["b", { cpu: 3 }]]), 0);
  expect(keeper.merge(new Map([["a", { cpu: 5 }]]), 50_000)).toEqual(new Map([["a", { cpu: 5, memory: 2 }], ["b", { cpu: 3 }]]));
  expect(keeper.merge(new Map(), 70_000)).toEqual(new Map([["a", { cpu: 5, memory: 2 }]]));
});
