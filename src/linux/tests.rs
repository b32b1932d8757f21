//! A machine made of small files: what the collector makes of them, of things that come and go, and of nonsense.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::{Collector, Options};

/// A machine, and its collector.
struct Machine {
    root: TempDir,
    collector: Collector,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        for (path, text) in files {
            write(root.path(), path, text.as_bytes());
        }
        let collector = Collector::new(Options { root: root.path().to_owned(), ..Options::default() });
        Self { root, collector }
    }

    fn write(&self, path: &str, text: &str) {
        write(self.root.path(), path, text.as_bytes());
    }

    /// The lines of a second.
    fn collect(&mut self) -> String {
        let mut out = Vec::new();
        self.collector.collect(1_000_000, &mut out);
        String::from_utf8(out).expect("text")
    }

    /// The lines of several seconds' end.
    fn collect_after(&mut self, seconds: u32) -> String {
        (0..seconds).map(|_| self.collect()).last().expect("a second")
    }
}

/// Written anew in place, as the kernel does: who has the file open sees it.
fn write(root: &Path, path: &str, text: &[u8]) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a directory")).expect("made");
    fs::write(path, text).expect("written");
}

/// The rows of a chart: its `SET` lines without the word.
fn row(text: &str, chart: &str) -> Vec<String> {
    let begin = format!("BEGIN \"{chart}\" ");
    let lines = text.lines().skip_while(|line| !line.starts_with(&begin)).skip(1);
    lines.take_while(|line| *line != "END").map(|line| line.trim_start_matches("SET ").to_owned()).collect()
}

#[track_caller]
fn expect_row(text: &str, chart: &str, expected: &[&str]) {
    assert_eq!(row(text, chart), expected, "of {chart} in:\n{text}");
}

#[track_caller]
fn expect_line(text: &str, line: &str) {
    assert!(text.lines().any(|other| other == line), "no {line} in:\n{text}");
}

#[test]
fn an_empty_machine_has_nothing_to_say() {
    assert_eq!(Machine::new(&[]).collect_after(20), "");
}

#[test]
fn nothing_is_collected_that_is_switched_off() {
    let root = tempfile::tempdir().expect("a directory");
    write(root.path(), "proc/uptime", b"12.34 5.67\n");
    let options = Options { root: root.path().to_owned(), proc: false, ..Options::default() };
    let mut out = Vec::new();
    Collector::new(options).collect(0, &mut out);
    assert!(out.is_empty());
}

#[test]
fn a_chart_is_defined_once_and_then_only_filled() {
    let mut machine = Machine::new(&[("proc/uptime", "12.345 5.67\n")]);
    let definition = concat!(
        "CHART \"system.uptime\" \"\" \"System Uptime\" \"seconds\" \"uptime\" \"system.uptime\" \"line\" 1000 1 \"\" ",
        "\"proc.plugin\" \"/proc/uptime\"\n",
        "CLABEL \"_collect_plugin\" \"proc.plugin\" 1\n",
        "CLABEL \"_collect_module\" \"/proc/uptime\" 1\n",
        "CLABEL_COMMIT\n",
        "DIMENSION \"uptime\" \"uptime\" \"absolute\" 1 1000 \"\"\n",
    );
    let first = format!("{definition}BEGIN \"system.uptime\" 0\nSET \"uptime\" = 12345\nEND\n");
    assert_eq!(machine.collect(), first);
    machine.write("proc/uptime", "13.4 5.67\n");
    assert_eq!(machine.collect(), "BEGIN \"system.uptime\" 1000000\nSET \"uptime\" = 13400\nEND\n");
}

#[test]
fn shared_memory_is_counted_by_its_list() {
    let mut machine = Machine::new(&[("proc/sysvipc/shm", "heading\n0 1 600 4096\n0 2 600 100\n")]);
    expect_row(&machine.collect(), "system.shared_memory_bytes", &["\"bytes\" = 4196"]);
    machine.write("proc/sysvipc/shm", "");
    expect_row(&machine.collect(), "system.shared_memory_segments", &["\"segments\" = 0"]);
}

