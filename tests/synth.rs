//! The host of the golden answers: `synth-a`, whose samples are formulas of time, and a parent that has it.
//!
//! `tests/golden/api/` holds what a Netdata 1.37.1 parent answered that had the same.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use mainstem::config::Config;
use mainstem::runtime::clock::Clock;
use serde_json::Value;
use uuid::Uuid;

use crate::child::{V1, greet, request};
use crate::harness::TestParent;

pub(crate) const T: i64 = 1_795_342_200;
pub(crate) const FIRST: i64 = 1_795_339_801;
pub(crate) const LAST: i64 = 1_795_343_437;

pub(crate) fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/golden/api/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A chart of `synth-a`: its lines, and the values of its dimensions at a time.
pub(crate) struct Synth {
    pub(crate) definition: String,
    pub(crate) id: &'static str,
    pub(crate) every: i64,
    pub(crate) values: fn(i64) -> Row,
}

/// The values of a chart's dimensions at one time.
pub(crate) type Row = Vec<(&'static str, Option<f64>)>;

impl Synth {
    /// A chart of this context; `dimensions` are its lines.
    pub(crate) fn new(
        id: &'static str,
        context: &str,
        kind: &str,
        every: i64,
        dimensions: &str,
        values: fn(i64) -> Row,
    ) -> Synth {
        let definition = format!(
            "CHART \"synth.{id}\" \"\" \"Synthetic {id}\" \"things\" \"{id}\" \"synth.{context}\" \"{kind}\" 1000 {every} \
             \"\" \"synth.plugin\" \"synthmod\"\nCLABEL \"kind\" \"{id}\" 1\nCLABEL_COMMIT\n{dimensions}"
        );
        Synth { definition, id, every, values }
    }
}

/// The line of a dimension.
pub(crate) fn dimension(id: &str, name: &str, divisor: i64, options: &str) -> String {
    format!("DIMENSION \"{id}\" \"{name}\" \"absolute\" 1 {divisor} \"{options}\"\n")
}

/// The charts of the golden answers.
pub(crate) fn synth_charts() -> Vec<Synth> {
    let plain = |id: &str| dimension(id, "", 1, "");
    vec![
        Synth::new(
            "wave",
            "wave",
            "line",
            1,
            &(plain("a") + &dimension("b", "", 4, "") + &plain("c")),
            |t| vec![("a", Some((t % 10) as f64)), ("b", Some((t % 60) as f64 / 4.0)), ("c", Some(5.0))],
        ),
        Synth::new("neg", "neg", "area", 1, &(plain("n") + &plain("zero")), |t| {
            vec![("n", Some((t % 10 - 5) as f64)), ("zero", Some(0.0))]
        }),
        Synth::new("gaps", "gaps", "line", 1, &plain("g"), |t| {
            vec![("g", (!(20..40).contains(&(t % 60))).then_some((t % 10) as f64))]
        }),
        Synth::new("ten", "ten", "line", 10, &plain("x"), |t| vec![("x", Some((t / 10 % 10) as f64))]),
        Synth::new(
            "hid",
            "hid",
            "stacked",
            1,
            &(dimension("v", "visible name", 1, "") + &dimension("w", "", 1, "hidden")),
            |_| vec![("v", Some(30.0)), ("w", Some(70.0))],
        ),
    ]
}

/// The lines with which a child replicates these charts from `first` to `last`, and how many rows they are.
pub(crate) fn replicated(charts: &[Synth], first: i64, last: i64) -> (String, u64) {
    let mut lines = String::from(
        "LABEL \"env\" = 2 \"test\"\nLABEL \"_collect_mode\" = 1 \"synthetic\"\nOVERWRITE labels\n",
    );
    let mut rows = 0;
    for chart in charts {
        lines += &chart.definition;
        let _ = writeln!(lines, "CHART_DEFINITION_END {first} {last} {last}\nRBEGIN \"synth.{}\"", chart.id);
        for time in (first..=last).filter(|time| time % chart.every == 0) {
            let _ = writeln!(lines, "RBEGIN '' {} {time} {last}", time - chart.every);
            for (dimension, value) in (chart.values)(time) {
                if let Some(value) = value {
                    let _ = writeln!(lines, "RSET \"{dimension}\" {value} \"\"");
                }
            }
            rows += 1;
        }
        let _ = writeln!(lines, "REND {} {first} {last} true {first} {last} {last}", chart.every);
    }
    (lines, rows)
}

/// A parent to which `synth-a` has replicated its past, and whose clock stands at the end of it.
pub(crate) fn parent() -> (TestParent, Arc<AtomicI64>, TcpStream) {
    parent_with(|_| {})
}

/// The same, configured otherwise.
pub(crate) fn parent_with(change: impl FnOnce(&mut Config)) -> (TestParent, Arc<AtomicI64>, TcpStream) {
    let clock = Arc::new(AtomicI64::new(LAST * 1_000_000));
    let parent = TestParent::with(Clock::Manual(Arc::clone(&clock)), |config| {
        config.database.retention_rows = 10_000;
        config.hostname = "parent-a".into();
        change(config);
    });
    let guid = Uuid::try_parse("b0000000-0000-4000-a000-00000000000b").expect("a GUID");
    let (mut stream, _) = greet(parent.address, &request(&parent, "synth-a", guid, V1));
    let (lines, rows) = replicated(&synth_charts(), FIRST, LAST);
    stream.write_all(lines.as_bytes()).expect("sent");
    parent.wait("the past to be stored", |parent| parent.telemetry().total(|shard| &shard.rows) == rows);
    clock.store((LAST + 1) * 1_000_000, Relaxed);
    parent.wait("the host to be published", |parent| {
        let info: Value =
            serde_json::from_slice(&parent.get("/host/synth-a/api/v1/info").body).unwrap_or_default();
        info["charts-count"] == 5
    });
    (parent, clock, stream)
}

/// Equal but for what depends on the moment, and for numbers' last digits.
pub(crate) fn assert_same(ours: &Value, theirs: &Value, place: &str) {
    const MOMENTARY: [&str; 4] = ["first_entry", "last_entry", "latest_values", "db_points_per_tier"];
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, theirs) in theirs.iter().filter(|(key, _)| !MOMENTARY.contains(&key.as_str())) {
                assert_same(ours.get(key).unwrap_or(&Value::Null), theirs, &format!("{place}/{key}"));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            assert_eq!(ours.len(), theirs.len(), "{place}");
            for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
                assert_same(ours, theirs, &format!("{place}/{index}"));
            }
        }
        (Value::Number(ours), Value::Number(theirs)) => {
            let (ours, theirs) = (ours.as_f64().unwrap_or(f64::NAN), theirs.as_f64().unwrap_or(f64::NAN));
            assert!((ours - theirs).abs() <= theirs.abs() * 1e-5, "{place}: {ours}, not {theirs}");
        }
        _ => assert_eq!(ours, theirs, "{place}"),
    }
}
