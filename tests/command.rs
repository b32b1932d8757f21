//! The command as an operator uses it: what it prints, what it writes, how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{PATIENCE, get};

fn mainstem(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstem"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG");
    command
}

fn output(arguments: &[&str]) -> Output {
    mainstem(arguments).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn utf8(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

/// A configuration directory as `init` writes it, on a free port, without anything collected of the parent itself.
pub(crate) fn configuration(directory: &Path) -> SocketAddr {
    let output = output(&["init", utf8(directory)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let address =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let file = directory.join("netdata.conf");
    let written = std::fs::read_to_string(&file).expect("netdata.conf");
    let uncollected = "[plugins]\nnetdata monitoring = no\nproc = no\ndiskspace = no\ncgroups = no\n";
    std::fs::write(&file, format!("{written}\n{uncollected}[web]\nbind to = {address}\n")).expect("changed");
    address
}

/// A running parent; dropping it kills it.
pub(crate) struct Running {
    pub(crate) process: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut process =
            mainstem(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (sender, lines) = std::sync::mpsc::channel();
        let pipes: [Box<dyn Read + Send>; 2] = [
            Box::new(process.stdout.take().expect("a pipe")),
            Box::new(process.stderr.take().expect("a pipe")),
        ];
        for pipe in pipes {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // Nobody may be left to read.
                    let _ = sender.send(line);
                }
            });
        }
        Self { process, lines }
    }

    /// Waits for a line that contains `wanted`; gives back all lines up to it.
    pub(crate) fn read_to(&self, wanted: &str) -> Vec<String> {
        let mut read = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(wanted) => {
                    read.push(line);
                    return read;
                }
                Ok(line) => read.push(line),
                Err(_) => panic!("no line with {wanted:?} in {read:#?}"),
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, as most tests want.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn what_init_writes_can_be_checked_and_run_without_a_warning() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("etc");
    let output = output(&["init", utf8(&config)]);
    let printed = text(&output.stdout);
    assert!(
        output.status.success() && printed.contains("api key = ") && printed.contains("destination = "),
        "{printed}"
    );
    let check = self::output(&["check", "--config", utf8(&config)]);
    assert!(check.status.success());
    assert_eq!(text(&check.stderr), "");
    assert!(text(&check.stdout).contains("bind to = "), "{}", text(&check.stdout));
    let key = printed.lines().find_map(|line| line.trim().strip_prefix("api key = ")).expect("a key");
    assert!(!text(&check.stdout).contains(key), "check shows no key");
    let again = self::output(&["init", utf8(&config)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again.stderr).contains("nothing was written, because there is already "),
        "{}",
        text(&again.stderr)
    );
}

#[test]
fn check_names_file_and_line_and_exits_with_1_on_errors_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("etc");
    configuration(&config);
    std::fs::write(config.join("netdata.conf"), "[db]\nupdate evry = 1\n").expect("written");
    let check = output(&["check", "--config", utf8(&config)]);
    assert!(check.status.success());
    let warning = format!("{}:2: warning: ", config.join("netdata.conf").display());
    let said = text(&check.stderr);
    assert!(said.contains(&warning) && said.contains("update every"), "{said}");

    std::fs::write(config.join("netdata.conf"), "[web]\n\nbind to = 127.0.0.1:99999\n").expect("written");
    let check = output(&["check", "--config", utf8(&config)]);
    assert_eq!(check.status.code(), Some(1));
    let said = text(&check.stderr);
    assert!(said.contains(&format!("{}:3: error: ", config.join("netdata.conf").display())), "{said}");

    let missing = output(&["check", "--config", utf8(&directory.path().join("nowhere"))]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("nowhere"), "{}", text(&missing.stderr));
}

/// Debian's package brings these; the wording of Netdata's own files must not look like mistakes.
#[test]
fn check_has_no_error_for_debians_stock_configuration() {
    if !Path::new("/etc/netdata/netdata.conf").exists() {
        panic!("/etc/netdata is missing: apt-get install netdata-core");
    }
    let check = output(&["check", "--config", "/etc/netdata"]);
    let said = text(&check.stderr);
    assert!(check.status.success(), "{said}");
    assert!(!said.contains("error:"), "{said}");
    assert!(said.lines().filter(|line| line.contains("warning:")).count() <= 3, "{said}");
}

#[test]
fn a_parent_tells_where_it_listens_serves_and_stops_on_a_signal() {
    for signal in ["TERM", "INT"] {
        let directory = tempfile::tempdir().expect("a directory");
        let address = configuration(&directory.path().join("etc"));
        let state = directory.path().join("state");
        let mut parent = Running::start(&[
            "run",
            "--config",
            utf8(&directory.path().join("etc")),
            "--state",
            utf8(&state),
        ]);
        parent.read_to(&format!("listening on {address}"));
        assert_eq!(get(address, "/-/healthy").status, 200);
        let guid =
            std::fs::read_to_string(state.join("registry/netdata.public.unique.id")).expect("the GUID");
        assert!(get(address, "/api/v1/info").text().contains(&guid));
        parent.signal(signal);
        let begun = Instant::now();
        assert!(parent.process.wait().expect("it ends").success(), "{signal}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{signal}");
    }
}

/// Where the system gives huge pages to all, as Debian's does, they are a third more memory (docs/decisions/0006-memory-of-a-metric.md).
#[test]
fn a_parent_refuses_huge_pages() {
    let directory = tempfile::tempdir().expect("a directory");
    let (etc, state) = (directory.path().join("etc"), directory.path().join("state"));
    let address = configuration(&etc);
    let parent = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
    parent.read_to(&format!("listening on {address}"));
    let status = std::fs::read_to_string(format!("/proc/{}/status", parent.process.id())).expect("it runs");
    assert!(status.lines().any(|line| line == "THP_enabled:\t0"), "{status}");
}

#[test]
fn the_machine_guid_and_the_embedded_key_are_made_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let state = directory.path().join("state");
    let first = mainstem::config::Config::embedded(&state).expect("the embedded default");
    let file = &first.config.directories.machine_guid_file;
    let (guid, remark) = mainstem::config::identity::machine_guid(file).expect("a GUID");
    assert!(remark.is_none());
    let key = mainstem::config::identity::api_key(&state).expect("a key");
    assert_eq!(mainstem::config::identity::machine_guid(file).expect("the same").0, guid);
    assert_eq!(mainstem::config::identity::api_key(&state).expect("the same"), key);
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("etc");
    let address = configuration(&config);
    let _taken = TcpListener::bind(address).expect("still free");
    let run = output(&["run", "--config", utf8(&config), "--state", utf8(directory.path())]);
    assert_eq!(run.status.code(), Some(1));
    let said = text(&run.stderr);
    assert!(
        said.contains(&format!("cannot listen on {address}: ")) && said.contains("default port"),
        "{said}"
    );
}

#[test]
fn a_state_directory_that_cannot_be_written_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("written");
    let run = output(&["run", "--state", utf8(&file.join("state"))]);
    assert_eq!(run.status.code(), Some(1));
    let said = text(&run.stderr);
    assert!(said.contains(utf8(&file)) && said.contains("state directory"), "{said}");
}

#[test]
fn version_and_help_are_there() {
    assert_eq!(text(&output(&["--version"]).stdout), concat!("mainstem ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = text(&output(&["--help"]).stdout);
    assert!(["run", "init", "check", "--config", "--state"].iter().all(|word| help.contains(word)), "{help}");
    assert_eq!(output(&["nonsense"]).status.code(), Some(2));
}
