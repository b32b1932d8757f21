//! Watches every shard from outside: a ping tells a stall, a nudge ends one that glommio's lost wake-up made.
//!
//! A ping alone would not do the latter. It is answered by the shard's main task, whose waker the first message takes: when
//! that wake-up is the lost one, later messages wake nobody. So there are some more tasks that do nothing but wait, and
//! each nudge goes to the next of them: waking any one lets the executor run all that is runnable.
//!
//! Waking a thread that sleeps costs as much as some hundred samples. So only a shard that oversleeps is nudged: each says
//! when it means to wake.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use crate::shard::message::Message;
use crate::shard::placement::ShardId;
use crate::telemetry::Telemetry;

/// How often it is looked who oversleeps.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Timers are late by that much on a busy machine.
const MAY_BE_LATE: Duration = Duration::from_millis(20);
const PING_EVERY: Duration = Duration::from_secs(1);
/// A shard that answers later than this is not healthy: children's data waits in their sockets.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Tasks of a shard that wait for nudges. For a shard to sleep on, the wake-ups of all of them have to be lost, one after
/// the other.
pub(super) const NUDGED_TASKS: usize = 4;

/// When a shard means to wake.
#[derive(Debug)]
pub(super) struct Alarm {
    /// Times are counted from here.
    made: Instant,
    due_us: AtomicU64,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { made: Instant::now(), due_us: AtomicU64::new(0) }
    }

    /// Told by the shard before it sleeps.
    pub(super) fn set(&self, due: Instant) {
        self.due_us.store(due.saturating_duration_since(self.made).as_micros() as u64, Relaxed);
    }

    /// It should have woken by now, or is at work for longer than it meant to sleep.
    fn is_overdue(&self, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.made);
        now > Duration::from_micros(self.due_us.load(Relaxed)) + MAY_BE_LATE
    }
}

/// What a shard is nudged by.
#[derive(Debug)]
pub(super) struct Nudge {
    pub(super) alarm: Arc<Alarm>,
    pub(super) tasks: Vec<mpsc::Sender<()>>,
}

/// Nudges shards that oversleep until told to stop.
pub(super) async fn nudge(shards: Vec<Nudge>, mut stop: watch::Receiver<bool>) {
    let mut period = tokio::time::interval(LOOK_EVERY);
    period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for task in (0..NUDGED_TASKS).cycle() {
        tokio::select! {
            _ = period.tick() => {}
            _ = stop.changed() => return,
        }
        let now = Instant::now();
        for shard in shards.iter().filter(|shard| shard.alarm.is_overdue(now)) {
            // Full: the last nudge was not taken yet, and the next task is the one to try.
            let _ = shard.tasks[task].try_send(());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_overdue_when_it_sleeps_longer_than_it_meant_to() {
        let alarm = Alarm::new();
        let begin = alarm.made;
        let at = |ms| begin + Duration::from_millis(ms);
        alarm.set(at(100));
        assert!(!alarm.is_overdue(at(0)));
        assert!(!alarm.is_overdue(at(120)));
        assert!(alarm.is_overdue(at(121)));
        alarm.set(at(200));
        assert!(!alarm.is_overdue(at(121)));
    }

    #[tokio::test(start_paused = true)]
    async fn nudges_go_from_task_to_task_and_only_to_who_oversleeps() {
        let channels = || (0..NUDGED_TASKS).map(|_| mpsc::channel(1)).unzip();
        let (tasks, mut asleep): (Vec<_>, Vec<_>) = channels();
        let (awake_tasks, mut awake): (Vec<_>, Vec<_>) = channels();
        let up = Arc::new(Alarm::new());
        up.set(Instant::now() + Duration::from_secs(3600));
        // It meant to wake when the parent started, and that is long enough ago.
        let down = Arc::new(Alarm { made: Instant::now() - MAY_BE_LATE * 2, due_us: AtomicU64::new(0) });
        let (stop, stopped) = watch::channel(false);
        let shards = vec![Nudge { alarm: down, tasks }, Nudge { alarm: up, tasks: awake_tasks }];
        let watching = tokio::spawn(nudge(shards, stopped));
        for task in &mut asleep {
            task.recv().await.expect("a nudge");
        }
        stop.send(true).expect("somebody listens");
        watching.await.expect("it ends");
        assert!(awake.iter_mut().all(|task| task.try_recv().is_err()));
    }
}
