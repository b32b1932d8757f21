//! [`Measurement`]: one parent under one workload, once.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, ensure};
use mainstem_child::freshness::Asking;
use mainstem_child::report::{Freshness, Percentiles};
use mainstem_child::verify::{Verdict, Verifier, http};
use mainstem_child::{Fleet, Target};
use serde::Serialize;
use tokio::time::{Instant, sleep, sleep_until};

use crate::clients::{Clients, Habit, Seen};
use crate::contender::{Contender, Role, Running};
use crate::process::Usage;
use crate::workload::Workload;

/// Charts asked for when samples are verified.
const VERIFIED_CHARTS: usize = 100;
/// How long clients ask, after what samples cost was measured: answers cost, too.
const ASKED: Duration = Duration::from_secs(20);
/// One dashboard.
const CLIENT: Habit = Habit { clients: 1, charts: 10, window_s: 60, every: Duration::from_secs(1) };

/// What was measured between the end of the warm-up and the end.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Measurement {
    pub(crate) seconds: f64,
    pub(crate) samples: u64,
    /// Processor time of the parent, user and system, all threads.
    pub(crate) cpu_s: f64,
    /// Processor time a sample.
    pub(crate) cpu_us_per_sample: f64,
    /// At the end.
    pub(crate) resident_bytes: u64,
    pub(crate) resident_bytes_per_metric: f64,
    /// To the disk, in the window.
    pub(crate) written_bytes: u64,
    /// What the children sent.
    pub(crate) received_bytes: u64,
    /// How often the parent read from sockets, when it tells.
    pub(crate) receives: Option<u64>,
    pub(crate) reconnects: u64,
    pub(crate) delayed_bytes: u64,
    /// How late the simulator sent. If these are bad, all else is.
    pub(crate) lag: Percentiles,
    /// A dashboard of ten charts, refreshed every second. `None`: nobody asks a proxy.
    pub(crate) clients: Option<Seen>,
    /// From a row's departure until an answer has it. `None`: no answer had one.
    pub(crate) freshness: Option<Freshness>,
    pub(crate) stop_s: f64,
    /// What was on disk when it had ended, of all samples since the beginning, and how many these were.
    pub(crate) kept_bytes: u64,
    pub(crate) kept_samples: u64,
    pub(crate) verified: Option<Verdict>,
}

impl Measurement {
    /// Bytes a sample.
    pub(crate) fn a_sample(&self, bytes: u64) -> f64 {
        bytes as f64 / self.samples as f64
    }
}

/// Starts a parent, loads it, measures it and ends it.
pub(crate) async fn measure(contender: &Contender, workload: &Workload, verify: bool) -> Result<Measurement> {
    let mut parent = contender.start()?;
    let target = Target { address: parent.address, key: parent.key, tls: None };
    let fleet = Fleet::start(workload.load().clone(), target, workload.conduct());
    sleep(Duration::from_secs(workload.written.warm_up_s)).await;
    let streaming = fleet.totals().streaming.load(Relaxed);
    ensure!(
        streaming == workload.load().children as u64 || workload.written.churn.is_some(),
        "only {streaming} of {} children stream after the warm-up of {} s",
        workload.load().children,
        workload.written.warm_up_s
    );

    fleet.reset_waits();
    let (begun, before) = (Instant::now(), Usage::of(parent.pid())?);
    let (report_before, receives_before) = (fleet.report(), receives(&parent).await);
    sleep_until(begun + Duration::from_secs(workload.written.duration_s)).await;
    let (after, seconds) = (Usage::of(parent.pid())?, begun.elapsed().as_secs_f64());
    let (report, receives_after) = (fleet.report(), receives(&parent).await);

    let clients = if contender.role == Role::Parent {
        let clients = Clients::start(parent.address, workload.load(), CLIENT);
        tokio::select! {
            never = fleet.ask_for_newest(Asking::of(parent.address)) => match never {},
            () = sleep(ASKED) => {}
        }
        Some(clients.stop().await?)
    } else {
        None
    };
    let freshness = fleet.freshness();

    let verified = if verify {
        let longest = i64::try_from(workload.written.duration_s).unwrap_or(i64::MAX);
        let mut verifier = Verifier::new(parent.address, VERIFIED_CHARTS, longest, workload.load().seed);
        Some(verifier.round(&fleet).await)
    } else {
        None
    };
    let kept_samples = fleet.totals().samples.load(Relaxed);
    fleet.stop().await;
    let stopping = Instant::now();
    let status = parent.end()?;
    let stop_s = stopping.elapsed().as_secs_f64();
    ensure!(status.success(), "it ended with {status}");
    let kept_bytes = contender.kept_bytes(&parent)?;

    let samples = report.samples - report_before.samples;
    ensure!(samples > 0, "no sample was sent");
    let cpu_s = after.cpu_s - before.cpu_s;
    Ok(Measurement {
        seconds,
        samples,
        cpu_s,
        cpu_us_per_sample: 1e6 * cpu_s / samples as f64,
        resident_bytes: after.resident_bytes,
        resident_bytes_per_metric: after.resident_bytes as f64 / workload.load().metrics() as f64,
        written_bytes: after.written_bytes - before.written_bytes,
        received_bytes: report.wire_bytes - report_before.wire_bytes,
        receives: receives_after.zip(receives_before).map(|(after, before)| after - before),
        reconnects: report.reconnects,
        delayed_bytes: report.delayed_bytes - report_before.delayed_bytes,
        lag: report.lag,
        clients,
        freshness,
        stop_s,
        kept_bytes,
        kept_samples,
        verified,
    })
}

/// All shards' `mainstem_receives_total`; Netdata has none.
async fn receives(parent: &Running) -> Option<u64> {
    let metrics = http::get(parent.address, "/metrics").await.ok()?;
    sum(&String::from_utf8_lossy(&metrics), "mainstem_receives_total")
}

/// A metric of the Prometheus text format, summed over its labels.
pub(crate) fn sum(metrics: &str, name: &str) -> Option<u64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (labels, value) = rest.rsplit_once(' ')?;
        (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<u64>().ok()).flatten()
    });
    values.fold(None, |total, value| Some(total.unwrap_or(0) + value))
}

/// The largest of those values of a metric that have a label.
pub(crate) fn largest(metrics: &str, name: &str, label: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(name)?.rsplit_once(' ')?;
        let labels = labels.strip_prefix('{')?.strip_suffix('}')?;
        labels.split(',').any(|other| other == label).then(|| value.parse().ok()).flatten()
    });
    values.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_value_of_a_label_is_found() {
        let metrics =
            "a{shard=\"0\",quantile=\"1\"} 0.5\na{shard=\"1\",quantile=\"1\"} 0.25\na{quantile=\"0.5\"} 9\n";
        assert_eq!(largest(metrics, "a", "quantile=\"1\""), Some(0.5));
        assert_eq!(largest(metrics, "a", "quantile=\"2\""), None);
        assert_eq!(largest(metrics, "b", "quantile=\"1\""), None);
    }

    #[test]
    fn a_metric_is_summed_over_its_labels() {
        let metrics = "# TYPE a counter\na{shard=\"0\"} 3\na{shard=\"1\"} 4\na_b{shard=\"0\"} 100\nc 1\n";
        assert_eq!(sum(metrics, "a"), Some(7));
        assert_eq!(sum(metrics, "c"), Some(1));
        assert_eq!(sum(metrics, "d"), None);
    }
}
