//! Times as people write and read them.

use std::str::FromStr;

use dbengine::{TimeRange, UnixSeconds};
use jiff::Timestamp;

use super::Window;

/// An end of a window, as given on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBound(UnixSeconds);

impl FromStr for TimeBound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = match text.parse::<i64>() {
            Ok(ago) if ago < 0 => Timestamp::now().as_second().saturating_add(ago),
            Ok(seconds) => seconds,
            Err(_) => text
                .parse::<Timestamp>()
                .map_err(|_| {
                    "a time is RFC 3339 with a zone (2026-01-31T12:00:00Z), unix seconds, or a negative number of \
                     seconds before now"
                        .to_owned()
                })?
                .as_second(),
        };
        Ok(Self(UnixSeconds(seconds)))
    }
}

impl Window {
    pub(super) fn range(self) -> TimeRange {
        TimeRange {
            first: self.after.map_or(TimeRange::ALL.first, |TimeBound(time)| time),
            last: self.before.map_or(TimeRange::ALL.last, |TimeBound(time)| time),
        }
    }
}

/// RFC 3339, in UTC; a time beyond its years as unix seconds.
pub(super) fn rfc3339(time: UnixSeconds) -> String {
    Timestamp::from_second(time.0).map_or_else(|_| time.to_string(), |time| time.to_string())
}

/// A stretch of time in the unit that suits it.
pub(super) fn duration(seconds: f64) -> String {
    const UNITS: [(f64, &str); 4] =
        [(365.25 * 86_400.0, "years"), (86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")];
    UNITS
        .iter()
        .find(|(unit, _)| seconds >= 2.0 * unit)
        .map_or_else(|| format!("{seconds:.0} s"), |(unit, name)| format!("{:.1} {name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_date_a_number_or_ago() {
        let bound = |text: &str| text.parse::<TimeBound>().map(|TimeBound(time)| time.0);
        assert_eq!(bound("1795000000"), Ok(1_795_000_000));
        assert_eq!(bound("2026-01-31T12:00:00+01:00"), Ok(1_769_857_200));
        let ago = bound("-600").expect("a number");
        assert!((595..=605).contains(&(Timestamp::now().as_second() - ago)));
        assert!(bound("yesterday").is_err());
    }

    #[test]
    fn durations_have_two_digits_at_least() {
        assert_eq!(duration(90.0), "90 s");
        assert_eq!(duration(7200.0), "2.0 hours");
        assert_eq!(duration(86_400.0 * 30.0), "30.0 days");
    }
}
