//! Which groups no complete file has any page of: when files expire, and when a database is opened.

use std::sync::Arc;

use crate::{
    files::{FileSet, SealedFile},
    key::GroupKey,
    time::TimeRange,
};

/// The groups of `removed` files that none of `files` has, in order of their keys.
pub fn lost_groups(files: &FileSet, removed: &[Arc<SealedFile>]) -> Vec<GroupKey> {
    let Some(near) = removed.iter().map(|file| file.index.span()).reduce(TimeRange::hull) else {
        return Vec::new();
    };
    let mut keys: Vec<GroupKey> =
        removed.iter().flat_map(|file| file.index.groups().map(|(key, _)| key)).collect();
    keys.sort_unstable();
    keys.dedup();
    absent_groups(files, keys, near)
}

/// Those of `keys` that none of `files` has, of any tier, in their order.
///
/// A group that has rows `near` some time most likely has others soon before or after it, in this tier or in another: files
/// are asked in the order of their distance from there, so that only what is really absent is looked for in all of them.
pub fn absent_groups(files: &FileSet, mut keys: Vec<GroupKey>, near: TimeRange) -> Vec<GroupKey> {
    if keys.is_empty() {
        return keys;
    }
    let mut by_distance: Vec<&Arc<SealedFile>> = files.files().collect();
    by_distance.sort_by_key(|file| {
        let span = file.index.span();
        let distance = span.first.since(near.last).max(near.first.since(span.last)).max(0);
        (distance, std::cmp::Reverse(span.last))
    });
    for file in by_distance {
        if keys.is_empty() {
            break;
        }
        keys.retain(|key| file.index.group_span(*key).is_none());
        file.index.release();
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        disk::{FileId, FileName},
        extent::PageRef,
        files::ReadAt,
        index::{self, GroupPages, Index},
        key::WriterId,
        time::UnixSeconds,
    };

    #[derive(Debug)]
    struct Nothing;

    impl ReadAt for Nothing {
        fn read_at(&self, _: u64, _: &mut [u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// A file whose groups all have one page, of a hundred seconds from `first` on.
    fn file(tier: u8, sequence: u32, first: u32, keys: &[u128]) -> Arc<SealedFile> {
        let id = FileId { sequence, writer: WriterId(0) };
        let groups = keys.iter().map(|key| GroupPages {
            key: GroupKey(*key),
            last: first + 99,
            pages: vec![PageRef { first, frame: 0, frame_len: 1, page: 0 }],
        });
        let bytes = index::build(id, groups.collect(), 4096, 100, Vec::new());
        let index = Index::from_bytes(id, &bytes).expect("just built");
        assert_eq!(index.span().first, UnixSeconds(first.into()), "{}", FileName::Data { tier, id });
        Arc::new(SealedFile::new(tier, id, index, Arc::new(Nothing)))
    }

    #[test]
    fn a_group_is_lost_when_no_file_of_any_tier_has_it() {
        #[track_caller]
        fn check(remaining: &[Arc<SealedFile>], expected: &[u128]) {
            let mut files = FileSet::default();
            for file in remaining {
                files.add(Arc::clone(file));
            }
            let removed = [file(0, 1, 1000, &[1, 2, 3]), file(0, 2, 1000, &[3, 4])];
            let expected: Vec<GroupKey> = expected.iter().map(|key| GroupKey(*key)).collect();
            assert_eq!(lost_groups(&files, &removed), expected);
        }
        check(&[], &[1, 2, 3, 4]);
        check(&[file(0, 9, 5000, &[2])], &[1, 3, 4]);
        check(&[file(0, 9, 5000, &[2]), file(1, 3, 1000, &[1, 4])], &[3]);
        check(&[file(2, 9, 10, &[1, 2, 3, 4, 5])], &[]);
        assert!(lost_groups(&FileSet::default(), &[]).is_empty());
    }
}
