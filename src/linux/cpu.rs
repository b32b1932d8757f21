//! `/proc/stat` and what belongs to cores: utilization, processes, interrupts as sums, packets that cores took.

use std::sync::Arc;

use super::chart::{
    Chart, Charts, Dimension, Instance, Layout, Lines, absolute, chart, incremental, share_of_growth,
};
use super::roster::Roster;
use super::text::{Reader, Text, hexadecimal, lines, number, words};
use super::{PROC, Subject};

/// What a core does with its time.
const UTILIZATION: &[Dimension] = &[
    share_of_growth("guest_nice"),
    share_of_growth("guest"),
    share_of_growth("steal"),
    share_of_growth("softirq"),
    share_of_growth("irq"),
    share_of_growth("user"),
    share_of_growth("system"),
    share_of_growth("nice"),
    share_of_growth("iowait"),
    share_of_growth("idle").hidden(),
];

const TOTAL: &[Chart] = &[chart("system.cpu", "Total CPU utilization", "percentage", "cpu", 100)
    .stacked()
    .dimensions(UTILIZATION)];

const CORE: &[Chart] = &[chart("cpu.*", "Core utilization", "percentage", "utilization", 1001)
    .numbered()
    .context("cpu.cpu")
    .stacked()
    .dimensions(UTILIZATION)];

const ACTIVITY: &[Chart] = &[
    chart("system.processes", "System Processes", "processes", "processes", 600).dimensions(&[
        absolute("running").from("procs_running"),
        absolute("blocked").from("procs_blocked").negative(),
    ]),
    chart("system.forks", "Started Processes", "processes/s", "processes", 700)
        .detail()
        .dimensions(&[incremental("started").from("processes")]),
    chart("system.ctxt", "CPU Context Switches", "context switches/s", "processes", 800)
        .dimensions(&[incremental("switches").from("ctxt")]),
    chart("system.intr", "CPU Interrupts", "interrupts/s", "interrupts", 900)
        .detail()
        .dimensions(&[incremental("interrupts").from("intr")]),
];

const SOFTNET: &[Chart] =
    &[chart("system.softnet_stat", "System softnet_stat", "events/s", "softnet_stat", 955).dimensions(&[
        incremental("processed"),
        incremental("dropped"),
        incremental("squeezed"),
        incremental("received_rps"),
        incremental("flow_limit_count"),
    ])];

const CORE_SOFTNET: &[Chart] =
    &[chart("cpu.*_softnet_stat", "CPU softnet_stat", "events/s", "softnet_stat", 4101)
        .numbered()
        .context("cpu.softnet_stat")
        .dimensions(&[
            incremental("processed"),
            incremental("dropped"),
            incremental("squeezed"),
            incremental("received_rps"),
            incremental("flow_limit_count"),
        ])];

/// The columns of a `cpu` line, in the kernel's order.
const STATES: [&str; 10] =
    ["user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"];
/// Kernels since 2.6.11 have these many of them.
const FEWEST_STATES: usize = 8;
/// Of `softnet_stat`, the columns that are counters of all kernels.
const SOFTNET_COLUMNS: [(usize, &str); 5] =
    [(0, "processed"), (1, "dropped"), (2, "squeezed"), (9, "received_rps"), (10, "flow_limit_count")];

/// Utilization of the machine and of each core, context switches, forks, processes that run or wait.
pub(super) struct Stat {
    stat: Text,
    total: Charts,
    activity: Charts,
    layout: Arc<Layout>,
    cores: Roster<Charts>,
}

impl Stat {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/stat";
        Self {
            stat: reader.open(MODULE),
            total: Charts::of_machine(PROC, MODULE, TOTAL, 1),
            activity: Charts::of_machine(PROC, MODULE, ACTIVITY, 1),
            layout: Layout::new(PROC, MODULE, CORE),
            cores: Roster::default(),
        }
    }
}

impl Subject for Stat {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.stat) else { return };
        for line in lines(text) {
            let mut words = words(line);
            let Some(key) = words.next() else { continue };
            if let Some(core) = key.strip_prefix(b"cpu") {
                let charts = match number(core) {
                    None => &mut self.total,
                    Some(core) => self.cores.meet(key, || numbered(&self.layout, core)),
                };
                put_states(charts, words);
            } else if let Some(value) = words.next().and_then(number) {
                self.activity.put(key, value);
            }
        }
        self.total.write(out);
        self.activity.write(out);
        self.cores.iter_mut().for_each(|core| core.write(out));
        self.cores.sweep(|core| core.retire(out));
    }
}

fn numbered(layout: &Arc<Layout>, core: u64) -> Charts {
    let number = u32::try_from(core).unwrap_or(u32::MAX / 2);
    Charts::new(layout, Instance { id: format!("cpu{core}"), number, ..Instance::default() })
}

/// The kernel counts guests among users; they are shown apart.
fn put_states<'a>(charts: &mut Charts, words: impl Iterator<Item = &'a [u8]>) {
    let mut values = [0u64; STATES.len()];
    let mut count = 0;
    for (value, word) in values.iter_mut().zip(words) {
        *value = number(word).unwrap_or(0);
        count += 1;
    }
    if count < FEWEST_STATES {
        return;
    }
    values[0] = values[0].wrapping_sub(values[8]);
    values[1] = values[1].wrapping_sub(values[9]);
    for (state, value) in STATES.into_iter().zip(values) {
        charts.put(state, value);
    }
}

/// Packets that cores took from the network.
pub(super) struct Softnet {
    softnet: Text,
    total: Charts,
    layout: Arc<Layout>,
    cores: Roster<Charts>,
}

impl Softnet {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/net/softnet_stat";
        Self {
            softnet: reader.open(MODULE),
            total: Charts::of_machine(PROC, MODULE, SOFTNET, 1),
            layout: Layout::new(PROC, MODULE, CORE_SOFTNET),
            cores: Roster::default(),
        }
    }
}

impl Subject for Softnet {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.softnet) else { return };
        for (line, core) in lines(text).zip(0..) {
            let charts = self.cores.meet(&u64::to_le_bytes(core), || numbered(&self.layout, core));
            let mut values = words(line).map(|word| hexadecimal(word).unwrap_or(0)).enumerate();
            for (column, name) in SOFTNET_COLUMNS {
                // Kernels before 3.11 have fewer columns.
                let Some((_, value)) = values.find(|(at, _)| *at == column) else { break };
                charts.put(name, value);
                self.total.add(name, value);
            }
        }
        self.total.write(out);
        self.cores.iter_mut().for_each(|core| core.write(out));
        self.cores.sweep(|core| core.retire(out));
    }
}
