//! [`SimplePattern`]: Netdata's lists of patterns with `*`, as they stand in access lists and API parameters.
//!
//! ```text
//! list     = item { separator item }
//! item     = [ "!" ] text            text may hold "*"; "\" makes the next character literal, for separators and "!"
//! ```
//!
//! - Items are tried from left to right and the first that matches decides: with `!` it is a no, else a yes. When none
//!   matches it is a no. The empty string matches nothing, not even `*`.
//! - Bytes are compared, with their case. `*` is any run of them, empty too; it cannot be escaped.
//! - A run of asterisks before a text is one wildcard and the rest of them literally (`a**b` asks for `*b` at the end).
//!   That is how Netdata's own parser takes it, and lists written for it rely on nothing else.
//! - A lone `!` is skipped.

/// What separates items in configuration files.
pub const WHITE_SPACE: &str = " \t\r\n\x0b\x0c";
/// What separates items in the parameters of the API.
pub const API_SEPARATORS: &str = ",|\t\r\n\x0b\x0c";

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SimplePattern {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    negated: bool,
    glob: Glob,
}

/// Literal parts with a wildcard between each two of them, and perhaps one at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Glob {
    open_start: bool,
    open_end: bool,
    /// Never empty ones; none at all for `*`.
    parts: Vec<Vec<u8>>,
}

impl SimplePattern {
    /// Reads a list whose items are separated by any of the (ASCII) `separators`.
    pub fn new(list: &str, separators: &str) -> Self {
        let separators = separators.as_bytes();
        let mut items = Vec::new();
        let mut text: Vec<u8> = Vec::new();
        let mut escaped = false;
        let mut negated = false;
        // Whether anything of the present item was read, so that `!` counts only as its first character.
        let mut begun = false;
        for &byte in list.as_bytes() {
            if escaped {
                escaped = false;
                text.push(byte);
            } else if byte == b'\\' {
                escaped = true;
                begun = true;
            } else if separators.contains(&byte) {
                Item::finish(&mut items, negated, &mut text);
                (negated, begun) = (false, false);
            } else if byte == b'!' && !begun {
                (negated, begun) = (true, true);
            } else {
                begun = true;
                text.push(byte);
            }
        }
        Item::finish(&mut items, negated, &mut text);
        Self { items }
    }

    /// Whether the first item that matches `text` is a positive one.
    pub fn matches(&self, text: impl AsRef<[u8]>) -> bool {
        self.matches_any_of(&[text.as_ref()])
    }

    /// For one thing with several names: the first item that matches any of them decides.
    pub fn matches_any_of(&self, names: &[&[u8]]) -> bool {
        self.decide(names).unwrap_or(false)
    }

    /// The same, and `None` when no item has anything to say.
    pub fn decide(&self, names: &[&[u8]]) -> Option<bool> {
        self.items
            .iter()
            .find(|item| names.iter().any(|name| !name.is_empty() && item.glob.matches(name)))
            .map(|item| !item.negated)
    }

    /// True when no string at all can match: there is no positive item.
    pub fn matches_nothing(&self) -> bool {
        self.items.iter().all(|item| item.negated)
    }
}

impl Item {
    fn finish(items: &mut Vec<Item>, negated: bool, text: &mut Vec<u8>) {
        if !text.is_empty() {
            items.push(Item { negated, glob: Glob::new(text) });
            text.clear();
        }
    }
}

