//! [`Parent`]: the threads of a running parent, from start to stop. The kernel of the program: the only system calls,
//! the only clock; glommio and tokio-uring are named here and nowhere else.
//!
//! ```text
//! services (tokio)   acceptor, watchdog
//!    |  Arrived, Ping, Stop            |  Visit
//!    v                                 v
//! shard-0 .. shard-n (glommio)  --->  query (tokio-uring)
//!    |       ^      HostSnapshot        |
//!    |       +-------- Asked -----------+
//!    |  CatalogChange
//!    v
//! catalog (a plain thread)
//! ```
//!
//! One more thread collects of our own host: the other end of its socket is at a shard, like a child's. Beside them three more
//! plain threads: the keeper of complete datafiles, the reader of their past for parents of ours, and
//! the writer of rows that the memory modes `save` and `map` keep in files. Connections to parents are made by the services.
//!
//! Every arrow is a bounded channel of values. Stopping goes along the arrows: no new connections, plugins are ended, the shards let
//! their children go, then the catalog is written and the query shard ends. Starting goes the other way round: the
//! shards are told of every host that the catalog remembers before the first child can arrive.

pub mod acceptor;

pub mod clock;

mod connector;

mod files;

mod keeper;

pub mod preflight;

mod catalog;

mod collecting;

mod ingest;

mod past;

mod query_shard;

mod registry;

mod reload;

mod rows;

mod sockets;

mod terms;

mod transport;

mod watchdog;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dbengine::{
    DatafileOptions, Directory, Finding, GroupKey, NewestRows, Recovered, StoreOptions, TimeRange,
    UnixSeconds, WriterId, absent_groups,
};
use glommio::ExecutorJoinHandle;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::catalog::{CatalogChange, CatalogStore, ChartRecord, HostRecord, Missing, StoreError};
use crate::config::identity::{self, IdentityError};
use crate::config::{Config, Durability, Effective, MemoryMode, Severity};
use crate::connection::tls::CertificateError;
use crate::registry::{self as bookmarks, Registry};
use crate::saved::{RestoredChart, SavedRows};
use crate::shard::message::Message;
use crate::shard::placement::{self, ShardId};
use crate::shard::{Cleanup, CommitEvery};
use crate::telemetry::Telemetry;
use crate::web::{Api, Resources, Storage};
use acceptor::Acceptor;
use clock::Clock;
use ingest::{Ingest, ShardStore};
pub use keeper::SharedFiles;
use query_shard::QueryShard;
pub(crate) use query_shard::breathe;
pub(crate) use registry::RegistryWish;
pub use reload::Reload;
use terms::Terms;

/// Messages that may wait for a shard, which takes them every few milliseconds.
const INBOX: usize = 4096;
/// Hosts of the catalog that are read before their shard has restored them.
const RESTORED_AHEAD: usize = 16;
/// Browsers' connections that may wait for the query shard.
const VISITS: usize = 1024;
/// Changed hosts that may wait for the query shard; more wait at their shard, one state a host.
const PUBLISHED: usize = 4096;

/// Pages that are written together, about.
const EXTENT_BYTES: usize = 512 << 10;
/// Bounds of a datafile's size.
const LEAST_FILE_BYTES: u64 = 4 << 20;
const MOST_FILE_BYTES: u64 = 2 << 30;
/// A datafile is complete after so long: from then on its minutes and hours are known.
const FILE_SECONDS: u32 = 3600;

