//! Children that compress, from the handshake to what the API answers.

use std::io::Write;

use mainstem::config::{CompressionAlgorithm, Config};
use mainstem::runtime::clock::Clock;
use mainstem::wire::capability::{Capabilities, Compression};
use mainstem::wire::compression::Compressor;

use crate::child::{Child, V2, greet, guid_of, request};
use crate::harness::TestParent;

const START: i64 = 1_795_342_200;
const ROWS: i64 = 300;
/// What a 2.9.0 child offers.
const V2_9: u32 = 66_912_248;

const DEFINITION: &str = "CHART \"test.chart\" \"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                          DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n";

/// A child that offers one compression, and it is agreed.
fn connect(parent: &TestParent, name: &str, compression: Compression) -> Child {
    Child::connect(parent, &format!("{name}-{compression}"), V2 | compression.capability().bits())
}

#[test]
fn rows_arrive_by_every_compression_and_damage_ends_the_connection() {
    let parent = TestParent::start();
    for (number, compression) in Compression::CHILD_ORDER.into_iter().enumerate() {
        let mut child = connect(&parent, "rows", compression);
        let agreed = Capabilities::from_bits(V2) | compression.capability();
        let mut compressor = Compressor::new(agreed).expect("agreed");
        let mut packets = Vec::new();
        compressor.encode(DEFINITION.as_bytes(), &mut packets);
        for row in 0..ROWS {
            let time = START + row;
            // A row goes on in the next packet.
            compressor.encode(
                format!("BEGIN2 'test.chart' 1 {time} #\nSET2 'a' {row} # A\nEN").as_bytes(),
                &mut packets,
            );
            compressor.encode(b"D2\n", &mut packets);
        }
        for piece in packets.chunks(137) {
            child.stream.write_all(piece).expect("sent");
        }
        let before = START + ROWS - 1;
        let path = format!(
            "/host/rows-{compression}/api/v1/data?chart=test.chart&after={START}&before={before}&options=flip"
        );
        parent.wait("all rows", |parent| {
            let Ok(answer) = serde_json::from_slice::<serde_json::Value>(&parent.get(&path).body) else {
                return false;
            };
            let rows = answer["data"].as_array().cloned().unwrap_or_default();
            rows.len() as i64 == ROWS
                && rows.iter().enumerate().all(|(index, row)| {
                    row[0] == START + index as i64 && row[1].as_f64() == Some(index as f64)
                })
        });

        child.stream.write_all(b"\xfa\x84\x80\n\xff\xff\xff\xff").expect("sent");
        assert!(child.is_closed_by_parent(), "{compression}");
        assert_eq!(parent.telemetry().disconnections.get("decompression_failed"), number as u64 + 1);
    }
}

#[test]
fn the_first_packets_of_a_real_child_are_accepted() {
    let parent = TestParent::start();
    for compression in Compression::CHILD_ORDER {
        let recorded = include_str!("golden/stream/first-packets.txt").lines();
        let packets: Vec<u8> = recorded
            .filter_map(|line| line.strip_prefix(compression.name())?.strip_prefix(' '))
            .flat_map(|digits| digits.as_bytes().chunks(2))
            .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
            .map(|byte| byte.expect("two digits"))
            .collect();
        let mut child = connect(&parent, "first", compression);
        let before = parent.received_bytes();
        child.stream.write_all(&packets).expect("sent");
        parent.wait("its packets", |parent| parent.received_bytes() == before + packets.len() as u64);
        // It is heard still: plain text between packets is read as text, and this is none.
        child.stream.write_all(b"END\n").expect("sent");
        assert!(child.is_closed_by_parent());
    }
    assert_eq!(parent.telemetry().disconnections.get("decompression_failed"), 0);
    assert_eq!(parent.telemetry().disconnections.get("parse_error"), 4);
}

/// The compression that a parent agrees on with a child that offers `ver`.
fn agreed(parent: &TestParent, name: &str, ver: u32) -> Option<Compression> {
    let (_stream, answer) = greet(parent.address, &request(parent, name, guid_of(name), ver));
    let number = answer.strip_prefix("Hit me baby, push them over with the version=").expect("accepted");
    Capabilities::from_version(number.parse().expect("a number")).compression()
}

#[test]
fn the_order_decides_and_old_children_get_lz4() {
    let built_in = TestParent::start();
    assert_eq!(agreed(&built_in, "new", V2_9), Some(BUILT_IN));
    assert_eq!(agreed(&built_in, "old", 16376), Some(Compression::Lz4));
    assert_eq!(agreed(&built_in, "older", 5), Some(Compression::Lz4));
    assert_eq!(agreed(&built_in, "plain", 15352), None);

    use CompressionAlgorithm::{Brotli, Gzip, Lz4, Zstd};
    let cases = [
        (Gzip, Compression::Gzip),
        (Brotli, Compression::Brotli),
        (Lz4, Compression::Lz4),
        (Zstd, Compression::Zstd),
    ];
    for (first, expected) in cases {
        let parent = with(|config| config.streaming.all.compression_order = Some(vec![first, Zstd, Lz4]));
        assert_eq!(agreed(&parent, "new", V2_9), Some(expected));
        assert_eq!(agreed(&parent, "old", 16376), Some(Compression::Lz4));
    }

    let off = with(|config| config.streaming.all.compression = Some(false));
    for ver in [V2_9, 16376, 4] {
        assert_eq!(agreed(&off, &format!("off-{ver}"), ver), None);
    }
}

const BUILT_IN: Compression = Compression::Lz4;

fn with(change: impl FnOnce(&mut Config)) -> TestParent {
    TestParent::with(Clock::System, change)
}
