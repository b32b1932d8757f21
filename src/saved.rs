//! The rows of a host in a file of its own, for the memory modes `save` and `map`: `<cache>/rows/<machine GUID>.rows`.
//!
//! | offset | size | field   |                                                        |
//! |--------|------|---------|--------------------------------------------------------|
//! | 0      | 4    | magic   | `MRW1`; the digit is the version                       |
//! | 4      | 4    | crc     | crc32 of the bytes from 8 to 32                        |
//! | 8      | 16   | host    | its machine GUID                                       |
//! | 24     | 8    | written | when the file was begun, unix seconds, `i64`           |
//! | 32     | …    | frames  | to the end of the file                                 |
//!
//! A frame is what was written at once. Its header has a checksum of its own, so that broken records cost one frame and
//! not those behind it:
//!
//! | offset | size | field   |                                                        |
//! |--------|------|---------|--------------------------------------------------------|
//! | 0      | 4    | length  | bytes of the records                                   |
//! | 4      | 4    | crc     | crc32 of the records                                   |
//! | 8      | 4    | check   | crc32 of the eight bytes before it                     |
//! | 12     | …    | records | one after the other                                    |
//!
//! A record begins with its kind and with the number of its chart in this file:
//!
//! | kind    | then                                                                                                |
//! |---------|-----------------------------------------------------------------------------------------------------|
//! | 1 chart | number 4, length 4, a [`CatalogChange::Chart`]: the number means this chart from here on            |
//! | 2 page  | number 4, length 4, a [`Page`]                                                                      |
//! | 3 row   | number 4, time 8 (unix seconds, `i64`), columns 4, flags 1 (0 or 1), values 4 each (`f32`), then, if there are flags, 1 each |
//!
//! All numbers are little endian. Times of a chart only grow within a file; what is not newer than what came before it is
//! passed over by who reads. In mode `save` a file has charts and pages and is written as a whole, under another name that
//! becomes this one at the end. In mode `map` rows are appended to it every second, and it is written anew when rows have made it
//! twice as long as it was; it may so end in the middle of a frame, which is no damage.
//!
//! The definitions are here once more, because rows may be younger than what the catalog has stored: without them a column
//! could get the name of another one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use dbengine::{GroupSnapshot, Page, PageError, Row, SampleFlags, Samples, TimeRange, UnixSeconds};
use uuid::Uuid;

use crate::catalog::{CatalogChange, Chart, ChartRecord, Missing};

const MAGIC: [u8; 4] = *b"MRW1";
const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 12;
const CHART: u8 = 1;
const PAGE: u8 = 2;
const ROW: u8 = 3;
/// A frame ends with the record that makes it so long.
const FRAME_BYTES: usize = 64 << 10;
/// What a row has beside its values: kind, number, time, columns, flags.
const ROW_HEADER_LEN: usize = 1 + 4 + 8 + 4 + 1;

/// Makes the bytes of a file, or of what is appended to one.
#[derive(Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
    /// Where the frame that is not complete begins.
    frame: Option<usize>,
    columns: Vec<Samples>,
    values: Vec<f32>,
    flags: Vec<SampleFlags>,
}

