//! Which series a question is about, and which group each of them belongs to.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use dbengine::{GroupKey, TimeRange};
use ecow::EcoString;

use super::answer::{Entry, GroupColumn};
use super::cells::Cells;
use super::grouping::{GroupBy, Pass};
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
    /// In the order in which they were met.
    pub contexts: Vec<EcoString>,
    /// Of all charts, each once.
    pub units: BTreeSet<EcoString>,
    /// Dimensions by their ids, each once, in the order in which they were met.
    pub dimensions: Vec<Named>,
    /// Of the first pass, in the order in which they were met.
    pub(super) groups: Groups,
    /// Of the second pass, if there is one.
    pub(super) regrouped: Option<Groups>,
    /// Labels of charts by their names, in the order in which they were met.
    pub labels: Vec<Label>,
    /// Names of functions that any of the charts has.
    pub functions: BTreeSet<EcoString>,
    /// Of each chart, one after the other: indexes in labels and their values.
    label_places: Vec<(u32, u32)>,
    by_context: Places,
    by_dimension: Places,
    by_label: Places,
    /// Series in all.
    pub series: usize,
    /// Of texts that are too long to be part of what has them.
    text_bytes: usize,
}

/// A label of charts, and the values that it has.
#[derive(Debug)]
pub struct Label {
    pub name: EcoString,
    pub values: Vec<EcoString>,
    by_value: Places,
}

/// What a dimension is called.
#[derive(Clone, Debug)]
pub struct Named {
    pub id: EcoString,
    pub name: EcoString,
}

/// A chart of which something is read.
#[derive(Clone, Debug)]
pub struct SelectedChart {
    /// Index in the selection's hosts.
    pub host: usize,
    /// Index in the selection's contexts.
    pub context: usize,
    pub chart: Arc<Chart>,
    pub span: TimeRange,
    pub series: Vec<Series>,
    /// Where its labels begin in those of all charts, and how many there are.
    labels: (u32, u32),
}

/// A dimension that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Series {
    dimension: u32,
    named: u32,
    group: u32,
    /// False when it only counts in percentages.
    pub is_shown: bool,
}

impl Series {
    /// Index in the chart's dimensions.
    pub fn dimension(self) -> usize {
        self.dimension as usize
    }

    /// Index in the selection's dimensions.
    pub(super) fn named(self) -> usize {
        self.named as usize
    }

    /// Index in the groups of the first pass.
    pub(super) fn group(self) -> usize {
        self.group as usize
    }
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
    /// What of it is shown: series, or groups of the first pass.
    pub(super) members: u32,
}

/// The groups of a pass.
#[derive(Debug, Default)]
pub(super) struct Groups {
    pub(super) all: Vec<Group>,
    by_id: Places,
    text_bytes: usize,
}

/// In the place of a value beyond those that are listed.
const NOT_LISTED: u32 = u32::MAX;
/// Of a label's value and what is told of it.
const LABEL_BYTES: usize = size_of::<EcoString>() + size_of::<Entry>() + PLACE_BYTES;
/// Of a name's place.
const PLACE_BYTES: usize = 2 * size_of::<(EcoString, usize)>();
/// Of a group from its first series to its column, without points and texts.
const GROUP_BYTES: usize = size_of::<Group>() + PLACE_BYTES + size_of::<Cells>() + size_of::<GroupColumn>();

/// Bytes of a text that is shared by all who have it, beside what each has; none of a short one.
fn text_bytes(text: &EcoString) -> usize {
    if text.len() < size_of::<EcoString>() { 0 } else { 2 * size_of::<usize>() + text.len() }
}

impl Groups {
    /// The group of a series, and whether it is new.
    fn of(&mut self, pass: &Pass, host: &HostSnapshot, chart: &Chart, dimension: usize) -> (usize, bool) {
        let id = key(pass, host, chart, dimension, Form::Id);
        let (place, is_new) = self.by_id.of(&id);
        if is_new {
            let name = shown(&key(pass, host, chart, dimension, Form::Name));
            let shown = shown(&id);
            self.text_bytes += text_bytes(&id) + text_bytes(&name);
            self.text_bytes += if shown == id { 0 } else { text_bytes(&shown) };
            self.all.push(Group {
                name,
                id: shown,
                units: chart.units.clone(),
                priority: chart.priority,
                next: 0,
                members: 0,
            });
        } else {
            let group = &mut self.all[place];
            group.priority = group.priority.min(chart.priority);
        }
        (place, is_new)
    }
}

impl Selection {
    /// The chart that reaches back furthest.
    pub fn oldest_chart(&self) -> Option<GroupKey> {
        self.charts
            .iter()
            .min_by_key(|selected| selected.span.first)
            .map(|selected| GroupKey(selected.chart.key))
    }

