//! [`Cells`]: the points of a group while they are added up.

use super::answer::{GroupColumn, PointFlags, Statistics};
use super::grouping::Aggregation;
use super::question::FleetQuestion;
use super::selection::Group;

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
