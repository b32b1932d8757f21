//! Hosts on their way through a proxy: real children before it, a parent of either make behind it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use mainstem::config::sending::SendingOptions;
use mainstem::config::{BindAddress, Config, MemoryMode, ParentKey};
use mainstem::runtime::clock::Clock;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::handshake::Reply;
use serde_json::json;

use crate::child::{Child, V1, V2, guid_of};
use crate::harness::{PATIENCE, TestParent, read_prompt, wait_for};
use crate::peer::{Netdata, compare, free_port, now};

const KEY: &str = "77777777-6666-4555-8444-333333333333";
/// Windows begin and end at multiples of all intervals.
const WINDOW_S: i64 = 30;
/// After the first connection; see the fixture.
const SETTLED_AFTER_S: i64 = 14;
const STORED_AFTER_S: i64 = 8;

/// Sends every host to this parent.
pub(crate) fn send_to(config: &mut Config, destination: &str, key: &str) {
    config.streaming.all.sending = SendingOptions {
        enabled: Some(true),
        destination: Some(destination.to_owned()),
        api_key: Some(ParentKey(key.to_owned())),
        charts: None,
    };
}

fn proxy(mode: MemoryMode, destination: &str, key: &str, compression: bool) -> TestParent {
    TestParent::with(Clock::System, |config| {
        config.database.mode = mode;
        config.streaming.all.compression = Some(compression);
        send_to(config, destination, key);
    })
}

/// Links of a proxy that stream.
pub(crate) fn links(proxy: &TestParent) -> u64 {
    proxy.telemetry().total(|shard| &shard.links)
}

/// A parent at the end of the way.
enum Far {
    Mainstem(Box<TestParent>),
    Netdata { parent: Netdata, _directory: tempfile::TempDir },
}

impl Far {
    fn netdata() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let parent = Netdata::parent(free_port(), directory.path(), KEY, &[]);
        wait_for("the parent to listen", PATIENCE, &parent.api, |api| {
            std::net::TcpStream::connect(api).is_ok()
        });
        Self::Netdata { parent, _directory: directory }
    }

    fn address(&self) -> SocketAddr {
        match self {
            Self::Mainstem(parent) => parent.address,
            Self::Netdata { parent, .. } => parent.api,
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Mainstem(parent) => &parent.key,
            Self::Netdata { .. } => KEY,
        }
    }
}

/// A real child through a proxy of this mode.
fn check(far: &Far, mode: MemoryMode, compression: &str) {
    let proxy = proxy(mode, &far.address().to_string(), far.key(), compression == "yes");
    check_through(&proxy, far.address(), compression);
}

/// A real child through a proxy; what the far parent then has equals what the child has. It lives as long as what is returned.
pub(crate) fn check_through(
    proxy: &TestParent,
    far: SocketAddr,
    compression: &str,
) -> (Netdata, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let child = Netdata::child(directory.path(), &proxy.key, proxy.address, compression);
    proxy.wait("a link", |proxy| links(proxy) == 1);

    let first = (now() + SETTLED_AFTER_S).div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S;
    let last = first + WINDOW_S;
    // Real time has to pass: a real child samples a real clock.
    std::thread::sleep(Duration::from_secs((last + STORED_AFTER_S - now()) as u64));

    compare(child.api, far, first, last);
    assert_eq!(links(proxy), 1);
    assert_eq!(proxy.telemetry().link_ends.get("closed_by_parent"), 0, "one link all the time");
    (child, directory)
}

#[test]
fn a_headless_proxy_passes_a_real_child_on_to_a_netdata_parent() {
    check(&Far::netdata(), MemoryMode::None, "yes");
}

#[test]
fn a_headless_proxy_passes_a_real_child_on_in_plain_text() {
    check(&Far::netdata(), MemoryMode::None, "no");
}

#[test]
fn a_proxy_with_rows_in_memory_passes_a_real_child_on_to_a_netdata_parent() {
    check(&Far::netdata(), MemoryMode::Ram, "yes");
}

#[test]
fn a_proxy_with_a_database_passes_a_real_child_on_to_a_netdata_parent() {
    check(&Far::netdata(), MemoryMode::Dbengine, "yes");
}

#[test]
fn a_headless_proxy_passes_a_real_child_on_to_a_parent_of_its_kind() {
    check(&Far::Mainstem(Box::new(TestParent::start())), MemoryMode::None, "yes");
}

