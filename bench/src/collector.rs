//! The headless collector: what it costs to look at this machine once a second and to send that on, mainstem and Netdata in
//! turn.
//!
//! ```text
//! for each round, each Collector: a mainstem that keeps nothing <-- it, without a database and without a port
//!                                 warm up, Usage and what has arrived before and after a window, stop --> Cost
//! --> a table of medians, and results/<date>-collector.json
//! ```
//!
//! Both look at the same: `/proc`, mounted file systems, cgroups; mainstem at itself besides. The parent is not measured: it
//! says what of it arrived, which is what both are held to.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use mainstem_child::verify::http;
use serde::Serialize;
use tempfile::TempDir;
use tokio::time::sleep;
use uuid::Uuid;

use crate::contender::{Contender, Make, Role, Running};
use crate::process::Usage;
use crate::results::{Machine, median, today};

/// How long a collector may take to be connected, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it calls itself.
const HOSTNAME: &str = "collector";
/// The budget of mainstem.
const MOST_RESIDENT_BYTES: f64 = (25 << 20) as f64;
const MOST_CPU_PERCENT: f64 = 1.0;

/// What mainstem and Netdata cost as headless collectors of this machine.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CollectorArguments {
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How long it collects before.
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    warm_up: u64,
    /// The program; without it, the one beside this program.
    #[arg(long, value_name = "PATH")]
    mainstem: Option<PathBuf>,
    /// The program.
    #[arg(long, value_name = "PATH", default_value = "/usr/sbin/netdata")]
    netdata: PathBuf,
    /// Where the results are kept.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
}

/// One collector in one round.
#[derive(Clone, Debug, Serialize)]
struct Cost {
    seconds: f64,
    /// Processor time, user and system, all threads.
    cpu_s: f64,
    /// At the end.
    resident_bytes: u64,
    charts: u64,
    dimensions: u64,
    /// That the parent has stored in the window.
    samples: u64,
}

#[derive(Debug, Serialize)]
struct Costs {
    name: &'static str,
    version: String,
    rounds: Vec<Cost>,
}

#[derive(Debug, Serialize)]
struct Collected {
    date: String,
    machine: Machine,
    warm_up_s: u64,
    measured_s: u64,
    collectors: Vec<Costs>,
}

/// A collector that runs, with a directory of its own. Dropping it ends it.
struct Collector {
    process: Child,
    directory: TempDir,
}

/// What its parent knows of it.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    charts: u64,
    dimensions: u64,
    samples: u64,
}

