//! One host on its way to a parent of ours: connect, introduce it, send what its child sends.
//!
//! ```text
//!            due                   connected            "Hit me baby"
//!  Resting -------> Connecting ---------------> Greeting -------------> Streaming
//!     ^                 |  cannot                  |  refused               |  lost, too slow, damaged
//!     +-----------------+--------------------------+------------------------+
//!                        the next destination at once, this one after its delay
//! ```
//!
//! A sender has no socket and no clock: the shard tells it what happened and carries out its [`Order`]s. The
//! [`Receiver`](crate::receiver::Receiver) of the host's child hands it each row as it is applied; what becomes of the row is
//! appended to one buffer, which goes out, compressed if that was agreed, at the end of the turn.
//!
//! What holds always: a chart is defined before its rows; a row of a chart whose past the parent has not taken yet is never
//! sent ([`chart`]); nothing that was not agreed is sent; and what waits has a bound, beyond which the link is closed and begun
//! anew, where replication fills what was lost. Why so: docs/decisions/0009-sending.md.
//!
//! Source: streaming protocol sections 1, 6, 7 and 8.

pub mod chart;

pub mod choice;

mod definitions;

mod destinations;

mod functions;

mod outgoing;

mod passing;

mod past;

mod slots;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::catalog::HostInfo;
use crate::catalog::call::FunctionCall;
use crate::catalog::function::Functions;
use crate::config::{Destination, SendPolicy, Trust};
use crate::wire::capability::{Capabilities, Compression, negotiate};
use crate::wire::handshake::{Reply, StreamRequest, encode_request, parse_reply};
use crate::wire::stream_path::PathElement;
use chart::Stream;
pub use chart::{Facts, News, NodeId, Stand};
use choice::{Aside, Choice};
pub use destinations::Destinations;
use destinations::Pause;
pub use past::{Answer, Answered, LinkName, PastWish, Request, Window};
pub use slots::Slots;

/// What we can do as a child.
const OFFERED: Capabilities = Capabilities::OURS.without(Capabilities::GZIP).without(Capabilities::BROTLI);

/// What is to be done about it.
#[derive(Debug)]
pub enum Order {
    Connect(Box<ConnectWish>),
    /// Bytes for the parent, in order.
    Send(Vec<u8>),
    /// What was sent last may be lost.
    Close,
}

/// A connection to one of these parents.
#[derive(Debug)]
pub struct ConnectWish {
    /// The how manieth of its sender.
    pub attempt: u32,
    /// In the order of the configuration. If they are several, they are asked what they have of the host.
    pub destinations: Vec<Destination>,
    pub host: Uuid,
    /// The host's way up to us.
    pub path: Arc<[PathElement]>,
    pub trust: Trust,
    /// For a connection and its TLS handshake.
    pub timeout: Duration,
    /// So many bytes may wait on the connection.
    pub buffer_bytes: usize,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct ConnectFailure {
    /// Unless its name could not be resolved.
    pub address: Option<SocketAddr>,
    pub reason: ConnectError,
}

#[derive(Debug)]
pub enum ConnectError {
    Socket(io::Error),
    /// The certificate of a parent with TLS, and why.
    NotBelieved(String),
    /// What else became of TLS, and what can be done about it.
    Handshake(String),
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// Why a link, or the attempt at one, ended.
#[derive(Debug, thiserror::Error)]
pub enum LinkEnd {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("its certificate is not believed: {0}")]
    NotBelieved(String),
    #[error("the TLS handshake failed: {0}")]
    Handshake(String),
    #[error("it does not answer")]
    NoAnswer,
    #[error("it closed the connection without an answer")]
    ClosedBeforeAnswer,
    #[error("its answer is not understood")]
    NotUnderstood,
    #[error("it refused: {0}")]
    Refused(&'static str),
    #[error("it closed the connection")]
    Closed,
    #[error("{0}")]
    Socket(io::Error),
    #[error("it does not read: {pending} bytes were waiting")]
    Overflow { pending: usize },
    #[error("it took nothing for {seconds} s")]
    Stalled { seconds: i64 },
    #[error("it sent a line that is too long")]
    Damaged,
    #[error("the child has left")]
    ChildLeft,
}

impl LinkEnd {
    /// The value of the `reason` label of the counter.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Connect(_) => "cannot_connect",
            Self::NotBelieved(_) => "certificate_not_trusted",
            Self::Handshake(_) => "tls_failed",
            Self::NoAnswer => "no_answer",
            Self::ClosedBeforeAnswer => "closed_before_answer",
            Self::NotUnderstood => "not_understood",
            Self::Refused(label) => label,
            Self::Closed => "closed_by_parent",
            Self::Socket(_) => "socket_error",
            Self::Overflow { .. } => "buffer_full",
            Self::Stalled { .. } => "stalled",
            Self::Damaged => "damaged",
            Self::ChildLeft => "child_left",
        }
    }
}

