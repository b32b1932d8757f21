//! Samples of a column added up by equal stretches of time: what a question over many groups needs of each of them. Of a
//! sample neither its time nor its flags are written down on the way, and a page is decoded straight into sums.

use std::ops::Range;

use crate::{
    rollup::{Parts, Point, added_up, points},
    run::Run,
    sample::SampleFlags,
    snapshot::GroupSnapshot,
    time::{TimeRange, UnixSeconds},
};

/// Equal stretches of time, the oldest first: bin i is of the seconds (start + i width, start + (i + 1) width].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bins {
    pub start: i64,
    /// Seconds of a bin, at least 1.
    pub width: i64,
    pub count: usize,
}

/// What is wanted of the samples in a bin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Sum and count, of all and of the anomalous ones. Minimum and maximum stay as those of no sample, or are those of tiers.
    Sums,
    /// Minimum and maximum as well, which takes twice as long.
    Extremes,
}

/// What the samples of a column come to, and memory that is used again for every other column.
#[derive(Debug, Default)]
pub struct Sums {
    /// One a bin.
    pub points: Vec<Point>,
    /// Bins with a counter that was reset or overflowed, in no order, some more than once.
    pub resets: Vec<usize>,
    /// Samples that were read, gaps included.
    pub samples: u64,
    pub(crate) column: RunsOfColumn,
    parts: Parts,
}

/// Rows of one column that follow each other.
#[derive(Debug, Default)]
pub(crate) struct RunsOfColumn {
    pub(crate) step: i64,
    /// Whose rows count from the first value.
    pub(crate) runs: Vec<Run>,
    pub(crate) values: Vec<f32>,
    /// As many as values, or none.
    pub(crate) flags: Vec<SampleFlags>,
}

impl RunsOfColumn {
    pub(crate) fn clear(&mut self) {
        self.runs.clear();
        self.values.clear();
        self.flags.clear();
    }

    /// Those parts of `runs` that lie in `window`, and which rows they are: they have no hole between them.
    pub(crate) fn take_runs(
        &mut self,
        runs: impl Iterator<Item = Run>,
        step: u32,
        window: TimeRange,
    ) -> Range<usize> {
        self.step = step.into();
        self.runs.extend(runs.filter_map(|run| run.clip(step, window)));
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else { return 0..0 };
        let rows = usize::from(first.row)..usize::from(last.row + last.rows);
        for run in &mut self.runs {
            run.row -= rows.start as u16;
        }
        rows
    }

    fn newest(&self) -> Option<UnixSeconds> {
        self.runs.last().map(|run| run.last(self.step as u32))
    }
}

impl Bins {
    /// The bin of a time, if there is one.
    fn of(&self, time: i64) -> Option<usize> {
        let after = time.checked_sub(self.start)?.checked_sub(1)?;
        usize::try_from(after.div_euclid(self.width)).ok().filter(|bin| *bin < self.count)
    }

    /// From the first second of the first bin to the last of the last.
    fn window(&self) -> TimeRange {
        let end = self.width.saturating_mul(i64::try_from(self.count).unwrap_or(i64::MAX));
        TimeRange { first: UnixSeconds(self.start).plus(1), last: UnixSeconds(self.start).plus(end) }
    }
}

impl Sums {
    /// Forgets the last column; there is an empty point for each bin.
    fn begin(&mut self, bins: &Bins) {
        self.points.clear();
        self.points.resize(bins.count, Point::EMPTY);
        self.resets.clear();
        self.samples = 0;
    }

    /// Adds what is in `column`, all of which lies in bins.
    fn add(&mut self, bins: &Bins, wanted: Wanted) {
        match wanted {
            Wanted::Sums => self.add_as(bins, added_up::<false>),
            Wanted::Extremes => self.add_as(bins, added_up::<true>),
        }
    }

