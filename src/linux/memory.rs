//! Memory: `/proc/meminfo`, `/proc/vmstat`, NUMA nodes, pages that are shared or compressed.

use std::path::PathBuf;
use std::sync::Arc;

use super::chart::{Chart, Charts, Instance, Layout, Lines, absolute, chart, incremental};
use super::roster::Roster;
use super::text::{Reader, Text, lines, number, signed, words};
use super::{PROC, Pace, Subject, entries};

const MEMINFO: &[Chart] = &[
    chart("system.ram", "System RAM", "MiB", "ram", 200).stacked().dimensions(&[
        absolute("free").from("MemFree").over(1024),
        absolute("used").from("MemUsed").over(1024),
        absolute("cached").from("MemCached").over(1024),
        absolute("buffers").from("Buffers").over(1024),
    ]),
    chart("system.swap", "System Swap", "MiB", "swap", 201).stacked().detail().if_not_zero().dimensions(&[
        absolute("free").from("SwapFree").over(1024),
        absolute("used").from("SwapUsed").over(1024),
    ]),
    chart("mem.available", "Available RAM for applications", "MiB", "system", 1010)
        .area()
        .dimensions(&[absolute("MemAvailable").named("avail").over(1024)]),
    chart("mem.committed", "Committed (Allocated) Memory", "MiB", "system", 1030)
        .area()
        .detail()
        .dimensions(&[absolute("Committed_AS").over(1024)]),
    chart("mem.writeback", "Writeback Memory", "MiB", "kernel", 1100).detail().dimensions(&[
        absolute("Dirty").over(1024),
        absolute("Writeback").over(1024),
        absolute("FuseWriteback").from("WritebackTmp").over(1024),
        absolute("NfsWriteback").from("NFS_Unstable").over(1024),
        absolute("Bounce").over(1024),
    ]),
    chart("mem.kernel", "Memory Used by Kernel", "MiB", "kernel", 1101).stacked().detail().dimensions(&[
        absolute("Slab").over(1024),
        absolute("KernelStack").over(1024),
        absolute("PageTables").over(1024),
        absolute("VmallocUsed").over(1024),
        absolute("Percpu").optional().over(1024),
    ]),
    chart("mem.slab", "Reclaimable Kernel Memory", "MiB", "slab", 1200).stacked().detail().dimensions(&[
        absolute("reclaimable").from("SReclaimable").over(1024),
        absolute("unreclaimable").from("SUnreclaim").over(1024),
    ]),
    chart("mem.transparent_hugepages", "Transparent HugePages Memory", "MiB", "hugepages", 1250)
        .stacked()
        .detail()
        .if_not_zero()
        .dimensions(&[
            absolute("anonymous").from("AnonHugePages").over(1024),
            absolute("shmem").from("ShmemHugePages").over(1024),
        ]),
    chart("mem.hugepages", "Dedicated HugePages Memory", "MiB", "hugepages", 1251)
        .stacked()
        .detail()
        .if_not_zero()
        .dimensions(&[
            absolute("free").from("HugePages_Free").in_units().over(1024),
            absolute("used").from("HugePages_Used").in_units().over(1024),
            absolute("surplus").from("HugePages_Surp").in_units().over(1024),
            absolute("reserved").from("HugePages_Rsvd").in_units().over(1024),
        ]),
];

