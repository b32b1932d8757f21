//! The real binary in a place of its own, and the simulator's children that stream to it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mainstem_child::Load;
use mainstem_child::load::Protocol;

use crate::harness::PATIENCE;

/// What the tests count came from children.
const UNCOLLECTED: &str = "[plugins]\nnetdata monitoring = no\nproc = no\ndiskspace = no\ncgroups = no\n";

/// A parent's directories and its port.
pub(crate) struct Place {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
}

impl Place {
    pub(crate) fn new(netdata_conf: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        let place = Self { directory, address };
        let made = Command::new(env!("CARGO_BIN_EXE_mainstem")).arg("init").arg(place.config()).output();
        assert!(made.expect("the command runs").status.success());
        let file = place.config().join("netdata.conf");
        let written = std::fs::read_to_string(&file).expect("netdata.conf");
        std::fs::write(
            &file,
            format!("{written}\n{UNCOLLECTED}[web]\nbind to = {address}\n{netdata_conf}\n"),
        )
        .expect("changed");
        place
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.directory.path().join("etc")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state().join("cache/db")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn key(&self) -> String {
        let written = std::fs::read_to_string(self.config().join("stream.conf")).expect("stream.conf");
        let section = |line: &str| line.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
        written.lines().filter_map(section).find(|name| name.len() == 36).expect("an API key")
    }

    /// A running parent. `before` is said to the shell that becomes it.
    pub(crate) fn parent(&self, before: &str) -> Running {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.directory.path().join("log"))
            .expect("a log");
        let process = Command::new("sh")
            .args(["-c", &format!("{before} exec \"$@\""), "sh", env!("CARGO_BIN_EXE_mainstem"), "run"])
            .args(["--config".as_ref(), self.config().as_os_str()])
            .args(["--state".as_ref(), self.state().as_os_str()])
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let running = Running(process);
        let begun = Instant::now();
        while std::net::TcpStream::connect(self.address).is_err() {
            assert!(begun.elapsed() < PATIENCE, "the parent does not listen: {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    pub(crate) fn children(&self, load: &Load) -> Running {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_mainstem")).with_file_name("mainstem-child");
        assert!(program.exists(), "{} is missing: cargo build --workspace --bins", program.display());
        let protocol = if load.protocol == Protocol::V1 { "v1" } else { "v2" };
        let process = Command::new(program)
            .args(["--parent", &self.address.to_string(), "--key", &self.key(), "--name", &load.name])
            .args(["--children", &load.children.to_string(), "--charts", &load.charts.to_string()])
            .args(["--dimensions", &load.dimensions.to_string(), "--protocol", protocol])
            .args(["--progress", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the simulator starts");
        Running(process)
    }

    /// `mainstem db` with these arguments.
    pub(crate) fn db(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mainstem"))
            .args(["db".as_ref(), "--config".as_ref(), self.config().as_os_str()])
            .args(["--state".as_ref(), self.state().as_os_str()])
            .args(arguments)
            .output()
            .expect("the command runs")
    }

    /// All rows of a chart on disk: by their second, what is in each column.
    pub(crate) fn dump(&self, host: &str, chart: &str) -> BTreeMap<i64, Vec<Option<f64>>> {
        let dumped = self.db(&["dump", host, chart, "--unix"]);
        assert!(dumped.status.success(), "{}", text(&dumped.stderr));
        let printed = text(&dumped.stdout);
        let mut rows = BTreeMap::new();
        for line in printed.lines().skip(1) {
            let mut fields = line.split(',');
            let second = fields.next().and_then(|field| field.parse().ok()).expect("a time");
            let newest = rows.last_key_value().map(|(second, _)| *second);
            assert!(newest < Some(second), "rows out of order at {second}");
            rows.insert(second, fields.map(|field| field.parse().ok()).collect());
        }
        rows
    }
}

/// A process; dropping it ends it.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("it can be killed");
        self.0.wait().expect("it ends");
    }

    /// As `kill` does, and waits.
    pub(crate) fn stop(&mut self) {
        let status = Command::new("kill").arg(self.0.id().to_string()).status().expect("kill runs");
        assert!(status.success());
        assert!(self.0.wait().expect("it ends").success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
