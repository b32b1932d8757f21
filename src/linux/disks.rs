//! Disks: `/proc/diskstats`.

use std::sync::Arc;

use super::chart::{Chart, Charts, Instance, Layout, Lines, absolute, chart, incremental};
use super::mounts::{self, as_id};
use super::roster::Roster;
use super::text::{Reader, Text, lines, number, shown, words};
use super::{PROC, Subject};

const DISK: &[Chart] = &[
    chart("disk.*", "Disk I/O Bandwidth", "KiB/s", "*", 2000)
        .context("disk.io")
        .area()
        .if_not_zero()
        .dimensions(&[
            incremental("reads").from("sectors read").times(512).over(1024),
            incremental("writes").from("sectors written").times(512).negative().over(1024),
        ]),
    chart("disk_ext.*", "Amount of Discarded Data", "KiB/s", "*", 2001)
        .context("disk_ext.io")
        .area()
        .with_previous()
        .dimensions(&[incremental("discards").from("sectors discarded").times(512).over(1024)]),
    chart("disk_ops.*", "Disk Completed I/O Operations", "operations/s", "*", 2010)
        .context("disk.ops")
        .detail()
        .if_not_zero()
        .dimensions(&[incremental("reads"), incremental("writes").negative()]),
    chart("disk_ext_ops.*", "Disk Completed Extended I/O Operations", "operations/s", "*", 2011)
        .context("disk_ext.ops")
        .detail()
        .with_previous()
        .dimensions(&[incremental("discards"), incremental("flushes")]),
    chart("disk_qops.*", "Disk Current I/O Operations", "operations", "*", 2015)
        .context("disk.qops")
        .detail()
        .if_not_zero()
        .dimensions(&[absolute("operations").from("in flight")]),
    chart("disk_backlog.*", "Disk Backlog", "milliseconds", "*", 2020)
        .context("disk.backlog")
        .area()
        .detail()
        .if_not_zero()
        .dimensions(&[incremental("backlog")]),
    chart("disk_busy.*", "Disk Busy Time", "milliseconds", "*", 2030)
        .context("disk.busy")
        .area()
        .detail()
        .if_not_zero()
        .dimensions(&[incremental("busy")]),
    chart("disk_util.*", "Disk Utilization Time", "% of time working", "*", 2040)
        .context("disk.util")
        .area()
        .detail()
        .with_previous()
        .dimensions(&[absolute("utilization")]),
    chart("disk_await.*", "Average Completed I/O Operation Time", "milliseconds/operation", "*", 2050)
        .context("disk.await")
        .detail()
        .dimensions(&[
            absolute("reads").from("read await"),
            absolute("writes").from("write await").negative(),
        ]),
    chart(
        "disk_ext_await.*",
        "Average Completed Extended I/O Operation Time",
        "milliseconds/operation",
        "*",
        2051,
    )
    .context("disk_ext.await")
    .detail()
    .with_previous()
    .dimensions(&[
        absolute("discards").from("discard await"),
        absolute("flushes").from("flush await").optional(),
    ]),
    chart("disk_avgsz.*", "Average Completed I/O Operation Bandwidth", "KiB/operation", "*", 2060)
        .context("disk.avgsz")
        .area()
        .detail()
        .dimensions(&[
            absolute("reads").from("read size").times(512).over(1024),
            absolute("writes").from("write size").times(512).negative().over(1024),
        ]),
    chart("disk_ext_avgsz.*", "Average Amount of Discarded Data", "KiB/operation", "*", 2060)
        .context("disk_ext.avgsz")
        .area()
        .detail()
        .with_previous()
        .dimensions(&[absolute("discards").from("discard size").times(512).over(1024)]),
    chart("disk_svctm.*", "Average Service Time", "milliseconds/operation", "*", 2070)
        .context("disk.svctm")
        .detail()
        .dimensions(&[absolute("svctm")]),
    chart("disk_mops.*", "Disk Merged Operations", "merged operations/s", "*", 2080)
        .context("disk.mops")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("reads").from("reads merged"),
            incremental("writes").from("writes merged").negative(),
        ]),
    chart("disk_ext_mops.*", "Disk Merged Discard Operations", "merged operations/s", "*", 2081)
        .context("disk_ext.mops")
        .detail()
        .with_previous()
        .dimensions(&[incremental("discards").from("discards merged")]),
    chart("disk_iotime.*", "Disk Total I/O Time", "milliseconds/s", "*", 2090)
        .context("disk.iotime")
        .detail()
        .if_not_zero()
        .dimensions(&[
            incremental("reads").from("read time"),
            incremental("writes").from("write time").negative(),
        ]),
    chart("disk_ext_iotime.*", "Disk Total I/O Time for Extended Operations", "milliseconds/s", "*", 2091)
        .context("disk_ext.iotime")
        .detail()
        .with_previous()
        .dimensions(&[
            incremental("discards").from("discard time"),
            incremental("flushes").from("flush time").optional(),
        ]),
];

