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
    files::{Disk, ReadError, SealedFile},
    key::GroupKey,
    page::Page,
    sample::{SampleFlags, Samples},
    time::{TimeRange, UnixSeconds},
    writer::{FileWriter, WriteError},
};

/// Columns of a tier's page for each column of the tier below, in this order: sum, count, minimum, maximum, anomalies.
pub const PARTS: usize = 5;
/// Bytes of pages, as the disk has them, that are held at once: twice as much would halve the times that a large source is
/// read, and a frame is unpacked in 20 µs.
const MOST_HELD: u64 = 8 << 20;
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

/// All of these samples, but for their flags: as [`Point::add`] one by one, up to the rounding of the sum, in lanes that the
/// processor adds at once. Without `EXTREMES` smallest and largest are not to be looked at.
pub(crate) fn added_up<const EXTREMES: bool>(values: &[f32]) -> Point {
    const LANES: usize = 8;
    let mut sums = [0.0_f64; LANES];
    let mut counts = [0_u32; LANES];
    let mut minima = [f32::INFINITY; LANES];
    let mut maxima = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in chunk.iter().enumerate() {
            let is_value = !value.is_nan();
            sums[lane] += if is_value { f64::from(*value) } else { 0.0 };
            counts[lane] += u32::from(is_value);
            if EXTREMES {
                // A comparison with a NaN is false.
                minima[lane] = if *value < minima[lane] { *value } else { minima[lane] };
                maxima[lane] = if *value > maxima[lane] { *value } else { maxima[lane] };
            }
        }
    }
    let mut point = Point {
        sum: sums.iter().sum(),
        count: counts.iter().sum(),
        min: minima.into_iter().fold(f32::INFINITY, f32::min),
        max: maxima.into_iter().fold(f32::NEG_INFINITY, f32::max),
        anomalies: 0,
    };
    rest.iter().for_each(|value| point.add(*value, SampleFlags::NONE));
    point
}

/// The row that a second is part of, in rows of `step` seconds.
pub(crate) fn row_of(time: i64, step: i64) -> i64 {
    time.saturating_add(step - 1).div_euclid(step).saturating_mul(step)
}

/// The parts of one column, in memory that is used again for every other.
pub(crate) type Parts = [Samples; PARTS];

/// Calls `visit` with the time and the point of each row that a page of a tier has of one column of the tier below.
pub(crate) fn points(
    page: &Page,
    column: usize,
    window: TimeRange,
    parts: &mut Parts,
    mut visit: impl FnMut(i64, Point),
) {
    for (part, samples) in parts.iter_mut().enumerate() {
        samples.clear();
        page.read(column * PARTS + part, window, samples);
    }
    let [sums, counts, minima, maxima, anomalies] = &*parts;
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
    /// Memory for a column, used again for every other.
    samples: Samples,
    parts: Parts,
}

impl Rows {
    /// Adds a page; `is_rolled_up`: it is of a tier.
    fn add(&mut self, page: &Page, is_rolled_up: bool) {
        let columns = page.columns() / if is_rolled_up { PARTS } else { 1 };
        self.columns = self.columns.max(columns);
        let step = i64::from(self.step);
        if is_rolled_up {
            let mut parts = std::mem::take(&mut self.parts);
            for column in 0..columns {
                // Rows of a page come in order of time: those of one row are added up before it is looked for.
                let (mut row, mut sum) = (i64::MIN, Point::EMPTY);
                points(page, column, TimeRange::ALL, &mut parts, |time, point| {
                    if time > row {
                        if sum.count > 0 {
                            self.point(row, column).merge(&sum);
                        }
                        (row, sum) = (row_of(time, step), Point::EMPTY);
                    }
                    sum.merge(&point);
                });
                if sum.count > 0 {
                    self.point(row, column).merge(&sum);
                }
            }
            self.parts = parts;
            return;
        }
        let mut samples = std::mem::take(&mut self.samples);
        for column in 0..columns {
            samples.clear();
            page.read(column, TimeRange::ALL, &mut samples);
            let mut start = 0;
            while let Some(first) = samples.times.get(start) {
                let row = row_of(*first, step);
                let len = samples.times[start..].partition_point(|time| *time <= row);
                let (values, flags) = (&samples.values[start..start + len], &samples.flags);
                let mut point = added_up::<true>(values);
                if !flags.is_empty() {
                    let is_anomalous = |(value, flags): &(&f32, &SampleFlags)| {
                        !value.is_nan() && flags.contains(SampleFlags::ANOMALOUS)
                    };
                    let flagged = values.iter().zip(&flags[start..start + len]);
                    point.anomalies = flagged.filter(is_anomalous).count() as u32;
                }
                self.point(row, column).merge(&point);
                start += len;
            }
        }
        self.samples = samples;
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
///
/// Pages that were packed together are of many groups, so it takes as many groups at once as [`MOST_HELD`] has room for,
/// and reads the sources from front to back for each such lot.
pub fn derive(disk: &mut dyn Disk, sources: &[Arc<SealedFile>], factor: u32) -> Result<Derived, WriteError> {
    let last = sources.last().expect("there are sources");
    let mut keys: Vec<GroupKey> =
        sources.iter().flat_map(|source| source.index.groups().map(|(key, _)| key)).collect();
    keys.sort_unstable();
    keys.dedup();
    let stored: u64 = sources.iter().map(|source| source.index.data_len()).sum();
    let together = (keys.len() as u64 * MOST_HELD).div_ceil(stored.max(1)).max(1) as usize;
    let mut writer = FileWriter::create(disk, last.tier + 1, last.id)?;
    let mut broken = Vec::new();
    let mut rows = Rows::default();
    let mut pages = Vec::new();
    for keys in keys.chunks(together) {
        let mut lots: Vec<Lot> = sources.iter().map(|source| Lot::read(source, keys)).collect();
        for (group, key) in keys.iter().enumerate() {
            for lot in &mut lots {
                for page in lot.take(group) {
                    let page = match page {
                        Ok(page) => page,
                        Err(error) => {
                            broken.push(error);
                            continue;
                        }
                    };
                    let step = page.step().saturating_mul(factor);
                    if step != rows.step {
                        rows.seal(&mut pages);
                        rows.step = step;
                    }
                    rows.add(&page, last.tier > 0);
                }
            }
            rows.seal(&mut pages);
            for page in pages.drain(..) {
                writer.add(*key, page)?;
            }
        }
        sources.iter().for_each(|source| source.index.release());
    }
    let numbers = sources.iter().map(|source| source.id.number()).collect();
    Ok(Derived { file: writer.finish(numbers)?, broken })
}

/// What one file has of some groups.
struct Lot {
    pages: std::vec::IntoIter<Result<Page, ReadError>>,
    /// How many of the pages are of each group.
    counts: Vec<usize>,
}

impl Lot {
    fn read(source: &SealedFile, keys: &[GroupKey]) -> Lot {
        let (mut places, mut counts) = (Vec::new(), Vec::with_capacity(keys.len()));
        for key in keys {
            let before = places.len();
            places.extend(source.index.pages(*key, TimeRange::ALL));
            counts.push(places.len() - before);
        }
        Lot { pages: source.read_many(&places).into_iter(), counts }
    }

    /// The pages of a group, which are asked for in the order of the keys.
    fn take(&mut self, group: usize) -> impl Iterator<Item = Result<Page, ReadError>> + '_ {
        self.pages.by_ref().take(self.counts[group])
    }
}
