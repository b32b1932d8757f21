//! Log lines in the words that operators of Netdata search for.

use crate::wire::handshake::{LogFacts, Refusal, StreamRequest};

/// `[IP]:PORT`, as operators search for it.
pub fn bracketed(peer: std::net::SocketAddr) -> String {
    format!("[{}]:{}", peer.ip(), peer.port())
}

/// The access log's line about a streaming request. Of the API key, which is a secret, only the beginning is shown.
pub(super) fn log_access(peer: std::net::SocketAddr, message: &str, request: &StreamRequest) {
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
    peer: std::net::SocketAddr,
    refusal: &Refusal,
    request: &StreamRequest,
    existing: Option<std::net::SocketAddr>,
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
