//! [`AccessLine`]: what the access log says of a request, when it is over: its answer was sent, or its client has left.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use http::{Method, StatusCode, Uri};

use crate::shard::bracketed;
use crate::telemetry::Telemetry;

/// A request that is not over yet. Dropped, it is, and told.
#[derive(Debug)]
pub(super) struct AccessLine {
    peer: SocketAddr,
    method: Method,
    uri: Uri,
    begun: Instant,
    /// `None` before there is an answer.
    status: Option<StatusCode>,
    /// Bytes of the body that the connection was given.
    sent: usize,
    /// What they were before they were compressed.
    all: usize,
    is_complete: bool,
    telemetry: Arc<Telemetry>,
}

impl AccessLine {
    pub(super) fn new(peer: SocketAddr, method: Method, uri: Uri, telemetry: Arc<Telemetry>) -> AccessLine {
        let begun = Instant::now();
        AccessLine { peer, method, uri, begun, status: None, sent: 0, all: 0, is_complete: false, telemetry }
    }

    /// It has an answer, whose body is to be sent; of `HEAD` none is.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.is_complete = self.method == Method::HEAD;
    }

    /// The connection has taken so much of the body, which was `all` bytes before it was compressed.
    pub(super) fn add(&mut self, sent: usize, all: usize) {
        self.sent += sent;
        self.all += all;
        self.telemetry.http_sent_bytes.fetch_add(sent as u64, Relaxed);
    }

    /// The connection has all of it.
    pub(super) fn complete(&mut self) {
        self.is_complete = true;
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let status = self.status.map_or("-".to_owned(), |status| status.as_u16().to_string());
        tracing::info!(
            target: "mainstem::access",
            "'{}' '{} {}' {status} (sent/all = {}/{} bytes, {:.2} ms{})",
            bracketed(self.peer),
            self.method,
            self.uri,
            self.sent,
            self.all,
            self.begun.elapsed().as_secs_f64() * 1000.0,
            if self.is_complete { "" } else { ", the client left before the end" },
        );
    }
}
