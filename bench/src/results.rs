//! [`Results`]: all that was measured, as a table for people and a file for comparisons to come.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::budget::Budgets;
use crate::measurement::Measurement;
use crate::workload::Workload;

/// One comparison.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    /// As `date +%F` has it.
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) workload: Workload,
    pub(crate) contenders: Vec<Rounds>,
}

/// The machine that it was measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
}

/// One parent's rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Rounds {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) rounds: Vec<Measurement>,
}

impl Machine {
    pub(crate) fn this() -> Machine {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Machine {
            cpu: model.map_or("unknown", |(_, model)| model.trim()).to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: kernel.trim().to_owned(),
        }
    }
}

/// A line of the table: a quantity of each round.
struct Line {
    name: &'static str,
    decimals: usize,
    value: fn(&Measurement) -> Option<f64>,
}

#[rustfmt::skip]
const LINES: [Line; 15] = [
    Line { name: "µs of processor a sample", decimals: 3, value: |round| Some(round.cpu_us_per_sample) },
    Line { name: "cores", decimals: 3, value: |round| Some(round.cpu_s / round.seconds) },
    Line { name: "resident bytes a metric", decimals: 0, value: |round| Some(round.resident_bytes_per_metric) },
    Line { name: "resident MB", decimals: 0, value: |round| Some(round.resident_bytes as f64 / 1e6) },
    Line { name: "bytes written a sample", decimals: 3, value: |round| Some(round.a_sample(round.written_bytes)) },
    Line { name: "bytes received a sample", decimals: 2, value: |round| Some(round.a_sample(round.received_bytes)) },
    Line { name: "samples a receive", decimals: 0, value: |round| Some(round.samples as f64 / round.receives? as f64) },
    Line { name: "samples a second", decimals: 0, value: |round| Some(round.samples as f64 / round.seconds) },
    Line { name: "sent late, p99 ms", decimals: 1, value: |round| Some(round.lag.p99_ms) },
    Line { name: "bytes kept a sample", decimals: 3, value: |round| Some(round.kept_bytes as f64 / round.kept_samples as f64) },
    Line { name: "answer, p50 ms", decimals: 1, value: |round| Some(round.clients.as_ref()?.waits.p50_ms) },
    Line { name: "answer, p99 ms", decimals: 1, value: |round| Some(round.clients.as_ref()?.waits.p99_ms) },
    Line { name: "ingest to query, p99 ms", decimals: 0, value: |round| Some(round.freshness?.in_all.p99_ms) },
    Line { name: "  the parent's part, p99", decimals: 1, value: |round| Some(round.freshness?.by_parent.p99_ms) },
    Line { name: "seconds to stop", decimals: 2, value: |round| Some(round.stop_s) },
];

/// What a workload may cost on the machine that the project is measured on, in µs of processor a sample.
const MOST_US: [(&str, f64); 4] = [
    ("v1-lz4-200x100x10", 0.12),
    ("v2-lz4-200x100x10", 0.10),
    ("v2-zstd-200x100x10", 0.14),
    // Without a database.
    ("proxy-v2-lz4-200x100x10", 0.08),
];
/// And how many times that Netdata 1.37.1 takes at least.
const LEAST_RATIO: f64 = 14.0;
/// Resident bytes of a metric, after a quarter of an hour.
const MOST_RESIDENT: f64 = 600.0;

impl Results {
    /// What was measured of mainstem beside what it may be, for the workloads that this is said of.
    pub(crate) fn budgets(&self) -> Budgets {
        let of = |contender: &str, value: fn(&Measurement) -> f64| {
            let rounds = self.contenders.iter().find(|rounds| rounds.name == contender)?;
            median(rounds.rounds.iter().map(value))
        };
        let us = |contender| of(contender, |round| round.cpu_us_per_sample);
        let resident = of("mainstem", |round| round.resident_bytes_per_metric);
        let ours = us("mainstem").or_else(|| us("headless"));
        budgets(&self.workload.name(), ours, us("netdata"), resident)
    }

    /// Writes `DIRECTORY/<date>-<workload>.json`.
    pub(crate) fn save(&self, directory: &Path) -> Result<PathBuf> {
        let path = directory.join(format!("{}-{}.json", self.date, self.workload.name()));
        let text = serde_json::to_string_pretty(self)?;
        fs::create_dir_all(directory)?;
        fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }
}