const VMSTAT: &[Chart] = &[
    chart("system.pgpgio", "Memory Paged from/to disk", "KiB/s", "disk", 151)
        .area()
        .dimensions(&[incremental("in").from("pgpgin"), incremental("out").from("pgpgout").negative()]),
    chart("system.swapio", "Swap I/O", "KiB/s", "swap", 250).area().if_not_zero().dimensions(&[
        incremental("in").from("pswpin").in_units().over(1024),
        incremental("out").from("pswpout").in_units().negative().over(1024),
    ]),
    chart("mem.oom_kill", "Out of Memory Kills", "kills/s", "system", 1020)
        .detail()
        .dimensions(&[incremental("kills").from("oom_kill")]),
    chart("mem.pgfaults", "Memory Page Faults", "faults/s", "system", 1040).detail().dimensions(&[
        incremental("minor").from("pgfault"),
        incremental("major").from("pgmajfault").negative(),
    ]),
    chart("mem.numa", "NUMA events", "events/s", "numa", 1400).detail().if_not_zero().dimensions(&[
        incremental("local").from("numa_local"),
        incremental("foreign").from("numa_foreign"),
        incremental("interleave").from("numa_interleave"),
        incremental("other").from("numa_other"),
        incremental("pte_updates").from("numa_pte_updates"),
        incremental("huge_pte_updates").from("numa_huge_pte_updates"),
        incremental("hint_faults").from("numa_hint_faults"),
        incremental("hint_faults_local").from("numa_hint_faults_local"),
        incremental("pages_migrated").from("numa_pages_migrated"),
    ]),
];

const NODE: &[Chart] = &[chart("mem.*", "NUMA events", "events/s", "numa", 1410).detail().dimensions(&[
    incremental("numa_hit").named("hit"),
    incremental("numa_miss").named("miss"),
    incremental("local_node").named("local"),
    incremental("numa_foreign").named("foreign"),
    incremental("interleave_hit").named("interleave"),
    incremental("other_node").named("other"),
])];

const KSM: &[Chart] = &[
    chart("mem.ksm", "Kernel Same Page Merging", "MiB", "ksm", 1300).stacked().dimensions(&[
        absolute("shared").over(1048576),
        absolute("unshared").negative().over(1048576),
        absolute("sharing").over(1048576),
        absolute("volatile").negative().over(1048576),
    ]),
    chart("mem.ksm_savings", "Kernel Same Page Merging Savings", "MiB", "ksm", 1301).area().dimensions(&[
        absolute("savings").from("saved").negative().over(1048576),
        absolute("offered").over(1048576),
    ]),
    chart("mem.ksm_ratios", "Kernel Same Page Merging Effectiveness", "percentage", "ksm", 1302)
        .dimensions(&[absolute("savings").from("saved of offered").over(10000)]),
];

const ZRAM: &[Chart] = &[
    chart("mem.zram_usage.*", "ZRAM Memory Usage", "MiB", "*", 1600)
        .context("mem.zram_usage")
        .area()
        .dimensions(&[absolute("compressed").over(1048576), absolute("metadata").over(1048576)]),
    chart("mem.zram_savings.*", "ZRAM Memory Savings", "MiB", "*", 1601)
        .context("mem.zram_savings")
        .area()
        .dimensions(&[absolute("savings").over(1048576), absolute("original").over(1048576)]),
    chart("mem.zram_ratio.*", "ZRAM Compression Ratio (original to compressed)", "ratio", "*", 1602)
        .context("mem.zram_ratio")
        .dimensions(&[absolute("ratio").over(100)]),
    chart("mem.zram_efficiency.*", "ZRAM Efficiency", "percentage", "*", 1603)
        .context("mem.zram_efficiency")
        .dimensions(&[absolute("percent").over(10000)]),
];

/// With one node all memory is local: nothing to see.
const FEWEST_NODES: usize = 2;

/// What memory is used for.
pub(super) struct Meminfo {
    meminfo: Text,
    charts: Charts,
}

impl Meminfo {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/meminfo";
        Self { meminfo: reader.open(MODULE), charts: Charts::of_machine(PROC, MODULE, MEMINFO, 1) }
    }
}

impl Subject for Meminfo {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.meminfo) else { return };
        let charts = &mut self.charts;
        let mut found = Found::default();
        for line in lines(text) {
            let mut words = words(line);
            let (Some(key), Some(value)) = (words.next(), words.next().and_then(number)) else { continue };
            let key = key.strip_suffix(b":").unwrap_or(key);
            found.note(key, value);
            charts.put(key, value);
        }
        found.derive(charts);
        charts.write(out);
    }
}

