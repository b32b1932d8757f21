//! From the socket to collected values.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use dbengine::{DatafileOptions, DiskDone, Engine, EngineOptions, Keep, StoreOptions, UnixSeconds, WriterId};
use mainstem::catalog::HostState;
use mainstem::collect::{Collection, Collector, Reading};
use mainstem::config::{Limits, Replication};
use mainstem::receiver::{Listener, Mirror, Pace, Receiver, Surroundings};
use mainstem::telemetry::ChildCounters;
use mainstem::wire::Inbound;
use mainstem::wire::capability::{Capabilities, Compression};
use mainstem::wire::command::{Collected, Command, PointFlags, Reference};
use mainstem::wire::compression::{Decompressor, HEADER_LEN, Workspace, decode_header};
use mainstem::wire::parser::{Parser, Visitor};
use mainstem::wire::stream_path::PathElement;
use mainstem_child::capture::nobody;
use mainstem_child::load::Protocol;
use mainstem_child::value::{ChildSeries, MICROSECONDS};
use memchr::memchr_iter;
use uuid::Uuid;

use super::Stage;
use super::input::{BEGUN, CHARTS, CHILDREN, DIMENSIONS, SAMPLES, SECONDS, Texts, agreed, load};

/// As large as a shard's.
const RECEIVE: usize = 256 << 10;
/// Longer than any pause.
const RETENTION_US: i64 = 3600 * MICROSECONDS;

/// A second of each child, in a socket of its own.
struct Recv {
    sockets: Vec<(TcpStream, TcpStream)>,
    packets: Vec<Vec<u8>>,
    buffer: Vec<u8>,
}

pub(super) fn recv() -> Box<dyn Stage> {
    let packets = Texts::new(Protocol::V2).packets(agreed(Protocol::V2, Capabilities::LZ4)).swap_remove(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("its address");
    let connect = |_| {
        let child = TcpStream::connect(address).expect("a connection");
        (child, listener.accept().expect("its other end").0)
    };
    Box::new(Recv { sockets: (0..CHILDREN).map(connect).collect(), packets, buffer: vec![0; RECEIVE] })
}

impl Stage for Recv {
    fn samples(&self) -> u64 {
        SAMPLES / SECONDS as u64
    }

    fn prepare(&mut self) {
        for ((child, _), packets) in self.sockets.iter_mut().zip(&self.packets) {
            child.write_all(packets).expect("room in the socket");
        }
    }

    fn run(&mut self) {
        for ((_, parent), packets) in self.sockets.iter_mut().zip(&self.packets) {
            let mut received = 0;
            while received < packets.len() {
                received += parent.read(&mut self.buffer[received..]).expect("the bytes");
            }
        }
    }

    fn floor(&mut self) {
        for packets in &self.packets {
            self.buffer[..packets.len()].copy_from_slice(black_box(packets));
        }
    }
}

/// Packets to text.
struct Decompress {
    compression: Compression,
    texts: Texts,
    packets: Vec<Vec<Vec<u8>>>,
    decompressors: Vec<Decompressor>,
    workspace: Workspace,
    /// By child: all text so far, of the floor.
    plain: Vec<Vec<u8>>,
}

fn decompress(compression: Compression, capability: Capabilities) -> Box<dyn Stage> {
    let texts = Texts::new(Protocol::V2);
    let packets = texts.packets(agreed(Protocol::V2, capability));
    let plain = vec![Vec::new(); CHILDREN];
    let workspace = Workspace::default();
    Box::new(Decompress { compression, texts, packets, decompressors: Vec::new(), workspace, plain })
}

pub(super) fn lz4() -> Box<dyn Stage> {
    decompress(Compression::Lz4, Capabilities::LZ4)
}

pub(super) fn zstd() -> Box<dyn Stage> {
    decompress(Compression::Zstd, Capabilities::ZSTD)
}

pub(super) fn gzip() -> Box<dyn Stage> {
    decompress(Compression::Gzip, Capabilities::GZIP)
}

pub(super) fn brotli() -> Box<dyn Stage> {
    decompress(Compression::Brotli, Capabilities::BROTLI)
}

/// The payloads of packets.
fn payloads(mut packets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (header, rest) = packets.split_first_chunk::<HEADER_LEN>()?;
        let (payload, rest) = rest.split_at(decode_header(*header).expect("a header"));
        packets = rest;
        Some(payload)
    })
}

impl Stage for Decompress {
    fn samples(&self) -> u64 {
        SAMPLES
    }

    fn prepare(&mut self) {
        self.decompressors = (0..CHILDREN).map(|_| Decompressor::new(self.compression)).collect();
    }

    fn run(&mut self) {
        for second in &self.packets {
            for (packets, decompressor) in second.iter().zip(&mut self.decompressors) {
                let mut open = decompressor.open(&mut self.workspace);
                for payload in payloads(packets) {
                    open.decode(payload).expect("a packet");
                    let len = black_box(open.text()).len();
                    open.consume(len);
                }
            }
        }
    }

