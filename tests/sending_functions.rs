//! What goes the other way through a proxy: calls of a child's functions, and what is known of the parents behind it.

use std::io::Write;
use std::net::TcpStream;

use mainstem::config::MemoryMode;
use mainstem::runtime::clock::Clock;
use serde_json::{Value, json};

use crate::child::{Child, guid_of};
use crate::functions::{ALL, ask, line, own_element, transaction};
use crate::harness::TestParent;
use crate::peer::Netdata;
use crate::sending::{links, send_to};

const TOP: &str = "/host/child/api/v1/function?function=top%20by:cpu&timeout=30";
const ECHO: &str = "/host/child/api/v1/function?function=synth-echo%20a:1&timeout=5";
const NODE: &str = "33333333-2222-4111-8000-999999999999";

/// A headless proxy before another one before a parent, with a child whose functions the parent knows.
fn chain() -> (TestParent, TestParent, TestParent, Child) {
    let headless = |to: &TestParent| {
        let (address, key) = (to.address.to_string(), to.key.clone());
        TestParent::with(Clock::System, |config| {
            config.database.mode = MemoryMode::None;
            send_to(config, &address, &key);
        })
    };
    let last = TestParent::start();
    let middle = headless(&last);
    let first = headless(&middle);
    let mut child = Child::connect(&first, "child", ALL);
    child.send(
        "FUNCTION GLOBAL \"top\" 60 \"who uses most\" \"top\" 0x8 101 0\n\
         FUNCTION GLOBAL \"secrets\" 60 \"all of them\" \"\" 0x13 102 0\n",
    );
    for proxy in [&first, &middle] {
        proxy.wait("a link", |proxy| links(proxy) == 1);
    }
    chart(&mut child, "a.b", "FUNCTION \"of chart\" 5 \"help\"\n");
    // A parent may list them later than the one that it has sent them on to.
    for parent in [&last, &first] {
        parent.wait("the functions to be listed", |parent| {
            let listed = parent.get("/host/child/api/v1/functions").text();
            ["top", "secrets", "of chart"].iter().all(|name| listed.contains(name))
        });
    }
    (first, middle, last, child)
}

/// Defines a chart and sends a row of it.
fn chart(child: &mut Child, id: &str, functions: &str) {
    // Later than any row that it has.
    let now = crate::peer::now() + functions.len() as i64;
    child.send(&format!(
        "CHART \"{id}\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\n\
         DIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n{functions}\
         CHART_DEFINITION_END 0 0 {now}\nRBEGIN \"{id}\"\nREND 1 0 0 true 0 0 {now}\n\
         BEGIN2 '{id}' 1 {now} #\nSET2 'd' 1 # A\nEND2\n"
    ));
}

#[test]
fn a_function_is_called_through_two_proxies() {
    let (first, _middle, last, mut child) = chain();
    let listed = last.json("/host/child/api/v1/functions");
    assert_eq!(listed, first.json("/host/child/api/v1/functions"), "all of it, as its child said it");
    let asked = ask(&last, TOP);
    let call = line(&mut child, "FUNCTION ");
    let transaction = transaction(&call);
    assert!(
        call.starts_with(&format!("FUNCTION {transaction} 30 \"top by:cpu\" \"0x8\" \"method=api")),
        "{call}"
    );
    let body = "{\"a\":1,\nCHART \"x.y\"\n}\n".to_owned() + &"[0123456789],".repeat(30_000);
    child.send(&format!(
        "FUNCTION_RESULT_BEGIN \"{transaction}\" 202 \"application/json\" 1795342764\n{body}\nFUNCTION_RESULT_END\n"
    ));
    let response = asked.join().expect("no panic");
    assert_eq!((response.status, response.text()), (202, body));
    assert_eq!(response.header("expires"), "Sun, 22 Nov 2026 10:19:24 GMT");
}

#[test]
fn functions_come_and_go_behind_proxies() {
    let (_first, _middle, last, mut child) = chain();
    child.send("FUNCTION_DEL GLOBAL \"secrets\"\nFUNCTION GLOBAL \"new\" 60 \"\" \"\" 0x8 101 0\n");
    chart(&mut child, "a.c", "FUNCTION \"of chart\" 5 \"help\"\n");
    // Of a chart that is known already.
    chart(&mut child, "a.b", "FUNCTION \"of chart\" 5 \"help\"\nFUNCTION \"late\" 5 \"\"\n");
    last.wait("the functions to change", |last| {
        let listed = last.get("/host/child/api/v1/functions").text();
        let charts = &last.json("/host/child/api/v1/charts")["charts"];
        let has = |chart: &str, name: &str| charts[chart]["functions"][name].is_object();
        !listed.contains("secrets")
            && listed.contains("new")
            && has("a.c", "of chart")
            && has("a.b", "late")
            && !has("a.c", "late")
    });
    drop(child);
    last.wait("the host to be gone", |last| last.get(TOP).status == 503);
}

#[test]
fn a_client_of_the_last_parent_that_leaves_cancels_its_call_at_the_child() {
    let (_first, _middle, last, mut child) = chain();
    let mut client = TcpStream::connect(last.address).expect("the parent listens");
    client.write_all(format!("GET {TOP} HTTP/1.1\r\nHost: parent\r\n\r\n").as_bytes()).expect("sent");
    let call = line(&mut child, "FUNCTION ");
    drop(client);
    assert_eq!(line(&mut child, "FUNCTION_"), format!("FUNCTION_CANCEL {}", transaction(&call)));
    // Others are called as before.
    let asked = ask(&last, TOP);
    let transaction = transaction(&line(&mut child, "FUNCTION "));
    child.send(&format!(
        "FUNCTION_RESULT_BEGIN \"{transaction}\" 200 \"text/plain\" 0\nfine\nFUNCTION_RESULT_END\n"
    ));
    assert_eq!(asked.join().expect("no panic").text(), "fine");
}