impl Encoder {
    /// Begins a file.
    pub fn begin(host: &Uuid, now: UnixSeconds) -> Encoder {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(host.as_bytes());
        bytes[24..].copy_from_slice(&now.0.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        Encoder { bytes, ..Encoder::default() }
    }

    /// From here on `number` means this chart.
    pub fn chart(&mut self, number: u32, host: Uuid, chart: &Chart, ordinal: u32) {
        let mut record = Vec::new();
        CatalogChange::Chart { host, chart: ChartRecord::of(chart, ordinal) }.encode(&mut record);
        self.record(CHART, number, &record);
    }

    /// All rows of a snapshot, as pages. Says how many.
    pub fn pages(&mut self, number: u32, snapshot: &GroupSnapshot) -> u64 {
        let mut rows = 0;
        for page in snapshot.pages() {
            self.record(PAGE, number, page.as_bytes());
            rows += page.rows() as u64;
        }
        let after = snapshot.pages().last().map_or(snapshot.window().first, |page| page.span().last.plus(1));
        self.decode(snapshot, TimeRange { first: after, last: snapshot.window().last });
        if let Some(first) = self.columns.first().filter(|column| !column.is_empty()) {
            let times: Vec<UnixSeconds> = first.times.iter().copied().map(UnixSeconds).collect();
            let columns = &self.columns;
            let of_rows = |row: usize| columns.iter().map(move |column| column.values[row]);
            let values: Vec<f32> = (0..times.len()).flat_map(of_rows).collect();
            let flags: Vec<SampleFlags> = if columns.iter().any(|column| !column.flags.is_empty()) {
                let of_rows = |row: usize| columns.iter().map(move |column| column.flags_at(row));
                (0..times.len()).flat_map(of_rows).collect()
            } else {
                Vec::new()
            };
            rows += times.len() as u64;
            let page = Page::seal(snapshot.step(), &times, &values, &flags);
            self.record(PAGE, number, page.as_bytes());
        }
        rows
    }

    /// All rows of a snapshot, as rows.
    pub fn rows(&mut self, number: u32, snapshot: &GroupSnapshot) {
        self.decode(snapshot, snapshot.window());
        let rows = self.columns.first().map_or(0, Samples::len);
        for row in 0..rows {
            self.values.clear();
            self.values.extend(self.columns.iter().map(|column| column.values[row]));
            self.flags.clear();
            self.flags.extend(self.columns.iter().map(|column| column.flags_at(row)));
            let time = self.columns[0].times[row];
            let has_flags = self.flags.iter().any(|flags| *flags != SampleFlags::NONE);
            self.open_frame();
            self.bytes.push(ROW);
            self.bytes.extend_from_slice(&number.to_le_bytes());
            self.bytes.extend_from_slice(&time.to_le_bytes());
            self.bytes.extend_from_slice(&(self.values.len() as u32).to_le_bytes());
            self.bytes.push(u8::from(has_flags));
            self.values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
            if has_flags {
                self.bytes.extend(self.flags.iter().map(|flags| flags.0));
            }
            self.end_long_frame();
        }
    }

    /// Nothing was added since the beginning.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes.
    pub fn finish(mut self) -> Vec<u8> {
        self.end_frame();
        self.bytes
    }

    /// The columns of the rows that lie in `window`.
    fn decode(&mut self, snapshot: &GroupSnapshot, window: TimeRange) {
        self.columns.resize_with(snapshot.columns(), Samples::default);
        for (index, column) in self.columns.iter_mut().enumerate() {
            snapshot.column(index, window, column);
        }
    }

    fn record(&mut self, kind: u8, number: u32, body: &[u8]) {
        self.open_frame();
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&number.to_le_bytes());
        self.bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(body);
        self.end_long_frame();
    }

    fn open_frame(&mut self) {
        if self.frame.is_none() {
            self.frame = Some(self.bytes.len());
            self.bytes.extend_from_slice(&[0; FRAME_HEADER_LEN]);
        }
    }

    fn end_long_frame(&mut self) {
        if self.frame.is_some_and(|frame| self.bytes.len() - frame >= FRAME_BYTES) {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        let Some(frame) = self.frame.take() else { return };
        let records = frame + FRAME_HEADER_LEN;
        let length = (self.bytes.len() - records) as u32;
        let crc = crc32fast::hash(&self.bytes[records..]);
        self.bytes[frame..frame + 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[frame + 4..frame + 8].copy_from_slice(&crc.to_le_bytes());
        let check = crc32fast::hash(&self.bytes[frame..frame + 8]);
        self.bytes[frame + 8..records].copy_from_slice(&check.to_le_bytes());
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("it is no file of saved rows")]
    NoSuchFile,
    #[error("it was written by a newer program (version '{version}')")]
    Newer { version: char },
    #[error("its header is damaged, or of another host")]
    Header,
    #[error("at {at}: what should be a frame is none; the rest of the file ({bytes} bytes) is passed over")]
    Frames { at: usize, bytes: usize },
    #[error("at {at}: a frame of {bytes} bytes is damaged and passed over")]
    Frame { at: usize, bytes: usize },
    #[error("at {at}: a record makes no sense; the rest of its frame is passed over")]
    Record { at: usize },
    #[error("at {at}: {error}; it is passed over")]
    Page { at: usize, error: PageError },
}

/// A row that was appended to a file.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedRow {
    pub time: UnixSeconds,
    pub values: Vec<f32>,
    /// One per value, or none at all.
    pub flags: Vec<SampleFlags>,
}

impl SavedRow {
    /// As a row of so many columns.
    pub fn row(&mut self, columns: usize) -> Row<'_> {
        self.values.resize(columns, f32::NAN);
        if !self.flags.is_empty() {
            self.flags.resize(columns, SampleFlags::NONE);
        }
        Row { values: &self.values, flags: (!self.flags.is_empty()).then_some(&self.flags) }
    }
}

/// The rows of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedRows {
    pub pages: Vec<Page>,
    /// Newer than the pages.
    pub rows: Vec<SavedRow>,
}

impl SavedRows {
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty() && self.rows.is_empty()
    }
}

/// A chart of another day, on its way back to its shard.
#[derive(Debug)]
pub struct RestoredChart {
    pub record: ChartRecord,
    /// The time of its newest row in the database, 0 for none.
    pub newest: UnixSeconds,
    /// What was in the host's file, in the memory modes that have one.
    pub saved: SavedRows,
    /// Times of which it lacks rows that its child may have.
    pub missing: Missing,
}

/// What a file has.
#[derive(Debug, Default)]
pub struct SavedHost {
    /// By key. The last definition of each.
    pub charts: BTreeMap<u128, (ChartRecord, SavedRows)>,
    pub damage: Vec<Damage>,
    /// It ends in the middle of a frame, at this place.
    pub cut_at: Option<usize>,
}

