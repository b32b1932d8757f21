//! How long a parent takes to start on a large database, and how much memory that takes.

use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mainstem_child::{Fleet, Load, Target};

use crate::budget::Budgets;
use crate::contender::Running;
use crate::generate::Dataset;
use crate::process::Usage;
use crate::stored::{Place, Stored, get};

/// What a start may take.
const ACCEPTS_WITHIN_S: f64 = 2.0;
const ANSWERS_WITHIN_S: f64 = 5.0;
const RESIDENT_MB: f64 = 600.0;
/// When memory has settled.
const SETTLED_AFTER: Duration = Duration::from_secs(15);
/// A start that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts on a large database: until the first child is accepted, until the first question is answered.
#[derive(clap::Args)]
pub(crate) struct Start {
    /// What there is, as HOSTSxCHARTSxDIMENSIONSxHOURS.
    #[arg(long, default_value = "1000x200x5x24")]
    dataset: Dataset,
    #[command(flatten)]
    place: Place,
    /// Starts with nothing of the database in the kernel's page cache, and as many with all that the one before left there.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// What one start took.
#[derive(Clone, Copy, Debug)]
struct Round {
    accepted_s: f64,
    answered_s: f64,
    cpu_s: f64,
    resident_mb: f64,
    peak_mb: f64,
}

impl Start {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let (stored, directory) = Stored::make(&self.place, self.dataset)?;
        let mut rounds: [Vec<Round>; 2] = Default::default();
        stored.forget()?;
        let mut running = Stored::start(directory)?;
        for number in 0..2 * self.rounds {
            let is_cold = number < self.rounds;
            if number > 0 {
                running.end()?;
                if is_cold {
                    stored.forget()?;
                }
                Stored::start_again(&mut running)?;
            }
            let round = measure(&stored, &running, number).await?;
            eprintln!("{} start: {round:?}", if is_cold { "cold" } else { "warm" });
            rounds[usize::from(!is_cold)].push(round);
        }
        running.stop()?;
        let mut budgets = Budgets::default();
        for (name, rounds) in [("cold", &rounds[0]), ("warm", &rounds[1])] {
            let worst = |value: fn(&Round) -> f64| rounds.iter().map(value).fold(0.0, f64::max);
            let what = |what: &str| format!("{name}, {what}");
            budgets.at_most(
                what("until a child is accepted"),
                worst(|r| r.accepted_s),
                "s",
                ACCEPTS_WITHIN_S,
            );
            budgets.at_most(
                what("until a question is answered"),
                worst(|r| r.answered_s),
                "s",
                ANSWERS_WITHIN_S,
            );
            budgets.at_most(what("resident then"), worst(|r| r.resident_mb), "MB", RESIDENT_MB);
            budgets.at_most(what("resident at most"), worst(|r| r.peak_mb), "MB", RESIDENT_MB);
            budgets.told(what("processor time"), worst(|r| r.cpu_s), "s");
        }
        println!("start: the slowest of {} each", self.rounds);
        print!("{budgets}");
        Ok(budgets.exit_code())
    }
}

/// From the start of the process until memory has settled.
async fn measure(stored: &Stored, running: &Running, number: u32) -> Result<Round> {
    let load = Load { charts: 1, dimensions: 1, name: format!("newcomer-{number}"), ..Load::default() };
    let fleet =
        Fleet::start(load, Target { address: running.address, key: running.key, tls: None }, Duration::ZERO);
    let accepted = async {
        while fleet.totals().accepted.load(Relaxed) == 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    if tokio::time::timeout(PATIENCE, accepted).await.is_err() {
        bail!("no child was accepted within {} s", PATIENCE.as_secs());
    }
    let accepted_s = running.begun.elapsed().as_secs_f64();
    let dataset = stored.dataset;
    // Of another host and another hour each time.
    let host = (number * 37 + 11) % dataset.hosts;
    let chart = (number * 13 + 5) % dataset.charts;
    let before = stored.last - 3600 * i64::from(number % dataset.hours.max(2).div_ceil(2));
    let window = (before - 600).max(stored.first)..before;
    let path = stored.question(host, chart, window.clone(), 600);
    let begun = Instant::now();
    let answer = loop {
        match get(running.address, &path) {
            Ok(answer) => break answer,
            // Its host is not known to the readers yet.
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let answered_s = running.begun.elapsed().as_secs_f64();
    stored.check_seconds(host, chart, window, &answer)?;
    let cpu_s = Usage::of(running.pid())?.cpu_s;
    tokio::time::sleep(SETTLED_AFTER).await;
    let usage = Usage::of(running.pid())?;
    fleet.stop().await;
    Ok(Round {
        accepted_s,
        answered_s,
        cpu_s,
        resident_mb: usage.resident_bytes as f64 / 1e6,
        peak_mb: usage.peak_bytes as f64 / 1e6,
    })
}
