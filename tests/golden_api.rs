//! All that a Netdata 1.37.1 parent was recorded answering (`tests/golden/api/`), asked of a parent that has the same hosts:
//! equal bodies where the recording follows from the formulas alone, equal shapes for the rest, and [`exception`] says for
//! each other answer why it is another.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde_json::Value;
use uuid::Uuid;

use crate::child::{V1, greet, request as introduction};
use crate::harness::{Response, TestParent, request};
use crate::synth::{LAST, assert_same, golden, parent_with};

/// The recordings were made with this one announced, and a cookie of this person.
const REGISTRY: &str = "http://parent-a.test:19999";
const PERSON: &str = "deb2f420-a601-4c65-bad5-e868e1b7832a";

const COLLECTED: &str = "BEGIN \"synth.wave\"\nSET \"a\" = 8\nSET \"b\" = 38\nSET \"c\" = 5\nEND\n\
    BEGIN \"synth.neg\"\nSET \"n\" = 3\nSET \"zero\" = 0\nEND\n\
    BEGIN \"synth.gaps\"\nSET \"g\" = 9\nEND\nBEGIN \"synth.ten\"\nSET \"x\" = 3\nEND\n\
    BEGIN \"synth.hid\"\nSET \"v\" = 30\nSET \"w\" = 70\nEND\n";

