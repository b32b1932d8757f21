//! Files of earlier days can still be read: for every version of a format there is a folder of golden files, which are
//! never rewritten.
//!
//! `NAME.bin` is a page; `NAME.csv` has its rows: the time, and for each column the value (nothing for a gap) and its
//! flags, R for a reset and A for an anomaly.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dbengine::{Encoding, Page, SampleFlags, Samples, TimeRange};

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(version)
}

fn csv(page: &Page) -> String {
    let columns: Vec<Samples> = (0..page.columns())
        .map(|column| {
            let mut samples = Samples::default();
            page.read(column, TimeRange::ALL, &mut samples);
            samples
        })
        .collect();
    let mut csv = String::new();
    for row in 0..page.rows() {
        let _ = write!(csv, "{}", columns[0].times[row]);
        for samples in &columns {
            let (value, flags) = (samples.values[row], samples.flags_at(row));
            let value = if value.is_nan() { String::new() } else { value.to_string() };
            let reset = if flags.contains(SampleFlags::RESET) { "R" } else { "" };
            let anomalous = if flags.contains(SampleFlags::ANOMALOUS) { "A" } else { "" };
            let _ = write!(csv, ",{value}{reset}{anomalous}");
        }
        csv.push('\n');
    }
    csv
}

#[test]
fn pages_of_version_1_can_be_read() {
    let mut encodings = BTreeSet::new();
    let mut pages = 0;
    for file in std::fs::read_dir(golden("page-v1")).expect("the folder") {
        let path = file.expect("a file").path();
        if path.extension().is_some_and(|extension| extension == "bin") {
            let page = Page::from_bytes(&std::fs::read(&path).expect("bytes")).expect("a page");
            let expected = std::fs::read_to_string(path.with_extension("csv")).expect("its rows");
            assert!(csv(&page) == expected, "{} differs from its rows", path.display());
            encodings.extend((0..page.columns()).map(|column| page.encoding(column).0 as u8));
            pages += 1;
        }
    }
    assert!(pages > 0);
    assert_eq!(encodings.len(), Encoding::ALL.len(), "every encoding occurs");
}
