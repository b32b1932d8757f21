//! Payloads of packets, in each algorithm: no more text comes out of one than a packet may hold. The first byte chooses the
//! algorithm, and how the rest is cut into payloads. A true beginning may come before them, so that the fuzzer need not find
//! one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstem::wire::capability::{Capabilities, Compression};
use mainstem::wire::compression::{Compressor, Decompressor, HEADER_LEN, MAX_PLAINTEXT, Workspace};

fuzz_target!(|data: &[u8]| {
    let [choice, bytes @ ..] = data else { return };
    let compression = Compression::CHILD_ORDER[usize::from(choice & 3)];
    let (mut decompressor, mut workspace) = (Decompressor::new(compression), Workspace::default());
    if choice & 4 != 0 {
        let agreed = Capabilities::VCAPS | compression.capability();
        let mut packet = Vec::new();
        Compressor::new(agreed).expect("agreed").encode(b"SET \"alpha\" = 1\nSET \"beta\" = 2\n", &mut packet);
        decompressor.open(&mut workspace).decode(&packet[HEADER_LEN..]).expect("our own");
    }
    let piece = [16_383, 200, 31, 7][usize::from(choice >> 3 & 3)];
    for payload in bytes.chunks(piece) {
        let mut decompressor = decompressor.open(&mut workspace);
        let before = decompressor.text().len();
        if let Err(corrupt) = decompressor.decode(payload) {
            assert_eq!((corrupt.compression, corrupt.len), (compression, payload.len()));
            return;
        }
        let text = decompressor.text().len();
        assert!(text - before <= MAX_PLAINTEXT);
        // Now and then the beginning of a line stays.
        decompressor.consume(text - text.min(usize::from(choice >> 5)));
    }
});
