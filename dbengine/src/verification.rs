//! A file -> what is wrong with it: everything that has a checksum is read, and nothing is changed.
//!
//! What a writer may be at just now is no flaw: the last extent of a datafile without an index, and the last batch of a
//! segment, may be torn.

use std::collections::HashMap;
use std::io;

use foldhash::fast::FixedState;

use crate::{
    disk::{FileId, FileName},
    extent::{BrokenPage, PageRef},
    files::{Disk, ReadAt, ReadError, read_from},
    index::Index,
    journal::{SegmentDamage, read_segment},
    key::GroupKey,
    recovery::{read_extent, read_whole},
    time::TimeRange,
};

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("{file} at {at}: a broken page: {error}")]
    Page { file: FileName, at: u64, error: BrokenPage },
    #[error("{file} at {at}: the page begins at {found}, its extent says {listed}")]
    PageTime { file: FileName, at: u64, found: i64, listed: u32 },
    #[error("{file} at {at}: no whole extent, though the index says that extents go on to {end}")]
    Extent { file: FileName, at: u64, end: u64 },
    #[error("{file} at 0: {why}; the next start makes it again from the datafile")]
    Index { file: FileName, why: String },
    #[error("{file} at 0: it lists other pages than the datafile has, of group {group}")]
    Listing { file: FileName, group: GroupKey },
    #[error("{file}: {damage}")]
    Journal { file: FileName, damage: SegmentDamage },
    #[error("{file} at {at}: cannot be read: {why}")]
    Unreadable { file: FileName, at: u64, why: String },
}

/// What was read of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub bytes: u64,
    pub extents: u64,
    pub pages: u64,
    /// Values in the pages.
    pub samples: u64,
    /// Of a segment.
    pub batches: u64,
    /// Of a segment.
    pub rows: u64,
    /// Bytes at the end that were being written, or when a writer ended.
    pub torn_bytes: u64,
    pub flaws: Vec<Flaw>,
}

/// Reads a datafile with its index, or a segment of the journal. An index is read with its datafile; by itself there is
/// nothing to say of it. An error is that of opening the file, which may have been removed.
pub fn verify_file(disk: &dyn Disk, file: FileName) -> io::Result<Verified> {
    match file {
        FileName::Data { tier, id } => Datafile::open(disk, tier, id).map(Datafile::verify),
        FileName::Index { .. } => Ok(Verified::default()),
        FileName::Journal(id) => verify_segment(disk, id),
    }
}

fn verify_segment(disk: &dyn Disk, id: FileId) -> io::Result<Verified> {
    let file = FileName::Journal(id);
    let bytes = read_whole(disk, file)?;
    let mut verified = Verified { bytes: bytes.len() as u64, ..Verified::default() };
    let end = read_segment(&bytes, id, |record| {
        verified.rows += record.rows();
    });
    verified.batches = end.batches.into();
    match end.damage {
        Some(SegmentDamage::Torn { at }) => verified.torn_bytes = verified.bytes - at,
        Some(damage) => verified.flaws.push(Flaw::Journal { file, damage }),
        None => {}
    }
    Ok(verified)
}

/// A datafile being verified.
struct Datafile {
    file: FileName,
    id: FileId,
    data: std::sync::Arc<dyn ReadAt>,
    data_len: u64,
    index: Option<Index>,
    index_name: FileName,
    verified: Verified,
}

impl Datafile {
    fn open(disk: &dyn Disk, tier: u8, id: FileId) -> io::Result<Datafile> {
        let (file, index_name) = (FileName::Data { tier, id }, FileName::Index { tier, id });
        let (data, data_len) = disk.open(file)?;
        let mut verified = Verified { bytes: data_len, ..Verified::default() };
        let checked = |index: Index| index.verify().map(|()| index).map_err(io::Error::other);
        let index = match disk.index(tier, id).and_then(checked) {
            Ok(index) if index.data_len() <= data_len => Some(index),
            Ok(index) => {
                let why = format!("it is for {} bytes of a datafile that has {data_len}", index.data_len());
                verified.flaws.push(Flaw::Index { file: index_name, why });
                None
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                verified.flaws.push(Flaw::Index { file: index_name, why: error.to_string() });
                None
            }
        };
        verified.bytes += index.as_ref().map_or(0, Index::file_len);
        Ok(Datafile { file, id, data, data_len, index, index_name, verified })
    }

