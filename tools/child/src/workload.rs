//! [`Workload`]: what is done to a parent, as a file; `bench/workloads` has some.
//!
//! ```toml
//! warm_up_s = 75              # seconds before anything counts
//! duration_s = 60             # seconds that count; 0: until a signal
//! rounds = 1                  # how often a comparison repeats it
//!
//! [load]
//! children = 200              # 1 to 5000
//! charts = 100                # of a child
//! dimensions = 10             # of a chart
//! update_every = 1            # seconds between two samples
//! protocol = "v1"             # v1: collected values; v2: finished samples
//! compression = "lz4"         # lz4, zstd, gzip, brotli, none
//! values = "mixed"            # mixed, constant, integers, gauges, counters, or { capture = "FILE.ndcap.gz" }
//! name = "child"              # host names are NAME-0001 and so on
//! seed = 1                    # another seed, other values
//!
//! [load.database]             # without it children have no past to replay
//! retention_s = 3600          # how far it reaches back
//! history_s = 300             # how much of it there is at the start
//! style = "1.37"              # whose answers: 1.37 or 2.3
//! fault = "partial"           # partial, silent, endless, wrong-order, or { late = { seconds = 2 } }
//! send_buffer_bytes = 1048576 # an answer takes a quarter of it at most
//!
//! [tls]                       # without it in plain text
//! authorities = "ca.pem"      # whose certificates are accepted; without it, all
//! name = "parent.example"     # whose certificate it has to be; without it, the host that is connected to
//!
//! [arrival]
//! spread_s = 10.0             # connections come evenly over so many seconds; 0: all at once
//! storm_every_s = 60          # all connections are cut again and again; 0: never
//! storm_away_s = 5            # and come back after so many seconds, spread again
//!
//! [churn]                     # without it children stay
//! share = 0.2                 # this part of the children comes and goes
//! life_s = [20.0, 60.0]       # a connection is closed after a time between these
//! away_s = [5.0, 10.0]        # and the child comes back after a time between these
//!
//! [[fault]]                   # as often as there are kinds
//! kind = "cut"                # cut, garbage, half-open, slow-reader
//! share = 0.01                # this part of the children does it
//! every_s = 30.0              # about so often
//! for_s = 10.0                # half-open and slow-reader: for so long
//! ```
//!
//! What is left out is as in [`Workload::default`]. Paths are relative to the file.

use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capture;
use crate::conduct::{Churn, Conduct, Fault};
use crate::load::Load;
use crate::value::Values;

/// A load, what becomes of its connections, and for how long. The keys are above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    pub warm_up_s: u64,
    pub duration_s: u64,
    pub rounds: Rounds,
    pub load: Load,
    pub tls: Option<TlsWish>,
    pub arrival: Arrival,
    pub churn: Option<Churn>,
    #[serde(rename = "fault")]
    pub faults: Vec<Fault>,
}

/// How often a comparison measures each parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rounds(pub u32);

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds(1)
    }
}

/// `[tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsWish {
    /// `None`: every certificate is accepted.
    pub authorities: Option<PathBuf>,
    pub name: Option<String>,
}

/// `[arrival]`, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arrival {
    pub spread_s: f64,
    pub storm_every_s: u64,
    pub storm_away_s: u64,
}

/// A file that is no workload.
#[derive(Debug, thiserror::Error)]
pub enum WorkloadError {
    #[error("cannot read {}: {error}", .file.display())]
    Unreadable { file: PathBuf, error: std::io::Error },
    #[error("{}: {error}", .file.display())]
    NotUnderstood { file: PathBuf, error: Box<toml::de::Error> },
    #[error("{}: {problem}", .file.display())]
    Impossible { file: PathBuf, problem: Problem },
    #[error("{}: load.values: {error:#}", .file.display())]
    Capture { file: PathBuf, error: anyhow::Error },
}

/// A key with a value that it cannot have, and what it can have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is {found}; it takes {allowed}")]
pub struct Problem {
    pub key: String,
    pub found: String,
    pub allowed: String,
}

/// The longest time that is asked for anywhere, in seconds.
const LONGEST_S: f64 = 86_400.0;

