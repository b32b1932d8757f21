//! Rows that wait for their page, in a third of their size: blocks of them, column by column, each value in as many bits
//! as it differs from the one behind the block, or, of whole numbers, from the least. Half of all columns do not change for
//! minutes, and most others change in a few bits.
//!
//! A page's encodings save more. They are tried one against the other, which is worth its time once.
//!
//! A block is made when the row behind it is known, the first of the next block or of the newest rows; so it is read when what is
//! behind it has been read, and none has a number in full.
//!
//! | size     | field    | of each block                                                                               |
//! |----------|----------|---------------------------------------------------------------------------------------------|
//! | 1 to 5   | length   | of all that follows, a [`varint`]                                                           |
//! | ⌈c / 8⌉  | changing | a bit for each of c columns: not all values are the one behind the block                    |
//! |          | columns  | of those that change, a shape and what it asks for                                          |
//!
//! | shape (1 byte)      | numbers                                                                                |
//! |---------------------|----------------------------------------------------------------------------------------|
//! | 64                  | of `w` = 32 bits: those in which each value is another than the one behind the block   |
//! | 32 (s / 4) + w      | the same, shifted right by `s`, of `w` bits, from 1 to 31 and to 32 - `s`              |
//! | 228 + w             | of `w` bits, from 1 to 27: how much the value behind the block, and then each in it,   |
//! |                     | is more than the least; of whole numbers                                               |
//!
//! Numbers are little endian. This is a form for memory: nobody else ever sees it.

use std::borrow::Cow;

use crate::{
    cells::{CellString, Cells},
    varint,
};

/// The rows of a block.
pub(crate) const BLOCK_ROWS: usize = 8;

/// Bytes of a block's length at most.
const LENGTH_LEN: usize = 5;
/// Bytes that are written of a column at most, with those behind its last that belong to nothing.
const MOST_LEN: usize = 1 + size_of::<f32>() * (BLOCK_ROWS + 1);
/// Columns that are looked at in one go, row by row.
const COMPARED_AT_ONCE: usize = 16;

const WIDEST: u8 = 2 << SHIFT_AT;
const SHIFT_AT: u32 = 5;
const SHIFT_UNIT: u32 = 4;
/// Whole numbers of no bits. Of differences that are shifted by 28 bits, four are left.
const WHOLE: u8 = 7 << SHIFT_AT | 4;
const WIDEST_WHOLE: u32 = (u8::MAX - WHOLE) as u32;
/// Added to a whole number, leaves it in the lowest bits: 1.5 · 2²³, around which neighbours differ by one.
const TO_WHOLE: f32 = 12_582_912.0;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Differences { width: u32, shift: u32 },
    Whole { least: u32, width: u32 },
}

impl Shape {
    /// Of a column with `next` behind it, some of whose values are another in these bits.
    fn of(column: &[f32; BLOCK_ROWS], next: f32, differences: u32) -> Shape {
        let shift = differences.trailing_zeros() / SHIFT_UNIT * SHIFT_UNIT;
        let width = u32::BITS - (differences >> shift).leading_zeros();
        let shape = Shape::Differences { width, shift };
        Shape::of_whole(column, next).filter(|whole| whole.len() < shape.len()).unwrap_or(shape)
    }

    /// Of a column that changes, if all of its values are whole numbers, and near each other.
    fn of_whole(column: &[f32; BLOCK_ROWS], next: f32) -> Option<Shape> {
        let next_whole = whole(next);
        let wholes = column.map(whole);
        let wrong = |whole: u32, value: f32| value_of(whole).to_bits() ^ value.to_bits();
        let all_wrong = wholes
            .iter()
            .zip(column)
            .fold(wrong(next_whole, next), |all, (whole, value)| all | wrong(*whole, *value));
        if all_wrong != 0 {
            return None;
        }
        let least = wholes.iter().fold(next_whole, |least, whole| least.min(*whole));
        let most = wholes.iter().fold(next_whole, |most, whole| most.max(*whole));
        let width = u32::BITS - (most - least).leading_zeros();
        (width <= WIDEST_WHOLE).then_some(Shape::Whole { least, width })
    }

    /// Bytes of a column.
    fn len(self) -> usize {
        match self {
            Shape::Differences { width, .. } => 1 + packed_len(width, BLOCK_ROWS),
            Shape::Whole { width, .. } => 1 + packed_len(width, 1 + BLOCK_ROWS),
        }
    }

