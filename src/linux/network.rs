//! Network interfaces: `/proc/net/dev`, and what `/sys/class/net` says of each.

use std::path::PathBuf;
use std::sync::Arc;

use super::chart::{Chart, Charts, Instance, Layout, Lines, absolute, chart, incremental};
use super::mounts::as_id;
use super::roster::Roster;
use super::text::{Reader, Text, lines, number, shown, words};
use super::{PROC, Subject};

const INTERFACE: &[Chart] = &[
    chart("net.*", "Bandwidth", "kilobits/s", "*", 7000).context("net.net").area().if_not_zero().dimensions(
        &[
            incremental("received").from("bytes received").times(8).over(1000),
            incremental("sent").from("bytes sent").times(8).negative().over(1000),
        ],
    ),
    chart("net_packets.*", "Packets", "packets/s", "*", 7001)
        .context("net.packets")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("received").from("packets received"),
            incremental("sent").from("packets sent").negative(),
            incremental("multicast"),
        ]),
    chart("net_errors.*", "Interface Errors", "errors/s", "*", 7002)
        .context("net.errors")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("inbound").from("errors in"),
            incremental("outbound").from("errors out").negative(),
        ]),
    chart("net_drops.*", "Interface Drops", "drops/s", "*", 7003)
        .context("net.drops")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("inbound").from("drops in"),
            incremental("outbound").from("drops out").negative(),
        ]),
    chart("net_fifo.*", "Interface FIFO Buffer Errors", "errors", "*", 7004)
        .context("net.fifo")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("receive").from("fifo in"),
            incremental("transmit").from("fifo out").negative(),
        ]),
    chart("net_compressed.*", "Compressed Packets", "packets/s", "*", 7005)
        .context("net.compressed")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("received").from("compressed in"),
            incremental("sent").from("compressed out").negative(),
        ]),
    chart("net_events.*", "Network Interface Events", "events/s", "*", 7006)
        .context("net.events")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("frames"),
            incremental("collisions").negative(),
            incremental("carrier").from("carrier losses").negative(),
        ]),
    chart("net_speed.*", "Interface Speed", "kilobits/s", "*", 7007)
        .context("net.speed")
        .detail()
        .dimensions(&[absolute("speed")]),
    chart("net_duplex.*", "Interface Duplex State", "state", "*", 7008)
        .context("net.duplex")
        .detail()
        .dimensions(&[absolute("full"), absolute("half"), absolute("unknown").from("duplex unknown")]),
    chart("net_operstate.*", "Interface Operational State", "state", "*", 7009)
        .context("net.operstate")
        .detail()
        .dimensions(&[
            absolute("up").from("operstate up"),
            absolute("down").from("operstate down"),
            absolute("notpresent").from("operstate notpresent"),
            absolute("lowerlayerdown").from("operstate lowerlayerdown"),
            absolute("testing").from("operstate testing"),
            absolute("dormant").from("operstate dormant"),
            absolute("unknown").from("operstate unknown"),
        ]),
    chart("net_carrier.*", "Interface Physical Link State", "state", "*", 7010)
        .context("net.carrier")
        .detail()
        .dimensions(&[absolute("up").from("carrier up"), absolute("down").from("carrier down")]),
    chart("net_mtu.*", "Interface MTU", "octets", "*", 7011)
        .context("net.mtu")
        .detail()
        .dimensions(&[absolute("mtu")]),
];

const TOTAL: &[Chart] =
    &[chart("system.net", "Physical Network Interfaces Aggregated Bandwidth", "kilobits/s", "network", 500)
        .area()
        .if_not_zero()
        .dimensions(&[
            incremental("InOctets").named("received").times(8).over(1000),
            incremental("OutOctets").named("sent").times(8).negative().over(1000),
        ])];

const MODULE: &str = "/proc/net/dev";

/// The columns behind an interface's name, in the kernel's order.
const COLUMNS: [&str; 16] = [
    "bytes received",
    "packets received",
    "errors in",
    "drops in",
    "fifo in",
    "frames",
    "compressed in",
    "multicast",
    "bytes sent",
    "packets sent",
    "errors out",
    "drops out",
    "fifo out",
    "collisions",
    "carrier losses",
    "compressed out",
];
const RECEIVED: usize = 0;
const SENT: usize = 8;

/// What `operstate` says, and the dimension of it; anything else is unknown.
const OPERATIONAL_STATES: [(&str, &str); 7] = [
    ("up", "operstate up"),
    ("down", "operstate down"),
    ("notpresent", "operstate notpresent"),
    ("lowerlayerdown", "operstate lowerlayerdown"),
    ("testing", "operstate testing"),
    ("dormant", "operstate dormant"),
    ("unknown", "operstate unknown"),
];
const KILOBITS_OF_MEGABIT: u64 = 1000;

struct Interface {
    is_virtual: bool,
    /// None of those that are nobody's interest: loopback, bridges of firewalls.
    charts: Option<Charts>,
    speed: PathBuf,
    duplex: PathBuf,
    operstate: PathBuf,
    carrier: PathBuf,
    mtu: PathBuf,
}

/// Each interface, and all real ones together.
pub(super) struct Network {
    dev: Text,
    total: Charts,
    layout: Arc<Layout>,
    interfaces: Roster<Interface>,
    /// What was read, to be worked on while other files are.
    rows: Vec<(Vec<u8>, [u64; COLUMNS.len()])>,
}

