//! A function's call on its way to a child, and what comes back.

use ecow::EcoString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::function::Access;

/// A function that somebody wants to be called.
#[derive(Debug)]
pub struct FunctionCall {
    pub host: Uuid,
    /// What the call is known by at the child.
    pub transaction: Uuid,
    /// The function's name and arguments.
    pub call: String,
    pub timeout_s: u32,
    /// What the caller may do.
    pub access: Access,
    /// Who the caller is, for the child's log.
    pub source: String,
    /// Dropped without an answer when the connection ends. When nobody listens any more, the call is cancelled.
    pub answer: oneshot::Sender<CallOutcome>,
}

/// What became of a call.
pub type CallOutcome = Result<FunctionResult, CallError>;

/// What a child answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionResult {
    /// An HTTP status, as the child understands it.
    pub code: u32,
    pub content_type: EcoString,
    /// Unix seconds.
    pub expires: i64,
    pub body: Vec<u8>,
}

/// Why a call has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    #[error("the host is not connected")]
    NotConnected,
    #[error("{limit} calls of functions of this host wait for their answers already")]
    TooMany { limit: usize },
    #[error("the function has not answered within {seconds} s")]
    TimedOut { seconds: u32 },
    #[error("the function's answer is longer than {limit} bytes")]
    TooLong { limit: usize },
}

impl CallError {
    /// The HTTP status that says so.
    pub fn code(self) -> u16 {
        match self {
            Self::NotConnected | Self::TooMany { .. } => 503,
            Self::TimedOut { .. } => 504,
            Self::TooLong { .. } => 502,
        }
    }
}