    /// Writes a column of this shape. Says how many bytes it has; up to [`MOST_LEN`] may be written.
    fn write(self, values: &[f32; BLOCK_ROWS], next: f32, out: &mut [u8]) -> usize {
        match self {
            Shape::Differences { width, shift } => {
                let narrow = ((shift / SHIFT_UNIT) << SHIFT_AT | width) as u8;
                out[0] = if width == u32::BITS { WIDEST } else { narrow };
                let next = next.to_bits();
                1 + pack(values.iter().map(|value| (next ^ value.to_bits()) >> shift), width, &mut out[1..])
            }
            Shape::Whole { least, width } => {
                out[0] = WHOLE + width as u8;
                let numbers = std::iter::once(&next).chain(values);
                1 + pack(numbers.map(|value| whole(*value) - least), width, &mut out[1..])
            }
        }
    }
}

/// Of a whole number: one more for one that is one greater. [`value_of`] gives it back if it was one, and a few others.
fn whole(value: f32) -> u32 {
    (value + TO_WHOLE).to_bits()
}

fn value_of(whole: u32) -> f32 {
    f32::from_bits(whole) - TO_WHOLE
}

/// Blocks of rows, in their order.
#[derive(Debug)]
pub(crate) struct SqueezedRows {
    blocks: CellString,
}

/// A copy of the blocks in one piece, to be read.
#[derive(Debug, Default)]
pub(crate) struct SqueezedCopy(Vec<u8>);

impl SqueezedRows {
    pub(crate) fn new(cells: &Cells) -> SqueezedRows {
        SqueezedRows { blocks: CellString::new(cells) }
    }

    /// Adds a block. `values` are [`BLOCK_ROWS`] rows of `columns` values, one after the other, and the row behind them.
    pub(crate) fn push(&mut self, values: &[f32], columns: usize) {
        let (rows, next) = values.split_at(BLOCK_ROWS * columns);
        debug_assert_eq!(next.len(), columns, "the row behind a block is known");
        let mut block = self.blocks.cells().take_scratch();
        let mut end = LENGTH_LEN + columns.div_ceil(8);
        let most = end + columns * MOST_LEN;
        if block.len() < most {
            block.resize(most, 0);
        }
        block[LENGTH_LEN..end].fill(0);
        for first in (0..columns).step_by(COMPARED_AT_ONCE) {
            let width = COMPARED_AT_ONCE.min(columns - first);
            let next = &next[first..first + width];
            let mut differences = [0; COMPARED_AT_ONCE];
            for row in rows.chunks_exact(columns) {
                let pairs = row[first..first + width].iter().zip(next);
                for (bits, (value, next)) in differences.iter_mut().zip(pairs) {
                    *bits |= value.to_bits() ^ next.to_bits();
                }
            }
            for (at, (next, differences)) in next.iter().zip(differences).enumerate() {
                if differences == 0 {
                    continue;
                }
                let at = first + at;
                block[LENGTH_LEN + at / 8] |= 1 << (at % 8);
                let column = std::array::from_fn(|row| rows[row * columns + at]);
                end += Shape::of(&column, *next, differences).write(&column, *next, &mut block[end..]);
            }
        }
        let begin = varint::put_last(&mut block[..LENGTH_LEN], (end - LENGTH_LEN) as u64);
        self.blocks.push(&block[begin..end]);
        self.blocks.cells().put_scratch(block);
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }

    /// What is allocated, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.blocks.allocated()
    }

    pub(crate) fn copy(&self) -> SqueezedCopy {
        SqueezedCopy(self.blocks.to_vec())
    }
}

impl SqueezedCopy {
    /// Of so many columns.
    pub(crate) fn blocks(&self, columns: usize) -> impl Iterator<Item = SqueezedBlock<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let length = varint::take(&mut rest)?;
            let block;
            (block, rest) = rest.split_at(length as usize);
            let (changing, rest) = block.split_at(columns.div_ceil(8));
            Some(SqueezedBlock { changing, column: 0, rest })
        })
    }

    /// The rows from the block on that has row `first`, and behind them the newest, of which there is one at least if there are
    /// blocks. With the number of the row that is first then.
    pub(crate) fn expand<'a>(
        &self,
        first: usize,
        newest: &'a [f32],
        columns: usize,
    ) -> (usize, Cow<'a, [f32]>) {
        let mut blocks: Vec<_> = self.blocks(columns).collect();
        let skipped = (first / BLOCK_ROWS).min(blocks.len());
        if skipped == blocks.len() {
            return (skipped * BLOCK_ROWS, newest.into());
        }
        let block_len = BLOCK_ROWS * columns;
        let newest_at = (blocks.len() - skipped) * block_len;
        let mut values = vec![0.0; newest_at + newest.len()];
        values[newest_at..].copy_from_slice(newest);
        let mut turned = [0.0; BLOCK_ROWS];
        for (at, block) in blocks[skipped..].iter_mut().enumerate().rev() {
            let (rows, behind) = values[at * block_len..].split_at_mut(block_len);
            for (column, next) in behind[..columns].iter().enumerate() {
                block.take_column(&mut turned, *next);
                for (value, row) in turned.iter().zip(rows.chunks_exact_mut(columns)) {
                    row[column] = *value;
                }
            }
        }
        (skipped * BLOCK_ROWS, values.into())
    }
}

