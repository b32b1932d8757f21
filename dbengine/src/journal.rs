//! The journal: rows that no page on disk holds yet, for the day of the crash.
//!
//! A writer's journal is a row of segments, each a file of batches, one per commit. Only the last segment grows.
//! A batch begins at a multiple of [`BLOCK`] and is filled up with zeros; numbers are little endian.
//!
//! | offset | size | field   |                                                                                 |
//! |--------|------|---------|---------------------------------------------------------------------------------|
//! | 0      | 4    | magic   | `MSJ1`                                                                          |
//! | 4      | 4    | crc     | crc32 of everything from offset 8 to the end of the records                     |
//! | 8      | 8    | file    | the number of the file, so that no batch of another is taken for one of this    |
//! | 16     | 4    | batch   | counts from 0                                                                   |
//! | 20     | 4    | length  | bytes of records                                                                |
//! | 24     | len  | records |                                                                                 |
//!
//! A record begins with a varint: its kind in the low two bits, above them, zigzagged, how far its group's number is from
//! that of the record before (from 0 at the beginning of a batch).
//!
//! | kind | record | after the varint                                                                        |
//! |------|--------|-----------------------------------------------------------------------------------------|
//! | 0    | next   | a row a step after the group's last: which columns changed (1 bit each), their values   |
//! | 1    | row    | varint time (signed, minus the last one's, at first 0), varint 1 if flags follow; as    |
//! |      |        | above, then a byte of flags for each column                                             |
//! | 2    | group  | key (16), varint step, varint columns, varint 1 if rows follow that were journalled     |
//! |      |        | before, in this batch: from here on the group has no row, all columns 0                 |
//! | 3    | note   | varint length, bytes that mean nothing here                                             |
//! | 3    | page   | key (16), varint length, a page of rows between or before those that the group has      |
//!
//! Kind 3 is of no group: above it stands what it is, 0 for a note and 1 for a page.
//!
//! A group's number means it within one segment only, and its kind 2 comes before its rows. So segments are read without
//! those before them, and a segment is removed as soon as pages hold what it has.
//!
//! Values that repeat cost a bit, so journalling costs what changes. Reading stops at the first batch that is not whole:
//! a row without those before it would not be known.

use std::collections::HashMap;

use crate::{
    disk::{BLOCK, DiskOpKind, DiskOps, FileId, FileName, OpId, pad},
    group::GroupId,
    key::GroupKey,
    page::Page,
    sample::{Row, SampleFlags},
    time::UnixSeconds,
    varint,
};

const MAGIC: [u8; 4] = *b"MSJ1";
const HEADER_LEN: usize = 24;
/// A batch is written early when it is this long: no burst becomes one large write, and its memory is soon used again.
const BATCH_LEN: usize = 256 << 10;

const NEXT: u64 = 0;
const ROW: u64 = 1;
const GROUP: u64 = 2;
const OTHER: u64 = 3;
/// Above [`OTHER`].
const NOTE: u64 = 0;
const PAGE: u64 = 1;

/// The segment being written.
#[derive(Debug)]
pub(crate) struct Journal {
    file: FileId,
    /// Header and records of the batch being filled.
    batch: Vec<u8>,
    last_group: u32,
    batches: u32,
    offset: u64,
    /// The last operation of each batch that is on its way, and its number among all batches of this writer.
    in_flight: Vec<(OpId, u64)>,
    /// Batches of this writer handed to the disk.
    handed_on: u64,
    /// Batches of this writer up to which all are on disk.
    durable: u64,
    syncs: bool,
}

impl Journal {
    /// A journal that begins with this file. `syncs`: commits survive a loss of power, not only the end of the process.
    pub(crate) fn new(file: FileId, syncs: bool) -> Journal {
        let mut journal = Journal {
            file,
            batch: Vec::new(),
            last_group: 0,
            batches: 0,
            offset: 0,
            in_flight: Vec::new(),
            handed_on: 0,
            durable: 0,
            syncs,
        };
        journal.begin_segment(file);
        journal
    }

    /// Goes on in a new file, which is made with its first batch. What was not committed is forgotten.
    pub(crate) fn begin_segment(&mut self, file: FileId) {
        self.file = file;
        (self.batches, self.offset) = (0, 0);
        self.begin_batch();
    }

    pub(crate) fn file(&self) -> FileId {
        self.file
    }

    /// Bytes of the segment on disk and on their way.
    pub(crate) fn segment_len(&self) -> u64 {
        self.offset
    }

