//! [`Heads`]: how the data lines of a child's charts begin, as one stream of bytes, in the order in which its charts came.
//!
//! A child repeats its order every second: the next data line most likely begins as what lies next in this stream does.
//! So a line is compared with a few bytes that the last comparison has brought into the cache already, and then its
//! values come: no keyword, slot or quote is looked for, no chart's description, no hash.
//!
//! ```text
//! record of a chart:  | len u16 | chart id | head | head | …
//! head:               | len u16 | before u8 | what stands between keyword and values |
//!                                               "user" =    SLOT:#B 'user'
//!                                              <>           <------>   `before`, then the id, then what follows every id
//! ```
//!
//! A record is written when the first data of its chart come, and anew after the chart was defined anew.

use crate::wire::command::Reference;
use crate::wire::{Encoder, begins_with};

/// Bytes in front of an id or a head: its length, little endian.
const LENGTH: usize = 2;
/// The same with what stands before the id.
const HEADER: usize = LENGTH + 1;

/// Where a chart's record is; nowhere, if it is made as it is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    at: u32,
    end: u32,
}

impl Record {
    pub(super) fn is_written(self) -> bool {
        self.end > self.at
    }
}

/// A dimension of a record: the one that is expected next. It is of no use once a record has changed; the one that comes as it
/// is made expects nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    pub(super) index: usize,
    at: u32,
    /// The end of the record.
    end: u32,
}

/// All records of a connection.
#[derive(Debug)]
pub(super) struct Heads {
    encoder: Encoder,
    bytes: Vec<u8>,
    holes: usize,
}

impl Heads {
    /// `encoder` writes as the child does.
    pub(super) fn new(encoder: Encoder) -> Self {
        Self { encoder, bytes: Vec::new(), holes: 0 }
    }

