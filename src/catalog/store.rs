//! [`CatalogStore`]: what of the catalog survives a restart, in an embedded database.
//!
//! ```text
//! hosts    machine GUID               -> HostRecord
//! charts   (machine GUID, chart id)   -> ChartRecord, with its dimensions
//! missing  (machine GUID, chart id)   -> of which times it lacks rows that its child may have
//! ```
//!
//! One file, of one owner, who may block: not a shard. A batch of changes is one transaction: after [`CatalogStore::apply`]
//! it is on disk whole, and before that nothing of it is. What the file holds is definitions only; without it samples
//! are still there, but nobody knows whose they are.
//!
//! Why redb, and what it costs: docs/decisions/0004-catalog-store.md.

pub mod change;

pub mod record;

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbengine::{TimeRange, UnixSeconds};
use ecow::EcoString;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, TableDefinition};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Missing;
use change::CatalogChange;
use record::{ChartRecord, HostRecord, RecordError};

const HOSTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("hosts");
const CHARTS: TableDefinition<'_, (u128, &str), &[u8]> = TableDefinition::new("charts");
const MISSING: TableDefinition<'_, (u128, &str), &[u8]> = TableDefinition::new("missing");

/// Pages that the database keeps in memory: what a batch touches, not the whole catalog.
const CACHE_BYTES: usize = 512 << 10;
/// How often a copy is taken until one is whole, and how long after the one before: a commit takes less.
const COPIES: u32 = 10;
const BETWEEN_COPIES: Duration = Duration::from_millis(100);
/// Damaged records that are named in the log; the rest is only counted.
const NAMED: u64 = 16;

/// Why the store cannot be used, or a batch is not in it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(
        "the catalog {path} cannot be made: {cause}; make its directory for the user that runs mainstem, or name \
        another with --state or '[directories] cache'"
    )]
    Directory { path: PathBuf, cause: std::io::Error },
    #[error(
        "the catalog {path} is in use: another mainstem runs on this directory; stop it, or name another directory \
        with --state or '[directories] cache'"
    )]
    InUse { path: PathBuf },
    #[error(
        "the catalog {path} is damaged ({cause}): move it away and start again. Samples are not touched; hosts and \
        charts are listed again when their children connect"
    )]
    Damaged { path: PathBuf, cause: String },
    #[error(
        "the catalog {path} was written by a newer program: its record of {subject} has version {version}. Start \
        that program again, or move the file away: samples are not touched; hosts and charts are listed again when \
        their children connect"
    )]
    Newer { path: PathBuf, subject: String, version: u8 },
    #[error("the catalog {path}: {cause}")]
    Database { path: PathBuf, cause: redb::Error },
}

/// What the store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub hosts: u64,
    pub charts: u64,
    pub dimensions: u64,
    /// Records that could not be read.
    pub damaged: u64,
}

/// Of which times charts lack rows: first and last, unix seconds, by machine GUID and chart id.
#[derive(Debug, Default)]
pub struct MissingTimes(HashMap<(Uuid, EcoString), Vec<(i64, i64)>>);

impl MissingTimes {
    /// What a chart lacks.
    pub fn of(&self, host: Uuid, chart: &EcoString) -> Missing {
        let spans = self.0.get(&(host, chart.clone())).into_iter().flatten();
        let seconds =
            |(first, last): &(i64, i64)| TimeRange { first: UnixSeconds(*first), last: UnixSeconds(*last) };
        Missing::new(spans.map(seconds))
    }
}

impl Stored {
    /// A chart of so many dimensions is gone, if there was one.
    fn forget(&mut self, chart: Option<u64>) {
        if let Some(dimensions) = chart {
            self.charts = self.charts.saturating_sub(1);
            self.dimensions = self.dimensions.saturating_sub(dimensions);
        }
    }
}

/// The catalog on disk.
#[derive(Debug)]
pub struct CatalogStore {
    path: PathBuf,
    /// Closed by an error: redb does nothing more with a file that failed it. The next batch opens it again.
    database: Option<Database>,
    stored: Stored,
    /// The bytes of the record being written.
    bytes: Vec<u8>,
}

