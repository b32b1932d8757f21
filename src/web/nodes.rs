//! `/api/v2/nodes`: how each host is, for operators; and `/api/v2/nodes/forget`, with which they drop one. The shape is
//! our own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use dbengine::TimeRange;
use http::{Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::answer::{Answer, TEXT};
use super::request::Target;
use super::{Api, SHARD_ANSWERS_WITHIN, TURN, header_of};
use crate::catalog::{HostSnapshot, HostState};
use crate::config::simple_pattern::{API_SEPARATORS, SimplePattern};
use crate::config::{MemoryMode, Rights};
use crate::runtime::breathe;
use crate::sender::SendingState;
use crate::shard::message::{ForgetOutcome, Message, Question};
use crate::shard::nodes::{ConnectionState, Liveness, NodeState};
use crate::shard::placement::ShardId;

/// Where a host is forgotten.
pub(super) const FORGET: &str = "/api/v2/nodes/forget";
/// What Netdata answers to those who may not manage.
const AUTH_ERROR: &str = "Auth Error\n";

/// All hosts that were asked for, by hostname. Times are unix seconds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Nodes {
    pub now: i64,
    pub nodes: Vec<Node>,
}

/// One host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Node {
    pub machine_guid: Uuid,
    pub hostname: String,
    pub state: State,
    /// When its last byte came.
    pub last_seen: i64,
    pub hops: u32,
    pub program: String,
    pub version: String,
    pub os: String,
    pub memory_mode: String,
    /// What its label `_is_ephemeral` says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral: Option<bool>,
    pub labels: BTreeMap<String, String>,
    pub charts: usize,
    pub dimensions: usize,
    /// Since the parent was started.
    pub newest_sample: Option<i64>,
    /// How old that is; negative when the child's clock is ahead.
    pub lag_seconds: Option<i64>,
    /// Absent while it is not connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// Absent unless the host is sent on, which is while it is collected: a child's while that is connected, our own always.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sending: Option<Sending>,
    /// Rows that its child may have and we have not.
    pub missing_rows: u64,
    /// Connections that have ended since the parent was started.
    pub disconnects: u64,
    pub last_disconnect: Option<Disconnect>,
    pub duplicate: Option<Duplicate>,
    pub retention: Option<Retention>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The parent itself.
    Localhost,
    Live,
    /// Connected, without a byte or a new sample for some time.
    Stale,
    Offline,
}

impl State {
    const ALL: [(&'static str, State); 4] = [
        ("localhost", State::Localhost),
        ("live", State::Live),
        ("stale", State::Stale),
        ("offline", State::Offline),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, state)| *state == self).map_or("", |(name, _)| name)
    }
}

/// A connection, and what has come of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    pub since: i64,
    pub peer: String,
    pub tls: bool,
    /// `none`, or the algorithm's name.
    pub compression: String,
    pub capabilities: Vec<String>,
    pub received_bytes: u64,
    pub rows: u64,
    pub samples: u64,
    /// Over the last ten seconds.
    pub bytes_per_second: f64,
    pub rows_per_second: f64,
    pub samples_per_second: f64,
    pub replication: Replication,
}

/// How a host does on its way to a parent of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sending {
    /// Where it goes, or was tried to go last.
    pub to: String,
    pub streaming: bool,
    /// Since when it streams, or does not.
    pub since: i64,
    pub capabilities: Vec<String>,
    pub waiting_bytes: usize,
    /// On this connection.
    pub sent_bytes: u64,
    /// Why the last link, or attempt at one, ended.
    pub last_reason: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Replication {
    /// Charts whose newest rows were asked for; live data follows.
    pub charts_starting: u64,
    /// Charts that are live and lack some of their past.
    pub charts_filling: u64,
    pub requests: u64,
    pub replayed_rows: u64,
    /// Those of them that were stored before others.
    pub filled_rows: u64,
    pub given_up: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Disconnect {
    pub at: i64,
    pub reason: String,
}

/// The last second connection with this machine GUID.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Duplicate {
    pub at: i64,
    pub peer: String,
    /// As the newcomer calls itself.
    pub hostname: String,
    /// Who was connected.
    pub existing: String,
    pub outcome: String,
}

