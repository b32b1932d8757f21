//! [`Clients`]: dashboards that are open while a parent is at work. They run in a thread of their own, so that the load's
//! work is not measured as a wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use mainstem_child::Load;
use mainstem_child::report::Percentiles;
use mainstem_child::verify::http;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How many, and what each of them looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Habit {
    pub(crate) clients: usize,
    /// Charts of a host that a client has on its screen; each is asked for on a connection of its own.
    pub(crate) charts: usize,
    /// The newest seconds of each of them, one point for every sample.
    pub(crate) window_s: u32,
    /// Between two refreshes.
    pub(crate) every: Duration,
}

/// What clients saw.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Seen {
    pub(crate) questions: u64,
    /// Without a proper answer.
    pub(crate) failed: u64,
    pub(crate) waits: Percentiles,
}

/// Running clients. Dropping it lets them end after the answer that they wait for.
#[derive(Debug)]
pub(crate) struct Clients {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Seen>>>,
}

impl Clients {
    pub(crate) fn start(parent: SocketAddr, load: &Load, habit: Habit) -> Clients {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, load) = (Arc::clone(&is_over), load.clone());
        let thread = std::thread::spawn(move || look(parent, &load, habit, &over));
        Clients { is_over, thread: Some(thread) }
    }

    /// Ends them and says what they saw.
    pub(crate) async fn stop(mut self) -> Result<Seen> {
        self.is_over.store(true, Relaxed);
        let thread = self.thread.take().expect("it is stopped once");
        // Here the load goes on meanwhile.
        let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
        joined.expect("clients do not panic")
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
    }
}

fn look(parent: SocketAddr, load: &Load, habit: Habit, is_over: &AtomicBool) -> Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut waits_us = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let mut failed = 0;
    let clients = async {
        let all = (0..habit.clients).map(|client| refresh(parent, load, habit, client, is_over));
        for (waits, failures) in futures_util::future::join_all(all).await {
            waits.iter().for_each(|wait| waits_us.saturating_record(*wait));
            failed += failures;
        }
    };
    runtime.block_on(clients);
    ensure!(!waits_us.is_empty(), "no question was answered, {failed} failed");
    let questions = waits_us.len() + failed;
    Ok(Seen { questions, failed, waits: Percentiles::of(&waits_us) })
}

/// One client, until all is over: how long each answer took, in microseconds, and how many there were none of.
async fn refresh(
    parent: SocketAddr,
    load: &Load,
    habit: Habit,
    client: usize,
    is_over: &AtomicBool,
) -> (Vec<u64>, u64) {
    // They opened their dashboards at different moments.
    let first = Instant::now() + habit.every.mul_f64(client as f64 / habit.clients as f64);
    let mut ticks = interval_at(first, habit.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let host = load.machine_guid(client * load.children / habit.clients);
    let paths: Vec<String> = (0..habit.charts)
        .map(|chart| {
            let chart = load.chart_id(chart % load.charts);
            format!("/host/{host}/api/v1/data?chart={chart}&after=-{}&format=json&points=0", habit.window_s)
        })
        .collect();
    let (mut waits, mut failed) = (Vec::new(), 0);
    loop {
        ticks.tick().await;
        for path in &paths {
            if is_over.load(Relaxed) {
                return (waits, failed);
            }
            let begun = Instant::now();
            match http::get(parent, path).await {
                Ok(_) => waits.push(begun.elapsed().as_micros() as u64),
                Err(_) => failed += 1,
            }
        }
    }
}
