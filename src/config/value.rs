//! The values of Netdata's files: booleans, integers, durations, sizes, lists. Text in, [`Reading`] out.
//!
//! Netdata makes something of every text and says nothing. Here the same comes out, and what is odd about it is said.

use std::time::Duration;

use super::diagnostic::Severity;

/// What a text was read as, and what is odd about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// `None`: nothing can be made of it, what holds without it applies.
    pub value: Option<T>,
    pub complaint: Option<(Severity, String)>,
}

impl<T> Reading<T> {
    pub fn clean(value: T) -> Self {
        Self { value: Some(value), complaint: None }
    }

    /// Readable, but probably not what was meant.
    pub fn odd(value: T, complaint: impl Into<String>) -> Self {
        Self { value: Some(value), complaint: Some((Severity::Warning, complaint.into())) }
    }

    /// Readable, with something to know about it.
    pub fn noted(value: T, remark: impl Into<String>) -> Self {
        Self { value: Some(value), complaint: Some((Severity::Note, remark.into())) }
    }

    /// Nothing can be made of it, and the parent does well without.
    pub fn unusable(complaint: impl Into<String>) -> Self {
        Self { value: None, complaint: Some((Severity::Warning, complaint.into())) }
    }

    /// Nothing can be made of it, and to go on without would be wrong.
    pub fn wrong(complaint: impl Into<String>) -> Self {
        Self { value: None, complaint: Some((Severity::Error, complaint.into())) }
    }

    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        Reading { value: self.value.map(change), complaint: self.complaint }
    }
}

/// A switch that may be left to the parent's judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnDemand {
    No,
    Yes,
    /// `auto`, `on demand`.
    Auto,
}

impl OnDemand {
    /// Off only when it was said to be.
    pub fn wanted(self) -> bool {
        self != OnDemand::No
    }
}

/// Netdata's booleans: a few words are true, everything else is false, misspellings too.
pub fn boolean(text: &str) -> Reading<bool> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "auto" | "on demand" => Reading::clean(true),
        "no" | "false" | "off" | "never" | "0" => Reading::clean(false),
        _ => Reading::odd(
            false,
            format!("`{text}` counts as `no`, as it does in Netdata; write `yes` or `no`"),
        ),
    }
}

/// `yes`, `no`, `auto`, `on demand`, in lower case; any other text is as if nothing was said.
pub fn on_demand(text: &str) -> Reading<OnDemand> {
    match text {
        "yes" => Reading::clean(OnDemand::Yes),
        "no" => Reading::clean(OnDemand::No),
        "auto" | "on demand" => Reading::clean(OnDemand::Auto),
        _ => Reading::unusable(format!(
            "`{text}` is ignored, as it is by Netdata; write `yes`, `no` or `auto`, in lower case"
        )),
    }
}

/// C's `strtoll` with base 0 (`10`, `0x10`, `010`, the leading part of `10abc`), clamped into the range.
pub fn integer(text: &str, min: i64, max: i64) -> Reading<i64> {
    let (number, rest) = leading_integer(text);
    let clamped = number.unwrap_or(0).clamp(min, max);
    match number {
        None => Reading::odd(clamped, format!("`{text}` is no number; {clamped} is used")),
        Some(_) if !rest.is_empty() => Reading::odd(
            clamped,
            format!("`{text}` is read as {clamped}; `{rest}` behind the number is ignored"),
        ),
        Some(number) if number != clamped => {
            Reading::odd(clamped, format!("{number} is outside of {min} to {max}; {clamped} is used"))
        }
        Some(_) => Reading::clean(clamped),
    }
}

/// The number at the start of `text`, saturated, and what stands behind it.
fn leading_integer(text: &str) -> (Option<i64>, &str) {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    let (radix, digits) = match hexadecimal {
        Some(rest) if rest.starts_with(|c: char| c.is_ascii_hexdigit()) => (16, rest),
        _ if digits.starts_with('0') => (8, digits),
        _ => (10, digits),
    };
    let length = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    if length == 0 {
        return (None, text);
    }
    let magnitude = digits[..length]
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(radix))
        .try_fold(0_i64, |sum, digit| sum.checked_mul(i64::from(radix))?.checked_add(i64::from(digit)));
    let number = match (magnitude, negative) {
        (Some(magnitude), false) => magnitude,
        (Some(magnitude), true) => -magnitude,
        (None, false) => i64::MAX,
        (None, true) => i64::MIN,
    };
    (Some(number), &digits[length..])
}

