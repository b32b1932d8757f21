//! [`Heads`]: how the data lines of a child's charts begin, as one stream of bytes, in the order in which its charts came.
//!
//! A child repeats its order every second: the next data line most likely begins as what lies next in this stream does.
//! So a line is compared with a few bytes that the last comparison has brought into the cache already, and then its
//! values come: no keyword, slot or quote is looked for, no chart's description, no hash.
//!
//! ```text
//! record of a chart:  | head of the chart | head of a dimension | head of a dimension | …
//! head:               | len u16 | before u8 | what stands between keyword and values |
//!                                               "user" =    SLOT:#B 'user'
//!                                              <>           <------>   `before`, then the id and its quote
//! ```
//!
//! A record is written when the first data of its chart come, and anew after the chart was defined anew.

use dbengine::tight;

use crate::wire::command::Reference;
use crate::wire::{Encoder, begins_with};

/// Bytes in front of a head: its length, little endian, and what stands before the id.
const HEADER: usize = 3;
/// Bytes of a head around the id, at most.
const MOST_AROUND: usize = 32;
/// The index of a chart's own head: the one after it is 0.
const CHART: usize = usize::MAX;

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

/// A chart, or a dimension of it: what is expected next. It is of no use once the record has changed; the one that comes as it is
/// made expects nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    /// Of the dimension.
    pub(super) index: usize,
    at: u32,
    /// The end of the record.
    end: u32,
}

impl Expected {
    /// It is the chart itself.
    pub(super) fn is_chart(self) -> bool {
        self.index == CHART
    }

    /// It is a dimension of this record.
    pub(super) fn is_dimension_of(self, record: Record) -> bool {
        !self.is_chart() && self.end == record.end
    }
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
    pub(super) fn add<'a>(
        &mut self,
        chart: Reference<'a>,
        dimensions: impl Iterator<Item = Reference<'a>>,
    ) -> Record {
        let at = self.bytes.len() as u32;
        self.push(chart.id, |encoder, bytes| encoder.chart_head(chart, bytes));
        for dimension in dimensions {
            self.push(dimension.id, |encoder, bytes| encoder.head(dimension, bytes));
        }
        Record { at, end: self.bytes.len() as u32 }
    }

    /// The head of one that has this id. It is empty, which is never met, where no line is as long, and where a line of it names
    /// another one by its words.
    fn push(&mut self, id: &[u8], write: impl FnOnce(&Encoder, &mut Vec<u8>) -> u8) {
        let header = self.bytes.len();
        let head = header + HEADER;
        tight::reserve(&mut self.bytes, HEADER + id.len() + MOST_AROUND);
        self.bytes.extend_from_slice(&[0; HEADER]);
        if !is_one_word(id) {
            return;
        }
        let before = write(&self.encoder, &mut self.bytes);
        match u16::try_from(self.bytes.len() - head) {
            Ok(length) => {
                let [low, high] = length.to_le_bytes();
                self.bytes[header..head].copy_from_slice(&[low, high, before]);
            }
            Err(_) => self.bytes.truncate(head),
        }
    }

    /// A record that is not true any more.
    pub(super) fn remove(&mut self, record: Record) {
        self.holes += (record.end - record.at) as usize;
    }

    /// Most of the bytes are of records that were removed, and so many that a look at each of `charts` is little beside them.
    pub(super) fn is_worth_clearing(&self, charts: usize) -> bool {
        self.holes * 2 > self.bytes.len() && self.holes > 64 * charts
    }

    /// Removes all records.
    pub(super) fn clear(&mut self) {
        self.bytes = Vec::new();
        self.holes = 0;
    }

    /// The chart of the record as what is expected.
    #[inline]
    pub(super) fn chart(&self, record: Record) -> Expected {
        Expected { index: CHART, at: record.at, end: record.end }
    }

    /// Whether this is the chart of the record; if so, what is expected next.
    #[inline]
    pub(super) fn opens(&self, record: Record, chart: &[u8]) -> Option<Expected> {
        self.follows(self.chart(record), chart)
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
            index: expected.index.wrapping_add(1),
            at: expected.at + (HEADER + self.head(expected).len()) as u32,
            ..expected
        }
    }

    /// Whether the expected has this id; if so, what is expected after it.
    #[inline]
    pub(super) fn follows(&self, expected: Expected, id: &[u8]) -> Option<Expected> {
        let (head, before) = self.next(expected)?;
        let id_on = head.get(before..)?;
        let is_it = begins_with(id_on, id) && matches!(&id_on[id.len()..], b"' " | b"\" " | b"\" = ");
        is_it.then(|| self.after(expected))
    }

    /// What is expected when the dimension at `index` is next.
    #[cold]
    pub(super) fn expect(&self, record: Record, index: usize) -> Expected {
        (0..=index).fold(self.chart(record), |expected, _| self.after(expected))
    }

    /// A head, and where in it the id begins.
    #[inline(always)]
    fn next(&self, expected: Expected) -> Option<(&[u8], usize)> {
        let known = self.bytes.get(expected.at as usize..expected.end as usize)?;
        let ([low, high, before], rest) = known.split_first_chunk::<HEADER>()?;
        Some((rest.get(..usize::from(u16::from_le_bytes([*low, *high])))?, usize::from(*before)))
    }
}

