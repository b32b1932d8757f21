//! [`OwnFigures`]: what we do, as charts of our own host. What Netdata's parents have too is called as theirs.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Source;
use crate::runtime::clock::Clock;
use crate::telemetry::{ProcessFigures, ShardMetrics, Telemetry, TierMetrics};

/// How a dimension's values are to be read: an amount, or a counter.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Amount,
    Counter,
}
use Kind::{Amount, Counter};

/// A dimension: name, kind, multiplier, divisor, and its value.
type Dimension = (&'static str, Kind, i64, i64, fn(&Seen) -> i64);

struct Chart {
    id: &'static str,
    title: &'static str,
    units: &'static str,
    family: &'static str,
    form: &'static str,
    priority: u32,
    dimensions: &'static [Dimension],
}

/// All figures of one moment.
struct Seen<'a> {
    telemetry: &'a Telemetry,
    process: ProcessFigures,
    uptime_s: i64,
    now_s: i64,
    /// Microseconds an answer, on average, since the last collection.
    answer_us: i64,
    longest_answer_us: i64,
    counts: Counts,
}

/// Sums over all shards.
#[derive(Default)]
struct Counts {
    connected: u64,
    stale: u64,
    offline: u64,
    received: u64,
    sent: u64,
}

const MIB: i64 = 1 << 20;

