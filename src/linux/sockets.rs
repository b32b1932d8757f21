//! Sockets and protocols: what the kernel counts of IP, TCP, UDP and ICMP, and of connections it tracks.

use super::chart::{Chart, Charts, Lines, absolute, chart, incremental};
use super::text::{Reader, Text, hexadecimal, lines, signed, words};
use super::{PROC, Subject};

/// How the values of a file are named.
#[derive(Clone, Copy)]
enum Form {
    /// `TCP: inuse 5 orphan 0`: a value is `TCP inuse`.
    Pairs,
    /// `Tcp: InSegs OutSegs`, then `Tcp: 12 34`: a value is `Tcp.InSegs`.
    Headings,
    /// `Ip6InReceives 12`.
    Lines,
    /// Names in the first line, and a line of hexadecimal numbers a core.
    Cores,
}

/// Files of counters that belong to one table of charts.
pub(super) struct Counters {
    files: Vec<(Text, Form)>,
    charts: Charts,
    /// The key of the value at hand.
    key: Vec<u8>,
}

impl Counters {
    fn new(reader: &Reader, module: &'static str, table: &'static [Chart], files: &[(&str, Form)]) -> Self {
        let page = i64::try_from(rustix::param::page_size()).unwrap_or(4096);
        Self {
            files: files.iter().map(|(path, form)| (reader.open(path), *form)).collect(),
            charts: Charts::of_machine(PROC, module, table, page),
            key: Vec::new(),
        }
    }

    /// All of them.
    pub(super) fn all(reader: &Reader) -> [Self; 6] {
        const SOCKETS: &str = "/proc/net/sockstat";
        const SOCKETS_6: &str = "/proc/net/sockstat6";
        const PROTOCOLS: &str = "/proc/net/netstat";
        const TRACKED: &str = "/proc/net/stat/nf_conntrack";
        [
            Self::new(reader, SOCKETS, SOCKSTAT, &[(SOCKETS, Form::Pairs)]),
            Self::new(reader, SOCKETS_6, SOCKSTAT6, &[(SOCKETS_6, Form::Pairs)]),
            Self::new(reader, PROTOCOLS, super::protocols::IP, &[(PROTOCOLS, Form::Headings)]),
            Self::new(
                reader,
                PROTOCOLS,
                super::protocols::IPV4,
                &[("/proc/net/snmp", Form::Headings), (PROTOCOLS, Form::Headings)],
            ),
            Self::new(reader, PROTOCOLS, super::protocols::IPV6, &[("/proc/net/snmp6", Form::Lines)]),
            Self::new(reader, TRACKED, CONNTRACK, &[(TRACKED, Form::Cores)]),
        ]
    }
}

impl Subject for Counters {
    fn collect(&mut self, reader: &mut Reader, out: &mut Lines<'_>) {
        for (file, form) in &mut self.files {
            let Some(text) = reader.read(file) else { continue };
            match form {
                Form::Pairs => put_pairs(&mut self.charts, &mut self.key, text),
                Form::Headings => put_headings(&mut self.charts, &mut self.key, text),
                Form::Lines => put_lines(&mut self.charts, text),
                Form::Cores => put_cores(&mut self.charts, text),
            }
        }
        self.charts.write(out);
    }
}

fn join(key: &mut Vec<u8>, name: &[u8], separator: u8, field: &[u8]) {
    key.clear();
    key.extend_from_slice(name);
    key.push(separator);
    key.extend_from_slice(field);
}

fn put_pairs(charts: &mut Charts, key: &mut Vec<u8>, text: &[u8]) {
    for line in lines(text) {
        let mut words = words(line);
        let Some(name) = words.next() else { continue };
        let name = name.strip_suffix(b":").unwrap_or(name);
        while let (Some(field), Some(value)) = (words.next(), words.next()) {
            let Some(value) = signed(value) else { continue };
            join(key, name, b' ', field);
            charts.put(&*key, value);
        }
    }
}

fn put_headings(charts: &mut Charts, key: &mut Vec<u8>, text: &[u8]) {
    let mut lines = lines(text);
    while let (Some(heading), Some(values)) = (lines.next(), lines.next()) {
        let mut fields = words(heading);
        let mut values = words(values);
        let (Some(name), Some(again)) = (fields.next(), values.next()) else { continue };
        if name != again {
            continue;
        }
        let name = name.strip_suffix(b":").unwrap_or(name);
        for (field, value) in fields.zip(values) {
            let Some(value) = signed(value) else { continue };
            join(key, name, b'.', field);
            charts.put(&*key, value);
        }
    }
}

fn put_lines(charts: &mut Charts, text: &[u8]) {
    for line in lines(text) {
        let mut words = words(line);
        if let (Some(key), Some(value)) = (words.next(), words.next().and_then(signed)) {
            charts.put(key, value);
        }
    }
}

