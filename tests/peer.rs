//! A real Netdata as child: what comes out of our API equals what its own API says, point by point.
//!
//! `tests/peer/` has the fixture: how the child is set up, what it collects, and which windows can be compared.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::{TestParent, get};

/// Windows begin and end at multiples of all intervals.
const WINDOW_S: i64 = 30;
/// The first samples differ, because the child stored them before the parent knew the chart.
const SETTLED_AFTER_S: i64 = 12;
/// After SIGTERM it is gone in 0.1 s; now and then one whose handshake has failed turns in circles instead.
const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Samples younger than this may not be stored yet, at either side.
const STORED_AFTER_S: i64 = 6;

/// Rows of a chart that a failure shows.
const SHOWN_OF_A_CHART: usize = 5;

/// A Netdata process; dropping it ends it.
pub(crate) struct Netdata {
    process: Child,
    pub(crate) api: SocketAddr,
}

impl Netdata {
    /// A child of the parent at this address.
    pub(crate) fn child(directory: &Path, key: &str, parent: SocketAddr, compression: &str) -> Self {
        Self::child_with(directory, key, &parent.to_string(), &[&format!("COMPRESSION={compression}")])
    }

    /// A child with a destination of whatever kind; `settings` are more of those that `run.sh` knows.
    pub(crate) fn child_with(directory: &Path, key: &str, destination: &str, settings: &[&str]) -> Self {
        let destination = format!("PARENT={destination}");
        Self::run("child", free_port(), directory, key, &[&[&*destination], settings].concat())
    }

    /// A child that collects what its machine does, without compression.
    pub(crate) fn machine(directory: &Path, key: &str, destination: SocketAddr) -> Self {
        let destination = format!("PARENT={destination}");
        Self::run("machine", free_port(), directory, key, &[&destination, "COMPRESSION=no"])
    }

    /// A parent on this port; `settings` are more of those that `run.sh` knows.
    pub(crate) fn parent(api: SocketAddr, directory: &Path, key: &str, settings: &[&str]) -> Self {
        Self::run("parent", api, directory, key, settings)
    }

    fn run(role: &str, api: SocketAddr, directory: &Path, key: &str, settings: &[&str]) -> Self {
        let netdata = std::env::var("NETDATA").unwrap_or("/usr/sbin/netdata".into());
        assert!(Path::new(&netdata).exists(), "{netdata} is missing: apt-get install netdata-core");
        let process = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer/run.sh"))
            .arg(role)
            .arg(directory)
            .arg(format!("PORT={}", api.port()))
            .arg(format!("KEY={key}"))
            .args(settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the script runs");
        Self { process, api }
    }
}

impl Drop for Netdata {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let begun = Instant::now();
        while begun.elapsed() < ENDS_WITHIN {
            match self.process.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(20)),
                _ => return,
            }
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Rows by time, without the time; the labels are left out, since a child names some dimensions otherwise to itself.
fn rows(body: &[u8]) -> Result<Vec<Vec<Option<f64>>>, String> {
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(body)))?;
    let rows = answer["data"].as_array().ok_or("no rows")?;
    Ok(rows.iter().map(|row| row.as_array().into_iter().flatten().map(Value::as_f64).collect()).collect())
}

fn check(compression: &str) {
    let parent = TestParent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let netdata = Netdata::child(directory.path(), &parent.key, parent.address, compression);
    parent.wait("the child to stream", |parent| parent.telemetry().total(|shard| &shard.rows) > 0);

    let first = (now() + SETTLED_AFTER_S).div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S;
    let last = first + WINDOW_S;
    // Real time has to pass: a real child samples a real clock.
    let wait_s = last + STORED_AFTER_S - now();
    std::thread::sleep(Duration::from_secs(wait_s as u64));

    compare(netdata.api, parent.address, first, last);
    let disconnected = parent.telemetry().disconnections.get("closed_by_child");
    assert_eq!(disconnected, 0, "one connection all the time");
}

/// Compares all charts but some in a window, point by point, and wants many of them.
pub(crate) fn compare(child: SocketAddr, parent: SocketAddr, first: i64, last: i64) {
    let charts: Value =
        serde_json::from_slice(&get(child, "/api/v1/charts").body).expect("the child's charts");
    let mut compared = 0;
    let mut charts_compared = 0;
    let mut wrong = Vec::new();
    for (id, chart) in charts["charts"].as_object().expect("charts") {
        // Those that change their definition while connected differ at every parent; see the fixture.
        if ["synth.late", "synth.growing", "synth.ending"].iter().any(|other| other == id) {
            continue;
        }
        let query = format!(
            "/api/v1/data?chart={}&after={first}&before={last}&format=json&group=average&gtime=0&options=natural-points",
            encode(id)
        );
        let theirs = rows(&get(child, &query).body);
        let ours = rows(&get(parent, &format!("/host/child{query}")).body);
        let (Ok(theirs), Ok(ours)) = (&theirs, &ours) else {
            if theirs.is_ok() != ours.is_ok() {
                wrong.push(format!("{id}: {theirs:?} there, {ours:?} here"));
            }
            continue;
        };
        charts_compared += 1;
        let mut differing = 0;
        if theirs.len() != ours.len() {
            wrong.push(format!("{id}: {} rows there, {} here", theirs.len(), ours.len()));
        }
        for (theirs, ours) in theirs.iter().zip(ours) {
            compared += theirs.len() - 1;
            let equal = |pair: (&Option<f64>, &Option<f64>)| match pair {
                // Netdata keeps 24 bits of mantissa and a decimal exponent: numbers beyond 2^24 times a few powers of
                // ten have six digits left.
                (Some(theirs), Some(ours)) => {
                    let precision = if theirs.abs() < 1e12 { 1e-6 } else { 1e-5 };
                    (theirs - ours).abs() <= theirs.abs() * precision + 1e-6
                }
                (theirs, ours) => theirs == ours,
            };
            let is_equal = theirs.len() == ours.len() && theirs.iter().zip(ours).all(equal);
            if !is_equal {
                differing += 1;
            }
            if !is_equal && differing <= SHOWN_OF_A_CHART {
                wrong.push(format!("{id} ({}): {theirs:?} there, {ours:?} here", chart["update_every"]));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {compared} points' rows differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(100)].join("\n")
    );
    assert!(charts_compared >= 40 && compared >= 3000, "{charts_compared} charts, {compared} points");
}

#[test]
fn a_real_child_with_lz4_is_mirrored_point_by_point() {
    check("yes");
}

#[test]
fn a_real_child_without_compression_is_mirrored_point_by_point() {
    check("no");
}

/// What the fixture's collector sends covers every algorithm, or the tests above would prove less than they say.
#[test]
fn the_fixture_collects_by_every_algorithm() {
    let plugin = include_str!("peer/synth.plugin");
    let algorithms: BTreeSet<&str> =
        ["absolute", "incremental", "percentage-of-absolute-row", "percentage-of-incremental-row"]
            .into_iter()
            .filter(|algorithm| plugin.contains(algorithm))
            .collect();
    assert_eq!(algorithms.len(), 4, "{algorithms:?}");
}
