//! How hosts are, as a running parent tells operators: over HTTP, and by the command.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use mainstem::config::{MemoryMode, Rights, SimplePattern};
use mainstem::runtime::clock::Clock;
use serde_json::Value;

use crate::child::{Child, V2, greet, guid_of, request};
use crate::command::{Running, configuration, utf8};
use crate::harness::{Response, TestParent, request as http};
use crate::tls::Authority;

const START: i64 = 1_795_342_200;
const CHART: &str = "CHART \"a.b\" \"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                     DIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n";

fn row(time: i64) -> String {
    format!("BEGIN2 'a.b' 1 {time} #\nSET2 'd' 1 # A\nEND2\n")
}

/// The hosts of an answer, a line each: name and state.
fn states(parent: &TestParent, query: &str) -> Vec<String> {
    let nodes = parent.json(&format!("/api/v2/nodes{query}"));
    let nodes = nodes["nodes"].as_array().expect("an array").iter();
    let text = |node: &Value, member: &str| node[member].as_str().expect("a text").to_owned();
    nodes.map(|node| format!("{} {}", text(node, "hostname"), text(node, "state"))).collect()
}

fn node(parent: &TestParent, hostname: &str) -> Value {
    parent.json(&format!("/api/v2/nodes?nodes={hostname}"))["nodes"][0].clone()
}

fn post(parent: &TestParent, node: &str, token: &str) -> Response {
    http(
        parent.address,
        &format!(
            "POST /api/v2/nodes/forget?node={node} HTTP/1.1\r\nHost: parent\r\nX-Auth-Token: {token}\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n"
        ),
    )
}

fn connections(parent: &TestParent) -> u64 {
    parent.telemetry().total(|shard| &shard.connections)
}

fn rows(parent: &TestParent) -> u64 {
    parent.telemetry().total(|shard| &shard.rows)
}

#[test]
fn hosts_are_listed_as_live_stale_and_offline() {
    let time = Arc::new(AtomicI64::new(START * 1_000_000));
    let parent = TestParent::with(Clock::Manual(Arc::clone(&time)), |_| {});
    let mut children: Vec<Child> =
        ["c-live", "a-stale", "b-offline"].map(|name| Child::connect(&parent, name, V2)).into();
    for child in &mut children {
        child.send(&(CHART.to_owned() + &row(START)));
    }
    children[0].send("LABEL \"_is_ephemeral\" = 1 \"true\"\nLABEL \"room\" = 2 \"four\"\nOVERWRITE labels\n");
    parent.wait("three rows", |parent| rows(parent) == 3);
    // A socket that is dropped with unread bytes is reset.
    children[2].stream.shutdown(std::net::Shutdown::Write).expect("still open");
    parent.wait("the end of one", |parent| connections(parent) == 2);
    let stale = "a-stale stale";
    time.store((START + 40) * 1_000_000, Relaxed);
    children[0].send(&row(START + 39));
    parent.wait("a row", |parent| rows(parent) == 4);

    let all = [stale, "b-offline offline", "c-live live", "parent localhost"];
    assert_eq!(states(&parent, ""), all);
    assert_eq!(states(&parent, "?state=stale"), [stale]);
    assert_eq!(states(&parent, "?state=stale,offline"), [stale, "b-offline offline"]);
    assert_eq!(states(&parent, "?nodes=c-*"), ["c-live live"]);
    assert_eq!(states(&parent, &format!("?nodes={}", guid_of("a-stale"))), [stale]);
    assert_eq!(states(&parent, "?nodes=!c-*%7C*&state=live"), Vec::<String>::new());
    assert_eq!(parent.get("/api/v2/nodes?state=dead").status, 400);

    let live = node(&parent, "c-live");
    assert_eq!(live["machine_guid"], guid_of("c-live").to_string());
    assert_eq!((&live["hops"], &live["version"]), (&1.into(), &"v1.37.1".into()));
    assert_eq!((&live["os"], &live["memory_mode"]), (&"linux".into(), &"dbengine".into()));
    assert_eq!((&live["ephemeral"], &live["labels"]["room"]), (&true.into(), &"four".into()));
    assert_eq!((&live["last_seen"], &live["lag_seconds"]), (&(START + 40).into(), &1.into()));
    assert_eq!(live["connection"]["tls"], false);
    assert_eq!(live["connection"]["samples"], 2);
    let capabilities = live["connection"]["capabilities"].as_array().expect("an array");
    assert!(capabilities.contains(&"INTERPOLATED".into()), "{capabilities:?}");
    assert_eq!(live["retention"]["first"], START);
    assert_eq!(
        (&live["retention"]["last"], &live["retention"]["sampled_charts"]),
        (&(START + 39).into(), &1.into())
    );
    let offline = node(&parent, "b-offline");
    assert!(offline.get("connection").is_none());
    assert_eq!(offline["last_disconnect"]["reason"], "the child closed the connection");
    assert_eq!((&offline["disconnects"], &offline["last_seen"]), (&1.into(), &START.into()));

    // What Netdata's dashboard knows of them.
    let info = parent.json("/api/v1/info");
    assert_eq!(info["mirrored_hosts"][0], "parent");
    for host in info["mirrored_hosts_status"].as_array().expect("an array") {
        let hostname = host["hostname"].as_str().expect("a name");
        assert_eq!(host["reachable"], hostname != "b-offline", "{hostname}");
        assert!(host["claim_id"].is_null() && host["node_id"].is_null());
        if hostname != "parent" {
            assert_eq!(host["guid"], guid_of(hostname).to_string());
        }
    }

    parent.wait("the figures", |parent| {
        let metrics = parent.get("/metrics").text();
        let sum = |name: &str| {
            let lines = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
            lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
        };
        ["mainstem_live_hosts", "mainstem_stale_hosts", "mainstem_offline_hosts"].map(sum) == [1, 1, 1]
    });
}