#[test]
fn guests_are_not_counted_twice_and_cores_come_and_go() {
    let total = "cpu  100 20 30 400 5 6 7 8 9 2\n";
    let mut machine = Machine::new(&[]);
    machine
        .write("proc/stat", &format!("{total}cpu0 1 0 0 0 0 0 0 0 0 0\nctxt 77\nprocesses 5\nintr 9 1 2\n"));
    let text = machine.collect();
    let row = [
        "\"guest_nice\" = 2",
        "\"guest\" = 9",
        "\"steal\" = 8",
        "\"softirq\" = 7",
        "\"irq\" = 6",
        "\"user\" = 91",
        "\"system\" = 30",
        "\"nice\" = 18",
        "\"iowait\" = 5",
        "\"idle\" = 400",
    ];
    expect_row(&text, "system.cpu", &row);
    expect_row(&text, "system.ctxt", &["\"switches\" = 77"]);
    expect_line(&text, "DIMENSION \"idle\" \"idle\" \"percentage-of-incremental-row\" 1 1 \"hidden\"");
    assert!(text.contains("CHART \"cpu.cpu0\" \"\" \"Core utilization\""));
    machine.write("proc/stat", &format!("{total}cpu11 1 0 0 0 0 0 0 0\n"));
    let text = machine.collect();
    assert!(text.contains("\"cpu.cpu\" \"stacked\" 1001 1 \"obsolete\""), "{text}");
    assert!(text.contains("\"cpu.cpu\" \"stacked\" 1012 1 \"\""), "{text}");
}

#[test]
fn counters_that_wrap_are_handed_on_as_they_are() {
    let mut machine = Machine::new(&[("proc/stat", "ctxt 18446744073709551615\n")]);
    expect_row(&machine.collect(), "system.ctxt", &["\"switches\" = -1"]);
    machine.write("proc/stat", "ctxt 3\n");
    expect_row(&machine.collect(), "system.ctxt", &["\"switches\" = 3"]);
}

#[test]
fn memory_that_can_be_freed_is_cached() {
    let meminfo = "MemTotal: 1000 kB\nMemFree: 300 kB\nMemAvailable: 700 kB\nBuffers: 50 kB\nCached: 200 kB\n\
        Shmem: 30 kB\nSReclaimable: 40 kB\nSUnreclaim: 7 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n";
    let mut machine = Machine::new(&[("proc/meminfo", meminfo)]);
    let text = machine.collect();
    let row = ["\"free\" = 300", "\"used\" = 440", "\"cached\" = 210", "\"buffers\" = 50"];
    expect_row(&text, "system.ram", &row);
    expect_row(&text, "mem.available", &["\"MemAvailable\" = 700"]);
    assert!(!text.contains("system.swap"), "a machine without swap");
    machine.write("proc/meminfo", &meminfo.replace("SwapTotal: 0", "SwapTotal: 500"));
    expect_row(&machine.collect(), "system.swap", &["\"free\" = 0", "\"used\" = 500"]);
}

#[test]
fn what_is_slower_says_so() {
    let mut machine = Machine::new(&[("proc/loadavg", "0.12 1.5 22.25 3/456 789\n")]);
    let text = machine.collect();
    expect_row(&text, "system.load", &["\"load1\" = 120", "\"load5\" = 1500", "\"load15\" = 22250"]);
    expect_row(&text, "system.active_processes", &["\"active\" = 456"]);
    assert!(text.contains("\"system.load\" \"line\" 100 5 "), "{text}");
    assert!(!machine.collect_after(4).contains("system.load"));
    expect_line(&machine.collect(), "BEGIN \"system.load\" 5000000");
}

#[test]
fn pressure_is_where_the_kernel_has_it() {
    let some = "some avg10=1.23 avg60=0.50 avg300=0.00 total=123456\n";
    let mut machine = Machine::new(&[("proc/pressure/io", some)]);
    let text = machine.collect();
    let row = ["\"some 10\" = 123", "\"some 60\" = 50", "\"some 300\" = 0"];
    expect_row(&text, "system.io_some_pressure", &row);
    expect_row(&text, "system.io_some_pressure_stall_time", &["\"time\" = 123"]);
    assert!(!text.contains("full") && !text.contains("cpu"), "{text}");
}

const MOUNTS: &str = "20 1 8:0 / / rw,relatime - ext4 /dev/sda rw\n21 20 0:5 / /proc rw - proc proc rw\n\
    22 20 0:30 / /net rw - nfs4 server:/export rw\n23 20 7:0 / /image ro - squashfs /dev/loop0 ro\n\
    24 20 0:6 / /with\\040space rw - tmpfs tmpfs rw\n";

