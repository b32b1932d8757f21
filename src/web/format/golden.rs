//! The golden data samples: what a Netdata 1.37.1 parent answered, byte for byte as recorded, against what we answer.

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Presentation, write};
use crate::query::fixture::{Fixture, T, pairs};

/// Members that depend on the moment of the request, or that count storage tiers.
const IGNORED: [&str; 4] = ["first_entry", "last_entry", "latest_values", "db_points_per_tier"];

/// Not marked as deterministic because they depend on the clock; with the clock of the recording they are.
const CLOCKED: [i64; 4] = [54, 76, 77, 79];

/// A golden answer that we do not want to give: why, and what we say in these places instead.
struct Better {
    id: i64,
    why: &'static str,
    places: Vec<(&'static str, Value)>,
}

fn better_answers() -> Vec<Better> {
    let median = "the median of an even number of values is one position too high";
    let first = "the first row of interpolated values averages in the sample before it";
    let tier = "a window shorter than a sample is answered with the average of a higher tier";
    let line: Vec<Value> = (0..10).map(|row| json!([T - row, 0.9 * row as f64])).collect();
    vec![
        Better { id: 14, why: median, places: vec![("/data/0/1", json!(4.5)), ("/data/0/2", json!(13.625))] },
        Better { id: 22, why: median, places: vec![("/data/0/1", json!(4.5)), ("/data/0/2", json!(13.625))] },
        Better { id: 29, why: median, places: vec![("/data/0/1", json!(-0.5))] },
        Better { id: 37, why: first, places: vec![("/result/data/9/1", json!(8.1)), ("/max", json!(8.1))] },
        Better {
            id: 38,
            why: tier,
            places: vec![
                ("/result/data", json!(line)),
                ("/view_latest_values/0", json!(0)),
                ("/min", json!(0)),
                ("/max", json!(8.1)),
            ],
        },
        Better { id: 39, why: first, places: vec![("/result/data/11/1", json!(4.5))] },
        Better {
            id: 44,
            why: "the first sample after a stretch with nothing stored is lost",
            places: vec![("/result/data/39/1", json!(300))],
        },
        Better {
            id: 71,
            why: tier,
            places: vec![("/result/data/0/7", json!(0)), ("/view_latest_values/6", json!(0))],
        },
    ]
}

/// What 1.37 wrote without quotes, which is no JSON.
const CSV_JSON_ARRAY: &str = r#"[["time","a","b","c"],["2026-11-22 10:10:00",0,0,5],
    ["2026-11-22 10:09:59",9,14.75,5],["2026-11-22 10:09:58",8,14.5,5]]"#;

fn golden(name: &str) -> String {
    let path = format!("{}/tests/golden/api/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn answered(fixture: &Fixture, query: &str, now: i64) -> String {
    let answer = fixture.ask(query, now).unwrap_or_else(|error| panic!("{query}: {error}"));
    let pairs = pairs(query);
    let presentation = Presentation::from_pairs(pairs.iter().map(|(name, value)| (&**name, &**value)));
    let mut out = Vec::new();
    write(&answer, &presentation, &TimeZone::UTC, &mut out);
    String::from_utf8(out).expect("text")
}

fn assert_same(found: &Value, expected: &Value, place: &str) {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => {
            let (found, expected) =
                (found.as_f64().unwrap_or(f64::NAN), expected.as_f64().unwrap_or(f64::NAN));
            let tolerance = 1e-5 * expected.abs();
            assert!((found - expected).abs() <= tolerance, "{place}: {found}, not {expected}");
        }
        (Value::Array(found), Value::Array(expected)) => {
            assert_eq!(found.len(), expected.len(), "{place}: {found:?}, not {expected:?}");
            for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
                assert_same(found, expected, &format!("{place}/{index}"));
            }
        }
        (Value::Object(found), Value::Object(expected)) => {
            let keys = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
            assert_eq!(keys(found), keys(expected), "{place}");
            for (key, expected) in expected.iter().filter(|(key, _)| !IGNORED.contains(&key.as_str())) {
                assert_same(&found[key], expected, &format!("{place}/{key}"));
            }
        }
        _ => assert_eq!(found, expected, "{place}"),
    }
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn recorded_requests_get_the_recorded_answers() {
    let fixture = Fixture::synth_a();
    let index: Value = serde_json::from_str(&golden("index.json")).expect("JSON");
    let better_answers = better_answers();
    let mut replayed = 0;
    for sample in index["samples"].as_array().expect("a list") {
        let id = sample["id"].as_i64().expect("a number");
        let is_replayable = sample["deterministic"] == true || CLOCKED.contains(&id);
        if sample["group"] != "data" || !is_replayable {
            continue;
        }
        replayed += 1;
        let path = sample["path"].as_str().expect("a path");
        let (_, query) = path.split_once('?').or_else(|| path.split_once("%3F")).expect("a query");
        let now = sample["sent_at"].as_f64().expect("a time") as i64;
        let found = answered(&fixture, query, now);
        let expected = golden(sample["body"].as_str().expect("a file name"));
        let place = format!("sample {id}, {path}");

        let better = better_answers.iter().find(|better| better.id == id);
        match id {
            62 => {
                assert!(serde_json::from_str::<Value>(&expected).is_err());
                let json = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
                assert_eq!(json(&found), json(CSV_JSON_ARRAY), "{place}");
            }
            52 | 54 | 55 => assert_eq!(without_spaces(&found), without_spaces(&expected), "{place}"),
            _ => match serde_json::from_str::<Value>(&expected) {
                Ok(mut expected) => {
                    for (pointer, value) in better.iter().flat_map(|better| &better.places) {
                        let theirs = expected.pointer_mut(pointer).expect("a place in the recorded answer");
                        assert_ne!(
                            theirs,
                            value,
                            "{place}{pointer} is as recorded, although {}",
                            better.expect("it is").why
                        );
                        *theirs = value.clone();
                    }
                    let found =
                        serde_json::from_str(&found).unwrap_or_else(|error| panic!("{place}: {error}"));
                    assert_same(&found, &expected, &place);
                }
                Err(_) => assert_eq!(found, expected, "{place}"),
            },
        }
    }
    assert_eq!(replayed, 78);
}
