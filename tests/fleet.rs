//! Questions over many hosts at once: their answers against those of each host, and what happens to questions that are too
//! large, too many or unwanted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use mainstem::config::Config;
use mainstem::runtime::clock::Clock;
use serde_json::Value;

use crate::child::{Child, V2, guid_of};
use crate::harness::{Response, TestParent, read};

const START: i64 = 1_795_342_200;
const ROWS: i64 = 400;
const NOW: i64 = START + ROWS + 1;
const HOSTS: [&str; 6] = ["web1", "web2", "web3", "db1", "db2", "slow"];
const DIMENSIONS: [&str; 3] = ["user", "system", "idle"];

/// A parent whose clock stands still until its hosts are there.
struct Fleet {
    parent: TestParent,
    clock: Arc<AtomicI64>,
}

impl std::ops::Deref for Fleet {
    type Target = TestParent;

    fn deref(&self) -> &TestParent {
        &self.parent
    }
}

fn parent(change: impl FnOnce(&mut Config)) -> Fleet {
    let clock = Arc::new(AtomicI64::new((NOW - 2) * 1_000_000));
    Fleet { parent: TestParent::with(Clock::Manual(Arc::clone(&clock)), change), clock }
}

/// A value that follows from its place; two dimensions of the databases' hosts have gaps.
fn value(host: usize, chart: usize, dimension: usize, time: i64) -> Option<f64> {
    let seed = (host * 31 + chart * 17 + dimension * 7) as i64;
    let is_gap = dimension < 2 && (3..5).contains(&host) && (time / 20 + host as i64) % 5 == 0;
    (!is_gap).then(|| (((time * 37 + seed * 101) % 2000) - 400) as f64 / 8.0)
}

/// Hosts with two charts of the context `cpu.cpu`, and one of another; those of `slow` have a sample every two seconds.
fn fleet(parent: &Fleet) -> Vec<Child> {
    let mut rows = 0;
    let mut children = Vec::new();
    for (host, hostname) in HOSTS.into_iter().enumerate() {
        let every = if hostname == "slow" { 2 } else { 1 };
        let mut child = Child::connect(parent, hostname, V2);
        let room = if host % 2 == 0 { "even" } else { "odd" };
        let mut text = format!("LABEL \"room\" = 2 \"{room}\"\nOVERWRITE labels\n");
        let charts = [("cpu.cpu0", "cpu.cpu"), ("cpu.cpu1", "cpu.cpu"), ("mem.ram", "mem.ram")];
        for (id, context) in charts {
            let _ = write!(
                text,
                "CHART \"{id}\" \"\" \"Title of {context}\" \"percentage\" \"\" \"{context}\" \"stacked\" 1000 {every} \"\" \
                 \"p\" \"m\"\nCLABEL \"core\" \"{id}\" 1\nCLABEL_COMMIT\n"
            );
            for dimension in DIMENSIONS {
                let _ = writeln!(text, "DIMENSION \"{dimension}\" \"\" \"absolute\" 1 1 \"\"");
            }
            let _ = writeln!(text, "CHART_DEFINITION_END 0 0 0");
        }
        for time in (START..START + ROWS).filter(|time| time % every == 0) {
            for (chart, (id, _)) in charts.into_iter().enumerate() {
                let _ = writeln!(text, "BEGIN2 '{id}' {every} {time} #");
                for (dimension, name) in DIMENSIONS.into_iter().enumerate() {
                    if let Some(value) = value(host, chart, dimension, time) {
                        let flags = if time % 50 == 0 { "AR" } else { "A" };
                        let _ = writeln!(text, "SET2 '{name}' 1 {value} {flags}");
                    }
                }
                text += "END2\n";
                rows += 1;
            }
        }
        child.send(&text);
        children.push(child);
    }
    parent.wait("all rows", |parent| parent.telemetry().total(|shard| &shard.rows) == rows);
    // What has changed since hosts were published last waits for the clock.
    parent.clock.store(NOW * 1_000_000, Relaxed);
    parent.wait("all hosts to be published", |parent| {
        let found = parent.json("/api/v2/contexts");
        found["contexts"]["cpu.cpu"]["instances"] == 2 * HOSTS.len()
    });
    children
}

