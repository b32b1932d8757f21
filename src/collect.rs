//! Collected values -> samples: what a v1 child sends is what its collectors read, and its parent computes what is
//! stored. Pure arithmetic over one chart; the clock is an argument.
//!
//! A chart is collected at any moment, but stored at multiples of its `update_every`, the *boundaries*:
//!
//! ```text
//! collected      x          x               x          x
//! boundary  |         |         |         |         |         |
//!                     ^ stored: what was collected after it, interpolated back to the boundary
//! ```
//!
//! So [`Collector::end`] stores nothing, one row, or several rows, always on boundaries and always in time order.
//! After a pause of three boundaries or more the first ones are gaps and the last two are interpolated.
//!
//! Values of protocol v2 have been through all this at the child and never come here.
//!
//! Source: streaming protocol section 5, checked against a real 1.37.1 parent (test vector 13).

pub mod algorithm;

use dbengine::{prefetch_slice, tight};
use smallvec::SmallVec;

use crate::wire::command::Algorithm;
use algorithm::{Difference, counter_difference};

/// Boundaries in one interval from which on the first of them are gaps: `gap when lost iterations above` (1) plus 2.
const GAP_FROM_ITERATIONS: i64 = 3;
const MICROSECONDS: i64 = 1_000_000;

/// How one dimension's collected values are to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub algorithm: Algorithm,
    /// Collected values are multiplied by this, then divided by `divisor`.
    pub multiplier: i64,
    pub divisor: i64,
    /// Do not flag counter resets and overflows.
    pub no_reset_flag: bool,
}

impl Reading {
    fn is_percentage(&self) -> bool {
        matches!(self.algorithm, Algorithm::PercentageOfAbsoluteRow | Algorithm::PercentageOfIncrementalRow)
    }
}

/// A reading as it is kept: three of them lie beside the chart's collector, and hardly any has larger numbers.
#[derive(Clone, Debug, PartialEq)]
enum Kept {
    Narrow { algorithm: Algorithm, no_reset_flag: bool, multiplier: i32, divisor: i32 },
    Wide(Box<Reading>),
}

impl Kept {
    fn new(reading: Reading) -> Self {
        let Reading { algorithm, multiplier, divisor, no_reset_flag } = reading;
        match (multiplier.try_into(), divisor.try_into()) {
            (Ok(multiplier), Ok(divisor)) => Self::Narrow { algorithm, no_reset_flag, multiplier, divisor },
            _ => Self::Wide(Box::new(reading)),
        }
    }

    #[inline(always)]
    fn reading(&self) -> Reading {
        match *self {
            Self::Narrow { algorithm, no_reset_flag, multiplier, divisor } => {
                let (multiplier, divisor) = (multiplier.into(), divisor.into());
                Reading { algorithm, multiplier, divisor, no_reset_flag }
            }
            Self::Wide(ref reading) => **reading,
        }
    }
}

/// One dimension between two collections. All of a parent's are fetched from memory each second, so they are small.
#[derive(Clone, Debug)]
struct Dimension {
    /// The newest collected value.
    last: i64,
    /// Incremental: what came after the last boundary. Others: the last calculated value.
    carry: f64,
    /// Its place among the chart's readings.
    reading: u32,
    /// How often it was collected, as far as it matters: 2 means often enough to store.
    collections: u8,
    reset: bool,
    /// A value beyond 32 bits was collected once: tells 64 bit counters from 32 bit ones.
    is_wide: bool,
}

/// A row ready to be stored.
#[derive(Debug)]
pub struct CollectedRow<'a> {
    /// Unix seconds, a multiple of update every.
    pub time: i64,
    /// One value a dimension, NaN where nothing is to be stored.
    pub values: &'a [f32],
    /// Dimensions whose counter went back in this interval; empty when none did.
    pub resets: &'a [bool],
    /// What was collected of each dimension.
    pub collected: &'a [Option<i64>],
}

