//! LZ4 packets: raw blocks, each with the text of the packets before it as its dictionary.
//!
//! A match may start in any of the last 65 535 bytes of text and run into the current block. So text is decoded behind
//! the text it refers to, and read where it lies:
//!
//! ```text
//!  0              taken     end
//!  |  history     |  text   |  next blocks ...  |
//!  |  lines acted on        |  not decoded yet
//!                 |  a line that has no end yet
//! ```
//!
//! A connection keeps no more than that history and a little room behind it, in which small blocks are decoded until it
//! is used up. What does not fit goes on in a [`Workspace`] that all connections of a thread share: the end of the history is
//! copied there, which brings it into the cache, and the rest of it for the first block that refers to that; and the end of
//! the text is copied back when the bytes that have come are used up: all of the history, or, if much came, only that, over
//! the oldest; then the history goes on at its front. Thousands of children have a second of text each, one after the
//! other; none holds memory for it.

use super::{CorruptPacket, MAX_PLAINTEXT, MAX_SENT_PAYLOAD, MAX_SENT_PLAINTEXT, cut, encode_header};
use crate::wire::capability::{Capabilities, Compression};
use lz4_flex::block::{
    CompressTable, compress_into_with_dict, compress_into_with_table, decompress_into_with_dict,
    get_maximum_output_size,
};

/// How far back a match can reach, and one byte.
pub const HISTORY: usize = 64 * 1024;
/// Blocks up to this size most likely fit into the room that a connection has.
const MOST_TRIED: usize = 1024;
/// What a connection holds on to behind its history: room for small blocks.
const ROOM: usize = 4 * 1024;
const KEPT: usize = HISTORY + ROOM;
/// From so much new text on only that is copied back. Less may come in small blocks, for which the history is to be in one piece.
const MUCH: usize = 8 * 1024;
/// So much of the history is copied to the workspace at least. Most matches are in the last second's text, which lies in so much
/// before a packet as the packet itself has.
const LEAST_REACH: usize = 16 * 1024;
/// By so much less is copied the next time, if what was there was enough.
const REACH_STEP: usize = 256;
/// In the workspace the history moves to the front once for so much text, in a cache.
const WORKSPACE: usize = HISTORY + 8 * MAX_PLAINTEXT;

/// All that can be wrong with a block, which the library does not tell apart.
const CORRUPT: &str = "it is no LZ4, refers to text before the beginning, or holds too much text";

/// What connections of a thread decode in, one after the other.
#[derive(Debug, Default)]
pub struct Workspace {
    /// Empty until the first block.
    bytes: Vec<u8>,
}

/// The decoder of one connection.
#[derive(Debug, Default)]
pub struct Lz4Window {
    /// Empty until the first block.
    kept: Vec<u8>,
    place: Place,
    /// Where the history begins that goes on at the front; 0: it is in one piece.
    begin: usize,
    /// How far back blocks referred, more or less.
    reach: usize,
}

/// Where in a buffer the text is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Before it, text that was consumed.
    taken: usize,
    /// Behind it, nothing.
    end: usize,
}

impl Place {
    /// After the first bytes of the buffer went away, so that of the text before `end` [`HISTORY`] is left at most.
    fn at_front(self) -> (std::ops::Range<usize>, Place) {
        let moved = self.end.saturating_sub(HISTORY);
        (moved..self.end, Place { taken: self.taken - moved, end: self.end - moved })
    }

    /// The same text, so that it ends there where a whole history does.
    fn at_end_of_history(self) -> (std::ops::Range<usize>, Place) {
        let (text, Place { taken, end }) = self.at_front();
        (text, Place { taken: HISTORY - (end - taken), end: HISTORY })
    }
}

/// A window while a connection's bytes are decoded. At its end the window has its history back.
#[derive(Debug)]
pub struct OpenLz4<'a> {
    window: &'a mut Lz4Window,
    workspace: &'a mut Workspace,
    /// The history is in the workspace.
    is_moved: bool,
    place: Place,
    /// Where in the workspace the text begins that the window does not have.
    fresh: usize,
    /// Where in the workspace the history begins, and what is there of it.
    history: usize,
    copied: usize,
}