/// The points of a column by their time; what is `None` is a gap.
type Points = BTreeMap<i64, Option<f64>>;

/// A dimension of a chart of a host, as `/api/v1/data` answers.
struct OneSeries {
    host: usize,
    chart: String,
    dimension: String,
    points: Points,
}

fn series_of_each_host(parent: &TestParent, window: &str, method: &str) -> Vec<OneSeries> {
    let mut all = Vec::new();
    for (host, hostname) in HOSTS.into_iter().enumerate() {
        let path =
            format!("/host/{hostname}/api/v1/data?context=cpu.cpu&{window}&group={method}&options=jsonwrap");
        let response = parent.get(&path);
        if response.status == 404 {
            continue;
        }
        let answer: Value = serde_json::from_slice(&response.body).expect("JSON");
        let names = answer["dimension_names"].as_array().expect("names");
        for (column, name) in names.iter().enumerate() {
            let rows = answer["result"]["data"].as_array().expect("rows");
            all.push(OneSeries {
                host,
                chart: answer["chart_ids"][column].as_str().expect("an id").to_owned(),
                dimension: name.as_str().expect("a name").to_owned(),
                points: rows
                    .iter()
                    .map(|row| (row[0].as_i64().expect("a time"), row[column + 1].as_f64()))
                    .collect(),
            });
        }
    }
    all
}

/// What groups of these series come to, by the name of the group.
fn grouped(series: &[OneSeries], by: &str, aggregation: &str) -> BTreeMap<String, Points> {
    let mut members: BTreeMap<String, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
    for one in series {
        let hostname = HOSTS[one.host];
        let name = match by {
            "dimension" => one.dimension.clone(),
            "node" => hostname.to_owned(),
            "instance" => format!("{}@{hostname}", one.chart),
            "label" => (if one.host % 2 == 0 { "even" } else { "odd" }).to_owned(),
            "context" => "cpu.cpu".to_owned(),
            "units" => "percentage".to_owned(),
            "dimension,node" => format!("{},{hostname}", one.dimension),
            _ => "selected".to_owned(),
        };
        let group = members.entry(name).or_default();
        for (time, value) in &one.points {
            group.entry(*time).or_default().extend(*value);
        }
    }
    let point = |values: &Vec<f64>| {
        let sum: f64 = values.iter().sum();
        let of = |both: fn(f64, f64) -> f64| values.iter().copied().reduce(both);
        match aggregation {
            _ if values.is_empty() => None,
            "sum" => Some(sum),
            "min" => of(f64::min),
            "max" => of(f64::max),
            "extremes" => of(|a, b| if b.abs() > a.abs() { b } else { a }),
            _ => Some(sum / values.len() as f64),
        }
    };
    let points =
        |group: BTreeMap<i64, Vec<f64>>| group.iter().map(|(time, values)| (*time, point(values))).collect();
    members.into_iter().map(|(name, group)| (name, points(group))).collect()
}

/// The columns of a json2 answer by their names.
fn columns(answer: &Value) -> BTreeMap<String, Points> {
    let names = answer["view"]["dimensions"]["names"].as_array().expect("names");
    let rows = answer["result"]["data"].as_array().expect("rows");
    let column = |column: usize| -> Points {
        let point = |row: &Value| (row[0].as_i64().expect("a time"), row[column + 1][0].as_f64());
        rows.iter().map(point).collect()
    };
    let named = names.iter().enumerate();
    named.map(|(place, name)| (name.as_str().expect("a name").to_owned(), column(place))).collect()
}

fn assert_close(found: &BTreeMap<String, Points>, expected: &BTreeMap<String, Points>, what: &str) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (name, points) in expected {
        for (time, expected) in points {
            let found = found[name].get(time).copied().flatten();
            let is_close = match (found, *expected) {
                (Some(found), Some(expected)) => (found - expected).abs() <= 2e-5 * expected.abs().max(1.0),
                (found, expected) => found == expected,
            };
            assert!(is_close, "{what}, {name} at {time}: {found:?}, not {expected:?}");
        }
        assert_eq!(found[name].len(), points.len(), "{what}, {name}");
    }
}

