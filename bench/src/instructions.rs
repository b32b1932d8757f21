//! `mainstem-bench instructions`: how many instructions each stage takes a sample, beside what it took when that was last
//! recorded. They hardly vary where times do, so that a change of a few per cent shows on any machine.
//!
//! callgrind counts them: it runs this program once for each stage, and looks at one function of it only.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use mainstem_bench::stages::{ALL, Named, measured};
use serde::{Deserialize, Serialize};

/// So much more than recorded is a regression.
const TOLERANCE: f64 = 0.05;
/// Matches the one function that is looked at, however its name is mangled.
const FUNCTION: &str = "*mainstem_bench*stages*measured*";

/// What each stage takes, in instructions a sample, against what is recorded.
#[derive(clap::Args)]
pub(crate) struct Instructions {
    /// Only these stages.
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// Writes what is counted into the record, instead of comparing with it.
    #[arg(long)]
    record: bool,
    /// Does nothing unless the compiler and valgrind are those of the record: others count otherwise.
    #[arg(long)]
    same_tools: bool,
    /// The record.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml"))]
    file: PathBuf,
}

/// One stage, once, as callgrind runs it.
#[derive(clap::Args)]
pub(crate) struct RunStage {
    stage: String,
}

/// What was counted once, and with what.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    rustc: String,
    valgrind: String,
    /// Instructions a sample.
    stages: BTreeMap<String, f64>,
}

impl RunStage {
    pub(crate) fn run(&self) -> Result<()> {
        let mut stage = (named(&self.stage)?.make)();
        stage.prepare();
        measured(&mut *stage);
        println!("{}", stage.samples());
        Ok(())
    }
}

impl Instructions {
    pub(crate) fn run(&self) -> Result<ExitCode> {
        let Some(valgrind) = version("valgrind") else {
            println!(
                "skipped: there is no valgrind to count instructions with; Debian's package is valgrind"
            );
            return Ok(ExitCode::SUCCESS);
        };
        let chosen = |named: &&Named| {
            named.is_counted && (self.stage.is_empty() || self.stage.iter().any(|name| name == named.name))
        };
        self.stage.iter().try_for_each(|name| named(name).map(drop))?;
        let mut record = match fs::read_to_string(&self.file) {
            Ok(text) => toml::from_str(&text).with_context(|| format!("{}", self.file.display()))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(error).with_context(|| format!("{}", self.file.display())),
        };
        let rustc = version("rustc").unwrap_or_default();
        if !self.record && (record.rustc != rustc || record.valgrind != valgrind) {
            println!(
                "recorded with {} and {};\nthis is {rustc} and {valgrind}",
                record.rustc, record.valgrind
            );
            if self.same_tools {
                println!("skipped: counts of other tools say nothing");
                return Ok(ExitCode::SUCCESS);
            }
        }
        println!("{:<20}{:>12}{:>12}{:>10}", "instructions a sample", "counted", "recorded", "change");
        let mut grown = Vec::new();
        for named in ALL.iter().filter(chosen) {
            let counted = count(named.name)?;
            let recorded = record.stages.get(named.name).copied();
            print!("{:<20}{counted:>13.1}", named.name);
            match recorded {
                Some(recorded) => {
                    println!("{recorded:>12.1}{:>+9.1} %", 100.0 * (counted / recorded - 1.0));
                    if has_grown(counted, recorded) {
                        grown.push(named.name);
                    }
                }
                None => println!("{:>12}", "-"),
            }
            if self.record {
                record.stages.insert(named.name.to_owned(), (10.0 * counted).round() / 10.0);
            }
        }
        if self.record {
            (record.rustc, record.valgrind) = (rustc, valgrind);
            let text = format!(
                "# Instructions a sample, by stage. Written by 'mainstem-bench instructions --record'.\n{}",
                toml::to_string(&record)?
            );
            fs::write(&self.file, text).with_context(|| format!("cannot write {}", self.file.display()))?;
            println!("recorded in {}", self.file.display());
            return Ok(ExitCode::SUCCESS);
        }
        if grown.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "more than {:.0} % above the record: {}. If that is worth it, say why in the commit and record it with\n  \
             mainstem-bench instructions --record --stage {}",
            100.0 * TOLERANCE,
            grown.join(", "),
            grown.join(" --stage ")
        );
        Ok(ExitCode::FAILURE)
    }
}

fn has_grown(counted: f64, recorded: f64) -> bool {
    counted > recorded * (1.0 + TOLERANCE)
}

fn named(name: &str) -> Result<&'static Named> {
    let names: Vec<&str> = ALL.iter().map(|named| named.name).collect();
    let found = ALL.iter().find(|named| named.name == name);
    found.with_context(|| format!("there is no stage '{name}'; there are {}", names.join(", ")))
}

/// Instructions a sample of a stage.
fn count(stage: &str) -> Result<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={FUNCTION}"))
        .arg(std::env::current_exe()?)
        .args(["stage", stage])
        .output()
        .context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind ended with {}: {said}", output.status);
    let samples: f64 =
        String::from_utf8_lossy(&output.stdout).trim().parse().context("the stage's samples")?;
    let collected = collected(&said).with_context(|| format!("valgrind counted nothing: {said}"))?;
    Ok(collected as f64 / samples)
}

/// `==1234== Collected : 5678`; nothing at all means that the function was not found.
fn collected(said: &str) -> Option<u64> {
    let (_, number) = said.lines().find_map(|line| line.split_once("Collected : "))?;
    number.trim().parse().ok().filter(|count| *count > 0)
}

/// The first line of `PROGRAM --version`; `None`: it is not there.
fn version(program: &str) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_valgrind_says_is_read() {
        assert_eq!(collected("==7== Events    : Ir\n==7== Collected : 42\n==7==\n"), Some(42));
        assert_eq!(collected("==7== Collected : 0\n"), None);
        assert_eq!(collected("==7== Events    : Ir\n"), None);
    }

    #[test]
    fn five_per_cent_more_is_allowed_and_not_six() {
        assert!(!has_grown(105.0, 100.0));
        assert!(!has_grown(50.0, 100.0));
        assert!(has_grown(106.0, 100.0));
    }

    #[test]
    fn an_unknown_stage_is_told_which_there_are() {
        let said = named("pars").err().expect("unknown").to_string();
        assert!(said.contains("'pars'") && said.contains("parse-v2"), "{said}");
    }

    #[test]
    fn the_record_has_every_stage_that_is_counted() {
        let record: Record = toml::from_str(include_str!("../instructions.toml")).expect("the record");
        for named in ALL.iter().filter(|named| named.is_counted) {
            assert!(record.stages.contains_key(named.name), "{} is not recorded", named.name);
        }
        assert_eq!(record.stages.len(), ALL.iter().filter(|named| named.is_counted).count());
    }
}
