//! Packets: how compressed text travels from child to parent, once a compression is agreed.
//!
//! | offset | size | field     |                                                         |
//! |--------|------|-----------|---------------------------------------------------------|
//! | 0      | 1    | signature | `0xFA`, which begins no line of text                    |
//! | 1      | 1    | low       | `0x80` and the low 7 bits of the payload's length       |
//! | 2      | 1    | high      | `0x80` and the high 7 bits                              |
//! | 3      | 1    | newline   | `0x0A`                                                  |
//! | 4      | len  | payload   | `1..=16383` bytes that decompress to at most 16384      |
//!
//! A packet may end inside a line (BINARY), and reads end anywhere, inside a header too. The compressor never starts
//! anew inside a connection, so packets are decoded in order, all of them, by one decoder.

pub mod lz4;

/// The length of a packet's header.
pub const HEADER_LEN: usize = 4;
/// The first byte of every header.
pub const SIGNATURE: u8 = 0xfa;
/// The longest payload that a header can tell.
pub const MAX_PAYLOAD: usize = (1 << 14) - 1;
/// The longest payload that every receiver takes; 1.44 and later refuse more.
pub const MAX_SENT_PAYLOAD: usize = 16_255;
/// The longest text in one packet: what senders up to 1.43 fill it with.
pub const MAX_PLAINTEXT: usize = 16 * 1024;
/// The longest text that we put in one packet: below the 16 255 of 1.44 and later, with room for LZ4 to grow.
pub const MAX_SENT_PLAINTEXT: usize = 16_000;

/// The header of a payload of `len` bytes, `1..=16383`.
pub fn encode_header(len: usize) -> [u8; HEADER_LEN] {
    assert!((1..=MAX_PAYLOAD).contains(&len), "a packet cannot carry {len} bytes");
    [SIGNATURE, 0x80 | (len & 0x7f) as u8, 0x80 | (len >> 7) as u8, b'\n']
}

/// The length of the payload behind a header; `None`: this is no header.
pub fn decode_header(header: [u8; HEADER_LEN]) -> Option<usize> {
    let [SIGNATURE, low @ 0x80..=0xff, high @ 0x80..=0xff, b'\n'] = header else { return None };
    let len = usize::from(low & 0x7f) | usize::from(high & 0x7f) << 7;
    (len > 0).then_some(len)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for bytes in
            [*b"SET ", [0xfa, 0x80, 0x80, b'\n'], [0xfa, 0x01, 0x80, b'\n'], [0xfa, 0x81, 0x00, b'\n']]
        {
            assert_eq!(decode_header(bytes), None);
        }
        assert_eq!(decode_header([0xfa, 0x81, 0x80, b'\r']), None);
    }
}
