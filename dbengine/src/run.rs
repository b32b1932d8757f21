//! Runs: rows that follow each other a step apart. Only the start of a run has a time; those of its rows are implied.

use crate::{TimeRange, UnixSeconds};

/// Where a run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunStart {
    /// Time of its first row.
    pub(crate) first: UnixSeconds,
    /// That row's place among the rows of its page or hot rows.
    pub(crate) row: u16,
}

/// A run as a whole; it has at least one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: UnixSeconds,
    pub(crate) row: u16,
    pub(crate) rows: u16,
}

impl Run {
    /// The runs that begin at `starts`, of which the last ends at row `rows`.
    pub(crate) fn all(starts: impl Iterator<Item = RunStart>, rows: u16) -> impl Iterator<Item = Run> {
        let mut starts = starts.peekable();
        std::iter::from_fn(move || {
            let RunStart { first, row } = starts.next()?;
            let end = starts.peek().map_or(rows, |next| next.row);
            Some(Run { first, row, rows: end - row })
        })
    }

    /// Time of the last row.
    pub(crate) fn last(self, step: u32) -> UnixSeconds {
        self.first.plus(i64::from(self.rows - 1) * i64::from(step))
    }

    /// The part of the run that lies in `window`.
    pub(crate) fn clip(self, step: u32, window: TimeRange) -> Option<Run> {
        if window.last < self.first {
            return None;
        }
        let step = i64::from(step);
        let late = window.first.since(self.first).max(0);
        let skipped = late / step + i64::from(late % step != 0);
        let end = i64::from(self.rows).min((window.last.since(self.first) / step).saturating_add(1));
        if skipped >= end {
            return None;
        }
        // Both are below `rows` now.
        let (skipped_rows, rows) = (skipped as u16, (end - skipped) as u16);
        Some(Run { first: self.first.plus(skipped * step), row: self.row + skipped_rows, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_clipped_to_the_rows_inside_the_window() {
        let run = Run { first: UnixSeconds(100), row: 7, rows: 5 };
        let check = |window: (i64, i64), expected: Option<(i64, u16, u16)>| {
            let window = TimeRange { first: UnixSeconds(window.0), last: UnixSeconds(window.1) };
            let found = run.clip(10, window).map(|run| (run.first.0, run.row, run.rows));
            assert_eq!(found, expected, "{window}");
        };
        check((0, 1000), Some((100, 7, 5)));
        check((i64::MIN, i64::MAX), Some((100, 7, 5)));
        check((100, 140), Some((100, 7, 5)));
        check((101, 139), Some((110, 8, 3)));
        check((110, 110), Some((110, 8, 1)));
        check((111, 119), None);
        check((0, 99), None);
        check((141, 1000), None);
        check((130, 120), None);
    }

    #[test]
    fn a_run_ends_where_the_next_begins() {
        let starts =
            [(5, 0), (50, 3), (70, 4)].map(|(first, row)| RunStart { first: UnixSeconds(first), row });
        let runs: Vec<_> = Run::all(starts.into_iter(), 6).map(|run| (run.row, run.rows)).collect();
        assert_eq!(runs, [(0, 3), (3, 1), (4, 2)]);
    }
}