impl CatalogStore {
    /// Opens the file, or makes it, and its directory too. Reads all of it once, so that damage is found now and not
    /// while children stream: 0.2 s for a million dimensions.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .map_err(|cause| StoreError::Directory { path: path.to_path_buf(), cause })?;
        }
        let database = open(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            database: Some(database),
            stored: Stored::default(),
            bytes: Vec::new(),
        })
    }

    /// A copy in memory, of a file that another process may be writing to. What is done with it does not reach the file.
    ///
    /// The writer's lock keeps us from opening the file, not from reading it. A copy that was taken in the middle of a
    /// commit fails the checksums, and another is taken.
    pub fn open_copy(path: &Path) -> Result<Self, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match copy(path) {
                Err(StoreError::Damaged { .. }) if tries < COPIES => std::thread::sleep(BETWEEN_COPIES),
                copied => {
                    return Ok(Self {
                        path: path.to_path_buf(),
                        database: Some(copied?),
                        stored: Stored::default(),
                        bytes: Vec::new(),
                    });
                }
            }
        }
    }

    /// Hands out each host with its charts, in the order of their definition. A damaged record is named in the log and
    /// left out; a host that cannot be read takes its charts along.
    pub fn load(&mut self, mut host: impl FnMut(HostRecord, Vec<ChartRecord>)) -> Result<Stored, StoreError> {
        let mut reading = Reading { path: &self.path, stored: Stored::default() };
        let failed = |cause: redb::Error| failed(&self.path, cause);
        let database = self.database.as_ref().expect("a store that was just opened is open");
        let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
        let hosts = transaction.open_table(HOSTS).map_err(|error| failed(error.into()))?;
        let charts = transaction.open_table(CHARTS).map_err(|error| failed(error.into()))?;
        let mut charts = charts.range::<(u128, &str)>(..).map_err(|error| failed(error.into()))?.peekable();
        for entry in hosts.range::<u128>(..).map_err(|error| failed(error.into()))? {
            let (guid, bytes) = entry.map_err(|error| failed(error.into()))?;
            let guid = guid.value();
            let record = reading.record::<HostRecord>(bytes.value(), || host_named(guid))?;
            let mut of_host = Vec::new();
            while let Some(entry) = charts.next_if(|entry| match entry {
                Ok((key, _)) => key.value().0 <= guid,
                Err(_) => true,
            }) {
                let (key, bytes) = entry.map_err(|error| failed(error.into()))?;
                let (owner, id) = key.value();
                if owner == guid && record.is_some() {
                    let subject = || format!("chart '{id}' of {}", host_named(guid));
                    of_host.extend(reading.record::<ChartRecord>(bytes.value(), subject)?);
                }
            }
            if let Some(record) = record {
                of_host.sort_by_key(|chart| chart.ordinal);
                reading.stored.hosts += 1;
                reading.stored.charts += of_host.len() as u64;
                reading.stored.dimensions +=
                    of_host.iter().map(|chart| chart.dimensions.len() as u64).sum::<u64>();
                host(record, of_host);
            }
        }
        self.stored = reading.stored;
        if self.stored.damaged > NAMED {
            tracing::warn!(path = %self.path.display(), "{} damaged records in all", self.stored.damaged);
        }
        Ok(self.stored)
    }

    /// What charts lack. A damaged record is left out: then nothing is known to be missing.
    pub fn missing(&self) -> Result<MissingTimes, StoreError> {
        let database = self.database.as_ref().expect("a store that was just opened is open");
        let read = || -> Result<MissingTimes, redb::Error> {
            let mut missing = HashMap::new();
            for entry in database.begin_read()?.open_table(MISSING)?.range::<(u128, &str)>(..)? {
                let (chart, spans) = entry?;
                let (host, id) = chart.value();
                match record::decode(spans.value()) {
                    Ok(spans) => drop(missing.insert((Uuid::from_u128(host), id.into()), spans)),
                    Err(error) => tracing::warn!(
                        "the catalog {}: what chart '{id}' of {} lacks is not known: {error}",
                        self.path.display(),
                        host_named(host),
                    ),
                }
            }
            Ok(MissingTimes(missing))
        };
        read().map_err(|cause| failed(&self.path, cause))
    }

    /// Hands out the machine GUID and the id of the charts that have one of these keys, host by host. The beginnings of
    /// all records are read. A store that an error has closed knows of none.
    pub fn find(
        &self,
        keys: &HashSet<u128>,
        mut found: impl FnMut(Uuid, &str, u128),
    ) -> Result<(), StoreError> {
        let Some(database) = &self.database else { return Ok(()) };
        let mut search = || -> Result<(), redb::Error> {
            let charts = database.begin_read()?.open_table(CHARTS)?;
            for entry in charts.range::<(u128, &str)>(..)? {
                let (chart, bytes) = entry?;
                if let Some(key) = record::chart_key(bytes.value()).filter(|key| keys.contains(key)) {
                    let (host, id) = chart.value();
                    found(Uuid::from_u128(host), id, key);
                }
            }
            Ok(())
        };
        search().map_err(|cause| failed(&self.path, cause))
    }

    /// Makes the changes, in their order, in one transaction. On an error nothing of them is stored, and the same batch
    /// may be tried again at any time.
    pub fn apply(&mut self, batch: &[CatalogChange]) -> Result<(), StoreError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let mut stored = self.stored;
        write(&database, batch, &mut stored, &mut self.bytes).map_err(|cause| failed(&self.path, cause))?;
        self.stored = stored;
        self.database = Some(database);
        Ok(())
    }

    /// What it holds, as of the last [`load`](Self::load) and the batches since.
    pub fn stored(&self) -> Stored {
        self.stored
    }
}

fn open(path: &Path) -> Result<Database, StoreError> {
    with_tables(path, builder().create(path))
}

