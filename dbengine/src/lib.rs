//! The storage engine: groups of columns in, their samples back out. It knows no hosts, charts or sockets.
//!
//! ```text
//! Engine            all groups of one owner; not shared, not locked
//!   Group           columns that share their timestamps: hot rows, then sealed pages
//!     HotRows       the newest rows, row by row: storing a row is one short copy
//!     Page          up to `page_rows` older rows, column by column, each in its cheapest encoding
//!       Sample      an `f32`, NaN for a gap, and its flags
//! ```
//!
//! A row goes in by [`Engine::append`] and lies in the hot rows until the page is full; then the rows are sealed into
//! a [`Page`], which never changes again. A [`GroupSnapshot`] shares the pages and copies what is hot, so that
//! another thread can decode it while the engine goes on.
//!
//! What always holds:
//!
//! - The rows of a group are strictly newer from one to the next; what is not newer is refused as stale.
//! - A page holds one step and one number of columns. Times are not stored but implied by runs: rows a step apart.
//! - Encodings are exact, bit for bit, but for the payload of a NaN: every NaN is the same gap.
//! - Columns are only ever added. A row that is older than a column is a gap in it.
//! - Bytes that were not sealed here become a page only by [`Page::from_bytes`], which checks all that reading relies on.

mod time;

mod sample;

mod statistics;

mod engine;

mod group;

mod hot;

mod squeezed;

mod cells;

pub mod tight;

mod run;

mod snapshot;

mod page;

mod prefetch;

mod key;

mod disk;

mod journal;

mod extent;

mod datafile;

mod index;

mod store;

mod varint;

mod files;

mod directory;

mod recovery;

mod verification;

mod retention;

mod lost;

mod writer;

mod rollup;

mod bins;

#[cfg(feature = "simulation")]
pub mod simulated_disk;

pub use bins::{Bins, Sums, Wanted};
pub use datafile::{DatafileOptions, DatafileTotals, DiskPage};
pub use directory::Directory;
pub use disk::{BLOCK, DiskDone, DiskError, DiskOp, DiskOpKind, FileId, FileName, OpId};
pub use engine::{Appended, Engine, EngineOptions};
pub use extent::{BrokenPage, ExtentPage, PageRef, build as build_extent};
pub use files::{Disk, FileSet, NewestRows, ReadAt, ReadError, SealedFile, read_from};
pub use group::{GroupId, Keep};
pub use index::{Index, IndexError};
pub use journal::{Record, SegmentDamage, SegmentEnd, read_segment};
pub use key::{GroupKey, WriterId};
pub use lost::{absent_groups, lost_groups};
pub use page::{Encoding, Page, PageError};
pub use prefetch::{prefetch, prefetch_all, prefetch_slice};
pub use recovery::{Finding, Recovered, RecoveryError, inspect, read_journal, recover, repair};
pub use retention::{Retention, expired};
pub use rollup::{Derived, PARTS, Point, derive};
pub use sample::{Row, SampleFlags, Samples};
pub use snapshot::{Fetch, GroupSnapshot};
pub use statistics::{EncodingTotals, SealedTotals, Statistics};
pub use store::{NoteNumber, StoreOptions, StoreTotals};
pub use time::{TimeRange, UnixSeconds};
pub use verification::{Flaw, Verified, verify_file};
pub use writer::{FileWriter, WriteError};
