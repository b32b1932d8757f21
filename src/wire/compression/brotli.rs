//! BROTLI packets: one stream, a flush a packet.
//!
//! The stream's first byte says how far back it refers: by default 4 MiB. What a decoder holds grows with the text up to that,
//! so a window of 16 MiB is refused, and with it the "large windows" that are no brotli of RFC 7932.

use brotli::enc::StandardAlloc;
use brotli::enc::writer::CompressorWriter;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use std::io::Write;

use super::MAX_WINDOW_LOG;

type State = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// The decoder of one connection.
pub(super) struct BrotliDecoder {
    state: Box<State>,
    begun: bool,
}

impl BrotliDecoder {
    pub(super) fn new() -> BrotliDecoder {
        let state =
            State::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
        BrotliDecoder { state: Box::new(state), begun: false }
    }

    /// Decodes all of `packet` to the front of `room`; how much that was. A full room may not be all.
    pub(super) fn decode(&mut self, packet: &[u8], room: &mut [u8]) -> Result<usize, &'static str> {
        if !self.begun {
            if window_log(packet[0]).is_none_or(|log| log > MAX_WINDOW_LOG) {
                return Err("its window is too large");
            }
            self.begun = true;
        }
        let (mut unread, mut read) = (packet.len(), 0);
        let (mut free, mut written, mut total) = (room.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut unread,
            &mut read,
            packet,
            &mut free,
            &mut written,
            room,
            &mut total,
            &mut self.state,
        );
        match result {
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => Ok(written),
            BrotliResult::ResultSuccess => Err("the stream ends, and a child's never does"),
            BrotliResult::ResultFailure => Err("no brotli stream"),
        }
    }
}

/// The binary logarithm of the window that a stream with this first byte has (RFC 7932, 9.1); `None`: it is no stream.
fn window_log(first: u8) -> Option<u32> {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, _, _) => Some(16),
        (_, 0, 0) => Some(17),
        (_, 0, 1) => None,
        (_, 0, n) => Some(8 + u32::from(n)),
        (_, n, _) => Some(17 + u32::from(n)),
    }
}

/// The encoder of one connection.
pub(super) struct BrotliEncoder {
    writer: Box<CompressorWriter<Vec<u8>>>,
}

impl BrotliEncoder {
    pub(super) fn new(level: u32) -> BrotliEncoder {
        const BUFFER: usize = 16 * 1024;
        /// The library's default, as children have it.
        const WINDOW_LOG: u32 = 22;
        BrotliEncoder { writer: Box::new(CompressorWriter::new(Vec::new(), BUFFER, level, WINDOW_LOG)) }
    }

    /// Appends the packet's payload to `out`.
    pub(super) fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.writer.write_all(text).and_then(|()| self.writer.flush()).expect("a vector takes all");
        out.append(self.writer.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_told_by_the_first_byte() {
        // RFC 7932, 9.1, its table of WBITS.
        let table = [
            (0b0, 16),
            (0b000_0001, 17),
            (0b0011, 18),
            (0b0101, 19),
            (0b0111, 20),
            (0b1001, 21),
            (0b1011, 22),
            (0b1101, 23),
            (0b1111, 24),
            (0b010_0001, 10),
            (0b011_0001, 11),
            (0b100_0001, 12),
            (0b101_0001, 13),
            (0b110_0001, 14),
            (0b111_0001, 15),
        ];
        for (first, log) in table {
            assert_eq!(window_log(first), Some(log), "{first:#b}");
        }
        assert_eq!(window_log(0b001_0001), None);
    }
}
