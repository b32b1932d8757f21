//! Complete datafiles -> a file of the next tier: minutes from seconds, hours from minutes.
//!
//! A tier's pages are pages like others, with five columns for each column of the tier below (see [`PARTS`]): the sum of
//! its samples, how many there are, the smallest, the largest, and how many of them are anomalous. The row stamped t is of
//! the seconds (t - step, t], and t is a multiple of step. Where there is no sample the count is 0, the others are gaps.
//!
//! What two files have of one row is in both, in parts, and is added up by whoever reads it. So deriving knows nothing but
//! its sources, and doing it again gives the same file again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    disk::{DiskError, DiskOp, DiskOpKind, FileId, FileName, OpId},
    extent::{self, ExtentPage},
    files::{Disk, ReadError, SealedFile},
    index::{self, GroupPages},
    key::GroupKey,
    page::Page,
    sample::{SampleFlags, Samples},
    time::{TimeRange, UnixSeconds},
};

/// Columns of a tier's page for each column of the tier below, in this order: sum, count, minimum, maximum, anomalies.
pub const PARTS: usize = 5;
/// Pages of about so many bytes are written together.
const EXTENT_BYTES: usize = 512 << 10;
/// Rows of a tier's page at most.
const MOST_ROWS: usize = 1024;

/// What is known of a column's samples in one row of a tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub sum: f64,
    pub count: u32,
    pub min: f32,
    pub max: f32,
    pub anomalies: u32,
}

impl Point {
    pub const EMPTY: Point =
        Point { sum: 0.0, count: 0, min: f32::INFINITY, max: f32::NEG_INFINITY, anomalies: 0 };

    /// Adds a sample; a gap adds nothing.
    pub fn add(&mut self, value: f32, flags: SampleFlags) {
        if value.is_nan() {
            return;
        }
        self.merge(&Point {
            sum: value.into(),
            count: 1,
            min: value,
            max: value,
            anomalies: flags.contains(SampleFlags::ANOMALOUS).into(),
        });
    }

    pub fn merge(&mut self, other: &Point) {
        self.sum += other.sum;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.anomalies += other.anomalies;
    }

    fn parts(&self) -> [f32; PARTS] {
        if self.count == 0 {
            return [f32::NAN, 0.0, f32::NAN, f32::NAN, 0.0];
        }
        [self.sum as f32, self.count as f32, self.min, self.max, self.anomalies as f32]
    }
}

/// The row that a second is part of, in rows of `step` seconds.
pub(crate) fn row_of(time: i64, step: i64) -> i64 {
    time.saturating_add(step - 1).div_euclid(step).saturating_mul(step)
}

/// Calls `visit` with the time and the point of each row that a page of a tier has of one column of the tier below.
pub(crate) fn points(page: &Page, column: usize, window: TimeRange, mut visit: impl FnMut(i64, Point)) {
    let mut parts: [Samples; PARTS] = Default::default();
    for (part, samples) in parts.iter_mut().enumerate() {
        page.read(column * PARTS + part, window, samples);
    }
    let [sums, counts, minima, maxima, anomalies] = &parts;
    for (row, time) in sums.times.iter().enumerate() {
        let count = counts.values[row];
        // A column that came later than the page is all gaps.
        if count >= 1.0 {
            let point = Point {
                sum: sums.values[row].into(),
                count: count as u32,
                min: minima.values[row],
                max: maxima.values[row],
                anomalies: anomalies.values[row] as u32,
            };
            visit(*time, point);
        }
    }
}

/// Rows of one group that are being added up.
#[derive(Debug, Default)]
struct Rows {
    step: u32,
    columns: usize,
    rows: BTreeMap<i64, Vec<Point>>,
}

impl Rows {
    /// Adds a page; `is_rolled_up`: it is of a tier.
    fn add(&mut self, page: &Page, is_rolled_up: bool) {
        let columns = page.columns() / if is_rolled_up { PARTS } else { 1 };
        self.columns = self.columns.max(columns);
        let step = i64::from(self.step);
        let mut samples = Samples::default();
        for column in 0..columns {
            if is_rolled_up {
                points(page, column, TimeRange::ALL, |time, point| {
                    self.point(row_of(time, step), column).merge(&point);
                });
                continue;
            }
            samples.clear();
            page.read(column, TimeRange::ALL, &mut samples);
            for (index, (time, value)) in samples.times.iter().zip(&samples.values).enumerate() {
                self.point(row_of(*time, step), column).add(*value, samples.flags_at(index));
            }
        }
    }

    fn point(&mut self, time: i64, column: usize) -> &mut Point {
        let row = self.rows.entry(time).or_default();
        if row.len() <= column {
            row.resize(column + 1, Point::EMPTY);
        }
        &mut row[column]
    }