#[test]
fn answers_are_those_of_each_host_put_together() {
    let parent = parent(|_| {});
    let _children = fleet(&parent);
    let window = |after: i64, before: i64, points: i64| {
        format!("after={}&before={}&points={points}", START + after, START + before)
    };
    // Absolute windows: a relative one ends for each host where its own samples do.
    let windows = [window(100, 300, 20), window(-50, 450, 7), window(10, 30, 20), window(0, 399, 1)];
    for (window, method) in windows.iter().zip(["average", "sum", "max", "min"]).chain([
        (&windows[0], "median"),
        (&windows[1], "average"),
        (&windows[1], "ses"),
        (&windows[3], "countif"),
    ]) {
        let series = series_of_each_host(&parent, window, method);
        assert_eq!(series.len(), HOSTS.len() * 2 * DIMENSIONS.len(), "{window}");
        for by in ["selected", "dimension", "node", "instance", "label", "context", "units", "dimension,node"]
        {
            for aggregation in ["avg", "sum", "min", "max", "extremes"] {
                let path = format!(
                    "/api/v2/data?scope_contexts=cpu.cpu&{window}&time_group={method}&group_by={by}&group_by_label=room\
                     &aggregation={aggregation}"
                );
                let answer = parent.json(&path);
                assert_close(&columns(&answer), &grouped(&series, by, aggregation), &path);
            }
        }
    }
}

#[test]
fn patterns_choose_hosts_charts_and_dimensions() {
    let parent = parent(|_| {});
    let _children = fleet(&parent);
    let window = format!("after={}&before={}&points=10", START + 100, START + 300);
    let names = |query: &str| -> Vec<String> {
        columns(&parent.json(&format!("/api/v2/data?contexts=cpu.cpu&{window}&{query}")))
            .into_keys()
            .collect()
    };
    assert_eq!(names("nodes=web*|!db1|db*&group_by=node"), ["db2", "web1", "web2", "web3"]);
    assert_eq!(names(&format!("scope_nodes={}&group_by=node", guid_of("db2"))), ["db2"]);
    assert_eq!(names("nodes=web1&instances=cpu.cpu1&group_by=instance"), ["cpu.cpu1@web1"]);
    assert_eq!(names("labels=core:cpu.cpu1&nodes=web1&group_by=label&group_by_label=core"), ["cpu.cpu1"]);
    assert_eq!(names("dimensions=user|system"), ["system", "user"]);
    assert_eq!(names("scope_dimensions=!idle|*"), ["system", "user"]);
    let nothing = parent.get(&format!("/api/v2/data?contexts=no.such&{window}"));
    assert_eq!((nothing.status, nothing.text().as_str()), (404, "No metrics where matched to query."));
    // The same by the name of the third API.
    assert_eq!(parent.get(&format!("/api/v3/data?contexts=cpu.cpu&{window}")).status, 200);

    let answer = parent.json(&format!("/api/v2/data?contexts=cpu.cpu&{window}&nodes=web*&group_by=node"));
    assert_eq!((&answer["api"], &answer["totals"]["nodes"]["qr"]), (&2.into(), &3.into()));
    assert_eq!(answer["summary"]["nodes"][0]["nm"], "web1");
    assert_eq!(answer["summary"]["contexts"][0]["id"], "cpu.cpu");
    let shares = answer["summary"]["nodes"].as_array().expect("nodes").iter();
    let sum: f64 = shares.map(|node| node["sts"]["con"].as_f64().expect("a share")).sum();
    assert!((sum - 100.0).abs() < 1e-3, "{sum}");
    assert_eq!(answer["view"]["dimensions"]["grouped_by"], serde_json::json!(["node"]));
    assert_eq!(answer["view"]["dimensions"]["aggregated"], serde_json::json!([6, 6, 6]));
    assert_eq!(answer["db"]["per_tier"][0]["tier"], 0);
    assert_eq!(answer["summary"]["alerts"], serde_json::json!([]));

    // Labels of charts, each with its values and what their series come to.
    let labels = answer["summary"]["labels"].as_array().expect("labels");
    let ids = |of: &Value| -> Vec<String> {
        let all = of.as_array().expect("a list").iter();
        all.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&answer["summary"]["labels"]), ["_collect_plugin", "_collect_module", "core"]);
    let core = &labels[2];
    assert_eq!(ids(&core["vl"]), ["cpu.cpu0", "cpu.cpu1"]);
    assert_eq!((&core["ds"]["sl"], &core["vl"][0]["ds"]["qr"]), (&18.into(), &9.into()));
    let share = |of: &Value| of["sts"]["con"].as_f64().expect("a share");
    assert!((share(core) - 100.0).abs() < 1e-3, "{core}");
    assert!((share(&core["vl"][0]) + share(&core["vl"][1]) - 100.0).abs() < 1e-3, "{core}");
    assert_eq!(
        (&answer["totals"]["label_keys"]["sl"], &answer["totals"]["label_key_values"]["sl"]),
        (&3.into(), &4.into())
    );
    let limited =
        parent.json(&format!("/api/v2/data?contexts=cpu.cpu&{window}&nodes=web*&cardinality_limit=1"));
    let core = &limited["summary"]["labels"][2];
    assert_eq!((ids(&core["vl"]), &core["ds"]["sl"]), (vec!["cpu.cpu0".to_owned()], &18.into()));
}

