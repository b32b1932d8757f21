//! The time of a row, as formats want it.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

use crate::query::{Answer, QueryOption};

/// Writes the times of an answer's rows.
pub(super) struct Stamps<'a> {
    timezone: &'a TimeZone,
    milliseconds: bool,
    seconds: bool,
    scripts: bool,
}

impl<'a> Stamps<'a> {
    pub(super) fn new(answer: &Answer, timezone: &'a TimeZone) -> Stamps<'a> {
        Stamps {
            timezone,
            milliseconds: answer.has(QueryOption::Milliseconds),
            seconds: answer.has(QueryOption::Seconds),
            scripts: answer.has(QueryOption::GoogleJson),
        }
    }

    /// A number, or a date of JavaScript if that was asked for.
    pub(super) fn write_json(&self, time: i64, out: &mut Vec<u8>) {
        if self.scripts {
            self.write_script_date(time, out);
        } else {
            self.write_number(time, out);
        }
    }

    /// Local time, or a number if that was asked for.
    pub(super) fn write_text(&self, time: i64, out: &mut Vec<u8>) {
        if self.is_number() {
            self.write_number(time, out);
            return;
        }
        let local = self.local(time);
        write_padded(local.year().into(), 4, out);
        for (separator, part) in [
            (b'-', local.month()),
            (b'-', local.day()),
            (b' ', local.hour()),
            (b':', local.minute()),
            (b':', local.second()),
        ] {
            out.push(separator);
            write_padded(part.into(), 2, out);
        }
    }

    /// Whether text shows numbers, not local time.
    pub(super) fn is_number(&self) -> bool {
        self.milliseconds || self.seconds
    }

    /// A cell of Google's tables: a date in quotes, unless scripts were asked for.
    pub(super) fn write_table(&self, time: i64, out: &mut Vec<u8>) {
        if self.scripts {
            self.write_script_date(time, out);
        } else {
            out.push(b'"');
            self.write_date(time, out);
            out.push(b'"');
        }
    }

    fn write_number(&self, time: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
        if self.milliseconds {
            out.extend_from_slice(b"000");
        }
    }

    fn write_script_date(&self, time: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"new ");
        self.write_date(time, out);
    }

    /// Months count from 0.
    fn write_date(&self, time: i64, out: &mut Vec<u8>) {
        let local = self.local(time);
        out.extend_from_slice(b"Date(");
        let parts = [local.month() - 1, local.day(), local.hour(), local.minute(), local.second()];
        let mut buffer = itoa::Buffer::new();
        out.extend_from_slice(buffer.format(local.year()).as_bytes());
        for part in parts {
            out.push(b',');
            out.extend_from_slice(buffer.format(part).as_bytes());
        }
        out.push(b')');
    }

    fn local(&self, time: i64) -> DateTime {
        // Rows lie within the years that calendars know: windows are kept near the clock.
        let timestamp = Timestamp::from_second(time).unwrap_or(Timestamp::UNIX_EPOCH);
        self.timezone.to_datetime(timestamp)
    }
}

fn write_padded(number: i64, width: usize, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', width.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}