/// Why the parent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Preflight(#[from] preflight::PreflightError),
    #[error(transparent)]
    Tls(#[from] CertificateError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(
        "{address} is to be encrypted ('^SSL=force' in '[web] bind to'), and there is no certificate: set '[web] ssl \
         key' and 'ssl certificate' in netdata.conf"
    )]
    NothingToEncryptWith { address: String },
    #[error("{0}")]
    Listen(String),
    #[error("{0}")]
    Shard(String),
    #[error(transparent)]
    Catalog(#[from] StoreError),
    #[error(
        "the database in {directory} cannot be opened: {error}; look after the directory and the disk, or move the \
         directory away to begin anew"
    )]
    Database { directory: String, error: dbengine::RecoveryError },
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running parent.
pub struct Parent {
    addresses: Vec<SocketAddr>,
    telemetry: Arc<Telemetry>,
    clock: Clock,
    terms: watch::Sender<Arc<Terms>>,
    /// What `/netdata.conf` shows.
    effective: watch::Sender<Effective>,
    stop: watch::Sender<bool>,
    inboxes: Vec<mpsc::Sender<Message>>,
    shards: Vec<ExecutorJoinHandle<()>>,
    catalog: JoinHandle<()>,
    keeper: JoinHandle<()>,
    rows: JoinHandle<()>,
    past: JoinHandle<()>,
    /// None when nothing is collected.
    collecting: Option<JoinHandle<()>>,
    query: JoinHandle<()>,
    /// None when this parent is no registry.
    registry: Option<JoinHandle<()>>,
    services: JoinHandle<()>,
}

impl std::fmt::Debug for Parent {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parent").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Parent {
    /// Whether the files that the configuration names can be used, and what there is to say of them.
    pub fn check(config: &Config, clock: &Clock) -> Result<Option<(Severity, String)>, StartError> {
        Ok(Terms::new(config.clone())?.remark(clock.now()))
    }

