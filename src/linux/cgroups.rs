//! Control groups, version 2: containers, virtual machines, sessions, each with charts of its own, and the services of
//! systemd as dimensions of common charts.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, open};

use super::chart::{Chart, Charts, Growing, Instance, Layout, Lines, absolute, chart, incremental};
use super::mounts::{self, as_id};
use super::pressure::{self, RESOURCES};
use super::roster::Roster;
use super::text::{Reader, lines, number, words};
use super::{Pace, Subject, entries};

const CGROUP: &[Chart] = &[
    chart("cgroup_*.cpu_limit", "CPU Usage within the limits", "percentage", "cpu", 39999)
        .context("cgroup.cpu_limit")
        .dimensions(&[absolute("used").from("cpu used").over(1_000_000)]),
    chart("cgroup_*.cpu", "CPU Usage (100% = 1 core)", "percentage", "cpu", 40000)
        .context("cgroup.cpu")
        .stacked()
        .if_not_zero()
        .dimensions(&[
            incremental("user").from("user_usec").times(100).over(1_000_000),
            incremental("system").from("system_usec").times(100).over(1_000_000),
        ]),
    chart("cgroup_*.throttled", "CPU Throttled Runnable Periods", "percentage", "cpu", 40010)
        .context("cgroup.throttled")
        .if_not_zero()
        .dimensions(&[absolute("throttled")]),
    chart("cgroup_*.throttled_duration", "CPU Throttled Time Duration", "ms", "cpu", 40015)
        .context("cgroup.throttled_duration")
        .with_previous()
        .dimensions(&[incremental("duration").over(1_000_000)]),
    chart("cgroup_*.mem_utilization", "Memory Utilization", "percentage", "mem", 40199)
        .context("cgroup.mem_utilization")
        .area()
        .dimensions(&[absolute("utilization")]),
    chart("cgroup_*.mem_usage_limit", "Used RAM within the limits", "MiB", "mem", 40200)
        .context("cgroup.mem_usage_limit")
        .stacked()
        .dimensions(&[
            absolute("available").over(1 << 20),
            absolute("used").from("memory used").over(1 << 20),
        ]),
    chart("cgroup_*.mem_usage", "Used Memory", "MiB", "mem", 40210)
        .context("cgroup.mem_usage")
        .stacked()
        .if_not_zero()
        .dimensions(&[absolute("ram").over(1 << 20), absolute("swap").over(1 << 20)]),
    chart("cgroup_*.mem", "Memory Usage", "MiB", "mem", 40220)
        .context("cgroup.mem")
        .stacked()
        .if_not_zero()
        .dimensions(&[
            absolute("anon").over(1 << 20),
            absolute("kernel_stack").over(1 << 20),
            absolute("slab").over(1 << 20),
            absolute("sock").over(1 << 20),
            absolute("anon_thp").over(1 << 20),
            absolute("file").over(1 << 20),
        ]),
    chart("cgroup_*.writeback", "Writeback Memory", "MiB", "mem", 40300)
        .context("cgroup.writeback")
        .area()
        .if_not_zero()
        .dimensions(&[
            absolute("dirty").from("file_dirty").over(1 << 20),
            absolute("writeback").from("file_writeback").over(1 << 20),
        ]),
    chart("cgroup_*.pgfaults", "Memory Page Faults", "MiB/s", "mem", 40500)
        .context("cgroup.pgfaults")
        .if_not_zero()
        .dimensions(&[
            incremental("pgfault").in_units().over(1 << 20),
            incremental("pgmajfault").named("swap").in_units().negative().over(1 << 20),
        ]),
    chart("cgroup_*.io", "I/O Bandwidth (all disks)", "KiB/s", "disk", 41200)
        .context("cgroup.io")
        .area()
        .if_not_zero()
        .dimensions(&[
            incremental("read").from("rbytes").over(1024),
            incremental("write").from("wbytes").negative().over(1024),
        ]),
    chart("cgroup_*.serviced_ops", "Serviced I/O Operations (all disks)", "operations/s", "disk", 41200)
        .context("cgroup.serviced_ops")
        .if_not_zero()
        .dimensions(&[incremental("read").from("rios"), incremental("write").from("wios").negative()]),
    chart("cgroup_*.cpu_some_pressure", "CPU some pressure", "percentage", "cpu", 42200)
        .context("cgroup.cpu_some_pressure")
        .dimensions(&[
            absolute("some 10").from("cpu some 10").over(100),
            absolute("some 60").from("cpu some 60").over(100),
            absolute("some 300").from("cpu some 300").over(100),
        ]),
    chart("cgroup_*.cpu_some_pressure_stall_time", "CPU some pressure stall time", "ms", "cpu", 42220)
        .context("cgroup.cpu_some_pressure_stall_time")
        .dimensions(&[incremental("time").from("cpu some total")]),
    chart("cgroup_*.cpu_full_pressure", "CPU full pressure", "percentage", "cpu", 42240)
        .context("cgroup.cpu_full_pressure")
        .dimensions(&[
            absolute("full 10").from("cpu full 10").over(100),
            absolute("full 60").from("cpu full 60").over(100),
            absolute("full 300").from("cpu full 300").over(100),
        ]),
    chart("cgroup_*.cpu_full_pressure_stall_time", "CPU full pressure stall time", "ms", "cpu", 42260)
        .context("cgroup.cpu_full_pressure_stall_time")
        .dimensions(&[incremental("time").from("cpu full total")]),
    chart("cgroup_*.mem_some_pressure", "Memory some pressure", "percentage", "mem", 42300)
        .context("cgroup.memory_some_pressure")
        .dimensions(&[
            absolute("some 10").from("memory some 10").over(100),
            absolute("some 60").from("memory some 60").over(100),
            absolute("some 300").from("memory some 300").over(100),
        ]),
    chart("cgroup_*.memory_some_pressure_stall_time", "Memory some pressure stall time", "ms", "mem", 42320)
        .context("cgroup.memory_some_pressure_stall_time")
        .dimensions(&[incremental("time").from("memory some total")]),
    chart("cgroup_*.mem_full_pressure", "Memory full pressure", "percentage", "mem", 42340)
        .context("cgroup.memory_full_pressure")
        .dimensions(&[
            absolute("full 10").from("memory full 10").over(100),
            absolute("full 60").from("memory full 60").over(100),
            absolute("full 300").from("memory full 300").over(100),
        ]),
    chart("cgroup_*.memory_full_pressure_stall_time", "Memory full pressure stall time", "ms", "mem", 42360)
        .context("cgroup.memory_full_pressure_stall_time")
        .dimensions(&[incremental("time").from("memory full total")]),
    chart("cgroup_*.io_some_pressure", "I/O some pressure", "percentage", "disk", 42400)
        .context("cgroup.io_some_pressure")
        .dimensions(&[
            absolute("some 10").from("io some 10").over(100),
            absolute("some 60").from("io some 60").over(100),
            absolute("some 300").from("io some 300").over(100),
        ]),
    chart("cgroup_*.io_some_pressure_stall_time", "I/O some pressure stall time", "ms", "disk", 42420)
        .context("cgroup.io_some_pressure_stall_time")
        .dimensions(&[incremental("time").from("io some total")]),
    chart("cgroup_*.io_full_pressure", "I/O full pressure", "percentage", "disk", 42440)
        .context("cgroup.io_full_pressure")
        .dimensions(&[
            absolute("full 10").from("io full 10").over(100),
            absolute("full 60").from("io full 60").over(100),
            absolute("full 300").from("io full 300").over(100),
        ]),
    chart("cgroup_*.io_full_pressure_stall_time", "I/O full pressure stall time", "ms", "disk", 42460)
        .context("cgroup.io_full_pressure_stall_time")
        .dimensions(&[incremental("time").from("io full total")]),
];

