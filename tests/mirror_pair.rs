//! Two parents that stream to each other: whatever child comes to one of them is on both, and neither is in the way of the
//! other when it comes back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mainstem::config::{BindAddress, Config};
use mainstem::runtime::clock::Clock;

use crate::child::Child;
use crate::harness::{TestParent, wait_for};
use crate::peer::{free_port, now};
use crate::sending::{CHART, V2_WITHOUT_REPLICATION, links, ready_made, send_to};

/// A parent that says that it has the host already is left alone for 35 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// One of the two, as it is each time it is started.
struct Side {
    state: tempfile::TempDir,
    address: SocketAddr,
    key: String,
}

impl Side {
    fn new() -> Side {
        let state = tempfile::tempdir().expect("a directory");
        Config::embedded(state.path()).expect("the embedded default");
        let key = std::fs::read_to_string(state.path().join("api.key")).expect("its key");
        Side { state, address: free_port(), key: key.trim().to_owned() }
    }

    fn start(&self, other: &Side) -> TestParent {
        let state: &Path = self.state.path();
        TestParent::within(state, Clock::System, |config| {
            let BindAddress::Tcp { port, .. } = &mut config.web.bind[0].address else {
                unreachable!("a TCP port")
            };
            *port = self.address.port();
            config.streaming.link.reconnect_delay = Duration::from_secs(1);
            send_to(config, &other.address.to_string(), &other.key);
        })
    }
}

/// What a parent answers for the rows from `first` on.
fn rows_of(parent: &TestParent, first: i64, rows: i64) -> BTreeMap<i64, f64> {
    let (after, before) = (first - 1, first + rows - 1);
    let answer = parent.get(&format!(
        "/host/moved/api/v1/data?chart=a.b&after={after}&before={before}&format=json&options=natural-points"
    ));
    // Before its host and its chart are known there is none.
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let rows = answer["data"].as_array().into_iter().flatten();
    rows.filter_map(|row| Some((row[0].as_i64()?, row[1].as_f64()?))).collect()
}

#[test]
fn of_two_parents_that_mirror_each_other_the_one_that_was_away_gets_what_came_to_the_other() {
    let (a_side, b_side) = (Side::new(), Side::new());
    let (a, b) = (a_side.start(&b_side), b_side.start(&a_side));
    let first = now() - 1000;
    let value = |number: i64| number as f64 + 0.25;
    let expected =
        |rows: i64| (0..rows).map(|number| (first + number, value(number))).collect::<BTreeMap<_, _>>();

    let mut child = Child::connect(&a, "moved", V2_WITHOUT_REPLICATION);
    a.wait("a link", |a| links(a) == 1);
    child.send(CHART);
    for number in 0..50 {
        child.send(&ready_made(first + number, value(number)));
    }
    wait_for("all rows on the other side", PATIENCE, &b, |b| rows_of(b, first, 50) == expected(50));
    b.wait("its own link refused", |b| b.telemetry().link_ends.get("already_streaming") >= 1);

    drop(child);
    drop(a);
    b.wait("the end of its child", |b| b.telemetry().total(|shard| &shard.connections) == 0);
    let mut child = Child::connect(&b, "moved", V2_WITHOUT_REPLICATION);
    child.send(CHART);
    for number in 50..100 {
        child.send(&ready_made(first + number, value(number)));
    }
    b.wait("rows without the other", |b| rows_of(b, first, 100) == expected(100));

    let a = a_side.start(&b_side);
    wait_for("a link", PATIENCE, &b, |b| links(b) == 1);
    for number in 100..120 {
        child.send(&ready_made(first + number, value(number)));
    }
    for parent in [&a, &b] {
        wait_for("all rows", PATIENCE, parent, |parent| rows_of(parent, first, 120) == expected(120));
    }

    // Each has the host from one side, and it goes round nowhere.
    a.wait("its own link refused", |a| a.telemetry().link_ends.get("already_streaming") >= 1);
    for parent in [&a, &b] {
        assert_eq!(parent.telemetry().total(|shard| &shard.connections), 1);
    }
    assert_eq!((links(&a), links(&b)), (0, 1));
}