#[test]
fn a_second_pass_groups_the_groups_of_the_first() {
    let parent = parent(|_| {});
    let _children = fleet(&parent);
    let window = format!("after={}&before={}&points=10", START + 100, START + 300);
    let series = series_of_each_host(&parent, &window, "average");
    // The largest of each host's sums.
    let sums = grouped(&series, "node", "sum");
    let mut expected = Points::new();
    for points in sums.values() {
        for (time, value) in points {
            let all = expected.entry(*time).or_default();
            *all = [*all, *value].into_iter().flatten().reduce(f64::max);
        }
    }
    let path = format!(
        "/api/v2/data?contexts=cpu.cpu&{window}&group_by[0]=node&aggregation[0]=sum&group_by[1]=selected&aggregation[1]=max"
    );
    let expected = BTreeMap::from([("selected".to_owned(), expected)]);
    assert_close(&columns(&parent.json(&path)), &expected, &path);

    // What part of each chart some of its dimensions are.
    let path = format!(
        "/api/v2/data?contexts=cpu.cpu&{window}&nodes=web1&dimensions=user|system&group_by=percentage-of-instance"
    );
    let answer = parent.json(&path);
    assert_eq!(answer["view"]["units"], "%");
    let found = columns(&answer);
    for chart in ["cpu.cpu0", "cpu.cpu1"] {
        let of = |dimension: &str, time: i64| {
            let wanted = |one: &&OneSeries| one.host == 0 && one.chart == chart && one.dimension == dimension;
            series.iter().find(wanted).and_then(|one| one.points[&time]).unwrap_or(0.0)
        };
        for (time, percentage) in &found[&format!("{chart}@web1")] {
            let shown = of("user", *time) + of("system", *time);
            let expected = 100.0 * shown / (shown + of("idle", *time));
            let percentage = percentage.expect("there is one");
            assert!(
                (percentage - expected).abs() <= 1e-3 * expected.abs().max(1.0),
                "{percentage} {expected}"
            );
        }
    }
}

