//! The keeper: a thread that makes complete datafiles known to readers, and removes the oldest ones.
//!
//! ```text
//! shard --Sealed--> Keeper: opens file and index, publishes a new FileSet --Published--> shard
//!                     |
//!                     +-- now and then: what retention does not allow goes, index last
//! ```

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dbengine::{
    Directory, Disk, DiskOp, DiskOpKind, FileId, FileName, FileSet, OpId, Retention, SealedFile, UnixSeconds,
    expired,
};
use tokio::sync::mpsc;

use super::clock::Clock;
use crate::shard::message::Message;
use crate::shard::placement::ShardId;

const EXPIRE_EVERY: Duration = Duration::from_secs(10);

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
    /// By tier.
    pub(super) retention: Vec<Retention>,
    pub(super) clock: Clock,
}

impl Keeper {
    /// Starts the thread. It ends when all shards have.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("keeper".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        let mut due = Instant::now();
        loop {
            match self.sealed.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(sealed) => self.publish(sealed),
                Err(RecvTimeoutError::Timeout) => {
                    self.expire();
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

    fn expire(&mut self) {
        let files = self.files.read().expect("readers do not panic").clone();
        let now = UnixSeconds(self.clock.now());
        for (tier, retention) in self.retention.clone().into_iter().enumerate() {
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
            }
        }
    }

    fn change(&self, change: impl FnOnce(&FileSet) -> FileSet) {
        let mut files = self.files.write().expect("readers do not panic");
        *files = Arc::new(change(&files));
    }
}

fn open(directory: &Directory, id: FileId) -> io::Result<SealedFile> {
    let index = directory.index(0, id)?;
    let (data, _) = directory.open(FileName::Data { tier: 0, id })?;
    Ok(SealedFile::new(0, id, index, data))
}
