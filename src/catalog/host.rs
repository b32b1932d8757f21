//! A host: one monitored machine, its identity and its charts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use dbengine::UnixSeconds;
use ecow::EcoString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::function::Functions;
use super::store::record::MemoryModeCode;
use super::{Chart, Labels};
use crate::config::MemoryMode;
use crate::shard::placement::ShardId;
use crate::wire::handshake::StreamRequest;
use crate::wire::stream_path::PathElement;

/// Who a host is, as its latest `STREAM` request and its label lines say. Part of the format of
/// [`store::record`](super::store::record).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostInfo {
    /// What makes it this host and no other.
    pub machine_guid: Uuid,
    /// For people; two hosts may have the same.
    pub hostname: Box<str>,
    pub registry_hostname: Box<str>,
    pub os: Box<str>,
    pub timezone: Box<str>,
    pub abbrev_timezone: Box<str>,
    /// Seconds east of UTC.
    pub utc_offset: i32,
    /// Agents between it and us, itself included: 0 for ourselves, 1 for a child that streams itself.
    pub hops: u32,
    /// Seconds between samples of charts that do not say theirs.
    pub update_every: u32,
    pub program_name: Box<str>,
    pub program_version: Box<str>,
    /// Facts of the machine by their `NETDATA_*` names.
    pub system: BTreeMap<Box<str>, Box<str>>,
    pub labels: Labels,
    /// Numbers that alerts may use, by name. A child says them again when it returns: they are not kept on disk.
    #[serde(skip)]
    pub variables: BTreeMap<EcoString, f64>,
    pub claim_id: Option<Uuid>,
    #[serde(with = "MemoryModeCode")]
    pub memory_mode: MemoryMode,
    /// Rows kept a chart, in the memory modes that count rows.
    pub history: u32,
}

impl HostInfo {
    /// Whether its samples, and so its definitions, are to outlive this process.
    pub fn is_persistent(&self) -> bool {
        matches!(self.memory_mode, MemoryMode::Dbengine | MemoryMode::Save | MemoryMode::Map)
    }

    /// How it introduces itself to a parent, without key and capabilities.
    pub fn introduction(&self) -> StreamRequest {
        let facts = self.system.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        StreamRequest {
            hostname: self.hostname.to_string(),
            registry_hostname: self.registry_hostname.to_string(),
            machine_guid: self.machine_guid.hyphenated().to_string(),
            update_every: Some(self.update_every),
            os: self.os.to_string(),
            timezone: self.timezone.to_string(),
            abbrev_timezone: self.abbrev_timezone.to_string(),
            utc_offset: self.utc_offset,
            hops: self.hops,
            program_name: self.program_name.to_string(),
            program_version: self.program_version.to_string(),
            system_info: facts.collect(),
            ..StreamRequest::default()
        }
    }
}

/// Whether a host streams to us now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostState {
    /// Ourselves.
    Localhost,
    Connected {
        since: UnixSeconds,
        peer: SocketAddr,
    },
    /// It did, and left for this reason; or we were started without it, and it was last seen then.
    Disconnected {
        since: UnixSeconds,
        reason: Box<str>,
    },
}

impl HostState {
    /// What `reachable` means in the API: ourselves, or receiving now.
    pub fn is_reachable(&self) -> bool {
        !matches!(self, Self::Disconnected { .. })
    }
}

/// All that readers need to know of a host, as of the moment of its making.
#[derive(Clone, Debug)]
pub struct HostSnapshot {
    pub info: Arc<HostInfo>,
    pub state: HostState,
    /// Who to ask for its samples.
    pub shard: ShardId,
    /// In the order of their definition, obsolete and hidden ones included.
    pub charts: Vec<Arc<Chart>>,
    /// What its child can be asked to do; none while it is not connected.
    pub functions: Arc<Functions>,
    /// The agents on its way, the host itself first; we ourselves and then those that it is sent on to. None while it is
    /// not connected; those before us only if its child says them.
    pub stream_path: Arc<[PathElement]>,
    /// What the cloud calls it that a parent of ours belongs to.
    pub node_id: Option<Uuid>,
}

/// What readers are told of a host.
#[derive(Clone, Debug)]
pub enum HostNews {
    /// It is new, or is known anew.
    Changed(Arc<HostSnapshot>),
    /// It is as one that never was.
    Forgotten(Uuid),
}

impl HostSnapshot {
    /// The chart of this id, else the one of this name.
    pub fn chart(&self, id_or_name: &str) -> Option<&Arc<Chart>> {
        self.charts
            .iter()
            .find(|chart| &*chart.id == id_or_name)
            .or_else(|| self.charts.iter().find(|chart| &*chart.name == id_or_name))
    }
}
