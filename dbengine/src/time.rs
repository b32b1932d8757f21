//! When a row was: whole seconds, and ranges of them with both ends included.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted. Any `i64` is a valid time, so a child's clock may say
/// what it likes: arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub i64);

impl UnixSeconds {
    /// The time `seconds` later.
    #[must_use]
    pub fn plus(self, seconds: i64) -> UnixSeconds {
        UnixSeconds(self.0.saturating_add(seconds))
    }

    /// The time `seconds` earlier.
    #[must_use]
    pub fn minus(self, seconds: i64) -> UnixSeconds {
        UnixSeconds(self.0.saturating_sub(seconds))
    }

    /// Seconds from `earlier` to this time; negative if it is not earlier.
    pub fn since(self, earlier: UnixSeconds) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// From `first` to `last`, both included. Empty if `last` is before `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimeRange {
    pub first: UnixSeconds,
    pub last: UnixSeconds,
}

impl TimeRange {
    /// All of time.
    pub const ALL: TimeRange = TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(i64::MAX) };

    /// Whether no second is in the range.
    pub fn is_empty(&self) -> bool {
        self.last < self.first
    }

    /// Whether `time` is in the range.
    pub fn contains(&self, time: UnixSeconds) -> bool {
        self.first <= time && time <= self.last
    }

    /// Whether the two have a second in common.
    pub fn overlaps(&self, other: TimeRange) -> bool {
        !self.intersection(other).is_empty()
    }

    /// The smallest range that has all of both, neither of which is empty.
    #[must_use]
    pub fn hull(self, other: TimeRange) -> TimeRange {
        TimeRange { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// The seconds that are in both; empty if there are none.
    #[must_use]
    pub fn intersection(&self, other: TimeRange) -> TimeRange {
        TimeRange { first: self.first.max(other.first), last: self.last.min(other.last) }
    }
}

impl fmt::Display for TimeRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.first, self.last)
    }
}