/// Units of durations in seconds, as Netdata 2.x writes them; `Y` is 1.x's year.
const DURATION_UNITS: [(&str, f64); 14] = [
    ("ns", 1e-9),
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3_600.0),
    ("d", 86_400.0),
    ("w", 7.0 * 86_400.0),
    ("mo", 30.0 * 86_400.0),
    ("M", 30.0 * 86_400.0),
    ("q", 90.0 * 86_400.0),
    ("Q", 90.0 * 86_400.0),
    ("y", 365.0 * 86_400.0),
    ("Y", 365.0 * 86_400.0),
];

/// `90`, `90s`, `1h30m`, `off`, `never`: a bare number counts in `unit`; off is `None`.
pub fn duration(text: &str, unit: Duration) -> Reading<Option<Duration>> {
    if text.eq_ignore_ascii_case("off") || text.eq_ignore_ascii_case("never") {
        return Reading::clean(None);
    }
    let quantity = Quantity::read(text, unit.as_secs_f64(), &DURATION_UNITS);
    let duration = match Duration::try_from_secs_f64(quantity.value) {
        Ok(duration) if quantity.found => duration,
        _ => {
            return Reading::unusable(format!(
                "`{text}` is no duration; write one like `90s`, `1h30m` or `off`"
            ));
        }
    };
    match quantity.rest {
        "" => Reading::clean(Some(duration)),
        rest => Reading::odd(
            Some(duration),
            format!("`{text}` is read as {} s; `{rest}` is not understood", duration.as_secs_f64()),
        ),
    }
}

/// Units of sizes in bytes; `MB` was always a MiB in Netdata.
const SIZE_UNITS: [(&str, f64); 13] = [
    ("B", 1.0),
    ("K", 1024.0),
    ("KB", 1024.0),
    ("KiB", 1024.0),
    ("M", 1_048_576.0),
    ("MB", 1_048_576.0),
    ("MiB", 1_048_576.0),
    ("G", 1_073_741_824.0),
    ("GB", 1_073_741_824.0),
    ("GiB", 1_073_741_824.0),
    ("T", 1_099_511_627_776.0),
    ("TB", 1_099_511_627_776.0),
    ("TiB", 1_099_511_627_776.0),
];

/// `10`, `10MiB`, `1.5G`, `off`: bytes; a bare number counts in `unit` bytes; off is `None`.
pub fn size(text: &str, unit: u64) -> Reading<Option<u64>> {
    if text.eq_ignore_ascii_case("off") {
        return Reading::clean(None);
    }
    // A unit is a power of two far below 2^53: nothing is lost.
    let quantity = Quantity::read(text, unit as f64, &SIZE_UNITS);
    if !quantity.found || quantity.value >= u64::MAX as f64 {
        return Reading::unusable(format!("`{text}` is no size; write one like `10MiB`"));
    }
    let bytes = quantity.value as u64;
    match quantity.rest {
        "" => Reading::clean(Some(bytes)),
        rest => Reading::odd(
            Some(bytes),
            format!("`{text}` is read as {bytes} bytes; `{rest}` is not understood"),
        ),
    }
}

/// A sum of numbers with units: what was understood of a text, and the rest.
struct Quantity<'a> {
    value: f64,
    found: bool,
    rest: &'a str,
}

impl<'a> Quantity<'a> {
    /// A number without a unit, or with one that is not known, counts in `bare` and ends the quantity.
    fn read(text: &'a str, bare: f64, units: &[(&str, f64)]) -> Self {
        let mut quantity = Self { value: 0.0, found: false, rest: text.trim() };
        while !quantity.rest.is_empty() {
            let length =
                quantity.rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(quantity.rest.len());
            let Ok(number) = quantity.rest[..length].parse::<f64>() else {
                return quantity;
            };
            let behind = quantity.rest[length..].trim_start();
            let word = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
            let unit = units.iter().find(|(name, _)| *name == &behind[..word]);
            if unit.is_none() && quantity.found {
                return quantity;
            }
            quantity.found = true;
            let Some((_, factor)) = unit else {
                quantity.value = number * bare;
                quantity.rest = behind;
                return quantity;
            };
            quantity.value += number * factor;
            quantity.rest = behind[word..].trim_start();
        }
        quantity
    }
}