const TOTAL: &[Chart] = &[chart("system.io", "Disk I/O", "KiB/s", "disk", 150)
    .area()
    .dimensions(&[incremental("in"), incremental("out").negative()])];

const MODULE: &str = "/proc/diskstats";
/// Sectors of the kernel have this size whatever the disk's are.
const SECTOR: u64 = 512;
/// Sectors in a KiB.
const SECTORS_OF_KIB: u64 = 1024 / SECTOR;

/// The columns behind the device's name, in the kernel's order: 11 of all kernels, discards since 4.18, flushes since 5.5.
const COLUMNS: [&str; 17] = [
    "reads",
    "reads merged",
    "sectors read",
    "read time",
    "writes",
    "writes merged",
    "sectors written",
    "write time",
    "in flight",
    "busy",
    "backlog",
    "discards",
    "discards merged",
    "sectors discarded",
    "discard time",
    "flushes",
    "flush time",
];
const OF_ALL_KERNELS: usize = 11;
const READS: usize = 0;
const SECTORS_READ: usize = 2;
const READ_TIME: usize = 3;
const WRITES: usize = 4;
const SECTORS_WRITTEN: usize = 6;
const WRITE_TIME: usize = 7;
const BUSY: usize = 9;
const DISCARDS: usize = 11;
const SECTORS_DISCARDED: usize = 13;
const DISCARD_TIME: usize = 14;
const FLUSHES: usize = 15;
const FLUSH_TIME: usize = 16;

type Counters = [u64; COLUMNS.len()];

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Unknown,
    Physical,
    Partition,
    Virtual,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Unknown => "unknown",
            Kind::Physical => "physical",
            Kind::Partition => "partition",
            Kind::Virtual => "virtual",
        }
    }
}

struct Disk {
    kind: Kind,
    /// None of partitions, loop devices and RAM disks.
    charts: Option<Charts>,
    last: Option<Counters>,
}

/// Each disk, and all physical ones together.
pub(super) struct Disks {
    diskstats: Text,
    total: Charts,
    layout: Arc<Layout>,
    disks: Roster<Disk>,
    /// What was read, to be parsed while other files are.
    rows: Vec<(Vec<u8>, usize, Counters)>,
}

impl Disks {
    pub(super) fn new(reader: &Reader) -> Self {
        Self {
            diskstats: reader.open(MODULE),
            total: Charts::of_machine(PROC, MODULE, TOTAL, 1),
            layout: Layout::new(PROC, MODULE, DISK),
            disks: Roster::default(),
            rows: Vec::new(),
        }
    }
}

impl Subject for Disks {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let Some(text) = reader.read(&mut self.diskstats) else { return };
        let mut count = 0;
        for line in lines(text) {
            if self.rows.len() == count {
                self.rows.push((Vec::new(), 0, Counters::default()));
            }
            let (key, columns, counters) = &mut self.rows[count];
            *columns = parse(line, key, counters);
            count += usize::from(*columns >= OF_ALL_KERNELS);
        }
        for (key, columns, counters) in &self.rows[..count] {
            let disk = self.disks.meet(key, || examine(reader, &self.layout, key));
            if disk.kind == Kind::Physical {
                self.total.add("in", counters[SECTORS_READ] / SECTORS_OF_KIB);
                self.total.add("out", counters[SECTORS_WRITTEN] / SECTORS_OF_KIB);
            }
            if let Some(charts) = &mut disk.charts {
                put(charts, &counters[..*columns]);
                derive(charts, counters, *columns, disk.last, out.update_every_s);
                charts.write(out);
                disk.last = Some(*counters);
            }
        }
        self.total.write(out);
        self.disks.sweep(|disk| disk.charts.iter_mut().for_each(|charts| charts.retire(out)));
    }
}

/// Splits a line into its key (`253 0 vda`, each with a space behind it) and its counters; says how many there are.
fn parse(line: &[u8], key: &mut Vec<u8>, counters: &mut Counters) -> usize {
    key.clear();
    *counters = Counters::default();
    let mut words = words(line);
    for word in words.by_ref().take(3) {
        key.extend_from_slice(word);
        key.push(b' ');
    }
    let mut columns = 0;
    for (counter, word) in counters.iter_mut().zip(words) {
        *counter = number(word).unwrap_or(0);
        columns += 1;
    }
    columns
}

