//! Who our own host is, and virtual nodes are: names, and facts of their machines.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::plugin::NodeDefinition;
use crate::catalog::{HostInfo, Labels};
use crate::config::Config;

/// Our own host.
pub fn host_info(config: &Config, machine_guid: Uuid) -> HostInfo {
    let hostname: Box<str> = config.hostname.as_str().into();
    HostInfo {
        machine_guid,
        registry_hostname: config.registry.hostname.as_deref().map_or_else(|| hostname.clone(), Into::into),
        hostname,
        os: std::env::consts::OS.into(),
        timezone: timezone().into(),
        abbrev_timezone: "UTC".into(),
        utc_offset: jiff::Zoned::now().offset().seconds(),
        hops: 0,
        update_every: config.database.update_every_s,
        program_name: "mainstem".into(),
        program_version: concat!("v", env!("CARGO_PKG_VERSION")).into(),
        system: facts(),
        labels: Labels::default(),
        variables: BTreeMap::new(),
        claim_id: None,
        memory_mode: config.database.mode,
        history: config.database.retention_rows,
    }
}

/// A virtual node, as an agent of this machine sees it.
pub fn node_info(own: &HostInfo, node: &NodeDefinition) -> HostInfo {
    let hostname: Box<str> = node.hostname.as_str().into();
    let known = |(key, value): &(String, String)| {
        let (_, fact) = NODE_FACTS.iter().find(|(label, _)| label == key)?;
        Some(((*fact).into(), value.as_str().into()))
    };
    HostInfo {
        machine_guid: node.machine_guid,
        registry_hostname: hostname.clone(),
        hostname,
        // Netdata's.
        os: "Netdata Virtual Host 1.0".into(),
        system: node.labels.iter().filter_map(known).collect(),
        ..own.clone()
    }
}

/// Labels of virtual nodes that are facts of a machine.
const NODE_FACTS: [(&str, &str); 16] = [
    ("_architecture", "NETDATA_SYSTEM_ARCHITECTURE"),
    ("_cloud_instance_region", "NETDATA_INSTANCE_CLOUD_INSTANCE_REGION"),
    ("_cloud_instance_type", "NETDATA_INSTANCE_CLOUD_INSTANCE_TYPE"),
    ("_cloud_provider_type", "NETDATA_INSTANCE_CLOUD_TYPE"),
    ("_container", "NETDATA_SYSTEM_CONTAINER"),
    ("_container_detection", "NETDATA_SYSTEM_CONTAINER_DETECTION"),
    ("_is_k8s_node", "NETDATA_HOST_IS_K8S_NODE"),
    ("_kernel_version", "NETDATA_SYSTEM_KERNEL_VERSION"),
    ("_os_name", "NETDATA_HOST_OS_NAME"),
    ("_os_version", "NETDATA_HOST_OS_VERSION"),
    ("_system_cores", "NETDATA_SYSTEM_CPU_LOGICAL_CPU_COUNT"),
    ("_system_cpu_freq", "NETDATA_SYSTEM_CPU_FREQ"),
    ("_system_disk_space", "NETDATA_SYSTEM_TOTAL_DISK_SIZE"),
    ("_system_ram_total", "NETDATA_SYSTEM_TOTAL_RAM"),
    ("_virt_detection", "NETDATA_SYSTEM_VIRT_DETECTION"),
    ("_virtualization", "NETDATA_SYSTEM_VIRTUALIZATION"),
];

fn timezone() -> String {
    jiff::tz::TimeZone::system().iana_name().unwrap_or("UTC").into()
}

/// Facts of this machine by their `NETDATA_*` names; what cannot be read is left out.
fn facts() -> BTreeMap<Box<str>, Box<str>> {
    let mut facts = BTreeMap::new();
    let mut fact = |name: &str, value: &str| {
        facts.insert(name.into(), value.into());
    };
    let kernel = rustix::system::uname();
    fact("NETDATA_SYSTEM_KERNEL_NAME", &kernel.sysname().to_string_lossy());
    fact("NETDATA_SYSTEM_KERNEL_VERSION", &kernel.release().to_string_lossy());
    fact("NETDATA_SYSTEM_ARCHITECTURE", &kernel.machine().to_string_lossy());
    if let Ok(cores) = std::thread::available_parallelism() {
        fact("NETDATA_SYSTEM_CPU_LOGICAL_CPU_COUNT", &cores.to_string());
    }
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB"));
    if let Some(kilobytes) = total.and_then(|text| text.parse::<u64>().ok()) {
        fact("NETDATA_SYSTEM_TOTAL_RAM", &(kilobytes * 1024).to_string());
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    for (key, name) in [
        ("NAME", "NETDATA_HOST_OS_NAME"),
        ("ID", "NETDATA_HOST_OS_ID"),
        ("ID_LIKE", "NETDATA_HOST_OS_ID_LIKE"),
        ("VERSION", "NETDATA_HOST_OS_VERSION"),
        ("VERSION_ID", "NETDATA_HOST_OS_VERSION_ID"),
    ] {
        let value = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        if let Some(value) = value {
            fact(name, value.trim_matches('"'));
        }
    }
    if !release.is_empty() {
        fact("NETDATA_HOST_OS_DETECTION", "/etc/os-release");
    }
    facts
}
