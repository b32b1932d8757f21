//! `mainstem-bench times`: what each stage takes beside its floor, as a table. `cargo bench` has the same with criterion's
//! statistics, in elements a second.

use std::time::{Duration, Instant};

use anyhow::Result;
use mainstem_bench::stages::{ALL, Stage, measured};

use crate::results::{Machine, commit, today};

/// Nanoseconds a sample of each stage, and of its floor.
#[derive(clap::Args)]
pub(crate) struct Times {
    /// How often each is run; the median counts.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    runs: u32,
}

impl Times {
    pub(crate) fn run(&self) -> Result<()> {
        let Machine { cpu, cores, kernel } = Machine::this();
        println!("{cpu}, {cores} cores, Linux {kernel}, {}, commit {}\n", today()?, commit());
        println!("| stage | ns a sample | floor | ns | times the floor |");
        println!("|---|---:|---|---:|---:|");
        for named in &ALL {
            let mut stage = (named.make)();
            let samples = stage.samples() as f64;
            let ns = |time: Duration| time.as_nanos() as f64 / samples;
            let stage_ns = ns(self.median(|| {
                stage.prepare();
                timed(&mut *stage, measured)
            }));
            let floor_ns = ns(self.median(|| timed(&mut *stage, |stage| stage.floor())));
            println!(
                "| {} | {stage_ns:.1} | {} | {floor_ns:.2} | {:.1} |",
                named.name,
                named.floor,
                stage_ns / floor_ns
            );
        }
        Ok(())
    }

    fn median(&self, mut once: impl FnMut() -> Duration) -> Duration {
        // The first one finds cold caches and new memory.
        once();
        let mut times: Vec<Duration> = (0..self.runs).map(|_| once()).collect();
        times.sort_unstable();
        times[times.len() / 2]
    }
}

fn timed(stage: &mut dyn Stage, work: impl FnOnce(&mut dyn Stage)) -> Duration {
    let begun = Instant::now();
    work(stage);
    begun.elapsed()
}
