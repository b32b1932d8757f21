//! The set-ups of docs/SETUPS.md as they stand there: real processes, each with the files of its machine.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{get, wait_for};
use crate::peer::{free_port, now};
use crate::sending::sleep_until;

const DOCUMENT: &str = include_str!("../docs/SETUPS.md");
/// Refused once, a machine tries again within this.
const PATIENCE: Duration = Duration::from_secs(90);
/// Charts of the built-in collector that every machine has.
const CHARTS: [&str; 3] = ["system.cpu", "system.ram", "system.load"];
const COMPARED_S: i64 = 15;

/// The text of a machine's file; empty if the document has none.
fn file(machine: &str, name: &str) -> String {
    let blocks = DOCUMENT.split("```ini\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let of_it = blocks.map(|(block, _)| block).filter(|block| {
        let title = block.lines().next().and_then(|line| line.strip_prefix("# ")?.split_once(": "));
        title.is_some_and(|(machines, file)| file == name && machines.split(", ").any(|it| it == machine))
    });
    of_it.collect()
}

/// One of the machines.
struct Machine {
    name: String,
    directory: tempfile::TempDir,
    address: SocketAddr,
    process: Option<Child>,
}

impl Machine {
    /// With the files that the document has for `role`; `addresses` are whose its names stand for.
    fn new(name: &str, role: &str, address: SocketAddr, addresses: &[(&str, SocketAddr)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |text: String| {
            addresses.iter().fold(text, |text, (name, address)| {
                text.replace(&format!("{name}.example:19999"), &address.to_string())
            })
        };
        let netdata = file(role, "netdata.conf");
        let stream = place(file(role, "stream.conf"));
        assert!(!stream.is_empty(), "the document has nothing of {role}");
        let mut more = format!("[global]\nhostname = {name}\n");
        if !netdata.contains("[web]") {
            more += &format!("[web]\nbind to = {address}\n");
        }
        std::fs::write(directory.path().join("netdata.conf"), netdata + &more).expect("written");
        let sooner = if stream.contains("[stream]") { "[stream]\nreconnect delay = 1\n" } else { "" };
        std::fs::write(directory.path().join("stream.conf"), stream + sooner).expect("written");
        Self { name: name.to_owned(), directory, address, process: None }
    }

    fn change(&self, from: &str, to: &str) {
        let path = self.directory.path().join("netdata.conf");
        let text = std::fs::read_to_string(&path).expect("netdata.conf");
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).expect("written");
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn start(&mut self) {
        let log = std::fs::File::options().create(true).append(true).open(self.log()).expect("a log");
        let process = Command::new(env!("CARGO_BIN_EXE_mainstem"))
            .args(["run".as_ref(), "--config".as_ref(), self.directory.path().as_os_str()])
            .args(["--state".as_ref(), self.directory.path().join("state").as_os_str()])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        self.process = Some(process);
    }

    fn signal(&mut self, signal: &str) {
        let Some(mut process) = self.process.take() else { return };
        // Gone already, perhaps.
        let _ = Command::new("kill").args([signal, &process.id().to_string()]).status();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if !matches!(process.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    /// `Null` while it does not answer.
    fn json(&self, path: &str) -> Value {
        if std::net::TcpStream::connect(self.address).is_err() {
            return Value::Null;
        }
        serde_json::from_slice(&get(self.address, path).body).unwrap_or_default()
    }

    /// Hosts with the charts that every machine has.
    fn hosts(&self) -> BTreeSet<String> {
        let info = self.json("/api/v1/info");
        let all = info["mirrored_hosts_status"].as_array().map_or(&[][..], Vec::as_slice);
        let reachable = all.iter().filter(|host| host["reachable"] == true);
        let names = reachable.filter_map(|host| host["hostname"].as_str().map(str::to_owned));
        names.filter(|name| self.has_charts(name)).collect()
    }

    fn has_charts(&self, host: &str) -> bool {
        let charts = &self.json(&format!("/host/{host}/api/v1/charts"))["charts"];
        CHARTS.iter().all(|chart| charts[chart].is_object())
    }

    /// Rows of a host's chart by their second, those with nothing in them left out.
    fn rows(&self, host: &str, chart: &str, (after, before): (i64, i64)) -> BTreeMap<i64, Vec<Option<f64>>> {
        let answer = self.json(&format!(
            "/host/{host}/api/v1/data?chart={chart}&after={after}&before={before}&format=json&options=natural-points"
        ));
        let rows = answer["data"].as_array().map_or(&[][..], Vec::as_slice).iter();
        let rows = rows.filter_map(|row| {
            let (time, values) = row.as_array()?.split_first()?;
            Some((time.as_i64()?, values.iter().map(Value::as_f64).collect::<Vec<_>>()))
        });
        rows.filter(|(_, values)| values.iter().any(Option::is_some)).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.signal("-TERM");
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            eprintln!("--- {}:\n{log}", self.name);
        }
    }
}

fn names(names: &str) -> BTreeSet<String> {
    names.split(' ').map(str::to_owned).collect()
}

#[test]
fn eight_machines_of_two_sites_are_seen_where_they_are_kept() {
    let [c, d, h] = [free_port(), free_port(), free_port()];
    let addresses = [("c", c), ("d", d), ("h", h)];
    let mut all: Vec<Machine> = [("H", h), ("D", d), ("C", c)]
        .into_iter()
        .chain(["A", "B", "E", "F", "G"].map(|name| (name, h)))
        .map(|(name, address)| Machine::new(name, name, address, &addresses))
        .collect();
    all.iter_mut().for_each(Machine::start);
    let (h, c) = (&all[0], &all[2]);
    wait_for("all of them at H", PATIENCE, h, |h| h.hosts() == names("A B C D E F G H"));
    wait_for("three of them at C", PATIENCE, c, |c| c.hosts() == names("A B C"));
    let seen = c.json("/api/v1/info")["mirrored_hosts"].as_array().map_or(0, Vec::len);
    assert_eq!(seen, 3, "nobody else comes to C");

    let window = (now() + 3, now() + 3 + COMPARED_S);
    sleep_until(window.1 + 6);
    for host in ["A", "B", "C", "D", "E", "F", "G", "H"] {
        for chart in CHARTS {
            let far = h.rows(host, chart, window);
            let step = if chart == "system.load" { 5 } else { 1 };
            assert!(far.len() as i64 >= COMPARED_S / step, "{host} {chart} at H: {far:?}");
            if ["A", "B", "C"].contains(&host) {
                assert_eq!(c.rows(host, chart, window), far, "{host} {chart} at C and H");
            }
        }
    }
    // D keeps nothing.
    assert!(all[1].rows("A", "system.cpu", window).len() <= 1);
}

#[test]
fn machines_that_come_and_go_are_seen_while_they_live_and_forgotten_after() {
    let address = free_port();
    let mut parent = Machine::new("parent", "parent", address, &[]);
    parent.change("cleanup orphan hosts after = 1h", "cleanup orphan hosts after = 10");
    parent.start();
    let machine =
        |number: i32| Machine::new(&format!("vm-{number}"), "child", address, &[("parent", address)]);
    let mut machines: Vec<Machine> = (1..=3).map(machine).collect();
    machines.iter_mut().for_each(Machine::start);
    wait_for("all of them", PATIENCE, &parent, |parent| parent.hosts() == names("parent vm-1 vm-2 vm-3"));
    let from = now();
    sleep_until(from + 6);
    for number in 1..=3 {
        let rows = parent.rows(&format!("vm-{number}"), "system.cpu", (from, from + 4));
        assert!(rows.len() >= 4, "vm-{number}: {rows:?}");
    }
    machines.pop();
    machines.pop();
    let listed = |parent: &Machine| -> Vec<String> {
        let info = parent.json("/api/v1/info");
        let all = info["mirrored_hosts"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
    };
    wait_for("those that left to be forgotten", PATIENCE, &parent, |parent| {
        listed(parent) == ["parent", "vm-1"]
    });
    let database = parent.directory.path().join("state/cache");
    let kept = walk(&database).into_iter().filter(|path| path.to_string_lossy().contains("vm-")).count();
    assert_eq!(kept, 0, "nothing of them is on disk");
}

fn walk(directory: &std::path::Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// `OUTAGE_SECONDS` (10) says how long one of the parents is dead.
#[test]
fn a_machine_moves_to_the_other_of_two_mirrors_and_the_one_that_was_dead_has_no_gap() {
    let outage = std::env::var("OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let addresses = [("a", free_port()), ("b", free_port())];
    let [mut a, mut b] = addresses.map(|(name, address)| Machine::new(name, name, address, &addresses));
    let mut machine = Machine::new("web", "any", free_port(), &addresses);
    a.start();
    b.start();
    machine.start();
    for parent in [&a, &b] {
        wait_for("all hosts on both", PATIENCE, parent, |parent| parent.hosts() == names("a b web"));
    }
    let from = now();
    sleep_until(from + 5);
    // It is on the first of its destinations.
    a.signal("-KILL");
    sleep_until(now() + outage);
    wait_for("the machine at the other", PATIENCE, &b, |b| b.hosts().contains("web"));
    a.start();
    for parent in [&a, &b] {
        wait_for("all hosts on both", PATIENCE, parent, |parent| parent.hosts() == names("a b web"));
    }
    let window = (from, now());
    for parent in [&a, &b] {
        wait_for("no gap", PATIENCE, parent, |parent| {
            let rows = parent.rows("web", "system.cpu", window);
            rows.len() as i64 >= window.1 - window.0 && rows == machine.rows("web", "system.cpu", window)
        });
    }
}
