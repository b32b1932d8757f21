//! [`Ids`]: the ids of a host's charts and dimensions as one stream of bytes, in the order in which they were defined.
//!
//! A child repeats its order every second: the next data line most likely names what lies next in this stream. So a
//! line is compared with a few bytes that the last comparison has brought into the cache already, and neither a chart's
//! description nor a hash is looked at. (Compared with an allocation for each chart's ids, this took a tenth off the
//! whole cost of a sample.)
//!
//! ```text
//! record of a chart:  | len u16 | chart id | len u16 | dimension id | len u16 | dimension id | …
//! ```
//!
//! A record grows at the end of the stream only: a chart that gets a dimension later moves there, and leaves a hole that
//! is closed once holes are half of all.

use dbengine::tight;

/// Bytes in front of each id: its length, little endian.
const LENGTH: usize = 2;

/// Where a chart's record is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    at: u32,
    end: u32,
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

/// All records of a host.
#[derive(Debug, Default)]
pub(super) struct Ids {
    bytes: Vec<u8>,
    holes: usize,
}

impl Ids {
    /// A record of a chart without dimensions. Ids beyond 64 KiB do not exist: no line is that long.
    pub(super) fn add_chart(&mut self, id: &str) -> Record {
        let at = self.bytes.len() as u32;
        self.push(id);
        Record { at, end: self.bytes.len() as u32 }
    }

    /// Adds a dimension to a record, which may have to move for it.
    pub(super) fn add_dimension(&mut self, record: &mut Record, id: &str) {
        if record.end as usize != self.bytes.len() {
            let (from, to) = (record.at as usize, record.end as usize);
            let at = self.bytes.len() as u32;
            tight::reserve(&mut self.bytes, to - from);
            self.bytes.extend_from_within(from..to);
            self.holes += to - from;
            record.at = at;
        }
        self.push(id);
        record.end = self.bytes.len() as u32;
    }

    /// A record that is not needed any more.
    pub(super) fn remove(&mut self, record: Record) {
        self.holes += (record.end - record.at) as usize;
    }

    /// Closes the holes when they are worth it. `records` are all there are.
    pub(super) fn compact<'a>(&mut self, records: impl Iterator<Item = &'a mut Record>) {
        if self.holes * 2 <= self.bytes.len() {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.holes);
        for record in records {
            let at = bytes.len() as u32;
            bytes.extend_from_slice(&self.bytes[record.at as usize..record.end as usize]);
            *record = Record { at, end: bytes.len() as u32 };
        }
        *self = Self { bytes, holes: 0 };
    }

    fn push(&mut self, id: &str) {
        tight::reserve(&mut self.bytes, LENGTH + id.len());
        let length = u16::try_from(id.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&id.as_bytes()[..usize::from(length)]);
    }

    /// Whether this is the chart of the record; if so, what is expected next.
    #[inline]
    pub(super) fn opens(&self, record: Record, chart: &[u8]) -> Option<Expected> {
        let at = self.matches(record.at, record.end, chart)?;
        Some(Expected { index: 0, at, end: record.end })
    }

    /// Whether this dimension is the expected one; if so, what is expected after it.
    #[inline]
    pub(super) fn follows(&self, expected: Expected, dimension: &[u8]) -> Option<Expected> {
        let at = self.matches(expected.at, expected.end, dimension)?;
        Some(Expected { index: expected.index + 1, at, end: expected.end })
    }

    /// What is expected when the dimension at `index` is next.
    #[cold]
    pub(super) fn expect(&self, record: Record, index: usize) -> Expected {
        let mut at = self.skip(record.at);
        for _ in 0..index {
            at = self.skip(at);
        }
        Expected { index, at, end: record.end }
    }

    fn skip(&self, at: u32) -> u32 {
        at + (LENGTH + self.length(at)) as u32
    }

    fn length(&self, at: u32) -> usize {
        let at = at as usize;
        self.bytes
            .get(at..at + LENGTH)
            .map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])))
    }

    /// The end of the id at `at`, if it is `id` and lies in front of `end`.
    #[inline]
    fn matches(&self, at: u32, end: u32, id: &[u8]) -> Option<u32> {
        if at >= end {
            return None;
        }
        let known = self.bytes.get(at as usize..end as usize)?;
        let (length, rest) = known.split_first_chunk::<LENGTH>()?;
        let length = usize::from(u16::from_le_bytes(*length));
        if length != id.len() || !equal(rest.get(..length)?, id) {
            return None;
        }
        Some(at + (LENGTH + length) as u32)
    }
}

/// Equality of short slices of one length, eight bytes at a time: a call of the C library's takes longer than that.
#[inline]
fn equal(a: &[u8], b: &[u8]) -> bool {
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (mut a, mut b) = (a, b);
    while let (Some(x), Some(y)) = (word(a), word(b)) {
        if x != y {
            return false;
        }
        (a, b) = (&a[8..], &b[8..]);
    }
    a.iter().zip(b).all(|(x, y)| x == y)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_that_grows_late_moves_and_holes_are_closed() {
        let mut ids = Ids::default();
        let mut records = [ids.add_chart("a.b"), ids.add_chart("a.c")];
        for number in 0..20 {
            let name = format!("dimension-{number}");
            ids.add_dimension(&mut records[number % 2], &name);
            ids.compact(records.iter_mut());
        }
        for (which, chart) in ["a.b", "a.c"].iter().enumerate() {
            let mut expected = ids.opens(records[which], chart.as_bytes()).expect("its own id");
            for number in (which..20).step_by(2) {
                let name = format!("dimension-{number}");
                assert_eq!(expected.index, number / 2);
                expected = ids.follows(expected, name.as_bytes()).expect("in order");
            }
            assert!(ids.follows(expected, b"dimension-0").is_none(), "the record ends");
            let again = ids.expect(records[which], 3);
            let name = format!("dimension-{}", which + 6);
            assert_eq!(ids.follows(again, name.as_bytes()).map(|next| next.index), Some(4));
        }
        assert!(ids.holes * 2 <= ids.bytes.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn slices_are_equal_when_they_are(a in prop::collection::vec(0u8..3, 0..40), at in 0usize..40, with in 0u8..3) {
            let mut b = a.clone();
            if let Some(byte) = b.get_mut(at) {
                *byte = with;
            }
            prop_assert_eq!(equal(&a, &b), a == b);
        }
    }
}
