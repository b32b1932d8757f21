//! Rows that wait for their page, in a third of their size: blocks of them, column by column, each value in as many bits
//! as it differs from the first, or, of whole numbers, from the least. Half of all columns do not change for minutes, and
//! most others change in a few bits.
//!
//! A page's encodings save more. They are tried one against the other, which is worth its time once.
//!
//! | size | field   | of each block                                                                       |
//! |------|---------|-------------------------------------------------------------------------------------|
//! | 4    | length  | of the columns                                                                      |
//! | 1    | rows    | r                                                                                   |
//! |      | columns | each a shape, and what it asks for                                                  |
//!
//! | shape (1 byte)      | a number (4)      | differences                                                       |
//! |---------------------|-------------------|-------------------------------------------------------------------|
//! | 0                   |                   | all values are 0.0                                                |
//! | 32                  | the first value   | all values are the first                                          |
//! | 64                  | the first value   | of `w` = 32 bits                                                  |
//! | 32 (s / 4) + w      | the first value   | the bits in which each later value is another than the first,     |
//! |                     |                   | shifted right by `s`: `w` bits each, ⌈w (r-1) / 8⌉ bytes, lowest  |
//! |                     |                   | bits first; `w` from 1 to 31                                      |
//! | 96, `w`             | the least value,  | how much each value is more: `w` bits each, ⌈w r / 8⌉ bytes;      |
//! |                     | an `i32`          | `w` from 1 to 31                                                  |
//!
//! Numbers are little endian. This is a form for memory: nobody else ever sees it.

use crate::cells::{CellString, Cells};

/// The most rows of a block.
pub(crate) const BLOCK_ROWS: usize = 16;

const NUMBER_LEN: usize = 4;
const HEADER_LEN: usize = NUMBER_LEN + 1;

const ZEROS: u8 = 0;
const CONSTANT: u8 = 1 << SHIFT_AT;
const WIDEST: u8 = 2 << SHIFT_AT;
const WHOLE: u8 = 3 << SHIFT_AT;
const SHIFT_AT: u32 = 5;
const SHIFT_UNIT: u32 = 4;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Zeros,
    Constant,
    Differences { width: u32, shift: u32 },
    Whole { least: i32, width: u32 },
}

impl Shape {
    /// Of a column of so many rows. Behind them is the first value again.
    fn of(column: &[f32; BLOCK_ROWS], rows: usize) -> Shape {
        let first = column[0];
        match column.iter().fold(0, |bits, value| bits | first.to_bits() ^ value.to_bits()) {
            0 if first.to_bits() == 0 => Shape::Zeros,
            0 => Shape::Constant,
            differences => {
                let shift = differences.trailing_zeros() / SHIFT_UNIT * SHIFT_UNIT;
                let width = u32::BITS - (differences >> shift).leading_zeros();
                let shape = Shape::Differences { width, shift };
                Shape::of_whole(column).filter(|whole| whole.len(rows) < shape.len(rows)).unwrap_or(shape)
            }
        }
    }

    /// Of a column that changes, if all of its values are whole numbers.
    fn of_whole(column: &[f32; BLOCK_ROWS]) -> Option<Shape> {
        let whole = column.map(|value| value as i32);
        let is_whole = |(whole, value): (&i32, &f32)| (*whole as f32).to_bits() == value.to_bits();
        if !whole.iter().zip(column).all(is_whole) {
            return None;
        }
        let (least, most) = (whole.iter().min()?, whole.iter().max()?);
        let width = u32::BITS - (most.wrapping_sub(*least) as u32).leading_zeros();
        (width < u32::BITS).then_some(Shape::Whole { least: *least, width })
    }

    /// Bytes of a column of so many rows.
    fn len(self, rows: usize) -> usize {
        match self {
            Shape::Zeros => 1,
            Shape::Constant => 1 + NUMBER_LEN,
            Shape::Differences { width, .. } => 1 + NUMBER_LEN + packed_len(width, rows - 1),
            Shape::Whole { width, .. } => 2 + NUMBER_LEN + packed_len(width, rows),
        }
    }

    /// Adds a column of this shape.
    fn write(self, values: &[f32], block: &mut Vec<u8>) {
        let first = values[0];
        match self {
            Shape::Zeros => block.push(ZEROS),
            Shape::Constant => {
                block.push(CONSTANT);
                block.extend_from_slice(&first.to_le_bytes());
            }
            Shape::Differences { width, shift } => {
                let narrow = ((shift / SHIFT_UNIT) << SHIFT_AT | width) as u8;
                block.push(if width == u32::BITS { WIDEST } else { narrow });
                block.extend_from_slice(&first.to_le_bytes());
                let first = first.to_bits();
                pack(values[1..].iter().map(|value| (first ^ value.to_bits()) >> shift), width, block);
            }
            Shape::Whole { least, width } => {
                block.extend_from_slice(&[WHOLE, width as u8]);
                block.extend_from_slice(&least.to_le_bytes());
                pack(values.iter().map(|value| (*value as i32).wrapping_sub(least) as u32), width, block);
            }
        }
    }
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

