//! What samples of real children cost in pages: bytes, and time to write and to read them, by encoding.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use dbengine::{Encoding, Page, SampleFlags, Samples, TimeRange, UnixSeconds};

use crate::contender::{Contender, Make, Role};
use crate::corpus::{self, ChartRows};
use crate::extents::{self, INDEX_BYTES, INDEX_GROUP_BYTES, SealedPage, Written};
use crate::netdata::{self, Kept};
use crate::results::{Machine, today};

/// Columns of one encoding are read and written so many at a time, for their times.
const TIMED_TOGETHER: usize = 16;
/// Of the columns of an encoding, these are timed, so that all charts are among them.
const TIMED_EVERY: usize = 7;
const MOST_TIMED: usize = 4096;
/// Sizes that are looked at for comparison.
const OTHER_ROWS: [u16; 4] = [128, 256, 512, 1024];
const TIMED_FOR: Duration = Duration::from_millis(400);

#[derive(clap::Args)]
pub(crate) struct Encodings {
    /// How long the children are made to last.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i64).range(1..=24))]
    hours: i64,
    /// Rows of a page.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(16..))]
    rows: u16,
    /// The recordings.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/stream"))]
    captures: PathBuf,
    /// Where the tables are kept, with how they came about.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/encodings.md"))]
    write: PathBuf,
    /// Also has this Netdata keep the samples.
    #[arg(long, value_name = "PATH")]
    netdata: Option<PathBuf>,
    /// Names the columns that take the most bytes.
    #[arg(long, value_name = "COLUMNS", default_value_t = 0)]
    largest: usize,
}

/// All columns that are written one way.
#[derive(Default)]
struct Totals {
    columns: usize,
    samples: usize,
    bytes: usize,
    /// Some of them, to be timed.
    timed: Vec<Vec<f32>>,
}

/// All pages.
#[derive(Default)]
struct Measured {
    charts: u32,
    samples: usize,
    /// Of the pages by themselves.
    bytes: usize,
    sealed: Vec<SealedPage>,
    encodings: [Totals; Encoding::ALL.len()],
    children: Vec<Child>,
    sealing: Duration,
    /// Bytes a sample and name.
    columns: Vec<(f64, String)>,
}

struct Child {
    version: &'static str,
    charts: usize,
    samples: usize,
    /// With nothing of other children beside it.
    bytes_per_sample: f64,
}

pub(crate) fn run(arguments: &Encodings) -> Result<()> {
    let mut children = Vec::new();
    for (version, connections) in corpus::CHILDREN {
        let charts = corpus::replay(&arguments.captures, connections)?;
        children.push((
            *version,
            charts.iter().map(|chart| corpus::looped(chart, arguments.hours * 3600)).collect(),
        ));
    }
    let mut measured = Measured::of(&children, arguments.rows);
    let mut tables = measured.by_encoding();
    tables.push('\n');
    let written = Written::of(&measured.sealed);
    tables.push_str(&written.table(measured.bytes, measured.sealing_ns()));
    tables.push('\n');
    if let Some(binary) = &arguments.netdata {
        tables.push_str(&beside(binary, &children, &written)?);
        tables.push('\n');
    }
    tables.push_str(&extents::by_extent(&measured.sealed));
    tables.push('\n');
    tables.push_str(&extents::by_frame(&measured.sealed));
    tables.push('\n');
    tables.push_str(&measured.by_child());
    tables.push('\n');
    tables.push_str("| rows of a page | bytes/sample |\n|---|---|\n");
    for rows in OTHER_ROWS {
        let size = Written::of(&Measured::of(&children, rows).sealed).bytes_per_sample();
        let _ = writeln!(tables, "| {rows} | {size:.3} |");
    }
    print!("{tables}");
    measured.columns.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (bytes, name) in measured.columns.iter().take(arguments.largest) {
        println!("{bytes:.2} {name}");
    }
    std::fs::write(&arguments.write, page(arguments, &tables)?)
        .with_context(|| format!("writing {}", arguments.write.display()))?;
    println!("\nkept in {}", arguments.write.display());
    Ok(())
}

