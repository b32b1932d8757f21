//! An extent: pages of many groups that were written to a datafile together. Numbers are little endian.
//!
//! | offset | size | field      |                                                                              |
//! |--------|------|------------|------------------------------------------------------------------------------|
//! | 0      | 4    | magic      | `MEX1`                                                                       |
//! | 4      | 4    | crc        | crc32 of everything from offset 8 to the end of the directory                |
//! | 8      | 8    | file       | the number of the file                                                       |
//! | 16     | 4    | length     | bytes up to the end of the last frame; zeros follow up to a whole [`BLOCK`]  |
//! | 20     | 4    | dir_stored | bytes of the directory as it stands here                                     |
//! | 24     | 8    | samples    | values in all its pages                                                      |
//! | 32     | 4    | dir_length | bytes of the directory unpacked; if more than `dir_stored`, zstd packed it   |
//! | 36     | …    | directory  | which pages these are, see below                                             |
//! |        | …    | frames     | the pages, see `extent/frame.rs`, each from a multiple of 16 bytes on        |
//!
//! The directory, all varints but the keys, field by field, so that alike stands with alike when it is packed:
//!
//! | of each | field   |                                                                                        |
//! |---------|---------|----------------------------------------------------------------------------------------|
//! |         | frames  | how many there are                                                                     |
//! | frame   | pages   | how many it has                                                                        |
//! | frame   | units   | its length, in units of 16 bytes                                                       |
//! |         | new     | how many groups have their first pages of the file here; their numbers are the next    |
//! | new     | key     | 16 bytes, in the order of the numbers                                                  |
//! | page    | number  | of its group in the file, signed, less that of the page before, at first 0             |
//! | page    | first   | its first second, signed, less that of the page before, at first 0                     |
//! | page    | span    | its last second less its first                                                         |
//!
//! Pages stand in the order of what they are made of, not of time: those of charts of one kind, on many hosts, come together
//! and pack well even in small frames.
//!
//! The directories are all that is needed to make a file's index anew. Frames have their own checksums, so that a broken one
//! costs only its pages, and reading a page does not mean reading the extent.

mod frame;

use self::frame::{Body, Packer, UNIT, unpack};
pub use self::frame::{BrokenPage, PageRef};
pub(crate) use self::frame::{Frame, Header as FrameHeader};
use crate::{
    disk::{BLOCK, FileId, pad},
    key::GroupKey,
    page::Page,
    time::TimeRange,
    varint,
};

const MAGIC: [u8; 4] = *b"MEX1";
pub(crate) const HEADER_LEN: usize = 36;

/// A page that goes into the next extent.
#[derive(Clone, Debug)]
pub struct ExtentPage {
    /// The group's number in the file.
    pub number: u32,
    /// Given with the first page of a number.
    pub key: Option<GroupKey>,
    pub page: Page,
}

