//! `/api/v1/dbengine_stats`: what is kept on disk, tier by tier, and how long it will last. Netdata has an object of this
//! name and shape (`tier0`, `tier1`, …), of figures of its own engine; these are of ours.

use std::collections::BTreeMap;

use dbengine::{FileSet, TimeRange};
use http::StatusCode;
use serde::Serialize;

use super::Api;
use super::answer::Answer;
use crate::config::MemoryMode;

/// One tier. Times are unix seconds; 0 where there is no sample.
#[derive(Debug, Serialize)]
struct Tier {
    files: usize,
    /// Of datafiles and indexes.
    disk_bytes: u64,
    samples: u64,
    first_time_s: i64,
    last_time_s: i64,
    /// Limits of the configuration; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_seconds: Option<i64>,
    /// For how long samples will be kept if they go on to come as they did, in seconds: what the size allows at the bytes a
    /// second of all complete files, but no longer than the time allows. Absent while there are no files.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_retention_seconds: Option<i64>,
}

pub(super) fn answer(api: &Api) -> Answer {
    let database = &api.config.database;
    let files = api.storage.borrow().files();
    if database.mode != MemoryMode::Dbengine && files.files().next().is_none() {
        return Answer::error(StatusCode::NOT_FOUND, "dbengine is not enabled");
    }
    let tiers = database.tiers.iter().enumerate().map(|(tier, configured)| {
        let retention = configured.retention;
        let (disk_bytes, span) = extent(&files, tier as u8);
        let by_size = retention.bytes.zip(span).map(|(most, span)| forecast(disk_bytes, span, most));
        let stats = Tier {
            files: files.tier(tier as u8).len(),
            disk_bytes,
            samples: files.tier(tier as u8).iter().map(|file| file.index.samples()).sum(),
            first_time_s: span.map_or(0, |span| span.first.0),
            last_time_s: span.map_or(0, |span| span.last.0),
            retention_bytes: retention.bytes,
            retention_seconds: retention.seconds,
            expected_retention_seconds: [by_size, retention.seconds.filter(|_| span.is_some())]
                .into_iter()
                .flatten()
                .min(),
        };
        (format!("tier{tier}"), stats)
    });
    Answer::json(&tiers.collect::<BTreeMap<_, _>>())
}

/// Bytes of a tier, and from its first row to its last.
fn extent(files: &FileSet, tier: u8) -> (u64, Option<TimeRange>) {
    let spans = files.tier(tier).iter().map(|file| file.index.span());
    let span = spans.reduce(TimeRange::hull);
    (files.tier(tier).iter().map(|file| file.bytes).sum(), span)
}

/// Seconds that fit into `most` bytes when `bytes` were needed for `span`.
fn forecast(bytes: u64, span: TimeRange, most: u64) -> i64 {
    let seconds = span.last.since(span.first).max(1) as f64;
    (most as f64 / bytes.max(1) as f64 * seconds) as i64
}

#[cfg(test)]
mod tests {
    use dbengine::UnixSeconds;

    use super::*;

    #[test]
    fn a_tier_lasts_as_long_as_its_bytes_go_on_to_come() {
        let day = TimeRange { first: UnixSeconds(1_700_000_000), last: UnixSeconds(1_700_086_400) };
        assert_eq!(forecast(1 << 20, day, 10 << 20), 864_000);
        assert_eq!(forecast(0, day, i64::MAX as u64), i64::MAX);
    }
}
