//! What came out: columns of points on a grid.

use dbengine::TimeRange;

use super::{
    grid::Grid,
    options::{QueryOption, QueryOptions},
    parameters::Parameters,
    plan::{QueriedChart, Scope},
};
use crate::catalog::{Chart, Dimension};

/// The answer to a question. Row 0 is the newest.
#[derive(Clone, Debug)]
pub struct Answer {
    /// As they were asked.
    pub parameters: Parameters,
    /// As they were understood: with the kind of points that was decided on.
    pub options: QueryOptions,
    pub scope: Scope,
    /// All charts that were asked, also those without a column.
    pub charts: Vec<QueriedChart>,
    /// In the order of charts and of their dimensions.
    pub columns: Vec<Column>,
    pub grid: Grid,
    /// From the oldest to the newest sample of all charts.
    pub retention: TimeRange,
    /// The smallest of the charts, in seconds.
    pub update_every: u32,
    /// Over all values.
    pub extent: Extent,
    /// Samples that were read, gaps included.
    pub samples_read: u64,
}

/// The points of one dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Index in the answer's charts.
    pub chart: usize,
    /// Index in the chart's dimensions.
    pub dimension: usize,
    /// One per row, the newest first; NaN where there is none.
    pub values: Vec<f64>,
    /// Percent of anomalous samples, one per row; empty unless asked for.
    pub anomaly_rates: Vec<f64>,
    /// Rows with a counter that was reset or overflowed, the oldest first.
    pub resets: Vec<usize>,
    /// The newest sample there is, in the window or not; NaN for a gap.
    pub newest: f64,
    /// All samples that were read are zero, or gaps, whatever the values made of them.
    pub is_zero: bool,
}

/// The least and the greatest of some values, of which NaN counts as 0. Both are 0 of no values at all.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Extent {
    bounds: Option<(f64, f64)>,
}

impl Extent {
    pub fn include(&mut self, value: f64) {
        let value = if value.is_nan() { 0.0 } else { value };
        let (least, greatest) = self.bounds.unwrap_or((value, value));
        self.bounds = Some((least.min(value), greatest.max(value)));
    }

    pub fn least(self) -> f64 {
        self.bounds.map_or(0.0, |(least, _)| least)
    }

    pub fn greatest(self) -> f64 {
        self.bounds.map_or(0.0, |(_, greatest)| greatest)
    }
}

impl Answer {
    pub fn chart(&self, column: &Column) -> &Chart {
        &self.charts[column.chart].chart
    }

    pub fn dimension(&self, column: &Column) -> &Dimension {
        &self.chart(column).dimensions[column.dimension]
    }

    pub fn has(&self, option: QueryOption) -> bool {
        self.parameters.has(option)
    }

    /// The rows in the order of the answer: the newest first unless the question flipped them.
    pub fn rows(&self) -> Box<dyn Iterator<Item = usize>> {
        let rows = 0..self.grid.points;
        if self.has(QueryOption::Flip) { Box::new(rows.rev()) } else { Box::new(rows) }
    }

    /// A row as one value: the sum of its values, or how far they reach, zero included. NaN without any.
    pub fn row_value(&self, row: usize) -> f64 {
        let values = self.columns.iter().map(|column| column.values[row]).filter(|value| !value.is_nan());
        if self.has(QueryOption::MinToMax) {
            let bounds = values.map(|value| (value.min(0.0), value.max(0.0)));
            let bounds = bounds.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)));
            bounds.map_or(f64::NAN, |(least, greatest)| greatest - least)
        } else {
            values.reduce(|sum, value| sum + value).unwrap_or(f64::NAN)
        }
    }
}
