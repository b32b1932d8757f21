//! One column of a page: which rows have which flags, which are gaps, and the values of the others.
//!
//! | size | field     |                                                                                    |
//! |------|-----------|------------------------------------------------------------------------------------|
//! | 1    | tag       | [`Encoding`] in the low 3 bits, and which of the sets that follow are there        |
//! |      | resets    | bit 4: [`SampleFlags::RESET`]                                                      |
//! |      | anomalies | bit 5: [`SampleFlags::ANOMALOUS`]                                                  |
//! |      | gaps      | bit 6: these rows have no value                                                    |
//! |      | stored    | bit 3: of the rows with a value, these differ from the one before; only they are   |
//! |      |           | stored. Or bit 7: these are not 0.0; or both bits: these are not -0.0              |
//! |      | payload   | the stored values, see the module of the encoding                                  |
//!
//! Sets are written as in `page/row_set.rs`. Taking repeats out makes a column that sits still but for a peak now and
//! then cost what its peaks cost. No bytes at all are a column of zeros.

use super::{constant, few, floats, integers, near, packing, row_set::RowSet};
use crate::{sample::SampleFlags, varint};

const ENCODING: u8 = 0b0000_0111;
const CHANGES: u8 = 0b0000_1000;
const RESETS: u8 = 0b0001_0000;
const ANOMALIES: u8 = 0b0010_0000;
const GAPS: u8 = 0b0100_0000;
const NOT_ZERO: u8 = 0b1000_0000;
const RAW_LEN: usize = size_of::<f32>();
const SIGN: u32 = 1 << 31;

/// How the values of a column are written; the number is the one in the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// There are none: every row is a gap.
    Gaps = 0,
    /// All are the same.
    Constant = 1,
    /// Decimals or parts of a power of two, as packed integers.
    Integers = 2,
    /// Floats, their bits packed as integers.
    Floats = 3,
    /// Floats that do not pack: four bytes each, little endian.
    Raw = 4,
    /// A list of values, and each value's place in it.
    Few = 5,
    /// Those of a column further in front, or their negatives; gaps too.
    Copy = 6,
    /// Floats near those of a column further in front, or near their negatives.
    Near = 7,
}

impl Encoding {
    pub const ALL: [Encoding; 8] = [
        Encoding::Gaps,
        Encoding::Constant,
        Encoding::Integers,
        Encoding::Floats,
        Encoding::Raw,
        Encoding::Few,
        Encoding::Copy,
        Encoding::Near,
    ];

    fn from_tag(tag: u8) -> Encoding {
        Encoding::ALL[usize::from(tag & ENCODING)]
    }

    /// Whether it needs the values of another column.
    pub(super) fn has_original(self) -> bool {
        matches!(self, Encoding::Copy | Encoding::Near)
    }
}

/// Which of the rows with a value are stored, and what the others are.
#[derive(Debug)]
enum Stored {
    All,
    /// These; the others are as the one before.
    Changes(RowSet),
    /// These; the others are this zero.
    NotZero(RowSet, f32),
}

/// A column that has the values of this one, or others near them: a varint in the page.
///
/// | bits | field   |                                           |
/// |------|---------|-------------------------------------------|
/// | 0    | negated | its negatives are meant                   |
/// | 1..  | back    | so many columns in front of this one      |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Original {
    /// At least one.
    pub(super) back: usize,
    pub(super) negated: bool,
}

impl Original {
    pub(super) fn write(self, out: &mut Vec<u8>) {
        varint::put(out, (self.back as u64) << 1 | u64::from(self.negated));
    }

    pub(super) fn take(bytes: &mut &[u8]) -> Option<Original> {
        let number = varint::take(bytes)?;
        let back = usize::try_from(number >> 1).ok().filter(|back| *back > 0)?;
        Some(Original { back, negated: number & 1 != 0 })
    }

    /// What a value of that column stands for.
    pub(super) fn value(self, of: f32) -> f32 {
        f32::from_bits(of.to_bits() ^ if self.negated { SIGN } else { 0 })
    }
}