fn put(charts: &mut Charts, counters: &[u64]) {
    for (name, value) in COLUMNS.into_iter().zip(counters) {
        charts.put(name, *value);
    }
}

/// What is worked out of two rows: how busy it was, and how long and large its operations were.
fn derive(charts: &mut Charts, now: &Counters, columns: usize, last: Option<Counters>, update_every_s: u32) {
    let Some(last) = last else {
        charts.put("utilization", 0u64);
        return;
    };
    let grown = |column: usize| now[column].saturating_sub(last[column]);
    let busy = grown(BUSY) / (10 * u64::from(update_every_s.max(1)));
    charts.put("utilization", busy.min(100));
    let each = |total: usize, operations: usize| grown(total).checked_div(grown(operations)).unwrap_or(0);
    if !charts.exists("disk_ops.*") {
        return;
    }
    if charts.exists("disk_iotime.*") {
        charts.put("read await", each(READ_TIME, READS));
        charts.put("write await", each(WRITE_TIME, WRITES));
        if columns > DISCARD_TIME {
            charts.put("discard await", each(DISCARD_TIME, DISCARDS));
        }
        if columns > FLUSH_TIME {
            charts.put("flush await", each(FLUSH_TIME, FLUSHES));
        }
    }
    if charts.exists("disk.*") {
        charts.put("read size", each(SECTORS_READ, READS));
        charts.put("write size", each(SECTORS_WRITTEN, WRITES));
        if columns > SECTORS_DISCARDED {
            charts.put("discard size", each(SECTORS_DISCARDED, DISCARDS));
        }
    }
    if charts.exists("disk_busy.*") {
        let operations = grown(READS).saturating_add(grown(WRITES));
        charts.put("svctm", grown(BUSY).checked_div(operations).unwrap_or(0));
    }
}

/// What a disk that is new is: where it is mounted, whether it is one at all.
#[cold]
fn examine(reader: &mut Reader, layout: &Arc<Layout>, key: &[u8]) -> Disk {
    let key = shown(key);
    let mut words = key.split(' ');
    let (Some(major), Some(minor), Some(device)) = (words.next(), words.next(), words.next()) else {
        return Disk { kind: Kind::Unknown, charts: None, last: None };
    };
    // A slash in a device's name is a directory of /dev; in /sys it is an exclamation mark.
    let directory = device.replace('/', "!");
    let is_there = |reader: &Reader, path: String| reader.path(&path).exists();
    let kind = if is_there(reader, format!("/sys/dev/block/{major}:{minor}/partition")) {
        Kind::Partition
    } else if is_there(reader, format!("/sys/devices/virtual/block/{directory}"))
        || !super::entries(&reader.path(&format!("/sys/dev/block/{major}:{minor}/slaves"))).is_empty()
    {
        Kind::Virtual
    } else if is_there(reader, format!("/sys/block/{directory}")) {
        Kind::Physical
    } else {
        Kind::Unknown
    };
    if kind == Kind::Partition || device.starts_with("loop") || device.starts_with("ram") {
        return Disk { kind, charts: None, last: None };
    }
    let mapped = |reader: &mut Reader, what: &str| {
        let path = reader.path(&format!("/sys/block/{directory}/dm/{what}"));
        reader.read_once(&path).map(|text| shown(text.trim_ascii()))
    };
    // Volumes have names for people, and ids that stay when they are found in another order.
    let name = mapped(reader, "name").filter(|name| !name.is_empty());
    let uuid = mapped(reader, "uuid").and_then(|uuid| Some(uuid.strip_prefix("LVM-")?.to_owned()));
    let id = match uuid {
        Some(uuid) => format!("{device}-{uuid}"),
        None => device.to_owned(),
    };
    let number = format!("{major}:{minor}");
    let mount = mounts::read(reader)
        .into_iter()
        .find(|mount| mount.device == number && mount.source.rsplit('/').next() == Some(device));
    let mount_point = mount.map(|mount| mount.mount_point);
    let disk = name.as_deref().map_or_else(|| device.to_owned(), as_id);
    let instance = Instance {
        id: as_id(&id),
        name: name.as_deref().map(as_id).unwrap_or_default(),
        family: mount_point.clone().unwrap_or_else(|| disk.clone()),
        labels: vec![
            ("device", disk),
            ("mount_point", mount_point.unwrap_or("[none]".to_owned())),
            ("device_type", kind.word().to_owned()),
        ],
        ..Instance::default()
    };
    Disk { kind, charts: Some(Charts::new(layout, instance)), last: None }
}
