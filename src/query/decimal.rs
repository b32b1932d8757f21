//! Samples as people wrote them: an `f32` widened to the `f64` of its shortest decimal.
//!
//! A child that collected 4.3 sent 4.3; the nearest `f32` is 4.300000190734863. Seven significant digits are what an
//! `f32` can nearly be trusted with, so if the decimal of seven digits reads back as the same `f32`, that is what was
//! meant.

use std::ops::Range;

/// Powers of ten that an `f64` has exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Above, every `f32` is an integer; below, no answer shows a digit, and powers of ten are not exact.
const DECIMALS: Range<f64> = 1e-15..1e7;
const SIGNIFICANT_DIGITS: i32 = 7;

/// Adds every sample to `out`, widened. Gaps stay NaN.
pub(super) fn widen(samples: &[f32], out: &mut Vec<f64>) {
    out.extend(samples.iter().map(|sample| widened(*sample)));
}

/// The value that `sample` stands for.
#[inline]
pub(super) fn widened(sample: f32) -> f64 {
    let plain = f64::from(sample);
    // Integers of up to 24 bits are exact as they are, and most samples are such.
    if (sample as i32) as f32 == sample { plain } else { shortest(sample, plain) }
}

/// Without a branch on the digits: they are as good as random, and a wrong guess costs more than all of this.
#[inline]
fn shortest(sample: f32, plain: f64) -> f64 {
    let magnitude = plain.abs();
    if !DECIMALS.contains(&magnitude) {
        return plain;
    }
    let exponent = (sample.to_bits() >> 23 & 0xff) as i32 - 127;
    // log10(2) as a fraction: the digits before the point of the binade's first number, of which the last one may have
    // one more.
    let digits_before = 1 + ((exponent * 1233) >> 12);
    let power = (SIGNIFICANT_DIGITS - digits_before) as usize;
    let has_one_more = magnitude * POWERS_OF_TEN[power] >= 1e7;
    let scale = POWERS_OF_TEN[power - usize::from(has_one_more)];
    let decimal = rounded(plain * scale) / scale;
    // All bits of the one or all of the other. A choice in other words would become a branch again.
    let is_other = u64::from((decimal as f32).to_bits() ^ sample.to_bits());
    let keeps_plain = ((is_other.wrapping_neg() as i64) >> 63) as u64;
    f64::from_bits(decimal.to_bits() ^ (decimal.to_bits() ^ plain.to_bits()) & keeps_plain)
}

/// The nearest integer, even at ties, of a number far below 2^51: adding and subtracting 1.5 * 2^52 leaves no room for
/// a fraction. `round_ties_even` would be a call where the instruction for it may be missing.
#[inline]
fn rounded(number: f64) -> f64 {
    const NO_FRACTION: f64 = 6_755_399_441_055_744.0;
    (number + NO_FRACTION) - NO_FRACTION
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sample_is_the_decimal_it_was_written_as() {
        for text in
            ["4.3", "0.1", "-0.25", "14.75", "1795.342", "0.0001234", "99999.99", "3.3e-9", "1e-12", "7", "0"]
        {
            let value: f64 = text.parse().expect("a number");
            assert_eq!(widened(value as f32), value, "{text}");
        }
        assert_eq!(widened(16_777_217.0), 16_777_216.0);
        assert_eq!(widened(1e20), f64::from(1e20_f32));
        assert_eq!(widened(f32::MIN_POSITIVE), f64::from(f32::MIN_POSITIVE));
        assert_eq!(widened(f32::INFINITY), f64::INFINITY);
        assert!(widened(f32::NAN).is_nan());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_widened_sample_reads_back_as_the_same_one(bits: u32) {
            let sample = f32::from_bits(bits);
            let read_back = widened(sample) as f32;
            prop_assert!(read_back == sample || sample.is_nan() && read_back.is_nan());
        }

        #[test]
        fn decimals_of_seven_digits_survive(digits in -9_999_999i32..=9_999_999, power in 0usize..=3) {
            let value = f64::from(digits) / POWERS_OF_TEN[power];
            prop_assert_eq!(widened(value as f32), value);
        }
    }
}