/// The column's bytes, taken apart.
#[derive(Debug)]
pub(super) struct Column<'a> {
    rows: usize,
    encoding: Encoding,
    resets: Option<RowSet>,
    anomalies: Option<RowSet>,
    gaps: Option<RowSet>,
    stored: Stored,
    /// Values in the payload.
    count: usize,
    payload: &'a [u8],
}

/// The encoding of a column that has been checked.
pub(super) fn encoding(body: &[u8]) -> Encoding {
    body.first().map_or(Encoding::Constant, |tag| Encoding::from_tag(*tag))
}

impl<'a> Column<'a> {
    /// Takes a column of `rows` rows apart; all but the payload is checked.
    pub(super) fn parse(body: &'a [u8], rows: usize) -> Option<Column<'a>> {
        let (tag, mut rest) = match body.split_first() {
            Some((&tag, rest)) => (tag, rest),
            None => (Encoding::Constant as u8, body),
        };
        let encoding = Encoding::from_tag(tag);
        let mut set = |bit: u8, rows: usize| match tag & bit {
            0 => Some(None),
            _ => RowSet::take(&mut rest, rows).map(Some),
        };
        let resets = set(RESETS, rows)?;
        let anomalies = set(ANOMALIES, rows)?;
        let gaps = set(GAPS, rows)?;
        let values = rows - gaps.as_ref().map_or(0, RowSet::count);
        let rows_stored = set(CHANGES | NOT_ZERO, values)?;
        let count = rows_stored.as_ref().map_or(values, RowSet::count);
        let stored = match (rows_stored, tag & NOT_ZERO != 0, tag & CHANGES != 0) {
            (None, ..) => Stored::All,
            (Some(set), false, _) => Stored::Changes(set),
            (Some(set), true, negative) => Stored::NotZero(set, if negative { -0.0 } else { 0.0 }),
        };
        Some(Column { rows, encoding, resets, anomalies, gaps, stored, count, payload: rest })
    }

    /// Whether the payload, and which sets there are, is what the encoding asks for.
    pub(super) fn is_valid(&self) -> bool {
        let starts_anew = match &self.stored {
            Stored::Changes(changes) => changes.rows() > 0 && changes.contains(0),
            Stored::NotZero(..) | Stored::All => true,
        };
        let all_stored = matches!(self.stored, Stored::All);
        let payload = match self.encoding {
            Encoding::Gaps => self.payload.is_empty() && self.gaps.is_none() && all_stored,
            Encoding::Constant => self.payload.len() <= constant::MOST_LEN && all_stored,
            Encoding::Integers => integers::is_valid(self.payload, self.count),
            Encoding::Floats => floats::is_valid(self.payload, self.count),
            Encoding::Raw => self.payload.len() == self.count * RAW_LEN,
            Encoding::Few => few::is_valid(self.payload, self.count),
            Encoding::Copy => {
                let mut rest = self.payload;
                Original::take(&mut rest).is_some() && rest.is_empty() && self.gaps.is_none() && all_stored
            }
            Encoding::Near => near::is_valid(self.payload, self.rows) && self.gaps.is_none() && all_stored,
        };
        payload && starts_anew
    }

    /// The column whose values it needs, if it needs any.
    pub(super) fn original(&self) -> Option<Original> {
        let mut payload = self.payload;
        let original = || Original::take(&mut payload).expect("a page is checked before it is read");
        self.encoding.has_original().then(original)
    }

    /// Turns the values of the original into those of this column.
    pub(super) fn decode_from(&self, original: Original, values: &mut [f32]) {
        if self.encoding == Encoding::Near {
            near::decode(self.payload, values);
        } else if original.negated {
            values.iter_mut().for_each(|value| *value = original.value(*value));
        }
    }

    /// Adds a value for every row. The column needs no original.
    pub(super) fn decode(&self, values: &mut Vec<f32>) {
        let start = values.len();
        match self.encoding {
            Encoding::Gaps | Encoding::Copy | Encoding::Near => {
                values.resize(start + self.rows, f32::NAN);
                return;
            }
            Encoding::Constant => values.resize(start + self.count, constant::decode(self.payload)),
            Encoding::Integers => integers::decode(self.payload, self.count, values),
            Encoding::Floats => floats::decode(self.payload, self.count, values),
            Encoding::Raw => values.extend(
                self.payload
                    .chunks_exact(RAW_LEN)
                    .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("chunks of four"))),
            ),
            Encoding::Few => few::decode(self.payload, self.count, values),
        }
        match &self.stored {
            Stored::All => {}
            Stored::Changes(changes) => {
                values.resize(start + changes.rows(), f32::NAN);
                repeat(&mut values[start..], self.count, changes);
            }
            Stored::NotZero(set, zero) => {
                values.resize(start + set.rows(), f32::NAN);
                spread(&mut values[start..], self.count, |row| set.contains(row), *zero);
            }
        }
        if let Some(gaps) = &self.gaps {
            let present = values.len() - start;
            values.resize(start + self.rows, f32::NAN);
            spread(&mut values[start..], present, |row| !gaps.contains(row), f32::NAN);
        }
    }

    /// The flags of each row, or `None` if none are set.
    pub(super) fn flags(&self) -> Option<impl Fn(usize) -> SampleFlags> {
        let (resets, anomalies) = (&self.resets, &self.anomalies);
        let of_row = move |row| {
            let mut flags = SampleFlags::NONE;
            if resets.as_ref().is_some_and(|resets| resets.contains(row)) {
                flags |= SampleFlags::RESET;
            }
            if anomalies.as_ref().is_some_and(|anomalies| anomalies.contains(row)) {
                flags |= SampleFlags::ANOMALOUS;
            }
            flags
        };
        (resets.is_some() || anomalies.is_some()).then_some(of_row)
    }
}

