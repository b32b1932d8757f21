//! What came of a question over many hosts.

use ecow::EcoString;

use super::execution::Places;
use super::grouping::Aggregation;
use super::plan::FleetPlan;
use super::question::FleetQuestion;
use super::selection::Group;
use crate::query::Tier;

/// What is to be known of a point beside its value and its anomalies, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PointFlags(pub u8);

impl PointFlags {
    /// There is no value.
    pub const EMPTY: u8 = 1;
    /// A counter was reset or overflowed.
    pub const RESET: u8 = 2;
    /// Not all members of the group have a value.
    pub const PARTIAL: u8 = 4;
}

/// A question, and what came of it.
#[derive(Debug)]
pub struct FleetAnswer {
    pub plan: FleetPlan,
    pub result: FleetResult,
}

/// Points of groups, and where they come from.
#[derive(Debug)]
pub struct FleetResult {
    /// By priority, then in the order in which groups were met.
    pub columns: Vec<GroupColumn>,
    pub tally: Tally,
    /// What was read.
    pub tier: Tier,
}

/// The points of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupColumn {
    pub id: EcoString,
    pub name: EcoString,
    pub units: EcoString,
    pub priority: i64,
    /// What was put together: series, or groups of the first pass.
    pub members: u32,
    /// One a row, the newest first; NaN where there is none.
    pub values: Vec<f64>,
    /// Percent of anomalous samples, the mean of its members', one a row.
    pub anomaly_rates: Vec<f32>,
    /// One a row.
    pub flags: Vec<PointFlags>,
    pub statistics: Statistics,
}

/// What points come to over all rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    pub min: f64,
    pub max: f64,
    sum: f64,
    count: u64,
    rates: f64,
    /// Of magnitudes: what contributions are parts of.
    pub volume: f64,
}

impl Default for Statistics {
    fn default() -> Statistics {
        Statistics { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, count: 0, rates: 0.0, volume: 0.0 }
    }
}

impl Statistics {
    pub(super) fn of(values: &[f64], rates: &[f32]) -> Statistics {
        let mut all = Statistics::default();
        for (value, rate) in values.iter().zip(rates).filter(|(value, _)| !value.is_nan()) {
            all.min = all.min.min(*value);
            all.max = all.max.max(*value);
            all.sum += value;
            all.count += 1;
            all.rates += f64::from(*rate);
            all.volume += value.abs();
        }
        all
    }

    fn merge(&mut self, other: &Statistics) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.count += other.count;
        self.rates += other.rates;
        self.volume += other.volume;
    }

    /// NaN without any point.
    pub fn average(&self) -> f64 {
        self.sum / self.count as f64
    }

    /// Percent of anomalous samples.
    pub fn anomaly_rate(&self) -> f64 {
        self.rates / self.count.max(1) as f64
    }
}

/// What is told of a name of the answer's summary.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    pub id: EcoString,
    pub name: EcoString,
    pub series: u32,
    pub charts: u32,
    pub statistics: Statistics,
}

/// Where the points of an answer come from, counted while they are read.
#[derive(Debug, Default)]
pub struct Tally {
    /// As the selection's hosts.
    pub nodes: Vec<Entry>,
    /// Of the first charts of the selection, as many as the question wants listed.
    pub instances: Vec<Entry>,
    pub contexts: Vec<Entry>,
    pub dimensions: Vec<Entry>,
    pub all: Statistics,
    /// Gaps included.
    pub samples_read: u64,
    contexts_by_id: Places,
    dimensions_by_id: Places,
}

impl Tally {
    pub(super) fn new(plan: &FleetPlan) -> Tally {
        let selection = &plan.selection;
        let mut tally = Tally { nodes: vec![Entry::default(); selection.hosts.len()], ..Tally::default() };
        for selected in &selection.charts {
            tally.nodes[selected.host].charts += 1;
            let (place, is_new) = tally.contexts_by_id.of(&selected.chart.context);
            if is_new {
                let id = selected.chart.context.clone();
                tally.contexts.push(Entry { name: id.clone(), id, ..Entry::default() });
            }
            tally.contexts[place].charts += 1;
            if tally.instances.len() < plan.question.cardinality_limit {
                let (id, name) = (selected.chart.id.clone(), selected.chart.name.clone());
                tally.instances.push(Entry { id, name, ..Entry::default() });
            }
        }
        tally
    }

