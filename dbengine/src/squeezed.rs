//! Rows that wait for their page, in a third of their size: blocks of them, column by column, each value in as many bits
//! as it differs from the first. Half of all columns do not change for minutes, and most others change in a few bits.
//!
//! A page's encodings save more. They are tried one against the other, which is worth its time once.
//!
//! | size | field   | of each block                                                                       |
//! |------|---------|-------------------------------------------------------------------------------------|
//! | 1    | rows    | r                                                                                   |
//! |      | columns | each a shape, and what it asks for                                                  |
//!
//! | shape (1 byte)      | first value (4) | differences                                                         |
//! |---------------------|-----------------|---------------------------------------------------------------------|
//! | 0                   |                 | all values are 0.0                                                  |
//! | 32                  | yes             | all values are the first                                            |
//! | 64                  | yes             | of `w` = 32 bits                                                    |
//! | 32 (s / 4) + w      | yes             | the bits in which each later value is another than the first,       |
//! |                     |                 | shifted right by `s`: `w` bits each, ⌈w (r-1) / 8⌉ bytes, lowest    |
//! |                     |                 | bits first; `w` from 1 to 31                                        |
//!
//! Numbers are little endian. This is a form for memory: nobody else ever sees it.

use crate::tight;

/// The most rows of a block.
pub(crate) const BLOCK_ROWS: usize = 16;

const HEADER_LEN: usize = 1;
const FIRST_LEN: usize = 4;

const ZEROS: u8 = 0;
const CONSTANT: u8 = 1 << SHIFT_AT;
const WIDEST: u8 = 2 << SHIFT_AT;
const SHIFT_AT: u32 = 5;
const SHIFT_UNIT: u32 = 4;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Zeros,
    Constant,
    Differences { width: u32, shift: u32 },
}

impl Shape {
    /// Of a column that begins with `first` and differs from that in no other than these bits.
    fn of(first: f32, differences: u32) -> Shape {
        match differences {
            0 if first.to_bits() == 0 => Shape::Zeros,
            0 => Shape::Constant,
            _ => {
                let shift = differences.trailing_zeros() / SHIFT_UNIT * SHIFT_UNIT;
                Shape::Differences { width: u32::BITS - (differences >> shift).leading_zeros(), shift }
            }
        }
    }

    fn code(self) -> u8 {
        match self {
            Shape::Zeros => ZEROS,
            Shape::Constant => CONSTANT,
            Shape::Differences { width: u32::BITS, .. } => WIDEST,
            Shape::Differences { width, shift } => ((shift / SHIFT_UNIT) << SHIFT_AT | width) as u8,
        }
    }

    fn from_code(code: u8) -> Shape {
        match code {
            ZEROS => Shape::Zeros,
            CONSTANT => Shape::Constant,
            WIDEST => Shape::Differences { width: u32::BITS, shift: 0 },
            _ => {
                let width = u32::from(code) & ((1 << SHIFT_AT) - 1);
                Shape::Differences { width, shift: u32::from(code >> SHIFT_AT) * SHIFT_UNIT }
            }
        }
    }

    /// Bytes of the differences of so many values.
    fn len(self, values: usize) -> usize {
        match self {
            Shape::Zeros | Shape::Constant => 0,
            Shape::Differences { width, .. } => (width as usize * values).div_ceil(8),
        }
    }
}

/// Blocks of rows, in their order.
///
/// Each is an allocation of its own, of a size that is much the same the next time. One for all, growing, would leave a
/// trail: groups that begin together need all sizes one after the other, and memory once given to a size stays with it.
/// With 500 000 metrics that took 57 bytes a metric more.
#[derive(Debug, Default)]
pub(crate) struct SqueezedRows {
    blocks: Vec<Box<[u8]>>,
}

