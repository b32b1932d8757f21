//! A shard's figures, copied to where other threads read them.

use std::sync::atomic::Ordering::Relaxed;

use super::Shard;
use crate::receiver::Mirror;
use crate::telemetry::{ChildCounters, ShardMetrics};

impl Shard {
    /// Copies the figures to where other threads read them.
    pub fn report(&self, metrics: &ShardMetrics) {
        let mut sum = self.past.clone();
        let mut connections = 0;
        let (mut starting, mut filling) = (0, 0);
        for child in self.children.iter().flatten() {
            connections += u64::from(!self.is_own(child.host));
            add(&mut sum, &child.counters);
            let progress = child.receiver.replication_progress();
            starting += progress.charts_starting;
            filling += progress.charts_filling;
        }
        metrics.charts_starting.store(starting, Relaxed);
        metrics.charts_filling.store(filling, Relaxed);
        metrics.replication_requests.store(sum.replication_requests, Relaxed);
        metrics.replayed_rows.store(sum.replayed_rows, Relaxed);
        metrics.filled_rows.store(sum.filled_rows, Relaxed);
        metrics.replication_given_up.store(sum.replication_given_up, Relaxed);
        metrics.connections.store(connections, Relaxed);
        let own = self.own.is_some_and(|own| self.by_guid.contains_key(&own));
        metrics.hosts.store(self.hosts.len() as u64 - u64::from(own), Relaxed);
        metrics.stale_hosts.store(self.stale_hosts.min(connections), Relaxed);
        metrics.missing_rows.store(self.hosts.iter().map(Mirror::missing_rows).sum(), Relaxed);
        metrics.charts.store(self.hosts.iter().map(|host| host.charts().len() as u64).sum(), Relaxed);
        metrics.dimensions.store(self.hosts.iter().map(|host| host.dimension_count() as u64).sum(), Relaxed);
        metrics.commands.store(sum.commands, Relaxed);
        metrics.rows.store(sum.rows, Relaxed);
        metrics.samples.store(sum.samples, Relaxed);
        metrics.stale_rows.store(sum.stale_rows, Relaxed);
        metrics.rows_in_the_future.store(sum.rows_in_the_future, Relaxed);
        metrics.unknown_keywords.store(sum.unknown_keywords, Relaxed);
        metrics.commands_without_effect.store(sum.commands_without_effect, Relaxed);
        metrics.forgotten_hosts.store(self.forgotten_hosts, Relaxed);
        metrics.forgotten_charts.store(self.forgotten_charts, Relaxed);
        metrics.newest_sample.store(sum.newest_sample, Relaxed);
        let (sent, links) = self.sending_counters();
        metrics.links.store(links, Relaxed);
        metrics.rows_sent.store(sent.rows, Relaxed);
        metrics.rows_passed.store(sent.passed_rows, Relaxed);
        metrics.packets_forwarded.store(sent.forwarded_packets, Relaxed);
        metrics.rows_sent_again.store(sent.replayed_rows, Relaxed);
        metrics.link_bytes.store(sent.bytes, Relaxed);
    }

    /// The figures of the store. Counting them looks at every group: not something to do every turn.
    pub fn report_storage(&self, metrics: &ShardMetrics) {
        let engine = self.engine.statistics();
        metrics.groups.store(engine.groups, Relaxed);
        metrics.stored_samples.store(engine.samples, Relaxed);
        metrics.hot_bytes.store(engine.hot_bytes, Relaxed);
        metrics.sealed_bytes.store(engine.sealed.bytes, Relaxed);
        metrics.sealed_samples.store(engine.sealed.samples, Relaxed);
        metrics.sealed_pages.store(engine.sealed.pages, Relaxed);
        if let Some(store) = self.engine.store_totals() {
            let files = store.datafiles;
            metrics.disk.pages_written.store(files.pages_written, Relaxed);
            metrics.disk.samples_written.store(files.samples_written, Relaxed);
            metrics.disk.page_bytes.store(files.bytes_written, Relaxed);
            metrics.disk.journal_bytes.store(store.journal_bytes, Relaxed);
            metrics.disk.journal_segments.store(store.segments, Relaxed);
            metrics.disk.rows_rewritten.store(store.rows_rewritten, Relaxed);
            metrics.disk.bytes_waiting.store(files.bytes_waiting, Relaxed);
            metrics.disk.samples_lost.store(files.samples_lost, Relaxed);
            metrics.disk.errors.store(files.errors + store.journal_errors, Relaxed);
        }
    }
}

/// Adds up what two connections did.
pub(super) fn add(sum: &mut ChildCounters, more: &ChildCounters) {
    sum.received_bytes += more.received_bytes;
    sum.commands += more.commands;
    sum.rows += more.rows;
    sum.samples += more.samples;
    sum.stale_rows += more.stale_rows;
    sum.rows_in_the_future += more.rows_in_the_future;
    sum.collected_values += more.collected_values;
    sum.replication_requests += more.replication_requests;
    sum.replayed_rows += more.replayed_rows;
    sum.filled_rows += more.filled_rows;
    sum.replication_given_up += more.replication_given_up;
    sum.unknown_keywords += more.unknown_keywords;
    sum.commands_without_effect += more.commands_without_effect;
    sum.newest_sample = sum.newest_sample.max(more.newest_sample);
}