/// How an answer is compared with the recorded one.
enum Expected {
    /// Status, content type, and the body: as JSON if it is, else byte for byte.
    Equal,
    /// Status, content type, and all members of the recorded JSON with values of the same kinds.
    Shape,
    /// The same, but for members that are not there, and why.
    ShapeWithout(&'static [&'static str], &'static str),
    /// Every series of the recorded text of this host, if it names one, with the same labels.
    Series,
    /// Something else: why, and what.
    Other(&'static str, fn(&Response)),
}

/// Parts of `info` that a parent without alerts, exporting, machine learning and packages has no word for, and facts that
/// these children do not send.
const INFO: &[&str] = &[
    "multidb-disk-quota",
    "page-cache-size",
    "buildinfo",
    "notification-methods",
    "exporting-connectors",
    "allmetrics-prometheus-used",
    "allmetrics-shell-used",
    "allmetrics-json-used",
    "dashboard-used",
    "container_os_name",
    "container_os_id",
    "container_os_id_like",
    "container_os_version",
    "container_os_version_id",
    "container_os_detection",
    "is_k8s_node",
    "cloud_provider_type",
    "cloud_instance_type",
    "cloud_instance_region",
    "collectors",
    "host_labels",
    "functions/processes",
];

const QUEUES: &[&str] = &[
    "queued_reasons",
    "last_queued",
    "scheduled_dispatch",
    "last_dequeued",
    "dispatches",
    "hub_version",
    "version",
    "pp_reasons",
    "pp_last_queued",
    "pp_last_dequeued",
    "pp_executed",
    "host_labels/_is_parent",
    "dimensions/*/uuid",
];

fn is(response: &Response, status: u16, text: &str) {
    assert_eq!(response.status, status);
    assert!(response.text().contains(text), "{text} in {}", response.text());
}

#[rustfmt::skip]
fn expected(id: i64, is_deterministic: bool) -> Expected {
    use Expected::{Equal, Other, Series, Shape, ShapeWithout};
    const MEDIAN: &str = "1.37 takes a median one position too high, the unit tests of web::format have the right one";
    const INTERPOLATED: &str = "1.37 averages in the sample before the first interpolated row; so do they have it";
    const TIER: &str = "1.37 answers a window shorter than a sample with an hour's average; so do they have it";
    const NO_HEALTH: &str = "no health engine runs yet: no alert exists";
    match id {
        14 | 22 | 29 => ShapeWithout(&[], MEDIAN),
        37 | 39 => ShapeWithout(&[], INTERPOLATED),
        38 | 71 => ShapeWithout(&[], TIER),
        52 => Other("not JSON but a script: spaces differ", |response| {
            without_spaces(response, "052-google-json.json");
        }),
        44 => ShapeWithout(&[], "1.37 loses the very first sample; so do they have it"),
        54 => Other("the same, and the recorded child had sent a second more", |response| {
            is(response, 200, "sig:'1795343437',table:{\"cols\":[");
            is(response, 200, "{\"v\":\"Date(2026,10,22,10,10,0)\"},{\"v\":null},{\"v\":null},{\"v\":0},{\"v\":0},{\"v\":5}");
        }),
        55 => Other("the same", |response| without_spaces(response, "055-format-jsonp.js")),
        62 => Other("1.37 writes dates without quotes, which is no JSON", |response| {
            is(response, 200, "[\"2026-11-22 10:10:00\",0,0,5]");
        }),
        // The clock stands where theirs did.
        76 | 77 | 79 | 91 | 93 | 99 | 113 | 117 | 118 | 122 | 123 | 126 | 128 | 130 | 132 => Equal,
        78 => ShapeWithout(&[], "the row is the average of ten minutes, the recording's of those that its tier 1 had"),
        87 => Other("the recording is cut, and like 86", |response| is(response, 200, "\"mirrored_hosts_status\":[")),
        85 | 86 => ShapeWithout(INFO, "what we have no word for, or these children did not send"),
        88 | 90 => ShapeWithout(&["alarms"], NO_HEALTH),
        89 => ShapeWithout(&["alarms", "charts/disk_space._", "charts/mem.available", "charts/apps.cpu", "chart_variables/*"], "the child of the recording was a real one"),
        92 => ShapeWithout(QUEUES, "there are no queues to the cloud, and dimensions have no ids of their own"),
        94 | 95 => ShapeWithout(&["alarms"], NO_HEALTH),
        96 => ShapeWithout(&["alarms"], NO_HEALTH),
        97 | 98 => Other(NO_HEALTH, |response| assert_eq!(response.text(), "[\n]\n")),
        102 => Other("the variables of alerts are missing, and green and red are theirs", alarm_variables),
        103 => Other("alerts are missing, and the recorded child had sent a second more", shell),
        104 | 105 => Shape,
        106..=108 => Series,
        109 => Other("1.37 takes dimensions for alike of which one has another divisor", |response| {
            is(response, 200, "netdata_synth_neg{chart=\"synth.neg\",family=\"neg\",dimension=\"n\"} 3 ");
            is(response, 200, "netdata_synth_wave_b{chart=\"synth.wave\",family=\"wave\"} 38 ");
        }),
        110 => Other("the child of the recording was a real one", |response| {
            is(response, 200, "# TYPE netdata_system_cpu_total counter\n");
            is(response, 200, "netdata_system_cpu_total{chart=\"system.cpu\",family=\"cpu\",dimension=\"user\"} ");
        }),
        111 => Series,
        112 => Other("nobody's statistics are collected", |response| {
            is(response, 200, "\"hostname\":\"child-a\",\"machine_guid\":\"c0000000-0000-4000-a000-00000000000c\"");
            is(response, 200, "\"registry\":\"http://parent-a.test:19999\",\"cloud_base_url\":\"https://");
            is(response, 200, "\"anonymous_statistics\":false");
        }),
        114 | 115 => Equal,
        116 => Other("the recorded registry had heard of the machine from others before", |response| {
            is(response, 200, "[\"c0000000-0000-4000-a000-00000000000c\",\"http://parent-a.test:19999/host/child-a/\",1795343438000,2]");
        }),
        119 => Other("our own drawing of the same", |response| {
            is(response, 200, ">a<");
            is(response, 200, ">4.5 things<");
            is(response, 200, "fill=\"#4c1\"");
        }),
        120 => Other(NO_HEALTH, |response| is(response, 200, ">alarm not found<")),
        121 => Other("our own drawing of the same", |response| {
            is(response, 200, ">chart not found<");
            is(response, 200, "width=\"111.15\" height=\"20.00\"");
            is(response, 200, "fill=\"#999\"");
        }),
        124 => Other(NO_HEALTH, |response| is(response, 501, "No health checks run")),
        125 => Other(NO_HEALTH, |response| is(response, 200, "\"silencers\": []")),
        127 => ShapeWithout(&["contexts"], "which metrics moved depends on how a baseline is averaged"),
        129 => ShapeWithout(&["correlated_charts/system.load", "dimensions/steal"], "the child of the recording was a real one"),
        131 => Other("open to those who may see the dashboard, as in 2.x", |response| is(response, 200, "{}")),
        133 => Other("1.37 answers nothing at all when there is none", |response| {
            is(response, 200, "\"charts\":{},\"charts_count\":0");
        }),
        149 => Other("children of 2.1 and later ask this before they connect", |response| is(response, 200, "\"status\":200")),
        152 => Other("1.37 tells the path on its disk", |response| is(response, 404, "accessible: nosuch.html")),
        155 => Other("1.37 echoes the request in front of it", |response| {
            assert_eq!((response.status, response.text().as_str()), (308, "Permanent redirect"));
            assert_eq!(response.header("location"), "http://parent-a.test:19999/host/child-a/");
        }),
        156 => Other("the same, and the query stays behind the slash", |response| {
            assert_eq!(response.header("location"), "http://parent-a.test:19999/host/child-a/?x=1");
        }),
        159 => Other("HEAD is answered", |response| {
            assert_eq!((response.status, response.body.len()), (200, 0));
            assert!(response.header("content-length").parse::<usize>().is_ok_and(|length| length > 100));
        }),
        160 | 161 => Other("it is another program", |response| is(response, 200, env!("CARGO_PKG_VERSION"))),
        82..=84 | 81 | 100 | 101 | 162 => Shape,
        _ if is_deterministic => Equal,
        _ if (134..=158).contains(&id) => Equal,
        _ => panic!("sample {id} is compared with nothing"),
    }
}

fn without_spaces(response: &Response, body: &str) {
    let squeezed = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(squeezed(&response.text()), squeezed(&String::from_utf8_lossy(&golden(body))));
}

fn alarm_variables(response: &Response) {
    let ours: Value = serde_json::from_slice(&response.body).expect("JSON");
    let theirs: Value = serde_json::from_slice(&golden("102-alarm-variables.json")).expect("JSON");
    for group in ["chart_variables", "family_variables", "host_variables"] {
        for (name, value) in theirs[group].as_object().expect("variables") {
            let is_of_alerts = ["synth_high", "synth_ok"].iter().any(|end| name.ends_with(end));
            // The host's own are another machine's, its charts' are by their ids.
            if !is_of_alerts && (group != "host_variables" || name.starts_with("synth.")) {
                let ours = ours[group].get(name).unwrap_or_else(|| panic!("{group} has no {name}"));
                if name.ends_with("_raw") || name.ends_with("update_every") {
                    assert_same(ours, value, name);
                }
            }
        }
    }
}

fn shell(response: &Response) {
    let theirs = String::from_utf8_lossy(&golden("103-allmetrics-shell.txt")).into_owned();
    let kept = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with("NETDATA_ALARM_") && !line.is_empty());
        lines.map(|line| line.split('=').next().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(kept(&response.text()), kept(&theirs));
}

/// Names and labels of the series of an exposition, without values and what describes them.
fn series(text: &str) -> BTreeSet<String> {
    let is_of_synth = |line: &&str| !line.contains("instance=\"") || line.contains("instance=\"synth-a\"");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).filter(is_of_synth);
    let names = lines.filter_map(|line| line.rfind('}').map(|end| line[..=end].to_owned()));
    // It tells the version, and which labels are configured.
    names.filter(|name| !name.starts_with("netdata_info") && !name.starts_with("pfx_info")).collect()
}

