//! One column of a page: which rows have which flags, which are gaps, and the values of the others.
//!
//! | size      | field     |                                                                               |
//! |-----------|-----------|-------------------------------------------------------------------------------|
//! | 1         | tag       | [`Encoding`] in the low 3 bits, and which bitmaps follow, in this order:      |
//! | ⌈rows/8⌉  | gaps      | bit 4: these rows have no value                                               |
//! | ⌈rows/8⌉  | resets    | bit 5: [`SampleFlags::RESET`]                                                 |
//! | ⌈rows/8⌉  | anomalies | bit 6: [`SampleFlags::ANOMALOUS`]                                             |
//! | ⌈v/8⌉     | changes   | bit 3: of the v values, these differ from the one before; only they are stored |
//! |           | payload   | the stored values, see the module of the encoding                             |
//!
//! Taking repeats out makes a column that sits still but for a peak now and then cost what its peaks cost.

use super::{constant, floats, integers};
use crate::{
    bitmap::{self, Bitmap},
    sample::SampleFlags,
};

const ENCODING: u8 = 0b0000_0111;
const CHANGES: u8 = 0b0000_1000;
const GAPS: u8 = 0b0001_0000;
const RESETS: u8 = 0b0010_0000;
const ANOMALIES: u8 = 0b0100_0000;
const UNUSED: u8 = 0b1000_0000;
const RAW_LEN: usize = size_of::<f32>();

/// How the values of a column are written; the number is the one in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// There are none: every row is a gap.
    Gaps = 0,
    /// All are the same.
    Constant = 1,
    /// Decimals, as packed integers.
    Integers = 2,
    /// Floats, their bits packed as integers.
    Floats = 3,
    /// Floats that do not pack: four bytes each, little endian.
    Raw = 4,
}

impl Encoding {
    pub const ALL: [Encoding; 5] =
        [Encoding::Gaps, Encoding::Constant, Encoding::Integers, Encoding::Floats, Encoding::Raw];

    fn from_tag(tag: u8) -> Option<Encoding> {
        Encoding::ALL.get(usize::from(tag & ENCODING)).copied()
    }
}

/// The column's bytes, taken apart.
pub(super) struct Column<'a> {
    rows: usize,
    encoding: Encoding,
    gaps: Option<Bitmap<'a>>,
    resets: Option<Bitmap<'a>>,
    anomalies: Option<Bitmap<'a>>,
    changes: Option<Bitmap<'a>>,
    /// Values in the payload.
    stored: usize,
    payload: &'a [u8],
}

/// The encoding of a column that has been checked.
pub(super) fn encoding(body: &[u8]) -> Encoding {
    Encoding::from_tag(body[0]).expect("a page is checked before it is read")
}