/// The oldest and the newest row of a few charts, in memory or on disk, of any tier.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Retention {
    pub first: i64,
    pub last: i64,
    /// How many charts were looked at: they are spread over the order in which the host defined its charts.
    pub sampled_charts: usize,
}

/// Which hosts are asked for.
struct Filter {
    pattern: Option<SimplePattern>,
    states: Vec<State>,
}

impl Filter {
    fn read(target: &Target) -> Result<Self, Answer> {
        let words = target.parameter("state").unwrap_or_default();
        let words = words.split([',', '|']).map(str::trim).filter(|word| !word.is_empty());
        let states = words.map(|word| {
            let known = State::ALL.iter().find(|(name, _)| *name == word).map(|(_, state)| *state);
            known.ok_or_else(|| {
                let names = State::ALL.map(|(name, _)| name).join(", ");
                let text = format!("There is no such state; there are: {names}.\n");
                Answer::error(StatusCode::BAD_REQUEST, text)
            })
        });
        Ok(Self {
            pattern: target.parameter("nodes").map(|list| SimplePattern::new(list, API_SEPARATORS)),
            states: states.collect::<Result<_, _>>()?,
        })
    }

    fn takes_name(&self, host: &HostSnapshot) -> bool {
        let guid = host.info.machine_guid.hyphenated().to_string();
        let names = [host.info.hostname.as_bytes(), guid.as_bytes()];
        self.pattern.as_ref().is_none_or(|pattern| pattern.matches_any_of(&names))
    }

    fn takes_state(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }
}

/// The hosts that a request asks for.
pub(super) async fn answer(api: &Api, target: &Target) -> Answer {
    let filter = match Filter::read(target) {
        Ok(filter) => filter,
        Err(answer) => return answer,
    };
    let mut states: HashMap<Uuid, NodeState> = HashMap::new();
    for shard in 0..api.shards.len() {
        let shard = ShardId(shard as u16);
        match api.ask(shard, |answer| Question::Nodes { answer }).await {
            Some(all) => states.extend(all.into_iter().map(|state| (state.machine_guid, state))),
            None => return Answer::overloaded(),
        }
    }
    let mut hosts: Vec<_> =
        api.directory.hosts().iter().filter(|host| filter.takes_name(host)).cloned().collect();
    hosts.sort_by(|a, b| {
        (&a.info.hostname, a.info.machine_guid).cmp(&(&b.info.hostname, b.info.machine_guid))
    });
    let now = api.clock.now();
    let mut nodes = Vec::new();
    let mut turn = Instant::now();
    for host in hosts {
        let state = states.remove(&host.info.machine_guid);
        // A host that was forgotten meanwhile has none.
        let node = match (&host.state, state) {
            (HostState::Localhost, state) => localhost(api, &host, state.as_ref(), now),
            (_, Some(state)) => node(api, &host, &state, now),
            (_, None) => continue,
        };
        if filter.takes_state(node.state) {
            nodes.push(node);
        }
        if turn.elapsed() >= TURN {
            breathe().await;
            turn = Instant::now();
        }
    }
    Answer::json(&Nodes { now, nodes })
}

/// What is known of a host that does nothing.
fn at_rest(host: &HostSnapshot, state: State, last_seen: i64) -> Node {
    let info = &host.info;
    let label = |name: &str| info.labels.iter().find(|label| *label.name == *name).map(|label| &*label.value);
    Node {
        machine_guid: info.machine_guid,
        hostname: info.hostname.to_string(),
        state,
        last_seen,
        hops: info.hops,
        program: info.program_name.to_string(),
        version: info.program_version.to_string(),
        os: info.os.to_string(),
        memory_mode: info.memory_mode.to_string(),
        ephemeral: label("_is_ephemeral").map(|value| value == "true"),
        labels: info.labels.iter().map(|label| (label.name.to_string(), label.value.to_string())).collect(),
        charts: 0,
        dimensions: 0,
        newest_sample: None,
        lag_seconds: None,
        connection: None,
        sending: None,
        missing_rows: 0,
        disconnects: 0,
        last_disconnect: None,
        duplicate: None,
        retention: None,
    }
}

