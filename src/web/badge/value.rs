//! A value as people read it.

use std::fmt;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;
/// Decimals beyond are zeros of the conversion.
const MOST_DECIMALS: usize = 50;

/// A value with its units; some units say how the value is to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ValueText<'a> {
    /// NaN where there is none.
    pub(super) value: f64,
    pub(super) units: &'a str,
    /// Decimals; as many as say something if it is not given.
    pub(super) precision: Option<usize>,
}

impl fmt::Display for ValueText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ValueText { value, units, precision } = *self;
        if !value.is_finite() {
            return f.write_str("-");
        }
        let (unit, ago) = match units.strip_suffix(" ago") {
            Some(unit) => (unit, " ago"),
            None => (units, ""),
        };
        // A time is not negative, and its fractions are nobody's business.
        let whole = value.max(0.0).round() as u64;
        match unit {
            "seconds" | "minutes" | "hours" if whole == 0 => return f.write_str("now"),
            "seconds" => return write_seconds(whole, ago, f),
            "minutes" => return write_minutes(whole, ago, f),
            "hours" => return write_hours(whole, ago, f),
            _ => {}
        }
        let states = [
            ("on/off", "on", "off"),
            ("up/down", "up", "down"),
            ("ok/error", "ok", "error"),
            ("ok/failed", "ok", "failed"),
        ];
        if let Some((_, yes, no)) = states.iter().find(|(known, ..)| *known == units) {
            return f.write_str(if value == 0.0 { no } else { yes });
        }
        let number = match precision {
            Some(decimals) => format!("{value:.*}", decimals.min(MOST_DECIMALS)),
            None => automatic(value),
        };
        let units = match units {
            "percentage" | "percent" | "pcent" => "%",
            "empty" | "null" => "",
            other => other,
        };
        let space = if units.starts_with(|first: char| first.is_alphanumeric()) { " " } else { "" };
        write!(f, "{number}{space}{units}")
    }
}

/// With so many decimals that three or four digits say something, without zeros at the end.
fn automatic(value: f64) -> String {
    let decimals = match value.abs() {
        1000.0.. => 0,
        10.0.. => 1,
        0.1.. => 2,
        0.01.. => 4,
        0.001.. => 5,
        0.0001.. => 6,
        _ => 7,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn write_days(days: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match days {
        0 => Ok(()),
        1 => f.write_str("1 day "),
        days => write!(f, "{days} days "),
    }
}

fn write_seconds(seconds: u64, ago: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_days(seconds / DAY, f)?;
    let (hours, minutes) = (seconds % DAY / HOUR, seconds % HOUR / MINUTE);
    write!(f, "{hours:02}:{minutes:02}:{:02}{ago}", seconds % MINUTE)
}

fn write_minutes(minutes: u64, ago: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_days(minutes / (DAY / MINUTE), f)?;
    write!(f, "{:02}h {:02}m{ago}", minutes % (DAY / MINUTE) / 60, minutes % 60)
}

fn write_hours(hours: u64, ago: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write_days(hours / 24, f)?;
    write!(f, "{}h{ago}", hours % 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_short_as_they_say_something() {
        #[track_caller]
        fn check(value: f64, units: &str, expected: &str) {
            assert_eq!(ValueText { value, units, precision: None }.to_string(), expected);
        }
        check(4.5, "things", "4.5 things");
        check(8.25, "things", "8.25 things");
        check(12.345, "%", "12.3%");
        check(1234.5, "KiB/s", "1234 KiB/s");
        check(-1500.0, "°C", "-1500°C");
        check(100.0, "percentage", "100%");
        check(0.123_456, "", "0.12");
        check(0.012_345, "", "0.0123");
        check(0.000_012_345, "", "0.0000123");
        check(-0.000_000_001, "", "0");
        check(5.0, "empty", "5");
        check(f64::NAN, "things", "-");
        check(f64::INFINITY, "seconds", "-");
        check(1.0, "on/off", "on");
        check(0.0, "up/down", "down");
        check(0.0, "ok/failed", "failed");
        check(2.0, "ok/error", "ok");
    }

    #[test]
    fn times_are_read_as_times() {
        #[track_caller]
        fn check(value: f64, units: &str, expected: &str) {
            assert_eq!(ValueText { value, units, precision: None }.to_string(), expected);
        }
        check(0.0, "seconds", "now");
        check(0.0, "seconds ago", "now");
        check(3723.0, "seconds", "01:02:03");
        check(86_400.0 + 3723.4, "seconds", "1 day 01:02:03");
        check(3.0 * 86_400.0, "seconds ago", "3 days 00:00:00 ago");
        check(90.0, "minutes", "01h 30m");
        check(2880.0, "minutes ago", "2 days 00h 00m ago");
        check(50.0, "hours", "2 days 2h");
        check(-5.0, "hours", "now");
        check(1e30, "seconds", "213503982334601 days 07:00:15");
    }

    #[test]
    fn a_precision_is_kept() {
        let text = |precision| ValueText { value: 4.5, units: "x", precision: Some(precision) }.to_string();
        assert_eq!((text(0), text(3)), ("4 x".to_owned(), "4.500 x".to_owned()));
        assert_eq!(text(usize::MAX).len(), "4.".len() + MOST_DECIMALS + " x".len());
    }
}
