//! Questions about the past of charts, and their answers: points on a grid of rows.
//!
//! ```text
//! Parameters ----> Plan ----> Execution ----> Answer
//! what was asked   charts,    one dimension   columns of points,
//!                  window,    a step          newest row first
//!                  grid
//! ```
//!
//! [`Parameters`] come from the words of a request. [`Parameters::select`] says which charts they mean; the caller
//! finds out how far back those reach, and [`Plan::new`] chooses dimensions, the window in absolute seconds and the
//! grid of rows. The plan says what to read; an [`Execution`] turns what was read into an [`Answer`], one dimension a
//! step, so that a server with one thread can answer others in between.
//!
//! What always holds:
//!
//! - A row stamped t covers the samples in (t - view, t]; rows are `view` seconds apart, the newest is row 0.
//! - A cell without a sample is NaN, whatever the method, but for the smoothing methods, which repeat their level.
//! - Any parameters make a plan that is bounded: rows, cells and seconds, whatever the numbers in the request.
//!
//! Rows, edges and methods are those of Netdata 1.37, where they are no plain mistakes; what differs is said where it
//! does. No HTTP and no output format here: those are the web's.

mod answer;

mod decimal;

mod execution;

pub mod fleet;

mod grid;

mod group;

mod interpolation;

mod options;

mod parameters;

mod plan;

mod reading;

mod selection;

pub mod weights;

mod window;

pub use answer::{Answer, Column, Extent};
pub use execution::{Execution, Progress};
pub use grid::Grid;
pub use group::{Comparison, Group, Method};
pub use options::{QueryOption, QueryOptions};
pub use parameters::{Parameters, leading_integer};
pub use plan::{Plan, QueriedChart, Scope, Tier};
pub use reading::Workspace;
pub use selection::{QueryError, chart_labels};
pub use window::Window;

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(test)]
mod tests;