/// Ourselves, with what is collected of us.
fn localhost(api: &Api, host: &HostSnapshot, known: Option<&NodeState>, now: i64) -> Node {
    let resting = at_rest(host, State::Localhost, now);
    let Some(known) = known else { return resting };
    let Node { charts, dimensions, newest_sample, lag_seconds, sending, retention, .. } =
        node(api, host, known, now);
    Node { charts, dimensions, newest_sample, lag_seconds, sending, retention, ..resting }
}

fn node(api: &Api, host: &HostSnapshot, known: &NodeState, now: i64) -> Node {
    let state = match known.liveness {
        Liveness::Live => State::Live,
        Liveness::Stale => State::Stale,
        Liveness::Offline => State::Offline,
    };
    let last_disconnect = known
        .last_disconnect
        .as_ref()
        .map(|last| Disconnect { at: last.at, reason: last.reason.to_string() });
    let duplicate = known.duplicate.as_ref().map(|duplicate| Duplicate {
        at: duplicate.at,
        peer: duplicate.peer.to_string(),
        hostname: duplicate.hostname.to_string(),
        existing: duplicate.existing.to_string(),
        outcome: duplicate.outcome.label().to_owned(),
    });
    let storage = api.storage.borrow();
    let spans = known.spans.iter().filter_map(|(key, in_shard)| storage.span(*key, *in_shard));
    let retention = spans.reduce(TimeRange::hull).map(|span| Retention {
        first: span.first.0,
        last: span.last.0,
        sampled_charts: known.spans.len(),
    });
    Node {
        charts: known.charts,
        dimensions: known.dimensions,
        newest_sample: known.newest_sample,
        lag_seconds: known.newest_sample.map(|newest| now - newest),
        connection: known.connection.as_ref().map(connection),
        sending: known.connection.as_ref().and_then(|connection| connection.sending.as_ref()).map(sending),
        missing_rows: known.missing_rows,
        disconnects: known.disconnects,
        last_disconnect,
        duplicate,
        retention,
        ..at_rest(host, state, known.last_seen)
    }
}

fn connection(known: &ConnectionState) -> Connection {
    let ConnectionState { counters, rates, replication, .. } = known;
    Connection {
        since: known.since,
        peer: known.peer.to_string(),
        tls: known.encrypted,
        compression: known
            .capabilities
            .compression()
            .map_or("none".to_owned(), |compression| format!("{compression:?}").to_ascii_lowercase()),
        capabilities: known.capabilities.names().map(str::to_owned).collect(),
        received_bytes: counters.received_bytes,
        rows: counters.rows,
        samples: counters.samples,
        bytes_per_second: rates.bytes,
        rows_per_second: rates.rows,
        samples_per_second: rates.samples,
        replication: Replication {
            charts_starting: replication.charts_starting,
            charts_filling: replication.charts_filling,
            requests: counters.replication_requests,
            replayed_rows: counters.replayed_rows,
            filled_rows: counters.filled_rows,
            given_up: counters.replication_given_up,
        },
    }
}

fn sending(known: &SendingState) -> Sending {
    Sending {
        to: known.destination.clone(),
        streaming: known.is_streaming,
        since: known.since,
        capabilities: known.capabilities.names().map(str::to_owned).collect(),
        waiting_bytes: known.waiting,
        sent_bytes: known.sent_bytes,
        last_reason: known.last_reason.as_deref().map(str::to_owned),
    }
}

/// Whether a request comes from where managing is allowed, and with the key.
pub(super) fn may_manage(api: &Api, request: &Request<Incoming>, rights: Rights) -> bool {
    let token = header_of(request, "x-auth-token").unwrap_or_default();
    rights.contains(Rights::MANAGEMENT) && api.management_key.is(token)
}

/// The answer to all others.
pub(super) fn not_a_manager() -> Answer {
    Answer::error(StatusCode::FORBIDDEN, AUTH_ERROR)
}