/// The state of one chart, from collection to collection.
#[derive(Clone, Debug)]
pub struct Collector {
    /// In seconds, at least 1.
    update_every: u32,
    /// Microseconds since the epoch of the last collection.
    last_collected_us: Option<i64>,
    /// Microseconds since the epoch of the last boundary.
    last_updated_us: Option<i64>,
    /// Time between this collection and the previous one, from `BEGIN`.
    interval_us: i64,
    /// Whether an `END` was seen: the first one only sets the stage.
    done: bool,
    /// The next `BEGIN`'s interval is not to be trusted; the clock is asked instead.
    sync_clock: bool,
    store_first: bool,
    /// Some dimension's value is a share of the whole row's.
    has_percentages: bool,
    dimensions: Vec<Dimension>,
    /// Those of the dimensions: one or two that all share, as a rule. They lie here, as each collection looks at them.
    readings: Readings,
}

type Readings = SmallVec<[Kept; 3]>;

// Two lines of a cache, and a size that allocators have.
const _: () = assert!(size_of::<Collector>() <= 128);

/// A reading is shared with dimensions that came not long before: nobody can make us search for long.
const READINGS_SEARCHED: usize = 8;

/// What is collected between `BEGIN` and `END`, and the rows that come of it. One serves all charts of a connection: it
/// stays in the cache, while a chart's own state is looked at once a second, from front to back, at `END`.
#[derive(Clone, Debug, Default)]
pub struct Collection {
    /// The collected value of each dimension; `None`: it was not collected.
    collected: Vec<Option<i64>>,
    /// Computed from the collected value, and not yet given to a boundary.
    calculated: Vec<f64>,
    values: Vec<f32>,
    resets: Vec<bool>,
}

impl Collection {
    /// The collected value of each dimension; `None`: it was not collected.
    pub fn collected(&self) -> &[Option<i64>] {
        &self.collected
    }

    /// `SET`: one dimension's collected value. A dimension that was defined after `BEGIN` has no place in this collection.
    #[inline]
    pub fn set(&mut self, index: usize, value: i64) {
        if let Some(place) = self.collected.get_mut(index) {
            *place = Some(value);
        }
    }

    fn row(&self, boundary_us: i64) -> CollectedRow<'_> {
        CollectedRow {
            time: boundary_us / MICROSECONDS,
            values: &self.values,
            resets: &self.resets,
            collected: &self.collected,
        }
    }
}

impl Dimension {
    /// What the collected value means, by its algorithm. `totals` of the row, where it is a share of them.
    #[inline(always)]
    fn calculate(&mut self, collected: i64, reading: Reading, (total, last_total): (i64, i64)) -> f64 {
        self.collections = (self.collections + 1).min(2);
        self.is_wide |= collected.unsigned_abs() > u64::from(u32::MAX);
        let scale = |value: f64| value * reading.multiplier as f64 / reading.divisor as f64;
        match reading.algorithm {
            Algorithm::Absolute => scale(collected as f64),
            Algorithm::PercentageOfAbsoluteRow if total == 0 => 0.0,
            Algorithm::PercentageOfAbsoluteRow => 100.0 * collected as f64 / total as f64,
            Algorithm::Incremental | Algorithm::PercentageOfIncrementalRow if self.collections <= 1 => 0.0,
            Algorithm::Incremental => {
                let difference = counter_difference(self.last, collected, self.is_wide);
                self.reset = !matches!(difference, Difference::Forward(_)) && !reading.no_reset_flag;
                scale(difference.amount() as f64)
            }
            Algorithm::PercentageOfIncrementalRow if total == last_total => 0.0,
            Algorithm::PercentageOfIncrementalRow => {
                100.0 * collected.wrapping_sub(self.last) as f64 / total.wrapping_sub(last_total) as f64
            }
        }
    }

    /// Its value at a boundary at `share` of the way to this collection. `calculated`: what is left for later ones.
    #[inline(always)]
    fn interpolate(
        &mut self,
        calculated: &mut f64,
        share: f64,
        iterations: i64,
        update_every: f64,
        reading: Reading,
    ) -> f64 {
        if reading.algorithm == Algorithm::Incremental {
            let part = *calculated * share;
            *calculated -= part;
            (part + std::mem::take(&mut self.carry)) / update_every
        } else if iterations == 1 {
            *calculated
        } else {
            self.carry + (*calculated - self.carry) * share
        }
    }