#[test]
fn a_proxy_with_a_database_passes_a_real_child_on_to_a_parent_of_its_kind() {
    check(&Far::Mainstem(Box::new(TestParent::start())), MemoryMode::Dbengine, "no");
}

#[test]
fn a_real_child_comes_through_two_proxies() {
    let last = TestParent::start();
    let (address, key) = (last.address, last.key.clone());
    let middle = Box::new(proxy(MemoryMode::None, &address.to_string(), &key, true));
    let directory = tempfile::tempdir().expect("a directory");
    let first = proxy(MemoryMode::Ram, &middle.address.to_string(), &middle.key, true);
    let child = Netdata::child(directory.path(), &first.key, first.address, "yes");
    middle.wait("the second link", |middle| links(middle) == 1);

    let begin = (now() + SETTLED_AFTER_S).div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S;
    let end = begin + WINDOW_S;
    std::thread::sleep(Duration::from_secs((end + STORED_AFTER_S - now()) as u64));
    compare(child.api, address, begin, end);
    let nodes = last.json("/api/v2/nodes");
    let node = nodes["nodes"].as_array().expect("nodes").iter().find(|node| node["hostname"] == "child");
    assert_eq!(node.expect("the host")["hops"], 3);
}

/// What children from 2.0 on can do, as far as paths are concerned.
const V2_WITH_PATHS: u32 = V2 + (1 << 25);

#[test]
fn the_path_of_a_host_grows_by_an_agent_a_hop_and_a_loop_over_two_is_refused() {
    let last = TestParent::start();
    let middle = proxy(MemoryMode::None, &last.address.to_string(), &last.key, true);
    let first = proxy(MemoryMode::None, &middle.address.to_string(), &middle.key, true);
    let mut child = Child::connect(&first, "far-off", V2_WITH_PATHS);
    first.wait("a link", |first| links(first) == 1);
    middle.wait("a link", |middle| links(middle) == 1);
    let element = |guid: &str, hops: u32| {
        json!({
            "version": 1, "hostname": "x", "host_id": guid, "node_id": null, "claim_id": null, "hops": hops,
            "since": 1_795_343_770, "first_time_t": 1_795_343_770, "start_time": 0, "shutdown_time": 0,
            "capabilities": ["V1"], "flags": [],
        })
    };
    let say = |child: &mut Child, elements: &[serde_json::Value]| {
        let path = json!({"version": 1, "streaming_path": elements});
        child.send(&format!("JSON STREAM_PATH\n{path}\nJSON_PAYLOAD_END\n"));
    };
    let host = guid_of("far-off").to_string();
    say(&mut child, &[element(&host, 0)]);
    let agents = |parent: &TestParent| -> Vec<String> {
        let path = parent.json("/host/far-off/api/v3/stream_path");
        let all = path["streaming_path"].as_array().expect("a path");
        all.iter()
            .map(|agent| format!("{} {}", agent["hops"], agent["host_id"].as_str().expect("an id")))
            .collect()
    };
    let mut expected = vec![format!("0 {host}")];
    let ids = [&first, &middle, &last].map(|parent| parent.machine_guid);
    expected.extend(ids.iter().enumerate().map(|(index, id)| format!("{} {id}", index + 1)));
    last.wait("the whole path", |last| agents(last) == expected);
    middle.wait("whom it goes on to", |middle| agents(middle) == expected);

    // The same host, said to have come through the last parent before: by the time it is there again, it is a loop.
    let mut again = Child::connect(&first, "round", V2_WITH_PATHS);
    middle.wait("a second link", |middle| links(middle) == 2);
    say(&mut again, &[element(&guid_of("round").to_string(), 0), element(&ids[2].to_string(), 0)]);
    last.wait("the loop", |last| last.telemetry().disconnections.get("loop") >= 1);
}

/// A parent at this address, whose state is in this directory.
fn parent_at(directory: &std::path::Path, address: SocketAddr) -> TestParent {
    TestParent::within(directory, Clock::System, |config| {
        let BindAddress::Tcp { port, .. } = &mut config.web.bind[0].address else {
            unreachable!("a TCP port")
        };
        *port = address.port();
    })
}

