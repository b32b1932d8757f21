//! Pages on their way to the disk: a queue, the datafile being written, and those that wait for their index.
//!
//! ```text
//!            add                 pump                          pump: large or old enough     published
//!   page -----------> waiting ----------> extent being written ----> closing: index written ----------> forgotten
//!                        ^                   |          | done                                (its readers have it)
//!                        +------ failed -----+          v
//!                                                 open datafile: where its pages are
//! ```
//!
//! One extent is on its way at a time, written and then synced, so that after a crash only the last one of a file can be
//! torn. A disk that fails makes pages wait; beyond the budget the oldest go, counted.
//!
//! A datafile is extents one after the other, each from a multiple of [`BLOCK`](crate::disk::BLOCK) on, see `extent.rs`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::{
    disk::{DiskDone, DiskOpKind, DiskOps, FileId, FileName, OpId},
    extent::{self, ExtentPage, PageRef},
    group::GroupId,
    index::{self, GroupPages, Index},
    key::GroupKey,
    page::Page,
    store::FileNames,
    time::{TimeRange, UnixSeconds},
};

/// A datafile ends before its last page could begin beyond 64 GiB, which no [`PageRef`] could say.
const MOST_BYTES: u64 = 60 << 30;
/// After so many failures in one place another file is tried.
const PATIENCE: u32 = 5;

/// How pages become files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatafileOptions {
    /// Pages of about so many bytes are written together.
    pub extent_bytes: usize,
    /// A datafile of this size is complete.
    pub file_bytes: u64,
    /// A datafile of this age in seconds is complete, whatever its size.
    pub file_seconds: u32,
    /// Bytes of pages that may wait for a disk that does not take them.
    pub waiting_bytes: usize,
    /// Extents survive a loss of power as soon as they count as written.
    pub syncs: bool,
}

/// A page on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskPage {
    pub file: FileId,
    pub place: PageRef,
}

/// A page that no file has yet.
#[derive(Debug)]
struct Waiting {
    group: GroupId,
    key: GroupKey,
    page: Page,
}

/// The extent on its way.
#[derive(Debug)]
struct Writing {
    pages: Vec<Waiting>,
    numbers: Vec<u32>,
    places: Vec<PageRef>,
    end: u64,
    ops: Pending,
}

/// Operations that belong together.
#[derive(Debug)]
struct Pending {
    ops: Vec<OpId>,
    failed: bool,
}

impl Pending {
    fn new(ops: Vec<OpId>) -> Pending {
        Pending { ops, failed: false }
    }

    /// Takes the result if it is of one of these. Says whether it was the last.
    fn take(&mut self, done: &DiskDone) -> bool {
        let Some(at) = self.ops.iter().position(|op| *op == done.id) else { return false };
        self.ops.swap_remove(at);
        self.failed |= done.result.is_err();
        self.ops.is_empty()
    }
}

/// The file that grows.
#[derive(Debug)]
struct Open {
    file: FileId,
    is_created: bool,
    opened_at: UnixSeconds,
    end: u64,
    samples: u64,
    numbers: HashMap<GroupKey, u32, foldhash::fast::FixedState>,
    /// By number.
    groups: Vec<GroupPages>,
}

impl Open {
    fn new(file: FileId, opened_at: UnixSeconds) -> Open {
        Open {
            file,
            is_created: false,
            opened_at,
            end: 0,
            samples: 0,
            numbers: HashMap::default(),
            groups: Vec::new(),
        }
    }
}

/// A complete file, until its readers have found it.
#[derive(Debug)]
struct Closing {
    file: FileId,
    index: Index,
    /// The index file's bytes, until they are written.
    bytes: Option<Vec<u8>>,
    pending: Option<Pending>,
}

/// A page that left the queue: its group need not keep it any longer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Left {
    pub(crate) group: GroupId,
    pub(crate) key: GroupKey,
}

/// What was written, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatafileTotals {
    pub pages_written: u64,
    pub samples_written: u64,
    /// Of extents and indexes, padding among them.
    pub bytes_written: u64,
    /// Pages dropped because the disk did not take them for too long.
    pub pages_lost: u64,
    pub samples_lost: u64,
    pub pages_waiting: u64,
    pub bytes_waiting: u64,
    pub files_sealed: u64,
    /// Operations that failed.
    pub errors: u64,
}

/// All of this, of one engine.
#[derive(Debug)]
pub(crate) struct Datafiles {
    options: DatafileOptions,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    writing: Option<Writing>,
    open: Open,
    closing: Vec<Closing>,
    /// Files whose index is on disk, to be told to readers.
    sealed: VecDeque<FileId>,
    /// Pages ever added, and how many of them are on disk or lost.
    added: u64,
    settled: u64,
    /// Everything added before this one is to be written, however little it is.
    flush_to: u64,
    failures: u32,
    retry_at: Option<UnixSeconds>,
    totals: DatafileTotals,
}

