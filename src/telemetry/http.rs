//! [`HttpMetrics`]: how long visitors wait.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Figures of the query shard, written by it alone.
#[derive(Debug, Default)]
pub struct HttpMetrics {
    /// Connections being served.
    pub clients: AtomicU64,
    /// Requests answered, and how long that took, altogether.
    pub answers: AtomicU64,
    pub answer_us: AtomicU64,
    /// The longest since somebody took it.
    longest_us: AtomicU64,
}

impl HttpMetrics {
    pub fn answered(&self, took: Duration) {
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.answers.fetch_add(1, Relaxed);
        self.answer_us.fetch_add(took_us, Relaxed);
        self.longest_us.fetch_max(took_us, Relaxed);
    }

    /// The longest answer since this was asked last.
    pub fn take_longest_us(&self) -> u64 {
        self.longest_us.swap(0, Relaxed)
    }
}
