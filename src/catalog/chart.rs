//! A chart: dimensions that are collected, sent, stored and shown together.

use std::collections::BTreeMap;

use dbengine::GroupId;
use ecow::EcoString;
use uuid::Uuid;

use super::{Dimension, Labels};
use crate::wire::command::ChartType;

/// A chart as its child defined it, defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// `type.id`, unique in its host.
    pub id: EcoString,
    /// With the type in front; the same as the id when the child gave none.
    pub name: EcoString,
    pub title: EcoString,
    pub units: EcoString,
    pub family: EcoString,
    pub context: EcoString,
    pub chart_type: ChartType,
    pub priority: i64,
    /// Seconds between samples.
    pub update_every: u32,
    pub plugin: EcoString,
    pub module: EcoString,
    pub hidden: bool,
    pub obsolete: bool,
    pub store_first: bool,
    pub labels: Labels,
    /// In the order of their definition; the index is the column of the group.
    pub dimensions: Vec<Dimension>,
    /// Numbers that alerts may use, by name.
    pub variables: BTreeMap<EcoString, f64>,
    /// What its samples are known by on disk, for as long as the chart exists.
    pub key: u128,
    /// Where its samples are, in the engine of the host's shard.
    pub group: GroupId,
}

/// The key of a chart that was first defined at `created_us` (unix microseconds). A chart that was forgotten and comes
/// again gets another: its columns may come in another order, and what the old key's pages hold is not its.
pub fn group_key(machine_guid: &Uuid, id: &str, created_us: i64) -> u128 {
    Uuid::new_v5(machine_guid, format!("{id}\0{created_us}").as_bytes()).as_u128()
}

impl Chart {
    /// The part of the id before the first dot.
    pub fn type_name(&self) -> &str {
        self.id.split_once('.').map_or(&self.id, |(type_name, _)| type_name)
    }

    /// Whether dashboards list it: neither hidden nor gone, and with something to draw.
    pub fn is_visible(&self) -> bool {
        !self.hidden && !self.obsolete && !self.dimensions.is_empty()
    }
}
