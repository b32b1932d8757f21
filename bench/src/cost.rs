//! [`Cost`]: what a mainstem takes under a load for a while.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Result, ensure};
use mainstem_child::conduct::Conduct;
use mainstem_child::report::Percentiles;
use mainstem_child::{Fleet, Load, Target};
use tokio::time::{Instant, sleep, sleep_until};

use crate::contender::Contender;
use crate::process::Usage;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: u64,
    /// How late the load was sent.
    pub(crate) lag: Percentiles,
    pub(crate) reconnects: u64,
}

impl Cost {
    pub(crate) fn us_a_sample(&self) -> f64 {
        1e6 * self.cpu_s / self.samples as f64
    }

    pub(crate) fn samples_a_second(&self) -> f64 {
        self.samples as f64 / self.seconds
    }

    /// Part of a core.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu_s / self.seconds
    }

    /// Of a parent that is started for it, after a warm-up, in which the children arrive.
    pub(crate) async fn of(load: &Load, warm_up: Duration, measured: Duration) -> Result<Cost> {
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let parent = Contender::start_ours(directory, "")?;
        let target = Target { address: parent.address, key: parent.key, tls: None };
        let fleet = Fleet::start(load.clone(), target, Conduct::from(warm_up / 3));
        sleep(warm_up).await;
        let streaming = fleet.totals().streaming.load(Relaxed);
        ensure!(streaming == load.children as u64, "only {streaming} of {} children stream", load.children);
        fleet.reset_waits();
        let sent = || fleet.totals().samples.load(Relaxed);
        let (begun, before, samples) = (Instant::now(), Usage::of(parent.pid())?, sent());
        sleep_until(begun + measured).await;
        let (after, samples, seconds) =
            (Usage::of(parent.pid())?, sent() - samples, begun.elapsed().as_secs_f64());
        let report = fleet.report();
        fleet.stop().await;
        parent.stop()?;
        Ok(Cost {
            samples,
            seconds,
            cpu_s: after.cpu_s - before.cpu_s,
            resident_bytes: after.resident_bytes,
            lag: report.lag,
            reconnects: report.reconnects,
        })
    }

    /// Of a parent that nobody streams to.
    pub(crate) async fn of_nothing(measured: Duration) -> Result<Cost> {
        let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
        let parent = Contender::start_ours(directory, "")?;
        // Whatever a start takes is over.
        sleep(Duration::from_secs(5)).await;
        let (begun, before) = (Instant::now(), Usage::of(parent.pid())?);
        sleep_until(begun + measured).await;
        let (after, seconds) = (Usage::of(parent.pid())?, begun.elapsed().as_secs_f64());
        parent.stop()?;
        Ok(Cost {
            samples: 0,
            seconds,
            cpu_s: after.cpu_s - before.cpu_s,
            resident_bytes: after.resident_bytes,
            lag: Percentiles::default(),
            reconnects: 0,
        })
    }
}
