//! What this machine does: the built-in collector of a Linux host.
//!
//! It reads `/proc` and `/sys` and gives the text that an external plugin would print: charts with the ids, contexts,
//! units, dimensions and priorities of Netdata 1.37's plugins `proc`, `diskspace` and `cgroups`, so that dashboards and
//! alerts made for these find what they look for.
//!
//! ```text
//! /proc/stat -> Reader -> words, numbers -> Charts::put -> Charts::write -> CHART, DIMENSION, BEGIN, SET, END
//! ```
//!
//! A subject is a file here: [`cpu`], [`memory`], [`disks`] and so on, each with its tables of charts. A file of the kernel
//! stays open and is read from its beginning each time, into one buffer; nothing is allocated for a row of a chart that
//! is known. What a machine has not, its files are missing or its counters zero, is not shown, until it is there; what
//! disappears is defined once more with the option `obsolete`. There is no thread here and no clock: whoever calls says
//! how much time has passed.

use std::path::{Path, PathBuf};

mod cgroups;
mod chart;
mod cpu;
mod disks;
mod interrupts;
mod machine;
mod memory;
mod mounts;
mod network;
mod pressure;
mod protocols;
mod roster;
mod sockets;
mod text;

use chart::Lines;
use text::Reader;

/// The plugin that most charts say they are of.
const PROC: &str = "proc.plugin";

/// What is collected, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The machine: cores, memory, disks, network.
    pub proc: bool,
    /// Space and inodes of what is mounted.
    pub diskspace: bool,
    /// Containers, virtual machines, services.
    pub cgroups: bool,
    /// Seconds between two calls.
    pub update_every_s: u32,
    /// Where the machine's files are: `/`, or where a container has its host's.
    pub root: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self { proc: true, diskspace: true, cgroups: true, update_every_s: 1, root: PathBuf::from("/") }
    }
}

/// All subjects that are switched on.
pub struct Collector {
    reader: Reader,
    subjects: Vec<Box<dyn Subject>>,
    update_every_s: u32,
}

impl Collector {
    pub fn new(options: Options) -> Self {
        let reader = Reader::new(options.root);
        let mut subjects: Vec<Box<dyn Subject>> = Vec::new();
        if options.proc {
            subjects.push(Box::new(cpu::Stat::new(&reader)));
            subjects.push(Box::new(machine::Load::new(&reader)));
            subjects.push(Box::new(machine::Uptime::new(&reader)));
            subjects.push(Box::new(machine::Entropy::new(&reader)));
            subjects.push(Box::new(machine::Ipc::new(&reader)));
            subjects.push(Box::new(pressure::Pressure::new(&reader)));
            subjects.push(Box::new(interrupts::Interrupts::new(&reader)));
            subjects.push(Box::new(interrupts::Interrupts::of_kernel(&reader)));
            subjects.push(Box::new(memory::Meminfo::new(&reader)));
            subjects.push(Box::new(memory::Vmstat::new(&reader)));
            subjects.push(Box::new(memory::Nodes::new(&reader)));
            subjects.push(Box::new(memory::Ksm::new(&reader)));
            subjects.push(Box::new(memory::Zram::new(&reader)));
            subjects.push(Box::new(disks::Disks::new(&reader)));
            subjects.push(Box::new(network::Network::new(&reader)));
            subjects.push(Box::new(cpu::Softnet::new(&reader)));
            for counters in sockets::Counters::all(&reader) {
                subjects.push(Box::new(counters));
            }
        }
        if options.diskspace {
            subjects.push(Box::new(mounts::Mounts::new()));
        }
        if options.cgroups {
            subjects.push(Box::new(cgroups::Cgroups::new(&reader)));
        }
        Self { reader, subjects, update_every_s: options.update_every_s.max(1) }
    }

    /// Appends a row of each chart, `elapsed_us` microseconds after the last, and definitions of those that are new or
    /// gone.
    pub fn collect(&mut self, elapsed_us: u64, out: &mut Vec<u8>) {
        let mut lines = Lines { out, elapsed_us, update_every_s: self.update_every_s };
        for subject in &mut self.subjects {
            subject.collect(&mut self.reader, &mut lines);
        }
    }
}

/// A part of the machine.
trait Subject: Send {
    /// Reads what there is to know now, and writes it.
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>);
}

/// For what need not be looked at each time.
struct Pace {
    least_s: u32,
    /// Calls until it is due.
    wait: u32,
    elapsed_us: u64,
}

impl Pace {
    /// Due at once, then every `least_s` seconds, or with each call if these come less often.
    fn new(least_s: u32) -> Self {
        Self { least_s, wait: 0, elapsed_us: 0 }
    }

    /// When it is due: where its lines go, with the time since it was.
    fn due<'a>(&mut self, out: &'a mut Lines<'_>) -> Option<Lines<'a>> {
        self.elapsed_us = self.elapsed_us.saturating_add(out.elapsed_us);
        if self.wait > 0 {
            self.wait -= 1;
            return None;
        }
        let calls = self.least_s.div_ceil(out.update_every_s).max(1);
        self.wait = calls - 1;
        let elapsed_us = std::mem::take(&mut self.elapsed_us);
        Some(Lines {
            out: &mut *out.out,
            elapsed_us,
            update_every_s: calls.saturating_mul(out.update_every_s),
        })
    }
}

/// The names in a directory; none if there is no such directory.
fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

#[cfg(test)]
mod tests;
