//! `mainstem-bench children`: what children cost that hardly send anything.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use mainstem_child::Workload;

use crate::budget::Budgets;
use crate::cost::Cost;

const WORKLOADS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads");
/// Per cent of a core without children, and with two thousand that send a sample every ten seconds.
const ALONE: f64 = 1.0;
const IDLE: f64 = 5.0;
/// KiB of a child of ten dimensions.
const PLAIN_KIB: f64 = 16.0;
const LZ4_KIB: f64 = 100.0;

/// What it costs to have children: none at all, two thousand idle ones, five thousand small ones, plain and with LZ4.
#[derive(clap::Args)]
pub(crate) struct Children {
    /// How long a parent without children is looked at.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(5..))]
    seconds: u64,
}

impl Children {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let mut budgets = Budgets::default();
        let alone = Cost::of_nothing(Duration::from_secs(self.seconds)).await?;
        budgets.at_most("no children", 100.0 * alone.cores(), "% core", ALONE);
        budgets.told("  resident", alone.resident_bytes as f64 / 1e6, "MB");
        let idle = of("idle-2000.toml").await?;
        budgets.at_most("2000 children, a sample each every 10 s", 100.0 * idle.cores(), "% core", IDLE);
        budgets.at_most("  reconnects", idle.reconnects as f64, "", 0.0);
        for (file, most) in [("v2-plain-5000x10.toml", PLAIN_KIB), ("v2-lz4-5000x10.toml", LZ4_KIB)] {
            let cost = of(file).await?;
            let kib = (cost.resident_bytes.saturating_sub(alone.resident_bytes)) as f64 / 1024.0 / 5000.0;
            budgets.at_most(format!("a child of {file}"), kib, "KiB", most);
            budgets.told("  processor time a sample", 1e3 * cost.us_a_sample(), "ns");
            budgets.at_most("  reconnects", cost.reconnects as f64, "", 0.0);
        }
        print!("{budgets}");
        Ok(budgets.exit_code())
    }
}

/// Of a workload of the repository.
async fn of(file: &str) -> Result<Cost> {
    let workload = Workload::read(&Path::new(WORKLOADS).join(file))?;
    let seconds = Duration::from_secs;
    Cost::of(&workload.load, seconds(workload.warm_up_s), seconds(workload.duration_s)).await
}