/// A window to compare that is long enough for an outage of so many seconds in its middle, unix seconds.
pub(crate) fn window(outage_s: i64) -> (i64, i64) {
    let first = (now() + SETTLED_AFTER_S).div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S;
    (first, first + (outage_s + 20).div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S)
}

pub(crate) fn sleep_until(second: i64) {
    std::thread::sleep(Duration::from_secs((second - now()).max(0) as u64));
}

/// `OUTAGE_SECONDS` (9) says how long a parent is away.
fn outage_s() -> i64 {
    std::env::var("OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(9)
}

/// The far parent is away for some seconds, in the middle of the window that is compared.
fn check_outage(mode: MemoryMode) {
    let (state, address) = (tempfile::tempdir().expect("a directory"), free_port());
    let far = parent_at(state.path(), address);
    let proxy = TestParent::with(Clock::System, |config| {
        config.database.mode = mode;
        config.streaming.link.reconnect_delay = Duration::from_secs(1);
        send_to(config, &address.to_string(), &far.key);
    });
    let directory = tempfile::tempdir().expect("a directory");
    let child = Netdata::child(directory.path(), &proxy.key, proxy.address, "yes");
    proxy.wait("a link", |proxy| links(proxy) == 1);

    let (first, last) = window(outage_s());
    sleep_until(first + 6);
    drop(far);
    proxy.wait("the end of the link", |proxy| links(proxy) == 0);
    sleep_until(first + 6 + outage_s());
    let far = parent_at(state.path(), address);
    proxy.wait("a new link", |proxy| links(proxy) == 1);
    sleep_until(last + STORED_AFTER_S);
    compare(child.api, far.address, first, last);
}

#[test]
fn a_proxy_with_a_database_fills_the_gap_of_its_parents_absence() {
    check_outage(MemoryMode::Dbengine);
}

#[test]
fn a_proxy_with_rows_in_memory_fills_the_gap_of_its_parents_absence() {
    check_outage(MemoryMode::Ram);
}

/// A listener that gives each connection's request this answer, and keeps the connections.
fn bad_parent(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 8192];
            // Whoever leaves before has been answered enough.
            let _ = stream.read(&mut request).and_then(|_| stream.write_all(&answer));
            kept.push(stream);
        }
    });
    address
}

#[test]
fn a_parent_that_refuses_or_is_none_is_passed_over_and_the_next_one_taken() {
    let far = TestParent::start();
    let refusals = [
        (Reply::NotPermitted, "not_permitted"),
        (Reply::AlreadyStreaming, "already_streaming"),
        (Reply::Localhost, "localhost"),
        (Reply::VirtualNode, "virtual_node"),
        (Reply::Busy, "busy"),
        (Reply::InternalError, "internal_error"),
        (Reply::Initializing, "initializing"),
    ];
    let mut bad: Vec<(Vec<u8>, &str)> =
        refusals.into_iter().map(|(reply, label)| (reply.encode(), label)).collect();
    bad.push((b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), "not_understood"));
    let labels: Vec<&str> = bad.iter().map(|(_, label)| *label).collect();
    let mut destinations: Vec<String> =
        bad.into_iter().map(|(answer, _)| bad_parent(answer).to_string()).collect();
    // Nobody listens there.
    destinations.push(free_port().to_string());
    destinations.push(far.address.to_string());
    let proxy = proxy(MemoryMode::None, &destinations.join(" "), &far.key, true);
    let _child = Child::connect(&proxy, "passed-on", V1);
    proxy.wait("a link", |proxy| links(proxy) == 1);
    for label in labels.into_iter().chain(["cannot_connect"]) {
        assert_eq!(proxy.telemetry().link_ends.get(label), 1, "{label}");
    }
    far.wait("the host", |far| far.telemetry().total(|shard| &shard.connections) == 1);
    let nodes = proxy.json("/api/v2/nodes");
    let sending = &nodes["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .find(|node| node["hostname"] == "passed-on")
        .expect("the host")["sending"];
    assert_eq!(sending["to"], far.address.to_string());
    assert_eq!(sending["streaming"], true);
    assert!(
        sending["last_reason"].as_str().is_some_and(|reason| reason.contains("not understood")),
        "{sending}"
    );
}

