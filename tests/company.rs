//! Bad company: children that break rules hurt only themselves.

use std::net::TcpStream;
use std::sync::atomic::Ordering::Relaxed;

use mainstem::runtime::clock::Clock;

use crate::child::{Child, V1, V2, guid_of, request};
use crate::harness::{TestParent, get};

const START: i64 = 1_795_342_200;

const DEFINITION: &str = "CHART \"test.chart\" \"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                          DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n";

/// A good child that stores one row a second, and checks at the end that all are there.
struct Witness {
    child: Child,
    rows: i64,
}

impl Witness {
    fn new(parent: &TestParent) -> Self {
        let mut child = Child::connect(parent, "witness", V2);
        child.send(DEFINITION);
        Self { child, rows: 0 }
    }

    fn store(&mut self) {
        let time = START + self.rows;
        self.child.send(&format!("BEGIN2 'test.chart' 1 {time} #\nSET2 'a' {} # A\nEND2\n", self.rows));
        self.rows += 1;
    }

    fn check(&self, parent: &TestParent) {
        let before = START + self.rows - 1;
        let path =
            format!("/host/witness/api/v1/data?chart=test.chart&after={START}&before={before}&options=flip");
        parent.wait("the witness' rows", |parent| {
            let response = parent.get(&path);
            let Ok(answer) = serde_json::from_slice::<serde_json::Value>(&response.body) else {
                return false;
            };
            let rows = answer["data"].as_array().cloned().unwrap_or_default();
            rows.len() as i64 == self.rows
                && rows.iter().enumerate().all(|(index, row)| {
                    row[0] == START + index as i64 && row[1].as_f64() == Some(index as f64)
                })
        });
    }
}

#[test]
fn damage_of_every_kind_ends_that_connection_with_its_reason() {
    let parent = TestParent::start();
    let mut witness = Witness::new(&parent);
    let cases = [
        ("SET \"a\" = 1\n", "parse_error"),
        ("BEGIN \"no.such\" 0\n", "parse_error"),
        ("BEGIN2 'no.such' 1 1 #\n", "parse_error"),
        ("END\n", "parse_error"),
        ("DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\n", "parse_error"),
        ("CHART \"nodot\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\n", "parse_error"),
        ("RSET \"a\" 1 \"\"\n", "parse_error"),
        ("BEGIN2\n", "parse_error"),
        ("\u{1}\u{2}\u{3}nothing that anybody could mean\nSET\n", "parse_error"),
    ];
    for (number, (text, reason)) in cases.into_iter().enumerate() {
        let before = parent.telemetry().disconnections.get(reason);
        let mut child = Child::connect(&parent, &format!("bad-{number}"), V2);
        child.send(text);
        assert!(child.is_closed_by_parent(), "{text:?}");
        assert_eq!(parent.telemetry().disconnections.get(reason), before + 1, "{text:?}");
        witness.store();
    }
    witness.check(&parent);
}

