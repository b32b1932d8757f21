//! Programs of others that read from a parent as they would from a Netdata: PyPI's client, Prometheus, a shell.
//!
//! What they have then is compared with what `/api/v1/data` says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::child::{Child, V2};
use crate::harness::{PATIENCE, TestParent, get, wait_for};
use crate::peer::{free_port, now};

/// The client's release, the newest for the Python of Debian 12.
const PYPI_NETDATA: &str = "netdata==1.3.0";
/// How far the past of the child reaches back.
const PAST_S: i64 = 60;
/// Scrapes of a series that are compared.
const SCRAPES: usize = 4;
/// All programs show seven digits behind the point or fewer.
const PRECISION: f64 = 1e-6;

const CHARTS: &str = "CHART \"app.requests\" \"\" \"Requests\" \"requests/s\" \"requests\" \"app.requests\" \"line\" 1000 1 \
    \"\" \"p\" \"m\"\nDIMENSION \"get\" \"\" \"absolute\" 1 1 \"\"\nDIMENSION \"post\" \"in flight\" \"absolute\" 1 1 \"\"\n\
    CHART_DEFINITION_END 0 0 0\n\
    CHART \"app.disk-1.io\" \"\" \"Disk\" \"KiB/s\" \"disk \\1\" \"app.io\" \"area\" 1000 1 \"\" \"p\" \"m\"\n\
    DIMENSION \"reads\" \"\" \"absolute\" 1 1 \"\"\nDIMENSION \"writes\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n";

/// A host that sends a row a second, when told to.
struct Machine {
    child: Child,
    next: i64,
}

impl Machine {
    fn connect(parent: &TestParent) -> Self {
        let mut child = Child::connect(parent, "web-1", V2);
        child.send(CHARTS);
        Self { child, next: now() - PAST_S }
    }

    /// Sends all rows that are due.
    fn catch_up(&mut self) {
        let mut rows = String::new();
        for time in self.next..=now() {
            let of = |chart: &str, first: (&str, f64), second: (&str, f64)| {
                let (a, b) = (first.1, second.1);
                format!(
                    "BEGIN2 '{chart}' 1 {time} #\nSET2 '{}' {a} {a} A\nSET2 '{}' {b} {b} A\nEND2\n",
                    first.0, second.0
                )
            };
            let t = time as f64;
            rows += &of("app.requests", ("get", t % 17.0), ("post", t % 60.0 / 4.0));
            rows += &of("app.disk-1.io", ("reads", t % 7.0 * 1000.0), ("writes", -(t % 11.0)));
        }
        self.next = self.next.max(now() + 1);
        self.child.send(&rows);
    }
}

/// A parent that has the past of a child, and that child.
fn parent_and_machine() -> (TestParent, Machine) {
    let parent = TestParent::start();
    let mut machine = Machine::connect(&parent);
    machine.catch_up();
    let newest = machine.next - 1;
    for chart in ["app.requests", "app.disk-1.io"] {
        parent.wait("the past of the child", |parent| rows(parent, chart).contains_key(&newest));
    }
    (parent, machine)
}

