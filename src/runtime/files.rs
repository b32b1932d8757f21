//! A shard's files: what its engine asks for, carried out by the executor's io_uring.
//!
//! Operations on one file wait for each other, those on different files do not. Files are opened with O_DIRECT where the
//! file system can: what is written here is read by others, later, and is not to push anything out of the page cache. Where
//! it cannot (file systems in memory, some of containers), they are written through the page cache.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::time::Instant;

use dbengine::{DiskDone, DiskError, DiskOp, DiskOpKind, FileName};
use glommio::GlommioError;
use glommio::io::{BufferedFile, Directory, DmaFile};

use crate::shard::placement::ShardId;
use crate::telemetry::{DiskMetrics, Telemetry};

/// The files of one shard.
#[derive(Clone)]
pub(super) struct Files {
    root: Rc<Path>,
    shard: ShardId,
    telemetry: Arc<Telemetry>,
    inner: Rc<RefCell<Inner>>,
}

#[derive(Default)]
struct Inner {
    open: HashMap<FileName, Slot>,
    done: Vec<DiskDone>,
}

/// A file that was written to, and what is still to be done with it.
#[derive(Default)]
struct Slot {
    file: Option<Rc<OpenFile>>,
    waiting: VecDeque<DiskOp>,
    /// A task is at work on it.
    busy: bool,
    /// Its name was not synced since it was made.
    is_new: bool,
}

/// A file that is being written.
enum OpenFile {
    Direct(DmaFile),
    Buffered(BufferedFile),
}

impl OpenFile {
    async fn create(path: &Path) -> Result<OpenFile, GlommioError<()>> {
        static TOLD: Once = Once::new();
        match DmaFile::create(path).await {
            Ok(file) => Ok(OpenFile::Direct(file)),
            Err(error) if is_refused(&error) => {
                TOLD.call_once(|| {
                    tracing::warn!(
                        path = %path.display(),
                        "the file system does not know O_DIRECT; what is written takes part of the page cache"
                    );
                });
                Ok(OpenFile::Buffered(BufferedFile::create(path).await?))
            }
            Err(error) => Err(error),
        }
    }

    async fn write(&self, offset: u64, bytes: Vec<u8>) -> Result<(), GlommioError<()>> {
        let length = bytes.len();
        let written = match self {
            OpenFile::Direct(file) => {
                let mut buffer = file.alloc_dma_buffer(length);
                buffer.as_bytes_mut().copy_from_slice(&bytes);
                drop(bytes);
                file.write_at(buffer, offset).await?
            }
            OpenFile::Buffered(file) => file.write_at(bytes, offset).await?,
        };
        if written < length {
            return Err(io::Error::from(io::ErrorKind::WriteZero).into());
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), GlommioError<()>> {
        match self {
            OpenFile::Direct(file) => file.fdatasync().await,
            OpenFile::Buffered(file) => file.fdatasync().await,
        }
    }

    async fn close(self) -> Result<(), GlommioError<()>> {
        match self {
            OpenFile::Direct(file) => file.close().await,
            OpenFile::Buffered(file) => file.close().await,
        }
    }
}

/// Whether a file could be opened, but not with O_DIRECT.
fn is_refused(error: &GlommioError<()>) -> bool {
    match error {
        GlommioError::IoError(error) | GlommioError::EnhancedIoError { source: error, .. } => {
            error.kind() == io::ErrorKind::InvalidInput
        }
        _ => false,
    }
}

impl Files {
    pub(super) fn new(root: PathBuf, shard: ShardId, telemetry: Arc<Telemetry>) -> Files {
        Files { root: root.into(), shard, telemetry, inner: Rc::default() }
    }

    fn metrics(&self) -> &DiskMetrics {
        &self.telemetry.shards[self.shard.index()].disk
    }

    /// Begins an operation, or lets it wait for those before it.
    pub(super) fn carry_out(&self, op: DiskOp) {
        let file = op.file;
        let begins = {
            let mut inner = self.inner.borrow_mut();
            let slot = inner.open.entry(file).or_default();
            slot.waiting.push_back(op);
            !std::mem::replace(&mut slot.busy, true)
        };
        // The task runs at once, up to its first wait.
        if begins {
            glommio::spawn_local(self.clone().work(file)).detach();
        }
    }

