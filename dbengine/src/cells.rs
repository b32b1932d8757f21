//! Strings of bytes that grow, and go, by the hundred thousand, in cells of one size.
//!
//! Each as an allocation that grows would leave a trail of all the sizes it had; each piece as an allocation of its own
//! costs a pointer, what the allocator rounds up, and pages of a size that is not asked for any more. With cells of one
//! size every cell that is given back is the right one for whoever comes next, and a string wastes half a cell.

use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of a cell that are its string's.
const PAYLOAD: usize = 124;
/// Cells that are allocated at once: 64 KiB.
const SLAB: usize = 512;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Cell {
    bytes: [u8; PAYLOAD],
    /// The cell behind it in its string, or in the list of free ones.
    next: u32,
}

#[derive(Debug)]
struct Pool {
    slabs: Vec<Box<[Cell]>>,
    free: u32,
    used: usize,
    /// Memory for whoever makes a string, used again for every other.
    scratch: Vec<u8>,
}

impl Default for Pool {
    fn default() -> Pool {
        Pool { slabs: Vec::new(), free: NONE, used: 0, scratch: Vec::new() }
    }
}

impl Pool {
    fn cell(&mut self, place: u32) -> &mut Cell {
        &mut self.slabs[place as usize / SLAB][place as usize % SLAB]
    }

    fn take(&mut self) -> u32 {
        if self.free == NONE {
            let first = u32::try_from(self.slabs.len() * SLAB).expect("memory ends before places do");
            let next = |place: usize| if place + 1 < SLAB { first + place as u32 + 1 } else { NONE };
            self.slabs.push((0..SLAB).map(|place| Cell { bytes: [0; PAYLOAD], next: next(place) }).collect());
            self.free = first;
        }
        let taken = self.free;
        self.free = std::mem::replace(&mut self.cell(taken).next, NONE);
        self.used += 1;
        taken
    }

    /// Takes back the cells from `first` to `last`, of which there are `count`.
    fn give_back(&mut self, first: u32, last: u32, count: usize) {
        self.used -= count;
        if self.used == 0 {
            *self = Pool::default();
            return;
        }
        self.cell(last).next = self.free;
        self.free = first;
    }
}

/// Where strings of one thread have their cells. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cells(Rc<RefCell<Pool>>);

impl Cells {
    /// A list with whatever was in it when it was put there.
    pub(crate) fn take_scratch(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.borrow_mut().scratch)
    }

    pub(crate) fn put_scratch(&self, scratch: Vec<u8>) {
        self.0.borrow_mut().scratch = scratch;
    }
}

/// A string of bytes, which grows at its end.
#[derive(Debug)]
pub(crate) struct CellString {
    cells: Cells,
    first: u32,
    last: u32,
    len: u32,
}

impl CellString {
    pub(crate) fn new(cells: &Cells) -> CellString {
        CellString { cells: cells.clone(), first: NONE, last: NONE, len: 0 }
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        let mut pool = self.cells.0.borrow_mut();
        while !bytes.is_empty() {
            let at = self.len as usize % PAYLOAD;
            if at == 0 {
                let taken = pool.take();
                match self.last {
                    NONE => self.first = taken,
                    last => pool.cell(last).next = taken,
                }
                self.last = taken;
            }
            let (fitting, rest) = bytes.split_at(bytes.len().min(PAYLOAD - at));
            pool.cell(self.last).bytes[at..at + fitting.len()].copy_from_slice(fitting);
            self.len += fitting.len() as u32;
            bytes = rest;
        }
    }

    /// All of it in one piece.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        let mut pool = self.cells.0.borrow_mut();
        let mut bytes = Vec::with_capacity(self.len as usize);
        let mut place = self.first;
        while place != NONE {
            let cell = pool.cell(place);
            bytes.extend_from_slice(&cell.bytes[..PAYLOAD.min(self.len as usize - bytes.len())]);
            place = cell.next;
        }
        bytes
    }

    pub(crate) fn clear(&mut self) {
        if self.first != NONE {
            self.cells.0.borrow_mut().give_back(self.first, self.last, self.cell_count());
            (self.first, self.last, self.len) = (NONE, NONE, 0);
        }
    }

    fn cell_count(&self) -> usize {
        (self.len as usize).div_ceil(PAYLOAD)
    }

    /// Bytes of its cells.
    pub(crate) fn allocated(&self) -> usize {
        self.cell_count() * size_of::<Cell>()
    }
}

impl Drop for CellString {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cell_is_two_cache_lines() {
        assert_eq!(size_of::<Cell>(), 128);
    }

    #[test]
    fn cells_are_used_again_and_all_given_back_in_the_end() {
        let cells = Cells::default();
        let mut strings: Vec<_> = (0..1000).map(|_| CellString::new(&cells)).collect();
        for round in 0..20 {
            for (at, string) in strings.iter_mut().enumerate() {
                if (at + round) % 10 == 0 {
                    string.clear();
                }
                string.push(&[at as u8; 100]);
            }
        }
        // As many as the strings have had at most: each is cleared every ten rounds.
        assert!(cells.0.borrow().slabs.len() * SLAB <= 1000 * 1000_usize.div_ceil(PAYLOAD) + SLAB);
        drop(strings);
        assert_eq!(cells.0.borrow().used, 0);
        assert!(cells.0.borrow().slabs.is_empty());
    }

    proptest! {
        #[test]
        fn strings_have_what_was_pushed(
            steps in prop::collection::vec((0_usize..4, prop::option::of(prop::collection::vec(any::<u8>(), 0..400))), 1..60),
        ) {
            let cells = Cells::default();
            let mut strings: Vec<_> = (0..4).map(|_| CellString::new(&cells)).collect();
            let mut expected = vec![Vec::new(); 4];
            for (which, bytes) in steps {
                match bytes {
                    Some(bytes) => {
                        strings[which].push(&bytes);
                        expected[which].extend(bytes);
                    }
                    None => {
                        strings[which].clear();
                        expected[which].clear();
                    }
                }
                for (string, expected) in strings.iter().zip(&expected) {
                    prop_assert_eq!(&string.to_vec(), expected);
                }
            }
            let used: usize = strings.iter().map(CellString::cell_count).sum();
            prop_assert_eq!(cells.0.borrow().used, used);
        }
    }
}
