use std::collections::BTreeMap;
use std::fmt::Debug;

use proptest::prelude::*;
use uuid::Uuid;

use super::super::change::CatalogChange;
use super::*;
use crate::catalog::Label;
use crate::catalog::label::LabelSource;

fn text<T: From<String> + Debug>() -> impl Strategy<Value = T> {
    "\\PC{0,20}".prop_map(T::from)
}

fn labels() -> impl Strategy<Value = Labels> {
    let label = (text(), text(), any::<u32>()).prop_map(|(name, value, source)| Label {
        name,
        value,
        source: LabelSource::from_wire(source),
    });
    prop::collection::vec(label, 0..4).prop_map(|all| {
        let mut labels = Labels::default();
        all.into_iter().for_each(|label| labels.insert(label));
        labels
    })
}

fn guid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn info() -> impl Strategy<Value = HostInfo> {
    use MemoryMode::{Alloc, Dbengine, Map, None, Ram, Save};
    let modes = prop::sample::select(vec![None, Ram, Alloc, Map, Save, Dbengine]);
    let system = prop::collection::btree_map(text(), text(), 0..4);
    let names = (text(), text(), text(), text(), text(), text(), text());
    let numbers = (any::<i32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (guid(), names, numbers, system, labels(), prop::option::of(guid()), modes).prop_map(
        |(machine_guid, names, numbers, system, labels, claim_id, memory_mode)| HostInfo {
            machine_guid,
            hostname: names.0,
            registry_hostname: names.1,
            os: names.2,
            timezone: names.3,
            abbrev_timezone: names.4,
            utc_offset: numbers.0,
            hops: numbers.1,
            update_every: numbers.2,
            program_name: names.5,
            program_version: names.6,
            system,
            labels,
            variables: BTreeMap::new(),
            claim_id,
            memory_mode,
            history: numbers.3,
        },
    )
}

fn dimension() -> impl Strategy<Value = Dimension> {
    use Algorithm::{Absolute, Incremental, PercentageOfAbsoluteRow, PercentageOfIncrementalRow};
    let algorithms = prop::sample::select(vec![
        Absolute,
        Incremental,
        PercentageOfAbsoluteRow,
        PercentageOfIncrementalRow,
    ]);
    (text(), text(), algorithms, any::<[i64; 2]>(), any::<[bool; 3]>()).prop_map(
        |(id, name, algorithm, [multiplier, divisor], [hidden, obsolete, no_reset])| {
            Dimension::from(DimensionFields {
                id,
                name,
                algorithm,
                multiplier,
                divisor,
                hidden,
                obsolete,
                no_reset,
            })
        },
    )
}

fn chart() -> impl Strategy<Value = ChartRecord> {
    use ChartType::{Area, Heatmap, Line, Stacked};
    let types = prop::sample::select(vec![Line, Area, Stacked, Heatmap]);
    let names = (text(), text(), text(), text(), text(), text(), text(), text());
    let numbers = (any::<u32>(), any::<u128>(), any::<i64>(), any::<u32>());
    (names, types, numbers, any::<[bool; 3]>(), labels(), prop::collection::vec(dimension(), 0..5)).prop_map(
        |(names, chart_type, numbers, [hidden, obsolete, store_first], labels, dimensions)| ChartRecord {
            ordinal: numbers.0,
            key: numbers.1,
            id: names.0,
            name: Some(names.1),
            title: names.2,
            units: names.3,
            family: names.4,
            context: names.5,
            chart_type,
            priority: numbers.2,
            update_every: numbers.3,
            plugin: names.6,
            module: names.7,
            hidden,
            obsolete,
            store_first,
            labels,
            dimensions,
        },
    )
}

fn change() -> impl Strategy<Value = CatalogChange> {
    prop_oneof![
        (info(), any::<i64>()).prop_map(|(info, seen)| CatalogChange::Host(HostRecord { info, seen })),
        (guid(), chart()).prop_map(|(host, chart)| CatalogChange::Chart { host, chart }),
        (guid(), text()).prop_map(|(host, chart)| CatalogChange::ForgetChart { host, chart }),
        guid().prop_map(CatalogChange::ForgetHost),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_decoded_is_what_was_encoded(change in change()) {
        let mut bytes = b"before".to_vec();
        change.encode(&mut bytes);
        prop_assert_eq!(CatalogChange::decode(&bytes[b"before".len()..]), Ok(change));
    }

    #[test]
    fn bytes_that_are_cut_or_have_a_tail_are_damaged(change in change(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        let cut = CatalogChange::decode(&bytes[..cut.index(bytes.len())]);
        prop_assert!(matches!(cut, Err(RecordError::Damaged(_) | RecordError::NoVersion)));
        bytes.push(0);
        prop_assert_eq!(CatalogChange::decode(&bytes), Err(RecordError::Longer { bytes: 1 }));
    }

    #[test]
    fn any_bytes_are_a_change_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = CatalogChange::decode(&bytes);
    }
}

#[test]
fn a_newer_version_is_told_from_damage() {
    assert_eq!(decode::<HostRecord>(&[2, 1, 2, 3]), Err(RecordError::Newer { version: 2 }));
    assert_eq!(decode::<HostRecord>(&[]), Err(RecordError::NoVersion));
    assert_eq!(decode::<HostRecord>(&[0, 1]), Err(RecordError::NoVersion));
}

/// Files of version 1 exist: these bytes never change.
#[test]
fn version_1_is_what_it_always_was() {
    let mut labels = Labels::default();
    labels.insert(Label { name: "l".into(), value: "v".into(), source: LabelSource::from_wire(2) });
    let chart = ChartRecord {
        ordinal: 3,
        key: 300,
        id: "a.b".into(),
        name: Some("a.n".into()),
        title: "t".into(),
        units: "u".into(),
        family: "f".into(),
        context: "c".into(),
        chart_type: ChartType::Stacked,
        priority: -1,
        update_every: 1,
        plugin: "p".into(),
        module: "m".into(),
        hidden: true,
        obsolete: false,
        store_first: true,
        labels: labels.clone(),
        dimensions: ["e", "d"]
            .map(|name| {
                Dimension::from(DimensionFields {
                    id: "d".into(),
                    name: name.into(),
                    algorithm: Algorithm::PercentageOfIncrementalRow,
                    multiplier: 1,
                    divisor: -64,
                    hidden: false,
                    obsolete: true,
                    no_reset: false,
                })
            })
            .into(),
    };
    let info = HostInfo {
        machine_guid: Uuid::from_u128(0x0102_0304_0506_0708_090A_0B0C_0D0E_0F10),
        hostname: "h".into(),
        registry_hostname: "r".into(),
        os: "o".into(),
        timezone: "z".into(),
        abbrev_timezone: "Z".into(),
        utc_offset: -1,
        hops: 1,
        update_every: 2,
        program_name: "p".into(),
        program_version: "v".into(),
        system: BTreeMap::from([("k".into(), "w".into())]),
        labels,
        variables: BTreeMap::from([("not kept".into(), 1.0)]),
        claim_id: None,
        memory_mode: MemoryMode::Dbengine,
        history: 5,
    };
    let host = info.machine_guid;
    let cases: [(CatalogChange, &[u8]); 4] = [
        (
            CatalogChange::Host(HostRecord { info, seen: 64 }),
            b"\x01\x00\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x01h\x01r\x01o\x01z\x01Z\
              \x01\x01\x02\x01p\x01v\x01\x01k\x01w\x01\x01l\x01v\x02\x00\x05\x05\x80\x01",
        ),
        (
            CatalogChange::Chart { host, chart },
            b"\x01\x01\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x03\xac\x02\x03a.b\x01\x03a.n\
              \x01t\x01u\x01f\x01c\x02\x01\x01\x01p\x01m\x01\x00\x01\x01\x01l\x01v\x02\x02\x01d\x01\x01e\x03\x02\x7f\
              \x00\x01\x00\x01d\x00\x03\x02\x7f\x00\x01\x00",
        ),
        (
            CatalogChange::ForgetChart { host, chart: "a.b".into() },
            b"\x01\x02\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x03a.b",
        ),
        (
            CatalogChange::ForgetHost(host),
            b"\x01\x03\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10",
        ),
    ];
    for (change, expected) in cases {
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        assert_eq!(bytes, expected, "{change:?}");
    }
}