/// Reads a file of this host, as far as it can be read.
pub fn read(host: &Uuid, bytes: &[u8]) -> SavedHost {
    let mut saved = SavedHost::default();
    match header(host, bytes) {
        Ok(()) => {}
        Err(damage) => {
            saved.damage.push(damage);
            return saved;
        }
    }
    let mut keys = BTreeMap::new();
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        let Some(header) = bytes.get(at..at + FRAME_HEADER_LEN) else {
            saved.cut_at = Some(at);
            break;
        };
        if crc32fast::hash(&header[..8]) != number(&header[8..]) {
            saved.damage.push(Damage::Frames { at, bytes: bytes.len() - at });
            break;
        }
        let records = at + FRAME_HEADER_LEN;
        let length = number(header) as usize;
        let Some(payload) = records.checked_add(length).and_then(|end| bytes.get(records..end)) else {
            saved.cut_at = Some(at);
            break;
        };
        if crc32fast::hash(payload) == number(&header[4..]) {
            saved.read_frame(host, records, payload, &mut keys);
        } else {
            saved.damage.push(Damage::Frame { at, bytes: length });
        }
        at = records + length;
    }
    saved
}

fn header(host: &Uuid, bytes: &[u8]) -> Result<(), Damage> {
    let header = bytes.get(..HEADER_LEN).ok_or(Damage::NoSuchFile)?;
    if header[..3] != MAGIC[..3] {
        return Err(Damage::NoSuchFile);
    }
    if header[3] != MAGIC[3] {
        return Err(Damage::Newer { version: header[3].into() });
    }
    if crc32fast::hash(&header[8..]) != number(&header[4..]) || header[8..24] != *host.as_bytes() {
        return Err(Damage::Header);
    }
    Ok(())
}

/// The four bytes in front.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

impl SavedHost {
    fn read_frame(&mut self, host: &Uuid, offset: usize, payload: &[u8], keys: &mut BTreeMap<u32, u128>) {
        let mut rest = payload;
        while !rest.is_empty() {
            let at = offset + payload.len() - rest.len();
            let Some((kind, chart, body)) = next(&mut rest) else {
                self.damage.push(Damage::Record { at });
                return;
            };
            match kind {
                CHART => match CatalogChange::decode(body) {
                    Ok(CatalogChange::Chart { host: owner, chart: record }) if owner == *host => {
                        keys.insert(chart, record.key);
                        match self.charts.entry(record.key) {
                            Entry::Occupied(mut known) => known.get_mut().0 = record,
                            Entry::Vacant(vacant) => {
                                vacant.insert((record, SavedRows::default()));
                            }
                        }
                    }
                    _ => self.damage.push(Damage::Record { at }),
                },
                _ => {
                    // Of a chart whose definition was in a broken frame.
                    let Some((_, rows)) = keys.get(&chart).and_then(|key| self.charts.get_mut(key)) else {
                        continue;
                    };
                    if kind == ROW {
                        rows.rows.extend(saved_row(body));
                    } else {
                        match Page::from_bytes(body) {
                            Ok(page) => rows.pages.push(page),
                            Err(error) => self.damage.push(Damage::Page { at, error }),
                        }
                    }
                }
            }
        }
    }
}

/// Takes a record off the front: its kind, its chart, and what follows.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u8, u32, &'a [u8])> {
    let kind = *rest.first()?;
    let chart = u32::from_le_bytes(*rest.get(1..)?.first_chunk()?);
    let (begin, length): (usize, usize) = match kind {
        CHART | PAGE => (9, u32::from_le_bytes(*rest.get(5..)?.first_chunk()?) as usize),
        ROW => {
            let columns = u32::from_le_bytes(*rest.get(13..)?.first_chunk()?) as usize;
            let each = match *rest.get(ROW_HEADER_LEN - 1)? {
                0 => size_of::<f32>(),
                1 => size_of::<f32>() + 1,
                _ => return None,
            };
            (5, (ROW_HEADER_LEN - 5).checked_add(columns.checked_mul(each)?)?)
        }
        _ => return None,
    };
    let end = begin.checked_add(length)?;
    let body = rest.get(begin..end)?;
    *rest = &rest[end..];
    Some((kind, chart, body))
}

/// The row of a record's body, whose length was checked.
fn saved_row(body: &[u8]) -> Option<SavedRow> {
    let (time, rest) = body.split_first_chunk()?;
    let (columns, rest) = rest.split_first_chunk()?;
    let (_, rest) = rest.split_first()?;
    let columns = u32::from_le_bytes(*columns) as usize;
    let (values, flags) = rest.split_at_checked(columns * size_of::<f32>())?;
    let values = values.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
    let flags = flags.iter().map(|flags| SampleFlags(*flags)).collect();
    Some(SavedRow { time: UnixSeconds(i64::from_le_bytes(*time)), values, flags })
}

#[cfg(test)]
mod tests;
