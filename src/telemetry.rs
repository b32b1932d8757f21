//! Our own counters, and where they are read: `/metrics`, the API, log lines.
//!
//! A shard counts in plain numbers and copies them to its [`ShardMetrics`] once a turn; readers on other cores load
//! them without ever making it wait. Rare events with a reason go to a [`ReasonCounter`].

mod http;

pub mod log;

mod process;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hdrhistogram::Histogram;
pub use http::HttpMetrics;
pub use process::ProcessFigures;

/// What one child's connection did, in numbers that only grow.
#[derive(Clone, Debug, Default)]
pub struct ChildCounters {
    /// Bytes as they came, before decompression.
    pub received_bytes: u64,
    /// Lines of the protocol.
    pub commands: u64,
    /// Rows stored.
    pub rows: u64,
    /// Samples in the rows stored, gaps included.
    pub samples: u64,
    /// Rows that were not newer than what was stored.
    pub stale_rows: u64,
    /// Rows stamped impossibly far ahead of our clock, or not at all.
    pub rows_in_the_future: u64,
    /// Collected values of v1 data.
    pub collected_values: u64,
    /// Lines with a keyword we have never heard of.
    pub unknown_keywords: u64,
    /// Lines that are understood and change nothing here.
    pub commands_without_effect: u64,
    /// `REPLAY_CHART` lines sent.
    pub replication_requests: u64,
    /// Rows of answers to them.
    pub replayed_rows: u64,
    /// Those of them that were stored before others.
    pub filled_rows: u64,
    /// Questions that no answer came to, or none with anything in it.
    pub replication_given_up: u64,
    /// Unix seconds of the newest sample stored.
    pub newest_sample: i64,
}

/// One figure of a shard: where it is kept, and how `/metrics` presents it.
struct Figure {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&ShardMetrics) -> u64,
}

/// The figures of one shard, written by it alone.
#[derive(Debug, Default)]
pub struct ShardMetrics {
    pub connections: AtomicU64,
    pub tls_connections: AtomicU64,
    pub hosts: AtomicU64,
    /// Connected ones of which nothing new comes.
    pub stale_hosts: AtomicU64,
    pub charts: AtomicU64,
    pub dimensions: AtomicU64,
    pub accepted: AtomicU64,
    pub received_bytes: AtomicU64,
    pub receives: AtomicU64,
    pub commands: AtomicU64,
    pub rows: AtomicU64,
    pub samples: AtomicU64,
    pub stale_rows: AtomicU64,
    pub rows_in_the_future: AtomicU64,
    pub replication_requests: AtomicU64,
    pub replayed_rows: AtomicU64,
    pub filled_rows: AtomicU64,
    pub replication_given_up: AtomicU64,
    pub charts_starting: AtomicU64,
    pub charts_filling: AtomicU64,
    pub missing_rows: AtomicU64,
    pub unknown_keywords: AtomicU64,
    pub commands_without_effect: AtomicU64,
    pub sent_bytes: AtomicU64,
    pub links: AtomicU64,
    pub rows_sent: AtomicU64,
    pub rows_passed: AtomicU64,
    pub packets_forwarded: AtomicU64,
    pub rows_sent_again: AtomicU64,
    pub link_bytes: AtomicU64,
    pub messages: AtomicU64,
    pub turns: AtomicU64,
    pub forgotten_hosts: AtomicU64,
    pub forgotten_charts: AtomicU64,
    pub groups: AtomicU64,
    pub stored_samples: AtomicU64,
    pub hot_bytes: AtomicU64,
    pub sealed_bytes: AtomicU64,
    pub sealed_samples: AtomicU64,
    pub sealed_pages: AtomicU64,
    pub disk: DiskMetrics,
    pub newest_sample: AtomicI64,
    /// Whether its last ping was answered in time.
    pub healthy: AtomicBool,
    pub ping_us: AtomicU64,
    pub missed_pings: AtomicU64,
}

/// What became of a shard's samples on their way to the disk.
#[derive(Debug, Default)]
pub struct DiskMetrics {
    pub pages_written: AtomicU64,
    pub samples_written: AtomicU64,
    pub page_bytes: AtomicU64,
    pub journal_bytes: AtomicU64,
    pub journal_segments: AtomicU64,
    pub rows_rewritten: AtomicU64,
    pub bytes_waiting: AtomicU64,
    pub samples_lost: AtomicU64,
    pub errors: AtomicU64,
    /// Of journal, datafiles and indexes.
    pub writes: Durations,
    pub syncs: Durations,
}

