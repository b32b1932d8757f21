//! From the samples of one dimension to its points.

use dbengine::{Fetch, GroupSnapshot, SampleFlags, Samples, TimeRange};

use super::{
    decimal::widen,
    grid::Grid,
    group::{Method, fill},
    interpolation::Interpolated,
    options::{QueryOption, QueryOptions},
};

/// Memory for the samples of one dimension, used again for every other: fresh memory costs more than decoding into it.
/// One is enough for a thread, however many executions take turns on it.
#[derive(Debug, Default)]
pub struct Workspace {
    samples: Samples,
    values: Vec<f64>,
    interpolated: Interpolated,
}

impl Workspace {
    /// Samples that are room for, from one dimension to the next: 11 days of seconds, 20 MB.
    const KEPT_SAMPLES: usize = 1 << 20;

    /// Gives back what only an unusual question needed.
    fn trim(&mut self) {
        if self.samples.times.capacity().max(self.interpolated.samples.times.capacity()) > Self::KEPT_SAMPLES
        {
            *self = Workspace::default();
        }
    }
}

/// How samples become points: the same for all dimensions of a question.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    pub(super) grid: &'a Grid,
    /// What is read: the rows of the grid, and samples beside them.
    pub(super) window: TimeRange,
    pub(super) method: Method,
    pub(super) options: QueryOptions,
}

/// The points of a dimension, one a row, the newest first.
#[derive(Debug)]
pub(super) struct Points {
    /// NaN where there is none.
    pub(super) values: Vec<f64>,
    /// Percent of anomalous samples; empty unless asked for.
    pub(super) anomaly_rates: Vec<f64>,
    /// Rows with a counter that was reset or overflowed, the oldest first.
    pub(super) resets: Vec<usize>,
    /// Gaps included.
    pub(super) samples_read: u64,
    /// No sample is anything but a gap or zero.
    pub(super) is_zero: bool,
}

impl Reading<'_> {
    /// Of a dimension whose chart has a sample every `update_every` seconds.
    pub(super) fn read(
        &self,
        snapshot: &GroupSnapshot,
        dimension: usize,
        update_every: u32,
        workspace: &mut Workspace,
    ) -> Points {
        let Reading { grid, window, method, options } = *self;
        let Workspace { samples, values, interpolated } = workspace;
        samples.clear();
        // A dimension may be newer than the snapshot.
        let is_of_tier = snapshot.tier_step().is_some();
        if dimension < snapshot.columns() {
            if is_of_tier {
                let fetch = match method {
                    _ if options.contains(QueryOption::AnomalyBit) => Fetch::AnomalyRate,
                    Method::Sum => Fetch::Sum,
                    Method::Min => Fetch::Smallest,
                    Method::Max => Fetch::Largest,
                    _ => Fetch::Average,
                };
                snapshot.tier_column(dimension, window, fetch, samples);
            } else {
                snapshot.column(dimension, window, samples);
            }
        }
        let samples_read = samples.len() as u64;

        values.clear();
        if options.contains(QueryOption::AnomalyBit) && !is_of_tier {
            values.extend(samples.values.iter().enumerate().map(|(index, value)| match value {
                gap if gap.is_nan() => f64::NAN,
                _ if samples.flags_at(index).contains(SampleFlags::ANOMALOUS) => 100.0,
                _ => 0.0,
            }));
        } else {
            widen(&samples.values, values);
        }

        let is_zero = !values.iter().any(|value| !value.is_nan() && *value != 0.0);
        let (step, finest) = match snapshot.tier_step() {
            Some(step) => (step.into(), grid.view()),
            None => (update_every.into(), grid.granularity),
        };
        let (samples, values): (&Samples, &[f64]) = if step > finest {
            interpolated.fill(grid, step, samples, values);
            (&interpolated.samples, &interpolated.values)
        } else {
            (samples, values)
        };

        let mut points = vec![f64::NAN; grid.points];
        let mut resets = Vec::new();
        let wants_rates = options.contains(QueryOption::AnomalyRates);
        let mut anomaly_rates = if wants_rates { vec![0.0; grid.points] } else { Vec::new() };
        if samples.flags.is_empty() {
            fill(method, grid, &samples.times, values, &mut points, |_, _| {});
        } else {
            fill(method, grid, &samples.times, values, &mut points, |row, range| {
                let flags = &samples.flags[range.clone()];
                if flags.iter().any(|flags| flags.contains(SampleFlags::RESET)) {
                    resets.push(row);
                }
                if let Some(rate) = anomaly_rates.get_mut(row) {
                    let count = values[range].iter().filter(|value| !value.is_nan()).count();
                    let anomalous =
                        flags.iter().filter(|flags| flags.contains(SampleFlags::ANOMALOUS)).count();
                    *rate = 100.0 * anomalous as f64 / count.max(1) as f64;
                }
            });
        }
        workspace.trim();
        Points { values: points, anomaly_rates, resets, samples_read, is_zero }
    }
}
