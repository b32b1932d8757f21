//! Numbers as lines write them.
//!
//! | form            | prefix           | digits                                                    |
//! |-----------------|------------------|-----------------------------------------------------------|
//! | decimal integer | none             | `0-9`                                                     |
//! | hex integer     | `0x`             | `0-9A-F`                                                  |
//! | base64 integer  | `#`              | `A-Z a-z 0-9 + /` for 0 to 63, most significant first     |
//! | decimal double  | none             | `-4.3000000`, `9.1e+45`, `nan`, `null`, `inf` in any case |
//! | hex double      | `%`              | the 64 bits of the double as a hex integer                |
//! | base64 double   | `@`              | the 64 bits of the double as a base64 integer             |
//!
//! A `-` stands in front of the prefix. A reader goes by the prefix, never by what was negotiated; it stops at the
//! first byte that is no digit, and integers wrap at 64 bits, both as Netdata's do.

/// The byte of each base64 digit.
const BASE64_DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

const HEX_DIGITS: &[u8; 16] = b"0123456789ABCDEF";

/// No digit, in the tables of digit values.
const NONE: u8 = 0xff;

const BASE64_VALUES: [u8; 256] = values_of(BASE64_DIGITS);

const HEX_VALUES: [u8; 256] = {
    let mut values = values_of(HEX_DIGITS);
    let mut letter = 10;
    while letter < 16 {
        values[HEX_DIGITS[letter].to_ascii_lowercase() as usize] = letter as u8;
        letter += 1;
    }
    values
};

const fn values_of(digits: &[u8]) -> [u8; 256] {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < digits.len() {
        values[digits[value] as usize] = value as u8;
        value += 1;
    }
    values
}

/// Powers of ten that a double holds exactly.
const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// A number in front of other bytes, and how many of them it took.
pub(super) type Prefix<T> = (T, usize);

/// The integer that `word` begins with; `None`: it begins with none.
pub fn integer(word: &[u8]) -> Option<i64> {
    integer_prefix(word).map(|(value, _)| value)
}

/// The unsigned integer that `word` begins with; `None`: it begins with none.
pub fn unsigned(word: &[u8]) -> Option<u64> {
    integer(word).map(|value| value as u64)
}

/// The double that `word` is; not a number if it is none.
pub fn double(word: &[u8]) -> f64 {
    double_prefix(word).map_or(f64::NAN, |(value, _)| value)
}

/// Whether `word` writes a double rather than an integer: a prefix of doubles, a point, an exponent or a name.
pub(super) fn is_double(word: &[u8]) -> bool {
    match word.strip_prefix(b"-").unwrap_or(word) {
        [b'@' | b'%', ..] => true,
        [b'#', ..] | [b'0', b'x', ..] => false,
        decimal => decimal.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E' | b'n' | b'N' | b'i' | b'I')),
    }
}

#[inline(always)]
pub(super) fn integer_prefix(bytes: &[u8]) -> Option<Prefix<i64>> {
    let (negative, sign) = match bytes.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let (magnitude, taken) = magnitude_prefix(&bytes[sign..])?;
    let value = if negative { magnitude.wrapping_neg() } else { magnitude };
    Some((value as i64, sign + taken))
}

#[inline(always)]
fn magnitude_prefix(bytes: &[u8]) -> Option<Prefix<u64>> {
    let (value, taken, prefix) = match bytes {
        [b'#', digits @ ..] => {
            let (value, taken) = base64_digits(digits);
            (value, taken, 1)
        }
        [b'0', b'x', digits @ ..] => {
            let (value, taken) = hex_digits(digits);
            (value, taken, 2)
        }
        digits => {
            let (value, taken) = decimal_digits(digits);
            (value, taken, 0)
        }
    };
    (taken > 0).then_some((value, prefix + taken))
}

