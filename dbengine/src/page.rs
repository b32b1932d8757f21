//! A page: rows of a group that will not change again, column by column.
//!
//! | offset  | size | field   |                                                                             |
//! |---------|------|---------|-----------------------------------------------------------------------------|
//! | 0       | 8    | first   | time of row 0, `i64` little endian, as all numbers here                     |
//! | 8       | 4    | step    | seconds from a row to the next of its run, at least 1                       |
//! | 12      | 4    | columns | c                                                                           |
//! | 16      | 2    | rows    | at least 1                                                                  |
//! | 18      | 2    | jumps   | j, the runs after the first                                                 |
//! | 20      | 6 j  | jump    | of each: its first row (2), the seconds from row 0 to that row (4)          |
//! | 20+6j   | 4 c  | ends    | where each column's body ends, counted from the first body                  |
//! | +4c     |      | bodies  | the columns, see `page/column.rs`                                           |
//!
//! Times come first and in one place, so that a page is found, or passed over, without touching a column. The table
//! makes a column readable without those before it. Checksum and compression are not the page's: many pages share one.
//!
//! A page is written once and read by any thread; a clone shares the bytes.

mod column;

mod constant;

mod encoder;

mod floats;

mod integers;

mod packing;

use std::sync::Arc;

use thiserror::Error;

use self::column::Column;
pub use self::column::Encoding;
pub(crate) use self::encoder::{PageEncoder, RowBlock};
use crate::{
    run::{Run, RunStart},
    sample::Samples,
    time::{TimeRange, UnixSeconds},
};

const STEP_AT: usize = 8;
const COLUMNS_AT: usize = 12;
const ROWS_AT: usize = 16;
const JUMPS_AT: usize = 18;
const HEADER_LEN: usize = 20;
const JUMP_LEN: usize = 2 + 4;
const END_LEN: usize = 4;

/// Sealed rows of a group. Its bytes are checked before there is one, so reading it cannot fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    bytes: Arc<[u8]>,
}

/// What is wrong with bytes that should be a page.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PageError {
    #[error("a page of {found} bytes, its header and table need {needed}")]
    Short { needed: usize, found: usize },
    #[error("a page of no rows")]
    NoRows,
    #[error("a page with a step of no seconds")]
    NoStep,
    #[error("jump {index} of a page does not lead to a later row at a later time")]
    Jump { index: usize },
    #[error("a page from {first} on lasts longer than time does")]
    Endless { first: UnixSeconds },
    #[error("column {column} of a page ends at {end}, the one before ended at {previous} and all at {all}")]
    Table { column: usize, previous: usize, end: usize, all: usize },
    #[error("a page has {found} bytes of columns, its table says {expected}")]
    Length { expected: usize, found: usize },
    #[error("column {column} of a page is not what its tag says")]
    Column { column: usize },
}

impl Page {
    /// A page from foreign bytes, if they are one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Page, PageError> {
        check(bytes)?;
        Ok(Page { bytes: Arc::from(bytes) })
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seconds from a row to the next of its run.
    pub fn step(&self) -> u32 {
        u32::from_le_bytes(number(&self.bytes, STEP_AT))
    }

    pub fn columns(&self) -> usize {
        u32::from_le_bytes(number(&self.bytes, COLUMNS_AT)) as usize
    }

    pub fn rows(&self) -> usize {
        usize::from(self.row_count())
    }

    /// Values in all rows, gaps among them.
    pub fn samples(&self) -> u64 {
        self.rows() as u64 * self.columns() as u64
    }

    /// From the first row to the last.
    pub fn span(&self) -> TimeRange {
        let newest = match self.jumps() {
            0 => RunStart { first: self.first(), row: 0 },
            jumps => self.jump(jumps - 1),
        };
        let last = Run { first: newest.first, row: newest.row, rows: self.row_count() - newest.row };
        TimeRange { first: self.first(), last: last.last(self.step()) }
    }

    /// How a column is written, and in how many bytes.
    pub fn encoding(&self, column: usize) -> (Encoding, usize) {
        let body = self.body(column);
        (column::encoding(body), body.len())
    }