    fn begin_batch(&mut self) {
        self.batch.clear();
        self.batch.resize(HEADER_LEN, 0);
        self.last_group = 0;
    }

    #[inline]
    fn begin_record(&mut self, kind: u64, group: u32) {
        let distance = i64::from(group) - i64::from(self.last_group);
        self.last_group = group;
        varint::put(&mut self.batch, varint::zigzag(distance) << 2 | kind);
    }

    /// A row a step after the group's last one in this segment, which had the values `last`.
    #[inline]
    pub(crate) fn next_row(&mut self, group: GroupId, last: &[f32], values: &[f32]) {
        self.begin_record(NEXT, group.0);
        self.put_changes(last, values);
    }

    /// Any other row. `previous` is the group's last one in this segment.
    pub(crate) fn row(
        &mut self,
        group: GroupId,
        previous: Option<(UnixSeconds, &[f32])>,
        time: UnixSeconds,
        row: Row<'_>,
    ) {
        self.begin_record(ROW, group.0);
        let flags = row.flags.filter(|flags| flags.iter().any(|flags| *flags != SampleFlags::NONE));
        varint::put_signed(&mut self.batch, time.0.wrapping_sub(previous.map_or(0, |(time, _)| time.0)));
        varint::put(&mut self.batch, flags.is_some().into());
        match previous {
            Some((_, last)) => self.put_changes(last, row.values),
            None => self.put_changes(&vec![0.0; row.values.len()], row.values),
        }
        self.batch.extend(flags.iter().copied().flatten().map(|flags| flags.known().0));
    }

    /// One bit for each column that changed, and the values of these.
    #[inline]
    fn put_changes(&mut self, last: &[f32], values: &[f32]) {
        // Room for all values; what was not used is given back. No branch depends on a value.
        let bitmap_at = self.batch.len();
        let values_at = bitmap_at + values.len().div_ceil(8);
        self.batch.resize(values_at + size_of_val(values), 0);
        let (bitmap, room) = self.batch[bitmap_at..].split_at_mut(values_at - bitmap_at);
        let mut used = 0;
        for ((bits, last), values) in bitmap.iter_mut().zip(last.chunks(8)).zip(values.chunks(8)) {
            let mut changes = 0;
            for (column, (last, value)) in last.iter().zip(values).enumerate() {
                let changed = last.to_bits() != value.to_bits();
                changes |= u8::from(changed) << column;
                room[used..used + size_of::<f32>()].copy_from_slice(&value.to_le_bytes());
                used += usize::from(changed) * size_of::<f32>();
            }
            *bits = changes;
        }
        self.batch.truncate(values_at + used);
    }

    /// From here on the group has no row in this segment, and this shape. `again`: rows follow that were journalled before.
    pub(crate) fn group(&mut self, group: GroupId, key: GroupKey, step: u32, columns: u32, again: bool) {
        self.begin_record(GROUP, group.0);
        self.batch.extend_from_slice(&key.0.to_le_bytes());
        varint::put(&mut self.batch, step.into());
        varint::put(&mut self.batch, columns.into());
        varint::put(&mut self.batch, again.into());
    }

    /// Something that the engine's owner wants to find again.
    pub(crate) fn note(&mut self, note: &[u8]) {
        varint::put(&mut self.batch, NOTE << 2 | OTHER);
        varint::put(&mut self.batch, note.len() as u64);
        self.batch.extend_from_slice(note);
    }

    /// A page of rows that the group's other rows do not come after.
    pub(crate) fn page(&mut self, key: GroupKey, page: &Page) {
        varint::put(&mut self.batch, PAGE << 2 | OTHER);
        self.batch.extend_from_slice(&key.0.to_le_bytes());
        varint::put(&mut self.batch, page.as_bytes().len() as u64);
        self.batch.extend_from_slice(page.as_bytes());
    }

    /// Whether the batch is so long that it is not to wait for the next commit.
    #[inline]
    pub(crate) fn is_long(&self) -> bool {
        self.batch.len() >= BATCH_LEN
    }