impl Network {
    pub(super) fn new(reader: &Reader) -> Self {
        Self {
            dev: reader.open(MODULE),
            total: Charts::of_machine(PROC, MODULE, TOTAL, 1),
            layout: Layout::new(PROC, MODULE, INTERFACE),
            interfaces: Roster::default(),
            rows: Vec::new(),
        }
    }
}

impl Subject for Network {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.dev) else { return };
        let mut count = 0;
        for line in lines(text) {
            if self.rows.len() == count {
                self.rows.push((Vec::new(), [0; COLUMNS.len()]));
            }
            let (name, counters) = &mut self.rows[count];
            count += usize::from(parse(line, name, counters));
        }
        for (name, counters) in &self.rows[..count] {
            let interface = self.interfaces.meet(name, || examine(reader, &self.layout, name));
            let Some(charts) = &mut interface.charts else { continue };
            if !interface.is_virtual {
                self.total.add("InOctets", counters[RECEIVED]);
                self.total.add("OutOctets", counters[SENT]);
            }
            for (column, value) in COLUMNS.into_iter().zip(counters) {
                charts.put(column, *value);
            }
            interface.put_state(reader);
            interface.charts.iter_mut().for_each(|charts| charts.write(out));
        }
        self.total.write(out);
        let gone =
            |interface: &mut Interface| interface.charts.iter_mut().for_each(|charts| charts.retire(out));
        self.interfaces.sweep(gone);
    }
}

/// `eth0: 1 2 ...`; says whether it is such a line.
fn parse(line: &[u8], name: &mut Vec<u8>, counters: &mut [u64; COLUMNS.len()]) -> bool {
    let Some(colon) = line.iter().position(|&byte| byte == b':') else { return false };
    name.clear();
    name.extend_from_slice(line[..colon].trim_ascii());
    let mut columns = 0;
    for (counter, word) in counters.iter_mut().zip(words(&line[colon + 1..])) {
        *counter = number(word).unwrap_or(0);
        columns += 1;
    }
    !name.is_empty() && columns == COLUMNS.len()
}

impl Interface {
    fn put_state(&mut self, reader: &mut Reader) {
        let Some(charts) = &mut self.charts else { return };
        let mut one = |path: &PathBuf| reader.read_once(path).and_then(number_of_line);
        // Of an interface that is down the kernel does not say it.
        let carrier = one(&self.carrier);
        if let Some(carrier) = carrier {
            charts.put("carrier up", carrier == 1);
            charts.put("carrier down", carrier != 1);
        }
        if let Some(mtu) = one(&self.mtu) {
            charts.put("mtu", mtu);
        }
        if !self.is_virtual {
            let has_traffic = charts.exists("net.*")
                || charts.get("bytes received").is_some_and(|bytes| bytes != 0)
                || charts.get("bytes sent").is_some_and(|bytes| bytes != 0);
            if has_traffic {
                let speed = carrier.and_then(|_| one(&self.speed)).unwrap_or(0);
                charts.put("speed", speed.saturating_mul(KILOBITS_OF_MEGABIT));
            }
            let duplex = carrier.and_then(|_| reader.read_once(&self.duplex)).and_then(<[u8]>::first);
            charts.put("full", duplex == Some(&b'f'));
            charts.put("half", duplex == Some(&b'h'));
            charts.put("duplex unknown", !matches!(duplex, Some(b'f' | b'h')));
        }
        if let Some(text) = reader.read_once(&self.operstate) {
            let said = text.trim_ascii();
            let state = OPERATIONAL_STATES.iter().position(|(word, _)| word.as_bytes() == said);
            let state = state.unwrap_or(OPERATIONAL_STATES.len() - 1);
            for ((_, dimension), at) in OPERATIONAL_STATES.iter().zip(0..) {
                charts.put(dimension, at == state);
            }
        }
    }
}

fn number_of_line(text: &[u8]) -> Option<u64> {
    number(text.trim_ascii())
}

/// Loopback, and what firewalls and traffic shapers make of other interfaces.
fn is_excluded(name: &str) -> bool {
    name == "lo"
        || name.ends_with("-ifb")
        || ["fireqos", "fwpr", "fwbr", "fwln"].iter().any(|prefix| name.starts_with(prefix))
}

#[cold]
fn examine(reader: &Reader, layout: &Arc<Layout>, name: &[u8]) -> Interface {
    let name = shown(name);
    let class = reader.path(&format!("/sys/class/net/{name}"));
    let is_virtual = reader.path(&format!("/sys/devices/virtual/net/{name}")).exists();
    let instance = Instance {
        id: as_id(&name),
        family: name.clone(),
        labels: vec![
            ("interface_type", if is_virtual { "virtual" } else { "real" }.to_owned()),
            ("device", name.clone()),
        ],
        ..Instance::default()
    };
    Interface {
        is_virtual,
        charts: (!is_excluded(&name)).then(|| Charts::new(layout, instance)),
        speed: class.join("speed"),
        duplex: class.join("duplex"),
        operstate: class.join("operstate"),
        carrier: class.join("carrier"),
        mtu: class.join("mtu"),
    }
}
