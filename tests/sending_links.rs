//! Links that are slow, lossy, or too slow: what a proxy with a database has, its parent has in the end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use mainstem::runtime::clock::Clock;

use crate::child::Child;
use crate::harness::{PATIENCE, TestParent, wait_for};
use crate::peer::{Netdata, compare, now};
use crate::sending::{V2_WITHOUT_REPLICATION, links, send_to, sleep_until, window};

/// 200 kbit/s.
const SLOW: u64 = 25_000;
/// What a packet of Ethernet holds.
const PACKET: usize = 1460;
/// On slow links one packet of so many is lost, and comes when it was sent again.
const LOST_OF: u64 = 20;
const SENT_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Small, so that what waits, waits at the sender and not here.
const KERNEL_BUFFER: usize = 8 << 10;

/// A slow link to somewhere.
struct Link {
    address: SocketAddr,
    bytes_a_second: Arc<AtomicU64>,
}

impl Link {
    fn to(far: SocketAddr, bytes_a_second: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        socket2::SockRef::from(&listener).set_recv_buffer_size(KERNEL_BUFFER).expect("a small buffer");
        let link = Self {
            address: listener.local_addr().expect("its address"),
            bytes_a_second: Arc::new(AtomicU64::new(bytes_a_second)),
        };
        let pace = Arc::clone(&link.bytes_a_second);
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(far)) else { return };
                let back = (far.try_clone().expect("a handle"), near.try_clone().expect("a handle"));
                let (there, here) = (Arc::clone(&pace), Arc::clone(&pace));
                std::thread::spawn(move || carry(near, far, &there));
                std::thread::spawn(move || carry(back.0, back.1, &here));
            }
        });
        link
    }
}

/// One direction of a connection, until it ends.
fn carry(mut from: TcpStream, mut to: TcpStream, pace: &AtomicU64) {
    let mut packet = [0; PACKET];
    for number in 1.. {
        let Ok(count @ 1..) = from.read(&mut packet) else { break };
        let pace = pace.load(Relaxed);
        if pace <= SLOW && number % LOST_OF == 0 {
            std::thread::sleep(SENT_AGAIN_AFTER);
        }
        std::thread::sleep(Duration::from_secs_f64(count as f64 / pace as f64));
        if to.write_all(&packet[..count]).is_err() {
            break;
        }
    }
    // Gone already, perhaps.
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_slow_link_with_loss_brings_everything() {
    let far = TestParent::start();
    let link = Link::to(far.address, SLOW);
    let proxy = TestParent::with(Clock::System, |config| {
        send_to(config, &link.address.to_string(), &far.key);
    });
    let directory = tempfile::tempdir().expect("a directory");
    let child = Netdata::child(directory.path(), &proxy.key, proxy.address, "yes");
    proxy.wait("a link", |proxy| links(proxy) == 1);
    let (first, last) = window(0);
    sleep_until(last + 15);
    compare(child.api, far.address, first, last);
    assert_eq!(links(&proxy), 1);
    assert_eq!(proxy.telemetry().link_ends.get("closed_by_parent"), 0, "one link all the time");
}

const DIMENSIONS: usize = 200;

/// A row of all dimensions whose values say where they belong.
fn row(time: i64) -> String {
    let set = |dimension: usize| format!("SET2 'd{dimension}' 0x1 {} A\n", value(time, dimension));
    let sets: String = (0..DIMENSIONS).map(set).collect();
    format!("BEGIN2 'a.b' 0x1 0x{time:X} #\n{sets}END2\n")
}

fn value(time: i64, dimension: usize) -> f64 {
    (time % 100_000) as f64 + dimension as f64 / 256.0
}

#[test]
fn a_link_that_takes_too_little_is_closed_and_its_successor_brings_what_was_missed() {
    let far = TestParent::start();
    let link = Link::to(far.address, 1 << 20);
    let proxy = TestParent::with(Clock::System, |config| {
        config.streaming.link.reconnect_delay = Duration::from_secs(1);
        config.streaming.link.buffer_bytes = 1 << 20;
        // More bytes than the kernel's buffers hide.
        config.streaming.all.compression = Some(false);
        send_to(config, &link.address.to_string(), &far.key);
    });
    let mut child = Child::connect(&proxy, "busy", V2_WITHOUT_REPLICATION);
    proxy.wait("a link", |proxy| links(proxy) == 1);
    let dimension = |number| format!("DIMENSION \"d{number}\" \"\" \"absolute\" 1 1 \"\"\n");
    let dimensions: String = (0..DIMENSIONS).map(dimension).collect();
    child.send(&format!(
        "CHART \"a.b\" \"\" \"t\" \"u\" \"f\" \"c\" \"line\" 1 1 \"\" \"p\" \"m\"\n{dimensions}"
    ));
    let first = now() - 6_000;
    let mut next = first;
    // The parent takes the first rows, and so asks for no past.
    far.wait("the first rows", |far| {
        child.send(&row(next));
        next += 1;
        std::thread::sleep(Duration::from_millis(20));
        far.telemetry().total(|shard| &shard.rows) > 5
    });
    link.bytes_a_second.store(1_000, Relaxed);
    proxy.wait("too much to wait", |proxy| {
        for _ in 0..50 {
            child.send(&row(next));
            next += 1;
        }
        proxy.telemetry().link_ends.get("buffer_full") >= 1 || next > first + 5_000
    });
    assert_eq!(proxy.telemetry().link_ends.get("buffer_full"), 1, "after {} rows", next - first);
    link.bytes_a_second.store(4 << 20, Relaxed);
    wait_for("a new link", 3 * PATIENCE, &proxy, |proxy| links(proxy) == 1);
    wait_for("all rows", 3 * PATIENCE, &far, |far| {
        // The chart is defined before the first row that comes after its past is known.
        if links(&proxy) == 1 && next < first + 5_900 {
            child.send(&row(next));
            next += 1;
        }
        std::thread::sleep(Duration::from_millis(50));
        let query = format!(
            "/host/busy/api/v1/data?chart=a.b&after={}&before={}&format=json&options=natural-points",
            first - 1,
            next - 20,
        );
        let answer = far.json(&query);
        let rows = answer["data"].as_array().map_or(&[][..], Vec::as_slice);
        let is_right = |row: &serde_json::Value| {
            let time = row[0].as_i64().unwrap_or_default();
            (0..DIMENSIONS).all(|dimension| {
                row[dimension + 1].as_f64().is_some_and(|found| (found - value(time, dimension)).abs() < 0.01)
            })
        };
        rows.iter().filter(|row| is_right(row)).count() as i64 == next - 20 - first + 1
    });
}
