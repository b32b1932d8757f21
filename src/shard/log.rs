//! What operators search the log for: the lines about a child that comes, in Netdata's words.

use std::net::SocketAddr;

use super::event::ConnectionId;
use super::message::Arrival;
use crate::catalog::HostInfo;
use crate::receiver::DisconnectReason;
use crate::wire::handshake::{LogFacts, Refusal, StreamRequest};

/// `[IP]:PORT`, as operators search for it.
pub fn bracketed(peer: SocketAddr) -> String {
    format!("[{}]:{}", peer.ip(), peer.port())
}

/// Parameters of one request that get a line each.
const UNUSED_SHOWN: usize = 16;

/// The lines about a streaming request, before it is judged.
pub fn log_request(peer: SocketAddr, request: &StreamRequest) {
    let client = bracketed(peer);
    let say =
        |text: &str| tracing::info!(target: "mainstem::stream", "STREAM [receive from {client}]: {text}");
    say("clients wants to STREAM metrics.");
    for (name, value) in request.unknown.iter().take(UNUSED_SHOWN) {
        say(&format!("request has parameter '{name}' = '{value}', which is not used."));
    }
    if let Some(more @ 1..) = request.unknown.len().checked_sub(UNUSED_SHOWN) {
        say(&format!("request has {more} more parameters which are not used."));
    }
    say("new client connection.");
}

/// The access log's line about a streaming request. Of the API key, which is a secret, only the beginning is shown.
pub fn log_access(peer: SocketAddr, message: &str, request: &StreamRequest) {
    let or_dash = |value: &str| if value.is_empty() { "-".to_owned() } else { value.to_owned() };
    tracing::info!(
        target: "mainstem::access",
        "STREAM: '{}' '{message}' host '{}' api key '{}' machine guid '{}'",
        bracketed(peer),
        or_dash(&request.hostname),
        or_dash(&crate::config::redacted(&request.key)),
        or_dash(&request.machine_guid),
    );
}

/// The log's and the access log's line about a refused request; `existing` is who streams the host already.
pub fn log_refusal(
    peer: SocketAddr,
    refusal: &Refusal,
    request: &StreamRequest,
    existing: Option<SocketAddr>,
) {
    let facts = LogFacts {
        client: &bracketed(peer),
        hostname: &request.hostname,
        key: &crate::config::redacted(&request.key),
        machine_guid: &request.machine_guid,
    };
    tracing::warn!(
        target: "mainstem::stream",
        existing = existing.map(bracketed),
        "{}",
        refusal.log_sentence(facts)
    );
    log_access(peer, refusal.access_message(), request);
}

/// The lines about a child that may stream. Here a connection is a task of its shard's thread, not a thread.
pub(super) fn taken_in(connection: ConnectionId, arrival: &Arrival, is_new: bool) {
    let Arrival { machine_guid, request, policy, peer, .. } = arrival;
    let (hostname, client) = (&request.hostname, bracketed(*peer));
    let say = |text: &str| {
        tracing::info!(target: "mainstem::stream", "STREAM {hostname} [receive from {client}]: {text}");
    };
    say(&format!("receive thread created (task id {})", connection.generation));
    let info = super::host_info(arrival);
    let (update_every, memory_mode) = (info.update_every, info.memory_mode);
    let history = policy.retention_rows;
    say(&format!(
        "client willing to stream metrics for host '{hostname}' with machine_guid '{machine_guid}': update every = \
         {update_every}, history = {history}, memory mode = {memory_mode},{} tags ''",
        if arrival.encrypted { " SSL," } else { "" },
    ));
    if is_new {
        tracing::info!(
            target: "mainstem::stream",
            "Host '{hostname}' with guid '{machine_guid}' initialized, os: {}, update every: {update_every}, memory mode: \
             {memory_mode}, history entries: {history}",
            request.os,
        );
    }
    say("initializing communication...");
    say(&format!("established link with negotiated capabilities: {}", arrival.capabilities));
    say("receiving metrics...");
    log_access(*peer, "CONNECTED", request);
}

/// The lines about a connection that has ended after so many rows.
pub(super) fn ended(
    connection: ConnectionId,
    peer: SocketAddr,
    host: &HostInfo,
    rows: u64,
    reason: &DisconnectReason,
) {
    let (hostname, client) = (&host.hostname, bracketed(peer));
    let say = |text: &str| {
        tracing::info!(target: "mainstem::stream", "STREAM {hostname} [receive from {client}]: {text}");
    };
    match reason {
        DisconnectReason::ClosedByChild => say("read failed: end of file"),
        DisconnectReason::UnknownDimension { keyword, chart, .. } => {
            say(&format!(
                "requested a {keyword} on chart '{chart}' of host '{hostname}', without a dimension"
            ));
        }
        _ => {}
    }
    say(&format!("disconnected (completed {rows} updates): {reason}"));
    say(&format!("receive thread ended (task id {})", connection.generation));
    tracing::info!(
        target: "mainstem::access",
        "STREAM: '{client}' 'DISCONNECTED' host '{hostname}' machine guid '{}'",
        host.machine_guid,
    );
}

/// The line about our own host whose collectors are cut off. What they may not send is our mistake, or a plugin's.
pub(super) fn own_ended(reason: &DisconnectReason) {
    match reason {
        DisconnectReason::ClosedByChild | DisconnectReason::Shutdown => {
            tracing::debug!("our own host is not collected any more: {reason}");
        }
        _ => tracing::error!("our own host's collectors are cut off, and begin anew: {reason}"),
    }
}