impl Datafiles {
    pub(crate) fn new(options: DatafileOptions, file: FileId, now: UnixSeconds) -> Datafiles {
        Datafiles {
            options,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            writing: None,
            open: Open::new(file, now),
            closing: Vec::new(),
            sealed: VecDeque::new(),
            added: 0,
            settled: 0,
            flush_to: 0,
            failures: 0,
            retry_at: None,
            totals: DatafileTotals::default(),
        }
    }

    pub(crate) fn add(&mut self, group: GroupId, key: GroupKey, page: Page) {
        self.added += 1;
        self.waiting_bytes += page.as_bytes().len();
        self.waiting.push_back(Waiting { group, key, page });
    }

    /// Everything added until now is to be written soon. Says what [`settled`](Self::settled) will be then.
    pub(crate) fn flush(&mut self) -> u64 {
        self.flush_to = self.added;
        self.added
    }

    /// How many of the added pages are on disk, or lost.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    /// Asks for what there is to do. Pages that were lost are told.
    pub(crate) fn pump(
        &mut self,
        now: UnixSeconds,
        ops: &mut DiskOps,
        names: &mut FileNames,
        mut left: impl FnMut(Left),
    ) {
        while self.waiting_bytes > self.options.waiting_bytes
            && let Some(oldest) = self.waiting.pop_front()
        {
            self.waiting_bytes -= oldest.page.as_bytes().len();
            self.totals.pages_lost += 1;
            self.totals.samples_lost += oldest.page.samples();
            self.settled += 1;
            left(Left { group: oldest.group, key: oldest.key });
        }
        if self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return;
        }
        self.retry_at = None;
        let is_due = self.open.end >= self.options.file_bytes.min(MOST_BYTES)
            || now.since(self.open.opened_at) >= self.options.file_seconds.into()
            || self.failures >= PATIENCE;
        if self.writing.is_none() && is_due {
            self.close(now, names);
        }
        let is_wanted = self.waiting_bytes >= self.options.extent_bytes || self.settled < self.flush_to;
        if self.writing.is_none() && is_wanted && !self.waiting.is_empty() {
            self.write(ops);
        }
        for closing in self.closing.iter_mut().filter(|closing| closing.pending.is_none()) {
            let Some(bytes) = &closing.bytes else { continue };
            let file = FileName::Index { tier: 0, id: closing.file };
            let create = ops.ask(file, DiskOpKind::Create);
            let write = ops.ask(file, DiskOpKind::Write { offset: 0, bytes: bytes.clone() });
            closing.pending = Some(Pending::new(vec![create, write, ops.ask(file, DiskOpKind::Sync)]));
        }
    }

    /// Ends the open file, if there is anything in it.
    pub(crate) fn close(&mut self, now: UnixSeconds, names: &mut FileNames) {
        debug_assert!(self.writing.is_none());
        self.failures = 0;
        if self.open.groups.is_empty() {
            self.open.opened_at = now;
            if self.open.is_created {
                self.open = Open::new(names.take(), now);
            }
            return;
        }
        let open = std::mem::replace(&mut self.open, Open::new(names.take(), now));
        let bytes = index::build(open.file, open.groups, open.end, open.samples, Vec::new());
        let index = Index::from_bytes(open.file, &bytes).expect("an index is valid when it is made");
        self.closing.push(Closing { file: open.file, index, bytes: Some(bytes), pending: None });
    }

    fn write(&mut self, ops: &mut DiskOps) {
        let (mut pages, mut bytes) = (Vec::new(), 0);
        while bytes < self.options.extent_bytes
            && let Some(waiting) = self.waiting.pop_front()
        {
            bytes += waiting.page.as_bytes().len();
            pages.push(waiting);
        }
        self.waiting_bytes -= bytes;
        // Numbers that this extent introduces; they count only when it was written.
        let mut new = HashMap::with_hasher(foldhash::fast::FixedState::default());
        let known = self.open.groups.len();
        let listed: Vec<ExtentPage> = pages
            .iter()
            .map(|waiting| {
                let mut key = None;
                let number = self.open.numbers.get(&waiting.key).copied().unwrap_or_else(|| {
                    let next = (known + new.len()) as u32;
                    *new.entry(waiting.key).or_insert_with(|| {
                        key = Some(waiting.key);
                        next
                    })
                });
                ExtentPage { number, key, page: waiting.page.clone() }
            })
            .collect();
        let (bytes, places) = extent::build(self.open.file, self.open.end, &listed);
        let file = FileName::Data { tier: 0, id: self.open.file };
        let mut asked = Vec::with_capacity(3);
        if !self.open.is_created {
            asked.push(ops.ask(file, DiskOpKind::Create));
        }
        let end = self.open.end + bytes.len() as u64;
        asked.push(ops.ask(file, DiskOpKind::Write { offset: self.open.end, bytes }));
        if self.options.syncs {
            asked.push(ops.ask(file, DiskOpKind::Sync));
        }
        let numbers = listed.iter().map(|page| page.number).collect();
        self.writing = Some(Writing { pages, numbers, places, end, ops: Pending::new(asked) });
    }

    /// Takes the result of an operation, if it was asked for here. Pages that are on disk now are told.
    pub(crate) fn done(&mut self, done: &DiskDone, now: UnixSeconds, mut left: impl FnMut(Left)) {
        if let Some(mut writing) = self.writing.take_if(|writing| writing.ops.take(done)) {
            if writing.ops.failed {
                self.fail(now);
                for waiting in writing.pages.drain(..).rev() {
                    self.waiting_bytes += waiting.page.as_bytes().len();
                    self.waiting.push_front(waiting);
                }
            } else {
                self.failures = 0;
                self.written(writing, &mut left);
            }
            return;
        }
        let mut failed = false;
        for closing in &mut self.closing {
            let Some(pending) = closing.pending.take_if(|pending| pending.take(done)) else { continue };
            if pending.failed {
                failed = true;
            } else if let Some(bytes) = closing.bytes.take() {
                self.totals.bytes_written += bytes.len() as u64;
                self.totals.files_sealed += 1;
                self.sealed.push_back(closing.file);
            }
        }
        if failed {
            self.fail(now);
        }
    }

    fn fail(&mut self, now: UnixSeconds) {
        self.totals.errors += 1;
        self.failures += 1;
        self.retry_at = Some(now.plus(1));
    }

    fn written(&mut self, writing: Writing, left: &mut impl FnMut(Left)) {
        let open = &mut self.open;
        self.totals.bytes_written += writing.end - open.end;
        open.is_created = true;
        open.end = writing.end;
        for ((waiting, number), place) in writing.pages.into_iter().zip(writing.numbers).zip(writing.places) {
            let Waiting { group, key, page } = waiting;
            if number as usize == open.groups.len() {
                open.numbers.insert(key, number);
                open.groups.push(GroupPages { key, last: 0, pages: Vec::new() });
            }
            let pages = &mut open.groups[number as usize];
            pages.last = pages.last.max(page.span().last.0 as u32);
            let at = pages.pages.partition_point(|page| page.first < place.first);
            pages.pages.insert(at, place);
            open.samples += page.samples();
            self.totals.samples_written += page.samples();
            self.totals.pages_written += 1;
            self.settled += 1;
            left(Left { group, key });
        }
    }

    /// The group's pages on disk that readers do not know of yet, as far as they may lie in `window`, in order of time.
    pub(crate) fn pages(&self, key: GroupKey, window: TimeRange) -> Vec<DiskPage> {
        let mut found = Vec::new();
        for closing in &self.closing {
            let pages = closing.index.pages(key, window);
            found.extend(pages.map(|place| DiskPage { file: closing.file, place }));
        }
        if let Some(number) = self.open.numbers.get(&key) {
            let pages = &self.open.groups[*number as usize].pages;
            let pages = index::overlapping(pages, window, |page| page.first);
            found.extend(pages.iter().map(|place| DiskPage { file: self.open.file, place: *place }));
        }
        found
    }

    /// From the first to the last row of these pages.
    pub(crate) fn span(&self, key: GroupKey) -> Option<TimeRange> {
        let closing = self.closing.iter().filter_map(|closing| closing.index.group_span(key));
        let open = self.open.numbers.get(&key).map(|number| {
            let group = &self.open.groups[*number as usize];
            TimeRange {
                first: UnixSeconds(group.pages[0].first.into()),
                last: UnixSeconds(group.last.into()),
            }
        });
        closing.chain(open).reduce(TimeRange::hull)
    }

    /// The files that [`pages`](Self::pages) speaks for.
    pub(crate) fn files(&self) -> Arc<[FileId]> {
        self.closing.iter().map(|closing| closing.file).chain([self.open.file]).collect()
    }

    pub(crate) fn poll_sealed(&mut self) -> Option<FileId> {
        self.sealed.pop_front()
    }

    /// Readers have found the file.
    pub(crate) fn published(&mut self, file: FileId) {
        self.closing.retain(|closing| closing.file != file);
    }

    /// Nothing waits, and nothing is on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
            && self.writing.is_none()
            && self.closing.iter().all(|closing| closing.bytes.is_none())
    }

    pub(crate) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(crate) fn totals(&self) -> DatafileTotals {
        DatafileTotals {
            pages_waiting: self.waiting.len() as u64,
            bytes_waiting: self.waiting_bytes as u64,
            ..self.totals.clone()
        }
    }
}
