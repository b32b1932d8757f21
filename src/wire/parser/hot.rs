//! The data lines in the shape in which children write them, read in one pass.
//!
//! ```text
//! BEGIN "id" int          SET "id" = int                                     END
//! BEGIN2 [SLOT:int] 'id' int int #|int   SET2 [SLOT:int] 'id' int #|double flags   END2
//! RBEGIN [SLOT:int] '' int int int       RSET [SLOT:int] "id" double flags
//! ```
//!
//! Most data lines begin as their visitor expects: these bytes are compared and their values read. In all others:
//!
//! No search for the newline, no list of words: the keyword is told from its first bytes, the end of an id is found
//! eight bytes at a time, and a number ends where its digits do. Every step demands the one byte that children put
//! between words. Anything else, a line that is not complete among it, is `None`, and the words decide.

use super::line::{slot_of, update_every_of};
use super::{MAX_LINE, Visitor};
use crate::wire::command::{Collected, Command, PointFlags, Reference, ReplayedPoint, Slot};
use crate::wire::number;

/// Tells the visitor what the first line says. What it returned, and the length of the line with its newline.
///
/// `inline(always)`: what a call returns that is not inlined is copied. Only for what comes all the time, so that it stays
/// together in the processor's cache.
#[inline(always)]
pub(super) fn visit<'a, V: Visitor<'a>>(input: &'a [u8], visitor: &mut V) -> Option<(V::Output, usize)> {
    let mut line = Line { rest: input };
    // The visitor is told of nothing that is longer than a line may be.
    Some(match input.first_chunk::<4>()? {
        b"SET " => {
            let Some(len) = expected(&input[4..], visitor) else { return visit_unexpected(input, visitor) };
            let value = line.skip(4 + len).integer()?;
            line.expect(b"\n")?;
            let taken = line.taken_of(input)?;
            (visitor.set_expected(value)?, taken)
        }
        b"SET2" => {
            let Some(len) = expected(input.get(5..)?, visitor) else {
                return visit_unexpected(input, visitor);
            };
            let (collected, value, flags) = line.skip(5 + len).sample()?;
            let taken = line.taken_of(input)?;
            (visitor.set2_expected(collected, value, flags)?, taken)
        }
        b"BEGI" => match input.get(4..7)? {
            [b'N', b' ', ..] => {
                let Some(len) = expected(&input[6..], visitor) else {
                    return visit_unexpected(input, visitor);
                };
                let microseconds = line.skip(6 + len).integer()?;
                line.expect(b"\n")?;
                let taken = line.taken_of(input)?;
                (visitor.begin_expected(microseconds)?, taken)
            }
            b"N2 " => {
                let Some(len) = expected(&input[7..], visitor) else {
                    return visit_unexpected(input, visitor);
                };
                let (update_every, end_time, wall_clock) = line.skip(7 + len).times()?;
                let taken = line.taken_of(input)?;
                (visitor.begin2_expected(update_every, end_time, wall_clock)?, taken)
            }
            _ => return None,
        },
        b"END\n" => (visitor.end(), 4),
        b"END2" => {
            line.skip(4).expect(b"\n")?;
            (visitor.end2(), 5)
        }
        _ => return visit_unexpected(input, visitor),
    })
}

/// The same for lines of which more has to be read than their values.
#[inline(never)]
fn visit_unexpected<'a, V: Visitor<'a>>(input: &'a [u8], visitor: &mut V) -> Option<(V::Output, usize)> {
    let mut line = Line { rest: input };
    let command = match input.first_chunk::<4>()? {
        b"SET " => {
            let (dimension, value) = line.skip(4).set()?;
            let taken = line.taken_of(input)?;
            return Some((visitor.set(dimension, Some(value)), taken));
        }
        b"SET2" => {
            let (dimension, collected, value, flags) = line.skip(4).set2()?;
            let taken = line.taken_of(input)?;
            return Some((visitor.set2(dimension, collected, value, flags), taken));
        }
        b"BEGI" => match input.get(4..6)? {
            b"N " => {
                let (chart, microseconds) = line.skip(6).begin()?;
                let taken = line.taken_of(input)?;
                return Some((visitor.begin(chart, microseconds), taken));
            }
            b"N2" => {
                let (chart, update_every, end_time, wall_clock) = line.skip(6).begin2()?;
                let taken = line.taken_of(input)?;
                return Some((visitor.begin2(chart, update_every, end_time, wall_clock), taken));
            }
            _ => return None,
        },
        b"RSET" => {
            let (dimension, value, flags) = line.skip(4).replay_set()?;
            Command::ReplaySet { dimension, value, flags }
        }
        b"RBEG" => {
            let (slot, point) = line.skip(4).replay_point()?;
            Command::ReplayBegin { chart: Reference { slot, id: &[] }, point: Some(point) }
        }
        _ => return None,
    };
    let taken = line.taken_of(input)?;
    Some((visitor.command(command), taken))
}

