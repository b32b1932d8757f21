//! What sealed pages of real children cost on disk: in extents, with their index, for other sizes of both and of frames.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use dbengine::{
    ExtentPage, FileId, FileName, GroupKey, Page, PageRef, ReadAt, WriterId, build_extent, read_from,
};

/// Pages of about so many bytes are written together, as the parent does it.
const EXTENT_BYTES: usize = 512 << 10;
/// Of a page in the index of its datafile, and of a group in that of every hour.
pub(crate) const INDEX_BYTES: usize = 12;
pub(crate) const INDEX_GROUP_BYTES: usize = 24;
const FILE_SECONDS: u64 = 3600;
/// Sizes that are looked at for comparison, in KiB, and levels of zstd.
const OTHER_EXTENTS: [usize; 4] = [128, 256, 512, 1024];
const OTHER_FRAMES: [usize; 4] = [8, 16, 32, 256];
const OTHER_LEVELS: [i32; 5] = [1, 2, 3, 4, 6];
/// Every so many pages one is read, for its time.
const READ_EVERY: usize = 7;
/// A page's form and time in front of what it is made of.
const PAGE_START: usize = 6;

/// A page, and when an engine would seal it.
#[derive(Clone, Debug)]
pub(crate) struct SealedPage {
    /// Fractions of a second, since its child began.
    at: u64,
    chart: u32,
    samples: usize,
    page: Page,
}

impl SealedPage {
    /// The page that a chart's rows from `first` on fill: seconds since its child began. Charts are numbered over all
    /// children.
    pub(crate) fn new(chart: u32, first: u64, samples: usize, page: Page) -> SealedPage {
        let seconds = page.rows() as u64 * u64::from(page.step());
        // An engine spreads the ends of pages that begin together: Fibonacci hashing, here as there.
        let turn = u64::from(chart.wrapping_mul(0x9e37_79b9));
        SealedPage { at: ((first + seconds) << u32::BITS) + turn * seconds, chart, samples, page }
    }

    fn len(&self) -> usize {
        self.page.as_bytes().len()
    }
}

/// A datafile in memory.
#[derive(Debug, Default)]
struct Memory(Vec<u8>);

impl ReadAt for Memory {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        let found = self.0[offset as usize..].get(..bytes.len());
        bytes.copy_from_slice(found.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Pages that were put into extents in the order in which they are sealed.
#[derive(Debug)]
pub(crate) struct Written {
    samples: usize,
    /// Padding among them.
    extents: usize,
    index: usize,
    packing: Duration,
    /// The mean of a page.
    reading: Duration,
}

impl Written {
    pub(crate) fn of<'a>(pages: impl IntoIterator<Item = &'a SealedPage>) -> Written {
        Written::in_extents_of(EXTENT_BYTES, &in_order(pages))
    }

    fn in_extents_of(extent_bytes: usize, pages: &[&SealedPage]) -> Written {
        let id = FileId { sequence: 1, writer: WriterId(0) };
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        let (mut data, mut places) = (Memory::default(), Vec::new());
        let mut packing = Duration::ZERO;
        for pages in extents(extent_bytes, pages) {
            let listed = pages.iter().map(|sealed| {
                let next = numbers.len() as u32;
                let number = *numbers.entry(sealed.chart).or_insert(next);
                // Keys look like chance.
                let key = (number == next).then(|| GroupKey(uuid::Uuid::new_v4().as_u128()));
                ExtentPage { number, key, page: sealed.page.clone() }
            });
            let listed: Vec<ExtentPage> = listed.collect();
            let started = Instant::now();
            let (bytes, extent_places) = build_extent(id, data.0.len() as u64, &listed);
            packing += started.elapsed();
            data.0.extend(bytes);
            places.extend(extent_places);
        }
        let lasts = pages.last().map_or(0, |last| last.at >> u32::BITS);
        let group_hours = numbers.len() * lasts.div_ceil(FILE_SECONDS) as usize;
        let some: Vec<PageRef> = places.into_iter().step_by(READ_EVERY).collect();
        let started = Instant::now();
        for place in &some {
            black_box(read_from(FileName::Data { tier: 0, id }, &data, *place).expect("a whole page"));
        }
        Written {
            samples: pages.iter().map(|sealed| sealed.samples).sum(),
            extents: data.0.len(),
            index: pages.len() * INDEX_BYTES + group_hours * INDEX_GROUP_BYTES,
            packing,
            reading: started.elapsed() / some.len().max(1) as u32,
        }
    }

    pub(crate) fn bytes_per_sample(&self) -> f64 {
        (self.extents + self.index) as f64 / self.samples as f64
    }

    /// The table of what is on disk. `sealing`: nanoseconds a sample.
    pub(crate) fn table(&self, page_bytes: usize, sealing: f64) -> String {
        let samples = self.samples as f64;
        let [pages, extents, index] =
            [page_bytes, self.extents, self.index].map(|bytes| bytes as f64 / samples);
        let packing = self.packing.as_nanos() as f64 / samples;
        let reading = self.reading.as_nanos() as f64 / 1e3;
        format!(
            "| on disk | bytes/sample | encode ns/sample | read µs/page |\n|---|---|---|---|\n\
             | pages | {pages:.3} | {sealing:.1} | |\n\
             | extents, the pages in them packed | {extents:.3} | {packing:.1} | {reading:.1} |\n\
             | index | {index:.3} | | |\n\
             | extents and index | {:.3} | {:.1} | |\n",
            extents + index,
            sealing + packing,
        )
    }
}

fn in_order<'a>(pages: impl IntoIterator<Item = &'a SealedPage>) -> Vec<&'a SealedPage> {
    let mut pages: Vec<_> = pages.into_iter().collect();
    pages.sort_by_key(|sealed| (sealed.at, sealed.chart));
    pages
}