/// A refusal: its label, how long the destination is left alone (seconds), and the words of the log.
fn refusal(reply: Reply) -> (&'static str, i64, &'static str) {
    match reply {
        Reply::NotPermitted => {
            ("not_permitted", 60, "remote server denied access, probably we don't have the right API key?.")
        }
        // A parent that has not noticed the end of the last connection does so within 30 s.
        Reply::AlreadyStreaming => (
            "already_streaming",
            35,
            "remote server rejected this stream, the host is already streamed to it.",
        ),
        Reply::Localhost => (
            "localhost",
            3600,
            "remote server rejected this stream, the host we are trying to stream is its localhost.",
        ),
        Reply::VirtualNode => (
            "virtual_node",
            3600,
            "remote server rejected this stream, the host we are trying to stream is a virtual node of it.",
        ),
        Reply::Busy => ("busy", 120, "remote server is too busy now, trying later."),
        Reply::InternalError => ("internal_error", 300, "remote server had an internal error, trying later."),
        Reply::Initializing | Reply::Accepted(_) => {
            ("initializing", 120, "remote server is initializing, trying later.")
        }
    }
}

/// How long a destination is left alone that did not answer a request, in seconds.
const NO_ANSWER_S: i64 = 30;
const NOT_UNDERSTOOD_S: i64 = 60;
/// Certificates are not renewed in a minute.
const TLS_S: i64 = 300;

#[derive(Debug)]
enum Link {
    Resting {
        until_us: i64,
    },
    Connecting,
    /// The request is sent.
    Greeting {
        since_us: i64,
    },
    Streaming(Box<Stream>),
}

/// How a sender does, for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendingState {
    /// Where it goes, or is tried to go.
    pub destination: String,
    pub is_streaming: bool,
    /// Since when that is so, unix seconds.
    pub since: i64,
    pub capabilities: Capabilities,
    /// Bytes that wait for the parent.
    pub waiting: usize,
    /// Bytes sent on this connection.
    pub sent_bytes: u64,
    /// Why the last link, or attempt, ended.
    pub last_reason: Option<Box<str>>,
}

/// What senders of a shard have done.
#[derive(Clone, Debug, Default)]
pub struct SendingCounters {
    pub rows: u64,
    /// Of these, those whose lines went on as they were.
    pub passed_rows: u64,
    /// Packets of children that went on as they were.
    pub forwarded_packets: u64,
    pub replayed_rows: u64,
    pub replication_answers: u64,
    pub bytes: u64,
}

/// One host on its way to a parent.
#[derive(Debug)]
pub struct Sender {
    policy: Box<SendPolicy>,
    hostname: Box<str>,
    /// What its child has agreed on with us.
    child: Capabilities,
    /// The host's way up to us.
    path: Arc<[PathElement]>,
    destinations: Destinations,
    link: Link,
    attempt: u32,
    since_us: i64,
    last_reason: Option<Box<str>>,
    /// Of links that have ended.
    counters: SendingCounters,
}

