//! From `after` and `before` as they were given to seconds of the clock.

use dbengine::{TimeRange, UnixSeconds};

use super::parameters::Parameters;

/// A number of at most this magnitude is relative: three years.
const RELATIVE_MAX: i64 = 3 * 365 * 86_400;
/// Windows reach back this far at most.
const PAST: i64 = 10 * 365 * 86_400;

/// The seconds that were asked for, both ends included, before they are laid on a grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub after: i64,
    /// Not before `after`, and not in the future.
    pub before: i64,
    /// `before` was zero: the end of what is stored.
    pub is_open: bool,
    /// One of the edges was not a time of the clock.
    pub is_relative: bool,
}

impl Window {
    /// The window that `parameters` mean at `now`, for charts that hold samples in `retention`.
    ///
    /// The newest second there can be is the one before `now`: this one is not over. A zero `after` is the oldest
    /// sample, a zero `before` the newest. Relative numbers count without their sign: `before` from the newest second,
    /// `after` from `before`, so that ten seconds are ten samples.
    pub fn resolve(parameters: &Parameters, retention: TimeRange, now: i64) -> Window {
        let newest = newest_second(now);
        let (given_after, given_before) = (parameters.after, parameters.before);
        let before = match given_before {
            0 => retention.last.0,
            given if is_relative(given) => newest - given.abs(),
            given => given,
        };
        let after = match given_after {
            0 => retention.first.0,
            given if is_relative(given) => before.saturating_sub(given.abs()).saturating_add(1),
            given => given,
        };
        let (mut after, mut before) = (after.min(before), after.max(before));
        if before > newest {
            after = after.saturating_sub(before.saturating_sub(newest));
            before = newest;
        }
        let oldest = newest - PAST;
        Window {
            after: after.max(oldest),
            before: before.max(oldest),
            is_open: given_before == 0,
            is_relative: is_relative(given_after) || is_relative(given_before),
        }
    }

    /// The window by which charts are chosen: as if samples of all time up to now were stored.
    pub(super) fn of_candidates(parameters: &Parameters, now: i64) -> Window {
        let retention = TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(newest_second(now)) };
        Window::resolve(parameters, retention, now)
    }

    /// Whether samples in `span`, `update_every` seconds apart, are near enough to say something about the window.
    pub(super) fn concerns(&self, span: TimeRange, update_every: i64) -> bool {
        let near = 2 * update_every;
        span.overlaps(TimeRange {
            first: UnixSeconds(self.after - near),
            last: UnixSeconds(self.before + near),
        })
    }
}

/// Zero counts as relative as well.
fn is_relative(given: i64) -> bool {
    given.unsigned_abs() <= RELATIVE_MAX as u64
}

/// The last whole second, of a clock that is anywhere in the next 30 000 years.
fn newest_second(now: i64) -> i64 {
    now.clamp(1, 1 << 40) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_343_438;
    const N: i64 = NOW - 1;

    fn resolved(after: i64, before: i64) -> (i64, i64) {
        let retention = TimeRange { first: UnixSeconds(N - 5000), last: UnixSeconds(N - 100) };
        let parameters = Parameters { after, before, ..Parameters::default() };
        let window = Window::resolve(&parameters, retention, NOW);
        (window.after - N, window.before - N)
    }

    #[test]
    fn edges_are_relative_to_the_last_whole_second_and_to_the_end_of_what_is_stored() {
        assert_eq!(resolved(-600, 0), (-699, -100));
        assert_eq!(resolved(0, 0), (-5000, -100));
        assert_eq!(resolved(-10, -10), (-19, -10));
        assert_eq!(resolved(10, 20), (-29, -20), "the sign of a relative number is ignored");
        assert_eq!(resolved(N - 4, N - 9), (-9, -4), "swapped");
        assert_eq!(resolved(N + 3600, N + 3609), (-9, 0), "the future is the present");
        assert_eq!(resolved(-10, N), (-9, 0));
        assert_eq!(resolved(N - 20, -10), (-20, -10));
    }

    #[test]
    fn no_number_overflows() {
        for edge in [i64::MIN, i64::MIN + 1, -RELATIVE_MAX, -1, 0, 1, RELATIVE_MAX, i64::MAX - 1, i64::MAX] {
            for other in [i64::MIN, -1, 0, 1, N, i64::MAX] {
                for now in [i64::MIN, 0, NOW, i64::MAX] {
                    for retention in [
                        TimeRange::ALL,
                        TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(i64::MIN) },
                        TimeRange { first: UnixSeconds(i64::MAX), last: UnixSeconds(i64::MAX) },
                    ] {
                        let parameters = Parameters { after: edge, before: other, ..Parameters::default() };
                        let window = Window::resolve(&parameters, retention, now);
                        assert!(window.after <= window.before && window.before <= newest_second(now));
                        assert!(window.before - window.after <= PAST);
                        assert!(window.concerns(TimeRange::ALL, u32::MAX.into()));
                    }
                }
            }
        }
    }
}
