//! The thread of the catalog's store, which may block as it likes: shards hand changes over and go on.
//!
//! ```text
//! shard: changes -> CatalogSender --bounded channel--> Keeper: many batches, one commit -> CatalogStore
//!            ^                                           |
//!            +------------- "stored until" (atomic) <----+
//! ```
//!
//! A shard has a bounded number of changes under way, so all queues here are bounded too. While the disk fails, the
//! changes under way wait here to be tried again, and newer ones at their shard, as marks.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::catalog::{CatalogChange, CatalogStore, ChartRecord, HostRecord, StoreError};
use crate::shard::placement::ShardId;
use crate::telemetry::{CatalogMetrics, Telemetry};

/// Batches of a shard that may wait in the channel; more wait at the shard.
const BATCHES: usize = 4;
/// A change is on disk so long after it came.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// Changes that are committed without waiting for more: then a commit costs little beside them.
const COMMIT_AT: usize = 16 * 1024;
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

/// A shard's end.
#[derive(Debug)]
pub(super) struct CatalogSender {
    shard: ShardId,
    channel: SyncSender<Batch>,
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
            match self.channel.try_send(batch) {
                Ok(()) => {}
                Err(TrySendError::Full(batch)) => return self.waiting.push_front(batch),
                // The thread ends after the shards, or it has panicked, and that ends the process.
                Err(TrySendError::Disconnected(_)) => {}
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
            let _ = self.channel.send(batch);
        }
    }
}

/// The store, and those who write to it.
pub(super) struct Keeper {
    store: CatalogStore,
    batches: Receiver<Batch>,
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
    /// A sender for each of so many shards.
    pub(super) fn new(
        store: CatalogStore,
        shards: usize,
        telemetry: Arc<Telemetry>,
    ) -> (Self, Vec<CatalogSender>) {
        let (channel, batches) = sync_channel(BATCHES * shards);
        let stored: Vec<Arc<AtomicU64>> = (0..shards).map(|_| Arc::default()).collect();
        let senders = stored.iter().enumerate().map(|(index, stored)| CatalogSender {
            shard: ShardId(index as u16),
            channel: channel.clone(),
            waiting: VecDeque::new(),
            stored: Arc::clone(stored),
            told: 0,
        });
        let senders = senders.collect();
        let until = vec![0; shards];
        (Self { store, batches, changes: Vec::new(), until, stored, telemetry, failing: false }, senders)
    }

    /// Hands out what the store remembers.
    pub(super) fn restore(
        &mut self,
        host: impl FnMut(HostRecord, Vec<ChartRecord>),
    ) -> Result<(), StoreError> {
        let begun = Instant::now();
        let stored = self.store.load(host)?;
        tracing::info!(
            "catalog: {} hosts, {} charts, {} dimensions loaded in {} ms",
            stored.hosts,
            stored.charts,
            stored.dimensions,
            begun.elapsed().as_millis()
        );
        self.report();
        Ok(())
    }

    /// Starts the thread. It ends when all senders are gone.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("catalog".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut due = Instant::now();
        loop {
            let received = if self.changes.is_empty() {
                self.batches.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.batches.recv_timeout(due.saturating_duration_since(Instant::now()))
            };
            match received {
                Ok(batch) => {
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
            if (enough || Instant::now() >= due) && !self.commit() {
                due = Instant::now() + RETRY_AFTER;
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