    fn floor(&mut self) {
        const HISTORY: usize = 64 << 10;
        self.plain.iter_mut().for_each(Vec::clear);
        if self.compression != Compression::Lz4 {
            self.texts.all().for_each(|(child, text)| self.plain[child].extend_from_slice(text));
            return;
        }
        let mut buffer = [0; 16 << 10];
        for second in &self.packets {
            for (packets, plain) in second.iter().zip(&mut self.plain) {
                for payload in payloads(packets) {
                    let history = &plain[plain.len().saturating_sub(HISTORY)..];
                    let len =
                        lzzzz::lz4::decompress_partial_with_dict(payload, &mut buffer, 16 << 10, history);
                    plain.extend_from_slice(&buffer[..len.expect("a block")]);
                }
            }
        }
    }
}

/// Text to commands.
struct Parse {
    texts: Texts,
}

pub(super) fn parse_v1() -> Box<dyn Stage> {
    Box::new(Parse { texts: Texts::new(Protocol::V1) })
}

pub(super) fn parse_v2() -> Box<dyn Stage> {
    Box::new(Parse { texts: Texts::new(Protocol::V2) })
}

/// Looks at what a receiver looks at.
struct Looking;

impl<'a> Visitor<'a> for Looking {
    type Output = u64;

    fn command(&mut self, command: Command<'a>) -> u64 {
        match command {
            Command::Begin { chart, microseconds } => chart.len() as u64 ^ microseconds as u64,
            Command::Begin2 { chart, end_time, wall_clock, .. } => {
                chart.id.len() as u64 ^ end_time as u64 ^ wall_clock as u64
            }
            _ => 0,
        }
    }

    #[inline(always)]
    fn set(&mut self, dimension: &'a [u8], value: Option<i64>) -> u64 {
        dimension.len() as u64 ^ value.unwrap_or_default() as u64
    }

    #[inline(always)]
    fn set2(&mut self, dimension: Reference<'a>, _: Collected, value: f64, flags: PointFlags) -> u64 {
        dimension.id.len() as u64 ^ value.to_bits() ^ u64::from(flags.not_anomalous)
    }
}

fn count_lines(texts: &Texts) {
    texts.all().for_each(|(_, text)| {
        black_box(memchr_iter(b'\n', text).count());
    });
}

impl Stage for Parse {
    fn samples(&self) -> u64 {
        SAMPLES
    }

    fn prepare(&mut self) {}

    fn run(&mut self) {
        let mut parser = Parser::new();
        for (_, text) in self.texts.all() {
            let mut rest = text;
            while let Some(bits) = parser.visit(&mut rest, &mut Looking).expect("text of the protocol") {
                black_box(bits);
            }
        }
    }

    fn floor(&mut self) {
        count_lines(&self.texts);
    }
}

/// Collected values to samples.
struct Collect {
    /// By second, child, chart and dimension.
    values: Vec<i64>,
    new: Vec<Collector>,
    collectors: Vec<Collector>,
    copy: Vec<i64>,
}

pub(super) fn collect() -> Box<dyn Stage> {
    let load = load(Protocol::V1);
    let positions = (0..CHARTS * DIMENSIONS).map(|position| position as u64);
    let collected = |second: i64| {
        let positions = positions.clone();
        (0..CHILDREN).flat_map(move |child| {
            let series = ChildSeries::new(1, child as u64);
            positions.clone().map(move |position| series.at(position).collected(second * MICROSECONDS))
        })
    };
    let values: Vec<i64> = (1..=SECONDS as i64).flat_map(|second| collected(BEGUN + second)).collect();
    let chart = |chart: usize| {
        let mut collector = Collector::new(1, false);
        for dimension in 0..DIMENSIONS {
            let kind = load.kind(load.position(chart, dimension));
            let (algorithm, divisor) = (kind.algorithm(), kind.divisor());
            collector.add_dimension(Reading { algorithm, multiplier: 1, divisor, no_reset_flag: false });
        }
        collector
    };
    let new = (0..CHILDREN).flat_map(|_| (0..CHARTS).map(chart)).collect();
    let copy = vec![0; values.len()];
    Box::new(Collect { values, new, collectors: Vec::new(), copy })
}

impl Stage for Collect {
    fn samples(&self) -> u64 {
        SAMPLES
    }

    fn prepare(&mut self) {
        self.collectors.clone_from(&self.new);
    }