impl Workload {
    pub fn read(file: &Path) -> Result<Workload, WorkloadError> {
        let unreadable = |error| WorkloadError::Unreadable { file: file.to_owned(), error };
        let text = fs::read_to_string(file).map_err(unreadable)?;
        let mut workload: Workload = toml::from_str(&text).map_err(|error| WorkloadError::NotUnderstood {
            file: file.to_owned(),
            error: Box::new(error),
        })?;
        let directory = file.parent().unwrap_or(Path::new(""));
        if let Some(authorities) = workload.tls.as_mut().and_then(|tls| tls.authorities.as_mut()) {
            *authorities = directory.join(&*authorities);
        }
        if let Values::Capture(capture) = &workload.load.values {
            let failed = |error| WorkloadError::Capture { file: file.to_owned(), error };
            // Every series of every child refers to them, until the process ends.
            workload.load.columns = capture::columns(&directory.join(capture)).map_err(failed)?.leak();
        }
        let impossible = |problem| WorkloadError::Impossible { file: file.to_owned(), problem };
        workload.check().map_err(impossible)?;
        Ok(workload)
    }

    /// How its children behave.
    pub fn conduct(&self) -> Conduct {
        let arrival = Duration::from_secs_f64(self.arrival.spread_s);
        Conduct { arrival, churn: self.churn, faults: self.faults.clone() }
    }

    /// Whether every key has a value that it can have.
    pub fn check(&self) -> Result<(), Problem> {
        let Workload { load, arrival, .. } = self;
        within("rounds", self.rounds.0, 1..=100)?;
        within("load.children", load.children, 1..=5000)?;
        within("load.charts", load.charts, 1..=100_000)?;
        within("load.dimensions", load.dimensions, 1..=10_000)?;
        within("load.update_every", load.update_every, 1..=3600)?;
        if load.name.is_empty() {
            return Err(problem("load.name", "empty", "what host names begin with"));
        }
        if let Some(database) = &load.database {
            within("load.database.retention_s", database.retention_s, 1..=u32::MAX)?;
            within("load.database.send_buffer_bytes", database.send_buffer_bytes, 1 << 12..=8 << 20)?;
        }
        within("arrival.spread_s", arrival.spread_s, 0.0..=LONGEST_S)?;
        if (arrival.storm_every_s == 0) != (arrival.storm_away_s == 0) {
            let found = format!(
                "without arrival.storm_{}_s",
                if arrival.storm_every_s == 0 { "every" } else { "away" }
            );
            let key =
                format!("arrival.storm_{}_s", if arrival.storm_every_s == 0 { "away" } else { "every" });
            return Err(problem(&key, found, "both or neither"));
        }
        if let Some(churn) = &self.churn {
            within("churn.share", churn.share, 0.0..=1.0)?;
            span("churn.life_s", churn.life_s)?;
            span("churn.away_s", churn.away_s)?;
        }
        for (number, fault) in self.faults.iter().enumerate() {
            within(&format!("fault[{number}].share"), fault.share, 0.0..=1.0)?;
            within(&format!("fault[{number}].every_s"), fault.every_s, 0.1..=LONGEST_S)?;
            let for_s = format!("fault[{number}].for_s");
            within(&for_s, fault.for_s, 0.0..=LONGEST_S)?;
            if fault.lasts() && fault.for_s == 0.0 {
                return Err(problem(&for_s, 0, "how long it lasts, in seconds, more than 0"));
            }
        }
        Ok(())
    }
}

fn within<T: PartialOrd + Display>(key: &str, found: T, allowed: RangeInclusive<T>) -> Result<(), Problem> {
    if allowed.contains(&found) {
        return Ok(());
    }
    Err(problem(key, found, format!("{} to {}", allowed.start(), allowed.end())))
}

/// Two times, the shorter one first.
fn span(key: &str, [shortest, longest]: [f64; 2]) -> Result<(), Problem> {
    if 0.0 < shortest && shortest <= longest && longest <= LONGEST_S {
        return Ok(());
    }
    let allowed = format!("two times in seconds, the shorter one first, above 0 and up to {LONGEST_S}");
    Err(problem(key, format!("[{shortest}, {longest}]"), allowed))
}

fn problem(key: &str, found: impl Display, allowed: impl Display) -> Problem {
    Problem { key: key.to_owned(), found: found.to_string(), allowed: allowed.to_string() }
}

#[cfg(test)]
mod tests;
