//! [`Series`]: what a dimension collects at every moment, as a formula, so that whatever a parent stored can be checked
//! without anybody having kept it.
//!
//! | of 20 dimensions | kind     | collected                                         | stored            |
//! |------------------|----------|---------------------------------------------------|-------------------|
//! | 9                | constant | mostly 0                                          | the same          |
//! | 4                | walk     | a line from level to level, give or take 2        | the same          |
//! | 2                | random   | below 50 000                                      | the same          |
//! | 2                | percent  | thousandths, 0 to 100 000, divisor 1000           | three decimals    |
//! | 3                | counter  | grows by its rate; microseconds count             | the rate          |
//!
//! The kind is a matter of the load: dimension 7 of chart 3 has the same one on every child. The values are the child's
//! own. All but the counters depend on the second alone.
//!
//! That is [`Values::Mixed`]. Other [`Values`] have one kind only, or a column of a recording each, which a child begins
//! to read at a place of its own and reads again and again.

use std::path::PathBuf;

use mainstem::wire::command::Algorithm;
use serde::{Deserialize, Serialize};

/// Counters count from here, so that they stay as short as those of a machine that has been up for years.
const COUNTERS_BEGAN: i64 = 1_700_000_000;
/// Seconds that a walk takes from one level to the next.
const STRIDE: i64 = 16;
/// What the times of collection, never exactly a second apart, do to a rate: one part in so many.
const RATE_NOISE: u64 = 8192;

pub const MICROSECONDS: i64 = 1_000_000;

/// What the dimensions of a load collect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Values {
    /// All kinds, as often as the table has them.
    #[default]
    Mixed,
    Constant,
    /// Small ones: 0 to 9, others every second.
    Integers,
    /// Noisy: no two seconds are the same, three decimals.
    Gauges,
    Counters,
    /// Samples of a recorded child, column by column: a file as [`capture`](crate::capture) reads it.
    Capture(PathBuf),
}

/// A column of a recording: samples times `divisor`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Column {
    pub values: Vec<i64>,
    pub divisor: i64,
}

/// How the values of a dimension behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Constant,
    Integer,
    Walk,
    Random,
    Percent,
    Counter,
    Recorded(&'static Column),
}

impl Kind {
    /// The kind of the dimension at `position`, counted over all charts of a child.
    pub fn of(seed: u64, position: u64) -> Kind {
        // 7 and 20 have no common divisor: 20 neighbours are 20 different cases.
        match (position.wrapping_mul(7).wrapping_add(seed % 20)) % 20 {
            0..9 => Kind::Constant,
            9..13 => Kind::Walk,
            13..15 => Kind::Random,
            15..17 => Kind::Percent,
            _ => Kind::Counter,
        }
    }

    pub fn algorithm(self) -> Algorithm {
        if self == Kind::Counter { Algorithm::Incremental } else { Algorithm::Absolute }
    }

    pub fn divisor(self) -> i64 {
        match self {
            Kind::Percent => 1000,
            Kind::Recorded(column) => column.divisor,
            _ => 1,
        }
    }
}

/// The values of one dimension of one child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    pub kind: Kind,
    key: u64,
}

/// All series of one child.
#[derive(Clone, Copy, Debug)]
pub struct ChildSeries {
    seed: u64,
    key: u64,
}

impl ChildSeries {
    pub fn new(seed: u64, child: u64) -> ChildSeries {
        ChildSeries { seed, key: mix(mix(seed) ^ child) }
    }

    /// The dimension at `position`, counted over all charts.
    pub fn at(self, position: u64) -> Series {
        self.of_kind(Kind::of(self.seed, position), position)
    }

    /// As [`at`](Self::at), when the kind is known already.
    pub(crate) fn of_kind(self, kind: Kind, position: u64) -> Series {
        Series { kind, key: mix(self.key ^ position) }
    }
}

