//! A database as a parent would have left it after hours of children's work, made in minutes: the catalog, the datafiles
//! of seconds, and the tiers derived from them by the engine itself.
//!
//! What a real parent spends its time on, encoding pages, is done a few times a group: the samples of a group repeat after
//! some pages, so that these are the same again but for their time. All else is as it would be: pages end spread over
//! time, lie in the files of their hour in the order in which they became full, and are repeated too far apart for packing
//! to save anything by it.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dbengine::{Directory, FileId, FileWriter, GroupKey, Page, SealedFile, UnixSeconds, WriterId, derive};
use mainstem::catalog::CatalogStore;
use mainstem::shard::placement;

use crate::catalog::{self, chart, host};

/// Rows of every page: what the engine has in one.
pub(crate) const PAGE_ROWS: i64 = 256;
/// A file has pages of so many seconds.
const FILE_SECONDS: i64 = 3600;
/// Rows of a tier that one of the next is made of.
const FACTOR: u32 = 60;
/// Files of minutes that a file of hours is made of.
const HOURS_TOGETHER: usize = 24;
/// Pages that are encoded, about.
const TEMPLATES: u64 = 200_000;
/// Changes of a transaction of the catalog.
const BATCH: usize = 16 * 1024;

/// Who wrote it side by side, each with files of its own, as shards do.
const WRITERS: u16 = 2;

/// A database to be made: so many hours of samples a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dataset {
    pub(crate) hosts: u32,
    /// Of a host.
    pub(crate) charts: u32,
    /// Of a chart.
    pub(crate) dimensions: u32,
    pub(crate) hours: u32,
}

impl FromStr for Dataset {
    type Err = String;

    /// `HOSTSxCHARTSxDIMENSIONSxHOURS`.
    fn from_str(text: &str) -> Result<Dataset, String> {
        let numbers: Option<Vec<u32>> =
            text.split('x').map(|number| number.parse().ok().filter(|number| *number > 0)).collect();
        match numbers.as_deref() {
            Some([hosts, charts, dimensions, hours]) => {
                Ok(Dataset { hosts: *hosts, charts: *charts, dimensions: *dimensions, hours: *hours })
            }
            _ => Err("four numbers with an x between them are wanted, as 1000x200x5x24".into()),
        }
    }
}

/// Makes a database and leaves it there: `mainstem --state DIR` runs on it.
#[derive(clap::Args)]
pub(crate) struct Generate {
    /// HOSTSxCHARTSxDIMENSIONSxHOURS
    #[arg(long, default_value = "1000x200x5x24")]
    dataset: Dataset,
    /// The state directory of a parent; it is made.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
}

impl Generate {
    pub(crate) fn run(&self) -> Result<()> {
        ensure!(!self.state.exists(), "{} is there already", self.state.display());
        print!("{}", self.dataset.generate(&self.state, now())?);
        Ok(())
    }
}

/// A database that was made.
#[derive(Clone, Debug)]
pub(crate) struct Generated {
    pub(crate) dataset: Dataset,
    /// The first second that has samples, of some group, and the last.
    pub(crate) first: i64,
    pub(crate) last: i64,
    tiers: Vec<TierTotals>,
    catalog_bytes: u64,
    took: Duration,
}

/// What was made of one tier.
#[derive(Clone, Copy, Debug, Default)]
struct TierTotals {
    files: usize,
    pages: usize,
    samples: u64,
    data_bytes: u64,
    index_bytes: u64,
}

impl TierTotals {
    fn of<'a>(files: impl Iterator<Item = &'a Arc<SealedFile>>) -> TierTotals {
        files.fold(TierTotals::default(), |sum, file| TierTotals {
            files: sum.files + 1,
            pages: sum.pages + file.index.page_count(),
            samples: sum.samples + file.index.samples(),
            data_bytes: sum.data_bytes + file.index.data_len(),
            index_bytes: sum.index_bytes + file.index.file_len(),
        })
    }
}

impl std::fmt::Display for Generated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Dataset { hosts, charts, dimensions, hours } = self.dataset;
        writeln!(
            f,
            "{hosts} hosts x {charts} charts x {dimensions} dimensions: {} groups, {} metrics; {hours} h, a sample a \
             second; made in {:.0} s",
            self.dataset.groups(),
            self.dataset.groups() * u64::from(dimensions),
            self.took.as_secs_f64()
        )?;
        for (tier, totals) in self.tiers.iter().enumerate() {
            let TierTotals { files, pages, samples, data_bytes, index_bytes } = totals;
            writeln!(
                f,
                "tier {tier}  {files:>5} files {pages:>10} pages {samples:>12} values {:>9.1} MB of data {:>8.1} MB of \
                 indexes",
                *data_bytes as f64 / 1e6,
                *index_bytes as f64 / 1e6
            )?;
        }
        writeln!(f, "catalog {:>8.1} MB", self.catalog_bytes as f64 / 1e6)
    }
}

impl Dataset {
    pub(crate) fn groups(&self) -> u64 {
        u64::from(self.hosts) * u64::from(self.charts)
    }