    /// Makes pages of all rows, and forgets them.
    fn seal(&mut self, pages: &mut Vec<Page>) {
        let rows: Vec<(i64, Vec<Point>)> = std::mem::take(&mut self.rows)
            .into_iter()
            .filter(|(_, row)| row.iter().any(|point| point.count > 0))
            .collect();
        for chunk in rows.chunks(MOST_ROWS) {
            let times: Vec<UnixSeconds> = chunk.iter().map(|(time, _)| UnixSeconds(*time)).collect();
            let columns = 0..self.columns;
            let values: Vec<f32> = chunk
                .iter()
                .flat_map(|(_, row)| {
                    columns.clone().flat_map(|column| row.get(column).unwrap_or(&Point::EMPTY).parts())
                })
                .collect();
            pages.push(Page::seal(self.step, &times, &values, &[]));
        }
        self.columns = 0;
    }
}

/// Why a tier's file was not made. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum DeriveError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What came of deriving a file.
#[derive(Debug)]
pub struct Derived {
    /// `None`: the sources have nothing.
    pub file: Option<SealedFile>,
    /// Pages of the sources that cannot be read, which the file lacks.
    pub broken: Vec<ReadError>,
}

/// Makes the file of the tier above `sources`, all of one tier, of rows that are `factor` times as long. It has the number
/// of the last source, and its index names all of them.
pub fn derive(disk: &mut dyn Disk, sources: &[Arc<SealedFile>], factor: u32) -> Result<Derived, DeriveError> {
    let last = sources.last().expect("there are sources");
    let (tier, id) = (last.tier + 1, last.id);
    let name = FileName::Data { tier, id };
    let mut keys: Vec<GroupKey> =
        sources.iter().flat_map(|source| source.index.groups().map(|(key, _)| key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let mut broken = Vec::new();
    let mut writer = Writer {
        disk,
        name,
        id,
        end: 0,
        samples: 0,
        groups: Vec::new(),
        waiting: Vec::new(),
        waiting_bytes: 0,
    };
    writer.run(DiskOpKind::Create)?;
    let mut pages = Vec::new();
    for key in keys {
        let mut rows = Rows::default();
        for source in sources {
            for place in source.index.pages(key, TimeRange::ALL) {
                match source.read(place) {
                    Ok(page) => {
                        let step = page.step().saturating_mul(factor);
                        if step != rows.step {
                            rows.seal(&mut pages);
                            rows.step = step;
                        }
                        rows.add(&page, source.tier > 0);
                    }
                    Err(error) => broken.push(error),
                }
            }
        }
        rows.seal(&mut pages);
        for page in pages.drain(..) {
            writer.add(key, page)?;
        }
    }
    sources.iter().for_each(|source| source.index.release());
    let numbers = sources.iter().map(|source| source.id.number()).collect();
    let file = writer.finish(numbers)?.then(|| open(disk, tier, id)).transpose()?;
    Ok(Derived { file, broken })
}

fn open(disk: &dyn Disk, tier: u8, id: FileId) -> std::io::Result<SealedFile> {
    let index = disk.index(tier, id)?;
    let (data, _) = disk.open(FileName::Data { tier, id })?;
    Ok(SealedFile::new(tier, id, index, data))
}

/// A datafile that is written from front to back by somebody who waits.
struct Writer<'a> {
    disk: &'a mut dyn Disk,
    name: FileName,
    id: FileId,
    end: u64,
    samples: u64,
    groups: Vec<GroupPages>,
    waiting: Vec<ExtentPage>,
    waiting_bytes: usize,
}

impl Writer<'_> {
    fn run_on(&mut self, file: FileName, kind: DiskOpKind) -> Result<(), DiskError> {
        self.disk.carry_out(DiskOp { id: OpId(0), file, kind }).result
    }

    fn run(&mut self, kind: DiskOpKind) -> Result<(), DiskError> {
        self.run_on(self.name, kind)
    }

    fn add(&mut self, key: GroupKey, page: Page) -> Result<(), DiskError> {
        let is_new = self.groups.last().is_none_or(|group| group.key != key);
        if is_new {
            self.groups.push(GroupPages { key, last: 0, pages: Vec::new() });
        }
        let number = self.groups.len() as u32 - 1;
        self.waiting_bytes += page.as_bytes().len();
        self.waiting.push(ExtentPage { number, key: is_new.then_some(key), page });
        if self.waiting_bytes >= EXTENT_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), DiskError> {
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
        self.run(DiskOpKind::Write { offset, bytes })
    }

    /// Writes what is left, and the index. Says whether there is anything.
    fn finish(mut self, sources: Vec<u64>) -> Result<bool, DiskError> {
        self.flush()?;
        if self.groups.is_empty() {
            self.run(DiskOpKind::Remove)?;
            return Ok(false);
        }
        self.run(DiskOpKind::Sync)?;
        let FileName::Data { tier, id } = self.name else { unreachable!("it is a datafile") };
        let bytes = index::build(id, std::mem::take(&mut self.groups), self.end, self.samples, sources);
        let file = FileName::Index { tier, id };
        self.run_on(file, DiskOpKind::Create)?;
        self.run_on(file, DiskOpKind::Write { offset: 0, bytes })?;
        self.run_on(file, DiskOpKind::Sync)?;
        Ok(true)
    }
}
