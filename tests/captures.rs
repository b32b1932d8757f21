//! Recordings of real children, replayed through the real socket, against what a real parent answered afterwards.
//!
//! The parent's clock follows the recording: a recording is cut into pieces of a millisecond, and each is consumed
//! before the clock moves on. The pieces are sent in random fragments.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use serde_json::Value;

use crate::harness::{TestParent, read_prompt};

/// One recording of a child's connection.
struct Recording {
    start_us: i64,
    /// What the child sent, and when, in microseconds after the start; the first begins with its request.
    pieces: Vec<(i64, Vec<u8>)>,
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stream").join(name)
}

fn read_gzip(name: &str) -> Vec<u8> {
    let file = std::fs::File::open(golden(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).expect("gzip");
    bytes
}

impl Recording {
    fn read(name: &str) -> Self {
        let bytes = read_gzip(&format!("{name}.ndcap.gz"));
        let head_end = bytes.iter().position(|byte| *byte == b'\n').expect("a head");
        let head: Value = serde_json::from_slice(&bytes[..head_end]).expect("JSON");
        let start_us = head["start_unix_ns"].as_i64().expect("a time") / 1000;
        let mut pieces: Vec<(i64, Vec<u8>)> = Vec::new();
        let mut rest = &bytes[head_end + 1..];
        while let [kind, record @ ..] = rest {
            let at_us = u64::from_le_bytes(record[..8].try_into().expect("8 bytes")) as i64 / 1000;
            let length = u32::from_le_bytes(record[8..12].try_into().expect("4 bytes")) as usize;
            let payload = &record[12..12 + length];
            if *kind == b'C' {
                match pieces.last_mut() {
                    Some((last, piece)) if at_us - *last < 1000 => piece.extend_from_slice(payload),
                    _ => pieces.push((at_us, payload.to_vec())),
                }
            }
            rest = &record[12 + length..];
        }
        Self { start_us, pieces }
    }

    /// Takes the request off the front, with another key and, where the recording's parent agreed to less than we
    /// would, another version.
    fn take_request(&mut self, key: &str, version: Option<u32>) -> String {
        let mut request = Vec::new();
        let end = loop {
            let found = request.windows(4).position(|window| window == b"\r\n\r\n");
            match found {
                Some(at) => break at + 4,
                None => request.append(&mut self.pieces.remove(0).1),
            }
        };
        let rest = request.split_off(end);
        if !rest.is_empty() {
            self.pieces.insert(0, (0, rest));
        }
        let request = String::from_utf8(request).expect("text");
        let replace = |request: &str, name: &str, value: &str| {
            let start = request.find(name).expect("a parameter") + name.len();
            let length = request[start..].find(['&', ' ']).expect("its end");
            format!("{}{value}{}", &request[..start], &request[start + length..])
        };
        let request = replace(&request, "STREAM key=", key);
        match version {
            Some(version) => replace(&request, "&ver=", &version.to_string()),
            None => request,
        }
    }
}

/// A small generator of cuts: the same ones in every run.
struct Cuts(u64);

impl Cuts {
    fn next(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        1 + (self.0 as usize) % most
    }
}

/// Plays a recording to the parent.
fn replay(parent: &TestParent, clock: &AtomicI64, name: &str, version: Option<u32>) {
    let mut recording = Recording::read(name);
    clock.store(recording.start_us, Relaxed);
    let request = recording.take_request(&parent.key, version);
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.set_nodelay(true).expect("no delay");
    let mut cuts = Cuts(0x9E37_79B9_7F4A_7C15 ^ name.len() as u64);
    for fragment in request.as_bytes().chunks(cuts.next(700)) {
        stream.write_all(fragment).expect("sent");
    }
    let prompt = read_prompt(&mut stream);
    assert!(prompt.starts_with("Hit me baby, push them over"), "{prompt}");
    // The child of the recording answers what its parent asked for then, whatever is asked for now.
    let mut answers = stream.try_clone().expect("a second handle");
    let reader = std::thread::spawn(move || {
        let mut lines = String::new();
        // The parent may reset the connection at the end.
        let _ = answers.read_to_string(&mut lines);
        lines
    });
    let before = parent.received_bytes();
    let gone = parent.telemetry().disconnections.get("closed_by_child");
    let mut sent = 0;
    for (at_us, piece) in &recording.pieces {
        clock.store(recording.start_us + at_us, Relaxed);
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let (fragment, behind) = rest.split_at(cuts.next(1500).min(rest.len()));
            stream.write_all(fragment).expect("sent");
            rest = behind;
        }
        sent += piece.len() as u64;
        parent.wait("the parent to read what was sent", |parent| parent.received_bytes() - before == sent);
    }
    stream.shutdown(Shutdown::Write).expect("the end");
    parent.wait("the child to be gone", |parent| {
        parent.telemetry().disconnections.get("closed_by_child") > gone
    });
    // Readers see what changed once the clock goes on.
    clock.fetch_add(1_000_000, Relaxed);
    let asked = reader.join().expect("no panic");
    let known =
        ["REPLAY_CHART \"", "JSON STREAM_PATH", "{\"version\":1,\"streaming_path\":[", "JSON_PAYLOAD_END"];
    let is_known = |line: &str| known.iter().any(|known| line.starts_with(known));
    assert!(asked.lines().all(is_known), "{asked}");
}

