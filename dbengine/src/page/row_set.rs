//! Some of the rows of a column, in the shortest of four forms.
//!
//! | size    | field |                                                                                         |
//! |---------|-------|-----------------------------------------------------------------------------------------|
//! | 1..     | form  | a varint: 0, or 1 + 3 n + which of the lists below                                      |
//! | ⌈r/8⌉   | bits  | form 0: a bit for each of the r rows, lowest bit first; past the last row they are zero |
//! | n times | rows  | list 0: the rows of the set; list 1: the rows that are not in it; list 2: the rows that |
//! |         |       | differ from the row before, in being of the set or not (before the first there are none) |
//!
//! A row in a list is a varint: how many rows lie between it and the one before it in the list. So a counter that was
//! reset once, or a child that was away for a while, does not cost a bit for every other row.

use crate::varint;

const LISTS: [List; 3] = [List::Rows, List::Others, List::Edges];
const WORD: usize = u64::BITS as usize;

/// What a list lists.
#[derive(Clone, Copy, Debug)]
enum List {
    Rows,
    Others,
    Edges,
}

/// A set of rows, a bit each; bits past the last row are zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RowSet {
    words: Vec<u64>,
    rows: usize,
}

impl RowSet {
    /// The rows whose `bits` are set.
    pub(super) fn new(bits: impl ExactSizeIterator<Item = bool>) -> RowSet {
        let mut set = RowSet::empty(bits.len());
        for (row, bit) in bits.enumerate() {
            set.words[row / WORD] |= u64::from(bit) << (row % WORD);
        }
        set
    }

    fn empty(rows: usize) -> RowSet {
        RowSet { words: vec![0; rows.div_ceil(WORD)], rows }
    }

    /// How many rows there are, of the set or not.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// How many rows are of the set.
    pub(super) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub(super) fn contains(&self, row: usize) -> bool {
        self.words[row / WORD] >> (row % WORD) & 1 != 0
    }

