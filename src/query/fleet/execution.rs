//! The work of an answer, a series a step.

use std::collections::HashMap;

use dbengine::{Bins, GroupSnapshot, Point, Sums, TimeRange, Wanted};
use ecow::EcoString;

use super::answer::{Cells, FleetResult, GroupColumn, Statistics, Tally};
use super::grouping::Aggregation;
use super::plan::FleetPlan;
use super::selection::Group;
use crate::query::decimal::widened;
use crate::query::execution::retain_unless_none;
use crate::query::reading::{Reading, Workspace};
use crate::query::{Method, QueryOption, QueryOptions, Tier};

/// A plan being carried out. What it holds is the points of its groups.
#[derive(Debug)]
pub struct FleetExecution<'a> {
    plan: &'a FleetPlan,
    tier: Tier,
    window: TimeRange,
    bins: Bins,
    cells: Vec<Cells>,
    answer: Tally,
    /// The points of a series, and their percent of anomalous samples, the newest row first.
    points: Vec<f64>,
    rates: Vec<f32>,
    resets: Vec<usize>,
    sums: Sums,
}

impl<'a> FleetExecution<'a> {
    pub fn new(plan: &'a FleetPlan, tier: Tier) -> FleetExecution<'a> {
        let aggregation = plan.question.passes[0].aggregation;
        let cells = |_: &Group| Cells::new(aggregation, plan.grid.points);
        FleetExecution {
            window: plan.window_in(tier),
            bins: plan.bins(),
            cells: plan.selection.groups.iter().map(cells).collect(),
            answer: Tally::new(plan),
            points: Vec::new(),
            rates: Vec::new(),
            resets: Vec::new(),
            sums: Sums::default(),
            tier,
            plan,
        }
    }

    /// Adds a series to its group: the `series`th of the `chart`th of the selection, of which this is a snapshot over
    /// [`window_in`](FleetPlan::window_in) the tier.
    pub fn add(&mut self, chart: usize, series: usize, snapshot: &GroupSnapshot, workspace: &mut Workspace) {
        let selected = &self.plan.selection.charts[chart];
        let series = selected.series[series];
        let update_every = selected.chart.update_every;
        let step = snapshot.tier_step().unwrap_or(update_every);
        if self.plan.adds_up(step.into(), snapshot.tier_step().is_some()) {
            let wanted = match self.plan.question.time.group.method {
                Method::Min | Method::Max => Wanted::Extremes,
                _ => Wanted::Sums,
            };
            snapshot.add_up(series.dimension, &self.bins, wanted, &mut self.sums);
            self.take_sums();
        } else {
            let question = &self.plan.question;
            let mut options = question.time.options;
            options.insert(QueryOption::AnomalyRates);
            let method = question.time.group.method;
            let reading = Reading { grid: &self.plan.grid, window: self.window, method, options };
            let read = reading.read(snapshot, series.dimension, update_every, workspace);
            self.answer.samples_read += read.samples_read;
            self.points.clear();
            self.points.extend(read.values);
            self.rates.clear();
            self.rates.extend(read.anomaly_rates.iter().map(|rate| *rate as f32));
            self.resets = read.resets;
        }
        let cells = &mut self.cells[series.group];
        if series.is_shown {
            cells.add(&self.points, &self.rates);
            cells.mark_resets(&self.resets);
            let statistics = Statistics::of(&self.points, &self.rates);
            self.answer.add(self.plan, chart, series.dimension, &statistics);
        } else {
            cells.add_hidden(&self.points);
        }
    }

    /// Points from what the samples of each row came to.
    fn take_sums(&mut self) {
        let method = self.plan.question.time.group.method;
        let value = |point: &Point| match method {
            _ if point.count == 0 => f64::NAN,
            Method::Sum => tidy(point.sum),
            Method::Min => widened(if point.min.abs() <= point.max.abs() { point.min } else { point.max }),
            Method::Max => widened(if point.max.abs() >= point.min.abs() { point.max } else { point.min }),
            _ => tidy(point.sum / f64::from(point.count)),
        };
        self.points.clear();
        self.points.extend(self.sums.points.iter().rev().map(value));
        self.rates.clear();
        let rate = |point: &Point| 100.0 * point.anomalies as f32 / point.count.max(1) as f32;
        self.rates.extend(self.sums.points.iter().rev().map(rate));
        let last = self.bins.count - 1;
        self.resets.clear();
        self.resets.extend(self.sums.resets.iter().map(|bin| last - bin));
        self.answer.samples_read += self.sums.samples;
    }

    /// What all series together came to.
    pub fn finish(self) -> FleetResult {
        let FleetExecution { plan, tier, cells, answer, .. } = self;
        let mut columns = match (&plan.regrouped, plan.question.passes.get(1)) {
            (Some(groups), Some(pass)) => {
                let mut regrouped: Vec<Cells> =
                    groups.iter().map(|_| Cells::new(pass.aggregation, plan.grid.points)).collect();
                for (group, cells) in plan.selection.groups.iter().zip(cells) {
                    let column = cells.column(group, plan.question.passes[0].aggregation);
                    let next = &mut regrouped[group.next];
                    next.add(&column.values, &column.anomaly_rates);
                    next.mark_like(&column.flags);
                }
                columns(groups, regrouped, pass.aggregation)
            }
            _ => columns(&plan.selection.groups, cells, plan.question.passes[0].aggregation),
        };
        finish(&mut columns, plan.options, plan.grid.points);
        for column in &mut columns {
            column.statistics = Statistics::of(&column.values, &column.anomaly_rates);
        }
        FleetResult { columns, tally: answer, tier }
    }
}

fn columns(groups: &[Group], cells: Vec<Cells>, aggregation: Aggregation) -> Vec<GroupColumn> {
    let all = groups.iter().zip(cells).filter(|(group, _)| group.members > 0);
    let mut columns: Vec<GroupColumn> = all.map(|(group, cells)| cells.column(group, aggregation)).collect();
    columns.sort_by_key(|column| column.priority);
    columns
}

/// What concerns all columns together.
fn finish(columns: &mut Vec<GroupColumn>, options: QueryOptions, points: usize) {
    if options.contains(QueryOption::NonZero) {
        retain_unless_none(columns, |column| {
            column.values.iter().any(|value| !value.is_nan() && *value != 0.0)
        });
    }
    if options.contains(QueryOption::Absolute) {
        let values = columns.iter_mut().flat_map(|column| &mut column.values);
        values.for_each(|value| *value = value.abs());
    }
    if options.contains(QueryOption::Percentage) {
        let mut totals = vec![0.0; points];
        for column in &*columns {
            for (total, value) in totals.iter_mut().zip(&column.values).filter(|(_, value)| !value.is_nan()) {
                *total += value;
            }
        }
        for column in &mut *columns {
            column.units = "%".into();
            for (value, total) in column.values.iter_mut().zip(&totals) {
                *value *= 100.0 / if *total == 0.0 { 1.0 } else { *total };
            }
        }
    }
    if options.contains(QueryOption::NullToZero) {
        let values = columns.iter_mut().flat_map(|column| &mut column.values);
        values.filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
    }
}

/// What was computed of samples of 24 bits, with as many: then decimals are the ones that people wrote. Integers stay.
fn tidy(value: f64) -> f64 {
    // Beyond that every `f64` is an integer. `fract` would be a call where the instruction for it may be missing.
    let is_integer = value as i64 as f64 == value;
    if is_integer { value } else { widened(value as f32) }
}

/// An index for each name, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_name: HashMap<EcoString, usize>,
}

impl Places {
    /// The place of a name, and whether it is new.
    pub(super) fn of(&mut self, name: &EcoString) -> (usize, bool) {
        if let Some(known) = self.by_name.get(name) {
            return (*known, false);
        }
        let next = self.by_name.len();
        self.by_name.insert(name.clone(), next);
        (next, true)
    }
}
