//! [`Database`]: the past that children say they have.
//!
//! Nothing of it is kept: a row of the past is computed, as a live one is. All that there is to know is when the child
//! began and at which moments it collects ([`Timeline`]), so its past goes on while it is not connected.
//!
//! A child with a database collects exactly an interval apart, whenever the simulator gets to it: what it sends of a
//! second is the same live, replayed, and replayed once more.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::load::Load;
use crate::script::Collection;
use crate::value::MICROSECONDS;

/// Rows of v1 that a child's own arithmetic makes nothing whole of: the first collection sets the stage, and the rate
/// of the second is one of a part of its interval.
const UNSETTLED_ROWS: i64 = 2;

/// What children keep, and how they hand it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// How far it reaches back, in seconds. What it holds when a connection begins it holds until that ends.
    pub retention_s: u32,
    /// How much past there is when the children are started, in seconds.
    pub history_s: u32,
    pub style: ReplicationStyle,
    pub fault: Option<ReplayFault>,
    /// The bytes of which an answer takes a quarter at most, and of which half may wait for the parent before no more
    /// requests are answered.
    pub send_buffer_bytes: usize,
}

impl Default for Database {
    /// An hour, none of it at the start.
    fn default() -> Database {
        Database::new(3600, 0)
    }
}

impl Database {
    /// As Netdata's, with a buffer of 1 MiB.
    pub fn new(retention_s: u32, history_s: u32) -> Database {
        Database {
            retention_s,
            history_s,
            style: ReplicationStyle::Exact,
            fault: None,
            send_buffer_bytes: 1 << 20,
        }
    }
}

/// Whose answers a child gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum ReplicationStyle {
    /// The window that was asked for.
    #[value(name = "1.37")]
    #[serde(rename = "1.37")]
    Exact,
    /// A window that ends within a hundred intervals of now is answered up to now, with `true`, whatever was asked.
    #[value(name = "2.3")]
    #[serde(rename = "2.3")]
    UpToNow,
}

/// How a child fails to hand out its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplayFault {
    /// Every answer comes so many seconds after its request.
    Late { seconds: u32 },
    /// Every answer is cut to [`PARTIAL_ROWS`](ReplayFault::PARTIAL_ROWS) rows.
    Partial,
    /// What is asked with `false` is never answered.
    Silent,
    /// All that asks for rows is answered without any, and with `false`.
    Endless,
    /// The rows of an answer come newest first, and then the newest once more.
    WrongOrder,
}

impl ReplayFault {
    pub const PARTIAL_ROWS: usize = 3;
}

impl fmt::Display for ReplayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplayFault::Late { seconds } => write!(f, "late={seconds}"),
            ReplayFault::Partial => f.write_str("partial"),
            ReplayFault::Silent => f.write_str("silent"),
            ReplayFault::Endless => f.write_str("endless"),
            ReplayFault::WrongOrder => f.write_str("wrong-order"),
        }
    }
}

/// A text that names no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("late=SECONDS, partial, silent, endless or wrong-order")]
pub struct UnknownFault;

impl FromStr for ReplayFault {
    type Err = UnknownFault;

    fn from_str(text: &str) -> Result<ReplayFault, UnknownFault> {
        match text {
            "partial" => Ok(ReplayFault::Partial),
            "silent" => Ok(ReplayFault::Silent),
            "endless" => Ok(ReplayFault::Endless),
            "wrong-order" => Ok(ReplayFault::WrongOrder),
            _ => {
                let seconds = text.strip_prefix("late=").and_then(|seconds| seconds.parse().ok());
                seconds.map(|seconds| ReplayFault::Late { seconds }).ok_or(UnknownFault)
            }
        }
    }
}

/// The boundaries that a database holds, in seconds; both are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub first: i64,
    pub last: i64,
}

/// When one child collects: so long after each boundary, from its first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeline {
    update_every: i64,
    phase_us: i64,
    /// The first boundary that it ever collected.
    began: i64,
}

impl Timeline {
    /// Of a child with `history_s` of past when it was started.
    pub fn new(load: &Load, child: usize, history_s: u32, started_us: i64) -> Timeline {
        let update_every = i64::from(load.update_every);
        let began_us = started_us - i64::from(history_s) * MICROSECONDS;
        let before = (began_us - 1).div_euclid(update_every * MICROSECONDS);
        Timeline { update_every, phase_us: load.phase_us(child), began: (before + 1) * update_every }
    }