/// How long something took, each time since the start.
#[derive(Debug)]
pub struct Durations(Mutex<Histogram<u64>>);

impl Default for Durations {
    fn default() -> Self {
        /// Longer ones count as this.
        const LONGEST_US: u64 = 600_000_000;
        let microseconds = Histogram::new_with_bounds(1, LONGEST_US, 2);
        Self(Mutex::new(microseconds.expect("the bounds are right")))
    }
}

impl Durations {
    pub fn add(&self, took: Duration) {
        let microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.lock().saturating_record(microseconds.max(1));
    }

    /// As a summary in seconds, of one shard; the quantile 1 is the longest of all.
    fn write(&self, out: &mut String, name: &str, shard: usize) {
        let microseconds = self.lock();
        for (quantile, label) in [(0.5, "0.5"), (0.99, "0.99"), (1.0, "1")] {
            let seconds = microseconds.value_at_quantile(quantile) as f64 / 1e6;
            let _ = writeln!(out, "{name}{{shard=\"{shard}\",quantile=\"{label}\"}} {seconds}");
        }
        let sum = microseconds.mean() * microseconds.len() as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum{{shard=\"{shard}\"}} {sum}");
        let _ = writeln!(out, "{name}_count{{shard=\"{shard}\"}} {}", microseconds.len());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Histogram<u64>> {
        // Counting cannot leave it half changed, so a panic elsewhere poisons nothing.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The complete datafiles, written by the thread that keeps them.
#[derive(Debug, Default)]
pub struct KeeperMetrics {
    pub tiers: [TierMetrics; 5],
    /// Files that could not be derived.
    pub errors: AtomicU64,
}

/// The complete datafiles of one tier.
#[derive(Debug, Default)]
pub struct TierMetrics {
    pub files: AtomicU64,
    /// Of datafiles and indexes.
    pub bytes: AtomicU64,
    pub samples: AtomicU64,
    /// Unix seconds of the oldest and of the newest row; 0 when there is none.
    pub first: AtomicI64,
    pub last: AtomicI64,
}

impl KeeperMetrics {
    fn write(&self, page: &mut String) {
        type Value = fn(&TierMetrics) -> i64;
        let figures: [(&str, &str, Value); 5] = [
            ("files", "Complete datafiles.", |tier| tier.files.load(Relaxed) as i64),
            ("bytes", "Bytes of complete datafiles and their indexes.", |tier| {
                tier.bytes.load(Relaxed) as i64
            }),
            ("samples", "Values in complete datafiles.", |tier| tier.samples.load(Relaxed) as i64),
            ("first_seconds", "Unix time of the oldest row on disk.", |tier| tier.first.load(Relaxed)),
            ("last_seconds", "Unix time of the newest row in complete datafiles.", |tier| {
                tier.last.load(Relaxed)
            }),
        ];
        for (name, help, value) in figures {
            let _ = writeln!(page, "# HELP mainstem_tier_{name} {help}\n# TYPE mainstem_tier_{name} gauge");
            for (tier, metrics) in self.tiers.iter().enumerate() {
                let _ = writeln!(page, "mainstem_tier_{name}{{tier=\"{tier}\"}} {}", value(metrics));
            }
        }
        let errors = self.errors.load(Relaxed);
        let _ = writeln!(
            page,
            "# HELP mainstem_derive_errors_total Files of tiers that could not be derived.\n\
             # TYPE mainstem_derive_errors_total counter\nmainstem_derive_errors_total {errors}"
        );
    }
}

/// The figures of the catalog's store, written by its thread.
#[derive(Debug, Default)]
pub struct CatalogMetrics {
    pub hosts: AtomicU64,
    pub charts: AtomicU64,
    pub dimensions: AtomicU64,
    /// Changes that the thread has and the disk has not.
    pub waiting: AtomicU64,
    pub changes: AtomicU64,
    pub commits: AtomicU64,
    pub commit_us: AtomicU64,
    pub errors: AtomicU64,
    pub failing: AtomicU64,
}

impl CatalogMetrics {
    /// Name, kind, help and value of each.
    fn figures(&self) -> [(&'static str, &'static str, &'static str, &AtomicU64); 9] {
        [
            ("mainstem_catalog_hosts", "gauge", "Hosts in the catalog on disk.", &self.hosts),
            ("mainstem_catalog_charts", "gauge", "Charts in the catalog on disk.", &self.charts),
            (
                "mainstem_catalog_dimensions",
                "gauge",
                "Dimensions (metrics) in the catalog on disk.",
                &self.dimensions,
            ),
            ("mainstem_catalog_waiting_changes", "gauge", "Changes on their way to disk.", &self.waiting),
            ("mainstem_catalog_changes_total", "counter", "Changes written.", &self.changes),
            ("mainstem_catalog_commits_total", "counter", "Batches of changes written.", &self.commits),
            (
                "mainstem_catalog_commit_microseconds",
                "gauge",
                "How long the last batch took to be written.",
                &self.commit_us,
            ),
            ("mainstem_catalog_errors_total", "counter", "Batches that could not be written.", &self.errors),
            (
                "mainstem_catalog_failing",
                "gauge",
                "1 when the last batch could not be written.",
                &self.failing,
            ),
        ]
    }
}

/// TLS, as the acceptor sees it.
#[derive(Debug, Default)]
pub struct TlsMetrics {
    /// By version.
    pub handshakes: ReasonCounter,
    pub failures: ReasonCounter,
    /// Unix seconds of the end of our certificate; 0 without one.
    pub expires: AtomicI64,
}

/// Configurations read while running.
#[derive(Debug, Default)]
pub struct ReloadMetrics {
    /// By result: `done` or `refused`.
    pub reloads: ReasonCounter,
    /// Unix seconds of the last one that was done; 0 before the first.
    pub last: AtomicI64,
}

const SHARD_FIGURES: &[Figure] = &[
    Figure {
        name: "mainstem_connections",
        kind: "gauge",
        help: "Children connected.",
        value: |shard| shard.connections.load(Relaxed),
    },
    Figure {
        name: "mainstem_tls_connections",
        kind: "gauge",
        help: "Children connected with TLS.",
        value: |shard| shard.tls_connections.load(Relaxed),
    },
    Figure {
        name: "mainstem_hosts",
        kind: "gauge",
        help: "Hosts mirrored, connected or not.",
        value: |shard| shard.hosts.load(Relaxed),
    },
    Figure {
        name: "mainstem_live_hosts",
        kind: "gauge",
        help: "Hosts connected whose samples are new.",
        value: |shard| shard.connections.load(Relaxed).saturating_sub(shard.stale_hosts.load(Relaxed)),
    },
    Figure {
        name: "mainstem_stale_hosts",
        kind: "gauge",
        help: "Hosts connected of which nothing new comes.",
        value: |shard| shard.stale_hosts.load(Relaxed),
    },
    Figure {
        name: "mainstem_offline_hosts",
        kind: "gauge",
        help: "Hosts mirrored that are not connected.",
        value: |shard| shard.hosts.load(Relaxed).saturating_sub(shard.connections.load(Relaxed)),
    },
    Figure {
        name: "mainstem_charts",
        kind: "gauge",
        help: "Charts of all hosts.",
        value: |shard| shard.charts.load(Relaxed),
    },
    Figure {
        name: "mainstem_dimensions",
        kind: "gauge",
        help: "Dimensions (metrics) of all charts.",
        value: |shard| shard.dimensions.load(Relaxed),
    },
    Figure {
        name: "mainstem_accepted_total",
        kind: "counter",
        help: "Streaming connections accepted.",
        value: |shard| shard.accepted.load(Relaxed),
    },
    Figure {
        name: "mainstem_received_bytes_total",
        kind: "counter",
        help: "Bytes received from children, as they came.",
        value: |shard| shard.received_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_receives_total",
        kind: "counter",
        help: "Reads of children's sockets that brought bytes.",
        value: |shard| shard.receives.load(Relaxed),
    },
    Figure {
        name: "mainstem_sent_bytes_total",
        kind: "counter",
        help: "Bytes sent to children.",
        value: |shard| shard.sent_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_links",
        kind: "gauge",
        help: "Hosts that stream to a parent of ours now.",
        value: |shard| shard.links.load(Relaxed),
    },
    Figure {
        name: "mainstem_link_rows_total",
        kind: "counter",
        help: "Rows sent to parents as they came.",
        value: |shard| shard.rows_sent.load(Relaxed),
    },
    Figure {
        name: "mainstem_link_passed_rows_total",
        kind: "counter",
        help: "Of the rows sent to parents, those whose lines went on as the child wrote them.",
        value: |shard| shard.rows_passed.load(Relaxed),
    },
    Figure {
        name: "mainstem_link_forwarded_packets_total",
        kind: "counter",
        help: "Compressed packets of children that went on as they came.",
        value: |shard| shard.packets_forwarded.load(Relaxed),
    },
    Figure {
        name: "mainstem_link_replayed_rows_total",
        kind: "counter",
        help: "Rows sent to parents that asked for them.",
        value: |shard| shard.rows_sent_again.load(Relaxed),
    },
    Figure {
        name: "mainstem_link_bytes_total",
        kind: "counter",
        help: "Bytes for parents, compressed if they agreed to that.",
        value: |shard| shard.link_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_commands_total",
        kind: "counter",
        help: "Lines of the streaming protocol.",
        value: |shard| shard.commands.load(Relaxed),
    },
    Figure {
        name: "mainstem_rows_total",
        kind: "counter",
        help: "Rows stored: one chart at one time.",
        value: |shard| shard.rows.load(Relaxed),
    },
    Figure {
        name: "mainstem_samples_total",
        kind: "counter",
        help: "Samples stored, gaps in stored rows included.",
        value: |shard| shard.samples.load(Relaxed),
    },
    Figure {
        name: "mainstem_stale_rows_total",
        kind: "counter",
        help: "Rows ignored because they were not newer than what is stored.",
        value: |shard| shard.stale_rows.load(Relaxed),
    },
    Figure {
        name: "mainstem_future_rows_total",
        kind: "counter",
        help: "Rows ignored because of an impossible time stamp.",
        value: |shard| shard.rows_in_the_future.load(Relaxed),
    },
    Figure {
        name: "mainstem_replication_requests_total",
        kind: "counter",
        help: "Questions to children about a chart's past.",
        value: |shard| shard.replication_requests.load(Relaxed),
    },
    Figure {
        name: "mainstem_replicated_rows_total",
        kind: "counter",
        help: "Rows that children replayed from their databases.",
        value: |shard| shard.replayed_rows.load(Relaxed),
    },
    Figure {
        name: "mainstem_filled_rows_total",
        kind: "counter",
        help: "Replayed rows that were stored before others that came earlier.",
        value: |shard| shard.filled_rows.load(Relaxed),
    },
    Figure {
        name: "mainstem_replication_given_up_total",
        kind: "counter",
        help: "Questions about the past that were asked several times, without an answer or with an empty one.",
        value: |shard| shard.replication_given_up.load(Relaxed),
    },
    Figure {
        name: "mainstem_charts_starting",
        kind: "gauge",
        help: "Charts of connected children whose newest rows were asked for; live data follows.",
        value: |shard| shard.charts_starting.load(Relaxed),
    },
    Figure {
        name: "mainstem_charts_filling",
        kind: "gauge",
        help: "Charts of connected children that are live and lack some of their past.",
        value: |shard| shard.charts_filling.load(Relaxed),
    },
    Figure {
        name: "mainstem_missing_rows",
        kind: "gauge",
        help: "Rows that children may have and we have not.",
        value: |shard| shard.missing_rows.load(Relaxed),
    },
    Figure {
        name: "mainstem_unknown_keywords_total",
        kind: "counter",
        help: "Lines skipped because their keyword is not known.",
        value: |shard| shard.unknown_keywords.load(Relaxed),
    },
    Figure {
        name: "mainstem_commands_without_effect_total",
        kind: "counter",
        help: "Lines that are understood and change nothing.",
        value: |shard| shard.commands_without_effect.load(Relaxed),
    },
    Figure {
        name: "mainstem_messages_total",
        kind: "counter",
        help: "Messages that the shard got from other threads.",
        value: |shard| shard.messages.load(Relaxed),
    },
    Figure {
        name: "mainstem_turns_total",
        kind: "counter",
        help: "Turns of the shard's loop.",
        value: |shard| shard.turns.load(Relaxed),
    },
    Figure {
        name: "mainstem_forgotten_hosts_total",
        kind: "counter",
        help: "Hosts forgotten: away for too long, or without any sample left.",
        value: |shard| shard.forgotten_hosts.load(Relaxed),
    },
    Figure {
        name: "mainstem_forgotten_charts_total",
        kind: "counter",
        help: "Charts forgotten: with their host, obsolete for too long, or without any sample left.",
        value: |shard| shard.forgotten_charts.load(Relaxed),
    },
    Figure {
        name: "mainstem_groups",
        kind: "gauge",
        help: "Charts that have a place for samples in memory.",
        value: |shard| shard.groups.load(Relaxed),
    },
    Figure {
        name: "mainstem_stored_samples",
        kind: "gauge",
        help: "Samples held, in hot rows and pages.",
        value: |shard| shard.stored_samples.load(Relaxed),
    },
    Figure {
        name: "mainstem_hot_bytes",
        kind: "gauge",
        help: "Memory of rows that no page holds yet.",
        value: |shard| shard.hot_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_sealed_bytes",
        kind: "gauge",
        help: "Bytes of sealed pages.",
        value: |shard| shard.sealed_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_sealed_samples",
        kind: "gauge",
        help: "Samples in sealed pages.",
        value: |shard| shard.sealed_samples.load(Relaxed),
    },
    Figure {
        name: "mainstem_sealed_pages",
        kind: "gauge",
        help: "Sealed pages.",
        value: |shard| shard.sealed_pages.load(Relaxed),
    },
    Figure {
        name: "mainstem_shard_healthy",
        kind: "gauge",
        help: "1 when the shard answered its last ping in time.",
        value: |shard| u64::from(shard.healthy.load(Relaxed)),
    },
    Figure {
        name: "mainstem_disk_pages_written_total",
        kind: "counter",
        help: "Pages written to datafiles.",
        value: |shard| shard.disk.pages_written.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_samples_written_total",
        kind: "counter",
        help: "Samples in these pages.",
        value: |shard| shard.disk.samples_written.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_page_bytes_total",
        kind: "counter",
        help: "Bytes written to datafiles and their indexes.",
        value: |shard| shard.disk.page_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_journal_bytes_total",
        kind: "counter",
        help: "Bytes written to the journal.",
        value: |shard| shard.disk.journal_bytes.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_journal_segments",
        kind: "gauge",
        help: "Segments of the journal on disk.",
        value: |shard| shard.disk.journal_segments.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_rows_rewritten_total",
        kind: "counter",
        help: "Rows that were journalled again, as the segment that had them is to go.",
        value: |shard| shard.disk.rows_rewritten.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_waiting_bytes",
        kind: "gauge",
        help: "Bytes of pages that wait to be written.",
        value: |shard| shard.disk.bytes_waiting.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_samples_lost_total",
        kind: "counter",
        help: "Samples dropped because the disk did not take them for too long.",
        value: |shard| shard.disk.samples_lost.load(Relaxed),
    },
    Figure {
        name: "mainstem_disk_errors_total",
        kind: "counter",
        help: "Operations of the disk that failed.",
        value: |shard| shard.disk.errors.load(Relaxed),
    },
    Figure {
        name: "mainstem_shard_ping_microseconds",
        kind: "gauge",
        help: "How long the shard took to answer its last ping.",
        value: |shard| shard.ping_us.load(Relaxed),
    },
    Figure {
        name: "mainstem_shard_missed_pings_total",
        kind: "counter",
        help: "Pings that the shard did not answer in time.",
        value: |shard| shard.missed_pings.load(Relaxed),
    },
];

/// Counts rare events by their reason.
#[derive(Debug, Default)]
pub struct ReasonCounter(Mutex<BTreeMap<&'static str, u64>>);

impl ReasonCounter {
    pub fn add(&self, reason: &'static str) {
        *self.lock().entry(reason).or_default() += 1;
    }

    pub fn get(&self, reason: &str) -> u64 {
        self.lock().get(reason).copied().unwrap_or(0)
    }

    /// Whatever the reason was.
    pub fn total(&self) -> u64 {
        self.lock().values().sum()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        // Counting cannot leave a map half changed, so a panic elsewhere poisons nothing.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// All figures of the process.
#[derive(Debug)]
pub struct Telemetry {
    pub shards: Vec<ShardMetrics>,
    pub catalog: CatalogMetrics,
    pub keeper: KeeperMetrics,
    /// Streaming requests refused.
    pub refusals: ReasonCounter,
    /// Calls of children's functions, by what came of them.
    pub function_calls: ReasonCounter,
    /// Second connections with a connected host's machine GUID, by what became of them.
    pub duplicates: ReasonCounter,
    /// Streaming connections that ended.
    pub disconnections: ReasonCounter,
    /// Links to parents of ours, and attempts at one, that ended.
    pub link_ends: ReasonCounter,
    /// Connections that said nothing intelligible before they ended.
    pub dropped: ReasonCounter,
    /// Connections of children and browsers handed to their owners, by `plain` and `tls`.
    pub transports: ReasonCounter,
    pub tls: TlsMetrics,
    pub reload: ReloadMetrics,
    pub http_requests: ReasonCounter,
    pub http_sent_bytes: AtomicU64,
    pub http: HttpMetrics,
    pub queries: AtomicU64,
    /// By what came of them.
    pub query_outcomes: ReasonCounter,
    /// Questions that run or wait.
    pub running_queries: AtomicU64,
}

impl Telemetry {
    pub fn new(shards: usize) -> Self {
        Self {
            shards: (0..shards).map(|_| ShardMetrics::default()).collect(),
            catalog: CatalogMetrics::default(),
            keeper: KeeperMetrics::default(),
            refusals: ReasonCounter::default(),
            function_calls: ReasonCounter::default(),
            duplicates: ReasonCounter::default(),
            disconnections: ReasonCounter::default(),
            link_ends: ReasonCounter::default(),
            dropped: ReasonCounter::default(),
            transports: ReasonCounter::default(),
            tls: TlsMetrics::default(),
            reload: ReloadMetrics::default(),
            http_requests: ReasonCounter::default(),
            http_sent_bytes: AtomicU64::new(0),
            http: HttpMetrics::default(),
            queries: AtomicU64::new(0),
            query_outcomes: ReasonCounter::default(),
            running_queries: AtomicU64::new(0),
        }
    }

    /// Whether every shard answers its pings.
    pub fn healthy(&self) -> bool {
        self.shards.iter().all(|shard| shard.healthy.load(Relaxed))
    }

    /// The sum of one figure over all shards.
    pub fn total(&self, figure: impl Fn(&ShardMetrics) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| figure(shard).load(Relaxed)).sum()
    }

    /// All figures in Prometheus' text format (version 0.0.4).
    pub fn prometheus(&self) -> String {
        let mut out = String::with_capacity(8192);
        head(&mut out, "mainstem_info", "gauge", "The version that runs.");
        line(&mut out, "mainstem_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        for figure in SHARD_FIGURES {
            head(&mut out, figure.name, figure.kind, figure.help);
            for (index, shard) in self.shards.iter().enumerate() {
                line(&mut out, figure.name, &[("shard", &index.to_string())], (figure.value)(shard));
            }
        }
        head(&mut out, "mainstem_disk_write_seconds", "summary", "How long the disk took for a write.");
        for (index, shard) in self.shards.iter().enumerate() {
            shard.disk.writes.write(&mut out, "mainstem_disk_write_seconds", index);
        }
        head(&mut out, "mainstem_disk_sync_seconds", "summary", "How long it took to keep what was written.");
        for (index, shard) in self.shards.iter().enumerate() {
            shard.disk.syncs.write(&mut out, "mainstem_disk_sync_seconds", index);
        }
        self.keeper.write(&mut out);
        for (name, kind, help, value) in self.catalog.figures() {
            head(&mut out, name, kind, help);
            line(&mut out, name, &[], value.load(Relaxed));
        }
        let times = [
            (
                "mainstem_tls_certificate_expiry_seconds",
                "Unix time of the end of our TLS certificate or its chain; 0 without one.",
                &self.tls.expires,
            ),
            (
                "mainstem_config_last_reload_seconds",
                "Unix time of the last reload of the configuration; 0 before the first.",
                &self.reload.last,
            ),
        ];
        for (name, help, value) in times {
            head(&mut out, name, "gauge", help);
            let _ = writeln!(out, "{name} {}", value.load(Relaxed));
        }
        let reasons: [(&str, &str, &str, &ReasonCounter); 12] = [
            (
                "mainstem_function_calls_total",
                "outcome",
                "Calls of children's functions.",
                &self.function_calls,
            ),
            ("mainstem_refusals_total", "reason", "Streaming requests refused.", &self.refusals),
            (
                "mainstem_duplicate_connections_total",
                "outcome",
                "Second connections with the machine GUID of a connected host.",
                &self.duplicates,
            ),
            (
                "mainstem_disconnections_total",
                "reason",
                "Streaming connections that ended.",
                &self.disconnections,
            ),
            (
                "mainstem_link_ends_total",
                "reason",
                "Links to parents, and attempts at one, that ended.",
                &self.link_ends,
            ),
            (
                "mainstem_dropped_connections_total",
                "reason",
                "Connections dropped before a request.",
                &self.dropped,
            ),
            (
                "mainstem_handed_over_connections_total",
                "transport",
                "Connections of children and browsers that came as far as their owner.",
                &self.transports,
            ),
            (
                "mainstem_tls_handshakes_total",
                "version",
                "TLS handshakes that succeeded.",
                &self.tls.handshakes,
            ),
            (
                "mainstem_tls_handshake_failures_total",
                "reason",
                "TLS handshakes that failed.",
                &self.tls.failures,
            ),
            (
                "mainstem_config_reloads_total",
                "result",
                "Reloads of the configuration.",
                &self.reload.reloads,
            ),
            ("mainstem_http_requests_total", "code", "HTTP requests answered.", &self.http_requests),
            (
                "mainstem_query_outcomes_total",
                "outcome",
                "Data queries by what came of them.",
                &self.query_outcomes,
            ),
        ];
        for (name, label, help, counter) in reasons {
            head(&mut out, name, "counter", help);
            for (reason, count) in counter.lock().iter() {
                line(&mut out, name, &[(label, reason)], *count);
            }
        }
        let totals = [
            ("mainstem_http_sent_bytes_total", "Bytes of HTTP answers' bodies.", &self.http_sent_bytes),
            ("mainstem_queries_total", "Data queries answered.", &self.queries),
        ];
        for (name, help, value) in totals {
            head(&mut out, name, "counter", help);
            line(&mut out, name, &[], value.load(Relaxed));
        }
        head(&mut out, "mainstem_running_queries", "gauge", "Data queries that run or wait.");
        line(&mut out, "mainstem_running_queries", &[], self.running_queries.load(Relaxed));
        if let Some(process) = ProcessFigures::read() {
            head(&mut out, "process_cpu_seconds_total", "counter", "User and system CPU seconds.");
            let _ = writeln!(out, "process_cpu_seconds_total {}", process.cpu_seconds());
            head(&mut out, "process_resident_memory_bytes", "gauge", "Resident memory.");
            let _ = writeln!(out, "process_resident_memory_bytes {}", process.resident_bytes);
            head(&mut out, "process_open_fds", "gauge", "Open file descriptors.");
            let _ = writeln!(out, "process_open_fds {}", process.open_files);
        }
        out
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    out.push_str(name);
    if !labels.is_empty() {
        let pairs: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let _ = write!(out, "{{{}}}", pairs.join(","));
    }
    let _ = writeln!(out, " {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_announced_once() {
        let telemetry = Telemetry::new(2);
        telemetry.refusals.add("key_not_enabled");
        telemetry.shards[1].samples.store(7, Relaxed);
        telemetry.shards[1].disk.writes.add(Duration::from_millis(512));
        let text = telemetry.prometheus();
        assert!(text.contains("mainstem_samples_total{shard=\"1\"} 7\n"));
        assert!(text.contains("mainstem_disk_write_seconds{shard=\"1\",quantile=\"1\"} 0.51"), "{text}");
        assert!(text.contains("mainstem_disk_write_seconds_count{shard=\"1\"} 1\n"));
        assert!(text.contains("mainstem_refusals_total{reason=\"key_not_enabled\"} 1\n"));
        for name in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            assert_eq!(text.matches(&format!("# TYPE {name}\n")).count(), 1, "{name}");
        }
    }
}
