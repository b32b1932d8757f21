//! What a shard alone knows of its hosts: how they come and go, how fast their samples arrive, what is missing of them.
//!
//! An answer costs a few steps a host, whatever number of charts it has: what would need a look at all charts is counted
//! as it changes.

use std::net::SocketAddr;

use dbengine::{GroupKey, TimeRange};
use uuid::Uuid;

use super::{Child, HostIndex, Shard};
use crate::catalog::HostState;
use crate::receiver::{DisconnectReason, Mirror, ReplicationProgress};
use crate::sender::{Destinations, SendingState};
use crate::telemetry::ChildCounters;
use crate::wire::capability::Capabilities;

/// A connected host whose bytes or samples are older than this, or than five of its intervals, is stale.
const STALE_AFTER_S: i64 = 30;
const STALE_AFTER_ROWS: i64 = 5;
/// Seconds over which a rate is taken.
const RATE_SECONDS: usize = 10;
/// Charts of a host, spread over the order of their definition, that are asked how far back they reach.
const SAMPLED_CHARTS: usize = 4;

/// What a shard knows of one of its hosts.
#[derive(Clone, Debug)]
pub struct NodeState {
    pub machine_guid: Uuid,
    pub liveness: Liveness,
    pub charts: usize,
    pub dimensions: usize,
    /// Rows that its child may have and we have not.
    pub missing_rows: u64,
    /// The newest sample since the parent was started, unix seconds; `None` when none came.
    pub newest_sample: Option<i64>,
    /// When the last byte came, or the host was last there, unix seconds.
    pub last_seen: i64,
    /// `None` while it is not connected.
    pub connection: Option<ConnectionState>,
    /// Connections that have ended since the parent was started.
    pub disconnects: u64,
    /// The last of them; after a restart of the parent, that.
    pub last_disconnect: Option<Disconnect>,
    pub duplicate: Option<Duplicate>,
    /// How far back a few of its charts reach in the shard.
    pub spans: Vec<(GroupKey, Option<TimeRange>)>,
}

/// Whether a host streams, and whether anything comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    Live,
    /// Connected, without a byte or a new sample for some time.
    Stale,
    Offline,
}

/// A connection of a child, as of now.
#[derive(Clone, Debug)]
pub struct ConnectionState {
    /// Unix seconds.
    pub since: i64,
    pub peer: SocketAddr,
    pub encrypted: bool,
    pub capabilities: Capabilities,
    pub counters: ChildCounters,
    pub rates: Rates,
    pub replication: ReplicationProgress,
    /// Where it is sent on to.
    pub sending: Option<SendingState>,
}

/// The end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Unix seconds.
    pub at: i64,
    pub reason: Box<str>,
}

/// A second connection with the machine GUID of a connected host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Unix seconds.
    pub at: i64,
    /// Who came.
    pub peer: SocketAddr,
    /// As it called itself.
    pub hostname: Box<str>,
    /// Who was there.
    pub existing: SocketAddr,
    pub outcome: DuplicateOutcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DuplicateOutcome {
    /// The one that was there is alive.
    Refused,
    /// The one that was there had been silent for too long and had to leave.
    TookOver,
}

impl DuplicateOutcome {
    pub fn label(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TookOver => "took_over",
        }
    }
}

/// What came a second, over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    pub bytes: f64,
    pub rows: f64,
    pub samples: f64,
}

/// How much had come at one time.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at_us: i64,
    bytes: u64,
    rows: u64,
    samples: u64,
}

impl Mark {
    fn of(counters: &ChildCounters, at_us: i64) -> Self {
        let ChildCounters { received_bytes: bytes, rows, samples, .. } = *counters;
        Self { at_us, bytes, rows, samples }
    }
}

/// The speed of a connection: how much had come at each of the last seconds.
#[derive(Debug)]
pub(super) struct Speed {
    /// A ring; `next` is the oldest mark.
    marks: [Mark; RATE_SECONDS + 1],
    next: usize,
}

impl Speed {
    pub(super) fn begin(now_us: i64) -> Self {
        Self { marks: [Mark::of(&ChildCounters::default(), now_us); RATE_SECONDS + 1], next: 0 }
    }

    /// To be called once a second.
    pub(super) fn mark(&mut self, counters: &ChildCounters, now_us: i64) {
        self.marks[self.next] = Mark::of(counters, now_us);
        self.next = (self.next + 1) % self.marks.len();
    }

    /// From the oldest mark to the newest.
    fn rates(&self) -> Rates {
        let oldest = self.marks[self.next];
        let newest = self.marks[(self.next + self.marks.len() - 1) % self.marks.len()];
        let seconds = (newest.at_us - oldest.at_us) as f64 / 1e6;
        if seconds <= 0.0 {
            return Rates::default();
        }
        let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
        Rates {
            bytes: rate(oldest.bytes, newest.bytes),
            rows: rate(oldest.rows, newest.rows),
            samples: rate(oldest.samples, newest.samples),
        }
    }
}

/// How a host has come and gone since the parent was started.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    disconnects: u64,
    last_disconnect: Option<Disconnect>,
    /// Of connections that have ended.
    newest_sample: i64,
    pub(super) duplicate: Option<Duplicate>,
    /// What is known of the parents that it is sent to, while its child is not connected.
    pub(super) destinations: Option<Destinations>,
}