/// Of a workload: µs a sample, Netdata's, and resident bytes of a metric, as far as they were measured.
fn budgets(workload: &str, ours: Option<f64>, theirs: Option<f64>, resident: Option<f64>) -> Budgets {
    let mut budgets = Budgets::default();
    let most = MOST_US.iter().find(|(name, _)| *name == workload);
    let (Some((_, most)), Some(ours)) = (most, ours) else { return budgets };
    budgets.at_most("processor time a sample", ours, "µs", *most);
    if let Some(theirs) = theirs {
        budgets.at_least("Netdata's, in times of that", theirs / ours, "times", LEAST_RATIO);
    }
    if let Some(resident) = resident {
        budgets.at_most("resident a metric", resident, "bytes", MOST_RESIDENT);
    }
    budgets
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.workload.describe())?;
        let Machine { cpu, cores, kernel } = &self.machine;
        writeln!(f, "{cpu}, {cores} cores, Linux {kernel}, {}\n", self.date)?;
        write!(f, "{:<26}", "median")?;
        for contender in &self.contenders {
            write!(f, "{:>18}", contender.name)?;
        }
        let compared = self.contenders.len() == 2;
        writeln!(f, "{}", if compared { "     ratio" } else { "" })?;
        for Line { name, decimals, value } in &LINES {
            write!(f, "{name:<26}")?;
            let medians: Vec<Option<f64>> = self
                .contenders
                .iter()
                .map(|contender| median(contender.rounds.iter().filter_map(value)))
                .collect();
            for median in &medians {
                match median {
                    Some(median) => write!(f, "{median:>18.decimals$}")?,
                    None => write!(f, "{:>18}", "-")?,
                }
            }
            if let [Some(ours), Some(theirs)] = medians[..]
                && ours > 0.0
            {
                write!(f, "{:>10.2}", theirs / ours)?;
            }
            writeln!(f)?;
        }
        for contender in &self.contenders {
            writeln!(f, "\n{}: {}", contender.name, contender.version)?;
            for verdict in contender.rounds.iter().filter_map(|round| round.verified.as_ref()) {
                writeln!(f, "  verified {verdict}")?;
                verdict.examples.iter().take(3).try_for_each(|point| writeln!(f, "    {point}"))?;
                verdict.unanswered.iter().take(3).try_for_each(|why| writeln!(f, "    {why}"))?;
            }
        }
        Ok(())
    }
}

/// The value in the middle; of an even number, the mean of the two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        length if length.is_multiple_of(2) => Some((values[middle - 1] + values[middle]) / 2.0),
        _ => Some(values[middle]),
    }
}

/// The commit of this tree; empty outside of git.
pub(crate) fn commit() -> String {
    let described = Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty"])
        .output();
    described.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// The date in this machine's time zone.
pub(crate) fn today() -> Result<String> {
    let output = Command::new("date").arg("+%F").output().context("date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let cases: [(&[f64], Option<f64>); 4] = [
            (&[], None),
            (&[3.0], Some(3.0)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[4.0, 1.0, 2.0, 9.0], Some(3.0)),
        ];
        for (values, expected) in cases {
            assert_eq!(median(values.iter().copied()), expected, "{values:?}");
        }
    }

    #[test]
    fn what_was_measured_stands_beside_its_budget() {
        let missed = |budgets: Budgets| budgets.to_string().matches("MISSED").count();
        assert_eq!(missed(budgets("v1-lz4-200x100x10", Some(0.1), Some(1.5), Some(600.0))), 0);
        assert_eq!(missed(budgets("v1-lz4-200x100x10", Some(0.13), Some(1.5), Some(601.0))), 3);
        assert_eq!(missed(budgets("v2-lz4-200x100x10", Some(0.11), None, None)), 1);
        assert_eq!(budgets("v1-lz4-7x100x10", Some(9.0), None, None).to_string(), "");
        assert_eq!(budgets("v1-lz4-200x100x10", None, Some(1.0), None).to_string(), "");
    }

    #[test]
    fn the_machine_has_a_name() {
        let Machine { cores, kernel, .. } = Machine::this();
        assert!(cores > 0 && !kernel.is_empty());
    }
}
