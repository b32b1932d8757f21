//! A real Netdata child with a database, through outages of every kind: afterwards nothing is missing, and nothing is wrong.
//!
//! | environment      | default |                                    |
//! |------------------|---------|------------------------------------|
//! | `OUTAGE_SECONDS` | 25      | how long the parent is away, each time |

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::command::{Running, configuration, utf8};
use crate::harness::{get, wait_for};
use crate::peer::{Netdata, compare, now};

/// The child comes back within its delays, and then has a lot to tell.
const RETURN: Duration = Duration::from_secs(90);
/// The first samples differ, because the child stored them before the parent knew the chart.
const SETTLED_AFTER_S: i64 = 12;
/// Windows begin and end at multiples of all intervals.
const WINDOW_S: i64 = 30;
/// Samples younger than this may not be stored yet, at either side.
const STORED_AFTER_S: i64 = 6;

/// What lies between child and parent, and can be cut.
struct Network {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Network {
    fn to(parent: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let is_cut = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (cut, open) = (Arc::clone(&is_cut), Arc::clone(&connections));
        std::thread::spawn(move || {
            for child in listener.incoming().map_while(Result::ok) {
                // As a network that is down: nothing arrives, or nobody is there.
                let Ok(parent) = TcpStream::connect(parent) else { continue };
                if cut.load(Relaxed) {
                    continue;
                }
                let ends = |stream: &TcpStream| stream.try_clone().expect("a second handle");
                open.lock().expect("no panic").extend([ends(&child), ends(&parent)]);
                let (up, down) = ((ends(&child), ends(&parent)), (parent, child));
                for (from, to) in [up, down] {
                    std::thread::spawn(move || carry(from, to));
                }
            }
        });
        Self { address, is_cut, connections }
    }

    fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        for stream in self.connections.lock().expect("no panic").drain(..) {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn mend(&self) {
        self.is_cut.store(false, Relaxed);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn start(directory: &Path) -> Running {
    let (etc, state) = (directory.join("etc"), directory.join("state"));
    let parent = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
    parent.read_to("listening on ");
    parent
}

/// A figure of `/metrics`, over all shards.
fn figure(parent: SocketAddr, name: &str) -> f64 {
    let metrics = get(parent, "/metrics").text();
    let of_shards = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    of_shards.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The child is back, and nothing is missing any more.
fn wait_until_complete(parent: SocketAddr) {
    wait_for("the child's whole past", RETURN, &parent, |parent| {
        let metrics = ["mainstem_connections", "mainstem_charts_starting", "mainstem_charts_filling"];
        let [connections, starting, filling] = metrics.map(|name| figure(*parent, name));
        let rows = figure(*parent, "mainstem_rows_total");
        connections == 1.0 && starting == 0.0 && filling == 0.0 && rows > 100.0
    });
}

fn pass(seconds: u64) {
    // Real time has to pass: a real child samples a real clock.
    std::thread::sleep(Duration::from_secs(seconds));
}

#[test]
fn after_outages_of_every_kind_a_real_childs_samples_are_all_there() {
    let outage = std::env::var("OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(25);
    let directory = tempfile::tempdir().expect("a directory");
    let address = configuration(&directory.path().join("etc"));
    let stream_conf = std::fs::read_to_string(directory.path().join("etc/stream.conf")).expect("stream.conf");
    let key = stream_conf.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
    let key = key.filter(|key| key.len() == 36).expect("the section of a key");
    let network = Network::to(address);

    let parent = start(directory.path());
    let netdata = Netdata::child(&directory.path().join("child"), key, network.address, "yes");
    wait_until_complete(address);
    let first = (now() + SETTLED_AFTER_S).div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S;
    pass((first - now()).unsigned_abs() + 3);

    parent.signal("TERM");
    drop(parent);
    pass(outage);
    let parent = start(directory.path());
    wait_until_complete(address);
    pass(3);

    network.cut();
    pass(outage);
    network.mend();
    wait_until_complete(address);
    pass(3);

    parent.signal("KILL");
    drop(parent);
    pass(outage);
    let parent = start(directory.path());
    wait_until_complete(address);

    let last = now().div_euclid(WINDOW_S) * WINDOW_S + WINDOW_S;
    pass((last + STORED_AFTER_S - now()).unsigned_abs());
    assert!(figure(address, "mainstem_replicated_rows_total") > 0.0);
    assert_eq!(figure(address, "mainstem_replication_given_up_total"), 0.0);
    compare(netdata.api, address, first, last);
    drop(parent);
}
