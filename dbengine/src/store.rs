//! What an engine with a disk has beside its groups: the journal and its segments, and the datafiles.
//!
//! ```text
//! segments      k-1            k                         k+1
//!           |----------|-------------------|---------------------------> rows
//!                      ^                   ^ k+1 begins: checkpoint of k-1
//!                      |                     groups with rows since k-1 are visited, some in every second
//!                      |                       idle: sealed      others: written again, into k+1
//!                      +-- removed           then: all that was sealed is flushed, notes of k-1 are stored
//! ```

use std::collections::VecDeque;

use crate::{
    datafile::{DatafileOptions, DatafileTotals, Datafiles},
    disk::{DiskDone, DiskError, DiskOp, DiskOpKind, DiskOps, FileId, FileName, OpId},
    group::{Group, GroupId},
    hot::NOT_YET_JOURNALLED,
    journal::Journal,
    key::WriterId,
    time::UnixSeconds,
};

/// A segment ends at this age, in seconds. Most groups have been sealed once by the end of the next one.
const SEGMENT_SECONDS: i64 = 300;
/// A segment ends at this size.
const SEGMENT_BYTES: u64 = 1 << 30;
/// A checkpoint visits all groups within about so many seconds. Not commits: what it writes again makes the batch long, and
/// a long batch is committed at once.
const CHECKPOINT_SECONDS: i64 = 60;
/// Where batches are missing, a sixtieth of the groups is visited with each commit, and at least so many.
const REWRITTEN_LEAST: usize = 256;

/// How an engine uses a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreOptions {
    pub writer: WriterId,
    /// The sequence number of the first file: greater than those of all files there are.
    pub first_sequence: u32,
    /// What was committed survives a loss of power, not only the end of the process.
    pub survives_power_loss: bool,
    pub datafiles: DatafileOptions,
}

/// Counts the notes of an engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NoteNumber(pub u64);

/// A segment that is complete.
#[derive(Debug)]
struct Old {
    file: FileId,
    /// Notes in it and before.
    notes: NoteNumber,
}

#[derive(Debug)]
enum Checkpoint {
    /// Groups from `next` on are still to be visited; of those before, the last were at `visited`.
    Visiting { next: usize, visited: UnixSeconds },
    /// All that older segments have was handed to the disk; they go when it has arrived.
    Waiting { pages: u64, batches: u64 },
}

/// What the store did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    pub datafiles: DatafileTotals,
    pub journal_bytes: u64,
    pub journal_errors: u64,
    /// Segments on disk.
    pub segments: u64,
    /// Rows that were written again, since their segment is to go.
    pub rows_rewritten: u64,
}

/// Names for the files of one writer, each once.
#[derive(Debug)]
pub(crate) struct FileNames {
    writer: WriterId,
    next_sequence: u32,
}

impl FileNames {
    pub(crate) fn take(&mut self) -> FileId {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        FileId { sequence, writer: self.writer }
    }
}

#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) ops: DiskOps,
    pub(crate) journal: Journal,
    pub(crate) datafiles: Datafiles,
    names: FileNames,
    /// Batches of this segment, and of those before, that failed were dealt with.
    given_up: Option<FileId>,
    /// Told apart from all that a group may remember of older ones, for years.
    segment: u16,
    segment_began: UnixSeconds,
    /// The oldest first.
    old: VecDeque<Old>,
    /// Segments that are not needed any more. They go one after the other, so that a crash never leaves an older one
    /// without those after it: its notes would seem new.
    needless: VecDeque<FileId>,
    removing: Option<OpId>,
    checkpoint: Option<Checkpoint>,
    /// Groups write all their rows when they first speak in this segment: batches of older ones are missing.
    rewrites: bool,
    journal_failed: bool,
    is_stopped: bool,
    notes: NoteNumber,
    stored_notes: NoteNumber,
    /// Notes that no other place is known to have, kept for a segment that fails.
    unstored: VecDeque<Vec<u8>>,
    last_error: Option<DiskError>,
    totals: StoreTotals,
    pub(crate) now: UnixSeconds,
}

impl Store {
    pub(crate) fn new(options: StoreOptions, now: UnixSeconds) -> Store {
        let StoreOptions { writer, first_sequence, survives_power_loss, datafiles } = options;
        let mut names = FileNames { writer, next_sequence: first_sequence };
        Store {
            journal: Journal::new(names.take(), survives_power_loss),
            datafiles: Datafiles::new(datafiles, names.take(), now),
            ops: DiskOps::default(),
            names,
            given_up: None,
            segment: 1,
            segment_began: now,
            old: VecDeque::new(),
            needless: VecDeque::new(),
            removing: None,
            checkpoint: None,
            rewrites: false,
            journal_failed: false,
            is_stopped: false,
            notes: NoteNumber(0),
            stored_notes: NoteNumber(0),
            unstored: VecDeque::new(),
            last_error: None,
            totals: StoreTotals::default(),
            now,
        }
    }

