//! How long it takes until a sample that was sent can be asked for: the parent's API is asked for it from the moment on when
//! its row was handed to the kernel.
//!
//! `/api/v1/data` answers with nothing younger than a second, whatever the parent has: Netdata's does not, and so nobody's
//! does. So it is asked once at once, then from the end of that second on until the sample is there; and what is counted
//! is both how long it took in all, and how much of that came after the end of that second, which is the parent's part.
//!
//! ```text
//! a row departs --> Shared::note_departure --> Departed --> is it in the answer? --no, a little later--+
//!                                                                ^        |                           |
//!                                                                +--------|---------------------------+
//!                                                                        yes --> Waited, in two histograms
//! ```
//!
//! The rows are those that depart next after moments evenly apart, of whatever child; the chart is drawn at random.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::fleet::{Fleet, instant_of};
use crate::load::Load;
use crate::tls::Tls;
use crate::value::{MICROSECONDS, mix};
use crate::verify::{Question, Rule, Window, http};

/// A sample that cannot be asked for after this counts as so late.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// Between two questions for the same sample: as little at first as a parent takes at best, then more, so that a slow one
/// is not busy with these questions.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Samples that are waited for at once.
const MOST_AT_ONCE: usize = 64;

/// A row that was handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Departed {
    pub(crate) child: usize,
    /// Its boundary.
    pub(crate) second: i64,
    pub(crate) at: Instant,
}

/// How long a sample took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Waited {
    /// From its row's departure until an answer had it.
    pub(crate) in_all: Duration,
    /// The part of it in which an answer could have had it.
    pub(crate) by_parent: Duration,
}

/// Whom to ask, and how often.
#[derive(Clone, Debug)]
pub struct Asking {
    pub parent: SocketAddr,
    pub tls: Option<Tls>,
    /// Between two samples that are asked for.
    pub every: Duration,
}

impl Asking {
    /// Twenty samples a second, in plain text.
    pub fn of(parent: SocketAddr) -> Asking {
        Asking { parent, tls: None, every: Duration::from_millis(50) }
    }
}

impl Fleet {
    /// Asks until it is dropped; [`Fleet::freshness`] has what came of it.
    pub async fn ask_for_newest(&self, asking: Asking) -> Infallible {
        let mut ticks = interval(asking.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut waiting: JoinSet<Option<Waited>> = JoinSet::new();
        let mut random = mix(self.load().seed);
        loop {
            tokio::select! {
                _ = ticks.tick(), if waiting.len() < MOST_AT_ONCE => {
                    random = mix(random);
                    let chart = (random % self.load().charts as u64) as usize;
                    let departure = self.next_departure();
                    waiting.spawn_local(wait_for(self.load().clone(), asking.clone(), chart, departure));
                }
                Some(waited) = waiting.join_next() => {
                    if let Ok(Some(waited)) = waited {
                        self.note_freshness(waited);
                    }
                }
            }
        }
    }
}

/// How long it takes until the chart's row of what departs next is in an answer; `None`: the fleet ended.
async fn wait_for(
    load: Load,
    asking: Asking,
    chart: usize,
    departure: oneshot::Receiver<Departed>,
) -> Option<Waited> {
    let Departed { child, second, at } = departure.await.ok()?;
    let could = instant_of((second + 1) * MICROSECONDS).max(at);
    let window = Window { first: second, last: second };
    let question = Question { load: &load, child, chart, window, samples: true, rule: Rule::Live };
    let path = question.path();
    let answered = async {
        let mut pause = FIRST_PAUSE;
        loop {
            // A parent that does not answer is asked again, as one that has not the sample yet.
            if let Ok(body) = http::get_with(asking.parent, asking.tls.as_ref(), &path).await
                && question.has_newest(&body)
            {
                return;
            }
            if Instant::now() < could {
                sleep_until(could).await;
            } else {
                sleep(pause).await;
                pause = (2 * pause).min(LONGEST_PAUSE);
            }
        }
    };
    let until = match timeout(PATIENCE, answered).await {
        Ok(()) => Instant::now(),
        Err(_) => at + PATIENCE,
    };
    Some(Waited { in_all: until - at, by_parent: until.saturating_duration_since(could) })
}
