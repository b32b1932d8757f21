//! How much a metric changed from one window to another, and how metrics rank by that: the numbers of `weights`.
//!
//! Two columns of points go in, of a *baseline* and of the *highlight* that is compared with it, gaps already gone or
//! replaced. A [`Score`] comes out, and a [`Ranking`] spreads the scores of all metrics over 0 to 1. [`Baseline`] says which
//! window the baseline is.
//!
//! | method   | a score is                                                                                                |
//! |----------|-----------------------------------------------------------------------------------------------------------|
//! | KS2      | how sure it is that the two windows differ: 1 - p of the Kolmogorov-Smirnov test, over *changes* of values  |
//! | volume   | how far the mean moved, in parts of the baseline's, times the share of the highlight that is beyond it     |
//!
//! Pure functions: no chart, no clock, no format. What 1.37 does is kept, but for four things. The p value
//! of more than 140 changes is the asymptotic one, where Netdata corrects it further; over windows of one size both order metrics in the
//! same way. `volume` compares signed means, where Netdata compares negative samples with a positive mean. KS2 has a score for what is
//! zero throughout one window, for it began or ended; 1.37 passes it over. And changes are equal that samples cannot tell apart: 1.37
//! cuts them to whole 1/100 000 where its samples are a little off, so that one change is two, and a score up to 0.2 away.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

/// How much a metric changed. Never NaN, never negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// In itself.
    Plain(f64),
    /// The baseline was zero throughout, there is nothing to put the change into relation to: the share of the highlight that is
    /// not zero, 0 to 1. In a ranking, the largest plain score is as much as 1 is here.
    ShareOfTime(f64),
}

impl Score {
    /// The number alone.
    pub fn value(self) -> f64 {
        match self {
            Score::Plain(value) | Score::ShareOfTime(value) => value,
        }
    }

    /// The score if it is a number, without its sign.
    fn of(score: f64, kind: impl Fn(f64) -> Score) -> Option<Score> {
        score.is_finite().then(|| kind(score.abs()))
    }
}

/// The window that a highlight is compared with, as wide as a power of two of the highlight's widths. Both ends are unix
/// seconds that belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline {
    pub after: i64,
    pub before: i64,
    /// Points of the highlight.
    pub highlight_points: i64,
    /// Points of the baseline.
    pub points: i64,
}

impl Baseline {
    /// The most points of a window.
    pub const MOST_POINTS: i64 = 10_000;
    /// The fewest that say anything.
    pub const LEAST_POINTS: i64 = 15;

    /// The baseline that ends where the one asked for does and is as near to it in width as it can be. `points` are wanted of
    /// the highlight; of both windows there are fewer if the baseline would have too many. `None` of windows that are
    /// empty or have too few points.
    pub fn new(asked: (i64, i64), highlight: (i64, i64), points: i64) -> Option<Baseline> {
        let width = highlight.1.checked_sub(highlight.0).filter(|width| *width > 0)?;
        let baseline_width = asked.1.checked_sub(asked.0).filter(|width| *width > 0)?;
        let times = (baseline_width as f64 / width as f64).round().clamp(1.0, Self::MOST_POINTS as f64);
        let mut shift = (times as u64).next_power_of_two().trailing_zeros();
        let mut points = points.clamp(1, Self::MOST_POINTS);
        while shift > 0 && points << shift > Self::MOST_POINTS && points / 2 >= Self::LEAST_POINTS {
            points /= 2;
        }
        while shift > 0 && points << shift > Self::MOST_POINTS {
            shift -= 1;
        }
        (points >= Self::LEAST_POINTS).then(|| Baseline {
            after: asked.1.saturating_sub(width.saturating_mul(1 << shift)),
            before: asked.1,
            highlight_points: points,
            points: points << shift,
        })
    }
}

