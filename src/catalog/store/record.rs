//! What of a host and of a chart survives a restart, and its bytes.
//!
//! | offset | size | field   |                                                                                     |
//! |--------|------|---------|-------------------------------------------------------------------------------------|
//! | 0      | 1    | version | of the payload: 1                                                                   |
//! | 1      | n    | payload | [postcard](https://postcard.jamesmunns.com/wire-format): fields in their order here |
//!
//! The payload does not name its fields, so every change of one, of their order, or of a type that they are made of, is
//! a new version; the reader of the old one stays. There is no checksum: those who keep the bytes, the database and the
//! journal, have theirs.

use dbengine::GroupId;
use ecow::EcoString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::super::{Chart, Dimension, DimensionFields, HostInfo, Labels};
use crate::config::MemoryMode;
use crate::wire::command::{Algorithm, ChartType};

/// The version that is written.
const VERSION: u8 = 1;

/// A host.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostRecord {
    pub info: HostInfo,
    /// When it was known to be connected, unix seconds.
    pub seen: i64,
}

/// A chart with its dimensions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChartRecord {
    /// Its place among the charts of its host, by the time of their first definition. There may be holes.
    pub ordinal: u32,
    /// What its samples are known by on disk.
    pub key: u128,
    pub id: EcoString,
    /// None, if it is the id.
    pub name: Option<EcoString>,
    pub title: EcoString,
    pub units: EcoString,
    pub family: EcoString,
    pub context: EcoString,
    #[serde(with = "ChartTypeCode")]
    pub chart_type: ChartType,
    pub priority: i64,
    pub update_every: u32,
    pub plugin: EcoString,
    pub module: EcoString,
    pub hidden: bool,
    pub obsolete: bool,
    pub store_first: bool,
    pub labels: Labels,
    /// In the order of their columns on disk.
    pub dimensions: Vec<Dimension>,
}

impl ChartRecord {
    /// The record of a chart.
    pub fn of(chart: &Chart, ordinal: u32) -> Self {
        Self {
            ordinal,
            key: chart.key,
            id: chart.id.clone(),
            name: (chart.name != chart.id).then(|| chart.name.clone()),
            title: chart.title.clone(),
            units: chart.units.clone(),
            family: chart.family.clone(),
            context: chart.context.clone(),
            chart_type: chart.chart_type,
            priority: chart.priority,
            update_every: chart.update_every,
            plugin: chart.plugin.clone(),
            module: chart.module.clone(),
            hidden: chart.hidden,
            obsolete: chart.obsolete,
            store_first: chart.store_first,
            labels: chart.labels.clone(),
            dimensions: chart.dimensions.clone(),
        }
    }

    /// The chart of a record, whose samples are in this group.
    pub fn into_chart(self, group: GroupId) -> Chart {
        Chart {
            name: self.name.unwrap_or_else(|| self.id.clone()),
            id: self.id,
            title: self.title,
            units: self.units,
            family: self.family,
            context: self.context,
            chart_type: self.chart_type,
            priority: self.priority,
            update_every: self.update_every,
            plugin: self.plugin,
            module: self.module,
            hidden: self.hidden,
            obsolete: self.obsolete,
            store_first: self.store_first,
            labels: self.labels,
            dimensions: self.dimensions,
            variables: Default::default(),
            key: self.key,
            group,
        }
    }
}

/// A dimension of a [`ChartRecord`].
#[derive(Serialize, Deserialize)]
pub(crate) struct DimensionRecord {
    id: EcoString,
    /// None, if it is the id.
    name: Option<EcoString>,
    #[serde(with = "AlgorithmCode")]
    algorithm: Algorithm,
    multiplier: i64,
    divisor: i64,
    hidden: bool,
    obsolete: bool,
    no_reset: bool,
}

impl From<Dimension> for DimensionRecord {
    fn from(dimension: Dimension) -> Self {
        let DimensionFields { id, name, algorithm, multiplier, divisor, hidden, obsolete, no_reset } =
            dimension.into();
        let name = (name != id).then_some(name);
        Self { id, name, algorithm, multiplier, divisor, hidden, obsolete, no_reset }
    }
}

impl From<DimensionRecord> for Dimension {
    fn from(record: DimensionRecord) -> Self {
        let DimensionRecord { id, name, algorithm, multiplier, divisor, hidden, obsolete, no_reset } = record;
        let name = name.unwrap_or_else(|| id.clone());
        DimensionFields { id, name, algorithm, multiplier, divisor, hidden, obsolete, no_reset }.into()
    }
}

/// [`Algorithm`] as it is written: a number from 0, in this order.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Algorithm")]
enum AlgorithmCode {
    Absolute,
    Incremental,
    PercentageOfAbsoluteRow,
    PercentageOfIncrementalRow,
}

/// [`ChartType`] as it is written: a number from 0, in this order.
#[derive(Serialize, Deserialize)]
#[serde(remote = "ChartType")]
enum ChartTypeCode {
    Line,
    Area,
    Stacked,
    Heatmap,
}

/// [`MemoryMode`] as it is written: a number from 0, in this order.
#[derive(Serialize, Deserialize)]
#[serde(remote = "MemoryMode")]
pub(crate) enum MemoryModeCode {
    None,
    Ram,
    Alloc,
    Map,
    Save,
    Dbengine,
}

/// Why bytes are no record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("it has version {version}, of a newer program; this one knows {VERSION}")]
    Newer { version: u8 },
    #[error("it is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    #[error("it is damaged: it has no version, or version 0")]
    NoVersion,
    #[error("it is damaged: {bytes} bytes follow on its end")]
    Longer { bytes: usize },
}

/// Appends a record's bytes.
pub(super) fn encode(record: &impl Serialize, bytes: &mut Vec<u8>) {
    bytes.push(VERSION);
    *bytes = postcard::to_extend(record, std::mem::take(bytes)).expect("memory takes any length");
}

/// The record of these bytes, all of them.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RecordError> {
    match bytes.split_first() {
        None | Some((0, _)) => Err(RecordError::NoVersion),
        Some((&VERSION, payload)) => match postcard::take_from_bytes(payload)? {
            (record, []) => Ok(record),
            (_, rest) => Err(RecordError::Longer { bytes: rest.len() }),
        },
        Some((&version, _)) => Err(RecordError::Newer { version }),
    }
}

/// The key in a chart's record, of which only the beginning is read; none, if nobody can read it.
pub(super) fn chart_key(bytes: &[u8]) -> Option<u128> {
    let payload = bytes.strip_prefix(&[VERSION])?;
    let (_ordinal, rest) = postcard::take_from_bytes::<u32>(payload).ok()?;
    postcard::take_from_bytes::<u128>(rest).ok().map(|(key, _)| key)
}

#[cfg(test)]
mod tests;
