//! The thread of the catalog's store, which may block as it likes: shards hand changes over and go on.
//!
//! ```text
//! shard: changes -> CatalogSender --bounded channel--> Keeper: many batches, one commit -> CatalogStore
//!   ^        ^                                       ^    |  |
//!   |        +------------- "stored until" (atomic) -|----+  |
//!   |                  datafiles' keeper: lost keys -+       |
//!   +------------------------------- Lost: whose they are <--+
//! ```
//!
//! A shard has a bounded number of changes under way, so all queues here are bounded too. While the disk fails, the
//! changes under way wait here to be tried again, and newer ones at their shard, as marks.

use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dbengine::GroupKey;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::catalog::{CatalogChange, CatalogStore, ChartRecord, HostRecord, MissingTimes, StoreError};
use crate::shard::message::{LostChart, Message};
use crate::shard::placement::{self, ShardId};
use crate::telemetry::{CatalogMetrics, Telemetry};

/// Batches of a shard that may wait in the channel; more wait at the shard.
const BATCHES: usize = 4;
/// A change is on disk so long after it came.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Changes that are committed without waiting for more: then a commit costs little beside them.
const COMMIT_AT: usize = 16 * 1024;
/// Charts of a message to a shard, and messages until the next pause: a shard forgets them within a turn, beside all else.
const LOST_AT_ONCE: usize = 512;
const TOLD_AT_ONCE: usize = 16;
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// After an error.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Changes of one shard.
#[derive(Debug)]
struct Batch {
    shard: ShardId,
    /// The number of the last change.
    until: u64,
    changes: Vec<CatalogChange>,
}

/// What the thread is asked for.
#[derive(Debug)]
enum Request {
    Change(Batch),
    /// These keys have no row in any datafile.
    Lost(Vec<GroupKey>),
}

/// The end of those who remove datafiles.
#[derive(Debug)]
pub(super) struct LostSender(SyncSender<Request>);

impl LostSender {
    /// The charts of these keys are to hear that they have no row in any datafile. Waits for room.
    pub(super) fn send(&self, keys: Vec<GroupKey>) {
        // The thread ends after those who remove files, or it has panicked, and that ends the process.
        let _ = self.0.send(Request::Lost(keys));
    }
}

/// A shard's end.
#[derive(Debug)]
pub(super) struct CatalogSender {
    shard: ShardId,
    channel: SyncSender<Request>,
    /// What the channel had no room for.
    waiting: VecDeque<Batch>,
    stored: Arc<AtomicU64>,
    /// What the shard was told of that.
    told: u64,
}

impl CatalogSender {
    /// Never blocks.
    pub(super) fn send(&mut self, until: u64, changes: Vec<CatalogChange>) {
        self.waiting.push_back(Batch { shard: self.shard, until, changes });
        self.flush();
    }

    /// Tries again what the channel had no room for.
    pub(super) fn flush(&mut self) {
        while let Some(batch) = self.waiting.pop_front() {
            // Disconnected: the thread ends after the shards, or it has panicked, and that ends the process.
            if let Err(TrySendError::Full(Request::Change(batch))) =
                self.channel.try_send(Request::Change(batch))
            {
                return self.waiting.push_front(batch);
            }
        }
    }

    /// Up to which change all is on disk, if that is news.
    pub(super) fn news(&mut self) -> Option<u64> {
        let stored = self.stored.load(Relaxed);
        (std::mem::replace(&mut self.told, stored) != stored).then_some(stored)
    }

    /// Sends all that is left, and waits for room: nobody is served any more.
    pub(super) fn finish(&mut self) {
        for batch in self.waiting.drain(..) {
            // As above.
            let _ = self.channel.send(Request::Change(batch));
        }
    }
}

/// The store, and those who write to it.
pub(super) struct Keeper {
    store: CatalogStore,
    requests: Receiver<Request>,
    shards: Vec<mpsc::Sender<Message>>,
    /// Of lost charts: what shards had no room for.
    untold: VecDeque<(ShardId, Message)>,
    /// What is to be committed.
    changes: Vec<CatalogChange>,
    /// By shard: the number of its last change in there, or before.
    until: Vec<u64>,
    /// By shard: what it is told.
    stored: Vec<Arc<AtomicU64>>,
    telemetry: Arc<Telemetry>,
    /// The last commit failed.
    failing: bool,
}

impl Keeper {
    /// A sender for each of so many shards, and one for the keeper of datafiles.
    pub(super) fn new(
        store: CatalogStore,
        shards: usize,
        telemetry: Arc<Telemetry>,
    ) -> (Self, Vec<CatalogSender>, LostSender) {
        let (channel, requests) = sync_channel(BATCHES * shards);
        let stored: Vec<Arc<AtomicU64>> = (0..shards).map(|_| Arc::default()).collect();
        let senders = stored.iter().enumerate().map(|(index, stored)| CatalogSender {
            shard: ShardId(index as u16),
            channel: channel.clone(),
            waiting: VecDeque::new(),
            stored: Arc::clone(stored),
            told: 0,
        });
        let senders = senders.collect();
        let keeper = Self {
            store,
            requests,
            shards: Vec::new(),
            untold: VecDeque::new(),
            changes: Vec::new(),
            until: vec![0; shards],
            stored,
            telemetry,
            failing: false,
        };
        (keeper, senders, LostSender(channel))
    }

