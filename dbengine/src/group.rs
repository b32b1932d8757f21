//! A group: columns that share their timestamps. What the engine keeps of a chart.

use std::collections::VecDeque;

use crate::{
    cells::Cells,
    engine::Appended,
    hot::{HotRows, NEVER_JOURNALLED, NOT_YET_JOURNALLED},
    key::GroupKey,
    page::{Page, PageEncoder},
    sample::Row,
    snapshot::GroupSnapshot,
    statistics::SealedTotals,
    store::Store,
    time::{TimeRange, UnixSeconds},
};

/// A group of one engine: its index there. Valid until the group is removed; then the next group may get the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub(crate) u32);

impl GroupId {
    /// For arrays beside the engine's: ids are dense.
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// Rows of a page that does not follow on a full one: from 1 to `page_rows`, evenly over the groups.
    /// Groups that begin together, as all of a child's do, would else all be sealed in the same second.
    fn spread(self, page_rows: u16) -> u16 {
        // Fibonacci hashing: neighbours land far apart.
        let hash = self.0.wrapping_mul(0x9e37_79b9);
        1 + ((u64::from(hash) * u64::from(page_rows)) >> u32::BITS) as u16
    }
}

/// What stays of a group's rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// No rows. The newest one is known, but not part of any answer about the past.
    Nothing,
    /// At least so many rows, in memory. Whole pages go, the oldest first.
    Rows(u32),
    /// All rows, in memory until they are on the disk. Only in an engine that has one.
    OnDisk,
}

/// Rows of a group that go to the disk do not wait for their page for longer than this, in seconds; at least
/// [`SHORTEST_PAGE`] of them are waited for.
const LONGEST_WAIT: u32 = 3600;
const SHORTEST_PAGE: u16 = 16;

/// What groups share to seal their rows.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) page_rows: u16,
    pub(crate) encoder: PageEncoder,
    pub(crate) totals: SealedTotals,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) hot: HotRows,
    pub(crate) past: Box<Past>,
}

/// What storing a row does not touch.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) key: GroupKey,
    /// Of rows to come.
    step: u32,
    /// Of rows to come.
    columns: u32,
    keep: Keep,
    /// The oldest first. Of a group that goes to the disk, those that are not there yet, in the order in which they came.
    pages: VecDeque<Page>,
    /// In all pages.
    rows: u64,
}

impl Group {
    pub(crate) fn new(
        id: GroupId,
        key: GroupKey,
        step: u32,
        columns: u32,
        keep: Keep,
        page_rows: u16,
        cells: &Cells,
    ) -> Group {
        let past = Past { key, step, columns, keep, pages: VecDeque::new(), rows: 0 };
        let segment = if keep == Keep::OnDisk { NOT_YET_JOURNALLED } else { NEVER_JOURNALLED };
        let mut hot = HotRows::new(step, columns, past.first_limit(id, page_rows), segment, cells);
        if keep == Keep::Nothing {
            hot.forget_each();
        }
        Group { hot, past: Box::new(past) }
    }

    pub(crate) fn is_for_disk(&self) -> bool {
        self.past.keep == Keep::OnDisk
    }

    pub(crate) fn widen(&mut self, columns: u32) {
        if columns > self.past.columns {
            self.past.columns = columns;
            self.hot.close();
        }
    }

    pub(crate) fn set_step(&mut self, step: u32) {
        if step != self.past.step {
            self.past.step = step;
            self.hot.close();
        }
    }

    /// Whether the time lies within hot rows, or within a page in memory.
    pub(crate) fn covers(&self, time: UnixSeconds) -> bool {
        let is_hot = self.hot.first().is_some_and(|first| first <= time) && time <= self.hot.newest_time();
        is_hot || self.past.pages.iter().any(|page| page.span().contains(time))
    }

    /// The next row begins a page.
    pub(crate) fn part(&mut self) {
        self.hot.close();
    }

