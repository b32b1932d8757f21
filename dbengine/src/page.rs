//! A page: rows of a group that will not change again, column by column.
//!
//! | size         | field   |                                                                            |
//! |--------------|---------|----------------------------------------------------------------------------|
//! | 1            | form    | bytes of an end, 0: 1, 1: 2, 2: 4; plus 4 if there are jumps               |
//! | 1..=10       | first   | time of row 0, a zig-zag varint                                            |
//! | 1..=5        | step    | seconds from a row to the next of its run, at least 1, a varint            |
//! | 1..=3        | rows    | less one, `0..=65534`, a varint                                            |
//! | 1..=5        | columns | c, a varint                                                                |
//! | 1..=3        | jumps   | j, the runs after the first, a varint; only if there are any               |
//! | 6 j          | jump    | of each: its first row (2), the seconds from row 0 to that row (4)         |
//! | 1, 2, 4 each | ends    | of every column but the last: where its body ends, from the first body on  |
//! |              | bodies  | the columns, see `page/column.rs`                                          |
//!
//! Numbers of fixed size are little endian, the others as in `varint.rs`.
//!
//! Times come first and in one place, so that a page is found, or passed over, without touching a column. The table
//! makes a column readable without those before it. Checksum and compression are not the page's: many pages share one.
//!
//! A page is written once and read by any thread; a clone shares the bytes.

mod column;

mod constant;

mod encoder;

mod few;

mod floats;

mod integers;

mod near;

mod packing;

mod row_set;

use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

use self::column::Column;
pub use self::column::Encoding;
pub(crate) use self::encoder::{PageEncoder, RowBlock};
use crate::{
    bins::RunsOfColumn,
    hot::RowFlags,
    run::{Run, RunStart},
    sample::{SampleFlags, Samples},
    squeezed::SqueezedCopy,
    time::{TimeRange, UnixSeconds},
    varint,
};

const JUMPS: u8 = 4;
const JUMP_LEN: usize = 2 + 4;
/// Bytes of the shortest header.
const LEAST_LEN: usize = 5;

/// How many bytes an end takes: as many as the last needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EndLen {
    One,
    Two,
    Four,
}

impl EndLen {
    fn of(last: u32) -> EndLen {
        match last {
            0..=0xff => EndLen::One,
            0x100..=0xffff => EndLen::Two,
            _ => EndLen::Four,
        }
    }

    fn code(self) -> u8 {
        self as u8
    }

    fn from_code(code: u8) -> Option<EndLen> {
        [EndLen::One, EndLen::Two, EndLen::Four].get(usize::from(code)).copied()
    }

    fn bytes(self) -> usize {
        1 << self.code()
    }
}

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
    #[error("a page whose header is no such thing")]
    Header,
    #[error("a page with a step of no seconds")]
    NoStep,
    #[error("jump {index} of a page does not lead to a later row at a later time")]
    Jump { index: usize },
    #[error("a page from {first} on lasts longer than time does")]
    Endless { first: UnixSeconds },
    #[error("column {column} of a page ends at {end}, the one before ended at {previous} and all at {all}")]
    Table { column: usize, previous: usize, end: usize, all: usize },
    #[error("a page without columns has {found} bytes of them")]
    NoColumns { found: usize },
    #[error("column {column} of a page is not what its tag says")]
    Column { column: usize },
}

impl Page {
    /// Seals rows that come ready made: `values` are those of all rows, one row after the other, and `flags` as many,
    /// or none. Times are in order, all within a `u32` of the first.
    pub fn seal(step: u32, times: &[UnixSeconds], values: &[f32], flags: &[SampleFlags]) -> Page {
        assert!(step >= 1, "rows are at least a second apart");
        let rows =
            u16::try_from(times.len()).ok().filter(|rows| *rows > 0).expect("a page has 1 to 65535 rows");
        assert!(times.is_sorted_by(|earlier, later| earlier < later), "rows are in order of time");
        assert!(values.len().is_multiple_of(times.len()), "all rows have as many values");
        assert!(flags.is_empty() || flags.len() == values.len(), "all values have flags, or none");
        let begins_run = |row: usize| row == 0 || times[row].since(times[row - 1]) != i64::from(step);
        let runs = (0..times.len()).filter(|row| begins_run(*row));
        let runs: Vec<_> = runs.map(|row| RunStart { first: times[row], row: row as u16 }).collect();
        PageEncoder::default().encode(&RowBlock {
            step,
            columns: values.len() / times.len(),
            blocks: SqueezedCopy::default(),
            newest: values,
            flags: RowFlags::of_all(rows, flags).as_ref(),
            rows,
            runs: &runs,
        })
    }