#[rustfmt::skip]
static CHARTS: &[Chart] = &[
    Chart { id: "netdata.server_cpu", title: "Netdata CPU usage", units: "milliseconds/s", family: "netdata",
        form: "stacked", priority: 130_000, dimensions: &[
            ("user", Counter, 1, 1, |seen| seen.process.user_milliseconds as i64),
            ("system", Counter, 1, 1, |seen| seen.process.system_milliseconds as i64),
        ] },
    Chart { id: "mainstem.memory", title: "Resident memory", units: "MiB", family: "netdata",
        form: "area", priority: 130_050, dimensions: &[
            ("resident", Amount, 1, MIB, |seen| seen.process.resident_bytes as i64),
        ] },
    Chart { id: "mainstem.files", title: "Open file descriptors", units: "files", family: "netdata",
        form: "line", priority: 130_060, dimensions: &[
            ("open", Amount, 1, 1, |seen| seen.process.open_files as i64),
        ] },
    Chart { id: "netdata.uptime", title: "Netdata uptime", units: "seconds", family: "netdata",
        form: "line", priority: 130_100, dimensions: &[("uptime", Amount, 1, 1, |seen| seen.uptime_s)] },
    Chart { id: "netdata.clients", title: "Netdata Web Clients", units: "connected clients", family: "api",
        form: "line", priority: 130_200, dimensions: &[
            ("clients", Amount, 1, 1, |seen| seen.telemetry.http.clients.load(Relaxed) as i64),
        ] },
    Chart { id: "netdata.requests", title: "Netdata Web Requests", units: "requests/s", family: "api",
        form: "line", priority: 130_300, dimensions: &[
            ("requests", Counter, 1, 1, |seen| seen.telemetry.http_requests.total() as i64),
        ] },
    Chart { id: "netdata.net", title: "Netdata Network Traffic", units: "kilobits/s", family: "api",
        form: "area", priority: 130_400, dimensions: &[
            ("in", Counter, 8, 1000, |seen| seen.counts.received as i64),
            ("out", Counter, -8, 1000, |seen| seen.counts.sent as i64),
        ] },
    Chart { id: "netdata.response_time", title: "Netdata API Response Time", units: "milliseconds/request", family: "api",
        form: "line", priority: 130_500, dimensions: &[
            ("average", Amount, 1, 1000, |seen| seen.answer_us),
            ("max", Amount, 1, 1000, |seen| seen.longest_answer_us),
        ] },
    Chart { id: "mainstem.children", title: "Children", units: "hosts", family: "streaming",
        form: "stacked", priority: 130_700, dimensions: &[
            ("live", Amount, 1, 1, |seen| seen.counts.connected.saturating_sub(seen.counts.stale) as i64),
            ("stale", Amount, 1, 1, |seen| seen.counts.stale as i64),
            ("offline", Amount, 1, 1, |seen| seen.counts.offline as i64),
        ] },
    Chart { id: "mainstem.connections", title: "Streaming connections", units: "connections/s", family: "streaming",
        form: "line", priority: 130_710, dimensions: &[
            ("accepted", Counter, 1, 1, |seen| seen.telemetry.total(|shard| &shard.accepted) as i64),
            ("refused", Counter, 1, 1, |seen| seen.telemetry.refusals.total() as i64),
            ("ended", Counter, 1, 1, |seen| seen.telemetry.disconnections.total() as i64),
        ] },
    Chart { id: "mainstem.metrics", title: "Metrics and charts of all hosts", units: "metrics", family: "streaming",
        form: "line", priority: 130_720, dimensions: &[
            ("metrics", Amount, 1, 1, |seen| seen.telemetry.total(|shard| &shard.dimensions) as i64),
            ("charts", Amount, 1, 1, |seen| seen.telemetry.total(|shard| &shard.charts) as i64),
        ] },
    Chart { id: "mainstem.rows", title: "Rows stored, replicated and ignored", units: "rows/s", family: "streaming",
        form: "line", priority: 130_730, dimensions: &[
            ("stored", Counter, 1, 1, |seen| seen.telemetry.total(|shard| &shard.rows) as i64),
            ("replicated", Counter, 1, 1, |seen| seen.telemetry.total(|shard| &shard.replayed_rows) as i64),
            ("stale", Counter, 1, 1, |seen| seen.telemetry.total(|shard| &shard.stale_rows) as i64),
        ] },
    Chart { id: "mainstem.missing_rows", title: "Rows that children may have and we have not", units: "rows",
        family: "streaming", form: "area", priority: 130_740, dimensions: &[
            ("missing", Amount, 1, 1, |seen| seen.telemetry.total(|shard| &shard.missing_rows) as i64),
        ] },
    Chart { id: "mainstem.parents", title: "Hosts sent on to parents", units: "hosts", family: "streaming",
        form: "line", priority: 130_750, dimensions: &[
            ("streaming", Amount, 1, 1, |seen| seen.telemetry.total(|shard| &shard.links) as i64),
        ] },
    Chart { id: "netdata.queries", title: "Netdata DB Queries", units: "queries/s", family: "queries",
        form: "stacked", priority: 131_000, dimensions: &[
            ("/api/v1/data", Counter, 1, 1, |seen| seen.telemetry.queries.load(Relaxed) as i64),
        ] },
    Chart { id: "netdata.db_points_stored", title: "Netdata DB Points Stored", units: "points/s", family: "queries",
        form: "stacked", priority: 131_003, dimensions: &[
            ("tier0", Counter, 1, 1, |seen| seen.telemetry.total(|shard| &shard.samples) as i64),
        ] },
    Chart { id: "netdata.dbengine_io_throughput", title: "Netdata DB engine I/O throughput", units: "MiB/s",
        family: "dbengine", form: "line", priority: 132_006, dimensions: &[
            ("writes", Counter, -1, MIB, |seen| {
                let written = |shard: &ShardMetrics| {
                    shard.disk.page_bytes.load(Relaxed) + shard.disk.journal_bytes.load(Relaxed)
                };
                seen.telemetry.shards.iter().map(written).sum::<u64>() as i64
            }),
        ] },
    Chart { id: "netdata.dbengine_global_errors", title: "Netdata DB engine errors", units: "errors/s",
        family: "dbengine", form: "line", priority: 132_008, dimensions: &[
            ("io_errors", Counter, 1, 1, |seen| seen.telemetry.total(|shard| &shard.disk.errors) as i64),
        ] },
    Chart { id: "netdata.dbengine_ram", title: "Netdata DB engine RAM usage", units: "MiB", family: "dbengine",
        form: "stacked", priority: 132_010, dimensions: &[
            ("collectors", Amount, 1, MIB, |seen| {
                let held = |shard: &ShardMetrics| {
                    shard.hot_bytes.load(Relaxed) + shard.sealed_bytes.load(Relaxed)
                };
                seen.telemetry.shards.iter().map(held).sum::<u64>() as i64
            }),
        ] },
    Chart { id: "mainstem.database_size", title: "Complete datafiles", units: "MiB", family: "dbengine",
        form: "stacked", priority: 132_020, dimensions: &[
            ("tier0", Amount, 1, MIB, |seen| seen.size(0)),
            ("tier1", Amount, 1, MIB, |seen| seen.size(1)),
            ("tier2", Amount, 1, MIB, |seen| seen.size(2)),
            ("tier3", Amount, 1, MIB, |seen| seen.size(3)),
            ("tier4", Amount, 1, MIB, |seen| seen.size(4)),
        ] },
    Chart { id: "mainstem.database_retention", title: "Age of the oldest row on disk", units: "hours", family: "dbengine",
        form: "line", priority: 132_030, dimensions: &[
            ("tier0", Amount, 1, 3600, |seen| seen.retention(0)),
            ("tier1", Amount, 1, 3600, |seen| seen.retention(1)),
            ("tier2", Amount, 1, 3600, |seen| seen.retention(2)),
            ("tier3", Amount, 1, 3600, |seen| seen.retention(3)),
            ("tier4", Amount, 1, 3600, |seen| seen.retention(4)),
        ] },
];

