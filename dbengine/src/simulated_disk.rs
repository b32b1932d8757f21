//! A disk in memory that does to files what real ones do in bad hours: it loses what was not synced, in any order and in
//! parts, and it refuses. Everything it does follows from a seed.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::{
    disk::{BLOCK, DiskDone, DiskError, DiskOp, DiskOpKind, FileId, FileName},
    files::{Disk, ReadAt},
    index::Index,
};

/// The unit in which a device writes: a torn write ends between two of these.
const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
struct SimulatedFile {
    /// What is read now.
    now: Vec<u8>,
    /// What is there after a loss of power, but for `unsynced`. `None`: not even the name.
    durable: Option<Vec<u8>>,
    /// Writes since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

/// What is to fail, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Every operation that needs room.
    Full,
    /// Every operation.
    Broken,
}

#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    files: BTreeMap<FileName, SimulatedFile>,
    random: u64,
    pub fault: Fault,
    /// Operations carried out, failed ones among them.
    pub operations: u64,
}

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let start = offset as usize;
        let found = self.0.get(start..start + bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(found);
        Ok(())
    }
}

impl SimulatedDisk {
    pub fn new(seed: u64) -> SimulatedDisk {
        SimulatedDisk { files: BTreeMap::new(), random: seed | 1, fault: Fault::None, operations: 0 }
    }

    /// What happens from now on follows from another seed.
    pub fn reseed(&mut self, seed: u64) {
        self.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }

    /// The next number below `limit` (xorshift64*).
    fn random(&mut self, limit: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    /// The power goes, while `torn` is being carried out: of everything that was not synced, some sectors are there.
    pub fn lose_power(&mut self, torn: Option<DiskOp>) {
        if let Some(DiskOp { file, kind: DiskOpKind::Write { offset, bytes }, .. }) = torn
            && let Some(file) = self.files.get_mut(&file)
        {
            file.unsynced.push((offset as usize, bytes));
        }
        for (name, mut file) in std::mem::take(&mut self.files) {
            let mut survivor = match file.durable.take() {
                Some(durable) => durable,
                None if self.random(2) == 0 => continue,
                None => Vec::new(),
            };
            // Some devices keep order, most do not.
            let keeps_order = self.random(3) == 0;
            for (offset, bytes) in file.unsynced {
                for (sector, chunk) in bytes.chunks(SECTOR).enumerate() {
                    if !keeps_order && self.random(3) == 0 {
                        continue;
                    }
                    let at = offset + sector * SECTOR;
                    let end = at + chunk.len();
                    if survivor.len() < end {
                        survivor.resize(end, 0);
                    }
                    survivor[at..end].copy_from_slice(chunk);
                    if keeps_order && self.random(64) == 0 {
                        break;
                    }
                }
            }
            self.files.insert(
                name,
                SimulatedFile { now: survivor.clone(), durable: Some(survivor), unsynced: Vec::new() },
            );
        }
    }

    /// Damages a file: one byte of it changes.
    pub fn flip(&mut self, file: FileName, at: usize) {
        if let Some(file) = self.files.get_mut(&file)
            && let Some(byte) = file.now.get_mut(at)
        {
            *byte ^= 0x55;
            file.durable = Some(file.now.clone());
        }
    }

    pub fn len(&self, file: FileName) -> usize {
        self.files.get(&file).map_or(0, |file| file.now.len())
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    fn run(&mut self, file: FileName, kind: DiskOpKind) -> Result<(), &'static str> {
        let missing = "no such file";
        match (self.fault, &kind) {
            (Fault::Broken, _) => return Err("input/output error"),
            (Fault::Full, DiskOpKind::Create | DiskOpKind::Write { .. }) => {
                return Err("no space left on device");
            }
            _ => {}
        }
        match kind {
            DiskOpKind::Create => {
                let before = self.files.remove(&file).and_then(|file| file.durable);
                self.files.insert(file, SimulatedFile { durable: before, ..SimulatedFile::default() });
            }
            DiskOpKind::Write { offset, bytes } => {
                let is_aligned = offset.is_multiple_of(BLOCK as u64) && bytes.len().is_multiple_of(BLOCK);
                assert!(is_aligned, "a write is not aligned");
                let file = self.files.get_mut(&file).ok_or(missing)?;
                let offset = offset as usize;
                let end = offset + bytes.len();
                if file.now.len() < end {
                    file.now.resize(end, 0);
                }
                file.now[offset..end].copy_from_slice(&bytes);
                file.unsynced.push((offset, bytes));
            }
            DiskOpKind::Sync => {
                let file = self.files.get_mut(&file).ok_or(missing)?;
                file.durable = Some(file.now.clone());
                file.unsynced.clear();
            }
            DiskOpKind::Remove => {
                self.files.remove(&file);
            }
        }
        Ok(())
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<FileName>> {
        Ok(self.files.keys().copied().collect())
    }

    fn open(&self, file: FileName) -> io::Result<(Arc<dyn ReadAt>, u64)> {
        let file = self.files.get(&file).ok_or(io::ErrorKind::NotFound)?;
        Ok((Arc::new(Bytes(file.now.clone())), file.now.len() as u64))
    }

    fn index(&self, tier: u8, id: FileId) -> io::Result<Index> {
        let file = self.files.get(&FileName::Index { tier, id }).ok_or(io::ErrorKind::NotFound)?;
        Index::from_bytes(id, &file.now).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn carry_out(&mut self, op: DiskOp) -> DiskDone {
        let DiskOp { id, file, kind } = op;
        self.operations += 1;
        let result = self.run(file, kind);
        DiskDone { id, result: result.map_err(|message| DiskError { file, message: message.into() }) }
    }
}
