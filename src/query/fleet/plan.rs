//! A selection with its window, its rows and its tier.

use dbengine::{Bins, TimeRange, UnixSeconds};
use thiserror::Error;

use super::answer::Entry;
use super::cells::cell_bytes;
use super::question::FleetQuestion;
use super::selection::Selection;
use crate::query::grid::{self, Grid};
use crate::query::window::Window;
use crate::query::{Method, QueryError, QueryOption, QueryOptions, Tier};

/// Samples of an answer that are read from the finest tier even if a coarser one would do.
const EXACT_SAMPLES: i64 = 1 << 22;

/// A question that would hold more than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "This question would take {needed} bytes of memory ({series} dimensions in {groups} groups of {points} points), and \
     `[web] query_memory_bytes` in mainstem.toml lets it have {allowed}. Ask for fewer points, larger groups (`group_by`) \
     or fewer contexts, or raise the limit.\n"
)]
pub struct TooLarge {
    pub needed: usize,
    pub series: usize,
    pub groups: usize,
    pub points: usize,
    pub allowed: usize,
}

/// What to read, and what to make of it.
#[derive(Debug)]
pub struct FleetPlan {
    pub question: FleetQuestion,
    pub selection: Selection,
    /// As they were understood.
    pub options: QueryOptions,
    pub grid: Grid,
    /// From the oldest to the newest row of all charts.
    pub retention: TimeRange,
    /// The smallest of the charts.
    pub update_every: u32,
    /// Seconds between rows of the slowest chart.
    slowest: i64,
}

impl FleetPlan {
    /// `now` is the clock on the wall.
    pub fn new(question: FleetQuestion, selection: Selection, now: i64) -> Result<FleetPlan, QueryError> {
        let every = || selection.charts.iter().map(|selected| selected.chart.update_every.max(1));
        let spans = selection.charts.iter().map(|selected| selected.span);
        let (Some(retention), Some(update_every), Some(slowest)) =
            (spans.reduce(TimeRange::hull), every().min(), every().max())
        else {
            return Err(QueryError::NothingMatched);
        };
        if selection.groups.all.iter().all(|group| group.members == 0) {
            return Err(QueryError::NothingMatched);
        }
        let window = Window::resolve(&question.time, retention, now);
        let grid = Grid::new(&question.time, window, i64::from(update_every), selection.groups.all.len());
        let mut options = question.time.options;
        if grid::is_natural(&question.time, window) {
            options.insert(QueryOption::NaturalPoints);
            options.remove(QueryOption::VirtualPoints);
        } else {
            options.insert(QueryOption::VirtualPoints);
            options.remove(QueryOption::NaturalPoints);
        }
        let slowest = i64::from(slowest);
        Ok(FleetPlan { question, selection, options, grid, retention, update_every, slowest })
    }

    /// Holds the plan to what one question may take in memory.
    pub fn check_memory(&self, allowed: usize) -> Result<(), TooLarge> {
        let groups = self.selection.group_count();
        let points = self.grid.points;
        let of_points = groups.saturating_mul(points).saturating_mul(cell_bytes(&self.question));
        let listed = self.selection.charts.len().min(self.question.cardinality_limit);
        let needed = of_points.saturating_add(self.selection.bytes()) + listed * size_of::<Entry>();
        let series = self.selection.series;
        if needed <= allowed { Ok(()) } else { Err(TooLarge { needed, series, groups, points, allowed }) }
    }

    /// Samples that are to be read of a tier, about.
    pub fn samples(&self, tier: Tier) -> i64 {
        let rows = self.grid.view().saturating_mul(self.grid.points as i64) / i64::from(self.update_every);
        (rows / tier.factor).saturating_mul(self.selection.series as i64)
    }

    /// The tier to read: the coarsest that still has a row for each row of the answer, unless one was asked for or the samples
    /// are few enough to be exact; none below `least`, as those do not reach back so far. `factors` are as in
    /// [`Plan::tier`](crate::query::Plan::tier).
    pub fn tier(&self, factors: &[u32], least: u8) -> Tier {
        let asked = self.question.time.tier.filter(|_| self.options.contains(QueryOption::SelectedTier));
        let last = factors.len().saturating_sub(1);
        if let Some(asked) = asked {
            return tier(factors, last.min(asked as usize));
        }
        let exact = if self.grid.gtime.is_some() { 0 } else { self.samples(Tier::FINEST) };
        tier_of(exact, self.grid.view(), self.slowest, factors, least)
    }

    /// What to read of each group for rows of a tier.
    pub fn window_in(&self, tier: Tier) -> TimeRange {
        let beside = if self.slowest > self.grid.granularity { self.slowest } else { 0 };
        let before = if tier == Tier::FINEST { 0 } else { tier.factor.saturating_mul(self.slowest) - 1 };
        TimeRange {
            first: UnixSeconds(self.grid.start() + 1 - beside).minus(before),
            last: UnixSeconds(self.grid.before + beside),
        }
    }

    /// The rows of the answer, the oldest first.
    pub(super) fn bins(&self) -> Bins {
        Bins { start: self.grid.start(), width: self.grid.view(), count: self.grid.points }
    }

    /// Whether samples need only be added up: the method does nothing else, and no row lies between two of them.
    pub(super) fn adds_up(&self, step: i64, is_of_tier: bool) -> bool {
        let finest = if is_of_tier { self.grid.view() } else { self.grid.granularity };
        let method = self.question.time.group.method;
        let is_sum = match method {
            Method::Average | Method::Sum | Method::Max => true,
            // Between a minimum below zero and a maximum above it there may be a sample of smaller magnitude.
            Method::Min => is_of_tier,
            _ => false,
        };
        is_sum
            && step <= finest
            && self.grid.gtime.is_none()
            && !self.options.contains(QueryOption::AnomalyBit)
    }
}

/// The coarsest tier that has a row for each `view` seconds of a chart with a sample every `step`; if `samples` are few enough
/// to be exact, or if none fits, the finest that may be.
pub(super) fn tier_of(samples: i64, view: i64, step: i64, factors: &[u32], least: u8) -> Tier {
    let last = factors.len().saturating_sub(1);
    let least = last.min(least.into());
    if samples <= EXACT_SAMPLES {
        return tier(factors, least);
    }
    let fits = |number: &usize| tier(factors, *number).factor.saturating_mul(step) <= view;
    tier(factors, (least..=last).rev().find(fits).unwrap_or(least))
}

fn tier(factors: &[u32], number: usize) -> Tier {
    let factor = factors[..=number].iter().map(|factor| i64::from((*factor).max(1))).product();
    Tier { number: number as u8, factor }
}
