//! Lists of numbers, 128 at a time, as wide as the widest needs. Decimals and floats both become such lists.
//!
//! A block is the narrower of two forms: each number's distance from the smallest (its *frame*), or each step from
//! one number to the next, again as its distance from the smallest such step. Zig-zag coding the steps was the
//! alternative; the frame is never wider, and a steady climb costs no bits at all. All arithmetic wraps, so that
//! every list of `i32` has both forms.
//!
//! | size    | field      |                                                                              |
//! |---------|------------|------------------------------------------------------------------------------|
//! | 1       | width, form | bits per number, `0..=32`, plus 128 if the numbers are steps                 |
//! | 1..=5   | base       | zig-zag varint: the smallest number, or the first one                        |
//! | 1..=5   | step base  | zig-zag varint: the smallest step; only if the numbers are steps             |
//! | 16 w    | numbers    | a whole block: four lanes, number i in lane i mod 4; a lane is numbers one   |
//! |         |            | after the other, lowest bits first, in `u32`s; these take turns              |
//! | ⌈l w/8⌉ | numbers    | the last block, of l < 128 numbers: one after the other, lowest bits first   |

use bitpacking::{BitPacker, BitPacker4x};

const BLOCK_LEN: usize = BitPacker4x::BLOCK_LEN;
const STEPS: u8 = 0x80;
const MOST_WIDTH: u8 = 32;

/// What is in a block, its numbers still packed.
struct Block<'a> {
    width: u8,
    base: i32,
    /// The smallest step, if the numbers are steps.
    step_base: Option<i32>,
    len: usize,
    packed: &'a [u8],
}

/// Adds `numbers` to `out`.
pub(super) fn pack(numbers: &[i32], out: &mut Vec<u8>) {
    for block in numbers.chunks(BLOCK_LEN) {
        pack_block(block, out);
    }
}

/// Whether `bytes` are `count` numbers, and nothing else.
pub(super) fn is_packed(mut bytes: &[u8], count: usize) -> bool {
    block_lens(count).all(|len| Block::take(&mut bytes, len).is_some()) && bytes.is_empty()
}

/// Hands the numbers to `each`, block by block. The bytes have passed [`is_packed`].
pub(super) fn unpack(mut bytes: &[u8], count: usize, mut each: impl FnMut(&[i32])) {
    let mut numbers = [0; BLOCK_LEN];
    for len in block_lens(count) {
        let block = Block::take(&mut bytes, len).expect("a page is checked before it is read");
        block.unpack(&mut numbers);
        each(&numbers[..len]);
    }
}

fn block_lens(count: usize) -> impl Iterator<Item = usize> {
    (0..count).step_by(BLOCK_LEN).map(move |start| (count - start).min(BLOCK_LEN))
}

const fn packed_len(len: usize, width: u8) -> usize {
    (len * width as usize).div_ceil(8)
}

fn width_of(largest: u32) -> u8 {
    (u32::BITS - largest.leading_zeros()) as u8
}

fn pack_block(block: &[i32], out: &mut Vec<u8>) {
    let (mut low, mut high) = (block[0], block[0]);
    for &number in block {
        low = low.min(number);
        high = high.max(number);
    }
    let (mut step_low, mut step_high) = (i32::MAX, i32::MIN);
    for (&previous, &number) in block.iter().zip(&block[1..]) {
        let step = number.wrapping_sub(previous);
        step_low = step_low.min(step);
        step_high = step_high.max(step);
    }
    if block.len() == 1 {
        (step_low, step_high) = (0, 0);
    }

    let width = width_of(high.wrapping_sub(low) as u32);
    let step_width = width_of(step_high.wrapping_sub(step_low) as u32);
    let len = packed_len(block.len(), width) + varint_len(low);
    let steps_len = packed_len(block.len(), step_width) + varint_len(block[0]) + varint_len(step_low);
    let mut distances = [0_u32; BLOCK_LEN];
    if steps_len < len {
        out.push(step_width | STEPS);
        write_varint(block[0], out);
        write_varint(step_low, out);
        // The first number is the base; it has no step, and its place stays zero.
        for ((&previous, &number), distance) in block.iter().zip(&block[1..]).zip(&mut distances[1..]) {
            *distance = number.wrapping_sub(previous).wrapping_sub(step_low) as u32;
        }
        pack_distances(&distances[..block.len()], step_width, out);
    } else {
        out.push(width);
        write_varint(low, out);
        for (&number, distance) in block.iter().zip(&mut distances) {
            *distance = number.wrapping_sub(low) as u32;
        }
        pack_distances(&distances[..block.len()], width, out);
    }
}

fn pack_distances(distances: &[u32], width: u8, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + packed_len(distances.len(), width), 0);
    let packed = &mut out[start..];
    if distances.len() == BLOCK_LEN {
        BitPacker4x::new().compress(distances, packed, width);
        return;
    }
    // `waiting` holds less than 32 bits before a number is added, at most 63 after.
    let (mut waiting, mut bits, mut at) = (0_u64, 0_u32, 0);
    for &distance in distances {
        waiting |= u64::from(distance) << bits;
        bits += u32::from(width);
        if bits >= u32::BITS {
            packed[at..at + 4].copy_from_slice(&(waiting as u32).to_le_bytes());
            at += 4;
            waiting >>= u32::BITS;
            bits -= u32::BITS;
        }
    }
    let rest = packed.len() - at;
    packed[at..].copy_from_slice(&waiting.to_le_bytes()[..rest]);
}