#[test]
fn calls_that_cannot_be_answered_say_why_to_the_last_parent() {
    let (first, _middle, last, mut child) = chain();
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let asked = ask(&first, TOP);
            line(&mut child, "FUNCTION ");
            asked
        })
        .collect();
    let refused = last.get(TOP);
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("16 calls of functions of this host wait"), "{}", refused.text());
    let asked = ask(&last, TOP);
    drop(child);
    for asked in waiting.into_iter().chain([asked]) {
        assert_eq!(asked.join().expect("no panic").status, 503);
    }
}

#[test]
fn a_parent_says_who_is_behind_us_and_the_child_hears_it() {
    let (first, _middle, last, mut child) = chain();
    let host = own_element();
    child.send(&format!(
        "JSON STREAM_PATH\n{}\nJSON_PAYLOAD_END\n",
        json!({"version": 1, "streaming_path": [host]})
    ));
    let hops = |path: &Value| -> Vec<u64> {
        let elements = path["streaming_path"].as_array().expect("elements");
        elements.iter().filter_map(|element| element["hops"].as_u64()).collect()
    };
    let whole = loop {
        line(&mut child, "JSON STREAM_PATH");
        let told: Value = serde_json::from_str(&line(&mut child, "{")).expect("JSON");
        if hops(&told).len() == 4 {
            break told;
        }
    };
    assert_eq!(hops(&whole), [0, 1, 2, 3]);
    assert_eq!(whole["streaming_path"][3]["host_id"], last.machine_guid.to_string());
    first.wait("the path to be shown", |first| first.json("/host/child/api/v3/stream_path") == whole);
    // What was behind us is forgotten with the link.
    drop(last);
    loop {
        line(&mut child, "JSON STREAM_PATH");
        let told: Value = serde_json::from_str(&line(&mut child, "{")).expect("JSON");
        if hops(&told) == [0, 1, 2] {
            break;
        }
    }
}

#[test]
fn what_a_parents_cloud_calls_the_host_is_shown_and_handed_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let proxy = TestParent::with(Clock::System, |config| {
        config.database.mode = MemoryMode::None;
        send_to(config, &address, "11111111-2222-4333-8444-555555555555");
    });
    let mut child = Child::connect(&proxy, "child", ALL + (1 << 24));
    let (mut link, _) = listener.accept().expect("a link");
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut link, &mut byte).expect("a request");
        request.extend(byte);
    }
    let node = format!("NODE_ID 'c' '{NODE}' 'https://cloud.test'\n");
    let prompt = format!("Hit me baby, push them over with the version={}", (1 << 24) + 448);
    link.write_all(prompt.as_bytes()).expect("sent");
    proxy.wait("the link", |proxy| links(proxy) == 1);
    link.write_all(node.as_bytes()).expect("sent");
    assert_eq!(format!("{}\n", line(&mut child, "NODE_ID")), node);
    proxy.wait("it to be shown", |proxy| {
        proxy.json("/api/v1/info")["mirrored_hosts_status"][1]["node_id"] == NODE
    });
}

/// Netdata itself calls functions for its cloud only; at `far` only we can.
#[test]
fn a_real_child_answers_through_us() {
    let far = TestParent::start();
    let proxy = TestParent::with(Clock::System, |config| {
        config.database.mode = MemoryMode::Ram;
        send_to(config, &far.address.to_string(), &far.key);
    });
    let directory = tempfile::tempdir().expect("a directory");
    let _child = Netdata::child(directory.path(), &proxy.key, proxy.address, "yes");
    far.wait("the function to be known", |far| {
        far.get("/host/child/api/v1/functions").text().contains("synth-echo")
    });
    assert_eq!(far.json(ECHO), json!({"status": 200, "asked": "synth-echo a:1"}));
}

/// A parent that knows the host from an hour of samples, and one that never heard of it.
#[test]
fn of_several_parents_the_one_with_the_newest_samples_is_chosen() {
    let old = TestParent::start();
    let mut before = Child::connect(&old, "child", crate::child::V2);
    chart(&mut before, "a.b", "");
    old.wait("the row", |old| old.telemetry().total(|shard| &shard.rows) == 1);
    drop(before);
    old.wait("the host to be archived", |old| {
        let asked = old.json(&format!("/api/v3/stream_info?machine_guid={}", guid_of("child")));
        asked["ingest_type"] == "archived" && asked["last_time_s"].as_i64() > Some(0)
    });
    // One key for both.
    let key = &old.key;
    let state = tempfile::tempdir().expect("a directory");
    std::fs::write(state.path().join("api.key"), key).expect("written");
    let new = TestParent::within(state.path(), Clock::System, |_| {});
    assert_eq!(new.key, *key);
    let destinations = format!("{} {}", new.address, old.address);
    let proxy = TestParent::with(Clock::System, |config| {
        config.database.mode = MemoryMode::None;
        send_to(config, &destinations, key);
    });
    let _child = Child::connect(&proxy, "child", ALL);
    proxy.wait("a link", |proxy| links(proxy) == 1);
    old.wait("the host", |old| old.telemetry().total(|shard| &shard.connections) == 1);
    assert_eq!(new.telemetry().total(|shard| &shard.connections), 0);
}
