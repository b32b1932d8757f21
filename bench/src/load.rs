//! A long load: whether memory reaches a level, writes are even, and nothing waits for the disk.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, ensure};
use mainstem_child::freshness::Asking;
use mainstem_child::load::Protocol;
use mainstem_child::verify::{Verifier, http};
use mainstem_child::{Fleet, Load, Target};
use tokio::time::{Instant, sleep_until};

use crate::budget::Budgets;
use crate::contender::{Contender, Running};
use crate::measurement::{largest, sum};
use crate::process::Usage;

/// The largest second of writes, in means.
const MOST_UNEVEN: f64 = 3.0;
/// Resident bytes of a metric.
const RESIDENT: f64 = 600.0;
/// From a row's departure until an answer has it: milliseconds.
const FRESH_MS: f64 = 1500.0;
/// Charts asked for in the end, and the longest time of each.
const VERIFIED_CHARTS: usize = 100;
const VERIFIED_S: i64 = 600;
/// How long a hundred children may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(2);
/// Parts of the time that memory is told of.
const PARTS: usize = 10;

/// Many children for minutes: memory over time, writes by the second, what the disk took for them.
#[derive(clap::Args)]
pub(crate) struct LongLoad {
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=5000))]
    children: u32,
    /// Of a child, of ten dimensions each.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    charts: u32,
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..))]
    seconds: u64,
    /// How long the load runs before writes are measured: a group's first pages are full after four minutes, all of
    /// them after another four.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    warm_up: u64,
    #[arg(long, value_enum, default_value_t = Protocol::V2)]
    protocol: Protocol,
    /// Where a directory for the parent is made, on the kind of disk that is meant.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    directory: PathBuf,
}

/// What a second was like.
#[derive(Clone, Copy, Debug)]
struct Second {
    written_bytes: u64,
    resident_bytes: u64,
}

impl LongLoad {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir_in(&self.directory)?;
        let parent = Contender::start_ours(directory, "")?;
        let load = Load {
            children: self.children as usize,
            charts: self.charts as usize,
            protocol: self.protocol,
            name: "long".into(),
            ..Load::default()
        };
        let (metrics, seed) = (load.metrics() as f64, load.seed);
        let arrival = ARRIVAL.mul_f64(f64::from(self.children) / 100.0).max(ARRIVAL);
        let target = Target { address: parent.address, key: parent.key, tls: None };
        let fleet = Fleet::start(load, target, arrival / 2);
        let begun = Instant::now();
        sleep_until(begun + arrival + Duration::from_secs(self.warm_up)).await;
        let streaming = fleet.totals().streaming.load(Relaxed);
        ensure!(
            streaming == u64::from(self.children),
            "only {streaming} of {} children stream",
            self.children
        );
        fleet.reset_waits();
        let (before, samples) = (Usage::of(parent.pid())?, fleet.totals().samples.load(Relaxed));
        let seconds = tokio::select! {
            seconds = watch(&parent, before, self.seconds) => seconds?,
            never = fleet.ask_for_newest(Asking::of(parent.address)) => match never {},
        };
        let after = Usage::of(parent.pid())?;
        let report = fleet.report();
        let verdict = Verifier::new(parent.address, VERIFIED_CHARTS, VERIFIED_S, seed).round(&fleet).await;
        let figures = http::get(parent.address, "/metrics").await?;
        let figures = String::from_utf8_lossy(&figures).into_owned();
        fleet.stop().await;
        let stop_s = parent.stop()?.as_secs_f64();

        let figure = |name: &str| sum(&figures, name).unwrap_or_default() as f64;
        let duration = |name: &str, quantile: &str| {
            let name = format!("mainstem_disk_{name}_seconds");
            1e3 * largest(&figures, &name, &format!("quantile=\"{quantile}\"")).unwrap_or_default()
        };
        let samples = (report.samples - samples) as f64;
        let written: Vec<u64> = seconds.iter().map(|second| second.written_bytes).collect();
        let mean = written.iter().sum::<u64>() as f64 / written.len() as f64;
        let most = written.iter().max().copied().unwrap_or_default() as f64;

