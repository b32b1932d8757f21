//! A shard's files: what its engine asks for, carried out by the executor's io_uring.
//!
//! Operations on one file wait for each other, those on different files do not. Files are opened with O_DIRECT where the
//! file system can: what is written here is read by others, later, and is not to push anything out of the page cache.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use dbengine::{DiskDone, DiskError, DiskOp, DiskOpKind, FileName};
use glommio::GlommioError;
use glommio::io::{Directory, DmaFile};

/// The files of one shard.
#[derive(Clone)]
pub(super) struct Files {
    root: Rc<Path>,
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
    file: Option<Rc<DmaFile>>,
    waiting: VecDeque<DiskOp>,
    /// A task is at work on it.
    busy: bool,
    /// Its name was not synced since it was made.
    is_new: bool,
}

impl Files {
    pub(super) fn new(root: PathBuf) -> Files {
        Files { root: root.into(), inner: Rc::default() }
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
            let result = self.run(name, kind).await;
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
                let file = Rc::new(DmaFile::create(&path).await?);
                if let Some(slot) = self.inner.borrow_mut().open.get_mut(&name) {
                    (slot.file, slot.is_new) = (Some(file), true);
                }
                Ok(())
            }
            DiskOpKind::Write { offset, bytes } => {
                let file = self.file(name, &path)?;
                let mut buffer = file.alloc_dma_buffer(bytes.len());
                buffer.as_bytes_mut().copy_from_slice(&bytes);
                let written = file.write_at(buffer, offset).await?;
                if written < bytes.len() {
                    return Err(std::io::Error::from(std::io::ErrorKind::WriteZero).into());
                }
                Ok(())
            }
            DiskOpKind::Sync => {
                self.file(name, &path)?.fdatasync().await?;
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
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                    _ => {}
                }
                self.sync_names(name).await
            }
        }
    }

    fn file(&self, name: FileName, path: &Path) -> Result<Rc<DmaFile>, GlommioError<()>> {
        let file = self.inner.borrow().open.get(&name).and_then(|slot| slot.file.clone());
        file.ok_or_else(|| {
            let message = format!("{} was not made", path.display());
            std::io::Error::new(std::io::ErrorKind::NotFound, message).into()
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
        if let Some(file) = file
            && let Err(error) = file.close_rc().await
        {
            tracing::warn!(file = %name, %error, "a file was not closed as it should");
        }
        let mut inner = self.inner.borrow_mut();
        if inner.open.get(&name).is_some_and(|slot| !slot.busy && slot.waiting.is_empty()) {
            inner.open.remove(&name);
        }
    }
}