#[inline(always)]
pub(super) fn double_prefix(bytes: &[u8]) -> Option<Prefix<f64>> {
    let (negative, sign) = match bytes.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let (magnitude, taken) = match &bytes[sign..] {
        [b'@', digits @ ..] => {
            let (bits, taken) = eleven_base64_digits(digits).unwrap_or_else(|| base64_digits(digits));
            ((taken > 0).then_some(f64::from_bits(bits))?, 1 + taken)
        }
        [b'%', digits @ ..] => {
            let (bits, taken) = hex_digits(digits);
            ((taken > 0).then_some(f64::from_bits(bits))?, 1 + taken)
        }
        encoded @ ([b'#', ..] | [b'0', b'x', ..]) => {
            let (value, taken) = magnitude_prefix(encoded)?;
            (value as f64, taken)
        }
        decimal => decimal_double(decimal)?,
    };
    Some((if negative { -magnitude } else { magnitude }, sign + taken))
}

/// Eleven digits and not more, which is how 64 bits are written unless the highest four are zero, as they are of hardly any double. All
/// are looked up at once, where a loop waits for each.
#[inline(always)]
fn eleven_base64_digits(bytes: &[u8]) -> Option<Prefix<u64>> {
    let digits = bytes.first_chunk::<12>()?.map(|byte| BASE64_VALUES[usize::from(byte)]);
    let [first @ .., behind] = digits;
    let is_all = first.iter().fold(0, |all, digit| all | digit) < 64 && behind == NONE;
    let value = first.iter().fold(0, |value, digit| value << 6 | u64::from(*digit));
    is_all.then_some((value, 11))
}

#[inline(always)]
fn base64_digits(bytes: &[u8]) -> Prefix<u64> {
    let mut value = 0_u64;
    let mut taken = 0;
    for byte in bytes {
        let digit = BASE64_VALUES[usize::from(*byte)];
        if digit == NONE {
            break;
        }
        value = value << 6 | u64::from(digit);
        taken += 1;
    }
    (value, taken)
}

#[inline(never)]
fn hex_digits(bytes: &[u8]) -> Prefix<u64> {
    let mut value = 0_u64;
    let mut taken = 0;
    for byte in bytes {
        let digit = HEX_VALUES[usize::from(*byte)];
        if digit == NONE {
            break;
        }
        value = value << 4 | u64::from(digit);
        taken += 1;
    }
    (value, taken)
}

/// Eight digits at a time: one load finds where they end, three multiplications add them up. A counter of seven
/// digits costs one round, where a loop over bytes waits seven times for its own multiplication.
#[inline(always)]
fn decimal_digits(bytes: &[u8]) -> Prefix<u64> {
    /// What digits are worth before so many others. Looked up, as a power would be a loop of multiplications.
    const TENS: [u64; 9] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
    let mut value = 0_u64;
    let mut taken = 0;
    while let Some(chunk) = bytes[taken..].first_chunk::<8>() {
        // '0' to '9' become 0 to 9, all other bytes more than that; a carry only ever reaches bytes after the first
        // that is no digit.
        let digits = u64::from_le_bytes(*chunk) ^ 0x3030_3030_3030_3030;
        let other = (digits.wrapping_add(0x7676_7676_7676_7676) | digits) & 0x8080_8080_8080_8080;
        let count = other.trailing_zeros() / 8;
        if count == 0 {
            return (value, taken);
        }
        let sum = eight_digits(digits << (64 - 8 * count));
        value = value.wrapping_mul(TENS[count as usize]).wrapping_add(sum);
        taken += count as usize;
        if count < 8 {
            return (value, taken);
        }
    }
    for byte in &bytes[taken..] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
        taken += 1;
    }
    (value, taken)
}

/// Adds up eight digit values, the first in the lowest byte: pairs, then fours, then all.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// A decimal double without its sign.
#[inline(never)]
fn decimal_double(bytes: &[u8]) -> Option<Prefix<f64>> {
    let (whole, whole_digits) = decimal_digits(bytes);
    let (fraction, fraction_digits) = match bytes.get(whole_digits) {
        Some(b'.') => decimal_digits(&bytes[whole_digits + 1..]),
        _ => (0, 0),
    };
    if whole_digits + fraction_digits == 0 {
        return named_double(bytes);
    }
    let point = usize::from(bytes.get(whole_digits) == Some(&b'.'));
    let taken = whole_digits + point + fraction_digits;
    let exponent = exponent_len(&bytes[taken..]);
    // Up to 15 digits are exact in a double, and so is the power of ten: one division rounds once, correctly.
    if exponent == 0 && whole_digits + fraction_digits <= 15 {
        let scale = POWERS_OF_TEN[fraction_digits];
        let mantissa = whole * 10_u64.pow(fraction_digits as u32) + fraction;
        return Some((mantissa as f64 / scale, taken));
    }
    let text = std::str::from_utf8(&bytes[..taken + exponent]).ok()?;
    Some((text.parse().ok()?, taken + exponent))
}

