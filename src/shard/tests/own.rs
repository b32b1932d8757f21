//! Our own host among the children of its shard.

use super::*;
use crate::shard::message::ForgetOutcome;

const OWN: u128 = PARENT.as_u128();
const CHART: &str = "CHART \"a.b\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                     DIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n";

fn story() -> Story {
    let mut story = Story::begin();
    story.shard = story.shard.with_own_host(PARENT);
    story.capabilities = Capabilities::V1 | Capabilities::VCAPS;
    story
}

impl Story {
    /// Connections, hosts, stale hosts and bytes of children.
    fn of_children(&mut self) -> (u64, u64, u64, u64) {
        let metrics = ShardMetrics::default();
        self.shard.report(&metrics);
        let [connections, hosts, stale] =
            [&metrics.connections, &metrics.hosts, &metrics.stale_hosts].map(|figure| figure.load(Relaxed));
        (connections, hosts, stale, self.shard.received_bytes())
    }
}

#[test]
fn we_are_stored_as_a_child_is_and_are_none() {
    let mut story = story();
    let own = story.arrive(START, 1, OWN);
    assert!(story.asked().is_empty(), "we need no greeting");
    story.say(START, own, CHART);
    for second in 0..4 {
        let now_us = START + second * SECOND;
        story.say(now_us, own, "BEGIN \"a.b\" 1000000\nSET \"d\" = 5\nEND\n");
        story.settle(now_us);
    }
    let host = &story.shard.hosts[0];
    assert_eq!((host.state(), host.info().hops), (&HostState::Localhost, 0));
    assert!(story.shard.engine.span(host.charts()[0].chart.group).is_some());
    assert_eq!(story.of_children(), (0, 0, 0, 0));

    let child = story.arrive(START, 2, 7);
    story.say(START, child, "x\n");
    assert_eq!(story.of_children(), (1, 1, 0, 2));
    let (answer, mut answered) = tokio::sync::oneshot::channel();
    let question = Event::Asked(Question::Admissions { answer });
    story.shard.apply(START, question, &mut story.actions);
    assert_eq!(answered.try_recv().expect("an answer").len(), 1);
}

#[test]
fn we_may_be_silent_and_are_never_forgotten() {
    let mut story = story();
    let own = story.arrive_with(MemoryMode::Ram, START, 1, OWN);
    story.say(START, own, CHART);
    story.settle(START + SECOND);
    story.asked();
    let later = START + 2 * IDLE_AFTER_US;
    story.settle(later);
    assert!(!story.asked().iter().any(|asked| asked.starts_with("close")));
    assert_eq!(story.of_children(), (0, 0, 0, 0));

    let reason = DisconnectReason::ClosedByChild;
    story.shard.apply(later, Event::Ended { connection: own, reason }, &mut story.actions);
    story.settle(later + 100_000 * SECOND);
    assert_eq!(story.shard.hosts.len(), 1);
    assert_eq!(story.of_children(), (0, 0, 0, 0));
    let (answer, mut answered) = tokio::sync::oneshot::channel();
    story.shard.apply(later, Event::Forget { host: PARENT, answer }, &mut story.actions);
    assert_eq!(answered.try_recv(), Ok(ForgetOutcome::Connected));
    assert_eq!(story.shard.telemetry.disconnections.total(), 0);

    // It begins anew.
    let again = story.arrive_with(MemoryMode::Ram, later + 100_001 * SECOND, 3, OWN);
    assert_eq!(story.shard.connections(), 1);
    assert_eq!(story.shard.hosts[0].state(), &HostState::Localhost);
    story.say(later + 100_001 * SECOND, again, CHART);
}