fn assert_shape(ours: &Value, theirs: &Value, place: &str, left_out: &[&str]) {
    let is_left_out = |place: &str| {
        left_out.iter().any(|path| {
            let wanted: Vec<&str> = path.split('/').collect();
            let found: Vec<&str> = place.split('/').collect();
            found.len() >= wanted.len()
                && found[found.len() - wanted.len()..].iter().zip(&wanted).all(|(a, b)| *b == "*" || a == b)
        })
    };
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, theirs) in theirs {
                let place = format!("{place}/{key}");
                if !is_left_out(&place) {
                    let ours = ours.get(key).unwrap_or_else(|| panic!("{place} is missing"));
                    assert_shape(ours, theirs, &place, left_out);
                }
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            // This parent has no tiers, theirs had three.
            let is_of_tiers = place.ends_with("_per_tier");
            assert!(is_of_tiers || ours.len() == theirs.len(), "{place}: {ours:?}, not like {theirs:?}");
            for (ours, theirs) in ours.iter().zip(theirs) {
                assert_shape(ours, theirs, &format!("{place}/[]"), left_out);
            }
        }
        // A number that is not there, or was not.
        (Value::Number(_) | Value::Null, Value::Number(_) | Value::Null)
        | (Value::String(_) | Value::Null, Value::String(_) | Value::Null)
        | (Value::Bool(_) | Value::Null, Value::Bool(_) | Value::Null) => {}
        _ => panic!("{place}: {ours}, not like {theirs}"),
    }
}

