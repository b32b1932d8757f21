//! Questions over many hosts at once, and their answers: points of groups on a grid of rows.
//!
//! ```text
//! FleetQuestion ----> Selection ----> FleetPlan ----> FleetExecution ----> Finishing ------> FleetResult
//! what was asked      charts and      window, grid,   a series a step,     a group a step    columns of groups,
//!                     dimensions      tier            added to its groups                    newest row first
//! ```
//!
//! A dimension of a chart of a host is a *series*. Each has its points by [`time_group`](FleetQuestion), and these are added
//! to those of its *group* at once; what a question holds is its groups' points, however many series there are. With a second
//! pass the groups of the first are grouped again.
//!
//! Average, sum, minimum and maximum are of all samples of a row, whatever tier has them: an average weighs each sample the
//! same. All other methods, and charts slower than the rows, go the way of questions about one host.

mod answer;

mod cells;

mod comparison;

mod execution;

mod finishing;

mod grouping;

mod plan;

mod question;

mod selection;

pub use answer::{Entry, FleetAnswer, FleetResult, GroupColumn, PointFlags, Statistics, Tally};
pub use comparison::{Comparison, ComparisonError, Measure};
pub use execution::FleetExecution;
pub use finishing::Finishing;
pub use grouping::{Aggregation, GroupBy, Pass};
pub use plan::{FleetPlan, TooLarge};
pub use question::{FleetQuestion, Named};
pub use selection::{SelectedChart, Selection, Series};

#[cfg(test)]
mod tests;
