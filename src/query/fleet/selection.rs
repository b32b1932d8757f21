//! Which series a question is about, and which group each of them belongs to.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use dbengine::{GroupKey, TimeRange};
use ecow::EcoString;

use super::grouping::{Aggregation, GroupBy, Pass};
use super::question::FleetQuestion;
use crate::catalog::{Chart, HostSnapshot};
use crate::query::chart_labels;
use crate::query::window::Window;

/// What a question is about.
#[derive(Debug, Default)]
pub struct Selection {
    /// Those that have any of the charts.
    pub hosts: Vec<Arc<HostSnapshot>>,
    /// Host by host.
    pub charts: Vec<SelectedChart>,
    /// Of the first pass, in the order in which they were met.
    pub(super) groups: Vec<Group>,
    by_id: HashMap<EcoString, usize>,
    /// Series in all.
    pub series: usize,
}

/// A chart of which something is read.
#[derive(Clone, Debug)]
pub struct SelectedChart {
    /// Index in the selection's hosts.
    pub host: usize,
    pub chart: Arc<Chart>,
    pub span: TimeRange,
    pub series: Vec<Series>,
}

/// A dimension that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    /// Index in the chart's dimensions.
    pub dimension: usize,
    /// Of the first pass.
    pub(super) group: usize,
    /// False when it only counts in percentages.
    pub is_shown: bool,
}

/// What is known of a group before its points are.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) id: EcoString,
    pub(super) name: EcoString,
    pub(super) units: EcoString,
    pub(super) priority: i64,
    /// Index of its group in the second pass, if there is one.
    pub(super) next: usize,
    /// Series of it that are shown.
    pub(super) members: u32,
}

impl Selection {
    /// The chart that reaches back furthest.
    pub fn oldest_chart(&self) -> Option<GroupKey> {
        self.charts
            .iter()
            .min_by_key(|selected| selected.span.first)
            .map(|selected| GroupKey(selected.chart.key))
    }

    /// Adds those charts of a host that the question takes, with their oldest and newest row; those that have none near the
    /// window are left out. All charts of a host come at once.
    pub fn add(
        &mut self,
        question: &FleetQuestion,
        host: &Arc<HostSnapshot>,
        charts: impl Iterator<Item = (Arc<Chart>, Option<TimeRange>)>,
        now: i64,
    ) {
        let window = Window::of_candidates(&question.time, now);
        let place = self.hosts.len();
        let before = self.charts.len();
        for (chart, span) in charts {
            let update_every = i64::from(chart.update_every);
            let Some(span) = span.filter(|span| window.concerns(*span, update_every)) else { continue };
            let series: Vec<Series> = chart
                .dimensions
                .iter()
                .enumerate()
                .filter_map(|(dimension, described)| {
                    let (is_read, is_shown) = question.takes_dimension(described);
                    is_read.then(|| {
                        let group = self.group_of(&question.passes[0], host, &chart, dimension);
                        self.groups[group].members += u32::from(is_shown);
                        Series { dimension, group, is_shown }
                    })
                })
                .collect();
            if !series.is_empty() {
                self.series += series.len();
                self.charts.push(SelectedChart { host: place, chart, span, series });
            }
        }
        if self.charts.len() > before {
            self.hosts.push(Arc::clone(host));
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        self.charts.len() * size_of::<SelectedChart>()
            + self.series * size_of::<Series>()
            + self.groups.len() * 2 * size_of::<Group>()
    }

    fn group_of(&mut self, pass: &Pass, host: &HostSnapshot, chart: &Chart, dimension: usize) -> usize {
        let id = key(pass, host, chart, dimension, Form::Id);
        if let Some(known) = self.by_id.get(&id) {
            let group = &mut self.groups[*known];
            group.priority = group.priority.min(chart.priority);
            return *known;
        }
        let units = match pass.aggregation {
            Aggregation::Percentage => "%".into(),
            _ => chart.units.clone(),
        };
        self.groups.push(Group {
            name: shown(&key(pass, host, chart, dimension, Form::Name)),
            id: shown(&id),
            units,
            priority: chart.priority,
            next: 0,
            members: 0,
        });
        self.by_id.insert(id, self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// The groups of the second pass; each of the first learns its own.
    pub(super) fn regroup(&mut self, pass: &Pass) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let mut by_id: HashMap<EcoString, usize> = HashMap::new();
        let mut seen = vec![false; self.groups.len()];
        for selected in &self.charts {
            let host = &self.hosts[selected.host];
            for series in &selected.series {
                if std::mem::replace(&mut seen[series.group], true) {
                    continue;
                }
                let id = key(pass, host, &selected.chart, series.dimension, Form::Id);
                let next = *by_id.entry(id.clone()).or_insert_with(|| {
                    let first = &self.groups[series.group];
                    groups.push(Group {
                        name: shown(&key(pass, host, &selected.chart, series.dimension, Form::Name)),
                        id: shown(&id),
                        units: first.units.clone(),
                        priority: first.priority,
                        next: 0,
                        members: 0,
                    });
                    groups.len() - 1
                });
                self.groups[series.group].next = next;
                groups[next].members += u32::from(self.groups[series.group].members > 0);
            }
        }
        groups
    }
}

/// Ids are the same tomorrow, names are for people.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Id,
    Name,
}

/// Between the parts of a key, which may have commas of their own.
const SEPARATOR: char = '\0';

/// A key as people see it.
fn shown(key: &EcoString) -> EcoString {
    if key.contains(SEPARATOR) { key.replace("\0", ",") } else { key.clone() }
}

/// What the members of a series' group have in common, as text in parts.
fn key(pass: &Pass, host: &HostSnapshot, chart: &Chart, dimension: usize, form: Form) -> EcoString {
    let mut key = EcoString::new();
    let mut parts = 0;
    let mut part = |text: &str| {
        if parts > 0 {
            key.push(SEPARATOR);
        }
        parts += 1;
        key.push_str(text);
    };
    let guid = || host.info.machine_guid.hyphenated();
    if pass.by.contains(GroupBy::DIMENSION) {
        let dimension = &chart.dimensions[dimension];
        part(if form == Form::Id { &dimension.id } else { dimension.name() });
    }
    if pass.by.contains(GroupBy::INSTANCE) {
        let mut text = String::new();
        let _ = match form {
            Form::Id => write!(text, "{}@{}", chart.id, guid()),
            Form::Name => write!(text, "{}@{}", chart.name, host.info.hostname),
        };
        part(&text);
    }
    if pass.by.contains(GroupBy::LABEL) {
        for label in &pass.labels {
            let of_host = || host.info.labels.get(label);
            let value = chart_labels(chart).find(|(name, _)| *name == &**label).map(|(_, value)| value);
            part(value.or_else(of_host).unwrap_or("[unset]"));
        }
    }
    if pass.by.contains(GroupBy::NODE) {
        match form {
            Form::Id => part(&guid().to_string()),
            Form::Name => part(&host.info.hostname),
        }
    }
    if pass.by.contains(GroupBy::CONTEXT) {
        part(&chart.context);
    }
    if pass.by.contains(GroupBy::UNITS) {
        part(&chart.units);
    }
    if parts == 0 { "selected".into() } else { key }
}