    /// Starts all threads; the ports are open when it returns. `machine_guid` is our own.
    pub fn start(config: Config, machine_guid: Uuid, clock: Clock) -> Result<Self, StartError> {
        preflight::check()?;
        let management_key = identity::management_key(&config.directories.lib)?;
        let terms = Arc::new(Terms::new(config.clone())?);
        let mut doors = Vec::new();
        for item in &config.web.bind {
            doors.extend(acceptor::open(item, config.web.listen_backlog).map_err(StartError::Listen)?);
        }
        let addresses = doors.iter().map(|door| door.listener.local_addr()).collect::<Result<Vec<_>, _>>()?;
        let config = Arc::new(config);
        let count = config.runtime.shards;
        let telemetry = Arc::new(Telemetry::new(count));
        terms.announce(clock.now(), &telemetry);
        let (terms, in_force) = watch::channel(terms);
        let (effective, shown) = watch::channel(config.effective.clone());
        let (store, database) = std::thread::scope(|scope| {
            // Both read a lot; what one of them waits for, the other computes.
            let store = scope.spawn(|| {
                read_ahead(&config.directories.catalog());
                CatalogStore::open(&config.directories.catalog())
            });
            let database = Database::open(&config.directories.database());
            (store.join(), database)
        });
        let mut store = store.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let mut database = database?;
        database.take_notes(&mut store)?;
        let (mut keeper, senders, lost) = catalog::Keeper::new(store, count, Arc::clone(&telemetry));
        let (writer, row_senders) = rows::Writer::new(config.directories.rows(), count);
        let (stop, stopped) = watch::channel(false);
        let (readers, published) = mpsc::channel(PUBLISHED);
        let (visit, visits) = mpsc::channel(VISITS);

        let mut inboxes = Vec::new();
        let mut nudges: Vec<watchdog::Nudge> = Vec::new();
        let mut shards = Vec::new();
        let (sealed, seals) = std::sync::mpsc::channel();
        let (connector, wishes) = mpsc::channel(connector::WAITING);
        let (past, past_wishes) = past::channel();
        for (index, (catalog, rows)) in senders.into_iter().zip(row_senders).enumerate() {
            let (sender, inbox) = mpsc::channel(INBOX);
            let (tasks, nudged) = (0..watchdog::NUDGED_TASKS).map(|_| mpsc::channel(1)).unzip();
            let alarm = Arc::new(watchdog::Alarm::new());
            nudges.push(watchdog::Nudge { alarm: Arc::clone(&alarm), tasks });
            let ingest = Ingest {
                id: ShardId(index as u16),
                machine_guid,
                limits: config.limits.clone(),
                cleanup: Cleanup::new(&config.database),
                telemetry: Arc::clone(&telemetry),
                clock: clock.clone(),
                inbox,
                readers: readers.clone(),
                catalog,
                rows,
                connector: connector.clone(),
                past: past.clone(),
                store: Some(database.shard_store(index, &config, sealed.clone())),
                nudges: nudged,
                alarm,
                io_memory: preflight::io_memory(count),
                core: config.runtime.pin.then_some(index),
            };
            shards.push(ingest.start().map_err(StartError::Shard)?);
            inboxes.push(sender);
        }
        drop(sealed);
        let directory = config.directories.rows();
        let mut files: HashSet<Uuid> = rows::list(&directory).into_iter().collect();
        let newest = database.recovered.files.newest();
        keeper.restore(|host, charts, missing, changes| {
            let guid = host.info.machine_guid;
            let restored = match host.info.memory_mode {
                MemoryMode::Save | MemoryMode::Map => {
                    files.remove(&guid);
                    rows::restore(guid, charts, rows::read(&directory, &guid), changes)
                }
                _ => database.charts_with_rows(&newest, &host, charts, changes),
            };
            let Some(mut charts) = restored else { return };
            for chart in &mut charts {
                chart.missing = missing.of(guid, &chart.record.id);
            }
            let owner = placement::owner(&guid, count).index();
            let inbox = &inboxes[owner];
            // What was read would only wait there, in fresh memory, instead of taking that of what was restored.
            let begun = Instant::now();
            while inbox.max_capacity() - inbox.capacity() > RESTORED_AHEAD && !inbox.is_closed() {
                std::thread::sleep(Duration::from_micros(200));
                if begun.elapsed() > watchdog::LOOK_EVERY {
                    // It may have lost a wake-up, and the watchdog does not run yet.
                    for task in &nudges[owner].tasks {
                        // Full: the last nudge was not taken yet.
                        let _ = task.try_send(());
                    }
                }
            }
            // A shard that ended will be found by those who join it.
            let _ = inbox.blocking_send(Message::Restored { host: Box::new(host), charts });
        })?;
        drop(newest);
        if !files.is_empty() {
            tracing::info!(
                "saved rows: {} files in {} are of hosts that the catalog does not know, or keeps in another memory \
                 mode; they are left alone",
                files.len(),
                directory.display()
            );
        }
        let rows = writer.start()?;
        let catalog = keeper.start(inboxes.clone())?;
        let Database { directory, recovered: Recovered { files, .. }, .. } = database;
        let files: SharedFiles = Arc::new(RwLock::new(Arc::new(files)));
        let keeper = keeper::Keeper {
            directory: directory.clone(),
            files: Arc::clone(&files),
            sealed: seals,
            shards: inboxes.clone(),
            lost,
            tiers: config.database.tiers.clone(),
            derived: HashSet::new(),
            metrics: Arc::clone(&telemetry),
            clock: clock.clone(),
            stopped: stopped.clone(),
        };
        let keeper = keeper.start()?;
        drop(past);
        let past = past::start(past_wishes, inboxes.clone(), Arc::clone(&files), directory.clone())?;

        let (bookmarked, registry) = if config.registry.enabled {
            let limits = bookmarks::Limits::new(&config.registry);
            let opened = Registry::open(&config.directories.registry, limits, clock.now());
            let (sender, thread) = registry::start(opened, clock.clone())?;
            (Some(sender), Some(thread))
        } else {
            (None, None)
        };
        let query = QueryShard {
            visits,
            published,
            stop: stopped.clone(),
            header_timeout: config.web.disconnect_idle_clients_after,
            write_timeout: config.web.disconnect_idle_clients_after,
        };
        let query = {
            let (config, inboxes) = (Arc::clone(&config), inboxes.clone());
            let (telemetry, clock) = (Arc::clone(&telemetry), clock.clone());
            query.start(move || {
                let storage = Storage::new(files, directory, config.database.page_cache_bytes);
                Api::new(Resources {
                    config,
                    effective: shown,
                    machine_guid,
                    management_key,
                    shards: inboxes,
                    storage,
                    registry: bookmarked,
                    telemetry,
                    clock,
                })
            })?
        };

        let collectors = collecting::Collectors {
            config: Arc::clone(&config),
            machine_guid,
            shards: inboxes.clone(),
            telemetry: Arc::clone(&telemetry),
            clock: clock.clone(),
            stopped: stopped.clone(),
        };
        let acceptor = Acceptor::new(
            in_force,
            machine_guid,
            inboxes.clone(),
            visit,
            Arc::clone(&telemetry),
            clock.clone(),
        );
        let services =
            services(acceptor, doors, inboxes.clone(), (nudges, wishes), Arc::clone(&telemetry), stopped)?;
        let collecting = collectors.start()?;
        Ok(Self {
            addresses,
            telemetry,
            clock,
            terms,
            effective,
            stop,
            inboxes,
            shards,
            catalog,
            keeper,
            rows,
            past,
            collecting,
            query,
            registry,
            services,
        })
    }

    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    pub fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    /// Writes the rows of all hosts in memory mode `save`. Returns at once; the log says when it is done.
    pub fn save(&self) {
        for inbox in &self.inboxes {
            // A shard that ended will be found by those who join it.
            let _ = inbox.blocking_send(Message::Save);
        }
    }

