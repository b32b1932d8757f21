//! The handshake: a child's request, and every answer to it.
//!
//! ```text
//! STREAM key=..&hostname=..&machine_guid=..&..&ver=16376&NETDATA_SYSTEM_OS_NAME=..&.. HTTP/1.1\r\n
//! User-Agent: netdata/v1.37.1\r\n
//! Accept: */*\r\n
//! \r\n
//! ```
//!
//! Values of old children are not encoded, so a query may hold raw spaces: it ends at the *last* ` HTTP/` of the first
//! line. It is split at `&` first and decoded after, so that an encoded `&` stays in its value.
//!
//! The answer is bare text without a newline ([`Reply`]), and children compare it by exact length in one read: nothing
//! else may be sent until the child has spoken.

mod refusal;
mod reply;
mod request;

pub use refusal::{LogFacts, Refusal};
pub use reply::{Reply, parse_reply};
pub use request::{HandshakeError, MAX_REQUEST, StreamRequest, encode_request};