impl Sender {
    /// `child` is what its child has agreed on with us, `destinations` are those of an earlier child of the host, with what
    /// is known of them.
    pub fn new(
        policy: Box<SendPolicy>,
        info: &HostInfo,
        child: Capabilities,
        destinations: Option<Destinations>,
        now_us: i64,
    ) -> Self {
        let known = destinations.filter(|known| known.is_of(&policy.destinations));
        let seed = info.machine_guid.as_u128() as u64;
        Self {
            destinations: known.unwrap_or_else(|| Destinations::new(&policy.destinations, seed)),
            hostname: info.hostname.clone(),
            child,
            path: Arc::default(),
            policy,
            link: Link::Resting { until_us: now_us },
            attempt: 0,
            since_us: now_us,
            last_reason: None,
            counters: SendingCounters::default(),
        }
    }

    /// What it has learnt of its destinations, for the next sender of the host.
    pub fn into_destinations(self) -> Destinations {
        self.destinations
    }

    /// Rows are of use now.
    #[inline]
    pub fn is_streaming(&self) -> bool {
        matches!(self.link, Link::Streaming(_))
    }

    pub fn state(&self) -> SendingState {
        let stream = if let Link::Streaming(stream) = &self.link { Some(stream) } else { None };
        SendingState {
            destination: self.destinations.current().to_string(),
            is_streaming: stream.is_some(),
            since: self.since_us.div_euclid(1_000_000),
            capabilities: stream.map_or(Capabilities::NONE, |stream| stream.agreed),
            waiting: stream.map_or(0, |stream| stream.waiting),
            sent_bytes: stream.map_or(0, |stream| stream.sent_bytes),
            last_reason: self.last_reason.clone(),
        }
    }

    /// What is due. To be called in each turn in which something has happened, and now and then.
    pub fn settle(&mut self, now_us: i64, info: &Arc<HostInfo>, orders: &mut Vec<Order>) -> Option<LinkEnd> {
        let timeout_us = microseconds(self.policy.link.timeout);
        let seconds = timeout_us / 1_000_000;
        match &mut self.link {
            Link::Resting { until_us } if now_us < *until_us => {}
            Link::Resting { until_us } => {
                let destinations = self.destinations.ready(now_us);
                if destinations.is_empty() {
                    let delay_us = microseconds(self.policy.link.reconnect_delay);
                    let due_us = self.destinations.due();
                    *until_us = due_us.min(now_us + self.destinations.jitter(delay_us)).max(now_us + 1);
                    return None;
                }
                self.attempt = self.attempt.wrapping_add(1);
                self.link = Link::Connecting;
                self.since_us = now_us;
                orders.push(Order::Connect(Box::new(ConnectWish {
                    attempt: self.attempt,
                    destinations,
                    host: info.machine_guid,
                    path: Arc::clone(&self.path),
                    trust: self.policy.link.trust.clone(),
                    timeout: self.policy.link.timeout,
                    buffer_bytes: self.policy.link.buffer_bytes,
                })));
            }
            Link::Connecting => {}
            Link::Greeting { since_us } => {
                if now_us - *since_us > timeout_us {
                    self.log("remote netdata does not respond.");
                    orders.push(Order::Close);
                    return Some(self.end(now_us, NO_ANSWER_S, LinkEnd::NoAnswer));
                }
            }
            Link::Streaming(stream) => {
                if stream.overflow {
                    let pending = stream.waiting + stream.held_bytes;
                    orders.push(Order::Close);
                    return Some(self.lost(now_us, LinkEnd::Overflow { pending }));
                }
                if stream.waiting > 0 && now_us - stream.progress_us > timeout_us {
                    orders.push(Order::Close);
                    return Some(self.lost(now_us, LinkEnd::Stalled { seconds }));
                }
                stream.describe_host(info);
                stream.answer_calls();
                stream.flush(now_us, orders);
            }
        }
        None
    }

