//! Values that are integers times or divided by something round: 12.5 is 125 tenths, 10.73828125 is 2749 parts of 256
//! (a child's memory in MiB, from pages of 4096 bytes). What children collect nearly always is.
//!
//! | offset | size | field   |                                                                              |
//! |--------|------|---------|------------------------------------------------------------------------------|
//! | 0      | 1    | scale   | see [`Scale`], plus 128 if all are negative                                  |
//! | 1      |      | numbers | packed                                                                       |
//!
//! Division is correctly rounded, so `integer / power` is the number nearest to the decimal one, and as a float the
//! value the child meant. Encoding still tries every value.
//!
//! A column whose values all have the sign bit is stored without it: a chart's lower half (bytes sent) is a counter
//! times -1, and its zeros are -0.0, which no integer is.

use super::packing;

const NEGATIVE: u8 = 0x80;
/// As many are tried before all are: enough to tell decimals from measurements.
const TRIED_FIRST: usize = 16;
/// Adding and taking away this number rounds what is smaller than 2^51 to an integer. Without SSE4.1 a rounding
/// function is a call for each value.
const ROUNDING: f64 = (3_u64 << 51) as f64;

/// What the integers are parts of, or the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scale {
    /// They were divided by this power of ten: code 1 to 6.
    Tens(u8),
    /// They were multiplied with 2 to this power: code 32 more.
    Twos(i8),
}

impl Scale {
    const MOST_TENS: u8 = 6;
    const TWOS: std::ops::RangeInclusive<i8> = -24..=24;
    const TWOS_AT: i8 = 32;
    const POWERS: [f64; 7] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];

    fn code(self) -> u8 {
        match self {
            Scale::Tens(power) => power,
            Scale::Twos(power) => (power + Scale::TWOS_AT) as u8,
        }
    }

    fn from_code(code: u8) -> Option<Scale> {
        if (1..=Scale::MOST_TENS).contains(&code) {
            return Some(Scale::Tens(code));
        }
        let power = i8::try_from(code).ok()? - Scale::TWOS_AT;
        Scale::TWOS.contains(&power).then_some(Scale::Twos(power))
    }

    fn power_of_two(power: i8) -> f32 {
        f32::from_bits(((127 + i32::from(power)) << 23) as u32)
    }

    /// The coarsest of which all `values`, with `sign` as their sign, are an exact multiple that fits an `i32`.
    fn of(values: &[f32], sign: f32) -> Option<Scale> {
        let (mut lowest, mut largest) = (i32::MAX, 0_u32);
        let mut minus_zero = false;
        for value in values {
            let bits = (value * sign).to_bits();
            let magnitude = bits & (u32::MAX >> 1);
            // The place of its lowest bit that is set: the float is that many twos times an odd number.
            let place =
                (magnitude >> 23) as i32 + ((magnitude & 0x7f_ffff) | 0x80_0000).trailing_zeros() as i32;
            lowest = lowest.min(if magnitude == 0 { i32::MAX } else { place });
            largest = largest.max(magnitude);
            minus_zero |= bits == 1 << 31;
        }
        if minus_zero || largest > f32::MAX.to_bits() {
            return None;
        }
        if largest == 0 {
            return Some(Scale::Twos(0));
        }
        let largest = f32::from_bits(largest);
        let fits = |scale: f64| f64::from(largest) * scale < f64::from(i32::MAX);
        let twos = i8::try_from(lowest - 127 - 23).ok().filter(|power| Scale::TWOS.contains(power));
        let twos = twos.filter(|power| fits(1.0 / f64::from(Scale::power_of_two(*power))));
        let parts = twos.map_or(f64::INFINITY, |power| 1.0 / f64::from(Scale::power_of_two(power)));
        let every = (values.len() / TRIED_FIRST).max(1);
        let tens = (1..=Scale::MOST_TENS).map(|power| (power, Scale::POWERS[usize::from(power)]));
        let is_multiple = |value: &f32, tens: f64| is_multiple(value * sign, tens);
        let tens = tens.take_while(|(_, tens)| *tens < parts && fits(*tens)).find(|(_, tens)| {
            let likely = values.iter().step_by(every).all(|value| is_multiple(value, *tens));
            likely && values.iter().fold(true, |all, value| all & is_multiple(value, *tens))
        });
        match tens {
            Some((power, _)) => Some(Scale::Tens(power)),
            None => twos.map(Scale::Twos),
        }
    }
}

/// Whether an integer divided by `tens` is the value.
fn is_multiple(value: f32, tens: f64) -> bool {
    let integer = (f64::from(value) * tens + ROUNDING) - ROUNDING;
    ((integer / tens) as f32).to_bits() == value.to_bits()
}

/// Whether an integer is small enough to be a float, as all up to this size are.
fn is_float(integer: i32) -> bool {
    const MOST: i32 = 1 << f32::MANTISSA_DIGITS;
    (-MOST..=MOST).contains(&integer)
}

