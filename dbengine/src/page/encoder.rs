//! Rows -> a page. Sixteen columns are turned at a time: as many floats as a cache line of a row has.

use std::sync::Arc;

use super::{HEADER_LEN, JUMP_LEN, Page, column::ColumnEncoder};
use crate::{run::RunStart, sample::SampleFlags};

const TURNED_AT_ONCE: usize = 16;

/// Rows to be sealed, as they lie in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowBlock<'a> {
    pub(crate) step: u32,
    pub(crate) columns: usize,
    /// Values, row after row: `full` and then `newest`, each of whole rows.
    pub(crate) full: &'a [Vec<f32>],
    pub(crate) newest: &'a [f32],
    /// Row after row, or empty when no flag is set.
    pub(crate) flags: &'a [SampleFlags],
    pub(crate) rows: u16,
    /// The first is of row 0, and no other is more than `u32::MAX` seconds later.
    pub(crate) runs: &'a [RunStart],
}

/// Makes pages; its buffers are kept from one to the next.
#[derive(Debug, Default)]
pub(crate) struct PageEncoder {
    columns: ColumnEncoder,
    /// Sixteen columns, one after the other.
    turned: Vec<f32>,
    flags: Vec<SampleFlags>,
    bytes: Vec<u8>,
}

impl PageEncoder {
    pub(crate) fn encode(&mut self, block: &RowBlock<'_>) -> Page {
        let rows = usize::from(block.rows);
        let (origin, jumps) = block.runs.split_first().expect("the first row begins a run");
        debug_assert_eq!(origin.row, 0);

        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend_from_slice(&origin.first.0.to_le_bytes());
        bytes.extend_from_slice(&block.step.to_le_bytes());
        bytes.extend_from_slice(&(block.columns as u32).to_le_bytes());
        bytes.extend_from_slice(&block.rows.to_le_bytes());
        bytes.extend_from_slice(&(jumps.len() as u16).to_le_bytes());
        debug_assert_eq!(bytes.len(), HEADER_LEN);
        for jump in jumps {
            bytes.extend_from_slice(&jump.row.to_le_bytes());
            let later =
                u32::try_from(jump.first.since(origin.first)).expect("hot rows span no more than a u32");
            bytes.extend_from_slice(&later.to_le_bytes());
        }
        let table_at = HEADER_LEN + jumps.len() * JUMP_LEN;
        let bodies_at = table_at + block.columns * size_of::<u32>();
        bytes.resize(bodies_at, 0);

        for first in (0..block.columns).step_by(TURNED_AT_ONCE) {
            let width = TURNED_AT_ONCE.min(block.columns - first);
            self.turned.resize(width * rows, 0.0);
            turn(block, first, width, &mut self.turned);
            for (offset, values) in self.turned.chunks_exact(rows).enumerate() {
                let column = first + offset;
                self.flags.clear();
                self.flags.extend(block.flags.iter().skip(column).step_by(block.columns).take(rows));
                self.columns.encode(values, &self.flags, bytes);
                let end = u32::try_from(bytes.len() - bodies_at).expect("a page is far below 4 GiB");
                let entry = table_at + column * size_of::<u32>();
                bytes[entry..entry + 4].copy_from_slice(&end.to_le_bytes());
            }
        }
        Page { bytes: Arc::from(&bytes[..]) }
    }
}

/// Copies `width` columns from `first` on out of the rows, each in one piece.
fn turn(block: &RowBlock<'_>, first: usize, width: usize, turned: &mut [f32]) {
    let rows = usize::from(block.rows);
    let chunks = block.full.iter().map(Vec::as_slice).chain([block.newest]);
    let every_row = chunks.flat_map(|chunk| chunk.chunks_exact(block.columns));
    for (row, values) in every_row.enumerate() {
        for (offset, value) in values[first..first + width].iter().enumerate() {
            turned[offset * rows + row] = *value;
        }
    }
}
