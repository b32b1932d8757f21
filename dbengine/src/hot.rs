//! The rows of a group that no page holds yet: the newest as they came, row after row, the others in blocks.
//!
//! A row that continues the run touches [`HotRows`] and the newest rows, nothing else; what other rows need is behind a
//! box, so that a group's part of this is within a cache line. The newest rows are in one place, which stays as long as
//! the group does: when it is full, all but the last are squeezed into a block. So rows take a third of the memory before
//! they are a page. The places of groups that began one after the other are one behind the other, and are looked at in that
//! order each second: a place that grew from few rows to many took less memory, and was never where it was looked for. (A
//! fifth off the whole cost of a sample.)
//!
//! The newest row stays here until the next one comes, also when the rows are full: sealing is work of the next row.

use std::ops::Range;

use crate::{
    bins::RunsOfColumn,
    cells::Cells,
    page::RowBlock,
    prefetch::{prefetch, prefetch_elements},
    run::{Run, RunStart},
    sample::{Row, SampleFlags, Samples},
    squeezed::{BLOCK_ROWS, SqueezedRows},
    time::{TimeRange, UnixSeconds},
};

/// The newest rows have room for a block, and for the row that stays when that is made.
const NEWEST_ROWS: usize = BLOCK_ROWS + 1;

/// Hot rows, of one step and one number of columns.
#[derive(Debug)]
pub(crate) struct HotRows {
    /// The newest rows, in order. Its capacity is for [`NEWEST_ROWS`], or for the one that is of use.
    chunk: Vec<f32>,
    newest: UnixSeconds,
    step: u32,
    columns: u32,
    rows: u16,
    /// With this many rows they are full.
    limit: u16,
    /// The journal's segment in which the group was last introduced; [`NEVER_JOURNALLED`] if it has no place there.
    segment: u16,
    /// Only the newest row is of use.
    forgets: bool,
    rest: Box<Rest>,
}

/// For a group whose rows are not for the disk.
pub(crate) const NEVER_JOURNALLED: u16 = 0;
/// For a group that no segment has seen.
pub(crate) const NOT_YET_JOURNALLED: u16 = u16::MAX;

#[derive(Debug)]
struct Rest {
    /// The journal's segment that has the first of the rows.
    since: u16,
    /// The rows before those of the chunk.
    blocks: SqueezedRows,
    runs: Vec<RunStart>,
    /// Of the rows that have any, if one has.
    flags: Option<Box<RowFlags>>,
}

impl HotRows {
    pub(crate) fn new(step: u32, columns: u32, limit: u16, segment: u16, cells: &Cells) -> HotRows {
        HotRows {
            chunk: Vec::new(),
            newest: UnixSeconds::default(),
            step,
            columns,
            rows: 0,
            limit,
            segment,
            forgets: false,
            rest: Box::new(Rest {
                since: 0,
                blocks: SqueezedRows::new(cells),
                runs: Vec::new(),
                flags: None,
            }),
        }
    }

    /// From the next row on each takes the place of the one before, if it continues that.
    pub(crate) fn forget_each(&mut self) {
        self.forgets = true;
    }

    /// Forgets all rows, and begins anew.
    pub(crate) fn restart(&mut self, step: u32, columns: u32, limit: u16) {
        if columns == self.columns {
            self.chunk.clear();
        } else {
            self.chunk = Vec::new();
        }
        self.rest.blocks.clear();
        self.rest.runs.clear();
        self.rest.flags = None;
        (self.step, self.columns, self.rows, self.limit) = (step, columns, 0, limit);
    }

    /// Forgets all rows and gives their memory back; the time of the newest stays.
    pub(crate) fn empty(&mut self) {
        self.chunk = Vec::new();
        self.rest.blocks.clear();
        self.rest.runs = Vec::new();
        self.rest.flags = None;
        self.rows = 0;
    }

    /// Rows up to this time are stored elsewhere.
    pub(crate) fn resume_after(&mut self, newest: UnixSeconds) {
        debug_assert!(self.is_empty());
        self.newest = newest;
    }

    /// Takes no more rows: the next one begins anew.
    pub(crate) fn close(&mut self) {
        self.limit = self.rows;
    }