#[test]
fn a_disk_is_measured_and_retired() {
    let mut machine = Machine::new(&[("proc/self/mountinfo", MOUNTS), ("sys/block/sda/size", "1")]);
    let loops = "7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n";
    machine.write("proc/diskstats", &format!("{loops}8 0 sda 10 2 2048 50 20 4 4096 80 0 1000 70\n"));
    let text = machine.collect();
    expect_row(&text, "disk.sda", &["\"reads\" = 2048", "\"writes\" = 4096"]);
    expect_row(&text, "system.io", &["\"in\" = 1024", "\"out\" = 2048"]);
    expect_line(&text, "CLABEL \"mount_point\" \"/\" 1");
    expect_line(&text, "CLABEL \"device_type\" \"physical\" 1");
    assert!(!text.contains("disk_ext") && !text.contains("disk_qops") && !text.contains("loop0"), "{text}");
    machine.write("proc/diskstats", "8 0 sda 14 2 2112 70 20 4 4096 80 1 1500 70 9 8 7 6 5 4\n");
    let text = machine.collect();
    expect_row(&text, "disk_await.sda", &["\"reads\" = 5", "\"writes\" = 0"]);
    expect_row(&text, "disk_avgsz.sda", &["\"reads\" = 16", "\"writes\" = 0"]);
    expect_row(&text, "disk_svctm.sda", &["\"svctm\" = 125"]);
    expect_row(&text, "disk_util.sda", &["\"utilization\" = 50"]);
    expect_row(&text, "disk_qops.sda", &["\"operations\" = 1"]);
    expect_row(&text, "disk_ext_ops.sda", &["\"discards\" = 9", "\"flushes\" = 5"]);
    machine.write("proc/diskstats", loops);
    let text = machine.collect();
    assert!(
        text.contains("CHART \"disk.sda\"")
            && text.contains("\"obsolete\"")
            && text.contains("\"obsolete detail\"")
    );
    assert!(!machine.collect().contains("sda"));
}

#[test]
fn mounts_that_could_hang_or_are_full_by_nature_are_not_asked() {
    let mut machine = Machine::new(&[("proc/self/mountinfo", MOUNTS)]);
    for directory in ["proc/x", "net/x", "image/x", "with space/x"] {
        machine.write(directory, "");
    }
    let text = machine.collect();
    assert!(text.contains("CHART \"disk_space._\" \"\" \"Disk Space Usage\" \"GiB\" \"/\""), "{text}");
    assert!(
        text.contains("CHART \"disk_space._with_space\" \"\" \"Disk Space Usage\" \"GiB\" \"/with space\"")
    );
    assert!(!text.contains("_net") && !text.contains("_image"), "{text}");
    machine.write("proc/self/mountinfo", MOUNTS.lines().next().expect("a line"));
    let text: String = (0..16).map(|_| machine.collect()).collect();
    assert!(text.contains("\"stacked\" 2023 1 \"obsolete\" \"diskspace.plugin\""), "{text}");
    assert!(!machine.collect().contains("space\""));
}

#[test]
fn interfaces_come_and_go_and_loopback_is_left_out() {
    let heading = "Inter-| Receive\n face |bytes\n";
    let eth0 = "eth0:1000 10 0 1 0 0 0 3 2000 20 0 0 0 0 0 0\n";
    let loopback = "lo: 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5 5\n";
    let mut machine =
        Machine::new(&[("sys/class/net/eth0/carrier", "1\n"), ("sys/class/net/eth0/speed", "1000\n")]);
    machine.write("sys/class/net/eth0/duplex", "full\n");
    machine.write("sys/class/net/eth0/operstate", "up\n");
    machine.write("proc/net/dev", &format!("{heading}{loopback}{eth0}"));
    let text = machine.collect();
    expect_row(&text, "net.eth0", &["\"received\" = 1000", "\"sent\" = 2000"]);
    expect_row(&text, "system.net", &["\"InOctets\" = 1000", "\"OutOctets\" = 2000"]);
    expect_row(&text, "net_drops.eth0", &["\"inbound\" = 1", "\"outbound\" = 0"]);
    expect_row(&text, "net_speed.eth0", &["\"speed\" = 1000000"]);
    expect_row(&text, "net_duplex.eth0", &["\"full\" = 1", "\"half\" = 0", "\"unknown\" = 0"]);
    expect_row(&text, "net_carrier.eth0", &["\"up\" = 1", "\"down\" = 0"]);
    assert_eq!(row(&text, "net_operstate.eth0")[0], "\"up\" = 1");
    assert!(!text.contains("net_errors") && !text.contains(".lo"), "{text}");
    machine.write("proc/net/dev", heading);
    assert!(machine.collect().contains("\"obsolete\""));
}

