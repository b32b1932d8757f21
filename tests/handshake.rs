//! Who may stream, and the exact words for those who may not.

use std::io::Write;
use std::net::TcpStream;

use mainstem::config::{Config, SimplePattern, simple_pattern::WHITE_SPACE};
use mainstem::runtime::clock::Clock;
use mainstem::wire::handshake::encode_request;
use uuid::Uuid;

use crate::child::{Child, V1, greet, guid_of, request};
use crate::harness::{TestParent, parse_response, read_prompt};

const NOT_PERMITTED: &str = "You are not permitted to access this. Check the logs for more info.";

#[test]
fn every_refusal_has_its_words_and_its_counter() {
    let parent = TestParent::start();
    let good = request(&parent, "h", guid_of("h"), V1);
    let cases = [
        ("no_key", NOT_PERMITTED, {
            let mut r = good.clone();
            r.key.clear();
            r
        }),
        ("no_hostname", NOT_PERMITTED, {
            let mut r = good.clone();
            r.hostname.clear();
            r
        }),
        ("no_machine_guid", NOT_PERMITTED, {
            let mut r = good.clone();
            r.machine_guid.clear();
            r
        }),
        ("invalid_key", NOT_PERMITTED, {
            let mut r = good.clone();
            r.key = "secret".into();
            r
        }),
        ("invalid_machine_guid", NOT_PERMITTED, {
            let mut r = good.clone();
            r.machine_guid = "x".into();
            r
        }),
        ("key_not_enabled", NOT_PERMITTED, {
            let mut r = good.clone();
            r.key = Uuid::new_v4().to_string();
            r
        }),
        ("localhost", "Don't hit me baby, you are trying to stream my localhost back", {
            let mut r = good.clone();
            r.machine_guid = parent.machine_guid.to_string();
            r
        }),
    ];
    for (label, words, request) in cases {
        let (mut stream, answer) = greet(parent.address, &request);
        assert_eq!(answer, words, "{label}");
        assert_eq!(read_prompt(&mut stream), "", "{label}: nothing follows but the end");
        assert_eq!(parent.telemetry().refusals.get(label), 1, "{label}");
    }
}

#[test]
fn old_and_new_versions_are_answered_as_they_understand() {
    let parent = TestParent::start();
    let cases = [
        (0, "Hit me baby, push them over..."),
        (1, "Hit me baby, push them over..."),
        (2, "Hit me baby, push them over and bring the host labels..."),
        (3, "Hit me baby, push them over with the version=3"),
        (4, "Hit me baby, push them over with the version=4"),
        (5, "Hit me baby, push them over with the version=5"),
        (64, "Hit me baby, push them over with the version=64"),
        // A 1.37.1 child, with compression and without: all it offers.
        (16376, "Hit me baby, push them over with the version=16320"),
        (15352, "Hit me baby, push them over with the version=15296"),
        // A 2.9.0 child: LZ4 comes first in our order.
        (66912248, "Hit me baby, push them over with the version=54853568"),
    ];
    for (number, (version, words)) in cases.into_iter().enumerate() {
        let name = format!("version-{number}");
        let (_stream, answer) = greet(parent.address, &request(&parent, &name, guid_of(&name), version));
        assert_eq!(answer, words, "version {version}");
    }
}

#[test]
fn a_request_may_come_a_byte_at_a_time() {
    let parent = TestParent::start();
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.set_nodelay(true).expect("no delay");
    for byte in encode_request(&request(&parent, "slow", guid_of("slow"), V1)) {
        stream.write_all(&[byte]).expect("sent");
    }
    assert_eq!(read_prompt(&mut stream), format!("Hit me baby, push them over with the version={V1}"));
}

#[test]
fn a_host_that_streams_already_keeps_its_connection() {
    let parent = TestParent::start();
    let _first = Child::connect(&parent, "twin", V1);
    let (_, answer) = greet(parent.address, &request(&parent, "twin", guid_of("twin"), V1));
    assert_eq!(answer, "This GUID is already streaming to this server");
    assert_eq!(parent.telemetry().refusals.get("already_streaming"), 1);
}

#[test]
fn a_connection_that_was_silent_for_half_a_minute_gives_way() {
    let (parent, clock) = TestParent::at(1_000_000_000_000_000);
    let mut first = Child::connect(&parent, "twin", V1);
    clock.fetch_add(31_000_000, std::sync::atomic::Ordering::Relaxed);
    let _second = Child::connect(&parent, "twin", V1);
    assert!(first.is_closed_by_parent());
    assert_eq!(parent.telemetry().disconnections.get("replaced"), 1);
}

#[test]
fn requests_that_come_too_fast_are_told_to_come_back() {
    let change = |config: &mut Config| {
        config.web.accept_a_streaming_request_every = std::time::Duration::from_secs(3600);
    };
    let parent = TestParent::with(Clock::System, change);
    let _first = Child::connect(&parent, "one", V1);
    let (_, answer) = greet(parent.address, &request(&parent, "two", guid_of("two"), V1));
    assert_eq!(answer, "The server is too busy now to accept this request. Try later.");
}

#[test]
fn a_key_lets_in_as_many_hosts_as_it_may() {
    let parent = TestParent::with(Clock::System, |config| {
        config.streaming.sections.iter_mut().for_each(|section| section.maximum_hosts = Some(2));
    });
    let first = Child::connect(&parent, "one", V1);
    let _second = Child::connect(&parent, "two", V1);
    let (_, answer) = greet(parent.address, &request(&parent, "three", guid_of("three"), V1));
    assert_eq!(answer, "The server is too busy now to accept this request. Try later.");
    assert_eq!(parent.telemetry().refusals.get("too_many_hosts"), 1);
    // One that streams already is told so, not that there are too many.
    let (_, answer) = greet(parent.address, &request(&parent, "two", guid_of("two"), V1));
    assert_eq!(answer, "This GUID is already streaming to this server");
    drop(first);
    parent.wait("its place to be free", |parent| {
        let (_, answer) = greet(parent.address, &request(parent, "three", guid_of("three"), V1));
        answer.starts_with("Hit me baby")
    });
}

#[test]
fn an_address_that_may_not_stream_gets_a_page() {
    let parent = TestParent::with(Clock::System, |config| {
        config.web.allow.streaming = SimplePattern::new("10.*", WHITE_SPACE);
    });
    let (_, answer) = greet(parent.address, &request(&parent, "h", guid_of("h"), V1));
    let response = parse_response(answer.as_bytes());
    assert_eq!(response.status, 403);
    assert!(response.text().starts_with("You are not allowed to access this resource."));
}

#[test]
fn a_tls_client_is_let_go_and_counted() {
    let parent = TestParent::start();
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(b"\x16\x03\x01\x02\x00\x01").expect("sent");
    assert_eq!(read_prompt(&mut stream), "");
    assert_eq!(parent.telemetry().dropped.get("tls_not_configured"), 1);
}