    /// Adds the samples of a column that lie in `window`. A column that the page is too old to have is all gaps.
    pub fn read(&self, column: usize, window: TimeRange, out: &mut Samples) {
        let rows = out.push_times(self.runs(), self.step(), window);
        if rows.is_empty() {
            return;
        }
        let start = out.values.len();
        if column >= self.columns() {
            out.values.resize(start + rows.len(), f32::NAN);
            return;
        }
        let column =
            Column::parse(self.body(column), self.rows()).expect("a page is checked before it is read");
        column.decode(&mut out.values);
        if rows.start > 0 {
            out.values.copy_within(start + rows.start..start + rows.end, start);
        }
        out.values.truncate(start + rows.len());
        if let Some(flags) = column.flags() {
            out.push_flags(rows.map(flags));
        }
    }

    /// The runs of its rows, in order of time.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let first = RunStart { first: self.first(), row: 0 };
        let jumps = (0..self.jumps()).map(|index| self.jump(index));
        Run::all(std::iter::once(first).chain(jumps), self.row_count())
    }

    fn first(&self) -> UnixSeconds {
        UnixSeconds(i64::from_le_bytes(number(&self.bytes, 0)))
    }

    fn row_count(&self) -> u16 {
        u16::from_le_bytes(number(&self.bytes, ROWS_AT))
    }

    fn jumps(&self) -> usize {
        usize::from(u16::from_le_bytes(number(&self.bytes, JUMPS_AT)))
    }

    fn jump(&self, index: usize) -> RunStart {
        let at = HEADER_LEN + index * JUMP_LEN;
        let later = u32::from_le_bytes(number(&self.bytes, at + 2));
        RunStart { first: self.first().plus(later.into()), row: u16::from_le_bytes(number(&self.bytes, at)) }
    }

    fn body(&self, column: usize) -> &[u8] {
        let table = HEADER_LEN + self.jumps() * JUMP_LEN;
        let bodies = table + self.columns() * END_LEN;
        let end = |column: usize| u32::from_le_bytes(number(&self.bytes, table + column * END_LEN)) as usize;
        let start = if column == 0 { 0 } else { end(column - 1) };
        &self.bytes[bodies + start..bodies + end(column)]
    }
}

fn number<const LEN: usize>(bytes: &[u8], at: usize) -> [u8; LEN] {
    *bytes[at..].first_chunk().expect("a page is checked before it is read")
}

/// Checks all that reading relies on.
fn check(bytes: &[u8]) -> Result<(), PageError> {
    let needs = |needed: usize| match bytes.len() {
        found if found < needed => Err(PageError::Short { needed, found }),
        _ => Ok(()),
    };
    needs(HEADER_LEN)?;
    let first = i64::from_le_bytes(number(bytes, 0));
    let step = u32::from_le_bytes(number(bytes, STEP_AT));
    let columns = u32::from_le_bytes(number(bytes, COLUMNS_AT)) as usize;
    let rows = u16::from_le_bytes(number(bytes, ROWS_AT));
    let jumps = usize::from(u16::from_le_bytes(number(bytes, JUMPS_AT)));
    let table = HEADER_LEN + jumps * JUMP_LEN;
    let bodies = table + columns * END_LEN;
    needs(bodies)?;
    if rows == 0 {
        return Err(PageError::NoRows);
    }
    if step == 0 {
        return Err(PageError::NoStep);
    }

    // The last run's start, in rows and in seconds from row 0. Below 2^49, so that nothing here overflows.
    let (mut run_row, mut run_later) = (0_u16, 0_i64);
    for index in 0..jumps {
        let at = HEADER_LEN + index * JUMP_LEN;
        let row = u16::from_le_bytes(number(bytes, at));
        let later = i64::from(u32::from_le_bytes(number(bytes, at + 2)));
        let leads_on = row > run_row && row < rows;
        if !leads_on || later <= run_later + i64::from(row - run_row - 1) * i64::from(step) {
            return Err(PageError::Jump { index });
        }
        (run_row, run_later) = (row, later);
    }
    let lasts = run_later + i64::from(rows - run_row - 1) * i64::from(step);
    first.checked_add(lasts).ok_or(PageError::Endless { first: UnixSeconds(first) })?;

    let all = bytes.len() - bodies;
    let mut previous = 0;
    for column in 0..columns {
        let end = u32::from_le_bytes(number(bytes, table + column * END_LEN)) as usize;
        if end < previous || end > all {
            return Err(PageError::Table { column, previous, end, all });
        }
        let body = &bytes[bodies + previous..bodies + end];
        if !Column::parse(body, rows.into()).is_some_and(|column| column.payload_is_valid()) {
            return Err(PageError::Column { column });
        }
        previous = end;
    }
    if previous != all {
        return Err(PageError::Length { expected: previous, found: all });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
