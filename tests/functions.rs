//! Functions and stream paths, through the parent's sockets: raw children that answer, late, in pieces, too much, never;
//! and a real one.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;

use mainstem::config::Rights;
use mainstem::runtime::clock::Clock;
use serde_json::{Value, json};

use crate::child::{Child, V1, V2, guid_of};
use crate::harness::{Response, TestParent, get, read};
use crate::peer::Netdata;

/// V2 and functions, as children before 1.45.
const FUNCTIONS: u32 = V2 + 2048;
/// The same with progress.
const PROGRESS: u32 = FUNCTIONS + (1 << 22);
/// The same with stream paths, and functions that go.
pub(crate) const ALL: u32 = PROGRESS + (1 << 25) + (1 << 28);

/// A connected child with functions; `top` takes 60 s at most.
fn child(parent: &TestParent, ver: u32) -> Child {
    let mut child = Child::connect(parent, "child", ver);
    child.send(
        "FUNCTION GLOBAL \"top\" 60 \"who uses most\" \"top\" 0x8 101 0\n\
         FUNCTION GLOBAL \"secrets\" 60 \"all of them\" \"\" 0x13 102 0\n\
         CHART \"a.b\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nFUNCTION \"of chart\" 5 \"help\"\n",
    );
    parent.wait("the functions to be listed", |parent| {
        let listed = parent.get("/host/child/api/v1/functions");
        listed.status == 200 && listed.text().contains("of chart")
    });
    child
}

/// Asks in the background.
pub(crate) fn ask(parent: &TestParent, path: &str) -> std::thread::JoinHandle<Response> {
    let (address, path) = (parent.address, path.to_owned());
    std::thread::spawn(move || get(address, &path))
}

/// Reads lines of the parent until one begins so.
pub(crate) fn line(child: &mut Child, beginning: &str) -> String {
    let mut text = Vec::new();
    loop {
        let mut byte = [0];
        assert_eq!(
            read(&mut child.stream, &mut byte).expect("a line"),
            1,
            "{}",
            String::from_utf8_lossy(&text)
        );
        match byte {
            [b'\n'] if text.starts_with(beginning.as_bytes()) => {
                return String::from_utf8(text).expect("text");
            }
            [b'\n'] => text.clear(),
            [byte] => text.push(byte),
        }
    }
}

/// The transaction of a call.
pub(crate) fn transaction(line: &str) -> String {
    line.split(' ').nth(1).expect("a transaction").into()
}

const TOP: &str = "/host/child/api/v1/function?function=top%20by:cpu&timeout=30";

