//! `mainstem-bench ramp`: the most that one ingest shard takes before it falls behind.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Result, anyhow, ensure};
use mainstem_child::Load;
use mainstem_child::load::Compression;
use mainstem_child::verify::{Question, Rule, Verdict, Window, http};
use tokio::time::{Instant, sleep};

use crate::budget::Budgets;
use crate::contender::{Contender, Running};
use crate::flood::{Flood, VOICES};
use crate::measurement::sum;
use crate::process::{busiest, threads};

/// Samples a second that a shard takes, at least.
const LEAST: f64 = 5e6;
/// How long it may take in the end to take what it was sent, and how much is compared.
const PATIENCE: Duration = Duration::from_secs(30);
const COMPARED_S: i64 = 60;
/// A shard that has not taken what was sent a second ago has fallen behind.
const BEHIND: f64 = 1.0;

/// Children send their past faster and faster, until a parent of one ingest shard falls behind.
#[derive(clap::Args)]
pub(crate) struct Ramp {
    /// Children of 100 charts of 10 dimensions.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    children: u32,
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    compression: Compression,
    /// Of the first step, and how much more each step is, in millions of samples a second.
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    step: f64,
    /// The last step.
    #[arg(long, value_name = "M", default_value_t = 10.0)]
    most: f64,
    /// How long a step takes.
    #[arg(long, value_name = "SECONDS", default_value_t = 4, value_parser = clap::value_parser!(u64).range(2..))]
    seconds: u64,
}

/// What a step came to.
struct Step {
    offered: f64,
    /// Samples a second that the parent counted.
    taken: f64,
    /// Seconds of the offer that it had not taken in the end.
    behind_s: f64,
    /// Of a core, by the busiest thread.
    shard: f64,
}

impl Ramp {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        ensure!(self.step > 0.0 && self.step <= self.most, "--step is more than 0 and at most --most");
        let load = Load {
            children: self.children as usize,
            compression: self.compression,
            name: "flood".into(),
            ..Load::default()
        };
        let steps = (self.most / self.step) as u64;
        let a_second = load.metrics() as f64;
        let offers = || (1..=steps).map(|number| number as f64 * self.step * 1e6);
        let seconds: f64 = offers().map(|offer| offer / a_second * self.seconds as f64).sum();
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let parent = Contender::start_ours(directory, "")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() as i64;
        let mut flood = Flood::start(parent.address, parent.key, &load, seconds.ceil() as usize + 1, now)?;

        println!(
            "{:>14}{:>12}{:>12}{:>16}{:>22}",
            "M/s offered", "M/s taken", "s behind", "shard, % core", "M/s at a whole core"
        );
        let (mut kept_up, mut of_core, mut sent_s) = (0.0, 0.0, 0.0);
        for offer in offers() {
            let step = self.step(&parent, &mut flood, offer, a_second, &mut sent_s).await?;
            let whole = step.taken / step.shard.max(1e-3);
            println!(
                "{:>14.2}{:>12.2}{:>12.2}{:>16.0}{:>22.2}",
                step.offered / 1e6,
                step.taken / 1e6,
                step.behind_s,
                100.0 * step.shard,
                whole / 1e6
            );
            of_core = whole;
            if step.behind_s > BEHIND {
                break;
            }
            kept_up = step.taken;
        }
        let verdict = verified(&parent, &flood, &load).await?;
        parent.stop()?;
        let mut budgets = Budgets::default();
        budgets.told("kept up with", kept_up / 1e6, "M/s");
        budgets.at_least("taken in a second of the shard's core", of_core / 1e6, "M", LEAST / 1e6);
        budgets.told("points compared with what was sent", verdict.points as f64, "");
        let faults = if verdict.points == 0 { 1.0 } else { (verdict.missing + verdict.wrong) as f64 };
        budgets.at_most("  missing or wrong, or none compared", faults, "", 0.0);
        print!("{budgets}");
        Ok(budgets.exit_code())
    }

    async fn step(
        &self,
        parent: &Running,
        flood: &mut Flood,
        offer: f64,
        a_second: f64,
        sent_s: &mut f64,
    ) -> Result<Step> {
        let speed = offer / a_second;
        let (begun, from) = (Instant::now(), *sent_s);
        let (taken, cpu) = (taken(parent).await?, threads(parent.pid())?);
        let until = Duration::from_secs(self.seconds);
        while begun.elapsed() < until {
            *sent_s = from + speed * begun.elapsed().as_secs_f64();
            if !flood.send(*sent_s as usize)? {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let taken_after = self::taken(parent).await?;
        let shard = busiest(&cpu, &threads(parent.pid())?) / elapsed;
        // What the sockets did not take is behind, and what they hold.
        let offered_in_all = sent_s.floor() * a_second;
        ensure!(flood.samples() as f64 <= offered_in_all, "more was sent than there was");
        let taken = (taken_after - taken) as f64 / elapsed;
        let behind_s = (offered_in_all - taken_after as f64).max(0.0) / offer;
        Ok(Step { offered: offer, taken, behind_s, shard })
    }
}

/// Compares a chart of each voice with what was sent, when all of it has been taken.
async fn verified(parent: &Running, flood: &Flood, load: &Load) -> Result<Verdict> {
    let begun = Instant::now();
    while taken(parent).await? < flood.samples() && begun.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
    }
    let mut verdict = Verdict::default();
    for child in 0..VOICES.min(load.children) {
        let Window { first, last } = flood.span(child);
        let window = Window { first: first.max(last - COMPARED_S), last };
        let chart = 7 * child % load.charts;
        let question = Question { load, child, chart, window, samples: true, rule: Rule::Live };
        let answer = http::get(parent.address, &question.path()).await?;
        verdict.merge(question.judge(&answer).map_err(|unreadable| anyhow!("{unreadable}"))?);
    }
    verdict.examples.iter().take(3).for_each(|point| println!("{point}"));
    Ok(verdict)
}

/// Samples that the parent has counted so far.
async fn taken(parent: &Running) -> Result<u64> {
    let metrics = http::get(parent.address, "/metrics").await?;
    Ok(sum(&String::from_utf8_lossy(&metrics), "mainstem_samples_total").unwrap_or_default())
}
