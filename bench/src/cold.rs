//! Questions about what only the disk has, while children stream.

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use mainstem_child::{Fleet, Load, Target};
use std::net::SocketAddr;

use crate::budget::Budgets;
use crate::generate::{Dataset, mixed};
use crate::process::Usage;
use crate::stored::{Place, Stored, get};

/// What an answer may take, in milliseconds, at the 99th percentile.
const HOUR_MS: f64 = 20.0;
const MONTH_MS: f64 = 50.0;
const MONTH_S: i64 = 30 * 86_400;
const MONTH_POINTS: u32 = 500;
/// How long all children may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(10);

/// Questions about what only the disk has, of charts and times at random, while children stream.
#[derive(clap::Args)]
pub(crate) struct Cold {
    /// What there is to ask for, as HOSTSxCHARTSxDIMENSIONSxHOURS.
    #[arg(long, default_value = "10x100x10x720")]
    dataset: Dataset,
    #[command(flatten)]
    place: Place,
    /// Questions of each kind.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    questions: u32,
    /// Children of 100 charts of 10 dimensions, that stream meanwhile.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=5000))]
    children: u32,
}

/// How long answers took, in microseconds.
struct Waits {
    hour: Histogram<u64>,
    month: Histogram<u64>,
}

impl Cold {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let (stored, directory) = Stored::make(&self.place, self.dataset)?;
        let running = Stored::start(directory)?;
        let load = Load { children: self.children as usize, name: "meanwhile".into(), ..Load::default() };
        let target = Target { address: running.address, key: running.key, tls: None };
        let fleet = Fleet::start(load, target, ARRIVAL / 2);
        tokio::time::sleep(2 * ARRIVAL).await;
        let streaming = fleet.totals().streaming.load(Relaxed);
        ensure!(streaming == u64::from(self.children), "only {streaming} children stream");
        let (before, samples) = (Usage::of(running.pid())?, fleet.totals().samples.load(Relaxed));
        let (begun, address, questions) = (Instant::now(), running.address, self.questions);
        // Beside the children's thread, so that their work is not measured as a wait.
        let asking = tokio::task::spawn_blocking(move || ask(&stored, address, questions));
        let waits = asking.await??;
        let seconds = begun.elapsed().as_secs_f64();
        let samples = fleet.totals().samples.load(Relaxed) - samples;
        let after = Usage::of(running.pid())?;
        fleet.stop().await;
        running.stop()?;

        let mut budgets = Budgets::default();
        for (what, waits, most) in
            [("1 h at 1 s", &waits.hour, HOUR_MS), ("30 days at 500 points", &waits.month, MONTH_MS)]
        {
            let at = |quantile: f64| waits.value_at_quantile(quantile) as f64 / 1e3;
            budgets.told(format!("{what}, p50"), at(0.5), "ms");
            budgets.told(format!("{what}, p90"), at(0.9), "ms");
            budgets.at_most(format!("{what}, p99"), at(0.99), "ms", most);
            budgets.told(format!("{what}, longest"), at(1.0), "ms");
        }
        budgets.told("samples a second meanwhile", samples as f64 / seconds, "");
        budgets.told("cores of the parent meanwhile", (after.cpu_s - before.cpu_s) / seconds, "");
        budgets.told("resident", after.resident_bytes as f64 / 1e6, "MB");
        println!("cold questions: {} of each kind, {} children", self.questions, self.children);
        print!("{budgets}");
        Ok(budgets.exit_code())
    }
}

/// Asks one question after the other, each with nothing in the kernel's page cache but what the parent has mapped.
fn ask(stored: &Stored, address: SocketAddr, questions: u32) -> Result<Waits> {
    let histogram = || Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("the bounds are right");
    let mut waits = Waits { hour: histogram(), month: histogram() };
    let mut random = 1;
    let mut below = |bound: i64| {
        random = mixed(random + 0x9E37_79B9_7F4A_7C15);
        (random % bound.max(1) as u64) as i64
    };
    for _ in 0..questions {
        let (host, chart) =
            (below(stored.dataset.hosts.into()) as u32, below(stored.dataset.charts.into()) as u32);
        let start = stored.first + below(stored.last - stored.first - 3600);
        let window = start..start + 3600;
        let path = stored.question(host, chart, window.clone(), 3600);
        let (wait, answer) = timed(stored, address, &path)?;
        waits.hour.saturating_record(wait);
        stored.check_seconds(host, chart, window, &answer)?;

        let window = (stored.last - MONTH_S).max(stored.first)..stored.last;
        let path = stored.question(host, chart, window, MONTH_POINTS);
        let (wait, answer) = timed(stored, address, &path)?;
        waits.month.saturating_record(wait);
        let rows = answer.lines().count();
        ensure!(rows.abs_diff(MONTH_POINTS as usize + 1) <= 2, "{rows} lines for a month");
        ensure!(!answer.contains("null"), "a month without gaps has one in the answer");
    }
    Ok(waits)
}

/// How many microseconds an answer took, and the answer.
fn timed(stored: &Stored, address: SocketAddr, path: &str) -> Result<(u64, String)> {
    stored.forget()?;
    let begun = Instant::now();
    let answer = get(address, path)?;
    Ok((begun.elapsed().as_micros() as u64, answer))
}
