use std::collections::BTreeMap;

use super::*;
use crate::catalog::{Dimension, DimensionFields, HostInfo, Labels};
use crate::config::MemoryMode;
use crate::wire::command::{Algorithm, ChartType};

const A: u128 = 7;
const B: u128 = 8;

fn host(guid: u128, hostname: &str) -> HostRecord {
    let info = HostInfo {
        machine_guid: Uuid::from_u128(guid),
        hostname: hostname.into(),
        registry_hostname: hostname.into(),
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        abbrev_timezone: "UTC".into(),
        utc_offset: 0,
        hops: 1,
        update_every: 1,
        program_name: "netdata".into(),
        program_version: "v1".into(),
        system: BTreeMap::new(),
        labels: Labels::default(),
        variables: BTreeMap::new(),
        claim_id: None,
        memory_mode: MemoryMode::Dbengine,
        history: 3600,
    };
    HostRecord { info, seen: 1000 }
}

pub(crate) fn chart(ordinal: u32, id: &str, dimensions: &[&str]) -> ChartRecord {
    let dimension = |id: &&str| {
        Dimension::from(DimensionFields {
            id: (*id).into(),
            name: (*id).into(),
            algorithm: Algorithm::Incremental,
            multiplier: 1,
            divisor: 8,
            hidden: false,
            obsolete: false,
            no_reset: false,
        })
    };
    ChartRecord {
        ordinal,
        key: u128::from(ordinal) << 100,
        id: id.into(),
        name: None,
        title: "t".into(),
        units: "u".into(),
        family: "f".into(),
        context: "c".into(),
        chart_type: ChartType::Area,
        priority: 1000,
        update_every: 1,
        plugin: "p".into(),
        module: "m".into(),
        hidden: false,
        obsolete: false,
        store_first: false,
        labels: Labels::default(),
        dimensions: dimensions.iter().map(dimension).collect(),
    }
}

fn set_host(guid: u128, hostname: &str) -> CatalogChange {
    CatalogChange::Host(host(guid, hostname))
}

fn set_chart(guid: u128, chart: ChartRecord) -> CatalogChange {
    CatalogChange::Chart { host: Uuid::from_u128(guid), chart }
}

/// A store's file in a directory of its own.
struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("cache/catalog.redb")
    }

    fn open(&self) -> CatalogStore {
        CatalogStore::open(&self.path()).expect("a store")
    }

    /// Applies batches, and closes the store.
    fn with(batches: &[&[CatalogChange]]) -> Self {
        let place = Self::new();
        let mut store = place.open();
        for batch in batches {
            store.apply(batch).expect("stored");
        }
        place
    }

    /// What a store that is opened anew hands out.
    fn load(&self) -> Vec<(HostRecord, Vec<ChartRecord>)> {
        let mut store = self.open();
        let mut all = Vec::new();
        let stored = store.load(|host, charts| all.push((host, charts))).expect("loaded");
        let charts = all.iter().flat_map(|(_, charts)| charts);
        assert_eq!(stored.hosts, all.len() as u64);
        assert_eq!(stored.charts, charts.clone().count() as u64);
        assert_eq!(stored.dimensions, charts.map(|chart| chart.dimensions.len() as u64).sum::<u64>());
        all
    }

    /// Puts bytes in the place of a chart's record.
    fn write_chart(&self, guid: u128, id: &str, bytes: &[u8]) {
        let database = open(&self.path()).expect("a database");
        let transaction = database.begin_write().expect("begun");
        transaction.open_table(CHARTS).expect("a table").insert((guid, id), bytes).expect("written");
        transaction.commit().expect("committed");
    }
}

#[test]
fn charts_come_back_with_their_host_in_the_order_of_their_definition() {
    let place = Place::with(&[&[
        set_host(B, "b"),
        set_host(A, "a"),
        set_chart(A, chart(2, "a.first", &["z", "y", "x"])),
        set_chart(B, chart(0, "b.only", &["d"])),
        set_chart(A, chart(1, "z.zeroth", &[])),
    ]]);
    assert_eq!(
        place.load(),
        [
            (host(A, "a"), vec![chart(1, "z.zeroth", &[]), chart(2, "a.first", &["z", "y", "x"])]),
            (host(B, "b"), vec![chart(0, "b.only", &["d"])]),
        ]
    );
}

#[test]
fn changes_that_are_applied_twice_leave_what_they_left_the_first_time() {
    let changes = [
        set_host(A, "a"),
        set_chart(A, chart(0, "c.one", &["d"])),
        set_chart(A, chart(1, "c.two", &["d"])),
        CatalogChange::ForgetChart { host: Uuid::from_u128(A), chart: "c.one".into() },
        set_chart(A, chart(2, "c.one", &["e", "d"])),
        set_host(B, "b"),
        set_chart(B, chart(0, "c.one", &["d"])),
        CatalogChange::ForgetHost(Uuid::from_u128(B)),
    ];
    let expected = [(host(A, "a"), vec![chart(1, "c.two", &["d"]), chart(2, "c.one", &["e", "d"])])];
    let place = Place::with(&[&changes]);
    assert_eq!(place.load(), expected);
    let mut store = place.open();
    store.load(|_, _| {}).expect("loaded");
    for from in 0..changes.len() {
        store.apply(&changes[from..]).expect("stored");
        assert_eq!(store.stored(), Stored { hosts: 1, charts: 2, dimensions: 3, damaged: 0 }, "from {from}");
    }
    drop(store);
    assert_eq!(place.load(), expected);
}