    /// A page from foreign bytes, if they are one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Page, PageError> {
        check(bytes)?;
        Ok(Page { bytes: Arc::from(bytes) })
    }

    /// All but the time of row 0: step, rows, columns, where each column ends, and the columns. Pages that are alike in
    /// these begin with the same bytes.
    pub(crate) fn shape(&self) -> &[u8] {
        let mut rest = &self.bytes[1..];
        varint::take(&mut rest).expect("a page is checked before it is used");
        rest
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Seconds from a row to the next of its run.
    pub fn step(&self) -> u32 {
        self.header().step
    }

    pub fn columns(&self) -> usize {
        self.header().columns
    }

    pub fn rows(&self) -> usize {
        usize::from(self.header().rows)
    }

    /// Values in all rows, gaps among them.
    pub fn samples(&self) -> u64 {
        self.rows() as u64 * self.columns() as u64
    }

    /// From the first row to the last.
    pub fn span(&self) -> TimeRange {
        let header = self.header();
        let newest = match header.jumps {
            0 => header.start(),
            jumps => header.jump(jumps - 1),
        };
        let last = Run { first: newest.first, row: newest.row, rows: header.rows - newest.row };
        TimeRange { first: header.first, last: last.last(header.step) }
    }

    /// How a column is written, and in how many bytes.
    pub fn encoding(&self, column: usize) -> (Encoding, usize) {
        let body = self.header().body(column);
        (column::encoding(body), body.len())
    }

    /// Adds the samples of a column that lie in `window`. A column that the page is too old to have is all gaps.
    pub fn read(&self, column: usize, window: TimeRange, out: &mut Samples) {
        let header = self.header();
        let rows = out.push_times(header.runs(), header.step, window);
        if rows.is_empty() {
            return;
        }
        let Some(of_column) = header.decode(column, rows.clone(), &mut out.values) else { return };
        if let Some(flags) = of_column.flags() {
            out.push_flags(rows.map(flags));
        }
    }

    /// The same instead of what was there, without the times of single rows.
    pub(crate) fn read_runs(&self, column: usize, window: TimeRange, out: &mut RunsOfColumn) {
        out.clear();
        let header = self.header();
        let rows = out.take_runs(header.runs(), header.step, window);
        if rows.is_empty() {
            return;
        }
        let Some(of_column) = header.decode(column, rows.clone(), &mut out.values) else { return };
        if let Some(flags) = of_column.flags() {
            out.flags.extend(rows.map(flags));
        }
    }

    /// The runs of its rows, in order of time.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        self.header().runs()
    }

    fn header(&self) -> Header<'_> {
        Header::parse(&self.bytes).expect("a page is checked before it is read")
    }
}

/// A page's bytes, taken apart as far as the bodies.
#[derive(Clone, Copy, Debug)]
struct Header<'a> {
    first: UnixSeconds,
    step: u32,
    rows: u16,
    columns: usize,
    jumps: usize,
    end_len: EndLen,
    jump_table: &'a [u8],
    ends: &'a [u8],
    bodies: &'a [u8],
}

