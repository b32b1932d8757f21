//! A value and its flags: as a row on the way in, as a column on the way out.
//!
//! A value is an `f32`, as in Netdata's database; a gap is a NaN, whichever NaN it is.

use std::ops::{BitOr, BitOrAssign};

use crate::{TimeRange, run::Run};

/// What is known of a sample beside its value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SampleFlags(pub u8);

impl SampleFlags {
    pub const NONE: SampleFlags = SampleFlags(0);
    /// The counter behind the value was reset or overflowed.
    pub const RESET: SampleFlags = SampleFlags(1);
    /// The child's anomaly detection found the value unusual.
    pub const ANOMALOUS: SampleFlags = SampleFlags(2);

    /// Whether every flag of `flags` is set.
    pub fn contains(self, flags: SampleFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Only the flags that the engine keeps.
    pub(crate) fn known(self) -> SampleFlags {
        SampleFlags(self.0 & (SampleFlags::RESET.0 | SampleFlags::ANOMALOUS.0))
    }
}

impl BitOr for SampleFlags {
    type Output = SampleFlags;

    fn bitor(self, other: SampleFlags) -> SampleFlags {
        SampleFlags(self.0 | other.0)
    }
}

impl BitOrAssign for SampleFlags {
    fn bitor_assign(&mut self, other: SampleFlags) {
        self.0 |= other.0;
    }
}

/// One second of a group: a value for each of its columns.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// One per column, NaN for a gap.
    pub values: &'a [f32],
    /// One per column, or `None` when no flag is set in the whole row, as nearly always.
    pub flags: Option<&'a [SampleFlags]>,
}

/// Samples of one column in order of time, as parallel arrays. Rows that were never stored are not there; gaps are.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// [`UnixSeconds`](crate::UnixSeconds) as bare numbers, for arithmetic on whole arrays.
    pub times: Vec<i64>,
    /// One per time, NaN for a gap.
    pub values: Vec<f32>,
    /// One per time, or empty when no flag is set in all of them.
    pub flags: Vec<SampleFlags>,
}

impl Samples {
    pub fn len(&self) -> usize {
        self.times.len()
    }

    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
        self.flags.clear();
    }

    /// The flags of sample `index`, also when none are set at all.
    pub fn flags_at(&self, index: usize) -> SampleFlags {
        self.flags.get(index).copied().unwrap_or_default()
    }

    /// Adds the times of those rows that lie in `window`, and says which rows they are. Runs are in order of time, so
    /// the rows have no hole between them.
    pub(crate) fn push_times(
        &mut self,
        runs: impl Iterator<Item = Run>,
        step: u32,
        window: TimeRange,
    ) -> std::ops::Range<usize> {
        let mut rows = 0..0;
        for run in runs.filter_map(|run| run.clip(step, window)) {
            if rows.is_empty() {
                rows.start = usize::from(run.row);
            }
            rows.end = usize::from(run.row + run.rows);
            let (first, step) = (run.first.0, i64::from(step));
            self.times.extend((0..i64::from(run.rows)).map(|row| first + row * step));
        }
        rows
    }

    /// Adds flags for the newest values; `flags` has one for each of them.
    pub(crate) fn push_flags(&mut self, flags: impl ExactSizeIterator<Item = SampleFlags>) {
        self.flags.resize(self.values.len() - flags.len(), SampleFlags::NONE);
        self.flags.extend(flags);
    }

    /// Gives every value a flag if one of them has any. Parts without flags are only counted when all are there.
    pub(crate) fn settle_flags(&mut self) {
        if self.flags.iter().all(|flags| *flags == SampleFlags::NONE) {
            self.flags.clear();
        } else {
            self.flags.resize(self.values.len(), SampleFlags::NONE);
        }
    }
}