/// A stand-in for the real child of the recordings: some of its charts, five minutes of them.
fn child_a(parent: &TestParent, clock: &AtomicI64) -> TcpStream {
    let guid = Uuid::try_parse("c0000000-0000-4000-a000-00000000000c").expect("a GUID");
    let (mut stream, _) = greet(parent.address, &introduction(parent, "child-a", guid, V1));
    let first = LAST - 300;
    let mut lines = String::new();
    let mut rows = parent.telemetry().total(|shard| &shard.rows);
    for (id, family, units, dimensions) in [
        ("cpu", "cpu", "percentage", "steal softirq user system nice iowait guest_nice guest irq idle"),
        ("load", "load", "load", "load1 load5 load15"),
        ("io", "disk", "KiB/s", "in out"),
        ("ram", "ram", "MiB", "free used cached buffers"),
        ("net", "network", "kilobits/s", "received sent"),
        ("uptime", "uptime", "seconds", "uptime"),
        ("intr", "interrupts", "interrupts/s", "interrupts"),
        ("ctxt", "processes", "context switches/s", "switches"),
        ("forks", "processes", "processes/s", "started"),
    ] {
        let _ = writeln!(
            lines,
            "CHART \"system.{id}\" \"\" \"System {id}\" \"{units}\" \"{family}\" \"system.{id}\" line 100 1 \"\" proc.plugin /proc/{id}"
        );
        for dimension in dimensions.split(' ') {
            let algorithm = if id == "cpu" { "incremental" } else { "absolute" };
            let _ = writeln!(lines, "DIMENSION \"{dimension}\" \"\" {algorithm} 1 1 \"\"");
        }
        let _ = writeln!(lines, "CHART_DEFINITION_END {first} {LAST} {LAST}\nRBEGIN \"system.{id}\"");
        for time in first..=LAST {
            let _ = writeln!(lines, "RBEGIN '' {} {time} {LAST}", time - 1);
            for (number, dimension) in dimensions.split(' ').enumerate() {
                let swing = time % (7 + number as i64) + if time > LAST - 60 { 20 } else { 0 };
                // As on the machine of the recording.
                let is_zero = ["steal", "guest_nice", "guest", "irq", "idle"].contains(&dimension);
                let value = if is_zero { 0 } else { swing + 1 };
                let _ = writeln!(lines, "RSET \"{dimension}\" {value} \"\"");
            }
            rows += 1;
        }
        let _ = writeln!(lines, "REND 1 {first} {LAST} true {first} {LAST} {LAST}");
    }
    lines += "BEGIN \"system.cpu\"\nSET \"user\" = 7\nEND\n";
    stream.write_all(lines.as_bytes()).expect("sent");
    parent.wait("the past of child-a", |parent| parent.telemetry().total(|shard| &shard.rows) == rows);
    // Hosts are published once a second.
    clock.store((LAST + 3) * 1_000_000, Relaxed);
    parent.wait("child-a to be published", |parent| {
        let info: Value =
            serde_json::from_slice(&parent.get("/host/child-a/api/v1/info").body).unwrap_or_default();
        info["charts-count"] == 9
    });
    stream
}