/// The bytes of an extent that will stand at `offset`, and where its pages will be.
pub fn build(file: FileId, offset: u64, pages: &[ExtentPage]) -> (Vec<u8>, Vec<PageRef>) {
    debug_assert!(offset.is_multiple_of(BLOCK as u64));
    let mut order: Vec<usize> = (0..pages.len()).collect();
    order.sort_by_key(|index| pages[*index].page.shape());
    let sorted: Vec<&ExtentPage> = order.iter().map(|index| &pages[*index]).collect();
    let mut packer = Packer::new();
    // What is longer than a page's bytes is rare, and few sizes are asked for: an allocator keeps what was freed of each.
    let all: usize = pages.iter().map(|listed| listed.page.as_bytes().len()).sum();
    let mut frames = Frames { bytes: Vec::with_capacity(all.next_power_of_two()), ..Frames::default() };
    for ExtentPage { page, .. } in &sorted {
        frames.add(file, page, &mut packer);
    }
    frames.end(file, &mut packer);
    let directory = directory(&frames.table, &sorted);
    let stored = packer.pack(&directory);
    let most = HEADER_LEN + stored.len() + UNIT + frames.bytes.len() + BLOCK;
    let mut bytes = Vec::with_capacity(most.next_power_of_two());
    bytes.resize(HEADER_LEN, 0);
    bytes.extend_from_slice(stored);
    let directory_end = bytes.len();
    bytes.resize(directory_end.next_multiple_of(UNIT), 0);
    let frames_at = (offset + bytes.len() as u64) / UNIT as u64;
    let mut places = vec![PageRef::default(); pages.len()];
    for (index, place) in order.into_iter().zip(&frames.places) {
        let at = frames_at + u64::from(place.frame);
        let frame = u32::try_from(at).expect("a datafile is below 64 GiB");
        places[index] = PageRef { frame, ..*place };
    }
    bytes.extend_from_slice(&frames.bytes);
    let length = u32::try_from(bytes.len()).expect("pages of an extent are below 4 GiB");
    let samples: u64 = pages.iter().map(|listed| listed.page.samples()).sum();
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&file.number().to_le_bytes());
    bytes[16..20].copy_from_slice(&length.to_le_bytes());
    bytes[20..24].copy_from_slice(&((directory_end - HEADER_LEN) as u32).to_le_bytes());
    bytes[24..32].copy_from_slice(&samples.to_le_bytes());
    bytes[32..36].copy_from_slice(&(directory.len() as u32).to_le_bytes());
    let crc = crc32fast::hash(&bytes[8..directory_end]);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    pad(&mut bytes);
    (bytes, places)
}

/// The frames of an extent being made.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// Pages and units of each.
    table: Vec<(u32, u64)>,
    /// Of the pages, as if the first frame stood at 0.
    places: Vec<PageRef>,
    body: Body,
}

impl Frames {
    fn add(&mut self, file: FileId, page: &Page, packer: &mut Packer) {
        if self.body.is_full() {
            self.end(file, packer);
        }
        let number = self.body.add(page);
        let first = page.span().first.0 as u32;
        let frame = (self.bytes.len() / UNIT) as u32;
        self.places.push(PageRef { first, frame, frame_len: 0, page: number });
    }

    /// Writes the frame that is being made, if it has any page.
    fn end(&mut self, file: FileId, packer: &mut Packer) {
        let pages = self.body.pages;
        if pages == 0 {
            return;
        }
        let start = self.bytes.len();
        self.body.write(file, packer, &mut self.bytes);
        self.body.clear();
        let units = ((self.bytes.len() - start) / UNIT) as u64;
        self.table.push((pages, units));
        for place in self.places.iter_mut().rev().take(pages as usize) {
            place.frame_len = read_units(units);
        }
    }
}

/// As much of a frame's length as a [`PageRef`] can say.
fn read_units(units: u64) -> u16 {
    u16::try_from(units).unwrap_or(u16::MAX)
}

fn directory(frames: &[(u32, u64)], pages: &[&ExtentPage]) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::put(&mut bytes, frames.len() as u64);
    frames.iter().for_each(|(pages, _)| varint::put(&mut bytes, (*pages).into()));
    frames.iter().for_each(|(_, units)| varint::put(&mut bytes, *units));
    let mut new: Vec<(u32, GroupKey)> =
        pages.iter().filter_map(|listed| Some((listed.number, listed.key?))).collect();
    new.sort_unstable_by_key(|(number, _)| *number);
    varint::put(&mut bytes, new.len() as u64);
    new.iter().for_each(|(_, key)| bytes.extend_from_slice(&key.0.to_le_bytes()));
    let mut before = 0i64;
    for ExtentPage { number, .. } in pages {
        varint::put_signed(&mut bytes, i64::from(*number) - before);
        before = i64::from(*number);
    }
    let mut before = 0i64;
    for ExtentPage { page, .. } in pages {
        let first = page.span().first.0;
        varint::put_signed(&mut bytes, first.wrapping_sub(before));
        before = first;
    }
    for ExtentPage { page, .. } in pages {
        let TimeRange { first, last } = page.span();
        varint::put(&mut bytes, last.since(first) as u64);
    }
    bytes
}

