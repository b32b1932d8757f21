//! Reading back a group's samples, on any thread, while the engine goes on.

use crate::{hot::CopiedRows, page::Page, sample::Samples, time::TimeRange};

/// The rows of a group that lay in a window when it was asked for. Its pages are shared with the engine and decoded
/// only when a column is read; rows that were hot are copies.
#[derive(Clone, Debug)]
pub struct GroupSnapshot {
    step: u32,
    columns: usize,
    window: TimeRange,
    /// In order of time; all overlap the window.
    pages: Vec<Page>,
    /// Newer than the pages.
    hot: Option<CopiedRows>,
}

impl GroupSnapshot {
    pub(crate) fn new(
        step: u32,
        columns: usize,
        window: TimeRange,
        pages: Vec<Page>,
        hot: Option<CopiedRows>,
    ) -> GroupSnapshot {
        GroupSnapshot { step, columns, window, pages, hot }
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

    /// Puts the samples of one column that lie in `window` into `out`, in order of time, instead of what was there.
    pub fn column(&self, column: usize, window: TimeRange, out: &mut Samples) {
        assert!(column < self.columns, "column {column} of {}", self.columns);
        out.clear();
        let window = window.intersection(self.window);
        if window.is_empty() {
            return;
        }
        for page in self.pages.iter().filter(|page| page.span().overlaps(window)) {
            page.read(column, window, out);
        }
        if let Some(hot) = self.hot.as_ref().filter(|hot| hot.span().overlaps(window)) {
            hot.read(column, window, out);
        }
        out.settle_flags();
    }
}