impl<'a> Column<'a> {
    /// Takes a column of `rows` rows apart; all but the payload is checked.
    pub(super) fn parse(body: &'a [u8], rows: usize) -> Option<Column<'a>> {
        let (&tag, mut rest) = body.split_first()?;
        let encoding = Encoding::from_tag(tag)?;
        if tag & UNUSED != 0 {
            return None;
        }
        let mut bitmap = |bit: u8, len: usize| match tag & bit {
            0 => Some(None),
            _ => Bitmap::take(&mut rest, len).map(Some),
        };
        let gaps = bitmap(GAPS, rows)?;
        let resets = bitmap(RESETS, rows)?;
        let anomalies = bitmap(ANOMALIES, rows)?;
        let values = match encoding {
            Encoding::Gaps => 0,
            _ => rows - gaps.map_or(0, Bitmap::ones),
        };
        let changes = bitmap(CHANGES, values)?;
        if values == 0 && encoding != Encoding::Gaps
            || changes.is_some_and(|changes| values == 0 || !changes.get(0))
        {
            return None;
        }
        let stored = changes.map_or(values, Bitmap::ones);
        Some(Column { rows, encoding, gaps, resets, anomalies, changes, stored, payload: rest })
    }

    /// Whether the payload is what the encoding asks for.
    pub(super) fn payload_is_valid(&self) -> bool {
        match self.encoding {
            Encoding::Gaps => self.payload.is_empty() && self.gaps.is_none(),
            Encoding::Constant => self.payload.len() <= constant::MOST_LEN && self.changes.is_none(),
            Encoding::Integers => integers::is_valid(self.payload, self.stored),
            Encoding::Floats => floats::is_valid(self.payload, self.stored),
            Encoding::Raw => self.payload.len() == self.stored * RAW_LEN,
        }
    }

    /// Adds a value for every row.
    pub(super) fn decode(&self, values: &mut Vec<f32>) {
        let start = values.len();
        match self.encoding {
            Encoding::Gaps => values.resize(start + self.rows, f32::NAN),
            Encoding::Constant => values.resize(start + self.stored, constant::decode(self.payload)),
            Encoding::Integers => integers::decode(self.payload, self.stored, values),
            Encoding::Floats => floats::decode(self.payload, self.stored, values),
            Encoding::Raw => values.extend(
                self.payload
                    .chunks_exact(RAW_LEN)
                    .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four"))),
            ),
        }
        if let Some(changes) = self.changes {
            values.resize(start + changes.len(), f32::NAN);
            repeat(&mut values[start..], self.stored, changes);
        }
        if let Some(gaps) = self.gaps {
            let present = values.len() - start;
            values.resize(start + self.rows, f32::NAN);
            spread(&mut values[start..], present, gaps);
        }
    }

    /// The flags of each row, or `None` if none are set.
    pub(super) fn flags(&self) -> Option<impl Fn(usize) -> SampleFlags> {
        let (resets, anomalies) = (self.resets, self.anomalies);
        let of_row = move |row| {
            let mut flags = SampleFlags::NONE;
            if resets.is_some_and(|resets| resets.get(row)) {
                flags |= SampleFlags::RESET;
            }
            if anomalies.is_some_and(|anomalies| anomalies.get(row)) {
                flags |= SampleFlags::ANOMALOUS;
            }
            flags
        };
        (resets.is_some() || anomalies.is_some()).then_some(of_row)
    }
}

/// Of `values`, the first `stored` are there; puts each where it belongs, and again until the next change. From the
/// end, so that none is overwritten before it has moved.
fn repeat(values: &mut [f32], mut stored: usize, changes: Bitmap<'_>) {
    for index in (0..values.len()).rev() {
        values[index] = values[stored - 1];
        stored -= usize::from(changes.get(index));
    }
}

/// Of `values`, the first `present` are there; moves each to its row. From the end, as above.
fn spread(values: &mut [f32], mut present: usize, gaps: Bitmap<'_>) {
    for row in (0..values.len()).rev() {
        if gaps.get(row) {
            values[row] = f32::NAN;
        } else {
            present -= 1;
            values[row] = values[present];
        }
    }
}

/// Writes columns; its buffers are kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct ColumnEncoder {
    present: Vec<f32>,
    changed: Vec<f32>,
    numbers: Vec<i32>,
    payload: Vec<u8>,
}

impl ColumnEncoder {
    /// Adds a column of `values` to `out`. `flags` has one for each, or is empty when none is set.
    pub(super) fn encode(&mut self, values: &[f32], flags: &[SampleFlags], out: &mut Vec<u8>) {
        let tag_at = out.len();
        out.push(0);
        let mut tag = 0;

        let gaps = values.iter().filter(|value| value.is_nan()).count();
        let present = if gaps == 0 {
            values
        } else {
            self.present.clear();
            self.present.extend(values.iter().filter(|value| !value.is_nan()));
            &self.present
        };
        if gaps > 0 && !present.is_empty() {
            tag |= GAPS;
            bitmap::write(out, values.iter().map(|value| value.is_nan()));
        }
        for (bit, flag) in [(RESETS, SampleFlags::RESET), (ANOMALIES, SampleFlags::ANOMALOUS)] {
            if flags.iter().any(|flags| flags.contains(flag)) {
                tag |= bit;
                bitmap::write(out, flags.iter().map(|flags| flags.contains(flag)));
            }
        }

        let changes = changes(present).skip(1).map(usize::from).sum::<usize>();
        let encoding = match present.first() {
            None => Encoding::Gaps,
            Some(value) if changes == 0 => {
                constant::encode(*value, out);
                Encoding::Constant
            }
            Some(_) => {
                let payload_at = out.len();
                let mut encoding = encode_values(present, &mut self.numbers, out);
                // With fewer repeats than this, the bitmap costs what they save, or nearly.
                if changes < present.len() - present.len() / 4 {
                    self.changed.clear();
                    let changed = present.iter().zip(self::changes(present)).filter(|(_, changed)| *changed);
                    self.changed.extend(changed.map(|(value, _)| *value));
                    self.payload.clear();
                    let encoding_of_changed =
                        encode_values(&self.changed, &mut self.numbers, &mut self.payload);
                    if bitmap::bytes_for(present.len()) + self.payload.len() < out.len() - payload_at {
                        tag |= CHANGES;
                        encoding = encoding_of_changed;
                        out.truncate(payload_at);
                        bitmap::write(out, self::changes(present));
                        out.extend_from_slice(&self.payload);
                    }
                }
                encoding
            }
        };
        out[tag_at] = tag | encoding as u8;
    }
}

