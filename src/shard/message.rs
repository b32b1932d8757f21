//! [`Message`]: all that another thread can say to a shard. By value, over a bounded channel.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use dbengine::{FileId, GroupId, GroupKey, GroupSnapshot, TimeRange};
use ecow::EcoString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::event::ConnectionId;
use super::nodes::NodeState;
use super::seats::Seat;
use crate::catalog::call::FunctionCall;
use crate::catalog::{Chart, HostRecord};
use crate::config::{ChildPolicy, Limits, redacted};
use crate::connection::tls::Session;
use crate::saved::RestoredChart;
use crate::sender::choice::Choice;
use crate::sender::{Answered, ConnectFailure};
use crate::wire::capability::Capabilities;
use crate::wire::handshake::StreamRequest;

/// The peer of hosts that are collected in this process: our own, and virtual nodes.
pub const HERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// A child whose request was read and permitted, on its way to the shard that owns its host.
#[derive(Debug)]
pub struct Arrival {
    pub machine_guid: Uuid,
    pub key: ApiKey,
    pub request: StreamRequest,
    /// What both sides can do.
    pub capabilities: Capabilities,
    pub policy: ChildPolicy,
    pub peer: SocketAddr,
    /// Who we are to it.
    pub parent: Identity,
    /// With TLS.
    pub encrypted: bool,
    /// Among the hosts of its key; none where nobody counts them.
    pub seat: Option<Seat>,
    /// Bytes that came behind the request; a real child sends none.
    pub early: Vec<u8>,
}

/// Who this parent is to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub machine_guid: Uuid,
    pub hostname: EcoString,
}

/// The API key that a child came with.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ApiKey(pub Uuid);

/// No log line may show it.
impl std::fmt::Debug for ApiKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&redacted(&self.0.hyphenated().to_string()))
    }
}

/// By what a connected child was permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    pub machine_guid: Uuid,
    pub key: ApiKey,
    pub peer: SocketAddr,
}

/// The group of a published chart. Its shard may have forgotten the chart meanwhile, and given its place to another: then it
/// has nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartGroup {
    pub id: GroupId,
    pub key: GroupKey,
}

impl From<&Chart> for ChartGroup {
    fn from(chart: &Chart) -> Self {
        Self { id: chart.group, key: GroupKey(chart.key) }
    }
}

/// What a shard can be asked about its hosts.
#[derive(Debug)]
pub enum Question {
    /// Oldest and newest row of each group.
    Spans { groups: Vec<ChartGroup>, answer: oneshot::Sender<Vec<Option<TimeRange>>> },
    /// The same, and the newest row of each group.
    States { groups: Vec<ChartGroup>, answer: oneshot::Sender<Vec<GroupState>> },
    /// The rows of each group in a window.
    Rows { groups: Vec<ChartGroup>, window: TimeRange, answer: oneshot::Sender<Vec<GroupSnapshot>> },
    /// The newest row and the last collected values of every chart of a host.
    Latest { host: Uuid, answer: oneshot::Sender<Vec<LatestRow>> },
    /// What the shard knows of each of its hosts.
    Nodes { answer: oneshot::Sender<Vec<NodeState>> },
    /// Of each connected child.
    Admissions { answer: oneshot::Sender<Vec<Admission>> },
    /// What a function of a connected child answers.
    Call(Box<FunctionCall>),
}

/// What is known of a group without reading it.
#[derive(Clone, Debug, Default)]
pub struct GroupState {
    /// Oldest and newest row.
    pub span: Option<TimeRange>,
    /// The newest row, one value a column; NaN for a gap.
    pub newest: Vec<f32>,
}

/// The newest of one chart, in the order of the host's published charts.
#[derive(Clone, Debug, Default)]
pub struct LatestRow {
    /// Unix seconds of the newest row; 0 when there is none.
    pub time: i64,
    /// One value a dimension; NaN for a gap.
    pub values: Vec<f32>,
    /// Last collected value of a dimension and when it was collected (unix microseconds).
    pub collected: Vec<Option<(i64, i64)>>,
}

/// What came of the wish to forget a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForgetOutcome {
    Forgotten {
        charts: usize,
    },
    /// Its child is connected: it would be there again at once.
    Connected,
    /// The shard has no such host.
    Unknown,
}

/// A chart of which no complete datafile has any row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostChart {
    pub id: EcoString,
    /// As in its record in the store: a chart of the same id that was defined anew has another.
    pub key: u128,
}

/// All that another thread can say to a shard.
#[derive(Debug)]
pub enum Message {
    /// A child's socket, non-blocking, its TLS session, and who is on it.
    Arrived {
        socket: OwnedFd,
        session: Option<Box<Session>>,
        arrival: Box<Arrival>,
    },
    /// A connection to a parent, non-blocking, that was asked for; so much may wait on it.
    Connected {
        child: ConnectionId,
        attempt: u32,
        buffer_bytes: usize,
        /// Whose, if several parents could be asked.
        choice: Choice,
        /// With its TLS session, if the destination has one.
        outcome: Result<(OwnedFd, Option<Box<Session>>), ConnectFailure>,
    },
    /// What the disk has of the past of a chart that is sent on.
    Past(Box<Answered>),
    Asked(Question),
    /// A host that the store remembers, and its charts.
    Restored {
        host: Box<HostRecord>,
        charts: Vec<RestoredChart>,
    },
    /// An operator wants this host to be forgotten.
    Forget {
        host: Uuid,
        answer: oneshot::Sender<ForgetOutcome>,
    },
    /// Readers know this datafile.
    Published(FileId),
    /// Charts of a host that have lost their last row on disk.
    Lost {
        host: Uuid,
        charts: Vec<LostChart>,
    },
    /// Hosts of memory mode `save` are to be written.
    Save,
    /// What children can make us hold, from now on.
    Limits(Limits),
    /// The watchdog wants to know whether the shard turns.
    Ping {
        answer: oneshot::Sender<()>,
    },
    /// Close everything and end.
    Stop,
}