/// A block's columns that were not read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqueezedBlock<'a> {
    changing: &'a [u8],
    column: usize,
    rest: &'a [u8],
}

impl SqueezedBlock<'_> {
    /// The [`BLOCK_ROWS`] values of the next column, with the one that comes behind them.
    pub(crate) fn take_column(&mut self, values: &mut [f32], next: f32) {
        let at = self.column;
        self.column += 1;
        if self.changing[at / 8] >> (at % 8) & 1 == 0 {
            return values.fill(next);
        }
        let (code, rest) = self.rest.split_first().expect("a column is left");
        self.rest = rest;
        let narrow = (u32::from(*code) & ((1 << SHIFT_AT) - 1), u32::from(code >> SHIFT_AT) * SHIFT_UNIT);
        let (width, shift) = match *code {
            WIDEST => (u32::BITS, 0),
            code if code > WHOLE => {
                let width = u32::from(code - WHOLE);
                let mut numbers = Unpack::new(self.take_packed(width, 1 + BLOCK_ROWS), width);
                let least = whole(next) - numbers.next();
                return values.fill_with(|| value_of(least + numbers.next()));
            }
            _ => narrow,
        };
        let mut numbers = Unpack::new(self.take_packed(width, BLOCK_ROWS), width);
        let next = next.to_bits();
        values.fill_with(|| f32::from_bits(next ^ numbers.next() << shift));
    }

    fn take_packed(&mut self, width: u32, numbers: usize) -> &[u8] {
        let (packed, rest) = self.rest.split_at(packed_len(width, numbers));
        self.rest = rest;
        packed
    }
}

/// Bytes of so many numbers of `width` bits.
fn packed_len(width: u32, numbers: usize) -> usize {
    (width as usize * numbers).div_ceil(8)
}

/// Writes numbers of `width` bits. Says how many bytes they take; up to four more are written.
fn pack(numbers: impl Iterator<Item = u32>, width: u32, out: &mut [u8]) -> usize {
    let (mut bits, mut used, mut end) = (0_u64, 0, 0);
    let mut put = |end: usize, bits: u64| {
        out[end..end + size_of::<u32>()].copy_from_slice(&(bits as u32).to_le_bytes());
    };
    for number in numbers {
        bits |= u64::from(number) << used;
        used += width;
        if used >= u32::BITS {
            put(end, bits);
            end += size_of::<u32>();
            bits >>= u32::BITS;
            used -= u32::BITS;
        }
    }
    put(end, bits);
    end + used.div_ceil(8) as usize
}

/// Numbers of `width` bits, one after the other.
struct Unpack<'a> {
    packed: &'a [u8],
    width: u32,
    bits: u64,
    held: u32,
}

