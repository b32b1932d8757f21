//! Values with at most three decimals, as integers: 12.5 is 125 tenths. What children collect nearly always is.
//!
//! | offset | size | field   |                                                                              |
//! |--------|------|---------|------------------------------------------------------------------------------|
//! | 0      | 1    | power   | of ten that the values were multiplied with, `0..=3`, plus 128 for negatives |
//! | 1      |      | numbers | packed                                                                       |
//!
//! Division is correctly rounded, so `integer / power` is the float nearest to the decimal number, which is the float
//! the child meant, as long as the integer itself is exact. Encoding still tries every value.
//!
//! A column whose values all have the sign bit is stored without it: a chart's lower half (bytes sent) is a counter
//! times -1, and its zeros are -0.0, which no integer is.

use super::packing;

const POWERS: [f32; 4] = [1.0, 10.0, 100.0, 1000.0];
const NEGATIVE: u8 = 0x80;
/// Up to here every integer is an `f32`. Above, floats pack better than integers that end in zeros.
const MOST: i32 = 1 << f32::MANTISSA_DIGITS;
/// As many are tried before all are: enough to tell decimals from measurements.
const TRIED_FIRST: usize = 16;

/// Adds `values` to `out`, or nothing and `false` if they are no such decimals. `numbers` is for scratch.
pub(super) fn encode(values: &[f32], numbers: &mut Vec<i32>, out: &mut Vec<u8>) -> bool {
    let negative = values.iter().fold(u32::MAX, |signs, value| signs & value.to_bits()) >> 31 != 0;
    let sign = if negative { -1.0 } else { 1.0 };
    let every = (values.len() / TRIED_FIRST).max(1);
    numbers.clear();
    numbers.resize(values.len(), 0);
    for (power, &scale) in POWERS.iter().enumerate() {
        let scale = scale * sign;
        let likely = values.iter().step_by(every).all(|value| to_integer(*value, scale).1);
        if likely && to_integers(values, scale, numbers) {
            out.push(power as u8 | if negative { NEGATIVE } else { 0 });
            packing::pack(numbers, out);
            return true;
        }
    }
    false
}

pub(super) fn is_valid(payload: &[u8], count: usize) -> bool {
    payload.split_first().is_some_and(|(power, numbers)| {
        usize::from(power & !NEGATIVE) < POWERS.len() && packing::is_packed(numbers, count)
    })
}

/// Adds the values of a payload that is valid.
pub(super) fn decode(payload: &[u8], count: usize, values: &mut Vec<f32>) {
    let power = payload[0];
    let scale = POWERS[usize::from(power & !NEGATIVE)] * if power & NEGATIVE != 0 { -1.0 } else { 1.0 };
    packing::unpack(&payload[1..], count, |numbers| {
        values.extend(numbers.iter().map(|number| *number as f32 / scale));
    });
}

/// The integer, and whether it gives the value back exactly. No rounding function: without SSE4.1 that is a call for
/// each value. Adding a half would round integers above 2^23, which need no rounding.
fn to_integer(value: f32, scale: f32) -> (i32, bool) {
    let scaled = value * scale;
    let half: f32 = if scale.abs() == 1.0 { 0.0 } else { 0.5 };
    let number = (scaled + half.copysign(scaled)) as i32;
    let exact = (number as f32 / scale).to_bits() == value.to_bits();
    (number, exact & (number.saturating_abs() <= MOST))
}

fn to_integers(values: &[f32], scale: f32, numbers: &mut [i32]) -> bool {
    let mut all_exact = true;
    for (value, number) in values.iter().zip(numbers) {
        let exact;
        (*number, exact) = to_integer(*value, scale);
        all_exact &= exact;
    }
    all_exact
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f32], power: Option<u8>) {
        let (mut numbers, mut payload) = (vec![], vec![]);
        assert_eq!(encode(values, &mut numbers, &mut payload), power.is_some(), "{values:?}");
        assert_eq!(payload.first().copied(), power, "{values:?}");
        if power.is_some() {
            assert!(is_valid(&payload, values.len()));
            let mut found = vec![];
            decode(&payload, values.len(), &mut found);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(values));
        }
    }

    #[test]
    fn the_smallest_power_that_is_exact_is_taken() {
        check(&[1.0, 2.0, -3.0, 0.0], Some(0));
        check(&[1.5, 2.0], Some(1));
        check(&[0.25, -7.0], Some(2));
        check(&[99.999, 0.001, -1234.567], Some(3));
        check(&[0.0625, 1.0], None);
        check(&[1.0 / 3.0, 1.0], None);
        check(&[8_388_609.0, 16_777_215.0], Some(0));
        check(&[16_777_216.0, 0.0], Some(0));
        check(&[16_777_218.0, 0.0], None);
    }

    #[test]
    fn the_zeros_of_a_negated_counter_are_integers_too() {
        check(&[-0.0, -5.0, -120.0], Some(NEGATIVE));
        check(&[-0.0, -0.5], Some(NEGATIVE | 1));
        check(&[-0.0, 0.0], None);
    }

    #[test]
    fn what_no_integer_says_is_refused() {
        for value in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1)] {
            check(&[1.0, value], None);
        }
    }
}
