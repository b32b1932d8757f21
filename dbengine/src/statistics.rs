//! What an engine holds, in numbers.

use crate::page::{Encoding, Page};

/// What an engine holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    pub groups: u64,
    pub columns: u64,
    /// Hot and sealed.
    pub rows: u64,
    /// Values in these rows, gaps among them.
    pub samples: u64,
    /// Allocated for hot rows, used or not.
    pub hot_bytes: u64,
    pub sealed: SealedTotals,
}

/// All sealed pages of an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealedTotals {
    pub pages: u64,
    pub bytes: u64,
    /// Values in the rows of the pages, gaps among them.
    pub samples: u64,
    encodings: [EncodingTotals; Encoding::ALL.len()],
}

/// All columns of sealed pages that are written one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodingTotals {
    /// A column counts once in each page.
    pub columns: u64,
    /// Without the page's header and table.
    pub bytes: u64,
}

impl SealedTotals {
    pub fn encoding(&self, encoding: Encoding) -> EncodingTotals {
        self.encodings[encoding as usize]
    }

    /// Counts a page.
    pub fn add(&mut self, page: &Page) {
        self.pages += 1;
        self.bytes += page.as_bytes().len() as u64;
        self.samples += page.samples();
        for (encoding, bytes) in (0..page.columns()).map(|column| page.encoding(column)) {
            let totals = &mut self.encodings[encoding as usize];
            totals.columns += 1;
            totals.bytes += bytes as u64;
        }
    }

    pub(crate) fn remove(&mut self, page: &Page) {
        self.pages -= 1;
        self.bytes -= page.as_bytes().len() as u64;
        self.samples -= page.samples();
        for (encoding, bytes) in (0..page.columns()).map(|column| page.encoding(column)) {
            let totals = &mut self.encodings[encoding as usize];
            totals.columns -= 1;
            totals.bytes -= bytes as u64;
        }
    }
}