    /// Adds a block. `values` are whole rows of `columns` values, one after the other, [`BLOCK_ROWS`] at most.
    pub(crate) fn push(&mut self, values: &[f32], columns: usize) {
        let rows = values.len() / columns;
        debug_assert!((1..=BLOCK_ROWS).contains(&rows));
        let mut block = self.blocks.cells().take_scratch();
        block.extend_from_slice(&[0; HEADER_LEN]);
        for (at, first) in values[..columns].iter().enumerate() {
            let mut column = [*first; BLOCK_ROWS];
            for (value, row) in column.iter_mut().zip(values.chunks_exact(columns)) {
                *value = row[at];
            }
            Shape::of(&column, rows).write(&column[..rows], &mut block);
        }
        let length = u32::try_from(block.len() - HEADER_LEN).expect("a block has a few rows");
        block[..NUMBER_LEN].copy_from_slice(&length.to_le_bytes());
        block[NUMBER_LEN] = rows as u8;
        self.blocks.push(&block);
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
    pub(crate) fn blocks(&self) -> impl Iterator<Item = SqueezedBlock<'_>> {
        let mut rest = &self.0[..];
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk()?;
            let (rows, behind) = behind.split_first().expect("a block has a header");
            let columns;
            (columns, rest) = behind.split_at(u32::from_le_bytes(*length) as usize);
            Some(SqueezedBlock { rows: usize::from(*rows), rest: columns })
        })
    }
}

/// A block's columns that were not read yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SqueezedBlock<'a> {
    rows: usize,
    rest: &'a [u8],
}

impl SqueezedBlock<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The values of the next column, as many as there are rows.
    pub(crate) fn take_column(&mut self, values: &mut [f32]) {
        let code = self.take::<1>()[0];
        if code == ZEROS {
            return values.fill(0.0);
        }
        if code == WHOLE {
            let width = u32::from(self.take::<1>()[0]);
            let least = i32::from_le_bytes(self.take());
            let packed = self.take_packed(width, self.rows);
            return unpack(packed, width, values, |more| least.wrapping_add(more as i32) as f32);
        }
        let first = u32::from_le_bytes(self.take());
        values.fill(f32::from_bits(first));
        if code == CONSTANT {
            return;
        }
        let (width, shift) = match code {
            WIDEST => (u32::BITS, 0),
            _ => (u32::from(code) & ((1 << SHIFT_AT) - 1), u32::from(code >> SHIFT_AT) * SHIFT_UNIT),
        };
        let packed = self.take_packed(width, self.rows - 1);
        unpack(packed, width, &mut values[1..], |difference| f32::from_bits(first ^ difference << shift));
    }

    fn take<const LEN: usize>(&mut self) -> [u8; LEN] {
        let (taken, rest) = self.rest.split_first_chunk().expect("a column is left, and it is whole");
        self.rest = rest;
        *taken
    }

    fn take_packed(&mut self, width: u32, numbers: usize) -> &[u8] {
        let (packed, rest) = self.rest.split_at(packed_len(width, numbers));
        self.rest = rest;
        packed
    }

    /// Adds the rows to `out`, one after the other. No column was read yet.
    pub(crate) fn expand(mut self, columns: usize, out: &mut Vec<f32>) {
        let start = out.len();
        out.resize(start + self.rows * columns, 0.0);
        let mut turned = [0.0; BLOCK_ROWS];
        let turned = &mut turned[..self.rows];
        for column in 0..columns {
            self.take_column(turned);
            for (value, row) in turned.iter().zip(out[start..].chunks_exact_mut(columns)) {
                row[column] = *value;
            }
        }
    }
}

/// Bytes of so many numbers of `width` bits.
fn packed_len(width: u32, numbers: usize) -> usize {
    (width as usize * numbers).div_ceil(8)
}

fn pack(numbers: impl Iterator<Item = u32>, width: u32, out: &mut Vec<u8>) {
    let (mut bits, mut used) = (0_u64, 0);
    for number in numbers {
        bits |= u64::from(number) << used;
        used += width;
        if used >= u32::BITS {
            out.extend_from_slice(&(bits as u32).to_le_bytes());
            bits >>= u32::BITS;
            used -= u32::BITS;
        }
    }
    out.extend_from_slice(&bits.to_le_bytes()[..used.div_ceil(8) as usize]);
}