fn unpack_distances(packed: &[u8], width: u8, distances: &mut [u32]) {
    // Copied to where eight bytes can be loaded from any of them.
    let mut bytes = [0_u8; packed_len(BLOCK_LEN, MOST_WIDTH) + 8];
    bytes[..packed.len()].copy_from_slice(packed);
    let (width, mask) = (usize::from(width), (1_u64 << width) - 1);
    for (index, distance) in distances.iter_mut().enumerate() {
        let bit = index * width;
        let eight = bytes[bit / 8..].first_chunk().expect("eight bytes follow the last number");
        *distance = (u64::from_le_bytes(*eight) >> (bit % 8) & mask) as u32;
    }
}

impl<'a> Block<'a> {
    /// Takes a block of `len` numbers off the front of `bytes`, if there is one.
    fn take(bytes: &mut &'a [u8], len: usize) -> Option<Block<'a>> {
        let (&form, mut rest) = bytes.split_first()?;
        let width = form & !STEPS;
        if width > MOST_WIDTH {
            return None;
        }
        let base = take_varint(&mut rest)?;
        let step_base = if form & STEPS != 0 { Some(take_varint(&mut rest)?) } else { None };
        let (packed, rest) = rest.split_at_checked(packed_len(len, width))?;
        *bytes = rest;
        Some(Block { width, base, step_base, len, packed })
    }

    fn unpack(&self, numbers: &mut [i32; BLOCK_LEN]) {
        let mut distances = [0_u32; BLOCK_LEN];
        if self.len == BLOCK_LEN {
            BitPacker4x::new().decompress(self.packed, &mut distances, self.width);
        } else {
            unpack_distances(self.packed, self.width, &mut distances[..self.len]);
        }
        match self.step_base {
            None => {
                for (number, distance) in numbers.iter_mut().zip(&distances) {
                    *number = self.base.wrapping_add(*distance as i32);
                }
            }
            Some(step_base) => {
                let mut latest = self.base;
                numbers[0] = latest;
                for (number, distance) in numbers[1..].iter_mut().zip(&distances[1..]) {
                    latest = latest.wrapping_add(step_base).wrapping_add(*distance as i32);
                    *number = latest;
                }
            }
        }
    }
}

fn zigzag(number: i32) -> u32 {
    ((number << 1) ^ (number >> 31)) as u32
}

fn varint_len(number: i32) -> usize {
    usize::from(width_of(zigzag(number) | 1)).div_ceil(7)
}

fn write_varint(number: i32, out: &mut Vec<u8>) {
    let mut left = zigzag(number);
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Option<i32> {
    let mut zigzag = 0_u32;
    for (index, &byte) in bytes.iter().enumerate().take(5) {
        zigzag |= u32::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            *bytes = &bytes[index + 1..];
            return Some((zigzag >> 1) as i32 ^ -((zigzag & 1) as i32));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(numbers: &[i32]) -> usize {
        let mut packed = vec![];
        pack(numbers, &mut packed);
        assert!(is_packed(&packed, numbers.len()));
        let mut found = vec![];
        unpack(&packed, numbers.len(), |block| found.extend_from_slice(block));
        assert_eq!(found, numbers);
        packed.len()
    }

    #[test]
    fn a_block_costs_what_its_widest_number_needs() {
        let check = |numbers: Vec<i32>, expected: usize| assert_eq!(round_trip(&numbers), expected);
        check(vec![], 0);
        check(vec![5], 2);
        check(vec![5; 128], 2);
        // A frame of two bits: 32 bytes and two of header.
        check((0..128).map(|index| 1 + index * 7 % 4).collect(), 34);
        // A steady climb: no bits.
        check((0..128).map(|index| index * 3).collect(), 3);
        // A tail of ten numbers, three bits each.
        check((0..10).map(|index| index * 5 % 8).collect(), 2 + 4);
        check(vec![i32::MIN, i32::MAX, 0, -1, i32::MIN], 1 + 5 + 20);
    }

    /// [`BitPacker4x`] has an implementation for each kind of machine, and another for debug builds; a page must be
    /// the same from all.
    #[test]
    fn the_order_of_bits_is_the_one_described() {
        for width in 1..=32_u32 {
            let number = |index: u32| (index + 1).wrapping_mul(0x9e37_79b9) >> (32 - width);
            let mut lanes = [0_u8; 16 * 32];
            for index in 0..128 {
                let (lane, place) = (index % 4, index / 4 * width);
                for bit in (0..width).filter(|bit| number(index) >> bit & 1 != 0) {
                    let at = place + bit;
                    lanes[((at / 32 * 4 + lane) * 4 + at % 32 / 8) as usize] |= 1 << (at % 8);
                }
            }
            let numbers: Vec<u32> = (0..128).map(number).collect();
            let mut packed = vec![];
            pack_distances(&numbers, width as u8, &mut packed);
            assert_eq!(packed, lanes[..16 * width as usize], "width {width}");
        }
        let mut packed = vec![];
        pack_distances(&[1, 2, 3, 4, 5], 3, &mut packed);
        assert_eq!(packed, 0b101_100_011_010_001_u16.to_le_bytes());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_come_back_as_they_were(
            shift in 0_u32..32,
            numbers in prop::collection::vec(any::<i32>(), 0..400),
        ) {
            round_trip(&numbers.iter().map(|number| number >> shift).collect::<Vec<_>>());
        }

        #[test]
        fn foreign_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0_usize..300) {
            if is_packed(&bytes, count) {
                let mut found = 0;
                unpack(&bytes, count, |block| found += block.len());
                prop_assert_eq!(found, count);
            }
        }
    }
}
