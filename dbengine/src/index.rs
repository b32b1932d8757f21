//! Where a datafile's pages are: a file beside it, written when it is complete, and mapped, not read.
//!
//! | offset | size | field   |                                                              |
//! |--------|------|---------|--------------------------------------------------------------|
//! | 0      | 4    | magic   | `MIX1`                                                       |
//! | 4      | 4    | crc     | crc32 of everything from offset 8 to the end of the archive  |
//! | 8      | 8    | file    | the number of the datafile, and of this file                 |
//! | 16     | 8    | length  | bytes of the archive                                         |
//! | 64     | …    | archive | [`Contents`] as rkyv archives it                             |
//!
//! It holds nothing that the datafile does not hold: a lost or broken index is made again from the extents.

use std::fmt;

use rkyv::{Archive, Deserialize, Serialize, rancor, util::AlignedVec};

use crate::{
    disk::{FileId, pad},
    extent::PageRef,
    key::GroupKey,
    time::{TimeRange, UnixSeconds},
};

const MAGIC: [u8; 4] = *b"MIX1";
/// Where the archive begins: aligned for whatever it holds.
const ARCHIVE_AT: usize = 64;

/// What an index says. Times are unix seconds.
#[derive(Archive, Serialize, Deserialize, Debug, Default, PartialEq, Eq)]
struct Contents {
    /// By key.
    groups: Vec<GroupEntry>,
    /// Group by group, in order of time.
    pages: Vec<PageEntry>,
    /// Bytes of the datafile that its extents take.
    data_len: u64,
    /// Values in all pages.
    samples: u64,
    first: u32,
    last: u32,
    /// Of a tier's file: the numbers of the files that it was derived from.
    sources: Vec<u64>,
}

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq, Eq)]
struct GroupEntry {
    /// High half, low half.
    key: [u64; 2],
    last: u32,
    /// The first of its pages; they end where those of the next group begin.
    pages: u32,
}

#[derive(Archive, Serialize, Deserialize, Debug, PartialEq, Eq)]
struct PageEntry {
    first: u32,
    frame: u32,
    frame_len: u16,
    page: u16,
}

const _: () = assert!(size_of::<ArchivedGroupEntry>() == 24 && size_of::<ArchivedPageEntry>() == 12);

impl From<PageRef> for PageEntry {
    fn from(PageRef { first, frame, frame_len, page }: PageRef) -> PageEntry {
        PageEntry { first, frame, frame_len, page }
    }
}

impl From<&ArchivedPageEntry> for PageRef {
    fn from(page: &ArchivedPageEntry) -> PageRef {
        PageRef {
            first: page.first.to_native(),
            frame: page.frame.to_native(),
            frame_len: page.frame_len.to_native(),
            page: page.page.to_native(),
        }
    }
}

/// A group's pages, to make an index of.
#[derive(Debug)]
pub(crate) struct GroupPages {
    pub(crate) key: GroupKey,
    /// Of the newest page.
    pub(crate) last: u32,
    /// At least one, in order of time.
    pub(crate) pages: Vec<PageRef>,
}

/// The file's bytes, padded.
pub(crate) fn build(
    file: FileId,
    mut groups: Vec<GroupPages>,
    data_len: u64,
    samples: u64,
    sources: Vec<u64>,
) -> Vec<u8> {
    groups.sort_unstable_by_key(|group| group.key);
    let mut contents = Contents { data_len, samples, sources, first: u32::MAX, ..Contents::default() };
    for GroupPages { key, last, pages } in groups {
        let first = pages.iter().map(|page| page.first).min().unwrap_or(last);
        contents.first = contents.first.min(first);
        contents.last = contents.last.max(last);
        contents.groups.push(GroupEntry { key: halves(key), last, pages: contents.pages.len() as u32 });
        contents.pages.extend(pages.into_iter().map(PageEntry::from));
    }
    let archive = rkyv::to_bytes::<rancor::Error>(&contents).expect("memory is the only limit of an archive");
    let mut bytes = vec![0; ARCHIVE_AT];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&file.number().to_le_bytes());
    bytes[16..24].copy_from_slice(&(archive.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&archive);
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    pad(&mut bytes);
    bytes
}

fn halves(key: GroupKey) -> [u64; 2] {
    [(key.0 >> 64) as u64, key.0 as u64]
}

/// What is wrong with a file that should be an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("it is no index, or of a newer version")]
    Header,
    #[error("it belongs to another datafile")]
    OtherFile,
    #[error("it is shorter than it says")]
    Short,
    #[error("its checksum does not fit")]
    Crc,
    #[error("its contents make no sense")]
    Contents,
}

/// Where the bytes of an index are.
enum Bytes {
    Memory(AlignedVec<16>),
    Mapped(memmap2::Mmap),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Bytes::Memory(bytes) => bytes,
            Bytes::Mapped(map) => map,
        }
    }
}

/// An index that was checked.
pub struct Index {
    bytes: Bytes,
    archive_len: usize,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("groups", &self.contents().groups.len()).finish_non_exhaustive()
    }
}

impl Index {
    /// An index in memory.
    pub fn from_bytes(file: FileId, bytes: &[u8]) -> Result<Index, IndexError> {
        let mut aligned = AlignedVec::with_capacity(bytes.len());
        aligned.extend_from_slice(bytes);
        Index::check(file, Bytes::Memory(aligned))
    }

    /// An index in a mapped file. Its pages are dropped from memory after the check: they come back where they are used.
    pub fn from_map(file: FileId, map: memmap2::Mmap) -> Result<Index, IndexError> {
        let index = Index::check(file, Bytes::Mapped(map))?;
        index.release();
        Ok(index)
    }