    /// Stops in order: no new connections, children let go, queries ended. Takes at most a few seconds.
    pub fn stop(self) {
        let begun = Instant::now();
        // The receivers may have ended by themselves.
        let _ = self.stop.send(true);
        // First, so that what it has collected is still stored.
        if self.collecting.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(thread = "collecting", "the thread panicked");
        }
        for inbox in &self.inboxes {
            let _ = inbox.blocking_send(Message::Stop);
        }
        for (index, shard) in self.shards.into_iter().enumerate() {
            if let Err(error) = shard.join() {
                tracing::error!(shard = index, %error, "the shard's executor failed");
            }
        }
        drop(self.inboxes);
        for (name, thread) in [
            ("catalog", self.catalog),
            ("keeper", self.keeper),
            ("rows", self.rows),
            ("past", self.past),
            ("services", self.services),
            ("query", self.query),
        ]
        .into_iter()
        .chain(self.registry.map(|thread| ("registry", thread)))
        {
            if thread.join().is_err() {
                tracing::error!(thread = name, "the thread panicked");
            }
        }
        tracing::info!(took = ?begun.elapsed(), "stopped");
    }
}

/// What was found on disk.
struct Database {
    directory: Directory,
    root: PathBuf,
    recovered: Recovered,
}

impl Database {
    fn open(root: &Path) -> Result<Database, StartError> {
        let begun = Instant::now();
        let failed = |error| Database::failed(root, error);
        let mut directory = Directory::create(root).map_err(|error| failed(error.into()))?;
        let recovered = dbengine::recover(&mut directory, &mut |progress| {
            tracing::info!("database: {progress}");
        })
        .map_err(failed)?;
        for finding in &recovered.findings {
            tracing::warn!("database: {finding}");
        }
        tracing::info!(
            "database: {} datafiles opened, {} rows taken from the journal, in {} ms",
            recovered.files.files().count(),
            recovered.rows,
            begun.elapsed().as_millis()
        );
        Ok(Database { directory, root: root.into(), recovered })
    }

    /// Hands over to the catalog's store what the journal knows of the catalog; then the journal has served.
    fn take_notes(&mut self, catalog: &mut CatalogStore) -> Result<(), StartError> {
        let mut changes = Vec::new();
        for note in &self.recovered.notes {
            match CatalogChange::decode(note) {
                Ok(change) => changes.push(change),
                Err(error) => tracing::warn!("database: a note of the journal is passed over: {error}"),
            }
        }
        if !changes.is_empty() {
            catalog.apply(&changes)?;
        }
        self.recovered.finish(&mut self.directory).map_err(|error| Database::failed(&self.root, error))
    }

    fn failed(root: &Path, error: dbengine::RecoveryError) -> StartError {
        StartError::Database { directory: root.display().to_string(), error }
    }

    /// What is on disk is all that there was: a group without rows has none.
    fn is_whole(&self) -> bool {
        let is_unreadable = |finding: &Finding| matches!(finding, Finding::Unreadable { .. });
        let Recovered { files, findings, .. } = &self.recovered;
        files.files().next().is_some() && !findings.iter().any(is_unreadable)
    }