    /// What the next collection has to know of this one.
    #[inline(always)]
    fn carry_over(&mut self, collected: i64, calculated: f64, first: bool, reading: Reading) {
        self.last = collected;
        if reading.algorithm != Algorithm::Incremental {
            self.carry = calculated;
        } else if !first {
            self.carry += calculated;
        }
    }
}

/// What `RSSTATE` and `RDSTATE` say of a chart.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct State {
    /// Unix microseconds, 0 for never.
    pub(crate) last_collected_us: i64,
    pub(crate) last_updated_us: i64,
    /// Whether each was collected, its last value, and what was calculated of it.
    pub(crate) dimensions: Vec<(bool, i64, f64)>,
}

impl Collector {
    /// A chart that was never collected. `update_every` in seconds, at least 1; `store_first` is the chart's option of
    /// that name: its first collection is stored.
    pub fn new(update_every: u32, store_first: bool) -> Self {
        Self {
            update_every: update_every.max(1),
            last_collected_us: None,
            last_updated_us: None,
            interval_us: 0,
            done: false,
            sync_clock: true,
            store_first,
            has_percentages: false,
            dimensions: Vec::new(),
            readings: SmallVec::new(),
        }
    }

    /// Adds a dimension; its index is the number of dimensions before it. The clock is asked at the next `BEGIN`.
    pub fn add_dimension(&mut self, reading: Reading) {
        self.has_percentages |= reading.is_percentage();
        let reading = share(&mut self.readings, reading);
        tight::push(
            &mut self.dimensions,
            Dimension {
                last: 0,
                carry: 0.0,
                reading,
                collections: u8::from(self.store_first),
                reset: false,
                is_wide: false,
            },
        );
        self.sync_clock = true;
    }

    /// Changes how a dimension's values are read.
    pub fn redefine_dimension(&mut self, index: usize, reading: Reading) {
        let before = std::mem::take(&mut self.readings);
        for (at, dimension) in self.dimensions.iter_mut().enumerate() {
            let own = if at == index { reading } else { before[dimension.reading as usize].reading() };
            dimension.reading = share(&mut self.readings, own);
        }
        self.dimensions[index].reset = false;
        self.has_percentages = self.readings.iter().any(|kept| kept.reading().is_percentage());
    }

    /// The chart was defined again, maybe with another `update_every` (seconds).
    pub fn redefine(&mut self, update_every: u32, store_first: bool) {
        self.update_every = update_every.max(1);
        self.store_first = store_first;
        self.sync_clock = true;
    }

    /// `BEGIN`: a collection starts. `microseconds` since the previous one as the child says, 0 or less for unknown;
    /// `longest_us` is the chart's whole retention: after a longer pause it starts from scratch.
    pub fn begin(&mut self, microseconds: i64, now_us: i64, longest_us: i64, collection: &mut Collection) {
        prefetch_slice(&self.dimensions);
        if self.readings.spilled() {
            prefetch_slice(&self.readings);
        }
        collection.collected.clear();
        collection.collected.resize(self.dimensions.len(), None);
        let Some(last_collected_us) = self.last_collected_us.filter(|_| self.done) else {
            self.interval_us = 0;
            return;
        };
        let by_clock = now_us.saturating_sub(last_collected_us).saturating_abs();
        self.interval_us = if self.sync_clock || microseconds <= 0 { by_clock } else { microseconds };
        self.sync_clock = false;
        if self.interval_us > longest_us {
            self.restart();
        }
    }

