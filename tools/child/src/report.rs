//! [`Totals`]: what the children did, counted while they do it; [`Report`]: the same when they are done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::load::Load;
use crate::verify::Verdict;

/// Counters of all children; read from anywhere.
#[derive(Debug, Default)]
pub struct Totals {
    /// Children that a parent has accepted, now.
    pub connected: AtomicU64,
    /// Of these, those whose charts are all sent, now.
    pub streaming: AtomicU64,
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Those of children that had been accepted before.
    pub reconnects: AtomicU64,
    /// Values sent.
    pub samples: AtomicU64,
    /// Seconds of children sent.
    pub rows: AtomicU64,
    /// Seconds not sent because the simulator itself was late by more than an interval.
    pub skipped_rows: AtomicU64,
    /// Collections of v1 that fell behind the next boundary, so that the parent makes other samples of them.
    pub misplaced_rows: AtomicU64,
    /// Bytes of text.
    pub plain_bytes: AtomicU64,
    /// Bytes handed to the kernel.
    pub wire_bytes: AtomicU64,
    /// Bytes that the socket did not take at once.
    pub delayed_bytes: AtomicU64,
    /// How long sockets took nothing, added up over children.
    pub blocked_us: AtomicU64,
    /// `REPLAY_CHART` received, and those answered by children with a database.
    pub replay_requests: AtomicU64,
    pub replay_answers: AtomicU64,
    /// Seconds of charts in these answers, and the bytes of their text.
    pub replayed_rows: AtomicU64,
    pub replayed_bytes: AtomicU64,
    /// Charts that were collected between their definition and a parent's `0 0`, as it had all that they defined. Real
    /// children lose these rows, too.
    pub lost_rows: AtomicU64,
}

/// One more, or so many more.
pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}

/// How long something took, of how many.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    #[serde(rename = "p99.9_ms")]
    pub p999_ms: f64,
    pub max_ms: f64,
}

impl Percentiles {
    /// Of a histogram of microseconds.
    pub fn of(microseconds: &Histogram<u64>) -> Percentiles {
        let at = |quantile| microseconds.value_at_quantile(quantile) as f64 / 1000.0;
        Percentiles {
            count: microseconds.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: microseconds.max() as f64 / 1000.0,
        }
    }
}

/// How long it took until samples that were sent could be asked for; see [`freshness`](crate::freshness).
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Freshness {
    pub in_all: Percentiles,
    /// Without the second in which the API answers with nothing so young.
    pub by_parent: Percentiles,
}

impl fmt::Display for Percentiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Percentiles { count, p50_ms, p90_ms, p99_ms, p999_ms, max_ms } = self;
        write!(f, "{p50_ms:>10.2}{p90_ms:>10.2}{p99_ms:>10.2}{p999_ms:>10.2}{max_ms:>10.2}  of {count}")
    }
}

/// What replication came to.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Replay {
    pub requests: u64,
    pub answers: u64,
    /// Seconds of charts.
    pub rows: u64,
    pub bytes: u64,
    pub lost_rows: u64,
    /// From a child's acceptance until all its charts were live; of the slowest one.
    pub until_live_seconds: f64,
    /// From a second's collection until its row was handed to the kernel, while answers were on their way too; of the
    /// slowest one.
    pub live_lag_max_ms: f64,
}

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub load: Load,
    pub agreed: Vec<String>,
    pub seconds: f64,
    pub connected: u64,
    pub streaming: u64,
    /// Connections that a parent accepted, and how many of them were not a child's first.
    pub accepted: u64,
    pub reconnects: u64,
    /// Why connections ended, or did not begin.
    pub ends: BTreeMap<&'static str, u64>,
    pub samples: u64,
    pub rows: u64,
    pub skipped_rows: u64,
    pub misplaced_rows: u64,
    pub plain_bytes: u64,
    pub wire_bytes: u64,
    pub delayed_bytes: u64,
    pub blocked_seconds: f64,
    /// How late the data of a second was handed to the kernel.
    pub lag: Percentiles,
    /// From then on, how long until an answer of the parent had it; `None`: nobody asked.
    pub freshness: Option<Freshness>,
    pub replay: Replay,
    /// What the simulator's thread itself took of a core.
    pub cpu_seconds: Option<f64>,
    pub verified: Option<Verdict>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per_second = |count: u64| count as f64 / self.seconds.max(1e-9);
        let mut line = |name: &str, value: String| writeln!(f, "{name:<24} {value}");
        let load = &self.load;
        line(
            "children",
            format!("{} of {} connected, {} streaming", self.connected, load.children, self.streaming),
        )?;
        line(
            "charts x dimensions",
            format!("{} x {}, every {} s", load.charts, load.dimensions, load.update_every),
        )?;
        line("agreed", if self.agreed.is_empty() { "nothing".into() } else { self.agreed.join(", ") })?;
        line("time", format!("{:.1} s", self.seconds))?;
        line("samples", format!("{} ({:.0} a second)", self.samples, per_second(self.samples)))?;
        line("text", format!("{} bytes ({:.0} a second)", self.plain_bytes, per_second(self.plain_bytes)))?;
        line(
            "on the wire",
            format!("{} bytes ({:.0} a second)", self.wire_bytes, per_second(self.wire_bytes)),
        )?;
        line(
            "back-pressure",
            format!("{} bytes delayed, {:.3} s blocked", self.delayed_bytes, self.blocked_seconds),
        )?;
        let names = ["p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name:>10}"));
        line("ms", names.concat())?;
        line("  sent late", self.lag.to_string())?;
        if let Some(freshness) = &self.freshness {
            line("  ingest to query", freshness.in_all.to_string())?;
            line("    by the parent", freshness.by_parent.to_string())?;
        }
        let replay = &self.replay;
        line("live after", format!("{:.2} s at most", replay.until_live_seconds))?;
        if load.database.is_some() {
            let Replay { requests, answers, rows, bytes, lost_rows, live_lag_max_ms, .. } = replay;
            line("replayed", format!("{rows} rows of charts, {bytes} bytes, {lost_rows} rows lost"))?;
            line("  requests", format!("{requests}, answered {answers}"))?;
            line("  live late by", format!("{live_lag_max_ms:.2} ms at most"))?;
        }
        line("reconnects", self.reconnects.to_string())?;
        for (end, count) in &self.ends {
            line("  ended", format!("{count} times: {end}"))?;
        }
        line("seconds skipped", format!("{}, misplaced {}", self.skipped_rows, self.misplaced_rows))?;
        if let Some(cpu_seconds) = self.cpu_seconds.filter(|_| self.samples > 0) {
            let share = 100.0 * cpu_seconds / self.seconds.max(1e-9);
            let each = 1e9 * cpu_seconds / self.samples as f64;
            line(
                "own processor time",
                format!("{cpu_seconds:.2} s: {share:.1} % of a core, {each:.0} ns a sample"),
            )?;
        }
        if let Some(verdict) = &self.verified {
            line("verified", verdict.to_string())?;
        }
        Ok(())
    }
}

/// Processor time of the main thread, where the kernel tells.
pub(crate) fn own_cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split(' ').next()?.parse().ok()?;
    Some(nanoseconds as f64 / 1e9)
}
