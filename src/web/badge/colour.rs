//! Colours of badges: their names, and lists of them with conditions, of which a value has the first that holds.
//!
//! ```text
//! list      = item { "|" item }
//! item      = colour [ condition ( number | "null" ) ]
//! condition = "<" "{" "(" | ">" "}" ")" | "<=" | ">=" | "=" ":" | "!" "!=" "<>"
//! ```
//!
//! An item without a condition always holds. `null` is no value; it is equal or unequal, not less or more.

use std::fmt;

/// Up to eight hex digits, as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Colour<'a>(&'a str);

const NAMES: [(&str, &str); 11] = [
    ("brightgreen", "4c1"),
    ("green", "97CA00"),
    ("yellow", "dfb317"),
    ("yellowgreen", "a4a61d"),
    ("orange", "fe7d37"),
    ("red", "e05d44"),
    ("blue", "007ec6"),
    ("grey", "555"),
    ("gray", "555"),
    ("lightgrey", "9f9f9f"),
    ("lightgray", "9f9f9f"),
];

impl<'a> Colour<'a> {
    pub(super) const WHITE: Colour<'static> = Colour("fff");
    pub(super) const LABEL: Colour<'static> = Colour("555");
    pub(super) const UNKNOWN: Colour<'static> = Colour("999");

    /// A colour by its name or its 3, 6 or 8 hex digits.
    pub(super) fn named(name: &'a str) -> Option<Colour<'a>> {
        if let Some((_, digits)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(Colour(digits));
        }
        let digits = name.strip_prefix('#').unwrap_or(name);
        let is_hex =
            matches!(digits.len(), 3 | 6 | 8) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        is_hex.then_some(Colour(digits))
    }

    /// The colour that a list has for a value, NaN for none.
    pub(super) fn of_value(list: &'a str, value: f64) -> Colour<'a> {
        let holding = list.split('|').filter(|item| !item.is_empty()).find_map(|item| {
            let (name, condition) = split(item);
            condition.is_none_or(|(comparison, number)| comparison.holds(value, number)).then_some(name)
        });
        holding.and_then(Colour::named).unwrap_or(Colour::UNKNOWN)
    }
}

impl fmt::Display for Colour<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    More,
    LessOrEqual,
    MoreOrEqual,
    Equal,
    Unequal,
}

impl Comparison {
    /// Of NaN, which is no value, equality is with NaN.
    fn holds(self, value: f64, number: f64) -> bool {
        let equal = value == number || value.is_nan() && number.is_nan();
        match self {
            Comparison::Less => value < number,
            Comparison::More => value > number,
            Comparison::LessOrEqual => value <= number,
            Comparison::MoreOrEqual => value >= number,
            Comparison::Equal => equal,
            Comparison::Unequal => !equal,
        }
    }
}

/// An item's colour, and its condition.
fn split(item: &str) -> (&str, Option<(Comparison, f64)>) {
    let Some(at) = item.find(['<', '>', '{', '}', '(', ')', '=', ':', '!']) else { return (item, None) };
    let (name, rest) = item.split_at(at);
    let mut signs = rest.chars();
    let first = match signs.next() {
        Some('{' | '(') => '<',
        Some('}' | ')') => '>',
        Some(':') => '=',
        other => other.unwrap_or('='),
    };
    let after = signs.as_str();
    let (comparison, number) = match (first, after.as_bytes().first()) {
        ('<', Some(b'=')) => (Comparison::LessOrEqual, &after[1..]),
        ('>', Some(b'=')) => (Comparison::MoreOrEqual, &after[1..]),
        ('<', Some(b'>' | b'}' | b')')) => (Comparison::Unequal, &after[1..]),
        ('!', Some(b'=')) => (Comparison::Unequal, &after[1..]),
        ('<', _) => (Comparison::Less, after),
        ('>', _) => (Comparison::More, after),
        ('!', _) => (Comparison::Unequal, after),
        _ => (Comparison::Equal, after),
    };
    let number = match number.trim() {
        "null" | "" => f64::NAN,
        number => number.parse().unwrap_or(0.0),
    };
    (name, Some((comparison, number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_the_first_colour_that_holds() {
        #[track_caller]
        fn check(list: &str, value: f64, expected: &str) {
            assert_eq!(Colour::of_value(list, value).to_string(), expected, "{list} of {value}");
        }
        let list = "green<5|red>=5|grey";
        check(list, 4.9, "#97CA00");
        check(list, 5.0, "#e05d44");
        check(list, f64::NAN, "#555");
        check("green{5|red}5|blue:5|yellow", 5.0, "#007ec6");
        check("green(5|red", 4.0, "#97CA00");
        check("green<>5|red", 5.0, "#e05d44");
        check("green!=5|red", 6.0, "#97CA00");
        check("green!5", 5.0, "#999");
        check("lightgrey:null|green", f64::NAN, "#9f9f9f");
        check("green!null|lightgrey", f64::NAN, "#9f9f9f");
        check("green!null|lightgrey", 0.0, "#97CA00");
        check("orange>-3", -2.0, "#fe7d37");
        check("#abc", 0.0, "#abc");
        check("00112233", 0.0, "#00112233");
        check("nonsense\"", 0.0, "#999");
        check("", 0.0, "#999");
        check("ö<5", 0.0, "#999");
    }
}