    /// Hands the batch to the disk, unless it is empty.
    pub(crate) fn commit(&mut self, ops: &mut DiskOps) {
        let length = self.batch.len() - HEADER_LEN;
        if length == 0 {
            return;
        }
        self.batch[..4].copy_from_slice(&MAGIC);
        self.batch[8..16].copy_from_slice(&self.file.number().to_le_bytes());
        self.batch[16..20].copy_from_slice(&self.batches.to_le_bytes());
        self.batch[20..24].copy_from_slice(&(length as u32).to_le_bytes());
        let crc = crc32fast::hash(&self.batch[8..]);
        self.batch[4..8].copy_from_slice(&crc.to_le_bytes());
        pad(&mut self.batch);
        // Of few sizes: an allocator keeps what was freed of each.
        let capacity = self.batch.len().next_power_of_two();
        let bytes = std::mem::replace(&mut self.batch, Vec::with_capacity(capacity));
        let file = FileName::Journal(self.file);
        if self.batches == 0 {
            ops.ask(file, DiskOpKind::Create);
        }
        let offset = self.offset;
        self.offset += bytes.len() as u64;
        self.batches += 1;
        let mut last = ops.ask(file, DiskOpKind::Write { offset, bytes });
        if self.syncs {
            last = ops.ask(file, DiskOpKind::Sync);
        }
        self.handed_on += 1;
        self.in_flight.push((last, self.handed_on));
        self.begin_batch();
    }

    /// An operation ended well. Says whether it was one of the journal's.
    pub(crate) fn done(&mut self, id: OpId) {
        if let Some(at) = self.in_flight.iter().position(|(op, _)| *op == id) {
            self.in_flight.remove(at);
            self.durable = self.in_flight.iter().map(|(_, batch)| batch - 1).min().unwrap_or(self.handed_on);
        }
    }

    /// What is on its way will not arrive, or is of no use: its rows are written again.
    pub(crate) fn give_up(&mut self) {
        self.in_flight.clear();
        self.durable = self.handed_on;
    }

    /// Batches handed to the disk.
    pub(crate) fn handed_on(&self) -> u64 {
        self.handed_on
    }

    /// Batches up to which all are on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }
}

/// A record of a segment, read back.
#[derive(Clone, Debug, PartialEq)]
pub enum Record<'a> {
    /// A group is introduced. `again`: its rows from the next one on were journalled before and are so again, in order.
    Group {
        key: GroupKey,
        again: bool,
    },
    Row {
        key: GroupKey,
        step: u32,
        time: UnixSeconds,
        values: &'a [f32],
        /// Empty when no flag is set.
        flags: &'a [SampleFlags],
    },
    Note(&'a [u8]),
    /// Rows between or before those that the group has.
    Page {
        key: GroupKey,
        page: Page,
    },
}

impl Record<'_> {
    /// Rows in it.
    pub fn rows(&self) -> u64 {
        match self {
            Record::Row { .. } => 1,
            Record::Page { page, .. } => page.rows() as u64,
            Record::Group { .. } | Record::Note(_) => 0,
        }
    }
}

/// How reading a segment ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    pub batches: u32,
    /// Bytes that were read.
    pub read: u64,
    /// Where something stands that is no whole batch, and what is wrong with it. A torn last batch is what a crash
    /// leaves; more than that is damage.
    pub damage: Option<SegmentDamage>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SegmentDamage {
    /// The last batch was being written when the writer ended.
    #[error("the batch at {at} is not whole")]
    Torn { at: u64 },
    #[error(
        "the batch at {at} is damaged, and the one at {next} is not: what lies between and after is lost"
    )]
    Hole { at: u64, next: u64 },
    #[error("the batch at {at} has a record that makes no sense")]
    Record { at: u64 },
}

/// Reads a segment, and calls `visit` with each record in order.
pub fn read_segment(bytes: &[u8], file: FileId, mut visit: impl FnMut(Record<'_>)) -> SegmentEnd {
    let mut groups = HashMap::with_hasher(foldhash::fast::FixedState::default());
    let mut end = SegmentEnd { batches: 0, read: 0, damage: None };
    while let Some(rest) = bytes.get(end.read as usize..).filter(|rest| !rest.is_empty()) {
        let Some(records) = batch(rest, file, end.batches) else {
            end.damage = damage_at(bytes, end.read, file, end.batches);
            break;
        };
        if read_records(records, &mut groups, &mut visit).is_none() {
            end.damage = Some(SegmentDamage::Record { at: end.read });
            break;
        }
        end.batches += 1;
        end.read += (HEADER_LEN + records.len()).next_multiple_of(BLOCK) as u64;
    }
    end
}

/// The records of the batch that `bytes` begin with, if it is whole and the one expected.
fn batch(bytes: &[u8], file: FileId, number: u32) -> Option<&[u8]> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
    let u32_at = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
    let length = u32_at(20) as usize;
    let is_expected = header[..4] == MAGIC
        && header[8..16] == file.number().to_le_bytes()
        && u32_at(16) == number
        && length <= rest.len();
    if !is_expected || crc32fast::hash(&bytes[8..HEADER_LEN + length]) != u32_at(4) {
        return None;
    }
    Some(&rest[..length])
}

