//! A parent under the load of the child simulator. A test binary of its own, because it wants the machine to itself; one
//! test after the other.
//!
//! The simulator compares what the parent answers with the formula its values come from, second by second, and fails
//! when a point is missing or wrong.

#[expect(dead_code, reason = "the other test binary uses more of it")]
mod child;

#[expect(dead_code, reason = "the other test binary uses more of it")]
mod harness;

#[expect(dead_code, reason = "the other test binary uses more of it")]
mod place;

mod storm;

use std::collections::VecDeque;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstem::config::{BindAddress, BindHost, MemoryMode};
use mainstem::runtime::clock::Clock;
use serde_json::Value;

use crate::child::{V2, guid_of, request};
use crate::harness::{TestParent, wait_for};

/// The machine has two cores and one network: a load at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// A running simulator; dropping it ends it.
struct Simulator {
    process: Child,
    report: PathBuf,
}

impl Simulator {
    fn start(parent: &TestParent, directory: &tempfile::TempDir, name: &str, arguments: &[&str]) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_mainstem")).with_file_name("mainstem-child");
        assert!(program.exists(), "{} is missing: cargo build --workspace --bins", program.display());
        let report = directory.path().join(format!("{name}.json"));
        let process = Command::new(program)
            .args(["--parent", &parent.address.to_string(), "--key", &parent.key, "--name", name])
            .args(["--verify", &format!("http://{}", parent.address), "--progress", "0"])
            .args(["--report", report.to_str().expect("a path of the test's own")])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        Self { process, report }
    }

    /// Waits for its end; it has to be satisfied.
    fn finish(mut self) -> Value {
        let status = self.process.wait().expect("it ends");
        let report = std::fs::read(&self.report).unwrap_or_default();
        assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&report));
        serde_json::from_slice(&report).expect("a report")
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // It has ended by itself unless a test failed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn number(report: &Value, member: &str) -> u64 {
    report[member].as_u64().unwrap_or_else(|| panic!("no {member} in {report}"))
}

#[test]
fn two_hundred_children_of_a_thousand_dimensions_lose_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let parent = TestParent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let load = ["--children", "100", "--charts", "100", "--dimensions", "10", "--duration", "32"];
    let start = |name: &str, protocol: &str| {
        let arguments: Vec<&str> = load.iter().copied().chain(["--protocol", protocol]).collect();
        Simulator::start(&parent, &directory, name, &arguments)
    };
    let simulators = [start("old", "v1"), start("new", "v2")];
    for report in simulators.map(Simulator::finish) {
        assert_eq!(number(&report, "reconnects"), 0, "{report}");
        assert!(number(&report, "samples") >= 2_800_000, "{report}");
    }
    assert_eq!(parent.telemetry().total(|shard| &shard.dimensions), 200_000);
    assert_eq!(parent.telemetry().total(|shard| &shard.stale_rows), 0);
}

#[test]
fn every_compression_brings_every_sample() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let parent = TestParent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let load = [
        "--children",
        "5",
        "--charts",
        "50",
        "--dimensions",
        "10",
        "--duration",
        "22",
        "--verify-charts",
        "0",
    ];
    let start = |compression: &'static str, protocol: &'static str| {
        let chosen = ["--compression", compression, "--protocol", protocol];
        let arguments: Vec<&str> = load.into_iter().chain(chosen).collect();
        Simulator::start(&parent, &directory, &format!("{compression}-{protocol}"), &arguments)
    };
    let simulators = ["zstd", "gzip", "brotli", "lz4", "none"]
        .into_iter()
        .flat_map(|compression| ["v1", "v2"].map(|protocol| start(compression, protocol)));
    for report in simulators.collect::<Vec<_>>().into_iter().map(Simulator::finish) {
        assert_eq!(number(&report, "reconnects"), 0, "{report}");
        assert!(number(&report, "samples") >= 5 * 500 * 18, "{report}");
    }
    assert_eq!(parent.telemetry().total(|shard| &shard.dimensions), 10 * 2500);
}

