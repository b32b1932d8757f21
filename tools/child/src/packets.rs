//! [`PacketEncoder`]: the packets of one child, as real children make them.

use lzzzz::lz4::{ACC_LEVEL_DEFAULT, Compressor as Lz4, max_compressed_size};
use mainstem::wire::capability::{Capabilities, Compression};
use mainstem::wire::compression::{Compressor, MAX_SENT_PAYLOAD, MAX_SENT_PLAINTEXT, encode_header};

/// Blocks that refer to the text of those before.
struct Lz4Stream {
    lz4: Lz4<'static>,
    cuts_anywhere: bool,
}

enum Algorithm {
    Lz4(Box<Lz4Stream>),
    Other(Compressor),
}

/// The encoder of one connection. LZ4 is the reference library's; the others are the parent's own, for its way on.
pub struct PacketEncoder(Algorithm);

impl PacketEncoder {
    /// The encoder of what was agreed, if it was one.
    pub fn new(agreed: Capabilities) -> Option<PacketEncoder> {
        if agreed.compression()? == Compression::Lz4 {
            // It fails when there is no memory for its table.
            let lz4 = Lz4::new().expect("16 KiB of memory");
            let cuts_anywhere = agreed.contains(Capabilities::BINARY);
            return Some(PacketEncoder(Algorithm::Lz4(Box::new(Lz4Stream { lz4, cuts_anywhere }))));
        }
        Compressor::new(agreed).map(|compressor| PacketEncoder(Algorithm::Other(compressor)))
    }

    /// Appends the packets of `text` to `out`.
    pub fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match &mut self.0 {
            Algorithm::Lz4(stream) => stream.encode(text, out),
            Algorithm::Other(compressor) => compressor.encode(text, out),
        }
    }
}

// However incompressible a text, its block fits.
const _: () = assert!(MAX_SENT_PLAINTEXT + MAX_SENT_PLAINTEXT / 255 + 16 <= MAX_SENT_PAYLOAD);

impl Lz4Stream {
    fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            let mut len = rest.len().min(MAX_SENT_PLAINTEXT);
            if len < rest.len() && !self.cuts_anywhere {
                len = rest[..len].iter().rposition(|byte| *byte == b'\n').map_or(len, |last| last + 1);
            }
            let (part, behind) = rest.split_at(len);
            rest = behind;
            let header = out.len();
            out.extend_from_slice(&encode_header(1));
            let begun = out.len();
            out.resize(begun + max_compressed_size(len), 0);
            let written =
                self.lz4.next(part, &mut out[begun..], ACC_LEVEL_DEFAULT).expect("a block that fits");
            out.truncate(begun + written);
            out[header..begun].copy_from_slice(&encode_header(written));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::mix;
    use mainstem::wire::compression::{Decompressor, HEADER_LEN, Workspace, decode_header};

    /// What a parent makes of packets, and how long each one's text is.
    fn decoded(mut packets: &[u8]) -> (Vec<u8>, Vec<usize>) {
        let (mut decompressor, mut workspace) = (Decompressor::new(Compression::Lz4), Workspace::default());
        let mut open = decompressor.open(&mut workspace);
        let (mut text, mut lengths) = (Vec::new(), Vec::new());
        while let Some((header, rest)) = packets.split_first_chunk::<HEADER_LEN>() {
            let (payload, rest) = rest.split_at(decode_header(*header).expect("a header"));
            open.decode(payload).expect("a parent decodes it");
            let part = open.text();
            text.extend_from_slice(part);
            lengths.push(part.len());
            let len = part.len();
            open.consume(len);
            packets = rest;
        }
        (text, lengths)
    }

    #[test]
    fn a_parent_decodes_what_was_encoded_however_long_it_is() {
        let line = |at: u32| format!("SET2 \"value_{}\" #{:x} A\n", at % 50, at.wrapping_mul(2_654_435_761));
        for agreed in [Capabilities::LZ4, Capabilities::LZ4 | Capabilities::BINARY] {
            let mut encoder = PacketEncoder::new(agreed).expect("LZ4");
            let (mut all, mut packets) = (Vec::new(), Vec::new());
            for message in [1_u32, 20, 3000, 2, 20_000, 500] {
                let text: String = (0..message).map(line).collect();
                encoder.encode(text.as_bytes(), &mut packets);
                all.extend_from_slice(text.as_bytes());
            }
            let (text, lengths) = decoded(&packets);
            assert_eq!(text, all);
            assert!(packets.len() < all.len() * 3 / 4, "{} of {}", packets.len(), all.len());
            assert!(lengths.iter().all(|len| *len <= MAX_SENT_PLAINTEXT));
            let mut ends = lengths.iter().scan(0, |end, len| {
                *end += len;
                Some(*end)
            });
            let at_lines = ends.all(|end| text[end - 1] == b'\n');
            assert_eq!(at_lines, !agreed.contains(Capabilities::BINARY));
        }
    }

    #[test]
    fn blocks_refer_to_the_text_before_them() {
        let noise: Vec<u8> = (0..12_000_u64).map(|at| b' ' + (mix(at) >> 58) as u8).collect();
        let mut encoder = PacketEncoder::new(Capabilities::LZ4).expect("LZ4");
        let mut packets = Vec::new();
        encoder.encode(&noise, &mut packets);
        let first = packets.len();
        encoder.encode(&noise, &mut packets);
        assert!((packets.len() - first) * 20 < first, "{} after {first}", packets.len() - first);
        assert_eq!(decoded(&packets).0, noise.repeat(2));
    }

    #[test]
    fn without_a_compression_there_are_no_packets() {
        assert!(PacketEncoder::new(Capabilities::BINARY).is_none());
        assert!(PacketEncoder::new(Capabilities::ZSTD).is_some());
    }
}