    /// Stores a row that does not just continue the hot rows.
    pub(crate) fn append(
        &mut self,
        id: GroupId,
        time: UnixSeconds,
        row: Row<'_>,
        sealer: &mut Sealer,
        store: Option<&mut Store>,
    ) -> Appended {
        if self.hot.is_continued_by(time) && !self.hot.is_full() {
            // It has flags, only. All others are not this cheap: they visit the past.
            self.hot.push(time, row);
            return Appended::Stored;
        }
        let Past { step, columns, keep, .. } = *self.past;
        if keep == Keep::OnDisk && (time <= self.hot.newest_time() || time.0 > i64::from(u32::MAX)) {
            return Appended::Stale;
        }
        if let Some(first) = self.hot.first() {
            let newest = self.hot.newest_time();
            if time <= newest {
                return Appended::Stale;
            }
            let changed = step != self.hot.step() || columns != self.hot.columns();
            let follows = self.hot.is_continued_by(time);
            // Nothing old waits for long in hot memory, and all times of a page are within a `u32` of its first.
            let is_far = time.since(newest) > i64::from(sealer.page_rows) * i64::from(step)
                || time.since(first) > i64::from(u32::MAX);
            if changed || is_far || self.hot.is_full() {
                self.seal(id, sealer, store);
                let limit = match keep {
                    Keep::Rows(_) | Keep::OnDisk if !changed && follows => self.past.limit(sealer.page_rows),
                    _ => self.past.first_limit(id, sealer.page_rows),
                };
                self.hot.restart(step, columns, limit);
            }
        } else if !self.past.pages.is_empty() && time <= self.hot.newest_time() {
            // Of a group whose pages were given back.
            return Appended::Stale;
        } else {
            self.hot.restart(step, columns, self.past.first_limit(id, sealer.page_rows));
        }
        self.hot.push(time, row);
        Appended::Stored
    }

    /// Takes back a page of a group that lived before, which has no rows yet but in older pages. One that does not follow
    /// on these is stale.
    pub(crate) fn restore(&mut self, page: Page, totals: &mut SealedTotals) -> Appended {
        let span = page.span();
        let follows = self.past.pages.is_empty() || span.first > self.hot.newest_time();
        if !follows || !self.hot.is_empty() || !matches!(self.past.keep, Keep::Rows(_)) {
            return Appended::Stale;
        }
        self.hot.resume_after(span.last);
        self.past.rows += page.rows() as u64;
        totals.add(&page);
        self.past.pages.push_back(page);
        Appended::Stored
    }

    /// Makes a page of the hot rows, which are as they were afterwards.
    fn seal(&mut self, id: GroupId, sealer: &mut Sealer, store: Option<&mut Store>) {
        let past = &mut *self.past;
        if past.keep == Keep::Nothing || self.hot.is_empty() {
            return;
        }
        let page = sealer.encoder.encode(&self.hot.block());
        past.add(id, page, &mut sealer.totals, store);
    }

    /// Makes a page of rows that belong before or between those that are there.
    pub(crate) fn insert(
        &mut self,
        id: GroupId,
        rows: &HotRows,
        sealer: &mut Sealer,
        mut store: Option<&mut Store>,
    ) {
        let past = &mut *self.past;
        if past.keep == Keep::Nothing || rows.is_empty() {
            return;
        }
        let page = sealer.encoder.encode(&rows.block());
        if self.hot.is_journalled()
            && let Some(store) = &mut store
        {
            store.journal.page(past.key, &page);
        }
        past.add(id, page, &mut sealer.totals, store);
    }

    /// Makes a page of the hot rows of a group that goes to the disk, and gives their memory back.
    pub(crate) fn rest(&mut self, id: GroupId, sealer: &mut Sealer, store: &mut Store) {
        self.seal(id, sealer, Some(store));
        self.hot.empty();
    }

    /// The page that came first is on disk, or lost.
    pub(crate) fn forget_oldest_page(&mut self) {
        if let Some(page) = self.past.pages.pop_front() {
            self.past.rows -= page.rows() as u64;
        }
    }

