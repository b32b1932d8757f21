//! What was asked, as values: the parameters of a data request, without those of its output format.

use super::{
    group::Group,
    options::{QueryOption, QueryOptions},
};

/// A question about charts, before it is known what they hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// An id, a name, or patterns of them.
    pub chart: Option<Box<str>>,
    /// Exact, or patterns.
    pub context: Option<Box<str>>,
    /// Labels that charts must have, by name.
    pub chart_label_key: Option<Box<str>>,
    /// Labels that charts must have, as `name:value`.
    pub chart_labels_filter: Option<Box<str>>,
    /// Patterns, with a bar before each that was given; empty for all.
    pub dimensions: String,
    /// As given: relative, zero or absolute.
    pub after: i64,
    /// As given: relative, zero or absolute.
    pub before: i64,
    /// Rows wanted; 0 for all there are.
    pub points: i64,
    pub group: Group,
    /// As given: what an answer describes itself with.
    pub group_options: Box<str>,
    /// Resampling time in seconds.
    pub gtime: i64,
    pub options: QueryOptions,
    /// The storage tier asked for. It changes nothing: samples decide.
    pub tier: Option<u32>,
    /// How long the answer may take; 0 for as long as it takes.
    pub timeout_ms: u64,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            chart: None,
            context: None,
            chart_label_key: None,
            chart_labels_filter: None,
            dimensions: String::new(),
            after: -600,
            before: 0,
            points: 0,
            group: Group::default(),
            group_options: Box::default(),
            gtime: 0,
            options: QueryOptions::default(),
            tier: None,
            timeout_ms: 0,
        }
    }
}

impl Parameters {
    /// Reads decoded names and values. Unknown names mean nothing, empty values are as if absent, and of what is given
    /// twice the last one counts, but dimensions and options add up.
    pub fn from_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Parameters {
        let mut parameters = Parameters::default();
        let (mut group, mut group_options) = ("", "");
        for (name, value) in pairs.filter(|(_, value)| !value.is_empty()) {
            match name {
                "chart" => parameters.chart = Some(value.into()),
                "context" => parameters.context = Some(value.into()),
                "chart_label_key" => parameters.chart_label_key = Some(value.into()),
                "chart_labels_filter" => parameters.chart_labels_filter = Some(value.into()),
                "dimension" | "dim" | "dimensions" | "dims" => {
                    parameters.dimensions.push('|');
                    parameters.dimensions.push_str(value);
                }
                "show_dimensions" => parameters.options.insert(QueryOption::AllDimensions),
                "after" => parameters.after = leading_integer(value),
                "before" => parameters.before = leading_integer(value),
                "points" => parameters.points = leading_integer(value).max(0),
                "group" => group = value,
                "group_options" => group_options = value,
                "gtime" => parameters.gtime = leading_integer(value).max(0),
                "options" => parameters.options = parameters.options.union(QueryOptions::parse(value)),
                "tier" => {
                    parameters.tier = Some(leading_integer(value).clamp(0, u32::MAX.into()) as u32);
                    parameters.options.insert(QueryOption::SelectedTier);
                }
                "timeout" => parameters.timeout_ms = leading_integer(value).max(0) as u64,
                _ => {}
            }
        }
        parameters.group = Group::parse(group, group_options);
        parameters.group_options = group_options.into();
        parameters
    }

    pub fn has(&self, option: QueryOption) -> bool {
        self.options.contains(option)
    }
}

/// The number that `text` begins with, sign included; 0 if it begins with none. What does not fit is the nearest that
/// does.
pub fn leading_integer(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'));
    digits.fold(0i64, |number, digit| {
        let digit = if negative { -digit } else { digit };
        number.saturating_mul(10).saturating_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_up_to_the_first_other_character() {
        let check = |text: &str, expected: i64| assert_eq!(leading_integer(text), expected, "{text}");
        check("600", 600);
        check("-600", -600);
        check("+5", 5);
        check("12.9s", 12);
        check("abc", 0);
        check("-", 0);
        check("", 0);
        check("99999999999999999999", i64::MAX);
        check("-99999999999999999999", i64::MIN);
    }

    #[test]
    fn the_last_value_counts_but_dimensions_and_options_add_up() {
        let pairs = [
            ("chart", "a.b"),
            ("chart", "c.d"),
            ("points", "5"),
            ("points", ""),
            ("dimension", "c"),
            ("dims", "a"),
            ("options", "flip"),
            ("options", "jsonwrap|ms"),
            ("show_dimensions", "1"),
            ("after", "xyz"),
            ("group", "countif"),
            ("group_options", ">3"),
            ("tier", "1"),
            ("timeout", "250"),
            ("_", "1795342200"),
        ];
        let parameters = Parameters::from_pairs(pairs.into_iter());
        let expected = Parameters {
            chart: Some("c.d".into()),
            dimensions: "|c|a".to_owned(),
            after: 0,
            points: 5,
            group: Group::parse("countif", ">3"),
            group_options: ">3".into(),
            options: QueryOptions::parse("flip,jsonwrap,ms,all-dimensions,selected-tier"),
            tier: Some(1),
            timeout_ms: 250,
            ..Parameters::default()
        };
        assert_eq!(parameters, expected);
    }
}