/// Children that come and go, send half a second, nonsense or nothing any more, beside as many that only send; and the
/// parent's API asked for what was just sent.
#[test]
fn what_some_children_do_is_nothing_to_the_others_nor_to_those_who_ask() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let parent = TestParent::start();
    let directory = tempfile::tempdir().expect("a directory");
    let workload = directory.path().join("company.toml");
    let faults = ["cut", "garbage", "half-open", "slow-reader"]
        .map(|kind| format!("[[fault]]\nkind = \"{kind}\"\nshare = 0.1\nevery_s = 3\nfor_s = 2\n"));
    let text = format!(
        "warm_up_s = 3\nduration_s = 13\n[load]\nchildren = 100\ncharts = 5\n[churn]\nshare = 0.1\n\
         life_s = [1, 4]\naway_s = [1, 2]\n{}",
        faults.concat()
    );
    std::fs::write(&workload, text).expect("a workload");
    let (workload, url) = (workload.display().to_string(), format!("http://{}", parent.address));
    let arguments = ["--workload", &workload, "--ask", &url, "--verify-charts", "0"];
    let report = Simulator::start(&parent, &directory, "company", &arguments).finish();
    // Among them all that did nothing, the whole time: five of nine children at least.
    assert!(number(&report["verified"], "questions") >= 250, "{report}");
    assert!(number(&report, "reconnects") > 20, "{report}");
    let ends = &report["ends"];
    for end in
        ["the child left", "cut by the child in the middle of a row", "half-open, then closed by the child"]
    {
        assert!(number(ends, end) > 1, "{report}");
    }
    let by_parent = ["the parent closed the connection", "the connection failed"];
    let refused: u64 = by_parent.iter().filter_map(|end| ends[end].as_u64()).sum();
    assert!(refused > 1, "nonsense was taken: {report}");
    let freshness = &report["freshness"];
    assert!(number(&freshness["in_all"], "count") > 100, "{report}");
    assert!(freshness["by_parent"]["p90_ms"].as_f64().is_some_and(|waited| waited < 1000.0), "{report}");
}

/// A parent whose address does not change from start to start.
fn parent_at(address: SocketAddr, state: &Path) -> TestParent {
    TestParent::within(state, Clock::System, |config| {
        config.web.bind[0].address =
            BindAddress::Tcp { host: BindHost::Ip(address.ip()), interface: None, port: address.port() };
    })
}

/// `OUTAGE_SECONDS` (25) says how long the parent is away.
#[test]
fn after_an_outage_two_hundred_children_bring_what_was_missed_and_live_data_does_not_wait_for_it() {
    const LATE_MS: u64 = 2000;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let outage = std::env::var("OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let directory = tempfile::tempdir().expect("a directory");
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let state = directory.path().join("state");
    let parent = parent_at(address, &state);
    let seconds = (outage + 55).to_string();
    let load = ["--children", "100", "--charts", "50", "--dimensions", "10", "--duration", &seconds];
    let past = ["--database", "3600", "--history", "300", "--verify-charts", "5"];
    let start = |name: &str, protocol: &str| {
        let arguments: Vec<&str> = load.into_iter().chain(past).chain(["--protocol", protocol]).collect();
        Simulator::start(&parent, &directory, name, &arguments)
    };
    let simulators = [start("old", "v1"), start("new", "v2")];
    std::thread::sleep(Duration::from_secs(15));
    drop(parent);
    std::thread::sleep(Duration::from_secs(outage));
    let parent = parent_at(address, &state);
    for report in simulators.map(Simulator::finish) {
        assert_eq!(number(&report, "reconnects"), 100, "{report}");
        let replay = &report["replay"];
        assert!(number(replay, "rows") >= 100 * 50 * (290 + outage), "{report}");
        let late = replay["live_lag_max_ms"].as_f64().expect("a lag");
        assert!(late < LATE_MS as f64, "live data came {late} ms late: {report}");
    }
    let [filling, given_up] = [
        parent.telemetry().total(|shard| &shard.charts_filling),
        parent.telemetry().total(|shard| &shard.replication_given_up),
    ];
    assert_eq!((filling, given_up), (0, 0));
}

#[test]
fn children_that_answer_late_and_are_cut_again_and_again_are_whole_in_the_end() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = tempfile::tempdir().expect("a directory");
    let parent = TestParent::with(Clock::System, |_| {});
    let load = ["--children", "3", "--charts", "40", "--dimensions", "10", "--duration", "22"];
    let past = ["--database", "3600", "--history", "300", "--replay-fault", "late=2"];
    let cuts = ["--cut-every", "8", "--cut-for", "3"];
    let arguments: Vec<&str> = load.into_iter().chain(past).chain(cuts).collect();
    let report = Simulator::start(&parent, &directory, "late", &arguments).finish();
    assert_eq!(number(&report, "reconnects"), 6, "{report}");
}