/// What the values that are no line of the file are made of.
#[derive(Default)]
struct Found {
    total: u64,
    free: u64,
    buffers: u64,
    cached: u64,
    shared: u64,
    reclaimable: u64,
    swap_total: u64,
    swap_free: u64,
    huge_total: u64,
    huge_free: u64,
    huge_reserved: u64,
    huge_size: u64,
}

impl Found {
    fn note(&mut self, key: &[u8], value: u64) {
        match key {
            b"MemTotal" => self.total = value,
            b"MemFree" => self.free = value,
            b"Buffers" => self.buffers = value,
            b"Cached" => self.cached = value,
            b"Shmem" => self.shared = value,
            b"SReclaimable" => self.reclaimable = value,
            b"SwapTotal" => self.swap_total = value,
            b"SwapFree" => self.swap_free = value,
            b"HugePages_Total" => self.huge_total = value,
            b"HugePages_Free" => self.huge_free = value,
            b"HugePages_Rsvd" => self.huge_reserved = value,
            b"Hugepagesize" => self.huge_size = value,
            _ => {}
        }
    }

    /// Shared memory counts as cached in the kernel, and cannot be freed; slabs that can be are the other way round.
    fn derive(&self, charts: &mut Charts) {
        if self.total == 0 {
            return;
        }
        let cached = self.cached.wrapping_add(self.reclaimable).wrapping_sub(self.shared);
        let used = self.total.wrapping_sub(self.free).wrapping_sub(cached).wrapping_sub(self.buffers);
        charts.put("MemCached", cached);
        charts.put("MemUsed", used);
        charts.put("SwapUsed", self.swap_total.wrapping_sub(self.swap_free));
        let huge_used = self.huge_total.wrapping_sub(self.huge_free).wrapping_sub(self.huge_reserved);
        charts.put("HugePages_Used", huge_used);
        charts.set_unit(self.huge_size.cast_signed());
    }
}

/// Pages that were moved, faults, kills.
pub(super) struct Vmstat {
    vmstat: Text,
    has_nodes: bool,
    charts: Charts,
}

impl Vmstat {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/proc/vmstat";
        let page = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Self {
            vmstat: reader.open(MODULE),
            has_nodes: !nodes(reader).is_empty(),
            charts: Charts::of_machine(PROC, MODULE, VMSTAT, page),
        }
    }
}

impl Subject for Vmstat {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.vmstat) else { return };
        for line in lines(text) {
            let mut words = words(line);
            let (Some(key), Some(value)) = (words.next(), words.next().and_then(number)) else { continue };
            if self.has_nodes || !key.starts_with(b"numa_") {
                self.charts.put(key, value);
            }
        }
        self.charts.write(out);
    }
}

/// Where the kernel lists the nodes of memory.
const NODES: &str = "/sys/devices/system/node";

/// The nodes, if there are several: they come with the boards of a machine, so one look is enough.
fn nodes(reader: &Reader) -> Vec<String> {
    let mut names = entries(&reader.path(NODES));
    names.retain(|name| name.strip_prefix("node").is_some_and(|rest| number(rest.as_bytes()).is_some()));
    if names.len() < FEWEST_NODES { Vec::new() } else { names }
}

/// Whose memory the cores of each node use.
pub(super) struct Nodes {
    nodes: Vec<(Text, Charts)>,
}

impl Nodes {
    pub(super) fn new(reader: &Reader) -> Self {
        let layout = Layout::new(PROC, NODES, NODE);
        let node = |name: String| {
            let labels = vec![("numa_node", name.clone())];
            let numastat = reader.open(&format!("{NODES}/{name}/numastat"));
            (numastat, Charts::new(&layout, Instance { id: name, labels, ..Instance::default() }))
        };
        Self { nodes: nodes(reader).into_iter().map(node).collect() }
    }
}