impl Glob {
    fn new(text: &[u8]) -> Self {
        let mut glob = Glob { open_start: false, open_end: false, parts: Vec::new() };
        let mut part: Vec<u8> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            if text[at] != b'*' {
                part.push(text[at]);
                at += 1;
                continue;
            }
            let run = text[at..].iter().take_while(|&&byte| byte == b'*').count();
            if at == 0 {
                glob.open_start = true;
            }
            if !part.is_empty() {
                glob.parts.push(std::mem::take(&mut part));
            }
            at += run;
            if at == text.len() {
                glob.open_end = true;
            } else {
                part.resize(run - 1, b'*');
            }
        }
        if !part.is_empty() {
            glob.parts.push(part);
        }
        glob
    }

    fn matches(&self, text: &[u8]) -> bool {
        let mut rest = text;
        for (index, part) in self.parts.iter().enumerate() {
            let first = index == 0 && !self.open_start;
            let last = index + 1 == self.parts.len() && !self.open_end;
            rest = match (first, last) {
                (true, true) => return rest == part.as_slice(),
                (true, false) => match rest.strip_prefix(part.as_slice()) {
                    Some(rest) => rest,
                    None => return false,
                },
                (false, true) => return rest.ends_with(part),
                (false, false) => match rest.windows(part.len()).position(|window| window == part.as_slice())
                {
                    Some(at) => &rest[at + part.len()..],
                    None => return false,
                },
            };
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(list: &str, text: &str, expected: bool) {
        assert_eq!(SimplePattern::new(list, WHITE_SPACE).matches(text), expected, "{list:?} on {text:?}");
    }

    /// The answers of a Netdata 1.37.1's own pattern tester.
    #[test]
    fn the_vectors_of_the_real_program() {
        let words = "*foobar* !foo* !*bar *";
        check(words, "hello world", true);
        check(words, "hello world bar", false);
        check(words, "hello world foobar", true);
        check(words, "foox", false);
        check("a,b,c", "a", false);
        check("*", "", false);
        check("!x", "y", false);
        check("!x *", "y", true);
        check("!x y", "y", true);
        check("foo*", "FOO", false);
        check("f*o", "foobo", true);
        check("f*o", "foob", false);
        check("*x*x", "x", false);
        check("*ab*ab", "abxabx", false);
        check("a*a", "a", false);
        check("10.*.3", "10.1.2.3", true);
        check("system.cpu system.*", "system.ram", true);
        check("**b", "xb", false);
        check("a**", "abc", true);
        check("*ab*bc*cd", "abxbcycd", true);
        check("!!x *", "x", true);
        check("*a*b*", "xaybz", true);
        check("*a*b*", "xbya", false);
        check("a*b*c", "a1b2c", true);
        check("a*b*c", "a1b2cd", false);
        check("**", "x", true);
        check("a**b", "axb", false);
        check("with\\ space", "with space", true);
        check("\\!x", "!x", true);
        check("a\\*b", "axb", true);
        check("! x", "x", true);
        check("!!x", "!x", false);
        check("* !x", "x", true);
        check("*x*x", "xx", true);
        check("*ab*b", "ab", false);
        check("x*y", "xyzy", true);
        check("192.168.1.*", "192.168.10.1", false);
        check("a**b", "a*b", true);
        check("**b", "x*b", true);
        check("a\\\\b", "a\\b", true);
        check("a*b*c*d", "axbxbxcxcd", true);
        check("!!x *", "!x", false);
    }

    #[test]
    fn the_separator_is_the_callers() {
        let list = SimplePattern::new("!cpu one|user|sys tem", API_SEPARATORS);
        assert!(!list.matches("cpu one"));
        assert!(list.matches("user"));
        assert!(list.matches(b"sys tem"));
        assert!(!list.matches("tem"));
        assert!(SimplePattern::new("a,b||c", API_SEPARATORS).matches("c"));
    }

    #[test]
    fn a_negated_item_decides_for_all_names_of_a_thing() {
        let names: [&[u8]; 2] = [b"127.0.0.1", b"localhost"];
        assert!(!SimplePattern::new("!localhost *", WHITE_SPACE).matches_any_of(&names));
        assert!(!SimplePattern::new("!127.* *", WHITE_SPACE).matches_any_of(&names));
        assert!(SimplePattern::new("localhost", WHITE_SPACE).matches_any_of(&names));
        assert!(SimplePattern::new("127.0.0.*", WHITE_SPACE).matches_any_of(&names));
    }

    #[test]
    fn a_list_without_a_positive_item_matches_nothing() {
        for list in ["", "  ", "!x", "!x !*", "!"] {
            assert!(SimplePattern::new(list, WHITE_SPACE).matches_nothing(), "{list:?}");
        }
        assert!(!SimplePattern::new("!x *", WHITE_SPACE).matches_nothing());
    }
}
