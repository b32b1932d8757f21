//! A dimension: one line of a chart.

use ecow::EcoString;
use serde::{Deserialize, Serialize};

use super::store::record::DimensionRecord;
use crate::wire::command::Algorithm;

/// A dimension as its child defined it. Its place in the chart is its column in the chart's group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "DimensionRecord", into = "DimensionRecord")]
pub struct Dimension {
    /// Unique in its chart, and what data lines name; as the child sent it, but valid UTF-8.
    pub id: EcoString,
    /// For people; the same as the id when the child gave none.
    pub name: EcoString,
    pub algorithm: Algorithm,
    /// Never 0.
    pub multiplier: i64,
    /// Never 0.
    pub divisor: i64,
    /// Not drawn unless asked for, but counted in percentages.
    pub hidden: bool,
    /// Its child stopped collecting it.
    pub obsolete: bool,
    /// Counter resets are not flagged.
    pub no_reset: bool,
}