    /// After how many pages the samples of a group repeat.
    fn variants(&self) -> i64 {
        (TEMPLATES / self.groups()).clamp(1, 16) as i64
    }

    /// What a group collects at a second: of five columns two are constant, two have two values and one has four, without
    /// any order that a packer could find.
    pub(crate) fn value(&self, group: u64, column: u32, time: i64) -> f32 {
        let bits = [0, 1, 2, 0, 1][(group + u64::from(column)) as usize % 5];
        let second = time.rem_euclid(self.variants() * PAGE_ROWS) as u64;
        let seed = group << 32 | u64::from(column) << 16 | second;
        (group % 100) as f32 + (mixed(seed) >> 32 & ((1 << bits) - 1)) as f32
    }

    /// Makes the database in a parent's state directory, up to `until` (unix seconds) or a little less.
    pub(crate) fn generate(&self, state: &Path, until: i64) -> Result<Generated> {
        let begun = Instant::now();
        let last = until - until.rem_euclid(PAGE_ROWS);
        let first = last - i64::from(self.hours) * FILE_SECONDS;
        let cache = state.join("cache");
        std::fs::create_dir_all(&cache)?;
        let catalog_bytes = self.write_catalog(&cache.join("catalog.redb"))?;
        let mut directory = Directory::create(&cache.join("db"))?;
        let written = std::thread::scope(|scope| {
            let write = |writer| {
                let directory = directory.clone();
                scope.spawn(move || self.write_files(directory, writer, first, last))
            };
            let threads: Vec<_> = (0..WRITERS).map(write).collect();
            let joined = threads.into_iter().map(|thread| thread.join().expect("no writer panics"));
            joined.collect::<Result<Vec<Written>>>()
        })?;
        let mut tiers: [Vec<Arc<SealedFile>>; 3] = Default::default();
        for Written { seconds, minutes } in written {
            tiers[0].extend(seconds);
            tiers[1].extend(minutes);
        }
        tiers[1].sort_by_key(|file| file.id);
        let [_, minutes, hours] = &mut tiers;
        for sources in minutes.chunks_exact(HOURS_TOGETHER) {
            hours.extend(derive(&mut directory, sources, FACTOR)?.file.map(Arc::new));
        }
        Ok(Generated {
            dataset: *self,
            first,
            last,
            tiers: tiers.iter().map(|files| TierTotals::of(files.iter())).collect(),
            catalog_bytes,
            took: begun.elapsed(),
        })
    }

    /// From when to when a database reaches that was made like this, whatever a parent has added to it since.
    pub(crate) fn span_in(&self, state: &Path) -> Result<(i64, i64)> {
        let mut directory = Directory::existing(&state.join("cache/db"))?;
        let found = dbengine::inspect(&mut directory, &mut |_| {})?;
        let span = found.files.span(0, GroupKey(catalog::key(&catalog::guid(0), 0)));
        let span = span.context("it is not of this dataset")?;
        Ok((span.first.0, span.last.0))
    }

    fn write_catalog(&self, path: &Path) -> Result<u64> {
        let mut store = CatalogStore::open(path)?;
        let mut batch = Vec::new();
        for number in 0..self.hosts {
            batch.push(host(number));
            batch.extend((0..self.charts).map(|ordinal| chart(number, ordinal, self.dimensions)));
            if batch.len() >= BATCH {
                store.apply(&batch)?;
                batch.clear();
            }
        }
        store.apply(&batch)?;
        drop(store);
        Ok(std::fs::metadata(path)?.len())
    }

    /// Writes the files of one writer, an hour after the other, and derives the minutes of each.
    fn write_files(&self, mut directory: Directory, writer: u16, first: i64, last: i64) -> Result<Written> {
        let templates = self.templates(writer);
        let mut by_phase: Vec<Vec<&Template>> = vec![Vec::new(); PAGE_ROWS as usize];
        for template in &templates {
            by_phase[template.phase as usize].push(template);
        }
        let mut written = Written::default();
        for hour in 0..i64::from(self.hours) {
            let begins = first + hour * FILE_SECONDS;
            let sequence = (hour as u32) * u32::from(WRITERS) + u32::from(writer) + 1;
            let id = FileId { sequence, writer: WriterId(writer) };
            let mut file = FileWriter::create(&mut directory, 0, id)?;
            // A page is full with its last row.
            for full in begins..(begins + FILE_SECONDS).min(last) {
                let page_first = full + 1 - PAGE_ROWS;
                if page_first < first {
                    continue;
                }
                for template in &by_phase[page_first.rem_euclid(PAGE_ROWS) as usize] {
                    file.add(template.key, template.at(page_first)?)?;
                }
            }
            let Some(file) = file.finish(Vec::new())? else { continue };
            let file = Arc::new(file);
            written.minutes.extend(derive(&mut directory, &[Arc::clone(&file)], FACTOR)?.file.map(Arc::new));
            written.seconds.push(file);
        }
        Ok(written)
    }