#[test]
fn a_second_connection_with_a_machine_guid_is_told_of() {
    let (parent, time) = TestParent::at(START * 1_000_000);
    let first = Child::connect(&parent, "one", V2);
    let second = request(&parent, "copy", guid_of("one"), V2);
    let (stream, prompt) = greet(parent.address, &second);
    assert!(prompt.contains("already"), "{prompt}");
    let duplicate = node(&parent, "one")["duplicate"].clone();
    assert_eq!((&duplicate["outcome"], &duplicate["hostname"]), (&"refused".into(), &"copy".into()));
    assert_eq!(duplicate["peer"], stream.local_addr().expect("an address").to_string());
    assert_eq!(duplicate["existing"], first.stream.local_addr().expect("an address").to_string());
    time.store((START + 31) * 1_000_000, Relaxed);
    let (_stream, prompt) = greet(parent.address, &second);
    assert!(prompt.starts_with("Hit me baby"), "{prompt}");
    parent.wait("the new name", |parent| states(parent, "?nodes=copy") == ["copy live"]);
    let node = node(&parent, "copy");
    assert_eq!((&node["duplicate"]["outcome"], &node["disconnects"]), (&"took_over".into(), &1.into()));
    let metrics = parent.get("/metrics").text();
    for outcome in ["refused", "took_over"] {
        let line = format!("mainstem_duplicate_connections_total{{outcome=\"{outcome}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

/// A parent on a state directory of the test's, and its management key.
fn managed(state: &std::path::Path, allow: &str) -> (TestParent, String) {
    let parent = TestParent::within(state, Clock::System, |config| {
        config.web.allow.management = SimplePattern::new(allow, " ");
    });
    let key = std::fs::read_to_string(state.join("netdata.api.key")).expect("a key").trim().to_owned();
    (parent, key)
}

#[test]
fn a_host_is_forgotten_by_those_who_may_and_only_while_it_is_away() {
    let state = tempfile::tempdir().expect("a directory");
    let (parent, key) = managed(state.path(), "localhost");
    let now = Clock::System.now();
    let mut away = Child::connect(&parent, "away", V2);
    away.send(&(CHART.to_owned() + &row(now)));
    let mut stays = Child::connect(&parent, "stays", V2);
    stays.send(&(CHART.to_owned() + &row(now)));
    parent.wait("a row of both", |parent| rows(parent) == 2 && connections(parent) == 2);
    drop(away);
    parent.wait("the end of one", |parent| connections(parent) == 1);
    parent.wait("both to be listed", |parent| states(parent, "").len() == 3);

    assert_eq!(post(&parent, "away", "").status, 403);
    assert_eq!(post(&parent, "away", &parent.key).status, 403);
    let get = parent.get("/api/v2/nodes/forget?node=away");
    assert_eq!((get.status, get.header("allow")), (405, "POST"));
    assert_eq!(post(&parent, "", &key).status, 400);
    assert_eq!(post(&parent, "nobody", &key).status, 404);
    assert_eq!(post(&parent, "parent", &key).status, 409);
    let connected = post(&parent, "stays", &key);
    assert!(connected.status == 409 && connected.text().contains("is connected"), "{}", connected.text());
    assert_eq!(states(&parent, "").len(), 3, "nothing has happened yet");

    let forgotten = post(&parent, &guid_of("away").to_string(), &key);
    assert!(forgotten.status == 200, "{}", forgotten.text());
    assert!(forgotten.text().contains("is forgotten, with 1 charts"), "{}", forgotten.text());
    parent.wait("its end", |parent| states(parent, "") == ["parent localhost", "stays live"]);
    assert_eq!(parent.get("/host/away/api/v1/charts").status, 404);
    parent.wait("the figure", |parent| parent.telemetry().total(|shard| &shard.forgotten_hosts) == 1);
    drop(parent);
    let (parent, again) = managed(state.path(), "10.*");
    assert_eq!(again, key, "a key is made once");
    parent.wait("the other one", |parent| states(parent, "").len() == 2);
    assert_eq!(states(&parent, ""), ["parent localhost", "stays offline"], "also after a restart");
    assert_eq!(post(&parent, "stays", &key).status, 403, "not from this address");
}

#[test]
fn a_port_without_the_right_is_not_managed_through() {
    let parent = TestParent::with(Clock::System, |config| config.web.bind[0].rights = Rights::DASHBOARD);
    assert_eq!(post(&parent, "parent", "").status, 403);
    assert_eq!(parent.get("/api/v2/nodes").status, 200);
    let parent = TestParent::with(Clock::System, |config| config.web.bind[0].rights = Rights::STREAMING);
    assert_eq!(parent.get("/api/v2/nodes").status, 403);
}

fn mainstem(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstem"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_command_lists_hosts_and_forgets_one() {
    let state = tempfile::tempdir().expect("a directory");
    let parent = TestParent::within(state.path(), Clock::System, |config| {
        config.database.mode = MemoryMode::Ram;
    });
    let url = format!("http://{}", parent.address);
    drop(Child::connect(&parent, "gone", V2));
    let mut here = Child::connect(&parent, "here", V2);
    here.send(&(CHART.to_owned() + &row(Clock::System.now())));
    parent.wait("a row", |parent| rows(parent) == 1 && connections(parent) == 1);
    parent.wait("all to be listed", |parent| states(parent, "").len() == 3);

    let listed = mainstem(&["nodes", "--url", &url]);
    let table = text(&listed.stdout);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let line = |name: &str| table.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("HOSTNAME").contains("STATE") && line("here").contains(" live "), "{table}");
    assert!(line("gone").ends_with("the child closed the connection"), "{table}");
    assert!(table.ends_with("1 live, 0 stale, 1 offline\n"), "{table}");
    let json = mainstem(&["nodes", "--stale", "--json", "--url", &url]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(json["nodes"][0]["hostname"], "gone");

    let directory = state.path().to_str().expect("a path of the test's own");
    let forget = mainstem(&["nodes", "forget", "gone", "here", "--url", &url, "--state", directory]);
    assert_eq!(forget.status.code(), Some(1), "one of them is connected");
    assert!(text(&forget.stdout).starts_with("gone ("), "{}", text(&forget.stdout));
    assert!(text(&forget.stderr).contains("here (") && text(&forget.stderr).contains("is connected"));
    let elsewhere = tempfile::tempdir().expect("a directory");
    let elsewhere = elsewhere.path().to_str().expect("a path of the test's own");
    let without = mainstem(&["nodes", "forget", "here", "--url", &url, "--state", elsewhere]);
    assert!(text(&without.stderr).contains("there is no management key in"), "{}", text(&without.stderr));

    drop(parent);
    let nobody = mainstem(&["nodes", "--url", &url]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = text(&nobody.stderr);
    assert!(said.contains(&format!("no parent answers at {url}")) && said.contains("--url"), "{said}");
}

#[test]
fn the_command_speaks_tls_with_the_parent_whose_certificate_it_knows() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("etc");
    let address = configuration(&config);
    let authority = Authority::new();
    let (signed, other) = (authority.sign_for_parent("parent"), authority.sign_for_parent("other"));
    std::fs::create_dir_all(config.join("ssl")).expect("made");
    std::fs::copy(&signed.key_file, config.join("ssl/key.pem")).expect("copied");
    std::fs::copy(&signed.certificate_file, config.join("ssl/cert.pem")).expect("copied");
    let state = directory.path().join("state");
    let places = ["--config", utf8(&config), "--state", utf8(&state)];
    let parent = Running::start(&[&["run"], &places[..]].concat());
    parent.read_to(&format!("listening on {address}"));
    let listed = mainstem(&[&["nodes"], &places[..]].concat());
    let table = text(&listed.stdout);
    assert!(table.ends_with("0 live, 0 stale, 0 offline\n"), "{table}{}", text(&listed.stderr));
    let forget = mainstem(&[&["nodes", "forget", "nobody"], &places[..]].concat());
    assert!(text(&forget.stderr).contains("There is no host nobody"), "{}", text(&forget.stderr));
    let plainly = mainstem(&["nodes", "--url", &format!("http://{address}")]);
    assert!(text(&plainly.stderr).contains("with TLS only"), "{}", text(&plainly.stderr));
    std::fs::copy(&other.certificate_file, config.join("ssl/cert.pem")).expect("copied");
    let stranger = mainstem(&[&["nodes"], &places[..]].concat());
    assert_eq!(stranger.status.code(), Some(1));
    assert!(text(&stranger.stderr).contains("another certificate"), "{}", text(&stranger.stderr));
}