    /// The segment being written, as groups remember it. Never 0.
    #[inline]
    pub(crate) fn segment(&self) -> u16 {
        self.segment
    }

    /// Journals the newest row of a group, which did more than continue the others.
    #[cold]
    pub(crate) fn journal_row(&mut self, id: GroupId, group: &mut Group) {
        if group.hot.segment() == self.segment && group.hot.rows() > 1 {
            let (time, row, previous) = group.hot.two_newest();
            self.journal.row(id, previous, time, row);
        } else {
            // Where batches are missing, all that older ones have is written again now. Else that is left to the checkpoint,
            // which comes to each group before the older segment goes: all groups speak within a second of a segment's
            // begin, and that would be a wave.
            let all = group.hot.rows() == 1 || (self.rewrites && !self.keeps(group.hot.since()));
            if all {
                self.totals.rows_rewritten += u64::from(group.hot.rows() - 1);
                group.hot.set_since(self.segment);
            }
            self.introduce(id, group, all);
        }
    }

    /// Writes a group's shape, and its newest row or all of them.
    fn introduce(&mut self, id: GroupId, group: &mut Group, all: bool) {
        let hot = &mut group.hot;
        self.journal.group(id, group.past.key, hot.step(), hot.columns(), all && hot.rows() > 1);
        hot.set_segment(self.segment);
        let first = if all { 0 } else { hot.rows() - 1 };
        let journal = &mut self.journal;
        let mut previous: Option<(UnixSeconds, Vec<f32>)> = None;
        hot.each_row(first, |time, row| {
            journal.row(id, previous.as_ref().map(|(time, values)| (*time, &values[..])), time, row);
            previous = Some((time, row.values.to_vec()));
        });
    }

    #[cold]
    pub(crate) fn commit_journal(&mut self) {
        let before = self.journal.segment_len();
        self.journal.commit(&mut self.ops);
        self.totals.journal_bytes += self.journal.segment_len() - before;
    }

    pub(crate) fn note(&mut self, note: &[u8]) -> NoteNumber {
        self.journal.note(note);
        self.unstored.push_back(note.into());
        self.notes.0 += 1;
        self.notes
    }

    /// Another place has all notes up to this one.
    pub(crate) fn notes_stored(&mut self, up_to: NoteNumber) {
        while self.stored_notes < up_to && self.unstored.pop_front().is_some() {
            self.stored_notes.0 += 1;
        }
    }

    /// Makes what was journalled durable, and does a part of what else there is to do.
    pub(crate) fn commit(
        &mut self,
        now: UnixSeconds,
        groups: &mut [Option<Group>],
        seal: &mut dyn FnMut(&mut Store, GroupId, &mut Group),
    ) {
        self.now = now;
        if self.journal_failed {
            // Its files stay for what they have; what they lack is written again.
            self.journal_failed = false;
            self.begin_segment();
            self.rewrites = true;
            for note in &self.unstored {
                self.journal.note(note);
            }
            self.begin_checkpoint();
        } else if self.checkpoint.is_none()
            && (now.since(self.segment_began) >= SEGMENT_SECONDS
                || self.journal.segment_len() >= SEGMENT_BYTES)
        {
            self.commit_journal();
            self.begin_segment();
            self.begin_checkpoint();
        }
        self.visit(groups, seal);
        self.commit_journal();
        self.pump(groups);
    }

    fn begin_segment(&mut self) {
        let old = Old { file: self.journal.file(), notes: self.notes };
        self.old.push_back(old);
        self.segment_began = self.now;
        self.segment = if self.segment + 1 == NOT_YET_JOURNALLED { 1 } else { self.segment + 1 };
        self.journal.begin_segment(self.names.take());
        self.rewrites = false;
    }

    /// Some groups are visited with this commit already.
    fn begin_checkpoint(&mut self) {
        self.checkpoint =
            Some(Checkpoint::Visiting { next: 0, visited: UnixSeconds(self.now.0.saturating_sub(1)) });
    }

    /// Whether what a segment has stays in the journal: this one, and the one before unless its batches are missing.
    fn keeps(&self, segment: u16) -> bool {
        segment == self.segment || (!self.rewrites && segment.checked_add(1) == Some(self.segment))
    }

