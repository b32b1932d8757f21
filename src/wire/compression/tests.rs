use proptest::prelude::*;

use super::*;

const ALL: [Compression; 4] = Compression::CHILD_ORDER;
const STREAMS: [Compression; 3] = [Compression::Zstd, Compression::Gzip, Compression::Brotli];

pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap() as u8;
    digits.chunks(2).map(|pair| digit(pair[0]) * 16 + digit(pair[1])).collect()
}

/// The payloads of packets that follow each other.
pub(crate) fn payloads(mut packets: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((header, rest)) = packets.split_first_chunk::<HEADER_LEN>() {
        let (payload, rest) = rest.split_at(decode_header(*header).unwrap());
        found.push(payload);
        packets = rest;
    }
    found
}

/// What the first packets of real children hold: lines of an algorithm's name, or `text`, and what it is.
fn recorded(name: &str) -> impl Iterator<Item = &'static str> {
    let lines = include_str!("../../../tests/golden/stream/first-packets.txt").lines();
    lines.filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' '))
}

/// The first two packets of a real 2.9.0 child with which this was agreed.
pub(crate) fn first_packets(compression: Compression) -> Vec<u8> {
    recorded(compression.name()).flat_map(hex).collect()
}

pub(crate) fn compressor(compression: Compression) -> Compressor {
    Compressor::new(compression.capability() | Capabilities::BINARY).unwrap()
}

/// A decompressor whose packets come one by one.
struct Decoder {
    decompressor: Decompressor,
    workspace: Workspace,
}

impl Decoder {
    fn new(compression: Compression) -> Decoder {
        Decoder { decompressor: Decompressor::new(compression), workspace: Workspace::default() }
    }

    fn decode(&mut self, payload: &[u8]) -> Result<(), CorruptPacket> {
        self.decompressor.open(&mut self.workspace).decode(payload)
    }

    fn text(&mut self) -> Vec<u8> {
        self.decompressor.open(&mut self.workspace).text().to_vec()
    }

    fn consume(&mut self, len: usize) {
        self.decompressor.open(&mut self.workspace).consume(len);
    }
}

/// What one decompressor makes of packets, all text taken at once.
fn decoded(compression: Compression, packets: &[u8]) -> Vec<Vec<u8>> {
    let mut decompressor = Decoder::new(compression);
    let texts = payloads(packets).into_iter().map(|payload| {
        decompressor.decode(payload).unwrap();
        let text = decompressor.text();
        decompressor.consume(text.len());
        text
    });
    texts.collect()
}

fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    });
    bytes.take(len).collect()
}

/// One payload of `text`, however long that is, as the first of its stream.
fn payload_of(compression: Compression, text: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    match compression {
        Compression::Lz4 => payload = lz4_flex::block::compress(text),
        Compression::Zstd => ZstdEncoder::new(DEFAULT_LEVEL).encode(text, &mut payload),
        Compression::Gzip => GzipEncoder::new(DEFAULT_LEVEL).encode(text, &mut payload),
        Compression::Brotli => BrotliEncoder::new(DEFAULT_LEVEL).encode(text, &mut payload),
    }
    payload
}

#[test]
fn headers_are_those_of_real_packets() {
    let cases: [(usize, u32); 10] = [
        (1, 0xfa81_800a),
        (11, 0xfa8b_800a),
        (45, 0xfaad_800a),
        (115, 0xfaf3_800a),
        (127, 0xfaff_800a),
        (128, 0xfa80_810a),
        (452, 0xfac4_830a),
        (8191, 0xfaff_bf0a),
        (16255, 0xfaff_fe0a),
        (16383, 0xfaff_ff0a),
    ];
    for (len, header) in cases {
        assert_eq!(encode_header(len), header.to_be_bytes());
        assert_eq!(decode_header(header.to_be_bytes()), Some(len));
    }
}

#[test]
fn all_else_is_no_header() {
    for bytes in [*b"SET ", [0xfa, 0x80, 0x80, b'\n'], [0xfa, 0x01, 0x80, b'\n'], [0xfa, 0x81, 0x00, b'\n']] {
        assert_eq!(decode_header(bytes), None);
    }
    assert_eq!(decode_header([0xfa, 0x81, 0x80, b'\r']), None);
}

#[test]
fn the_first_packets_of_a_2_9_child_are_read() {
    let expected: Vec<String> = recorded("text").map(|line| format!("{line}\n")).collect();
    assert_eq!(expected.len(), 2);
    for compression in ALL {
        let texts = decoded(compression, &first_packets(compression));
        let texts: Vec<_> = texts.into_iter().map(|text| String::from_utf8(text).unwrap()).collect();
        assert_eq!(texts, expected, "{compression}");
    }
}

