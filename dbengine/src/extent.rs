//! An extent: pages of many groups that were written to a datafile together. Numbers are little endian.
//!
//! | offset | size | field     |                                                                               |
//! |--------|------|-----------|-------------------------------------------------------------------------------|
//! | 0      | 4    | magic     | `MSE1`                                                                        |
//! | 4      | 4    | crc       | crc32 of everything from offset 8 to the end of the directory                 |
//! | 8      | 8    | file      | the number of the file                                                        |
//! | 16     | 4    | length    | bytes up to the end of the last page; zeros follow up to a whole [`BLOCK`]     |
//! | 20     | 4    | dir_len   | bytes of the directory                                                        |
//! | 24     | 8    | samples   | values in all its pages                                                       |
//! | 32     | …    | directory | for each page, see below                                                      |
//! |        | …    | pages     | crc32 of the page (4), the page                                               |
//!
//! A page in the directory, all varints but the key: the group's number in the file; if it is the first of the file with
//! this number, which is then one more than the greatest so far, the group's key (16 bytes); the page's first second,
//! signed, minus that of the page before (at first 0); its last second minus its first; bytes of the page.
//!
//! The directories are all that is needed to make a file's index anew. Pages are checked one by one when they are read, so
//! that a broken one costs only itself, and reading one does not mean reading all.

use crate::{
    disk::{BLOCK, FileId, pad},
    key::GroupKey,
    page::Page,
    time::TimeRange,
    varint,
};

const MAGIC: [u8; 4] = *b"MSE1";
pub(crate) const HEADER_LEN: usize = 32;
pub(crate) const PAGE_CRC_LEN: usize = 4;

/// A page's place in its datafile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRef {
    /// Unix seconds of the first row.
    pub first: u32,
    /// Where the page's crc stands; the page is behind it.
    pub offset: u32,
    /// Bytes, the crc among them.
    pub len: u32,
}

/// A page that goes into the next extent.
#[derive(Clone, Debug)]
pub(crate) struct ExtentPage {
    /// The group's number in the file.
    pub(crate) number: u32,
    /// Given with the first page of a number.
    pub(crate) key: Option<GroupKey>,
    pub(crate) page: Page,
}

/// The bytes of an extent that will stand at `offset`, and where its pages will be.
pub(crate) fn build(file: FileId, offset: u64, pages: &[ExtentPage]) -> (Vec<u8>, Vec<PageRef>) {
    let mut bytes = vec![0; HEADER_LEN];
    let mut before = 0i64;
    for ExtentPage { number, key, page } in pages {
        varint::put(&mut bytes, (*number).into());
        if let Some(key) = key {
            bytes.extend_from_slice(&key.0.to_le_bytes());
        }
        let TimeRange { first, last } = page.span();
        varint::put_signed(&mut bytes, first.0.wrapping_sub(before));
        before = first.0;
        varint::put(&mut bytes, last.since(first) as u64);
        varint::put(&mut bytes, page.as_bytes().len() as u64);
    }
    let directory_end = bytes.len();
    let mut places = Vec::with_capacity(pages.len());
    for ExtentPage { page, .. } in pages {
        let at = offset + bytes.len() as u64;
        let page_bytes = page.as_bytes();
        places.push(PageRef {
            first: page.span().first.0 as u32,
            offset: u32::try_from(at).expect("a datafile is below 4 GiB"),
            len: (PAGE_CRC_LEN + page_bytes.len()) as u32,
        });
        bytes.extend_from_slice(&crc32fast::hash(page_bytes).to_le_bytes());
        bytes.extend_from_slice(page_bytes);
    }
    let length = bytes.len() as u32;
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&file.number().to_le_bytes());
    bytes[16..20].copy_from_slice(&length.to_le_bytes());
    bytes[20..24].copy_from_slice(&((directory_end - HEADER_LEN) as u32).to_le_bytes());
    let samples: u64 = pages.iter().map(|listed| listed.page.samples()).sum();
    bytes[24..32].copy_from_slice(&samples.to_le_bytes());
    let crc = crc32fast::hash(&bytes[8..directory_end]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    pad(&mut bytes);
    (bytes, places)
}

/// The beginning of an extent, checked as far as that is possible without the directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    crc: u32,
    length: u32,
    directory_len: u32,
    /// Values in all its pages.
    pub(crate) samples: u64,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN], file: FileId) -> Option<Header> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let samples = u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes"));
        let header = Header { crc: u32_at(4), length: u32_at(16), directory_len: u32_at(20), samples };
        let fits = HEADER_LEN as u64 + u64::from(header.directory_len) <= u64::from(header.length);
        (bytes[..4] == MAGIC && bytes[8..16] == file.number().to_le_bytes() && fits).then_some(header)
    }

    /// Bytes of header and directory.
    pub(crate) fn directory_end(&self) -> usize {
        HEADER_LEN + self.directory_len as usize
    }

    /// Bytes of the whole extent in its file.
    pub(crate) fn padded_len(&self) -> u64 {
        u64::from(self.length).next_multiple_of(BLOCK as u64)
    }
}

/// A page as the directory tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) number: u32,
    pub(crate) last: u32,
    pub(crate) place: PageRef,
}

/// Reads the directory of the extent that stands at `offset`, from the header to the directory's end. `keys` has the keys
/// of the groups of all extents before, and gets those of this one.
pub(crate) fn read_directory(
    bytes: &[u8],
    header: Header,
    offset: u64,
    keys: &mut Vec<GroupKey>,
) -> Option<Vec<Listed>> {
    let directory = bytes.get(..header.directory_end())?;
    if crc32fast::hash(&directory[8..]) != header.crc {
        return None;
    }
    let mut rest = &directory[HEADER_LEN..];
    let mut listed = Vec::new();
    let mut before = 0i64;
    let mut at = offset + directory.len() as u64;
    while !rest.is_empty() {
        let number = u32::try_from(varint::take(&mut rest)?).ok()?;
        if number as usize == keys.len() {
            let (key, behind) = rest.split_first_chunk::<16>()?;
            rest = behind;
            keys.push(GroupKey(u128::from_le_bytes(*key)));
        } else if number as usize > keys.len() {
            return None;
        }
        before = before.checked_add(varint::take_signed(&mut rest)?)?;
        let last = before.checked_add_unsigned(varint::take(&mut rest)?)?;
        let len = varint::take(&mut rest)?.checked_add(PAGE_CRC_LEN as u64)?;
        let place = PageRef {
            first: u32::try_from(before).ok()?,
            offset: u32::try_from(at).ok()?,
            len: u32::try_from(len).ok()?,
        };
        listed.push(Listed { number, last: u32::try_from(last).ok()?, place });
        at = at.checked_add(len)?;
    }
    (at == offset + u64::from(header.length)).then_some(listed)
}

/// The page that `bytes`, as many as its [`PageRef`] says, hold.
pub fn read_page(bytes: &[u8]) -> Result<Page, BrokenPage> {
    let (crc, page) = bytes.split_first_chunk::<PAGE_CRC_LEN>().ok_or(BrokenPage::Crc)?;
    if crc32fast::hash(page) != u32::from_le_bytes(*crc) {
        return Err(BrokenPage::Crc);
    }
    Ok(Page::from_bytes(page)?)
}

/// Why bytes of a datafile are no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenPage {
    #[error("its checksum does not fit")]
    Crc,
    #[error(transparent)]
    Page(#[from] crate::page::PageError),
}
