//! [`Workload`]: what is done to a parent: a file of `bench/workloads`, by its name, and the way it goes.

use std::path::Path;

use anyhow::{Context, Result};
use mainstem_child::conduct::Conduct;
use mainstem_child::load::{Compression, Protocol};
use mainstem_child::{Load, Workload as Written};
use serde::Serialize;

/// A workload, and when it is measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Workload {
    #[serde(flatten)]
    pub(crate) written: Written,
    /// It goes through the contenders and on to a parent.
    pub(crate) proxy: bool,
}

impl Workload {
    pub(crate) fn read(file: &Path, proxy: bool) -> Result<Workload> {
        let written = Written::read(file).context("the workload")?;
        Ok(Workload { written, proxy })
    }

    pub(crate) fn load(&self) -> &Load {
        &self.written.load
    }

    /// How its children behave.
    pub(crate) fn conduct(&self) -> Conduct {
        self.written.conduct()
    }

    /// A word for file names.
    pub(crate) fn name(&self) -> String {
        let Load { children, charts, dimensions, .. } = self.load();
        let role = if self.proxy { "proxy-" } else { "" };
        format!("{role}{}-{}-{children}x{charts}x{dimensions}", self.protocol(), self.compression())
    }

    fn protocol(&self) -> &'static str {
        match self.load().protocol {
            Protocol::V1 => "v1",
            Protocol::V2 => "v2",
        }
    }

    fn compression(&self) -> &'static str {
        match self.load().compression {
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
            Compression::Gzip => "gzip",
            Compression::Brotli => "brotli",
            Compression::None => "plain",
        }
    }

    pub(crate) fn describe(&self) -> String {
        let Load { children, charts, dimensions, update_every, .. } = self.load();
        let rounds = self.written.rounds.0;
        format!(
            "{}{children} children x {charts} charts x {dimensions} dimensions every {update_every} s, {} {}; {} s \
             warm-up, {} s measured, {rounds} round{}",
            if self.proxy { "through a proxy: " } else { "" },
            self.protocol(),
            self.compression(),
            self.written.warm_up_s,
            self.written.duration_s,
            if rounds == 1 { "" } else { "s" }
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
        let workload = Workload { written: Written { load, ..Written::default() }, proxy: false };
        assert_eq!(workload.name(), "v1-plain-200x100x10");
    }
}