#[test]
fn a_host_is_not_sent_to_itself() {
    let address = free_port();
    let state = tempfile::tempdir().expect("a directory");
    let proxy = TestParent::within(state.path(), Clock::System, |config| {
        let BindAddress::Tcp { port, .. } = &mut config.web.bind[0].address else {
            unreachable!("a TCP port")
        };
        *port = address.port();
        let key = std::fs::read_to_string(state.path().join("api.key")).expect("its key");
        send_to(config, &address.to_string(), key.trim());
    });
    let _child = Child::connect(&proxy, "around", V1);
    proxy.wait("a refusal", |proxy| proxy.telemetry().link_ends.get("already_streaming") == 1);
    proxy.wait("its child alone", |proxy| proxy.telemetry().total(|shard| &shard.connections) == 1);
}

#[test]
fn a_parent_that_does_not_read_costs_its_link_and_nothing_else() {
    let deaf = bad_parent(Reply::Accepted(Capabilities::VCAPS).encode());
    let proxy = TestParent::with(Clock::System, |config| {
        config.database.mode = MemoryMode::None;
        config.streaming.link.buffer_bytes = 256 << 10;
        config.streaming.link.reconnect_delay = Duration::from_secs(1);
        send_to(config, &deaf.to_string(), KEY);
    });
    let mut child = Child::connect(&proxy, "busy", V1);
    let mut other = Child::connect(&proxy, "other", V1);
    proxy.wait("links", |proxy| links(proxy) == 2);
    let dimensions: Vec<String> = (0..200).map(|number| format!("d{number}")).collect();
    let define = |id: &str| {
        let lines: String =
            dimensions.iter().map(|id| format!("DIMENSION \"{id}\" \"\" \"absolute\" 1 1 \"\"\n")).collect();
        format!("CHART \"{id}\" \"\" \"t\" \"u\" \"f\" \"c\" \"line\" 1 1 \"\" \"p\" \"m\"\n{lines}")
    };
    child.send(&define("a.b"));
    other.send(&define("a.b"));
    let row: String = dimensions.iter().map(|id| format!("SET \"{id}\" = 1234567890\n")).collect();
    let row = format!("BEGIN \"a.b\" 1000000\n{row}END\n");
    for _ in 0..2_000 {
        // The parent before the child reads all of it: nothing here waits for the deaf one.
        child.send(&row);
    }
    other.send(&row.repeat(3));
    proxy.wait("the end of the link", |proxy| proxy.telemetry().link_ends.get("buffer_full") >= 1);
    let values = 200 * (2_000 + 3);
    proxy.wait("all that was sent", |proxy| proxy.telemetry().total(|shard| &shard.commands) >= values);
    proxy.wait("both children", |proxy| proxy.telemetry().total(|shard| &shard.connections) == 2);
}

pub(crate) const V2_WITHOUT_REPLICATION: u32 = V2 - 4096;

pub(crate) fn ready_made(time: i64, value: f64) -> String {
    format!("BEGIN2 'a.b' 0x1 0x{time:X} #\nSET2 'd' 0x1 {value} A\nEND2\n")
}

pub(crate) const CHART: &str = "CHART \"a.b\" \"\" \"t\" \"u\" \"f\" \"c\" \"line\" 1 1 \"\" \"p\" \"m\"\nDIMENSION \"d\" \"\" \"incremental\" 8 1000 \"\"\n";

