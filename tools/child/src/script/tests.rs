use super::*;
use crate::load::{Protocol, small};
use mainstem::wire::Inbound;
use mainstem::wire::compression::{Compressor, Workspace};
use mainstem::wire::inbound::InboundError;

const SECOND: i64 = 1_795_342_200;
const COLLECTION: Collection =
    Collection { second: SECOND, moment_us: SECOND * MICROSECONDS + 300_000, elapsed_us: 1_000_215 };

/// Every set of capabilities that changes what is written.
fn agreements() -> Vec<Capabilities> {
    let parts =
        [Capabilities::INTERPOLATED, Capabilities::IEEE754, Capabilities::SLOTS, Capabilities::REPLICATION];
    (0..16)
        .map(|set| {
            let agreed = parts.into_iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
            agreed.fold(small(Protocol::V1).offered().without(Capabilities::REPLICATION), |all, (_, part)| {
                all | part
            })
        })
        .collect()
}

/// The lines of `text` as the parser understands them, written again by the encoder.
fn read_back(agreed: Capabilities, text: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(agreed);
    let mut again = Vec::new();
    let mut packets = Vec::new();
    Compressor::new(agreed).expect("LZ4").encode(text, &mut packets);
    let taken = Inbound::new(agreed.compression())
        .feed(&packets, &mut Workspace::default(), &mut |command| {
            assert!(!matches!(command, Command::Unknown { .. } | Command::Ignored { .. }), "{command:?}");
            encoder.encode(&command, &mut again);
            Ok::<(), InboundError<()>>(())
        })
        .expect("a parent understands it");
    assert_eq!(taken, packets.len());
    again
}

#[test]
fn rows_are_to_the_byte_what_the_encoder_writes() {
    let load = small(Protocol::V2);
    for agreed in agreements() {
        let script = Script::new(&load, agreed);
        for (chart, wall_clock_s) in [(0, 0), (3, 0), (1, 2)] {
            let moment_us = COLLECTION.moment_us + wall_clock_s * MICROSECONDS;
            let collection = Collection { moment_us, ..COLLECTION };
            let mut row = Vec::new();
            script.row(chart, ChildSeries::new(1, 2), collection, &mut row);
            let again = read_back(agreed, &row);
            assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&row), "{agreed}");
        }
    }
}

#[test]
fn definitions_read_back_as_they_were_written() {
    let load = small(Protocol::V2);
    for agreed in agreements() {
        let script = Script::new(&load, agreed);
        let mut text = Vec::new();
        let identity =
            Identity { machine_guid: "aaaaaaaa-0000-4000-8000-000000000001", hostname: "test-0001" };
        script.greet(identity, &mut text);
        script.define(None, SECOND, &mut text);
        script.replay(2, SECOND, &mut text);
        let again = read_back(agreed, &text);
        assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&text), "{agreed}");
    }
}

#[test]
fn definitions_say_what_the_values_need() {
    let load = small(Protocol::V1);
    let script = Script::new(&load, load.offered());
    let mut text = Vec::new();
    script.define(None, SECOND, &mut text);
    let mut dimensions = 0;
    let mut ends = 0;
    let mut apply = |command: Command<'_>| {
        match command {
            Command::Dimension(definition) => {
                let kind = Kind::of(load.seed, dimensions);
                assert_eq!(definition.algorithm, kind.algorithm());
                assert_eq!(definition.divisor, kind.divisor());
                dimensions += 1;
            }
            Command::ChartDefinitionEnd { first, last, now } => {
                assert_eq!((first, last, now), (0, 0, SECOND));
                ends += 1;
            }
            _ => {}
        }
        Ok::<(), InboundError<()>>(())
    };
    Inbound::new(None).feed(&text, &mut Workspace::default(), &mut apply).expect("a parent understands it");
    assert_eq!((dimensions, ends), (40, 4));
}

#[test]
fn collected_values_are_those_of_the_boundary_however_late_they_are_collected() {
    let load = Load { update_every: 5, ..small(Protocol::V1) };
    let script = Script::new(&load, load.offered());
    let child = ChildSeries::new(load.seed, 2);
    let late = Collection { moment_us: COLLECTION.moment_us + 3 * MICROSECONDS, ..COLLECTION };
    let mut text = Vec::new();
    script.row(1, child, late, &mut text);
    let mut dimension = 0;
    let mut apply = |command: Command<'_>| {
        if let Command::Set { value, .. } = command {
            let series = child.at(load.position(1, dimension));
            let counts = series.kind == Kind::Counter;
            let moment_us = if counts { late.moment_us } else { SECOND * MICROSECONDS };
            assert_eq!(value, Some(series.collected(moment_us)));
            dimension += 1;
        }
        Ok::<(), InboundError<()>>(())
    };
    Inbound::new(None).feed(&text, &mut Workspace::default(), &mut apply).expect("a parent understands it");
    assert_eq!(dimension, load.dimensions);
}

#[test]
fn an_empty_past_is_answered_as_real_children_do() {
    let load = small(Protocol::V1);
    let mut text = Vec::new();
    Script::new(&load, load.offered()).replay(0, SECOND, &mut text);
    let expected = format!("RBEGIN \"load.chart_0001\"\nREND 1 0 0 true 0 0 {SECOND}\n");
    assert_eq!(String::from_utf8_lossy(&text), expected);
}

#[test]
fn charts_are_found_by_their_ids() {
    let load = Load { charts: 12_000, dimensions: 1, ..small(Protocol::V1) };
    let script = Script::new(&load, load.offered());
    for chart in [0, 7, 99, 9_998, 9_999, 11_999] {
        assert_eq!(script.chart(load.chart_id(chart).as_bytes()), Some(chart));
    }
    assert_eq!(script.chart(b"load.chart_12001"), None);
    assert_eq!(script.chart(b""), None);
}
