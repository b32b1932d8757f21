//! [`Words`]: a line cut into words, exactly as Netdata cuts it.
//!
//! - Any run of separators counts once.
//! - A quote is special only as the first byte of a word: it is dropped, and the word runs to the next quote of its
//!   kind, or to the end of the line. What follows the closing quote directly is a new word.
//! - A backslash keeps the next byte from being a quote or a separator, and stays in the word.
//! - `''` is an empty word; a quote that is the last byte of the line is no word at all.

use memchr::memchr2;

/// What separates words: from a child also `=`, from a parent not (2.x).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separators {
    FromChild,
    FromParent,
}

impl Separators {
    #[inline]
    fn contain(self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => true,
            b'=' => self == Separators::FromChild,
            _ => false,
        }
    }
}

/// The words of one line.
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
    separators: Separators,
}

impl<'a> Words<'a> {
    pub fn new(line: &'a [u8], separators: Separators) -> Words<'a> {
        Words { rest: line, separators }
    }

    fn skip_separators(&mut self) {
        let start = self.rest.iter().position(|byte| !self.separators.contain(*byte));
        self.rest = &self.rest[start.unwrap_or(self.rest.len())..];
    }

    /// All that is left of the line, without the separators around it, quotes and all.
    pub fn remainder(mut self) -> &'a [u8] {
        self.skip_separators();
        let end = self.rest.iter().rposition(|byte| !self.separators.contain(*byte));
        &self.rest[..end.map_or(0, |last| last + 1)]
    }

    /// Whether the next word opens with a quote.
    pub fn next_is_quoted(&self) -> bool {
        let mut ahead = self.clone();
        ahead.skip_separators();
        matches!(ahead.rest.first(), Some(b'"' | b'\''))
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip_separators();
        let first = *self.rest.first()?;
        if matches!(first, b'"' | b'\'') {
            let body = &self.rest[1..];
            if body.is_empty() {
                self.rest = body;
                return None;
            }
            let (word, rest) = match closing_quote(body, first) {
                Some(end) => (&body[..end], &body[end + 1..]),
                None => (body, &body[body.len()..]),
            };
            self.rest = rest;
            return Some(word);
        }
        let mut end = 0;
        while end < self.rest.len() && !self.separators.contain(self.rest[end]) {
            let escapes = self.rest[end] == b'\\' && end + 1 < self.rest.len();
            end += if escapes { 2 } else { 1 };
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

fn closing_quote(body: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr2(quote, b'\\', body.get(at..)?)?;
        if body[at] == quote {
            return Some(at);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &[u8]) -> Vec<Vec<u8>> {
        Words::new(line, Separators::FromChild).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn lines_split_as_netdata_splits_them() {
        let cases: [(&str, &[&str]); 22] = [
            (r#"SET "a" = -36"#, &["SET", "a", "-36"]),
            ("SET a=5", &["SET", "a", "5"]),
            (r#"CHART "t.x" "" "a b" "c""#, &["CHART", "t.x", "", "a b", "c"]),
            ("RBEGIN '' 1 2 3", &["RBEGIN", "", "1", "2", "3"]),
            ("SET2 SLOT:#B 'user' #Bk # ''", &["SET2", "SLOT:#B", "user", "#Bk", "#", ""]),
            ("LABEL k = 1 v w x", &["LABEL", "k", "1", "v", "w", "x"]),
            (r#""ab"cd"#, &["ab", "cd"]),
            (r#""a\"b" c"#, &[r#"a\"b"#, "c"]),
            ("a'b c", &["a'b", "c"]),
            ("x '", &["x"]),
            ("x ''", &["x", ""]),
            (r#"x "unclosed y z"#, &["x", "unclosed y z"]),
            ("REND 1 2 3 true  4 5 6", &["REND", "1", "2", "3", "true", "4", "5", "6"]),
            ("", &[]),
            (" \t\r==", &[]),
            ("'", &[]),
            (r"a\ b c", &[r"a\ b", "c"]),
            (r"a\", &[r"a\"]),
            (r#""a\"#, &[r"a\"]),
            (r#""a\""#, &[r#"a\""#]),
            (r#""a""b"'c'"#, &["a", "b", "c"]),
            ("a\x0bb\x0cc", &["a", "b", "c"]),
        ];
        for (line, expected) in cases {
            let found = words(line.as_bytes());
            let expected: Vec<_> = expected.iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(found, expected, "{line}");
        }
    }

    #[test]
    fn an_equal_sign_from_a_parent_is_an_ordinary_byte() {
        let found: Vec<_> = Words::new(b"FUNCTION t 10 a=b", Separators::FromParent).collect();
        assert_eq!(found, [&b"FUNCTION"[..], b"t", b"10", b"a=b"]);
    }

    #[test]
    fn the_remainder_is_what_no_word_has_taken() {
        let mut found = Words::new(b"LABEL k = 1 v = w  x ", Separators::FromChild);
        assert_eq!(found.by_ref().take(3).count(), 3);
        assert_eq!(found.clone().remainder(), b"v = w  x");
        assert!(!found.next_is_quoted());
        assert_eq!(Words::new(b" = ", Separators::FromChild).remainder(), b"");
    }

    /// The splitter once more, as C code over a string that ends in a NUL would do it.
    fn words_in_place(line: &[u8]) -> Vec<Vec<u8>> {
        let separator = |byte: u8| b" \t\r\n=\x0b\x0c".contains(&byte);
        let byte = |at: usize| line.get(at).copied();
        let mut found = Vec::new();
        let mut at = 0;
        loop {
            while byte(at).is_some_and(separator) {
                at += 1;
            }
            let quote = byte(at).filter(|first| *first == b'"' || *first == b'\'');
            at += usize::from(quote.is_some());
            if byte(at).is_none() {
                return found;
            }
            let mut word = Vec::new();
            while let Some(here) = byte(at) {
                if here == b'\\' && byte(at + 1).is_some() {
                    word.extend([here, line[at + 1]]);
                    at += 2;
                } else if quote == Some(here) || (quote.is_none() && separator(here)) {
                    at += 1;
                    break;
                } else {
                    word.push(here);
                    at += 1;
                }
            }
            found.push(word);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn an_emulation_in_place_agrees_on_any_line(line in "[ab'\"\\\\ =\t]{0,24}") {
            prop_assert_eq!(words(line.as_bytes()), words_in_place(line.as_bytes()));
        }
    }
}
