//! [`Finishing`]: from the points of groups to columns, a group a step.

use std::collections::{BTreeMap, BTreeSet, btree_map};
use std::iter::Flatten;

use ecow::EcoString;

use super::answer::{FleetResult, GroupColumn, Statistics, Tally};
use super::cells::Cells;
use super::plan::FleetPlan;
use crate::query::{QueryOption, Tier};

/// Groups that are put in order in a step.
const SORTED_AT_ONCE: usize = 1024;

/// The order of the columns: by priority, then as groups were met.
type Order = Flatten<btree_map::IntoValues<i64, Vec<usize>>>;

/// What the next step does.
#[derive(Debug)]
enum Stage {
    /// Adds a group of the first pass to its group of the second.
    Regroup(usize),
    /// Puts groups in order.
    Sort(usize, BTreeMap<i64, Vec<usize>>),
    /// Makes a group a column.
    Close(Order),
    /// Does with a column what needs all of them.
    Settle(usize),
}

/// The columns of an answer on their way.
#[derive(Debug)]
pub struct Finishing<'a> {
    plan: &'a FleetPlan,
    tier: Tier,
    tally: Tally,
    stage: Stage,
    /// Of the first pass, until they are regrouped.
    first: Vec<Option<Box<Cells>>>,
    /// Of the last pass, until they are columns.
    last: Vec<Option<Box<Cells>>>,
    columns: Vec<GroupColumn>,
    /// Columns without a point other than zero, which are only shown if there is no other column.
    zeros: Vec<GroupColumn>,
    /// Of each row, over all columns; empty unless values are percentages.
    totals: Vec<f64>,
    units: BTreeSet<EcoString>,
}

impl<'a> Finishing<'a> {
    pub(super) fn new(
        plan: &'a FleetPlan,
        tier: Tier,
        cells: Vec<Option<Box<Cells>>>,
        tally: Tally,
    ) -> Finishing<'a> {
        let is_percentage = plan.options.contains(QueryOption::Percentage);
        let (stage, first, last) = match &plan.selection.regrouped {
            Some(groups) => {
                let mut last = Vec::new();
                last.resize_with(groups.all.len(), || None);
                (Stage::Regroup(0), cells, last)
            }
            None => (Stage::Sort(0, BTreeMap::new()), Vec::new(), cells),
        };
        Finishing {
            plan,
            tier,
            tally,
            stage,
            first,
            last,
            columns: Vec::new(),
            zeros: Vec::new(),
            totals: vec![0.0; if is_percentage { plan.grid.points } else { 0 }],
            units: BTreeSet::new(),
        }
    }

    /// Goes on by a group; false when all are columns.
    pub fn step(&mut self) -> bool {
        match &mut self.stage {
            Stage::Regroup(group) if *group < self.first.len() => {
                let group = std::mem::replace(group, *group + 1);
                self.regroup(group);
            }
            Stage::Regroup(_) => self.stage = Stage::Sort(0, BTreeMap::new()),
            Stage::Sort(from, order) => {
                let groups = self.plan.selection.last_groups();
                let to = groups.len().min(*from + SORTED_AT_ONCE);
                for (place, group) in groups.iter().enumerate().take(to).skip(*from) {
                    if group.members > 0 {
                        order.entry(group.priority).or_default().push(place);
                    }
                }
                *from = to;
                if to == groups.len() {
                    self.stage = Stage::Close(std::mem::take(order).into_values().flatten());
                }
            }
            Stage::Close(order) => match order.next() {
                Some(group) => self.close(group),
                None => {
                    if self.columns.is_empty() {
                        self.columns = std::mem::take(&mut self.zeros);
                    }
                    self.stage = Stage::Settle(0);
                }
            },
            Stage::Settle(column) if *column < self.columns.len() => {
                let column = std::mem::replace(column, *column + 1);
                self.settle(column);
            }
            Stage::Settle(_) => return false,
        }
        true
    }

    /// What all series together came to. To be called when there is no further [`step`](Self::step).
    pub fn result(self) -> FleetResult {
        FleetResult { columns: self.columns, units: self.units, tally: self.tally, tier: self.tier }
    }

    /// Cells of a group of the `pass`th pass of which nothing was added yet.
    fn empty(&self, pass: usize) -> Box<Cells> {
        Box::new(Cells::new(&self.plan.question, pass, self.plan.grid.points))
    }

    fn regroup(&mut self, place: usize) {
        let group = &self.plan.selection.groups.all[place];
        let cells = self.first[place].take().unwrap_or_else(|| self.empty(0));
        let mut next = self.last[group.next].take().unwrap_or_else(|| self.empty(1));
        next.add_hidden(&cells.hidden_points());
        let column = cells.column(group);
        next.add(&column.values, &column.anomaly_rates);
        next.mark_like(&column.flags);
        self.last[group.next] = Some(next);
    }

    fn close(&mut self, place: usize) {
        let last_pass = self.plan.question.passes.len() - 1;
        let cells = self.last[place].take().unwrap_or_else(|| self.empty(last_pass));
        let mut column = cells.column(&self.plan.selection.last_groups()[place]);
        let options = self.plan.options;
        if options.contains(QueryOption::NonZero)
            && !column.values.iter().any(|value| !value.is_nan() && *value != 0.0)
        {
            if self.columns.is_empty() {
                self.zeros.push(column);
            }
            return;
        }
        if options.contains(QueryOption::Absolute) {
            column.values.iter_mut().for_each(|value| *value = value.abs());
        }
        for (total, value) in self.totals.iter_mut().zip(&column.values).filter(|(_, value)| !value.is_nan())
        {
            *total += value;
        }
        self.columns.push(column);
    }

    fn settle(&mut self, place: usize) {
        let column = &mut self.columns[place];
        let options = self.plan.options;
        if options.contains(QueryOption::Percentage) || self.plan.question.has_percentage() {
            column.units = "%".into();
        }
        if options.contains(QueryOption::Percentage) {
            for (value, total) in column.values.iter_mut().zip(&self.totals) {
                *value *= 100.0 / if *total == 0.0 { 1.0 } else { *total };
            }
        }
        if options.contains(QueryOption::NullToZero) {
            column.values.iter_mut().filter(|value| value.is_nan()).for_each(|value| *value = 0.0);
        }
        column.statistics = Statistics::of(&column.values, &column.anomaly_rates);
        if !self.units.contains(&column.units) {
            self.units.insert(column.units.clone());
        }
    }
}