#[test]
fn answers_come_in_three_formats() {
    let parent = parent(|_| {});
    let _children = fleet(&parent);
    let question = format!(
        "/api/v2/data?contexts=cpu.cpu&nodes=web1|db1&group_by=node&after={}&before={}&points=0&options=flip",
        START + 40,
        START + 44
    );
    let json2 = parent.json(&question);
    assert_eq!(json2["result"]["point"], serde_json::json!({"value": 0, "arp": 1, "pa": 2}));
    let rows = json2["result"]["data"].as_array().expect("rows");
    assert_eq!((rows.len(), &rows[0][0]), (5, &Value::from(START + 40)));
    assert_eq!(json2["result"]["labels"][1], guid_of("db1").to_string());
    let json = parent.json(&format!("{question}&format=json"));
    assert_eq!(json["labels"], serde_json::json!(["time", "db1", "web1"]));
    for (plain, full) in json["data"].as_array().expect("rows").iter().zip(rows) {
        assert_eq!((&plain[0], &plain[1], &plain[2]), (&full[0], &full[1][0], &full[2][0]));
    }
    let csv = parent.get(&format!("{question}&format=csv&options=seconds"));
    assert_eq!(csv.header("content-type"), "text/plain; charset=utf-8");
    let text = csv.text();
    let mut lines = text.split("\r\n");
    assert_eq!(lines.next(), Some("time,db1,web1"));
    let first = lines.next().expect("a row");
    assert_eq!(first, format!("{},{},{}", json["data"][0][0], json["data"][0][1], json["data"][0][2]));
    let wrapped = parent.json(&format!("{question}&format=csv&options=seconds,jsonwrap"));
    assert_eq!(wrapped["result"], text.replace("\r\n", "\n"));
    let times = |options: &str| {
        parent.json(&format!("{question}&format=json&options={options}"))["data"][0][0].clone()
    };
    assert_eq!(times("ms"), Value::from((START + 40) * 1000));
    assert!(times("rfc3339").as_str().is_some_and(|time| time.starts_with("2026-") && time.ends_with('Z')));

    // Gaps, and points that not all members have.
    let gaps = parent.json(&format!(
        "/api/v2/data?contexts=cpu.cpu&nodes=web1|db1&dimensions=user&group_by=node&after={}&before={}&points=0&options=flip",
        START,
        START + 99
    ));
    let flags = |column: usize, flag: i64| {
        let rows = gaps["result"]["data"].as_array().expect("rows").iter();
        rows.filter(|row| row[column][2].as_i64().expect("flags") & flag != 0).count()
    };
    assert_eq!((flags(1, 1), flags(2, 1)), (20, 0));
    // Counters that were reset, one of them in a gap.
    assert_eq!((flags(1, 2), flags(2, 2)), (1, 2));
}