#[test]
fn protocols_are_read_by_their_headings() {
    let mut machine = Machine::new(&[
        ("proc/net/snmp", "Tcp: InSegs CurrEstab OutSegs\nTcp: 5 7 6\nUdp: InDatagrams\nUdp: 0\n"),
        ("proc/net/snmp6", "Ip6InReceives 9\n"),
        ("proc/net/sockstat", "sockets: used 3\nTCP: inuse 1 orphan 0 tw 2 alloc 4 mem 0\n"),
    ]);
    let text = machine.collect();
    expect_row(&text, "ipv4.tcppackets", &["\"InSegs\" = 5", "\"OutSegs\" = 6"]);
    expect_row(&text, "ipv4.tcpsock", &["\"CurrEstab\" = 7"]);
    assert_eq!(row(&text, "ipv6.packets")[0], "\"InReceives\" = 9");
    let sockets = ["\"alloc\" = 4", "\"orphan\" = 0", "\"inuse\" = 1", "\"timewait\" = 2"];
    expect_row(&text, "ipv4.sockstat_tcp_sockets", &sockets);
    assert!(!text.contains("udppackets") && !text.contains("tcp_mem"), "{text}");
}

#[test]
fn an_interrupt_that_is_new_defines_its_chart_again() {
    let cores = "      CPU0 CPU1\n";
    let mut machine = Machine::new(&[]);
    machine.write(
        "proc/interrupts",
        &format!("{cores} 24: 1 2 PCI-MSI 1-edge ACPI:Ged\nLOC: 5 0 Local timer\n"),
    );
    let text = machine.collect();
    expect_row(&text, "system.interrupts", &["\"24\" = 3", "\"LOC\" = 5"]);
    expect_row(&text, "cpu.cpu1_interrupts", &["\"24\" = 2"]);
    expect_line(&text, "DIMENSION \"24\" \"Ged_24\" \"incremental\" 1 1 \"\"");
    machine.write("proc/interrupts", &format!("{cores}LOC: 6 1 Local timer\n"));
    let text = machine.collect();
    expect_line(&text, "DIMENSION \"24\" \"Ged_24\" \"incremental\" 1 1 \"obsolete\"");
    expect_row(&text, "system.interrupts", &["\"LOC\" = 7"]);
    expect_row(&text, "cpu.cpu1_interrupts", &["\"LOC\" = 1"]);
}

fn add_group(machine: &Machine, path: &str) {
    let file = |name: &str, text: &str| machine.write(&format!("sys/fs/cgroup{path}/{name}"), text);
    file(
        "cpu.stat",
        "usage_usec 3\nuser_usec 600\nsystem_usec 400\nnr_periods 10\nnr_throttled 2\nthrottled_usec 5\n",
    );
    file("cpu.max", "50000 100000\n");
    file("memory.current", "1000\n");
    file("memory.max", "4000\n");
    file("memory.stat", "anon 1\nfile 5\ninactive_file 200\n");
    file("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4\n8:16 rbytes=1 wbytes=2 rios=3 wios=4\n");
    file("io.pressure", "some avg10=0.10 avg60=0.00 avg300=0.00 total=9000\n");
}

