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
//! Others ask one thing each, of a mainstem alone: `ramp`, `scale`, `children`, `dashboards`, `hosts`. `times` and `instructions`
//! look at the stages of the library beside this program, the latter under valgrind.
//!
//! What the load costs is not counted: it runs in this process, and only the parent's is looked at. But it needs a core
//! of its own: with fewer than two, or with others at work on them, nothing here means anything. How late the load was
//! sent stands beside the results for that reason.
//!
//! A page of Netdata's first tier takes 17 minutes to fill at a sample a second: in a short run nothing is compressed or
//! written of the samples, and its figures are without that work.

mod budget;

mod catalog;

mod children;

mod clients;

mod cold;

mod collector;

mod compare;

mod contender;

mod corpus;

mod cost;

mod dashboards;

mod encodings;

mod extents;

mod flood;

mod generate;

mod hosts;

mod instructions;

mod load;

mod measurement;

mod netdata;

mod process;

mod ramp;

mod results;

mod scale;

mod start;

mod stored;

mod times;

mod workload;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use catalog::Catalog;

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
    Compare(compare::Compare),
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
    /// The most that one ingest shard takes before it falls behind.
    Ramp(ramp::Ramp),
    /// Whether cost grows in proportion to samples and to children.
    Scale(scale::Scale),
    /// What children cost that hardly send anything, and having none.
    Children(children::Children),
    /// How long answers take while half a million samples a second come.
    Dashboards(dashboards::Dashboards),
    /// How long answers about a thousand hosts at once take while these stream.
    Hosts(hosts::Hosts),
    /// Instructions that each stage of a sample's way takes, against what is recorded.
    Instructions(instructions::Instructions),
    /// What each stage of a sample's way takes, beside what it cannot be faster than.
    Times(times::Times),
    /// One stage, once: what 'instructions' has counted.
    #[command(hide = true)]
    Stage(instructions::RunStage),
    /// Whether memory and writes stay even under a long load.
    Load(load::LongLoad),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Compare(compare) => run(compare.run()),
        Command::Collector(arguments) => run(arguments.run()),
        Command::Encodings(arguments) => encodings::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Catalog(catalog) => catalog.run().map(|()| ExitCode::SUCCESS),
        Command::Start(start) => run(start.run()),
        Command::Cold(cold) => run(cold.run()),
        Command::Load(load) => run(load.run()),
        Command::Ramp(ramp) => run(ramp.run()),
        Command::Scale(scale) => run(scale.run()),
        Command::Children(children) => run(children.run()),
        Command::Dashboards(dashboards) => run(dashboards.run()),
        Command::Hosts(hosts) => run(hosts.run()),
        Command::Instructions(instructions) => instructions.run(),
        Command::Times(times) => times.run().map(|()| ExitCode::SUCCESS),
        Command::Stage(stage) => stage.run().map(|()| ExitCode::SUCCESS),
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