#[test]
fn contexts_are_listed_and_found() {
    let parent = parent(|_| {});
    let _children = fleet(&parent);
    let all = parent.json("/api/v2/contexts");
    let cpu = &all["contexts"]["cpu.cpu"];
    assert_eq!((&cpu["title"], &cpu["units"]), (&"Title of cpu.cpu".into(), &"percentage".into()));
    assert_eq!((&cpu["nodes"], &cpu["instances"], &cpu["live"]), (&6.into(), &12.into(), &true.into()));
    assert_eq!((&cpu["first_entry"], &cpu["last_entry"]), (&START.into(), &(START + ROWS - 1).into()));
    assert!(cpu.get("dimensions").is_none());
    let listed = parent.json("/api/v2/contexts?options=dimensions");
    assert_eq!(listed["contexts"]["cpu.cpu"]["dimensions"], serde_json::json!(["idle", "system", "user"]));
    let some = parent.json("/api/v2/contexts?nodes=db*&contexts=mem*");
    assert_eq!(some["contexts"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(some["contexts"]["mem.ram"]["nodes"], 2);

    let found = parent.json("/api/v2/q?q=CPU1");
    assert_eq!(found["contexts"].as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(found["contexts"]["cpu.cpu"]["found"]["instances"], serde_json::json!(["cpu.cpu1"]));
    assert_eq!(found["nodes"], serde_json::json!([]));
    let found = parent.json("/api/v3/q?q=web");
    assert_eq!(found["nodes"].as_array().map(Vec::len), Some(3));
    assert_eq!(parent.json("/api/v2/q?q=room")["nodes"].as_array().map(Vec::len), Some(6));
    assert_eq!(parent.get("/api/v2/q").status, 400);
}

#[test]
fn weights_are_of_all_hosts() {
    let parent = parent(|_| {});
    let _children = fleet(&parent);
    let windows = format!(
        "after={}&before={}&baseline_after={}&baseline_before={}",
        START + 300,
        START + 399,
        START,
        START + 299
    );
    let found = parent.json(&format!("/api/v2/weights?method=volume&contexts=cpu.cpu&points=50&{windows}"));
    let nodes = found["nodes"].as_array().expect("nodes");
    assert_eq!((nodes.len(), &found["total_dimensions_count"]), (HOSTS.len(), &36.into()));
    let mut weights = Vec::new();
    for node in nodes {
        let instances = &node["contexts"]["cpu.cpu"]["instances"];
        for (_, instance) in instances.as_object().expect("charts") {
            let dimensions = instance["dimensions"].as_object().expect("dimensions");
            weights.extend(dimensions.values().map(|weight| weight.as_f64().expect("a rank")));
        }
    }
    assert_eq!(weights.len() as u64, found["weighted_dimensions"].as_u64().expect("a count"));
    assert!(weights.iter().all(|weight| (0.0..1.0).contains(weight)) && weights.contains(&0.0));

    // What each was worth, as `data` has it.
    let window = format!("after={}&before={}", START + 301, START + 399);
    let values = parent.json(&format!("/api/v2/weights?method=value&nodes=web1&contexts=cpu.cpu&{window}"));
    let data = parent.json(&format!(
        "/api/v2/data?nodes=web1&contexts=cpu.cpu&instances=cpu.cpu1&{window}&points=1&options=unaligned"
    ));
    let dimensions = &values["nodes"][0]["contexts"]["cpu.cpu"]["instances"]["cpu.cpu1"]["dimensions"];
    for (name, points) in columns(&data) {
        let (value, point) = (dimensions[&name].as_f64().expect("a value"), points.values().next().copied());
        let point = point.flatten().expect("a point").abs();
        assert!((value - point).abs() < 1e-3 * point.max(1.0), "{name}: {value} {point}");
    }
    let refused = parent.get(&format!("/api/v2/weights?method=ks2&after={START}&before={START}"));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(parent.get("/api/v3/weights?method=volume&contexts=no.such").status, 404);
}

/// A host with one chart of many dimensions and few rows: questions about a day of it take long, not much memory.
fn wide(parent: &Fleet) -> Child {
    let mut child = Child::connect(parent, "wide", V2);
    let mut text =
        String::from("CHART \"w.w\" \"\" \"t\" \"u\" \"\" \"w.w\" \"line\" 1 1 \"\" \"p\" \"m\"\n");
    for dimension in 0..400 {
        let _ = writeln!(text, "DIMENSION \"d{dimension}\" \"\" \"absolute\" 1 1 \"\"");
    }
    text += "CHART_DEFINITION_END 0 0 0\n";
    for time in [START, START + ROWS] {
        let _ = writeln!(text, "BEGIN2 'w.w' 1 {time} #");
        for dimension in 0..400 {
            let _ = writeln!(text, "SET2 'd{dimension}' 1 {dimension} A");
        }
        text += "END2\n";
    }
    child.send(&text);
    parent.wait("two rows", |parent| parent.telemetry().total(|shard| &shard.rows) == 2);
    parent.clock.store(NOW * 1_000_000, Relaxed);
    parent.wait("the host", |parent| parent.json("/api/v2/contexts")["contexts"]["w.w"]["instances"] == 1);
    child
}

/// A question about the host of [`wide`] that takes hundreds of turns.
fn long_question() -> String {
    format!(
        "/api/v2/data?contexts=w.w&after={}&before={}&points=86400&time_group=median&group_by=selected",
        START - 86_400,
        START + ROWS
    )
}

pub(crate) fn outcomes(parent: &TestParent, outcome: &str) -> u64 {
    let page = parent.get("/metrics").text();
    let name = format!("mainstem_query_outcomes_total{{outcome=\"{outcome}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

pub(crate) fn ask_and_leave(parent: &TestParent, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: parent\r\n\r\n").as_bytes()).expect("sent");
    stream
}

#[test]
fn a_question_ends_when_its_client_leaves() {
    let parent = parent(|_| {});
    let _child = wide(&parent);
    parent.wait("a question to be cancelled", |parent| {
        // The client may be faster than the parent, which then never begins.
        drop(ask_and_leave(parent, &long_question()));
        outcomes(parent, "cancelled") > 0
    });
    parent.wait("all questions to end", |parent| {
        parent.get("/metrics").text().contains("\nmainstem_running_queries 0\n")
    });
    assert_eq!(outcomes(&parent, "timed_out"), 0);
}

#[test]
fn limits_are_told_by_name() {
    let parent = parent(|config| {
        config.queries.memory_bytes = 1 << 20;
        config.queries.longest = Duration::from_secs(1);
    });
    let _child = wide(&parent);
    let refused = parent.get(&long_question());
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("`[web] query_memory_bytes` in mainstem.toml lets it have 1048576"));
    let path =
        format!("/host/wide/api/v1/data?chart=w.w&after={}&before={START}&points=86400", START - 86_400);
    let refused = parent.get(&path);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.text().contains("`[web] query_memory_bytes`"));
    assert_eq!(outcomes(&parent, "too_large"), 2);

    // Its client wants it within a millisecond.
    let path = long_question().replace("points=86400", "points=20000") + "&timeout=1";
    let late = parent.get(&path);
    assert_eq!((late.status, late.text().as_str()), (503, "Query timeout exceeded"));
    assert_eq!(outcomes(&parent, "timed_out"), 1);
}

#[test]
fn one_question_too_many_is_told_to_come_back() {
    let parent = parent(|config| config.queries.at_once = 1);
    let _child = wide(&parent);
    let refused = AtomicUsize::new(0);
    let answered = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while refused.load(Relaxed) == 0 || answered.load(Relaxed) == 0 {
                    let response = parent.get(&long_question());
                    match response.status {
                        200 => answered.fetch_add(1, Relaxed),
                        503 => {
                            assert_eq!(response.header("retry-after"), "1");
                            assert!(response.text().contains("`[web] queries`"), "{}", response.text());
                            refused.fetch_add(1, Relaxed)
                        }
                        other => panic!("{other}: {}", response.text()),
                    };
                }
            });
        }
    });
    assert!(outcomes(&parent, "refused") >= 1);
    // What asks no questions is answered all the while.
    assert_eq!(parent.get("/api/v1/info").status, 200);
}

