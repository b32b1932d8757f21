use uuid::Uuid;

use super::*;
use crate::config::Config;
use crate::wire::capability::{Capabilities, negotiate};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_795_342_200 * SECOND;

/// A shard, and what it asked for.
struct Story {
    shard: Shard,
    config: Config,
    key: String,
    actions: Vec<Action>,
    _state: tempfile::TempDir,
}

impl Story {
    fn begin() -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let config = Config::embedded(state.path()).expect("the embedded default").config;
        let key = std::fs::read_to_string(state.path().join("api.key")).expect("its key").trim().to_owned();
        let shard = Shard::new(ShardId(0), config.limits.clone(), Arc::new(Telemetry::new(1)));
        Self { shard, config, key, actions: Vec::new(), _state: state }
    }

    fn arrive(&mut self, now_us: i64, generation: u32, host: u128) -> ConnectionId {
        let connection = ConnectionId { place: generation, generation };
        let machine_guid = Uuid::from_u128(host);
        let peer: std::net::SocketAddr = ([127, 0, 0, 1], 4000).into();
        let policy = self
            .config
            .streaming_policy(&self.key, &machine_guid.to_string(), peer.ip())
            .expect("the embedded key");
        let request = StreamRequest { hostname: format!("host-{host}"), ..StreamRequest::default() };
        let capabilities = negotiate(Capabilities::OURS, Capabilities::OURS, &[]);
        let arrival = Arrival { machine_guid, request, capabilities, policy, peer, early: Vec::new() };
        let event = Event::Arrived { connection, arrival: Box::new(arrival) };
        self.shard.apply(now_us, event, &mut self.actions);
        connection
    }

    fn say(&mut self, now_us: i64, connection: ConnectionId, text: &str) {
        self.shard.apply(now_us, Event::Received { connection, bytes: text.as_bytes() }, &mut self.actions);
    }

    fn settle(&mut self, now_us: i64) {
        self.shard.settle(now_us, &mut self.actions);
    }

    /// What was asked for since the last time, a word each.
    fn asked(&mut self) -> Vec<String> {
        let word = |action: Action| match action {
            Action::Send { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
            Action::Close { connection } => format!("close {}", connection.generation),
            Action::Publish(host) => format!("publish {} {} charts", host.info.hostname, host.charts.len()),
        };
        self.actions.drain(..).map(word).collect()
    }
}

const CHART: &str = "CHART \"a.b\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nDIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n";

#[test]
fn a_child_is_greeted_asked_and_published() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    assert_eq!(story.asked(), ["Hit me baby, push them over with the version=324544"]);
    story.say(START, child, CHART);
    story.say(START, child, "CHART_DEFINITION_END 0 0 1\n");
    assert_eq!(story.asked(), ["REPLAY_CHART \"a.b\" \"true\" 0 0\n"]);
    story.settle(START);
    assert_eq!(story.asked(), ["publish host-7 1 charts"]);
    story.say(START, child, "CHART_DEFINITION_END 0 0 1\n");
    assert!(story.asked().is_empty(), "a chart whose answer is under way is not asked about again");
}

#[test]
fn definitions_that_come_together_are_published_together() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.settle(START);
    assert_eq!(story.asked().len(), 2, "the greeting and the host");
    for number in 0..50 {
        story.say(START + number * 1000, child, &CHART.replace("a.b", &format!("a.{number}")));
        story.settle(START + number * 1000);
    }
    assert!(story.asked().is_empty());
    story.settle(START + PUBLISH_EVERY_US);
    assert_eq!(story.asked(), ["publish host-7 50 charts"]);
    story.settle(START + 2 * PUBLISH_EVERY_US);
    assert!(story.asked().is_empty(), "nothing new, nothing published");
}

#[test]
fn a_silent_child_is_let_go_after_ten_minutes() {
    let mut story = Story::begin();
    let silent = story.arrive(START, 1, 7);
    let busy = story.arrive(START, 2, 8);
    story.say(START + IDLE_AFTER_US, busy, CHART);
    story.actions.clear();
    story.settle(START + IDLE_AFTER_US);
    assert_eq!(story.shard.connections(), 2);
    story.actions.clear();
    story.settle(START + IDLE_AFTER_US + 2 * SECOND);
    assert!(story.asked().contains(&format!("close {}", silent.generation)));
    assert_eq!(story.shard.connections(), 1);
    assert_eq!(story.shard.telemetry.disconnections.get("idle"), 1);
}

#[test]
fn news_of_a_connection_that_is_gone_reaches_nobody() {
    let mut story = Story::begin();
    let old = story.arrive(START, 1, 7);
    story.shard.apply(
        START,
        Event::Ended { connection: old, reason: DisconnectReason::ClosedByChild },
        &mut story.actions,
    );
    let new = ConnectionId { place: old.place, generation: 2 };
    let _ = story.arrive(START, 2, 8);
    story.actions.clear();
    story.say(START, old, "CHART_DEFINITION_END\n");
    story.shard.apply(
        START,
        Event::Ended { connection: old, reason: DisconnectReason::ClosedByChild },
        &mut story.actions,
    );
    assert!(story.asked().is_empty());
    assert_eq!(story.shard.connections(), 1);
    assert_ne!(old, new);
}

#[test]
fn a_host_keeps_its_charts_and_rows_between_connections() {
    let mut story = Story::begin();
    let row = |time: i64| format!("BEGIN2 'a.b' 1 {time} #\nSET2 'd' 1 # A\nEND2\n");
    let first = story.arrive(START, 1, 7);
    story.say(START, first, CHART);
    story.say(START, first, &row(START / SECOND));
    story.shard.apply(
        START,
        Event::Ended { connection: first, reason: DisconnectReason::ClosedByChild },
        &mut story.actions,
    );
    let second = story.arrive(START + SECOND, 2, 7);
    story.say(START + SECOND, second, CHART);
    story.say(START + SECOND, second, &row(START / SECOND));
    story.say(START + SECOND, second, &row(START / SECOND + 1));
    story.settle(START + SECOND);
    let metrics = ShardMetrics::default();
    story.shard.report(&metrics);
    story.shard.report_storage(&metrics);
    let figures =
        [&metrics.hosts, &metrics.charts, &metrics.rows, &metrics.stale_rows, &metrics.stored_samples];
    assert_eq!(figures.map(|figure| figure.load(Relaxed)), [1, 1, 2, 1, 2]);
}

#[test]
fn data_of_a_chart_from_an_earlier_connection_needs_its_definition_again() {
    let mut story = Story::begin();
    let first = story.arrive(START, 1, 7);
    story.say(START, first, CHART);
    story.shard.apply(
        START,
        Event::Ended { connection: first, reason: DisconnectReason::ClosedByChild },
        &mut story.actions,
    );
    let second = story.arrive(START, 2, 7);
    story.actions.clear();
    story.say(START, second, "BEGIN \"a.b\" 0\n");
    assert!(story.asked().contains(&"close 2".to_owned()));
}
