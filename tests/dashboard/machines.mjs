// Simulated machines that look like machines: CPU, memory, disk, network, as Netdata 1.37 sends them (protocol v1, plain).
//
//   node machines.mjs --parent 127.0.0.1:19999 --key UUID --count 1500 [--name web] [--every 1] [--past 0]
//
// What values they have is a formula of the machine and the time, so that a picture of them is the same each time.
import { createHash } from "node:crypto";
import net from "node:net";
import { pathToFileURL } from "node:url";

/** VCAPS, HLABELS and CLABELS: collected values, host labels, no compression, no replication. */
const CAPABILITIES = 64 + 128 + 512;
const REGIONS = ["fra", "ams", "iad", "sin"];
const ROLES = ["web", "db", "cache", "queue", "build"];
/** Connections that are opened a tick of 20 ms. */
const CONNECTED_AT_ONCE = 25;

/** A number of 0 to 1 that is always the same for the same words. */
function chance(...words) {
  return createHash("md5").update(words.join(" ")).digest().readUInt32BE(0) / 2 ** 32;
}

/** A smooth curve of 0 to 1: two waves whose lengths and phases are the machine's. */
function wave(machine, time, period) {
  const { phase } = machine;
  const slow = Math.sin((time / period + phase) * 2 * Math.PI);
  const quick = Math.sin((time / (period * 0.137) + phase * 7) * 2 * Math.PI);
  return 0.5 + 0.33 * slow + 0.17 * quick;
}

const CHARTS = [
  {
    id: "system.cpu", title: "Total CPU utilization", units: "percentage", family: "cpu", type: "stacked", priority: 100,
    dimensions: ["iowait", "irq", "nice", "softirq", "steal", "system", "user"],
    values(machine, time) {
      const busy = 100 * Math.min(0.99, machine.load * (0.4 + wave(machine, time, 900)));
      return [busy * 0.05, 0, 0, busy * 0.03, 0, busy * 0.26, busy * 0.66 + machine.noise(time, 1.5)];
    },
  },
  {
    id: "system.load", title: "System Load Average", units: "load", family: "load", type: "line", priority: 105,
    dimensions: ["load1", "load5", "load15"],
    values: (machine, time) => [60, 300, 900].map((mean) => machine.load * 8 * wave(machine, time - mean / 2, 900 + mean)),
  },
  {
    id: "system.io", title: "Disk I/O", units: "KiB/s", family: "disk", type: "area", priority: 150,
    dimensions: ["in", "out"],
    values: (machine, time) => [20_000 * machine.load * wave(machine, time, 300), -45_000 * machine.load * wave(machine, time, 470)],
  },
  {
    id: "system.ram", title: "System RAM", units: "MiB", family: "ram", type: "stacked", priority: 200,
    dimensions: ["free", "used", "cached", "buffers"],
    values(machine, time) {
      const used = machine.ram * (0.15 + 0.7 * machine.memory) * (0.9 + 0.1 * wave(machine, time, 3600));
      const cached = (machine.ram - used) * 0.6;
      return [machine.ram - used - cached - 300, used, cached, 300];
    },
  },
  {
    id: "system.net", title: "Physical Network Interfaces Aggregated Bandwidth", units: "kilobits/s", family: "network", type: "area",
    priority: 500, dimensions: ["received", "sent"],
    values: (machine, time) => [90_000 * machine.load * wave(machine, time, 600), -140_000 * machine.load * wave(machine, time, 640)],
  },
  {
    id: "disk_util.nvme0n1", context: "disk.util", title: "Disk Utilization Time", units: "% of time working", family: "nvme0n1",
    type: "area", priority: 2040, dimensions: ["utilization"],
    values: (machine, time) => [100 * machine.load * wave(machine, time, 470)],
  },
];

function definitions(every) {
  return CHARTS.map((chart) => {
    const { id, title, units, family, type, priority } = chart;
    const context = chart.context ?? id;
    const head = `CHART "${id}" "" "${title}" "${units}" "${family}" "${context}" "${type}" ${priority} ${every} "" "simulated" ""`;
    return [head, ...chart.dimensions.map((name) => `DIMENSION "${name}" "${name}" absolute 1 1000 ""`)].join("\n");
  }).join("\n") + "\n";
}

export class Machine {
  constructor(name, options) {
    this.name = name;
    this.options = options;
    this.phase = chance(name, "phase");
    this.load = 0.08 + 0.92 * chance(name, "load") ** 2.2;
    this.memory = chance(name, "memory");
    this.ram = 1024 * [8, 16, 32, 64][Math.floor(chance(name, "ram") * 4)];
    this.started = false;
  }