const PLUGIN: &str = "cgroups.plugin";
const MODULE: &str = "/sys/fs/cgroup";
const SERVICES: (&str, &str) = (PLUGIN, "systemd");

const SERVICE_CPU: Chart =
    chart("services.cpu", "Systemd Services CPU utilization (100% = 1 core)", "percentage", "cpu", 19000)
        .stacked()
        .dimensions(&[incremental("*").times(100).over(1_000_000)]);
const SERVICE_MEMORY: Chart =
    chart("services.mem_usage", "Systemd Services Used Memory", "MiB", "mem", 19010)
        .stacked()
        .dimensions(&[absolute("*").over(1 << 20)]);
const SERVICE_SWAP: Chart =
    chart("services.swap_usage", "Systemd Services Swap Memory Used", "MiB", "swap", 19100)
        .stacked()
        .dimensions(&[absolute("*").over(1 << 20)]);
const SERVICE_READ: Chart =
    chart("services.io_read", "Systemd Services Disk Read Bandwidth", "KiB/s", "disk", 19120)
        .stacked()
        .dimensions(&[incremental("*").over(1024)]);
const SERVICE_WRITE: Chart =
    chart("services.io_write", "Systemd Services Disk Write Bandwidth", "KiB/s", "disk", 19130)
        .stacked()
        .dimensions(&[incremental("*").over(1024)]);