    fn templates(&self, writer: u16) -> Vec<Template> {
        let mut templates = Vec::new();
        for number in (0..self.hosts).filter(|number| self.is_of(writer, *number)) {
            let guid = catalog::guid(number);
            templates.extend((0..self.charts).map(|ordinal| {
                let key = GroupKey(catalog::key(&guid, ordinal));
                Template::new(self, key, self.group(number, ordinal))
            }));
        }
        templates
    }

    fn is_of(&self, writer: u16, host: u32) -> bool {
        placement::owner(&catalog::guid(host), WRITERS.into()).0 == writer
    }

    /// The number of a chart among all of the database, as [`value`](Self::value) wants it.
    pub(crate) fn group(&self, host: u32, chart: u32) -> u64 {
        u64::from(host) * u64::from(self.charts) + u64::from(chart)
    }
}

/// The files of one writer.
#[derive(Debug, Default)]
struct Written {
    seconds: Vec<Arc<SealedFile>>,
    minutes: Vec<Arc<SealedFile>>,
}

/// The finalizer of SplitMix64.
pub(crate) fn mixed(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ mixed >> 31
}

/// The pages of a group that all its pages are like.
struct Template {
    key: GroupKey,
    /// Of its pages' first rows, in the seconds of a page.
    phase: i64,
    /// In order of time.
    pages: Vec<Timeless>,
}

/// What stands before the time of a page's first row, and behind it.
struct Timeless {
    form: u8,
    rest: Vec<u8>,
}

impl Template {
    fn new(dataset: &Dataset, key: GroupKey, group: u64) -> Template {
        let phase = (mixed(group) % PAGE_ROWS as u64) as i64;
        let page = |number: i64| {
            let first = number * PAGE_ROWS + phase;
            let times: Vec<UnixSeconds> = (first..first + PAGE_ROWS).map(UnixSeconds).collect();
            let columns = 0..dataset.dimensions;
            let values: Vec<f32> = times
                .iter()
                .flat_map(|time| columns.clone().map(move |column| dataset.value(group, column, time.0)))
                .collect();
            let page = Page::seal(1, &times, &values, &[]);
            let rest = page.as_bytes()[1 + varint(first).len()..].to_vec();
            Timeless { form: page.as_bytes()[0], rest }
        };
        Template { key, phase, pages: (0..dataset.variants()).map(page).collect() }
    }

    /// The page that begins at `first`.
    fn at(&self, first: i64) -> Result<Page> {
        let number = first.div_euclid(PAGE_ROWS).rem_euclid(self.pages.len() as i64);
        let Timeless { form, rest } = &self.pages[number as usize];
        let mut bytes = vec![*form];
        bytes.extend(varint(first));
        bytes.extend_from_slice(rest);
        Page::from_bytes(&bytes).context("a page with another time is a page")
    }
}

/// A time as a page has it: zig-zag, seven bits a byte.
fn varint(time: i64) -> Vec<u8> {
    let mut number = (time << 1 ^ time >> 63) as u64;
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// Unix seconds.
pub(crate) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    now.as_secs() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use dbengine::{Samples, TimeRange, recover};

    const UNTIL: i64 = 1_795_000_000;

    #[test]
    fn what_was_generated_reads_back_as_the_formula_has_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let dataset = Dataset { hosts: 20, charts: 100, dimensions: 5, hours: 2 };
        let generated = dataset.generate(directory.path(), UNTIL).expect("a database");
        let mut database = Directory::existing(&directory.path().join("cache/db")).expect("its directory");
        let recovered = recover(&mut database, &mut |_| {}).expect("a database");
        assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
        let files = recovered.files;
        assert_eq!((files.tier(0).len(), files.tier(1).len()), (4, 4));

        let mut samples = Samples::default();
        for (host, ordinal) in [(0, 0), (7, 31), (19, 99)] {
            let key = GroupKey(catalog::key(&catalog::guid(host), ordinal));
            for column in 0..dataset.dimensions {
                samples.clear();
                for (file, place) in files.pages(0, key, TimeRange::ALL, &[]) {
                    file.read(place).expect("a page").read(column as usize, TimeRange::ALL, &mut samples);
                }
                assert!(samples.times.windows(2).all(|two| two[1] == two[0] + 1), "no second is missing");
                assert!(samples.times.first().expect("samples") - generated.first < PAGE_ROWS);
                assert!(generated.last - samples.times.last().expect("samples") <= PAGE_ROWS);
                let group = dataset.group(host, ordinal);
                for (time, found) in samples.times.iter().zip(&samples.values) {
                    assert_eq!(
                        *found,
                        dataset.value(group, column, *time),
                        "{host} {ordinal} {column} {time}"
                    );
                }
            }
        }
        let mut store = CatalogStore::open(&directory.path().join("cache/catalog.redb")).expect("a catalog");
        let stored = store.load(|_, _| {}).expect("records");
        assert_eq!((stored.hosts, stored.charts, stored.dimensions), (20, 2000, 10_000));
    }
}