#[test]
fn what_a_child_can_make_us_hold_is_bounded() {
    let parent = TestParent::with(Clock::System, |config| {
        config.limits.charts_per_host = 3;
        config.limits.dimensions_per_host = 3;
        config.limits.slots = 10;
    });
    let chart =
        |id: usize| format!("CHART \"t.c{id}\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\n");
    let dimension = |id: usize| format!("DIMENSION \"d{id}\" \"\" \"absolute\" 1 1 \"\"\n");
    let slotted = "CHART SLOT:0xB \"t.c\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\n".to_owned();
    let endless_line = "x".repeat(100_000);
    let labels: String = (0..2000).map(|number| format!("LABEL \"l{number}\" = 1 \"v\"\n")).collect();
    for (number, (text, reason)) in [
        ((0..4).map(chart).collect::<String>(), "limit"),
        (chart(0) + &(0..4).map(dimension).collect::<String>(), "limit"),
        (slotted, "limit"),
        (labels, "limit"),
        (endless_line, "parse_error"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = parent.telemetry().disconnections.get(reason);
        let mut child = Child::connect(&parent, &format!("big-{number}"), V2);
        child.send(&text);
        assert!(child.is_closed_by_parent(), "{number}");
        assert_eq!(parent.telemetry().disconnections.get(reason), before + 1, "{number}");
    }
}

#[test]
fn unknown_lines_are_counted_and_skipped() {
    let parent = TestParent::start();
    let mut child = Child::connect(&parent, "newer", V2);
    child
        .send(&format!("{DEFINITION}NOVELTY 1 2 3\nBEGIN2 'test.chart' 1 {START} #\nSET2 'a' 1 # A\nEND2\n"));
    parent.wait("the row behind the novelty", |parent| parent.telemetry().total(|shard| &shard.rows) == 1);
    assert_eq!(parent.telemetry().total(|shard| &shard.unknown_keywords), 1);
}

#[test]
fn a_line_cut_by_the_end_of_the_connection_is_not_acted_on() {
    let parent = TestParent::start();
    let mut child = Child::connect(&parent, "cut", V2);
    child.send(&format!("{DEFINITION}BEGIN2 'test.chart' 1 {START} #\nSET2 'a' 12"));
    drop(child);
    parent
        .wait("the child to be gone", |parent| parent.telemetry().disconnections.get("closed_by_child") == 1);
    assert_eq!(parent.telemetry().total(|shard| &shard.rows), 0);
}

#[test]
fn a_child_that_does_not_read_is_let_go_at_its_bound_and_the_others_go_on() {
    let parent = TestParent::with(Clock::System, |config| config.limits.pending_bytes_per_child = 100_000);
    let mut witness = Witness::new(&parent);
    let mut deaf = Child::connect(&parent, "deaf", V2);
    // Each definition is answered with a request; nobody reads them. Sending fails once the parent has closed.
    let id = "x".repeat(200);
    let definition = format!(
        "CHART \"t.{id}\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nCHART_DEFINITION_END 0 0 0\nRBEGIN \"t.{id}\"\nREND 1 0 0 true 0 0 0\n"
    );
    let flood = definition.repeat(50);
    let closed = (0..10_000).any(|number| {
        if number % 100 == 0 {
            witness.store();
        }
        std::io::Write::write_all(&mut deaf.stream, flood.as_bytes()).is_err()
    });
    assert!(closed);
    parent
        .wait("the reason to be counted", |parent| parent.telemetry().disconnections.get("not_reading") == 1);
    witness.check(&parent);
}

#[test]
fn a_child_that_sends_a_byte_at_a_time_is_understood_and_delays_nobody() {
    let parent = TestParent::start();
    let mut witness = Witness::new(&parent);
    let mut slow = Child::connect(&parent, "slow", V2);
    let text = format!("{DEFINITION}BEGIN2 'test.chart' 1 {START} #\nSET2 'a' 7 # A\nEND2\n");
    for byte in text.chars() {
        slow.send(&byte.to_string());
        witness.store();
    }
    witness.check(&parent);
    parent.wait("the slow child's row", |parent| {
        let url = format!("/host/slow/api/v1/data?chart=test.chart&after={START}&before={START}");
        parent.get(&url).text().contains("7")
    });
}

#[test]
fn a_child_that_comes_and_goes_a_thousand_times_costs_nobody_a_row() {
    let parent = TestParent::start();
    let mut witness = Witness::new(&parent);
    let flapping = mainstem::wire::handshake::encode_request(&request(&parent, "flap", guid_of("flap"), V1));
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
        std::io::Write::write_all(&mut stream, &flapping).expect("sent");
        drop(stream);
        witness.store();
    }
    parent.wait("all of them to be gone", |parent| {
        let ended = parent.telemetry().disconnections.get("closed_by_child")
            + parent.telemetry().disconnections.get("socket_error");
        let refused = parent.telemetry().refusals.get("already_streaming");
        let never_arrived = parent.telemetry().dropped.get("closed_before_a_request");
        ended + refused + never_arrived == 1000
    });
    parent
        .wait("the witness to be alone", |parent| parent.telemetry().total(|shard| &shard.connections) == 1);
    witness.check(&parent);
}

#[test]
fn a_browser_that_never_finishes_its_request_delays_nobody() {
    let parent = TestParent::start();
    let mut half = TcpStream::connect(parent.address).expect("the parent listens");
    std::io::Write::write_all(&mut half, b"GET /api/v1/info HTTP/1.1\r\nHost:").expect("sent");
    assert_eq!(get(parent.address, "/-/healthy").status, 200);
    assert!(parent.telemetry().shards.iter().all(|shard| shard.healthy.load(Relaxed)));
}
