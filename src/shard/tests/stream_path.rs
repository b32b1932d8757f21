//! Stream paths: stored, answered with ourselves behind them, and told from loops.

use super::*;
use crate::wire::stream_path::{PathElement, StreamPath};

const HOST: Uuid = Uuid::from_u128(7);

fn element(host_id: Uuid, hops: u32) -> PathElement {
    PathElement {
        hops,
        since: 1,
        capabilities: vec!["V1".into()],
        ..PathElement::new(format!("agent-{hops}").into(), host_id)
    }
}

fn line(elements: &[PathElement]) -> String {
    let document = serde_json::to_string(&StreamPath::of(elements)).expect("JSON");
    format!("JSON STREAM_PATH\n{document}\nJSON_PAYLOAD_END\n")
}

fn ours(hops: u32) -> PathElement {
    PathElement {
        hostname: "parent".into(),
        since: START / SECOND,
        first_time_t: START / SECOND,
        capabilities: Capabilities::OURS.names().map(Into::into).collect(),
        ..element(PARENT, hops)
    }
}

impl Story {
    fn path(&self) -> Vec<PathElement> {
        self.shard.hosts[0].snapshot(ShardId(0)).stream_path.to_vec()
    }
}

#[test]
fn a_path_is_stored_and_sent_back_with_ourselves_behind_it_when_it_changes() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.asked();
    let mut host = element(HOST, 0);
    story.say(START, child, &line(&[host.clone()]));
    assert_eq!(story.asked(), [line(&[host.clone(), ours(1)])]);
    assert_eq!(story.path(), [host.clone(), ours(1)]);
    story.settle(START + SECOND);
    assert_eq!(story.asked(), ["publish host-7 0 charts"]);
    // What the child knows from us, and what it has from an earlier connection, is no change.
    story.say(START, child, &line(&[host.clone(), ours(1)]));
    story.say(START, child, &line(&[host.clone(), element(Uuid::from_u128(99), 1)]));
    assert!(story.asked().is_empty());
    host.flags = vec!["ml".into()];
    story.say(START, child, &line(&[host.clone()]));
    assert_eq!(story.asked(), [line(&[host, ours(1)])]);
    let reason = DisconnectReason::ClosedByChild;
    story.shard.apply(START, Event::Ended { connection: child, reason }, &mut story.actions);
    assert!(story.path().is_empty());
}

#[test]
fn a_path_through_us_before_the_child_is_a_loop() {
    let mut story = Story::begin();
    story.hops = 3;
    let child = story.arrive(START, 1, 7);
    let proxy = Uuid::from_u128(8);
    story.say(START, child, &line(&[element(HOST, 0), element(proxy, 2), element(PARENT, 1)]));
    assert_eq!(story.shard.connections(), 0);
    assert_eq!(story.shard.telemetry.disconnections.get("loop"), 1);
    let HostState::Disconnected { reason, .. } = story.shard.hosts[0].state() else { panic!("connected") };
    assert!(
        reason.starts_with("a loop: the host's samples pass through this parent 1 hops from the host"),
        "{reason}"
    );
    // Behind the child it is only old news.
    let child = story.arrive(START, 1, 7);
    story.say(
        START,
        child,
        &line(&[element(HOST, 0), element(proxy, 1), element(proxy, 2), element(PARENT, 3)]),
    );
    assert_eq!(story.path().last(), Some(&ours(3)));
}

#[test]
fn what_is_no_path_is_counted_and_passed_over() {
    let long = format!("JSON STREAM_PATH\n{}\nJSON_PAYLOAD_END\n", "[".repeat(70_000));
    let none = line(&[]);
    let cut = line(&[element(HOST, 0)]).replace("hops", "hop");
    for text in ["JSON STREAM_PATH\nJSON_PAYLOAD_END\n", &long, &none, &cut] {
        let mut story = Story::begin();
        let child = story.arrive(START, 1, 7);
        story.asked();
        story.say(START, child, text);
        story.say(START, child, CHART);
        assert!(story.path().is_empty() && story.asked().is_empty());
        assert_eq!(story.shard.hosts[0].charts().len(), 1);
        assert_eq!(story.shard.children[1].as_ref().expect("connected").counters.commands_without_effect, 1);
    }
}

#[test]
fn documents_of_other_kinds_are_skipped_to_their_end_and_counted() {
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(
        START,
        child,
        "JSON ML_MODEL\nCHART \"x.y\"\n{\nJSON_PAYLOAD_END\nJSON\nEND\nJSON_PAYLOAD_END\n",
    );
    story.say(START, child, CHART);
    assert_eq!(story.shard.hosts[0].charts().len(), 1);
    assert_eq!(story.shard.children[1].as_ref().expect("connected").counters.unknown_keywords, 2);
    // A path of a child with which none was agreed is such a one.
    let mut story = Story::begin();
    story.capabilities = Capabilities::OURS.without(Capabilities::PATHS);
    let child = story.arrive(START, 1, 7);
    story.say(START, child, &line(&[element(HOST, 0)]));
    assert!(story.path().is_empty());
}