/// Pages that make about so many bytes each, as they come.
fn extents<'a, 'b>(size: usize, pages: &'a [&'b SealedPage]) -> impl Iterator<Item = &'a [&'b SealedPage]> {
    let mut rest = pages;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let is_last = |sealed: &&SealedPage| {
            bytes += sealed.len();
            bytes >= size
        };
        let end = rest.iter().position(is_last).map_or(rest.len(), |last| last + 1);
        let (extent, behind) = rest.split_at(end);
        rest = behind;
        (!extent.is_empty()).then_some(extent)
    })
}

/// What extents of other sizes would cost, with their index.
pub(crate) fn by_extent(pages: &[SealedPage]) -> String {
    let pages = in_order(pages);
    let mut table = String::from("| extents of | bytes/sample |\n|---|---|\n");
    for kib in OTHER_EXTENTS {
        let size = Written::in_extents_of(kib << 10, &pages).bytes_per_sample();
        let _ = writeln!(table, "| {kib} KiB | {size:.3} |");
    }
    table
}

/// What pages alone would cost if they were packed in other ways.
pub(crate) fn by_frame(pages: &[SealedPage]) -> String {
    let pages = in_order(pages);
    let mut alike = pages.clone();
    let mut start = 0;
    for len in extents(EXTENT_BYTES, &pages).map(<[_]>::len) {
        alike[start..][..len].sort_by_key(|sealed| &sealed.page.as_bytes()[PAGE_START..]);
        start += len;
    }
    let samples = pages.iter().map(|sealed| sealed.samples).sum::<usize>() as f64;
    let mut table = String::from(
        "| packed together | level | bytes/sample | with alike pages together | pack ns/sample | unpack µs |\n\
         |---|---|---|---|---|---|\n",
    );
    for kib in OTHER_FRAMES {
        for level in OTHER_LEVELS {
            let [as_sealed, alike] = [&pages, &alike].map(|pages| Frames::of(kib << 10, level, pages));
            let _ = writeln!(
                table,
                "| {kib} KiB | {level} | {:.3} | {:.3} | {:.1} | {:.1} |",
                as_sealed.bytes as f64 / samples,
                alike.bytes as f64 / samples,
                alike.packing.as_nanos() as f64 / samples,
                alike.unpacking.as_nanos() as f64 / 1e3 / alike.count as f64,
            );
        }
    }
    table
}

/// Pages packed so many bytes at a time at one level.
#[derive(Debug, Default)]
struct Frames {
    count: usize,
    bytes: usize,
    packing: Duration,
    unpacking: Duration,
}

impl Frames {
    fn of(size: usize, level: i32, pages: &[&SealedPage]) -> Frames {
        let mut compressor = zstd::bulk::Compressor::new(level).expect("a level of zstd's");
        let mut decompressor = zstd::bulk::Decompressor::new().expect("memory is the only limit");
        let mut frames = Frames::default();
        for pages in extents(size, pages) {
            let frame: Vec<u8> = pages.iter().flat_map(|sealed| sealed.page.as_bytes()).copied().collect();
            let started = Instant::now();
            let packed = compressor.compress(&frame).expect("memory is the only limit");
            frames.packing += started.elapsed();
            let started = Instant::now();
            black_box(decompressor.decompress(&packed, frame.len()).expect("what was packed just now"));
            frames.unpacking += started.elapsed();
            frames.bytes += packed.len();
            frames.count += 1;
        }
        frames
    }
}