    /// Every row of the set, in order.
    pub(super) fn each(&self, mut visit: impl FnMut(usize)) {
        for (index, &word) in self.words.iter().enumerate() {
            let mut left = word;
            while left != 0 {
                visit(index * WORD + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }

    /// Adds the set to `out`.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let bits_len = self.rows.div_ceil(8);
        let lists = LISTS.into_iter().enumerate().filter_map(|(which, list)| {
            let listed = self.listed(list);
            let count = listed.count();
            // A row in a list takes a byte or more.
            (count < bits_len).then(|| (listed.list_len(), 1 + 3 * count as u64 + which as u64, listed))
        });
        match lists.min_by_key(|(len, ..)| *len).filter(|(len, ..)| *len < bits_len) {
            Some((_, form, listed)) => {
                varint::put(out, form);
                listed.each_distance(|distance| varint::put(out, distance));
            }
            None => {
                out.push(0);
                out.extend(self.words.iter().flat_map(|word| word.to_le_bytes()).take(bits_len));
            }
        }
    }

    /// Takes a set of `rows` rows off the front of `bytes`, if there is one.
    pub(super) fn take(bytes: &mut &[u8], rows: usize) -> Option<RowSet> {
        let form = varint::take(bytes)?;
        let mut set = RowSet::empty(rows);
        let Some(form) = form.checked_sub(1) else {
            let (bits, rest) = bytes.split_at_checked(rows.div_ceil(8))?;
            *bytes = rest;
            for (word, eight) in set.words.iter_mut().zip(bits.chunks(8)) {
                let mut padded = [0; 8];
                padded[..eight.len()].copy_from_slice(eight);
                *word = u64::from_le_bytes(padded);
            }
            return (set == set.trimmed()).then_some(set);
        };
        let mut next = 0;
        for _ in 0..form / 3 {
            let row = usize::try_from(varint::take(bytes)?).ok()?.checked_add(next)?;
            if row >= rows {
                return None;
            }
            set.words[row / WORD] |= 1 << (row % WORD);
            next = row + 1;
        }
        Some(set.of_listed(LISTS[(form % 3) as usize]))
    }

    /// The rows that the list of this set has.
    fn listed(&self, list: List) -> RowSet {
        let mut carry = 0;
        let word = |word: &u64| match list {
            List::Rows => *word,
            List::Others => !word,
            List::Edges => word ^ (word << 1 | std::mem::replace(&mut carry, word >> (WORD - 1))),
        };
        RowSet { words: self.words.iter().map(word).collect(), rows: self.rows }.trimmed()
    }

    /// The set whose list has the rows of this one.
    fn of_listed(self, list: List) -> RowSet {
        let mut carry = 0;
        let word = |word: &u64| match list {
            List::Rows => *word,
            List::Others => !word,
            List::Edges => {
                let inside = [1, 2, 4, 8, 16, 32].iter().fold(*word, |word, shift| word ^ word << shift);
                let word = inside ^ carry;
                carry = if word >> (WORD - 1) != 0 { u64::MAX } else { 0 };
                word
            }
        };
        RowSet { words: self.words.iter().map(word).collect(), rows: self.rows }.trimmed()
    }

    /// Without bits past the last row.
    fn trimmed(&self) -> RowSet {
        let mut trimmed = self.clone();
        if let Some(last) = trimmed.words.last_mut()
            && !self.rows.is_multiple_of(WORD)
        {
            *last &= (1 << (self.rows % WORD)) - 1;
        }
        trimmed
    }

    fn list_len(&self) -> usize {
        let mut len = 0;
        self.each_distance(|distance| len += varint::len(distance));
        len
    }

    fn each_distance(&self, mut visit: impl FnMut(u64)) {
        let mut next = 0;
        self.each(|row| {
            visit((row - next) as u64);
            next = row + 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn written(bits: &[bool]) -> Vec<u8> {
        let set = RowSet::new(bits.iter().copied());
        let mut bytes = vec![];
        set.write(&mut bytes);
        let mut rest = &bytes[..];
        assert_eq!(RowSet::take(&mut rest, bits.len()).as_ref(), Some(&set));
        assert!(rest.is_empty());
        assert_eq!(set.count(), bits.iter().filter(|bit| **bit).count());
        assert!((0..bits.len()).all(|row| set.contains(row) == bits[row]));
        bytes
    }

    #[test]
    fn few_rows_cost_a_byte_each_and_long_ones_two_at_their_ends() {
        let check = |rows: usize, bit: fn(usize) -> bool, expected: &[u8]| {
            assert_eq!(written(&(0..rows).map(bit).collect::<Vec<_>>()), expected);
        };
        check(256, |row| row == 3 || row == 5, &[1 + 6, 3, 1]);
        check(256, |row| row != 3, &[1 + 3 + 1, 3]);
        check(256, |_| true, &[1 + 1]);
        check(256, |row| (100..200).contains(&row), &[1 + 6 + 2, 100, 99]);
        check(9, |row| row % 2 == 0, &[0, 0b0101_0101, 1]);
        check(1, |_| true, &[2]);
    }

    #[test]
    fn a_bit_past_the_last_row_is_damage() {
        assert!(RowSet::take(&mut &[0, 0b0000_0111_u8][..], 3).is_some());
        assert!(RowSet::take(&mut &[0, 0b0000_1111_u8][..], 3).is_none());
        assert!(RowSet::take(&mut &[0, 0xff_u8][..], 9).is_none());
        assert!(RowSet::take(&mut &[1 + 3, 9][..], 9).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn sets_come_back_as_they_were(
            bits in prop_oneof![
                vec(any::<bool>(), 0..400),
                vec((0..30_u8).prop_map(|die| die == 0), 0..400),
                vec((0..30_u8).prop_map(|die| die != 0), 0..400),
                (0..200_usize, 0..200_usize, any::<bool>())
                    .prop_map(|(first, then, bit)| [vec![bit; first], vec![!bit; then]].concat()),
            ],
        ) {
            prop_assert!(written(&bits).len() <= 1 + bits.len().div_ceil(8));
        }

        #[test]
        fn foreign_bytes_are_refused_or_read(bytes in vec(any::<u8>(), 0..60), rows in 0_usize..300) {
            if let Some(set) = RowSet::take(&mut &bytes[..], rows) {
                prop_assert!(set.count() <= rows);
            }
        }
    }
}
