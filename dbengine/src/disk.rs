//! The only door to a disk: what the engine asks for, and what became of it.
//!
//! [`DiskOp`]s are values. Whoever runs the engine carries them out and reports each with a [`DiskDone`]; the engine
//! never opens a file to write. So a test can put a simulated disk in between, that tears, loses and refuses.
//!
//! What the engine relies on:
//!
//! - Operations on one file are carried out in the order in which they were asked for, each after the one before ended.
//!   Operations on different files may overtake each other.
//! - After a [`DiskOpKind::Sync`] was done, everything written to the file before it, and the file's name, survive a
//!   loss of power. Before that any part of it may be there or not.

use std::fmt;

use crate::key::WriterId;

/// Writes begin and end at multiples of this many bytes: what O_DIRECT asks for on every device in use.
pub const BLOCK: usize = 4096;

/// A file of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// Rows that no page holds yet. See `journal.rs`.
    Journal(FileId),
    /// Extents of pages. See `datafile.rs`.
    Data { tier: u8, id: FileId },
    /// Where a datafile's pages are. See `index.rs`.
    Index { tier: u8, id: FileId },
}

/// Numbers a file: who wrote it, and which of the writer's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Grows from file to file over all writers and restarts.
    pub sequence: u32,
    pub writer: WriterId,
}

impl FileId {
    /// Both in one number, to be written into the file.
    pub(crate) fn number(self) -> u64 {
        u64::from(self.sequence) << 16 | u64::from(self.writer.0)
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}-{:03}", self.sequence, self.writer.0)
    }
}

impl FileName {
    pub fn id(self) -> FileId {
        match self {
            FileName::Journal(id) | FileName::Data { id, .. } | FileName::Index { id, .. } => id,
        }
    }

    /// The directory of the file, below the database's.
    pub fn directory(self) -> String {
        match self {
            FileName::Journal(_) => "journal".into(),
            FileName::Data { tier, .. } | FileName::Index { tier, .. } => format!("tier-{tier}"),
        }
    }

    /// The file of this name in this directory; `None`: it is not one of ours.
    pub fn parse(directory: &str, name: &str) -> Option<FileName> {
        let (stem, extension) = name.split_once('.')?;
        let (sequence, writer) = stem.split_once('-')?;
        let id = FileId { sequence: sequence.parse().ok()?, writer: WriterId(writer.parse().ok()?) };
        let tier = || directory.strip_prefix("tier-")?.parse().ok();
        let file = match extension {
            "journal" if directory == "journal" => FileName::Journal(id),
            "data" => FileName::Data { tier: tier()?, id },
            "index" => FileName::Index { tier: tier()?, id },
            _ => return None,
        };
        (file.to_string() == format!("{directory}/{name}")).then_some(file)
    }
}

impl fmt::Display for FileName {
    /// Its path below the database's directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extension = match self {
            FileName::Journal(_) => "journal",
            FileName::Data { .. } => "data",
            FileName::Index { .. } => "index",
        };
        write!(f, "{}/{}.{extension}", self.directory(), self.id())
    }
}

/// Numbers an operation, in the order of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// Something to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOp {
    pub id: OpId,
    pub file: FileName,
    pub kind: DiskOpKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskOpKind {
    /// A new, empty file. One that has the name already is emptied.
    Create,
    /// Both `offset` and the length are multiples of [`BLOCK`].
    Write { offset: u64, bytes: Vec<u8> },
    /// Everything written to the file, and its name, is to survive a loss of power.
    Sync,
    /// The file goes. That it has gone already is no error.
    Remove,
}

/// What became of a [`DiskOp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskDone {
    pub id: OpId,
    pub result: Result<(), DiskError>,
}

/// Why an operation failed. It may be asked for again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {message}")]
pub struct DiskError {
    pub file: FileName,
    /// What the system said.
    pub message: String,
}

/// Operations waiting to be fetched by whoever carries them out.
#[derive(Debug, Default)]
pub(crate) struct DiskOps {
    asked: u64,
    waiting: std::collections::VecDeque<DiskOp>,
}

impl DiskOps {
    pub(crate) fn ask(&mut self, file: FileName, kind: DiskOpKind) -> OpId {
        self.asked += 1;
        let id = OpId(self.asked);
        self.waiting.push_back(DiskOp { id, file, kind });
        id
    }

    pub(crate) fn next(&mut self) -> Option<DiskOp> {
        self.waiting.pop_front()
    }
}

/// Fills up to a whole number of blocks with zeros.
pub(crate) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_others_are_not_ours() {
        let id = FileId { sequence: 17, writer: WriterId(3) };
        for file in [FileName::Journal(id), FileName::Data { tier: 0, id }, FileName::Index { tier: 2, id }] {
            let path = file.to_string();
            let (directory, name) = path.split_once('/').expect("a directory");
            assert_eq!(FileName::parse(directory, name), Some(file), "{path}");
        }
        for (directory, name) in [
            ("tier-0", "17-3.data"),
            ("tier-0", "00000017-003.journal"),
            ("journal", "00000017-003.data"),
            ("tier-0", "00000017-003.data.tmp"),
            ("tier-x", "00000017-003.data"),
        ] {
            assert_eq!(FileName::parse(directory, name), None, "{directory}/{name}");
        }
    }
}