    /// Takes the pages out of the totals; the group is about to be dropped.
    pub(crate) fn forget(&self, totals: &mut SealedTotals) {
        if self.is_for_disk() {
            return;
        }
        self.past.pages.iter().for_each(|page| totals.remove(page));
    }

    pub(crate) fn columns(&self) -> usize {
        self.past.columns as usize
    }

    /// Rows held, hot or sealed.
    pub(crate) fn rows(&self) -> u64 {
        match self.past.keep {
            Keep::Nothing => 0,
            _ => self.past.rows + u64::from(self.hot.rows()),
        }
    }

    /// Samples held in hot rows.
    pub(crate) fn hot_samples(&self) -> u64 {
        match self.past.keep {
            Keep::Nothing => 0,
            _ => u64::from(self.hot.rows()) * u64::from(self.hot.columns()),
        }
    }

    /// The oldest and the newest row in memory.
    pub(crate) fn span(&self) -> Option<TimeRange> {
        if self.past.keep == Keep::Nothing {
            return None;
        }
        let hot = self.hot.first().map(|first| TimeRange { first, last: self.hot.newest_time() });
        self.past.pages.iter().map(Page::span).chain(hot).reduce(TimeRange::hull)
    }

    pub(crate) fn read(&self, window: TimeRange, store: Option<&Store>) -> GroupSnapshot {
        let Past { key, step, columns, keep, ref pages, .. } = *self.past;
        let columns = columns as usize;
        if keep == Keep::Nothing || window.is_empty() {
            return GroupSnapshot::new(key, step, columns, window, vec![], None);
        }
        let mut pages: Vec<Page> =
            pages.iter().filter(|page| page.span().overlaps(window)).cloned().collect();
        pages.sort_by_key(|page| page.span().first);
        let snapshot = GroupSnapshot::new(key, step, columns, window, pages, self.hot.copy(window));
        match store.filter(|_| keep == Keep::OnDisk) {
            Some(store) => snapshot.with_disk(store.datafiles.pages(key, window), store.datafiles.files()),
            None => snapshot,
        }
    }
}

impl Past {
    /// Keeps a page as it is to be kept.
    fn add(&mut self, id: GroupId, page: Page, totals: &mut SealedTotals, store: Option<&mut Store>) {
        self.rows += page.rows() as u64;
        match self.keep {
            Keep::Nothing => {}
            Keep::OnDisk => {
                self.pages.push_back(page.clone());
                let store = store.expect("groups on disk live in engines with a disk");
                store.datafiles.add(id, self.key, page);
            }
            Keep::Rows(least) => {
                totals.add(&page);
                let first = page.span().first;
                let at = self.pages.partition_point(|page| page.span().first < first);
                self.pages.insert(at, page);
                while let Some(oldest) = self.pages.front() {
                    let others = self.rows - oldest.rows() as u64;
                    if others < u64::from(least) {
                        break;
                    }
                    self.rows = others;
                    totals.remove(oldest);
                    self.pages.pop_front();
                }
            }
        }
    }

    /// Rows until the hot rows are full, unless they follow on a full page.
    fn first_limit(&self, id: GroupId, page_rows: u16) -> u16 {
        match self.keep {
            Keep::Nothing => 1,
            Keep::Rows(_) | Keep::OnDisk => id.spread(self.limit(page_rows)),
        }
    }

    /// Rows until the hot rows are full.
    fn limit(&self, page_rows: u16) -> u16 {
        if self.keep != Keep::OnDisk {
            return page_rows;
        }
        let waited = u16::try_from(LONGEST_WAIT / self.step).unwrap_or(u16::MAX);
        page_rows.min(waited.max(SHORTEST_PAGE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_pages_end_evenly_over_time() {
        let mut ends = [0; 256];
        for id in 0..2560 {
            ends[usize::from(GroupId(id).spread(256)) - 1] += 1;
        }
        assert!(ends.iter().all(|groups| (5..=15).contains(groups)), "{ends:?}");
        assert_eq!(GroupId(77).spread(1), 1);
        assert!((0..1000).all(|id| GroupId(id).spread(u16::MAX) >= 1));
    }
}
