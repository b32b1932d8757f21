//! How long tasks had to wait for a core, for memory, for a disk (PSI): `/proc/pressure`.

use super::chart::{Chart, Charts, Lines, absolute, chart, incremental};
use super::text::{Reader, Text, decimal, lines, number, words};
use super::{PROC, Pace, Subject};

const PRESSURE: &[Chart] = &[
    chart("system.cpu_some_pressure", "CPU some pressure", "percentage", "cpu", 140).dimensions(&[
        absolute("some 10").from("cpu some 10").over(100),
        absolute("some 60").from("cpu some 60").over(100),
        absolute("some 300").from("cpu some 300").over(100),
    ]),
    chart("system.cpu_some_pressure_stall_time", "CPU some pressure stall time", "ms", "cpu", 145)
        .dimensions(&[incremental("time").from("cpu some total")]),
    chart("system.cpu_full_pressure", "CPU full pressure", "percentage", "cpu", 150).dimensions(&[
        absolute("full 10").from("cpu full 10").over(100),
        absolute("full 60").from("cpu full 60").over(100),
        absolute("full 300").from("cpu full 300").over(100),
    ]),
    chart("system.cpu_full_pressure_stall_time", "CPU full pressure stall time", "ms", "cpu", 155)
        .dimensions(&[incremental("time").from("cpu full total")]),
    chart("system.io_some_pressure", "I/O some pressure", "percentage", "disk", 190).dimensions(&[
        absolute("some 10").from("io some 10").over(100),
        absolute("some 60").from("io some 60").over(100),
        absolute("some 300").from("io some 300").over(100),
    ]),
    chart("system.io_some_pressure_stall_time", "I/O some pressure stall time", "ms", "disk", 195)
        .dimensions(&[incremental("time").from("io some total")]),
    chart("system.io_full_pressure", "I/O full pressure", "percentage", "disk", 200).dimensions(&[
        absolute("full 10").from("io full 10").over(100),
        absolute("full 60").from("io full 60").over(100),
        absolute("full 300").from("io full 300").over(100),
    ]),
    chart("system.io_full_pressure_stall_time", "I/O full pressure stall time", "ms", "disk", 205)
        .dimensions(&[incremental("time").from("io full total")]),
    chart("system.memory_some_pressure", "Memory some pressure", "percentage", "ram", 240).dimensions(&[
        absolute("some 10").from("memory some 10").over(100),
        absolute("some 60").from("memory some 60").over(100),
        absolute("some 300").from("memory some 300").over(100),
    ]),
    chart("system.memory_some_pressure_stall_time", "Memory some pressure stall time", "ms", "ram", 245)
        .dimensions(&[incremental("time").from("memory some total")]),
    chart("system.memory_full_pressure", "Memory full pressure", "percentage", "ram", 250).dimensions(&[
        absolute("full 10").from("memory full 10").over(100),
        absolute("full 60").from("memory full 60").over(100),
        absolute("full 300").from("memory full 300").over(100),
    ]),
    chart("system.memory_full_pressure_stall_time", "Memory full pressure stall time", "ms", "ram", 255)
        .dimensions(&[incremental("time").from("memory full total")]),
];

/// The kernel works these averages out anew every two seconds.
const EVERY_S: u32 = 2;

/// The resources, and for each value of their files the name it has in a table of charts.
pub(super) const RESOURCES: [Resource; 3] = [
    Resource { name: "cpu", file: "cpu.pressure", some: CPU_SOME, full: CPU_FULL },
    Resource { name: "memory", file: "memory.pressure", some: MEMORY_SOME, full: MEMORY_FULL },
    Resource { name: "io", file: "io.pressure", some: IO_SOME, full: IO_FULL },
];
const CPU_SOME: [&str; 4] = ["cpu some 10", "cpu some 60", "cpu some 300", "cpu some total"];
const CPU_FULL: [&str; 4] = ["cpu full 10", "cpu full 60", "cpu full 300", "cpu full total"];
const MEMORY_SOME: [&str; 4] = ["memory some 10", "memory some 60", "memory some 300", "memory some total"];
const MEMORY_FULL: [&str; 4] = ["memory full 10", "memory full 60", "memory full 300", "memory full total"];
const IO_SOME: [&str; 4] = ["io some 10", "io some 60", "io some 300", "io some total"];
const IO_FULL: [&str; 4] = ["io full 10", "io full 60", "io full 300", "io full total"];

/// What tasks wait for.
pub(super) struct Resource {
    pub(super) name: &'static str,
    /// Of a cgroup.
    pub(super) file: &'static str,
    some: [&'static str; 4],
    full: [&'static str; 4],
}

/// The machine's pressure.
pub(super) struct Pressure {
    files: [Text; 3],
    pace: Pace,
    charts: Charts,
}

impl Pressure {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/pressure";
        Self {
            files: RESOURCES.map(|resource| reader.open(&format!("{MODULE}/{}", resource.name))),
            pace: Pace::new(EVERY_S),
            charts: Charts::of_machine(PROC, MODULE, PRESSURE, 1),
        }
    }
}

impl Subject for Pressure {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(mut slower) = self.pace.due(out) else { return };
        for (file, resource) in self.files.iter_mut().zip(&RESOURCES) {
            if let Some(text) = reader.read(file) {
                put(&mut self.charts, resource, text);
            }
        }
        self.charts.write(&mut slower);
    }
}

/// `some avg10=0.12 avg60=0.05 avg300=0.01 total=123456`, and a line like it for `full`. Averages in hundredths of a
/// per cent, the total in milliseconds.
pub(super) fn put(charts: &mut Charts, resource: &Resource, text: &[u8]) {
    for line in lines(text) {
        let mut words = words(line);
        let keys = match words.next() {
            Some(b"some") => resource.some,
            Some(b"full") => resource.full,
            _ => continue,
        };
        for (key, word) in keys.into_iter().zip(words) {
            let Some(value) = word.split(|&byte| byte == b'=').nth(1) else { continue };
            let value = if word.starts_with(b"total") {
                number(value).map(|total_us| total_us / 1000)
            } else {
                decimal(value, 2)
            };
            if let Some(value) = value {
                charts.put(key, value);
            }
        }
    }
}
