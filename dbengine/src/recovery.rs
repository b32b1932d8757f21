//! A directory -> what is in it, whatever a crash left there.
//!
//! ```text
//! datafile with a valid index         as it is
//! a tier's file without one           removed: it is derived again
//! datafile without one                its extents are read up to the first that is not whole; its index is written
//! journal segments                    rows newer than the group's last page, and pages that no datafile has: pages of a new
//!                                     datafile
//! ```
//!
//! The journal's segments stay until the owner has taken their notes ([`Recovered::finish`]). Recovering again, also after a
//! crash in the middle, gives the same: rows that pages hold are older than the group's newest, and are passed over.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use foldhash::fast::FixedState;

use crate::{
    datafile::DatafileOptions,
    disk::{DiskDone, DiskError, DiskOp, DiskOpKind, FileId, FileName, OpId},
    engine::{Appended, Engine, EngineOptions},
    extent::{self, Header, PageRef},
    files::{Disk, FileSet, ReadAt, ReadError, SealedFile, read_many_from},
    group::GroupId,
    index::{self, GroupPages, Index},
    journal::{Record, SegmentDamage, SegmentEnd, read_segment},
    key::{GroupKey, WriterId},
    sample::Row,
    store::StoreOptions,
    time::{TimeRange, UnixSeconds},
};

/// A place in the journal: the number of the segment, and how many introductions were read in it.
type Place = (usize, u64);
/// Of each group, where it was said again, and from which time on.
type SaidAgain = HashMap<GroupKey, Vec<(Place, UnixSeconds)>, FixedState>;

/// The writer of what recovery itself writes.
const RECOVERY: WriterId = WriterId(999);

/// Why a database cannot be opened. What is merely damaged is no reason: it is a [`Finding`].
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Something that an operator may want to know of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    #[error("{file}: the index cannot be used ({why}); it is made again from the datafile")]
    IndexLost { file: FileName, why: String },
    #[error("{file}: what follows at {at} is no whole extent ({bytes} bytes); the rest of the file serves")]
    ExtentsLost { file: FileName, at: u64, bytes: u64 },
    #[error("{file}: {damage}")]
    Journal { file: FileName, damage: SegmentDamage },
    #[error("{file}: cannot be read: {why}; it is left alone, and the rest serves")]
    Unreadable { file: FileName, why: String },
}

/// A database that was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    pub files: FileSet,
    /// What the owner noted, in order, as far as it may not be anywhere else.
    pub notes: Vec<Vec<u8>>,
    /// Files that are written from now on begin with this sequence number.
    pub next_sequence: u32,
    pub findings: Vec<Finding>,
    /// Rows that were only in the journal.
    pub rows: u64,
    /// The segments that were read, the oldest first.
    segments: Vec<FileId>,
}

/// Opens a database. `progress` is called with what was done, now and then.
pub fn recover(disk: &mut dyn Disk, progress: &mut dyn FnMut(&str)) -> Result<Recovered, RecoveryError> {
    let mut recovered = scan(disk, Access::Repair, progress)?;
    recovered.replay(disk, progress)?;
    Ok(recovered)
}

/// Looks at a database, also at one that is being written: nothing is changed, and the journal is not read.
pub fn inspect(disk: &mut dyn Disk, progress: &mut dyn FnMut(&str)) -> Result<Recovered, RecoveryError> {
    scan(disk, Access::ReadOnly, progress)
}

/// Makes the index of a datafile again that was opened and then found not to be whole. What comes back is the file that
/// takes its place: none, if it is to be derived again, or has nothing that can be read.
pub fn repair(disk: &mut dyn Disk, file: &SealedFile) -> Result<Option<Arc<SealedFile>>, RecoveryError> {
    let mut recovered = Recovered::default();
    recovered.open_without_index(disk, Access::Repair, file.tier, file.id)?;
    Ok(recovered.files.files().next().cloned())
}