    /// Hands out what the store remembers. What `host` finds to be otherwise is changed then.
    pub(super) fn restore(
        &mut self,
        mut host: impl FnMut(HostRecord, Vec<ChartRecord>, &MissingTimes, &mut Vec<CatalogChange>),
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut changes = Vec::new();
        let missing = self.store.missing()?;
        let stored = self.store.load(|record, charts| host(record, charts, &missing, &mut changes))?;
        tracing::info!(
            "catalog: {} hosts, {} charts, {} dimensions loaded in {} ms",
            stored.hosts,
            stored.charts,
            stored.dimensions,
            begun.elapsed().as_millis()
        );
        if !changes.is_empty() {
            let is_forgetting = |change: &&CatalogChange| {
                matches!(change, CatalogChange::ForgetHost(_) | CatalogChange::ForgetChart { .. })
            };
            let forgotten = changes.iter().filter(is_forgetting).count();
            if forgotten > 0 {
                tracing::info!("catalog: {forgotten} hosts and charts have no sample left and are forgotten");
            }
            self.store.apply(&changes)?;
        }
        self.report();
        Ok(())
    }

    /// Starts the thread. It ends when all senders are gone.
    pub(super) fn start(mut self, shards: Vec<mpsc::Sender<Message>>) -> io::Result<JoinHandle<()>> {
        self.shards = shards;
        std::thread::Builder::new().name("catalog".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut due = Instant::now();
        loop {
            self.tell();
            let received = if !self.untold.is_empty() {
                self.requests.recv_timeout(TELL_AGAIN_AFTER)
            } else if self.changes.is_empty() {
                self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.requests.recv_timeout(due.saturating_duration_since(Instant::now()))
            };
            match received {
                Ok(Request::Lost(keys)) => self.find(&keys),
                Ok(Request::Change(batch)) => {
                    if self.changes.is_empty() {
                        due = Instant::now() + COMMIT_AFTER;
                    }
                    self.until[batch.shard.index()] = batch.until;
                    self.changes.extend(batch.changes);
                    self.metrics().waiting.store(self.changes.len() as u64, Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if !self.changes.is_empty() && !self.commit() {
                        tracing::error!(
                            "{} changes of the catalog are lost: what they are about is not listed after the next \
                             start, until its child connects",
                            self.changes.len()
                        );
                    }
                    return;
                }
            }
            let enough = self.changes.len() >= COMMIT_AT && !self.failing;
            let waits = !self.changes.is_empty() && Instant::now() >= due;
            if (enough || waits) && !self.commit() {
                due = Instant::now() + RETRY_AFTER;
            }
        }
    }

    /// Finds out whose keys these are. What fails, or is not stored yet, is found when the parent is started again.
    fn find(&mut self, keys: &[GroupKey]) {
        let keys: HashSet<u128> = keys.iter().map(|key| key.0).collect();
        let (shards, untold) = (self.shards.len(), &mut self.untold);
        let found = |guid: Uuid, id: &str, key| {
            let chart = LostChart { id: id.into(), key };
            match untold.back_mut() {
                Some((_, Message::Lost { host, charts })) if *host == guid && charts.len() < LOST_AT_ONCE => {
                    charts.push(chart);
                }
                _ => {
                    let message = Message::Lost { host: guid, charts: vec![chart] };
                    untold.push_back((placement::owner(&guid, shards), message));
                }
            }
        };
        if let Err(error) = self.store.find(&keys, found) {
            tracing::error!("{error}; what has no sample left stays listed until the next start");
        }
    }

    /// Tells shards of some lost charts, as far as they have room: one that ends may be waiting for this thread.
    fn tell(&mut self) {
        for _ in 0..TOLD_AT_ONCE {
            let Some((shard, message)) = self.untold.pop_front() else { return };
            if let Err(mpsc::error::TrySendError::Full(message)) =
                self.shards[shard.index()].try_send(message)
            {
                return self.untold.push_front((shard, message));
            }
        }
    }

    /// Commits what there is. If it fails, all of it stays for the next time.
    fn commit(&mut self) -> bool {
        let begun = Instant::now();
        match self.store.apply(&self.changes) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the catalog is written again");
                }
                let metrics = self.metrics();
                metrics.commits.fetch_add(1, Relaxed);
                metrics.changes.fetch_add(self.changes.len() as u64, Relaxed);
                metrics.commit_us.store(begun.elapsed().as_micros() as u64, Relaxed);
                self.changes.clear();
                for (stored, until) in self.stored.iter().zip(&self.until) {
                    stored.store(*until, Relaxed);
                }
                self.report();
                true
            }
            Err(error) => {
                self.metrics().errors.fetch_add(1, Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    self.complain(&error);
                }
                self.metrics().failing.store(1, Relaxed);
                false
            }
        }
    }

    fn complain(&self, error: &StoreError) {
        tracing::error!(
            "{error}. Children are served on; {} changes wait in memory, and it is tried again every {} s",
            self.changes.len(),
            RETRY_AFTER.as_secs()
        );
    }

    fn metrics(&self) -> &CatalogMetrics {
        &self.telemetry.catalog
    }

    fn report(&self) {
        let stored = self.store.stored();
        let metrics = self.metrics();
        metrics.hosts.store(stored.hosts, Relaxed);
        metrics.charts.store(stored.charts, Relaxed);
        metrics.dimensions.store(stored.dimensions, Relaxed);
        metrics.waiting.store(self.changes.len() as u64, Relaxed);
        metrics.failing.store(u64::from(self.failing), Relaxed);
    }
}