impl Series {
    /// What is collected at a moment, in microseconds since 1970.
    pub fn collected(self, moment_us: i64) -> i64 {
        let second = moment_us.div_euclid(MICROSECONDS);
        match self.kind {
            Kind::Constant if !self.key.is_multiple_of(4) => 0,
            Kind::Constant => below(self.key, 1000),
            Kind::Integer => below(mix(self.key ^ second as u64), 10),
            Kind::Walk => {
                let span = 20 + below(self.key, 1000);
                self.walk(second, span) + below(mix(self.key ^ second as u64), 5) - 2
            }
            Kind::Random => below(mix(self.key ^ second as u64), 50_000),
            Kind::Percent => self.walk(second, 90_000) + below(mix(self.key ^ second as u64), 10_000),
            Kind::Counter => {
                let rate = self.rate();
                (second - COUNTERS_BEGAN) * rate + moment_us.rem_euclid(MICROSECONDS) * rate / MICROSECONDS
            }
            Kind::Recorded(column) => {
                let length = column.values.len() as u64;
                column.values[((self.key >> 32).wrapping_add(second as u64) % length) as usize]
            }
        }
    }

    /// What a child that computes its samples itself stores at a second.
    pub fn stored(self, second: i64) -> f64 {
        match self.kind {
            Kind::Counter => {
                let noise = mix(self.key ^ second as u64) % 2001;
                self.rate() as f64 * (1.0 + (noise as f64 - 1000.0) / 1000.0 / RATE_NOISE as f64)
            }
            _ => self.sample_of(self.collected(second * MICROSECONDS)),
        }
    }

    /// What is stored at a second of collections that are exactly an interval apart: of a counter, its rate.
    pub fn interpolated(self, second: i64) -> f64 {
        match self.kind {
            Kind::Counter => self.rate() as f64,
            _ => self.sample_of(self.collected(second * MICROSECONDS)),
        }
    }

    /// The sample that a parent makes of what was collected; of a counter, of its growth in a second.
    pub fn sample_of(self, collected: i64) -> f64 {
        collected as f64 / self.kind.divisor() as f64
    }

    /// How much a counter grows in a second: so much that a whole number of it is within 1/4096 of the truth.
    pub fn rate(self) -> i64 {
        4096 << (self.key >> 60 & 3) | below(self.key, 4096)
    }

    /// From one level to the next in a straight line; levels are in `0..=span`.
    fn walk(self, second: i64, span: i64) -> i64 {
        let step = second.div_euclid(STRIDE);
        let level = |step: i64| below(mix(self.key.rotate_left(32) ^ step as u64), span + 1);
        let (from, to) = (level(step), level(step + 1));
        from + (to - from) * second.rem_euclid(STRIDE) / STRIDE
    }
}

/// A number in `0..bound` of the upper half of `random`.
fn below(random: u64, bound: i64) -> i64 {
    ((random >> 32) as i64 * bound) >> 32
}

