//! A frame: some pages of an extent, compressed together. Numbers are little endian.
//!
//! | offset | size | field      |                                                                              |
//! |--------|------|------------|------------------------------------------------------------------------------|
//! | 0      | 4    | stored     | bytes of the body as it stands here                                          |
//! | 4      | 4    | length     | bytes of the body unpacked; if they are more than `stored`, zstd packed it   |
//! | 8      | 4    | crc        | crc32 of the body as it stands here                                          |
//! | 12     | 4    | header crc | crc32 of the number of the file (8) and the twelve bytes before              |
//! | 16     | …    | body       | of each page: its bytes, a varint, and the page                              |
//!
//! Zeros follow up to a multiple of [`UNIT`].
//!
//! To read a page is to read its frame: what is saved by packing more pages together (measured in `docs/encodings.md`) is
//! paid by every reader of one of them. The checksum is that of what the disk holds, so that nothing is unpacked that was
//! not written like that; pages have none of their own, as one broken byte takes all that is packed with it.

use std::borrow::Cow;
use std::cell::RefCell;

use zstd::bulk::{Compressor, Decompressor};

use crate::{
    disk::FileId,
    page::{Page, PageError},
    time::UnixSeconds,
    varint,
};

/// Frames begin at multiples of this.
pub(crate) const UNIT: usize = 16;
pub(crate) const HEADER_LEN: usize = 16;
/// A frame ends with the page that fills it.
const FULL: usize = 16 << 10;
const _: () = assert!(FULL <= 1 << u16::BITS, "a page's number in its frame has 16 bits");
/// Nothing longer is packed: how much memory is taken to unpack must not follow from a number alone.
const MOST_UNPACKED: usize = 4 << 20;
/// Packing is to save more than this part.
const LEAST_SAVED: usize = 32;
/// What higher ones save, they take more than twice the time for.
const LEVEL: i32 = 4;

/// A page's place in its datafile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PageRef {
    /// Unix seconds of the first row.
    pub first: u32,
    /// Where its frame begins, in units of 16 bytes.
    pub frame: u32,
    /// Bytes of the frame in the same units, or as many as can be said here.
    pub frame_len: u16,
    /// Which of the pages of its frame it is.
    pub page: u16,
}

impl PageRef {
    /// Whether its first row is of this time.
    pub(crate) fn begins_at(self, time: UnixSeconds) -> bool {
        i64::from(self.first) == time.0
    }

    /// Where its frame begins, in bytes.
    pub fn at(self) -> u64 {
        u64::from(self.frame) * UNIT as u64
    }

    /// Bytes of the frame that are read at once; a longer one says so itself.
    pub(crate) fn read_len(self) -> usize {
        usize::from(self.frame_len) * UNIT
    }
}

/// Why bytes of a datafile are no page.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokenPage {
    #[error("the header of its frame is not as it was written")]
    Header,
    #[error("the checksum of its frame does not fit")]
    Crc,
    #[error("its frame cannot be unpacked")]
    Packed,
    #[error("its frame has no page there")]
    Place,
    #[error(transparent)]
    Page(#[from] PageError),
}

/// Compresses what is worth it.
pub(super) struct Packer {
    compressor: Compressor<'static>,
    packed: Vec<u8>,
}

impl Packer {
    pub(super) fn new() -> Packer {
        let compressor = Compressor::new(LEVEL).expect("memory is the only limit of a compressor");
        Packer { compressor, packed: Vec::new() }
    }

    /// As these bytes are to be stored: packed, or themselves.
    pub(super) fn pack<'a>(&'a mut self, bytes: &'a [u8]) -> &'a [u8] {
        if bytes.len() > MOST_UNPACKED {
            return bytes;
        }
        self.packed.clear();
        self.packed.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        let packed = self.compressor.compress_to_buffer(bytes, &mut self.packed);
        packed.expect("there is room for the longest");
        if self.packed.len() + bytes.len() / LEAST_SAVED < bytes.len() { &self.packed } else { bytes }
    }
}

