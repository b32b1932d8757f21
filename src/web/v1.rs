//! `info`, `charts` and `chart`: what exists, in Netdata's shapes.

use std::collections::{BTreeMap, BTreeSet};

use dbengine::{TimeRange, UnixSeconds};
use ecow::EcoString;
use http::StatusCode;
use serde::Serialize;

use super::Api;
use super::answer::{Answer, escape_html};
use super::functions::{ChartFunctionObjects, FunctionObjects};
use super::members::{Elements, Members};
use super::request::Target;
use crate::catalog::function::Functions;
use crate::catalog::{Chart, HostSnapshot};
use crate::config::MemoryMode;
use crate::query::chart_labels;
use crate::wire::command::ChartType;

#[derive(Serialize)]
struct MirroredHost<'a> {
    guid: String,
    hostname: &'a str,
    reachable: bool,
    hops: u32,
    claim_id: Option<String>,
    node_id: Option<String>,
}

#[derive(Serialize)]
struct Alarms {
    normal: u32,
    warning: u32,
    critical: u32,
}

#[derive(Serialize)]
struct CollectorModule<'a> {
    plugin: &'a str,
    module: &'a str,
}

/// Members of `info` that are facts of the machine, and the fact's name: `…` stands for `SYSTEM` or `HOST`.
const SYSTEM_FACTS: &[(&str, &[&str])] = &[
    ("os_name", &["NETDATA_HOST_OS_NAME", "NETDATA_SYSTEM_OS_NAME"]),
    ("os_id", &["NETDATA_HOST_OS_ID", "NETDATA_SYSTEM_OS_ID"]),
    ("os_id_like", &["NETDATA_HOST_OS_ID_LIKE", "NETDATA_SYSTEM_OS_ID_LIKE"]),
    ("os_version", &["NETDATA_HOST_OS_VERSION", "NETDATA_SYSTEM_OS_VERSION"]),
    ("os_version_id", &["NETDATA_HOST_OS_VERSION_ID", "NETDATA_SYSTEM_OS_VERSION_ID"]),
    ("os_detection", &["NETDATA_HOST_OS_DETECTION", "NETDATA_SYSTEM_OS_DETECTION"]),
    ("cores_total", &["NETDATA_SYSTEM_CPU_LOGICAL_CPU_COUNT"]),
    ("total_disk_space", &["NETDATA_SYSTEM_TOTAL_DISK_SIZE"]),
    ("cpu_freq", &["NETDATA_SYSTEM_CPU_FREQ"]),
    ("ram_total", &["NETDATA_SYSTEM_TOTAL_RAM"]),
];

/// The same for members that are left out when the host did not send them.
const OPTIONAL_FACTS: &[(&str, &str)] = &[
    ("container_os_name", "NETDATA_CONTAINER_OS_NAME"),
    ("container_os_id", "NETDATA_CONTAINER_OS_ID"),
    ("container_os_id_like", "NETDATA_CONTAINER_OS_ID_LIKE"),
    ("container_os_version", "NETDATA_CONTAINER_OS_VERSION"),
    ("container_os_version_id", "NETDATA_CONTAINER_OS_VERSION_ID"),
    ("container_os_detection", "NETDATA_CONTAINER_OS_DETECTION"),
    ("is_k8s_node", "NETDATA_HOST_IS_K8S_NODE"),
];

const KERNEL_FACTS: &[(&str, &str)] = &[
    ("kernel_name", "NETDATA_SYSTEM_KERNEL_NAME"),
    ("kernel_version", "NETDATA_SYSTEM_KERNEL_VERSION"),
    ("architecture", "NETDATA_SYSTEM_ARCHITECTURE"),
    ("virtualization", "NETDATA_SYSTEM_VIRTUALIZATION"),
    ("virt_detection", "NETDATA_SYSTEM_VIRT_DETECTION"),
    ("container", "NETDATA_SYSTEM_CONTAINER"),
    ("container_detection", "NETDATA_SYSTEM_CONTAINER_DETECTION"),
];

