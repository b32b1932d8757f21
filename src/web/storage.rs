//! What readers know of the disk: complete datafiles, and the pages in them.
//!
//! A shard answers with what is in its memory and with places in files that only it knows yet. All other pages are found
//! here, through indexes that are mapped, not read, and pages that were read lately are kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use dbengine::{
    Directory, Disk, FileId, FileName, FileSet, GroupKey, GroupSnapshot, Page, PageRef, ReadAt, ReadError,
    TimeRange, read_from,
};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::runtime::SharedFiles;

/// A page of tier 0, by the file, its frame, and which page of that.
type CacheKey = (FileId, u32, u16);

#[derive(Clone, Debug)]
struct PageBytes;

impl Weighter<CacheKey, Page> for PageBytes {
    fn weight(&self, _: &CacheKey, page: &Page) -> u64 {
        page.as_bytes().len() as u64 + 64
    }
}

/// The disk, for the thread that answers queries.
pub struct Storage {
    files: SharedFiles,
    directory: Directory,
    cache: Cache<CacheKey, Page, PageBytes>,
    /// Pages that could not be read.
    pub(super) broken_pages: u64,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("cached", &self.cache.weight()).finish_non_exhaustive()
    }
}

impl Storage {
    /// `cache_bytes` bounds the pages that are kept.
    pub fn new(files: SharedFiles, directory: Directory, cache_bytes: u64) -> Storage {
        /// For the cache's first table: a page has about this size.
        const TYPICAL_PAGE: u64 = 1024;
        let items = (cache_bytes / TYPICAL_PAGE).clamp(64, 1 << 20) as usize;
        let cache = Cache::with_weighter(items, cache_bytes, PageBytes);
        Storage { files, directory, cache, broken_pages: 0 }
    }

    /// The complete datafiles of now.
    pub(super) fn files(&self) -> Arc<FileSet> {
        Arc::clone(&self.files.read().expect("the keeper does not panic"))
    }

    /// The rows of a group on disk, and those that its shard has told of.
    pub(super) fn span(&self, key: GroupKey, in_shard: Option<TimeRange>) -> Option<TimeRange> {
        let on_disk = self.files().span(0, key);
        match (on_disk, in_shard) {
            (Some(disk), Some(shard)) => {
                Some(TimeRange { first: disk.first.min(shard.first), last: disk.last.max(shard.last) })
            }
            (disk, shard) => disk.or(shard),
        }
    }

    /// Adds to a shard's answer the pages that are on disk. Broken ones are told in the log and left out.
    pub(super) fn complete(&mut self, snapshot: &mut GroupSnapshot) {
        let Some(covered) = snapshot.files() else { return };
        let files = self.files();
        let mut pages = Vec::new();
        for (file, place) in files.pages(0, snapshot.key(), snapshot.window(), covered) {
            pages.extend(read_through(&mut self.cache, &mut self.broken_pages, (file.id, place), || {
                file.read(place)
            }));
        }
        let mut open: HashMap<FileId, Arc<dyn ReadAt>> = HashMap::new();
        for page in snapshot.on_disk() {
            let name = FileName::Data { tier: 0, id: page.file };
            let directory = &self.directory;
            let read = || {
                let data = match open.entry(page.file) {
                    Entry::Occupied(data) => data.into_mut(),
                    Entry::Vacant(vacant) => {
                        let opened = directory.open(name);
                        let failed = |error| ReadError::Io { file: name, offset: 0, error };
                        vacant.insert(opened.map_err(failed)?.0)
                    }
                };
                read_from(name, &**data, page.place)
            };
            pages.extend(read_through(
                &mut self.cache,
                &mut self.broken_pages,
                (page.file, page.place),
                read,
            ));
        }
        snapshot.add_pages(pages);
    }
}

/// A page from the cache, or else from its file.
fn read_through(
    cache: &mut Cache<CacheKey, Page, PageBytes>,
    broken: &mut u64,
    (file, place): (FileId, PageRef),
    read: impl FnOnce() -> Result<Page, ReadError>,
) -> Option<Page> {
    let key = (file, place.frame, place.page);
    if let Some(page) = cache.get(&key) {
        return Some(page.clone());
    }
    match read() {
        Ok(page) => {
            cache.insert(key, page.clone());
            Some(page)
        }
        Err(error) => {
            *broken += 1;
            tracing::error!("{error}; what it held is a gap in answers, the rest serves");
            None
        }
    }
}
