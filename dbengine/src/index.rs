//! Where a datafile's pages are: a file beside it, written when it is complete, and mapped, not read.
//!
//! | offset | size | field   |                                                              |
//! |--------|------|---------|--------------------------------------------------------------|
//! | 0      | 4    | magic   | `MIX1`                                                       |
//! | 4      | 4    | crc     | crc32 of everything from offset 8 to the end of the archive  |
//! | 8      | 8    | file    | the number of the datafile, and of this file                 |
//! | 16     | 8    | length  | bytes of the archive                                         |
//! | 24     | 4    | summary | crc32 of what a start reads, see [`summary`]; 0: not told    |
//! | 64     | …    | archive | [`Contents`] as rkyv archives it                             |
//!
//! It holds nothing that the datafile does not hold: a lost or broken index is made again from the extents.
//!
//! Groups are a twentieth of an index of many pages. They are checked when it is opened, so that a start may rely on the
//! newest row of a group; the pages are when they are first asked for, or by [`Index::verify`]: to read all of a day's
//! million metrics, a gigabyte, would take the time that a start has. An index of which the pages are broken answers as if
//! it had none.

use std::fmt;
use std::sync::OnceLock;

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
    /// At least one.
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
    for GroupPages { key, last, mut pages } in groups {
        pages.sort_by_key(|page| page.first);
        let first = pages.first().map_or(last, |page| page.first);
        contents.first = contents.first.min(first);
        contents.last = contents.last.max(last);
        contents.groups.push(GroupEntry { key: halves(key), last, pages: contents.pages.len() as u32 });
        contents.pages.extend(pages.into_iter().map(PageEntry::from));
    }
    let archive = rkyv::to_bytes::<rancor::Error>(&contents).expect("memory is the only limit of an archive");
    let archived = rkyv::access::<ArchivedContents, rancor::Error>(&archive).expect("it was just made");
    let mut bytes = vec![0; ARCHIVE_AT];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&file.number().to_le_bytes());
    bytes[16..24].copy_from_slice(&(archive.len() as u64).to_le_bytes());
    bytes[24..28].copy_from_slice(&summary(archived, &archive).to_le_bytes());
    bytes.extend_from_slice(&archive);
    let crc = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    pad(&mut bytes);
    bytes
}

/// The crc32 of everything in an archive but its pages; never 0, which stands for an index of earlier days without it.
fn summary(contents: &ArchivedContents, archive: &[u8]) -> u32 {
    let groups = contents.groups.as_slice();
    let start = groups.as_ptr() as usize - archive.as_ptr() as usize;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&archive[start..start + size_of_val(groups)]);
    for source in contents.sources.iter() {
        crc.update(&source.to_native().to_le_bytes());
    }
    crc.update(&contents.data_len.to_native().to_le_bytes());
    crc.update(&contents.samples.to_native().to_le_bytes());
    crc.update(&contents.first.to_native().to_le_bytes());
    crc.update(&contents.last.to_native().to_le_bytes());
    crc.update(&(contents.pages.len() as u64).to_le_bytes());
    crc.finalize().max(1)
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

    /// How a map will be read. It is advice: nothing depends on it.
    fn advise(&self, advice: memmap2::Advice) {
        if let Bytes::Mapped(map) = self {
            let _ = map.advise(advice);
        }
    }

    /// How a part of a map will be read: in one go, instead of a fault for each page of it.
    fn advise_of<T>(&self, advice: memmap2::Advice, part: &[T]) {
        if let Bytes::Mapped(map) = self {
            let start = part.as_ptr() as usize - map.as_ptr() as usize;
            let _ = map.advise_range(advice, start, size_of_val(part));
        }
    }

    /// Whether the checksum of a whole index fits, whose archive ends at `end`.
    fn are_as_written(&self, end: usize) -> bool {
        self.advise(memmap2::Advice::Sequential);
        let all = self.get();
        let fits = crc32fast::hash(&all[8..end]).to_le_bytes() == all[4..8];
        self.advise(memmap2::Advice::Random);
        fits
    }
}