/// KS2. `None` when a window has fewer than two points, or nothing is in either of them but zeros.
pub fn ks2(baseline: &[f64], highlight: &[f64]) -> Option<Score> {
    if baseline.iter().chain(highlight).all(|point| *point == 0.0) {
        return None;
    }
    let resolution = resolution(baseline.iter().chain(highlight));
    let sorted_changes = |points| sorted_changes(points, resolution);
    let (baseline, highlight) = (sorted_changes(baseline), sorted_changes(highlight));
    if baseline.is_empty() || highlight.is_empty() {
        return None;
    }
    let distance = largest_distance(&baseline, &highlight);
    let (n, m) = (baseline.len() as f64, highlight.len() as f64);
    // The size of one sample that says as much as these two.
    let size = (n * m / (n + m)).round().max(1.0);
    Score::of(1.0 - p_value(size, distance), Score::Plain)
}

/// Volume. `None` when the highlight has no point, or the mean did not move.
pub fn volume(baseline: &[f64], highlight: &[f64]) -> Option<Score> {
    moved(mean(baseline).unwrap_or(0.0), mean(highlight)?, highlight)
}

/// Volume of what each of the windows comes to, which need not be its mean. `None` when that did not move.
pub fn moved(before: f64, after: f64, highlight: &[f64]) -> Option<Score> {
    if before == after || highlight.is_empty() {
        return None;
    }
    let beyond = |point: &&f64| if after < before { **point < before } else { **point > before };
    let share = highlight.iter().filter(beyond).count() as f64 / highlight.len() as f64;
    if before == 0.0 {
        Score::of(share, Score::ShareOfTime)
    } else {
        Score::of((after - before) / before * share, Score::Plain)
    }
}

/// Scores that are looked at in a step of a [`Ranking`].
const RANKED_AT_ONCE: usize = 4096;

/// What a ranking does next.
#[derive(Debug)]
enum Stage {
    /// Sorts some scores among themselves.
    Sort(usize),
    /// Takes the least of all that were sorted, again and again. Each sorted run is in the heap by the next that it has.
    Merge(BinaryHeap<Reverse<(i64, usize)>>),
    /// Looks ranks up.
    Rank,
}

/// The rank of each score, in their order, some thousands a step: 0 is the strongest, and of n different scores the weakest is
/// 1 - 1/n. Equal scores have equal ranks.
#[derive(Debug)]
pub struct Ranking {
    /// In their order.
    keys: Vec<i64>,
    /// The same in runs of [`RANKED_AT_ONCE`], each in order of size, and how many of each run were taken.
    runs: Vec<i64>,
    taken: Vec<usize>,
    /// Each score once, in order of size.
    different: Vec<i64>,
    stage: Stage,
    ranks: Vec<f64>,
}

impl Ranking {
    /// Bytes that a ranking takes, a score.
    pub const BYTES: usize = 3 * size_of::<i64>() + size_of::<f64>();

    pub fn new(scores: &[Score]) -> Ranking {
        let largest = scores.iter().map(|score| match score {
            Score::Plain(value) => *value,
            Score::ShareOfTime(_) => 0.0,
        });
        let largest = largest.fold(0.0, f64::max);
        let scale = if largest == 0.0 { 1.0 } else { largest };
        let keys: Vec<i64> = scores
            .iter()
            .map(|score| match score {
                Score::Plain(value) => *value,
                Score::ShareOfTime(share) => share * scale,
            })
            // The bits of numbers that are not negative are in their order.
            .map(|value| value.to_bits() as i64)
            .collect();
        Ranking {
            runs: keys.clone(),
            taken: vec![0; keys.len().div_ceil(RANKED_AT_ONCE)],
            keys,
            different: Vec::new(),
            stage: Stage::Sort(0),
            ranks: Vec::new(),
        }
    }