/// Spreads every bit of `state` over all bits of the result (the finalizer of SplitMix64).
pub(crate) fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    const NOW: i64 = 1_795_342_200;

    fn of_kind(kind: Kind) -> impl Iterator<Item = Series> {
        let child = ChildSeries::new(3, 5);
        (0..4000).map(move |position| child.at(position)).filter(move |series| series.kind == kind)
    }

    fn at(series: Series, second: i64) -> i64 {
        series.collected(second * MICROSECONDS)
    }

    #[test]
    fn kinds_are_mixed_as_on_real_machines() {
        for seed in 0..40 {
            let mut kinds: HashMap<Kind, usize> = HashMap::new();
            for position in 0..20 {
                *kinds.entry(Kind::of(seed, position)).or_default() += 1;
            }
            let count = |kind| kinds.get(&kind).copied().unwrap_or(0);
            let found = [Kind::Constant, Kind::Walk, Kind::Random, Kind::Percent, Kind::Counter].map(count);
            assert_eq!(found, [9, 4, 2, 2, 3], "seed {seed}");
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer_and_another_child_another() {
        let mut seen = HashSet::new();
        for child in 0..100 {
            let series = ChildSeries::new(1, child).of_kind(Kind::Random, 7);
            assert_eq!(at(series, NOW), at(ChildSeries::new(1, child).of_kind(Kind::Random, 7), NOW));
            seen.insert(at(series, NOW));
        }
        assert!(seen.len() > 90, "{} different values", seen.len());
    }

    #[test]
    fn constants_do_not_change_and_most_are_zero() {
        let all: Vec<Series> = of_kind(Kind::Constant).collect();
        assert!(all.iter().all(|series| (0..100).all(|t| at(*series, NOW + t) == at(*series, NOW))));
        let zeros = all.iter().filter(|series| at(**series, NOW) == 0).count();
        assert!((all.len() / 2..all.len() * 9 / 10).contains(&zeros), "{zeros} of {}", all.len());
    }

    #[test]
    fn walks_take_small_steps() {
        for series in of_kind(Kind::Walk) {
            for t in 0..100 {
                let step = (at(series, NOW + t + 1) - at(series, NOW + t)).abs();
                assert!(step <= 1020 / STRIDE + 5, "a step of {step}");
            }
        }
    }

    #[test]
    fn random_values_and_percents_keep_to_their_range_and_change() {
        for (kind, bound) in [(Kind::Random, 50_000), (Kind::Percent, 100_001)] {
            for series in of_kind(kind) {
                let values: HashSet<i64> = (0..100).map(|t| at(series, NOW + t)).collect();
                assert!(values.iter().all(|value| (0..bound).contains(value)));
                assert!(values.len() > 80);
            }
        }
    }

    #[test]
    fn small_integers_have_one_digit_and_all_of_them_come() {
        let series = ChildSeries::new(1, 1).of_kind(Kind::Integer, 3);
        let found: HashSet<i64> = (0..200).map(|t| at(series, NOW + t)).collect();
        assert_eq!(found, (0..10).collect::<HashSet<i64>>());
    }

    #[test]
    fn a_recorded_column_is_read_again_and_again_from_a_place_of_its_own() {
        static COLUMN: std::sync::LazyLock<Column> =
            std::sync::LazyLock::new(|| Column { values: vec![10, 25, 30, 45, 50], divisor: 10 });
        let mut firsts = HashSet::new();
        for child in 0..50 {
            let series = ChildSeries::new(1, child).of_kind(Kind::Recorded(&COLUMN), 7);
            let read: Vec<i64> = (0..10).map(|t| at(series, NOW + t)).collect();
            assert_eq!(read[..5], read[5..]);
            let begun = COLUMN.values.iter().position(|value| *value == read[0]).unwrap();
            assert!((0..5).all(|t| read[t] == COLUMN.values[(begun + t) % 5]), "{read:?}");
            assert_eq!(series.stored(NOW), read[0] as f64 / 10.0);
            firsts.insert(read[0]);
        }
        assert_eq!(firsts.len(), 5);
    }

    #[test]
    fn percents_have_three_decimals() {
        let series = of_kind(Kind::Percent).next().unwrap();
        assert_eq!(series.sample_of(12_345), 12.345);
        assert_eq!(series.stored(NOW), at(series, NOW) as f64 / 1000.0);
    }

    #[test]
    fn counters_grow_by_their_rate_whenever_they_are_collected() {
        for series in of_kind(Kind::Counter) {
            let mut moment = NOW * MICROSECONDS + 123_456;
            for elapsed in [1_000_000, 1_000_215, 998_004, 1_250_000, 500_000] {
                let before = series.collected(moment);
                moment += elapsed;
                let rate = (series.collected(moment) - before) as f64 / elapsed as f64 * 1e6;
                let off = rate / series.rate() as f64 - 1.0;
                assert!(off.abs() < 1e-3, "{rate} for {}", series.rate());
            }
            assert!(at(series, NOW) > 0);
        }
    }

    #[test]
    fn the_stored_rate_of_a_counter_is_noisy_but_near() {
        for series in of_kind(Kind::Counter) {
            let off = series.stored(NOW) / series.rate() as f64 - 1.0;
            assert!(off.abs() < 2e-4);
            assert_ne!(series.stored(NOW), series.stored(NOW + 1));
        }
    }
}
