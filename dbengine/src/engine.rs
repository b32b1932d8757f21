//! All groups of one owner: rows in, snapshots out. No clock, no thread, no lock; times come with the rows.
//!
//! Pages are held in memory. A disk enters where a page is sealed (`Group::append`): from there pages are handed on as
//! disk operations that the owner polls for, carries out and reports back; nothing else here would ask for any.

use crate::{
    group::{Group, GroupId, Keep, Sealer},
    page::PageEncoder,
    prefetch::prefetch,
    sample::Row,
    snapshot::GroupSnapshot,
    statistics::{SealedTotals, Statistics},
    time::{TimeRange, UnixSeconds},
};

/// How an engine works; the same for all its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Rows of a full page, at least 1. More hardly pack better (0.95, 0.91 and 0.89 bytes a sample
    /// with 128, 256 and 512), but stay hot for longer.
    pub page_rows: u16,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions { page_rows: 128 }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    Stored,
    /// It is not newer than the newest row, and was ignored.
    Stale,
}

/// Groups and their rows. An id that its group was removed from, or of another engine, is the caller's mistake and
/// panics.
#[derive(Debug)]
pub struct Engine {
    groups: Vec<Option<Group>>,
    /// Ids of removed groups, the last to be used first.
    free: Vec<GroupId>,
    sealer: Sealer,
}

impl Engine {
    pub fn new(options: EngineOptions) -> Engine {
        let EngineOptions { page_rows } = options;
        assert!(page_rows >= 1, "a page has rows");
        let sealer = Sealer { page_rows, encoder: PageEncoder::default(), totals: SealedTotals::default() };
        Engine { groups: Vec::new(), free: Vec::new(), sealer }
    }

    /// A group with rows of `columns` values, `step` seconds apart unless they jump.
    pub fn create_group(&mut self, step: u32, columns: usize, keep: Keep) -> GroupId {
        assert!(step >= 1, "rows are at least a second apart");
        let columns = column_count(columns);
        let id = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            GroupId(u32::try_from(self.groups.len() - 1).expect("memory ends before ids do"))
        });
        self.groups[id.index()] = Some(Group::new(id, step, columns, keep, self.sealer.page_rows));
        id
    }

    /// From the next row on, rows have `columns` values; older rows are gaps in the new ones. Columns are only ever
    /// added: a smaller number changes nothing.
    pub fn widen(&mut self, id: GroupId, columns: usize) {
        self.group_mut(id).widen(column_count(columns));
    }

    /// From the next row on, rows are `step` seconds apart.
    pub fn set_step(&mut self, id: GroupId, step: u32) {
        assert!(step >= 1, "rows are at least a second apart");
        self.group_mut(id).set_step(step);
    }

    /// Forgets a group and its rows; snapshots keep theirs. The next group may get the same id.
    pub fn remove_group(&mut self, id: GroupId) {
        let group = self.groups.get_mut(id.index()).and_then(Option::take).expect("a group is removed once");
        group.forget(&mut self.sealer.totals);
        self.free.push(id);
    }

    /// A row of this group is on its way: [`append`](Self::append) will look at it soon.
    #[inline]
    pub fn expect_row(&self, id: GroupId) {
        if let Some(group) = self.groups.get(id.index()) {
            prefetch(group);
        }
    }

    /// Its row is nearly there: where it will be written is looked up already.
    #[inline]
    pub fn expect_row_now(&self, id: GroupId) {
        self.group(id).hot.expect_row();
    }

    /// Stores a row: a value for each column, and newer than all before.
    #[inline]
    pub fn append(&mut self, id: GroupId, time: UnixSeconds, row: Row<'_>) -> Appended {
        if self.group_mut(id).hot.push_next(time, row) {
            return Appended::Stored;
        }
        self.append_elsewhere(id, time, row)
    }

    /// A row that does not just continue the last one, or finds no room beside it.
    #[cold]
    fn append_elsewhere(&mut self, id: GroupId, time: UnixSeconds, row: Row<'_>) -> Appended {
        let group = self.groups[id.index()].as_mut().expect("a group is there until it is removed");
        group.append(id, time, row, &mut self.sealer)
    }

    /// The oldest and the newest row held.
    pub fn span(&self, id: GroupId) -> Option<TimeRange> {
        self.group(id).span()
    }

    /// The newest row: its time, and its values, which are as many as there were columns when it came.
    pub fn newest(&self, id: GroupId) -> Option<(UnixSeconds, &[f32])> {
        self.group(id).hot.newest()
    }

    /// The rows that lie in `window`, to be decoded elsewhere. Costs a reference a page, and a copy of hot rows.
    pub fn read(&self, id: GroupId, window: TimeRange) -> GroupSnapshot {
        self.group(id).read(window)
    }

    /// Looks at every group, but at no page.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = Statistics {
            sealed: self.sealer.totals.clone(),
            samples: self.sealer.totals.samples,
            ..Statistics::default()
        };
        for group in self.groups.iter().flatten() {
            statistics.groups += 1;
            statistics.columns += group.columns() as u64;
            statistics.rows += group.rows();
            statistics.samples += group.hot_samples();
            statistics.hot_bytes += group.hot.bytes() as u64;
        }
        statistics
    }

    fn group(&self, id: GroupId) -> &Group {
        self.groups[id.index()].as_ref().expect("a group is there until it is removed")
    }

    fn group_mut(&mut self, id: GroupId) -> &mut Group {
        self.groups[id.index()].as_mut().expect("a group is there until it is removed")
    }
}

fn column_count(columns: usize) -> u32 {
    u32::try_from(columns).expect("a group has fewer columns than a u32 can count")
}

#[cfg(test)]
mod tests;
