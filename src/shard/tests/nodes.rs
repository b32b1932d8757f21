//! How hosts are, as operators see it: live, stale, offline, forgotten, and claimed twice.

use std::sync::Mutex;

use tokio::sync::oneshot;

use super::super::message::ForgetOutcome;
use super::super::nodes::{Disconnect, Liveness, NodeState};
use super::*;

const T: i64 = START / SECOND;

fn row(time: i64) -> String {
    format!("BEGIN2 'a.b' 1 {time} #\nSET2 'd' 1 # A\nEND2\n")
}

/// What the log says meanwhile.
fn logged(happens: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("whole").write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let lines = Lines::default();
    let writer = lines.clone();
    let log = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(log, happens);
    let bytes = lines.0.lock().expect("whole").clone();
    String::from_utf8(bytes).expect("text")
}

impl Story {
    fn nodes(&mut self, now_us: i64) -> Vec<NodeState> {
        let (answer, mut answered) = oneshot::channel();
        self.shard.apply(now_us, Event::Asked(Question::Nodes { answer }), &mut self.actions);
        answered.try_recv().expect("an answer")
    }

    fn node(&mut self, now_us: i64) -> NodeState {
        let [node] = <[NodeState; 1]>::try_from(self.nodes(now_us)).expect("one host");
        node
    }

    fn close(&mut self, now_us: i64, connection: ConnectionId) {
        let event = Event::Ended { connection, reason: DisconnectReason::ClosedByChild };
        self.shard.apply(now_us, event, &mut self.actions);
    }

    fn forget(&mut self, host: u128) -> ForgetOutcome {
        let (answer, mut answered) = oneshot::channel();
        let event = Event::Forget { host: Uuid::from_u128(host), answer };
        self.shard.apply(START, event, &mut self.actions);
        answered.try_recv().expect("an answer")
    }

    /// Hosts that are live, stale and offline.
    fn counted(&self) -> [u64; 3] {
        let metrics = ShardMetrics::default();
        self.shard.report(&metrics);
        let figure = |figure: &std::sync::atomic::AtomicU64| figure.load(Relaxed);
        let (hosts, connections) = (figure(&metrics.hosts), figure(&metrics.connections));
        let stale = figure(&metrics.stale_hosts);
        [connections - stale, stale, hosts - connections]
    }
}

#[test]
fn a_connected_host_tells_what_has_come_and_how_fast() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, CHART);
    for second in 1..=20 {
        story.say(START + second * SECOND, child, &row(T + second));
        story.settle(START + second * SECOND);
    }
    let node = story.node(START + 21 * SECOND);
    assert_eq!(node.liveness, Liveness::Live);
    assert_eq!((node.charts, node.dimensions, node.missing_rows), (1, 1, 0));
    assert_eq!((node.newest_sample, node.last_seen), (Some(T + 20), T + 20));
    assert_eq!((node.disconnects, node.last_disconnect, node.duplicate), (0, None, None));
    assert_eq!(node.spans.len(), 1);
    assert_eq!(node.spans[0].1.map(|span| (span.first.0, span.last.0)), Some((T + 1, T + 20)));
    let connection = node.connection.expect("it is connected");
    assert_eq!((connection.since, connection.encrypted), (T, false));
    assert!(connection.capabilities.contains(Capabilities::INTERPOLATED));
    assert_eq!((connection.counters.rows, connection.counters.samples), (20, 20));
    assert_eq!((connection.rates.rows, connection.rates.samples), (1.0, 1.0));
    assert_eq!(connection.rates.bytes, row(T).len() as f64);
}

#[test]
fn a_host_is_stale_when_nothing_comes_or_nothing_new() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, CHART);
    assert_eq!(story.node(START + 30 * SECOND).liveness, Liveness::Live, "it may take so long to begin");
    story.say(START + 25 * SECOND, child, "\n");
    assert_eq!(story.node(START + 31 * SECOND).liveness, Liveness::Stale, "bytes are no samples");
    story.say(START + 40 * SECOND, child, &row(T + 40));
    assert_eq!(story.node(START + 41 * SECOND).liveness, Liveness::Live);
    story.say(START + 60 * SECOND, child, &row(T + 41));
    story.settle(START + 60 * SECOND);
    assert_eq!(story.counted(), [1, 0, 0]);
    story.say(START + 75 * SECOND, child, &row(T + 42));
    story.settle(START + 75 * SECOND);
    assert_eq!(story.node(START + 75 * SECOND).liveness, Liveness::Stale, "what comes is old");
    assert_eq!(story.counted(), [0, 1, 0]);
    story.close(START + 76 * SECOND, child);
    assert_eq!(story.counted(), [0, 0, 1]);
}