    fn run(&mut self) {
        let mut collection = Collection::default();
        let mut charts = self.values.chunks(DIMENSIONS);
        for second in 1..=SECONDS as i64 {
            let now_us = (BEGUN + second) * MICROSECONDS + 300_000;
            for (collector, values) in self.collectors.iter_mut().zip(&mut charts) {
                collector.begin(MICROSECONDS, now_us, RETENTION_US, &mut collection);
                values.iter().enumerate().for_each(|(at, value)| collection.set(at, *value));
                collector.end(now_us, &mut collection, |row| {
                    black_box(row.values);
                });
            }
        }
    }

    fn floor(&mut self) {
        self.copy.copy_from_slice(black_box(&self.values));
    }
}

/// What a shard does between a read and a write: packets to rows in an engine, and these to a journal.
struct Apply {
    protocol: Protocol,
    texts: Texts,
    packets: Vec<Vec<Vec<u8>>>,
    engine: Engine,
    children: Vec<Child>,
    workspace: Workspace,
}

struct Child {
    mirror: Mirror,
    receiver: Receiver,
    inbound: Inbound,
    counters: ChildCounters,
    pace: Pace,
}

const LIMITS: Limits = Limits {
    charts_per_host: 10_000,
    dimensions_per_host: 100_000,
    slots: 100_000,
    hosts: 1000,
    pending_bytes_per_child: 1 << 26,
};

/// An engine with a disk, as the parent's.
pub(super) fn engine() -> Engine {
    let datafiles = DatafileOptions {
        extent_bytes: 512 << 10,
        file_bytes: 64 << 20,
        file_seconds: 3600,
        waiting_bytes: 64 << 20,
        syncs: true,
    };
    let store = StoreOptions { writer: WriterId(0), first_sequence: 1, survives_power_loss: true, datafiles };
    Engine::with_store(EngineOptions::default(), store, UnixSeconds(BEGUN))
}

/// Writes what is to be written, on a disk that is done at once.
pub(super) fn commit(engine: &mut Engine, second: i64) {
    engine.commit(UnixSeconds(second));
    while let Some(operation) = engine.poll_disk() {
        engine.disk_done(&DiskDone { id: black_box(operation).id, result: Ok(()) });
    }
}

fn apply(protocol: Protocol) -> Box<dyn Stage> {
    let texts = Texts::new(protocol);
    let packets = texts.packets(agreed(protocol, Capabilities::LZ4));
    let workspace = Workspace::default();
    Box::new(Apply { protocol, texts, packets, engine: engine(), children: Vec::new(), workspace })
}

pub(super) fn apply_v1() -> Box<dyn Stage> {
    apply(Protocol::V1)
}

pub(super) fn apply_v2() -> Box<dyn Stage> {
    apply(Protocol::V2)
}

impl Child {
    fn new(number: usize, agreed: Capabilities) -> Child {
        let mut host = nobody();
        host.machine_guid = Uuid::from_u128(number as u128 + 1);
        let replication = Replication {
            enabled: false,
            period: std::time::Duration::from_secs(86_400),
            step: std::time::Duration::from_secs(600),
        };
        let own = PathElement::new("bench".into(), Uuid::nil());
        Child {
            mirror: Mirror::new(host, HostState::Localhost, Keep::OnDisk),
            receiver: Receiver::new(agreed, replication, "", own),
            inbound: Inbound::new(agreed.compression()),
            counters: ChildCounters::default(),
            pace: Pace::default(),
        }
    }

    fn feed(&mut self, bytes: &[u8], now_us: i64, engine: &mut Engine, workspace: &mut Workspace) {
        let Child { mirror, receiver, inbound, counters, pace } = self;
        let mut out = Vec::new();
        let around = Surroundings {
            mirror,
            engine,
            limits: &LIMITS,
            counters,
            pace,
            sender: None,
            now_us,
            out: &mut out,
        };
        let fed = inbound.feed_through(bytes, workspace, &mut Listener { receiver, around });
        assert_eq!(fed.expect("text of the protocol"), bytes.len());
    }
}

impl Stage for Apply {
    fn samples(&self) -> u64 {
        SAMPLES
    }

    fn prepare(&mut self) {
        self.engine = engine();
        let agreed = agreed(self.protocol, Capabilities::LZ4);
        self.children = (0..CHILDREN).map(|number| Child::new(number, agreed)).collect();
        // Text may come between packets.
        for (child, definitions) in self.children.iter_mut().zip(&self.texts.definitions) {
            child.feed(definitions, BEGUN * MICROSECONDS, &mut self.engine, &mut self.workspace);
        }
        commit(&mut self.engine, BEGUN);
    }

    fn run(&mut self) {
        for (packets, second) in self.packets.iter().zip(BEGUN + 1..) {
            let now_us = second * MICROSECONDS + 300_000;
            for (child, packets) in self.children.iter_mut().zip(packets) {
                child.feed(packets, now_us, &mut self.engine, &mut self.workspace);
            }
            commit(&mut self.engine, second);
        }
    }

    fn floor(&mut self) {
        count_lines(&self.texts);
    }
}
