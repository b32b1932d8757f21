//! Complete datafiles, as readers see them.
//!
//! A [`FileSet`] never changes: when a file is added or removed there is a new one, and who reads goes on with what it has.
//! A file that was removed meanwhile can still be read by those who hold it.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::{
    disk::{DiskDone, DiskOp, FileId, FileName},
    extent::{BrokenPage, Frame, FrameHeader, PageRef},
    index::Index,
    key::GroupKey,
    page::Page,
    time::{TimeRange, UnixSeconds},
};

/// An open file that several may read at once.
pub trait ReadAt: Send + Sync + fmt::Debug {
    /// Fills `bytes` from `offset` on; a shorter file is an error.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
}

/// A database's directory, for those who can wait: recovery, and the keeper.
pub trait Disk {
    /// All files that are of the database.
    fn list(&self) -> io::Result<Vec<FileName>>;

    /// Opens a file to read. Says how long it is.
    fn open(&self, file: FileName) -> io::Result<(Arc<dyn ReadAt>, u64)>;

    /// Opens and checks the index of a datafile.
    fn index(&self, tier: u8, id: FileId) -> io::Result<Index>;

    /// Carries out an operation.
    fn carry_out(&mut self, op: DiskOp) -> DiskDone;
}

/// A datafile with its index.
#[derive(Debug)]
pub struct SealedFile {
    pub tier: u8,
    pub id: FileId,
    pub index: Index,
    data: Arc<dyn ReadAt>,
    /// Bytes of datafile and index.
    pub bytes: u64,
}

/// Why a page cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("{file} at {offset}: {error}")]
    Io { file: FileName, offset: u64, error: io::Error },
    #[error("{file} at {offset}: a broken page: {error}")]
    Broken { file: FileName, offset: u64, error: BrokenPage },
}

impl SealedFile {
    pub fn new(tier: u8, id: FileId, index: Index, data: Arc<dyn ReadAt>) -> SealedFile {
        let bytes = index.data_len() + index.file_len();
        SealedFile { tier, id, index, data, bytes }
    }

    pub fn name(&self) -> FileName {
        FileName::Data { tier: self.tier, id: self.id }
    }

    /// Reads a page and checks it.
    pub fn read(&self, place: PageRef) -> Result<Page, ReadError> {
        read_from(self.name(), &*self.data, place)
    }

    /// Reads pages and checks them, in any order: what was packed together is unpacked once.
    pub fn read_many(&self, places: &[PageRef]) -> Vec<Result<Page, ReadError>> {
        read_many_from(self.name(), &*self.data, places)
    }
}

/// Reads a page of a file and checks it.
pub fn read_from(file: FileName, data: &dyn ReadAt, place: PageRef) -> Result<Page, ReadError> {
    page(file, &read_frame(file, data, place)?, place)
}

/// Reads pages of a file and checks them, in any order: what was packed together is unpacked once.
pub(crate) fn read_many_from(
    file: FileName,
    data: &dyn ReadAt,
    places: &[PageRef],
) -> Vec<Result<Page, ReadError>> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|index| (places[*index].frame, places[*index].page));
    let mut pages = Vec::new();
    pages.resize_with(places.len(), || None);
    let mut open: Option<(u32, Frame)> = None;
    for index in order {
        let place = places[index];
        let read = match open.take_if(|(frame, _)| *frame == place.frame) {
            Some((_, frame)) => Ok(frame),
            None => read_frame(file, data, place),
        };
        pages[index] = Some(read.and_then(|frame| {
            let page = page(file, &frame, place);
            open = Some((place.frame, frame));
            page
        }));
    }
    pages.into_iter().map(|page| page.expect("each was read")).collect()
}

fn page(file: FileName, frame: &Frame, place: PageRef) -> Result<Page, ReadError> {
    frame.page(place).map_err(|error| ReadError::Broken { file, offset: place.at(), error })
}

/// Reads the pages that were packed together with this one.
fn read_frame(file: FileName, data: &dyn ReadAt, place: PageRef) -> Result<Frame, ReadError> {
    /// A length that is not true meets the end of the file before it has taken much memory.
    const AT_ONCE: usize = 4 << 20;
    let offset = place.at();
    let io = |error| ReadError::Io { file, offset, error };
    let broken = |error| ReadError::Broken { file, offset, error };
    let mut bytes = vec![0; place.read_len()];
    data.read_at(offset, &mut bytes).map_err(io)?;
    let header = FrameHeader::parse(&bytes, file.id()).map_err(broken)?;
    while bytes.len() < header.frame_len() {
        let known = bytes.len();
        bytes.resize(header.frame_len().min(known + AT_ONCE), 0);
        data.read_at(offset + known as u64, &mut bytes[known..]).map_err(io)?;
    }
    Frame::open(header, &bytes).map_err(broken)
}