/// The length of `e+45` in front of `bytes`, 0 when there is no digit in it.
fn exponent_len(bytes: &[u8]) -> usize {
    let sign = match bytes {
        [b'e' | b'E', b'+' | b'-', ..] => 2,
        [b'e' | b'E', ..] => 1,
        _ => return 0,
    };
    let digits = bytes[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 { 0 } else { sign + digits }
}

#[cold]
fn named_double(bytes: &[u8]) -> Option<Prefix<f64>> {
    let names: [(&[u8], f64); 4] =
        [(b"nan", f64::NAN), (b"null", f64::NAN), (b"infinity", f64::INFINITY), (b"inf", f64::INFINITY)];
    names.into_iter().find_map(|(name, value)| {
        let begins = bytes.get(..name.len())?.eq_ignore_ascii_case(name);
        begins.then_some((value, name.len()))
    })
}

/// How an encoder writes integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerForm {
    Decimal,
    Hex,
    Base64,
}

/// How an encoder writes doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoubleForm {
    /// Always seven decimals, as 1.37 does.
    Fixed,
    /// Up to seven decimals, as 1.39 and later do.
    Short,
    Base64,
}

impl IntegerForm {
    pub fn write(self, value: i64, out: &mut Vec<u8>) {
        match self {
            IntegerForm::Decimal => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            IntegerForm::Hex => {
                write_sign(value, out);
                out.extend_from_slice(b"0x");
                write_digits(value.unsigned_abs(), HEX_DIGITS, out);
            }
            IntegerForm::Base64 => {
                write_sign(value, out);
                out.push(b'#');
                write_digits(value.unsigned_abs(), BASE64_DIGITS, out);
            }
        }
    }
}

impl DoubleForm {
    pub fn write(self, value: f64, out: &mut Vec<u8>) {
        match self {
            DoubleForm::Base64 => {
                out.push(b'@');
                write_digits(value.to_bits(), BASE64_DIGITS, out);
            }
            DoubleForm::Fixed if value.is_finite() => out.extend_from_slice(format!("{value:.7}").as_bytes()),
            DoubleForm::Fixed if value.is_nan() => out.extend_from_slice(b"nan"),
            DoubleForm::Fixed => out.extend_from_slice(if value < 0.0 { b"-inf" } else { b"inf" }),
            DoubleForm::Short if value.is_finite() => write_short(value, out),
            DoubleForm::Short => out.extend_from_slice(b"null"),
        }
    }
}

fn write_sign(value: i64, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
}

/// The digits of a base that is a power of two, without leading zeros.
fn write_digits(value: u64, digits: &[u8], out: &mut Vec<u8>) {
    let bits = digits.len().trailing_zeros();
    let significant = (u64::BITS - value.leading_zeros()).max(1);
    for place in (0..significant.div_ceil(bits)).rev() {
        let digit = value >> (place * bits) & (digits.len() as u64 - 1);
        out.push(digits[digit as usize]);
    }
}

