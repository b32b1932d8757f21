//! The work of an answer, a dimension a step.

use dbengine::{GroupSnapshot, TimeRange};

use super::{
    answer::{Answer, Column, Extent},
    decimal::widened,
    options::QueryOption,
    plan::{Plan, PlannedColumn},
    reading::{Reading, Workspace},
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
        let queried = &charts[planned.chart];
        let reading = Reading {
            grid,
            window: self.window,
            method: parameters.group.method,
            options: parameters.options,
        };
        let snapshot = &self.snapshots[planned.chart];
        let points = reading.read(snapshot, planned.dimension, queried.chart.update_every, workspace);
        self.samples_read += points.samples_read;
        Column {
            chart: planned.chart,
            dimension: planned.dimension,
            values: points.values,
            anomaly_rates: points.anomaly_rates,
            resets: points.resets,
            newest: queried.newest.get(planned.dimension).map_or(f64::NAN, |newest| widened(*newest)),
            is_zero: points.is_zero,
        }
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
pub(super) fn retain_unless_none<T>(all: &mut Vec<T>, wanted: impl Fn(&T) -> bool) {
    if all.iter().any(&wanted) {
        all.retain(wanted);
    }
}