/// A chart's rows by time, by the name of their dimension, as `data` has them.
fn rows(parent: &TestParent, chart: &str) -> BTreeMap<i64, BTreeMap<String, f64>> {
    let path = format!("/host/web-1/api/v1/data?chart={chart}&after=-{}&options=seconds", 2 * PAST_S);
    let answer: Value = serde_json::from_slice(&parent.get(&path).body).unwrap_or_default();
    let labels: Vec<&str> =
        answer["labels"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut found = BTreeMap::new();
    for row in answer["data"].as_array().into_iter().flatten() {
        let values = labels.iter().zip(row.as_array().into_iter().flatten()).skip(1);
        let values = values.filter_map(|(label, value)| Some(((*label).to_owned(), value.as_f64()?)));
        let values: BTreeMap<String, f64> = values.collect();
        if let (Some(time), false) = (row[0].as_i64(), values.is_empty()) {
            found.insert(time, values);
        }
    }
    found
}

fn is_close(a: f64, b: f64) -> bool {
    (a - b).abs() <= b.abs() * PRECISION + PRECISION
}

#[track_caller]
fn succeeded(what: &str, output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {}: {error}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The Python of an environment that has the client; it is kept, and made anew for another release.
fn python_with_client() -> PathBuf {
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join(PYPI_NETDATA.replace("==", "-"));
    let (python, made) = (environment.join("bin/python"), environment.join("made"));
    if !made.exists() {
        let venv =
            Command::new("/usr/bin/python3").args(["-m", "venv", "--clear"]).arg(&environment).output();
        succeeded("python3 -m venv", &venv.expect("apt-get install python3-venv"));
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYPI_NETDATA];
        succeeded("pip install", &Command::new(&python).args(install).output().expect("pip runs"));
        std::fs::write(&made, "").expect("written");
    }
    python
}

/// The client asks with `%3F` for a question mark.
#[test]
fn the_client_from_pypi_reads_a_host() {
    const PROGRAM: &str = "
import asyncio, json, sys
from netdata import Netdata

async def main(port):
    client = Netdata('127.0.0.1', port=port, path='/host/web-1/api/v1/')
    await client.get_chart('app.requests')
    await client.get_allmetrics()
    await client.get_alarms()
    await client.get_info()
    print(json.dumps([client.values, client.metrics, client.alarms, client.info]))
    await client.close()

asyncio.run(main(int(sys.argv[1])))
";
    let python = python_with_client();
    let (parent, mut machine) = parent_and_machine();
    let port = parent.address.port().to_string();
    let asking = Command::new(python)
        .args(["-c", PROGRAM, &port])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    // It asks for the last second: the child has to go on meanwhile.
    let asking = std::thread::spawn(move || asking.wait_with_output().expect("it ends"));
    wait_for("the client", PATIENCE, &asking, |asking| {
        machine.catch_up();
        asking.is_finished()
    });
    let output = asking.join().expect("it ends");
    let [values, metrics, alarms, info] =
        serde_json::from_str::<[Value; 4]>(&succeeded("the client", &output)).expect("JSON");

    let ours = rows(&parent, "app.requests");
    let row =
        ours.get(&values["time"].as_i64().expect("a time")).unwrap_or_else(|| panic!("{values} in {ours:?}"));
    assert_eq!(row.len(), 2, "{values}");
    for (name, value) in row {
        assert!(values[name].as_f64().is_some_and(|found| is_close(found, *value)), "{name} of {values}");
    }
    for chart in ["app.requests", "app.disk-1.io"] {
        let found = &metrics[chart];
        let time = found["last_updated"].as_i64().expect("a time");
        // `data` ends a second ago.
        parent.wait("that second to be over", |parent| rows(parent, chart).contains_key(&time));
        let row = &rows(&parent, chart)[&time];
        let dimensions = found["dimensions"].as_object().expect("dimensions");
        assert_eq!(dimensions.len(), row.len(), "{metrics}");
        for dimension in dimensions.values() {
            let value = *row
                .get(dimension["name"].as_str().expect("a name"))
                .unwrap_or_else(|| panic!("{dimension} in {row:?}"));
            let is_same = dimension["value"].as_f64().is_some_and(|found| is_close(found, value));
            assert!(is_same, "{dimension}, not {value}");
        }
    }
    assert_eq!((&alarms["hostname"], &alarms["alarms"]), (&json!("web-1"), &json!({})));
    assert_eq!(info, parent.json("/host/web-1/api/v1/info"));
}

#[test]
fn a_shell_evaluates_the_metrics() {
    const PROGRAM: &str = "eval \"$(curl --silent --show-error --fail \"$1\")\" && set";
    let (parent, machine) = parent_and_machine();
    let url = format!("http://{}/host/web-1/api/v1/allmetrics?format=shell", parent.address);
    let output = Command::new("/bin/sh").args(["-euc", PROGRAM, "sh", &url]).output().expect("a shell");
    let set = succeeded("the shell", &output);
    let variables: BTreeMap<&str, &str> = set
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(name, _)| name.starts_with("NETDATA_APP_"))
        .map(|(name, value)| (name, value.trim_matches('\'')))
        .collect();

    let newest = machine.next - 1;
    let mut expected = BTreeMap::new();
    for (chart, prefix) in
        [("app.requests", "NETDATA_APP_REQUESTS"), ("app.disk-1.io", "NETDATA_APP_DISK_1_IO")]
    {
        let row = &rows(&parent, chart)[&newest];
        let rounded = row.values().map(|value| value.round_ties_even());
        expected.insert(format!("{prefix}_VISIBLETOTAL"), rounded.sum::<f64>());
        for (name, value) in row {
            let name = name.to_uppercase().replace(' ', "_");
            expected.insert(format!("{prefix}_{name}"), value.round_ties_even());
        }
    }
    let found: BTreeMap<String, f64> = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.parse().expect("a number")))
        .collect();
    assert_eq!(found, expected);
}