impl Chart {
    /// Its dimensions but for those of tiers that the database has not.
    fn dimensions(&self, tiers: usize) -> &[Dimension] {
        let shown = if self.id.starts_with("mainstem.database_") { tiers } else { usize::MAX };
        &self.dimensions[..shown.min(self.dimensions.len())]
    }
}

impl Seen<'_> {
    fn tier(&self, tier: usize) -> &TierMetrics {
        &self.telemetry.keeper.tiers[tier]
    }

    fn size(&self, tier: usize) -> i64 {
        self.tier(tier).bytes.load(Relaxed) as i64
    }

    /// Seconds.
    fn retention(&self, tier: usize) -> i64 {
        match self.tier(tier).first.load(Relaxed) {
            0 => 0,
            first => (self.now_s - first).max(0),
        }
    }
}

/// The source of our own figures.
#[derive(Debug)]
pub struct OwnFigures {
    telemetry: Arc<Telemetry>,
    clock: Clock,
    update_every_s: u32,
    /// Tiers of the database.
    tiers: usize,
    begun_s: i64,
    is_defined: bool,
    /// Answers and their microseconds at the last collection.
    answers: (u64, u64),
}

impl OwnFigures {
    pub fn new(telemetry: Arc<Telemetry>, clock: Clock, update_every_s: u32, tiers: usize) -> Self {
        let begun_s = clock.now();
        Self { telemetry, clock, update_every_s, tiers, begun_s, is_defined: false, answers: (0, 0) }
    }

    fn define(&self, text: &mut String) {
        for chart in CHARTS {
            let Chart { id, title, units, family, form, priority, .. } = chart;
            let every = self.update_every_s;
            let _ = writeln!(
                text,
                "CHART {id} '' '{title}' '{units}' '{family}' '{id}' {form} {priority} {every} '' netdata stats"
            );
            for (name, kind, multiplier, divisor, _) in chart.dimensions(self.tiers) {
                let algorithm = match kind {
                    Amount => "absolute",
                    Counter => "incremental",
                };
                let _ = writeln!(text, "DIMENSION '{name}' '' {algorithm} {multiplier} {divisor}");
            }
        }
    }