/// Of `values`, the first `stored` are there; puts each where it belongs, and again until the next change. From the
/// end, so that none is overwritten before it has moved.
fn repeat(values: &mut [f32], mut stored: usize, changes: &RowSet) {
    for index in (0..values.len()).rev() {
        values[index] = values[stored - 1];
        stored -= usize::from(changes.contains(index));
    }
}

/// Of `values`, the first `stored` are there; moves each to its row, and fills the others. From the end, as above.
fn spread(values: &mut [f32], mut stored: usize, is_stored: impl Fn(usize) -> bool, other: f32) {
    for row in (0..values.len()).rev() {
        values[row] = if is_stored(row) {
            stored -= 1;
            values[stored]
        } else {
            other
        };
    }
}

/// Writes columns; its buffers are kept from one to the next.
#[derive(Debug, Default)]
pub(super) struct ColumnEncoder {
    present: Vec<f32>,
    stored: Vec<f32>,
    trial: Vec<u8>,
    values: ValuesEncoder,
}

impl ColumnEncoder {
    /// Adds a column of `values` to `out`. `flags` has one for each, or is empty when none is set. `earlier` are the
    /// columns in front that may be copied, the nearest first.
    pub(super) fn encode<'a>(
        &mut self,
        values: &[f32],
        flags: &[SampleFlags],
        earlier: impl Iterator<Item = (usize, &'a [f32])> + Clone,
        out: &mut Vec<u8>,
    ) -> Encoding {
        let tag_at = out.len();
        out.push(0);
        let mut tag = 0;
        for (bit, flag) in [(RESETS, SampleFlags::RESET), (ANOMALIES, SampleFlags::ANOMALOUS)] {
            if flags.iter().any(|flags| flags.contains(flag)) {
                tag |= bit;
                RowSet::new(flags.iter().map(|flags| flags.contains(flag))).write(out);
            }
        }

        let gaps = values.iter().filter(|value| value.is_nan()).count();
        let present = if gaps == 0 {
            values
        } else {
            self.present.clear();
            self.present.extend(values.iter().filter(|value| !value.is_nan()));
            &self.present
        };
        let changes = changes(present).skip(1).map(usize::from).sum::<usize>();
        if changes > 0
            && let Some(original) = original(values, earlier.clone())
        {
            original.write(out);
            out[tag_at] = tag | Encoding::Copy as u8;
            return Encoding::Copy;
        }
        if gaps > 0 && !present.is_empty() {
            tag |= GAPS;
            RowSet::new(values.iter().map(|value| value.is_nan())).write(out);
        }
        let body_at = out.len();
        let encoding = match present.first() {
            None => Encoding::Gaps,
            Some(value) if changes == 0 => {
                constant::encode(*value, out);
                Encoding::Constant
            }
            Some(_) => {
                let (sets, encoding) = self.encode_present(gaps > 0, values, changes + 1, out);
                tag |= sets;
                if matches!(encoding, Encoding::Floats | Encoding::Raw)
                    && gaps == 0
                    && self.encode_near(values, earlier, body_at, out)
                {
                    tag &= !(CHANGES | NOT_ZERO);
                    Encoding::Near
                } else {
                    encoding
                }
            }
        };
        out[tag_at] = tag | encoding as u8;
        if out[tag_at..] == [Encoding::Constant as u8] {
            out.truncate(tag_at);
        }
        encoding
    }