/// A Prometheus on a port of its own; dropping it ends it.
struct Prometheus {
    process: std::process::Child,
    address: std::net::SocketAddr,
    directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, log) = (directory.path().join("prometheus.yml"), directory.path().join("log"));
        std::fs::write(&file, configuration).expect("written");
        let address = free_port();
        let process = Command::new("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(log).expect("a log"))
            .spawn()
            .expect("apt-get install prometheus");
        let prometheus = Self { process, address, directory };
        wait_for("Prometheus to listen", PATIENCE, &address, |address| {
            std::net::TcpStream::connect(address).is_ok()
        });
        prometheus
    }

    /// All samples that it has by now, by their labels.
    fn series(&self, selector: &str) -> Vec<(Value, Vec<(i64, f64)>)> {
        let body = get(self.address, &format!("/api/v1/query?query={selector}[5m]")).body;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        let sample = |sample: &Value| Some((sample[0].as_f64()? as i64, sample[1].as_str()?.parse().ok()?));
        let found = answer["data"]["result"].as_array().into_iter().flatten();
        found
            .map(|series| {
                let samples = series["values"].as_array().into_iter().flatten().filter_map(sample);
                (series["metric"].clone(), samples.collect())
            })
            .collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Gone already, perhaps.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// As `docs/prometheus.yml` has it, but more often: each sample is the average of the rows since the scrape before.
#[test]
fn prometheus_scrapes_averages_of_all_rows() {
    let (parent, mut machine) = parent_and_machine();
    let configuration = include_str!("../docs/prometheus.yml")
        .replace("parent.example:19999", &parent.address.to_string())
        .replace("scrape_interval: 10s", "scrape_interval: 1s")
        .replace("scrape_configs:", "global:\n  scrape_interval: 1s\nscrape_configs:");
    let prometheus = Prometheus::start(&configuration);
    let selector =
        "{job=\"mainstem-hosts\",instance=\"web-1\",__name__=~\"netdata_app_.%2B\"}".replace('"', "%22");
    wait_for("some scrapes", PATIENCE, &prometheus, |prometheus| {
        machine.catch_up();
        let series = prometheus.series(&selector);
        series.len() >= 4 && series.iter().all(|(_, samples)| samples.len() > SCRAPES)
    });

    let series = prometheus.series(&selector);
    let mut named = Vec::new();
    for (labels, samples) in &series {
        let label = |name: &str| labels[name].as_str().unwrap_or_default();
        let (chart, dimension) = (label("chart"), label("dimension"));
        named.push(format!("{} {chart} {dimension} {}", label("__name__"), label("family")));
        let rows = rows(&parent, chart);
        for pair in samples.windows(2) {
            let (since, (time, value)) = (pair[0].0, pair[1]);
            let window: Vec<f64> = rows.range(since + 1..=time).map(|(_, row)| row[dimension]).collect();
            assert_eq!(window.len() as i64, time - since, "{labels} at {time}: a row a second");
            let average = window.iter().sum::<f64>() / window.len() as f64;
            assert!(is_close(value, average), "{labels} since {since} at {time}: {value}, not {average}");
        }
    }
    named.sort();
    assert_eq!(
        named,
        [
            "netdata_app_io_KiB_persec_average app.disk-1.io reads disk \\1",
            "netdata_app_io_KiB_persec_average app.disk-1.io writes disk \\1",
            "netdata_app_requests_requests_persec_average app.requests get requests",
            "netdata_app_requests_requests_persec_average app.requests in flight requests",
        ]
    );
    // Both jobs, all the time.
    let up = prometheus.series("up");
    assert_eq!(up.len(), 2, "{up:?}");
    assert!(
        up.iter().all(|(_, samples)| samples.iter().all(|(_, value)| *value == 1.0)),
        "{up:?}: {}",
        prometheus.log()
    );
    assert!(!prometheus.series("mainstem_catalog_hosts").is_empty(), "{}", prometheus.log());
}
