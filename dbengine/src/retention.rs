//! Which files are to go: whole ones, those with the oldest rows first.

use std::sync::Arc;

use crate::{
    files::{FileSet, SealedFile},
    time::UnixSeconds,
};

/// How much of a tier stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Of datafiles and indexes; `None`: as much as there is.
    pub bytes: Option<u64>,
    /// Seconds since the newest row of a file; `None`: for ever.
    pub seconds: Option<i64>,
}

/// The files of a tier that are to go, the oldest first. The newest file always stays.
pub fn expired(files: &FileSet, tier: u8, retention: Retention, now: UnixSeconds) -> Vec<Arc<SealedFile>> {
    let mut by_age: Vec<&Arc<SealedFile>> = files.tier(tier).iter().collect();
    by_age.sort_by_key(|file| (file.index.span().last, file.id));
    by_age.pop();
    let mut bytes: u64 = files.tier(tier).iter().map(|file| file.bytes).sum();
    let mut expired = Vec::new();
    for file in by_age {
        let too_old = retention.seconds.is_some_and(|seconds| now.since(file.index.span().last) > seconds);
        let too_much = retention.bytes.is_some_and(|most| bytes > most);
        if too_old || too_much {
            bytes -= file.bytes;
            expired.push(Arc::clone(file));
        }
    }
    expired
}
