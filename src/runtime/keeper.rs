//! The keeper: a thread that makes complete datafiles known to readers, and removes the oldest ones.
//!
//! ```text
//! shard --Sealed--> Keeper: opens file and index, publishes a new FileSet --Published--> shard
//!                     |
//!                     +-- at first: checks the files of earlier days whole, and makes broken indexes again
//!                     +-- then, and now and then: derives the files of the tiers above
//!                     +-- now and then: what retention does not allow goes, index last; what has no row in any file
//!                         then is told to the catalog, which knows whose it was
//! ```

use std::collections::HashSet;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dbengine::{
    Directory, Disk, DiskDone, DiskError, DiskOp, DiskOpKind, FileId, FileName, FileSet, Index, OpId, ReadAt,
    SealedFile, UnixSeconds, expired,
};
use tokio::sync::{mpsc, watch};

use super::catalog::LostSender;
use super::clock::Clock;
use crate::config::Tier;
use crate::shard::message::Message;
use crate::shard::placement::ShardId;
use crate::telemetry::Telemetry;

const EXPIRE_EVERY: Duration = Duration::from_secs(10);
/// Files of a tier that are derived from together: an hour's file of seconds makes a file of minutes, but a file of hours
/// needs a day's to be worth its index.
const DERIVED_TOGETHER: [usize; 4] = [1, 24, 24, 24];

/// How fast a tier's file is written while no other waits: it is to be no wave among the shards' writes. For each that waits,
/// twice as fast.
const DERIVED_BYTES_PER_SECOND: u64 = 2 << 20;
const MOST_DOUBLED: usize = 6;
/// Who waits to write sees within this that the parent stops.
const STOP_SEEN: Duration = Duration::from_millis(50);

/// A datafile of a shard that is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sealed {
    pub(super) shard: ShardId,
    pub(super) file: FileId,
}

/// The complete datafiles, as all readers see them.
pub type SharedFiles = Arc<RwLock<Arc<FileSet>>>;

pub(super) struct Keeper {
    pub(super) directory: Directory,
    pub(super) files: SharedFiles,
    pub(super) sealed: Receiver<Sealed>,
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    pub(super) lost: LostSender,
    /// By tier.
    pub(super) tiers: Vec<Tier>,
    /// What was derived from since the start, so that it is not again when what was derived has expired.
    pub(super) derived: HashSet<(u8, FileId)>,
    pub(super) metrics: Arc<Telemetry>,
    pub(super) clock: Clock,
    pub(super) stopped: watch::Receiver<bool>,
}

/// The database's directory for somebody who has time, and who is not waited for.
struct Paced<'a> {
    directory: &'a mut Directory,
    bytes_per_second: u64,
    stopped: &'a watch::Receiver<bool>,
}

impl Disk for Paced<'_> {
    fn list(&self) -> io::Result<Vec<FileName>> {
        self.directory.list()
    }

    fn open(&self, file: FileName) -> io::Result<(Arc<dyn ReadAt>, u64)> {
        self.directory.open(file)
    }

    fn index(&self, tier: u8, id: FileId) -> io::Result<Index> {
        self.directory.index(tier, id)
    }

    fn carry_out(&mut self, op: DiskOp) -> DiskDone {
        if *self.stopped.borrow() {
            let message = "the parent stops".into();
            return DiskDone { id: op.id, result: Err(DiskError { file: op.file, message }) };
        }
        let bytes = if let DiskOpKind::Write { bytes, .. } = &op.kind { bytes.len() as u64 } else { 0 };
        let begun = Instant::now();
        let done = self.directory.carry_out(op);
        let takes = Duration::from_micros(bytes * 1_000_000 / self.bytes_per_second);
        // An index is written at once, and may be worth many seconds.
        while let Some(rest) = takes.checked_sub(begun.elapsed())
            && !*self.stopped.borrow()
        {
            std::thread::sleep(rest.min(STOP_SEEN));
        }
        done
    }
}