    /// The newest boundary that is collected at a moment; the one before the first, if none is.
    pub fn newest(&self, now_us: i64) -> i64 {
        let interval_us = self.update_every * MICROSECONDS;
        let newest = (now_us - self.phase_us).div_euclid(interval_us) * self.update_every;
        newest.max(self.began - self.update_every)
    }

    /// The boundary's collection.
    pub fn collection(&self, second: i64) -> Collection {
        let elapsed_us = if second == self.began { 0 } else { self.update_every * MICROSECONDS };
        Collection { second, moment_us: second * MICROSECONDS + self.phase_us, elapsed_us }
    }

    /// The first boundary of which a parent makes something whole when it hears of no past but is told of everything
    /// from `first` on.
    pub fn settled(&self, first: i64, samples: bool) -> i64 {
        first + if samples { 0 } else { UNSETTLED_ROWS * self.update_every }
    }

    /// The first boundary that can be held when `newest` is the newest: of finished samples, or of what comes of
    /// collected values.
    pub fn first_held(&self, newest: i64, retention_s: u32, samples: bool) -> i64 {
        let rows = (i64::from(retention_s) / self.update_every).max(1);
        self.settled(self.began, samples).max(newest - (rows - 1) * self.update_every)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Protocol, small};

    const NOW: i64 = 1_795_342_207;

    #[test]
    fn a_fault_is_read_as_it_is_written() {
        let faults = [
            ReplayFault::Late { seconds: 30 },
            ReplayFault::Partial,
            ReplayFault::Silent,
            ReplayFault::Endless,
            ReplayFault::WrongOrder,
        ];
        for fault in faults {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        for text in ["", "late", "late=", "late=-1", "Partial"] {
            assert_eq!(text.parse::<ReplayFault>(), Err(UnknownFault), "{text}");
        }
    }

    #[test]
    fn boundaries_are_collected_at_their_phase() {
        for update_every in [1, 5, 10] {
            let load = Load { update_every, ..small(Protocol::V1) };
            let timeline = Timeline::new(&load, 2, 100, NOW * MICROSECONDS);
            let step = i64::from(update_every);
            let newest = timeline.newest(NOW * MICROSECONDS);
            assert_eq!(newest % step, 0);
            let moment_us = timeline.collection(newest).moment_us;
            assert_eq!(moment_us, newest * MICROSECONDS + load.phase_us(2));
            assert_eq!(timeline.newest(moment_us), newest);
            assert_eq!(timeline.newest(moment_us - 1), newest - step);
        }
    }

    #[test]
    fn nothing_is_collected_before_the_child_begins() {
        let load = small(Protocol::V1);
        for child in 0..3 {
            // In the middle of a second: its boundary is over, but its collection may not be.
            let started_us = NOW * MICROSECONDS + 200_000;
            let timeline = Timeline::new(&load, child, 0, started_us);
            assert_eq!(timeline.collection(NOW + 1).elapsed_us, 0);
            assert_eq!(timeline.newest(started_us), NOW);
            assert_eq!(timeline.newest(started_us - 3 * MICROSECONDS), NOW);
            assert_eq!(timeline.newest(timeline.collection(NOW + 1).moment_us), NOW + 1);
        }
    }

    #[test]
    fn a_past_begins_with_the_child_and_is_held_for_so_long() {
        let load = Load { update_every: 5, ..small(Protocol::V1) };
        let timeline = Timeline::new(&load, 0, 100, NOW * MICROSECONDS);
        let began = NOW - 107 + 10;
        assert_eq!(began % 5, 0);
        assert_eq!(timeline.collection(began).elapsed_us, 0);
        assert_eq!(timeline.collection(began + 5).elapsed_us, 5 * MICROSECONDS);
        assert_eq!(timeline.first_held(began + 50, 3600, true), began);
        assert_eq!(timeline.first_held(began + 50, 3600, false), began + 10);
        assert_eq!(timeline.first_held(began + 50, 20, true), began + 35);
        assert_eq!(timeline.first_held(began + 50, 1, true), began + 50);
        // Nothing is held yet when the first is newer than the newest.
        assert_eq!(timeline.first_held(began - 5, 3600, true), began);
    }
}
