//! Rows -> a page. Sixteen columns are turned at a time: as many floats as a cache line of a row has.

use std::sync::Arc;

use super::{EndLen, JUMPS, Page, column::ColumnEncoder, column::Encoding};
use crate::{
    hot::RowFlags,
    run::RunStart,
    sample::SampleFlags,
    squeezed::{BLOCK_ROWS, SqueezedBlock, SqueezedCopy},
    varint,
};

const TURNED_AT_ONCE: usize = 16;

/// Rows to be sealed, as they lie in memory.
#[derive(Debug)]
pub(crate) struct RowBlock<'a> {
    pub(crate) step: u32,
    pub(crate) columns: usize,
    /// The rows, in order: those in blocks, and the newest, value after value, which are one row at least.
    pub(crate) blocks: SqueezedCopy,
    pub(crate) newest: &'a [f32],
    pub(crate) flags: Option<&'a RowFlags>,
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
    bodies: Vec<u8>,
    /// Where each column's body ends.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl PageEncoder {
    pub(crate) fn encode(&mut self, block: &RowBlock<'_>) -> Page {
        let rows = usize::from(block.rows);
        let (origin, jumps) = block.runs.split_first().expect("the first row begins a run");
        debug_assert_eq!(origin.row, 0);

        self.bodies.clear();
        self.ends.clear();
        let mut blocks: Vec<_> = block.blocks.blocks(block.columns).collect();
        for first in (0..block.columns).step_by(TURNED_AT_ONCE) {
            let width = TURNED_AT_ONCE.min(block.columns - first);
            self.turned.resize(width * rows, 0.0);
            turn(block, &mut blocks, first, width, &mut self.turned);
            // Those of these columns that are worth a copy.
            let mut originals = [false; TURNED_AT_ONCE];
            for (offset, values) in self.turned.chunks_exact(rows).enumerate() {
                let column = first + offset;
                self.flags.clear();
                if let Some(of_rows) = block.flags {
                    self.flags.resize(rows, SampleFlags::NONE);
                    for (row, flags) in of_rows.of_column(column, block.columns) {
                        self.flags[row] = flags;
                    }
                }
                let earlier = self.turned.chunks_exact(rows).enumerate().take(offset).rev();
                let earlier = earlier.filter(|(other, _)| originals[*other]);
                let earlier = earlier.map(|(other, values)| (offset - other, values));
                let encoding = self.columns.encode(values, &self.flags, earlier, &mut self.bodies);
                originals[offset] =
                    !matches!(encoding, Encoding::Gaps | Encoding::Constant) && !encoding.has_original();
                self.ends.push(u32::try_from(self.bodies.len()).expect("a page is far below 4 GiB"));
            }
        }

        let bytes = &mut self.bytes;
        bytes.clear();
        let end_len = EndLen::of(self.ends.last().copied().unwrap_or_default());
        bytes.push(end_len.code() | if jumps.is_empty() { 0 } else { JUMPS });
        varint::put(bytes, varint::zigzag(origin.first.0));
        varint::put(bytes, block.step.into());
        varint::put(bytes, u64::from(block.rows) - 1);
        varint::put(bytes, block.columns as u64);
        if !jumps.is_empty() {
            varint::put(bytes, jumps.len() as u64);
        }
        for jump in jumps {
            bytes.extend_from_slice(&jump.row.to_le_bytes());
            let later =
                u32::try_from(jump.first.since(origin.first)).expect("hot rows span no more than a u32");
            bytes.extend_from_slice(&later.to_le_bytes());
        }
        for end in &self.ends[..block.columns.saturating_sub(1)] {
            bytes.extend_from_slice(&end.to_le_bytes()[..end_len.bytes()]);
        }
        bytes.extend_from_slice(&self.bodies);
        Page { bytes: Arc::from(&bytes[..]) }
    }
}

/// Copies `width` columns from `first` on out of the rows, each in one piece. `blocks` begin at these columns, and are
/// moved on to the next.
fn turn(
    block: &RowBlock<'_>,
    blocks: &mut [SqueezedBlock<'_>],
    first: usize,
    width: usize,
    turned: &mut [f32],
) {
    let rows = usize::from(block.rows);
    let newest_at = blocks.len() * BLOCK_ROWS;
    for (row, values) in (newest_at..).zip(block.newest.chunks_exact(block.columns)) {
        for (offset, value) in values[first..first + width].iter().enumerate() {
            turned[offset * rows + row] = *value;
        }
    }
    for (at, block) in blocks.iter_mut().enumerate().rev() {
        for column in turned.chunks_exact_mut(rows) {
            let (values, behind) = column[at * BLOCK_ROWS..].split_at_mut(BLOCK_ROWS);
            block.take_column(values, behind[0]);
        }
    }
}