    /// What the host can be asked to do. To be called before [`settle`](Self::settle).
    pub fn describe_functions(&mut self, functions: &Arc<Functions>) {
        if let Link::Streaming(stream) = &mut self.link {
            stream.describe_functions(functions);
        }
    }

    /// Calls of the parent's that the host's child is to be asked.
    pub fn take_calls(&mut self, host: Uuid) -> Vec<FunctionCall> {
        self.stream().map(|stream| stream.calls.take_wanted(host).collect()).unwrap_or_default()
    }

    /// What the parent has said since the last time.
    pub fn take_news(&mut self) -> Vec<News> {
        self.stream().map(|stream| std::mem::take(&mut stream.news)).unwrap_or_default()
    }

    /// The agents on the host's way, ourselves last. To be called before [`settle`](Self::settle).
    pub fn describe_path(&mut self, path: &Arc<[PathElement]>) {
        if !Arc::ptr_eq(&self.path, path) {
            self.path = Arc::clone(path);
        }
        if let Link::Streaming(stream) = &mut self.link {
            stream.describe_path(path);
        }
    }

    /// Parents were asked, on the way to the connection that was ordered. Why those were left aside that were.
    pub fn chose(&mut self, now_us: i64, attempt: u32, choice: Choice) -> Vec<LinkEnd> {
        if attempt != self.attempt || !matches!(self.link, Link::Connecting) {
            return Vec::new();
        }
        let mut ends = Vec::new();
        for (place, aside) in choice.aside {
            self.destinations.choose(place);
            let (end, delay_s) = match aside {
                Aside::Failed(failure) => self.tell_failure(failure),
                Aside::Not { end, words, seconds } => {
                    self.log(words);
                    let delay_us = self.destinations.jitter(seconds * 1_000_000);
                    (end, delay_us / 1_000_000)
                }
            };
            self.last_reason = Some(end.to_string().into());
            self.destinations.postpone(now_us + delay_s * 1_000_000);
            ends.push(end);
        }
        match choice.chosen {
            Some(place) => self.destinations.choose(place),
            None => self.link = Link::Resting { until_us: now_us },
        }
        ends
    }

    /// The connection that was ordered is there. Says no if nobody waits for it.
    pub fn connected(&mut self, now_us: i64, attempt: u32, info: &HostInfo, orders: &mut Vec<Order>) -> bool {
        if attempt != self.attempt || !matches!(self.link, Link::Connecting) {
            return false;
        }
        self.log("initializing communication...");
        orders.push(Order::Send(encode_request(&self.request(info))));
        self.link = Link::Greeting { since_us: now_us };
        true
    }

    /// There is no connection.
    pub fn not_connected(&mut self, now_us: i64, attempt: u32, failure: ConnectFailure) -> Option<LinkEnd> {
        if attempt != self.attempt || !matches!(self.link, Link::Connecting) {
            return None;
        }
        let (end, delay_s) = self.tell_failure(failure);
        Some(self.end(now_us, delay_s, end))
    }

    /// Logs why there is no connection. For how many seconds the destination is left alone therefore.
    fn tell_failure(&self, failure: ConnectFailure) -> (LinkEnd, i64) {
        let ConnectFailure { address, reason } = failure;
        let error = match reason {
            ConnectError::Socket(error) => error,
            ConnectError::NotBelieved(why) => {
                self.log(&format!(
                    "Closing the stream connection, because the server SSL certificate is not valid. ({why}; its authority \
                     belongs into 'CAfile' of [stream] in stream.conf, and its names must have the destination's)"
                ));
                return (LinkEnd::NotBelieved(why), TLS_S);
            }
            ConnectError::Handshake(why) => {
                self.log(&format!("the TLS handshake failed: {why}"));
                return (LinkEnd::Handshake(why), TLS_S);
            }
        };
        let destination = self.destinations.current();
        let (host, port) = match address {
            Some(address) => (address.ip().to_string(), address.port()),
            None => (destination.host.clone(), destination.port),
        };
        let errno = error.raw_os_error().unwrap_or(0);
        tracing::warn!(
            target: "mainstem::stream",
            "Failed to connect to '{host}', port '{port}' (errno {errno}, {error})"
        );
        self.log("could not connect to parent node at this time.");
        let delay_us = microseconds(self.policy.link.reconnect_delay);
        (LinkEnd::Connect(error), delay_us / 1_000_000)
    }