const CLOUD_FACTS: &[(&str, &str)] = &[
    ("cloud_provider_type", "NETDATA_INSTANCE_CLOUD_TYPE"),
    ("cloud_instance_type", "NETDATA_INSTANCE_CLOUD_INSTANCE_TYPE"),
    ("cloud_instance_region", "NETDATA_INSTANCE_CLOUD_INSTANCE_REGION"),
];

/// `/api/v1/info`: the host that was asked for, and the parent that answers.
#[derive(Serialize)]
struct Info<'a, Hosts: Serialize, Status: Serialize, Facts: Serialize, Labels: Serialize> {
    version: &'a str,
    uid: String,
    mirrored_hosts: Hosts,
    mirrored_hosts_status: Status,
    alarms: Alarms,
    #[serde(flatten)]
    facts: Facts,
    host_labels: Labels,
    functions: FunctionObjects<'a>,
    collectors: Vec<CollectorModule<'a>>,
    #[serde(rename = "cloud-enabled")]
    cloud_enabled: bool,
    #[serde(rename = "cloud-available")]
    cloud_available: bool,
    #[serde(rename = "agent-claimed")]
    agent_claimed: bool,
    #[serde(rename = "aclk-available")]
    aclk_available: bool,
    #[serde(rename = "memory-mode")]
    memory_mode: String,
    #[serde(rename = "stream-enabled")]
    stream_enabled: bool,
    #[serde(rename = "stream-compression")]
    stream_compression: Option<bool>,
    #[serde(rename = "hosts-available")]
    hosts_available: usize,
    #[serde(rename = "https-enabled")]
    https_enabled: bool,
    #[serde(rename = "release-channel")]
    release_channel: &'static str,
    #[serde(rename = "web-enabled")]
    web_enabled: bool,
    #[serde(rename = "exporting-enabled")]
    exporting_enabled: bool,
    #[serde(rename = "charts-count")]
    charts_count: usize,
    #[serde(rename = "metrics-count")]
    metrics_count: usize,
}

pub(super) fn info(api: &Api, host: &HostSnapshot) -> Answer {
    let hosts = api.directory.hosts();
    let facts = &host.info.system;
    let find = |names: &[&str]| names.iter().find_map(|name| facts.get(*name)).map_or("", |value| &**value);
    let optional = |table: &'static [(&'static str, &'static str)]| {
        table.iter().filter_map(|(member, name)| facts.get(*name).map(|value| (*member, &**value)))
    };
    let facts = SYSTEM_FACTS
        .iter()
        .map(|(member, names)| (*member, find(names)))
        .chain(optional(OPTIONAL_FACTS))
        .chain(KERNEL_FACTS.iter().map(|(member, name)| (*member, find(&[name]))))
        .chain(optional(CLOUD_FACTS));
    let mut seen = BTreeSet::new();
    let modules = host.charts.iter().map(|chart| (&*chart.plugin, &*chart.module));
    let collectors = modules
        .filter(|module| seen.insert(*module))
        .map(|(plugin, module)| CollectorModule { plugin, module })
        .collect();
    let visible = host.charts.iter().filter(|chart| chart.is_visible());
    Answer::json(&Info {
        version: &host.info.program_version,
        uid: host.info.machine_guid.hyphenated().to_string(),
        mirrored_hosts: Elements(hosts.iter().map(|host| &*host.info.hostname)),
        mirrored_hosts_status: Elements(hosts.iter().map(|host| MirroredHost {
            guid: host.info.machine_guid.hyphenated().to_string(),
            hostname: &host.info.hostname,
            reachable: host.state.is_reachable(),
            hops: host.info.hops,
            claim_id: host.info.claim_id.map(|claim| claim.hyphenated().to_string()),
            node_id: host.node_id.map(|node| node.hyphenated().to_string()),
        })),
        alarms: Alarms { normal: 0, warning: 0, critical: 0 },
        facts: Members(facts),
        host_labels: Members(host.info.labels.iter().map(|label| (&label.name, &label.value))),
        functions: FunctionObjects(&host.functions),
        collectors,
        cloud_enabled: false,
        cloud_available: false,
        agent_claimed: false,
        aclk_available: false,
        memory_mode: api.config.database.mode.to_string(),
        stream_enabled: api.config.streaming.all.sending.enabled == Some(true),
        stream_compression: None,
        hosts_available: hosts.len(),
        https_enabled: true,
        release_channel: "stable",
        web_enabled: true,
        exporting_enabled: false,
        charts_count: visible.clone().count(),
        metrics_count: visible.map(|chart| chart.dimensions.len()).sum(),
    })
}

