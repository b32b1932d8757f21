//! Watches every shard from outside, ten times a second: a ping tells a stall, a nudge ends one that glommio's lost
//! wake-up made.
//!
//! A ping alone would not do the latter. It is answered by the shard's main task, whose waker the first message takes: when
//! that wake-up is the lost one, later messages wake nobody. So there are some more tasks that do nothing but wait, and
//! each nudge goes to the next of them: waking any one lets the executor run all that is runnable.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::shard::message::Message;
use crate::shard::placement::ShardId;
use crate::telemetry::Telemetry;

pub(super) const PING_EVERY: Duration = Duration::from_millis(100);
/// A shard that answers later than this is not healthy: children's data waits in their sockets.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Tasks of a shard that wait for nudges. For a shard to sleep on, the wake-ups of all of them have to be lost, one after
/// the other.
pub(super) const NUDGED_TASKS: usize = 4;

/// Nudges one shard until told to stop.
pub(super) async fn nudge(tasks: Vec<mpsc::Sender<()>>, mut stop: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(PING_EVERY);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for task in tasks.iter().cycle() {
        tokio::select! {
            _ = period.tick() => {}
            _ = stop.changed() => return,
        }
        // Full: the last nudge was not taken yet, and the next task is the one to try.
        let _ = task.try_send(());
    }
}

/// Watches one shard until told to stop.
pub(super) async fn watch(
    shard: ShardId,
    inbox: mpsc::Sender<Message>,
    telemetry: Arc<Telemetry>,
    mut stop: watch::Receiver<bool>,
) {
    let metrics = &telemetry.shards[shard.index()];
    metrics.healthy.store(true, Relaxed);
    let mut period = tokio::time::interval(PING_EVERY);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = period.tick() => {}
            _ = stop.changed() => return,
        }
        let (answer, answered) = oneshot::channel();
        let asked = Instant::now();
        let ping = async {
            inbox.send(Message::Ping { answer }).await.ok()?;
            answered.await.ok()
        };
        let outcome = tokio::select! {
            outcome = tokio::time::timeout(ANSWER_WITHIN, ping) => outcome,
            _ = stop.changed() => return,
        };
        match outcome {
            Ok(Some(())) => {
                let took = asked.elapsed();
                metrics.ping_us.store(took.as_micros() as u64, Relaxed);
                if !metrics.healthy.swap(true, Relaxed) {
                    tracing::info!(shard = shard.0, ?took, "the shard answers again");
                }
            }
            Ok(None) => return,
            Err(_) => {
                metrics.missed_pings.fetch_add(1, Relaxed);
                if metrics.healthy.swap(false, Relaxed) {
                    tracing::error!(
                        shard = shard.0,
                        "the shard has not answered for {} ms: its children wait; if this lasts, the machine is \
                         overloaded or the shard is stuck",
                        ANSWER_WITHIN.as_millis()
                    );
                }
            }
        }
    }
}
