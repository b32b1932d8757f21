//! A question with its charts at hand: which dimensions, which seconds, which rows.

use std::sync::Arc;

use dbengine::{GroupSnapshot, TimeRange, UnixSeconds};

use super::{
    answer::Answer,
    execution::{Execution, Progress},
    grid::{self, Grid},
    options::{QueryOption, QueryOptions},
    parameters::Parameters,
    reading::Workspace,
    selection::{DimensionFilter, QueryError},
    window::Window,
};
use crate::catalog::{Chart, HostInfo};

/// A chart that may be asked about, and what is known of its samples without reading them.
#[derive(Clone, Debug)]
pub struct QueriedChart {
    pub host: Arc<HostInfo>,
    pub chart: Arc<Chart>,
    /// From the oldest row to the newest; `None` when there is no row.
    pub span: Option<TimeRange>,
    /// The newest row: a value per dimension, or fewer when dimensions came later, or none when it is not known.
    pub newest: Vec<f32>,
}

/// Samples of a dimension that are read from the finest tier even if a coarser one would do: four hours of seconds.
const EXACT_SAMPLES: i64 = 4 * 3600;

/// A tier of the database, as a question sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    pub number: u8,
    /// Samples of the finest tier in one row of it.
    pub factor: i64,
}

impl Tier {
    /// Every sample.
    pub const FINEST: Tier = Tier { number: 0, factor: 1 };
}

/// What a question was about, as far as it changes how the answer describes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One chart, by its id or name.
    Chart,
    /// Charts of a context, or that match a pattern: columns need the name of their chart.
    Charts,
}

/// A dimension that has to be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedColumn {
    /// Index in the plan's charts.
    pub(super) chart: usize,
    /// Index in the chart's dimensions.
    pub(super) dimension: usize,
    /// False when it only counts in percentages.
    pub(super) is_shown: bool,
}

/// What to read, and what to make of it.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) parameters: Parameters,
    /// As they were understood: with the kind of points that was decided on.
    pub(super) options: QueryOptions,
    pub(super) scope: Scope,
    pub(super) charts: Vec<QueriedChart>,
    pub(super) columns: Vec<PlannedColumn>,
    /// Dimensions were named: none of them is dropped for being zero.
    pub(super) are_dimensions_named: bool,
    pub(super) grid: Grid,
    /// From the oldest to the newest sample of all charts.
    pub(super) retention: TimeRange,
    /// The smallest of the charts.
    pub(super) update_every: u32,
}

impl Plan {
    /// Chooses among `charts`, which may be all of a host or what [`Parameters::select`] left of them. `now` is the
    /// clock on the wall.
    pub fn new(parameters: Parameters, charts: Vec<QueriedChart>, now: i64) -> Result<Plan, QueryError> {
        let mut charts = parameters.select(charts, |queried| &queried.chart)?;
        let window = Window::of_candidates(&parameters, now);
        charts.retain(|queried| {
            let update_every = i64::from(queried.chart.update_every);
            queried.span.is_some_and(|span| window.concerns(span, update_every))
        });

        let filter = DimensionFilter::new(&parameters);
        let reads_all = parameters.has(QueryOption::Percentage);
        if filter.is_given() && !reads_all {
            // A chart without any of the named dimensions is none of the question's business, unless all of them count.
            charts.retain(|queried| queried.chart.dimensions.iter().any(|dimension| filter.shows(dimension)));
        }
        let spans = charts.iter().filter_map(|queried| queried.span);
        let retention = spans.reduce(TimeRange::hull);
        let update_every = charts.iter().map(|queried| queried.chart.update_every.max(1)).min();
        let (Some(retention), Some(update_every)) = (retention, update_every) else {
            return Err(QueryError::NothingMatched);
        };

        let mut columns = Vec::new();
        for (chart, queried) in charts.iter().enumerate() {
            for (dimension, described) in queried.chart.dimensions.iter().enumerate() {
                let is_shown = filter.shows(described);
                if is_shown || reads_all {
                    columns.push(PlannedColumn { chart, dimension, is_shown });
                }
            }
        }

        if filter.is_given() && !columns.iter().any(|column| column.is_shown) {
            return Err(QueryError::NothingMatched);
        }
        let window = Window::resolve(&parameters, retention, now);
        let grid = Grid::new(&parameters, window, update_every.into(), columns.len());
        let scope = match &charts[..] {
            [only] if parameters.context().is_none() && parameters.names(&only.chart) => Scope::Chart,
            _ => Scope::Charts,
        };
        let mut options = parameters.options;
        if grid::is_natural(&parameters, window) {
            options.insert(QueryOption::NaturalPoints);
            options.remove(QueryOption::VirtualPoints);
        } else {
            options.insert(QueryOption::VirtualPoints);
            options.remove(QueryOption::NaturalPoints);
        }
        let are_dimensions_named = filter.is_given();
        Ok(Plan {
            parameters,
            options,
            scope,
            charts,
            columns,
            are_dimensions_named,
            grid,
            retention,
            update_every,
        })
    }

