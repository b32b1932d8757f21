//! All groups of one owner: rows in, snapshots out. No clock, no thread, no lock; times come with the rows.
//!
//! An engine without a disk holds pages in memory. One with a disk asks its owner for [`DiskOp`]s, who polls for them,
//! carries them out and reports back:
//!
//! ```text
//! append, note ---> commit (every second or so) ---> poll_disk … disk_done     poll_sealed … published
//! ```

use std::collections::HashMap;

use crate::{
    cells::Cells,
    disk::{DiskDone, DiskError, DiskOp, FileId},
    group::{Group, GroupId, Keep, Sealer},
    hot::{HotRows, NEVER_JOURNALLED},
    key::GroupKey,
    page::{Page, PageEncoder},
    prefetch::prefetch,
    sample::Row,
    snapshot::GroupSnapshot,
    statistics::{SealedTotals, Statistics},
    store::{NoteNumber, Store, StoreOptions, StoreTotals},
    tight,
    time::{TimeRange, UnixSeconds},
};

/// How an engine works; the same for all its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Rows of a full page, at least 1. More hardly pack better (0.52, 0.50 and 0.49 bytes a sample
    /// with 128, 256 and 512), but stay hot for longer.
    pub page_rows: u16,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions { page_rows: 256 }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Appended {
    Stored,
    /// It is not newer than the row that it had to be newer than, and was ignored.
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
    store: Option<Box<Store>>,
    /// Rows of the past, until they are pages.
    fills: HashMap<GroupId, HotRows, foldhash::fast::FixedState>,
    /// What is squeezed of all rows.
    cells: Cells,
}

impl Engine {
    pub fn new(options: EngineOptions) -> Engine {
        let EngineOptions { page_rows } = options;
        assert!(page_rows >= 1, "a page has rows");
        let sealer = Sealer { page_rows, encoder: PageEncoder::default(), totals: SealedTotals::default() };
        Engine {
            groups: Vec::new(),
            free: Vec::new(),
            sealer,
            store: None,
            fills: HashMap::default(),
            cells: Cells::default(),
        }
    }

    /// An engine that writes to a disk.
    pub fn with_store(options: EngineOptions, store: StoreOptions, now: UnixSeconds) -> Engine {
        Engine { store: Some(Box::new(Store::new(store, now))), ..Engine::new(options) }
    }

    /// Whether groups may be kept [`Keep::OnDisk`].
    pub fn has_store(&self) -> bool {
        self.store.is_some()
    }

