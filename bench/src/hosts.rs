//! `mainstem-bench hosts`: questions about all hosts at once, while their children stream.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use mainstem_child::verify::http;
use mainstem_child::{Fleet, Target, Workload};
use tokio::time::sleep;

use crate::budget::Budgets;
use crate::contender::Contender;
use crate::measurement::sum;
use crate::process::Usage;
use crate::stored::get;

/// What an answer about all hosts may take.
const ALL_HOSTS_MS: f64 = 300.0;
/// What a dashboard's answer may take meanwhile.
const ONE_CHART_MS: f64 = 30.0;
/// How long rows of the past may fail to come before something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// The mean of one context of a thousand hosts over two hours, again and again, while they stream; and beside it one chart of
/// one host, as a dashboard asks for it.
#[derive(clap::Args)]
pub(crate) struct Hosts {
    #[arg(long, value_name = "FILE.toml", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/hosts-1000x10.toml"))]
    workload: PathBuf,
    /// Rows that are asked for: with 120, a row a minute.
    #[arg(long, default_value_t = 120)]
    points: u32,
}

impl Hosts {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let workload = Workload::read(&self.workload)?;
        let load = &workload.load;
        let past = load.database.as_ref().context("a workload with a past is wanted: [load.database]")?;
        let (history_s, dimensions) = (past.history_s, load.charts.min(10) * load.dimensions);
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let parent = Contender::start_ours(directory, "")?;
        let target = Target { address: parent.address, key: parent.key, tls: None };
        let begun = Instant::now();
        let fleet = Fleet::start(load.clone(), target, workload.conduct());
        arrived(parent.address, load.children as u64, Duration::from_secs(workload.warm_up_s)).await?;
        let took = begun.elapsed();
        fleet.reset_waits();
        let window = Duration::from_secs(workload.duration_s);
        let (before, samples) = (Usage::of(parent.pid())?, fleet.totals().samples.load(Relaxed));
        sleep(window).await;
        let (between, lag_alone) = (Usage::of(parent.pid())?, fleet.lag());
        let samples_alone = fleet.totals().samples.load(Relaxed) - samples;

        let context = load.context(0);
        let all = |by: &str| {
            format!(
                "/api/v2/data?scope_contexts={context}&after=-{history_s}&before=0&points={}&group_by={by}&format=json",
                self.points
            )
        };
        let chart = load.chart_id(0);
        let one = format!(
            "/host/{}/api/v1/data?chart={chart}&after=-600&format=json",
            load.machine_guid(load.children / 2)
        );
        fleet.reset_waits();
        let samples = fleet.totals().samples.load(Relaxed);
        let seen = looked(parent.address, [all("selected"), all("node")], one, window).await?;
        let (after, lag) = (Usage::of(parent.pid())?, fleet.lag());
        let samples_asked = fleet.totals().samples.load(Relaxed) - samples;
        let described = all("selected").replace("format=json", "format=json2&options=no-summary");
        let described = http::get(parent.address, &described).await?;
        let described: serde_json::Value = serde_json::from_slice(&described)?;
        let read = &described["db"]["per_tier"][0];
        let lost = fleet.report().reconnects;
        fleet.stop().await;
        parent.stop()?;