#[test]
fn a_packet_of_more_than_the_largest_text_is_refused() {
    for compression in ALL {
        for (len, fits) in [(MAX_PLAINTEXT, true), (MAX_PLAINTEXT + 1, false), (10 * MAX_PLAINTEXT, false)] {
            for text in [vec![b'x'; len], b"SET \"alpha\" = 1\n".repeat(len)[..len].to_vec()] {
                let payload = payload_of(compression, &text);
                let mut decompressor = Decoder::new(compression);
                let decoded = decompressor.decode(&payload);
                assert_eq!(decoded.is_ok(), fits, "{len} bytes by {compression}: {decoded:?}");
                if let Err(corrupt) = decoded {
                    assert_eq!((corrupt.compression, corrupt.len), (compression, payload.len()));
                    assert!(compression == Compression::Lz4 || corrupt.reason == TOO_MUCH_TEXT, "{corrupt}");
                }
            }
        }
    }
}

#[test]
fn bombs_are_refused_before_they_grow() {
    for compression in STREAMS {
        // As much as one header can tell the length of.
        let payload = payload_of(compression, &vec![b'x'; 8 << 20]);
        let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
        let mut decompressor = Decoder::new(compression);
        let corrupt = decompressor.decode(payload).unwrap_err();
        assert_eq!(corrupt, CorruptPacket { compression, len: payload.len(), reason: TOO_MUCH_TEXT });
        // And not in the second packet either.
        let mut decompressor = Decoder::new(compression);
        let mut packets = Vec::new();
        let mut compressor = compressor(compression);
        compressor.encode(b"END\n", &mut packets);
        decompressor.decode(payloads(&packets)[0]).unwrap();
        let mut bomb = Vec::new();
        match &mut compressor.algorithm {
            Algorithm::Lz4(_) => unreachable!(),
            Algorithm::Zstd(encoder) => encoder.encode(&vec![b'x'; 8 << 20], &mut bomb),
            Algorithm::Gzip(encoder) => encoder.encode(&vec![b'x'; 8 << 20], &mut bomb),
            Algorithm::Brotli(encoder) => encoder.encode(&vec![b'x'; 8 << 20], &mut bomb),
        }
        bomb.truncate(MAX_PAYLOAD);
        assert_eq!(decompressor.decode(&bomb).unwrap_err().reason, TOO_MUCH_TEXT, "{compression}");
    }
}

#[test]
fn a_window_that_is_too_large_is_refused() {
    // Frame headers of RFC 8878: magic, no flags, then the window's exponent over 1 KiB.
    for (log, fits) in [(MAX_WINDOW_LOG, true), (MAX_WINDOW_LOG + 1, false), (31, false)] {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0, ((log - 10) << 3) as u8];
        let decoded = Decoder::new(Compression::Zstd).decode(&frame);
        assert_eq!(decoded.is_ok(), fits, "2^{log}: {decoded:?}");
    }
    let brotli = payload_of(Compression::Brotli, b"END\n");
    for (first, fits) in [(0b1011, true), (0b1101, true), (0b1111, false), (0b001_0001, false)] {
        let payload = [&[brotli[0] & !0xf | first][..], &brotli[1..]].concat();
        let window = Decoder::new(Compression::Brotli).decode(&payload);
        let too_large = window.is_err_and(|corrupt| corrupt.reason == "its window is too large");
        assert_eq!(too_large, !fits, "{first:#b}");
    }
}