impl Subject for Nodes {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        for (numastat, charts) in &mut self.nodes {
            for line in reader.read(numastat).into_iter().flat_map(lines) {
                let mut words = words(line);
                let (Some(key), Some(value)) = (words.next(), words.next().and_then(number)) else {
                    continue;
                };
                charts.put(key, value);
            }
            charts.write(out);
        }
    }
}

/// Pages of the same content that the kernel found and keeps once.
pub(super) struct Ksm {
    files: [(&'static str, Text); 4],
    page: u64,
    charts: Charts,
}

impl Ksm {
    pub(super) fn new(reader: &Reader) -> Self {
        const MODULE: &str = "/sys/kernel/mm/ksm";
        let open = |key| (key, reader.open(&format!("{MODULE}/pages_{key}")));
        Self {
            files: ["shared", "sharing", "unshared", "volatile"].map(open),
            page: rustix::param::page_size() as u64,
            charts: Charts::of_machine(PROC, MODULE, KSM, 1),
        }
    }
}

impl Subject for Ksm {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let mut pages = [0; 4];
        for ((_, file), pages) in self.files.iter_mut().zip(&mut pages) {
            let Some(value) = reader.read_number(file) else { return };
            *pages = value;
        }
        let offered = pages.iter().fold(0u64, |sum, pages| sum.wrapping_add(*pages));
        if offered == 0 {
            return;
        }
        for ((key, _), pages) in self.files.iter().zip(pages) {
            self.charts.put(key, pages.wrapping_mul(self.page));
        }
        self.charts.put("offered", offered.wrapping_mul(self.page));
        self.charts.put("saved", pages[1].wrapping_mul(self.page));
        self.charts.put("saved of offered", pages[1].saturating_mul(1_000_000) / offered);
        self.charts.write(out);
    }
}

/// How long a new device may stay unnoticed.
const LOOK_EVERY_S: u32 = 15;

/// Block devices that compress what is written to them, in memory.
pub(super) struct Zram {
    directory: PathBuf,
    layout: Arc<Layout>,
    pace: Pace,
    devices: Roster<(Text, Charts)>,
}

impl Zram {
    pub(super) fn new(reader: &Reader) -> Self {
        Self {
            directory: reader.path("/sys/block"),
            layout: Layout::new(PROC, "/sys/block/zram", ZRAM),
            pace: Pace::new(LOOK_EVERY_S),
            devices: Roster::default(),
        }
    }

    fn look(&mut self, out: &mut Lines<'_>) {
        for name in entries(&self.directory).into_iter().filter(|name| name.starts_with("zram")) {
            self.devices.meet(name.as_bytes(), || {
                let labels = vec![("device", name.clone())];
                let mm_stat = Text::new(self.directory.join(&name).join("mm_stat"));
                let instance =
                    Instance { id: name.clone(), family: name.clone(), labels, ..Instance::default() };
                (mm_stat, Charts::new(&self.layout, instance))
            });
        }
        self.devices.sweep(|(_, charts)| charts.retire(out));
    }
}

impl Subject for Zram {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        if self.pace.due(out).is_some() {
            self.look(out);
        }
        for (mm_stat, charts) in self.devices.iter_mut() {
            let sizes = reader.read(mm_stat).into_iter().flat_map(words);
            put_zram(charts, sizes.map(|word| signed(word).unwrap_or(0)));
            charts.write(out);
        }
    }
}

/// `mm_stat` begins with the bytes that were written, the same compressed, and what they take in memory.
fn put_zram(charts: &mut Charts, mut sizes: impl Iterator<Item = i64>) {
    let (Some(original), Some(compressed), Some(used)) = (sizes.next(), sizes.next(), sizes.next()) else {
        return;
    };
    charts.put("compressed", compressed);
    charts.put("metadata", used.wrapping_sub(compressed));
    charts.put("savings", compressed.wrapping_sub(original));
    charts.put("original", original);
    charts.put("ratio", original.saturating_mul(100).checked_div(compressed).unwrap_or(1));
    charts.put("percent", compressed.saturating_mul(1_000_000).checked_div(used).unwrap_or(100));
}
