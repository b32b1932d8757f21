//! Floats that are near those of another column, as how far from them they are: a machine sends nearly what it receives
//! when it talks to itself.
//!
//! | size   | field       |                                                                                   |
//! |--------|-------------|-----------------------------------------------------------------------------------|
//! | 1..=10 | original    | which column, see [`Original`]                                                    |
//! |        | differences | of every row, packed: its float's place in the order of all floats, less that of  |
//! |        |             | the original's (or of its negative)                                               |

use super::{column::Original, floats, packing};

/// So many rows tell whether two columns are near each other.
const TRIED: usize = 16;
/// Differences below this leave a byte of four, and something to gain.
const NEAR: u32 = 1 << 18;

/// Whether two columns are likely to be near, and then, whether one is so to the negative of the other. A column with
/// gaps is near none: which NaN they are is not kept.
pub(super) fn is_likely(values: &[f32], original: &[f32]) -> Option<bool> {
    let every = values.len().div_ceil(TRIED);
    let pairs = || values.iter().zip(original).step_by(every);
    let near = pairs().filter(|(value, of)| {
        let (value, of) = (value.abs().to_bits(), of.abs().to_bits());
        value != 0 && value.abs_diff(of) < NEAR
    });
    let tried = pairs().count();
    let opposite = pairs().filter(|(value, of)| value.is_sign_negative() != of.is_sign_negative()).count();
    let is_near = near.count() * 2 > tried && !original.iter().any(|of| of.is_nan());
    is_near.then_some(opposite * 2 > tried)
}

/// Adds `values` to `out`. Neither column has gaps.
pub(super) fn encode(
    values: &[f32],
    of: &[f32],
    original: Original,
    numbers: &mut Vec<i32>,
    out: &mut Vec<u8>,
) {
    original.write(out);
    numbers.clear();
    numbers.extend(values.iter().zip(of).map(|(value, of)| {
        floats::place(value.to_bits(), 0).wrapping_sub(floats::place(original.value(*of).to_bits(), 0))
    }));
    packing::pack(numbers, out);
}

pub(super) fn is_valid(mut payload: &[u8], rows: usize) -> bool {
    Original::take(&mut payload).is_some() && packing::is_packed(payload, rows)
}

/// Turns the values of the original into those of this column. The payload is valid.
pub(super) fn decode(mut payload: &[u8], values: &mut [f32]) {
    let original = Original::take(&mut payload).expect("a page is checked before it is read");
    let mut rest = values.iter_mut();
    packing::unpack(payload, rest.len(), |differences| {
        for (difference, value) in differences.iter().zip(rest.by_ref()) {
            let place = floats::place(original.value(*value).to_bits(), 0).wrapping_add(*difference);
            *value = f32::from_bits(floats::bits(place, 0));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_columns_are_told_and_come_back() {
        let received: Vec<f32> = (0..200_u16).map(|row| f32::from(row * 37 % 500) / 7.0).collect();
        let sent: Vec<f32> = received.iter().map(|value| -value * 1.000_1).collect();
        let other: Vec<f32> = received.iter().rev().copied().collect();
        assert_eq!(is_likely(&sent, &received), Some(true));
        assert_eq!(is_likely(&received, &received), Some(false));
        assert_eq!(is_likely(&other, &received), None);
        for (values, negated) in [(&sent, true), (&sent, false), (&other, true)] {
            let (mut numbers, mut payload) = (vec![], vec![]);
            encode(values, &received, Original { back: 3, negated }, &mut numbers, &mut payload);
            assert!(is_valid(&payload, 200));
            let mut found = received.clone();
            decode(&payload, &mut found);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(values));
        }
    }
}
