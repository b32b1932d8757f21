//! Answers about thousands of charts: they are questions as all others are, with limits, and come in pieces.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use mainstem::config::Config;
use mainstem::runtime::clock::Clock;
use serde_json::Value;

use crate::child::{Child, V2};
use crate::fleet::{ask_and_leave, outcomes};
use crate::harness::TestParent;

const START: i64 = 1_795_342_200;
const CHARTS: usize = 3000;

/// A parent, and a host of many charts: two thirds of them of one context and family, the others of one each.
fn large_host(change: impl FnOnce(&mut Config)) -> (TestParent, Child) {
    let clock = Arc::new(AtomicI64::new((START - 1) * 1_000_000));
    let parent = TestParent::with(Clock::Manual(Arc::clone(&clock)), change);
    let mut child = Child::connect(&parent, "large", V2);
    let mut text = String::new();
    for chart in 0..CHARTS {
        let (context, family) = match chart % 3 {
            0 => (format!("alone.c{chart}"), format!("family{chart}")),
            _ => ("many.same".to_owned(), "same".to_owned()),
        };
        let _ = writeln!(
            text,
            "CHART \"many.c{chart}\" \"\" \"Chart {chart} of many\" \"things\" \"{family}\" \"{context}\" \"line\" 1 1 \"\" \"p\" \"m\"\n\
             CLABEL \"number\" \"{chart}\" 1\nCLABEL_COMMIT\n\
             DIMENSION \"a\" \"first\" \"absolute\" 1 1 \"\"\nDIMENSION \"b\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n\
             BEGIN2 'many.c{chart}' 1 {START} #\nSET2 'a' 1 {chart} A\nSET2 'b' 1 7 A\nEND2"
        );
    }
    child.send(&text);
    parent.wait("all rows", |parent| parent.telemetry().total(|shard| &shard.rows) == CHARTS as u64);
    clock.store((START + 1) * 1_000_000, Relaxed);
    parent.wait("the host", |parent| {
        parent.json("/api/v1/info")["mirrored_hosts"].as_array().is_some_and(|hosts| hosts.len() == 2)
            && parent.json("/host/large/api/v1/info")["charts-count"] == CHARTS
    });
    (parent, child)
}

fn in_pieces(parent: &TestParent, path: &str) -> Value {
    let response = parent.get(path);
    assert_eq!(response.status, 200, "{path}: {}", response.text());
    assert_eq!(response.header("transfer-encoding"), "chunked", "{path}: {} bytes", response.body.len());
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_there_is_to_be_said_of_thousands_of_charts_comes_in_pieces() {
    let (parent, _child) = large_host(|_| {});
    let all = in_pieces(&parent, "/host/large/api/v1/contexts?options=full");
    let contexts = all["contexts"].as_object().expect("contexts");
    assert_eq!(contexts.len(), 1 + CHARTS / 3);
    let same = &contexts["many.same"];
    assert_eq!(same["charts"].as_object().map(serde_json::Map::len), Some(CHARTS / 3 * 2));
    assert_eq!(
        (&same["title"], &same["family"], &same["collected"]),
        (&"Chart [x] of many".into(), &"same".into(), &true.into())
    );
    assert_eq!((&same["first_time_t"], &same["last_time_t"]), (&START.into(), &(START + 1).into()));
    let chart = &same["charts"]["many.c1"];
    assert_eq!(chart["labels"]["number"], "1");
    assert_eq!(chart["dimensions"]["a"]["name"], "first");

    let one = in_pieces(&parent, "/host/large/api/v1/context?context=many.same&options=charts,dimensions");
    let found = one["charts"]["many.c1"]["dimensions"].as_object().map(serde_json::Map::len);
    assert_eq!((found, one["charts"]["many.c0"].is_null()), (Some(2), true));

    let variables = in_pieces(&parent, "/host/large/api/v1/alarm_variables?chart=many.c2");
    assert_eq!(
        (&variables["chart_variables"]["a"], &variables["chart_variables"]["b"]),
        (&2.into(), &7.into())
    );
    // The chart's own, and the others' by their long names.
    assert_eq!(
        (&variables["family_variables"]["a"], &variables["family_variables"]["many.c1.a"]),
        (&2.into(), &1.into())
    );
    assert!(variables["family_variables"]["many.c0.a"].is_null());
    assert_eq!(variables["host_variables"]["many.c2999.first"], 2999);
    let variable = |name: &str| {
        parent.json(&format!("/host/large/api/v1/variable?chart=many.c2&variable={name}"))["result"].clone()
    };
    assert_eq!(
        (variable("$first"), variable("many.c30.a"), variable("x")),
        (2.0.into(), 30.0.into(), Value::Null)
    );

    let contexts = in_pieces(&parent, "/api/v2/contexts?options=dimensions");
    assert_eq!(contexts["contexts"]["many.same"]["instances"], CHARTS / 3 * 2);
    assert_eq!(contexts["contexts"]["alone.c3"]["dimensions"], serde_json::json!(["b", "first"]));
    let window = format!("after={}&before={}&options=raw", START - 5, START + 1);
    let weights = in_pieces(&parent, &format!("/api/v2/weights?method=value&contexts=many.*&{window}"));
    assert_eq!(weights["weighted_dimensions"], 2 * (CHARTS / 3 * 2));
    let instances = &weights["nodes"][0]["contexts"]["many.same"]["instances"];
    let expected = serde_json::json!({"weight": 504, "dimensions": {"first": 1001, "b": 7}});
    assert_eq!(instances["many.c1001"], expected);
    let path = format!("/host/large/api/v1/weights?method=anomaly-rate&{window}");
    let weights = in_pieces(&parent, &path);
    assert_eq!(weights["weighted_dimensions"], 2 * CHARTS);
    assert_eq!(weights["contexts"]["many.same"]["charts"]["many.c2"]["dimensions"]["first"], 0);

    let found = in_pieces(&parent, "/api/v2/q?q=alone");
    assert_eq!(found["contexts"].as_object().map(serde_json::Map::len), Some(CHARTS / 3));
}

/// Questions about what there is, not about samples.
const ABOUT_CHARTS: [&str; 4] = [
    "/host/large/api/v1/contexts",
    "/host/large/api/v1/context?context=many.same",
    "/host/large/api/v1/alarm_variables?chart=many.c2",
    "/host/large/api/v1/variable?chart=many.c2&variable=a",
];

#[test]
fn what_asks_about_many_charts_is_a_question_with_limits() {
    let (parent, _child) = large_host(|config| config.queries.memory_bytes = 50_000);
    for path in ABOUT_CHARTS.into_iter().chain(["/api/v2/contexts", "/api/v2/q?q=alone"]) {
        let refused = parent.get(path);
        assert_eq!(refused.status, 400, "{path}: {}", refused.text());
        assert!(
            refused.text().contains("`[web] query_memory_bytes` in mainstem.toml lets it have 50000"),
            "{path}"
        );
    }
    assert_eq!(outcomes(&parent, "too_large"), 6);
    parent.wait("a question to be cancelled", |parent| {
        drop(ask_and_leave(parent, "/host/large/api/v1/context?context=alone.c3"));
        outcomes(parent, "cancelled") > 0
    });
}

#[test]
fn what_asks_about_many_charts_is_turned_away_like_others() {
    let (parent, _child) = large_host(|config| config.queries.at_once = 0);
    for path in ABOUT_CHARTS {
        let refused = parent.get(path);
        assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{path}: {}", refused.text());
    }
    assert_eq!(outcomes(&parent, "refused"), 4);
}
