//! Numbers in as few bytes as they need: seven bits a byte, the lowest first, the highest bit says that more follow.
//! Signed ones are zig-zag coded before: 0, -1, 1, -2 are 0, 1, 2, 3.

/// Bytes of the longest.
pub(super) const MOST_LEN: usize = 10;

pub(super) fn write(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front of `bytes`, if there is one and it is not longer than it needs to be.
pub(super) fn take(bytes: &mut &[u8]) -> Option<u64> {
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

pub(super) fn len(number: u64) -> usize {
    (u64::BITS - (number | 1).leading_zeros()).div_ceil(7) as usize
}

pub(super) fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

pub(super) fn unzigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_takes_the_bytes_it_needs_and_no_other_form() {
        for number in [0, 1, 127, 128, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = vec![];
            write(number, &mut bytes);
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
}