    /// Bytes came from the parent. The reason, if this is the end of the link.
    pub fn received(
        &mut self,
        now_us: i64,
        bytes: &[u8],
        info: &Arc<HostInfo>,
        orders: &mut Vec<Order>,
    ) -> Option<LinkEnd> {
        match &mut self.link {
            Link::Greeting { .. } => self.answered(now_us, bytes, info, orders),
            Link::Streaming(stream) => {
                stream.progress_us = now_us;
                if stream.read(bytes).is_ok() {
                    return None;
                }
                orders.push(Order::Close);
                Some(self.lost(now_us, LinkEnd::Damaged))
            }
            Link::Resting { .. } | Link::Connecting => None,
        }
    }

    fn answered(
        &mut self,
        now_us: i64,
        bytes: &[u8],
        info: &Arc<HostInfo>,
        orders: &mut Vec<Order>,
    ) -> Option<LinkEnd> {
        let (delay_s, end) = match parse_reply(bytes) {
            Some(Reply::Accepted(theirs)) => {
                let agreed = negotiate(theirs, self.offered(), &Compression::CHILD_ORDER);
                self.log(&format!("established link with negotiated capabilities: {agreed}"));
                tracing::info!(
                    target: "mainstem::stream",
                    "STREAM {} [send]: sending metrics to parent...",
                    self.hostname
                );
                self.since_us = now_us;
                self.destinations.succeeded();
                let mut stream = Stream::new(agreed, self.child, &self.policy, now_us);
                stream.describe_host(info);
                stream.flush(now_us, orders);
                self.link = Link::Streaming(Box::new(stream));
                return None;
            }
            Some(refused) => {
                let (label, delay_s, words) = refusal(refused);
                self.log(words);
                (delay_s, LinkEnd::Refused(label))
            }
            None => {
                self.log("remote node response is not understood, is it Netdata? (is it a netdata?).");
                (NOT_UNDERSTOOD_S, LinkEnd::NotUnderstood)
            }
        };
        orders.push(Order::Close);
        Some(self.end(now_us, delay_s, end))
    }

    /// So many bytes wait at the socket.
    pub fn waiting(&mut self, now_us: i64, bytes: usize) {
        if let Link::Streaming(stream) = &mut self.link {
            stream.waits(now_us, bytes);
        }
    }

    /// The connection is gone.
    pub fn ended(&mut self, now_us: i64, end: LinkEnd) -> LinkEnd {
        if let Link::Greeting { .. } = self.link {
            self.log("remote netdata does not respond.");
            return self.end(now_us, NO_ANSWER_S, LinkEnd::ClosedBeforeAnswer);
        }
        self.lost(now_us, end)
    }

    /// The child has left: what was not sent yet goes out, and that is all.
    pub fn leave(&mut self, now_us: i64, orders: &mut Vec<Order>) {
        if let Link::Streaming(stream) = &mut self.link {
            stream.flush(now_us, orders);
        }
        if !matches!(self.link, Link::Resting { .. } | Link::Connecting) {
            orders.push(Order::Close);
        }
        tracing::info!(
            target: "mainstem::stream",
            "STREAM {} [send]: sending thread now exits.",
            self.hostname
        );
        self.end(now_us, 0, LinkEnd::ChildLeft);
    }

