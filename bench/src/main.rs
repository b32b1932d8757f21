//! mainstem-bench: whole parents under the same simulated load, one after the other on the same machine; and the
//! catalog's store by itself.
//!
//! ```text
//! Workload --> for each round, each Contender: start, load by mainstem-child's Fleet in this process, warm up,
//!                                              Usage before and after a window, stop --> Measurement
//!          --> Results: a table of medians, and results/<date>-<workload>.json
//! ```
//!
//! Beside that, what a headless collector of this machine costs, mainstem and Netdata in turn (`collector`); what samples of recorded
//! children cost in pages (`encodings`); and mainstem alone against its budgets, on
//! databases that are made for it:
//!
//! ```text
//! Dataset --> generate: catalog, datafiles, tiers --> Stored: a parent on them --> start, cold --> Budgets
//!                                      an empty directory, and a Fleet for minutes --> load  --> Budgets
//! ```
//!
//! What the load costs is not counted: it runs in this process, and only the parent's is looked at. But it needs a core
//! of its own: with fewer than two, or with others at work on them, nothing here means anything. How late the load was
//! sent stands beside the results for that reason.
//!
//! A page of Netdata's first tier takes 17 minutes to fill at a sample a second: in a short run nothing is compressed or
//! written of the samples, and its figures are without that work.

mod budget;

mod catalog;

mod cold;

mod collector;

mod contender;

mod corpus;

mod encodings;

mod extents;

mod generate;

mod load;

mod measurement;

mod netdata;

mod process;

mod results;

mod start;

mod stored;

mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use mainstem_child::Load;
use mainstem_child::load::{Compression, Protocol};
use tokio::signal::unix::{SignalKind, signal};

use catalog::Catalog;
use contender::{Contender, Make, Role};
use results::{Machine, Results, Rounds, today};
use workload::Workload;

/// Measures whole parents under a simulated load.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// mainstem and Netdata, one after the other: processor time, memory and disk for the same samples.
    Compare(Compare),
    /// What samples of real children cost in pages of the storage engine, by encoding.
    Encodings(encodings::Encodings),
    /// mainstem and Netdata as headless collectors of this machine, in turn: processor time and memory for what they collect.
    Collector(collector::CollectorArguments),
    /// The catalog's store by itself: first write, one change, start.
    Catalog(Catalog),
    /// A database as large as a parent's after hours or days, made in minutes.
    Generate(generate::Generate),
    /// How long a start on a large database takes.
    Start(start::Start),
    /// How long questions about what only the disk has take, while children stream.
    Cold(cold::Cold),
    /// Whether memory and writes stay even under a long load.
    Load(load::LongLoad),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    Mainstem,
    Netdata,
}

#[derive(clap::Args)]
struct Compare {
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=5000))]
    children: u32,
    /// Charts of a child.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    charts: u32,
    /// Dimensions of a chart.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    dimensions: u32,
    /// How long is measured.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// How long the load runs before. In the first minute Netdata writes its charts to SQLite and begins its tiers.
    #[arg(long, value_name = "SECONDS", default_value_t = 75)]
    warm_up: u64,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// A Netdata before 1.39 knows v1 only.
    #[arg(long, value_enum, default_value_t = Protocol::V1)]
    protocol: Protocol,
    #[arg(long, value_enum, default_value_t = Compression::Lz4)]
    compression: Compression,
    /// The program; without it, the one beside this program.
    #[arg(long, value_name = "PATH")]
    mainstem: Option<PathBuf>,
    /// The program.
    #[arg(long, value_name = "PATH", default_value = "/usr/sbin/netdata")]
    netdata: PathBuf,
    /// As proxies before a parent: without a database, Netdata the same, and with a database. The parent is a mainstem and
    /// not measured.
    #[arg(long)]
    proxy: bool,
    /// Measures one of the two.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Also asks the parents for some of what was sent, and compares.
    #[arg(long)]
    verify: bool,
    /// Where the results are kept.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
}