/// Whether an id between the quotes of a data line is the word that a reader finds there.
fn is_one_word(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| !matches!(byte, b'"' | b'\'' | b'\\');
    !id.is_empty() && !id.starts_with(b"SLOT:") && id.iter().all(is_plain)
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
            (Capabilities::NONE, "\"system.cpu\" ", ["\"user\" = ", "\"i/o wait\" = "]),
            (Capabilities::INTERPOLATED, "'system.cpu' ", ["'user' ", "'i/o wait' "]),
            (slots, "SLOT:#C 'system.cpu' ", ["SLOT:#B 'user' ", "SLOT:#BA 'i/o wait' "]),
        ];
        for (agreed, chart, [user, wait]) in cases {
            let mut heads = Heads::new(Encoder::new(agreed));
            let mut add = |chart, dimensions: &[Reference<'_>]| heads.add(chart, dimensions.iter().copied());
            let first = add(reference(Some(3), "system.load"), &[reference(Some(7), "load1")]);
            let dimensions = [reference(Some(1), "user"), reference(Some(64), "i/o wait")];
            let cpu = add(reference(Some(2), "system.cpu"), &dimensions);
            assert!(heads.chart(cpu).is_chart());
            assert_eq!(heads.head(heads.chart(cpu)), chart.as_bytes());
            assert!(heads.opens(first, b"system.cpu").is_none());

            let expected = heads.opens(cpu, b"system.cpu").expect("its own id");
            assert!(!expected.is_chart());
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
        let record =
            heads.add(reference(None, &long), [reference(None, &long), reference(None, "b")].into_iter());
        assert!(heads.opens(record, long.as_bytes()).is_none());
        assert_eq!(heads.head(heads.expect(record, 1)), b"\"b\" = ");
        // These are a slot, and words that end earlier or later.
        for id in ["SLOT:1", "d' 1", "d\"", "d\\", ""] {
            let record =
                heads.add(reference(None, id), [reference(None, id), reference(None, "b")].into_iter());
            assert!(heads.opens(record, id.as_bytes()).is_none(), "{id}");
            assert_eq!(heads.head(heads.expect(record, 0)), b"", "{id}");
            assert_eq!(heads.head(heads.expect(record, 1)), b"\"b\" = ", "{id}");
        }
        heads.remove(record);
        assert!(!heads.is_worth_clearing(100));
        heads.holes += 7000;
        heads.bytes.clear();
        assert!(heads.is_worth_clearing(100));
    }
}
