//! The work of an answer, a series a step.

use dbengine::{Bins, GroupSnapshot, Point, Sums, TimeRange, Wanted};

use super::answer::{Statistics, Tally};
use super::cells::Cells;
use super::finishing::Finishing;
use super::plan::FleetPlan;
use crate::query::decimal::widened;
use crate::query::reading::{Reading, Workspace};
use crate::query::{Method, QueryOption, Tier};

/// A plan being carried out. What it holds is the points of its groups.
#[derive(Debug)]
pub struct FleetExecution<'a> {
    plan: &'a FleetPlan,
    tier: Tier,
    window: TimeRange,
    bins: Bins,
    /// Of each group, when something of it was read.
    cells: Vec<Option<Box<Cells>>>,
    answer: Tally,
    /// The points of a series, and their percent of anomalous samples, the newest row first.
    points: Vec<f64>,
    rates: Vec<f32>,
    resets: Vec<usize>,
    sums: Sums,
}

impl<'a> FleetExecution<'a> {
    pub fn new(plan: &'a FleetPlan, tier: Tier) -> FleetExecution<'a> {
        let mut cells = Vec::new();
        cells.resize_with(plan.selection.groups.all.len(), || None);
        FleetExecution {
            window: plan.window_in(tier),
            bins: plan.bins(),
            cells,
            answer: Tally::new(plan),
            points: Vec::new(),
            rates: Vec::new(),
            resets: Vec::new(),
            sums: Sums::default(),
            tier,
            plan,
        }
    }

    /// Adds a series to its group: the `place`th of the `chart`th of the selection, of which this is a snapshot over
    /// [`window_in`](FleetPlan::window_in) the tier.
    pub fn add(&mut self, chart: usize, place: usize, snapshot: &GroupSnapshot, workspace: &mut Workspace) {
        let selected = &self.plan.selection.charts[chart];
        let series = selected.series[place];
        let update_every = selected.chart.update_every;
        let step = snapshot.tier_step().unwrap_or(update_every);
        if self.plan.adds_up(step.into(), snapshot.tier_step().is_some()) {
            let wanted = match self.plan.question.time.group.method {
                Method::Min | Method::Max => Wanted::Extremes,
                _ => Wanted::Sums,
            };
            snapshot.add_up(series.dimension(), &self.bins, wanted, &mut self.sums);
            self.take_sums();
        } else {
            let question = &self.plan.question;
            let mut options = question.time.options;
            options.insert(QueryOption::AnomalyRates);
            let method = question.time.group.method;
            let reading = Reading { grid: &self.plan.grid, window: self.window, method, options };
            let read = reading.read(snapshot, series.dimension(), update_every, workspace);
            self.answer.samples_read += read.samples_read;
            self.points.clear();
            self.points.extend(read.values);
            self.rates.clear();
            self.rates.extend(read.anomaly_rates.iter().map(|rate| *rate as f32));
            self.resets = read.resets;
        }
        if place == 0 {
            self.answer.add_chart(self.plan, chart);
        }
        let cells = self.cells[series.group()]
            .get_or_insert_with(|| Box::new(Cells::new(&self.plan.question, 0, self.plan.grid.points)));
        if series.is_shown {
            cells.add(&self.points, &self.rates);
            cells.mark_resets(&self.resets);
            let statistics = Statistics::of(&self.points, &self.rates);
            self.answer.add(self.plan, chart, place, &statistics);
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

    /// All series were added: what is left is to make columns of their groups.
    pub fn finish(self) -> Finishing<'a> {
        Finishing::new(self.plan, self.tier, self.cells, self.answer)
    }
}

/// What was computed of samples of 24 bits, with as many: then decimals are the ones that people wrote. Integers stay.
fn tidy(value: f64) -> f64 {
    // Beyond that every `f64` is an integer. `fract` would be a call where the instruction for it may be missing.
    let is_integer = value as i64 as f64 == value;
    if is_integer { value } else { widened(value as f32) }
}