    /// The charts of a host, with the time of their newest row, 0 if only coarser tiers have any. Charts without a row in
    /// any tier are forgotten, and a host that has no others: their samples have expired, and the last parent ended
    /// before it knew. They stay while the database lacks files, or all of it: then it may come back.
    fn charts_with_rows(
        &self,
        newest: &NewestRows<'_>,
        host: &HostRecord,
        mut charts: Vec<ChartRecord>,
        forgotten: &mut Vec<CatalogChange>,
    ) -> Option<Vec<RestoredChart>> {
        let guid = host.info.machine_guid;
        if host.info.memory_mode == MemoryMode::Dbengine && self.is_whole() {
            let key = |chart: &ChartRecord| GroupKey(chart.key);
            let unknown = charts.iter().map(key).filter(|key| newest.get(*key).is_none()).collect();
            let seen = UnixSeconds(host.seen);
            let absent = absent_groups(&self.recovered.files, unknown, TimeRange { first: seen, last: seen });
            let absent: HashSet<GroupKey> = absent.into_iter().collect();
            if charts.iter().all(|chart| absent.contains(&key(chart))) {
                forgotten.push(CatalogChange::ForgetHost(guid));
                return None;
            }
            charts.retain(|chart| {
                let stays = !absent.contains(&key(chart));
                if !stays {
                    forgotten.push(CatalogChange::ForgetChart { host: guid, chart: chart.id.clone() });
                }
                stays
            });
        }
        let with_newest = |record: ChartRecord| {
            let newest = newest.get(GroupKey(record.key)).unwrap_or_default();
            RestoredChart { record, newest, saved: SavedRows::default(), missing: Missing::default() }
        };
        Some(charts.into_iter().map(with_newest).collect())
    }

    fn shard_store(
        &self,
        index: usize,
        config: &Config,
        sealed: std::sync::mpsc::Sender<keeper::Sealed>,
    ) -> ShardStore {
        let shards = config.runtime.shards as u64;
        let syncs = config.storage.durability == Durability::Power;
        // A sixteenth of what the tier may take, so that retention goes in small steps, over all shards.
        let room = config.database.tiers[0].retention.bytes.unwrap_or(u64::MAX);
        ShardStore {
            options: StoreOptions {
                writer: WriterId(index as u16),
                first_sequence: self.recovered.next_sequence,
                survives_power_loss: syncs,
                datafiles: DatafileOptions {
                    extent_bytes: EXTENT_BYTES,
                    file_bytes: (room / shards / 16).clamp(LEAST_FILE_BYTES, MOST_FILE_BYTES),
                    file_seconds: FILE_SECONDS,
                    waiting_bytes: config.storage.waiting_bytes / shards as usize,
                    syncs,
                },
            },
            commit_every: CommitEvery(config.storage.commit_interval),
            root: self.root.clone(),
            sealed,
        }
    }
}

/// Lets the system read a file, all of which is needed soon, while others work.
fn read_ahead(path: &Path) {
    if let Ok(file) = std::fs::File::open(path) {
        // It is advice: nothing depends on it.
        let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::WillNeed);
    }
}

/// Starts the thread of what talks to the outside: acceptor, connections to parents, and watchdog.
fn services(
    acceptor: Acceptor,
    doors: Vec<acceptor::Door>,
    inboxes: Vec<mpsc::Sender<Message>>,
    (nudges, wishes): (Vec<watchdog::Nudge>, mpsc::Receiver<connector::Wish>),
    telemetry: Arc<Telemetry>,
    mut stopped: watch::Receiver<bool>,
) -> Result<JoinHandle<()>, std::io::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("services".into()).spawn(move || {
        runtime.block_on(async move {
            let acceptor = Arc::new(acceptor);
            for door in doors {
                tokio::spawn(Arc::clone(&acceptor).run(door, stopped.clone()));
            }
            tokio::spawn(connector::run(wishes, inboxes.clone(), stopped.clone()));
            for (index, inbox) in inboxes.into_iter().enumerate() {
                let shard = ShardId(index as u16);
                tokio::spawn(watchdog::watch(shard, inbox, Arc::clone(&telemetry), stopped.clone()));
            }
            tokio::spawn(watchdog::nudge(nudges, stopped.clone()));
            // Either told to stop, or nobody is left who could tell.
            let _ = stopped.wait_for(|stop| *stop).await;
        });
    })
}
