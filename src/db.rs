//! `mainstem db`: what is on disk, told, verified and taken out, without a running parent or beside one.
//!
//! ```text
//! Config -> directories -> Names (the catalog)   \
//!                      \-> Archive (the samples)  +-> info, verify, dump, export
//! ```
//!
//! Nothing here writes into the directories of a parent. A parent may run on them meanwhile: files that it removes are
//! passed over, what it is writing at the moment is read as far as it is whole.

mod archive;

mod dump;

mod info;

mod names;

#[cfg(feature = "parquet")]
mod parquet;

mod time;

mod verify;

use std::io::{self, BufWriter, Write};
#[cfg(feature = "parquet")]
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use dbengine::Directory;

use crate::config::Config;

pub use self::time::TimeBound;

/// What to do with the database.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Show what is on disk: tiers, files, bytes a sample, and how long the space will last.
    Info {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// Also how columns are encoded, which reads all pages.
        #[arg(long)]
        encodings: bool,
    },
    /// Read everything and check every checksum. Exits with 1 if anything is broken.
    Verify,
    /// Print the samples of a chart as CSV: the time, then a column for each dimension.
    Dump {
        /// Hostname or machine GUID.
        host: String,
        /// Id or name of the chart.
        chart: String,
        #[command(flatten)]
        window: Window,
        /// Times as unix seconds, not as RFC 3339.
        #[arg(long)]
        unix: bool,
    },
    /// Write the samples of hosts into files that other programs read.
    #[cfg(feature = "parquet")]
    Export {
        /// The directory of the Parquet files: host=HOSTNAME/day=YYYY-MM-DD/part-N.parquet.
        #[arg(long, value_name = "DIR")]
        parquet: PathBuf,
        /// Only hosts whose names match, as in netdata.conf: `*` for anything, `!` in front for none.
        #[arg(long, value_name = "PATTERN", default_value = "*")]
        host: String,
        #[command(flatten)]
        window: Window,
    },
}

/// From when to when, both included.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Window {
    /// RFC 3339, unix seconds, or seconds before now as a negative number.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    after: Option<TimeBound>,
    /// As --after.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    before: Option<TimeBound>,
}

/// Carries out the command. `config` says where everything is and what retention allows.
pub fn run(command: &Command, config: &Config) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = carry_out(command, config, &mut out).and_then(|code| {
        out.flush()?;
        Ok(code)
    });
    match outcome {
        // Whoever reads us has seen enough.
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        outcome => outcome,
    }
}

fn carry_out(command: &Command, config: &Config, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let root = config.directories.database();
    let mut directory =
        Directory::existing(&root).with_context(|| format!("there is no database in {}", root.display()))?;
    match command {
        Command::Info { json, encodings } => {
            let info = info::Info::read(&mut directory, config, *encodings)?;
            if *json { info.write_json(out)? } else { info.write_text(out)? }
        }
        Command::Verify => {
            let is_good = verify::verify(&directory, config, out)?;
            return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Dump { host, chart, window, unix } => {
            let names = names::Names::read(&config.directories.catalog(), &directory)?;
            dump::dump(&mut directory, names.chart(host, chart)?, window.range(), *unix, out)?;
        }
        #[cfg(feature = "parquet")]
        Command::Export { parquet, host, window } => {
            let names = names::Names::read(&config.directories.catalog(), &directory)?;
            parquet::export(&mut directory, &names.matching(host), window.range(), parquet)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