/// How long the head is that the visitor expects, if it is what comes.
#[inline(always)]
fn expected<'a, V: Visitor<'a>>(input: &[u8], visitor: &V) -> Option<usize> {
    let head = visitor.head();
    (!head.is_empty() && begins_with(input, head)).then_some(head.len())
}

/// Whether `bytes` begin with `head`, eight bytes at a time: a call of the C library's takes longer than that. The last eight may
/// have been compared before.
#[inline(always)]
pub fn begins_with(bytes: &[u8], head: &[u8]) -> bool {
    let Some(bytes) = bytes.get(..head.len()) else { return false };
    let word = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let last = |bytes: &[u8]| bytes.last_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let (mut a, mut b) = (bytes, head);
    while a.len() > 8 {
        if word(a) != word(b) {
            return false;
        }
        (a, b) = (&a[8..], &b[8..]);
    }
    if bytes.len() >= 8 {
        return last(bytes) == last(head);
    }
    while let ([x, rest_of_a @ ..], [y, rest_of_b @ ..]) = (a, b) {
        if x != y {
            return false;
        }
        (a, b) = (rest_of_a, rest_of_b);
    }
    true
}

/// What is left of the line, and all bytes behind it.
struct Line<'a> {
    rest: &'a [u8],
}

impl<'a> Line<'a> {
    /// The length of the line, unless it is longer than a line may be.
    #[inline(always)]
    fn taken_of(&self, input: &[u8]) -> Option<usize> {
        let taken = input.len() - self.rest.len();
        (taken <= MAX_LINE + 1).then_some(taken)
    }