/// Reads all segments of the journal, in order, and changes nothing. One that is removed meanwhile is passed over: its rows
/// were in pages before.
pub fn read_journal(
    disk: &dyn Disk,
    mut visit: impl FnMut(Record<'_>),
) -> io::Result<Vec<(FileName, SegmentEnd)>> {
    let mut segments: Vec<FileId> = disk
        .list()?
        .into_iter()
        .filter_map(|file| if let FileName::Journal(id) = file { Some(id) } else { None })
        .collect();
    segments.sort_unstable();
    let mut ends = Vec::new();
    for id in segments {
        let file = FileName::Journal(id);
        match read_whole(disk, file) {
            Ok(bytes) => ends.push((file, read_segment(&bytes, id, &mut visit))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(ends)
}

/// Whether what is missing may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Repair,
    ReadOnly,
}

fn scan(
    disk: &mut dyn Disk,
    access: Access,
    progress: &mut dyn FnMut(&str),
) -> Result<Recovered, RecoveryError> {
    let mut found = disk.list()?;
    found.sort_unstable();
    let mut recovered = Recovered {
        next_sequence: found.iter().map(|file| file.id().sequence + 1).max().unwrap_or(1),
        ..Recovered::default()
    };
    let data = found.iter().filter_map(|file| match file {
        FileName::Data { tier, id } => Some((*tier, *id)),
        _ => None,
    });
    for (count, (tier, id)) in data.enumerate() {
        match recovered.open_file(disk, access, tier, id) {
            Ok(()) => {}
            // Whoever runs on the directory may have removed it since it was listed.
            Err(RecoveryError::Io(error))
                if access == Access::ReadOnly && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let file = FileName::Data { tier, id };
                recovered.findings.push(Finding::Unreadable { file, why: error.to_string() });
            }
        }
        if count % 64 == 63 {
            progress(&format!("{} datafiles opened", count + 1));
        }
    }
    recovered.segments = found
        .iter()
        .filter_map(|file| if let FileName::Journal(id) = file { Some(*id) } else { None })
        .collect();
    Ok(recovered)
}

impl Recovered {
    /// Removes the journal. To be called when all notes have another place.
    pub fn finish(&mut self, disk: &mut dyn Disk) -> Result<(), RecoveryError> {
        for id in std::mem::take(&mut self.segments) {
            run(disk, FileName::Journal(id), DiskOpKind::Remove)?;
        }
        self.notes = Vec::new();
        Ok(())
    }

    fn open_file(
        &mut self,
        disk: &mut dyn Disk,
        access: Access,
        tier: u8,
        id: FileId,
    ) -> Result<(), RecoveryError> {
        let (data, data_len) = disk.open(FileName::Data { tier, id })?;
        let why = match disk.index(tier, id) {
            Ok(index) if index.data_len() <= data_len => {
                self.files.add(Arc::new(SealedFile::new(tier, id, index, data)));
                return Ok(());
            }
            Ok(_) => "the datafile is shorter than it says".to_string(),
            Err(error) => error.to_string(),
        };
        // A file that was still open when its writer ended has none, which is no loss to speak of.
        if disk.open(FileName::Index { tier, id }).is_ok() {
            self.findings.push(Finding::IndexLost { file: FileName::Index { tier, id }, why });
        }
        self.open_without_index(disk, access, tier, id)
    }

    fn open_without_index(
        &mut self,
        disk: &mut dyn Disk,
        access: Access,
        tier: u8,
        id: FileId,
    ) -> Result<(), RecoveryError> {
        let (data, data_len) = disk.open(FileName::Data { tier, id })?;
        // What was derived is derived again from what it was derived from, as long as that is there.
        if tier > 0 && disk.open(FileName::Data { tier: tier - 1, id }).is_ok() {
            if access == Access::Repair {
                for file in [FileName::Data { tier, id }, FileName::Index { tier, id }] {
                    run(disk, file, DiskOpKind::Remove)?;
                }
            }
            return Ok(());
        }
        let bytes = self.rebuild_index(&*data, data_len, tier, id)?;
        let index = match (access, bytes) {
            (Access::ReadOnly, None) => return Ok(()),
            (Access::ReadOnly, Some(bytes)) => {
                Index::from_bytes(id, &bytes).expect("an index is valid when it is made")
            }
            (Access::Repair, None) => {
                run(disk, FileName::Data { tier, id }, DiskOpKind::Remove)?;
                return Ok(());
            }
            (Access::Repair, Some(bytes)) => {
                let file = FileName::Index { tier, id };
                // Who still has the old one mapped keeps it: a new file is made, the old one is not written over.
                run(disk, file, DiskOpKind::Remove)?;
                run(disk, file, DiskOpKind::Create)?;
                run(disk, file, DiskOpKind::Write { offset: 0, bytes })?;
                run(disk, file, DiskOpKind::Sync)?;
                disk.index(tier, id)?
            }
        };
        self.files.add(Arc::new(SealedFile::new(tier, id, index, data)));
        Ok(())
    }

    /// The bytes of an index made from the extents; `None` if there is no whole one.
    fn rebuild_index(
        &mut self,
        data: &dyn ReadAt,
        data_len: u64,
        tier: u8,
        id: FileId,
    ) -> io::Result<Option<Vec<u8>>> {
        let file = FileName::Data { tier, id };
        let mut keys = Vec::new();
        let mut extents = Vec::new();
        let (mut at, mut samples) = (0, 0);
        while at < data_len {
            let Some((header, listed)) = read_extent(data, data_len, id, at, &mut keys)? else {
                self.findings.push(Finding::ExtentsLost { file, at, bytes: data_len - at });
                break;
            };
            extents.push((at, samples, listed));
            samples += header.samples;
            at += header.padded_len();
        }
        // Each extent was synced before the next was written, so only the last one can be torn. All of it goes then: its
        // rows are in the journal, and a group's row is not looked for there when a page has a later one.
        if let Some((start, samples_before, listed)) = extents.last()
            && !is_whole(file, data, listed)?
        {
            self.findings.push(Finding::ExtentsLost { file, at: *start, bytes: data_len - start });
            (at, samples) = (*start, *samples_before);
            extents.pop();
        }
        let mut groups: Vec<GroupPages> =
            keys.iter().map(|key| GroupPages { key: *key, last: 0, pages: Vec::new() }).collect();
        for page in extents.into_iter().flat_map(|(_, _, listed)| listed) {
            let group = &mut groups[page.number as usize];
            group.last = group.last.max(page.last);
            group.pages.push(page.place);
        }
        groups.retain(|group| !group.pages.is_empty());
        Ok((!groups.is_empty()).then(|| index::build(id, groups, at, samples, Vec::new())))
    }

    /// Where rows of a group were written again: the number of the segment and how many introductions were read in it;
    /// and the time from which on. What was said of these times before is not in order with it, and needless.
    fn said_again(&self, disk: &dyn Disk) -> io::Result<SaidAgain> {
        let mut said_again = SaidAgain::default();
        for (count, id) in self.segments.iter().enumerate() {
            let (mut introduced, mut awaited) = (0, None);
            read_segment(&read_whole(disk, FileName::Journal(*id))?, *id, |record| match record {
                Record::Group { key, again } => {
                    introduced += 1;
                    awaited = again.then_some(key);
                }
                Record::Row { key, time, .. } if awaited == Some(key) => {
                    said_again.entry(key).or_default().push(((count, introduced), time));
                    awaited = None;
                }
                _ => {}
            });
        }
        Ok(said_again)
    }

    /// Puts what only the journal has into a datafile of its own.
    fn replay(&mut self, disk: &mut dyn Disk, progress: &mut dyn FnMut(&str)) -> Result<(), RecoveryError> {
        if self.segments.is_empty() {
            return Ok(());
        }
        let options = StoreOptions {
            writer: RECOVERY,
            first_sequence: self.next_sequence,
            survives_power_loss: true,
            datafiles: DatafileOptions {
                extent_bytes: 1 << 20,
                file_bytes: u64::MAX,
                file_seconds: u32::MAX,
                waiting_bytes: usize::MAX,
                syncs: true,
            },
        };
        let mut engine = Engine::with_store(EngineOptions::default(), options, UnixSeconds(0));
        let mut groups: HashMap<GroupKey, GroupId, FixedState> = HashMap::default();
        let said_again = self.said_again(disk)?;
        let files = std::mem::take(&mut self.files);
        let newest = files.newest();
        for (count, id) in self.segments.clone().into_iter().enumerate() {
            let file = FileName::Journal(id);
            let bytes = read_whole(disk, file)?;
            let Recovered { notes, rows, .. } = self;
            let mut position = (count, 0);
            let end = read_segment(&bytes, id, |record| match record {
                Record::Note(note) => notes.push(note.into()),
                Record::Group { .. } => position.1 += 1,
                Record::Page { key, page } => {
                    // Of one group no two pages begin at one time.
                    let first = page.span().first;
                    let window = TimeRange { first, last: first };
                    let is_known = files
                        .tier(0)
                        .iter()
                        .any(|file| file.index.pages(key, window).any(|place| place.begins_at(first)));
                    if !is_known {
                        *rows += page.rows() as u64;
                        engine.add_page(key, page);
                    }
                }
                Record::Row { key, time, .. }
                    if said_again.get(&key).is_some_and(|places| {
                        places.iter().any(|(place, first)| position < *place && time >= *first)
                    }) => {}
                Record::Row { key, step, time, values, flags } => {
                    let id = *groups.entry(key).or_insert_with(|| {
                        let id = engine.create_recovered_group(key, step, values.len());
                        if let Some(newest) = newest.get(key) {
                            engine.resume_after(id, newest);
                        }
                        id
                    });
                    engine.widen(id, values.len());
                    engine.set_step(id, step);
                    // What belongs in between may be a page of its own.
                    if time != engine.newest_time(id).plus(step.into()) {
                        engine.part(id);
                    }
                    let row = Row { values, flags: (!flags.is_empty()).then_some(flags) };
                    if engine.columns(id) == values.len() && engine.append(id, time, row) == Appended::Stored
                    {
                        *rows += 1;
                    }
                }
            });
            if let Some(damage) = end.damage {
                self.findings.push(Finding::Journal { file, damage });
            }
            engine.pump();
            carry_out_all(&mut engine, disk)?;
            progress(&format!("{} of {} journal segments read", count + 1, self.segments.len()));
        }
        drop(newest);
        self.files = files;
        engine.stop();
        carry_out_all(&mut engine, disk)?;
        while !engine.stop_further() {
            carry_out_all(&mut engine, disk)?;
        }
        while let Some(id) = engine.poll_sealed() {
            self.open_file(disk, Access::Repair, 0, id)?;
        }
        self.next_sequence += 4;
        Ok(())
    }
}

pub(crate) fn read_whole(disk: &dyn Disk, file: FileName) -> io::Result<Vec<u8>> {
    let (data, len) = disk.open(file)?;
    let mut bytes = vec![0; len as usize];
    data.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Does what the engine asks for, until it asks for nothing.
fn carry_out_all(engine: &mut Engine, disk: &mut dyn Disk) -> Result<(), DiskError> {
    while let Some(op) = engine.poll_disk() {
        let done = disk.carry_out(op);
        done.result.clone()?;
        engine.disk_done(&done);
    }
    Ok(())
}

fn run(disk: &mut dyn Disk, file: FileName, kind: DiskOpKind) -> Result<(), DiskError> {
    let DiskDone { result, .. } = disk.carry_out(DiskOp { id: OpId(0), file, kind });
    result
}

/// The header and directory of the extent at `at`; `None`: no whole one stands there.
pub(crate) fn read_extent(
    data: &dyn ReadAt,
    data_len: u64,
    id: FileId,
    at: u64,
    keys: &mut Vec<GroupKey>,
) -> io::Result<Option<(Header, Vec<extent::Listed>)>> {
    let mut header = [0; extent::HEADER_LEN];
    if data_len - at < extent::HEADER_LEN as u64 {
        return Ok(None);
    }
    data.read_at(at, &mut header)?;
    let Some(header) = Header::parse(&header, id).filter(|header| header.padded_len() <= data_len - at)
    else {
        return Ok(None);
    };
    let mut bytes = vec![0; header.directory_end()];
    data.read_at(at, &mut bytes)?;
    let known = keys.len();
    let listed = extent::read_directory(&bytes, header, at, keys);
    if listed.is_none() {
        keys.truncate(known);
    }
    Ok(listed.map(|listed| (header, listed)))
}

/// Whether every page of an extent can be read.
fn is_whole(file: FileName, data: &dyn ReadAt, listed: &[extent::Listed]) -> io::Result<bool> {
    let places: Vec<PageRef> = listed.iter().map(|page| page.place).collect();
    for page in read_many_from(file, data, &places) {
        match page {
            Ok(_) => {}
            Err(ReadError::Broken { .. }) => return Ok(false),
            Err(ReadError::Io { error, .. }) => return Err(error),
        }
    }
    Ok(true)
}