fn unpack(mut packed: &[u8], width: u32, values: &mut [f32], value_of: impl Fn(u32) -> f32) {
    let (mut bits, mut held) = (0_u64, 0);
    let mask = u32::MAX >> (u32::BITS - width);
    for value in values {
        if held < width {
            let word = match packed.split_first_chunk() {
                Some((word, rest)) => {
                    packed = rest;
                    u32::from_le_bytes(*word)
                }
                None => std::mem::take(&mut packed)
                    .iter()
                    .rev()
                    .fold(0, |word, byte| word << 8 | u32::from(*byte)),
            };
            bits |= u64::from(word) << held;
            held += u32::BITS;
        }
        *value = value_of(bits as u32 & mask);
        bits >>= width;
        held -= width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes that a column takes, which comes back as it was.
    fn len_of(values: &[f32]) -> usize {
        let mut rows = SqueezedRows::new(&Cells::default());
        rows.push(values, 1);
        let mut back = Vec::new();
        let copy = rows.copy();
        copy.blocks().for_each(|block| block.expand(1, &mut back));
        assert!(back.iter().map(|value| value.to_bits()).eq(values.iter().map(|value| value.to_bits())));
        copy.0.len() - HEADER_LEN
    }

    #[test]
    fn a_column_takes_the_bits_in_which_it_changes() {
        assert_eq!(len_of(&[0.0; 16]), 1);
        assert_eq!(len_of(&[7.5]), 5);
        assert_eq!(len_of(&[7.5; 16]), 5);
        // Six bits of the mantissa; shifts are by fours.
        assert_eq!(len_of(&[64.0, 65.0, 66.0, 127.0]), 5 + (3 * 7_usize).div_ceil(8));
        assert_eq!(len_of(&[0.1, -0.3, 0.2]), 5 + 2 * 4);
        assert_eq!(len_of(&[-0.0, 0.0]), 5 + 1);
    }

    #[test]
    fn whole_numbers_take_the_bits_of_their_range() {
        let walk: Vec<f32> = (0..16).map(|row| 500.0 + (row * 7 % 16) as f32).collect();
        assert_eq!(len_of(&walk), 6 + 16 * 4 / 8);
        assert_eq!(len_of(&[-1.0, 2.0, -1.0, 2.0]), 6 + 1);
        // Not whole, and beyond what an `i32` holds.
        assert!(len_of(&[0.5, 1.0, 2.0, 3.0]) > 6 + 1);
        for odd in [-0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 3e9, -3e9, f32::MIN_POSITIVE] {
            len_of(&[odd, 1.0, 2.0, 3.0]);
            len_of(&[1.0, odd, 1e9, -1e9, 2_147_483_648.0, -2_147_483_648.0]);
        }
        len_of(&[2_147_483_648.0, 0.0, -2_147_483_648.0]);
        len_of(&[2_147_483_648.0, 2_147_483_520.0]);
    }

    #[test]
    fn shapes_are_told_apart() {
        for differences in (0..32).flat_map(|low| (low..32).map(move |high| 1 << low | 1_u32 << high)) {
            let second = f32::from_bits(1.0_f32.to_bits() ^ differences);
            let mut column = [1.0; BLOCK_ROWS];
            column[1] = second;
            assert!(matches!(Shape::of(&column, 2), Shape::Differences { .. } | Shape::Whole { .. }));
            len_of(&[1.0, second]);
        }
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            columns in 1_usize..20,
            blocks in prop::collection::vec((1..=BLOCK_ROWS, any::<u32>()), 1..5),
            kept in prop::sample::select(vec![0, 0xff, 0xffff, 0x00ff_ff00, 0x7f80_0000, u32::MAX]),
            whole in any::<u32>(),
        ) {
            let mut squeezed = SqueezedRows::new(&Cells::default());
            let mut expected = Vec::new();
            for (rows, seed) in blocks {
                let bits = |index: usize| 0x4480_0000 ^ seed.wrapping_mul(index as u32 * 2 + 1).rotate_left(7) & kept;
                let value = |index: usize| match whole >> (index % columns) & 1 {
                    0 => f32::from_bits(bits(index)),
                    _ => (bits(index) as i32 >> (whole % 31)) as f32,
                };
                let values: Vec<f32> = (0..columns * rows).map(value).collect();
                squeezed.push(&values, columns);
                expected.extend(values.iter().map(|value| value.to_bits()));
            }
            let mut back = Vec::new();
            squeezed.copy().blocks().for_each(|block| block.expand(columns, &mut back));
            let back: Vec<u32> = back.iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
