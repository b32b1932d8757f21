//! `mainstem-bench dashboards`: people who look while children stream.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, ensure};
use mainstem_child::freshness::Asking;
use mainstem_child::verify::http;
use mainstem_child::{Fleet, Target, Workload};
use tokio::time::sleep;

use crate::budget::Budgets;
use crate::clients::{Clients, Habit};
use crate::contender::Contender;
use crate::measurement::sum;
use crate::process::Usage;

const ANSWER_MS: f64 = 30.0;
const FRESH_MS: f64 = 1500.0;

/// Twenty dashboards of ten charts each, the last ten minutes, refreshed every second, while half a million samples a second
/// come.
#[derive(clap::Args)]
pub(crate) struct Dashboards {
    #[arg(long, value_name = "FILE.toml", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/dashboards-500x1000.toml"))]
    workload: PathBuf,
    /// How long the load runs before, instead of what the workload says.
    #[arg(long, value_name = "SECONDS")]
    warm_up: Option<u64>,
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    clients: u32,
}

impl Dashboards {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let workload = Workload::read(&self.workload)?;
        let load = &workload.load;
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let parent = Contender::start_ours(directory, "")?;
        let target = Target { address: parent.address, key: parent.key, tls: None };
        let fleet = Fleet::start(load.clone(), target, workload.conduct());
        sleep(Duration::from_secs(self.warm_up.unwrap_or(workload.warm_up_s))).await;
        let streaming = fleet.totals().streaming.load(Relaxed);
        ensure!(streaming == load.children as u64, "only {streaming} of {} children stream", load.children);
        fleet.reset_waits();
        let window = Duration::from_secs(workload.duration_s);
        let sent = || fleet.totals().samples.load(Relaxed);

        let (before, samples) = (Usage::of(parent.pid())?, sent());
        sleep(window).await;
        let (between, samples_alone, lag_alone) = (Usage::of(parent.pid())?, sent() - samples, fleet.lag());
        fleet.reset_waits();
        let habit = Habit {
            clients: self.clients as usize,
            charts: 10,
            window_s: 600,
            every: Duration::from_secs(1),
        };
        let (clients, samples) = (Clients::start(parent.address, load, habit), sent());
        tokio::select! {
            never = fleet.ask_for_newest(Asking::of(parent.address)) => match never {},
            () = sleep(window) => {}
        }
        let (after, samples_asked) = (Usage::of(parent.pid())?, sent() - samples);
        let (seen, report) = (clients.stop().await?, fleet.report());
        let figures = http::get(parent.address, "/metrics").await?;
        let stale = sum(&String::from_utf8_lossy(&figures), "mainstem_stale_rows_total").unwrap_or_default();
        fleet.stop().await;
        parent.stop()?;

        let seconds = window.as_secs_f64();
        let mut budgets = Budgets::default();
        budgets.told("samples a second, before", samples_alone as f64 / seconds, "");
        budgets.told("samples a second, meanwhile", samples_asked as f64 / seconds, "");
        budgets.told("cores of the parent, before", (between.cpu_s - before.cpu_s) / seconds, "");
        budgets.told("cores of the parent, meanwhile", (after.cpu_s - between.cpu_s) / seconds, "");
        budgets.told("answers a second", seen.questions as f64 / seconds, "");
        budgets.told("an answer, p50", seen.waits.p50_ms, "ms");
        budgets.told("an answer, p90", seen.waits.p90_ms, "ms");
        budgets.at_most("an answer, p99", seen.waits.p99_ms, "ms", ANSWER_MS);
        budgets.told("an answer, longest", seen.waits.max_ms, "ms");
        budgets.at_most("questions without an answer", seen.failed as f64, "", 0.0);
        if let Some(freshness) = report.freshness {
            budgets.at_most("ingest to query, p99", freshness.in_all.p99_ms, "ms", FRESH_MS);
            budgets.told("  the parent's part, p99", freshness.by_parent.p99_ms, "ms");
        }
        budgets.told("sent late before, p99", lag_alone.p99_ms, "ms");
        budgets.told("sent late meanwhile, p99", report.lag.p99_ms, "ms");
        budgets.told("bytes that had to wait for the parent", report.delayed_bytes as f64, "");
        budgets.at_most("reconnects", report.reconnects as f64, "", 0.0);
        budgets.at_most("rows stale", stale as f64, "", 0.0);
        print!("{budgets}");
        Ok(budgets.exit_code())
    }
}