impl SqueezedRows {
    /// Adds a block. `values` are whole rows of `columns` values, one after the other, [`BLOCK_ROWS`] at most.
    pub(crate) fn push(&mut self, values: &[f32], columns: usize) {
        let (first, later) = values.split_at(columns);
        let rows = values.len() / columns;
        debug_assert!((1..=BLOCK_ROWS).contains(&rows));
        let mut differences = vec![0; columns];
        for row in later.chunks_exact(columns) {
            for ((bits, first), value) in differences.iter_mut().zip(first).zip(row) {
                *bits |= first.to_bits() ^ value.to_bits();
            }
        }
        let shapes =
            || first.iter().zip(&differences).map(|(first, bits)| (*first, Shape::of(*first, *bits)));
        let column_len = |(_, shape): (f32, Shape)| match shape {
            Shape::Zeros => 1,
            _ => 1 + FIRST_LEN + shape.len(rows - 1),
        };
        let length: usize = shapes().map(column_len).sum();
        let mut block = Vec::with_capacity(HEADER_LEN + length);
        block.push(rows as u8);
        for (column, (first, shape)) in shapes().enumerate() {
            block.push(shape.code());
            if shape != Shape::Zeros {
                block.extend_from_slice(&first.to_le_bytes());
            }
            if let Shape::Differences { width, shift } = shape {
                let later = later.iter().skip(column).step_by(columns);
                pack(later.map(|value| (first.to_bits() ^ value.to_bits()) >> shift), width, &mut block);
            }
        }
        tight::push(&mut self.blocks, block.into());
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
    }

    /// What is allocated, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| block.len()).sum();
        blocks + self.blocks.capacity() * size_of::<Box<[u8]>>()
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = SqueezedBlock<'_>> {
        self.blocks.iter().map(|block| {
            let (rows, rest) = block.split_first().expect("a block has a header");
            SqueezedBlock { rows: usize::from(*rows), rest }
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
        let (code, rest) = self.rest.split_first().expect("a column is left");
        self.rest = rest;
        let shape = Shape::from_code(*code);
        if shape == Shape::Zeros {
            return values.fill(0.0);
        }
        let (first, rest) = rest.split_first_chunk::<FIRST_LEN>().expect("a column has a first value");
        let (packed, rest) = rest.split_at(shape.len(self.rows - 1));
        self.rest = rest;
        let first = u32::from_le_bytes(*first);
        values.fill(f32::from_bits(first));
        if let Shape::Differences { width, shift } = shape {
            unpack(packed, width, &mut values[1..], |difference| f32::from_bits(first ^ difference << shift));
        }
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
        let mut rows = SqueezedRows::default();
        rows.push(values, 1);
        let mut back = Vec::new();
        rows.blocks().for_each(|block| block.expand(1, &mut back));
        assert!(back.iter().map(|value| value.to_bits()).eq(values.iter().map(|value| value.to_bits())));
        rows.blocks[0].len() - HEADER_LEN
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
    fn shapes_are_told_apart() {
        for differences in (0..32).flat_map(|low| (low..32).map(move |high| 1 << low | 1_u32 << high)) {
            let shape = Shape::of(1.0, differences);
            assert_eq!(Shape::from_code(shape.code()), shape);
            assert!(matches!(shape, Shape::Differences { .. }));
        }
        for shape in [Shape::of(0.0, 0), Shape::of(-0.0, 0), Shape::of(1.0, 0)] {
            assert_eq!(Shape::from_code(shape.code()), shape);
        }
    }

    proptest! {
        #[test]
        fn rows_come_back_as_they_were(
            columns in 1_usize..20,
            blocks in prop::collection::vec((1..=BLOCK_ROWS, any::<u32>()), 1..5),
            kept in prop::sample::select(vec![0, 0xff, 0xffff, 0x00ff_ff00, 0x7f80_0000, u32::MAX]),
        ) {
            let mut squeezed = SqueezedRows::default();
            let mut expected = Vec::new();
            for (rows, seed) in blocks {
                let bits = |index: usize| 0x4480_0000 ^ seed.wrapping_mul(index as u32 * 2 + 1).rotate_left(7) & kept;
                let values: Vec<f32> = (0..columns * rows).map(|index| f32::from_bits(bits(index))).collect();
                squeezed.push(&values, columns);
                expected.extend(values.iter().map(|value| value.to_bits()));
            }
            let mut back = Vec::new();
            squeezed.blocks().for_each(|block| block.expand(columns, &mut back));
            let back: Vec<u32> = back.iter().map(|value| value.to_bits()).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
