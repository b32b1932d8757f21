//! Methods of one or two passes over a row.

use super::{Aggregate, Comparison};

pub(super) struct Average;
pub(super) struct Sum;
pub(super) struct Min;
pub(super) struct Max;
pub(super) struct StandardDeviation;
pub(super) struct Variation;
pub(super) struct IncrementalSum;

/// The sum as a rate per resampling time, of which there are `divisor` in a row.
pub(super) struct Resampled {
    pub(super) divisor: f64,
}

pub(super) struct CountIf {
    pub(super) comparison: Comparison,
    pub(super) number: f64,
}

/// The sum, and how many there are of what is summed.
#[inline]
fn total(samples: &[f64]) -> (f64, u32) {
    let (mut sum, mut count) = (0.0, 0);
    for sample in samples {
        let is_there = !sample.is_nan();
        sum += if is_there { *sample } else { 0.0 };
        count += u32::from(is_there);
    }
    (sum, count)
}

fn present(samples: &[f64]) -> impl DoubleEndedIterator<Item = f64> + '_ {
    samples.iter().copied().filter(|sample| !sample.is_nan())
}

/// NaN where there is nothing to divide.
fn or_gap(value: f64, count: u32) -> f64 {
    if count == 0 { f64::NAN } else { value }
}

impl Aggregate for Average {
    #[inline]
    fn point(&mut self, samples: &[f64]) -> f64 {
        let (sum, count) = total(samples);
        // Of none it is 0 / 0: NaN.
        sum / f64::from(count)
    }
}

impl Aggregate for Resampled {
    fn point(&mut self, samples: &[f64]) -> f64 {
        let (sum, count) = total(samples);
        or_gap(sum / self.divisor, count)
    }
}

impl Aggregate for Sum {
    #[inline]
    fn point(&mut self, samples: &[f64]) -> f64 {
        let (sum, count) = total(samples);
        or_gap(sum, count)
    }
}

impl Aggregate for Min {
    #[inline]
    fn point(&mut self, samples: &[f64]) -> f64 {
        // A comparison with NaN is false: any sample replaces the NaN at the start, no gap replaces a sample.
        samples.iter().fold(f64::NAN, |least, sample| {
            if sample.abs() < least.abs() || least.is_nan() { *sample } else { least }
        })
    }
}

impl Aggregate for Max {
    #[inline]
    fn point(&mut self, samples: &[f64]) -> f64 {
        samples.iter().fold(
            f64::NAN,
            |most, sample| {
                if sample.abs() > most.abs() || most.is_nan() { *sample } else { most }
            },
        )
    }
}

/// Mean, standard deviation (0 for one sample) and count.
fn deviation(samples: &[f64]) -> (f64, f64, u32) {
    let (sum, count) = total(samples);
    let mean = sum / f64::from(count);
    if count < 2 {
        return (mean, or_gap(0.0, count), count);
    }
    let squares: f64 = present(samples).map(|sample| (sample - mean) * (sample - mean)).sum();
    (mean, (squares / f64::from(count - 1)).sqrt(), count)
}

impl Aggregate for StandardDeviation {
    fn point(&mut self, samples: &[f64]) -> f64 {
        deviation(samples).1
    }
}

impl Aggregate for Variation {
    fn point(&mut self, samples: &[f64]) -> f64 {
        let (mean, deviation, count) = deviation(samples);
        match count {
            0 | 1 => deviation,
            _ if mean == 0.0 => f64::NAN,
            _ => 100.0 * deviation / mean.abs(),
        }
    }
}

impl Aggregate for IncrementalSum {
    fn point(&mut self, samples: &[f64]) -> f64 {
        let mut samples = present(samples);
        let Some(first) = samples.next() else { return f64::NAN };
        samples.next_back().map_or(0.0, |last| last - first)
    }
}

impl Aggregate for CountIf {
    fn point(&mut self, samples: &[f64]) -> f64 {
        let number = self.number;
        let holds = |sample: f64| match self.comparison {
            Comparison::Equal => sample == number,
            Comparison::NotEqual => sample != number,
            Comparison::Less => sample < number,
            Comparison::LessOrEqual => sample <= number,
            Comparison::Greater => sample > number,
            Comparison::GreaterOrEqual => sample >= number,
        };
        let (mut matching, mut count) = (0u32, 0u32);
        for sample in present(samples) {
            matching += u32::from(holds(sample));
            count += 1;
        }
        100.0 * f64::from(matching) / f64::from(count)
    }
}