const SERVICE_READS: Chart =
    chart("services.io_ops_read", "Systemd Services Disk Read Operations", "operations/s", "disk", 19140)
        .stacked()
        .dimensions(&[incremental("*")]);
const SERVICE_WRITES: Chart =
    chart("services.io_ops_write", "Systemd Services Disk Write Operations", "operations/s", "disk", 19150)
        .stacked()
        .dimensions(&[incremental("*")]);

/// How long a new cgroup may stay unnoticed.
const LOOK_EVERY_S: u32 = 10;
/// More of them are not looked at: a machine that makes cgroups without end must not make us grow so.
const MOST: usize = 1000;
/// No runtime nests them deeper.
const DEEPEST: usize = 12;

/// Of a cgroup's path, what of it is of interest. The first that matches decides; `*` stands for anything, a leading `!`
/// for no. These are Netdata's defaults.
const SHOWN: &[&str] = &[
    "!*/init.scope",
    "!/system.slice/run-*.scope",
    "*.scope",
    "/machine.slice/*.service",
    "*/kubepods/pod*/*",
    "*/kubepods/*/pod*/*",
    "*/*-kubepods-pod*/*",
    "*/*-kubepods-*-pod*/*",
    "!*kubepods*",
    "!*kubelet*",
    "!*/vcpu*",
    "!*/emulator",
    "!*.mount",
    "!*.partition",
    "!*.service",
    "!*.socket",
    "!*.slice",
    "!*.swap",
    "!*.user",
    "!/",
    "!/docker",
    "!*/libvirt",
    "!/lxc",
    "!/lxc/*/*",
    "!/lxc.monitor*",
    "!/lxc.pivot",
    "!/lxc.payload",
    "!/machine",
    "!/qemu",
    "!/system",
    "!/systemd",
    "!/user",
    "*",
];
/// Which are looked into for more.
const SEARCHED: &[&str] = &[
    "!*/init.scope",
    "!*-qemu",
    "!*.libvirt-qemu",
    "!/init.scope",
    "!/system",
    "!/systemd",
    "!/user",
    "!/user.slice",
    "!/lxc/*/*",
    "!/lxc.monitor",
    "!/lxc.payload/*/*",
    "!/lxc.payload.*",
    "*",
];
const OF_SYSTEMD: &[&str] = &["!/system.slice/*/*.service", "/system.slice/*.service"];