impl Lz4Window {
    pub fn open<'a>(&'a mut self, workspace: &'a mut Workspace) -> OpenLz4<'a> {
        let place = self.place;
        OpenLz4 { window: self, workspace, is_moved: false, place, fresh: 0, history: 0, copied: 0 }
    }
}

impl OpenLz4<'_> {
    /// Decodes the next block; its text is behind what [`text`](Self::text) still held. After an error the window is
    /// of no use.
    ///
    /// Not more than 64 KiB of text may be left unconsumed, here and in the end.
    pub fn decode(&mut self, block: &[u8]) -> Result<(), CorruptPacket> {
        assert!(self.place.end - self.place.taken <= HISTORY, "text must be consumed before more is decoded");
        self.place.end = self.decode_somewhere(block).ok_or(CorruptPacket {
            compression: Compression::Lz4,
            len: block.len(),
            reason: CORRUPT,
        })?;
        Ok(())
    }

    /// The end of the text with the block.
    fn decode_somewhere(&mut self, block: &[u8]) -> Option<usize> {
        if !self.is_moved {
            if self.window.kept.is_empty() {
                self.window.kept = vec![0; KEPT];
            }
            let room = KEPT - self.place.end;
            // A short block is worth a try; the text of a long one would end in the middle of it.
            let decoded = (self.window.begin == 0 && block.len() < MOST_TRIED.min(room))
                .then(|| {
                    decode_block(block, &mut self.window.kept, 0, self.place.end, room.min(MAX_PLAINTEXT))
                })
                .flatten();
            if decoded.is_some() {
                return decoded;
            }
            self.move_to_workspace();
        }
        if WORKSPACE - self.place.end < MAX_PLAINTEXT {
            let (rest, place) = self.place.at_front();
            self.fresh = self.fresh.saturating_sub(rest.start);
            self.workspace.bytes.copy_within(rest, 0);
            self.place = place;
            (self.history, self.copied) = (0, 0);
        }
        let decode = |open: &mut Self| {
            decode_block(block, &mut open.workspace.bytes, open.copied, open.place.end, MAX_PLAINTEXT)
        };
        decode(self).or_else(|| {
            // It may refer to what was not copied.
            (self.copied > self.history).then(|| {
                self.window.reach = HISTORY.min(2 * self.window.reach);
                self.copy_history();
                decode(self)
            })?
        })
    }

    fn move_to_workspace(&mut self) {
        self.workspace.bytes.resize(WORKSPACE, 0);
        self.window.place = self.place;
        let (text, place) = self.place.at_end_of_history();
        self.place = place;
        self.fresh = place.end;
        self.history = HISTORY - text.len();
        self.is_moved = true;
        let reach = self.window.reach.saturating_sub(REACH_STEP).clamp(LEAST_REACH, HISTORY);
        self.window.reach = reach;
        self.copied = HISTORY;
        self.copy_history_from(self.history.max((HISTORY - reach).min(place.taken)));
    }

    /// Brings all of the history into the workspace.
    fn copy_history(&mut self) {
        self.copy_history_from(self.history);
    }

    /// Brings the history into the workspace that is to be there from `from` on, as far as it is not there.
    fn copy_history_from(&mut self, from: usize) {
        let Lz4Window { kept, place, begin, .. } = &*self.window;
        let (text, _) = place.at_front();
        let (last, first) = kept[text].split_at(*begin);
        let wanted = from - self.history..self.copied - self.history;
        let split = first.len().clamp(wanted.start, wanted.end);
        let (of_first, of_last) = (wanted.start..split, split..wanted.end);
        let target = &mut self.workspace.bytes[from..self.copied];
        if !of_first.is_empty() {
            target[..of_first.len()].copy_from_slice(&first[of_first.clone()]);
        }
        if !of_last.is_empty() {
            let of_last = of_last.start - first.len()..of_last.end - first.len();
            target[of_first.len()..].copy_from_slice(&last[of_last]);
        }
        self.copied = from;
    }

    /// Copies back what is needed for the next block.
    fn move_to_window(&mut self) {
        let place = self.place;
        let fresh = self.fresh..place.end;
        let is_much = (MUCH..HISTORY).contains(&fresh.len());
        if self.window.place.end == HISTORY && is_much && place.taken == place.end {
            let fresh = &self.workspace.bytes[fresh];
            let Lz4Window { kept, place: before, begin, .. } = &mut *self.window;
            let (over_last, over_first) = fresh.split_at(fresh.len().min(HISTORY - *begin));
            kept[*begin..*begin + over_last.len()].copy_from_slice(over_last);
            kept[..over_first.len()].copy_from_slice(over_first);
            *begin = (*begin + fresh.len()) % HISTORY;
            *before = Place { taken: HISTORY, end: HISTORY };
            return;
        }
        let first = self.history.max(place.end - HISTORY);
        if first < self.copied {
            self.copy_history();
        }
        self.window.kept[..place.end - first].copy_from_slice(&self.workspace.bytes[first..place.end]);
        // Text that nobody consumed is longer than the history only after an error.
        self.window.place = Place { taken: place.taken.saturating_sub(first), end: place.end - first };
        self.window.begin = 0;
    }

    /// The text that was not consumed yet.
    pub fn text(&self) -> &[u8] {
        let bytes = if self.is_moved { &self.workspace.bytes } else { &self.window.kept };
        &bytes[self.place.taken..self.place.end]
    }

    /// Consumes the first `len` bytes of the text.
    pub fn consume(&mut self, len: usize) {
        assert!(len <= self.place.end - self.place.taken, "more consumed than there is");
        self.place.taken += len;
    }
}

