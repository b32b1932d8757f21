//! A bit per row, lowest bit first, in whole bytes. Bits past the last row are zero.

/// A bitmap as it lies in a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bitmap<'a> {
    bytes: &'a [u8],
    len: usize,
}

/// Bytes of a bitmap for `len` rows.
pub(crate) const fn bytes_for(len: usize) -> usize {
    len.div_ceil(8)
}

/// Adds a bitmap of `bits` to `out`.
pub(crate) fn write(out: &mut Vec<u8>, bits: impl ExactSizeIterator<Item = bool>) {
    let start = out.len();
    out.resize(start + bytes_for(bits.len()), 0);
    for (index, bit) in bits.enumerate() {
        out[start + index / 8] |= u8::from(bit) << (index % 8);
    }
}

impl<'a> Bitmap<'a> {
    /// Takes a bitmap of `len` bits off the front of `bytes`, if they are enough and no bit past the last one is set.
    pub(crate) fn take(bytes: &mut &'a [u8], len: usize) -> Option<Bitmap<'a>> {
        let (taken, rest) = bytes.split_at_checked(bytes_for(len))?;
        if !len.is_multiple_of(8) && taken.last().is_some_and(|last| last >> (len % 8) != 0) {
            return None;
        }
        *bytes = rest;
        Some(Bitmap { bytes: taken, len })
    }

    pub(crate) fn get(self, index: usize) -> bool {
        debug_assert!(index < self.len);
        self.bytes[index / 8] >> (index % 8) & 1 != 0
    }

    pub(crate) fn ones(self) -> usize {
        self.bytes.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    pub(crate) fn len(self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_as_they_were_written() {
        for len in [0, 1, 7, 8, 9, 64, 65] {
            let bits: Vec<bool> = (0..len).map(|index| index % 3 == 1 || index == len - 1).collect();
            let mut bytes = vec![];
            write(&mut bytes, bits.iter().copied());
            assert_eq!(bytes.len(), bytes_for(len));
            let mut rest = &bytes[..];
            let bitmap = Bitmap::take(&mut rest, len).expect("as written");
            assert!(rest.is_empty());
            assert_eq!((0..len).map(|index| bitmap.get(index)).collect::<Vec<_>>(), bits);
            assert_eq!(bitmap.ones(), bits.iter().filter(|bit| **bit).count());
        }
    }

    #[test]
    fn a_bit_past_the_last_row_is_damage() {
        assert!(Bitmap::take(&mut &[0b0000_0111_u8][..], 3).is_some());
        assert!(Bitmap::take(&mut &[0b0000_1111_u8][..], 3).is_none());
        assert!(Bitmap::take(&mut &[0xff_u8][..], 9).is_none());
    }
}