impl Compare {
    fn workload(&self) -> Workload {
        Workload {
            load: Load {
                children: self.children as usize,
                charts: self.charts as usize,
                dimensions: self.dimensions as usize,
                protocol: self.protocol,
                compression: self.compression,
                name: "bench".into(),
                ..Load::default()
            },
            proxy: self.proxy,
            warm_up_s: self.warm_up,
            measured_s: self.seconds,
            rounds: self.rounds,
        }
    }

    fn contenders(&self) -> Result<Vec<Contender>> {
        let mainstem = match &self.mainstem {
            Some(path) => Make::Mainstem { binary: path.clone(), ours: false },
            None => {
                let binary = std::env::current_exe()?.with_file_name("mainstem");
                Make::Mainstem { binary, ours: true }
            }
        };
        let netdata = Make::Netdata { binary: self.netdata.clone() };
        let headless = Role::Proxy { mode: "none" };
        let mut contenders = match self.proxy {
            false => vec![(mainstem, Role::Parent), (netdata, Role::Parent)],
            true => vec![
                (mainstem.clone(), headless),
                (netdata, headless),
                (mainstem, Role::Proxy { mode: "dbengine" }),
            ],
        };
        contenders.retain(|(make, _)| match self.only {
            None => true,
            Some(Only::Mainstem) => matches!(make, Make::Mainstem { .. }),
            Some(Only::Netdata) => matches!(make, Make::Netdata { .. }),
        });
        let contenders: Vec<Contender> =
            contenders.into_iter().map(|(make, role)| Contender { make, role }).collect();
        if let Some(missing) = contenders.iter().find(|contender| !contender.binary().is_file()) {
            let cure = match missing.make {
                Make::Mainstem { .. } => "'make build' makes it",
                Make::Netdata { .. } => "Debian's package is netdata-core; or name another with --netdata",
            };
            bail!("there is no {}: {cure}", missing.binary().display());
        }
        Ok(contenders)
    }
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Compare(arguments) => run(compare(&arguments)),
        Command::Collector(arguments) => run(arguments.run()),
        Command::Encodings(arguments) => encodings::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Catalog(catalog) => catalog.run().map(|()| ExitCode::SUCCESS),
        Command::Start(start) => run(start.run()),
        Command::Cold(cold) => run(cold.run()),
        Command::Load(load) => run(load.run()),
        Command::Generate(generate) => generate.run().map(|()| ExitCode::SUCCESS),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("mainstem-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what has a parent at work, until it is done or a signal comes.
fn run(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    mainstem_child::preflight()?;
    tokio_uring::start(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // When a signal wins, the work is dropped, and with it the parent that runs.
        tokio::select! {
            outcome = work => outcome,
            _ = terminate.recv() => Ok(ExitCode::FAILURE),
            _ = interrupt.recv() => Ok(ExitCode::FAILURE),
        }
    })
}

async fn compare(arguments: &Compare) -> Result<ExitCode> {
    let workload = arguments.workload();
    let contenders = arguments.contenders()?;
    let mut rounds: Vec<Rounds> = Vec::new();
    for contender in &contenders {
        rounds.push(Rounds { name: contender.name(), version: contender.version()?, rounds: Vec::new() });
    }
    eprintln!("{}", workload.describe());
    for round in 1..=workload.rounds {
        for (contender, measured) in contenders.iter().zip(&mut rounds) {
            let name = contender.name();
            let measurement = measurement::measure(contender, &workload, arguments.verify).await;
            let measurement = measurement.with_context(|| format!("{name}, round {round}"))?;
            eprintln!("{name}, round {round}: {:.3} µs a sample", measurement.cpu_us_per_sample);
            measured.rounds.push(measurement);
        }
    }
    let results = Results { date: today()?, machine: Machine::this(), workload, contenders: rounds };
    print!("{results}");
    let path = results.save(&arguments.results)?;
    println!("\nkept in {}", path.display());
    Ok(ExitCode::SUCCESS)
}
