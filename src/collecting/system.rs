//! [`System`]: the built-in collector of this machine as a [`Source`].

use super::Source;
use crate::config::LinuxParts;
use crate::linux::{Collector, Options};

/// What the kernel says of the machine.
pub struct System {
    collector: Collector,
    update_every_s: u32,
}

impl System {
    /// `None`: all of its parts are switched off.
    pub fn new(parts: LinuxParts, update_every_s: u32) -> Option<Self> {
        let LinuxParts { proc, diskspace, cgroups } = parts;
        let options = Options { proc, diskspace, cgroups, update_every_s, ..Options::default() };
        (proc || diskspace || cgroups).then(|| Self { collector: Collector::new(options), update_every_s })
    }
}

impl Source for System {
    fn name(&self) -> &'static str {
        "proc"
    }

    fn update_every_s(&self) -> u32 {
        self.update_every_s
    }

    fn collect(&mut self, elapsed_us: i64, out: &mut Vec<u8>) {
        self.collector.collect(u64::try_from(elapsed_us).unwrap_or(0), out);
    }
}
