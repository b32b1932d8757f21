//! What the stages work on: text of the simulator, packets of it, and rows of what it is about.

use mainstem::wire::capability::Capabilities;
use mainstem_child::Load;
use mainstem_child::load::Protocol;
use mainstem_child::packets::PacketEncoder;
use mainstem_child::script::{Collection, Identity, Script};
use mainstem_child::value::MICROSECONDS;

pub const CHILDREN: usize = 20;
pub const SECONDS: usize = 8;
/// Charts of a child, and their dimensions.
pub(super) const CHARTS: usize = 100;
pub(super) const DIMENSIONS: usize = 10;
/// The second before the first.
pub(super) const BEGUN: i64 = 1_795_342_199;

pub(super) const SAMPLES: u64 = (CHILDREN * CHARTS * DIMENSIONS * SECONDS) as u64;

pub(super) fn load(protocol: Protocol) -> Load {
    Load { children: CHILDREN, charts: CHARTS, dimensions: DIMENSIONS, protocol, ..Load::default() }
}

/// What children of a load and a parent agree on, with one compression.
pub(super) fn agreed(protocol: Protocol, compression: Capabilities) -> Capabilities {
    let offered = load(protocol).offered();
    offered.without(Capabilities::COMPRESSIONS | Capabilities::REPLICATION) | compression
}

/// What children say.
pub(super) struct Texts {
    /// By child: who it is, and its charts.
    pub(super) definitions: Vec<Vec<u8>>,
    /// By second, then by child.
    pub(super) rows: Vec<Vec<Vec<u8>>>,
}

impl Texts {
    pub(super) fn new(protocol: Protocol) -> Texts {
        let (load, agreed) = (load(protocol), agreed(protocol, Capabilities::NONE));
        let script = Script::new(&load, agreed);
        let define = |child: usize| {
            let mut text = Vec::new();
            let (machine_guid, hostname) = (load.machine_guid(child).to_string(), load.hostname(child));
            script.greet(Identity { machine_guid: &machine_guid, hostname: &hostname }, &mut text);
            script.define(None, BEGUN, &mut text);
            text
        };
        let row = |second: i64, child: usize| {
            let mut text = Vec::new();
            let moment_us = second * MICROSECONDS + load.phase_us(child);
            let collection = Collection { second, moment_us, elapsed_us: MICROSECONDS };
            for chart in 0..CHARTS {
                script.row(chart, load.series(child), collection, &mut text);
            }
            text
        };
        let seconds = BEGUN + 1..=BEGUN + SECONDS as i64;
        Texts {
            definitions: (0..CHILDREN).map(define).collect(),
            rows: seconds.map(|second| (0..CHILDREN).map(|child| row(second, child)).collect()).collect(),
        }
    }

    /// All rows, in the order in which they come.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.rows.iter().flat_map(|second| second.iter().map(Vec::as_slice).enumerate())
    }

    /// The packets of all rows, by second and child.
    pub(super) fn packets(&self, agreed: Capabilities) -> Vec<Vec<Vec<u8>>> {
        let encoder = || PacketEncoder::new(agreed).expect("one of the compressions");
        let mut encoders: Vec<PacketEncoder> = (0..CHILDREN).map(|_| encoder()).collect();
        let mut pack = |(child, text): (usize, &Vec<u8>)| {
            let mut packets = Vec::new();
            encoders[child].encode(text, &mut packets);
            packets
        };
        self.rows.iter().map(|second| second.iter().enumerate().map(&mut pack).collect()).collect()
    }
}

/// The samples of a chart's row.
pub(super) fn samples(child: usize, chart: usize, second: i64) -> [f32; DIMENSIONS] {
    let load = load(Protocol::V2);
    let position = |dimension| load.position(chart, dimension);
    std::array::from_fn(|dimension| load.series(child).at(position(dimension)).stored(second) as f32)
}
