//! Reading back a group's samples, on any thread, while the engine goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{
    bins::RunsOfColumn,
    datafile::DiskPage,
    disk::FileId,
    hot::CopiedRows,
    key::GroupKey,
    page::Page,
    rollup::{Parts, Point, points, row_of},
    sample::{SampleFlags, Samples},
    time::{TimeRange, UnixSeconds},
};

/// The rows of a group that lay in a window when it was asked for. Its pages are shared with the engine and decoded
/// only when a column is read; rows that were hot are copies.
#[derive(Clone, Debug)]
pub struct GroupSnapshot {
    key: GroupKey,
    step: u32,
    columns: usize,
    window: TimeRange,
    /// In order of time; all overlap the window.
    pages: Vec<Page>,
    /// Newer than the pages.
    hot: Option<CopiedRows>,
    /// Pages that lie before these, in files that only the engine knows, in order of time.
    on_disk: Vec<DiskPage>,
    /// The files that it spoke for.
    files: Option<Arc<[FileId]>>,
    /// What it has is of a tier.
    rolled_up: Option<RolledUp>,
}

/// Rows of a tier, and that the group's own rows are to become such.
#[derive(Clone, Debug)]
struct RolledUp {
    /// Seconds of a row.
    step: u32,
    /// Pages of this tier, and of lower ones where this one has not been derived yet.
    pages: Vec<Page>,
}

/// What stands for a row of a tier, of all that is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetch {
    Average,
    Sum,
    /// The one of minimum and maximum with the smaller magnitude.
    Smallest,
    /// The one of minimum and maximum with the larger magnitude.
    Largest,
    /// How many percent of the samples are anomalous.
    AnomalyRate,
}

impl Fetch {
    fn of(self, point: &Point) -> f32 {
        let (min, max) = (point.min, point.max);
        match self {
            Fetch::Average => (point.sum / f64::from(point.count)) as f32,
            Fetch::Sum => point.sum as f32,
            Fetch::Smallest if min.abs() <= max.abs() => min,
            Fetch::Smallest => max,
            Fetch::Largest if max.abs() >= min.abs() => max,
            Fetch::Largest => min,
            Fetch::AnomalyRate => 100.0 * point.anomalies as f32 / point.count as f32,
        }
    }
}

impl GroupSnapshot {
    pub(crate) fn new(
        key: GroupKey,
        step: u32,
        columns: usize,
        window: TimeRange,
        pages: Vec<Page>,
        hot: Option<CopiedRows>,
    ) -> GroupSnapshot {
        GroupSnapshot {
            key,
            step,
            columns,
            window,
            pages,
            hot,
            on_disk: Vec::new(),
            files: None,
            rolled_up: None,
        }
    }

    /// A group of which there is nothing.
    pub fn empty(key: GroupKey, window: TimeRange) -> GroupSnapshot {
        GroupSnapshot::new(key, 1, 0, window, Vec::new(), None)
    }

    pub(crate) fn with_disk(mut self, on_disk: Vec<DiskPage>, files: Arc<[FileId]>) -> GroupSnapshot {
        self.on_disk = on_disk;
        self.files = Some(files);
        self
    }

    pub fn key(&self) -> GroupKey {
        self.key
    }

    /// What was asked for.
    pub fn window(&self) -> TimeRange {
        self.window
    }

    /// Pages that are to be read from files which the engine has not handed over to readers yet.
    pub fn on_disk(&self) -> &[DiskPage] {
        &self.on_disk
    }

    /// Files whose pages are not to be looked for elsewhere: those that [`on_disk`](Self::on_disk) speaks for. `None`: the
    /// group is not for the disk.
    pub fn files(&self) -> Option<&[FileId]> {
        self.files.as_deref()
    }

    /// Adds pages that were read from the disk.
    pub fn add_pages(&mut self, pages: Vec<Page>) {
        self.pages.extend(pages);
        self.pages.sort_by_key(|page| page.span().first);
    }