    /// What became of operations, in the order in which they ended.
    pub(super) fn take_done(&self) -> Vec<DiskDone> {
        std::mem::take(&mut self.inner.borrow_mut().done)
    }

    /// Does all that is to be done with a file. An index is written at once and whole; then it and its datafile are not
    /// needed any longer.
    async fn work(self, name: FileName) {
        while let Some(DiskOp { id, kind, .. }) = self.next(name) {
            let closes = matches!((&kind, name), (DiskOpKind::Sync, FileName::Index { .. }));
            let durations = match kind {
                DiskOpKind::Write { .. } => Some(&self.metrics().writes),
                DiskOpKind::Sync => Some(&self.metrics().syncs),
                DiskOpKind::Create | DiskOpKind::Remove => None,
            };
            let begun = Instant::now();
            let result = self.run(name, kind).await;
            if let Some(durations) = durations {
                durations.add(begun.elapsed());
            }
            let result = result.map_err(|error| DiskError { file: name, message: error.to_string() });
            if closes && result.is_ok() {
                self.close(name).await;
                if let FileName::Index { tier, id } = name {
                    self.close(FileName::Data { tier, id }).await;
                }
            }
            self.inner.borrow_mut().done.push(DiskDone { id, result });
        }
    }

    fn next(&self, name: FileName) -> Option<DiskOp> {
        let mut inner = self.inner.borrow_mut();
        let slot = inner.open.get_mut(&name)?;
        let op = slot.waiting.pop_front();
        slot.busy = op.is_some();
        if op.is_none() && slot.file.is_none() {
            inner.open.remove(&name);
        }
        op
    }

    async fn run(&self, name: FileName, kind: DiskOpKind) -> Result<(), GlommioError<()>> {
        let path = self.root.join(name.to_string());
        match kind {
            DiskOpKind::Create => {
                self.close(name).await;
                let file = Rc::new(OpenFile::create(&path).await?);
                if let Some(slot) = self.inner.borrow_mut().open.get_mut(&name) {
                    (slot.file, slot.is_new) = (Some(file), true);
                }
                Ok(())
            }
            DiskOpKind::Write { offset, bytes } => self.file(name, &path)?.write(offset, bytes).await,
            DiskOpKind::Sync => {
                self.file(name, &path)?.sync().await?;
                let is_new = |inner: &mut Inner| inner.open.get_mut(&name).is_some_and(|slot| slot.is_new);
                if is_new(&mut self.inner.borrow_mut()) {
                    self.sync_names(name).await?;
                    if let Some(slot) = self.inner.borrow_mut().open.get_mut(&name) {
                        slot.is_new = false;
                    }
                }
                Ok(())
            }
            DiskOpKind::Remove => {
                self.close(name).await;
                match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
                self.sync_names(name).await
            }
        }
    }

    fn file(&self, name: FileName, path: &Path) -> Result<Rc<OpenFile>, GlommioError<()>> {
        let file = self.inner.borrow().open.get(&name).and_then(|slot| slot.file.clone());
        file.ok_or_else(|| {
            let message = format!("{} was not made", path.display());
            io::Error::new(io::ErrorKind::NotFound, message).into()
        })
    }

    /// A file's name is part of its directory.
    async fn sync_names(&self, name: FileName) -> Result<(), GlommioError<()>> {
        let directory = Directory::open(self.root.join(name.directory())).await?;
        directory.sync().await?;
        directory.close().await
    }

    async fn close(&self, name: FileName) {
        let file = self.inner.borrow_mut().open.get_mut(&name).and_then(|slot| slot.file.take());
        // Nothing else holds it: operations on a file come one after the other.
        if let Some(file) = file.and_then(Rc::into_inner)
            && let Err(error) = file.close().await
        {
            tracing::warn!(file = %name, %error, "a file was not closed as it should");
        }
        let mut inner = self.inner.borrow_mut();
        if inner.open.get(&name).is_some_and(|slot| !slot.busy && slot.waiting.is_empty()) {
            inner.open.remove(&name);
        }
    }
}