impl Drop for OpenLz4<'_> {
    fn drop(&mut self) {
        if self.is_moved {
            self.move_to_window();
        } else {
            self.window.place = self.place;
        }
    }
}

/// Decodes `block` into `buffer[at..]`, at most `limit` bytes, with `buffer[begin..at]` as its history; the end of its text.
fn decode_block(block: &[u8], buffer: &mut [u8], begin: usize, at: usize, limit: usize) -> Option<usize> {
    let (history, room) = buffer.split_at_mut(at);
    let dictionary = &history[begin.max(at.saturating_sub(HISTORY))..];
    let written = decompress_into_with_dict(block, &mut room[..limit], dictionary).ok()?;
    Some(at + written)
}

/// The encoder of one connection, for the child's side.
///
/// A message is cut into packets of at most [`MAX_SENT_PLAINTEXT`] bytes of text; with BINARY anywhere, without it
/// after the last newline that fits.
#[derive(Debug)]
pub struct Lz4Encoder {
    /// The end of what was sent, up to twice the history before it is shortened.
    history: Vec<u8>,
    table: Table,
    cuts_anywhere: bool,
    packet: Vec<u8>,
}

/// `CompressTable` does not show itself.
struct Table(CompressTable);

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Table")
    }
}

/// From this size on a block refers to the history. The dictionary is indexed anew for each block, which costs more
/// than the better ratio is worth on a short one; blocks without it are as valid.
const LINKED_FROM: usize = 4 * 1024;

impl Lz4Encoder {
    pub fn new(agreed: Capabilities) -> Lz4Encoder {
        Lz4Encoder {
            history: Vec::new(),
            table: Table(CompressTable::small()),
            cuts_anywhere: agreed.contains(Capabilities::BINARY),
            packet: vec![0; get_maximum_output_size(MAX_SENT_PLAINTEXT)],
        }
    }