    /// Adds a chart that the question takes, with its oldest and newest row; one that has none near the window is left out.
    /// Charts come host by host.
    pub fn add(
        &mut self,
        question: &FleetQuestion,
        host: &Arc<HostSnapshot>,
        chart: Arc<Chart>,
        span: Option<TimeRange>,
        now: i64,
    ) {
        let window = Window::of_candidates(&question.time, now);
        let update_every = i64::from(chart.update_every);
        let Some(span) = span.filter(|span| window.concerns(*span, update_every)) else { return };
        let mut series = Vec::new();
        for (dimension, described) in chart.dimensions.iter().enumerate() {
            let (is_read, is_shown) = question.takes_dimension(described);
            if is_read {
                let group = self.group_of(question, host, &chart, dimension, is_shown) as u32;
                let (named, is_new) = self.by_dimension.of(&described.id);
                if is_new {
                    let (id, name) = (described.id.clone(), described.name().clone());
                    self.text_bytes += text_bytes(&id) + text_bytes(&name);
                    self.dimensions.push(Named { id, name });
                }
                series.push(Series { dimension: dimension as u32, named: named as u32, group, is_shown });
            }
        }
        if series.is_empty() {
            return;
        }
        self.series += series.len();
        if self.hosts.last().is_none_or(|last| !Arc::ptr_eq(last, host)) {
            self.hosts.push(Arc::clone(host));
        }
        let (context, is_new) = self.by_context.of(&chart.context);
        if is_new {
            self.text_bytes += text_bytes(&chart.context);
            self.contexts.push(chart.context.clone());
        }
        if !self.units.contains(&chart.units) {
            self.units.insert(chart.units.clone());
        }
        for (name, function) in host.functions.iter() {
            if function.charts.contains(&chart.id) && !self.functions.contains(name) {
                self.functions.insert(name.clone());
            }
        }
        let labels = self.add_labels(&chart, question.cardinality_limit);
        self.charts.push(SelectedChart { host: self.hosts.len() - 1, context, chart, span, series, labels });
    }

    /// Notes the labels of a chart: of each name so many values, as more are as many as there are charts.
    fn add_labels(&mut self, chart: &Chart, most_values: usize) -> (u32, u32) {
        let first = self.label_places.len();
        for (name, value) in chart_labels(chart) {
            let name = EcoString::from(name);
            let (place, is_new) = self.by_label.of(&name);
            if is_new {
                self.text_bytes += text_bytes(&name);
                self.labels.push(Label { name, values: Vec::new(), by_value: Places::default() });
            }
            let label = &mut self.labels[place];
            let value = EcoString::from(value);
            let known = label.by_value.known(&value);
            if known.is_none() && label.values.len() >= most_values {
                self.label_places.push((place as u32, NOT_LISTED));
                continue;
            }
            let (of_value, is_new) = label.by_value.of(&value);
            if is_new {
                self.text_bytes += LABEL_BYTES + text_bytes(&value);
                label.values.push(value);
            }
            self.label_places.push((place as u32, of_value as u32));
        }
        (first as u32, (self.label_places.len() - first) as u32)
    }

    /// The labels of a chart, as indexes, each with that of its value if it is one that is listed.
    pub(super) fn labels_of(&self, chart: usize) -> impl Iterator<Item = (usize, Option<usize>)> {
        let (first, count) = self.charts[chart].labels;
        let places = &self.label_places[first as usize..(first + count) as usize];
        let listed = |value: u32| (value != NOT_LISTED).then_some(value as usize);
        places.iter().map(move |(label, value)| (*label as usize, listed(*value)))
    }

    /// The groups of the last pass.
    pub(super) fn last_groups(&self) -> &[Group] {
        &self.regrouped.as_ref().unwrap_or(&self.groups).all
    }

    /// Groups of both passes.
    pub fn group_count(&self) -> usize {
        self.groups.all.len() + self.regrouped.as_ref().map_or(0, |groups| groups.all.len())
    }

    /// What it takes in memory, with what its answer tells of each name and each group, about; but without points.
    pub fn bytes(&self) -> usize {
        let names = self.contexts.len() + self.dimensions.len() + self.labels.len();
        self.hosts.len() * (size_of::<Arc<HostSnapshot>>() + size_of::<Entry>())
            + self.charts.len() * size_of::<SelectedChart>()
            + self.series * size_of::<Series>()
            + names * (size_of::<Named>() + size_of::<Entry>() + PLACE_BYTES)
            + self.group_count() * GROUP_BYTES
            + self.label_places.len() * size_of::<(u32, u32)>()
            + self.text_bytes
            + self.groups.text_bytes
            + self.regrouped.as_ref().map_or(0, |groups| groups.text_bytes)
    }

    /// The group of the first pass that a series belongs to. A new one belongs to the group of the second pass that the series
    /// would: these differ no further.
    fn group_of(
        &mut self,
        question: &FleetQuestion,
        host: &HostSnapshot,
        chart: &Chart,
        dimension: usize,
        is_shown: bool,
    ) -> usize {
        let (place, is_new) = self.groups.of(&question.passes[0], host, chart, dimension);
        let group = &mut self.groups.all[place];
        let is_shown_first = is_shown && group.members == 0;
        group.members += u32::from(is_shown);
        if let Some(pass) = question.passes.get(1) {
            let regrouped = self.regrouped.get_or_insert_default();
            if is_new {
                group.next = regrouped.of(pass, host, chart, dimension).0;
            }
            let next = &mut regrouped.all[group.next];
            next.priority = next.priority.min(group.priority);
            next.members += u32::from(is_shown_first);
        }
        place
    }
}

/// An index for each name, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Places {
    by_name: HashMap<EcoString, usize>,
}

impl Places {
    fn known(&self, name: &EcoString) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The place of a name, and whether it is new.
    pub(super) fn of(&mut self, name: &EcoString) -> (usize, bool) {
        if let Some(known) = self.known(name) {
            return (known, false);
        }
        let next = self.by_name.len();
        self.by_name.insert(name.clone(), next);
        (next, true)
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
