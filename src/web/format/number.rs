//! Numbers as the API writes them: at most seven decimals, half to even, trailing zeros cut, no exponent.

use std::io::Write;

/// Decimals are an integer of so many of this.
const SCALE: f64 = 1e7;
const DECIMALS: usize = 7;
/// From here on, the fraction of an `f64` times `SCALE` is exact; below, the whole number times `SCALE` is below 2^53.
const LARGE: f64 = (1u64 << 29) as f64;
/// Above, an `f64` is no `u64`.
const HUGE: f64 = u64::MAX as f64;

/// Adds a number, or `null` for NaN and infinities.
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    // Most are small integers.
    let integer = number as i32;
    if f64::from(integer) == number {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else if number.is_finite() {
        write_decimal(number, out);
    } else {
        out.extend_from_slice(b"null");
    }
}

fn write_decimal(number: f64, out: &mut Vec<u8>) {
    let magnitude = number.abs();
    let (whole, decimals) = if magnitude < LARGE {
        let scaled = scaled_half_to_even(magnitude);
        (scaled / SCALE as u64, scaled % SCALE as u64)
    } else if magnitude < HUGE {
        let whole = magnitude as u64;
        // 23 bits of fraction at most, times 24 bits: exact. No carry, for it would take more bits.
        (whole, half_to_even((magnitude - whole as f64) * SCALE))
    } else {
        // An integer of up to 309 digits. Nothing that is measured comes here.
        write!(out, "{number:.0}").expect("memory takes all that is written");
        return;
    };
    if number < 0.0 && (whole, decimals) != (0, 0) {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    if decimals != 0 {
        write_fraction(decimals, out);
    }
}

/// `magnitude * SCALE` as if computed exactly, then rounded. Below `LARGE`.
fn scaled_half_to_even(magnitude: f64) -> u64 {
    let product = magnitude * SCALE;
    let rounded = half_to_even(product);
    let over = product - rounded as f64;
    // The product is off by half its last bit at most: that only matters when it looks like a tie.
    if over.abs() != 0.5 {
        return rounded;
    }
    let error = magnitude.mul_add(SCALE, -product);
    match over > 0.0 {
        true if error > 0.0 => rounded + 1,
        false if error < 0.0 => rounded - 1,
        _ => rounded,
    }
}

/// The nearest integer of a number from 0 to 2^53, even at ties.
fn half_to_even(number: f64) -> u64 {
    let floor = number as u64;
    let over = number - floor as f64;
    floor + u64::from(over > 0.5 || over == 0.5 && floor % 2 == 1)
}

/// A point, and what `decimals` of `SCALE` are, without the zeros at the end.
fn write_fraction(mut decimals: u64, out: &mut Vec<u8>) {
    let mut text = [b'.'; DECIMALS + 1];
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (decimals % 10) as u8;
        decimals /= 10;
    }
    let end = text.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.extend_from_slice(&text[..end]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(number: f64) -> String {
        let mut out = Vec::new();
        write_number(number, &mut out);
        String::from_utf8(out).expect("digits")
    }

    /// By the standard library.
    fn naive(number: f64) -> String {
        if !number.is_finite() {
            return "null".to_owned();
        }
        let text = format!("{number:.7}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" { "0".to_owned() } else { text.to_owned() }
    }

    #[test]
    fn numbers_have_at_most_seven_decimals_and_no_exponent() {
        let check = |number: f64, expected: &str| assert_eq!(written(number), expected);
        check(0.0, "0");
        check(-0.0, "0");
        check(5.0, "5");
        check(-12.75, "-12.75");
        check(17.0 / 3.0, "5.6666667");
        check(0.1 + 0.2, "0.3");
        check(0.999_999_99, "1");
        check(-0.000_000_01, "0");
        check(0.003_906_25, "0.0039062");
        check(0.011_718_75, "0.0117188");
        check(4_294_967_296.5, "4294967296.5");
        check(-1e15, "-1000000000000000");
        check(1e22, "10000000000000000000000");
        check(f64::MAX, &format!("{:.0}", f64::MAX));
        check(f64::MIN_POSITIVE, "0");
        check(f64::NAN, "null");
        check(f64::NEG_INFINITY, "null");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn any_number_is_written_as_the_standard_library_does(number: f64) {
            prop_assert_eq!(written(number), naive(number));
        }

        #[test]
        fn so_are_numbers_of_everyday(number in -1e10..1e10, shrink in 0i32..12) {
            let number = number / 10f64.powi(shrink);
            prop_assert_eq!(written(number), naive(number));
        }

        #[test]
        fn so_are_ties_and_their_neighbours(
            number in -1_000_000_000i64..1_000_000_000,
            bits in 0u32..12,
            step in -2i64..=2,
        ) {
            let tie = number as f64 / f64::from(1u32 << bits);
            let neighbour = f64::from_bits((tie.to_bits() as i64).saturating_add(step).max(0) as u64);
            prop_assert_eq!(written(tie), naive(tie));
            prop_assert_eq!(written(neighbour), naive(neighbour));
            let decimal = (number as f64 + 0.5) / SCALE;
            prop_assert_eq!(written(decimal), naive(decimal));
        }
    }
}