impl CollectorArguments {
    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let mainstem = match &self.mainstem {
            Some(binary) => Make::Mainstem { binary: binary.clone(), ours: false },
            None => {
                Make::Mainstem { binary: std::env::current_exe()?.with_file_name("mainstem"), ours: true }
            }
        };
        let netdata = Make::Netdata { binary: self.netdata.clone() };
        let role = Role::Proxy { mode: "none" };
        let contenders = [mainstem, netdata].map(|make| Contender { make, role });
        let mut collectors = Vec::new();
        for (contender, name) in contenders.iter().zip(["mainstem", "netdata"]) {
            ensure!(contender.binary().is_file(), "there is no {}", contender.binary().display());
            collectors.push(Costs { name, version: contender.version()?, rounds: Vec::new() });
        }
        for round in 1..=self.rounds {
            for (contender, costs) in contenders.iter().zip(&mut collectors) {
                let cost = self.measure(&contender.make).await;
                let cost = cost.with_context(|| format!("{}, round {round}", costs.name))?;
                eprintln!("{}, round {round}: {:.2} % of a core", costs.name, cost.cpu_percent());
                costs.rounds.push(cost);
            }
        }
        let collected = Collected {
            date: today()?,
            machine: Machine::this(),
            warm_up_s: self.warm_up,
            measured_s: self.seconds,
            collectors,
        };
        print!("{collected}");
        let path = self.results.join(format!("{}-collector.json", collected.date));
        fs::create_dir_all(&self.results)?;
        fs::write(&path, serde_json::to_string_pretty(&collected)? + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("\nkept in {}", path.display());
        Ok(if collected.is_within_budget() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    async fn measure(&self, make: &Make) -> Result<Cost> {
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let parent = Contender::start_ours(directory, "[db]\n    mode = none\n")?;
        let collector = Collector::start(make, &parent)?;
        let begun = Instant::now();
        while arrived(&parent).await?.is_none() {
            ensure!(begun.elapsed() < PATIENCE, "it does not stream: {}", collector.output());
            sleep(Duration::from_millis(100)).await;
        }
        sleep(Duration::from_secs(self.warm_up)).await;
        let look = async || arrived(&parent).await?.context("it has stopped to stream");
        let (begun, before) = (Instant::now(), Usage::of(collector.process.id())?);
        let had = look().await?;
        sleep(Duration::from_secs(self.seconds)).await;
        let (after, seconds) = (Usage::of(collector.process.id())?, begun.elapsed().as_secs_f64());
        let has = look().await?;
        // The collector first, or it would miss its parent.
        drop(collector);
        parent.stop()?;
        let samples = has.samples - had.samples;
        ensure!(samples > 0, "nothing has arrived");
        Ok(Cost {
            seconds,
            cpu_s: after.cpu_s - before.cpu_s,
            resident_bytes: after.resident_bytes,
            charts: has.charts,
            dimensions: has.dimensions,
            samples,
        })
    }
}

/// Of the one host that streams to the parent.
async fn arrived(parent: &Running) -> Result<Option<Arrived>> {
    let body = http::get(parent.address, &format!("/api/v2/nodes?nodes={HOSTNAME}")).await;
    let body = body.map_err(|error| anyhow::anyhow!("{error}"))?;
    let nodes: serde_json::Value = serde_json::from_slice(&body)?;
    let node = &nodes["nodes"][0];
    let number = |value: &serde_json::Value| value.as_u64();
    Ok(number(&node["connection"]["samples"]).filter(|samples| *samples > 0).map(|samples| Arrived {
        charts: number(&node["charts"]).unwrap_or(0),
        dimensions: number(&node["dimensions"]).unwrap_or(0),
        samples,
    }))
}

impl Collector {
    fn start(make: &Make, parent: &Running) -> Result<Collector> {
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let mut command = match make {
            Make::Mainstem { binary, .. } => mainstem(binary, directory.path(), parent)?,
            Make::Netdata { binary } => netdata(binary, directory.path(), parent)?,
        };
        let output = File::create(directory.path().join("output"))?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let process = command.spawn().context("cannot start it")?;
        Ok(Collector { process, directory })
    }

    /// The end of what it printed.
    fn output(&self) -> String {
        let text = fs::read_to_string(self.directory.path().join("output")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }

    fn end(&mut self) -> Result<()> {
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().context("kill")?;
        let begun = Instant::now();
        while told.success() && begun.elapsed() < PATIENCE {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.process.kill()?;
        self.process.wait()?;
        bail!("it had to be killed")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("the collector with the id {}: {error:#}", self.process.id());
        }
    }
}

/// A mainstem that has only itself.
fn mainstem(binary: &Path, directory: &Path, parent: &Running) -> Result<Command> {
    let config = directory.join("config");
    fs::create_dir_all(&config)?;
    let netdata_conf =
        format!("[global]\n    hostname = {HOSTNAME}\n[db]\n    mode = none\n[web]\n    mode = none\n");
    fs::write(config.join("netdata.conf"), netdata_conf)?;
    let (address, key) = (parent.address, parent.key);
    fs::write(
        config.join("stream.conf"),
        format!("[stream]\n    enabled = yes\n    destination = {address}\n    api key = {key}\n"),
    )?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(config).arg("--state").arg(directory.join("state"));
    Ok(command)
}

/// The machine's collector of tests/peer/README.md, without a database and without a port.
fn netdata(binary: &Path, directory: &Path, parent: &Running) -> Result<Command> {
    let home = directory.join("netdata");
    let prepared = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/peer/run.sh"))
        .arg("machine")
        .arg(&home)
        .env("NETDATA", binary)
        // It has no port, whatever is said here.
        .args(["PORT=1", "PREPARE_ONLY=yes", "MODE=none"])
        .args([format!("NAME={HOSTNAME}"), format!("GUID={}", Uuid::new_v4())])
        .args([format!("KEY={}", parent.key), format!("PARENT={}", parent.address)])
        .output()
        .context("tests/peer/run.sh")?;
    let said = String::from_utf8_lossy(&prepared.stderr);
    ensure!(prepared.status.success(), "tests/peer/run.sh ended with {}: {said}", prepared.status);
    let file = home.join("etc/netdata.conf");
    // What a section says again counts.
    let settings = fs::read_to_string(&file)? + "\n[web]\n    mode = none\n";
    fs::write(file, settings)?;
    let words = String::from_utf8(prepared.stdout)?;
    let mut words = words.lines();
    let mut command = Command::new(words.next().context("no command")?);
    command.args(words).current_dir(&home);
    Ok(command)
}

impl Cost {
    /// Of one core.
    fn cpu_percent(&self) -> f64 {
        100.0 * self.cpu_s / self.seconds
    }
}

/// A line of the table.
struct Line {
    name: &'static str,
    decimals: usize,
    value: fn(&Cost) -> f64,
}

#[rustfmt::skip]
const LINES: [Line; 6] = [
    Line { name: "% of a core", decimals: 2, value: Cost::cpu_percent },
    Line { name: "resident MB", decimals: 1, value: |cost| cost.resident_bytes as f64 / 1e6 },
    Line { name: "charts", decimals: 0, value: |cost| cost.charts as f64 },
    Line { name: "dimensions", decimals: 0, value: |cost| cost.dimensions as f64 },
    Line { name: "samples a second", decimals: 0, value: |cost| cost.samples as f64 / cost.seconds },
    Line { name: "µs of processor a sample", decimals: 2, value: |cost| 1e6 * cost.cpu_s / cost.samples as f64 },
];

impl Costs {
    fn median(&self, value: fn(&Cost) -> f64) -> f64 {
        median(self.rounds.iter().map(value)).unwrap_or(f64::NAN)
    }
}

impl Collected {
    /// Ours.
    fn is_within_budget(&self) -> bool {
        let ours = &self.collectors[0];
        ours.median(Cost::cpu_percent) <= MOST_CPU_PERCENT
            && ours.median(|cost| cost.resident_bytes as f64) <= MOST_RESIDENT_BYTES
    }
}

impl std::fmt::Display for Collected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Machine { cpu, cores, kernel } = &self.machine;
        writeln!(
            f,
            "headless collectors at 1 s; {} s warm-up, {} s measured, {} rounds",
            self.warm_up_s,
            self.measured_s,
            self.collectors[0].rounds.len()
        )?;
        writeln!(f, "{cpu}, {cores} cores, Linux {kernel}, {}\n", self.date)?;
        write!(f, "{:<26}", "median")?;
        self.collectors.iter().try_for_each(|costs| write!(f, "{:>12}", costs.name))?;
        writeln!(f, "     ratio")?;
        for Line { name, decimals, value } in &LINES {
            let medians: Vec<f64> = self.collectors.iter().map(|costs| costs.median(*value)).collect();
            write!(f, "{name:<26}")?;
            medians.iter().try_for_each(|median| write!(f, "{median:>12.decimals$}"))?;
            writeln!(f, "{:>10.2}", medians[1] / medians[0])?;
        }
        let verdict = if self.is_within_budget() { "within" } else { "over" };
        writeln!(
            f,
            "\nmainstem is {verdict} its budget: {MOST_CPU_PERCENT} % of a core, {} MB",
            (MOST_RESIDENT_BYTES / 1e6).round()
        )?;
        self.collectors.iter().try_for_each(|costs| writeln!(f, "{}: {}", costs.name, costs.version))
    }
}