    /// Appends the packets of `text` to `out`.
    pub fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(cut(rest, self.cuts_anywhere));
            self.encode_packet(part, out);
            rest = behind;
        }
    }

    /// The decoder's text ends with something else than what was encoded here. Nothing will refer to anything before.
    pub fn restart(&mut self) {
        self.history = Vec::new();
    }

    fn encode_packet(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let compressed = if text.len() >= LINKED_FROM {
            let dictionary = &self.history[self.history.len().saturating_sub(HISTORY)..];
            compress_into_with_dict(text, &mut self.packet, dictionary)
        } else {
            compress_into_with_table(text, &mut self.packet, &mut self.table.0)
        };
        match compressed {
            Ok(len) if len <= MAX_SENT_PAYLOAD => {
                out.extend_from_slice(&encode_header(len));
                out.extend_from_slice(&self.packet[..len]);
                self.remember(text);
            }
            // Text that grows when compressed: two halves fit for certain.
            _ => {
                let (first, second) = text.split_at(text.len() / 2);
                self.encode_packet(first, out);
                self.encode_packet(second, out);
            }
        }
    }

    fn remember(&mut self, text: &[u8]) {
        if self.history.len() + text.len() > 2 * HISTORY {
            let dropped = self.history.len() - HISTORY;
            self.history.drain(..dropped);
        }
        self.history.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::compression::tests::{hex, messages, payloads};
    use proptest::prelude::*;

    /// What one window makes of packets, all text taken at once.
    fn decoded(packets: &[u8]) -> Vec<Vec<u8>> {
        let (mut window, mut workspace) = <(Lz4Window, Workspace)>::default();
        let mut window = window.open(&mut workspace);
        let texts = payloads(packets).into_iter().map(|payload| {
            window.decode(payload).unwrap();
            let text = window.text().to_vec();
            window.consume(text.len());
            text
        });
        texts.collect()
    }

    #[test]
    fn packets_of_a_1_37_child_refer_to_the_packet_before() {
        let packets = hex(
            "faf3800a f40b43484152542022662e63222022222022742220227522202266221500f21d6c696e65222031\
             20312022202020222022666e2e706c7567696e222022220a44494d454e53494f4e202264220400766162736f6c7574360073\
             220a424547494e520051300a5345542a00803d20310a454e440a\
             fa8b800a 0f1e000560320a454e440a fa8b800a 0f1e000560330a454e440a",
        );
        let texts = decoded(&packets);
        assert_eq!(
            String::from_utf8_lossy(&texts[0]),
            "CHART \"f.c\" \"\" \"t\" \"u\" \"f\" \"f.c\" \"line\" 1 1 \"   \" \"fn.plugin\" \"\"\n\
             DIMENSION \"d\" \"d\" \"absolute\" 1 1 \"  \"\nBEGIN \"f.c\" 0\nSET \"d\" = 1\nEND\n"
        );
        assert_eq!(texts[1], b"BEGIN \"f.c\" 0\nSET \"d\" = 2\nEND\n");
        assert_eq!(texts[2], b"BEGIN \"f.c\" 0\nSET \"d\" = 3\nEND\n");
    }

    #[test]
    fn packets_of_the_reference_library_are_read() {
        let packets = hex(
            "fac5800a f61e424547494e202273797374656d2e6c6f61642220313030303231350a53455420226c6f61643122\
             203d203132301200683522203d203923000112007037310a454e440a\
             faa5800a 0f55000536313938430003550016361200763522203d203937110003550060320a454e440a",
        );
        let texts = decoded(&packets);
        assert_eq!(
            String::from_utf8_lossy(&texts[0]),
            "BEGIN \"system.load\" 1000215\nSET \"load1\" = 120\nSET \"load5\" = 95\nSET \"load15\" = 71\nEND\n"
        );
        assert_eq!(
            String::from_utf8_lossy(&texts[1]),
            "BEGIN \"system.load\" 1000198\nSET \"load1\" = 126\nSET \"load5\" = 97\nSET \"load15\" = 72\nEND\n"
        );
    }

    #[test]
    fn packets_of_a_2_9_child_are_read() {
        let packets = hex("faa1800a f0105641524941424c4520484f53542068766172203d20372e303030303030300a\
             fab0800a d3434c41494d45445f49442027610100f6022d323930302d343030302d383030302d300100a0312720274e554c4c270a");
        let texts = decoded(&packets);
        assert_eq!(texts[0], b"VARIABLE HOST hvar = 7.0000000\n");
        assert_eq!(texts[1], b"CLAIMED_ID 'aaaaaaaa-2900-4000-8000-000000000001' 'NULL'\n");
    }

    /// One block, the first of its connection.
    fn first(block: &[u8]) -> Result<Vec<u8>, CorruptPacket> {
        let (mut window, mut workspace) = <(Lz4Window, Workspace)>::default();
        let mut window = window.open(&mut workspace);
        window.decode(block)?;
        Ok(window.text().to_vec())
    }

    #[test]
    fn a_match_before_the_beginning_is_corrupt() {
        let corrupt = first(&hex("0f1e000560320a454e440a")).unwrap_err();
        assert_eq!((corrupt.compression, corrupt.len), (Compression::Lz4, 11));
        for block in [&b""[..], b"\x10", b"\x10a\x00\x00", b"\xf0\xff"] {
            assert!(first(block).is_err(), "{block:?}");
        }
    }

    #[test]
    fn a_block_of_more_than_the_largest_text_is_corrupt() {
        for (len, fits) in [(MAX_PLAINTEXT, true), (MAX_PLAINTEXT + 1, false)] {
            let block = lz4_flex::block::compress(&vec![b'x'; len]);
            assert_eq!(first(&block).is_ok(), fits, "{len} bytes");
        }
    }

    /// Text that nothing makes shorter but its own repetition.
    fn noise(len: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_be_bytes()[0]
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    /// 1000 bytes of `distance` bytes ago, and five more.
    fn repetition(distance: u16) -> Vec<u8> {
        let [low, high] = distance.to_le_bytes();
        let len = 1000 - 4 - 15;
        [&[0x0f, low, high][..], &[255; 3], &[(len % 255) as u8], b"\x50over\n"].concat()
    }

    #[test]
    fn what_was_said_long_ago_is_found() {
        let (mut window, mut workspace) = <(Lz4Window, Workspace)>::default();
        let mut said: Vec<u8> = Vec::new();
        let mut reached = Vec::new();
        for (turn, piece) in noise(320_000).chunks(16_000).enumerate() {
            let mut window = window.open(&mut workspace);
            let distance = if turn < 10 { 8_000 + 6_000 * turn } else { 1000 };
            for block in [lz4_flex::block::compress(piece), repetition(distance as u16)] {
                let history = &said[said.len().saturating_sub(HISTORY)..];
                let plain = lz4_flex::block::decompress_with_dict(&block, MAX_PLAINTEXT, history).unwrap();
                window.decode(&block).unwrap();
                assert!(window.text() == plain, "{distance} of {}", said.len());
                window.consume(plain.len());
                said.extend_from_slice(&plain);
            }
            reached.push(window.window.reach);
        }
        let [near, .., far, _] = &reached[..11] else { unreachable!("one a turn") };
        assert_eq!(*near, LEAST_REACH);
        assert!(*far > 56_000 && reached[19] < *far, "{reached:?}");
    }

    #[test]
    fn nothing_of_another_connection_is_referred_to() {
        let mut workspace = Workspace::default();
        let mut other = Lz4Window::default();
        let text = noise(60_000);
        for piece in text.chunks(12_000) {
            let mut other = other.open(&mut workspace);
            other.decode(&lz4_flex::block::compress(piece)).unwrap();
            other.consume(piece.len());
        }
        for said in [0, 2000, 12_000] {
            let mut window = Lz4Window::default();
            let mut window = window.open(&mut workspace);
            window.decode(&lz4_flex::block::compress(&text[..said])).unwrap();
            window.consume(said);
            // Refers to text that only the other one has said.
            let block = lz4_flex::block::compress_with_dict(&text[40_000..50_000], &text);
            assert!(window.decode(&block).is_err(), "{said}");
        }
    }

    #[test]
    fn an_unfinished_line_survives_every_move() {
        let (mut window, mut workspace) = <(Lz4Window, Workspace)>::default();
        let mut encoder = Lz4Encoder::new(Capabilities::BINARY);
        let line: Vec<u8> = (0..HISTORY as u32 - 20_000).map(|at| b'a' + (at * at % 23) as u8).collect();
        let mut packets = Vec::new();
        encoder.encode(&noise(60_000), &mut packets);
        encoder.encode(&line, &mut packets);
        for payload in payloads(&packets) {
            let mut window = window.open(&mut workspace);
            window.decode(payload).unwrap();
            let consumed = window.text().len().saturating_sub(line.len());
            window.consume(consumed);
        }
        assert_eq!(window.open(&mut workspace).text(), line);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn windows_decode_what_a_full_history_decodes(
            messages in messages(),
            all_linked in any::<bool>(),
            at_once in 1_usize..4,
        ) {
            let (mut windows, mut workspace) = <([Lz4Window; 2], Workspace)>::default();
            let mut texts = [Vec::new(), Vec::new()];
            for (turn, messages) in messages.chunks(at_once).enumerate() {
                let (window, text) = (&mut windows[turn % 2], &mut texts[turn % 2]);
                let mut window = window.open(&mut workspace);
                for message in messages {
                let history = &text[text.len().saturating_sub(HISTORY)..];
                let block = if all_linked {
                    lz4_flex::block::compress_with_dict(message, history)
                } else {
                    lz4_flex::block::compress(message)
                };
                let plain = lz4_flex::block::decompress_with_dict(&block, MAX_PLAINTEXT, history).unwrap();
                window.decode(&block).unwrap();
                prop_assert_eq!(window.text(), &plain[..]);
                window.consume(plain.len());
                text.extend_from_slice(&plain);
                }
            }
        }

        #[test]
        fn much_text_and_little_take_turns(
            turns in proptest::collection::vec((prop_oneof![0_usize..900, 5_000_usize..40_000, 60_000_usize..150_000], 0_usize..3), 2..20),
        ) {
            let (mut window, mut workspace) = <(Lz4Window, Workspace)>::default();
            let mut encoder = Lz4Encoder::new(Capabilities::BINARY);
            let mut lines = (0_u32..).flat_map(|line| format!("SET \"d{}\" = {line}\n", line % 3001).into_bytes());
            let (mut sent, mut read) = (Vec::new(), Vec::new());
            for (len, left) in turns {
                let text: Vec<u8> = lines.by_ref().take(len).collect();
                let mut packets = Vec::new();
                encoder.encode(&text, &mut packets);
                sent.extend_from_slice(&text);
                let mut window = window.open(&mut workspace);
                for payload in payloads(&packets) {
                    window.decode(payload).unwrap();
                    // Some turns end within a line.
                    let consumed = window.text().len().saturating_sub(left);
                    read.extend_from_slice(&window.text()[..consumed]);
                    window.consume(consumed);
                }
            }
            read.extend_from_slice(window.open(&mut workspace).text());
            prop_assert!(read == sent);
        }

        #[test]
        fn the_encoder_is_read_by_the_window(messages in messages()) {
            let mut encoder = Lz4Encoder::new(Capabilities::BINARY);
            let mut packets = Vec::new();
            for message in &messages {
                encoder.encode(message, &mut packets);
            }
            prop_assert_eq!(decoded(&packets).concat(), messages.concat());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

        #[test]
        fn damaged_blocks_neither_panic_nor_differ_from_the_library(
            text in "(SET \"[ab]{1,3}\" = [0-9]{1,4}\n){1,40}",
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut block = lz4_flex::block::compress(text.as_bytes());
            for (place, byte) in damage {
                let place = place.index(block.len());
                block[place] = byte;
            }
            let ours = first(&block);
            if let Ok(library) = lz4_flex::block::decompress(&block, MAX_PLAINTEXT) {
                prop_assert_eq!(ours, Ok(library));
            }
        }

        #[test]
        fn no_bytes_panic(blocks in proptest::collection::vec(any::<Vec<u8>>(), 1..4)) {
            let (mut window, mut workspace) = <(Lz4Window, Workspace)>::default();
            let mut window = window.open(&mut workspace);
            for block in blocks {
                let _ = window.decode(&block);
            }
        }
    }
}