impl Attendance {
    /// A connection has ended.
    pub(super) fn leave(&mut self, now_us: i64, reason: &DisconnectReason, counters: &ChildCounters) {
        self.disconnects += 1;
        let at = now_us.div_euclid(1_000_000);
        self.last_disconnect = Some(Disconnect { at, reason: reason.to_string().into() });
        self.newest_sample = self.newest_sample.max(counters.newest_sample);
    }
}

/// Whether a connected child has been silent for too long, or its samples late.
fn is_stale(child: &Child, mirror: &Mirror, now_us: i64) -> bool {
    let patience_s = STALE_AFTER_S.max(STALE_AFTER_ROWS * i64::from(mirror.info().update_every));
    let silent_us = now_us - child.last_received_us;
    // A child that has just come has until then to bring its first sample.
    let since = match mirror.state() {
        HostState::Connected { since, .. } => since.0,
        HostState::Localhost | HostState::Disconnected { .. } => 0,
    };
    let behind_s = now_us.div_euclid(1_000_000) - child.counters.newest_sample.max(since);
    silent_us > patience_s * 1_000_000 || behind_s > patience_s
}

impl Shard {
    /// Of all hosts, in no order.
    pub(super) fn nodes(&self, now_us: i64) -> Vec<NodeState> {
        let mut connected: Vec<Option<&Child>> = vec![None; self.hosts.len()];
        for child in self.children.iter().flatten() {
            connected[child.host] = Some(child);
        }
        (0..self.hosts.len()).map(|host| self.node(host, connected[host], now_us)).collect()
    }

    fn node(&self, host: HostIndex, child: Option<&Child>, now_us: i64) -> NodeState {
        let (mirror, attendance) = (&self.hosts[host], &self.attendance[host]);
        let in_this = child.map_or(0, |child| child.counters.newest_sample);
        let newest_sample = Some(attendance.newest_sample.max(in_this)).filter(|newest| *newest > 0);
        let (left, seen) = match mirror.state() {
            HostState::Disconnected { since, reason } => {
                (Some(Disconnect { at: since.0, reason: reason.clone() }), since.0)
            }
            HostState::Localhost | HostState::Connected { .. } => (None, 0),
        };
        let charts = mirror.charts();
        let sampled = SAMPLED_CHARTS.min(charts.len());
        let sample = (0..sampled).map(|number| &charts[number * charts.len() / sampled].chart);
        NodeState {
            machine_guid: mirror.info().machine_guid,
            liveness: match child {
                Some(child) if is_stale(child, mirror, now_us) => Liveness::Stale,
                Some(_) => Liveness::Live,
                None => Liveness::Offline,
            },
            charts: charts.len(),
            dimensions: mirror.dimension_count(),
            missing_rows: mirror.missing_rows(),
            newest_sample,
            last_seen: child.map_or(seen, |child| child.last_received_us.div_euclid(1_000_000)),
            connection: child.map(|child| ConnectionState {
                since: match mirror.state() {
                    HostState::Connected { since, .. } => since.0,
                    HostState::Localhost | HostState::Disconnected { .. } => 0,
                },
                peer: child.peer,
                encrypted: child.encrypted,
                capabilities: child.capabilities,
                counters: child.counters.clone(),
                rates: child.speed.rates(),
                replication: child.receiver.replication_progress(),
                sending: child.upstream.as_ref().map(|upstream| upstream.state()),
            }),
            disconnects: attendance.disconnects,
            last_disconnect: attendance.last_disconnect.clone().or(left),
            duplicate: attendance.duplicate.clone(),
            spans: sample.map(|chart| (GroupKey(chart.key), self.engine.span(chart.group))).collect(),
        }
    }

    /// Once a second: how much has come of each child, and how many of them are stale.
    pub(super) fn look_at_children(&mut self, now_us: i64) {
        self.stale_hosts = 0;
        for child in self.children.iter_mut().flatten() {
            child.speed.mark(&child.counters, now_us);
            let mirror = &self.hosts[child.host];
            let is_own = self.own == Some(mirror.info().machine_guid);
            self.stale_hosts += u64::from(!is_own && is_stale(child, mirror, now_us));
        }
    }

    /// A second child has come with the machine GUID of a connected one.
    pub(super) fn remember_duplicate(&mut self, host: HostIndex, duplicate: Duplicate) {
        self.telemetry.duplicates.add(duplicate.outcome.label());
        self.attendance[host].duplicate = Some(duplicate);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds() {
        let mut counters = ChildCounters::default();
        let mut speed = Speed::begin(0);
        assert_eq!(speed.rates(), Rates::default());
        let mut second = |speed: &mut Speed, at: i64, samples: u64| {
            counters.samples += samples;
            speed.mark(&counters, at * 1_000_000);
            speed.rates().samples
        };
        assert_eq!(second(&mut speed, 1, 100), 100.0, "from the beginning on, while that is not long ago");
        assert_eq!(second(&mut speed, 2, 300), 200.0);
        for at in 3..=12 {
            second(&mut speed, at, 50);
        }
        assert_eq!(speed.rates().samples, 50.0);
    }
}
