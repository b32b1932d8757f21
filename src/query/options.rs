//! The flags of `options=`: a word each, a set of them in a question.

use std::fmt;

/// A flag of a question. Their order is the one in which answers name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryOption {
    /// Dimensions whose samples are all zero or gaps are dropped, unless those of all are.
    NonZero,
    /// Oldest row first.
    Flip,
    /// The result inside an object that describes it.
    JsonWrap,
    /// Formats of one value a row: how far values reach, zero included, not their sum.
    MinToMax,
    Milliseconds,
    /// Values without their sign, after grouping.
    Absolute,
    DisplayAbsolute,
    /// Epoch seconds where a format has local time.
    Seconds,
    /// 0 where there is no value.
    NullToZero,
    /// JSON rows are objects.
    ObjectRows,
    /// Dates as JavaScript's.
    GoogleJson,
    /// Values as percent of the sum of all dimensions, hidden and deselected ones too.
    Percentage,
    /// The window is not aligned to whole rows.
    Unaligned,
    /// `dimensions=` means ids.
    MatchIds,
    /// `dimensions=` means names.
    MatchNames,
    /// Values are the percent of anomalous samples.
    AnomalyBit,
    /// A storage tier was named.
    SelectedTier,
    Raw,
    /// The wrapper has the percent of anomalous samples of every cell.
    AnomalyRates,
    /// Rows in steps of the charts' update_every.
    NaturalPoints,
    /// Rows in steps of a second.
    VirtualPoints,
    /// The wrapper lists all dimensions, charts and labels, shown or not.
    AllDimensions,
}

use QueryOption::{
    Absolute, AllDimensions, AnomalyBit, AnomalyRates, DisplayAbsolute, Flip, GoogleJson, JsonWrap, MatchIds,
    MatchNames, Milliseconds, MinToMax, NaturalPoints, NonZero, NullToZero, ObjectRows, Percentage, Raw,
    Seconds, SelectedTier, Unaligned, VirtualPoints,
};

/// The words of every flag, in the order of the flags; the first word of a flag is the one that answers use.
const WORDS: [(&str, QueryOption); 33] = [
    ("nonzero", NonZero),
    ("flip", Flip),
    ("reversed", Flip),
    ("reverse", Flip),
    ("jsonwrap", JsonWrap),
    ("min2max", MinToMax),
    ("ms", Milliseconds),
    ("milliseconds", Milliseconds),
    ("abs", Absolute),
    ("absolute", Absolute),
    ("absolute_sum", Absolute),
    ("absolute-sum", Absolute),
    ("display_absolute", DisplayAbsolute),
    ("display-absolute", DisplayAbsolute),
    ("seconds", Seconds),
    ("null2zero", NullToZero),
    ("objectrows", ObjectRows),
    ("google_json", GoogleJson),
    ("google-json", GoogleJson),
    ("percentage", Percentage),
    ("unaligned", Unaligned),
    ("match_ids", MatchIds),
    ("match-ids", MatchIds),
    ("match_names", MatchNames),
    ("match-names", MatchNames),
    ("anomaly-bit", AnomalyBit),
    ("selected-tier", SelectedTier),
    ("raw", Raw),
    ("jw-anomaly-rates", AnomalyRates),
    ("natural-points", NaturalPoints),
    ("virtual-points", VirtualPoints),
    ("all-dimensions", AllDimensions),
    ("all_dimensions", AllDimensions),
];

/// A set of flags. Displays as their words, separated by commas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryOptions(u32);

impl QueryOptions {
    /// The flags whose words are in `text`, separated by commas, spaces or bars. Other words mean nothing.
    pub fn parse(text: &str) -> QueryOptions {
        let mut options = QueryOptions::default();
        for word in text.split([',', ' ', '|']) {
            if let Some((_, option)) = WORDS.iter().find(|(known, _)| *known == word) {
                options.insert(*option);
            }
        }
        options
    }

    pub fn contains(self, option: QueryOption) -> bool {
        self.0 & (1 << option as u32) != 0
    }

    pub fn insert(&mut self, option: QueryOption) {
        self.0 |= 1 << option as u32;
    }

    pub fn remove(&mut self, option: QueryOption) {
        self.0 &= !(1 << option as u32);
    }

    /// The flags that are in either set.
    #[must_use]
    pub fn union(self, other: QueryOptions) -> QueryOptions {
        QueryOptions(self.0 | other.0)
    }
}

impl fmt::Display for QueryOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        let mut left = *self;
        for (word, option) in WORDS {
            if left.contains(option) {
                left.remove(option);
                write!(f, "{separator}{word}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_named_in_a_fixed_order_whatever_the_request_says() {
        let check = |text: &str, expected: &str| assert_eq!(QueryOptions::parse(text).to_string(), expected);
        check("", "");
        check("jsonwrap", "jsonwrap");
        check("absolute|jsonwrap|nonzero", "nonzero,jsonwrap,abs");
        check("ms|flip|jsonwrap|nonzero", "nonzero,flip,jsonwrap,ms");
        check("absolute,percentage jsonwrap|nonzero", "nonzero,jsonwrap,abs,percentage");
        check("all-dimensions,natural-points,reverse,reversed,nosuch", "flip,natural-points,all-dimensions");
        check(
            "match_names,google-json,min2max,jw-anomaly-rates",
            "min2max,google_json,match_names,jw-anomaly-rates",
        );
    }
}