/// Items between white space, or between commas.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_ascii_whitespace() || c == ',').filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_netdatas_and_misspellings_are_said() {
        #[track_caller]
        fn check(text: &str, expected: bool, said: bool) {
            let reading = boolean(text);
            assert_eq!((reading.value, reading.complaint.is_some()), (Some(expected), said), "{text:?}");
        }
        for text in ["yes", "true", "on", "auto", "on demand", "YES", "On Demand"] {
            check(text, true, false);
        }
        for text in ["no", "false", "off", "NO", "0"] {
            check(text, false, false);
        }
        for text in ["ye", "1", "", "enabled", "yes please"] {
            check(text, false, true);
        }
    }

    #[test]
    fn on_demand_is_exact() {
        assert_eq!(on_demand("auto"), Reading::clean(OnDemand::Auto));
        assert_eq!(on_demand("on demand"), Reading::clean(OnDemand::Auto));
        assert_eq!(on_demand("yes"), Reading::clean(OnDemand::Yes));
        assert_eq!(on_demand("no"), Reading::clean(OnDemand::No));
        assert_eq!(on_demand("YES").value, None);
        assert_eq!(on_demand("true").value, None);
    }

    #[test]
    fn integers_are_strtolls() {
        #[track_caller]
        fn check(text: &str, expected: i64, said: bool) {
            let reading = integer(text, -1_000_000, 1_000_000);
            assert_eq!((reading.value, reading.complaint.is_some()), (Some(expected), said), "{text:?}");
        }
        check("10", 10, false);
        check("-10", -10, false);
        check("+7", 7, false);
        check("0", 0, false);
        check("0x10", 16, false);
        check("0XfF", 255, false);
        check("010", 8, false);
        check("10abc", 10, true);
        check("0x", 0, true);
        check("09", 0, true);
        check("abc", 0, true);
        check("", 0, true);
        check("2000000", 1_000_000, true);
        check("-99999999999999999999999", -1_000_000, true);
        check("99999999999999999999999", 1_000_000, true);
    }

    #[test]
    fn durations_take_units_and_bare_numbers() {
        #[track_caller]
        fn check(text: &str, expected_ms: Option<u64>, said: bool) {
            let reading = duration(text, Duration::from_secs(1));
            assert_eq!(reading.value, Some(expected_ms.map(Duration::from_millis)), "{text:?}");
            assert_eq!(reading.complaint.is_some(), said, "{text:?}");
        }
        check("60", Some(60_000), false);
        check("0", Some(0), false);
        check("1.5", Some(1_500), false);
        check("10s", Some(10_000), false);
        check("250ms", Some(250), false);
        check("5m", Some(300_000), false);
        check("1h30m", Some(5_400_000), false);
        check("1h 30m", Some(5_400_000), false);
        check("2 d", Some(172_800_000), false);
        check("1w", Some(604_800_000), false);
        check("1mo", Some(2_592_000_000), false);
        check("1M", Some(2_592_000_000), false);
        check("1y", Some(31_536_000_000), false);
        check("off", None, false);
        check("Never", None, false);
        check("60abc", Some(60_000), true);
        check("1h x", Some(3_600_000), true);
        check("1h30", Some(3_600_000), true);
        for text in ["", "abc", "-5", "."] {
            assert_eq!(duration(text, Duration::from_secs(1)).value, None, "{text:?}");
        }
        assert_eq!(duration("2", Duration::from_secs(60)).value, Some(Some(Duration::from_secs(120))));
    }

    #[test]
    fn sizes_take_units_and_bare_numbers() {
        #[track_caller]
        fn check(text: &str, expected: Option<u64>) {
            assert_eq!(size(text, 1 << 20), Reading::clean(expected), "{text:?}");
        }
        check("256", Some(256 << 20));
        check("10MiB", Some(10 << 20));
        check("10MB", Some(10 << 20));
        check("1.5G", Some(3 << 29));
        check("4096B", Some(4096));
        check("off", None);
        assert_eq!(size("many", 1).value, None);
        assert_eq!(size("10 parsecs", 1).value, Some(Some(10)));
    }

    #[test]
    fn lists_are_words() {
        assert_eq!(list(" zstd  lz4,gzip ").collect::<Vec<_>>(), ["zstd", "lz4", "gzip"]);
        assert_eq!(list("").count(), 0);
    }
}
