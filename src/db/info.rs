//! What is on disk, in numbers.

use std::collections::HashSet;
use std::io::{self, Write};

use dbengine::{
    Directory, Encoding, FileSet, GroupKey, Retention, SealedTotals, TimeRange, UnixSeconds, inspect,
    read_journal,
};
use serde::Serialize;

use super::time::{duration, rfc3339};
use crate::config::Config;

/// The speed at which a tier fills is that of the files that end in its last so many seconds.
const RECENT: i64 = 86_400;
/// A shorter time says nothing about speed.
const LEAST_RECENT: i64 = 60;

#[derive(Debug, Serialize)]
pub(super) struct Info {
    directory: String,
    tiers: Vec<Tier>,
    journal: Journal,
    /// Tier 0's; only when all pages were read.
    #[serde(skip_serializing_if = "Option::is_none")]
    encodings: Option<Vec<EncodingShare>>,
}

#[derive(Debug, Serialize)]
struct Tier {
    tier: usize,
    files: usize,
    bytes: u64,
    /// Unix seconds of the oldest and the newest row.
    first: Option<i64>,
    last: Option<i64>,
    groups: usize,
    pages: usize,
    samples: u64,
    bytes_per_sample: Option<f64>,
    retention: Allowed,
    forecast: Option<Forecast>,
}

/// What the configuration allows.
#[derive(Debug, Serialize)]
struct Allowed {
    bytes: Option<u64>,
    seconds: Option<i64>,
}

/// What becomes of it at the present speed.
#[derive(Debug, Serialize)]
struct Forecast {
    bytes_per_second: f64,
    /// Until the size limit is reached for the first time; 0 when it has been.
    seconds_until_full: f64,
    /// How far back samples will reach from then on.
    seconds_kept: f64,
}

#[derive(Debug, Default, Serialize)]
struct Journal {
    segments: usize,
    bytes: u64,
    batches: u64,
    rows: u64,
}

#[derive(Debug, Serialize)]
struct EncodingShare {
    encoding: String,
    columns: u64,
    bytes: u64,
    /// Of the bytes of all columns.
    share: f64,
}

impl Info {
    pub(super) fn read(directory: &mut Directory, config: &Config, encodings: bool) -> anyhow::Result<Info> {
        let mut journal = Journal::default();
        for (_, end) in read_journal(directory, |record| {
            journal.rows += record.rows();
        })? {
            journal.segments += 1;
            journal.bytes += end.read;
            journal.batches += u64::from(end.batches);
        }
        let files = inspect(directory, &mut |progress| eprintln!("{progress}"))?.files;
        let on_disk = files.tiers().count();
        let configured = &config.database.tiers;
        let tiers = (0..on_disk.max(configured.len())).map(|tier| {
            // A tier that is configured no longer is not touched.
            let retention =
                configured.get(tier).map_or(Retention { bytes: None, seconds: None }, |tier| tier.retention);
            Tier::of(&files, tier, retention)
        });
        Ok(Info {
            directory: config.directories.database().display().to_string(),
            tiers: tiers.collect(),
            journal,
            encodings: encodings.then(|| shares(&files)),
        })
    }

    pub(super) fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        writeln!(out)
    }

    pub(super) fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.directory)?;
        for tier in &self.tiers {
            tier.write_text(out)?;
        }
        let Journal { segments, bytes, batches, rows } = &self.journal;
        writeln!(
            out,
            "\njournal  {segments} segments, {}, {batches} batches, {rows} rows",
            size(*bytes as f64)
        )?;
        if let Some(encodings) = &self.encodings {
            writeln!(out, "\n{:<10} {:>14} {:>16} {:>7}", "encoding", "columns", "bytes", "share")?;
            for EncodingShare { encoding, columns, bytes, share } in encodings {
                writeln!(out, "{encoding:<10} {columns:>14} {bytes:>16} {:>6.1}%", share * 100.0)?;
            }
        }
        Ok(())
    }
}