/// Whether the first of the patterns that fits says yes.
fn is_wanted(patterns: &[&str], path: &str) -> bool {
    let bare = |pattern: &&&str| fits(pattern.trim_start_matches('!'), path);
    patterns.iter().find(bare).is_some_and(|pattern| !pattern.starts_with('!'))
}

/// `*` is any text, also none.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
            after.is_empty() || rest.char_indices().any(|(at, _)| fits(after, &rest[at..])) || fits(after, "")
        }),
    }
}

struct Group {
    /// Opened anew whenever it is found: a cgroup may have been removed, and made again by the same name.
    directory: Option<OwnedFd>,
    limits: Limits,
    /// None of a service: its values are dimensions of common charts.
    charts: Option<Charts>,
    id: String,
    name: String,
    last: Last,
}

/// What an administrator has set; looked at when cgroups are looked for.
#[derive(Clone, Copy, Default)]
struct Limits {
    memory: Option<u64>,
    /// In per cent of one core.
    cpu: Option<u64>,
}

/// Counters of the row before.
#[derive(Clone, Copy, Default)]
struct Last {
    used_us: Option<u64>,
    periods: u64,
    throttled: u64,
}

/// What the files of a cgroup say.
#[derive(Default)]
struct Values {
    user_us: u64,
    system_us: u64,
    memory: Option<u64>,
    swap: Option<u64>,
    /// Bytes read and written, operations.
    io: Option<[u64; 4]>,
}

/// All cgroups below the mount of their file system.
pub(super) struct Cgroups {
    mount: Option<PathBuf>,
    layout: Arc<Layout>,
    pace: Pace,
    groups: Roster<Group>,
    services: [Growing; 7],
    memory_of_machine: u64,
    cores: u64,
}

impl Cgroups {
    pub(super) fn new(reader: &Reader) -> Self {
        let charts = [
            &SERVICE_CPU,
            &SERVICE_MEMORY,
            &SERVICE_SWAP,
            &SERVICE_READ,
            &SERVICE_WRITE,
            &SERVICE_READS,
            &SERVICE_WRITES,
        ];
        let of_cores = entries(&reader.path("/sys/devices/system/cpu"));
        let is_core =
            |name: &&String| name.strip_prefix("cpu").is_some_and(|rest| number(rest.as_bytes()).is_some());
        Self {
            mount: None,
            layout: Layout::new(PLUGIN, MODULE, CGROUP),
            pace: Pace::new(LOOK_EVERY_S),
            groups: Roster::default(),
            services: charts.map(|chart| Growing::new(SERVICES, chart, Instance::default())),
            memory_of_machine: 0,
            cores: (of_cores.iter().filter(is_core).count() as u64).max(1),
        }
    }

    /// Looks for cgroups that are new or gone. On a machine that has version 1 besides, the file system of version 2 has no
    /// controllers: its cgroups are empty shells.
    fn look(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        let mounts = mounts::read(reader);
        self.mount = mounts
            .iter()
            .find(|mount| mount.file_system() == "cgroup2")
            .map(|mount| reader.path(&mount.mount_point));
        let mut found = 0;
        if let Some(mount) = &self.mount
            && reader
                .read_once(&mount.join("cgroup.controllers"))
                .is_some_and(|text| !text.trim_ascii().is_empty())
        {
            let path = reader.path("/proc/meminfo");
            let total = reader.read_once(&path).and_then(|text| words(text).nth(1)).and_then(number);
            self.memory_of_machine = total.unwrap_or(0).saturating_mul(1024);
            let mount = mount.clone();
            self.descend(reader, &mount, String::new(), 0, &mut found);
        }
        self.groups.sweep(|group| group.charts.iter_mut().for_each(|charts| charts.retire(out)));
    }

