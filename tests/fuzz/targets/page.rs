//! Bytes that claim to be a page of samples.
#![no_main]

use dbengine::{Page, Samples, TimeRange};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(page) = Page::from_bytes(data) else { return };
    let mut samples = Samples::default();
    for column in 0..page.columns() {
        samples.clear();
        page.read(column, TimeRange::ALL, &mut samples);
        assert!(samples.len() <= page.rows());
        assert!(samples.times.is_sorted());
    }
});