/// The table of what the same samples take here and in a Netdata.
fn beside(binary: &Path, children: &[(&'static str, Vec<ChartRows>)], written: &Written) -> Result<String> {
    let version =
        Contender { make: Make::Netdata { binary: binary.into() }, role: Role::Parent }.version()?;
    let Kept { data_bytes, journal_bytes } = netdata::keep(binary, children)?;
    let samples: usize = children.iter().flat_map(|(_, charts)| charts).map(|chart| chart.values.len()).sum();
    let [data, journal] = [data_bytes, journal_bytes].map(|bytes| bytes as f64 / samples as f64);
    Ok(format!(
        "| on disk | bytes/sample |\n|---|---|\n| mainstem, extents and index | {:.3} |\n\
         | {version}, datafiles | {data:.3} |\n| {version}, journal files | {journal:.3} |\n\
         | {version}, both | {:.3} |\n",
        written.bytes_per_sample(),
        data + journal,
    ))
}

/// How the table of [`beside`] came about, and what it does not say.
const BESIDE: &str = "
Netdata, with dbengine and one tier, fetched the same rows by replication, as the parent of six children with that past,
and was ended by SIGTERM; its figures are the lengths of its files after that, by the samples sent. Started again, it had
them: of every 25th chart the values were counted, and 99 % had to be there. They are not the same in every bit: of a value
it keeps 24 bits, where we keep the whole float. The loops are in its favour: its pages are of 1024 samples of a column,
compressed by LZ4, and in 1024 rows a recording of a minute or a few comes again several times. Our pages of 256 rows see
less of that.
";

/// The page of the documentation.
fn page(arguments: &Encodings, tables: &str) -> Result<String> {
    let Machine { cpu, cores, kernel } = Machine::this();
    let Encodings { hours, rows, netdata, .. } = arguments;
    let beside = if netdata.is_some() { BESIDE } else { "" };
    Ok(format!(
        "# What a sample costs on disk, by encoding

Written by `mainstem-bench encodings` on {}: {cpu}, {cores} cores, kernel {kernel}. Pages of {rows} rows unless said
otherwise; the encodings are described in `dbengine/src/page/`.

{tables}
## How it was measured

The recordings of `tests/golden/stream` that last a minute or more were replayed through the parent's own receiver, and
the rows of every chart read back from its engine: real children of three versions, whose test collector (`synth.*`) is
counted like everything else. Each chart was then made to last {hours} hours by running through its rows forwards and
backwards by turns. From the second pass on, a value that came only once in the recording, and does not lie on a straight
line with its neighbours, is changed: decimals by up to two of their last digit, other floats in their last six bits,
equal columns alike. So nothing looks as if it repeated that did not.

Bytes are those of all full pages: in the first table by themselves, in the others as they are on disk, padding and all.
For these the pages of all children, that began together, were put into extents of 512 KiB in the order in which an engine
seals them; in the table by child, those of each alone. The index counts {INDEX_BYTES} bytes a page, and {INDEX_GROUP_BYTES} a group and datafile,
which lasts an hour. The time to read a page is that of finding it in its datafile in memory, with its frame checked and
unpacked for it alone.

The table of frames has zstd by itself over the same pages. The engine packs 16 KiB at level 4, with the alike pages
of an extent together: what larger frames save by themselves they hardly save then, and each reader of a page pays for
all that is packed with it.

Times by encoding are of whole pages made of every seventh column that was written this way, {TIMED_TOGETHER} columns
a page, sealed and read again and again, the fastest time each, so without the cost of cold memory; those of the last line are the time of sealing
every chart's pages once, and the mean over all samples of the speeds above it.
{beside}",
        today()?
    ))
}

impl Measured {
    /// All pages of all children.
    fn of(children: &[(&'static str, Vec<ChartRows>)], page_rows: u16) -> Measured {
        let mut measured = Measured::default();
        for (version, charts) in children {
            let known = measured.sealed.len();
            let samples = measured.samples;
            for chart in charts {
                measured.add(chart, page_rows);
            }
            measured.children.push(Child {
                version,
                charts: charts.len(),
                samples: measured.samples - samples,
                bytes_per_sample: Written::of(&measured.sealed[known..]).bytes_per_sample(),
            });
        }
        measured
    }

    /// Seals a chart's rows into pages, and adds what they take.
    fn add(&mut self, chart: &ChartRows, page_rows: u16) {
        self.charts += 1;
        let times: Vec<UnixSeconds> = chart.times.iter().copied().map(UnixSeconds).collect();
        let per_page = usize::from(page_rows);
        // Bytes, samples, and how its newest page is written.
        let mut of_column = vec![(0, 0, Encoding::Gaps); chart.columns];
        for (page, times) in times.chunks(per_page).enumerate() {
            // The last page of the loops is as full as chance has it.
            if times.len() < per_page && page > 0 {
                break;
            }
            let samples = page * per_page * chart.columns..(page * per_page + times.len()) * chart.columns;
            let values = &chart.values[samples.clone()];
            let flags: &[SampleFlags] = chart.flags.get(samples).unwrap_or_default();
            let started = Instant::now();
            let sealed = black_box(Page::seal(chart.step, times, values, flags));
            self.sealing += started.elapsed();
            self.samples += values.len();
            self.bytes += sealed.as_bytes().len();
            for (column, sums) in of_column.iter_mut().enumerate() {
                let (encoding, bytes) = sealed.encoding(column);
                *sums = (sums.0 + bytes, sums.1 + times.len(), encoding);
                let totals = &mut self.encodings[encoding as usize];
                totals.columns += 1;
                totals.samples += times.len();
                totals.bytes += bytes;
                let is_timed = totals.columns.is_multiple_of(TIMED_EVERY) && totals.timed.len() < MOST_TIMED;
                if is_timed && times.len() == per_page {
                    totals.timed.push(values.iter().skip(column).step_by(chart.columns).copied().collect());
                }
            }
            let first = (times[0].0 - chart.times[0]) as u64;
            self.sealed.push(SealedPage::new(self.charts, first, values.len(), sealed));
        }
        for (column, (bytes, samples, encoding)) in of_column.into_iter().enumerate() {
            let name = format!("{}/{column} {encoding:?}", chart.id);
            self.columns.push((bytes as f64 / samples as f64, name));
        }
    }

    fn sealing_ns(&self) -> f64 {
        self.sealing.as_nanos() as f64 / self.samples as f64
    }

    fn by_encoding(&self) -> String {
        let mut table = String::from(
            "| encoding | columns | samples | bytes/sample | share of bytes | encode ns/sample | decode M samples/s |\n\
             |---|---|---|---|---|---|---|\n",
        );
        let share = |bytes: usize| 100.0 * bytes as f64 / self.bytes as f64;
        let (mut weighted, mut all) = (0.0, 0.0);
        for (encoding, totals) in Encoding::ALL.iter().zip(&self.encodings) {
            if totals.columns == 0 {
                continue;
            }
            let speed = speed(*encoding, &totals.timed);
            weighted += totals.samples as f64 / speed.decode;
            all += totals.samples as f64;
            let _ = writeln!(
                table,
                "| {encoding:?} | {} | {:.1} % | {:.3} | {:.1} % | {:.1} | {:.0} |",
                totals.columns,
                100.0 * totals.samples as f64 / self.samples as f64,
                totals.bytes as f64 / totals.samples as f64,
                share(totals.bytes),
                speed.encode,
                speed.decode,
            );
        }
        let bodies: usize = self.encodings.iter().map(|totals| totals.bytes).sum();
        let rest = self.bytes - bodies;
        let _ = writeln!(
            table,
            "| header and table | | | {:.3} | {:.1} % | | |",
            rest as f64 / self.samples as f64,
            share(rest)
        );
        let _ = writeln!(
            table,
            "| all | {} | {:.0} M | {:.3} | 100 % | {:.1} | {:.0} |",
            self.encodings.iter().map(|totals| totals.columns).sum::<usize>(),
            self.samples as f64 / 1e6,
            self.bytes as f64 / self.samples as f64,
            self.sealing_ns(),
            all / weighted,
        );
        table
    }

    fn by_child(&self) -> String {
        let mut table = String::from("| child | charts | samples | bytes/sample |\n|---|---|---|---|\n");
        for Child { version, charts, samples, bytes_per_sample } in &self.children {
            let samples = *samples as f64 / 1e6;
            let _ = writeln!(table, "| {version} | {charts} | {samples:.1} M | {bytes_per_sample:.3} |");
        }
        table
    }
}

struct Speed {
    /// Nanoseconds a sample.
    encode: f64,
    /// Million samples a second.
    decode: f64,
}

/// Writes and reads columns again and again, many in a page. The fastest time counts: others have the machine, too.
fn speed(encoding: Encoding, columns: &[Vec<f32>]) -> Speed {
    // A copy needs its original in front.
    let copies = if encoding == Encoding::Copy { 2 } else { 1 };
    let blocks: Vec<(Vec<UnixSeconds>, Vec<f32>)> = columns
        .chunks(TIMED_TOGETHER / copies)
        .map(|columns| {
            let rows = columns[0].len();
            let of_row = |row: usize| columns.iter().flat_map(move |column| vec![column[row]; copies]);
            ((0..rows as i64).map(UnixSeconds).collect(), (0..rows).flat_map(of_row).collect())
        })
        .collect();
    if blocks.is_empty() {
        return Speed { encode: f64::NAN, decode: f64::NAN };
    }
    let repeat = |work: &mut dyn FnMut()| {
        let (started, mut fastest) = (Instant::now(), Duration::MAX);
        while fastest == Duration::MAX || started.elapsed() < TIMED_FOR {
            let began = Instant::now();
            work();
            fastest = fastest.min(began.elapsed());
        }
        fastest.as_secs_f64()
    };
    let samples: usize = blocks.iter().map(|(_, values)| values.len()).sum();
    let mut pages = Vec::new();
    let encode = repeat(&mut || {
        pages = blocks.iter().map(|(times, values)| Page::seal(1, times, values, &[])).collect();
    });
    let mut out = Samples::default();
    let mut decoded = 0;
    let decode = repeat(&mut || {
        decoded = 0;
        for page in &pages {
            for column in (copies - 1..page.columns()).step_by(copies) {
                out.clear();
                page.read(column, TimeRange::ALL, &mut out);
                decoded += black_box(&out).len();
            }
        }
    });
    Speed { encode: encode * 1e9 / samples as f64, decode: decoded as f64 / decode / 1e6 }
}