/// For each value whether it differs from the one before; the first does.
fn changes(values: &[f32]) -> impl ExactSizeIterator<Item = bool> + '_ {
    (0..values.len()).map(|index| index == 0 || values[index].to_bits() != values[index - 1].to_bits())
}

fn encode_values(values: &[f32], numbers: &mut Vec<i32>, out: &mut Vec<u8>) -> Encoding {
    let start = out.len();
    let raw_len = values.len() * RAW_LEN;
    let encoding = if integers::encode(values, numbers, out) {
        Encoding::Integers
    } else {
        floats::encode(values, numbers, out);
        Encoding::Floats
    };
    if out.len() - start < raw_len {
        return encoding;
    }
    out.truncate(start);
    out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    Encoding::Raw
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: f32 = f32::NAN;

    fn check(values: &[f32], flags: &[SampleFlags], expected: Encoding) -> usize {
        let mut body = vec![];
        ColumnEncoder::default().encode(values, flags, &mut body);
        let column = Column::parse(&body, values.len()).expect("as encoded");
        assert!(column.payload_is_valid());
        assert_eq!(column.encoding, expected, "{values:?}");
        assert_eq!(encoding(&body), expected);
        let mut found = vec![];
        column.decode(&mut found);
        let bits = |values: &[f32]| {
            values
                .iter()
                .map(|value| if value.is_nan() { None } else { Some(value.to_bits()) })
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&found), bits(values));
        let found = column.flags();
        for row in 0..values.len() {
            let expected = flags.get(row).copied().unwrap_or_default();
            assert_eq!(found.as_ref().map_or(SampleFlags::NONE, |flags| flags(row)), expected);
        }
        body.len()
    }

    #[test]
    fn each_kind_of_values_finds_its_encoding() {
        check(&[GAP; 20], &[], Encoding::Gaps);
        assert_eq!(check(&[0.0; 256], &[], Encoding::Constant), 1);
        check(&[2.5, GAP, 2.5, 2.5], &[], Encoding::Constant);
        check(&[1.0, 2.0, 5.0, -3.0], &[], Encoding::Integers);
        check(&[GAP, 1.1, 2.0, GAP, 5.0, -3.0], &[], Encoding::Integers);
        check(&[1.000_01, 1.000_02, 1.000_04, 1.000_03, 1.000_01, 1.0], &[], Encoding::Floats);
        check(&[f32::MAX, f32::MIN, 1.0e-30, -1.000_001e-30], &[], Encoding::Raw);
    }

    #[test]
    fn a_peak_costs_no_more_than_the_bitmap_and_itself() {
        let mut values = [0.0; 256];
        values[100] = 1234.567;
        assert!(check(&values, &[], Encoding::Integers) <= 1 + 32 + 3 * 4);
    }

    #[test]
    fn flags_are_kept_for_values_and_gaps() {
        let (none, reset, anomalous) = (SampleFlags::NONE, SampleFlags::RESET, SampleFlags::ANOMALOUS);
        check(&[1.0, GAP, 3.0], &[reset, anomalous, reset | anomalous], Encoding::Integers);
        check(&[1.0, 1.0, 1.0], &[none, none, anomalous], Encoding::Constant);
        check(&[GAP, GAP], &[reset, none], Encoding::Gaps);
    }
}
