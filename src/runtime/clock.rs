//! The only clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where the time comes from: the system, or a test that replays a recording of another day.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Unix microseconds, moved by hand.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// Unix microseconds.
    pub fn now_us(&self) -> i64 {
        match self {
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
            }
            Self::Manual(time) => time.load(Relaxed),
        }
    }

    /// Whether time stands still between two steps.
    pub(super) fn is_moved_by_hand(&self) -> bool {
        matches!(self, Self::Manual(_))
    }

    /// Unix seconds.
    pub fn now(&self) -> i64 {
        self.now_us().div_euclid(1_000_000)
    }
}
