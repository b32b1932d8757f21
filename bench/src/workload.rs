//! [`Workload`]: what is done to a parent, as data, so that more can follow.

use std::time::Duration;

use mainstem_child::Load;
use mainstem_child::load::{Compression, Protocol};
use serde::Serialize;

/// A load, and when it is measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Workload {
    pub(crate) load: Load,
    /// It goes through the contenders and on to a parent.
    pub(crate) proxy: bool,
    /// Seconds before the measurement: connections, definitions, the first minute of higher tiers.
    pub(crate) warm_up_s: u64,
    pub(crate) measured_s: u64,
    pub(crate) rounds: u32,
}

impl Workload {
    /// A word for file names.
    pub(crate) fn name(&self) -> String {
        let Load { children, charts, dimensions, .. } = self.load;
        let role = if self.proxy { "proxy-" } else { "" };
        format!("{role}{}-{}-{children}x{charts}x{dimensions}", self.protocol(), self.compression())
    }

    fn protocol(&self) -> &'static str {
        match self.load.protocol {
            Protocol::V1 => "v1",
            Protocol::V2 => "v2",
        }
    }

    fn compression(&self) -> &'static str {
        match self.load.compression {
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Gzip => "gzip",
            Compression::Brotli => "brotli",
            Compression::None => "plain",
        }
    }

    /// How long connections are spread: children of one site come within seconds of each other, not at once.
    pub(crate) fn arrival(&self) -> Duration {
        Duration::from_secs(self.warm_up_s / 8).min(Duration::from_secs(10))
    }

    pub(crate) fn describe(&self) -> String {
        let Load { children, charts, dimensions, update_every, .. } = self.load;
        format!(
            "{}{children} children x {charts} charts x {dimensions} dimensions every {update_every} s, {} {}; {} s \
             warm-up, {} s measured, {} round{}",
            if self.proxy { "through a proxy: " } else { "" },
            self.protocol(),
            self.compression(),
            self.warm_up_s,
            self.measured_s,
            self.rounds,
            if self.rounds == 1 { "" } else { "s" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_workload_can_be_a_file_name() {
        let load =
            Load { children: 200, protocol: Protocol::V1, compression: Compression::None, ..Load::default() };
        let workload = Workload { load, proxy: false, warm_up_s: 75, measured_s: 60, rounds: 1 };
        assert_eq!(workload.name(), "v1-plain-200x100x10");
        assert_eq!(workload.arrival(), Duration::from_secs(9));
    }
}