    fn add_as(&mut self, bins: &Bins, all: impl Fn(&[f32]) -> Point) {
        let RunsOfColumn { step, runs, values, flags } = &self.column;
        self.samples += values.len() as u64;
        for run in runs {
            let (mut row, end) = (usize::from(run.row), usize::from(run.row + run.rows));
            let mut time = run.first.0;
            while row < end {
                let bin = bins.of(time).expect("rows of the bins were read, and no others");
                let bin_end = bins.start + (bin as i64 + 1) * bins.width;
                let rows = (((bin_end - time) / step + 1) as usize).min(end - row);
                let point = &mut self.points[bin];
                let of_bin = row..row + rows;
                match values[of_bin.clone()] {
                    [value] => point.add(value, SampleFlags::NONE),
                    ref several => point.merge(&all(several)),
                }
                if !flags.is_empty() {
                    for (value, flags) in values[of_bin.clone()].iter().zip(&flags[of_bin]) {
                        let is_anomalous = flags.contains(SampleFlags::ANOMALOUS) && !value.is_nan();
                        point.anomalies += u32::from(is_anomalous);
                        if flags.contains(SampleFlags::RESET) {
                            self.resets.push(bin);
                        }
                    }
                }
                row += rows;
                time += rows as i64 * step;
            }
        }
    }
}

impl GroupSnapshot {
    /// Adds the samples of one column up by `bins`, into `sums`, instead of what was there: its own rows, and those of tiers
    /// if it [has such](Self::roll_up). A row of a tier counts where the end of its time lies.
    pub fn add_up(&self, column: usize, bins: &Bins, wanted: Wanted, sums: &mut Sums) {
        sums.begin(bins);
        let window = bins.window();
        let mut parts = std::mem::take(&mut sums.parts);
        for page in self.tier_pages() {
            let mut rows = 0;
            points(page, column, window, &mut parts, |time, point| {
                rows += 1;
                if let Some(bin) = bins.of(time) {
                    sums.points[bin].merge(&point);
                }
            });
            sums.samples += rows;
        }
        sums.parts = parts;
        let mut window = window.intersection(self.window());
        if column >= self.columns() {
            return;
        }
        for page in self.pages() {
            if !page.span().overlaps(window) {
                continue;
            }
            page.read_runs(column, window, &mut sums.column);
            // After a crash a row of the past may be in two pages.
            if let Some(newest) = sums.column.newest() {
                window.first = window.first.max(newest.plus(1));
            }
            sums.add(bins, wanted);
        }
        self.read_hot_runs(column, window, &mut sums.column);
        sums.add(bins, wanted);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Appended, Engine, EngineOptions, GroupKey, Keep, Row, Samples};

    /// The same, sample by sample.
    fn naive(snapshot: &GroupSnapshot, column: usize, bins: &Bins) -> Vec<Point> {
        let mut samples = Samples::default();
        snapshot.column(column, TimeRange::ALL, &mut samples);
        let mut points = vec![Point::EMPTY; bins.count];
        for (index, (time, value)) in samples.times.iter().zip(&samples.values).enumerate() {
            if let Some(bin) = bins.of(*time) {
                points[bin].add(*value, samples.flags_at(index));
            }
        }
        points
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn columns_come_to_what_their_samples_do(
            rows in proptest::collection::vec((1i64..4, proptest::option::weighted(0.9, -50i16..50), 0u8..40), 1..600),
            step in 1u32..3,
            start in -20i64..300,
            width in 1i64..40,
            count in 1usize..40,
        ) {
            let mut engine = Engine::new(EngineOptions::default());
            let group = engine.create_group(GroupKey(1), step, 2, Keep::Rows(1 << 20));
            let mut time = 0;
            for (skip, value, flags) in rows {
                // Mostly the next row of the run.
                time += i64::from(step) * if skip == 3 { 5 } else { 1 };
                let value = value.map_or(f32::NAN, f32::from);
                let flags = [SampleFlags(if flags < 4 { flags } else { 0 }), SampleFlags::NONE];
                let row = Row { values: &[value, 1.0], flags: Some(&flags) };
                assert_eq!(engine.append(group, UnixSeconds(time), row), Appended::Stored);
            }
            let bins = Bins { start, width, count };
            let snapshot = engine.read(group, TimeRange::ALL);
            let mut sums = Sums::default();
            for column in 0..3 {
                let naive = naive(&snapshot, column, &bins);
                snapshot.add_up(column, &bins, Wanted::Extremes, &mut sums);
                prop_assert_eq!(&sums.points, &naive, "column {}", column);
                snapshot.add_up(column, &bins, Wanted::Sums, &mut sums);
                let parts = |point: &Point| (point.sum, point.count, point.anomalies);
                let (found, expected) = (sums.points.iter().map(parts), naive.iter().map(parts));
                prop_assert!(found.eq(expected), "column {}", column);
            }
        }
    }
}