    /// Goes on with the checkpoint: groups whose rows older segments have.
    fn visit(&mut self, groups: &mut [Option<Group>], seal: &mut dyn FnMut(&mut Store, GroupId, &mut Group)) {
        let Some(Checkpoint::Visiting { next, visited }) = self.checkpoint else { return };
        let share = groups.len().div_ceil(CHECKPOINT_SECONDS as usize);
        let count = match self.now.since(visited) {
            // What the disk lacks is written as fast as one commit follows on the other.
            _ if self.rewrites => share.max(REWRITTEN_LEAST),
            0 => return,
            // The clock was put back.
            ..0 => share,
            seconds => share * seconds.min(CHECKPOINT_SECONDS) as usize,
        };
        let end = (next + count).min(groups.len());
        for (index, place) in groups.iter_mut().enumerate().take(end).skip(next) {
            let Some(group) = place.as_mut().filter(|group| group.hot.is_journalled()) else { continue };
            if group.hot.is_empty() || self.keeps(group.hot.since()) {
                continue;
            }
            let id = GroupId(index as u32);
            let silence = self.now.since(group.hot.newest_time());
            if !self.rewrites && silence > SEGMENT_SECONDS.max(3 * i64::from(group.hot.step())) {
                seal(self, id, group);
            } else {
                self.totals.rows_rewritten += u64::from(group.hot.rows());
                group.hot.set_since(self.segment);
                self.introduce(id, group, true);
            }
            if self.journal.is_long() {
                self.commit_journal();
            }
        }
        self.checkpoint = Some(if end < groups.len() {
            Checkpoint::Visiting { next: end, visited: self.now }
        } else {
            self.commit_journal();
            Checkpoint::Waiting { pages: self.datafiles.flush(), batches: self.journal.handed_on() }
        });
    }

    /// Asks for what there is to do for pages, and removes segments that are not needed any more.
    pub(crate) fn pump(&mut self, groups: &mut [Option<Group>]) {
        self.datafiles.pump(self.now, &mut self.ops, &mut self.names, |left| forget_oldest(groups, left));
        if let Some(Checkpoint::Waiting { pages, batches }) = self.checkpoint
            && self.datafiles.settled() >= pages
            && self.journal.durable() >= batches
            && !self.journal_failed
        {
            self.checkpoint = None;
            // The newest of the old ones has the rows that groups were not asked for.
            let kept = usize::from(!self.rewrites);
            while self.old.len() > kept && self.old[0].notes <= self.stored_notes {
                let old = self.old.pop_front().expect("there is one");
                self.needless.push_back(old.file);
            }
        }
        if self.removing.is_none()
            && let Some(file) = self.needless.pop_front()
        {
            self.removing = Some(self.ops.ask(FileName::Journal(file), DiskOpKind::Remove));
        }
    }

    pub(crate) fn disk_done(&mut self, done: &DiskDone, groups: &mut [Option<Group>]) {
        // A segment that cannot be removed is found again at the next start.
        let was_removal = self.removing.take_if(|removing| *removing == done.id).is_some();
        if let Err(error) = &done.result {
            self.last_error = Some(error.clone());
            // The last batches of a segment may fail after the next one has begun.
            if let FileName::Journal(file) = error.file
                && !was_removal
                && self.given_up < Some(file)
            {
                self.totals.journal_errors += 1;
                self.journal_failed = true;
                self.given_up = Some(self.journal.file());
                self.journal.give_up();
            }
        } else {
            self.journal.done(done.id);
        }
        self.datafiles.done(done, self.now, |left| forget_oldest(groups, left));
        self.pump(groups);
    }

    /// All rows are pages now: writes them, closes the file, and removes the journal when that has been done.
    pub(crate) fn stop(&mut self, groups: &mut [Option<Group>]) {
        self.commit_journal();
        self.datafiles.flush();
        self.pump(groups);
    }

    /// Goes on with stopping. Says whether all is done.
    pub(crate) fn stop_further(&mut self, groups: &mut [Option<Group>]) -> bool {
        self.pump(groups);
        if self.datafiles.is_writing() || self.datafiles.settled() < self.datafiles.flush() {
            return false;
        }
        self.datafiles.close(self.now, &mut self.names);
        self.pump(groups);
        // The journal may stay, for notes that nobody else has yet: then it is to have all of them.
        let is_journalling = !self.journal_failed && self.journal.durable() < self.journal.handed_on();
        if !self.datafiles.is_idle() || is_journalling {
            return false;
        }
        if self.stored_notes == self.notes && !self.is_stopped {
            self.is_stopped = true;
            self.needless.extend(self.old.drain(..).map(|old| old.file).chain([self.journal.file()]));
            self.pump(groups);
        }
        self.removing.is_none()
    }

    pub(crate) fn last_error(&mut self) -> Option<DiskError> {
        self.last_error.take()
    }

    pub(crate) fn next_op(&mut self) -> Option<DiskOp> {
        self.ops.next()
    }

    pub(crate) fn totals(&self) -> StoreTotals {
        StoreTotals {
            datafiles: self.datafiles.totals(),
            segments: (self.old.len() + self.needless.len()) as u64 + 1,
            ..self.totals.clone()
        }
    }
}

/// The oldest page that the group keeps is on disk, or lost.
fn forget_oldest(groups: &mut [Option<Group>], left: crate::datafile::Left) {
    let group = groups.get_mut(left.group.index()).and_then(Option::as_mut);
    if let Some(group) = group.filter(|group| group.past.key == left.key) {
        group.forget_oldest_page();
    }
}
