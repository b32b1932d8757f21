//! The catalog's store by itself: what the first connect of many children, a late change and a start cost.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use mainstem::catalog::label::LabelSource;
use mainstem::catalog::{
    CatalogChange, CatalogStore, ChartRecord, Dimension, DimensionFields, HostInfo, HostRecord, Label, Labels,
};
use mainstem::config::MemoryMode;
use mainstem::wire::command::{Algorithm, ChartType};
use uuid::Uuid;

use crate::process::Usage;

/// How much there is to store.
#[derive(clap::Args)]
pub(crate) struct Catalog {
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    hosts: u32,
    /// Charts of a host.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    charts: u32,
    /// Dimensions of a chart.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    dimensions: u32,
    /// Changes of a transaction.
    #[arg(long, default_value_t = 16 * 1024, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Where a directory for the store is made, on the kind of disk that is meant.
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    directory: PathBuf,
}

/// What one step took.
struct Step {
    begun: Instant,
    before: Usage,
}

impl Step {
    fn begin() -> Result<Self> {
        Ok(Self { before: Usage::of(std::process::id())?, begun: Instant::now() })
    }

    fn end(self, name: &str, path: &Path) -> Result<()> {
        let took = self.begun.elapsed();
        let after = Usage::of(std::process::id())?;
        println!(
            "{name:<28} {:>9.1} ms  {:>5.2} s of processor  {:>6.1} MB written  {:>6.1} MB resident  file {:>6.1} MB",
            took.as_secs_f64() * 1e3,
            after.cpu_s - self.before.cpu_s,
            (after.written_bytes - self.before.written_bytes) as f64 / 1e6,
            after.resident_bytes as f64 / 1e6,
            std::fs::metadata(path)?.len() as f64 / 1e6,
        );
        Ok(())
    }
}

impl Catalog {
    pub(crate) fn run(&self) -> Result<()> {
        let directory = tempfile::tempdir_in(&self.directory)?;
        let path = directory.path().join("catalog.redb");
        println!(
            "{} hosts x {} charts x {} dimensions, {} changes a transaction",
            self.hosts, self.charts, self.dimensions, self.batch
        );

        let step = Step::begin()?;
        let mut store = CatalogStore::open(&path)?;
        let mut batch = Vec::new();
        // All children define their charts at the same time.
        let charts = (0..self.charts)
            .flat_map(|ordinal| (0..self.hosts).map(move |host| chart(host, ordinal, self.dimensions)));
        for change in (0..self.hosts).map(host).chain(charts) {
            batch.push(change);
            if batch.len() == self.batch as usize {
                store.apply(&batch)?;
                batch.clear();
            }
        }
        store.apply(&batch)?;
        step.end("first write", &path)?;

        let step = Step::begin()?;
        store.apply(&[chart(0, 0, self.dimensions)])?;
        step.end("one chart more", &path)?;
        drop(store);

        let step = Step::begin()?;
        let mut store = CatalogStore::open(&path)?;
        step.end("open and check", &path)?;
        let step = Step::begin()?;
        let stored = store.load(|_, _| {})?;
        step.end("load", &path)?;
        println!("{stored:?}");
        Ok(())
    }
}

/// As a real agent's: the texts of a chart of an application's group.
pub(crate) fn chart(host: u32, chart: u32, dimensions: u32) -> CatalogChange {
    let id = chart_id(chart);
    let group = format!("service{chart:03}");
    let mut labels = Labels::default();
    for (name, value) in [("app_group", group.as_str()), ("_collect_module", "apps")] {
        labels.insert(Label { name: name.into(), value: value.into(), source: LabelSource::from_wire(1) });
    }
    let host = guid(host);
    let dimension = |number| {
        Dimension::from(DimensionFields {
            id: format!("dimension_{number}").into(),
            name: format!("dimension_{number}").into(),
            algorithm: Algorithm::Incremental,
            multiplier: 1,
            divisor: 1000,
            hidden: false,
            obsolete: false,
            no_reset: false,
        })
    };
    let chart = ChartRecord {
        ordinal: chart,
        key: key(&host, chart),
        id: (&*id).into(),
        name: None,
        title: "Apps CPU utilization (100% = 1 core)".into(),
        units: "percentage".into(),
        family: group.into(),
        context: "app.cpu_utilization".into(),
        chart_type: ChartType::Stacked,
        priority: i64::from(20_000 + chart),
        update_every: 1,
        plugin: "apps.plugin".into(),
        module: "apps".into(),
        hidden: false,
        obsolete: false,
        store_first: false,
        labels,
        dimensions: (0..dimensions).map(dimension).collect(),
    };
    CatalogChange::Chart { host, chart }
}

pub(crate) fn chart_id(chart: u32) -> Box<str> {
    format!("app.service{chart:03}_cpu_utilization").into()
}

/// What the samples of a chart are known by.
pub(crate) fn key(host: &Uuid, chart: u32) -> u128 {
    mainstem::catalog::chart::group_key(host, &chart_id(chart), i64::from(chart))
}

pub(crate) fn guid(host: u32) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &host.to_le_bytes())
}

pub(crate) fn host(host: u32) -> CatalogChange {
    let hostname: Box<str> = format!("host-{host:04}").into();
    let info = HostInfo {
        machine_guid: guid(host),
        registry_hostname: hostname.clone(),
        hostname,
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        abbrev_timezone: "UTC".into(),
        utc_offset: 0,
        hops: 1,
        update_every: 1,
        program_name: "netdata".into(),
        program_version: "v2.9.0".into(),
        system: (0..20)
            .map(|fact| (format!("NETDATA_SYSTEM_FACT_{fact}").into(), "its value".into()))
            .collect(),
        labels: Labels::default(),
        variables: Default::default(),
        claim_id: None,
        memory_mode: MemoryMode::Dbengine,
        history: 3600,
    };
    CatalogChange::Host(HostRecord { info, seen: 1_795_342_200 })
}