    /// `END`: stores what is due, by calling `store` with each row in time order.
    pub fn end(&mut self, now_us: i64, collection: &mut Collection, mut store: impl FnMut(CollectedRow<'_>)) {
        collection.collected.resize(self.dimensions.len(), None);
        let unit = self.update_every_us();
        let mut first = false;
        let (mut previous_us, collected_us) = match self.last_collected_us {
            None => {
                first = true;
                let half = if self.store_first { 0 } else { MICROSECONDS / 2 };
                let collected_us = now_us.div_euclid(unit) * unit + half;
                (collected_us - unit, collected_us)
            }
            Some(last) => (last, last.saturating_add(self.interval_us)),
        };
        self.last_collected_us = Some(collected_us);
        let mut boundary_us = match self.last_updated_us {
            None => {
                first = true;
                let second = collected_us.div_euclid(MICROSECONDS) * MICROSECONDS;
                let start = if self.store_first { second - unit } else { second };
                start.div_euclid(unit) * unit
            }
            Some(updated) => updated,
        };
        let mut may_store = !first;
        if !self.done {
            may_store = self.store_first;
            if self.store_first {
                previous_us = boundary_us;
            }
            self.done = true;
        }

        let mut iterations =
            (collected_us - boundary_us).div_euclid(unit) + i64::from(collected_us.rem_euclid(unit) == 0);
        let is_due = boundary_us + unit <= collected_us;
        if is_due && collected_us - unit < boundary_us + unit && !self.has_percentages {
            boundary_us += unit;
            self.last_updated_us = Some(boundary_us);
            let share = (boundary_us - previous_us) as f64 / (collected_us - previous_us) as f64;
            if self.pass_one(share, iterations, may_store, first, collection) {
                store(collection.row(boundary_us));
            }
            return;
        }
        self.calculate(collection);
        if iterations >= GAP_FROM_ITERATIONS {
            let skipped =
                (iterations - (GAP_FROM_ITERATIONS - 1)).min((collected_us - boundary_us).div_euclid(unit));
            boundary_us += skipped * unit;
            self.skip_to(boundary_us, previous_us, collected_us, collection);
            previous_us = boundary_us;
            iterations -= skipped;
        }
        while boundary_us + unit <= collected_us {
            boundary_us += unit;
            let share = (boundary_us - previous_us) as f64 / (collected_us - previous_us) as f64;
            if self.interpolate(share, iterations, may_store, collection) {
                store(collection.row(boundary_us));
            }
            previous_us = boundary_us;
            iterations -= 1;
        }
        self.last_updated_us = Some(boundary_us);
        self.carry_over(first, collection);
    }

    /// Point by point of a replicated past: `dimension` was collected once more.
    pub fn replayed(&mut self, index: usize) {
        let collections = &mut self.dimensions[index].collections;
        *collections = (*collections + 1).min(2);
    }

    /// `RDSTATE`: where the child's own arithmetic stands for one dimension.
    pub fn restore_dimension(&mut self, index: usize, last_collected_value: i64, last_calculated: f64) {
        let dimension = &mut self.dimensions[index];
        dimension.last = last_collected_value;
        dimension.carry = last_calculated;
    }

    /// The child has collected this dimension before, as its state tells: its next value is not its first.
    pub fn was_collected(&mut self, index: usize) {
        let collections = &mut self.dimensions[index].collections;
        *collections = (*collections).max(1);
    }

    /// `RSSTATE` and `REND … true`: the times of the child's arithmetic. From now on its intervals are trusted.
    /// Times that are not later than ours change nothing, nor does 0, which stands for never.
    pub fn restore(&mut self, last_collected_us: i64, last_updated_us: i64) {
        let later = |ours: Option<i64>, theirs: i64| ours.max((theirs > 0).then_some(theirs));
        self.last_collected_us = later(self.last_collected_us, last_collected_us);
        self.last_updated_us = later(self.last_updated_us, last_updated_us);
        self.done = true;
        self.sync_clock = false;
    }

    /// `REND … true` without `RSSTATE`: the child had nothing to tell of its arithmetic. From now on its intervals are
    /// trusted, as at every parent; but not the first one after a pause, which would put the next value that much into
    /// the past.
    pub fn replication_is_over(&mut self, now_us: i64) {
        let pause_us = self.last_collected_us.map_or(0, |last| now_us.saturating_sub(last).saturating_abs());
        self.sync_clock = pause_us >= 2 * self.update_every_us();
    }

    /// The last collected value of a dimension and when it was collected (microseconds since the epoch).
    pub fn last_collected(&self, index: usize) -> Option<(i64, i64)> {
        let dimension = self.dimensions.get(index)?;
        (dimension.collections > 0).then_some((dimension.last, self.last_collected_us?))
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> State {
        State {
            last_collected_us: self.last_collected_us.unwrap_or_default(),
            last_updated_us: self.last_updated_us.unwrap_or_default(),
            dimensions: self
                .dimensions
                .iter()
                .map(|dimension| (dimension.collections > 0, dimension.last, dimension.carry))
                .collect(),
        }
    }

    /// When it was collected last, and the last boundary (microseconds since the epoch). `None`: it never was.
    pub fn times(&self) -> Option<(i64, i64)> {
        self.last_collected_us.zip(self.last_updated_us)
    }

    /// The last collected value of each dimension, and what is carried over of it.
    pub fn carried(&self) -> impl Iterator<Item = (i64, f64)> {
        self.dimensions.iter().map(|dimension| (dimension.last, dimension.carry))
    }

    /// Microseconds between the last two collections, as `BEGIN` said or the clock; 0 for the first.
    pub fn interval_us(&self) -> i64 {
        self.interval_us
    }

    /// Forgets all but the definitions.
    fn restart(&mut self) {
        self.last_collected_us = None;
        self.last_updated_us = None;
        self.done = false;
        for dimension in &mut self.dimensions {
            dimension.carry = 0.0;
            dimension.is_wide = false;
            dimension.collections = u8::from(self.store_first);
        }
    }

    /// The sums of the row's collected values, and of the values before them. Counters that went back count as still.
    fn totals(&mut self, collection: &Collection) -> (i64, i64) {
        let (mut row_total, mut row_last_total) = (0i64, 0i64);
        for (dimension, collected) in self.dimensions.iter_mut().zip(&collection.collected) {
            let Some(collected) = *collected else { continue };
            let reading = self.readings[dimension.reading as usize].reading();
            if reading.algorithm == Algorithm::PercentageOfIncrementalRow {
                dimension.reset = false;
                if dimension.collections == 0 {
                    dimension.last = collected;
                }
                if collected < dimension.last {
                    dimension.reset = !reading.no_reset_flag;
                    dimension.last = collected;
                }
            }
            row_total = row_total.wrapping_add(collected);
            row_last_total = row_last_total.wrapping_add(dimension.last);
        }
        (row_total, row_last_total)
    }

    /// All that is to be done where one boundary lies between two collections, which is nearly always: computes its row, as
    /// [`calculate`](Self::calculate), [`interpolate`](Self::interpolate) and [`carry_over`](Self::carry_over) do one
    /// after the other. No dimension is a share of the row.
    fn pass_one(
        &mut self,
        share: f64,
        iterations: i64,
        may_store: bool,
        first: bool,
        collection: &mut Collection,
    ) -> bool {
        let update_every = f64::from(self.update_every);
        let (mut any, mut any_reset) = (false, false);
        let readings = &self.readings[..];
        let pass = |(dimension, collected): (&mut Dimension, &Option<i64>)| {
            let reading = readings[dimension.reading as usize].reading();
            let Some(collected) = *collected else {
                dimension.interpolate(&mut 0.0, share, iterations, update_every, reading);
                return f32::NAN;
            };
            let mut calculated = dimension.calculate(collected, reading, (0, 0));
            let value = dimension.interpolate(&mut calculated, share, iterations, update_every, reading);
            dimension.carry_over(collected, calculated, first, reading);
            let stores = may_store && dimension.collections > 1;
            any |= stores;
            any_reset |= stores && dimension.reset;
            if stores { value as f32 } else { f32::NAN }
        };
        collection.values.clear();
        collection.values.extend(self.dimensions.iter_mut().zip(&collection.collected).map(pass));
        self.note_resets(any_reset, collection);
        any
    }

    fn note_resets(&self, any: bool, collection: &mut Collection) {
        collection.resets.clear();
        if any {
            collection.resets.extend(self.dimensions.iter().map(|dimension| dimension.reset));
        }
    }

    fn update_every_us(&self) -> i64 {
        i64::from(self.update_every) * MICROSECONDS
    }

    /// What each dimension's collected value means, by its algorithm.
    fn calculate(&mut self, collection: &mut Collection) {
        let totals = if self.has_percentages { self.totals(collection) } else { (0, 0) };
        let readings = &self.readings[..];
        let calculate = |(dimension, collected): (&mut Dimension, &Option<i64>)| {
            let reading = readings[dimension.reading as usize].reading();
            collected.map_or(0.0, |collected| dimension.calculate(collected, reading, totals))
        };
        collection.calculated.clear();
        collection.calculated.extend(self.dimensions.iter_mut().zip(&collection.collected).map(calculate));
    }

    /// The boundaries up to `boundary_us` are gaps: what incremental dimensions gained until then is lost.
    fn skip_to(
        &mut self,
        boundary_us: i64,
        previous_us: i64,
        collected_us: i64,
        collection: &mut Collection,
    ) {
        let left = (collected_us - boundary_us) as f64 / (collected_us - previous_us) as f64;
        for (dimension, calculated) in self.dimensions.iter_mut().zip(&mut collection.calculated) {
            if self.readings[dimension.reading as usize].reading().algorithm == Algorithm::Incremental {
                *calculated *= left;
                dimension.carry = 0.0;
            }
        }
    }

    /// Computes the row of the next boundary, which lies at `share` of the way from the previous one (or the previous
    /// collection) to this collection. Says whether there is anything to store in it.
    fn interpolate(
        &mut self,
        share: f64,
        iterations: i64,
        may_store: bool,
        collection: &mut Collection,
    ) -> bool {
        let update_every = f64::from(self.update_every);
        let Collection { collected, calculated, values, .. } = collection;
        values.clear();
        let (mut any, mut any_reset) = (false, false);
        let readings = &self.readings[..];
        for ((dimension, collected), calculated) in self.dimensions.iter_mut().zip(collected).zip(calculated)
        {
            let reading = readings[dimension.reading as usize].reading();
            let value = dimension.interpolate(calculated, share, iterations, update_every, reading);
            let is_set = collected.is_some();
            let stores = is_set && may_store && dimension.collections > 1 && iterations < GAP_FROM_ITERATIONS;
            values.push(if stores { value as f32 } else { f32::NAN });
            any |= stores;
            any_reset |= stores && dimension.reset;
        }
        self.note_resets(any_reset, collection);
        any
    }

    /// What the next collection has to know of this one.
    fn carry_over(&mut self, first: bool, collection: &Collection) {
        let collected = collection.collected.iter().zip(&collection.calculated);
        let readings = &self.readings[..];
        for (dimension, (collected, calculated)) in self.dimensions.iter_mut().zip(collected) {
            if let Some(collected) = *collected {
                let reading = readings[dimension.reading as usize].reading();
                dimension.carry_over(collected, *calculated, first, reading);
            }
        }
    }
}

/// The place of this reading, which is added unless it is among the last ones.
fn share(readings: &mut Readings, reading: Reading) -> u32 {
    let kept = Kept::new(reading);
    let searched = readings.len().saturating_sub(READINGS_SEARCHED);
    let known = readings[searched..].iter().position(|known| *known == kept);
    let place = known.map_or(readings.len(), |found| searched + found);
    if known.is_none() {
        readings.push(kept);
    }
    place as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const T: i64 = 1_795_342_281;

    fn reading(algorithm: Algorithm, multiplier: i64, divisor: i64) -> Reading {
        Reading { algorithm, multiplier, divisor, no_reset_flag: false }
    }

    fn collect(
        collector: &mut Collector,
        microseconds: i64,
        now_us: i64,
        values: &[Option<i64>],
    ) -> Vec<(i64, Vec<f32>)> {
        let mut collection = Collection::default();
        collector.begin(microseconds, now_us, i64::MAX, &mut collection);
        for (index, value) in values.iter().enumerate() {
            if let Some(value) = value {
                collection.set(index, *value);
            }
        }
        let mut rows = Vec::new();
        collector.end(now_us, &mut collection, |row| rows.push((row.time, row.values.to_vec())));
        rows
    }

    /// Vector 13 of the protocol reference: fed to a real 1.37.1 parent and read back.
    #[test]
    fn after_replication_values_are_those_of_a_real_parent() {
        let mut collector = Collector::new(1, false);
        collector.add_dimension(reading(Algorithm::Incremental, 1, 1));
        collector.add_dimension(reading(Algorithm::Incremental, 8, 1000));
        collector.add_dimension(reading(Algorithm::Absolute, 1, 10));
        for index in 0..3 {
            collector.replayed(index);
        }
        collector.restore_dimension(0, 100, 64.763_396_8);
        collector.restore_dimension(1, 4_294_967_250, 0.259_053_6);
        collector.restore_dimension(2, -43, -4.3);
        collector.restore(T * 1_000_000 + 918_981, T * 1_000_000);

        let steps: [(i64, [i64; 3]); 7] = [
            (1_016_533, [200, 4_294_967_290, -36]),
            (1_015_411, [300, 30, -29]),
            (2_023_989, [450, 80, -22]),
            (1_000_000, [50, 130, -15]),
            (1_044_000, [150, 180, -8]),
            (4_000_000, [550, 380, 20]),
            (1_000_000, [650, 430, 27]),
        ];
        let mut rows = Vec::new();
        for (microseconds, values) in steps {
            rows.extend(collect(&mut collector, microseconds, 0, &values.map(Some)));
        }
        let expected: [(i64, [f32; 3]); 10] = [
            (1, [72.73353, 0.284558, -3.6]),
            (2, [98.3806, 0.3122776, -2.9]),
            (3, [97.28627, 0.2719166, -2.883027]),
            (4, [74.11107, 0.1976295, -2.2]),
            (5, [72.25192, 0.2027062, -1.5]),
            (6, [2.402874, 0.3995771, -1.48318]),
            (7, [95.78544, 0.3831418, -0.8]),
            (10, [100.0, 0.4, 0.5868842]),
            (11, [100.0, 0.4, 2.0]),
            (12, [100.0, 0.4, 2.7]),
        ];
        assert_eq!(rows.len(), expected.len(), "{rows:?}");
        for ((time, values), (at, wanted)) in rows.iter().zip(&expected) {
            assert_eq!(*time, T + at);
            for (value, wanted) in values.iter().zip(wanted) {
                assert!((value - wanted).abs() <= wanted.abs() * 1e-5, "at T+{at}: {value} is not {wanted}");
            }
        }
    }

    #[test]
    fn the_first_collection_is_not_stored_and_the_second_interval_is_taken_from_the_clock() {
        let mut collector = Collector::new(1, false);
        collector.add_dimension(reading(Algorithm::Absolute, 1, 1));
        let now = T * 1_000_000 + 200_000;
        assert_eq!(collect(&mut collector, 0, now, &[Some(5)]), vec![]);
        // 1 s by its clock, but 0.9 s after the half second that the first collection was set to.
        let rows = collect(&mut collector, 77, now + 1_200_000, &[Some(6)]);
        assert_eq!(rows, vec![(T + 1, vec![6.0])]);
        assert_eq!(collect(&mut collector, 1_000_000, 0, &[Some(7)]), vec![(T + 2, vec![7.0])]);
    }

    #[test]
    fn store_first_stores_the_first_collection() {
        let mut collector = Collector::new(1, true);
        collector.add_dimension(reading(Algorithm::Absolute, 1, 1));
        let rows = collect(&mut collector, 0, T * 1_000_000 + 200_000, &[Some(5)]);
        assert_eq!(rows, vec![(T, vec![5.0])]);
    }

    #[test]
    fn a_dimension_without_a_value_is_a_gap() {
        let mut collector = Collector::new(1, false);
        collector.add_dimension(reading(Algorithm::Absolute, 1, 1));
        collector.add_dimension(reading(Algorithm::Absolute, 1, 1));
        collect(&mut collector, 0, T * 1_000_000, &[Some(1), Some(1)]);
        collect(&mut collector, 0, T * 1_000_000 + 1_500_000, &[Some(2), Some(2)]);
        let rows = collect(&mut collector, 1_000_000, 0, &[Some(3), None]);
        assert_eq!(rows[0].1[0], 3.0);
        assert!(rows[0].1[1].is_nan());
    }

    #[test]
    fn percentages_are_of_the_whole_row() {
        for (algorithm, last) in [
            (Algorithm::PercentageOfAbsoluteRow, [25.0, 75.0]),
            (Algorithm::PercentageOfIncrementalRow, [10.0, 90.0]),
        ] {
            let mut collector = Collector::new(1, false);
            collector.add_dimension(reading(algorithm, 1, 1));
            collector.add_dimension(reading(algorithm, 1, 1));
            collect(&mut collector, 0, T * 1_000_000, &[Some(90), Some(210)]);
            let rows = collect(&mut collector, 0, T * 1_000_000 + 1_500_000, &[Some(100), Some(300)]);
            assert_eq!(rows, vec![(T + 1, last.to_vec())], "{algorithm:?}");
        }
    }

    #[test]
    fn a_pause_longer_than_the_retention_starts_from_scratch() {
        let mut collector = Collector::new(1, false);
        collector.add_dimension(reading(Algorithm::Absolute, 1, 1));
        collect(&mut collector, 0, T * 1_000_000, &[Some(1)]);
        collect(&mut collector, 0, T * 1_000_000 + 1_500_000, &[Some(1)]);
        let mut collection = Collection::default();
        collector.begin(10_000_000, (T + 11) * 1_000_000, 5_000_000, &mut collection);
        collection.set(0, 9);
        let mut rows = 0;
        collector.end((T + 11) * 1_000_000, &mut collection, |_| rows += 1);
        assert_eq!(rows, 0);
    }

    #[test]
    fn extreme_values_and_times_do_not_panic() {
        let mut collector = Collector::new(1, false);
        for algorithm in [
            Algorithm::Absolute,
            Algorithm::Incremental,
            Algorithm::PercentageOfAbsoluteRow,
            Algorithm::PercentageOfIncrementalRow,
        ] {
            collector.add_dimension(reading(algorithm, i64::MIN, -1));
        }
        for value in [i64::MIN, i64::MAX, 0, -1, 1, i64::MAX, i64::MIN] {
            for microseconds in [i64::MIN, 0, 1, 3_600_000_000] {
                let mut collection = Collection::default();
                collector.begin(microseconds, T * 1_000_000, 3_600_000_000, &mut collection);
                (0..4).for_each(|index| collection.set(index, value));
                collector.end(T * 1_000_000, &mut collection, |_| {});
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn one_boundary_at_once_is_as_step_by_step(
            first in any::<bool>(),
            algorithms in proptest::collection::vec((any::<bool>(), prop_oneof![-3_i64..20, Just(1_i64 << 40)], 1_i64..8, any::<bool>()), 1..5),
            collections in proptest::collection::vec(
                (prop_oneof![500_000_i64..1_600_000, 0_i64..9_000_000], proptest::collection::vec(proptest::option::of(-50_i64..1_000_000), 4)),
                1..30,
            ),
            update_every in 1_u32..3,
        ) {
            let mut collector = Collector::new(update_every, first);
            for (grows, multiplier, divisor, no_reset_flag) in algorithms {
                let algorithm = if grows { Algorithm::Incremental } else { Algorithm::Absolute };
                collector.add_dimension(Reading { algorithm, multiplier, divisor, no_reset_flag });
            }
            let mut step_by_step = collector.clone();
            // Not at once, where there may be any.
            step_by_step.has_percentages = true;
            let mut now_us = T * MICROSECONDS;
            for (interval, values) in collections {
                now_us += interval;
                let rows = |collector: &mut Collector| {
                    let mut collection = Collection::default();
                    collector.begin(interval, now_us, 60 * MICROSECONDS, &mut collection);
                    for (at, value) in values.iter().enumerate() {
                        value.iter().for_each(|value| collection.set(at, *value));
                    }
                    let mut rows = Vec::new();
                    collector.end(now_us, &mut collection, |row| {
                        let bits: Vec<u32> = row.values.iter().map(|value| value.to_bits()).collect();
                        rows.push((row.time, bits, row.resets.to_vec()));
                    });
                    rows
                };
                prop_assert_eq!(rows(&mut collector), rows(&mut step_by_step));
                prop_assert_eq!(format!("{:?}", collector.state()), format!("{:?}", step_by_step.state()));
            }
        }
    }
}
