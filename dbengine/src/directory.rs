//! A database in a directory of the file system, by ordinary blocking calls: for recovery, the keeper and the tools.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{
    disk::{DiskDone, DiskError, DiskOp, DiskOpKind, FileId, FileName},
    files::{Disk, ReadAt},
    index::Index,
};

/// Where a database lives.
#[derive(Clone, Debug)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// The directory is made, with what lies below it, when it is not there.
    pub fn create(root: &Path) -> io::Result<Directory> {
        for directory in ["journal", "tier-0", "tier-1", "tier-2", "tier-3", "tier-4"] {
            fs::create_dir_all(root.join(directory))?;
        }
        Ok(Directory { root: root.into() })
    }

    /// A directory that is there.
    pub fn existing(root: &Path) -> io::Result<Directory> {
        fs::metadata(root.join("tier-0"))?;
        Ok(Directory { root: root.into() })
    }

    pub fn path(&self, file: FileName) -> PathBuf {
        self.root.join(file.to_string())
    }

    fn run(&self, file: FileName, kind: DiskOpKind) -> io::Result<()> {
        let path = self.path(file);
        let written = || OpenOptions::new().write(true).open(&path);
        match kind {
            DiskOpKind::Create => File::create(&path).map(drop),
            DiskOpKind::Write { offset, bytes } => written()?.write_all_at(&bytes, offset),
            DiskOpKind::Sync => {
                written()?.sync_data()?;
                self.sync_names(file)
            }
            DiskOpKind::Remove => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                _ => self.sync_names(file),
            },
        }
    }

    /// A file's name is part of its directory, which is to be synced too.
    fn sync_names(&self, file: FileName) -> io::Result<()> {
        File::open(self.root.join(file.directory()))?.sync_all()
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<FileName>> {
        let mut found = Vec::new();
        for directory in fs::read_dir(&self.root)? {
            let directory = directory?;
            if !directory.file_type()?.is_dir() {
                continue;
            }
            let directory_name = directory.file_name().to_string_lossy().into_owned();
            for file in fs::read_dir(directory.path())? {
                found.extend(FileName::parse(&directory_name, &file?.file_name().to_string_lossy()));
            }
        }
        Ok(found)
    }

    fn open(&self, file: FileName) -> io::Result<(Arc<dyn ReadAt>, u64)> {
        let file = File::open(self.path(file))?;
        let len = file.metadata()?.len();
        Ok((Arc::new(file), len))
    }

    fn index(&self, tier: u8, id: FileId) -> io::Result<Index> {
        let file = File::open(self.path(FileName::Index { tier, id }))?;
        #[expect(
            unsafe_code,
            reason = "a map of a file that others change would not be what Rust takes it for"
        )]
        // SAFETY: an index is written once, before anyone maps it, and removed, never changed, afterwards. The
        // directory is the database's own.
        let map = unsafe { memmap2::Mmap::map(&file)? };
        Index::from_map(id, map).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn carry_out(&mut self, op: DiskOp) -> DiskDone {
        let DiskOp { id, file, kind } = op;
        let result = self.run(file, kind).map_err(|error| DiskError { file, message: error.to_string() });
        DiskDone { id, result }
    }
}

impl ReadAt for File {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }
}