    /// Stores the row if it continues the run and there is room: nearly always.
    #[inline]
    pub(crate) fn push_next(&mut self, time: UnixSeconds, row: Row<'_>) -> bool {
        let fits = row.values.len() == self.columns as usize && row.flags.is_none();
        if !(self.is_continued_by(time) && fits) {
            return false;
        }
        if self.forgets {
            self.chunk.copy_from_slice(row.values);
            self.newest = time;
            return true;
        }
        if self.is_full() {
            return false;
        }
        if self.chunk.capacity() - self.chunk.len() < row.values.len() {
            self.make_room();
        }
        self.chunk.extend_from_slice(row.values);
        self.newest = time;
        self.rows += 1;
        true
    }

    #[inline]
    pub(crate) fn segment(&self) -> u16 {
        self.segment
    }

    pub(crate) fn set_segment(&mut self, segment: u16) {
        self.segment = segment;
    }

    pub(crate) fn is_journalled(&self) -> bool {
        self.segment != NEVER_JOURNALLED
    }

    pub(crate) fn since(&self) -> u16 {
        self.rest.since
    }

    pub(crate) fn set_since(&mut self, segment: u16) {
        self.rest.since = segment;
    }

    /// The last row but one, and the last, of rows that [`push_next`](Self::push_next) took.
    #[inline]
    pub(crate) fn last_step(&self) -> (&[f32], &[f32]) {
        let columns = self.columns as usize;
        let end = self.chunk.len();
        (&self.chunk[end - 2 * columns..end - columns], &self.chunk[end - columns..])
    }

    /// The newest row, and the one before it.
    pub(crate) fn two_newest(&self) -> (UnixSeconds, Row<'_>, Option<(UnixSeconds, &[f32])>) {
        let columns = self.columns as usize;
        let newest = &self.chunk[self.chunk.len() - columns..];
        let before = &self.chunk[..self.chunk.len() - columns];
        let previous = (self.rows > 1).then(|| (self.time(self.rows - 2), &before[before.len() - columns..]));
        (self.newest, Row { values: newest, flags: self.flags_of(self.rows - 1) }, previous)
    }

    /// Calls `visit` with every row from row `first` on, in order of time.
    pub(crate) fn each_row(&self, first: u16, mut visit: impl FnMut(UnixSeconds, Row<'_>)) {
        let columns = self.columns as usize;
        let (from, values) = self.rest.blocks.copy().expand(usize::from(first), &self.chunk, columns);
        let mut runs = Run::all(self.rest.runs.iter().copied(), self.rows).peekable();
        for (row, values) in (from as u16..self.rows).zip(values.chunks_exact(columns.max(1))) {
            while runs.peek().is_some_and(|run| run.row + run.rows <= row) {
                runs.next();
            }
            let Some(run) = runs.peek() else { return };
            if row >= first {
                let time = run.first.plus(i64::from(row - run.row) * i64::from(self.step));
                visit(time, Row { values, flags: self.flags_of(row) });
            }
        }
    }

    /// The time of a row.
    fn time(&self, row: u16) -> UnixSeconds {
        let run = self.rest.runs.iter().rev().find(|run| run.row <= row).expect("the first row begins a run");
        run.first.plus(i64::from(row - run.row) * i64::from(self.step))
    }

    fn flags_of(&self, row: u16) -> Option<&[SampleFlags]> {
        self.rest.flags.as_ref()?.of(row, self.columns as usize)
    }

    /// Asks for the newest row, and for the place of the next, or what is needed to make it.
    #[inline]
    pub(crate) fn expect_row(&self) {
        let columns = self.columns as usize;
        if self.chunk.capacity() - self.chunk.len() < columns {
            prefetch(&*self.rest);
        }
        prefetch_elements(&self.chunk, self.chunk.len().wrapping_sub(columns), 2 * columns);
    }

    /// Whether `time` is a step after the newest row.
    #[inline]
    pub(crate) fn is_continued_by(&self, time: UnixSeconds) -> bool {
        let is_next = time.0.wrapping_sub(self.newest.0) == i64::from(self.step);
        is_next && time > self.newest && self.rows > 0
    }

    /// Stores a row that is newer than all, while they are not full.
    pub(crate) fn push(&mut self, time: UnixSeconds, row: Row<'_>) {
        debug_assert!(!self.is_full());
        let columns = self.columns as usize;
        assert_eq!(row.values.len(), columns, "a row has a value for each column");
        if !self.is_continued_by(time) {
            if self.rest.runs.capacity() == 0 {
                // Most groups have one, whose list would otherwise have room for four.
                self.rest.runs.reserve_exact(1);
            }
            self.rest.runs.push(RunStart { first: time, row: self.rows });
        }
        if self.chunk.capacity() - self.chunk.len() < columns {
            self.make_room();
        }
        self.chunk.extend_from_slice(row.values);
        if let Some(flags) =
            row.flags.filter(|flags| flags.iter().any(|flags| flags.known() != SampleFlags::NONE))
        {
            assert_eq!(flags.len(), columns, "a row has flags for each column, or none");
            self.rest.flags.get_or_insert_default().push(self.rows, flags);
        }
        self.newest = time;
        self.rows += 1;
    }

    /// Makes the place for the newest rows, or a block of all of them but the last.
    #[cold]
    #[inline(never)]
    fn make_room(&mut self) {
        let columns = self.columns as usize;
        let room = if self.forgets { 1 } else { NEWEST_ROWS } * columns;
        if self.chunk.len() < room {
            self.chunk.reserve_exact(room - self.chunk.len());
            return;
        }
        let last = self.chunk.len() - columns;
        self.rest.blocks.push(&self.chunk, columns);
        self.chunk.copy_within(last.., 0);
        self.chunk.truncate(columns);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows >= self.limit
    }

    pub(crate) fn rows(&self) -> u16 {
        self.rows
    }

    pub(crate) fn step(&self) -> u32 {
        self.step
    }

    pub(crate) fn columns(&self) -> u32 {
        self.columns
    }

    /// Time of the newest row, if there is any.
    pub(crate) fn newest_time(&self) -> UnixSeconds {
        self.newest
    }

    pub(crate) fn first(&self) -> Option<UnixSeconds> {
        self.rest.runs.first().map(|run| run.first)
    }

    /// The newest row, with as many values as it was stored with.
    pub(crate) fn newest(&self) -> Option<(UnixSeconds, &[f32])> {
        let start = self.chunk.len().checked_sub(self.columns as usize)?;
        (!self.is_empty()).then(|| (self.newest, &self.chunk[start..]))
    }

    /// Bytes of the rows: what is allocated for them, used or not.
    pub(crate) fn bytes(&self) -> usize {
        self.chunk.capacity() * size_of::<f32>()
            + self.rest.blocks.bytes()
            + self.rest.flags.as_ref().map_or(0, |flags| flags.bytes())
            + self.rest.runs.capacity() * size_of::<RunStart>()
    }

    /// All rows, to be sealed.
    pub(crate) fn block(&self) -> RowBlock<'_> {
        RowBlock {
            step: self.step,
            columns: self.columns as usize,
            blocks: self.rest.blocks.copy(),
            newest: &self.chunk,
            flags: self.rest.flags.as_deref(),
            rows: self.rows,
            runs: &self.rest.runs,
        }
    }