    fn descend(
        &mut self,
        reader: &mut Reader,
        directory: &Path,
        path: String,
        depth: usize,
        found: &mut usize,
    ) {
        let shown = if path.is_empty() { "/" } else { &path };
        let is_service = is_wanted(OF_SYSTEMD, shown);
        if is_service || is_wanted(SHOWN, shown) {
            *found += 1;
            let new = || Group::new(&self.layout, shown, is_service);
            self.groups.meet(shown.as_bytes(), new).find(reader, directory, self.cores);
        }
        if depth >= DEEPEST || !is_wanted(SEARCHED, shown) {
            return;
        }
        let Ok(children) = std::fs::read_dir(directory) else { return };
        let is_directory = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        for child in children.flatten().filter(is_directory) {
            if *found >= MOST {
                return;
            }
            let Ok(name) = child.file_name().into_string() else { continue };
            self.descend(reader, &child.path(), format!("{path}/{name}"), depth + 1, found);
        }
    }
}

impl Subject for Cgroups {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        if self.pace.due(out).is_some() {
            self.look(reader, out);
        }
        for group in self.groups.iter_mut() {
            let values = group.read(reader, self.memory_of_machine, out.update_every_s);
            match &mut group.charts {
                Some(charts) => charts.write(out),
                None => {
                    let Some(values) = values else { continue };
                    let io = |at: usize| values.io.map(|io| io[at]);
                    let used = values.user_us.wrapping_add(values.system_us);
                    let row = [Some(used), values.memory, values.swap, io(0), io(1), io(2), io(3)];
                    for (chart, value) in self.services.iter_mut().zip(row) {
                        if let Some(value) = value {
                            chart.put(group.id.as_bytes(), group.name.as_bytes(), value);
                        }
                    }
                }
            }
        }
        self.services.iter_mut().for_each(|chart| chart.write(out));
    }
}

impl Group {
    /// The id of charts is the path without its first slash; that of a unit in the machines' slice, its name alone.
    fn new(layout: &Arc<Layout>, path: &str, is_service: bool) -> Self {
        let last = path.rsplit('/').next().unwrap_or(path);
        let unit = last.rsplit_once('.').map_or(last, |(unit, _)| unit);
        let is_machine = path.starts_with("/machine.slice/") && last.ends_with(".service");
        // A dot would end the type in a chart's id.
        let id = as_id(if is_machine { unit } else { path.trim_start_matches('/') }).replace('.', "-");
        let instance = Instance {
            id: id.clone(),
            unit: i64::try_from(rustix::param::page_size()).unwrap_or(4096),
            ..Instance::default()
        };
        Self {
            directory: None,
            limits: Limits::default(),
            charts: (!is_service).then(|| Charts::new(layout, instance)),
            id,
            name: unit.to_owned(),
            last: Last::default(),
        }
    }

    /// It is there.
    fn find(&mut self, reader: &mut Reader, directory: &Path, cores: u64) {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.directory = open(directory, flags, Mode::empty()).ok();
        let Some(directory) = self.directory.as_ref().filter(|_| self.charts.is_some()) else { return };
        let memory = reader.read_in(directory, "memory.max").and_then(|text| words(text).next());
        let memory = memory.and_then(number);
        let cpu = reader.read_in(directory, "cpu.max").map(|text| quota_percent(text, cores));
        self.limits = Limits { memory, cpu };
    }