    /// Goes on; false when all have their rank.
    pub fn step(&mut self) -> bool {
        match &mut self.stage {
            Stage::Sort(from) if *from < self.runs.len() => {
                let to = self.runs.len().min(*from + RANKED_AT_ONCE);
                self.runs[*from..to].sort_unstable();
                *from = to;
            }
            Stage::Sort(_) => {
                let first = self.runs.chunks(RANKED_AT_ONCE).enumerate();
                self.stage = Stage::Merge(first.map(|(run, keys)| Reverse((keys[0], run))).collect());
            }
            Stage::Merge(heap) => {
                for _ in 0..RANKED_AT_ONCE {
                    let Some(mut least) = heap.peek_mut() else {
                        self.stage = Stage::Rank;
                        break;
                    };
                    let Reverse((key, run)) = *least;
                    if self.different.last() != Some(&key) {
                        self.different.push(key);
                    }
                    self.taken[run] += 1;
                    let next = run * RANKED_AT_ONCE + self.taken[run];
                    if self.taken[run] < RANKED_AT_ONCE && next < self.runs.len() {
                        *least = Reverse((self.runs[next], run));
                    } else {
                        PeekMut::pop(least);
                    }
                }
            }
            Stage::Rank => {
                let from = self.ranks.len();
                let to = self.keys.len().min(from + RANKED_AT_ONCE);
                for key in &self.keys[from..to] {
                    let not_stronger = self.different.partition_point(|other| other <= key);
                    self.ranks.push(1.0 - not_stronger as f64 / self.different.len() as f64);
                }
                return to < self.keys.len();
            }
        }
        true
    }

    /// To be called when there is no further [`step`](Self::step).
    pub fn ranks(self) -> Vec<f64> {
        self.ranks
    }
}

/// The least change that samples of 24 bits show next to the largest of these points: a power of ten, for most values are decimals.
fn resolution<'a>(points: impl Iterator<Item = &'a f64>) -> f64 {
    let largest = points.map(|point| point.abs()).filter(|point| point.is_finite()).fold(0.0, f64::max);
    if largest == 0.0 { 1.0 } else { 10_f64.powf((largest * 2.0 * f64::from(f32::EPSILON)).log10().ceil()) }
}

/// From each point to the next, in order of size, in units of `resolution`.
fn sorted_changes(points: &[f64], resolution: f64) -> Vec<f64> {
    let changes = points.windows(2).map(|pair| ((pair[0] - pair[1]) / resolution).round());
    // Between two infinite points there is none that could be compared.
    let mut changes: Vec<f64> = changes.filter(|change| !change.is_nan()).collect();
    changes.sort_by(f64::total_cmp);
    changes
}

/// The largest distance between the cumulative distributions of two sorted samples.
fn largest_distance(a: &[f64], b: &[f64]) -> f64 {
    let (mut i, mut j, mut largest) = (0, 0, 0.0f64);
    while i < a.len() && j < b.len() {
        let value = a[i].min(b[j]);
        i += a[i..].iter().take_while(|other| **other <= value).count();
        j += b[j..].iter().take_while(|other| **other <= value).count();
        largest = largest.max((i as f64 / a.len() as f64 - j as f64 / b.len() as f64).abs());
    }
    largest
}

/// Samples up to this size have the exact distribution.
const EXACT_UP_TO: f64 = 140.0;

/// How likely a distance of at least this is between samples of one distribution.
fn p_value(size: f64, distance: f64) -> f64 {
    // No sample of this size is nearer to its distribution.
    if distance <= 0.5 / size {
        return 1.0;
    }
    // Where both tails are next to nothing the exact sum is as large as the series, and long.
    if size <= EXACT_UP_TO && size * distance * distance < 4.0 {
        return (1.0 - exact(size as usize, distance)).clamp(0.0, 1.0);
    }
    series(size, distance)
}