    /// A copy of the rows that lie in `window`.
    pub(crate) fn copy(&self, window: TimeRange) -> Option<CopiedRows> {
        let all = Run::all(self.rest.runs.iter().copied(), self.rows);
        let mut runs: Vec<Run> = all.filter_map(|run| run.clip(self.step, window)).collect();
        let (first, last) = (runs.first()?.row, *runs.last()?);
        let columns = self.columns as usize;
        let flags = self.rest.flags.as_ref();
        let flags = flags.map_or(Vec::new(), |flags| flags.copy(first..last.row + last.rows, columns));
        for run in &mut runs {
            run.row -= first;
        }
        let (first, end) = (usize::from(first), usize::from(last.row + last.rows));
        let (from, values) = self.rest.blocks.copy().expand(first, &self.chunk, columns);
        let values = values[(first - from) * columns..(end - from) * columns].to_vec();
        Some(CopiedRows { step: self.step, columns, runs, values, flags })
    }
}

/// The flags of the rows that have any: few, as a rule.
#[derive(Debug, Default)]
pub(crate) struct RowFlags {
    /// In order.
    rows: Vec<u16>,
    /// Of each of these rows, one for each column.
    flags: Vec<SampleFlags>,
}

impl RowFlags {
    /// Of rows that come one after the other: all of them, or none.
    pub(crate) fn of_all(rows: u16, flags: &[SampleFlags]) -> Option<RowFlags> {
        (!flags.is_empty()).then(|| RowFlags { rows: (0..rows).collect(), flags: flags.to_vec() })
    }

    /// Those of a row behind all that are there.
    fn push(&mut self, row: u16, flags: &[SampleFlags]) {
        self.rows.push(row);
        self.flags.extend(flags.iter().map(|flags| flags.known()));
    }

    fn of(&self, row: u16, columns: usize) -> Option<&[SampleFlags]> {
        let at = self.rows.binary_search(&row).ok()?;
        Some(&self.flags[at * columns..(at + 1) * columns])
    }

