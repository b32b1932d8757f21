//! Interrupts of devices and of the kernel itself: how many of each kind, all cores together and each core.

use super::chart::{Chart, Growing, Instance, Lines, chart, incremental};
use super::text::{Reader, Text, lines, number, words};
use super::{PROC, Subject};

const INTERRUPTS: Chart = chart("system.interrupts", "System interrupts", "interrupts/s", "interrupts", 1000)
    .stacked()
    .dimensions(&[incremental("*")]);
const CORE_INTERRUPTS: Chart =
    chart("cpu.*_interrupts", "CPU Interrupts", "interrupts/s", "interrupts", 1100)
        .context("cpu.interrupts")
        .stacked()
        .numbered()
        .dimensions(&[incremental("*")]);
const SOFTIRQS: Chart = chart("system.softirqs", "System softirqs", "softirqs/s", "softirqs", 950)
    .stacked()
    .dimensions(&[incremental("*")]);
const CORE_SOFTIRQS: Chart = chart("cpu.*_softirqs", "CPU softirqs", "softirqs/s", "softirqs", 3000)
    .context("cpu.softirqs")
    .stacked()
    .numbered()
    .dimensions(&[incremental("*")]);

/// Longer names are cut, so that the number at their end stays.
const LONGEST_NAME: usize = 50;

/// A table of a line a kind and a column a core: `/proc/interrupts` or `/proc/softirqs`.
pub(super) struct Interrupts {
    file: Text,
    origin: (&'static str, &'static str),
    total: Growing,
    of_core: &'static Chart,
    cores: Vec<Growing>,
    /// The name of the line at hand.
    name: Vec<u8>,
}

impl Interrupts {
    pub(super) fn new(reader: &Reader) -> Self {
        Self::table(reader, "/proc/interrupts", &INTERRUPTS, &CORE_INTERRUPTS)
    }

    pub(super) fn of_kernel(reader: &Reader) -> Self {
        Self::table(reader, "/proc/softirqs", &SOFTIRQS, &CORE_SOFTIRQS)
    }

    fn table(reader: &Reader, module: &'static str, total: &'static Chart, of_core: &'static Chart) -> Self {
        Self {
            file: reader.open(module),
            origin: (PROC, module),
            total: Growing::new((PROC, module), total, Instance::default()),
            of_core,
            cores: Vec::new(),
            name: Vec::new(),
        }
    }
}

impl Subject for Interrupts {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.file) else { return };
        let mut lines = lines(text);
        let cores = lines.next().map_or(0, |heading| words(heading).count());
        for core in self.cores.len()..cores {
            let id = format!("cpu{core}");
            let labels = vec![("cpu", id.clone())];
            let number = u32::try_from(core).unwrap_or(u32::MAX / 2);
            let instance = Instance { id, number, labels, ..Instance::default() };
            self.cores.push(Growing::new(self.origin, self.of_core, instance));
        }
        for mut gone in self.cores.drain(cores..) {
            gone.retire(out);
        }
        for line in lines {
            let mut words = words(line);
            let Some(id) = words.next() else { continue };
            let id = id.strip_suffix(b":").unwrap_or(id);
            put_name(&mut self.name, id, line, cores);
            let mut total = 0u64;
            for (core, word) in self.cores.iter_mut().zip(words) {
                let Some(value) = number(word) else { break };
                total = total.wrapping_add(value);
                if value != 0 {
                    core.put(id, &self.name, value);
                }
            }
            if total != 0 {
                self.total.put(id, &self.name, total);
            }
        }
        self.total.write(out);
        self.cores.iter_mut().for_each(|core| core.write(out));
    }
}

/// Interrupts of devices have a number for an id, and are called after the last word of their line, without what stands
/// before a colon in it.
fn put_name(name: &mut Vec<u8>, id: &[u8], line: &[u8], cores: usize) {
    name.clear();
    let device = words(line).skip(cores + 2).last();
    match device {
        Some(device) if id.first().is_some_and(u8::is_ascii_digit) => {
            let device = device.rsplit(|&byte| byte == b':').find(|part| !part.is_empty()).unwrap_or(device);
            let room = LONGEST_NAME.saturating_sub(id.len() + 1);
            name.extend_from_slice(&device[..device.len().min(room)]);
            name.push(b'_');
            name.extend_from_slice(id);
        }
        _ => name.extend_from_slice(id),
    }
}