#[test]
fn ends_of_connections_are_counted_and_the_last_one_is_known_while_the_host_is_back() {
    let mut story = Story::begin();
    let last = Some(Disconnect { at: T + 2, reason: "the child closed the connection".into() });
    for generation in 1..=2 {
        let child = story.arrive(START, generation, 7);
        story.say(START, child, CHART);
        story.say(START, child, &row(T + i64::from(generation)));
        story.close(START + i64::from(generation) * SECOND, child);
    }
    let node = story.node(START + 9 * SECOND);
    assert_eq!((node.liveness, node.disconnects, node.last_seen), (Liveness::Offline, 2, T + 2));
    assert!(node.connection.is_none());
    assert_eq!((node.newest_sample, &node.last_disconnect), (Some(T + 2), &last));
    story.arrive(START + 9 * SECOND, 3, 7);
    let node = story.node(START + 9 * SECOND);
    assert_eq!((node.liveness, node.disconnects, node.last_disconnect), (Liveness::Live, 2, last));
}

#[test]
fn a_second_connection_is_remembered_and_logged_whoever_wins() {
    let mut story = Story::begin();
    story.arrive(START, 1, 7);
    story.actions.clear();
    let said = logged(|| {
        story.arrive(START + 10 * SECOND, 2, 7);
    });
    let sentence = "STREAM host-7 [receive from [127.0.0.1]:4002]: multiple connections for same host detected - \
                    existing connection is active (within last 10 sec), rejecting new connection. \
                    existing=\"[127.0.0.1]:4001\"\n";
    assert!(said.contains(sentence), "{said}");
    assert_eq!(story.asked().last().map(String::as_str), Some("close 2"));
    let refused = story.node(START + 10 * SECOND).duplicate.expect("it is remembered");
    assert_eq!((refused.at, refused.outcome.label(), &*refused.hostname), (T + 10, "refused", "host-7"));
    assert_eq!((refused.peer.port(), refused.existing.port()), (4002, 4001));
    assert_eq!(story.shard.connections(), 1);

    let said = logged(|| {
        story.arrive(START + 30 * SECOND, 3, 7);
    });
    let sentence = "STREAM host-7 [receive from [127.0.0.1]:4003]: multiple connections for same host detected - \
                    existing connection is dead (30 sec), accepting new connection. \
                    existing=\"[127.0.0.1]:4001\"\n";
    assert!(said.contains(sentence), "{said}");
    assert!(story.asked().contains(&"close 1".to_owned()));
    let node = story.node(START + 30 * SECOND);
    assert_eq!(node.duplicate.map(|last| (last.at, last.outcome.label())), Some((T + 30, "took_over")));
    assert_eq!(node.disconnects, 1);
    let count = |outcome| story.shard.telemetry.duplicates.get(outcome);
    assert_eq!((count("refused"), count("took_over")), (1, 1));
}

#[test]
fn a_host_that_is_away_is_forgotten_on_demand_and_a_connected_one_is_not() {
    for mode in [MemoryMode::Dbengine, MemoryMode::Save, MemoryMode::Ram] {
        let mut story = Story::begin();
        let away = story.arrive_with(mode, START, 1, 7);
        story.say(START, away, &(CHART.to_owned() + &row(T)));
        let stays = story.arrive_with(mode, START, 2, 8);
        story.say(START, stays, CHART);
        story.settle(START);
        story.close(START, away);
        story.asked();
        assert_eq!(story.forget(8), ForgetOutcome::Connected);
        assert_eq!(story.forget(9), ForgetOutcome::Unknown);
        assert_eq!(story.forget(7), ForgetOutcome::Forgotten { charts: 1 });
        let removes_rows =
            story.actions.iter().any(|action| matches!(action, Action::Rows(RowsOp::Remove { .. })));
        assert_eq!(removes_rows, mode == MemoryMode::Save);
        story.settle(START);
        let (_, changes) = story.stored();
        let forgets = changes.contains(&CatalogChange::ForgetHost(Uuid::from_u128(7)));
        assert_eq!(forgets, mode != MemoryMode::Ram, "{mode}");
        assert_eq!(story.asked(), ["forget 7"]);
        // The one that stays has got the place of the other.
        story.say(START + SECOND, stays, &row(T + 1));
        let node = story.node(START + SECOND);
        assert_eq!((node.machine_guid, node.newest_sample), (Uuid::from_u128(8), Some(T + 1)));
        // As one that was never here.
        story.arrive(START + SECOND, 3, 7);
        assert_eq!(story.nodes(START + SECOND).len(), 2);
    }
}

#[test]
fn an_answer_looks_at_a_few_charts_of_a_host_only() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    for number in 0..100 {
        story.say(START, child, &CHART.replace("a.b", &format!("a.{number}")));
    }
    let charts: Vec<u128> = story.shard.hosts[0].charts().iter().map(|mirrored| mirrored.chart.key).collect();
    let sampled: Vec<u128> = story.node(START).spans.iter().map(|(key, _)| key.0).collect();
    assert_eq!(sampled, [charts[0], charts[25], charts[50], charts[75]]);
}