    #[inline(always)]
    fn skip(&mut self, len: usize) -> &mut Line<'a> {
        self.rest = &self.rest[len..];
        self
    }

    #[inline(always)]
    fn set(&mut self) -> Option<(&'a [u8], i64)> {
        let dimension = self.id()?;
        self.expect(b" = ")?;
        let value = self.integer()?;
        self.expect(b"\n")?;
        Some((dimension, value))
    }

    #[inline(always)]
    fn begin(&mut self) -> Option<(&'a [u8], i64)> {
        let chart = self.id()?;
        self.expect(b" ")?;
        let microseconds = self.integer()?;
        self.expect(b"\n")?;
        Some((chart, microseconds))
    }

    #[inline(always)]
    fn set2(&mut self) -> Option<(Reference<'a>, Collected, f64, PointFlags)> {
        self.expect(b" ")?;
        let dimension = self.reference()?;
        self.expect(b" ")?;
        let (collected, value, flags) = self.sample()?;
        Some((dimension, collected, value, flags))
    }

    #[inline(always)]
    fn sample(&mut self) -> Option<(Collected, f64, PointFlags)> {
        let collected = self.collected()?;
        self.expect(b" ")?;
        let value = match self.rest {
            [b'#', b' ', ..] => {
                self.skip(1);
                match collected {
                    Collected::Integer(integer) => integer as f64,
                    Collected::Float(float) => float,
                }
            }
            _ => self.double()?,
        };
        self.expect(b" ")?;
        Some((collected, value, self.flags()?))
    }

    #[inline(always)]
    fn begin2(&mut self) -> Option<(Reference<'a>, u32, i64, i64)> {
        self.expect(b" ")?;
        let chart = self.reference()?;
        self.expect(b" ")?;
        let (update_every, end_time, wall_clock) = self.times()?;
        Some((chart, update_every, end_time, wall_clock))
    }

    #[inline(always)]
    fn times(&mut self) -> Option<(u32, i64, i64)> {
        let update_every = update_every_of(self.integer()?);
        self.expect(b" ")?;
        let end_time = self.integer()?;
        self.expect(b" ")?;
        let wall_clock = match self.rest {
            [b'#', b'\n', ..] => {
                self.skip(1);
                end_time
            }
            _ => self.integer()?,
        };
        self.expect(b"\n")?;
        Some((update_every, end_time, wall_clock))
    }

    #[inline(always)]
    fn replay_set(&mut self) -> Option<(Reference<'a>, f64, PointFlags)> {
        self.expect(b" ")?;
        let dimension = self.reference()?;
        self.expect(b" ")?;
        let value = self.double()?;
        self.expect(b" ")?;
        Some((dimension, value, self.flags()?))
    }

    #[inline(always)]
    fn replay_point(&mut self) -> Option<(Option<Slot>, ReplayedPoint)> {
        self.expect(b"IN ")?;
        let slot = self.slot()?;
        self.expect(b"'' ")?;
        let start = self.integer()?;
        self.expect(b" ")?;
        let end = self.integer()?;
        self.expect(b" ")?;
        let wall_clock = self.integer()?;
        self.expect(b"\n")?;
        Some((slot, ReplayedPoint { start, end, wall_clock }))
    }

    #[inline(always)]
    fn expect<const LEN: usize>(&mut self, bytes: &[u8; LEN]) -> Option<()> {
        let (first, rest) = self.rest.split_first_chunk::<LEN>()?;
        self.rest = rest;
        (first == bytes).then_some(())
    }

    /// A slot and the space behind it; `Some(None)` if there is none.
    #[inline(always)]
    fn slot(&mut self) -> Option<Option<Slot>> {
        if self.rest.first_chunk::<5>() != Some(b"SLOT:") {
            return Some(None);
        }
        self.skip(5);
        let slot = slot_of(self.integer()?);
        self.expect(b" ")?;
        Some(slot)
    }

    #[inline(always)]
    fn reference(&mut self) -> Option<Reference<'a>> {
        if self.rest.first() == Some(&b'S') {
            let slot = self.slot()?;
            let id = self.quoted()?;
            return (!id.is_empty()).then_some(Reference { slot, id });
        }
        Some(Reference { slot: None, id: self.id()? })
    }

    /// An id where a slot might stand: an id that looks like one is for the words to decide.
    #[inline(always)]
    fn id(&mut self) -> Option<&'a [u8]> {
        let id = self.quoted()?;
        (!id.is_empty() && !id.starts_with(b"SLOT:")).then_some(id)
    }

    /// A word in quotes without a backslash, closed on this line.
    #[inline(always)]
    fn quoted(&mut self) -> Option<&'a [u8]> {
        let (quote, body) = self.rest.split_first()?;
        if !matches!(quote, b'"' | b'\'') {
            return None;
        }
        let len = quoted_len(body, *quote)?;
        self.rest = &body[len + 1..];
        Some(&body[..len])
    }

    #[inline(always)]
    fn integer(&mut self) -> Option<i64> {
        let (value, taken) = number::integer_prefix(self.rest)?;
        self.skip(taken);
        Some(value)
    }

    #[inline(always)]
    fn double(&mut self) -> Option<f64> {
        let (value, taken) = number::double_prefix(self.rest)?;
        self.skip(taken);
        Some(value)
    }

    /// An integer in any form, or a double in base64.
    #[inline(always)]
    fn collected(&mut self) -> Option<Collected> {
        match self.rest {
            [b'@', ..] => self.double().map(Collected::Float),
            _ => self.integer().map(Collected::Integer),
        }
    }

    /// The flags and the newline.
    #[inline(always)]
    fn flags(&mut self) -> Option<PointFlags> {
        let (not_anomalous, reset, len) = match self.rest {
            [b'A', b'\n', ..] => (true, false, 2),
            [b'A', b'R', b'\n', ..] => (true, true, 3),
            [b'\'', b'\'', b'\n', ..] | [b'"', b'"', b'\n', ..] => (false, false, 3),
            _ => return None,
        };
        self.skip(len);
        Some(PointFlags { not_anomalous, reset, empty: false })
    }
}

/// How many bytes stand before the closing quote, eight at a time; `None` if a backslash or the end of the line comes
/// first.
#[inline(always)]
fn quoted_len(body: &[u8], quote: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let quotes = ONES * u64::from(quote);
    let mut len = 0;
    while let Some(chunk) = body[len..].first_chunk::<8>() {
        let bytes = u64::from_le_bytes(*chunk);
        // The lowest bit that is set marks the first byte that is zero; bits above it may be wrong.
        let zeros = |bytes: u64| bytes.wrapping_sub(ONES) & !bytes & (ONES << 7);
        let found = zeros(bytes ^ quotes)
            | zeros(bytes ^ (ONES * u64::from(b'\\')))
            | zeros(bytes ^ (ONES * u64::from(b'\n')));
        if found != 0 {
            len += found.trailing_zeros() as usize / 8;
            return (body[len] == quote).then_some(len);
        }
        len += 8;
    }
    let found = body[len..].iter().position(|byte| *byte == quote || matches!(byte, b'\\' | b'\n'))?;
    len += found;
    (body[len] == quote).then_some(len)
}
