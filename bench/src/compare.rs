//! `mainstem-bench compare`: mainstem and Netdata under the same workload, one after the other, several rounds in turn.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use mainstem_child::load::{Compression, Protocol};

use crate::contender::{Contender, Make, Role};
use crate::measurement;
use crate::results::{Machine, Results, Rounds, today};
use crate::workload::Workload;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    Mainstem,
    Netdata,
}

/// mainstem and Netdata, one after the other: processor time, memory and disk for the same samples.
#[derive(clap::Args)]
pub(crate) struct Compare {
    /// The workload; the flags below change it.
    #[arg(long, value_name = "FILE.toml", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/workloads/v1-lz4-200x1000.toml"))]
    workload: PathBuf,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5000))]
    children: Option<u32>,
    /// Charts of a child.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    charts: Option<u32>,
    /// Dimensions of a chart.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    dimensions: Option<u32>,
    /// How long is measured.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    seconds: Option<u64>,
    /// How long the load runs before. In the first minute Netdata writes its charts to SQLite and begins its tiers.
    #[arg(long, value_name = "SECONDS")]
    warm_up: Option<u64>,
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// A Netdata before 1.39 knows v1 only.
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    #[arg(long, value_enum)]
    compression: Option<Compression>,
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
    fn workload(&self) -> Result<Workload> {
        let mut workload = Workload::read(&self.workload, self.proxy)?;
        let written = &mut workload.written;
        written.rounds.0 = self.rounds.unwrap_or(written.rounds.0);
        written.warm_up_s = self.warm_up.unwrap_or(written.warm_up_s);
        // A quarter of a warm-up is enough for everybody to come.
        let arrival = &mut written.arrival.spread_s;
        *arrival = arrival.min(written.warm_up_s as f64 / 4.0);
        written.duration_s = self.seconds.unwrap_or(written.duration_s);
        let load = &mut written.load;
        let count = |said: Option<u32>, written: usize| said.map_or(written, |said| said as usize);
        load.children = count(self.children, load.children);
        load.charts = count(self.charts, load.charts);
        load.dimensions = count(self.dimensions, load.dimensions);
        load.protocol = self.protocol.unwrap_or(load.protocol);
        load.compression = self.compression.unwrap_or(load.compression);
        written.check()?;
        let problem = match written {
            _ if written.duration_s == 0 => "duration_s is 0; a comparison measures for some seconds",
            _ if written.tls.is_some() => "it has [tls]; parents that are compared listen in plain text",
            _ if written.arrival.storm_every_s > 0 => {
                "it has storms (arrival.storm_every_s), in which nothing is compared; mainstem-child has them"
            }
            _ => return Ok(workload),
        };
        bail!("{}: {problem}", self.workload.display());
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

    pub(crate) async fn run(&self) -> Result<ExitCode> {
        let workload = self.workload()?;
        let contenders = self.contenders()?;
        let mut rounds: Vec<Rounds> = Vec::new();
        for contender in &contenders {
            rounds.push(Rounds { name: contender.name(), version: contender.version()?, rounds: Vec::new() });
        }
        eprintln!("{}", workload.describe());
        for round in 1..=workload.written.rounds.0 {
            for (contender, measured) in contenders.iter().zip(&mut rounds) {
                let name = contender.name();
                let measurement = measurement::measure(contender, &workload, self.verify).await;
                let measurement = measurement.with_context(|| format!("{name}, round {round}"))?;
                eprintln!("{name}, round {round}: {:.3} µs a sample", measurement.cpu_us_per_sample);
                measured.rounds.push(measurement);
            }
        }
        let results = Results { date: today()?, machine: Machine::this(), workload, contenders: rounds };
        print!("{results}\n{}", results.budgets());
        let path = results.save(&self.results)?;
        println!("\nkept in {}", path.display());
        Ok(ExitCode::SUCCESS)
    }
}