/// The beginning of an extent, checked as far as that is possible without the directory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    crc: u32,
    length: u32,
    directory_stored: u32,
    directory_len: u32,
    /// Values in all its pages.
    pub(crate) samples: u64,
}

impl Header {
    pub(crate) fn parse(bytes: &[u8; HEADER_LEN], file: FileId) -> Option<Header> {
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let header = Header {
            crc: u32_at(4),
            length: u32_at(16),
            directory_stored: u32_at(20),
            directory_len: u32_at(32),
            samples: u64::from_le_bytes(bytes[24..32].try_into().expect("eight bytes")),
        };
        let fits = HEADER_LEN as u64 + u64::from(header.directory_stored) <= u64::from(header.length);
        (bytes[..4] == MAGIC && bytes[8..16] == file.number().to_le_bytes() && fits).then_some(header)
    }

    /// Bytes of header and directory.
    pub(crate) fn directory_end(&self) -> usize {
        HEADER_LEN + self.directory_stored as usize
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
/// of the groups of all extents before, and gets those of this one. The pages come in order of time.
pub(crate) fn read_directory(
    bytes: &[u8],
    header: Header,
    offset: u64,
    keys: &mut Vec<GroupKey>,
) -> Option<Vec<Listed>> {
    let stored = bytes.get(..header.directory_end())?;
    if crc32fast::hash(&stored[8..]) != header.crc {
        return None;
    }
    let directory = unpack(&stored[HEADER_LEN..], header.directory_len)?;
    let mut rest = &directory[..];
    let frames = read_frames(&mut rest)?;
    let mut listed = Vec::new();
    let mut at = (offset + stored.len() as u64).div_ceil(UNIT as u64);
    for Framed { pages, units } in frames {
        let frame = u32::try_from(at).ok()?;
        let place = PageRef { first: 0, frame, frame_len: read_units(units), page: 0 };
        let numbered = |page| Listed { number: 0, last: 0, place: PageRef { page, ..place } };
        listed.extend((0..pages).map(numbered));
        at = at.checked_add(units)?;
    }
    read_groups(&mut rest, &mut listed, keys)?;
    let mut before = 0i64;
    for page in &mut listed {
        before = before.checked_add(varint::take_signed(&mut rest)?)?;
        page.place.first = u32::try_from(before).ok()?;
    }
    for page in &mut listed {
        let span = u32::try_from(varint::take(&mut rest)?).ok()?;
        page.last = page.place.first.checked_add(span)?;
    }
    listed.sort_by_key(|page| page.place.first);
    let end = at.checked_mul(UNIT as u64)?;
    (rest.is_empty() && end == offset + u64::from(header.length)).then_some(listed)
}

/// A frame as the directory tells of it.
#[derive(Clone, Copy, Debug)]
struct Framed {
    pages: u16,
    units: u64,
}

/// Takes the frames off the front of a directory. They have no more pages than what follows can tell of.
fn read_frames(rest: &mut &[u8]) -> Option<Vec<Framed>> {
    let count = varint::take(rest)?;
    let mut pages = Vec::new();
    for _ in 0..count {
        pages.push(u16::try_from(varint::take(rest)?).ok()?);
    }
    let mut frames = Vec::with_capacity(pages.len());
    let mut all = 0u64;
    for pages in pages {
        all += u64::from(pages);
        frames.push(Framed { pages, units: varint::take(rest).filter(|units| *units > 0)? });
    }
    (all <= rest.len() as u64).then_some(frames)
}

/// Takes the new keys and the numbers of the pages' groups off the front.
fn read_groups(rest: &mut &[u8], listed: &mut [Listed], keys: &mut Vec<GroupKey>) -> Option<()> {
    for _ in 0..varint::take(rest)? {
        let (key, behind) = rest.split_first_chunk::<16>()?;
        *rest = behind;
        keys.push(GroupKey(u128::from_le_bytes(*key)));
    }
    let mut before = 0i64;
    for page in listed {
        before = before.checked_add(varint::take_signed(rest)?)?;
        page.number = u32::try_from(before).ok().filter(|number| (*number as usize) < keys.len())?;
    }
    Some(())
}

#[cfg(test)]
mod tests;