#[test]
fn a_small_question_does_not_wait_for_large_ones() {
    let parent = parent(|_| {});
    let _child = wide(&parent);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                assert_eq!(parent.get(&long_question()).status, 200);
                done.fetch_add(1, Relaxed);
            });
        }
        parent.wait("large questions to run", |parent| {
            !parent.get("/metrics").text().contains("\nmainstem_running_queries 0\n")
        });
        let small = format!("/host/wide/api/v1/data?chart=w.w&dimensions=d1&after={START}&before={START}");
        assert_eq!(parent.get(&small).status, 200);
        assert!(done.load(Relaxed) < 4, "all large questions were answered before the small one");
    });
}

/// A question whose answer is larger than any socket's buffers.
fn large_answer() -> String {
    long_question()
        .replace("time_group=median&group_by=selected", "dimensions=d?|d1*|d2*&group_by=dimension")
        .replace("points=86400", "points=20000")
}

#[test]
fn slow_readers_and_idle_connections_do_not_slow_others() {
    let parent = parent(|_| {});
    let _child = wide(&parent);
    let before = outcomes(&parent, "answered");
    let slow: Vec<TcpStream> = (0..4).map(|_| ask_and_leave(&parent, &large_answer())).collect();
    parent.wait("their answers to be written", |parent| outcomes(parent, "answered") >= before + 4);
    // Two thousand browsers that have had an answer and leave their connection open.
    let idle: Vec<TcpStream> = (0..2000)
        .map(|_| {
            let mut stream = ask_and_leave(&parent, "/version.txt");
            let mut buffer = [0; 2048];
            assert!(read(&mut stream, &mut buffer).expect("an answer") > 0);
            stream
        })
        .collect();
    let small = format!("/host/wide/api/v1/data?chart=w.w&dimensions=d1&after={START}&before={START}");
    for _ in 0..20 {
        assert_eq!(parent.get(&small).status, 200);
    }
    assert_eq!(parent.get(&large_answer()).status, 200);
    let clients = parent.telemetry().http.clients.load(Relaxed);
    assert!(clients >= 2004, "{clients}: all of them are still there");
    drop((slow, idle));
}

#[test]
fn who_does_not_read_is_let_go() {
    let parent = parent(|config| {
        config.web.disconnect_idle_clients_after = Some(Duration::from_millis(300));
    });
    let _child = wide(&parent);
    let before = outcomes(&parent, "answered");
    let _slow = ask_and_leave(&parent, &large_answer());
    parent.wait("the answer", |parent| outcomes(parent, "answered") > before);
    parent.wait("the end of its connection", |parent| {
        let Response { status, .. } = parent.get("/version.txt");
        status == 200 && parent.telemetry().http.clients.load(Relaxed) == 0
    });
}