        let seconds = window.as_secs_f64();
        let mut budgets = Budgets::default();
        budgets.told("hosts", load.children as f64, "");
        budgets.told("dimensions of the context on each", dimensions as f64, "");
        budgets.told("tier that answers", read["tier"].as_f64().unwrap_or(f64::NAN), "");
        budgets.told(
            "samples read an answer, millions",
            read["points"].as_f64().unwrap_or(f64::NAN) / 1e6,
            "",
        );
        budgets.told("seconds until all of the past was there", took.as_secs_f64(), "");
        for (what, waits) in ["all hosts, one line", "all hosts, a line each"].into_iter().zip(&seen.all) {
            let at = |quantile: f64| waits.value_at_quantile(quantile) as f64 / 1e3;
            budgets.told(format!("{what}: answers"), waits.len() as f64, "");
            budgets.at_most(format!("{what}: p50"), at(0.5), "ms", ALL_HOSTS_MS);
            budgets.told(format!("{what}: longest"), at(1.0), "ms");
        }
        let at = |quantile: f64| seen.one.value_at_quantile(quantile) as f64 / 1e3;
        budgets.told("one chart of one host meanwhile: p50", at(0.5), "ms");
        budgets.at_most("one chart of one host meanwhile: p90", at(0.9), "ms", ONE_CHART_MS);
        budgets.told("one chart of one host meanwhile: longest", at(1.0), "ms");
        budgets.told("samples a second before", samples_alone as f64 / seconds, "");
        budgets.told("samples a second meanwhile", samples_asked as f64 / seconds, "");
        budgets.told("cores of the parent before", (between.cpu_s - before.cpu_s) / seconds, "");
        budgets.told("cores of the parent meanwhile", (after.cpu_s - between.cpu_s) / seconds, "");
        budgets.told("sent late before, p99", lag_alone.p99_ms, "ms");
        budgets.told("sent late meanwhile, p99", lag.p99_ms, "ms");
        budgets.told("resident", after.resident_bytes as f64 / 1e6, "MB");
        budgets.at_most("reconnects", lost as f64, "", 0.0);
        print!("{budgets}");
        Ok(budgets.exit_code())
    }
}

/// Waits until all children stream and nothing of their past is missing.
async fn arrived(parent: SocketAddr, children: u64, at_most: Duration) -> Result<()> {
    let begun = Instant::now();
    let (mut newest, mut changed) = (0, Instant::now());
    loop {
        let page = http::get(parent, "/metrics").await?;
        let page = String::from_utf8_lossy(&page);
        let figure = |name: &str| sum(&page, name).unwrap_or_default();
        let left = figure("mainstem_charts_starting")
            + figure("mainstem_charts_filling")
            + figure("mainstem_missing_rows");
        if figure("mainstem_connections") == children && left == 0 {
            return Ok(());
        }
        let rows = figure("mainstem_replayed_rows_total");
        if rows != newest {
            (newest, changed) = (rows, Instant::now());
        }
        ensure!(
            changed.elapsed() < PATIENCE,
            "no row of the past has come for {PATIENCE:?}, {left} are missing"
        );
        ensure!(begun.elapsed() < at_most, "{left} rows of the past are missing after {at_most:?}");
        sleep(Duration::from_secs(1)).await;
    }
}

/// How long answers took, in microseconds.
struct Waits {
    all: [Histogram<u64>; 2],
    one: Histogram<u64>,
}

/// Asks both questions about all hosts in turn, and the one about a chart beside them ten times a second, in threads of their own.
async fn looked(parent: SocketAddr, all: [String; 2], one: String, window: Duration) -> Result<Waits> {
    let histogram = || Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("the bounds are right");
    let is_over = std::sync::Arc::new(AtomicBool::new(false));
    let over = std::sync::Arc::clone(&is_over);
    let small = tokio::task::spawn_blocking(move || -> Result<Histogram<u64>> {
        let mut waits = histogram();
        while !over.load(Relaxed) {
            let begun = Instant::now();
            get(parent, &one)?;
            waits.saturating_record(begun.elapsed().as_micros() as u64);
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(waits)
    });
    let large = tokio::task::spawn_blocking(move || -> Result<[Histogram<u64>; 2]> {
        let mut waits = [histogram(), histogram()];
        let begun = Instant::now();
        while begun.elapsed() < window {
            for (path, waits) in all.iter().zip(&mut waits) {
                let begun = Instant::now();
                let answer = get(parent, path)?;
                ensure!(
                    answer.contains("\"data\""),
                    "no answer to {path}: {}",
                    &answer[..answer.len().min(200)]
                );
                waits.saturating_record(begun.elapsed().as_micros() as u64);
            }
        }
        Ok(waits)
    });
    let all = large.await?;
    is_over.store(true, Relaxed);
    Ok(Waits { all: all?, one: small.await?? })
}