impl Keeper {
    /// Starts the thread. It ends when all shards have.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("keeper".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut due = Instant::now();
        // The newest ones, which are asked for most, last: they are taken from the end.
        let files = self.files.read().expect("readers do not panic").clone();
        let mut unverified: Vec<Arc<SealedFile>> = files.files().cloned().collect();
        unverified.sort_by_key(|file| file.index.span().last);
        drop(files);
        loop {
            let wait = due.saturating_duration_since(Instant::now());
            match self.sealed.recv_timeout(if unverified.is_empty() { wait } else { Duration::ZERO }) {
                Ok(sealed) => self.publish(sealed),
                Err(RecvTimeoutError::Timeout) if !unverified.is_empty() => {
                    unverified.pop().iter().for_each(|file| self.verify(file));
                }
                Err(RecvTimeoutError::Timeout) => {
                    self.derive();
                    self.expire();
                    self.report();
                    due = Instant::now() + EXPIRE_EVERY;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn publish(&mut self, Sealed { shard, file }: Sealed) {
        match open(&self.directory, file) {
            Ok(sealed) => {
                tracing::info!(
                    file = %sealed.name(),
                    bytes = sealed.bytes,
                    pages = sealed.index.page_count(),
                    samples = sealed.index.samples(),
                    "datafile complete"
                );
                self.change(|files| files.with(Arc::new(sealed)));
            }
            // The shard goes on to speak for it while it runs.
            Err(error) => {
                tracing::error!(%file, %error, "a datafile that was just written cannot be opened");
                return;
            }
        }
        // A shard that has ended speaks for nothing any more.
        let _ = self.shards[shard.index()].blocking_send(Message::Published(file));
    }

    /// A start checks only what it needs of an index.
    fn verify(&self, file: &SealedFile) {
        let Err(error) = file.index.verify() else { return };
        tracing::warn!(
            "{}: the index cannot be used ({error}); it is made again from the datafile",
            FileName::Index { tier: file.tier, id: file.id }
        );
        match dbengine::repair(&mut self.directory.clone(), file) {
            Ok(repaired) => self.change(|files| {
                let without = files.without(file.tier, file.id);
                repaired.into_iter().fold(without, |files, file| files.with(file))
            }),
            Err(error) => {
                tracing::error!(file = %file.name(), %error, "the file cannot be read; the rest serves");
                self.metrics.keeper.errors.fetch_add(1, Relaxed);
            }
        }
    }

    /// Makes the files of the tiers that can be made.
    fn derive(&mut self) {
        let now = UnixSeconds(self.clock.now());
        for (tier, (above, together)) in self.tiers.clone().iter().skip(1).zip(DERIVED_TOGETHER).enumerate() {
            let files = self.files.read().expect("readers do not panic").clone();
            let is_kept = |file: &SealedFile| {
                above.retention.seconds.is_none_or(|seconds| now.since(file.index.span().last) <= seconds)
            };
            let sources: Vec<Arc<SealedFile>> = files
                .underived(tier as u8)
                .into_iter()
                .filter(|file| is_kept(file) && !self.derived.contains(&(file.tier, file.id)))
                .cloned()
                .collect();
            let lots = sources.len() / together;
            for (lot, sources) in sources.chunks_exact(together).enumerate() {
                let begun = Instant::now();
                let waiting = lots - 1 - lot;
                let mut paced = Paced {
                    directory: &mut self.directory,
                    bytes_per_second: DERIVED_BYTES_PER_SECOND << waiting.min(MOST_DOUBLED),
                    stopped: &self.stopped,
                };
                // On a thread of its own: what one that sleeps for minutes afterwards has freed, its allocator keeps.
                let derived = std::thread::scope(|scope| {
                    let derive = || dbengine::derive(&mut paced, sources, above.factor);
                    scope.spawn(derive).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                });
                let derived = match derived {
                    Ok(derived) => derived,
                    Err(_) if *self.stopped.borrow() => {
                        abandon(&mut self.directory, sources);
                        return;
                    }
                    Err(error) => {
                        tracing::error!("tier {}: {error}; it is tried again", tier + 1);
                        self.metrics.keeper.errors.fetch_add(1, Relaxed);
                        return;
                    }
                };
                self.derived.extend(sources.iter().map(|source| (source.tier, source.id)));
                for error in derived.broken {
                    tracing::error!("tier {} lacks a page: {error}", tier + 1);
                }
                if let Some(file) = derived.file {
                    tracing::info!(
                        file = %file.name(),
                        bytes = file.bytes,
                        sources = sources.len(),
                        took_ms = begun.elapsed().as_millis(),
                        "tier derived"
                    );
                    self.change(|files| files.with(Arc::new(file)));
                }
            }
        }
    }

    fn expire(&mut self) {
        let mut removed = Vec::new();
        let files = self.files.read().expect("readers do not panic").clone();
        let now = UnixSeconds(self.clock.now());
        for (tier, Tier { retention, .. }) in self.tiers.clone().into_iter().enumerate() {
            for file in expired(&files, tier as u8, retention, now) {
                let (tier, id) = (file.tier, file.id);
                self.change(|files| files.without(tier, id));
                // The data first: an index without data is nothing, data without an index would come back.
                for name in [FileName::Data { tier, id }, FileName::Index { tier, id }] {
                    let op = DiskOp { id: OpId(0), file: name, kind: DiskOpKind::Remove };
                    if let Err(error) = self.directory.carry_out(op).result {
                        tracing::error!(%error, "an expired file cannot be removed");
                    }
                }
                tracing::info!(file = %file.name(), rows = %file.index.span(), "datafile expired");
                removed.push(file);
            }
        }
        self.forget(&removed);
    }

    /// What had its last row on disk in these files is to be forgotten.
    fn forget(&self, removed: &[Arc<SealedFile>]) {
        let files = self.files.read().expect("readers do not panic").clone();
        let lost = dbengine::lost_groups(&files, removed);
        if !lost.is_empty() {
            self.lost.send(lost);
        }
    }

    /// Copies the figures to where other threads read them.
    fn report(&self) {
        let files = self.files.read().expect("readers do not panic").clone();
        for (tier, metrics) in self.metrics.keeper.tiers.iter().enumerate() {
            let files = files.tier(tier as u8);
            let spans = || files.iter().map(|file| file.index.span());
            metrics.files.store(files.len() as u64, Relaxed);
            metrics.bytes.store(files.iter().map(|file| file.bytes).sum(), Relaxed);
            metrics.samples.store(files.iter().map(|file| file.index.samples()).sum(), Relaxed);
            metrics.first.store(spans().map(|span| span.first.0).min().unwrap_or_default(), Relaxed);
            metrics.last.store(spans().map(|span| span.last.0).max().unwrap_or_default(), Relaxed);
        }
    }

    fn change(&self, change: impl FnOnce(&FileSet) -> FileSet) {
        let mut files = self.files.write().expect("readers do not panic");
        *files = Arc::new(change(&files));
    }
}

/// Removes what there is of the file that was to be derived from these.
fn abandon(directory: &mut Directory, sources: &[Arc<SealedFile>]) {
    let Some(last) = sources.last() else { return };
    let (tier, id) = (last.tier + 1, last.id);
    for file in [FileName::Data { tier, id }, FileName::Index { tier, id }] {
        // What cannot be removed is removed by the next start, as after a crash.
        let _ = directory.carry_out(DiskOp { id: OpId(0), file, kind: DiskOpKind::Remove }).result;
    }
    tracing::info!(tier, sources = sources.len(), "a tier's file is left to be derived after the next start");
}

fn open(directory: &Directory, id: FileId) -> io::Result<SealedFile> {
    let index = directory.index(0, id)?;
    let (data, _) = directory.open(FileName::Data { tier: 0, id })?;
    Ok(SealedFile::new(0, id, index, data))
}

#[cfg(test)]
mod tests {
    use dbengine::{FileWriter, GroupKey, Page, WriterId};

    use super::*;

    /// A file of two pages.
    fn write(disk: &mut dyn Disk, tier: u8, between: impl FnOnce()) -> Result<SealedFile, String> {
        let id = FileId { sequence: 1, writer: WriterId(0) };
        let mut writer = FileWriter::create(disk, tier, id).map_err(|error| error.to_string())?;
        let page = |time| Page::seal(1, &[UnixSeconds(time), UnixSeconds(time + 1)], &[1.0, 2.0], &[]);
        writer.add(GroupKey(1), page(100)).map_err(|error| error.to_string())?;
        between();
        writer.add(GroupKey(1), page(200)).map_err(|error| error.to_string())?;
        writer.finish(Vec::new()).map_err(|error| error.to_string())?.ok_or_else(|| "no page".into())
    }

    #[test]
    fn a_file_that_is_not_complete_when_the_parent_stops_is_left() {
        let root = tempfile::tempdir().expect("a directory");
        let mut directory = Directory::create(root.path()).expect("a database");
        let source = write(&mut directory, 0, || ()).expect("written");
        let (stop, stopped) = watch::channel(false);
        let derive = |between: &dyn Fn()| {
            let mut own = directory.clone();
            let mut paced = Paced { directory: &mut own, bytes_per_second: 1 << 30, stopped: &stopped };
            write(&mut paced, 1, between)
        };
        derive(&|| ()).expect("nobody stops");
        let stopping = || stop.send(true).expect("somebody listens");
        assert!(derive(&stopping).expect_err("it is not complete").contains("the parent stops"));
        abandon(&mut directory, &[Arc::new(source)]);
        let mut left: Vec<String> =
            directory.list().expect("listed").iter().map(ToString::to_string).collect();
        left.sort();
        let id = FileId { sequence: 1, writer: WriterId(0) };
        let source = [FileName::Data { tier: 0, id }, FileName::Index { tier: 0, id }];
        assert_eq!(left, source.map(|name| name.to_string()));
    }
}