#[derive(Serialize)]
struct DimensionName<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Hostname<'a> {
    hostname: &'a str,
}

/// One chart as `charts` and `chart` write it.
#[derive(Serialize)]
struct ChartObject<'a, Dimensions: Serialize, Labels: Serialize> {
    id: &'a str,
    name: &'a str,
    #[serde(rename = "type")]
    type_name: &'a str,
    family: &'a str,
    context: &'a str,
    title: String,
    priority: i64,
    plugin: &'a str,
    module: &'a str,
    units: &'a str,
    data_url: String,
    chart_type: &'static str,
    duration: i64,
    first_entry: i64,
    last_entry: i64,
    update_every: u32,
    dimensions: Dimensions,
    chart_variables: &'a BTreeMap<EcoString, f64>,
    green: Option<f64>,
    red: Option<f64>,
    alarms: serde_json::Map<String, serde_json::Value>,
    chart_labels: Labels,
    functions: ChartFunctionObjects<'a>,
}

pub(super) fn type_name(chart_type: ChartType) -> &'static str {
    match chart_type {
        ChartType::Line => "line",
        ChartType::Area => "area",
        ChartType::Stacked => "stacked",
        ChartType::Heatmap => "heatmap",
    }
}

fn chart_object<'a>(
    chart: &'a Chart,
    span: Option<TimeRange>,
    functions: &'a Functions,
) -> impl Serialize + 'a {
    let visible = chart.dimensions.iter().filter(|dimension| !dimension.hidden && !dimension.obsolete);
    let update_every = i64::from(chart.update_every);
    ChartObject {
        id: &chart.id,
        name: &chart.name,
        type_name: chart.type_name(),
        family: &chart.family,
        context: &chart.context,
        title: format!("{} ({})", chart.title, chart.name),
        priority: chart.priority,
        plugin: &chart.plugin,
        module: &chart.module,
        units: &chart.units,
        data_url: format!("/api/v1/data?chart={}", chart.name),
        chart_type: type_name(chart.chart_type),
        duration: span.map_or(0, |span| span.last.since(span.first) + update_every),
        first_entry: span.map_or(0, |span| span.first.0),
        last_entry: span.map_or(0, |span| span.last.0),
        update_every: chart.update_every,
        dimensions: Members(
            visible.map(|dimension| (&dimension.id, DimensionName { name: dimension.name() })),
        ),
        chart_variables: &chart.variables,
        green: None,
        red: None,
        alarms: serde_json::Map::new(),
        chart_labels: Members(chart_labels(chart).collect::<Vec<_>>().into_iter()),
        functions: ChartFunctionObjects { functions, chart: &chart.id },
    }
}

#[derive(Serialize)]
struct Charts<'a, Objects: Serialize, Hosts: Serialize> {
    hostname: &'a str,
    version: &'a str,
    release_channel: &'static str,
    os: &'a str,
    timezone: &'a str,
    update_every: u32,
    history: u32,
    memory_mode: String,
    custom_info: &'static str,
    charts: Objects,
    charts_count: usize,
    dimensions_count: usize,
    alarms_count: usize,
    rrd_memory_bytes: usize,
    hosts_count: usize,
    hosts: Hosts,
}