    /// `None`: it is gone. One that was made again by the same name is found when cgroups are looked for.
    fn read(&mut self, reader: &mut Reader, machine: u64, update_every_s: u32) -> Option<Values> {
        let mut values = Values::default();
        let directory = self.directory.as_ref()?;
        let mut throttling = [0; 3];
        // Every cgroup has this file.
        for (key, value) in pairs(reader.read_in(directory, "cpu.stat")?) {
            match key {
                b"user_usec" => values.user_us = value,
                b"system_usec" => values.system_us = value,
                b"nr_periods" => throttling[0] = value,
                b"nr_throttled" => throttling[1] = value,
                b"throttled_usec" => throttling[2] = value,
                _ => {}
            }
        }
        let mut one =
            |name: &str| reader.read_in(directory, name).and_then(|text| words(text).next()).and_then(number);
        values.memory = one("memory.current");
        values.swap = one("memory.swap.current");
        values.io = reader.read_in(directory, "io.stat").map(sum_io);
        let Some(charts) = &mut self.charts else { return Some(values) };

        self.last.put_cpu(charts, &values, throttling, self.limits.cpu, update_every_s);
        if let Some(io) = values.io {
            for (key, value) in ["rbytes", "wbytes", "rios", "wios"].into_iter().zip(io) {
                charts.put(key, value);
            }
        }
        // What was read of files and is not looked at any more counts as free, but for services.
        let mut idle = 0;
        for (key, value) in reader.read_in(directory, "memory.stat").into_iter().flat_map(pairs) {
            charts.put(key, value);
            if key == b"inactive_file" {
                idle = value;
            }
        }
        if let Some(used) = values.memory.map(|memory| memory.saturating_sub(idle)) {
            let limit = self.limits.memory.map_or(machine, |limit| limit.min(machine));
            charts.put("ram", used);
            charts.put("swap", values.swap.unwrap_or(0));
            if limit > 0 {
                charts.put("available", limit.saturating_sub(used));
                charts.put("memory used", used);
                charts.put("utilization", used.saturating_mul(100) / limit);
            }
        }
        for resource in &RESOURCES {
            if let Some(text) = reader.read_in(directory, resource.file) {
                pressure::put(charts, resource, text);
            }
        }
        Some(values)
    }
}

impl Last {
    fn put_cpu(
        &mut self,
        charts: &mut Charts,
        values: &Values,
        [periods, throttled, throttled_us]: [u64; 3],
        quota: Option<u64>,
        update_every_s: u32,
    ) {
        charts.put("user_usec", values.user_us);
        charts.put("system_usec", values.system_us);
        let used_us = values.user_us.wrapping_add(values.system_us);
        // Of all the time that its quota allows, in millionths of a per cent.
        if let Some(quota) = quota.filter(|quota| *quota > 0) {
            let grown = self.used_us.map_or(0, |last| used_us.saturating_sub(last));
            let allowed = quota.saturating_mul(u64::from(update_every_s.max(1)));
            charts.put("cpu used", grown.saturating_mul(100 * 100) / allowed);
        }
        let grown = throttled.saturating_sub(self.throttled).saturating_mul(100);
        charts.put("throttled", grown.checked_div(periods.saturating_sub(self.periods)).unwrap_or(0));
        charts.put("duration", throttled_us.saturating_mul(1000));
        *self = Self { used_us: Some(used_us), periods, throttled };
    }
}

/// `key value`, a line each.
fn pairs(text: &[u8]) -> impl Iterator<Item = (&[u8], u64)> {
    lines(text).filter_map(|line| {
        let mut words = words(line);
        Some((words.next()?, number(words.next()?)?))
    })
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4`, a line a disk: the sum of all disks.
fn sum_io(text: &[u8]) -> [u64; 4] {
    let mut sums = [0u64; 4];
    for word in lines(text).flat_map(|line| words(line).skip(1)) {
        let keys: [&[u8]; 4] = [b"rbytes=", b"wbytes=", b"rios=", b"wios="];
        for (sum, key) in sums.iter_mut().zip(keys) {
            let value = word.strip_prefix(key).and_then(number);
            *sum = sum.wrapping_add(value.unwrap_or(0));
        }
    }
    sums
}

/// `50000 100000` is half a core, `max 100000` all there are; in per cent of one core.
fn quota_percent(text: &[u8], cores: u64) -> u64 {
    let mut words = words(text).map(number);
    let all = cores * 100;
    match (words.next().flatten(), words.next().flatten()) {
        (Some(quota), Some(period)) if period > 0 => (quota.saturating_mul(100) / period).min(all),
        _ => all,
    }
}