impl<'a> Unpack<'a> {
    fn new(packed: &'a [u8], width: u32) -> Unpack<'a> {
        Unpack { packed, width, bits: 0, held: 0 }
    }

    #[inline(always)]
    fn next(&mut self) -> u32 {
        if self.held < self.width {
            let word = match self.packed.split_first_chunk() {
                Some((word, rest)) => {
                    self.packed = rest;
                    u32::from_le_bytes(*word)
                }
                None => std::mem::take(&mut self.packed)
                    .iter()
                    .rev()
                    .fold(0, |word, byte| word << 8 | u32::from(*byte)),
            };
            self.bits |= u64::from(word) << self.held;
            self.held += u32::BITS;
        }
        let number = self.bits as u32 & (u32::MAX >> (u32::BITS - self.width));
        self.bits >>= self.width;
        self.held -= self.width;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that a column takes, the last of whose values is behind the block; all come back as they were.
    fn len_of(values: [f32; BLOCK_ROWS + 1]) -> usize {
        let mut rows = SqueezedRows::new(&Cells::default());
        rows.push(&values, 1);
        let copy = rows.copy();
        let (_, back) = copy.expand(0, &values[BLOCK_ROWS..], 1);
        assert!(back.iter().map(|value| value.to_bits()).eq(values.iter().map(|value| value.to_bits())));
        copy.0.len() - 1
    }

    /// The given values, and the last of them again and again.
    fn column(values: &[f32]) -> [f32; BLOCK_ROWS + 1] {
        std::array::from_fn(|row| values[row.min(values.len() - 1)])
    }

    #[test]
    fn a_column_takes_the_bits_in_which_it_changes() {
        assert_eq!(len_of([0.0; BLOCK_ROWS + 1]), 1);
        assert_eq!(len_of([7.5; BLOCK_ROWS + 1]), 1);
        // Six bits of the mantissa; shifts are by fours.
        assert_eq!(len_of(column(&[64.5, 65.5, 66.5, 127.5])), 2 + BLOCK_ROWS * 7 / 8);
        assert_eq!(len_of(column(&[0.1, -0.3, 0.2])), 2 + BLOCK_ROWS * 32 / 8);
        assert_eq!(len_of(column(&[-0.0, 0.0])), 2 + BLOCK_ROWS * 4 / 8);
    }

    #[test]
    fn whole_numbers_take_the_bits_of_their_range() {
        let walk = std::array::from_fn(|row| 500.0 + (row * 7 % 16) as f32);
        assert_eq!(len_of(walk), 2 + ((BLOCK_ROWS + 1) * 4).div_ceil(8));
        assert_eq!(len_of(column(&[-1.0, 2.0, -1.0, 2.0])), 2 + ((BLOCK_ROWS + 1) * 2).div_ceil(8));
        // The least or the greatest is behind the block.
        assert_eq!(len_of(column(&[-1.0, -9.0])), 2 + ((BLOCK_ROWS + 1) * 4).div_ceil(8));
        assert_eq!(len_of(column(&[-9.0, -1.0])), 2 + ((BLOCK_ROWS + 1) * 4).div_ceil(8));
        // Not whole, and beyond what an `i32` or 27 bits hold.
        assert!(len_of(column(&[0.5, 1.0, 2.0, 3.0])) > 2 + (BLOCK_ROWS + 1) * 2 / 8);
        len_of(column(&[1.0, 3.0, ((1 << 27) - 8) as f32]));
        len_of(column(&[1.0, 3.0, (1 << 27) as f32]));
        for odd in [-0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e9, -3e9, f32::MIN_POSITIVE] {
            len_of(column(&[odd, 1.0, 2.0, 3.0]));
            len_of(column(&[3.0, 1.0, 2.0, odd]));
            len_of(column(&[1.0, odd, 1e9, -1e9, 2_147_483_648.0, -2_147_483_648.0]));
        }
        len_of(column(&[2_147_483_648.0, 0.0, -2_147_483_648.0]));
        len_of(column(&[2_147_483_648.0, 2_147_483_520.0]));
    }

    #[test]
    fn shapes_are_told_apart() {
        for differences in (0..32).flat_map(|low| (low..32).map(move |high| 1 << low | 1_u32 << high)) {
            let first = f32::from_bits(1.0_f32.to_bits() ^ differences);
            assert_ne!(len_of(column(&[first, 1.0])), 1);
        }
        for width in 1..=27 {
            let values = column(&[((1_u32 << width) - 1) as f32, 0.0, 1.0]);
            len_of(values);
        }
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            columns in 1_usize..20,
            blocks in prop::collection::vec(any::<u32>(), 1..5),
            newest in 1..=BLOCK_ROWS,
            first in 0..4 * BLOCK_ROWS,
            kept in prop::sample::select(vec![0, 0xff, 0xffff, 0x00ff_ff00, 0x7f80_0000, u32::MAX]),
            whole in any::<u32>(),
        ) {
            let rows = blocks.len() * BLOCK_ROWS + newest;
            let value = |index: usize| {
                let seed = blocks[(index / columns / BLOCK_ROWS).min(blocks.len() - 1)];
                let bits = 0x4480_0000 ^ seed.wrapping_mul(index as u32 * 2 + 1).rotate_left(7) & kept;
                match whole >> (index % columns) & 1 {
                    0 => f32::from_bits(bits),
                    _ => (bits as i32 >> (whole % 31)) as f32,
                }
            };
            let values: Vec<f32> = (0..columns * rows).map(value).collect();
            let mut squeezed = SqueezedRows::new(&Cells::default());
            for block in 0..blocks.len() {
                let begin = block * BLOCK_ROWS * columns;
                squeezed.push(&values[begin..begin + (BLOCK_ROWS + 1) * columns], columns);
            }
            let newest = &values[blocks.len() * BLOCK_ROWS * columns..];
            let (from, back) = squeezed.copy().expand(first, newest, columns);
            prop_assert!(from <= first && (first < from + BLOCK_ROWS || from == blocks.len() * BLOCK_ROWS));
            let back: Vec<u32> = back.iter().map(|value| value.to_bits()).collect();
            let expected: Vec<u32> = values[from * columns..].iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
