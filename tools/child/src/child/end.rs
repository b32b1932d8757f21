//! [`End`]: why a child's connection ended, and how long the child waits then.

use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;

use mainstem::wire::handshake::Reply;

/// Why a connection ended, or did not begin.
#[derive(Debug)]
pub(crate) enum End {
    Unreachable(io::Error),
    NotSecured(io::Error),
    NoReply,
    NotUnderstood(Vec<u8>),
    Refused(Reply),
    Closed,
    Failed(io::Error),
    Overflow,
    /// It has habits.
    Left {
        away: Duration,
    },
    Cut,
    Vanished,
}

impl End {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            End::Unreachable(_) => "the parent cannot be reached",
            End::NotSecured(_) => "TLS was not agreed",
            End::NoReply => "the parent did not answer",
            End::NotUnderstood(_) => "the answer is not Netdata's",
            End::Refused(Reply::NotPermitted) => "refused: not permitted",
            End::Refused(Reply::AlreadyStreaming) => "refused: already streaming",
            End::Refused(Reply::Localhost | Reply::VirtualNode) => "refused: the parent's own host",
            End::Refused(Reply::Busy) => "refused: busy",
            End::Refused(Reply::InternalError) => "refused: internal error",
            End::Refused(Reply::Initializing) => "refused: initializing",
            End::Refused(Reply::Accepted(_)) => "accepted",
            End::Closed => "the parent closed the connection",
            End::Failed(_) => "the connection failed",
            End::Overflow => "the parent did not read",
            End::Left { .. } => "the child left",
            End::Cut => "cut by the child in the middle of a row",
            End::Vanished => "half-open, then closed by the child",
        }
    }

    /// How long a child waits until it tries again.
    pub(super) fn pause(&self, random: u64) -> Duration {
        if let End::Left { away } = self {
            return *away;
        }
        let (shortest_ms, longest_ms) = (*self.pauses_s().start() * 1000, *self.pauses_s().end() * 1000);
        Duration::from_millis(shortest_ms + random % (longest_ms - shortest_ms + 1))
    }

    /// Seconds after which a child tries again; it picks one of them. As Netdata 2.x does.
    fn pauses_s(&self) -> RangeInclusive<u64> {
        match self {
            End::Unreachable(_) | End::Closed | End::Failed(_) | End::Overflow => 1..=5,
            End::Left { .. } | End::Cut | End::Vanished => 1..=5,
            End::NotSecured(_) => 60..=180,
            End::NoReply | End::Refused(Reply::Initializing) => 5..=30,
            End::Refused(Reply::AlreadyStreaming | Reply::Busy) => 5..=120,
            End::Refused(Reply::InternalError) => 5..=300,
            End::Refused(Reply::Localhost | Reply::VirtualNode) => 5..=3600,
            End::NotUnderstood(_) | End::Refused(Reply::NotPermitted | Reply::Accepted(_)) => 5..=60,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            End::Unreachable(error) | End::NotSecured(error) | End::Failed(error) => write!(f, ": {error}"),
            End::NotUnderstood(reply) => write!(f, ": {:?}", String::from_utf8_lossy(reply)),
            _ => Ok(()),
        }
    }
}