        let mut budgets = Budgets::default();
        budgets.told("samples a second", samples / self.seconds as f64, "");
        budgets.told("sent late, p99", report.lag.p99_ms, "ms");
        if let Some(freshness) = report.freshness {
            budgets.at_most("ingest to query, p99", freshness.in_all.p99_ms, "ms", FRESH_MS);
            budgets.told("  the parent's part, p99", freshness.by_parent.p99_ms, "ms");
        }
        budgets.told("points compared with what was sent", verdict.points as f64, "");
        let faults = if verdict.points == 0 { 1.0 } else { (verdict.missing + verdict.wrong) as f64 };
        budgets.at_most("  missing or wrong, or none compared", faults, "", 0.0);
        budgets.told("cores of the parent", (after.cpu_s - before.cpu_s) / self.seconds as f64, "");
        budgets.told("processor time a sample", 1e9 * (after.cpu_s - before.cpu_s) / samples, "ns");
        let part = seconds.len().div_ceil(PARTS);
        for (number, part) in seconds.chunks(part).enumerate() {
            let resident = part.iter().map(|second| second.resident_bytes).max().unwrap_or_default();
            let what = format!("resident a metric, tenth {}", number + 1);
            budgets.told(what, resident as f64 / metrics, "bytes");
        }
        budgets.at_most(
            "resident a metric, in the end",
            after.resident_bytes as f64 / metrics,
            "bytes",
            RESIDENT,
        );
        budgets.told("written a second, mean", mean / 1e6, "MB");
        budgets.told("written a sample", mean * self.seconds as f64 / samples, "bytes");
        budgets.at_most("largest second of writes", most / mean, "means", MOST_UNEVEN);
        for operation in ["write", "sync"] {
            budgets.told(format!("{operation} of the disk, p50"), duration(operation, "0.5"), "ms");
            budgets.told(format!("{operation} of the disk, p99"), duration(operation, "0.99"), "ms");
            budgets.told(format!("{operation} of the disk, slowest"), duration(operation, "1"), "ms");
        }
        budgets.told(
            "commit of the catalog, last",
            figure("mainstem_catalog_commit_microseconds") / 1e3,
            "ms",
        );
        budgets.at_most("pings missed by a shard", figure("mainstem_shard_missed_pings_total"), "", 0.0);
        budgets.at_most("rows stale", figure("mainstem_stale_rows_total"), "", 0.0);
        budgets.at_most("samples lost", figure("mainstem_disk_samples_lost_total"), "", 0.0);
        budgets.at_most("errors of the disk", figure("mainstem_disk_errors_total"), "", 0.0);
        budgets.at_most("reconnects", report.reconnects as f64, "", 0.0);
        budgets.told(
            "minutes' files derived",
            largest(&figures, "mainstem_tier_files", "tier=\"1\"").unwrap_or_default(),
            "",
        );
        budgets.told("stop", stop_s, "s");
        println!(
            "long load: {} children x {} charts x 10 dimensions, {:?}, {} s after {} s",
            self.children, self.charts, self.protocol, self.seconds, self.warm_up
        );
        print!("{budgets}");
        Ok(budgets.exit_code())
    }
}

/// Looks at a process once a second.
async fn watch(parent: &Running, before: Usage, count: u64) -> Result<Vec<Second>> {
    let begun = Instant::now();
    let mut written = before.written_bytes;
    let mut seconds = Vec::new();
    for number in 1..=count {
        sleep_until(begun + Duration::from_secs(number)).await;
        let usage = Usage::of(parent.pid())?;
        seconds.push(Second {
            written_bytes: usage.written_bytes - written,
            resident_bytes: usage.resident_bytes,
        });
        written = usage.written_bytes;
    }
    Ok(seconds)
}