/// How close a value has to be to the real parent's.
#[derive(Clone, Copy)]
enum Closeness {
    /// Within the precision of the stored number.
    Stored,
    /// The same, but the real parent (2.x) did not take the child's word for when its intervals begin: rates are spread
    /// over boundaries otherwise, by up to a second.
    OwnClock,
}

/// Compares all charts of the recorded answers; says how many points were compared.
fn compare(parent: &TestParent, name: &str, closeness: Closeness) -> usize {
    let truth: Value = serde_json::from_slice(&read_gzip(&format!("{name}.truth.json.gz"))).expect("JSON");
    let before = truth["before"].as_i64().expect("a time");
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (chart, answers) in truth["charts"].as_object().expect("charts") {
        // Redefined in the middle, where a 2.x parent starts its clock again and a 1.37 parent goes on.
        if chart == "synth.late" && matches!(closeness, Closeness::OwnClock) {
            continue;
        }
        let asked = if answers["natural"].is_object() { &answers["natural"] } else { answers };
        let url = asked["url"].as_str().expect("a request");
        let ours = parent.json(&format!("{url}&options=natural-points"));
        compared += compare_chart(chart, answers, &asked["answer"], &ours, before, closeness, &mut wrong);
    }
    assert!(
        wrong.is_empty(),
        "{name}: {} of {compared} points differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(40)].join("\n")
    );
    compared
}

type Rows = BTreeMap<i64, Vec<Option<f64>>>;

fn rows(answer: &Value) -> Rows {
    let rows = answer["data"].as_array().expect("rows");
    rows.iter()
        .map(|row| {
            let row = row.as_array().expect("a row");
            (row[0].as_i64().expect("a time"), row[1..].iter().map(Value::as_f64).collect())
        })
        .collect()
}

fn compare_chart(
    chart: &str,
    definition: &Value,
    theirs: &Value,
    ours: &Value,
    before: i64,
    closeness: Closeness,
    wrong: &mut Vec<String>,
) -> usize {
    let labels = |answer: &Value| answer["labels"].as_array().expect("labels")[1..].to_vec();
    let (their_labels, our_labels) = (labels(theirs), labels(ours));
    let (their_rows, our_rows) = (rows(theirs), rows(ours));
    let update_every = definition["update_every"].as_i64().expect("seconds");
    let mut compared = 0;
    for (column, label) in their_labels.iter().enumerate() {
        // A restarted 1.37.1 lists dimensions in another order.
        let Some(our_column) = our_labels.iter().position(|ours| ours == label) else {
            wrong.push(format!("{chart}: no dimension {label}"));
            continue;
        };
        // Known by id; a dimension whose name is another is one of interrupts, which are counters.
        let algorithm = definition["dims"][label.as_str().unwrap_or_default()]["algorithm"].as_str();
        if algorithm.unwrap_or("incremental") == "incremental" && matches!(closeness, Closeness::OwnClock) {
            compared +=
                compare_totals(chart, label, column, our_column, &their_rows, &our_rows, before - 3, wrong);
            continue;
        }
        for (time, their_row) in &their_rows {
            // The newest second or two were not always stored when the real parent was asked.
            if *time > before - 3 * update_every.max(1) {
                continue;
            }
            let is_after_gap = their_rows.get(&(time - update_every)).is_none_or(|row| row[column].is_none());
            if is_after_gap && matches!(closeness, Closeness::OwnClock) {
                continue;
            }
            compared += 1;
            let theirs = their_row[column];
            let ours = our_rows.get(time).and_then(|row| row[our_column]);
            let close = match (theirs, ours) {
                (None, None) => true,
                (Some(theirs), Some(ours)) => {
                    let near =
                        |row: Option<&Vec<Option<f64>>>| row.and_then(|row| row[column]).unwrap_or(theirs);
                    let neighbours = match closeness {
                        Closeness::Stored => [theirs, theirs],
                        Closeness::OwnClock => {
                            [time - update_every, time + update_every].map(|at| near(their_rows.get(&at)))
                        }
                    };
                    let (least, most) = (
                        neighbours[0].min(neighbours[1]).min(theirs),
                        neighbours[0].max(neighbours[1]).max(theirs),
                    );
                    let tolerance = theirs.abs() * 1e-6 + 1e-6;
                    (least - tolerance..=most + tolerance).contains(&ours)
                }
                _ => false,
            };
            if !close {
                wrong.push(format!("{chart}.{label} at {time}: {theirs:?} there, {ours:?} here"));
            }
        }
    }
    compared
}