#[test]
fn two_thousand_children_stay_for_a_minute_in_bad_company() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let parent = TestParent::with(Clock::System, |config| config.limits.pending_bytes_per_child = 1 << 20);
    let directory = tempfile::tempdir().expect("a directory");
    let simulator = Simulator::start(
        &parent,
        &directory,
        "crowd",
        &["--children", "2000", "--charts", "10", "--dimensions", "5", "--duration", "66", "--arrival", "5"],
    );
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| never_read(&parent, &done));
        scope.spawn(|| send_garbage(&parent, &done));
        scope.spawn(|| trickle(&parent, &done));
        scope.spawn(|| come_and_go(&parent));
        scope.spawn(|| half_open(&parent, &done));
        scope.spawn(|| replay_for_ever(&parent, &done));
        // Also when the simulator is not satisfied: the others wait for it.
        let _end = SetAtEnd(&done);
        let report = simulator.finish();
        assert_eq!(number(&report, "reconnects"), 0, "{report}");
        assert_eq!(number(&report, "accepted"), 2000, "{report}");
        // All but the seconds of their arrival.
        assert!(number(&report, "samples") >= 2000 * 50 * 60, "{report}");
    });
    assert!(parent.telemetry().total(|shard| &shard.replayed_rows) > 100_000);
    assert!(parent.telemetry().disconnections.get("not_reading") > 0);
    assert!(parent.telemetry().disconnections.get("parse_error") > 0);
    assert!(parent.telemetry().healthy());
}

/// Sets a flag when it goes.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn connect(parent: &TestParent, name: &str) -> TcpStream {
    child::greet(parent.address, &request(parent, name, guid_of(name), V2)).0
}

