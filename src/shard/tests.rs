mod cuts;

mod forgetting;

mod functions;

mod lines;

mod nodes;

mod order;

mod own;

mod passing;

mod replication;

mod saving;

mod stream_path;

use dbengine::UnixSeconds;
use uuid::Uuid;

use super::*;
use crate::catalog::{CatalogChange, Chart, ChartRecord};
use crate::config::{Config, SendPolicy};
use crate::shard::message::Identity;
use crate::telemetry::ShardMetrics;
use crate::wire::capability::{Capabilities, Compression, negotiate};
use crate::wire::handshake::StreamRequest;

const SECOND: i64 = 1_000_000;
const START: i64 = 1_795_342_200 * SECOND;
const PARENT: Uuid = Uuid::from_u128(0xFA);

/// A shard, and what it asked for.
struct Story {
    shard: Shard,
    config: Config,
    key: String,
    actions: Vec<Action>,
    /// Of children that arrive.
    program_version: &'static str,
    /// What they offer.
    capabilities: Capabilities,
    /// Of the compressions that they offer, the first of these is taken.
    compressions: &'static [Compression],
    /// Agents between them and their hosts, and they.
    hops: u32,
    /// Where their hosts are sent on to.
    sending: Option<SendPolicy>,
    _state: tempfile::TempDir,
}

impl Story {
    fn begin() -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let config = Config::embedded(state.path()).expect("the embedded default").config;
        let key = std::fs::read_to_string(state.path().join("api.key")).expect("its key").trim().to_owned();
        let shard = {
            let (limits, cleanup) = (config.limits.clone(), Cleanup::new(&config.database));
            Shard::new(ShardId(0), limits, cleanup, Arc::new(Telemetry::new(1)), None)
        };
        Self {
            shard,
            config,
            key,
            actions: Vec::new(),
            program_version: "v1.40.0",
            capabilities: Capabilities::OURS,
            compressions: &[],
            hops: 1,
            sending: None,
            _state: state,
        }
    }

    /// A child with this memory mode.
    fn arrive_with(&mut self, mode: MemoryMode, now_us: i64, generation: u32, host: u128) -> ConnectionId {
        self.config.database.mode = mode;
        self.arrive(now_us, generation, host)
    }

    fn arrive(&mut self, now_us: i64, generation: u32, host: u128) -> ConnectionId {
        let connection = ConnectionId { place: generation, generation };
        let machine_guid = Uuid::from_u128(host);
        let peer: std::net::SocketAddr = ([127, 0, 0, 1], 4000 + generation as u16).into();
        let mut policy = self
            .config
            .streaming_policy(&self.key, &machine_guid.to_string(), peer.ip())
            .expect("the embedded key");
        policy.sending = self.sending.clone().map(Box::new);
        let request = StreamRequest {
            hostname: format!("host-{host}"),
            program_version: self.program_version.into(),
            hops: self.hops,
            ..StreamRequest::default()
        };
        let capabilities = negotiate(self.capabilities, Capabilities::OURS, self.compressions);
        let key = ApiKey(Uuid::try_parse(&self.key).expect("a key"));
        let parent = Identity { machine_guid: PARENT, hostname: "parent".into() };
        let arrival = Arrival {
            machine_guid,
            key,
            request,
            capabilities,
            policy,
            peer,
            parent,
            encrypted: false,
            seat: None,
            early: Vec::new(),
        };
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
        let word = |action: Action| {
            Some(match action {
                Action::Send { bytes, .. } => String::from_utf8_lossy(&bytes).into_owned(),
                Action::Close { connection } => format!("close {}", connection.generation),
                Action::Connect { wish, .. } => format!("connect {}", wish.destinations[0]),
                Action::Publish(host) => {
                    format!("publish {} {} charts", host.info.hostname, host.charts.len())
                }
                // Those who ask about it take it before.
                Action::Forget(guid) => format!("forget {}", guid.as_u128()),
                Action::Past(_) => "read".to_owned(),
                Action::Store { .. } | Action::Rows(_) | Action::Disk(_) | Action::Seal(_) => return None,
            })
        };
        self.actions.drain(..).filter_map(word).collect()
    }

    /// What the store got since the last time, and the number of the last change.
    fn stored(&mut self) -> (u64, Vec<CatalogChange>) {
        let (mut last, mut all) = (0, Vec::new());
        self.actions.retain_mut(|action| {
            let Action::Store { until, changes } = action else { return true };
            last = *until;
            all.append(changes);
            false
        });
        (last, all)
    }
}