    /// A group with rows of `columns` values, `step` seconds apart unless they jump.
    pub fn create_group(&mut self, key: GroupKey, step: u32, columns: usize, keep: Keep) -> GroupId {
        assert!(step >= 1, "rows are at least a second apart");
        assert!(keep != Keep::OnDisk || self.has_store(), "a group on disk needs an engine with a disk");
        let columns = column_count(columns);
        let id = self.free.pop().unwrap_or_else(|| {
            tight::push(&mut self.groups, None);
            GroupId(u32::try_from(self.groups.len() - 1).expect("memory ends before ids do"))
        });
        self.groups[id.index()] =
            Some(Group::new(id, key, step, columns, keep, self.sealer.page_rows, &self.cells));
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

    /// Rows of the group up to this time are on disk already: they are refused as stale. For a group without rows.
    pub fn resume_after(&mut self, id: GroupId, newest: UnixSeconds) {
        self.group_mut(id).hot.resume_after(newest);
    }

    /// Takes back a page of a group that is kept in memory, as a snapshot of its former life had it. To be called in order
    /// of time, before any row is appended; what does not follow on the pages before is stale.
    pub fn restore_page(&mut self, id: GroupId, page: Page) -> Appended {
        let group = self.groups[id.index()].as_mut().expect("a group is there until it is removed");
        group.restore(page, &mut self.sealer.totals)
    }

    /// Forgets a group and its rows; snapshots keep theirs. The next group may get the same id.
    pub fn remove_group(&mut self, id: GroupId) {
        let group = self.groups.get_mut(id.index()).and_then(Option::take).expect("a group is removed once");
        group.forget(&mut self.sealer.totals);
        self.fills.remove(&id);
        self.free.push(id);
    }

    /// Whether the group of this id is that of this key.
    pub fn has(&self, id: GroupId, key: GroupKey) -> bool {
        self.groups.get(id.index()).and_then(Option::as_ref).is_some_and(|group| group.past.key == key)
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
        let group = self.groups[id.index()].as_mut().expect("a group is there until it is removed");
        if !group.hot.push_next(time, row) {
            return self.append_elsewhere(id, time, row);
        }
        if group.hot.is_journalled()
            && let Some(store) = &mut self.store
        {
            if group.hot.segment() == store.segment() {
                let (last, values) = group.hot.last_step();
                store.journal.next_row(id, last, values);
            } else {
                store.journal_row(id, group);
            }
        }
        Appended::Stored
    }

    /// A row that does not just continue the last one, or finds no room beside it.
    #[cold]
    fn append_elsewhere(&mut self, id: GroupId, time: UnixSeconds, row: Row<'_>) -> Appended {
        let group = self.groups[id.index()].as_mut().expect("a group is there until it is removed");
        let appended = group.append(id, time, row, &mut self.sealer, self.store.as_deref_mut());
        if appended == Appended::Stored
            && group.hot.is_journalled()
            && let Some(store) = &mut self.store
        {
            store.journal_row(id, group);
        }
        appended
    }

    /// The next row begins a page, so that rows between it and those before may come later, by [`fill`](Self::fill).
    pub fn part(&mut self, id: GroupId) {
        self.group_mut(id).part();
    }

    /// Stores a row that is older than the newest, in a time of which the group has no row: rows of one fill come in
    /// order, `step` seconds apart unless they jump, with a value for each column. Its neighbours in time are to be in
    /// other pages, see [`part`](Self::part). It is seen and journalled when a page of such rows is full, or at
    /// [`end_fill`](Self::end_fill). Stale is what is not newer than the fill's row before it, or lies within rows in memory.
    pub fn fill(&mut self, id: GroupId, step: u32, time: UnixSeconds, row: Row<'_>) -> Appended {
        assert!(step >= 1, "rows are at least a second apart");
        let (columns, page_rows) = (column_count(row.values.len()), self.sealer.page_rows);
        let Engine { groups, sealer, store, fills, cells, .. } = self;
        let group = groups[id.index()].as_mut().expect("a group is there until it is removed");
        let new = || HotRows::new(step, columns, page_rows, NEVER_JOURNALLED, cells);
        let rows = fills.entry(id).or_insert_with(new);
        if time <= rows.newest_time() || time.0 > i64::from(u32::MAX) || group.covers(time) {
            return Appended::Stale;
        }
        let continues = (rows.step(), rows.columns()) == (step, columns)
            && rows.first().is_none_or(|first| time.since(first) < i64::from(page_rows) * i64::from(step));
        if rows.is_full() || !continues {
            group.insert(id, rows, sealer, store.as_deref_mut());
            rows.restart(step, columns, page_rows);
        }
        rows.push(time, row);
        Appended::Stored
    }

    /// All rows of this fill have come.
    pub fn end_fill(&mut self, id: GroupId) {
        let Engine { groups, sealer, store, fills, .. } = self;
        let group = groups[id.index()].as_mut().expect("a group is there until it is removed");
        if let Some(rows) = fills.remove(&id) {
            group.insert(id, &rows, sealer, store.as_deref_mut());
        }
    }

    /// Puts something into the journal that the owner wants to find after a crash, before all rows that come later.
    ///
    /// # Panics
    /// If the engine has no disk.
    pub fn note(&mut self, note: &[u8]) -> NoteNumber {
        self.store.as_mut().expect("notes need a disk").note(note)
    }

    /// All notes up to this one have another place now; the journal may forget them.
    pub fn notes_stored(&mut self, up_to: NoteNumber) {
        if let Some(store) = &mut self.store {
            store.notes_stored(up_to);
        }
    }

    /// So much was appended that the next commit is not to be waited for.
    pub fn is_commit_due(&self) -> bool {
        self.store.as_ref().is_some_and(|store| store.journal.is_long())
    }

    /// Hands everything that was appended and noted to the disk. Without a disk nothing happens. `now` is the clock.
    pub fn commit(&mut self, now: UnixSeconds) {
        let Engine { groups, sealer, store: Some(store), .. } = self else { return };
        store.commit(now, groups, &mut |store, id, group| group.rest(id, sealer, store));
    }

    /// The next thing to do for whoever runs the engine.
    pub fn poll_disk(&mut self) -> Option<DiskOp> {
        self.store.as_mut()?.next_op()
    }

    /// What became of an operation.
    pub fn disk_done(&mut self, done: &DiskDone) {
        if let Some(store) = &mut self.store {
            store.disk_done(done, &mut self.groups);
        }
    }

    /// A datafile that is complete, with its index on disk. Readers are to open it, and then [`published`](Self::published)
    /// is to be called.
    pub fn poll_sealed(&mut self) -> Option<FileId> {
        self.store.as_mut()?.datafiles.poll_sealed()
    }

    /// Readers know this file: the engine does not speak for it any longer.
    pub fn published(&mut self, file: FileId) {
        if let Some(store) = &mut self.store {
            store.datafiles.published(file);
        }
    }

    /// A group whose rows go to the disk without a journal: they are in one already.
    pub(crate) fn create_recovered_group(&mut self, key: GroupKey, step: u32, columns: usize) -> GroupId {
        let id = self.create_group(key, step, columns, Keep::OnDisk);
        self.group_mut(id).hot.set_segment(NEVER_JOURNALLED);
        id
    }

    /// Writes a page that a journal has.
    pub(crate) fn add_page(&mut self, key: GroupKey, page: Page) {
        /// It has no group: nothing reads this engine.
        const NO_GROUP: GroupId = GroupId(u32::MAX);
        if let Some(store) = &mut self.store {
            store.datafiles.add(NO_GROUP, key, page);
        }
    }

    /// Asks for what there is to do with pages, without a commit.
    pub(crate) fn pump(&mut self) {
        if let Some(store) = &mut self.store {
            store.pump(&mut self.groups);
        }
    }

    /// Columns of the group's rows to come.
    pub(crate) fn columns(&self, id: GroupId) -> usize {
        self.group(id).columns()
    }

    /// Makes pages of all rows, to be written without delay. Then [`stop_further`](Self::stop_further) says when it is done.
    pub fn stop(&mut self) {
        for id in self.fills.keys().copied().collect::<Vec<_>>() {
            self.end_fill(id);
        }
        let Engine { groups, sealer, store: Some(store), .. } = self else { return };
        for (index, group) in groups.iter_mut().enumerate() {
            if let Some(group) = group.as_mut().filter(|group| group.is_for_disk()) {
                group.rest(GroupId(index as u32), sealer, store);
            }
        }
        store.stop(groups);
    }

    /// To be called after [`stop`](Self::stop) when operations were carried out. Says whether all rows are in complete
    /// files; what [`poll_disk`](Self::poll_disk) gives then is only cleaning up.
    pub fn stop_further(&mut self) -> bool {
        let Engine { groups, store: Some(store), .. } = self else { return true };
        store.stop_further(groups)
    }

    /// The last error of the disk that was not asked for yet.
    pub fn take_disk_error(&mut self) -> Option<DiskError> {
        self.store.as_mut()?.last_error()
    }

    /// What became of rows on their way to the disk; `None` without one.
    pub fn store_totals(&self) -> Option<StoreTotals> {
        self.store.as_ref().map(|store| store.totals())
    }

    /// The oldest and the newest row held, in memory and in files that readers do not know yet.
    pub fn span(&self, id: GroupId) -> Option<TimeRange> {
        let group = self.group(id);
        let on_disk = self.store.as_ref().and_then(|store| store.datafiles.span(group.past.key));
        match (on_disk, group.span()) {
            (Some(disk), Some(memory)) => Some(disk.hull(memory)),
            (disk, memory) => disk.or(memory),
        }
    }

    /// The time of the newest row, also of one that is on disk only; 0 if there is none.
    pub fn newest_time(&self, id: GroupId) -> UnixSeconds {
        self.group(id).hot.newest_time()
    }

    /// The newest row: its time, and its values, which are as many as there were columns when it came.
    pub fn newest(&self, id: GroupId) -> Option<(UnixSeconds, &[f32])> {
        self.group(id).hot.newest()
    }

    /// The rows that lie in `window`, to be decoded elsewhere. Costs a reference a page, and a copy of hot rows.
    pub fn read(&self, id: GroupId, window: TimeRange) -> GroupSnapshot {
        self.group(id).read(window, self.store.as_deref())
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
