//! Asking the processor for memory some hundred nanoseconds before it is needed.
//!
//! Each chart's state is looked at once a second, so all of it comes from main memory. But it is known early which
//! chart is next; asked for then, it is there when its line has been read. (A tenth off the whole cost of a sample.)

const CACHE_LINE: usize = 64;

/// Asks for the cache line in which `value` begins.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    line(std::ptr::from_ref(value).cast());
}

/// Asks for all cache lines of `value`.
#[inline(always)]
pub fn prefetch_all<T>(value: &T) {
    lines(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// Asks for the first cache lines of `values`, 512 bytes at most.
#[inline(always)]
pub fn prefetch_slice<T>(values: &[T]) {
    prefetch_elements(values, 0, values.len());
}

/// Asks for the cache lines of `count` elements from `first` on, 512 bytes at most. They may be behind the end of the slice.
#[inline(always)]
pub(crate) fn prefetch_elements<T>(values: &[T], first: usize, count: usize) {
    const MOST: usize = 512;
    lines(values.as_ptr().wrapping_add(first).cast(), (count * size_of::<T>()).min(MOST));
}

/// Asks for all cache lines that have some of so many bytes.
#[inline(always)]
fn lines(begin: *const i8, bytes: usize) {
    let mut offset = 0;
    while offset < bytes {
        line(begin.wrapping_add(offset));
        offset += CACHE_LINE;
    }
    // They may begin in the midst of a line, and end in one more than they have the length of.
    if bytes > 0 {
        line(begin.wrapping_add(bytes - 1));
    }
}

#[inline(always)]
fn line(address: *const i8) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "the intrinsic takes a pointer")]
    // SAFETY: a prefetch is a hint; it reads nothing that the program could see, and every address is allowed.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
