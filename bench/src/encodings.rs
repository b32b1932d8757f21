//! What samples of real children cost in pages: bytes, and time to write and to read them, by encoding.

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use dbengine::{Encoding, Page, SampleFlags, Samples, TimeRange, UnixSeconds};

use crate::corpus::{self, ChartRows};

/// In a datafile's index and in its extent's table.
const INDEX_BYTES: usize = 12 + 8;
/// Columns of one encoding are read and written so many at a time, for their times.
const TIMED_TOGETHER: usize = 16;
const TIMED_FOR: Duration = Duration::from_millis(150);

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
    /// Writes the table to the page of the documentation, too, in place of the one that is there.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
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
    pages: usize,
    samples: usize,
    bytes: usize,
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
    bytes: usize,
}

pub(crate) fn run(arguments: &Encodings) -> Result<()> {
    let mut measured = Measured::default();
    for (version, connections) in corpus::CHILDREN {
        let charts = corpus::replay(&arguments.captures, connections)?;
        let before = (measured.samples, measured.stored());
        for chart in &charts {
            measured.add(&chart.looped(arguments.hours * 3600), arguments.rows);
        }
        measured.children.push(Child {
            version,
            charts: charts.len(),
            samples: measured.samples - before.0,
            bytes: measured.stored() - before.1,
        });
    }
    let table = measured.table();
    print!("{table}");
    measured.columns.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    for (bytes, name) in measured.columns.iter().take(arguments.largest) {
        println!("{bytes:.2} {name}");
    }
    Ok(())
}

impl Measured {
    /// Seals a chart's rows into pages, and adds what they take.
    fn add(&mut self, chart: &ChartRows, page_rows: u16) {
        let times: Vec<UnixSeconds> = chart.times.iter().copied().map(UnixSeconds).collect();
        let per_page = usize::from(page_rows);
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
            self.pages += 1;
            self.samples += values.len();
            self.bytes += sealed.as_bytes().len();
            for column in 0..chart.columns {
                let (encoding, bytes) = sealed.encoding(column);
                let totals = &mut self.encodings[encoding as usize];
                totals.columns += 1;
                totals.samples += times.len();
                totals.bytes += bytes;
                of_column[column].0 += bytes;
                of_column[column].1 += times.len();
                of_column[column].2 = encoding;
                if totals.timed.len() < 4096 && times.len() == per_page && totals.columns % 7 == 0 {
                    totals.timed.push(values.iter().skip(column).step_by(chart.columns).copied().collect());
                }
            }
        }
        for (column, (bytes, samples, encoding)) in of_column.into_iter().enumerate() {
            let name = format!("{}/{column} {encoding:?}", chart.id);
            self.columns.push((bytes as f64 / samples as f64, name));
        }
    }

    /// With the index.
    fn stored(&self) -> usize {
        self.bytes + self.pages * INDEX_BYTES
    }

    fn table(&self) -> String {
        let mut table = String::from(
            "| encoding | columns | samples | bytes/sample | share of bytes | encode ns/sample | decode M samples/s |\n\
             |---|---|---|---|---|---|---|\n",
        );
        let stored = self.stored();
        let share = |bytes: usize| 100.0 * bytes as f64 / stored as f64;
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
        for (name, bytes) in [("header and table", self.bytes - bodies), ("index", self.pages * INDEX_BYTES)]
        {
            let _ = writeln!(
                table,
                "| {name} | | | {:.3} | {:.1} % | | |",
                bytes as f64 / self.samples as f64,
                share(bytes)
            );
        }
        let _ = writeln!(
            table,
            "| all | {} | {} M | {:.3} | 100 % | {:.1} | {:.0} |\n",
            self.encodings.iter().map(|totals| totals.columns).sum::<usize>(),
            self.samples / 1_000_000,
            stored as f64 / self.samples as f64,
            self.sealing.as_nanos() as f64 / self.samples as f64,
            all / weighted,
        );
        for Child { version, charts, samples, bytes } in &self.children {
            let _ = writeln!(
                table,
                "| child {version} | {charts} | {samples} | {:.3} |",
                *bytes as f64 / *samples as f64
            );
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

/// Writes and reads columns again and again, many in a page.
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
        let (started, mut times) = (Instant::now(), 0);
        while times == 0 || started.elapsed() < TIMED_FOR {
            work();
            times += 1;
        }
        started.elapsed().as_secs_f64() / f64::from(times)
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