#[test]
fn containers_have_charts_and_services_are_dimensions() {
    let mut machine = Machine::new(&[
        ("proc/self/mountinfo", "30 1 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("proc/meminfo", "MemTotal: 100 kB\n"),
        ("sys/fs/cgroup/cgroup.controllers", "cpu io memory\n"),
    ]);
    for path in
        ["/docker/abc", "/machine.slice/vm.service", "/system.slice/web.service", "/user.slice/u.scope"]
    {
        add_group(&machine, path);
    }
    let text = machine.collect();
    expect_row(&text, "cgroup_docker_abc.cpu", &["\"user\" = 600", "\"system\" = 400"]);
    expect_row(&text, "cgroup_docker_abc.throttled_duration", &["\"duration\" = 5000"]);
    expect_row(&text, "cgroup_docker_abc.mem_usage_limit", &["\"available\" = 3200", "\"used\" = 800"]);
    expect_row(&text, "cgroup_docker_abc.mem_utilization", &["\"utilization\" = 20"]);
    expect_row(&text, "cgroup_docker_abc.io", &["\"read\" = 2", "\"write\" = 4"]);
    assert_eq!(row(&text, "cgroup_docker_abc.mem").last().expect("a value"), "\"file\" = 5");
    expect_row(&text, "cgroup_docker_abc.io_some_pressure_stall_time", &["\"time\" = 9"]);
    assert!(text.contains("CHART \"cgroup_vm.cpu\"") && !text.contains("u.scope"), "{text}");
    expect_row(&text, "services.cpu", &["\"system-slice_web-service\" = 1000"]);
    expect_line(&text, "DIMENSION \"system-slice_web-service\" \"web\" \"incremental\" 100 1000000 \"\"");
    // A limit that is set, and a cgroup that is made anew, are found when cgroups are looked for.
    machine.write("sys/fs/cgroup/docker/abc/memory.max", "2000\n");
    fs::remove_dir_all(machine.root.path().join("sys/fs/cgroup/machine.slice")).expect("removed");
    add_group(&machine, "/machine.slice/vm.service");
    let text = machine.collect();
    expect_row(&text, "cgroup_docker_abc.mem_utilization", &["\"utilization\" = 20"]);
    assert!(!text.contains("BEGIN \"cgroup_vm.cpu\""), "{text}");
    let text = machine.collect_after(9);
    expect_row(&text, "cgroup_docker_abc.mem_utilization", &["\"utilization\" = 40"]);
    expect_row(&text, "cgroup_vm.cpu", &["\"user\" = 600", "\"system\" = 400"]);
    fs::remove_dir_all(machine.root.path().join("sys/fs/cgroup/docker")).expect("removed");
    fs::remove_dir_all(machine.root.path().join("sys/fs/cgroup/system.slice")).expect("removed");
    let text: String = (0..10).map(|_| machine.collect()).collect();
    assert!(text.contains("CHART \"cgroup_docker_abc.cpu\""), "{text}");
    expect_line(
        &text,
        "DIMENSION \"system-slice_web-service\" \"web\" \"incremental\" 100 1000000 \"obsolete\"",
    );
    let text = machine.collect();
    assert!(!text.contains("docker") && !text.contains("services"), "{text}");
    assert!(text.contains("BEGIN \"cgroup_vm.cpu\" 1000000"), "{text}");
}

#[test]
fn names_of_others_cannot_end_a_line() {
    let mut machine = Machine::new(&[]);
    machine.write("proc/net/dev", "a\"\\\u{1}b: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n");
    let text = machine.collect();
    expect_line(&text, "CLABEL \"device\" \"a'/ b\" 1");
    assert!(text.contains("CHART \"net.a___b\""), "{text}");
}

/// Every file that is read somewhere, but those that need a directory of their own.
const FILES: [&str; 18] = [
    "proc/stat",
    "proc/loadavg",
    "proc/uptime",
    "proc/sys/kernel/random/entropy_avail",
    "proc/sysvipc/sem",
    "proc/sysvipc/shm",
    "proc/pressure/cpu",
    "proc/interrupts",
    "proc/softirqs",
    "proc/meminfo",
    "proc/vmstat",
    "proc/diskstats",
    "proc/net/dev",
    "proc/net/softnet_stat",
    "proc/net/sockstat",
    "proc/net/snmp",
    "proc/net/stat/nf_conntrack",
    "proc/self/mountinfo",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes at random, and words of the right kind in a wrong order.
    #[test]
    fn nonsense_is_survived(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        words in "((cpu|cpu3|intr|Tcp:|TCP:|some|eth0:|8 0 sda|MemTotal:|-|[0-9]{1,25}|[0-9]\\.[0-9]{1,30}|total=9|/|,)[ \n]){0,60}",
    ) {
        let mut machine = Machine::new(&[]);
        for text in [bytes.as_slice(), words.as_bytes(), b"", bytes.as_slice()] {
            for file in FILES {
                write(machine.root.path(), file, text);
            }
            let out = machine.collect();
            for line in out.lines() {
                let known = ["CHART ", "CLABEL", "DIMENSION ", "BEGIN ", "SET ", "END"];
                prop_assert!(known.iter().any(|keyword| line.starts_with(keyword)), "{}", line);
            }
        }
    }
}