  get guid() {
    const hex = createHash("md5").update(this.name).digest("hex");
    return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20)].join("-");
  }

  noise(time, size) {
    const mixed = Math.imul(Math.floor(time) ^ Math.floor(this.phase * 2 ** 31), 0x9e3779b1) >>> 0;
    return (mixed / 2 ** 32) * size;
  }

  connect() {
    const { parent, key, every } = this.options;
    const [host, port] = parent.split(":");
    const version = chance(this.name, "version") < 0.8 ? "v1.37.1" : "v1.36.1";
    this.socket = net.connect(Number(port), host);
    this.socket.on("error", () => {});
    this.socket.once("data", (answer) => {
      if (!answer.toString().startsWith("Hit me baby")) {
        console.error(`${this.name}: ${answer}`);
        return;
      }
      const region = REGIONS[Math.floor(chance(this.name, "region") * REGIONS.length)];
      const role = ROLES.find((known) => this.name.startsWith(known)) ?? "web";
      this.socket.write(`LABEL "region" = 2 "${region}"\nLABEL "role" = 2 "${role}"\nOVERWRITE labels\n${definitions(every)}`);
      this.started = true;
    });
    this.socket.on("close", () => { this.started = false; });
    this.socket.write(
      `STREAM key=${key}&hostname=${this.name}&registry_hostname=${this.name}&machine_guid=${this.guid}&update_every=${every}` +
        `&os=linux&timezone=Etc/UTC&abbrev_timezone=UTC&utc_offset=0&hops=1&ver=${CAPABILITIES}` +
        `&NETDATA_SYSTEM_OS_NAME=Debian GNU/Linux&NETDATA_SYSTEM_OS_VERSION=12 (bookworm)&NETDATA_PROTOCOL_VERSION=1.1 HTTP/1.1\r\n` +
        `User-Agent: netdata/${version}\r\nAccept: */*\r\n\r\n`,
    );
  }

  /** One collection. The parent takes the time between two of them from the microseconds, the first one's is its own clock. */
  collect(time) {
    if (!this.started) return;
    const since = this.last ? (time - this.last) * 1_000_000 : 0;
    this.last = time;
    const lines = [];
    for (const chart of CHARTS) {
      lines.push(`BEGIN "${chart.id}" ${since}`);
      const values = chart.values(this, time);
      chart.dimensions.forEach((name, place) => lines.push(`SET "${name}" = ${Math.round(values[place] * 1000)}`));
      lines.push("END");
    }
    this.socket.write(lines.join("\n") + "\n");
  }
}

/** Connects so many machines and keeps them going until `stop` is called. */
export function simulate({ parent, key, count, name, every = 1 }) {
  const names = Array.from({ length: count }, (_, index) => {
    const role = name ?? ROLES[Math.floor(chance("role", index) * ROLES.length)];
    return `${role}-${String(index + 1).padStart(4, "0")}`;
  });
  const machines = names.map((known) => new Machine(known, { parent, key, every }));
  let connected = 0;
  const connecting = setInterval(() => {
    for (const machine of machines.slice(connected, connected + CONNECTED_AT_ONCE)) machine.connect();
    connected += CONNECTED_AT_ONCE;
    if (connected >= count) clearInterval(connecting);
  }, 20);
  // A twentieth of the machines every so often, so that neither side has to do all of it at once.
  let slice = 0;
  const SLICES = 20;
  const collecting = setInterval(() => {
    const time = Math.floor(Date.now() / 1000);
    for (let index = slice; index < machines.length; index += SLICES) machines[index].collect(time);
    slice = (slice + 1) % SLICES;
  }, (every * 1000) / SLICES);
  return {
    machines,
    stop() {
      clearInterval(connecting);
      clearInterval(collecting);
      for (const machine of machines) machine.socket?.destroy();
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const given = Object.fromEntries(
    process.argv.slice(2).join(" ").split("--").filter(Boolean).map((pair) => pair.trim().split(/[ =]/)),
  );
  const { stop } = simulate({
    parent: given.parent, key: given.key, count: Number(given.count ?? 10), name: given.name, every: Number(given.every ?? 1),
  });
  process.on("SIGTERM", () => { stop(); process.exit(0); });
  process.on("SIGINT", () => { stop(); process.exit(0); });
}