/// All complete datafiles of a database.
#[derive(Clone, Debug, Default)]
pub struct FileSet {
    /// By tier, then in the order in which they were completed.
    tiers: Vec<Vec<Arc<SealedFile>>>,
}

impl FileSet {
    pub fn tier(&self, tier: u8) -> &[Arc<SealedFile>] {
        self.tiers.get(usize::from(tier)).map_or(&[], Vec::as_slice)
    }

    pub fn tiers(&self) -> impl ExactSizeIterator<Item = &[Arc<SealedFile>]> {
        self.tiers.iter().map(Vec::as_slice)
    }

    pub fn files(&self) -> impl Iterator<Item = &Arc<SealedFile>> {
        self.tiers.iter().flatten()
    }

    #[must_use]
    pub fn with(&self, file: Arc<SealedFile>) -> FileSet {
        let mut set = self.clone();
        set.add(file);
        set
    }

    pub fn add(&mut self, file: Arc<SealedFile>) {
        let tier = usize::from(file.tier);
        if self.tiers.len() <= tier {
            self.tiers.resize(tier + 1, Vec::new());
        }
        let files = &mut self.tiers[tier];
        let at = files.partition_point(|other| other.id < file.id);
        files.insert(at, file);
    }

    #[must_use]
    pub fn without(&self, tier: u8, id: FileId) -> FileSet {
        let mut set = self.clone();
        if let Some(files) = set.tiers.get_mut(usize::from(tier)) {
            files.retain(|file| file.id != id);
        }
        set
    }

    /// Where a group's pages are that may have rows in `window`, but for those in files of `except`; file by file.
    pub fn pages<'a>(
        &'a self,
        tier: u8,
        key: GroupKey,
        window: TimeRange,
        except: &'a [FileId],
    ) -> impl Iterator<Item = (&'a Arc<SealedFile>, PageRef)> + 'a {
        let files = self
            .tier(tier)
            .iter()
            .filter(move |file| file.index.span().overlaps(window) && !except.contains(&file.id));
        files.flat_map(move |file| file.index.pages(key, window).map(move |page| (file, page)))
    }

    /// Those files of a tier that no file of the next tier was derived from.
    pub fn underived(&self, tier: u8) -> Vec<&Arc<SealedFile>> {
        let derived: HashSet<u64> =
            self.tier(tier + 1).iter().flat_map(|file| file.index.sources()).collect();
        self.tier(tier).iter().filter(|file| !derived.contains(&file.id.number())).collect()
    }

    /// Whether a file of the next tier was derived from this one.
    pub fn is_derived(&self, tier: u8, id: FileId) -> bool {
        self.tier(tier + 1).iter().any(|file| file.index.sources().any(|source| source == id.number()))
    }

    /// The first and the last row of a group in a tier.
    pub fn span(&self, tier: u8, key: GroupKey) -> Option<TimeRange> {
        // Files are about in order of time: from both ends, few of them have to be looked into.
        let (mut first, mut last) = (None, None);
        for SealedFile { index, .. } in self.tier(tier).iter().map(|file| &**file) {
            if first.is_none_or(|first| index.span().first < first)
                && let Some(span) = index.group_span(key)
            {
                first = Some(first.map_or(span.first, |first| span.first.min(first)));
            }
        }
        for SealedFile { index, .. } in self.tier(tier).iter().rev().map(|file| &**file) {
            if last.is_none_or(|last| index.span().last > last)
                && let Some(newest) = index.newest(key)
            {
                last = Some(last.map_or(newest, |last| newest.max(last)));
            }
        }
        Some(TimeRange { first: first?, last: last? })
    }

    /// To ask for the newest rows of many groups in tier 0.
    pub fn newest(&self) -> NewestRows<'_> {
        let mut files: Vec<&SealedFile> = self.tier(0).iter().map(|file| &**file).collect();
        files.sort_by_key(|file| std::cmp::Reverse(file.index.span().last));
        NewestRows { files: files.into_iter().map(|file| (file, OnceCell::new())).collect() }
    }
}

/// The newest rows of groups in tier 0.
#[derive(Debug)]
pub struct NewestRows<'a> {
    /// Those with the newest rows first, and whether they were asked before.
    files: Vec<(&'a SealedFile, OnceCell<()>)>,
}

impl NewestRows<'_> {
    pub fn get(&self, key: GroupKey) -> Option<UnixSeconds> {
        let mut newest = None;
        for (SealedFile { index, .. }, asked) in &self.files {
            if newest.is_some_and(|newest| index.span().last <= newest) {
                break;
            }
            asked.get_or_init(|| index.expect_groups());
            newest = newest.max(index.newest(key));
        }
        newest
    }
}

impl Drop for NewestRows<'_> {
    /// What was looked at need not stay in memory.
    fn drop(&mut self) {
        self.files.iter().for_each(|(file, _)| file.index.release());
    }
}
