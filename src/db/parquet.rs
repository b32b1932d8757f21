//! Samples as Parquet files, for DuckDB and its kind: long, narrow rows, a file for each host and day (UTC).
//!
//! ```text
//! DIR/host=<hostname>/day=<YYYY-MM-DD>/part-<n>.parquet      n tells hosts of one name apart, ordered by machine GUID
//! ```
//!
//! | column    | type                    |                                              |
//! |-----------|-------------------------|----------------------------------------------|
//! | time      | timestamp in ms, UTC    | whole seconds; Parquet has no coarser unit   |
//! | chart     | string                  | its id                                       |
//! | context   | string                  |                                              |
//! | family    | string                  |                                              |
//! | dimension | string                  | its id                                       |
//! | units     | string                  |                                              |
//! | value     | float, null for a gap   |                                              |
//! | anomalous | boolean                 | the child's anomaly detection found it so    |
//! | reset     | boolean                 | the counter behind it was reset              |
//!
//! A file is written under another name first: those that are there are whole.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use dbengine::{Directory, GroupKey, SampleFlags, Samples, TimeRange, UnixSeconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use parquet::basic::{Compression, Encoding};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use super::archive::Archive;
use crate::catalog::{ChartRecord, HostRecord};

const SCHEMA: &str = "message samples {
    required int64 time (timestamp(millis, true));
    required binary chart (string);
    required binary context (string);
    required binary family (string);
    required binary dimension (string);
    required binary units (string);
    optional float value;
    required boolean anomalous;
    required boolean reset;
}";

const DAY: i64 = 86_400;
/// Rows of a row group: about 16 MB in memory.
const GROUP_ROWS: usize = 1 << 20;
/// Hosts are read together until they have so many dimensions: the rows of their journal, ten minutes of them, are kept
/// in memory, and the journal is read once for all of them.
const DIMENSIONS_TOGETHER: usize = 50_000;
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

type Host = (HostRecord, Vec<ChartRecord>);

/// Writes the samples of the hosts that lie in `window`. `hosts` are ordered by their names.
pub(super) fn export(
    directory: &mut Directory,
    hosts: &[&Host],
    window: TimeRange,
    target: &Path,
) -> anyhow::Result<()> {
    let mut export = Export::new(target)?;
    let mut namesakes: HashMap<&str, usize> = HashMap::new();
    let mut rest = hosts;
    while !rest.is_empty() {
        let mut dimensions = 0;
        let together = rest.iter().take_while(|(_, charts)| {
            let before = dimensions;
            dimensions += charts.iter().map(|chart| chart.dimensions.len()).sum::<usize>();
            before < DIMENSIONS_TOGETHER
        });
        let (now, later) = rest.split_at(together.count());
        rest = later;
        let wanted: HashSet<GroupKey> =
            now.iter().flat_map(|(_, charts)| charts).map(|chart| GroupKey(chart.key)).collect();
        let archive = Archive::open(directory, &wanted, window)?;
        for (host, charts) in now {
            let part = namesakes.entry(&host.info.hostname).or_default();
            export.host(&archive, &host.info.hostname, *part, charts, window)?;
            *part += 1;
            export.tell(hosts.len(), false);
        }
    }
    export.tell(hosts.len(), true);
    Ok(())
}

struct Export<'a> {
    target: &'a Path,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    rows: Rows,
    hosts: usize,
    files: usize,
    samples: u64,
    told: Instant,
}