/// The request of a sample, with what only a running parent knows.
fn asked(parent: &TestParent, sample: &Value, person: &str) -> Response {
    let (method, path) =
        (sample["method"].as_str().expect("a method"), sample["path"].as_str().expect("a path"));
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    for header in sample["request_headers"].as_array().expect("headers") {
        let (name, value) = (header[0].as_str().expect("a name"), header[1].as_str().expect("a value"));
        if name != "Connection" && name != "Accept-Encoding" {
            let value =
                value.replace("<management api key>", &parent.management_key()).replace(PERSON, person);
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    request(parent.address, &format!("{head}\r\n"))
}

#[test]
fn every_recorded_request_has_the_recorded_answer_or_a_reason_for_another() {
    let (parent, clock, mut synth) = parent_with(|config| {
        config.registry.enabled = true;
        config.registry.announced = Some(REGISTRY.to_owned());
    });
    let _child = child_a(&parent, &clock);
    // What was collected a second after the last row.
    synth.write_all(COLLECTED.as_bytes()).expect("sent");
    parent.wait("collected values", |parent| {
        parent
            .get("/host/synth-a/api/v1/allmetrics?format=prometheus&source=raw")
            .text()
            .contains("dimension=\"w\"")
    });
    let index: Value = serde_json::from_slice(&golden("index.json")).expect("JSON");
    let samples = index["samples"].as_array().expect("samples");
    assert_eq!(samples.len(), 162);
    let mut person = PERSON.to_owned();
    let mut wrong = Vec::new();
    for sample in samples {
        let id = sample["id"].as_i64().expect("a number");
        clock.store((sample["sent_at"].as_f64().expect("a time") * 1e6) as i64, Relaxed);
        let response = asked(&parent, sample, &person);
        if id == 114 {
            let answer: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            answer["person_guid"].as_str().unwrap_or(PERSON).clone_into(&mut person);
        }
        let body = golden(sample["body"].as_str().expect("a file"));
        let body = String::from_utf8_lossy(&body).replace(PERSON, &person);
        let body = body.replace("a0000000-0000-4000-a000-00000000000a", &parent.machine_guid.to_string());
        let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare(&response, sample, &body);
        }));
        if compared.is_err() {
            let reason = match expected(id, sample["deterministic"] == true) {
                Expected::ShapeWithout(_, reason) | Expected::Other(reason, _) => reason,
                Expected::Equal | Expected::Shape | Expected::Series => "like the recording",
            };
            wrong.push(format!("{id} {} ({reason})", sample["path"]));
        }
    }
    assert!(wrong.is_empty(), "{} of them: {wrong:#?}", wrong.len());
}

fn compare(response: &Response, sample: &Value, body: &str) {
    let id = sample["id"].as_i64().expect("a number");
    let expected = expected(id, sample["deterministic"] == true);
    if let Expected::Other(_, check) = expected {
        return check(response);
    }
    assert_eq!(u64::from(response.status), sample["status"].as_u64().expect("a status"), "{id}");
    let headers = sample["headers"].as_array().expect("headers");
    let theirs = headers
        .iter()
        .find(|header| header[0] == "Content-Type")
        .map_or("", |header| header[1].as_str().unwrap_or_default());
    assert_eq!(response.header("content-type"), theirs, "{id}");
    let text = response.text();
    let json = || serde_json::from_str::<Value>(body).ok();
    let ours =
        || serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{id}: {error}: {text}"));
    match expected {
        Expected::Equal => match json() {
            Some(theirs) => assert_same(&ours(), &theirs, &id.to_string()),
            None => assert_eq!(text.trim_end(), body.trim_end(), "{id}"),
        },
        Expected::Shape => assert_shape(&ours(), &json().expect("JSON"), &id.to_string(), &[]),
        Expected::ShapeWithout(left_out, _) => {
            assert_shape(&ours(), &json().expect("JSON"), &id.to_string(), left_out);
        }
        Expected::Series => {
            let missing: Vec<String> = series(body).difference(&series(&text)).cloned().collect();
            assert!(missing.is_empty(), "{id}: without {missing:?}: {text}");
        }
        Expected::Other(..) => unreachable!("checked above"),
    }
}