    /// Pages in memory that may have rows in the window, in order of time. Rows that no page holds are newer.
    pub fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// From now on it has rows of `step` seconds: those of `pages`, which are of tiers, and what becomes of its own.
    pub fn roll_up(&mut self, step: u32, pages: Vec<Page>) {
        self.rolled_up = Some(RolledUp { step, pages });
    }

    pub(crate) fn tier_pages(&self) -> &[Page] {
        self.rolled_up.as_ref().map_or(&[], |rolled_up| &rolled_up.pages)
    }

    /// The rows of a column that were hot.
    pub(crate) fn read_hot_runs(&self, column: usize, window: TimeRange, out: &mut RunsOfColumn) {
        match &self.hot {
            Some(hot) => hot.read_runs(column, window, out),
            None => out.clear(),
        }
    }

    /// Seconds of a row, if it has rows of a tier.
    pub fn tier_step(&self) -> Option<u32> {
        self.rolled_up.as_ref().map(|rolled_up| rolled_up.step)
    }

    /// Puts a column's rows of a tier that lie in `window` into `out`, instead of what was there: their time, what
    /// `fetch` makes of them, and whether any of their samples is anomalous. To be called after
    /// [`roll_up`](Self::roll_up).
    pub fn tier_column(&self, column: usize, window: TimeRange, fetch: Fetch, out: &mut Samples) {
        let RolledUp { step, pages } = self.rolled_up.as_ref().expect("it was rolled up");
        let step = i64::from(*step);
        let mut rows: BTreeMap<i64, Point> = BTreeMap::new();
        let mut parts = Parts::default();
        for page in pages {
            points(page, column, TimeRange::ALL, &mut parts, |time, point| {
                rows.entry(row_of(time, step)).or_insert(Point::EMPTY).merge(&point);
            });
        }
        self.column(column, TimeRange::ALL, out);
        for (index, (time, value)) in out.times.iter().zip(&out.values).enumerate() {
            rows.entry(row_of(*time, step)).or_insert(Point::EMPTY).add(*value, out.flags_at(index));
        }
        out.clear();
        for (time, point) in rows.range(window.first.0..=window.last.0) {
            out.times.push(*time);
            out.values.push(if point.count == 0 { f32::NAN } else { fetch.of(point) });
            out.flags.push(if point.anomalies > 0 { SampleFlags::ANOMALOUS } else { SampleFlags::NONE });
        }
        out.settle_flags();
    }

    /// Seconds between the group's rows from now on; older ones may be closer or further apart.
    pub fn step(&self) -> u32 {
        self.step
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The oldest and the newest row.
    pub fn span(&self) -> Option<TimeRange> {
        let in_pages = self.pages.iter().flat_map(|page| page.runs().map(|run| (run, page.step())));
        let hot = self.hot.iter().flat_map(|hot| hot.runs().map(|run| (run, hot.step())));
        let mut runs =
            in_pages.chain(hot).filter_map(|(run, step)| Some((run.clip(step, self.window)?, step)));
        let (first, step) = runs.next()?;
        let (last, last_step) = runs.last().unwrap_or((first, step));
        Some(TimeRange { first: first.first, last: last.last(last_step) })
    }

    /// Puts the samples of one column that lie in `window` into `out`, in order of time, instead of what was there. A
    /// column that the group has not is empty.
    pub fn column(&self, column: usize, window: TimeRange, out: &mut Samples) {
        out.clear();
        let window = window.intersection(self.window);
        if window.is_empty() || column >= self.columns {
            return;
        }
        for page in self.pages.iter().filter(|page| page.span().overlaps(window)) {
            // After a crash a row of the past may be in two pages.
            let after = out.times.last().map_or(window.first, |last| UnixSeconds(last + 1));
            page.read(column, TimeRange { first: window.first.max(after), last: window.last }, out);
        }
        if let Some(hot) = self.hot.as_ref().filter(|hot| hot.span().overlaps(window)) {
            hot.read(column, window, out);
        }
        out.settle_flags();
    }
}
