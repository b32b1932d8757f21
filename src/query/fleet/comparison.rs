//! How much series changed from one window to another, each by itself.

use dbengine::{GroupSnapshot, TimeRange, UnixSeconds};
use thiserror::Error;

use super::plan::tier_of;
use super::question::FleetQuestion;
use crate::query::grid::Grid;
use crate::query::reading::{Reading, Workspace};
use crate::query::weights::{Baseline, Score, ks2, volume};
use crate::query::window::Window;
use crate::query::{Method, Parameters, QueryOption, QueryOptions, Tier};

/// What a change is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Ks2,
    Volume,
    /// The percent of anomalous samples in the highlight; there is no baseline.
    AnomalyRate,
    /// The value of the highlight; there is no baseline.
    Value,
}

impl Measure {
    const NAMES: [(&str, Measure); 4] = [
        ("anomaly-rate", Measure::AnomalyRate),
        ("ks2", Measure::Ks2),
        ("volume", Measure::Volume),
        ("value", Measure::Value),
    ];

    /// The one of this name; of none and of an unknown one, the first.
    pub fn parse(name: Option<&str>) -> Measure {
        let known = Measure::NAMES.iter().find(|(known, _)| Some(*known) == name);
        known.map_or(Measure::AnomalyRate, |(_, measure)| *measure)
    }

    pub fn name(self) -> &'static str {
        Measure::NAMES.iter().find(|(_, measure)| *measure == self).map_or("", |(name, _)| name)
    }

    fn has_baseline(self) -> bool {
        matches!(self, Measure::Ks2 | Measure::Volume)
    }
}

/// Windows that cannot be compared. The texts are Netdata's, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ComparisonError {
    #[error("Invalid selected time-range.")]
    Highlight,
    #[error("Invalid baseline time-range.")]
    Baseline,
    #[error("Too few points available, at least 15 are needed.")]
    TooFewPoints,
}

/// A window on its rows.
#[derive(Clone, Copy, Debug)]
struct Rows {
    grid: Grid,
    /// Seconds between rows of the slowest chart that is not interpolated.
    step: i64,
}

impl Rows {
    fn new((after, before): (i64, i64), points: i64) -> Rows {
        let mut options = QueryOptions::default();
        options.insert(QueryOption::Unaligned);
        options.insert(QueryOption::NaturalPoints);
        let parameters = Parameters { after, before, points, options, ..Parameters::default() };
        let window = Window { after, before, is_open: false, is_relative: false };
        Rows { grid: Grid::new(&parameters, window, 1, 1), step: 1 }
    }

    /// What is to be read for rows of a tier.
    fn window(&self, tier: Tier) -> TimeRange {
        let before = tier.factor.saturating_mul(self.step) - 1;
        let range =
            TimeRange { first: UnixSeconds(self.grid.start() + 1), last: UnixSeconds(self.grid.before) };
        TimeRange { first: range.first.minus(before), last: range.last }
    }
}

/// A highlight, and the baseline that it is compared with.
#[derive(Debug)]
pub struct Comparison {
    pub measure: Measure,
    method: Method,
    options: QueryOptions,
    highlight: Rows,
    baseline: Option<Rows>,
}

/// Points of the highlight if nothing else is said.
const POINTS: i64 = 500;