/// What is wrong where no whole batch is. Nothing but zeros is the end of a file that was made longer than it got.
fn damage_at(bytes: &[u8], at: u64, file: FileId, number: u32) -> Option<SegmentDamage> {
    let rest = &bytes[at as usize..];
    if rest.iter().all(|byte| *byte == 0) {
        return None;
    }
    let later = rest.chunks(BLOCK).enumerate().skip(1).find_map(|(block, chunk)| {
        let header = chunk.first_chunk::<HEADER_LEN>()?;
        let found = u32::from_le_bytes(header[16..20].try_into().expect("four bytes"));
        (found > number && batch(&rest[block * BLOCK..], file, found).is_some())
            .then_some(at + (block * BLOCK) as u64)
    });
    Some(match later {
        Some(next) => SegmentDamage::Hole { at, next },
        None => SegmentDamage::Torn { at },
    })
}

/// A group of the segment being read.
struct ReadGroup {
    key: GroupKey,
    step: u32,
    time: UnixSeconds,
    values: Vec<f32>,
}

/// The most columns that a record may speak of: far beyond what a host may have dimensions.
const MOST_COLUMNS: u64 = 1 << 24;

fn read_records(
    mut records: &[u8],
    groups: &mut HashMap<u32, ReadGroup, foldhash::fast::FixedState>,
    visit: &mut impl FnMut(Record<'_>),
) -> Option<()> {
    let mut last_group = 0i64;
    let mut flags = Vec::new();
    while !records.is_empty() {
        let start = varint::take(&mut records)?;
        if start & 3 == OTHER {
            visit(read_other(start >> 2, &mut records)?);
            continue;
        }
        last_group = last_group.checked_add(varint::unzigzag(start >> 2))?;
        let number = u32::try_from(last_group).ok()?;
        match start & 3 {
            GROUP => {
                let (key, rest) = records.split_first_chunk::<16>()?;
                records = rest;
                let step = u32::try_from(varint::take(&mut records)?).ok().filter(|step| *step > 0)?;
                let columns = varint::take(&mut records).filter(|columns| *columns <= MOST_COLUMNS)?;
                let again = varint::take(&mut records)? == 1;
                let group = ReadGroup {
                    key: GroupKey(u128::from_le_bytes(*key)),
                    step,
                    time: UnixSeconds(0),
                    values: vec![0.0; columns as usize],
                };
                visit(Record::Group { key: group.key, again });
                groups.insert(number, group);
            }
            kind => {
                let group = groups.get_mut(&number)?;
                let mut has_flags = false;
                if kind == ROW {
                    let distance = varint::take_signed(&mut records)?;
                    group.time = UnixSeconds(group.time.0.wrapping_add(distance));
                    has_flags = varint::take(&mut records)? == 1;
                } else {
                    group.time = group.time.plus(group.step.into());
                }
                let (changed, rest) = records.split_at_checked(group.values.len().div_ceil(8))?;
                records = rest;
                for (column, value) in group.values.iter_mut().enumerate() {
                    if changed[column / 8] & 1 << (column % 8) != 0 {
                        let (bytes, rest) = records.split_first_chunk()?;
                        *value = f32::from_le_bytes(*bytes);
                        records = rest;
                    }
                }
                flags.clear();
                if has_flags {
                    let (bytes, rest) = records.split_at_checked(group.values.len())?;
                    flags.extend(bytes.iter().map(|flags| SampleFlags(*flags).known()));
                    records = rest;
                }
                let ReadGroup { key, step, time, ref values } = *group;
                visit(Record::Row { key, step, time, values, flags: &flags });
            }
        }
    }
    Some(())
}

/// A record that is of no group.
fn read_other<'a>(kind: u64, records: &mut &'a [u8]) -> Option<Record<'a>> {
    let mut take = |length: usize| {
        let (bytes, rest) = records.split_at_checked(length)?;
        *records = rest;
        Some(bytes)
    };
    let key = if kind == PAGE { Some(u128::from_le_bytes(take(16)?.try_into().ok()?)) } else { None };
    let length = usize::try_from(varint::take(records)?).ok()?;
    let (bytes, rest) = records.split_at_checked(length)?;
    *records = rest;
    match (kind, key) {
        (NOTE, _) => Some(Record::Note(bytes)),
        (_, Some(key)) => Some(Record::Page { key: GroupKey(key), page: Page::from_bytes(bytes).ok()? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