/// Makes the parent say things, and listens to none of them.
fn never_read(parent: &TestParent, done: &AtomicBool) {
    let mut number = 0;
    while !done.load(Relaxed) {
        number += 1;
        let mut stream = connect(parent, &format!("deaf-{number}"));
        let definition = "CHART \"a.b\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nCHART_DEFINITION_END 0 0 0\n\
                          RBEGIN \"a.b\"\nREND 1 0 0 true 0 0 0\n"
            .repeat(100);
        while stream.write_all(definition.as_bytes()).is_ok() && !done.load(Relaxed) {}
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Says what nobody can understand, again and again.
fn send_garbage(parent: &TestParent, done: &AtomicBool) {
    let mut number = 0;
    while !done.load(Relaxed) {
        number += 1;
        let mut stream = connect(parent, &format!("garbage-{number}"));
        // Refused in the middle, most likely.
        let _ = stream
            .write_all(&[b"SET \"a\" = 1\n".as_slice(), &[0xFA, 0xFF, 0x00, 0x7F].repeat(1000)].concat());
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A byte a second.
fn trickle(parent: &TestParent, done: &AtomicBool) {
    let mut stream = connect(parent, "trickle");
    for byte in b"CHART \"a.b\" \"\" \"title\"".iter().cycle() {
        if done.load(Relaxed) || stream.write_all(&[*byte]).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Begins to say who it is, five thousand times, and never comes to an end.
fn half_open(parent: &TestParent, done: &AtomicBool) {
    let mut open = Vec::new();
    for _ in 0..5000 {
        let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
        stream.write_all(b"STREAM key=").expect("sent");
        open.push(stream);
    }
    while !done.load(Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Has a past without end: the same hours again and again, whatever it is asked for.
fn replay_for_ever(parent: &TestParent, done: &AtomicBool) {
    let mut stream = connect(parent, "for-ever");
    let mut questions = stream.try_clone().expect("a second handle");
    std::thread::spawn(move || std::io::copy(&mut questions, &mut std::io::sink()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let chart = "CHART \"a.b\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\n\
                 DIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n";
    let offer = format!("{chart}CHART_DEFINITION_END {} {now} {now}\n", now - 7200);
    let mut answer = "RBEGIN \"a.b\"\n".to_owned();
    for second in now - 7200..now {
        answer += &format!("RBEGIN '' {} {second} {now}\nRSET \"d\" 1 \"\"\n", second - 1);
    }
    answer += &format!("REND 1 {} {now} false {} {} {now}\n", now - 7200, now - 7200, now - 7200);
    while !done.load(Relaxed) {
        for text in [&offer, &answer] {
            stream.write_all(text.as_bytes()).expect("it is put up with");
        }
    }
}

/// Opens and closes a thousand times.
fn come_and_go(parent: &TestParent) {
    let request = mainstem::wire::handshake::encode_request(&request(parent, "flap", guid_of("flap"), V2));
    for _ in 0..1000 {
        let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
        stream.write_all(&request).expect("sent");
        drop(stream);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Bytes of this process that are in memory: the parent's, above all.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a Linux");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    resident.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") << 10
}

/// | environment       | default |                                                           |
/// |-------------------|---------|-----------------------------------------------------------|
/// | `EPHEMERAL_LIFE`  | 20      | seconds that a child lives                                |
/// | `EPHEMERAL_AFTER` | 10      | seconds that it is remembered then                        |
/// | `EPHEMERAL_WAVES` | 18      | how often forty of them come; five waves live at a time   |
#[test]
fn children_that_live_shortly_leave_nothing_behind() {
    const CHILDREN: u64 = 40;
    const WAVES_AT_ONCE: usize = 5;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let number_of = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok()).unwrap_or(default)
    };
    let (life, after) = (number_of("EPHEMERAL_LIFE", 20), number_of("EPHEMERAL_AFTER", 10));
    let waves = number_of("EPHEMERAL_WAVES", 18);
    let parent = TestParent::with(Clock::System, |config| {
        config.database.mode = MemoryMode::Ram;
        config.database.cleanup_orphan_hosts_after = Some(Duration::from_secs(after));
    });
    let hosts = |parent: &TestParent| parent.telemetry().total(|shard| &shard.hosts);
    let directory = tempfile::tempdir().expect("a directory");
    let (children, seconds) = (CHILDREN.to_string(), life.to_string());
    let load = ["--children", &children, "--charts", "50", "--dimensions", "10", "--duration", &seconds];
    let mut living: VecDeque<Simulator> = VecDeque::new();
    let (mut resident_before, mut most_hosts) = (0, 0);
    for wave in 0..waves {
        let arguments: Vec<&str> = load.into_iter().chain(["--verify-charts", "0"]).collect();
        living.push_back(Simulator::start(&parent, &directory, &format!("wave-{wave}"), &arguments));
        if living.len() == WAVES_AT_ONCE {
            living.pop_front().expect("the oldest").finish();
        } else {
            std::thread::sleep(Duration::from_secs(life) / WAVES_AT_ONCE as u32);
        }
        most_hosts = most_hosts.max(hosts(&parent));
        if wave + 1 == waves.div_ceil(2) {
            resident_before = resident();
        }
    }
    let resident_after = resident();
    living.into_iter().for_each(|simulator| drop(simulator.finish()));
    // The living, those that are remembered, and what is looked at only every few seconds.
    let expected = CHILDREN * WAVES_AT_ONCE as u64 * (life + after) / life;
    assert!(most_hosts <= 2 * expected, "{most_hosts} hosts at once");
    assert!(
        resident_after < resident_before + resident_before / 4,
        "{resident_before} bytes in memory half way, {resident_after} at the end"
    );
    wait_for("the last to be forgotten", Duration::from_secs(after + 20), &parent, |parent| {
        hosts(parent) == 0
    });
    let groups = |parent: &TestParent| parent.telemetry().total(|shard| &shard.groups);
    wait_for("their samples to go", Duration::from_secs(20), &parent, |parent| groups(parent) == 0);
    assert_eq!(parent.telemetry().total(|shard| &shard.forgotten_hosts), waves * CHILDREN);
    let info = parent.json("/api/v1/info");
    assert_eq!(info["mirrored_hosts"].as_array().map(Vec::len), Some(1), "only the parent itself: {info}");
    eprintln!("{most_hosts} hosts at most, {resident_before} and {resident_after} bytes in memory");
}
