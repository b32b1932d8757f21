//! Reading back a group's samples, on any thread, while the engine goes on.

use std::sync::Arc;

use crate::{
    datafile::DiskPage, disk::FileId, hot::CopiedRows, key::GroupKey, page::Page, sample::Samples,
    time::TimeRange,
};

/// The rows of a group that lay in a window when it was asked for. Its pages are shared with the engine and decoded
/// only when a column is read; rows that were hot are copies.
#[derive(Clone, Debug)]
pub struct GroupSnapshot {
    key: GroupKey,
    step: u32,
    columns: usize,
    window: TimeRange,
    /// In order of time; all overlap the window.
    pages: Vec<Page>,
    /// Newer than the pages.
    hot: Option<CopiedRows>,
    /// Pages that lie before these, in files that only the engine knows, in order of time.
    on_disk: Vec<DiskPage>,
    /// The files that it spoke for.
    files: Option<Arc<[FileId]>>,
}

impl GroupSnapshot {
    pub(crate) fn new(
        key: GroupKey,
        step: u32,
        columns: usize,
        window: TimeRange,
        pages: Vec<Page>,
        hot: Option<CopiedRows>,
    ) -> GroupSnapshot {
        GroupSnapshot { key, step, columns, window, pages, hot, on_disk: Vec::new(), files: None }
    }

    pub(crate) fn with_disk(mut self, on_disk: Vec<DiskPage>, files: Arc<[FileId]>) -> GroupSnapshot {
        self.on_disk = on_disk;
        self.files = Some(files);
        self
    }

    pub fn key(&self) -> GroupKey {
        self.key
    }

    /// What was asked for.
    pub fn window(&self) -> TimeRange {
        self.window
    }

    /// Pages that are to be read from files which the engine has not handed over to readers yet.
    pub fn on_disk(&self) -> &[DiskPage] {
        &self.on_disk
    }

    /// Files whose pages are not to be looked for elsewhere: those that [`on_disk`](Self::on_disk) speaks for. `None`: the
    /// group is not for the disk.
    pub fn files(&self) -> Option<&[FileId]> {
        self.files.as_deref()
    }

    /// Adds pages that were read from the disk.
    pub fn add_pages(&mut self, pages: Vec<Page>) {
        self.pages.extend(pages);
        self.pages.sort_by_key(|page| page.span().first);
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