    /// A link that streamed is over.
    fn lost(&mut self, now_us: i64, end: LinkEnd) -> LinkEnd {
        let (sent, sends, streamed_us) = match &self.link {
            Link::Streaming(stream) => (stream.sent_bytes, stream.sends, now_us - self.since_us),
            _ => (0, 0, 0),
        };
        match &end {
            LinkEnd::Overflow { pending } => {
                let size = self.policy.link.buffer_bytes;
                self.log(&format!(
                    "too many data pending - buffer is {size} bytes long, {pending} unsent - we have sent {sent} bytes on \
                     this connection. Closing connection to flush the data."
                ));
            }
            LinkEnd::Stalled { seconds } => self.log(&format!(
                "could not send metrics for {seconds} seconds - closing connection - we have sent {sent} bytes on this \
                 connection via {sends} send attempts."
            )),
            LinkEnd::Socket(error) => self.log(&format!(
                "failed to send metrics - closing connection - we have sent {sent} bytes on this connection: {error}"
            )),
            LinkEnd::Damaged => self.log("it sent a line that is too long - closing connection."),
            _ => self.log("connection closed by far end."),
        }
        let delay_us = microseconds(self.policy.link.reconnect_delay);
        let Pause { delay_us, short_links } = self.destinations.lost(streamed_us, delay_us);
        if short_links > 1 {
            self.log(&format!(
                "the last {short_links} links ended soon after they had begun; the next one is begun in {} s.",
                delay_us / 1_000_000
            ));
        }
        self.end_until(now_us, now_us + delay_us, end)
    }

    fn end(&mut self, now_us: i64, delay_s: i64, end: LinkEnd) -> LinkEnd {
        self.end_until(now_us, now_us + delay_s * 1_000_000, end)
    }

    /// The destination is left alone until then; the next one is tried at once.
    fn end_until(&mut self, now_us: i64, until_us: i64, end: LinkEnd) -> LinkEnd {
        if let Link::Streaming(stream) = &self.link {
            self.counters.add(&stream.counters);
        }
        self.destinations.postpone(until_us);
        self.link = Link::Resting { until_us: now_us };
        self.since_us = now_us;
        self.last_reason = Some(end.to_string().into());
        end
    }

    /// What it has done so far.
    pub fn counters(&self) -> SendingCounters {
        let mut sum = self.counters.clone();
        if let Link::Streaming(stream) = &self.link {
            sum.add(&stream.counters);
        }
        sum
    }

    fn offered(&self) -> Capabilities {
        if self.policy.compression { OFFERED } else { OFFERED.without(Capabilities::COMPRESSIONS) }
    }

    fn request(&self, info: &HostInfo) -> StreamRequest {
        StreamRequest {
            key: self.policy.api_key.0.clone(),
            hops: info.hops.saturating_add(1),
            ver: self.offered().bits(),
            ..info.introduction()
        }
    }

    fn stream(&mut self) -> Option<&mut Stream> {
        if let Link::Streaming(stream) = &mut self.link { Some(stream) } else { None }
    }

    /// The newest row of a chart that the parent was told of when it was defined; 0 for none.
    fn told(&self, index: usize) -> i64 {
        let Link::Streaming(stream) = &self.link else { return 0 };
        stream.charts.get(index).map_or(0, |chart| chart.told)
    }

    fn log(&self, text: &str) {
        let (hostname, destination) = (&self.hostname, self.destinations.current());
        tracing::info!(target: "mainstem::stream", "STREAM {hostname} [send to {destination}]: {text}");
    }
}

impl SendingCounters {
    pub fn add(&mut self, more: &SendingCounters) {
        self.rows += more.rows;
        self.passed_rows += more.passed_rows;
        self.forwarded_packets += more.forwarded_packets;
        self.replayed_rows += more.replayed_rows;
        self.replication_answers += more.replication_answers;
        self.bytes += more.bytes;
    }
}

fn microseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;
