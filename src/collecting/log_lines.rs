//! [`LogLines`]: what a plugin writes to its standard error, as lines for the log: bounded in length and in number.

/// What a longer line is cut to.
const LONGEST: usize = 1024;
/// Lines in a period; those above are counted.
const MOST_LINES: u32 = 200;
const PERIOD_US: i64 = 60_000_000;

/// The standard error of one plugin.
#[derive(Debug, Default)]
pub struct LogLines {
    line: Vec<u8>,
    period_us: i64,
    in_period: u32,
    left_out: u64,
}

impl LogLines {
    /// Takes what was written, and hands each line that is complete to `say`.
    pub fn read(&mut self, now_us: i64, bytes: &[u8], say: &mut dyn FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_complete) = part.strip_suffix(b"\n").map_or((part, false), |part| (part, true));
            let room = LONGEST - self.line.len();
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            if is_complete {
                self.finish(now_us, say);
            }
        }
    }

    /// Says what has no end, and how much was left out.
    pub fn end(&mut self, say: &mut dyn FnMut(&str)) {
        self.tell_of_left_out(say);
        if !self.line.is_empty() {
            self.finish(self.period_us, say);
        }
    }

    fn finish(&mut self, now_us: i64, say: &mut dyn FnMut(&str)) {
        if now_us - self.period_us >= PERIOD_US {
            self.tell_of_left_out(say);
            self.period_us = now_us;
            self.in_period = 0;
        }
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        if self.in_period >= MOST_LINES {
            self.left_out += 1;
            return;
        }
        self.in_period += 1;
        let text = String::from_utf8_lossy(&line);
        let text: String = text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
        say(text.trim_end());
    }

    fn tell_of_left_out(&mut self, say: &mut dyn FnMut(&str)) {
        if let left_out @ 1.. = std::mem::take(&mut self.left_out) {
            say(&format!("({left_out} more lines were left out)"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: &mut LogLines, now_us: i64, text: &str) -> Vec<String> {
        let mut said = Vec::new();
        lines.read(now_us, text.as_bytes(), &mut |line| said.push(line.to_owned()));
        said
    }

    #[test]
    fn lines_are_whole_short_and_printable() {
        let mut lines = LogLines::default();
        assert!(said(&mut lines, 0, "a\tb").is_empty());
        assert_eq!(said(&mut lines, 0, "c\n\n\x1bd\n"), ["a bc", " d"]);
        let long = "x".repeat(5000);
        assert_eq!(said(&mut lines, 0, &long).len(), 0);
        assert_eq!(said(&mut lines, 0, &format!("{long}\ny\n")), [&long[..LONGEST], "y"]);
        let mut rest = Vec::new();
        said(&mut lines, 0, "no end");
        lines.end(&mut |line| rest.push(line.to_owned()));
        assert_eq!(rest, ["no end"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let mut lines = LogLines::default();
        assert_eq!(said(&mut lines, 0, &"x\n".repeat(1000)).len(), MOST_LINES as usize);
        assert!(said(&mut lines, PERIOD_US - 1, "y\n").is_empty());
        assert_eq!(said(&mut lines, PERIOD_US, "z\n"), ["(801 more lines were left out)", "z"]);
    }
}