/// Puts the integers of `values` into `numbers` and what they are parts of into `out`; or neither, and says `false`.
pub(super) fn find(values: &[f32], numbers: &mut Vec<i32>, out: &mut Vec<u8>) -> bool {
    let negative = values.iter().fold(u32::MAX, |signs, value| signs & value.to_bits()) >> 31 != 0;
    let sign = if negative { -1.0 } else { 1.0 };
    let Some(scale) = Scale::of(values, sign) else { return false };
    let factor = match scale {
        Scale::Tens(power) => Scale::POWERS[usize::from(power)],
        Scale::Twos(power) => 1.0 / f64::from(Scale::power_of_two(power)),
    };
    let factor = factor * f64::from(sign);
    numbers.clear();
    // The low bits of the sum are the integer.
    numbers.extend(values.iter().map(|value| (f64::from(*value) * factor + ROUNDING).to_bits() as i32));
    out.push(scale.code() | if negative { NEGATIVE } else { 0 });
    true
}

pub(super) fn is_valid(payload: &[u8], count: usize) -> bool {
    payload.split_first().is_some_and(|(scale, numbers)| {
        Scale::from_code(scale & !NEGATIVE).is_some() && packing::is_packed(numbers, count)
    })
}

/// Adds the values of a payload that is valid.
pub(super) fn decode(payload: &[u8], count: usize, values: &mut Vec<f32>) {
    let sign = if payload[0] & NEGATIVE != 0 { -1.0 } else { 1.0 };
    let scale = Scale::from_code(payload[0] & !NEGATIVE).expect("a page is checked before it is read");
    match scale {
        Scale::Tens(power) => {
            let tens = Scale::POWERS[usize::from(power)] * f64::from(sign);
            packing::unpack(&payload[1..], count, |numbers| {
                // Half the work, and the same result: both are the float nearest to the quotient of two exact numbers,
                // of which none is so near the middle of two floats that rounding it twice could make a difference.
                if numbers.iter().fold(true, |all, number| all & is_float(*number)) {
                    values.extend(numbers.iter().map(|number| *number as f32 / tens as f32));
                } else {
                    values.extend(numbers.iter().map(|number| (f64::from(*number) / tens) as f32));
                }
            });
        }
        Scale::Twos(power) => {
            let twos = Scale::power_of_two(power) * sign;
            packing::unpack(&payload[1..], count, |numbers| {
                values.extend(numbers.iter().map(|number| *number as f32 * twos));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f32], expected: Option<(Scale, bool)>) {
        let (mut numbers, mut payload) = (vec![], vec![]);
        assert_eq!(find(values, &mut numbers, &mut payload), expected.is_some(), "{values:?}");
        let code = expected.map(|(scale, negative)| scale.code() | if negative { NEGATIVE } else { 0 });
        assert_eq!(payload.first().copied(), code, "{values:?}");
        if expected.is_some() {
            packing::pack(&numbers, &mut payload);
            assert!(is_valid(&payload, values.len()));
            let mut found = vec![];
            decode(&payload, values.len(), &mut found);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(values));
        }
    }

    #[test]
    fn the_coarsest_scale_that_is_exact_is_taken() {
        let check = |values: &[f32], scale: Option<Scale>| check(values, scale.map(|scale| (scale, false)));
        check(&[1.0, 2.0, -3.0, 0.0], Some(Scale::Twos(0)));
        check(&[4096.0, 0.0, 12_288.0], Some(Scale::Twos(12)));
        check(&[1.5, 2.0], Some(Scale::Twos(-1)));
        check(&[0.25, -7.0], Some(Scale::Twos(-2)));
        check(&[10.738_281, 9.5], Some(Scale::Twos(-8)));
        check(&[0.1, 2.0], Some(Scale::Tens(1)));
        check(&[99.999, 0.001, -1234.567], Some(Scale::Tens(3)));
        check(&[0.0001, 3_327.877], Some(Scale::Tens(4)));
        check(&[16_777_216.0, 1.0], Some(Scale::Twos(0)));
        check(&[0.0, 0.0], Some(Scale::Twos(0)));
        check(&[1.0 / 3.0, 1.0], None);
        check(&[1.0e15, 1.0], None);
    }

    #[test]
    fn the_zeros_of_a_negated_counter_are_integers_too() {
        check(&[-0.0, -5.0, -120.0], Some((Scale::Twos(0), true)));
        check(&[-0.0, -0.1], Some((Scale::Tens(1), true)));
        check(&[-0.0, 0.0], None);
    }

    #[test]
    fn what_no_integer_says_is_refused() {
        for value in [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1)] {
            check(&[1.0, value], None);
        }
    }

    #[test]
    fn both_ways_to_divide_agree() {
        for tens in &Scale::POWERS[1..] {
            for number in (0..=1 << 24).step_by(41) {
                let (once, twice) = (number as f32 / *tens as f32, (f64::from(number) / tens) as f32);
                assert_eq!(once.to_bits(), twice.to_bits(), "{number} / {tens}");
            }
        }
    }

    #[test]
    fn a_scale_has_one_code() {
        let scales: Vec<_> = (0..128).filter_map(Scale::from_code).collect();
        assert_eq!(scales.len(), 6 + 49);
        assert!(scales.iter().all(|scale| Scale::from_code(scale.code()) == Some(*scale)));
    }
}