/// An index whose groups were checked.
pub struct Index {
    bytes: Bytes,
    archive_len: usize,
    /// What is asked of all files for every question, out of the map.
    span: TimeRange,
    data_len: u64,
    samples: u64,
    sources: Vec<u64>,
    /// Whether all of it is as it was written, once that is known.
    is_whole: OnceLock<bool>,
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
        Index::open(file, Bytes::Memory(aligned))
    }

    /// An index in a mapped file. Its pages are dropped from memory after the check: they come back where they are used.
    pub fn from_map(file: FileId, map: memmap2::Mmap) -> Result<Index, IndexError> {
        let index = Index::open(file, Bytes::Mapped(map))?;
        index.release();
        Ok(index)
    }

    fn open(file: FileId, bytes: Bytes) -> Result<Index, IndexError> {
        // A fault reads what a disk is set to read ahead, which may be megabytes, around every place that is looked at.
        bytes.advise(memmap2::Advice::Random);
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
        let archive = all.get(ARCHIVE_AT..end).ok_or(IndexError::Short)?;
        let is_whole = OnceLock::new();
        match u32::from_le_bytes(header[24..28].try_into().expect("four bytes")) {
            0 if !bytes.are_as_written(end) => return Err(IndexError::Crc),
            // A lock that was just made is empty.
            0 => drop(is_whole.set(true)),
            _ => {}
        }
        // Numbers are numbers whatever their bytes, so this looks at where groups and pages are, not at each of them.
        let contents =
            rkyv::access::<ArchivedContents, rancor::Error>(archive).map_err(|_| IndexError::Contents)?;
        bytes.advise_of(memmap2::Advice::WillNeed, contents.groups.as_slice());
        if is_whole.get().is_none() && header[24..28] != summary(contents, archive).to_le_bytes() {
            return Err(IndexError::Crc);
        }
        let pages = contents.pages.len();
        let makes_sense = contents.groups.iter().all(|group| group.pages.to_native() as usize <= pages)
            && contents.groups.windows(2).all(|two| {
                two[0].pages <= two[1].pages
                    && two[0].key.map(|half| half.to_native()) < two[1].key.map(|half| half.to_native())
            });
        if !makes_sense {
            return Err(IndexError::Contents);
        }
        let span = seconds(contents.first.to_native(), contents.last.to_native());
        let (data_len, samples) = (contents.data_len.to_native(), contents.samples.to_native());
        let sources = contents.sources.iter().map(|number| number.to_native()).collect();
        Ok(Index { bytes, archive_len, span, data_len, samples, sources, is_whole })
    }

    /// Checks what was not checked yet. An index that is not whole is to be made again.
    pub fn verify(&self) -> Result<(), IndexError> {
        let is_known = self.is_whole.get().is_some();
        let is_whole = self.is_whole();
        if !is_known {
            self.release();
        }
        is_whole.then_some(()).ok_or(IndexError::Crc)
    }

    fn is_whole(&self) -> bool {
        *self.is_whole.get_or_init(|| self.bytes.are_as_written(ARCHIVE_AT + self.archive_len))
    }

    fn contents(&self) -> &ArchivedContents {
        let archive = &self.bytes.get()[ARCHIVE_AT..ARCHIVE_AT + self.archive_len];
        #[expect(unsafe_code, reason = "checking all of it again with every look would cost a millisecond")]
        // SAFETY: `open` found an archive of this type in these bytes, at this alignment. Bytes in memory are not
        // changed; a mapped file is one that was written once, under a name that only this database uses.
        unsafe {
            rkyv::access_unchecked::<ArchivedContents>(archive)
        }
    }

    /// Many of its groups will be asked for.
    pub(crate) fn expect_groups(&self) {
        self.bytes.advise_of(memmap2::Advice::PopulateRead, self.contents().groups.as_slice());
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
        self.span
    }

    /// Bytes of the datafile.
    pub fn data_len(&self) -> u64 {
        self.data_len
    }

    /// Bytes of the index's own file.
    pub fn file_len(&self) -> u64 {
        self.bytes.get().len() as u64
    }

    /// Values in all pages.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Of a tier's file: the numbers of the files that it was derived from.
    pub(crate) fn sources(&self) -> impl Iterator<Item = u64> + '_ {
        self.sources.iter().copied()
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

    /// A group's newest row.
    pub fn newest(&self, key: GroupKey) -> Option<UnixSeconds> {
        self.find(key).map(|at| UnixSeconds(self.contents().groups[at].last.to_native().into()))
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
        if !self.is_whole() {
            return &[];
        }
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
