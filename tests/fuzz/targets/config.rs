//! Configuration files: whatever is written, the answer is values and remarks.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mainstem::config::simple_pattern::{SimplePattern, WHITE_SPACE};
use mainstem::config::{ini, value};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (_, remarks) = ini::parse(text, Path::new("fuzzed.conf"));
    assert!(remarks.iter().all(|remark| !remark.to_string().is_empty()));
    let _ = value::boolean(text);
    let pattern = SimplePattern::new(text, WHITE_SPACE);
    let _ = pattern.matches(text);
});
