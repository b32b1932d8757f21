//! Small files about the whole machine: load, uptime, entropy, System V IPC.

use super::chart::{Chart, Charts, Lines, absolute, chart};
use super::text::{Reader, Text, decimal, lines, number, words};
use super::{PROC, Pace, Subject};

const LOAD: &[Chart] = &[chart("system.load", "System Load Average", "load", "load", 100).dimensions(&[
    absolute("load1").over(1000),
    absolute("load5").over(1000),
    absolute("load15").over(1000),
])];

const ACTIVE: &[Chart] =
    &[chart("system.active_processes", "System Active Processes", "processes", "processes", 750)
        .dimensions(&[absolute("active")])];

const UPTIME: &[Chart] = &[chart("system.uptime", "System Uptime", "seconds", "uptime", 1000)
    .dimensions(&[absolute("uptime").over(1000)])];

const ENTROPY: &[Chart] = &[chart("system.entropy", "Available Entropy", "entropy", "entropy", 1000)
    .dimensions(&[absolute("entropy")])];

const IPC: &[Chart] = &[
    chart("system.ipc_semaphores", "IPC Semaphores", "semaphores", "ipc semaphores", 1203)
        .area()
        .dimensions(&[absolute("semaphores")]),
    chart("system.ipc_semaphore_arrays", "IPC Semaphore Arrays", "arrays", "ipc semaphores", 1204)
        .area()
        .dimensions(&[absolute("arrays")]),
    chart(
        "system.shared_memory_segments",
        "IPC Shared Memory Number of Segments",
        "segments",
        "ipc shared memory",
        1205,
    )
    .stacked()
    .dimensions(&[absolute("segments")]),
    chart("system.shared_memory_bytes", "IPC Shared Memory Used Bytes", "bytes", "ipc shared memory", 1206)
        .stacked()
        .dimensions(&[absolute("bytes")]),
];

/// The kernel works load averages out anew every five seconds.
const LOAD_EVERY_S: u32 = 5;

/// Load averages, and how many processes there are.
pub(super) struct Load {
    loadavg: Text,
    pace: Pace,
    load: Charts,
    active: Charts,
}

impl Load {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/loadavg";
        Self {
            loadavg: reader.open(MODULE),
            pace: Pace::new(LOAD_EVERY_S),
            load: Charts::of_machine(PROC, MODULE, LOAD, 1),
            active: Charts::of_machine(PROC, MODULE, ACTIVE, 1),
        }
    }
}

impl Subject for Load {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.loadavg) else { return };
        let mut words = words(text);
        for key in ["load1", "load5", "load15"] {
            if let Some(value) = words.next().and_then(|word| decimal(word, 3)) {
                self.load.put(key, value);
            }
        }
        // Processes that run, of how many: `1/234`.
        let processes = words.next().and_then(|word| word.split(|&byte| byte == b'/').nth(1));
        if let Some(active) = processes.and_then(number) {
            self.active.put("active", active);
        }
        self.active.write(out);
        if let Some(mut slower) = self.pace.due(out) {
            self.load.write(&mut slower);
        }
    }
}

/// How long the machine is up.
pub(super) struct Uptime {
    uptime: Text,
    charts: Charts,
}

impl Uptime {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/uptime";
        Self { uptime: reader.open(MODULE), charts: Charts::of_machine(PROC, MODULE, UPTIME, 1) }
    }
}

impl Subject for Uptime {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.uptime) else { return };
        if let Some(uptime) = words(text).next().and_then(|word| decimal(word, 3)) {
            self.charts.put("uptime", uptime);
        }
        self.charts.write(out);
    }
}

/// Random bits that the kernel has.
pub(super) struct Entropy {
    available: Text,
    charts: Charts,
}

impl Entropy {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/sys/kernel/random/entropy_avail";
        Self { available: reader.open(MODULE), charts: Charts::of_machine(PROC, MODULE, ENTROPY, 1) }
    }
}

impl Subject for Entropy {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        if let Some(entropy) = reader.read_number(&mut self.available) {
            self.charts.put("entropy", entropy);
        }
        self.charts.write(out);
    }
}

/// Semaphores and shared memory of System V.
pub(super) struct Ipc {
    semaphores: Text,
    segments: Text,
    charts: Charts,
}

impl Ipc {
    pub(super) fn new(reader: &Reader) -> Self {
        Self {
            semaphores: reader.open("/proc/sysvipc/sem"),
            segments: reader.open("/proc/sysvipc/shm"),
            charts: Charts::of_machine(PROC, "ipc", IPC, 1),
        }
    }
}

impl Subject for Ipc {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        if let Some((arrays, semaphores)) = reader.read(&mut self.semaphores).map(|text| count(text, 3)) {
            self.charts.put("arrays", arrays);
            self.charts.put("semaphores", semaphores);
        }
        if let Some((segments, bytes)) = reader.read(&mut self.segments).map(|text| count(text, 3)) {
            self.charts.put("segments", segments);
            self.charts.put("bytes", bytes);
        }
        self.charts.write(out);
    }
}

/// How many lines there are under the first, and the sum of one of their columns.
fn count(text: &[u8], column: usize) -> (u64, u64) {
    let sizes = lines(text).skip(1).filter_map(|line| words(line).nth(column).and_then(number));
    sizes.fold((0, 0), |(lines, sum), size| (lines + 1, sum.wrapping_add(size)))
}