/// Kolmogorov's series, with the correction of Stephens (1970) for samples that are not large. Source: Press et al., Numerical Recipes, 14.3.
fn series(size: f64, distance: f64) -> f64 {
    let root = size.sqrt();
    let lambda = (root + 0.12 + 0.11 / root) * distance;
    // Below that the series is 1 to all digits, in no sensible time.
    if lambda < 0.2 {
        return 1.0;
    }
    let term = |k: i32| {
        let k = f64::from(k);
        let sign = if k % 2.0 == 0.0 { -1.0 } else { 1.0 };
        2.0 * sign * (-2.0 * k * k * lambda * lambda).exp()
    };
    // The hundredth term of a lambda of 0.2 is 1e-347.
    (1..=100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// How likely a smaller distance is, in samples of `size`: Durbin's matrix to its power. Source: Marsaglia, Tsang, Wang, Evaluating
/// Kolmogorov's distribution, J. Stat. Software 8 (18), 2003.
fn exact(size: usize, distance: f64) -> f64 {
    let scaled = size as f64 * distance;
    let k = scaled as usize + 1;
    let order = 2 * k - 1;
    let h = k as f64 - scaled;
    let mut matrix = Square::new(order, |i, j| if i + 1 < j { 0.0 } else { 1.0 });
    for i in 0..order {
        *matrix.at(i, 0) -= h.powi(i as i32 + 1);
        *matrix.at(order - 1, i) -= h.powi((order - i) as i32);
    }
    if 2.0 * h > 1.0 {
        *matrix.at(order - 1, 0) += (2.0 * h - 1.0).powi(order as i32);
    }
    for i in 0..order {
        for j in 0..=(i + 1).min(order - 1) {
            (1..=i + 1 - j).for_each(|divisor| *matrix.at(i, j) /= divisor as f64);
        }
    }
    let mut power = matrix.to_the(size);
    let mut likely = *power.at(k - 1, k - 1);
    for i in 1..=size {
        likely *= i as f64 / size as f64;
    }
    likely
}

/// A square matrix.
struct Square {
    order: usize,
    cells: Vec<f64>,
}

impl Square {
    fn new(order: usize, cell: impl Fn(usize, usize) -> f64) -> Square {
        let cells = (0..order * order).map(|place| cell(place / order, place % order)).collect();
        Square { order, cells }
    }

    fn at(&mut self, i: usize, j: usize) -> &mut f64 {
        &mut self.cells[i * self.order + j]
    }

    fn times(&self, other: &Square) -> Square {
        let mut product = Square::new(self.order, |_, _| 0.0);
        for (row, into) in self.cells.chunks_exact(self.order).zip(product.cells.chunks_exact_mut(self.order))
        {
            for (factor, of_other) in row.iter().zip(other.cells.chunks_exact(self.order)) {
                into.iter_mut().zip(of_other).for_each(|(into, cell)| *into += factor * cell);
            }
        }
        product
    }

    /// Its cells stay below e to the size of samples that are computed exactly, so nothing overflows.
    fn to_the(&self, exponent: usize) -> Square {
        let mut power = Square::new(self.order, |i, j| if i == j { 1.0 } else { 0.0 });
        for bit in (0..usize::BITS - exponent.leading_zeros()).rev() {
            power = power.times(&power);
            if exponent >> bit & 1 == 1 {
                power = power.times(self);
            }
        }
        power
    }
}

fn mean(points: &[f64]) -> Option<f64> {
    (!points.is_empty()).then(|| points.iter().sum::<f64>() / points.len() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-3, "{found}, not {expected}");
    }

    /// Values of the limiting distribution: Smirnov's table of 1948.
    #[test]
    fn small_samples_have_kolmogorovs_exact_distribution() {
        // Of the paper: K(10, 0.274), and tables of one sample: 5 % of samples of 20 are beyond 0.29408, of 40 beyond 0.21012.
        assert!((exact(10, 0.274) - 0.628_479_615_456_504_3).abs() < 1e-12);
        assert!((p_value(20.0, 0.29408) - 0.05).abs() < 1e-4);
        assert!((p_value(40.0, 0.21012) - 0.05).abs() < 1e-4);
        // The two ways meet.
        for distance in [0.05, 0.1, 0.15] {
            assert!((1.0 - exact(140, distance) - series(140.0, distance)).abs() < 0.01, "{distance}");
        }
    }

    #[test]
    fn a_change_is_the_same_wherever_it_begins() {
        // Steps of 0.1, of which no sample has the exact value.
        let stairs = |from: f64| -> Vec<f64> {
            (0..200).map(|n| f64::from((from + f64::from(n % 60) * 0.1) as f32)).collect()
        };
        assert_eq!(ks2(&stairs(100.0), &stairs(7.3)), Some(Score::Plain(0.0)));
        for (largest, expected) in [(1.0, 1e-6), (-100.0, 1e-4), (4e9, 1e3), (1e-30, 1e-36), (0.0, 1.0)] {
            let found = resolution([0.0, largest, f64::INFINITY].iter());
            assert!((found / expected - 1.0).abs() < 1e-9, "{largest}: {found}");
        }
    }

    #[test]
    fn infinite_points_are_compared_as_far_as_they_can() {
        let (up, down) = (f64::INFINITY, f64::NEG_INFINITY);
        assert_eq!(ks2(&[up; 4], &[up; 4]), None);
        assert!(ks2(&[up, down, up, down], &[down, up, down, up]).is_some());
    }

    #[test]
    fn p_values_are_those_of_the_tables() {
        let p = |lambda: f64| p_value(1e12, lambda / 1e6);
        close(p(0.3), 0.999_991);
        close(p(0.5), 0.963_945);
        close(p(0.83), 0.496_295);
        close(p(1.0), 0.270_000);
        close(p(1.36), 0.049_486);
        close(p(1.63), 0.009_846);
        close(p(3.0), 0.0);
        assert_eq!(p(0.0), 1.0);
        // Critical values of small samples: Massey 1951, a tenth and a twentieth.
        assert!((p_value(20.0, 0.264) - 0.10).abs() < 0.005, "{}", p_value(20.0, 0.264));
        assert!((p_value(20.0, 0.294) - 0.05).abs() < 0.005, "{}", p_value(20.0, 0.294));
    }

    #[test]
    fn ks2_sees_another_way_of_changing_and_not_another_level() {
        let quiet: Vec<f64> = (0..400).map(|n| f64::from(n * 7919 % 13)).collect();
        let lifted: Vec<f64> = quiet[..100].iter().map(|value| value + 1000.0).collect();
        let loud: Vec<f64> = quiet[..100].iter().map(|value| value * 50.0).collect();
        let score = |highlight: &[f64]| ks2(&quiet, highlight).expect("a score").value();
        assert!(score(&lifted) < 0.01, "{}", score(&lifted));
        assert!(score(&loud) > 0.999, "{}", score(&loud));
        assert_eq!(ks2(&[5.0; 40], &[5.0; 20]), Some(Score::Plain(0.0)));
        assert_eq!(ks2(&[0.0; 40], &[0.0; 20]), None, "it never was anything");
        assert_eq!(ks2(&[5.0], &[5.0, 6.0]), None);
        assert_eq!(ks2(&[5.0, 6.0], &[]), None);
    }

    #[test]
    fn volume_is_the_moved_part_times_how_long_it_lasted() {
        #[track_caller]
        fn check(baseline: &[f64], highlight: &[f64], expected: Option<Score>) {
            assert_eq!(volume(baseline, highlight), expected);
        }
        check(&[2.0, 2.0], &[4.0, 4.0], Some(Score::Plain(1.0)));
        check(&[2.0, 2.0], &[6.0, 2.0], Some(Score::Plain(0.5)));
        check(&[4.0, 4.0], &[2.0, 2.0], Some(Score::Plain(0.5)));
        check(&[-2.0, -2.0], &[-4.0, -4.0], Some(Score::Plain(1.0)));
        check(&[0.0, 0.0], &[3.0, 0.0, 3.0, 3.0], Some(Score::ShareOfTime(0.75)));
        check(&[], &[3.0], Some(Score::ShareOfTime(1.0)));
        check(&[2.0, 2.0], &[1.0, 3.0], None);
        check(&[2.0], &[], None);
        check(&[1.0], &[f64::INFINITY], None);
    }

    fn ranks(scores: &[Score]) -> Vec<f64> {
        let mut ranking = Ranking::new(scores);
        while ranking.step() {}
        ranking.ranks()
    }

    #[test]
    fn many_scores_are_ranked_in_steps_as_they_are_at_once() {
        let value = |place: usize| (place * 7919 % 10_007) as f64 / 8.0;
        let scores: Vec<Score> =
            (0..3 * RANKED_AT_ONCE + 5).map(|place| Score::Plain(value(place))).collect();
        let mut different: Vec<f64> = scores.iter().map(|score| score.value()).collect();
        different.sort_by(f64::total_cmp);
        different.dedup();
        let rank = |score: &Score| {
            let place = different.iter().position(|other| *other == score.value()).expect("itself");
            1.0 - (place + 1) as f64 / different.len() as f64
        };
        assert_eq!(ranks(&scores), scores.iter().map(rank).collect::<Vec<_>>());
    }

    #[test]
    fn ranks_begin_with_the_strongest() {
        use Score::{Plain, ShareOfTime};
        assert_eq!(ranks(&[Plain(1.0), Plain(7.0)]), [0.5, 0.0]);
        assert_eq!(
            ranks(&[Plain(3.0), Plain(3.0), Plain(9.0), Plain(0.0)]),
            [1.0 - 2.0 / 3.0, 1.0 - 2.0 / 3.0, 0.0, 1.0 - 1.0 / 3.0]
        );
        // As long as it could be is as much as the largest plain score.
        assert_eq!(
            ranks(&[Plain(8.0), ShareOfTime(1.0), ShareOfTime(0.25), Plain(1.0)]),
            [0.0, 0.0, 1.0 - 2.0 / 3.0, 1.0 - 1.0 / 3.0]
        );
        assert_eq!(ranks(&[ShareOfTime(0.5), ShareOfTime(1.0)]), [0.5, 0.0]);
        assert!(ranks(&[]).is_empty());
    }

    /// The first two are what a 1.37.1 parent answered: golden samples 127 and 129.
    #[test]
    fn a_baseline_is_a_power_of_two_of_highlights_wide() {
        #[track_caller]
        fn check(asked: (i64, i64), highlight: (i64, i64), points: i64, expected: Option<(i64, i64, i64)>) {
            let found = Baseline::new(asked, highlight, points);
            assert_eq!(found.map(|found| (found.after, found.highlight_points, found.points)), expected);
            assert!(found.is_none_or(|found| found.before == asked.1));
        }
        let highlight = (1_795_342_141, 1_795_342_200);
        check((1_795_341_901, 1_795_342_140), highlight, 500, Some((1_795_341_904, 500, 2000)));
        let highlight = (1_795_343_378, 1_795_343_437);
        check((1_795_343_259, 1_795_343_378), highlight, 500, Some((1_795_343_260, 500, 1000)));
        check((0, 100), (100, 200), 15, Some((0, 15, 15)));
        check((0, 1000), (1000, 1010), 5000, Some((1000 - 1280, 78, 78 * 128)));
        check((0, 1 << 40), (0, 1), 500, Some(((1 << 40) - 512, 15, 15 * 512)));
        check((0, 100), (100, 200), 14, None);
        check((0, 100), (100, 100), 500, None);
        check((100, 100), (100, 200), 500, None);
        check((i64::MIN, i64::MAX), (100, 200), 500, None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_distance_is_that_of_the_definition(
            a in proptest::collection::vec(-5i8..5, 1..40),
            b in proptest::collection::vec(-5i8..5, 1..40),
        ) {
            let sorted = |all: &[i8]| {
                let mut all: Vec<f64> = all.iter().copied().map(f64::from).collect();
                all.sort_by(f64::total_cmp);
                all
            };
            let (a, b) = (sorted(&a), sorted(&b));
            let share = |all: &[f64], at: f64| all.iter().filter(|value| **value <= at).count() as f64 / all.len() as f64;
            let naive = a.iter().chain(&b).map(|at| (share(&a, *at) - share(&b, *at)).abs()).fold(0.0, f64::max);
            prop_assert_eq!(largest_distance(&a, &b), naive);
        }

        #[test]
        fn scores_are_numbers_and_ranks_are_below_one(
            a in proptest::collection::vec(-1e30..1e30, 0..40),
            b in proptest::collection::vec(-1e30..1e30, 0..40),
        ) {
            for score in [ks2(&a, &b), volume(&a, &b)].into_iter().flatten() {
                prop_assert!(score.value() >= 0.0 && score.value().is_finite());
            }
            let scores: Vec<Score> = a.iter().map(|value| Score::Plain(value.abs())).collect();
            prop_assert!(ranks(&scores).iter().all(|rank| (0.0..1.0).contains(rank)));
        }
    }
}
