//! The samples of some groups, from files and journal.

use std::collections::{BTreeMap, HashMap, HashSet};

use dbengine::{
    Directory, FileSet, GroupKey, Record, SampleFlags, Samples, TimeRange, UnixSeconds, inspect, read_journal,
};

/// Rows of the journal that are handed on together.
const BLOCK_ROWS: usize = 256;

/// What is on disk of some groups. Rows of the journal are in memory, pages are not.
pub(super) struct Archive {
    files: FileSet,
    journal: HashMap<GroupKey, BTreeMap<UnixSeconds, JournalRow>>,
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
        let mut journal: HashMap<_, BTreeMap<_, _>> = HashMap::new();
        read_journal(directory, |record| {
            if let Record::Row { key, time, values, flags, .. } = record
                && window.contains(time)
                && wanted.contains(&key)
            {
                let row = JournalRow { values: values.into(), flags: flags.into() };
                journal.entry(key).or_default().insert(time, row);
            }
        })?;
        let files = inspect(directory, &mut |_| {})?.files;
        Ok(Archive { files, journal })
    }

    /// The first and the last row of a group.
    #[cfg(feature = "parquet")]
    pub(super) fn span(&self, key: GroupKey) -> Option<TimeRange> {
        let rows = self.journal.get(&key);
        let in_journal = rows.and_then(|rows| {
            Some(TimeRange { first: *rows.first_key_value()?.0, last: *rows.last_key_value()?.0 })
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
        pages.sort_by_key(|page| page.span().first);
        let mut block = vec![Samples::default(); columns];
        let mut newest = None;
        for page in pages {
            for (column, samples) in block.iter_mut().enumerate() {
                samples.clear();
                page.read(column, window, samples);
            }
            if block.first().is_some_and(|samples| !samples.is_empty()) {
                visit(&block)?;
            }
            newest = newest.max(Some(page.span().last));
        }
        let Some(rows) = self.journal.get(&key) else { return Ok(()) };
        let rows: Vec<_> = rows
            .iter()
            .filter(|(time, _)| window.contains(**time) && newest.is_none_or(|newest| **time > newest))
            .collect();
        for rows in rows.chunks(BLOCK_ROWS) {
            for (column, samples) in block.iter_mut().enumerate() {
                samples.clear();
                for (time, row) in rows {
                    samples.times.push(time.0);
                    samples.values.push(row.values.get(column).copied().unwrap_or(f32::NAN));
                    samples.flags.push(row.flags.get(column).copied().unwrap_or_default());
                }
            }
            visit(&block)?;
        }
        Ok(())
    }
}