/// Rates that were spread over boundaries otherwise add up to the same, give or take what passed a boundary.
#[expect(clippy::too_many_arguments, reason = "both sides of a comparison, and where it is")]
fn compare_totals(
    chart: &str,
    label: &Value,
    their_column: usize,
    our_column: usize,
    theirs: &Rows,
    ours: &Rows,
    until: i64,
    wrong: &mut Vec<String>,
) -> usize {
    let both = theirs
        .iter()
        .filter(|(time, _)| **time <= until)
        .map(|(time, row)| (*time, row[their_column], ours.get(time).and_then(|row| row[our_column])));
    let (mut difference, mut previous, mut compared) = (0.0f64, 0.0f64, 0);
    for (time, their_value, our_value) in both {
        let (Some(their_value), Some(our_value)) = (their_value, our_value) else {
            // What was carried into a gap is lost, and each carried another part.
            (difference, previous) = (0.0, 0.0);
            continue;
        };
        difference += their_value - our_value;
        // What moved over the first boundary and over this one.
        let first = theirs.values().find_map(|row| row[their_column]).unwrap_or(0.0);
        let most = their_value.abs().max(previous.abs()).max(our_value.abs()) + first.abs() * 2.0;
        if difference.abs() > most + 1e-2 {
            wrong.push(format!("{chart}.{label} until {time}: {difference} apart, {most} at most"));
        }
        previous = their_value;
        compared += 1;
    }
    compared
}

/// The definitions of the recorded parent's `charts`.
fn compare_definitions(parent: &TestParent, name: &str) {
    let theirs: Value = serde_json::from_slice(&read_gzip(&format!("{name}.charts.json.gz"))).expect("JSON");
    let ours = parent.json("/host/child-a/api/v1/charts");
    let (theirs, ours) =
        (theirs["charts"].as_object().expect("charts"), ours["charts"].as_object().expect("charts"));
    let missing: Vec<_> = theirs.keys().filter(|id| !ours.contains_key(*id)).collect();
    assert!(missing.is_empty(), "{name}: charts missing here: {missing:?}");
    for (id, their_chart) in theirs {
        let our_chart = &ours[id];
        for member in [
            "id",
            "name",
            "type",
            "family",
            "context",
            "title",
            "priority",
            "plugin",
            "module",
            "units",
            "chart_type",
            "update_every",
            "data_url",
        ] {
            assert_eq!(our_chart[member], their_chart[member], "{name}: {member} of {id}");
        }
        let dimensions = |chart: &Value| -> BTreeMap<String, Value> {
            let dimensions = chart["dimensions"].as_object().expect("dimensions");
            dimensions.iter().map(|(id, dimension)| (id.clone(), dimension["name"].clone())).collect()
        };
        assert_eq!(dimensions(our_chart), dimensions(their_chart), "{name}: dimensions of {id}");
    }
}

/// Replays the connections of one recorded child, then compares everything.
fn check(name: &str, connections: &[&str], closeness: Closeness, at_least: usize) {
    let (parent, clock) = TestParent::at(0);
    for connection in connections {
        replay(&parent, &clock, &format!("{name}.{connection}"), None);
    }
    compare_definitions(&parent, name);
    let compared = compare(&parent, name, closeness);
    // A shard counts at the end of each turn; by now there were some.
    assert_eq!(parent.telemetry().total(|shard| &shard.unknown_keywords), 0);
    assert!(compared >= at_least, "only {compared} points were compared");
}

#[test]
fn a_1_37_child_with_lz4() {
    check("01-v137-lz4", &["conn0"], Closeness::Stored, 10_000);
}

#[test]
fn a_1_37_child_without_compression() {
    check("02-v137-plain", &["conn0"], Closeness::Stored, 10_000);
}

#[test]
fn a_1_37_child_recorded_at_a_2_9_parent() {
    check("10-v137-to-v2", &["conn0"], Closeness::OwnClock, 5_000);
}

#[test]
fn a_1_37_child_that_was_cut_and_came_back_with_its_past() {
    check("08-v137-cut", &["conn0", "conn1"], Closeness::Stored, 10_000);
}

#[test]
fn a_2_9_child() {
    check("05-v2-plain", &["conn0"], Closeness::Stored, 10_000);
}

#[test]
fn a_2_9_child_that_brings_its_past() {
    check("07-v2-replay", &["conn0"], Closeness::Stored, 10_000);
}

#[test]
fn a_2_11_child() {
    check("12-v211-plain", &["conn0"], Closeness::Stored, 5_000);
}

/// Recordings at a parent that only answered the handshake have no answers to compare: every row must be stored, and
/// nothing be unknown.
#[test]
fn children_that_were_answered_less_fall_back_and_are_stored() {
    for (name, version, rows) in [
        ("20-fake-v2-v1.conn0", Some(1), 9_000),
        ("23-fake-v2-caps137-plain.conn0", Some(64 + 128 + 256 + 512 + 4096 + 8192), 8_900),
        ("26-fake-v137-ver5.conn0", Some(5), 7_000),
    ] {
        let (parent, clock) = TestParent::at(0);
        replay(&parent, &clock, name, version);
        parent.wait(&format!("{rows} rows of {name}"), |parent| {
            parent.telemetry().total(|shard| &shard.rows) >= rows
        });
        assert_eq!(parent.telemetry().total(|shard| &shard.unknown_keywords), 0, "{name}");
        assert_eq!(parent.telemetry().total(|shard| &shard.stale_rows), 0, "{name}");
    }
}