    /// Counts what a series came to.
    pub(super) fn add(&mut self, plan: &FleetPlan, chart: usize, dimension: usize, statistics: &Statistics) {
        let selected = &plan.selection.charts[chart];
        let dimension = &selected.chart.dimensions[dimension];
        let (context, _) = self.contexts_by_id.of(&selected.chart.context);
        let (place, is_new) = self.dimensions_by_id.of(&dimension.id);
        if is_new {
            let (id, name) = (dimension.id.clone(), dimension.name().clone());
            self.dimensions.push(Entry { id, name, ..Entry::default() });
        }
        let entries = [
            self.nodes.get_mut(selected.host),
            self.contexts.get_mut(context),
            self.dimensions.get_mut(place),
            self.instances.get_mut(chart),
        ];
        for entry in entries.into_iter().flatten() {
            entry.series += 1;
            entry.statistics.merge(statistics);
        }
        self.all.merge(statistics);
    }
}

/// Bytes of a point of a group while it is being computed.
pub(super) fn cell_bytes(question: &FleetQuestion) -> usize {
    let hidden = question.passes.iter().any(|pass| pass.aggregation == Aggregation::Percentage);
    size_of::<f64>() + size_of::<u32>() + size_of::<f32>() + 1 + if hidden { size_of::<f64>() } else { 0 }
}

/// The points of a group as far as its members are known.
#[derive(Debug)]
pub(super) struct Cells {
    aggregation: Aggregation,
    values: Vec<f64>,
    counts: Vec<u32>,
    /// Sums of percents.
    rates: Vec<f32>,
    flags: Vec<PointFlags>,
    /// Sums of those that only count in percentages.
    hidden: Vec<f64>,
}

impl Cells {
    pub(super) fn new(aggregation: Aggregation, points: usize) -> Cells {
        let has_hidden = aggregation == Aggregation::Percentage;
        Cells {
            aggregation,
            values: vec![0.0; points],
            counts: vec![0; points],
            rates: vec![0.0; points],
            flags: vec![PointFlags::default(); points],
            hidden: vec![0.0; if has_hidden { points } else { 0 }],
        }
    }

    /// Adds the points of a member. The choice is made once, not for each point.
    pub(super) fn add(&mut self, points: &[f64], rates: &[f32]) {
        match self.aggregation {
            Aggregation::Average | Aggregation::Sum | Aggregation::Percentage => {
                self.fold(points, rates, |all, one| all + one);
            }
            Aggregation::Min => self.fold(points, rates, f64::min),
            Aggregation::Max => self.fold(points, rates, f64::max),
            Aggregation::Extremes => {
                self.fold(points, rates, |all, one| if one.abs() > all.abs() { one } else { all });
            }
        }
    }

    fn fold(&mut self, points: &[f64], rates: &[f32], both: impl Fn(f64, f64) -> f64) {
        for (row, (point, rate)) in points.iter().zip(rates).enumerate() {
            if !point.is_nan() {
                self.values[row] =
                    if self.counts[row] == 0 { *point } else { both(self.values[row], *point) };
                self.counts[row] += 1;
                self.rates[row] += rate;
            }
        }
    }

    pub(super) fn add_hidden(&mut self, points: &[f64]) {
        for (all, point) in self.hidden.iter_mut().zip(points).filter(|(_, point)| !point.is_nan()) {
            *all += point;
        }
    }

    pub(super) fn mark_resets(&mut self, rows: &[usize]) {
        for row in rows {
            self.flags[*row].0 |= PointFlags::RESET;
        }
    }

    /// What is said of a member's points is said of these.
    pub(super) fn mark_like(&mut self, flags: &[PointFlags]) {
        for (all, one) in self.flags.iter_mut().zip(flags) {
            all.0 |= one.0 & (PointFlags::RESET | PointFlags::PARTIAL);
        }
    }

    /// The column of a group when all of its members were added.
    pub(super) fn column(mut self, group: &Group, aggregation: Aggregation) -> GroupColumn {
        for (row, count) in self.counts.iter().enumerate() {
            let value = &mut self.values[row];
            if *count < group.members {
                self.flags[row].0 |= if *count == 0 { PointFlags::EMPTY } else { PointFlags::PARTIAL };
            }
            if *count == 0 {
                *value = f64::NAN;
                continue;
            }
            match aggregation {
                Aggregation::Average => *value /= f64::from(*count),
                Aggregation::Percentage => {
                    let all = *value + self.hidden[row];
                    *value = if all == 0.0 { 0.0 } else { 100.0 * *value / all };
                }
                Aggregation::Sum | Aggregation::Min | Aggregation::Max | Aggregation::Extremes => {}
            }
            self.rates[row] /= *count as f32;
        }
        GroupColumn {
            id: group.id.clone(),
            name: group.name.clone(),
            units: group.units.clone(),
            priority: group.priority,
            members: group.members,
            values: self.values,
            anomaly_rates: self.rates,
            flags: self.flags,
            statistics: Statistics::default(),
        }
    }
}