    fn check(file: FileId, bytes: Bytes) -> Result<Index, IndexError> {
        let all = bytes.get();
        let header = all.get(..ARCHIVE_AT).ok_or(IndexError::Short)?;
        if header[..4] != MAGIC {
            return Err(IndexError::Header);
        }
        if header[8..16] != file.number().to_le_bytes() {
            return Err(IndexError::OtherFile);
        }
        let number = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let archive_len = usize::try_from(number(16)).map_err(|_| IndexError::Short)?;
        let end = ARCHIVE_AT.checked_add(archive_len).ok_or(IndexError::Short)?;
        let covered = all.get(8..end).ok_or(IndexError::Short)?;
        if crc32fast::hash(covered).to_le_bytes() != header[4..8] {
            return Err(IndexError::Crc);
        }
        let contents = rkyv::access::<ArchivedContents, rancor::Error>(&all[ARCHIVE_AT..end])
            .map_err(|_| IndexError::Contents)?;
        let pages = contents.pages.len();
        let makes_sense = contents.groups.iter().all(|group| group.pages.to_native() as usize <= pages)
            && contents.groups.windows(2).all(|two| {
                two[0].pages <= two[1].pages
                    && two[0].key.map(|half| half.to_native()) < two[1].key.map(|half| half.to_native())
            });
        if !makes_sense {
            return Err(IndexError::Contents);
        }
        Ok(Index { bytes, archive_len })
    }

    fn contents(&self) -> &ArchivedContents {
        let archive = &self.bytes.get()[ARCHIVE_AT..ARCHIVE_AT + self.archive_len];
        #[expect(unsafe_code, reason = "checking all of it again with every look would cost a millisecond")]
        // SAFETY: `check` found an archive of this type in these bytes, at this alignment. Bytes in memory are not
        // changed; a mapped file is one that was written once, under a name that only this database uses.
        unsafe {
            rkyv::access_unchecked::<ArchivedContents>(archive)
        }
    }

    /// Lets the system take back the memory of a mapped index.
    pub(crate) fn release(&self) {
        if let Bytes::Mapped(map) = &self.bytes {
            #[expect(unsafe_code, reason = "the call could drop what was written, of other kinds of maps")]
            // SAFETY: the map is of a file and was never written to; what is dropped is read from the file again.
            let advised = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
            // It is advice: nothing depends on it.
            let _ = advised;
        }
    }

    /// From the first row to the last of all pages. Empty if there is none.
    pub fn span(&self) -> TimeRange {
        let contents = self.contents();
        seconds(contents.first.to_native(), contents.last.to_native())
    }

    /// Bytes of the datafile.
    pub fn data_len(&self) -> u64 {
        self.contents().data_len.to_native()
    }

    /// Bytes of the index's own file.
    pub fn file_len(&self) -> u64 {
        self.bytes.get().len() as u64
    }

    /// Values in all pages.
    pub fn samples(&self) -> u64 {
        self.contents().samples.to_native()
    }

    /// Of a tier's file: the numbers of the files that it was derived from.
    pub(crate) fn sources(&self) -> impl Iterator<Item = u64> + '_ {
        self.contents().sources.iter().map(|number| number.to_native())
    }

    pub fn page_count(&self) -> usize {
        self.contents().pages.len()
    }

    /// Every group, with its first and last row.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (GroupKey, TimeRange)> + '_ {
        self.contents().groups.iter().enumerate().map(|(at, group)| {
            let [high, low] = group.key.map(|half| u128::from(half.to_native()));
            (GroupKey(high << 64 | low), self.span_of(at))
        })
    }

    /// A group's first and last row.
    pub fn group_span(&self, key: GroupKey) -> Option<TimeRange> {
        self.find(key).map(|at| self.span_of(at))
    }

    fn span_of(&self, at: usize) -> TimeRange {
        let last = self.contents().groups[at].last.to_native();
        let first = self.pages_of(at).first().map_or(last, |page| page.first.to_native());
        seconds(first, last)
    }

    fn pages_of(&self, at: usize) -> &[ArchivedPageEntry] {
        let ArchivedContents { groups, pages, .. } = self.contents();
        let start = groups[at].pages.to_native() as usize;
        let end = groups.get(at + 1).map_or(pages.len(), |next| next.pages.to_native() as usize);
        &pages[start..end]
    }

    fn find(&self, key: GroupKey) -> Option<usize> {
        let groups = &self.contents().groups;
        groups.binary_search_by_key(&halves(key), |group| group.key.map(|half| half.to_native())).ok()
    }

    /// The group's pages that may have rows in `window`, in order of time.
    pub fn pages(&self, key: GroupKey, window: TimeRange) -> impl Iterator<Item = PageRef> + '_ {
        let at = self.find(key).filter(|at| self.span_of(*at).overlaps(window));
        let pages = at.map_or(&[][..], |at| self.pages_of(at));
        overlapping(pages, window, |page| page.first.to_native()).iter().map(PageRef::from)
    }
}

/// Those pages that may have rows in `window`: each ends before the next begins.
pub(crate) fn overlapping<T>(pages: &[T], window: TimeRange, first: impl Fn(&T) -> u32) -> &[T] {
    let end = pages.partition_point(|page| i64::from(first(page)) <= window.last.0);
    let start = pages.partition_point(|page| i64::from(first(page)) <= window.first.0).saturating_sub(1);
    &pages[start.min(end)..end]
}

fn seconds(first: u32, last: u32) -> TimeRange {
    TimeRange { first: UnixSeconds(first.into()), last: UnixSeconds(last.into()) }
}
