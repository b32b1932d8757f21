//! [`Event`]: all that can happen to a shard; [`Action`]: all that it can ask for.

use std::sync::Arc;

use dbengine::{DiskDone, DiskOp, FileId};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::RowsOp;
use super::message::{Arrival, ForgetOutcome, LostChart, Question};
use crate::catalog::{CatalogChange, HostRecord, HostSnapshot};
use crate::config::Limits;
use crate::receiver::DisconnectReason;
use crate::saved::RestoredChart;
use crate::sender::choice::Choice;
use crate::sender::{Answered, ConnectFailure, ConnectWish, PastWish};

/// A connection of a shard: a place that is used again, and a number that is not, so that late news of a closed
/// connection cannot reach its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub place: u32,
    pub generation: u32,
}

impl ConnectionId {
    /// As the user data of a readiness event.
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.place)
    }

    pub fn from_bits(bits: u64) -> Self {
        Self { place: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// All that can happen to a shard.
#[derive(Debug)]
pub enum Event<'a> {
    /// A permitted child is on this connection.
    Arrived { connection: ConnectionId, arrival: Box<Arrival> },
    /// Bytes came.
    Received { connection: ConnectionId, bytes: &'a [u8] },
    /// The connection is gone.
    Ended { connection: ConnectionId, reason: DisconnectReason },
    /// The connection to a parent that this child's sender asked for, under a name of its own, or why there is none.
    Connected {
        child: ConnectionId,
        attempt: u32,
        choice: Choice,
        outcome: Result<ConnectionId, ConnectFailure>,
    },
    /// So many bytes wait for the parent on this connection.
    Waiting { link: ConnectionId, bytes: usize },
    /// What a sender wanted to know of the disk.
    Past(Box<Answered>),
    /// Somebody wants to know something.
    Asked(Question),
    /// An operator wants this host to be forgotten.
    Forget { host: Uuid, answer: oneshot::Sender<ForgetOutcome> },
    /// The store remembers this host; before its child arrives.
    Restored { host: Box<HostRecord>, charts: Vec<RestoredChart> },
    /// The store has all changes of the catalog up to this one on disk.
    CatalogStored { until: u64 },
    /// An operation that the engine asked for has ended.
    DiskDone(DiskDone),
    /// Readers know this datafile.
    Published(FileId),
    /// These charts of a host have no row in any complete datafile: they are to be forgotten, unless the shard has rows of
    /// them.
    Lost { host: Uuid, charts: Vec<LostChart> },
    /// Hosts of memory mode `save` are to be written.
    Save,
    /// What children can make us hold, from now on.
    Limits(Limits),
    /// So many bytes of all that was handed out for files of rows are no longer on their way.
    RowsWritten { bytes: u64 },
    /// A host's file of rows could not be written.
    RowsFailed { host: Uuid },
}

/// All that a shard can ask for.
#[derive(Debug)]
pub enum Action {
    /// Bytes for the child, in order.
    Send { connection: ConnectionId, bytes: Vec<u8> },
    /// Send what is waiting, then close. The shard has forgotten the connection already.
    Close { connection: ConnectionId },
    /// A child's host is to be sent to one of these parents: connect.
    Connect { child: ConnectionId, wish: Box<ConnectWish> },
    /// A sender wants to know this of the disk.
    Past(PastWish),
    /// Readers are to see this state of a host.
    Publish(Arc<HostSnapshot>),
    /// Readers are to forget this host.
    Forget(Uuid),
    /// The store is to make these changes, after those that it got before. Changes are counted: the last of these is
    /// number `until`.
    Store { until: u64, changes: Vec<CatalogChange> },
    /// A host's file of rows is to change, after what was asked for it before.
    Rows(RowsOp),
    /// The engine asks for this.
    Disk(DiskOp),
    /// Readers are to open this datafile; then the shard wants to hear of it.
    Seal(FileId),
}