    /// Replaces what lies in `out` from `body_at` on by differences from an earlier column, if these are fewer bytes.
    fn encode_near<'a>(
        &mut self,
        values: &[f32],
        earlier: impl Iterator<Item = (usize, &'a [f32])>,
        body_at: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut found = false;
        for (back, of) in earlier {
            if let Some(negated) = near::is_likely(values, of) {
                self.trial.clear();
                let numbers = &mut self.values.numbers;
                near::encode(values, of, Original { back, negated }, numbers, &mut self.trial);
                if self.trial.len() < out.len() - body_at {
                    out.truncate(body_at);
                    out.extend_from_slice(&self.trial);
                    found = true;
                }
            }
        }
        found
    }

    /// Adds values that are not all the same, with the set of those that are stored if it is not all.
    fn encode_present(
        &mut self,
        has_gaps: bool,
        values: &[f32],
        changes: usize,
        out: &mut Vec<u8>,
    ) -> (u8, Encoding) {
        let present = if has_gaps { &self.present[..] } else { values };
        let zeros = |zero: f32| present.iter().filter(|value| value.to_bits() == zero.to_bits()).count();
        let (zeros, negative_zeros) = (zeros(0.0), zeros(-0.0));
        let (zero, zeros) = if negative_zeros > zeros { (-0.0_f32, negative_zeros) } else { (0.0, zeros) };
        let not_zero = present.len() - zeros;
        let stored = changes.min(not_zero);
        let start = out.len();
        // With so few stored, storing all is out of the question.
        let few = stored < present.len() / 8;
        let encoding = if few { Encoding::Raw } else { self.values.encode(present, out) };
        // A zero is far from all other floats: where they are packed, one is worth taking out.
        let is_worth_it = stored <= present.len() - present.len() / 8
            || zeros > 0 && matches!(encoding, Encoding::Floats | Encoding::Raw);
        if !is_worth_it {
            return (0, encoding);
        }
        self.trial.clear();
        self.stored.clear();
        let sets = if not_zero <= changes || stored > present.len() - present.len() / 8 {
            let is_stored = |value: &f32| value.to_bits() != zero.to_bits();
            RowSet::new(present.iter().map(is_stored)).write(&mut self.trial);
            self.stored.extend(present.iter().filter(|value| is_stored(value)));
            if zero.is_sign_negative() { NOT_ZERO | CHANGES } else { NOT_ZERO }
        } else {
            RowSet::new(self::changes(present)).write(&mut self.trial);
            let changed = present.iter().zip(self::changes(present)).filter(|(_, changed)| *changed);
            self.stored.extend(changed.map(|(value, _)| *value));
            CHANGES
        };
        let encoding_of_stored = self.values.encode(&self.stored, &mut self.trial);
        if !few && out.len() - start <= self.trial.len() {
            return (0, encoding);
        }
        out.truncate(start);
        out.extend_from_slice(&self.trial);
        (sets, encoding_of_stored)
    }
}

/// For each value whether it differs from the one before; the first does.
fn changes(values: &[f32]) -> impl ExactSizeIterator<Item = bool> + '_ {
    (0..values.len()).map(|index| index == 0 || values[index].to_bits() != values[index - 1].to_bits())
}

