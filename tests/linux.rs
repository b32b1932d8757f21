//! The built-in collector beside a real Netdata on the same machine, at the same time: the same charts, and values that
//! agree as far as two looks at different moments can.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use mainstem::linux::{Collector, Options};

use crate::peer::Netdata;

/// How long both collect.
const COLLECTED_FOR: Duration = Duration::from_secs(9);
/// A collector of Netdata starts as late as this.
const STARTS_WITHIN: Duration = Duration::from_secs(30);
/// What a child without compression or replication streams to: the fourth version has labels of charts.
const ACCEPTED: &[u8] = b"Hit me baby, push them over with the version=4";

const KEY: &str = "5a4f0c1e-6f0e-4b5c-9d55-1f9c1d1f7a10";

/// Modules of Netdata's plugins that the collector leaves to others.
const NOT_OURS: [&str; 3] = ["/proc/net/stat/synproxy", "/proc/mdstat", "/sys/class/power_supply"];
/// Charts that exist once a gauge was seen above zero: what is in flight at one moment is not at another.
const SEEN_BY_CHANCE: [&str; 2] = ["disk_qops.", "ipv4.sockstat_"];
/// Charts of every machine; without these nothing was compared.
const CORE: [&str; 8] = [
    "system.cpu",
    "system.load",
    "system.ram",
    "system.uptime",
    "system.processes",
    "system.pgpgio",
    "system.interrupts",
    "ipv4.sockstat_sockets",
];
/// Values that are worked out of two rows, or rise and fall faster than anyone looks.
const OF_A_MOMENT: [&str; 12] = [
    "disk_await.",
    "disk_ext_await.",
    "disk_avgsz.",
    "disk_ext_avgsz.",
    "disk_svctm.",
    "disk_util.",
    "disk_qops.",
    "system.processes",
    "mem.writeback",
    "ipv4.sockstat_",
    "ipv6.sockstat6_",
    "system.entropy",
];

#[derive(Default)]
struct Dimension {
    /// Name, algorithm, multiplier, divisor, options.
    definition: Vec<String>,
    values: Vec<i64>,
}

#[derive(Default)]
struct Chart {
    /// All words of its line behind the id.
    definition: Vec<String>,
    labels: BTreeMap<String, String>,
    dimensions: BTreeMap<String, Dimension>,
    is_obsolete: bool,
}

type Charts = BTreeMap<String, Chart>;

/// Words between spaces; in quotes a word can have them, or be empty.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a quote ends"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// Takes the whole lines of a text into `charts`; the same for both sides.
fn apply(charts: &mut Charts, at: &mut String, text: &str) {
    for line in text.lines() {
        let words = words(line);
        let Some((keyword, words)) = words.split_first() else { continue };
        match keyword.as_str() {
            "CHART" => {
                *at = words[0].clone();
                let chart = charts.entry(at.clone()).or_default();
                chart.definition = words[1..].iter().map(|word| word.trim().to_owned()).collect();
                chart.is_obsolete = words[8].contains("obsolete");
            }
            "CLABEL" => {
                let chart = charts.entry(at.clone()).or_default();
                chart.labels.insert(words[0].clone(), words[1].clone());
            }
            "DIMENSION" => {
                let chart = charts.entry(at.clone()).or_default();
                let dimension = chart.dimensions.entry(words[0].clone()).or_default();
                dimension.definition = words[1..].iter().map(|word| word.trim().to_owned()).collect();
            }
            "BEGIN" => at.clone_from(&words[0]),
            "SET" => {
                let chart = charts.get_mut(at.as_str()).expect("a chart is defined before its rows");
                let dimension = chart.dimensions.get_mut(&words[0]).expect("so are dimensions");
                let value = words.last().and_then(|value| value.parse().ok()).expect("a number");
                dimension.values.push(value);
            }
            _ => {}
        }
    }
}