    /// The rows that have any, with the flags of a column.
    pub(crate) fn of_column(
        &self,
        column: usize,
        columns: usize,
    ) -> impl Iterator<Item = (usize, SampleFlags)> + '_ {
        let flags = self.flags.iter().skip(column).step_by(columns);
        self.rows.iter().map(|row| usize::from(*row)).zip(flags.copied())
    }

    /// The flags of these rows, one after the other; empty if there are none.
    fn copy(&self, rows: Range<u16>, columns: usize) -> Vec<SampleFlags> {
        let begin = self.rows.partition_point(|row| *row < rows.start);
        let end = self.rows.partition_point(|row| *row < rows.end);
        if begin == end {
            return Vec::new();
        }
        let mut copy = vec![SampleFlags::NONE; rows.len() * columns];
        for (row, flags) in
            self.rows[begin..end].iter().zip(self.flags[begin * columns..].chunks_exact(columns))
        {
            let at = usize::from(row - rows.start) * columns;
            copy[at..at + columns].copy_from_slice(flags);
        }
        copy
    }

    /// Bytes that are allocated.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.capacity() * size_of::<u16>() + self.flags.capacity()
    }
}

/// Hot rows as they were when they were asked for.
#[derive(Clone, Debug)]
pub(crate) struct CopiedRows {
    step: u32,
    columns: usize,
    /// At least one.
    runs: Vec<Run>,
    values: Vec<f32>,
    /// As many as values, or none.
    flags: Vec<SampleFlags>,
}

impl CopiedRows {
    pub(crate) fn span(&self) -> TimeRange {
        let newest = self.runs[self.runs.len() - 1];
        TimeRange { first: self.runs[0].first, last: newest.last(self.step) }
    }

    /// The times of all rows.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.runs.iter().copied()
    }

    pub(crate) fn step(&self) -> u32 {
        self.step
    }

    /// Adds the samples of a column that lie in `window`. A column that the rows are too old to have is all gaps.
    pub(crate) fn read(&self, column: usize, window: TimeRange, out: &mut Samples) {
        let rows = out.push_times(self.runs(), self.step, window);
        if column >= self.columns {
            out.values.resize(out.values.len() + rows.len(), f32::NAN);
            return;
        }
        let of_column = |row: usize| row * self.columns + column;
        out.values.extend(rows.clone().map(|row| self.values[of_column(row)]));
        if !self.flags.is_empty() {
            out.push_flags(rows.map(|row| self.flags[of_column(row)]));
        }
    }

    /// The same instead of what was there, without the times of single rows.
    pub(crate) fn read_runs(&self, column: usize, window: TimeRange, out: &mut RunsOfColumn) {
        out.clear();
        let rows = out.take_runs(self.runs(), self.step, window);
        if column >= self.columns {
            out.values.resize(rows.len(), f32::NAN);
            return;
        }
        let of_column = |row: usize| row * self.columns + column;
        out.values.extend(rows.clone().map(|row| self.values[of_column(row)]));
        if !self.flags.is_empty() {
            out.flags.extend(rows.map(|row| self.flags[of_column(row)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_all_there_whatever_room_they_had() {
        for (limit, columns) in (1..=100).flat_map(|limit| [(limit, 1), (limit, 3)]) {
            let mut hot = HotRows::new(1, columns, limit, NEVER_JOURNALLED, &Cells::default());
            let row_of =
                |time: i64| -> Vec<f32> { (0..columns).map(|at| time as f32 + at as f32 / 8.0).collect() };
            for time in 1..=i64::from(limit) {
                let row = row_of(time);
                let row = Row { values: &row, flags: None };
                if !hot.push_next(UnixSeconds(time), row) {
                    hot.push(UnixSeconds(time), row);
                }
                let room = hot.chunk.capacity() / columns as usize;
                assert_eq!(room, NEWEST_ROWS, "{limit} rows of {columns}, {time}");
            }
            assert!(hot.is_full());
            let mut rows = Vec::new();
            hot.each_row(0, |time, row| rows.push((time.0, row.values.to_vec())));
            let expected = (1..=i64::from(limit)).map(|time| (time, row_of(time)));
            assert!(rows.into_iter().eq(expected), "{limit} rows of {columns}");
            let blocks = hot.rest.blocks.copy().blocks(columns as usize).count();
            assert_eq!(blocks, usize::from(limit).saturating_sub(2) / BLOCK_ROWS, "{limit}");
        }
    }
}