/// `/api/v1/charts`: every visible chart of a host.
pub(super) async fn charts(api: &Api, host: &HostSnapshot) -> Answer {
    let visible: Vec<&Chart> =
        host.charts.iter().map(|chart| &**chart).filter(|chart| chart.is_visible()).collect();
    let spans = api.spans(host.shard, &visible).await;
    let Some(spans) = spans else { return Answer::overloaded() };
    let hosts = api.directory.hosts();
    let dimensions = |chart: &Chart| chart.dimensions.iter().filter(|dimension| !dimension.hidden).count();
    Answer::json(&Charts {
        hostname: &host.info.hostname,
        version: &host.info.program_version,
        release_channel: "stable",
        os: &host.info.os,
        timezone: &host.info.timezone,
        update_every: host.info.update_every,
        history: if host.info.memory_mode == MemoryMode::Dbengine { 0 } else { host.info.history },
        memory_mode: host.info.memory_mode.to_string(),
        custom_info: "",
        charts: Members(
            visible
                .iter()
                .zip(&spans)
                .map(|(chart, span)| (&chart.id, chart_object(chart, *span, &host.functions))),
        ),
        charts_count: visible.len(),
        dimensions_count: visible.iter().map(|chart| dimensions(chart)).sum(),
        alarms_count: 0,
        rrd_memory_bytes: 0,
        hosts_count: hosts.len(),
        hosts: Elements(hosts.iter().map(|host| Hostname { hostname: &host.info.hostname })),
    })
}

#[derive(Serialize)]
struct ArchivedCharts<'a, Objects: Serialize> {
    hostname: &'a str,
    version: &'a str,
    release_channel: &'static str,
    os: &'a str,
    timezone: &'a str,
    update_every: u32,
    memory_mode: String,
    custom_info: &'static str,
    charts: Objects,
    charts_count: usize,
}

/// `/api/v1/archivedcharts`: charts of which there are samples, and that nobody collects any more. Netdata answers nothing at
/// all when there is none; here it is an object without charts.
pub(super) async fn archived_charts(api: &Api, host: &HostSnapshot) -> Answer {
    let is_archived = |chart: &&Chart| !chart.hidden && (chart.obsolete || !host.state.is_reachable());
    let archived: Vec<&Chart> = host.charts.iter().map(|chart| &**chart).filter(is_archived).collect();
    let spans = api.spans(host.shard, &archived).await;
    let Some(spans) = spans else { return Answer::overloaded() };
    let kept = archived.iter().zip(&spans).filter(|(_, span)| span.is_some());
    Answer::json(&ArchivedCharts {
        hostname: &host.info.hostname,
        version: &host.info.program_version,
        release_channel: "stable",
        os: &host.info.os,
        timezone: &host.info.timezone,
        update_every: host.info.update_every,
        memory_mode: host.info.memory_mode.to_string(),
        custom_info: "",
        charts_count: kept.clone().count(),
        charts: Members(kept.map(|(chart, span)| (&chart.id, chart_object(chart, *span, &host.functions)))),
    })
}

/// `/api/v1/chart?chart=<id or name>`.
pub(super) async fn chart(api: &Api, host: &HostSnapshot, target: &Target) -> Answer {
    let Some(name) = target.parameter("chart") else {
        return Answer::error(StatusCode::BAD_REQUEST, "No chart id is given at the request.");
    };
    let Some(chart) = host.chart(name) else {
        return Answer::error(StatusCode::NOT_FOUND, format!("Chart is not found: {}", escape_html(name)));
    };
    match api.spans(host.shard, &[chart]).await {
        Some(spans) => {
            Answer::json(&chart_object(chart, spans.into_iter().next().flatten(), &host.functions))
        }
        None => Answer::overloaded(),
    }
}

/// Oldest and newest sample of a host, from its charts'.
pub(super) fn span(spans: &[Option<TimeRange>]) -> Option<(UnixSeconds, UnixSeconds)> {
    let known = spans.iter().flatten();
    known.map(|span| (span.first, span.last)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
}