fn put_cores(charts: &mut Charts, text: &[u8]) {
    let mut lines = lines(text);
    let Some(heading) = lines.next() else { return };
    for (line, core) in lines.zip(0..) {
        for (field, value) in words(heading).zip(words(line)) {
            let Some(value) = hexadecimal(value) else { continue };
            // How many there are now is said on each line anew; all else each core counts for itself.
            if field != b"entries" {
                charts.add(field, value);
            } else if core == 0 {
                charts.put(field, value);
            }
        }
    }
}

const SOCKSTAT: &[Chart] = &[
    chart("ipv4.sockstat_sockets", "IPv4 Sockets Used", "sockets", "sockets", 5100)
        .if_not_zero()
        .dimensions(&[absolute("used").from("sockets used")]),
    chart("ipv4.sockstat_tcp_sockets", "IPv4 TCP Sockets", "sockets", "tcp", 5201).if_not_zero().dimensions(
        &[
            absolute("alloc").from("TCP alloc"),
            absolute("orphan").from("TCP orphan"),
            absolute("inuse").from("TCP inuse"),
            absolute("timewait").from("TCP tw"),
        ],
    ),
    chart("ipv4.sockstat_tcp_mem", "IPv4 TCP Sockets Memory", "KiB", "tcp", 5290)
        .area()
        .if_not_zero()
        .dimensions(&[absolute("mem").from("TCP mem").in_units().over(1024)]),
    chart("ipv4.sockstat_udp_sockets", "IPv4 UDP Sockets", "sockets", "udp", 5300)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("UDP inuse")]),
    chart("ipv4.sockstat_udp_mem", "IPv4 UDP Sockets Memory", "KiB", "udp", 5390)
        .area()
        .if_not_zero()
        .dimensions(&[absolute("mem").from("UDP mem").in_units().over(1024)]),
    chart("ipv4.sockstat_udplite_sockets", "IPv4 UDPLITE Sockets", "sockets", "udplite", 5400)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("UDPLITE inuse")]),
    chart("ipv4.sockstat_raw_sockets", "IPv4 RAW Sockets", "sockets", "raw", 5450)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("RAW inuse")]),
    chart("ipv4.sockstat_frag_sockets", "IPv4 FRAG Sockets", "fragments", "fragments", 5460)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("FRAG inuse")]),
    chart("ipv4.sockstat_frag_mem", "IPv4 FRAG Sockets Memory", "KiB", "fragments", 5470)
        .area()
        .if_not_zero()
        .dimensions(&[absolute("mem").from("FRAG memory").over(1024)]),
];

const SOCKSTAT6: &[Chart] = &[
    chart("ipv6.sockstat6_frag_sockets", "IPv6 FRAG Sockets", "fragments", "fragments6", 6400)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("FRAG6 inuse")]),
    chart("ipv6.sockstat6_tcp_sockets", "IPv6 TCP Sockets", "sockets", "tcp6", 6500)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("TCP6 inuse")]),
    chart("ipv6.sockstat6_udp_sockets", "IPv6 UDP Sockets", "sockets", "udp6", 6600)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("UDP6 inuse")]),
    chart("ipv6.sockstat6_udplite_sockets", "IPv6 UDPLITE Sockets", "sockets", "udplite6", 6700)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("UDPLITE6 inuse")]),
    chart("ipv6.sockstat6_raw_sockets", "IPv6 RAW Sockets", "sockets", "raw6", 6800)
        .if_not_zero()
        .dimensions(&[absolute("inuse").from("RAW6 inuse")]),
];

const CONNTRACK: &[Chart] = &[
    chart(
        "netfilter.conntrack_sockets",
        "Connection Tracker Connections",
        "active connections",
        "conntrack",
        8700,
    )
    .dimensions(&[absolute("connections").from("entries")]),
    chart(
        "netfilter.conntrack_new",
        "Connection Tracker New Connections",
        "connections/s",
        "conntrack",
        8701,
    )
    .dimensions(&[
        incremental("new"),
        incremental("ignore").negative(),
        incremental("invalid").negative(),
    ]),
    chart("netfilter.conntrack_changes", "Connection Tracker Changes", "changes/s", "conntrack", 8702)
        .detail()
        .dimensions(&[
            incremental("inserted").from("insert"),
            incremental("deleted").from("delete").negative(),
            incremental("delete_list").negative(),
        ]),
    chart(
        "netfilter.conntrack_expect",
        "Connection Tracker Expectations",
        "expectations/s",
        "conntrack",
        8703,
    )
    .detail()
    .dimensions(&[
        incremental("created").from("expect_create"),
        incremental("deleted").from("expect_delete").negative(),
        incremental("new").from("expect_new"),
    ]),
    chart("netfilter.conntrack_errors", "Connection Tracker Errors", "events/s", "conntrack", 8705)
        .detail()
        .dimensions(&[
            incremental("icmp_error"),
            incremental("insert_failed").negative(),
            incremental("drop").negative(),
            incremental("early_drop").negative(),
        ]),
    chart("netfilter.conntrack_search", "Connection Tracker Searches", "searches/s", "conntrack", 8710)
        .detail()
        .dimensions(&[
            incremental("searched"),
            incremental("restarted").from("search_restart").negative(),
            incremental("found"),
        ]),
];