const CHART: &str = "CHART \"a.b\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nDIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n";

#[test]
fn a_child_is_greeted_asked_and_published() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    assert_eq!(story.asked(), ["Hit me baby, push them over with the version=323288000"]);
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

/// What a store with these changes hands out, to a shard that knows nothing.
fn restart(changes: Vec<CatalogChange>) -> Story {
    let mut hosts: Vec<(HostRecord, Vec<ChartRecord>)> = Vec::new();
    for change in changes {
        match change {
            CatalogChange::Host(host) => {
                let known =
                    hosts.iter_mut().find(|(known, _)| known.info.machine_guid == host.info.machine_guid);
                match known {
                    Some((known, _)) => *known = host,
                    None => hosts.push((host, Vec::new())),
                }
            }
            CatalogChange::Chart { host, chart } => {
                let owner = hosts.iter_mut().find(|(known, _)| known.info.machine_guid == host);
                let charts = &mut owner.expect("a host comes before its charts").1;
                charts.retain(|known| known.id != chart.id);
                charts.push(chart);
            }
            forgotten => panic!("nothing was forgotten: {forgotten:?}"),
        }
    }
    let mut story = Story::begin();
    for (host, mut charts) in hosts {
        charts.sort_by_key(|chart| chart.ordinal);
        let restored = |record| RestoredChart {
            record,
            newest: UnixSeconds(0),
            saved: Default::default(),
            missing: Default::default(),
        };
        let charts = charts.into_iter().map(restored).collect();
        let event = Event::Restored { host: Box::new(host), charts };
        story.shard.apply(START, event, &mut story.actions);
    }
    story
}

fn published(story: &mut Story, now_us: i64) -> Vec<Arc<crate::catalog::HostSnapshot>> {
    story.settle(now_us);
    let mut hosts = Vec::new();
    story.actions.retain(|action| {
        let Action::Publish(host) = action else { return true };
        hosts.push(Arc::clone(host));
        false
    });
    hosts
}

fn dimensions(chart: &Chart) -> Vec<&str> {
    chart.dimensions.iter().map(|dimension| &*dimension.id).collect()
}

const TWO_CHARTS: &str = "CHART \"a.one\" \"named\" \"t\" \"u\" \"\" \"\" \"area\" 1 1 \"\" \"\" \"\"\n\
    DIMENSION \"x\" \"\" \"absolute\" 1 1 \"\"\nDIMENSION \"y\" \"\" \"absolute\" 1 1 \"\"\n\
    CLABEL \"k\" \"v\" 1\nCLABEL_COMMIT\n\
    CHART \"a.two\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nDIMENSION \"x\" \"\" \"absolute\" 1 1 \"\"\n";

#[test]
fn a_restored_host_is_published_as_it_was_but_not_connected() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, TWO_CHARTS);
    story.say(START, child, "LABEL \"room\" = 1 \"b 12\"\nOVERWRITE labels\n");
    let before = published(&mut story, START).remove(0);
    story.shard.stop(START + SECOND, &mut story.actions);
    let mut story = restart(story.stored().1);
    let after = published(&mut story, START + 60 * SECOND).remove(0);
    assert_eq!(after.info, before.info);
    assert_eq!(after.charts, before.charts);
    let HostState::Disconnected { since, .. } = after.state else { panic!("{:?}", after.state) };
    assert_eq!(since.0, START / SECOND + 1);
    story.settle(START + 61 * SECOND);
    assert_eq!(story.stored().1, [], "nothing new, nothing stored");
}

#[test]
fn a_child_that_returns_keeps_keys_and_columns_whatever_its_order_is_now() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, TWO_CHARTS);
    story.settle(START);
    let mut story = restart(story.stored().1);
    let before = published(&mut story, START + SECOND).remove(0);
    assert!(before.charts.iter().all(|chart| chart.key != 0));
    let child = story.arrive(START + SECOND, 1, 7);
    let other_order = TWO_CHARTS
        .replace("\"x\"", "\"z\"")
        .replace("DIMENSION \"y\" ", "DIMENSION \"y\" \"\" \"absolute\" 1 1 \"\"\nDIMENSION \"x\" ");
    story.say(START + SECOND, child, &other_order);
    story.say(START + SECOND, child, "BEGIN2 'a.one' 1 1795342201 #\nSET2 'y' 1 2 A\nSET2 'x' 1 3 A\nEND2\n");
    let after = published(&mut story, START + 2 * SECOND).remove(0);
    let both = before.charts.iter().zip(&after.charts);
    assert!(both.clone().all(|(before, after)| (before.key, before.group) == (after.key, after.group)));
    assert_eq!(
        after.charts.iter().map(|chart| dimensions(chart)).collect::<Vec<_>>(),
        [vec!["x", "y", "z"], vec!["x", "z"]]
    );
    let newest = story.shard.engine.newest(after.charts[0].group).expect("a row").1;
    assert_eq!(newest[..2], [3.0, 2.0]);
    assert!(newest[2].is_nan());
}

