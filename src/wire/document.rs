//! [`Document`]: the raw lines of a payload, put together, up to a bound.

/// What has come of a payload.
#[derive(Debug)]
pub struct Document {
    /// Lines with their newlines.
    text: Vec<u8>,
    limit: usize,
    too_long: bool,
}

/// A payload is longer than its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    pub limit: usize,
}

impl Document {
    pub fn new(limit: usize) -> Self {
        Self { text: Vec::new(), limit, too_long: false }
    }

    /// A whole line, or what was left of one.
    pub fn line(&mut self, line: &[u8]) {
        self.part(line);
        self.part(b"\n");
    }

    /// A part of a line that goes on. Nothing is kept of a payload that is too long.
    pub fn part(&mut self, part: &[u8]) {
        // The last newline is not the payload's own.
        if self.too_long || self.text.len() + part.len() > self.limit + 1 {
            self.too_long = true;
            self.text = Vec::new();
        } else {
            self.text.extend_from_slice(part);
        }
    }

    /// All of it, without the newline that its sender put before the end line.
    pub fn finish(mut self) -> Result<Vec<u8>, TooLong> {
        if self.too_long {
            return Err(TooLong { limit: self.limit });
        }
        self.text.pop();
        Ok(self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_the_text_they_were_cut_from() {
        let mut document = Document::new(100);
        document.line(b"{\"a\":1,");
        document.part(b" \"b\"");
        document.line(b":2}");
        document.line(b"");
        assert_eq!(document.finish(), Ok(b"{\"a\":1,\n \"b\":2}\n".to_vec()));
        assert_eq!(Document::new(0).finish(), Ok(Vec::new()));
    }

    #[test]
    fn a_payload_may_be_as_long_as_its_bound_and_no_longer() {
        for (len, fits) in [(9, true), (10, true), (11, false), (1000, false)] {
            let mut document = Document::new(10);
            for _ in 0..len - 1 {
                document.part(b"x");
            }
            document.line(b"x");
            let expected = if fits { Ok(vec![b'x'; len]) } else { Err(TooLong { limit: 10 }) };
            assert_eq!(document.finish(), expected);
        }
    }
}
