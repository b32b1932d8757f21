//! The allocator: mimalloc, asked for no more than is needed.
//!
//! Its crate for Rust asks for an aligned block whatever the alignment, and mimalloc answers that with seven bytes more where the
//! size is no power of two: 80 bytes take 96. But every block of 16 bytes or more lies at a multiple of 16 anyway, and nothing of
//! ours wants more than that.

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_void;

use libmimalloc_sys::{
    mi_free, mi_malloc, mi_malloc_aligned, mi_option_set_default, mi_option_t, mi_realloc,
    mi_realloc_aligned, mi_zalloc, mi_zalloc_aligned,
};

/// mimalloc, for the whole process.
#[derive(Debug)]
pub struct Allocator;

/// Blocks of at least so many bytes are aligned to as many (`MI_MAX_ALIGN_SIZE`); smaller ones to their size.
const ALIGNED_ANYWAY: usize = 16;

/// `mi_option_purge_delay`, which its crate has no name for.
const PURGE_DELAY: mi_option_t = 15;

impl Allocator {
    /// From now on what is free goes back to the kernel at once, not ten seconds later: large buffers come and go each second. To
    /// be called before there are threads. `MIMALLOC_PURGE_DELAY` in the environment, in milliseconds, goes before it.
    #[expect(unsafe_code, reason = "the option has no other way in")]
    pub fn give_back_at_once() {
        // SAFETY: it sets a number, and no other thread looks at it meanwhile.
        unsafe { mi_option_set_default(PURGE_DELAY, 0) };
    }
}

/// Whether every block of `size` bytes is aligned like this.
fn is_aligned_anyway(size: usize, align: usize) -> bool {
    align <= ALIGNED_ANYWAY && align <= size
}

#[expect(unsafe_code, reason = "that is what an allocator is made of")]
// SAFETY: mimalloc's own calls, with the sizes and alignments of the layouts. Blocks of all of them go back by `mi_free`, and are
// moved by both kinds of `mi_realloc`. None of them unwinds.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: both take any size and any power of two.
        let block = unsafe {
            if is_aligned_anyway(size, align) { mi_malloc(size) } else { mi_malloc_aligned(size, align) }
        };
        block.cast()
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: both take any size and any power of two.
        let block = unsafe {
            if is_aligned_anyway(size, align) { mi_zalloc(size) } else { mi_zalloc_aligned(size, align) }
        };
        block.cast()
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: it came from one of these calls, says who gives it back.
        unsafe { mi_free(block.cast::<c_void>()) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let (block, align) = (block.cast::<c_void>(), layout.align());
        // SAFETY: it came from one of these calls; they take any size and any power of two.
        let moved = unsafe {
            if is_aligned_anyway(size, align) {
                mi_realloc(block, size)
            } else {
                mi_realloc_aligned(block, size, align)
            }
        };
        moved.cast()
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "that is what an allocator is made of")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout() -> impl Strategy<Value = Layout> {
        (0_u32..10, prop_oneof![1_usize..300, 1_usize..100_000])
            .prop_map(|(align, size)| Layout::from_size_align(size, 1 << align).unwrap())
    }

    #[test]
    fn it_is_the_delay_that_is_set() {
        // SAFETY: only this test sets an option, and blocks are right with any.
        let delay = || unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        assert_eq!(delay(), 1000, "mimalloc's default");
        Allocator::give_back_at_once();
        assert_eq!(delay(), 0);
    }

    #[test]
    fn a_block_takes_no_more_than_its_size_class() {
        for (size, class) in [(8, 8), (48, 48), (80, 80), (96, 96), (104, 112), (400, 448), (680, 768)] {
            // The first blocks of a page come another way than later ones.
            for _ in 0..3000 {
                // SAFETY: the block is not used, and never given back.
                let usable = unsafe {
                    let block = Allocator.alloc(Layout::from_size_align(size, 8).unwrap());
                    libmimalloc_sys::mi_usable_size(block.cast())
                };
                assert_eq!(usable, class, "{size}");
            }
        }
    }

    proptest! {
        #[test]
        fn blocks_are_aligned_and_keep_what_is_in_them(
            blocks in prop::collection::vec((layout(), any::<bool>(), 1_usize..100_000), 1..50),
        ) {
            let mut held = Vec::new();
            for (at, (layout, zeroed, later)) in blocks.into_iter().enumerate() {
                let mark = at as u8 | 0x80;
                let kept = layout.size().min(later);
                // SAFETY: the blocks are written and read within their sizes, and given back with the layout they have last.
                unsafe {
                    let block = if zeroed { Allocator.alloc_zeroed(layout) } else { Allocator.alloc(layout) };
                    prop_assert!(!block.is_null() && (block as usize).is_multiple_of(layout.align()));
                    if zeroed {
                        let bytes = std::slice::from_raw_parts(block, layout.size());
                        prop_assert!(bytes.iter().all(|byte| *byte == 0));
                    }
                    block.write_bytes(mark, layout.size());
                    let moved = Allocator.realloc(block, layout, later);
                    prop_assert!(!moved.is_null() && (moved as usize).is_multiple_of(layout.align()));
                    held.push((moved, Layout::from_size_align(later, layout.align()).unwrap(), kept, mark));
                }
            }
            for (block, layout, kept, mark) in held {
                // SAFETY: as above.
                unsafe {
                    let bytes = std::slice::from_raw_parts(block, kept);
                    prop_assert!(bytes.iter().all(|byte| *byte == mark));
                    Allocator.dealloc(block, layout);
                }
            }
        }
    }
}