impl Tier {
    fn of(files: &FileSet, tier: usize, retention: Retention) -> Tier {
        let of_tier = files.tier(tier as u8);
        let mut groups: HashSet<GroupKey, foldhash::fast::FixedState> = HashSet::default();
        let (mut bytes, mut samples, mut pages) = (0, 0, 0);
        let mut span: Option<TimeRange> = None;
        for file in of_tier {
            groups.extend(file.index.groups().map(|(key, _)| key));
            bytes += file.bytes;
            samples += file.index.samples();
            pages += file.index.page_count();
            let TimeRange { first, last } = file.index.span();
            span = Some(span.map_or(TimeRange { first, last }, |span| TimeRange {
                first: span.first.min(first),
                last: span.last.max(last),
            }));
        }
        Tier {
            tier,
            files: of_tier.len(),
            bytes,
            first: span.map(|span| span.first.0),
            last: span.map(|span| span.last.0),
            groups: groups.len(),
            pages,
            samples,
            bytes_per_sample: (samples > 0).then(|| bytes as f64 / samples as f64),
            forecast: span.and_then(|span| Forecast::of(files, tier, span.last, bytes, retention)),
            retention: Allowed { bytes: retention.bytes, seconds: retention.seconds },
        }
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Tier { tier, files, bytes, groups, pages, samples, .. } = self;
        write!(out, "\ntier {tier}   {files} files, {}", size(*bytes as f64))?;
        let (Some(first), Some(last), Some(cost)) = (self.first, self.last, self.bytes_per_sample) else {
            return writeln!(out);
        };
        let lasts = duration((last - first) as f64);
        let (first, last) = (rfc3339(UnixSeconds(first)), rfc3339(UnixSeconds(last)));
        writeln!(out, ", {first} to {last} ({lasts})")?;
        writeln!(
            out,
            "         {groups} groups, {pages} pages, {samples} samples, {cost:.3} bytes a sample"
        )?;
        let most = self.retention.bytes.map_or("any size".to_owned(), |bytes| size(bytes as f64));
        let longest =
            self.retention.seconds.map_or("any time".to_owned(), |seconds| duration(seconds as f64));
        writeln!(out, "         kept: {most}, {longest}")?;
        let Some(Forecast { bytes_per_second, seconds_until_full, seconds_kept }) = &self.forecast else {
            return Ok(());
        };
        write!(out, "         fills at {} a day", size(bytes_per_second * 86_400.0))?;
        if self.retention.bytes.is_some() {
            write!(out, ": full in {}", duration(*seconds_until_full))?;
        }
        if seconds_kept.is_finite() {
            write!(out, ", then the last {} are kept", duration(*seconds_kept))?;
        }
        writeln!(out)
    }
}

impl Forecast {
    fn of(
        files: &FileSet,
        tier: usize,
        newest: UnixSeconds,
        bytes: u64,
        retention: Retention,
    ) -> Option<Forecast> {
        let recent =
            files.tier(tier as u8).iter().filter(|file| newest.since(file.index.span().last) <= RECENT);
        let (first, recent_bytes) = recent.fold((newest, 0), |(first, bytes), file| {
            (first.min(file.index.span().first), bytes + file.bytes)
        });
        let seconds = newest.since(first);
        if seconds < LEAST_RECENT {
            return None;
        }
        let bytes_per_second = recent_bytes as f64 / seconds as f64;
        let room = retention.bytes.map_or(f64::INFINITY, |most| most as f64);
        let longest = retention.seconds.map_or(f64::INFINITY, |seconds| seconds as f64);
        Some(Forecast {
            bytes_per_second,
            seconds_until_full: (room - bytes as f64).max(0.0) / bytes_per_second,
            seconds_kept: (room / bytes_per_second).min(longest),
        })
    }
}

/// Reads all pages of tier 0. Broken ones are for `verify` to tell.
fn shares(files: &FileSet) -> Vec<EncodingShare> {
    let mut totals = SealedTotals::default();
    for file in files.tier(0) {
        let places = file.index.groups().flat_map(|(key, _)| file.index.pages(key, TimeRange::ALL));
        places.filter_map(|place| file.read(place).ok()).for_each(|page| totals.add(&page));
    }
    let all: u64 = Encoding::ALL.iter().map(|encoding| totals.encoding(*encoding).bytes).sum();
    let share = |encoding: Encoding| {
        let of_it = totals.encoding(encoding);
        EncodingShare {
            encoding: format!("{encoding:?}").to_ascii_lowercase(),
            columns: of_it.columns,
            bytes: of_it.bytes,
            share: of_it.bytes as f64 / all.max(1) as f64,
        }
    };
    Encoding::ALL.into_iter().map(share).collect()
}

/// Bytes in the unit that suits them.
fn size(bytes: f64) -> String {
    const UNITS: [(f64, &str); 4] = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    UNITS
        .iter()
        .find(|(unit, _)| bytes >= *unit)
        .map_or_else(|| format!("{bytes:.0} bytes"), |(unit, name)| format!("{:.1} {name}", bytes / unit))
}
