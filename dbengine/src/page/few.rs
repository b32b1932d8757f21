//! Few values that come again and again, as places in a list of them.
//!
//! | offset | size | field  |                                                                                     |
//! |--------|------|--------|-------------------------------------------------------------------------------------|
//! | 0      | 1    | count  | n, `1..=64`                                                                         |
//! | 1      | 4 n  | list   | the values, `f32` little endian, in the order in which they come first              |
//! | 1+4n   |      | places | of every value, packed                                                              |
//!
//! Shares of a small whole are like this (a core's percentages, when it does little), and rates of what seldom happens.

use super::packing;

pub(super) const MOST: usize = 64;
const VALUE_LEN: usize = size_of::<f32>();
/// Of a table in which values are looked for; with so few in it, nearly always where they should be.
const SLOTS: usize = 4 * MOST;

/// Adds the list of values to `out` and puts their places into `places`; or neither, and says `false`, if there are
/// more than `most` of them.
pub(super) fn find(values: &[f32], most: usize, places: &mut Vec<i32>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut table = [(0_u32, u8::MAX); SLOTS];
    let mut count = 0;
    places.clear();
    out.push(0);
    for value in values {
        let bits = value.to_bits();
        let mut slot = (bits.wrapping_mul(0x9e37_79b1) >> 24) as usize;
        let place = loop {
            match table[slot] {
                (_, u8::MAX) if count == most => {
                    out.truncate(start);
                    return false;
                }
                (_, u8::MAX) => {
                    table[slot] = (bits, count as u8);
                    out.extend_from_slice(&value.to_le_bytes());
                    count += 1;
                    break count - 1;
                }
                (found, place) if found == bits => break usize::from(place),
                _ => slot = (slot + 1) % SLOTS,
            }
        };
        places.push(place as i32);
    }
    out[start] = count as u8;
    true
}

/// The list, and the places behind it.
fn split(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&count, rest) = payload.split_first()?;
    (1..=MOST).contains(&usize::from(count)).then(|| rest.split_at_checked(usize::from(count) * VALUE_LEN))?
}

pub(super) fn is_valid(payload: &[u8], count: usize) -> bool {
    split(payload).is_some_and(|(_, places)| packing::is_packed(places, count))
}

/// Adds the values of a payload that is valid. What is damaged may have places that are not in the list.
pub(super) fn decode(payload: &[u8], count: usize, values: &mut Vec<f32>) {
    let (list, places) = split(payload).expect("a page is checked before it is read");
    let mut table = [0.0; MOST];
    for (value, bytes) in table.iter_mut().zip(list.chunks_exact(VALUE_LEN)) {
        *value = f32::from_le_bytes(bytes.try_into().expect("chunks of four"));
    }
    packing::unpack(places, count, |places| {
        values.extend(places.iter().map(|place| table[*place as usize % MOST]));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[f32], most: usize, expected: bool) {
        let (mut places, mut payload) = (vec![], vec![]);
        assert_eq!(find(values, most, &mut places, &mut payload), expected);
        assert_eq!(payload.is_empty(), !expected);
        if expected {
            packing::pack(&places, &mut payload);
            assert!(is_valid(&payload, values.len()));
            let mut found = vec![];
            decode(&payload, values.len(), &mut found);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found), bits(values));
        }
    }

    #[test]
    fn few_values_are_listed_and_more_refused() {
        let thirds: Vec<f32> = (0..300_u16).map(|index| f32::from(index * 7 % 64) / 3.0).collect();
        check(&thirds, 64, true);
        check(&thirds, 63, false);
        check(&[0.0, -0.0, f32::INFINITY, 0.0], 4, true);
    }
}
