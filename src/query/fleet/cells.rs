//! [`Cells`]: the points of a group while they are added up.

use super::answer::{GroupColumn, PointFlags, Statistics};
use super::grouping::Aggregation;
use super::question::FleetQuestion;
use super::selection::Group;

/// Bytes of a point of a group while it is being computed.
pub(super) fn cell_bytes(question: &FleetQuestion) -> usize {
    let folded = size_of::<f64>() + size_of::<u32>();
    let hidden = if question.has_percentage() { folded } else { 0 };
    folded + hidden + size_of::<f32>() + size_of::<PointFlags>()
}

/// Points of members, made one a row.
#[derive(Debug)]
struct Folded {
    values: Vec<f64>,
    /// Members that have a point.
    counts: Vec<u32>,
}

impl Folded {
    fn new(points: usize) -> Folded {
        Folded { values: vec![0.0; points], counts: vec![0; points] }
    }

    /// Adds the points of a member. The choice is made once, not for each point.
    fn add(&mut self, aggregation: Aggregation, points: &[f64]) {
        match aggregation {
            Aggregation::Average | Aggregation::Sum | Aggregation::Percentage => {
                self.fold(points, |all, one| all + one);
            }
            Aggregation::Min => self.fold(points, f64::min),
            Aggregation::Max => self.fold(points, f64::max),
            Aggregation::Extremes => {
                self.fold(points, |all, one| if one.abs() > all.abs() { one } else { all });
            }
        }
    }

    fn fold(&mut self, points: &[f64], both: impl Fn(f64, f64) -> f64) {
        for (row, point) in points.iter().enumerate().filter(|(_, point)| !point.is_nan()) {
            self.values[row] = if self.counts[row] == 0 { *point } else { both(self.values[row], *point) };
            self.counts[row] += 1;
        }
    }

    /// What the members of a row come to, but for percentages their sum; NaN of none.
    fn value(&self, aggregation: Aggregation, row: usize) -> f64 {
        match (aggregation, self.counts[row]) {
            (_, 0) => f64::NAN,
            (Aggregation::Average, count) => self.values[row] / f64::from(count),
            _ => self.values[row],
        }
    }
}

/// The points of a group as far as its members are known.
#[derive(Debug)]
pub(super) struct Cells {
    aggregation: Aggregation,
    shown: Folded,
    /// Of those that only count in percentages, of this pass or the next.
    hidden: Option<Folded>,
    /// Sums of percents.
    rates: Vec<f32>,
    flags: Vec<PointFlags>,
}

impl Cells {
    /// Those of a group of the question's `pass`th pass.
    pub(super) fn new(question: &FleetQuestion, pass: usize, points: usize) -> Cells {
        let counts_hidden =
            question.passes[pass..].iter().any(|pass| pass.aggregation == Aggregation::Percentage);
        Cells {
            aggregation: question.passes[pass].aggregation,
            shown: Folded::new(points),
            hidden: counts_hidden.then(|| Folded::new(points)),
            rates: vec![0.0; points],
            flags: vec![PointFlags::default(); points],
        }
    }

    /// Adds the points of a member that is shown.
    pub(super) fn add(&mut self, points: &[f64], rates: &[f32]) {
        self.shown.add(self.aggregation, points);
        for (all, (point, rate)) in self.rates.iter_mut().zip(points.iter().zip(rates)) {
            if !point.is_nan() {
                *all += rate;
            }
        }
    }

    /// Adds the points of what only counts in percentages.
    pub(super) fn add_hidden(&mut self, points: &[f64]) {
        if let Some(hidden) = &mut self.hidden {
            hidden.add(self.aggregation, points);
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

    /// What those that are not shown come to, for the percentages of the next pass: as their own aggregation has it, or what a
    /// percentage leaves of 100. Empty when nothing asks for it.
    pub(super) fn hidden_points(&self) -> Vec<f64> {
        let Some(hidden) = &self.hidden else { return Vec::new() };
        let left = |row: usize| match self.aggregation {
            Aggregation::Percentage if self.shown.counts[row] == 0 && hidden.counts[row] == 0 => f64::NAN,
            Aggregation::Percentage => 100.0 - self.percentage(row),
            aggregation => hidden.value(aggregation, row),
        };
        (0..self.flags.len()).map(left).collect()
    }

    /// What percent of all members of a row those shown are.
    fn percentage(&self, row: usize) -> f64 {
        let shown = self.shown.values[row];
        let all = shown + self.hidden.as_ref().map_or(0.0, |hidden| hidden.values[row]);
        if all == 0.0 { 0.0 } else { 100.0 * shown / all }
    }

    /// The column of a group when all of its members were added.
    pub(super) fn column(mut self, group: &Group) -> GroupColumn {
        for row in 0..self.flags.len() {
            let count = self.shown.counts[row];
            if count < group.members {
                self.flags[row].0 |= if count == 0 { PointFlags::EMPTY } else { PointFlags::PARTIAL };
            }
            self.shown.values[row] = match self.aggregation {
                Aggregation::Percentage if count > 0 => self.percentage(row),
                aggregation => self.shown.value(aggregation, row),
            };
            self.rates[row] /= count.max(1) as f32;
        }
        GroupColumn {
            id: group.id.clone(),
            name: group.name.clone(),
            units: group.units.clone(),
            priority: group.priority,
            members: group.members,
            values: self.shown.values,
            anomaly_rates: self.rates,
            flags: self.flags,
            statistics: Statistics::default(),
        }
    }
}
