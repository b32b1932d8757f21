//! Lists of numbers, 128 at a time, as wide as most of them need. Decimals and floats both become such lists.
//!
//! A block is the shorter of two forms: each number's distance from the smallest (its *frame*), or each step from
//! one number to the next, again as its distance from the smallest such step. Zig-zag coding the steps was the
//! alternative; the frame is never wider, and a steady climb costs no bits at all. All arithmetic wraps, so that
//! every list of `i32` has both forms.
//!
//! A few distances that are much wider than the others are cut: their low bits are in their place, the others follow.
//! Where a few numbers are much smaller than the others, the base is above them: their distances wrap, and are wide.
//!
//! | size    | field      |                                                                              |
//! |---------|------------|------------------------------------------------------------------------------|
//! | 1       | form       | bits per distance, `0..=32`; plus 64 if some were cut, 128 if they are steps |
//! | 1..=5   | base       | zig-zag varint: the smallest number, or the first one                        |
//! | 1..=5   | step base  | zig-zag varint: the smallest step; only if the numbers are steps             |
//! | 16 w    | distances  | a whole block: four lanes, number i in lane i mod 4; a lane is numbers one   |
//! |         |            | after the other, lowest bits first, in `u32`s; these take turns              |
//! | ⌈l w/8⌉ | distances  | the last block, of l < 128 numbers: one after the other, lowest bits first   |
//! | 1       | cut        | how many were cut, c, at least 1; this and the rest only if some were        |
//! | 1       | width      | bits that each of them lacks, h, at least 1, and at most 32 with the others  |
//! | c       | places     | of the ones that were cut, in order                                          |
//! | ⌈c h/8⌉ | high bits  | what they lack, one after the other, lowest bits first                       |

use bitpacking::{BitPacker, BitPacker4x};

use crate::varint;

const BLOCK_LEN: usize = BitPacker4x::BLOCK_LEN;
const STEPS: u8 = 0x80;
const CUT: u8 = 0x40;
const MOST_WIDTH: u8 = 32;
/// Narrower ones have little to gain from another base than the smallest.
const WIDE: u8 = 12;
/// So many numbers of a block tell where most are.
const TRIED: usize = 16;

/// What is in a block, its numbers still packed.
struct Block<'a> {
    width: u8,
    base: i32,
    /// The smallest step, if the numbers are steps.
    step_base: Option<i32>,
    len: usize,
    packed: &'a [u8],
    cut: Option<Cut<'a>>,
}

/// The distances of a block that do not fit its width.
struct Cut<'a> {
    width: u8,
    places: &'a [u8],
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

/// How wide the distances of a block are stored, and in how many bytes all of them.
#[derive(Clone, Copy)]
struct Fit {
    width: u8,
    /// Bits that the widest lacks.
    lacks: u8,
    cut: usize,
    len: usize,
}

impl Fit {
    /// The width that takes the fewest bytes.
    fn best(distances: &[u32]) -> Fit {
        let all = distances.iter().fold(0, |all, distance| all | distance);
        let widest = width_of(all);
        let whole = Fit { width: widest, lacks: 0, cut: 0, len: packed_len(distances.len(), widest) };
        // Cutting one saves nothing here.
        if widest < 2 {
            return whole;
        }
        let mut of_width = [0_u8; MOST_WIDTH as usize + 1];
        for &distance in distances {
            of_width[usize::from(width_of(distance))] += 1;
        }
        let (mut best, mut cut) = (whole, 0);
        for width in (0..widest).rev() {
            cut += usize::from(of_width[usize::from(width) + 1]);
            // So many places alone take what a bit of each takes.
            if cut > distances.len() / 3 {
                break;
            }
            let lacks = widest - width;
            let len = packed_len(distances.len(), width) + 2 + cut + packed_len(cut, lacks);
            if len < best.len {
                best = Fit { width, lacks, cut, len };
            }
        }
        best
    }
}

fn pack_block(block: &[i32], out: &mut Vec<u8>) {
    let (mut low, mut step_low) = (block[0], i32::MAX);
    for &number in block {
        low = low.min(number);
    }
    for (&previous, &number) in block.iter().zip(&block[1..]) {
        step_low = step_low.min(number.wrapping_sub(previous));
    }
    if block.len() == 1 {
        step_low = 0;
    }
    let mut distances = [0_u32; BLOCK_LEN];
    let distances = &mut distances[..block.len()];
    let mut base = low;
    fill_distances(block, base, distances);
    let mut fit = Fit::best(distances);
    if fit.width >= WIDE {
        let likely = low_but_for_outliers(block);
        let mut others = [0_u32; BLOCK_LEN];
        let others = &mut others[..block.len()];
        fill_distances(block, likely, others);
        let others_fit = Fit::best(others);
        if others_fit.len + base_len(likely) < fit.len + base_len(base) {
            (base, fit) = (likely, others_fit);
            distances.copy_from_slice(others);
        }
    }
    // The first number is the base; it has no step, and its place stays zero.
    let mut steps = [0_u32; BLOCK_LEN];
    let steps = &mut steps[..block.len()];
    for ((&previous, &number), step) in block.iter().zip(&block[1..]).zip(&mut steps[1..]) {
        *step = number.wrapping_sub(previous).wrapping_sub(step_low) as u32;
    }
    let steps_fit = Fit::best(steps);
    let steps_len = steps_fit.len + base_len(block[0]) + base_len(step_low);
    if steps_len < fit.len + base_len(base) {
        out.push(steps_fit.width | STEPS | if steps_fit.cut > 0 { CUT } else { 0 });
        write_base(block[0], out);
        write_base(step_low, out);
        pack_fitted(steps, steps_fit, out);
    } else {
        out.push(fit.width | if fit.cut > 0 { CUT } else { 0 });
        write_base(base, out);
        pack_fitted(distances, fit, out);
    }
}

