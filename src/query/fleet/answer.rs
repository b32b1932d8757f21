//! What came of a question over many hosts.

use std::collections::BTreeSet;

use ecow::EcoString;

use super::plan::FleetPlan;
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
    /// Of all columns.
    pub units: BTreeSet<EcoString>,
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
    pub series: u32,
    pub charts: u32,
    pub statistics: Statistics,
}

/// Where the points of an answer come from, counted while they are read.
#[derive(Debug, Default)]
pub struct Tally {
    /// As the selection's hosts.
    pub nodes: Vec<Entry>,
    /// As the first charts of the selection, as many as the question wants listed.
    pub instances: Vec<Entry>,
    /// As the selection's contexts.
    pub contexts: Vec<Entry>,
    /// As the selection's dimensions; those without a series only count in percentages.
    pub dimensions: Vec<Entry>,
    /// As the selection's labels, and as the values of each.
    pub labels: Vec<(Entry, Vec<Entry>)>,
    pub all: Statistics,
    /// Gaps included.
    pub samples_read: u64,
}

impl Tally {
    pub(super) fn new(plan: &FleetPlan) -> Tally {
        let selection = &plan.selection;
        let listed = selection.charts.len().min(plan.question.cardinality_limit);
        Tally {
            nodes: vec![Entry::default(); selection.hosts.len()],
            instances: vec![Entry::default(); listed],
            contexts: vec![Entry::default(); selection.contexts.len()],
            dimensions: vec![Entry::default(); selection.dimensions.len()],
            labels: selection
                .labels
                .iter()
                .map(|label| (Entry::default(), vec![Entry::default(); label.values.len()]))
                .collect(),
            ..Tally::default()
        }
    }

    /// Counts what the `series`th of a chart came to.
    pub(super) fn add(&mut self, plan: &FleetPlan, chart: usize, series: usize, statistics: &Statistics) {
        let selected = &plan.selection.charts[chart];
        let entries = [
            self.nodes.get_mut(selected.host),
            self.contexts.get_mut(selected.context),
            self.dimensions.get_mut(selected.series[series].named()),
            self.instances.get_mut(chart),
        ];
        for entry in entries.into_iter().flatten() {
            entry.series += 1;
            entry.statistics.merge(statistics);
        }
        for (label, value) in plan.selection.labels_of(chart) {
            let (of_name, of_values) = &mut self.labels[label];
            for entry in [Some(of_name), value.map(|value| &mut of_values[value])].into_iter().flatten() {
                entry.series += 1;
                entry.statistics.merge(statistics);
            }
        }
        self.all.merge(statistics);
    }

    /// Counts a chart.
    pub(super) fn add_chart(&mut self, plan: &FleetPlan, chart: usize) {
        let selected = &plan.selection.charts[chart];
        self.nodes[selected.host].charts += 1;
        self.contexts[selected.context].charts += 1;
    }
}
