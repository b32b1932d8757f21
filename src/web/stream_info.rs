//! `/api/v3/stream_info`: children of 2.1 and later ask every parent they know before they connect, to choose the one
//! that has the newest of their data.
//!
//! The child reads once, so head and body go out in one write, with `Content-Length` spelled so, and far below 4 KiB.
//! A slow or half answer keeps a child away for minutes, a plain "not found" does not.
//!
//! Source: streaming protocol section 1.6, HTTP API reference section 8.2.

use std::hash::{BuildHasher, Hasher, RandomState};

use http::StatusCode;
use serde::Serialize;
use uuid::Uuid;

use super::answer::Answer;
use super::request::Target;
use super::{Api, v1};
use crate::catalog::{Chart, HostState};

/// Samples older than this are not live.
const LIVE_WITHIN_S: i64 = 60;

#[derive(Serialize)]
struct StreamInfo {
    version: u32,
    status: u16,
    host_id: String,
    nodes: usize,
    receivers: usize,
    nonce: u32,
    #[serde(flatten)]
    host: Option<HostStatus>,
}

/// What is known of the host that asks for itself.
#[derive(Serialize)]
struct HostStatus {
    db_status: &'static str,
    db_liveness: &'static str,
    ingest_type: &'static str,
    ingest_status: &'static str,
    first_time_s: i64,
    last_time_s: i64,
}

pub(super) async fn answer(api: &Api, target: &Target) -> Answer {
    let asked = target.parameter("machine_guid").and_then(|guid| Uuid::try_parse(guid).ok());
    let host = match asked.and_then(|guid| api.directory.by_guid(&guid)) {
        Some(host) => {
            let charts: Vec<&Chart> = host.charts.iter().map(|chart| &**chart).collect();
            let spans = if matches!(host.state, HostState::Localhost) {
                Some(Vec::new())
            } else {
                api.spans(host.shard, &charts).await
            };
            // Without an answer in time the host counts as unknown here: still a parent to connect to.
            spans.map(|spans| {
                status(&host.state, v1::span(&spans).map(|(first, last)| (first.0, last.0)), api.clock.now())
            })
        }
        None => None,
    };
    let hosts = api.directory.hosts();
    let info = StreamInfo {
        version: 1,
        status: if host.is_some() { 200 } else { 404 },
        host_id: hosts[0].info.machine_guid.hyphenated().to_string(),
        nodes: hosts.len(),
        receivers: hosts.iter().filter(|host| matches!(host.state, HostState::Connected { .. })).count(),
        // Its only use is to be different each time; std's hasher keys are random.
        nonce: (RandomState::new().build_hasher().finish() as u32).max(1),
        host,
    };
    let known = info.host.is_some();
    let answer = Answer::json(&info);
    if known { answer } else { Answer { status: StatusCode::NOT_FOUND, ..answer } }
}

fn status(state: &HostState, span: Option<(i64, i64)>, now: i64) -> HostStatus {
    let (first_time_s, last_time_s) = span.unwrap_or((0, 0));
    let (ingest_type, ingest_status) = match (state, span) {
        (HostState::Localhost, _) => ("localhost", "online"),
        (HostState::Connected { .. }, None) => ("child", "initializing"),
        (HostState::Connected { .. }, Some(_)) => ("child", "online"),
        (HostState::Disconnected { .. }, _) => ("archived", "offline"),
    };
    HostStatus {
        db_status: if span.is_some() { "online" } else { "initializing" },
        db_liveness: if now - last_time_s <= LIVE_WITHIN_S { "live" } else { "stale" },
        ingest_type,
        ingest_status,
        first_time_s,
        last_time_s,
    }
}

#[cfg(test)]
mod tests {
    use dbengine::UnixSeconds;

    use super::*;

    #[test]
    fn a_child_is_told_what_a_2_9_parent_would_tell_it() {
        let connected = HostState::Connected { since: UnixSeconds(0), peer: ([127, 0, 0, 1], 1).into() };
        let gone = HostState::Disconnected { since: UnixSeconds(0), reason: "left".into() };
        let cases = [
            (&connected, None, ("initializing", "stale", "child", "initializing")),
            (&connected, Some((10, 1000)), ("online", "live", "child", "online")),
            (&gone, Some((10, 20)), ("online", "stale", "archived", "offline")),
        ];
        for (state, span, expected) in cases {
            let status = status(state, span, 1000);
            let found = (status.db_status, status.db_liveness, status.ingest_type, status.ingest_status);
            assert_eq!(found, expected);
        }
    }
}