/// The distance of every number from the base. Of those below it, it is wide, since it wraps.
fn fill_distances(block: &[i32], base: i32, distances: &mut [u32]) {
    for (&number, distance) in block.iter().zip(distances) {
        *distance = number.wrapping_sub(base) as u32;
    }
}

/// A number that few are below.
fn low_but_for_outliers(block: &[i32]) -> i32 {
    let mut tried = [i32::MAX; TRIED];
    for (tried, number) in tried.iter_mut().zip(block.iter().step_by(block.len().div_ceil(TRIED))) {
        *tried = *number;
    }
    tried.sort_unstable();
    tried[1]
}

/// Adds distances, and behind them the high bits of those that are wider than the others.
fn pack_fitted(distances: &mut [u32], fit: Fit, out: &mut Vec<u8>) {
    if fit.cut == 0 {
        pack_distances(distances, fit.width, out);
        return;
    }
    let (mut places, mut high) = ([0_u8; BLOCK_LEN], [0_u32; BLOCK_LEN]);
    let mut cut = 0;
    for (place, distance) in distances.iter_mut().enumerate() {
        if *distance >> fit.width != 0 {
            (places[cut], high[cut]) = (place as u8, *distance >> fit.width);
            *distance &= (1 << fit.width) - 1;
            cut += 1;
        }
    }
    debug_assert_eq!(cut, fit.cut);
    pack_distances(distances, fit.width, out);
    out.extend_from_slice(&[cut as u8, fit.lacks]);
    out.extend_from_slice(&places[..cut]);
    pack_distances(&high[..cut], fit.lacks, out);
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
    if distances.len() == BLOCK_LEN {
        BitPacker4x::new().decompress(packed, distances, width);
        return;
    }
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
        let width = form & !(STEPS | CUT);
        if width > MOST_WIDTH {
            return None;
        }
        let base = take_base(&mut rest)?;
        let step_base = if form & STEPS != 0 { Some(take_base(&mut rest)?) } else { None };
        let (packed, mut rest) = rest.split_at_checked(packed_len(len, width))?;
        let cut = if form & CUT != 0 { Some(Cut::take(&mut rest, width, len)?) } else { None };
        *bytes = rest;
        Some(Block { width, base, step_base, len, packed, cut })
    }

    fn unpack(&self, numbers: &mut [i32; BLOCK_LEN]) {
        let mut distances = [0_u32; BLOCK_LEN];
        unpack_distances(self.packed, self.width, &mut distances[..self.len]);
        if let Some(cut) = &self.cut {
            let mut high = [0_u32; BLOCK_LEN];
            unpack_distances(cut.packed, cut.width, &mut high[..cut.places.len()]);
            for (place, high) in cut.places.iter().zip(high) {
                distances[usize::from(*place)] |= high << self.width;
            }
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

impl<'a> Cut<'a> {
    /// Takes what a block of `len` distances of `width` bits lacks off the front of `bytes`.
    fn take(bytes: &mut &'a [u8], width: u8, len: usize) -> Option<Cut<'a>> {
        let (&[count, lacks], rest) = bytes.split_first_chunk()?;
        let (places, rest) = rest.split_at_checked(count.into())?;
        let in_order = places.windows(2).all(|pair| pair[0] < pair[1]);
        if !in_order || usize::from(*places.last()?) >= len || lacks == 0 || lacks > MOST_WIDTH - width {
            return None;
        }
        let (packed, rest) = rest.split_at_checked(packed_len(places.len(), lacks))?;
        *bytes = rest;
        Some(Cut { width: lacks, places, packed })
    }
}

fn base_len(number: i32) -> usize {
    varint::len(varint::zigzag(number.into()))
}

fn write_base(number: i32, out: &mut Vec<u8>) {
    varint::put(out, varint::zigzag(number.into()));
}

fn take_base(bytes: &mut &[u8]) -> Option<i32> {
    i32::try_from(varint::unzigzag(varint::take(bytes)?)).ok()
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
        // Two bits each, and 18 more for one of them.
        check((0..128).map(|index| if index == 77 { 1 << 19 } else { index % 4 }).collect(), 34 + 2 + 1 + 3);
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
            peaks in 1_u8..=255,
            numbers in prop::collection::vec((any::<i32>(), any::<u8>()), 0..400),
        ) {
            let number = |(number, die): &(i32, u8)| if *die < peaks { number >> shift } else { *number };
            round_trip(&numbers.iter().map(number).collect::<Vec<_>>());
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