/// `POST /api/v2/nodes/forget?node=<machine GUID or hostname>`, for those who may manage and know the key.
pub(super) async fn forget(
    api: &Api,
    request: &Request<Incoming>,
    target: &Target,
    rights: Rights,
) -> Answer {
    if *request.method() != Method::POST {
        return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Forgetting a host is a POST.\n")
            .with_header(header::ALLOW, "POST");
    }
    if !may_manage(api, request, rights) {
        return not_a_manager();
    }
    let Some(name) = target.parameter("node") else {
        return Answer::error(StatusCode::BAD_REQUEST, "Which host? Say node=<machine GUID or hostname>.\n");
    };
    let host = match find(api, name) {
        Ok(host) => host,
        Err(answer) => return answer,
    };
    let (guid, hostname) = (host.info.machine_guid, &host.info.hostname);
    let (answer, answered) = oneshot::channel();
    let asked = async {
        api.shards.get(host.shard.index())?.send(Message::Forget { host: guid, answer }).await.ok()?;
        answered.await.ok()
    };
    let outcome = tokio::time::timeout(SHARD_ANSWERS_WITHIN, asked).await.ok().flatten();
    match outcome {
        Some(ForgetOutcome::Forgotten { charts }) => {
            api.directory.forget(&guid);
            let rest = if host.info.memory_mode == MemoryMode::Dbengine {
                " What is on disk of its samples has no name any more and expires with the files it is in."
            } else {
                ""
            };
            Answer::new(TEXT, format!("{hostname} ({guid}) is forgotten, with {charts} charts.{rest}\n"))
        }
        Some(ForgetOutcome::Connected) => Answer::error(
            StatusCode::CONFLICT,
            format!(
                "{hostname} ({guid}) is connected: it would be here again at once. Stop its child, or take its key or \
                 machine GUID out of stream.conf, first.\n"
            ),
        ),
        Some(ForgetOutcome::Unknown) => unknown(name),
        None => Answer::overloaded(),
    }
}

/// The one host of this machine GUID or name that is not ourselves.
fn find(api: &Api, name: &str) -> Result<Arc<HostSnapshot>, Answer> {
    let conflict = |text: String| Err(Answer::error(StatusCode::CONFLICT, text));
    let guid = Uuid::try_parse(name).ok();
    let hosts = api.directory.hosts();
    let is_it = |host: &HostSnapshot| Some(host.info.machine_guid) == guid || *host.info.hostname == *name;
    let found: Vec<_> = hosts.iter().filter(|host| is_it(host)).collect();
    match found[..] {
        [] => Err(unknown(name)),
        [host] if host.state == HostState::Localhost => {
            conflict(format!("{name} is this parent itself, which cannot forget itself.\n"))
        }
        [host] => Ok(Arc::clone(host)),
        _ => {
            let guids: Vec<_> = found.iter().map(|host| host.info.machine_guid.to_string()).collect();
            let guids = guids.join(", ");
            conflict(format!("Several hosts are called {name}; say which by its machine GUID: {guids}.\n"))
        }
    }
}

fn unknown(name: &str) -> Answer {
    Answer::error(StatusCode::NOT_FOUND, format!("There is no host {name}.\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guides_example_has_all_members_and_no_others() {
        let guide = include_str!("../../docs/OPERATING.md");
        let example = guide.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let written: serde_json::Value = serde_json::from_str(example).unwrap();
        let understood: Nodes = serde_json::from_str(example).unwrap();
        assert_eq!(serde_json::to_value(understood).unwrap(), written);
    }

    #[test]
    fn a_state_is_a_known_word() {
        let read = |query: &str| Filter::read(&Target::parse(query).unwrap()).map(|filter| filter.states);
        assert_eq!(read("/?state=stale%7Coffline").unwrap(), [State::Stale, State::Offline]);
        assert!(read("/?nodes=x").unwrap().is_empty());
        assert_eq!(read("/?state=dead").unwrap_err().status, StatusCode::BAD_REQUEST);
    }
}