#[test]
fn a_chart_that_is_defined_anew_after_a_restart_has_a_place_and_a_key_of_its_own() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, TWO_CHARTS);
    story.settle(START);
    let mut changes = story.stored().1;
    changes.retain(|change| !matches!(change, CatalogChange::Chart { chart, .. } if &*chart.id == "a.one"));
    let mut story = restart(changes);
    let child = story.arrive(START + SECOND, 1, 7);
    story.say(START + SECOND, child, TWO_CHARTS);
    story.settle(START + SECOND);
    let written = story.stored().1;
    let [CatalogChange::Host(_), CatalogChange::Chart { chart, .. }] = &written[..] else {
        panic!("the host and the new chart: {written:?}")
    };
    assert_eq!((&*chart.id, chart.name.as_deref(), chart.ordinal), ("a.one", Some("a.named"), 2));
    let first_time = crate::catalog::chart::group_key(&Uuid::from_u128(7), "a.one", START);
    assert_ne!(chart.key, first_time);
}

#[test]
fn hosts_whose_samples_are_not_kept_are_not_stored() {
    for (mode, stored) in [
        (MemoryMode::None, 0),
        (MemoryMode::Ram, 0),
        (MemoryMode::Alloc, 0),
        (MemoryMode::Save, 2),
        (MemoryMode::Map, 2),
        (MemoryMode::Dbengine, 2),
    ] {
        let mut story = Story::begin();
        let child = story.arrive_with(mode, START, 1, 7);
        story.say(START, child, CHART);
        story.settle(START);
        story.shard.stop(START, &mut story.actions);
        let charts =
            story.stored().1.into_iter().filter(|change| matches!(change, CatalogChange::Chart { .. }));
        assert_eq!(charts.count(), stored / 2, "{mode}");
    }
}

#[test]
fn what_the_store_gets_at_once_is_bounded_by_turn_and_by_what_is_under_way() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    let charts = CHANGES_UNDER_WAY as usize + CHANGES_A_TURN;
    for number in 0..charts {
        story.say(START, child, &CHART.replace("a.b", &format!("a.{number}")));
    }
    let mut got = Vec::new();
    let mut turn = |story: &mut Story| {
        story.settle(START);
        let (until, changes) = story.stored();
        got.extend(changes);
        (until, got.len())
    };
    assert_eq!(turn(&mut story).1, CHANGES_A_TURN);
    for _ in 0..100 {
        turn(&mut story);
    }
    let under_way = turn(&mut story).1;
    assert_eq!(under_way as u64, CHANGES_UNDER_WAY, "the store does not answer");
    // What changes twice meanwhile is stored once.
    story.say(START, child, &CHART.replace("a.b", "a.0").replace("\"t\"", "\"title\""));
    story.say(START, child, &CHART.replace("a.b", "a.0").replace("\"t\"", "\"other title\""));
    story.shard.apply(START, Event::CatalogStored { until: under_way as u64 }, &mut story.actions);
    for _ in 0..3 {
        turn(&mut story);
    }
    assert_eq!(got.len(), 1 + charts + 1);
    let Some(CatalogChange::Chart { chart, .. }) = got.last() else { panic!("a chart is last") };
    assert_eq!((&*chart.id, &*chart.title), ("a.0", "other title"));
}

#[test]
fn the_store_learns_now_and_then_that_a_host_is_still_there() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.settle(START);
    assert_eq!(story.stored().1.len(), 1);
    let later = START + SEEN_EVERY_US - SECOND;
    story.say(later, child, CHART);
    story.settle(later);
    assert_eq!(story.stored().1.len(), 1, "the chart");
    story.settle(START + SEEN_EVERY_US);
    let seen = story.stored().1;
    assert!(
        matches!(&seen[..], [CatalogChange::Host(host)] if host.seen == (START + SEEN_EVERY_US) / SECOND)
    );
}