fn write_short(value: f64, out: &mut Vec<u8>) {
    // Beyond 2^63 Netdata writes an exponent, with a plus.
    if value.abs() >= i64::MAX as f64 {
        out.extend_from_slice(format!("{value:e}").replace('e', "e+").as_bytes());
        return;
    }
    let text = format!("{value:.7}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    out.extend_from_slice(if text == "-0" { b"0" } else { text.as_bytes() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(form: IntegerForm, value: i64) -> String {
        let mut out = Vec::new();
        form.write(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn written_double(form: DoubleForm, value: f64) -> String {
        let mut out = Vec::new();
        form.write(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_of_all_forms() {
        let cases: [(i64, &str, &str); 14] = [
            (0, "0x0", "#A"),
            (1, "0x1", "#B"),
            (63, "0x3F", "#/"),
            (64, "0x40", "#BA"),
            (-1, "-0x1", "-#B"),
            (-43, "-0x2B", "-#r"),
            (1000, "0x3E8", "#Po"),
            (86400, "0x15180", "#VGA"),
            (1_676_071_986, "0x63E6D432", "#Bj5tQy"),
            (1_795_342_281, "0x6B02BFC9", "#BrAr/J"),
            (1_795_342_281_918_981, "0x660DAB2F6CA05", "#GYNqy9soF"),
            (4_294_967_295, "0xFFFFFFFF", "#D/////"),
            (i64::MAX, "0x7FFFFFFFFFFFFFFF", "#H//////////"),
            (i64::MIN, "-0x8000000000000000", "-#IAAAAAAAAAA"),
        ];
        for (value, hex, base64) in cases {
            for text in [hex, base64, &value.to_string()] {
                assert_eq!(integer(text.as_bytes()), Some(value), "{text}");
            }
            assert_eq!(written(IntegerForm::Hex, value), hex);
            assert_eq!(written(IntegerForm::Base64, value), base64);
            assert_eq!(written(IntegerForm::Decimal, value), value.to_string());
        }
        assert_eq!(unsigned(b"#P//////////"), Some(u64::MAX));
        assert_eq!(unsigned(b"0xFFFFFFFFFFFFFFFF"), Some(u64::MAX));
    }

    #[test]
    fn doubles_of_all_forms() {
        let cases: [(f64, &str, &str); 14] = [
            (0.0, "%0", "@A"),
            (-0.0, "%8000000000000000", "@IAAAAAAAAAA"),
            (0.5, "%3FE0000000000000", "@D/gAAAAAAAA"),
            (1.0, "%3FF0000000000000", "@D/wAAAAAAAA"),
            (-1.0, "%BFF0000000000000", "@L/wAAAAAAAA"),
            (1.5, "%3FF8000000000000", "@D/4AAAAAAAA"),
            (-4.3, "%C011333333333333", "@MARMzMzMzMz"),
            (100.0, "%4059000000000000", "@EBZAAAAAAAA"),
            (1.0 / 3.0, "%3FD5555555555555", "@D/VVVVVVVVV"),
            (72.73353, "%40522EF227D028A2", "@EBSLvIn0Cii"),
            (1.23e14, "%42DBF78AD3AC0000", "@ELb94rTrAAA"),
            (9.123456789012346e45, "%497991C25C9E4309", "@El5kcJcnkMJ"),
            (5e-324, "%1", "@B"),
            (f64::INFINITY, "%7FF0000000000000", "@H/wAAAAAAAA"),
        ];
        for (value, hex, base64) in cases {
            for text in [hex, base64, &value.to_string()] {
                assert_eq!(double(text.as_bytes()).to_bits(), value.to_bits(), "{text}");
            }
            assert_eq!(written_double(DoubleForm::Base64, value), base64);
        }
    }

    #[test]
    fn decimal_doubles_are_written_as_each_generation_writes_them() {
        let cases: [(f64, &str, &str); 9] = [
            (-4.3, "-4.3000000", "-4.3"),
            (2.0, "2.0000000", "2"),
            (0.0, "0.0000000", "0"),
            (999.7949907, "999.7949907", "999.7949907"),
            (1e-9, "0.0000000", "0"),
            (-1e-9, "-0.0000000", "0"),
            ((2.0f64).powi(100), "1267650600228229401496703205376.0000000", "1.2676506002282294e+30"),
            (f64::NAN, "nan", "null"),
            (f64::NEG_INFINITY, "-inf", "null"),
        ];
        for (value, fixed, short) in cases {
            assert_eq!(written_double(DoubleForm::Fixed, value), fixed);
            assert_eq!(written_double(DoubleForm::Short, value), short);
        }
    }

    #[test]
    fn reading_stops_at_the_first_byte_that_is_no_digit() {
        let cases: [(&str, Option<i64>); 16] = [
            ("12.5", Some(12)),
            ("1e6", Some(1)),
            ("+7", Some(7)),
            ("12345678abc", Some(12_345_678)),
            ("1234567:", Some(1_234_567)),
            ("0x", None),
            ("0xG", None),
            ("0xfF", Some(255)),
            ("#", None),
            ("-", None),
            ("", None),
            ("abc", None),
            ("--1", None),
            ("9223372036854775808", Some(i64::MIN)),
            ("18446744073709551617", Some(1)),
            ("-9223372036854775808", Some(i64::MIN)),
        ];
        for (text, expected) in cases {
            assert_eq!(integer(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn doubles_take_every_form_that_children_were_seen_to_write() {
        let cases = [
            ("#Bk", 100.0),
            ("-#B", -1.0),
            ("0x10", 16.0),
            ("9.123456789012346128e+45", 9.123456789012346e45),
            ("1E3", 1000.0),
            ("1e", 1.0),
            ("2.", 2.0),
            (".5", 0.5),
            ("123456789012345.1234567", 123_456_789_012_345.12),
            ("1e999", f64::INFINITY),
            ("INF", f64::INFINITY),
            ("-inf", f64::NEG_INFINITY),
        ];
        for (text, expected) in cases {
            assert_eq!(double(text.as_bytes()), expected, "{text}");
        }
        for text in ["nan", "NAN", "NaN", "null", "NULL", "", "-", "@", "%", "x", "."] {
            assert!(double(text.as_bytes()).is_nan(), "{text}");
        }
    }

    #[test]
    fn a_word_shows_whether_it_is_a_double() {
        for text in ["@D/gAAAAAAAA", "-%1", "12.5", "1e6", "null", "NaN", "-inf"] {
            assert!(is_double(text.as_bytes()), "{text}");
        }
        for text in ["12", "-12", "#Bk", "-#enE", "0xE", "-0xE", ""] {
            assert!(!is_double(text.as_bytes()), "{text}");
        }
    }

    fn decimal_digits_one_by_one(bytes: &[u8]) -> Prefix<u64> {
        let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit());
        digits.fold((0, 0), |(value, taken), byte| {
            (value.wrapping_mul(10).wrapping_add(u64::from(byte - b'0')), taken + 1)
        })
    }

    fn base64_digits_one_by_one(bytes: &[u8]) -> Prefix<u64> {
        let digits = bytes.iter().map_while(|byte| BASE64_DIGITS.iter().position(|digit| digit == byte));
        digits.fold((0, 0), |(value, taken), digit| (value << 6 | digit as u64, taken + 1))
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn eight_at_a_time_is_one_by_one(digits in "[0-9]{0,24}", rest in any::<[u8; 9]>()) {
            let bytes = [digits.as_bytes(), &rest].concat();
            prop_assert_eq!(decimal_digits(&bytes), decimal_digits_one_by_one(&bytes));
            prop_assert_eq!(decimal_digits(digits.as_bytes()), decimal_digits_one_by_one(digits.as_bytes()));
        }

        #[test]
        fn eight_base64_digits_at_a_time_are_one_by_one(
            digits in "[A-Za-z0-9+/]{0,24}",
            end in prop::sample::select(b" \n\0!A-.:@[`{\x7f\x80\xa1\xff".to_vec()),
            rest in any::<[u8; 9]>(),
        ) {
            let bytes = [digits.as_bytes(), &[end], &rest].concat();
            for len in 0..bytes.len() {
                prop_assert_eq!(base64_digits(&bytes[..len]), base64_digits_one_by_one(&bytes[..len]));
            }
        }

        #[test]
        fn integers_come_back_from_every_form(value in any::<i64>()) {
            for form in [IntegerForm::Decimal, IntegerForm::Hex, IntegerForm::Base64] {
                prop_assert_eq!(integer(written(form, value).as_bytes()), Some(value));
            }
        }

        #[test]
        fn doubles_come_back_from_base64_and_from_their_own_text(value in any::<f64>()) {
            let base64 = written_double(DoubleForm::Base64, value);
            prop_assert_eq!(double(base64.as_bytes()).to_bits(), value.to_bits());
            if value.is_finite() {
                prop_assert_eq!(double(format!("{value}").as_bytes()), value);
                prop_assert_eq!(double(format!("{value:e}").as_bytes()), value);
            }
        }

        #[test]
        fn decimals_of_seven_places_are_read_as_the_nearest_double(text in "-?[0-9]{1,16}\\.[0-9]{1,7}") {
            prop_assert_eq!(double(text.as_bytes()), text.parse::<f64>().unwrap());
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = (integer(&bytes), double(&bytes), is_double(&bytes));
        }
    }
}