/// What a Netdata streams to us from its first chart on, and what we collect from before to after it.
fn collect_both() -> (Charts, Charts) {
    let directory = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let mut collector = Collector::new(Options::default());
    let (mut theirs, mut ours) = (Charts::new(), Charts::new());
    let (mut at_theirs, mut at_ours) = (String::new(), String::new());
    let mut out = Vec::new();
    collector.collect(0, &mut out);

    let _netdata = Netdata::machine(directory.path(), KEY, address);
    let (mut stream, _) = listener.accept().expect("a child");
    let mut request = [0; 16 * 1024];
    assert!(stream.read(&mut request).expect("a request") > 0);
    stream.write_all(ACCEPTED).expect("an answer");
    stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");

    let begun = Instant::now();
    let mut received = Vec::new();
    let mut first_row = None;
    let mut last_tick = Instant::now();
    while first_row.is_none_or(|first: Instant| first.elapsed() < COLLECTED_FOR) {
        assert!(begun.elapsed() < STARTS_WITHIN + COLLECTED_FOR, "no rows of Netdata");
        let mut buffer = [0; 64 * 1024];
        match stream.read(&mut buffer) {
            Ok(0) => panic!("Netdata left"),
            Ok(length) => received.extend_from_slice(&buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        if first_row.is_none() && received.windows(6).any(|window| window == b"BEGIN ") {
            first_row = Some(Instant::now());
        }
        if last_tick.elapsed() >= Duration::from_secs(1) {
            let elapsed_us = last_tick.elapsed().as_micros() as u64;
            last_tick = Instant::now();
            collector.collect(elapsed_us, &mut out);
        }
    }
    // Once more than slower charts have to wait.
    for _ in 0..6 {
        collector.collect(1_000_000, &mut out);
    }
    apply(&mut ours, &mut at_ours, std::str::from_utf8(&out).expect("text"));
    let whole = received.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    apply(&mut theirs, &mut at_theirs, std::str::from_utf8(&received[..whole]).expect("text"));
    (theirs, ours)
}

fn is_of(id: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| id.starts_with(prefix))
}

/// How a chart differs in what it says of itself.
fn compare_definitions(id: &str, theirs: &Chart, ours: &Chart, wrong: &mut Vec<String>) {
    if theirs.definition != ours.definition {
        wrong.push(format!("{id}: {:?} there, {:?} here", theirs.definition, ours.definition));
    }
    if theirs.labels != ours.labels {
        wrong.push(format!("{id}: {:?} there, {:?} here", theirs.labels, ours.labels));
    }
    for (name, dimension) in &theirs.dimensions {
        match ours.dimensions.get(name) {
            None => wrong.push(format!("{id}: no dimension {name}")),
            Some(other) if other.definition != dimension.definition => {
                wrong.push(format!(
                    "{id}.{name}: {:?} there, {:?} here",
                    dimension.definition, other.definition
                ));
            }
            Some(_) => {}
        }
    }
}

/// How far the values of a dimension are from what we saw around them. Ours begin before theirs and end after them, so a
/// counter of theirs lies between; what rises and falls may leave our range by a part of itself.
fn compare_values(id: &str, name: &str, theirs: &Dimension, ours: &Dimension, wrong: &mut Vec<String>) {
    let (Some(&least), Some(&most)) = (ours.values.iter().min(), ours.values.iter().max()) else {
        wrong.push(format!("{id}.{name}: no values here"));
        return;
    };
    let is_counter = theirs.definition[1].contains("incremental");
    let slack = if is_counter { 2 + most.abs() / 1000 } else { 50 + most.abs().max(least.abs()) / 4 };
    let range = least.saturating_sub(slack)..=most.saturating_add(slack);
    if let Some(value) = theirs.values.iter().find(|value| !range.contains(value)) {
        wrong.push(format!("{id}.{name}: {value} there, {least} to {most} here"));
    }
}

#[test]
fn charts_and_values_are_those_of_netdata() {
    let (theirs, ours) = collect_both();
    let mut wrong = Vec::new();
    let mut compared = BTreeSet::new();
    for (id, chart) in &theirs {
        let module = chart.definition.last().map_or("", String::as_str);
        if NOT_OURS.contains(&module) {
            continue;
        }
        let Some(other) = ours.get(id) else {
            if !is_of(id, &SEEN_BY_CHANCE) {
                wrong.push(format!("{id}: not here"));
            }
            continue;
        };
        compared.insert(id.as_str());
        compare_definitions(id, chart, other, &mut wrong);
        if is_of(id, &OF_A_MOMENT) {
            continue;
        }
        for (name, dimension) in &chart.dimensions {
            if let Some(other) = other.dimensions.get(name) {
                compare_values(id, name, dimension, other, &mut wrong);
            }
        }
    }
    for (id, chart) in &ours {
        if !theirs.contains_key(id) && !chart.is_obsolete && !is_of(id, &SEEN_BY_CHANCE) {
            wrong.push(format!("{id}: not there"));
        }
    }
    for id in CORE {
        assert!(compared.contains(id), "{id} was not compared, only {compared:?}");
    }
    assert!(
        wrong.is_empty(),
        "{} differences in {} charts:\n{}",
        wrong.len(),
        compared.len(),
        wrong[..wrong.len().min(100)].join("\n")
    );
}