    fn verify(mut self) -> Verified {
        let end = self.index.as_ref().map_or(self.data_len, Index::data_len);
        let mut keys = Vec::new();
        let mut listed: HashMap<GroupKey, Vec<PageRef>, FixedState> = HashMap::default();
        let mut last = None;
        let mut at = 0;
        while at < end {
            let (header, pages) = match read_extent(&*self.data, end, self.id, at, &mut keys) {
                Ok(Some(extent)) => extent,
                Ok(None) => {
                    self.no_extent(at, end);
                    break;
                }
                Err(error) => {
                    let why = error.to_string();
                    self.verified.flaws.push(Flaw::Unreadable { file: self.file, at, why });
                    break;
                }
            };
            last = Some((at, self.verified.flaws.len()));
            for page in pages {
                listed.entry(keys[page.number as usize]).or_default().push(page.place);
                self.page(page.place);
            }
            self.verified.extents += 1;
            at += header.padded_len();
        }
        match self.index.take() {
            Some(index) if at >= end => self.compare(&index, &listed),
            // The rest cannot be walked, but its pages can be found.
            Some(index) => self.pages_behind(&index, at),
            // Without an index the last extent may be on its way.
            None => {
                if let Some((start, flaws)) = last.filter(|(_, flaws)| *flaws < self.verified.flaws.len()) {
                    self.verified.flaws.truncate(flaws);
                    self.verified.torn_bytes = self.data_len - start;
                }
            }
        }
        self.verified
    }

    fn no_extent(&mut self, at: u64, end: u64) {
        if self.index.is_some() {
            self.verified.flaws.push(Flaw::Extent { file: self.file, at, end });
        } else {
            self.verified.torn_bytes = self.data_len - at;
        }
    }

    fn page(&mut self, place: PageRef) {
        let at = place.at();
        match read_from(self.file, &*self.data, place) {
            Ok(page) => {
                self.verified.pages += 1;
                self.verified.samples += page.samples();
                let found = page.span().first.0;
                if found != i64::from(place.first) {
                    let file = self.file;
                    self.verified.flaws.push(Flaw::PageTime { file, at, found, listed: place.first });
                }
            }
            Err(ReadError::Broken { file, offset, error }) => {
                self.verified.flaws.push(Flaw::Page { file, at: offset, error });
            }
            Err(ReadError::Io { file, error, .. }) => {
                self.verified.flaws.push(Flaw::Unreadable { file, at, why: error.to_string() });
            }
        }
    }

    /// The index has to list what the extents do.
    fn compare(&mut self, index: &Index, listed: &HashMap<GroupKey, Vec<PageRef>, FixedState>) {
        let differs = |key: GroupKey| {
            let of_extents = listed.get(&key).map_or(&[][..], Vec::as_slice);
            !index.pages(key, TimeRange::ALL).eq(of_extents.iter().copied())
        };
        let keys = index.groups().map(|(key, _)| key).chain(listed.keys().copied());
        if let Some(group) = { keys }.find(|key| differs(*key)) {
            self.verified.flaws.push(Flaw::Listing { file: self.index_name, group });
        }
    }

    /// Reads the pages from `at` on that the index knows.
    fn pages_behind(&mut self, index: &Index, at: u64) {
        for (key, _) in index.groups() {
            for place in index.pages(key, TimeRange::ALL).filter(|place| place.at() > at) {
                self.page(place);
            }
        }
    }
}
