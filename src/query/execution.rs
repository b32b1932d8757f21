//! The work of an answer, a dimension a step.

use dbengine::{Fetch, GroupSnapshot, SampleFlags, Samples, TimeRange};

use super::{
    answer::{Answer, Column, Extent},
    decimal::{widen, widened},
    group::{Method, fill},
    interpolation::Interpolated,
    options::QueryOption,
    plan::{Plan, PlannedColumn},
};

/// What a step led to.
#[derive(Debug)]
pub enum Progress {
    More(Execution),
    Done(Answer),
}

/// A plan being carried out. Every step reads one dimension; between steps it can wait.
#[derive(Debug)]
pub struct Execution {
    plan: Plan,
    window: TimeRange,
    snapshots: Vec<GroupSnapshot>,
    /// Planned columns that were read.
    read: usize,
    columns: Vec<Column>,
    /// Of each row, over all dimensions; empty unless values are percentages.
    totals: Vec<f64>,
    samples_read: u64,
}

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

/// What an answer makes of its values.
#[derive(Clone, Copy, Debug)]
struct Finish {
    absolute: bool,
    percentage: bool,
    null_to_zero: bool,
}

impl Execution {
    pub(super) fn new(plan: Plan, snapshots: Vec<GroupSnapshot>) -> Execution {
        assert_eq!(snapshots.len(), plan.charts.len(), "a snapshot for each chart of the plan");
        let percentage = plan.parameters.has(QueryOption::Percentage);
        Execution {
            window: plan.window(),
            snapshots,
            read: 0,
            columns: Vec::with_capacity(plan.columns.len()),
            totals: vec![0.0; if percentage { plan.grid.points } else { 0 }],
            samples_read: 0,
            plan,
        }
    }

    /// Reads the next dimension, or makes the answer of all that were read.
    #[must_use]
    pub fn step(mut self, workspace: &mut Workspace) -> Progress {
        let Some(planned) = self.plan.columns.get(self.read).copied() else {
            return Progress::Done(self.finish());
        };
        self.read += 1;
        let column = self.column(planned, workspace);
        workspace.trim();
        let absolute = self.plan.parameters.has(QueryOption::Absolute);
        for (total, value) in self.totals.iter_mut().zip(&column.values) {
            if !value.is_nan() {
                *total += if absolute { value.abs() } else { *value };
            }
        }
        if planned.is_shown {
            self.columns.push(column);
        }
        Progress::More(self)
    }

    /// The points of a dimension, as its group method has them.
    fn column(&mut self, planned: PlannedColumn, workspace: &mut Workspace) -> Column {
        let Plan { parameters, grid, charts, .. } = &self.plan;
        let Workspace { samples, values, interpolated } = workspace;
        let queried = &charts[planned.chart];
        let snapshot = &self.snapshots[planned.chart];
        samples.clear();
        // A dimension may be newer than the snapshot.
        let is_of_tier = snapshot.tier_step().is_some();
        if planned.dimension < snapshot.columns() {
            if is_of_tier {
                let fetch = match parameters.group.method {
                    _ if parameters.has(QueryOption::AnomalyBit) => Fetch::AnomalyRate,
                    Method::Sum => Fetch::Sum,
                    Method::Min => Fetch::Smallest,
                    Method::Max => Fetch::Largest,
                    _ => Fetch::Average,
                };
                snapshot.tier_column(planned.dimension, self.window, fetch, samples);
            } else {
                snapshot.column(planned.dimension, self.window, samples);
            }
        }
        self.samples_read += samples.len() as u64;

        values.clear();
        if parameters.has(QueryOption::AnomalyBit) && !is_of_tier {
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
            None => (queried.chart.update_every.into(), grid.granularity),
        };
        let (samples, values): (&Samples, &[f64]) = if step > finest {
            interpolated.fill(grid, step, samples, values);
            (&interpolated.samples, &interpolated.values)
        } else {
            (samples, values)
        };

        let mut column = Column {
            chart: planned.chart,
            dimension: planned.dimension,
            values: vec![f64::NAN; grid.points],
            anomaly_rates: Vec::new(),
            resets: Vec::new(),
            newest: queried.newest.get(planned.dimension).map_or(f64::NAN, |newest| widened(*newest)),
            is_zero,
        };
        if parameters.has(QueryOption::AnomalyRates) {
            column.anomaly_rates = vec![0.0; grid.points];
        }
        let Column { values: points, anomaly_rates, resets, .. } = &mut column;
        let method = parameters.group.method;
        if samples.flags.is_empty() {
            fill(method, grid, &samples.times, values, points, |_, _| {});
            return column;
        }
        fill(method, grid, &samples.times, values, points, |row, range| {
            let flags = &samples.flags[range.clone()];
            if flags.iter().any(|flags| flags.contains(SampleFlags::RESET)) {
                resets.push(row);
            }
            if let Some(rate) = anomaly_rates.get_mut(row) {
                let count = values[range].iter().filter(|value| !value.is_nan()).count();
                let anomalous = flags.iter().filter(|flags| flags.contains(SampleFlags::ANOMALOUS)).count();
                *rate = 100.0 * anomalous as f64 / count.max(1) as f64;
            }
        });
        column
    }

    /// What concerns all columns together: which stay, and what becomes of their values.
    fn finish(self) -> Answer {
        let Execution { plan, mut columns, totals, samples_read, .. } = self;
        let mut extent = Extent::default();
        if !plan.are_dimensions_named {
            retain_unless_none(&mut columns, |column| {
                let dimension = &plan.charts[column.chart].chart.dimensions[column.dimension];
                !dimension.obsolete || column.values.iter().any(|value| !value.is_nan())
            });
            if plan.parameters.has(QueryOption::NonZero) {
                let all = columns.len();
                retain_unless_none(&mut columns, |column| !column.is_zero);
                // What is not shown for being zero was still a value.
                if columns.len() < all {
                    extent.include(0.0);
                }
            }
        }
        let finish = Finish {
            absolute: plan.parameters.has(QueryOption::Absolute),
            percentage: plan.parameters.has(QueryOption::Percentage),
            null_to_zero: plan.parameters.has(QueryOption::NullToZero),
        };
        for column in &mut columns {
            finish.column(&mut column.values, &totals, &mut extent);
        }
        Answer {
            parameters: plan.parameters,
            options: plan.options,
            scope: plan.scope,
            charts: plan.charts,
            columns,
            grid: plan.grid,
            retention: plan.retention,
            update_every: plan.update_every,
            extent,
            samples_read,
        }
    }
}

impl Finish {
    /// The extent is of percentages as they are, but of other values before their sign is taken; a gap counts as 0.
    fn column(self, values: &mut [f64], totals: &[f64], extent: &mut Extent) {
        if self.percentage {
            for (value, total) in values.iter_mut().zip(totals) {
                if self.absolute {
                    *value = value.abs();
                }
                *value *= 100.0 / if *total == 0.0 { 1.0 } else { *total };
                extent.include(*value);
            }
        } else {
            values.iter().for_each(|value| extent.include(*value));
            if self.absolute {
                values.iter_mut().for_each(|value| *value = value.abs());
            }
        }
        if self.null_to_zero {
            values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
    }
}

/// Keeps what is `wanted`, or all if nothing is.
fn retain_unless_none<T>(all: &mut Vec<T>, wanted: impl Fn(&T) -> bool) {
    if all.iter().any(&wanted) {
        all.retain(wanted);
    }
}