    /// The charts to read from, in the order in which their snapshots are expected.
    pub fn charts(&self) -> &[QueriedChart] {
        &self.charts
    }

    /// What to read of each group: the rows of the answer, and the samples beside them that values in between need.
    pub fn window(&self) -> TimeRange {
        let slowest = self.slowest();
        let beside = if slowest > self.grid.granularity { slowest } else { 0 };
        TimeRange {
            first: UnixSeconds(self.grid.start() + 1 - beside),
            last: UnixSeconds(self.grid.before + beside),
        }
    }

    /// What to read of each group for rows of a tier: the first of them is also of seconds before the window.
    pub fn window_in(&self, tier: Tier) -> TimeRange {
        let TimeRange { first, last } = self.window();
        let before = if tier == Tier::FINEST { 0 } else { tier.factor.saturating_mul(self.slowest()) - 1 };
        TimeRange { first: first.minus(before), last }
    }

    /// Seconds between samples of the slowest chart.
    fn slowest(&self) -> i64 {
        self.charts.iter().map(|queried| i64::from(queried.chart.update_every)).max().unwrap_or(1)
    }

    /// The oldest sample of all charts.
    pub fn oldest(&self) -> UnixSeconds {
        self.retention.first
    }

    /// The tier to read: the coarsest that still has a row for each row of the answer, unless one was asked for, the samples
    /// are few enough to be exact, or a resampling time counts on all of them; but none below `least`, as those do not
    /// reach back so far. `factors` are those of the tiers that there are: how many rows of the one below make one of
    /// theirs; the finest tier's is 1.
    pub fn tier(&self, factors: &[u32], least: u8) -> Tier {
        let of_tier = |tier: usize| Tier {
            number: tier as u8,
            factor: factors[..=tier].iter().map(|factor| i64::from((*factor).max(1))).product(),
        };
        let last = factors.len().saturating_sub(1);
        let least = last.min(least.into());
        if let Some(asked) = self.parameters.tier.filter(|_| self.options.contains(QueryOption::SelectedTier))
        {
            return of_tier(last.min(asked as usize));
        }
        let slowest = self.slowest();
        let samples = self.grid.view().saturating_mul(self.grid.points as i64) / slowest.max(1);
        if samples <= EXACT_SAMPLES || self.grid.gtime.is_some() {
            return of_tier(least);
        }
        let fits = |tier: &usize| of_tier(*tier).factor.saturating_mul(slowest) <= self.grid.view();
        of_tier((least..=last).rev().find(fits).unwrap_or(least))
    }

    /// The rows of the answer.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// Points that are computed, of all dimensions.
    pub fn cells(&self) -> usize {
        self.columns.len().saturating_mul(self.grid.points)
    }

    /// Samples that are to be read of a tier, about.
    pub fn samples(&self, tier: Tier) -> i64 {
        let rows = self.grid.view().saturating_mul(self.grid.points as i64) / i64::from(self.update_every);
        (rows / tier.factor).saturating_mul(self.columns.len() as i64)
    }

    /// Prepares the work: `snapshots` are of the groups of [`charts`](Plan::charts), in that order, over [`window`](Plan::window).
    pub fn execution(self, snapshots: Vec<GroupSnapshot>) -> Execution {
        Execution::new(self, snapshots)
    }

    /// All of the work at once.
    pub fn execute(self, snapshots: Vec<GroupSnapshot>, workspace: &mut Workspace) -> Answer {
        let mut execution = self.execution(snapshots);
        loop {
            execution = match execution.step(workspace) {
                Progress::More(execution) => execution,
                Progress::Done(answer) => return answer,
            };
        }
    }
}