    /// A record of a chart with these dimensions.
    pub(super) fn add<'a>(&mut self, chart: &str, dimensions: impl Iterator<Item = Reference<'a>>) -> Record {
        let at = self.bytes.len() as u32;
        // No line is as long as an id that does not fit: an empty one is never met.
        let length = u16::try_from(chart.len()).unwrap_or(0);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&chart.as_bytes()[..usize::from(length)]);
        for dimension in dimensions {
            let header = self.bytes.len();
            self.bytes.extend_from_slice(&[0; HEADER]);
            let before = self.encoder.head(dimension, &mut self.bytes);
            let head = header + HEADER;
            match u16::try_from(self.bytes.len() - head) {
                Ok(length) => {
                    self.bytes[header..header + LENGTH].copy_from_slice(&length.to_le_bytes());
                    self.bytes[header + LENGTH] = before;
                }
                Err(_) => self.bytes.truncate(head),
            }
        }
        Record { at, end: self.bytes.len() as u32 }
    }

    /// A record that is not true any more.
    pub(super) fn remove(&mut self, record: Record) {
        self.holes += (record.end - record.at) as usize;
    }

    /// Most of the bytes are of records that were removed.
    pub(super) fn is_worth_clearing(&self) -> bool {
        self.holes * 2 > self.bytes.len()
    }

    /// Removes all records.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.holes = 0;
    }

    /// Whether this is the chart of the record; if so, what is expected next.
    #[inline]
    pub(super) fn opens(&self, record: Record, chart: &[u8]) -> Option<Expected> {
        let known = self.bytes.get(record.at as usize..record.end as usize)?;
        let (length, rest) = known.split_first_chunk::<LENGTH>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        (length == chart.len() && begins_with(chart, rest.get(..length)?)).then_some(Expected {
            index: 0,
            at: record.at + (LENGTH + length) as u32,
            end: record.end,
        })
    }

    /// The expected head. Empty: none is.
    #[inline(always)]
    pub(super) fn head(&self, expected: Expected) -> &[u8] {
        self.next(expected).map_or(&[], |(head, _)| head)
    }

    /// What is expected after the expected.
    #[inline(always)]
    pub(super) fn after(&self, expected: Expected) -> Expected {
        Expected {
            index: expected.index + 1,
            at: expected.at + (HEADER + self.head(expected).len()) as u32,
            ..expected
        }
    }

    /// Whether this dimension is the expected one; if so, what is expected after it.
    #[inline]
    pub(super) fn follows(&self, expected: Expected, dimension: &[u8]) -> Option<Expected> {
        let (head, before) = self.next(expected)?;
        let id = head.get(before..)?;
        let is_it = id.len() == dimension.len() + self.encoder.behind_id() && begins_with(id, dimension);
        is_it.then(|| self.after(expected))
    }

    /// What is expected when the dimension at `index` is next.
    #[cold]
    pub(super) fn expect(&self, record: Record, index: usize) -> Expected {
        let length = self.bytes.get(record.at as usize..).and_then(<[u8]>::first_chunk::<LENGTH>);
        let length = length.map_or(0, |length| LENGTH + usize::from(u16::from_le_bytes(*length)));
        let first = Expected { index: 0, at: record.at + length as u32, end: record.end };
        (0..index).fold(first, |expected, _| self.after(expected))
    }

    /// A head, and where in it the id begins.
    #[inline(always)]
    fn next(&self, expected: Expected) -> Option<(&[u8], usize)> {
        let known = self.bytes.get(expected.at as usize..expected.end as usize)?;
        let ([low, high, before], rest) = known.split_first_chunk::<HEADER>()?;
        Some((rest.get(..usize::from(u16::from_le_bytes([*low, *high])))?, usize::from(*before)))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::wire::capability::Capabilities;
    use crate::wire::command::Slot;

    fn reference(slot: Option<u32>, id: &str) -> Reference<'_> {
        Reference { slot: slot.and_then(NonZeroU32::new).map(Slot), id: id.as_bytes() }
    }

    #[test]
    fn lines_are_expected_as_each_generation_writes_them() {
        let slots = Capabilities::INTERPOLATED | Capabilities::IEEE754 | Capabilities::SLOTS;
        let cases = [
            (Capabilities::NONE, ["\"user\" = ", "\"i/o wait\" = "]),
            (Capabilities::INTERPOLATED, ["'user' ", "'i/o wait' "]),
            (slots, ["SLOT:#B 'user' ", "SLOT:#BA 'i/o wait' "]),
        ];
        for (agreed, [user, wait]) in cases {
            let mut heads = Heads::new(Encoder::new(agreed));
            let mut add = |chart, dimensions: &[Reference<'_>]| heads.add(chart, dimensions.iter().copied());
            let first = add("system.load", &[reference(Some(7), "load1")]);
            let cpu = add("system.cpu", &[reference(Some(1), "user"), reference(Some(64), "i/o wait")]);
            assert!(heads.opens(first, b"system.cpu").is_none());

            let expected = heads.opens(cpu, b"system.cpu").expect("its own id");
            assert_eq!(heads.head(expected), user.as_bytes());
            assert!(heads.follows(expected, b"use").is_none());
            assert!(heads.follows(expected, b"user'").is_none());
            let second = heads.follows(expected, b"user").expect("in order");
            assert_eq!((second.index, heads.head(second)), (1, wait.as_bytes()));
            let third = heads.follows(second, b"i/o wait").expect("in order");
            assert_eq!((third.index, heads.head(third)), (2, &b""[..]), "the record ends");
            assert!(heads.follows(third, b"user").is_none());
            assert_eq!(heads.head(heads.expect(cpu, 1)), wait.as_bytes());
        }
    }

    #[test]
    fn nothing_is_expected_of_what_is_not_written_or_does_not_fit() {
        let mut heads = Heads::new(Encoder::new(Capabilities::NONE));
        assert!(!Record::default().is_written());
        assert!(heads.opens(Record::default(), b"").is_none());
        assert_eq!(heads.head(Expected::default()), b"");
        assert_eq!(heads.head(heads.expect(Record::default(), 3)), b"");

        let long = "x".repeat(70_000);
        let record = heads.add(&long, [reference(None, &long), reference(None, "b")].into_iter());
        assert!(heads.opens(record, long.as_bytes()).is_none());
        assert_eq!(heads.head(heads.expect(record, 1)), b"\"b\" = ");
        heads.remove(record);
        assert!(heads.is_worth_clearing());
    }
}
