//! Integers in as few bytes as they need: seven bits a byte, the lowest first, the highest bit says that more follow. Signed
//! ones are zig-zag coded before: 0, -1, 1, -2 are 0, 1, 2, 3.

/// Bytes of the longest.
const MOST_LEN: usize = 10;

pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Writes a number as the last bytes of `place`, which has room for it. Says where it begins.
pub(crate) fn put_last(place: &mut [u8], mut number: u64) -> usize {
    let begin = place.len() - len(number);
    let (last, others) = place[begin..].split_last_mut().expect("a number has a byte");
    for byte in others {
        *byte = number as u8 | 0x80;
        number >>= 7;
    }
    *last = number as u8;
    begin
}

pub(crate) fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, zigzag(number));
}

/// Takes a number off the front of `bytes`, if there is one and it is not longer than it needs to be.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for index in 0..MOST_LEN {
        let byte = *bytes.get(index)?;
        let bits = u64::from(byte & 0x7f);
        if index == MOST_LEN - 1 && bits > 1 {
            return None;
        }
        number |= bits << (7 * index);
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return None;
            }
            *bytes = &bytes[index + 1..];
            return Some(number);
        }
    }
    None
}

pub(crate) fn take_signed(bytes: &mut &[u8]) -> Option<i64> {
    take(bytes).map(unzigzag)
}

/// Bytes of a number.
pub(crate) fn len(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

pub(crate) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(crate) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_number_takes_the_bytes_it_needs_and_no_other_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = vec![];
            put(&mut bytes, number);
            assert_eq!(bytes.len(), len(number));
            let mut rest = &bytes[..];
            assert_eq!((take(&mut rest), rest), (Some(number), &[][..]));
            assert_eq!(take(&mut &bytes[..bytes.len() - 1]), None);
        }
        for longer in [&[0x80, 0x00][..], &[0xff, 0x80, 0x00], &[0xff; 11], &[]] {
            assert_eq!(take(&mut &longer[..]), None, "{longer:?}");
        }
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(numbers: Vec<(u64, i64)>) {
            let mut bytes = vec![];
            for (number, signed) in &numbers {
                put(&mut bytes, *number);
                put_signed(&mut bytes, *signed);
            }
            let mut rest = &bytes[..];
            for (number, signed) in numbers {
                prop_assert_eq!((take(&mut rest), take_signed(&mut rest)), (Some(number), Some(signed)));
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_number_is_the_same_from_the_end(number: u64, shift in 0_u32..64, before in 0_usize..4) {
            let number = number >> shift;
            let mut bytes = vec![];
            put(&mut bytes, number);
            let mut place = vec![0xaa; before + bytes.len()];
            prop_assert_eq!(put_last(&mut place, number), before);
            prop_assert_eq!(&place[before..], &bytes[..]);
            prop_assert!(place[..before].iter().all(|byte| *byte == 0xaa));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let mut rest = &bytes[..];
            while take(&mut rest).is_some() {}
        }
    }
}
