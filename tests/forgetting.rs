//! Hosts and charts whose last sample has gone are gone everywhere.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use dbengine::Retention;
use mainstem::catalog::{CatalogChange, CatalogStore};
use mainstem::config::Config;
use mainstem::runtime::clock::Clock;

use crate::child::{Child, V2, guid_of};
use crate::harness::TestParent;

const START: i64 = 1_795_342_200;
/// Rows in memory are written after so long without another one.
const STEP: i64 = 310;

fn definition(id: &str) -> String {
    format!(
        "CHART \"{id}\" \"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
         DIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n"
    )
}

fn row(id: &str, time: i64) -> String {
    format!("BEGIN2 '{id}' 1 {time} #\nSET2 'd' 1 # A\nEND2\n")
}

/// One tier, which keeps ten minutes; files have an hour.
fn short_lived(config: &mut Config) {
    config.database.tiers.truncate(1);
    config.database.tiers[0].retention = Retention { bytes: None, seconds: Some(600) };
}

fn mirrored(parent: &TestParent) -> Vec<String> {
    let info = parent.json("/api/v1/info");
    let names = info["mirrored_hosts"].as_array().expect("an array").iter();
    // Hosts that are published in one turn have no order.
    let mut names: Vec<String> = names.filter_map(|name| name.as_str().map(str::to_owned)).collect();
    names.sort_unstable();
    names
}

fn charts(parent: &TestParent, host: &str) -> Vec<String> {
    let charts = parent.json(&format!("/host/{host}/api/v1/charts"));
    charts["charts"].as_object().expect("an object").keys().cloned().collect()
}

/// Machine GUIDs, with the charts of each.
fn in_catalog(state: &Path) -> Vec<(uuid::Uuid, Vec<String>)> {
    let mut store = CatalogStore::open(&state.join("cache/catalog.redb")).expect("a catalog");
    let mut all = Vec::new();
    let add = |host: mainstem::catalog::HostRecord, charts: Vec<mainstem::catalog::ChartRecord>| {
        all.push((host.info.machine_guid, charts.iter().map(|chart| chart.id.to_string()).collect()));
    };
    store.load(add).expect("a whole catalog");
    all
}

#[test]
fn what_has_no_sample_left_is_forgotten_by_the_api_in_memory_and_on_disk() {
    let state = tempfile::tempdir().expect("a directory");
    let time = Arc::new(AtomicI64::new(START * 1_000_000));
    let parent = TestParent::within(state.path(), Clock::Manual(Arc::clone(&time)), short_lived);
    let mut gone = Child::connect(&parent, "gone", V2);
    gone.send(&(definition("a.one") + &row("a.one", START) + &definition("a.two") + &row("a.two", START)));
    let mut stays = Child::connect(&parent, "stays", V2);
    stays.send(&(definition("a.old") + &row("a.old", START) + &definition("a.live") + &row("a.live", START)));
    let rows = |parent: &TestParent| parent.telemetry().total(|shard| &shard.rows);
    parent.wait("four rows", |parent| rows(parent) == 4);
    drop(gone);

    let mut now = START;
    let mut go_on = |steps: i64| {
        for _ in 0..steps {
            let before = rows(&parent);
            now += STEP;
            time.store(now * 1_000_000, Relaxed);
            stays.send(&row("a.live", now));
            parent.wait("the row", |parent| rows(parent) == before + 1);
        }
    };
    // Until there are two files: the newest always stays.
    go_on(3600 / STEP + 2);
    parent.wait("a file", |parent| parent.telemetry().keeper.tiers[0].files.load(Relaxed) >= 1);
    assert_eq!(mirrored(&parent), ["gone", "parent", "stays"]);
    go_on(3600 / STEP + 2);
    parent.wait("the end of the host", |parent| mirrored(parent) == ["parent", "stays"]);
    assert_eq!(parent.get("/host/gone/api/v1/charts").status, 404);
    parent.wait("the end of the chart", |parent| charts(parent, "stays") == ["a.live"]);
    assert!(!parent.get("/host/stays/api/v1/allmetrics?format=json").text().contains("a.old"));
    parent.wait("the catalog", |parent| parent.telemetry().catalog.charts.load(Relaxed) == 1);
    parent.wait("the memory", |parent| {
        let metrics = parent.get("/metrics").text();
        let groups = metrics.lines().filter(|line| line.starts_with("mainstem_groups{"));
        groups.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>() == 1
    });

    // It comes again as one that was never here.
    stays.send(&(definition("a.old") + &row("a.old", START + 1)));
    time.fetch_add(1_000_000, Relaxed);
    parent.wait("the chart again", |parent| charts(parent, "stays").len() == 2);
    drop(stays);
    drop(parent);
    assert_eq!(in_catalog(state.path()), [(guid_of("stays"), vec!["a.live".to_owned(), "a.old".to_owned()])]);

    // What a parent that was killed in between left in the catalog.
    let catalog = state.path().join("cache/catalog.redb");
    let mut store = CatalogStore::open(&catalog).expect("a catalog");
    let mut late = Vec::new();
    store
        .load(|mut host, mut charts| {
            let mut chart = charts.remove(0);
            (chart.id, chart.key) = ("a.late".into(), 1);
            late.push(CatalogChange::Chart { host: host.info.machine_guid, chart: chart.clone() });
            host.info.machine_guid = guid_of("late");
            host.info.hostname = "late".into();
            late.push(CatalogChange::Chart { host: host.info.machine_guid, chart });
            late.push(CatalogChange::Host(host));
        })
        .expect("a whole catalog");
    store.apply(&late).expect("written");
    drop(store);
    let parent = TestParent::within(state.path(), Clock::Manual(time), short_lived);
    parent.wait("the host", |parent| mirrored(parent).len() == 2);
    assert_eq!(mirrored(&parent), ["parent", "stays"]);
    assert_eq!(charts(&parent, "stays"), ["a.live", "a.old"]);
    drop(parent);
    assert_eq!(in_catalog(state.path()), [(guid_of("stays"), vec!["a.live".to_owned(), "a.old".to_owned()])]);
}

#[test]
fn a_host_in_memory_is_forgotten_with_all_of_it_when_its_child_stays_away() {
    let time = Arc::new(AtomicI64::new(START * 1_000_000));
    let parent = TestParent::with(Clock::Manual(Arc::clone(&time)), |config| {
        config.database.mode = mainstem::config::MemoryMode::Ram;
    });
    let mut child = Child::connect(&parent, "orphan", V2);
    child.send(&(definition("a.one") + &row("a.one", START)));
    parent.wait("a row", |parent| parent.telemetry().total(|shard| &shard.rows) == 1);
    drop(child);
    parent.wait("its end", |parent| parent.telemetry().total(|shard| &shard.connections) == 0);
    time.store((START + 3590) * 1_000_000, Relaxed);
    assert_eq!(mirrored(&parent), ["orphan", "parent"]);
    time.store((START + 3610) * 1_000_000, Relaxed);
    parent.wait("its end", |parent| mirrored(parent) == ["parent"]);
    assert_eq!(parent.telemetry().total(|shard| &shard.forgotten_charts), 1);
}