/// What was stored, if it has this length unpacked.
pub(super) fn unpack(stored: &[u8], length: u32) -> Option<Cow<'_, [u8]>> {
    let length = length as usize;
    if stored.len() == length {
        return Some(Cow::Borrowed(stored));
    }
    if stored.len() > length || length > MOST_UNPACKED {
        return None;
    }
    thread_local! {
        /// To make one takes longer than to unpack a frame.
        static DECOMPRESSOR: RefCell<Decompressor<'static>> = RefCell::default();
    }
    let bytes = DECOMPRESSOR.with_borrow_mut(|decompressor| decompressor.decompress(stored, length)).ok()?;
    (bytes.len() == length).then_some(Cow::Owned(bytes))
}

/// A frame being made.
#[derive(Debug, Default)]
pub(super) struct Body {
    bytes: Vec<u8>,
    pub(super) pages: u32,
}

impl Body {
    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Says which of the frame's pages it is.
    pub(super) fn add(&mut self, page: &Page) -> u16 {
        let number = u16::try_from(self.pages).expect("a full frame takes no page");
        varint::put(&mut self.bytes, page.as_bytes().len() as u64);
        self.bytes.extend_from_slice(page.as_bytes());
        self.pages += 1;
        number
    }

    /// Begins the next frame.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pages = 0;
    }

    /// Appends the frame to `out`.
    pub(super) fn write(&self, file: FileId, packer: &mut Packer, out: &mut Vec<u8>) {
        let stored = packer.pack(&self.bytes);
        let header = Header {
            stored: u32::try_from(stored.len()).expect("pages of an extent are below 4 GiB"),
            length: self.bytes.len() as u32,
            crc: crc32fast::hash(stored),
        };
        out.extend_from_slice(&header.to_bytes(file));
        out.extend_from_slice(stored);
        out.resize(out.len().next_multiple_of(UNIT), 0);
    }
}

/// The beginning of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(super) stored: u32,
    pub(super) length: u32,
    pub(super) crc: u32,
}

impl Header {
    fn to_bytes(self, file: FileId) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..4].copy_from_slice(&self.stored.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.length.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.crc.to_le_bytes());
        let crc = Header::crc(file, &bytes);
        bytes[12..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn crc(file: FileId, bytes: &[u8; HEADER_LEN]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&file.number().to_le_bytes());
        crc.update(&bytes[..12]);
        crc.finalize()
    }

    /// The header of the frame that `bytes` begin with.
    pub(crate) fn parse(bytes: &[u8], file: FileId) -> Result<Header, BrokenPage> {
        let bytes = bytes.first_chunk::<HEADER_LEN>().ok_or(BrokenPage::Header)?;
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let is_whole = number(12) == Header::crc(file, bytes);
        let header = Header { stored: number(0), length: number(4), crc: number(8) };
        is_whole.then_some(header).ok_or(BrokenPage::Header)
    }

    /// Bytes of the frame, without the zeros at its end.
    pub(crate) fn frame_len(self) -> usize {
        HEADER_LEN + self.stored as usize
    }
}

/// Pages that were compressed together.
#[derive(Debug)]
pub(crate) struct Frame {
    body: Vec<u8>,
}

impl Frame {
    /// `bytes` has the whole frame, of which this is the header.
    pub(crate) fn open(header: Header, bytes: &[u8]) -> Result<Frame, BrokenPage> {
        let stored = bytes.get(HEADER_LEN..header.frame_len()).ok_or(BrokenPage::Header)?;
        if crc32fast::hash(stored) != header.crc {
            return Err(BrokenPage::Crc);
        }
        let body = unpack(stored, header.length).ok_or(BrokenPage::Packed)?;
        Ok(Frame { body: body.into_owned() })
    }

    pub(crate) fn page(&self, place: PageRef) -> Result<Page, BrokenPage> {
        let mut rest = &self.body[..];
        for _ in 0..place.page {
            take_page(&mut rest).ok_or(BrokenPage::Place)?;
        }
        Ok(Page::from_bytes(take_page(&mut rest).ok_or(BrokenPage::Place)?)?)
    }
}

/// Takes the bytes of a page off the front.
fn take_page<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(varint::take(rest)?).ok()?;
    let (page, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(page)
}
