//! The samples of some groups, from files and journal.

use std::collections::{BTreeMap, HashMap, HashSet};

use dbengine::{
    Directory, FileSet, GroupKey, Page, Record, SampleFlags, Samples, TimeRange, UnixSeconds, inspect,
    read_journal,
};

/// Rows of the journal that are handed on together.
const BLOCK_ROWS: usize = 256;

/// What is on disk of some groups. What the journal has is in memory, pages of files are not.
pub(super) struct Archive {
    files: FileSet,
    journal: HashMap<GroupKey, Journalled>,
}

/// What the journal has of a group.
#[derive(Default)]
struct Journalled {
    rows: BTreeMap<UnixSeconds, JournalRow>,
    /// Of times between and before these.
    pages: Vec<Page>,
}

struct JournalRow {
    values: Box<[f32]>,
    /// Empty when none is set.
    flags: Box<[SampleFlags]>,
}

impl Archive {
    /// The journal first: a row that leaves it meanwhile is in a page by then.
    pub(super) fn open(
        directory: &mut Directory,
        wanted: &HashSet<GroupKey>,
        window: TimeRange,
    ) -> anyhow::Result<Archive> {
        let mut journal: HashMap<_, Journalled> = HashMap::new();
        read_journal(directory, |record| match record {
            Record::Row { key, time, values, flags, .. }
                if window.contains(time) && wanted.contains(&key) =>
            {
                let row = JournalRow { values: values.into(), flags: flags.into() };
                journal.entry(key).or_default().rows.insert(time, row);
            }
            Record::Page { key, page } if page.span().overlaps(window) && wanted.contains(&key) => {
                journal.entry(key).or_default().pages.push(page);
            }
            _ => {}
        })?;
        let files = inspect(directory, &mut |_| {})?.files;
        Ok(Archive { files, journal })
    }

    /// The first and the last row of a group.
    #[cfg(feature = "parquet")]
    pub(super) fn span(&self, key: GroupKey) -> Option<TimeRange> {
        let of_rows = |rows: &BTreeMap<UnixSeconds, _>| {
            Some(TimeRange { first: *rows.first_key_value()?.0, last: *rows.last_key_value()?.0 })
        };
        let in_journal = self.journal.get(&key).into_iter().flat_map(|journalled| {
            of_rows(&journalled.rows).into_iter().chain(journalled.pages.iter().map(Page::span))
        });
        let spans = self.files.span(0, key).into_iter().chain(in_journal);
        spans.reduce(TimeRange::hull)
    }

    /// Hands out the rows of a group in order of time, a page at a time: samples of each of its `columns`, all at the same
    /// times. A page that cannot be read is told on standard error and left out.
    pub(super) fn blocks(
        &self,
        key: GroupKey,
        columns: usize,
        window: TimeRange,
        visit: &mut dyn FnMut(&[Samples]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut pages = Vec::new();
        for (file, place) in self.files.pages(0, key, window, &[]) {
            match file.read(place) {
                Ok(page) => pages.push(page),
                Err(error) => eprintln!("mainstem: {error}; what it held is left out"),
            }
        }
        let newest = pages.iter().map(|page: &Page| page.span().last).max();
        let mut rows = Vec::new();
        if let Some(journalled) = self.journal.get(&key) {
            for page in &journalled.pages {
                if pages.iter().all(|known| known.span().first != page.span().first) {
                    pages.push(page.clone());
                }
            }
            rows.extend(
                journalled
                    .rows
                    .iter()
                    .filter(|(time, _)| newest.is_none_or(|newest| **time > newest))
                    .map(|(time, row)| (*time, row)),
            );
        }
        pages.sort_by_key(|page| page.span().first);
        let mut block = vec![Samples::default(); columns];
        let mut rest = &rows[..];
        for page in pages {
            let before = rest.partition_point(|(time, _)| *time < page.span().first);
            visit_rows(&rest[..before], &mut block, visit)?;
            rest = &rest[before..];
            for (column, samples) in block.iter_mut().enumerate() {
                samples.clear();
                page.read(column, window, samples);
            }
            if block.first().is_some_and(|samples| !samples.is_empty()) {
                visit(&block)?;
            }
        }
        visit_rows(rest, &mut block, visit)
    }
}

/// Hands out rows, as samples of each column of `block`.
fn visit_rows(
    rows: &[(UnixSeconds, &JournalRow)],
    block: &mut [Samples],
    visit: &mut dyn FnMut(&[Samples]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for rows in rows.chunks(BLOCK_ROWS) {
        for (column, samples) in block.iter_mut().enumerate() {
            samples.clear();
            for (time, row) in rows {
                samples.times.push(time.0);
                samples.values.push(row.values.get(column).copied().unwrap_or(f32::NAN));
                samples.flags.push(row.flags.get(column).copied().unwrap_or_default());
            }
        }
        visit(block)?;
    }
    Ok(())
}
