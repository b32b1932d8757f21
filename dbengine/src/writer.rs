//! A complete datafile with its index, written from front to back by somebody who can wait: files of tiers, and databases
//! that are made all at once.

use std::collections::HashMap;
use std::io;

use crate::{
    disk::{DiskError, DiskOp, DiskOpKind, FileId, FileName, OpId},
    extent::{self, ExtentPage},
    files::{Disk, SealedFile},
    index::{self, GroupPages},
    key::GroupKey,
    page::Page,
};

/// Pages of about so many bytes are written together.
const EXTENT_BYTES: usize = 512 << 10;

/// Why a file was not made. Doing it all again makes the same file again.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A datafile being made. Until [`finish`](FileWriter::finish) nobody may take it for one.
pub struct FileWriter<'a> {
    disk: &'a mut dyn Disk,
    tier: u8,
    id: FileId,
    end: u64,
    samples: u64,
    numbers: HashMap<GroupKey, u32, foldhash::fast::FixedState>,
    /// By number.
    groups: Vec<GroupPages>,
    waiting: Vec<ExtentPage>,
    waiting_bytes: usize,
}

impl std::fmt::Debug for FileWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileWriter").field("tier", &self.tier).field("id", &self.id).finish_non_exhaustive()
    }
}

impl<'a> FileWriter<'a> {
    /// Makes the file; one of the same name is emptied.
    pub fn create(disk: &'a mut dyn Disk, tier: u8, id: FileId) -> Result<FileWriter<'a>, WriteError> {
        let mut writer = FileWriter {
            disk,
            tier,
            id,
            end: 0,
            samples: 0,
            numbers: HashMap::default(),
            groups: Vec::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
        };
        writer.run(writer.data(), DiskOpKind::Create)?;
        Ok(writer)
    }

    /// Adds a page; those of a group come in order of time.
    pub fn add(&mut self, key: GroupKey, page: Page) -> Result<(), WriteError> {
        let next = self.groups.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        let is_new = number == next;
        if is_new {
            self.groups.push(GroupPages { key, last: 0, pages: Vec::new() });
        }
        self.waiting_bytes += page.as_bytes().len();
        self.waiting.push(ExtentPage { number, key: is_new.then_some(key), page });
        if self.waiting_bytes >= EXTENT_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (bytes, places) = extent::build(self.id, self.end, &self.waiting);
        for (waiting, place) in self.waiting.drain(..).zip(places) {
            let group = &mut self.groups[waiting.number as usize];
            group.last = group.last.max(waiting.page.span().last.0 as u32);
            group.pages.push(place);
            self.samples += waiting.page.samples();
        }
        self.waiting_bytes = 0;
        let offset = self.end;
        self.end += bytes.len() as u64;
        self.run(self.data(), DiskOpKind::Write { offset, bytes })
    }

    /// Writes what is left, then the index, which names `sources` as the numbers of the files that this one was derived
    /// from. `None`: there was no page, and there is no file.
    pub fn finish(mut self, sources: Vec<u64>) -> Result<Option<SealedFile>, WriteError> {
        self.flush()?;
        let (tier, id) = (self.tier, self.id);
        if self.groups.is_empty() {
            self.run(self.data(), DiskOpKind::Remove)?;
            return Ok(None);
        }
        self.run(self.data(), DiskOpKind::Sync)?;
        let bytes = index::build(id, std::mem::take(&mut self.groups), self.end, self.samples, sources);
        let file = FileName::Index { tier, id };
        self.run(file, DiskOpKind::Create)?;
        self.run(file, DiskOpKind::Write { offset: 0, bytes })?;
        self.run(file, DiskOpKind::Sync)?;
        let index = self.disk.index(tier, id)?;
        let (data, _) = self.disk.open(FileName::Data { tier, id })?;
        Ok(Some(SealedFile::new(tier, id, index, data)))
    }

    fn data(&self) -> FileName {
        FileName::Data { tier: self.tier, id: self.id }
    }

    fn run(&mut self, file: FileName, kind: DiskOpKind) -> Result<(), WriteError> {
        Ok(self.disk.carry_out(DiskOp { id: OpId(0), file, kind }).result?)
    }
}
