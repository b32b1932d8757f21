//! What readers know of the disk: complete datafiles, and the pages in them.
//!
//! A shard answers with what is in its memory and with places in files that only it knows yet. All other pages are found
//! here, through indexes that are mapped, not read, and pages that were read lately are kept.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use dbengine::{
    Directory, Disk, FileId, FileName, FileSet, GroupKey, GroupSnapshot, Page, PageRef, ReadAt, ReadError,
    SealedFile, TimeRange, UnixSeconds, read_from,
};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::query::Tier;
use crate::runtime::SharedFiles;

/// A page, by the tier, the file, and where in it.
type CacheKey = (u8, FileId, PageRef);

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

    /// The oldest row of a group in complete datafiles.
    pub fn oldest(&self, key: GroupKey) -> Option<UnixSeconds> {
        self.files().span(0, key).map(|span| span.first)
    }

    /// The rows of a group on disk, and those that its shard has told of.
    pub(super) fn span(&self, key: GroupKey, in_shard: Option<TimeRange>) -> Option<TimeRange> {
        let files = self.files();
        let on_disk =
            (0..files.tiers().len() as u8).filter_map(|tier| files.span(tier, key)).reduce(TimeRange::hull);
        match (on_disk, in_shard) {
            (Some(disk), Some(shard)) => {
                // A row of a tier is stamped with the end of its time, which may be to come.
                Some(TimeRange { first: disk.first.min(shard.first), last: shard.last })
            }
            (disk, shard) => disk.or(shard),
        }
    }

    /// The finest tier that reaches back to `first` for a group; tier 0 if none does.
    pub(super) fn tier_since(&self, first: UnixSeconds, key: Option<GroupKey>) -> u8 {
        let files = self.files();
        let Some(key) = key else { return 0 };
        let reaches = |tier: &u8| files.span(*tier, key).is_some_and(|span| span.first <= first);
        (0..files.tiers().len() as u8).find(reaches).unwrap_or(0)
    }

    /// Adds to a shard's answer what is on disk, and makes it one of a tier's rows: what a file of the tier has is taken
    /// from there, the rest from the tiers below. Broken pages are told in the log and left out.
    pub fn complete(&mut self, snapshot: &mut GroupSnapshot, tier: Tier) {
        let files = self.files();
        if tier == Tier::FINEST {
            let all: Vec<_> = files.tier(0).iter().collect();
            return self.add_samples(snapshot, &all, |_| false);
        }
        let (key, window) = (snapshot.key(), snapshot.window());
        let mut pages = Vec::new();
        for number in 1..=tier.number {
            let sources = if number == tier.number {
                files.tier(number).iter().collect()
            } else {
                files.underived(number)
            };
            for file in sources.into_iter().filter(|file| file.index.span().overlaps(window)) {
                for place in file.index.pages(key, window) {
                    pages.extend(self.read_page(file, place));
                }
            }
        }
        // What the shard still speaks for may have been derived from since it was asked.
        self.add_samples(snapshot, &files.underived(0), |file| files.is_derived(0, file));
        let step = u32::try_from(tier.factor.saturating_mul(snapshot.step().into())).unwrap_or(u32::MAX);
        snapshot.roll_up(step, pages);
    }

    fn read_page(&mut self, file: &SealedFile, place: PageRef) -> Option<Page> {
        read_through(&mut self.cache, &mut self.broken_pages, (file.tier, file.id, place), || {
            file.read(place)
        })
    }

    /// Adds the pages of these files, and those that the shard told of but for files that are `known` otherwise.
    fn add_samples(
        &mut self,
        snapshot: &mut GroupSnapshot,
        files: &[&Arc<SealedFile>],
        known: impl Fn(FileId) -> bool,
    ) {
        let Some(covered) = snapshot.files() else { return };
        let (key, window) = (snapshot.key(), snapshot.window());
        let mut pages = Vec::new();
        for file in files {
            if file.index.span().overlaps(window) && !covered.contains(&file.id) {
                for place in file.index.pages(key, window) {
                    pages.extend(self.read_page(file, place));
                }
            }
        }
        let mut open: HashMap<FileId, Arc<dyn ReadAt>> = HashMap::new();
        for page in snapshot.on_disk().iter().filter(|page| !known(page.file)) {
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
                (0, page.file, page.place),
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
    key: CacheKey,
    read: impl FnOnce() -> Result<Page, ReadError>,
) -> Option<Page> {
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