#[test]
fn what_a_proxy_has_only_on_disk_reaches_a_parent_that_never_had_it() {
    let rows = 1_000;
    let first = now() - rows - 100;
    let value = |number: i64| number as f64 + 0.5;
    let state = tempfile::tempdir().expect("a directory");
    {
        let before = TestParent::within(state.path(), Clock::System, |_| {});
        let mut child = Child::connect(&before, "old", V2_WITHOUT_REPLICATION);
        child.send(CHART);
        for number in 0..rows {
            child.send(&ready_made(first + number, value(number)));
        }
        before.wait("all rows", |before| before.telemetry().total(|shard| &shard.rows) == rows as u64);
    }
    let far = TestParent::start();
    let proxy = TestParent::within(state.path(), Clock::System, |config| {
        send_to(config, &far.address.to_string(), &far.key);
    });
    let mut child = Child::connect(&proxy, "old", V2_WITHOUT_REPLICATION);
    proxy.wait("a link", |proxy| links(proxy) == 1);
    child.send(CHART);
    let mut sent = rows;
    // The chart is defined before the first row that comes after its past is known.
    far.wait("all rows", |far| {
        if sent < rows + 50 {
            child.send(&ready_made(first + sent, value(sent)));
            sent += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        sent == rows + 50 && far.telemetry().total(|shard| &shard.rows) == sent as u64
    });
    let (after, before) = (first - 1, first + rows + 49);
    let answer = far.json(&format!(
        "/host/old/api/v1/data?chart=a.b&after={after}&before={before}&format=json&options=natural-points"
    ));
    let found: std::collections::BTreeMap<i64, f64> = answer["data"]
        .as_array()
        .expect("rows")
        .iter()
        .filter_map(|row| Some((row[0].as_i64()?, row[1].as_f64()?)))
        .collect();
    let expected = (0..rows + 50).map(|number| (first + number, value(number))).collect();
    assert_eq!(found, expected);
}

#[test]
fn samples_go_to_a_parent_of_collected_values_as_what_it_will_store() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let proxy = proxy(MemoryMode::None, &address.to_string(), KEY, true);
    let mut child = Child::connect(&proxy, "new", V2_WITHOUT_REPLICATION);
    let (mut link, _) = listener.accept().expect("a link");
    let request = read_prompt(&mut link);
    assert!(request.starts_with("STREAM key=77777777"), "{request}");
    link.write_all(&Reply::Accepted(Capabilities::VCAPS).encode()).expect("answered");
    proxy.wait("a link", |proxy| links(proxy) == 1);
    let time = now() - 100;
    child.send(CHART);
    for (after, value) in [(0, 1.5), (1, -2.25), (4, 0.000_001), (5, 7.0)] {
        child.send(&ready_made(time + after, value));
    }
    let expected = "CHART \"a.b\" \"\" \"t\" \"u\" \"f\" \"c\" \"line\" 1 1 \"   \" \"p\" \"m\"\n\
         DIMENSION \"d\" \"d\" \"absolute\" 1 1000000 \"  \"\n\
         BEGIN \"a.b\" 0\nSET \"d\" = 1500000\nEND\n\
         BEGIN \"a.b\" 1000000\nSET \"d\" = -2250000\nEND\n\
         BEGIN \"a.b\" 1000000\nEND\nBEGIN \"a.b\" 1000000\nEND\n\
         BEGIN \"a.b\" 1000000\nSET \"d\" = 1\nEND\n\
         BEGIN \"a.b\" 1000000\nSET \"d\" = 7000000\nEND\n";
    let mut text = String::new();
    while text.len() < expected.len() {
        text.push_str(&read_prompt(&mut link));
    }
    assert_eq!(text, expected);

    child.send("CHART \"a.b\" \"\" \"t\" \"u\" \"f\" \"c\" \"line\" 1 1 \"obsolete\" \"p\" \"m\"\n");
    assert!(read_prompt(&mut link).contains("\"obsolete"), "its end is passed on without a row");
}

#[test]
fn a_proxy_with_a_database_fills_the_gap_of_a_netdata_parents_absence() {
    let (state, address) = (tempfile::tempdir().expect("a directory"), free_port());
    let start = || {
        let parent = Netdata::parent(address, state.path(), KEY, &[]);
        let listens = |address: &SocketAddr| std::net::TcpStream::connect(address).is_ok();
        wait_for("the parent to listen", PATIENCE, &address, listens);
        parent
    };
    let far = start();
    let proxy = TestParent::with(Clock::System, |config| {
        config.streaming.link.reconnect_delay = Duration::from_secs(1);
        send_to(config, &address.to_string(), KEY);
    });
    let directory = tempfile::tempdir().expect("a directory");
    let child = Netdata::child(directory.path(), &proxy.key, proxy.address, "yes");
    proxy.wait("a link", |proxy| links(proxy) == 1);

    let (first, last) = window(outage_s());
    sleep_until(first + 5);
    drop(far);
    proxy.wait("the end of the link", |proxy| links(proxy) == 0);
    sleep_until(first + 5 + outage_s());
    let far = start();
    wait_for("a new link", 2 * PATIENCE, &proxy, |proxy| links(proxy) == 1);
    sleep_until((last + STORED_AFTER_S).max(now() + STORED_AFTER_S));
    compare(child.api, far.api, first, last);
}
