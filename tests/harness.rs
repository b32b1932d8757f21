//! A parent on a port of its own, and what tests say to it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use mainstem::config::{BindAddress, BindHost, BindTo, Collecting, Config, PortTls, Rights};
use mainstem::runtime::Parent;
use mainstem::runtime::clock::Clock;
use uuid::Uuid;

/// The longest that anything here is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running parent; dropping it stops it.
pub(crate) struct TestParent {
    parent: Option<Parent>,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    pub(crate) machine_guid: Uuid,
    /// Its own directory, which goes with it.
    own_state: Option<tempfile::TempDir>,
}

impl TestParent {
    /// A parent as it comes, by the system's clock.
    pub(crate) fn start() -> Self {
        Self::with(Clock::System, |_| {})
    }

    /// A parent whose clock the test moves: unix microseconds.
    pub(crate) fn at(now_us: i64) -> (Self, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(now_us));
        (Self::with(Clock::Manual(Arc::clone(&time)), |_| {}), time)
    }

    pub(crate) fn with(clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let mut parent = Self::within(state.path(), clock, change);
        parent.own_state = Some(state);
        parent
    }

    /// A parent whose state is in this directory.
    pub(crate) fn within(state: &Path, clock: Clock, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::embedded(state).expect("the embedded default").config;
        let key = std::fs::read_to_string(state.join("api.key")).expect("its key").trim().to_owned();
        config.web.bind = vec![BindTo {
            address: BindAddress::Tcp { host: BindHost::Ip([127, 0, 0, 1].into()), interface: None, port: 0 },
            rights: Rights::ALL,
            tls: PortTls::Unsaid,
        }];
        config.hostname = "parent".into();
        // What a test counts came from its own children.
        config.collecting = Collecting::off();
        change(&mut config);
        let machine_guid = Uuid::new_v4();
        // Shown for failed tests; `RUST_LOG` decides how much.
        mainstem::telemetry::log::start(&config.logs).expect("a log");
        let parent = Parent::start(config, machine_guid, clock).expect("the parent starts");
        let address = parent.addresses()[0];
        Self { parent: Some(parent), address, key, machine_guid, own_state: None }
    }

    pub(crate) fn telemetry(&self) -> &mainstem::telemetry::Telemetry {
        self.parent.as_ref().expect("running").telemetry()
    }

    /// The key of those who may manage it.
    pub(crate) fn management_key(&self) -> String {
        let state = self.own_state.as_ref().expect("a directory of its own");
        let key = std::fs::read_to_string(state.path().join("netdata.api.key"));
        key.expect("the management key").trim().to_owned()
    }

    /// `GET path`, on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Response {
        get(self.address, path)
    }

    /// `GET path` that answers JSON.
    pub(crate) fn json(&self, path: &str) -> serde_json::Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {}", response.text());
        serde_json::from_slice(&response.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {}", response.text()))
    }

    /// Waits until `condition` holds.
    pub(crate) fn wait(&self, what: &str, condition: impl FnMut(&Self) -> bool) {
        wait_for(what, PATIENCE, self, condition);
    }

    /// Bytes received from children, by all shards.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.telemetry().total(|shard| &shard.received_bytes)
    }
}

impl Drop for TestParent {
    fn drop(&mut self) {
        if let Some(parent) = self.parent.take() {
            parent.stop();
        }
    }
}

/// Asks again and again, with short pauses, until the answer is yes.
pub(crate) fn wait_for<T>(what: &str, patience: Duration, on: &T, mut condition: impl FnMut(&T) -> bool) {
    let begun = Instant::now();
    while !condition(on) {
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// The head as it came.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Response {
    request(address, &format!("GET {path} HTTP/1.1\r\nHost: parent\r\nConnection: close\r\n\r\n"))
}

/// Sends a whole request and reads until the parent closes.
pub(crate) fn request(address: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(address).expect("the parent listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    parse_response(&bytes)
}

pub(crate) fn parse_response(bytes: &[u8]) -> Response {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    let headers: BTreeMap<String, String> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = &bytes[end + 4..];
    let is_chunked = headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_vec() };
    Response { status, headers, head, body }
}

/// A body that came in chunks, as one.
fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").expect("a chunk's length");
        let length =
            std::str::from_utf8(&rest[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let length = length.expect("a hexadecimal number");
        if length == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + length]);
        rest = &rest[end + 2 + length + 2..];
    }
}

/// Reads a child's prompt: all that comes until the parent has sent `length` bytes or closes.
pub(crate) fn read_prompt(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let length = read(stream, &mut buffer).expect("a prompt");
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

/// One read, with patience. The executors of the parent in this process use signals, which interrupt reads.
pub(crate) fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> std::io::Result<usize> {
    stream.set_read_timeout(Some(PATIENCE))?;
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}