#[test]
fn what_does_not_begin_like_its_algorithm_is_refused() {
    for compression in STREAMS {
        for payload in [&b"END\n"[..], b"x", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let mut decompressor = Decoder::new(compression);
            let refused = decompressor.decode(payload).is_err() || decompressor.text().is_empty();
            assert!(refused, "{compression}: {payload:?}");
        }
    }
    assert!(Decoder::new(Compression::Gzip).decode(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0").is_err());
}

#[test]
fn a_stream_that_ends_is_refused() {
    // Deflate and brotli with their last block; brotli's empty stream and one of `a`.
    let mut gzip = hex("1f8b0800000000000003");
    gzip.extend_from_slice(&[0x4b, 0x04, 0x00]);
    let cases =
        [(Compression::Gzip, gzip), (Compression::Brotli, vec![0x3b]), (Compression::Brotli, vec![0x06])];
    for (compression, payload) in cases {
        let corrupt = Decoder::new(compression).decode(&payload).unwrap_err();
        assert_eq!(corrupt.reason, "the stream ends, and a child's never does", "{compression}");
    }
}

#[test]
fn a_sender_may_begin_another_frame_of_zstd() {
    let mut decompressor = Decoder::new(Compression::Zstd);
    for text in [&b"BEGIN \"a.b\" 5\n"[..], b"SET \"alpha\" = 1"] {
        let ended = ::zstd::bulk::compress(text, 3).unwrap();
        decompressor.decode(&ended).unwrap();
    }
    assert_eq!(decompressor.text(), b"BEGIN \"a.b\" 5\nSET \"alpha\" = 1");
}

#[test]
fn unfinished_lines_stay_in_front_of_what_follows() {
    for compression in ALL {
        let (mut compressor, mut decompressor) = (compressor(compression), Decoder::new(compression));
        let message = b"SET \"alpha\" = 1\nSET \"be";
        let mut expected = Vec::new();
        for _ in 0..5000 {
            let mut packets = Vec::new();
            compressor.encode(message, &mut packets);
            decompressor.decode(payloads(&packets)[0]).unwrap();
            expected.extend_from_slice(message);
            assert_eq!(decompressor.text(), expected, "{compression}");
            let taken = expected.len() - 7;
            decompressor.consume(taken);
            expected.drain(..taken);
        }
    }
}

#[test]
fn without_binary_a_packet_ends_at_a_newline() {
    let line = [&[b'x'; 7000][..], b"\n"].concat();
    let lines = line.repeat(9);
    for compression in ALL {
        for (binary, cut_anywhere) in [(Capabilities::NONE, false), (Capabilities::BINARY, true)] {
            let mut packets = Vec::new();
            Compressor::new(compression.capability() | binary).unwrap().encode(&lines, &mut packets);
            let texts = decoded(compression, &packets);
            assert_eq!(texts.concat(), lines);
            assert_eq!(texts.iter().any(|text| !text.ends_with(b"\n")), cut_anywhere, "{compression}");
        }
    }
}

#[test]
fn incompressible_text_stays_within_every_receivers_limit() {
    let noise = noise(300_000);
    for compression in ALL {
        let mut packets = Vec::new();
        compressor(compression).encode(&noise, &mut packets);
        assert!(payloads(&packets).iter().all(|payload| payload.len() <= MAX_SENT_PAYLOAD));
        assert_eq!(decoded(compression, &packets).concat(), noise, "{compression}");
    }
}

#[test]
fn nothing_is_compressed_that_was_not_agreed() {
    assert!(Compressor::new(Capabilities::VCAPS | Capabilities::BINARY).is_none());
}

/// Messages of lines that look alike, as real ones do, and some that do not.
pub(crate) fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let lines = proptest::collection::vec("SET \"[ab]{1,3}\" = [0-9]{1,4}\n", 1..400);
    let alike = lines.prop_map(|lines| lines.concat().into_bytes());
    let noise = proptest::collection::vec(any::<u8>(), 1..MAX_SENT_PLAINTEXT);
    let same = (any::<u8>(), 1..MAX_SENT_PLAINTEXT).prop_map(|(byte, len)| vec![byte; len]);
    proptest::collection::vec(prop_oneof![6 => alike, 1 => noise, 1 => same], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_compressed_is_decompressed(messages in messages()) {
        for compression in STREAMS {
            let mut compressor = compressor(compression);
            let mut packets = Vec::new();
            for message in &messages {
                compressor.encode(message, &mut packets);
            }
            prop_assert_eq!(decoded(compression, &packets), messages.clone(), "{}", compression);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn damaged_packets_neither_panic_nor_grow(
        texts in proptest::collection::vec("(SET \"[ab]{1,3}\" = [0-9]{1,4}\n){1,40}", 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        for compression in STREAMS {
            let mut compressor = compressor(compression);
            let mut packets = Vec::new();
            texts.iter().for_each(|text| compressor.encode(text.as_bytes(), &mut packets));
            let mut payloads: Vec<Vec<u8>> = payloads(&packets).into_iter().map(<[u8]>::to_vec).collect();
            for (place, byte) in &damage {
                let payload = place.index(payloads.len());
                let place = place.index(payloads[payload].len());
                payloads[payload][place] = *byte;
            }
            let mut decompressor = Decoder::new(compression);
            for payload in payloads {
                if decompressor.decode(&payload).is_err() {
                    break;
                }
                let len = decompressor.text().len();
                prop_assert!(len <= MAX_PLAINTEXT);
                decompressor.consume(len);
            }
        }
    }

    #[test]
    fn no_bytes_panic(payloads in proptest::collection::vec(any::<Vec<u8>>(), 1..4)) {
        for compression in STREAMS {
            let mut decompressor = Decoder::new(compression);
            for payload in payloads.iter().filter(|payload| !payload.is_empty()) {
                if decompressor.decode(payload).is_err() {
                    break;
                }
            }
        }
    }
}