impl Comparison {
    /// The highlight is the question's window. A relative baseline counts from where the highlight begins.
    pub fn new(
        question: &FleetQuestion,
        measure: Measure,
        (baseline_after, baseline_before): (i64, i64),
        now: i64,
    ) -> Result<Comparison, ComparisonError> {
        let resolved = |after: i64, before: i64, newest: i64, now: i64| {
            let after = if after == 0 { -600 } else { after };
            let parameters = Parameters { after, before, ..Parameters::default() };
            let retention = TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(newest) };
            let window = Window::resolve(&parameters, retention, now);
            (window.after, window.before)
        };
        let highlight = resolved(question.time.after, question.time.before, now - 1, now);
        if highlight.0 >= highlight.1 {
            return Err(ComparisonError::Highlight);
        }
        let points = if question.time.points > 0 { question.time.points } else { POINTS };
        let baseline = if measure.has_baseline() {
            let begin = highlight.0;
            let asked = resolved(baseline_after, baseline_before, begin, begin.saturating_add(1));
            if asked.0 >= asked.1 {
                return Err(ComparisonError::Baseline);
            }
            Some(Baseline::new(asked, highlight, points).ok_or(ComparisonError::TooFewPoints)?)
        } else {
            None
        };
        let points = match baseline {
            Some(baseline) => baseline.highlight_points,
            None => 1,
        };
        let mut options = question.time.options;
        if measure == Measure::AnomalyRate {
            options.insert(QueryOption::AnomalyBit);
        }
        Ok(Comparison {
            measure,
            method: question.time.group.method,
            options,
            highlight: Rows::new(highlight, points),
            baseline: baseline.map(|baseline| Rows::new((baseline.after, baseline.before), baseline.points)),
        })
    }

    /// First and last second of the highlight, and of the baseline if there is one.
    pub fn windows(&self) -> (TimeRange, Option<TimeRange>) {
        (self.highlight.window(Tier::FINEST), self.baseline.map(|rows| rows.window(Tier::FINEST)))
    }

    /// All that is to be read, of both windows.
    pub fn window_in(&self, tier: Tier) -> TimeRange {
        let baseline = self.baseline.map(|rows| rows.window(tier));
        baseline.map_or(self.highlight.window(tier), |baseline| baseline.hull(self.highlight.window(tier)))
    }

    /// Samples that are to be read of so many series, about.
    pub fn samples(&self, series: usize, tier: Tier) -> i64 {
        let window = self.window_in(tier);
        (window.last.since(window.first) / tier.factor).saturating_mul(series as i64)
    }

    /// The tier to read: as for points of [`FleetPlan`](super::FleetPlan).
    pub fn tier(&self, series: usize, factors: &[u32], least: u8) -> Tier {
        let rows = self.baseline.unwrap_or(self.highlight);
        tier_of(self.samples(series, Tier::FINEST), rows.grid.view(), 1, factors, least)
    }

    /// The score of a dimension, if it is one to be told of. `snapshot` is over [`window_in`](Self::window_in).
    pub fn score(
        &self,
        snapshot: &GroupSnapshot,
        dimension: usize,
        update_every: u32,
        workspace: &mut Workspace,
    ) -> Option<Score> {
        let mut points = |rows: &Rows| -> Vec<f64> {
            let window = rows.window(Tier::FINEST);
            let reading = Reading { grid: &rows.grid, window, method: self.method, options: self.options };
            let mut points = reading.read(snapshot, dimension, update_every, workspace).values;
            // The oldest first, without gaps.
            points.retain(|point| !point.is_nan());
            points.reverse();
            points
        };
        let highlight = points(&self.highlight);
        let score = match (self.measure, &self.baseline) {
            (Measure::Ks2, Some(baseline)) => ks2(&points(baseline), &highlight),
            (Measure::Volume, Some(baseline)) => volume(&points(baseline), &highlight),
            _ => highlight.first().map(|value| Score::Plain(value.abs())),
        };
        score.filter(|score| score.value() != 0.0 || !self.options.contains(QueryOption::NonZero))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::fixture::{Fixture, LAST, T};

    fn compare(
        fixture: &Fixture,
        measure: Measure,
        chart: usize,
        query: (i64, i64),
        baseline: (i64, i64),
    ) -> Option<f64> {
        let question = FleetQuestion::from_pairs(std::iter::empty());
        let question = FleetQuestion {
            time: Parameters { after: query.0, before: query.1, points: 100, ..question.time },
            ..question
        };
        let comparison = Comparison::new(&question, measure, baseline, LAST).expect("windows");
        let queried = &fixture.charts[chart];
        let snapshot = fixture.engine.read(queried.chart.group, comparison.window_in(Tier::FINEST));
        let score = comparison.score(&snapshot, 0, queried.chart.update_every, &mut Workspace::default());
        score.map(Score::value)
    }

    #[test]
    fn what_changes_scores_and_what_goes_on_does_not() {
        let mut fixture = Fixture::empty();
        fixture.add("steady", 1, &[("a", |t| (t % 10) as f32)]);
        fixture.add("moved", 1, &[("a", |t| if t > T { (t * 7919 % 1000) as f32 } else { (t % 10) as f32 })]);
        let compare = |measure, chart| compare(&fixture, measure, chart, (T + 1, T + 400), (T - 800, T));
        assert!(compare(Measure::Ks2, 0).expect("a score") < 0.1);
        assert!(compare(Measure::Ks2, 1).expect("a score") > 0.9);
        assert!(compare(Measure::Volume, 0).unwrap_or(0.0) < 0.1);
        assert!(compare(Measure::Volume, 1).expect("a score") > 10.0);
        assert_eq!(compare(Measure::AnomalyRate, 0), Some(0.0));
        assert_eq!(compare(Measure::Value, 0), Some(4.5));
    }

    #[test]
    fn windows_without_seconds_are_refused() {
        let question = FleetQuestion::from_pairs([("after", "-60")].into_iter());
        let new = |measure, baseline| Comparison::new(&question, measure, baseline, LAST).map(|_| ());
        assert_eq!(new(Measure::Ks2, (-240, 0)), Ok(()));
        assert_eq!(new(Measure::Ks2, (T, T)), Err(ComparisonError::Baseline));
        assert_eq!(new(Measure::Value, (T, T)), Ok(()));
        let question = FleetQuestion::from_pairs([("after", "-60"), ("points", "3")].into_iter());
        let few = Comparison::new(&question, Measure::Volume, (-240, 0), LAST);
        assert_eq!(few.map(|_| ()), Err(ComparisonError::TooFewPoints));
    }
}