#[test]
fn functions_are_listed_as_netdata_lists_them() {
    let parent = TestParent::start();
    let mut child = child(&parent, ALL);
    let listed = parent.json("/host/child/api/v1/functions");
    let expected = json!({
        "of chart": {"help": "help", "timeout": 5, "options": "LOCAL ", "tags": "", "access": "0x0", "priority": 100},
        "secrets": {"help": "all of them", "timeout": 60, "options": "GLOBAL ", "tags": "", "access": "0x13", "priority": 102},
        "top": {"help": "who uses most", "timeout": 60, "options": "GLOBAL ", "tags": "top", "access": "0x8", "priority": 101},
    });
    assert_eq!(listed, expected);
    assert_eq!(parent.json("/host/child/api/v1/info")["functions"], expected);
    let of_chart = json!({"of chart": expected["of chart"]});
    assert_eq!(parent.json("/host/child/api/v1/chart?chart=a.b")["functions"], of_chart);
    child.send(
        "DIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n\
         CHART \"a.c\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nDIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n\
         CHART \"a.d\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nDIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n\
         FUNCTION \"of chart\" 5 \"help\"\n",
    );
    parent.wait("the charts to be listed", |parent| {
        let charts = &parent.json("/host/child/api/v1/charts")["charts"];
        ["a.b", "a.d"].iter().all(|chart| charts[chart]["functions"] == of_chart)
            && charts["a.c"]["functions"] == json!({})
    });
    assert_eq!(parent.json("/api/v1/functions"), json!({}), "the parent has none of its own");
    child.send("FUNCTION_DEL GLOBAL \"secrets\"\n");
    parent.wait("the function to be gone", |parent| {
        !parent.get("/host/child/api/v1/functions").text().contains("secrets")
    });
    drop(child);
    parent.wait("all to be gone", |parent| parent.json("/host/child/api/v1/functions") == json!({}));
    let gone = parent.get(TOP);
    assert_eq!(
        (gone.status, gone.text().as_str()),
        (503, r#"{"status":503,"error_message":"the host is not connected"}"#)
    );
}

#[test]
fn an_answer_is_given_on_as_it_is() {
    let parent = TestParent::start();
    let mut child = child(&parent, FUNCTIONS);
    let asked = ask(&parent, TOP);
    let call = line(&mut child, "FUNCTION ");
    let transaction = transaction(&call);
    assert_eq!(call, format!("FUNCTION {transaction} 30 \"top by:cpu\""));
    let body = "{\"a\":1,\nCHART \"x.y\"\n}\n".to_owned() + &"[0123456789],".repeat(30_000);
    let answer = format!(
        "FUNCTION_RESULT_BEGIN \"{transaction}\" 202 \"application/json\" 1795342764\n{body}\nFUNCTION_RESULT_END\n"
    );
    for piece in answer.as_bytes().chunks(7_001) {
        child.stream.write_all(piece).expect("sent");
        std::thread::yield_now();
    }
    let response = asked.join().expect("no panic");
    assert_eq!((response.status, response.text()), (202, body));
    assert_eq!(response.header("content-type"), "application/json");
    assert_eq!(response.header("expires"), "Sun, 22 Nov 2026 10:19:24 GMT");
    assert_eq!(response.header("content-security-policy"), "sandbox");
    assert_eq!(parent.telemetry().function_calls.get("answered"), 1);
    parent.wait("its chart", |parent| parent.telemetry().total(|shard| &shard.charts) > 0);
    assert_eq!(parent.telemetry().total(|shard| &shard.charts), 1);
}

#[test]
fn a_call_that_cannot_be_made_says_why() {
    let parent = TestParent::start();
    let _child = child(&parent, ALL);
    for (path, status, words) in [
        ("/host/child/api/v1/function", 400, "No function is given."),
        ("/host/child/api/v1/function?function=topmost", 404, "No collector is supplying this function"),
        ("/api/v1/function?function=top", 404, "No collector is supplying this function"),
        (
            "/host/child/api/v1/function?function=secrets",
            403,
            "for users that are signed in, with access 0x13",
        ),
    ] {
        let response = parent.get(path);
        let object: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!((u64::from(response.status), object["status"].as_u64()), (status, Some(status)), "{path}");
        let message = object["error_message"].as_str().expect("words");
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(parent.telemetry().function_calls.get("refused"), 4);
}

#[test]
fn functions_are_for_those_who_may_see_the_dashboard() {
    let parent = TestParent::with(Clock::System, |config| {
        config.web.bind[0].rights = Rights::STREAMING;
    });
    let _child = Child::connect(&parent, "child", ALL);
    for path in ["functions", "function?function=top"] {
        assert_eq!(parent.get(&format!("/host/child/api/v1/{path}")).status, 403, "{path}");
    }
    assert_eq!(parent.get("/host/child/api/v3/stream_path").status, 403);
}

#[test]
fn a_call_that_is_never_answered_ends_when_its_time_is_over_and_progress_gives_it_more() {
    let (parent, clock) = TestParent::at(1_795_342_200_000_000);
    let advance = |seconds: i64| {
        clock.fetch_add(seconds * 1_000_000, std::sync::atomic::Ordering::Relaxed);
    };
    let clock_again = Arc::clone(&clock);
    let mut child = Child::connect(&parent, "child", ALL);
    child.send("FUNCTION GLOBAL \"top\" 60 \"who uses most\" \"top\" 0x8 101 0\n");
    parent.wait("the function to be listed", |parent| {
        clock_again.fetch_add(1_000, std::sync::atomic::Ordering::Relaxed);
        parent.get("/host/child/api/v1/functions").text().contains("top")
    });
    let asked = ask(&parent, TOP);
    let call = line(&mut child, "FUNCTION ");
    let transaction = transaction(&call);
    assert!(
        call.ends_with(" 30 \"top by:cpu\" \"0x8\" \"method=api,role=none,permissions=0x8,ip=127.0.0.1\""),
        "{call}"
    );
    advance(16);
    assert_eq!(line(&mut child, "FUNCTION_"), format!("FUNCTION_PROGRESS {transaction}"));
    let before = parent.received_bytes();
    let progress = format!("FUNCTION_PROGRESS '{transaction}' 1 2\n");
    child.send(&progress);
    parent
        .wait("the progress to be heard", |parent| parent.received_bytes() - before == progress.len() as u64);
    // Without the progress this would be the end.
    advance(20);
    assert_eq!(line(&mut child, "FUNCTION_"), format!("FUNCTION_PROGRESS {transaction}"));
    advance(20);
    assert_eq!(line(&mut child, "FUNCTION_"), format!("FUNCTION_CANCEL {transaction}"));
    let response = asked.join().expect("no panic");
    let expected = r#"{"status":504,"error_message":"the function has not answered within 30 s"}"#;
    assert_eq!((response.status, response.text().as_str()), (504, expected));
    assert_eq!(parent.telemetry().function_calls.get("timed_out"), 1);
}

#[test]
fn a_client_that_leaves_cancels_its_call() {
    let parent = TestParent::start();
    let mut child = child(&parent, ALL);
    let mut client = TcpStream::connect(parent.address).expect("the parent listens");
    client.write_all(format!("GET {TOP} HTTP/1.1\r\nHost: parent\r\n\r\n").as_bytes()).expect("sent");
    let call = line(&mut child, "FUNCTION ");
    drop(client);
    assert_eq!(line(&mut child, "FUNCTION_"), format!("FUNCTION_CANCEL {}", transaction(&call)));
    parent.wait("it to be counted", |parent| parent.telemetry().function_calls.get("client_left") == 1);
}

#[test]
fn a_child_that_leaves_in_the_middle_of_an_answer_leaves_nothing_of_it() {
    let parent = TestParent::start();
    let mut child = child(&parent, ALL);
    let asked = ask(&parent, TOP);
    let call = line(&mut child, "FUNCTION ");
    child.send(&format!(
        "FUNCTION_RESULT_BEGIN \"{}\" 200 \"text/plain\" 0\nhalf an answer\n",
        transaction(&call)
    ));
    drop(child);
    let response = asked.join().expect("no panic");
    assert_eq!((response.status, response.text().contains("not connected")), (503, true));
    assert_eq!(parent.telemetry().function_calls.get("not_available"), 1);
}

#[test]
fn an_answer_without_end_and_one_that_is_too_long_hurt_nobody_else() {
    let parent = TestParent::start();
    let mut child = child(&parent, ALL);
    let asked = ask(&parent, TOP);
    let first = transaction(&line(&mut child, "FUNCTION "));
    child.send(&format!("FUNCTION_RESULT_BEGIN \"{first}\" 200 \"text/plain\" 0\n"));
    for _ in 0..11 {
        child.send(&"x".repeat(1 << 20));
    }
    child.send("\nFUNCTION_RESULT_END\n");
    let response = asked.join().expect("no panic");
    let expected = r#"{"status":502,"error_message":"the function's answer is longer than 10485760 bytes"}"#;
    assert_eq!((response.status, response.text().as_str()), (502, expected));
    // The same connection goes on, and the same function answers.
    let asked = ask(&parent, TOP);
    let second = transaction(&line(&mut child, "FUNCTION "));
    assert_ne!(first, second);
    child.send(&format!("FUNCTION_RESULT_BEGIN \"{second}\" 200 \"\u{1}\" 0\nshort\nFUNCTION_RESULT_END\n"));
    assert_eq!(asked.join().expect("no panic").text(), "short");
}

#[test]
fn calls_at_once_are_bounded_a_child() {
    let parent = TestParent::start();
    let mut child = child(&parent, ALL);
    let waiting: Vec<_> = (0..16)
        .map(|_| {
            let asked = ask(&parent, TOP);
            (asked, transaction(&line(&mut child, "FUNCTION ")))
        })
        .collect();
    assert_eq!(parent.get(TOP).status, 503);
    // Answered in another order than asked.
    for (_, transaction) in waiting.iter().rev() {
        child.send(&format!(
            "FUNCTION_RESULT_BEGIN {transaction} 200 t 0\n{transaction}\nFUNCTION_RESULT_END\n"
        ));
    }
    for (asked, transaction) in waiting {
        assert_eq!(asked.join().expect("no panic").text(), transaction);
    }
}

/// What the host `child` says of itself in a stream path.
pub(crate) fn own_element() -> Value {
    json!({
        "version": 1, "hostname": "child", "host_id": guid_of("child"), "node_id": null, "claim_id": null, "hops": 0,
        "since": 1_795_343_770, "first_time_t": 1_795_343_770, "start_time": 0, "shutdown_time": 0,
        "capabilities": ["V1", "PATHS"], "flags": [],
    })
}

#[test]
fn a_stream_path_goes_back_with_ourselves_and_is_shown() {
    let parent = TestParent::start();
    let mut child = child(&parent, ALL);
    assert_eq!(parent.json("/host/child/api/v3/stream_path"), json!({"version": 1, "streaming_path": []}));
    let host = own_element();
    child.send(&format!(
        "JSON STREAM_PATH\n{}\nJSON_PAYLOAD_END\n",
        json!({"version": 1, "streaming_path": [host]})
    ));
    line(&mut child, "JSON STREAM_PATH");
    let sent: Value = serde_json::from_str(&line(&mut child, "{")).expect("JSON");
    line(&mut child, "JSON_PAYLOAD_END");
    let path = &sent["streaming_path"];
    // The child did not say its hops in its request: it streams itself.
    assert_eq!((&path[0], &path[1]["hops"], &path[1]["hostname"]), (&host, &json!(1), &json!("parent")));
    assert_eq!(path[1]["host_id"], parent.machine_guid.to_string());
    assert!(path[1]["since"].as_i64() > Some(1_795_000_000) && path[1]["first_time_t"].is_i64());
    assert!(path[1]["capabilities"].as_array().expect("names").contains(&json!("PATHS")));
    parent.wait("the path to be shown", |parent| parent.json("/host/child/api/v3/stream_path") == sent);
}

#[test]
fn a_host_that_comes_back_to_us_over_another_parent_is_let_go() {
    let parent = TestParent::start();
    let mut child = Child::connect(&parent, "child", ALL);
    let element = |guid: uuid::Uuid, hops: u32| {
        json!({
            "version": 1, "hostname": "x", "host_id": guid, "node_id": null, "claim_id": null, "hops": hops, "since": 1,
            "first_time_t": 0, "start_time": 0, "shutdown_time": 0, "capabilities": ["V1"], "flags": [],
        })
    };
    let path = [element(parent.machine_guid, 0), element(guid_of("child"), 1)];
    child.send(&format!(
        "JSON STREAM_PATH\n{}\nJSON_PAYLOAD_END\n",
        json!({"version": 1, "streaming_path": path})
    ));
    assert!(child.is_closed_by_parent());
    assert_eq!(parent.telemetry().disconnections.get("loop"), 1);
}

#[test]
fn children_without_these_capabilities_are_as_they_were() {
    let parent = TestParent::start();
    let mut child = Child::connect(&parent, "child", V1);
    // 2.9 offers functions of the host whatever was agreed.
    child.send("FUNCTION GLOBAL \"top\" 60 \"who uses most\"\nJSON STREAM_PATH\n{}\nJSON_PAYLOAD_END\n");
    parent.wait("the document to be counted", |parent| {
        parent.telemetry().total(|shard| &shard.unknown_keywords) == 1
    });
    assert_eq!(parent.json("/host/child/api/v1/functions"), json!({}));
}

#[test]
fn a_real_child_lists_its_function_and_answers() {
    let parent = TestParent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let _netdata = Netdata::child(directory.path(), &parent.key, parent.address, "yes");
    parent.wait("the child's function", |parent| {
        parent.get("/host/child/api/v1/functions").text().contains("synth-echo")
    });
    let listed = parent.json("/host/child/api/v1/functions");
    assert_eq!(listed["synth-echo"]["help"], "answers with what it was asked");
    assert_eq!(
        (&listed["synth-echo"]["timeout"], &listed["synth-echo"]["options"]),
        (&json!(10), &json!("LOCAL "))
    );
    for arguments in ["", "%20a:1%20b"] {
        let answer =
            parent.json(&format!("/host/child/api/v1/function?function=synth-echo{arguments}&timeout=5"));
        let asked = format!("synth-echo{}", arguments.replace("%20", " "));
        assert_eq!(answer, json!({"status": 200, "asked": asked}));
    }
    assert_eq!(parent.get("/host/child/api/v1/function?function=none").status, 404);
}