fn copy(path: &Path) -> Result<Database, StoreError> {
    let in_memory = || -> std::io::Result<InMemoryBackend> {
        let bytes = std::fs::read(path)?;
        let memory = InMemoryBackend::new();
        memory.set_len(bytes.len() as u64)?;
        memory.write(0, &bytes)?;
        Ok(memory)
    };
    let memory = in_memory().map_err(|cause| failed(path, cause.into()))?;
    with_tables(path, builder().create_with_backend(memory))
}

fn builder() -> Builder {
    let mut builder = Database::builder();
    // Also a file that was closed in order: what another program has damaged since would make redb panic.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn with_tables(path: &Path, opened: Result<Database, DatabaseError>) -> Result<Database, StoreError> {
    let database = opened.map_err(|error| failed(path, error.into()))?;
    // So that all tables are there to be read.
    let make_tables = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(HOSTS)?;
        transaction.open_table(CHARTS)?;
        transaction.open_table(MISSING)?;
        Ok(transaction.commit()?)
    };
    make_tables().map_err(|cause| failed(path, cause))?;
    Ok(database)
}

fn write(
    database: &Database,
    batch: &[CatalogChange],
    stored: &mut Stored,
    bytes: &mut Vec<u8>,
) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut hosts = transaction.open_table(HOSTS)?;
        let mut charts = transaction.open_table(CHARTS)?;
        let mut missing = transaction.open_table(MISSING)?;
        for change in batch {
            bytes.clear();
            match change {
                CatalogChange::Host(host) => {
                    record::encode(host, bytes);
                    let known = hosts.insert(host.info.machine_guid.as_u128(), &**bytes)?;
                    stored.hosts += u64::from(known.is_none());
                }
                CatalogChange::Chart { host, chart } => {
                    record::encode(chart, bytes);
                    let known = charts.insert((host.as_u128(), &*chart.id), &**bytes)?;
                    stored.forget(known.map(|known| dimensions(known.value())));
                    stored.charts += 1;
                    stored.dimensions += chart.dimensions.len() as u64;
                }
                CatalogChange::ForgetChart { host, chart } => {
                    let known = charts.remove((host.as_u128(), &**chart))?;
                    stored.forget(known.map(|known| dimensions(known.value())));
                    missing.remove((host.as_u128(), &**chart))?;
                }
                CatalogChange::Missing { host, chart, spans } if spans.is_empty() => {
                    missing.remove((host.as_u128(), &**chart))?;
                }
                CatalogChange::Missing { host, chart, spans } => {
                    record::encode(spans, bytes);
                    missing.insert((host.as_u128(), &**chart), &**bytes)?;
                }
                CatalogChange::ForgetHost(host) => {
                    let host = host.as_u128();
                    let known = hosts.remove(host)?;
                    stored.hosts = stored.hosts.saturating_sub(u64::from(known.is_some()));
                    let next = host.checked_add(1).map_or(Unbounded, |next| Excluded((next, "")));
                    let all = (Included((host, "")), next);
                    for known in charts.extract_from_if(all, |_, _| true)? {
                        stored.forget(Some(dimensions(known?.1.value())));
                    }
                    missing.retain_in::<(u128, &str), _>(all, |_, _| false)?;
                }
            }
        }
    }
    Ok(transaction.commit()?)
}

/// Dimensions of a chart's record; none, if nobody can read it.
fn dimensions(bytes: &[u8]) -> u64 {
    record::decode::<ChartRecord>(bytes).map_or(0, |chart| chart.dimensions.len() as u64)
}

fn host_named(guid: u128) -> String {
    format!("host {}", Uuid::from_u128(guid))
}

fn failed(path: &Path, cause: redb::Error) -> StoreError {
    let path = path.to_path_buf();
    match cause {
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path },
        redb::Error::Corrupted(cause) => StoreError::Damaged { path, cause },
        // What redb says of a file that is none of its own, or is cut.
        redb::Error::Io(cause)
            if matches!(cause.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            StoreError::Damaged { path, cause: cause.to_string() }
        }
        cause => StoreError::Database { path, cause },
    }
}

/// Records on their way out.
struct Reading<'a> {
    path: &'a Path,
    stored: Stored,
}

impl Reading<'_> {
    /// The record of these bytes, if it can be read.
    fn record<T: DeserializeOwned>(
        &mut self,
        bytes: &[u8],
        subject: impl FnOnce() -> String,
    ) -> Result<Option<T>, StoreError> {
        match record::decode(bytes) {
            Ok(record) => Ok(Some(record)),
            Err(RecordError::Newer { version }) => {
                Err(StoreError::Newer { path: self.path.to_path_buf(), subject: subject(), version })
            }
            Err(error) => {
                self.stored.damaged += 1;
                if self.stored.damaged <= NAMED {
                    tracing::warn!(
                        "the catalog {}: the record of {} is left out: {error}; it is written again when its child \
                         connects",
                        self.path.display(),
                        subject(),
                    );
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