    fn look(&mut self) -> Option<Seen<'_>> {
        let process = ProcessFigures::read()?;
        let telemetry = &*self.telemetry;
        let answers = (telemetry.http.answers.load(Relaxed), telemetry.http.answer_us.load(Relaxed));
        let before = std::mem::replace(&mut self.answers, answers);
        let (count, took_us) = (answers.0 - before.0, answers.1 - before.1);
        let total = |figure: fn(&ShardMetrics) -> &AtomicU64| telemetry.total(figure);
        let connected = total(|shard| &shard.connections);
        let counts = Counts {
            connected,
            stale: total(|shard| &shard.stale_hosts),
            offline: total(|shard| &shard.hosts).saturating_sub(connected),
            received: total(|shard| &shard.received_bytes),
            sent: total(|shard| &shard.sent_bytes) + telemetry.http_sent_bytes.load(Relaxed),
        };
        let now_s = self.clock.now();
        Some(Seen {
            process,
            uptime_s: now_s - self.begun_s,
            now_s,
            answer_us: took_us.checked_div(count).unwrap_or(0) as i64,
            longest_answer_us: telemetry.http.take_longest_us() as i64,
            counts,
            telemetry,
        })
    }
}

impl Source for OwnFigures {
    fn name(&self) -> &'static str {
        "netdata"
    }

    fn update_every_s(&self) -> u32 {
        self.update_every_s
    }

    fn collect(&mut self, elapsed_us: i64, out: &mut Vec<u8>) {
        let mut text = String::new();
        if !std::mem::replace(&mut self.is_defined, true) {
            self.define(&mut text);
        }
        let tiers = self.tiers;
        let Some(seen) = self.look() else { return };
        for chart in CHARTS {
            let _ = writeln!(text, "BEGIN {} {elapsed_us}", chart.id);
            for (name, .., value) in chart.dimensions(tiers) {
                let _ = writeln!(text, "SET '{name}' {}", value(&seen));
            }
            text.push_str("END\n");
        }
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use super::*;
    use crate::collecting::plugin::{Bounds, PluginText};

    #[test]
    fn what_is_written_is_what_a_plugin_may_write_and_has_the_figures() {
        let telemetry = Arc::new(Telemetry::new(2));
        telemetry.shards[0].connections.store(3, Relaxed);
        telemetry.shards[1].connections.store(4, Relaxed);
        telemetry.shards[1].stale_hosts.store(1, Relaxed);
        telemetry.shards[1].hosts.store(9, Relaxed);
        telemetry.keeper.tiers[0].first.store(1_000_000, Relaxed);
        let time = Arc::new(AtomicI64::new(1_003_600_000_000));
        let clock = Clock::Manual(Arc::clone(&time));
        let mut own = OwnFigures::new(Arc::clone(&telemetry), clock, 2, 3);
        let mut text =
            PluginText::new(own.name(), own.update_every_s(), Bounds { charts: 100, dimensions: 100 });
        let mut collect = |elapsed_us: i64| {
            let (mut said, mut out) = (Vec::new(), Vec::new());
            own.collect(elapsed_us, &mut said);
            text.read(1_003_600_000_000 + elapsed_us, &said, &mut out).expect("nothing is wrong with it");
            (String::from_utf8(out).expect("text"), text.collections())
        };
        let (first, collections) = collect(0);
        assert_eq!(collections, CHARTS.len() as u64);
        let row = |text: &str, id: &str| {
            let from = text.find(&format!("BEGIN \"{id}\"")).expect("a row");
            text[from..].split("END\n").next().map(str::to_owned)
        };
        assert_eq!(
            row(&first, "mainstem.children").as_deref(),
            Some("BEGIN \"mainstem.children\" 0\nSET \"live\" = 6\nSET \"stale\" = 1\nSET \"offline\" = 2\n")
        );
        assert_eq!(
            row(&first, "mainstem.database_retention").as_deref(),
            Some(
                "BEGIN \"mainstem.database_retention\" 0\nSET \"tier0\" = 3600\nSET \"tier1\" = 0\nSET \"tier2\" = 0\n"
            )
        );
        telemetry.http.answered(std::time::Duration::from_millis(2));
        telemetry.http.answered(std::time::Duration::from_millis(4));
        let (second, _) = collect(2_000_000);
        assert!(!second.contains("CHART"), "{second}");
        assert_eq!(
            row(&second, "netdata.response_time").as_deref(),
            Some("BEGIN \"netdata.response_time\" 2000000\nSET \"average\" = 3000\nSET \"max\" = 4000\n")
        );
    }
}
