//! Exponential smoothing: methods that go on from row to row. An empty row repeats the level.

use super::{super::grid::Grid, Aggregate};

/// No row smooths over more samples than this.
const WINDOW_MAX: f64 = 15.0;

/// What a new sample counts.
fn alpha(grid: &Grid) -> f64 {
    let samples = if grid.group > 1 { grid.group as f64 } else { grid.points as f64 };
    2.0 / (samples.min(WINDOW_MAX) + 1.0)
}

pub(super) struct Single {
    alpha: f64,
    /// NaN before the first sample.
    level: f64,
}

impl Single {
    pub(super) fn new(grid: &Grid) -> Single {
        Single { alpha: alpha(grid), level: f64::NAN }
    }
}

impl Aggregate for Single {
    fn point(&mut self, samples: &[f64]) -> f64 {
        for sample in samples.iter().filter(|sample| !sample.is_nan()) {
            self.level = if self.level.is_nan() {
                *sample
            } else {
                self.alpha * sample + (1.0 - self.alpha) * self.level
            };
        }
        self.level
    }
}

pub(super) struct Double {
    alpha: f64,
    /// NaN before the first sample.
    level: f64,
    /// NaN before the second sample.
    trend: f64,
}

impl Double {
    pub(super) fn new(grid: &Grid) -> Double {
        Double { alpha: alpha(grid), level: f64::NAN, trend: f64::NAN }
    }
}

impl Aggregate for Double {
    fn point(&mut self, samples: &[f64]) -> f64 {
        let alpha = self.alpha;
        for sample in samples.iter().filter(|sample| !sample.is_nan()) {
            if self.level.is_nan() {
                self.level = *sample;
                continue;
            }
            if self.trend.is_nan() {
                self.trend = sample - self.level;
                self.level = *sample;
            }
            let last = self.level;
            self.level = alpha * sample + (1.0 - alpha) * (last + self.trend);
            self.trend = alpha * (self.level - last) + (1.0 - alpha) * self.trend;
        }
        self.level
    }
}