impl<'a> Export<'a> {
    fn new(target: &'a Path) -> anyhow::Result<Export<'a>> {
        let properties = WriterProperties::builder()
            .set_created_by(concat!("mainstem ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::SNAPPY)
            .set_column_dictionary_enabled(ColumnPath::from("time"), false)
            .set_column_encoding(ColumnPath::from("time"), Encoding::DELTA_BINARY_PACKED);
        Ok(Export {
            target,
            schema: Arc::new(parse_message_type(SCHEMA)?),
            properties: Arc::new(properties.build()),
            rows: Rows::default(),
            hosts: 0,
            files: 0,
            samples: 0,
            told: Instant::now(),
        })
    }

    fn tell(&mut self, of_hosts: usize, at_the_end: bool) {
        if at_the_end || self.told.elapsed() >= PROGRESS_EVERY {
            self.told = Instant::now();
            let Export { hosts, files, samples, .. } = self;
            eprintln!("{hosts} of {of_hosts} hosts, {files} files, {samples} samples");
        }
    }

    /// Writes a file for each day that has samples.
    fn host(
        &mut self,
        archive: &Archive,
        hostname: &str,
        part: usize,
        charts: &[ChartRecord],
        window: TimeRange,
    ) -> anyhow::Result<()> {
        self.hosts += 1;
        let spans = charts.iter().filter_map(|chart| archive.span(GroupKey(chart.key)));
        let Some(span) = spans
            .map(|span| span.intersection(window))
            .filter(|span| !span.is_empty())
            .reduce(TimeRange::hull)
        else {
            return Ok(());
        };
        for day in span.first.0.div_euclid(DAY)..=span.last.0.div_euclid(DAY) {
            let of_day = TimeRange { first: UnixSeconds(day * DAY), last: UnixSeconds(day * DAY + DAY - 1) };
            let directory =
                self.target.join(format!("host={}", escaped(hostname))).join(format!("day={}", date(day)?));
            let path = directory.join(format!("part-{part}.parquet"));
            self.file(archive, &path, charts, of_day.intersection(window))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    /// Writes the samples of a window, if there are any.
    fn file(
        &mut self,
        archive: &Archive,
        path: &Path,
        charts: &[ChartRecord],
        window: TimeRange,
    ) -> anyhow::Result<()> {
        let mut file: Option<Writing> = None;
        for chart in charts {
            let series = Series::of(chart);
            archive.blocks(GroupKey(chart.key), series.len(), window, &mut |columns| {
                if file.is_none() {
                    file = Some(Writing::begin(path, &self.schema, &self.properties)?);
                }
                for (series, samples) in series.iter().zip(columns) {
                    self.rows.add(series, samples);
                    self.samples += samples.len() as u64;
                }
                match &mut file {
                    Some(file) if self.rows.times.len() >= GROUP_ROWS => file.group(&mut self.rows),
                    _ => Ok(()),
                }
            })?;
        }
        if let Some(mut file) = file {
            file.group(&mut self.rows)?;
            file.end(path)?;
            self.files += 1;
        }
        Ok(())
    }
}

/// What all samples of a dimension have in common.
#[derive(Debug)]
struct Series {
    chart: ByteArray,
    context: ByteArray,
    family: ByteArray,
    dimension: ByteArray,
    units: ByteArray,
}

impl Series {
    fn of(chart: &ChartRecord) -> Vec<Arc<Series>> {
        let of_dimension = |id: &str| Series {
            chart: ByteArray::from(&*chart.id),
            context: ByteArray::from(&*chart.context),
            family: ByteArray::from(&*chart.family),
            dimension: ByteArray::from(id),
            units: ByteArray::from(&*chart.units),
        };
        chart.dimensions.iter().map(|dimension| Arc::new(of_dimension(&dimension.id))).collect()
    }
}

/// The rows of the next row group.
#[derive(Default)]
struct Rows {
    /// Whose they are: the series, and how many rows.
    runs: Vec<(Arc<Series>, usize)>,
    times: Vec<i64>,
    /// Without gaps.
    values: Vec<f32>,
    /// Whether there is a value, as Parquet counts it: 1, or 0 for a gap.
    has_value: Vec<i16>,
    anomalous: Vec<bool>,
    reset: Vec<bool>,
}

impl Rows {
    fn add(&mut self, series: &Arc<Series>, samples: &Samples) {
        self.runs.push((Arc::clone(series), samples.len()));
        self.times.extend(samples.times.iter().map(|seconds| seconds * 1000));
        self.values.extend(samples.values.iter().filter(|value| !value.is_nan()));
        self.has_value.extend(samples.values.iter().map(|value| i16::from(!value.is_nan())));
        for sample in 0..samples.len() {
            let flags = samples.flags_at(sample);
            self.anomalous.push(flags.contains(SampleFlags::ANOMALOUS));
            self.reset.push(flags.contains(SampleFlags::RESET));
        }
    }

    fn clear(&mut self) {
        self.runs.clear();
        self.times.clear();
        self.values.clear();
        self.has_value.clear();
        self.anomalous.clear();
        self.reset.clear();
    }
}

/// A file being written, under the name of `temporary`.
struct Writing {
    temporary: PathBuf,
    writer: SerializedFileWriter<File>,
}

impl Writing {
    fn begin(path: &Path, schema: &TypePtr, properties: &WriterPropertiesPtr) -> anyhow::Result<Writing> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let temporary = path.with_extension("unfinished");
        let file = File::create(&temporary)?;
        let writer = SerializedFileWriter::new(file, Arc::clone(schema), Arc::clone(properties))?;
        Ok(Writing { temporary, writer })
    }

    /// Writes the rows, and leaves none.
    fn group(&mut self, rows: &mut Rows) -> anyhow::Result<()> {
        if rows.times.is_empty() {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        column::<Int64Type>(&mut group, &rows.times, None)?;
        let texts: [fn(&Series) -> &ByteArray; 5] =
            [|of| &of.chart, |of| &of.context, |of| &of.family, |of| &of.dimension, |of| &of.units];
        for text in texts {
            let mut column = next(&mut group)?;
            let mut repeated = Vec::new();
            for (series, count) in &rows.runs {
                repeated.clear();
                repeated.resize(*count, text(series).clone());
                column.typed::<ByteArrayType>().write_batch(&repeated, None, None)?;
            }
            column.close()?;
        }
        column::<FloatType>(&mut group, &rows.values, Some(&rows.has_value))?;
        column::<BoolType>(&mut group, &rows.anomalous, None)?;
        column::<BoolType>(&mut group, &rows.reset, None)?;
        group.close()?;
        rows.clear();
        Ok(())
    }

    fn end(self, path: &Path) -> anyhow::Result<()> {
        self.writer.close()?;
        fs::rename(self.temporary, path)?;
        Ok(())
    }
}

fn next<'g>(group: &'g mut SerializedRowGroupWriter<'_, File>) -> anyhow::Result<SerializedColumnWriter<'g>> {
    group.next_column()?.context("the schema has fewer columns than are written")
}

fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
    is_there: Option<&[i16]>,
) -> anyhow::Result<()> {
    let mut column = next(group)?;
    column.typed::<T>().write_batch(values, is_there, None)?;
    column.close()?;
    Ok(())
}

/// A day since 1970 as YYYY-MM-DD.
fn date(day: i64) -> anyhow::Result<String> {
    let noon = Timestamp::from_second(day * DAY + DAY / 2)?;
    Ok(noon.to_zoned(TimeZone::UTC).date().to_string())
}

/// A name as a directory's: what a path or the layout would take for its own is percent-encoded, as readers of it expect.
fn escaped(name: &str) -> String {
    let keeps = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') || byte >= 0x80;
    let mut bytes = Vec::with_capacity(name.len());
    for byte in name.bytes() {
        if keeps(byte) { bytes.push(byte) } else { bytes.extend(format!("%{byte:02X}").bytes()) }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_directory() {
        assert_eq!(escaped("web-1.example"), "web-1.example");
        assert_eq!(escaped("../a=b c"), "..%2Fa%3Db%20c");
        assert_eq!(escaped("größe"), "größe");
    }

    #[test]
    fn days_have_dates() {
        assert_eq!(date(0).expect("a day"), "1970-01-01");
        assert_eq!(date(20_484).expect("a day"), "2026-01-31");
    }
}
