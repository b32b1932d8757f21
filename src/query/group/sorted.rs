//! Methods that look at the samples of a row in order of size.

use super::Aggregate;

/// What to make of samples in ascending order; there is at least one.
pub(super) trait OfSorted {
    fn point(&self, ascending: &mut [f64]) -> f64;
}

/// Sorts each row, in memory that is kept from row to row.
pub(super) struct Sorted<M> {
    method: M,
    samples: Vec<f64>,
}

impl<M> Sorted<M> {
    pub(super) fn new(method: M) -> Sorted<M> {
        Sorted { method, samples: Vec::new() }
    }
}

impl<M: OfSorted> Aggregate for Sorted<M> {
    fn point(&mut self, samples: &[f64]) -> f64 {
        self.samples.clear();
        self.samples.extend(samples.iter().filter(|sample| !sample.is_nan()));
        match *self.samples {
            [] => f64::NAN,
            [alone] => alone,
            _ => {
                self.samples.sort_unstable_by(f64::total_cmp);
                self.method.point(&mut self.samples)
            }
        }
    }
}

/// The middle one, or the mean of the two in the middle, as in Netdata 2. (In 1.37, of an even number from four on
/// both are one too high.)
pub(super) struct Median;

/// The mean of the lowest percent, or of the highest if any sample is negative.
pub(super) struct Percentile {
    pub(super) percent: f64,
}

pub(super) struct TrimmedMean {
    pub(super) percent: f64,
}

pub(super) struct TrimmedMedian {
    pub(super) percent: f64,
}

impl OfSorted for Median {
    fn point(&self, ascending: &mut [f64]) -> f64 {
        median(ascending)
    }
}

impl OfSorted for Percentile {
    fn point(&self, ascending: &mut [f64]) -> f64 {
        let wanted = ascending.len() as f64 * self.percent / 100.0;
        if ascending[0] < 0.0 {
            ascending.reverse();
        }
        mean_of(wanted, |_| 0, ascending)
    }
}

impl OfSorted for TrimmedMean {
    fn point(&self, ascending: &mut [f64]) -> f64 {
        let all = ascending.len();
        // As for percentiles: it matters where the number wanted is not whole.
        if ascending[0] < 0.0 {
            ascending.reverse();
        }
        let wanted = all as f64 * (1.0 - 2.0 * self.percent / 100.0);
        mean_of(wanted, |taken| (all - taken) / 2, ascending)
    }
}

impl OfSorted for TrimmedMedian {
    fn point(&self, ascending: &mut [f64]) -> f64 {
        let (least, most) = (ascending[0], ascending[ascending.len() - 1]);
        let margin = (most - least) * self.percent / 100.0;
        let first = ascending.partition_point(|sample| *sample < least + margin);
        let end = ascending.partition_point(|sample| *sample <= most - margin);
        // Nothing may lie in the middle of the range; the samples around it do.
        if first < end { median(&ascending[first..end]) } else { median(ascending) }
    }
}

fn median(ascending: &[f64]) -> f64 {
    let middle = ascending.len() / 2;
    if ascending.len() % 2 == 1 {
        ascending[middle]
    } else {
        f64::midpoint(ascending[middle - 1], ascending[middle])
    }
}

/// The mean of `wanted` samples, whole ones from `start` on, and of a value between the last of them and the next one
/// for the fraction that is left. That value counts as a whole sample: so does Netdata.
fn mean_of(wanted: f64, start: impl FnOnce(usize) -> usize, samples: &[f64]) -> f64 {
    let whole = (wanted as usize).clamp(1, samples.len());
    let fraction = wanted - whole as f64;
    let start = start(whole);
    let taken = &samples[start..start + whole];
    let sum: f64 = taken.iter().sum();
    match samples.get(start + whole) {
        Some(next) if fraction > 0.0 => {
            let between = fraction * next + (1.0 - fraction) * taken[whole - 1];
            (sum + between) / (whole + 1) as f64
        }
        _ => sum / whole as f64,
    }
}
