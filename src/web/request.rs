//! A request's target, taken apart as Netdata's clients write it.
//!
//! Two liberties that clients take: some send `%3F` instead of the question mark, and the bundled dashboard sends
//! double slashes. Names and values are decoded after they are split, so `%26` is part of a value.

use crate::query::leading_integer;

/// The path and query of a request, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Non-empty segments of the path.
    pub(super) segments: Vec<String>,
    /// The path ended with a slash.
    pub(super) trailing_slash: bool,
    /// Parameters with a value, in order.
    pub(super) parameters: Vec<(String, String)>,
    /// The query as it came.
    pub(super) raw_query: String,
}

/// The target holds bytes that are no text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("URL not valid. I don't understand you...")]
pub(super) struct TargetError;

impl Target {
    /// Takes a request target of the form `/path?query` apart.
    pub(super) fn parse(target: &str) -> Result<Self, TargetError> {
        let (path, raw_query) = match target.split_once('?') {
            Some(parts) => parts,
            None => target.split_once("%3F").or_else(|| target.split_once("%3f")).unwrap_or((target, "")),
        };
        let segments =
            path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect::<Result<_, _>>()?;
        let mut parameters = Vec::new();
        for (name, value) in raw_query.split('&').filter_map(|pair| pair.split_once('=')) {
            let (name, value) = (decode(name)?, decode(value)?);
            if !name.is_empty() && !value.is_empty() {
                parameters.push((name, value));
            }
        }
        Ok(Self { segments, trailing_slash: path.ends_with('/'), parameters, raw_query: raw_query.into() })
    }

    /// The last value of a parameter.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The last value of whichever of these names came last.
    pub(super) fn parameter_of(&self, names: &[&str]) -> Option<&str> {
        let named = |(known, _): &&(String, String)| names.contains(&known.as_str());
        self.parameters.iter().rev().find(named).map(|(_, value)| value.as_str())
    }

    /// How long whoever asks wants to wait; 0: as long as a question may take.
    pub(super) fn timeout_ms(&self) -> u64 {
        self.parameter("timeout").map_or(0, leading_integer).max(0) as u64
    }

    /// Whether a switch is on: `yes`, `1` or `true`; `default` when it was not given.
    pub(super) fn switch(&self, name: &str, default: bool) -> bool {
        self.parameter(name).map_or(default, |value| matches!(value, "yes" | "1" | "true"))
    }
}

/// `+` and `%XX` decoded. Control characters and bytes that are not UTF-8 are errors.
fn decode(text: &str) -> Result<String, TargetError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit(rest.next()), digit(rest.next()));
                (high.ok_or(TargetError)? << 4 | low.ok_or(TargetError)?) as u8
            }
            byte => byte,
        });
    }
    if bytes.iter().any(u8::is_ascii_control) {
        return Err(TargetError);
    }
    String::from_utf8(bytes).map_err(|_| TargetError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split_before_they_are_decoded() {
        let target =
            Target::parse("/host/a%20b//api/v1/data?chart=x&options=a%7Cb&q=1%262&empty=&after=-10").unwrap();
        assert_eq!(target.segments, ["host", "a b", "api", "v1", "data"]);
        assert_eq!(target.parameter("options"), Some("a|b"));
        assert_eq!(target.parameter("q"), Some("1&2"));
        assert_eq!(target.parameter("empty"), None);
        assert_eq!(target.parameter("after"), Some("-10"));
    }

    #[test]
    fn an_encoded_question_mark_counts_when_there_is_no_other() {
        let target = Target::parse("/api/v1/allmetrics%3Fformat=json&help=no").unwrap();
        assert_eq!(target.segments.last().unwrap(), "allmetrics");
        assert_eq!(target.parameter("format"), Some("json"));
        assert_eq!(Target::parse("/a%3Fb?c=d").unwrap().segments, ["a?b"]);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        for target in ["/%", "/%0a", "/%zz", "/%ff", "/x?a=%c3", "/%1"] {
            assert_eq!(Target::parse(target), Err(TargetError), "{target}");
        }
    }
}