impl<'a> Header<'a> {
    /// What the bytes say; whether it makes sense is for [`check`].
    #[inline]
    fn parse(bytes: &'a [u8]) -> Result<Header<'a>, PageError> {
        let found = bytes.len();
        let short = |needed: usize| PageError::Short { needed, found };
        let (&form, mut rest) = bytes.split_first().ok_or(short(LEAST_LEN))?;
        let end_len = EndLen::from_code(form & !JUMPS).ok_or(PageError::Header)?;
        let mut number = || varint::take(&mut rest).ok_or(PageError::Header);
        let first = UnixSeconds(varint::unzigzag(number()?));
        let step = u32::try_from(number()?).map_err(|_| PageError::Header)?;
        let rows =
            u16::try_from(number()?).ok().and_then(|rows| rows.checked_add(1)).ok_or(PageError::Header)?;
        let columns = u32::try_from(number()?).map_err(|_| PageError::Header)? as usize;
        let jumps = match form & JUMPS {
            0 => 0,
            _ => usize::from(u16::try_from(number()?).map_err(|_| PageError::Header)?),
        };
        let tables_at = found - rest.len();
        let (jumps_len, ends_len) = (jumps * JUMP_LEN, columns.saturating_sub(1) * end_len.bytes());
        if rest.len() < jumps_len + ends_len {
            return Err(short(tables_at + jumps_len + ends_len));
        }
        let (jump_table, rest) = rest.split_at(jumps_len);
        let (ends, bodies) = rest.split_at(ends_len);
        Ok(Header { first, step, rows, columns, jumps, end_len, jump_table, ends, bodies })
    }

    fn start(&self) -> RunStart {
        RunStart { first: self.first, row: 0 }
    }

    fn jump(&self, index: usize) -> RunStart {
        let (row, later) = self.row_and_later(index);
        RunStart { first: self.first.plus(later), row }
    }

    /// The first row of a jump, and how many seconds it is later than row 0.
    fn row_and_later(&self, index: usize) -> (u16, i64) {
        let [row, row_high, later @ ..] =
            *self.jump_table[index * JUMP_LEN..].first_chunk::<JUMP_LEN>().expect("the table has all jumps");
        (u16::from_le_bytes([row, row_high]), u32::from_le_bytes(later).into())
    }

    fn runs(self) -> impl Iterator<Item = Run> + 'a {
        let jumps = (0..self.jumps).map(move |index| self.jump(index));
        Run::all(std::iter::once(self.start()).chain(jumps), self.rows)
    }

    /// Where the body of a column ends.
    fn end(&self, column: usize) -> usize {
        if column + 1 == self.columns {
            return self.bodies.len();
        }
        let len = self.end_len.bytes();
        let mut end = [0; 4];
        end[..len].copy_from_slice(&self.ends[column * len..][..len]);
        u32::from_le_bytes(end) as usize
    }

    fn body(&self, column: usize) -> &'a [u8] {
        let start = if column == 0 { 0 } else { self.end(column - 1) };
        &self.bodies[start..self.end(column)]
    }

    fn column(&self, column: usize) -> Column<'a> {
        Column::parse(self.body(column), self.rows.into()).expect("a page is checked before it is read")
    }

    /// Adds the values of these rows of a column. `None`: the page is too old to have it, they are gaps.
    fn decode(&self, column: usize, rows: Range<usize>, out: &mut Vec<f32>) -> Option<Column<'a>> {
        let start = out.len();
        if column >= self.columns {
            out.resize(start + rows.len(), f32::NAN);
            return None;
        }
        let of_column = self.column(column);
        match of_column.original() {
            None => of_column.decode(out),
            Some(original) => {
                self.column(column - original.back).decode(out);
                of_column.decode_from(original, &mut out[start..]);
            }
        }
        if rows.start > 0 {
            out.copy_within(start + rows.start..start + rows.end, start);
        }
        out.truncate(start + rows.len());
        Some(of_column)
    }
}

/// Checks all that reading relies on.
fn check(bytes: &[u8]) -> Result<(), PageError> {
    let header = Header::parse(bytes)?;
    let Header { first, step, rows, columns, jumps, .. } = header;
    if step == 0 {
        return Err(PageError::NoStep);
    }

    // The last run's start, in rows and in seconds from row 0. Below 2^49, so that nothing here overflows.
    let (mut run_row, mut run_later) = (0_u16, 0_i64);
    for index in 0..jumps {
        let (row, later) = header.row_and_later(index);
        let leads_on = row > run_row && row < rows;
        if !leads_on || later <= run_later + i64::from(row - run_row - 1) * i64::from(step) {
            return Err(PageError::Jump { index });
        }
        (run_row, run_later) = (row, later);
    }
    let lasts = run_later + i64::from(rows - run_row - 1) * i64::from(step);
    first.0.checked_add(lasts).ok_or(PageError::Endless { first })?;

    let all = header.bodies.len();
    if columns == 0 && all > 0 {
        return Err(PageError::NoColumns { found: all });
    }
    let mut previous = 0;
    for column in 0..columns {
        let end = header.end(column);
        if end < previous || end > all {
            return Err(PageError::Table { column, previous, end, all });
        }
        previous = end;
        let valid = Column::parse(header.body(column), rows.into()).filter(Column::is_valid);
        let original = valid.ok_or(PageError::Column { column })?.original();
        // Columns in front have been checked.
        let is_original = |front: usize| !column::encoding(header.body(front)).has_original();
        if original.is_some_and(|original| !column.checked_sub(original.back).is_some_and(is_original)) {
            return Err(PageError::Column { column });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