#[test]
fn a_forgotten_host_takes_its_charts_and_nobody_elses() {
    let guids = [0, A, B, u128::MAX];
    let changes: Vec<CatalogChange> = guids
        .iter()
        .flat_map(|guid| [set_host(*guid, "h"), set_chart(*guid, chart(0, "c.one", &["d"]))])
        .collect();
    for forgotten in guids {
        let place = Place::with(&[&changes, &[CatalogChange::ForgetHost(Uuid::from_u128(forgotten))]]);
        let left: Vec<u128> = place.load().iter().map(|(host, _)| host.info.machine_guid.as_u128()).collect();
        assert_eq!(left, guids.into_iter().filter(|guid| *guid != forgotten).collect::<Vec<_>>());
    }
}

#[test]
fn a_damaged_record_is_left_out_and_the_rest_is_there() {
    let place = Place::with(&[&[
        set_host(A, "a"),
        set_chart(A, chart(0, "c.one", &["d"])),
        set_chart(A, chart(1, "c.two", &["d"])),
    ]]);
    for bytes in [&b""[..], b"\x00", b"\x01\xff\xff"] {
        place.write_chart(A, "c.one", bytes);
        assert_eq!(place.load(), [(host(A, "a"), vec![chart(1, "c.two", &["d"])])]);
    }
    let mut store = place.open();
    assert_eq!(store.load(|_, _| {}).expect("loaded").damaged, 1);
    store.apply(&[set_chart(A, chart(0, "c.one", &["d"]))]).expect("written again");
    drop(store);
    assert_eq!(place.load()[0].1.len(), 2);
}

#[test]
fn a_record_of_a_newer_program_stops_the_load_and_says_which_and_what_to_do() {
    let place = Place::with(&[&[set_host(A, "a")]]);
    place.write_chart(A, "c.new", b"\x02anything");
    let error = place.open().load(|_, _| {}).expect_err("a newer record").to_string();
    for part in [
        place.path().to_str().expect("a path of the test's own"),
        "chart 'c.new' of host 00000000-0000-0000-0000-000000000007",
        "version 2",
        "move the file away",
    ] {
        assert!(error.contains(part), "{part:?} in {error}");
    }
}

#[test]
fn a_file_that_is_in_use_or_is_no_catalog_says_so() {
    let place = Place::with(&[]);
    let store = place.open();
    assert!(matches!(CatalogStore::open(&place.path()), Err(StoreError::InUse { .. })));
    drop(store);
    std::fs::write(place.path(), "not a database, but longer than the head of one".repeat(1000))
        .expect("written");
    let error = CatalogStore::open(&place.path()).expect_err("not a database");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("move it away"), "{error}");
    let under_a_file = place.path().join("catalog.redb");
    assert!(matches!(CatalogStore::open(&under_a_file), Err(StoreError::Directory { .. })));
}

#[test]
fn a_file_that_was_changed_by_others_is_damaged_or_as_it_was_never_something_else() {
    let charts: Vec<CatalogChange> =
        (0..200).map(|number| set_chart(A, chart(number, &format!("c.{number}"), &["d", "e"]))).collect();
    let place = Place::with(&[&[set_host(A, "a")], &charts]);
    let expected = place.load();
    let bytes = std::fs::read(place.path()).expect("its bytes");
    let mut damaged = 0;
    // A prime, so that all places within a page are met.
    for at in (0..bytes.len()).step_by(9973) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        std::fs::write(place.path(), changed).expect("written");
        match CatalogStore::open(&place.path()) {
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. }), "at {at}: {error}");
                damaged += 1;
            }
            Ok(store) => {
                drop(store);
                assert_eq!(place.load(), expected, "at {at}");
            }
        }
    }
    assert!(damaged > 0);
    for length in [1, 100, 4096, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(place.path(), &bytes[..length]).expect("written");
        let error = CatalogStore::open(&place.path()).expect_err("cut");
        assert!(matches!(error, StoreError::Damaged { .. }), "cut at {length}: {error}");
    }
}

#[test]
fn charts_are_found_by_their_keys() {
    let place = Place::with(&[&[
        set_host(A, "a"),
        set_host(B, "b"),
        set_chart(A, chart(1, "a.one", &["x"])),
        set_chart(A, chart(2, "a.two", &["x"])),
        set_chart(B, chart(3, "b.three", &[])),
    ]]);
    place.write_chart(B, "b.broken", b"\x01");
    let store = place.open();
    let mut all = Vec::new();
    let keys = [2 << 100, 3 << 100, 4 << 100].into();
    store.find(&keys, |host, id, key| all.push((host, id.to_owned(), key >> 100))).expect("read");
    let (a, b) = (Uuid::from_u128(A), Uuid::from_u128(B));
    assert_eq!(all, [(a, "a.two".to_owned(), 2), (b, "b.three".to_owned(), 3)]);
}