/// The first of the `earlier` columns that has the same values, or their negatives.
fn original<'a>(values: &[f32], earlier: impl Iterator<Item = (usize, &'a [f32])>) -> Option<Original> {
    let is_copy = |column: &[f32], sign: u32| {
        let mut pairs = values.iter().zip(column);
        pairs.all(|(value, of)| value.to_bits() ^ of.to_bits() == sign || value.is_nan() && of.is_nan())
    };
    earlier.into_iter().find_map(|(back, column)| {
        let negated =
            [false, true].into_iter().find(|negated| is_copy(column, if *negated { SIGN } else { 0 }))?;
        Some(Original { back, negated })
    })
}

/// Writes values in the form that is the shortest of those that are likely to be.
#[derive(Debug, Default)]
struct ValuesEncoder {
    numbers: Vec<i32>,
    trial: Vec<u8>,
}

impl ValuesEncoder {
    fn encode(&mut self, values: &[f32], out: &mut Vec<u8>) -> Encoding {
        let start = out.len();
        let mut encoding = Encoding::Raw;
        let mut len = values.len() * RAW_LEN;
        if integers::find(values, &mut self.numbers, out) {
            packing::pack(&self.numbers, out);
            if out.len() - start < len {
                (encoding, len) = (Encoding::Integers, out.len() - start);
            } else {
                out.truncate(start);
            }
        }
        // Floats have 24 bits that say something, their order a few more.
        if encoding == Encoding::Raw || len > values.len() * 5 / 2 {
            self.trial.clear();
            floats::encode(values, &mut self.numbers, &mut self.trial);
            if self.trial.len() < len {
                out.truncate(start);
                out.extend_from_slice(&self.trial);
                (encoding, len) = (Encoding::Floats, self.trial.len());
            }
        }
        // So many would take as much for the list alone.
        let most = few::MOST.min(len / RAW_LEN / 2);
        if most > 2 {
            self.trial.clear();
            if few::find(values, most, &mut self.numbers, &mut self.trial) {
                packing::pack(&self.numbers, &mut self.trial);
                if self.trial.len() < len {
                    out.truncate(start);
                    out.extend_from_slice(&self.trial);
                    encoding = Encoding::Few;
                }
            }
        }
        if encoding == Encoding::Raw {
            out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        encoding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: f32 = f32::NAN;

    fn check(values: &[f32], flags: &[SampleFlags], expected: Encoding) -> usize {
        let mut body = vec![];
        let written = ColumnEncoder::default().encode(values, flags, std::iter::empty(), &mut body);
        assert_eq!(written, expected, "{values:?}");
        let column = Column::parse(&body, values.len()).expect("as encoded");
        assert!(column.is_valid());
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
        assert_eq!(check(&[0.0; 256], &[], Encoding::Constant), 0);
        check(&[2.5, GAP, 2.5, 2.5], &[], Encoding::Constant);
        check(&[1.0, 2.0, 5.0, -3.0], &[], Encoding::Integers);
        check(&[GAP, 1.1, 2.0, GAP, 5.0, -3.0], &[], Encoding::Integers);
        let thirds: Vec<f32> = (1..100_u8).map(|number| f32::from(number) / 3.0).collect();
        check(&thirds, &[], Encoding::Floats);
        check(&[1.0 / 3.0, 1.0 / 7.0].repeat(64), &[], Encoding::Few);
        check(&[f32::MAX, f32::MIN, 1.0e-30, -1.000_001e-30], &[], Encoding::Raw);
    }

    #[test]
    fn a_peak_costs_no_more_than_its_place_and_itself() {
        let mut values = [0.0; 256];
        values[100] = 1234.567;
        assert!(check(&values, &[], Encoding::Raw) <= 1 + 2 + 4);
    }

    #[test]
    fn flags_are_kept_for_values_and_gaps() {
        let (none, reset, anomalous) = (SampleFlags::NONE, SampleFlags::RESET, SampleFlags::ANOMALOUS);
        check(&[1.0, GAP, 3.0], &[reset, anomalous, reset | anomalous], Encoding::Integers);
        check(&[1.0, 1.0, 1.0], &[none, none, anomalous], Encoding::Constant);
        check(&[GAP, GAP], &[reset, none], Encoding::Gaps);
    }
}
