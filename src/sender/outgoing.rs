//! What goes out on a link, in order: words of our own, and lines of the child that go on as they are.
//!
//! ```text
//!  lines of the child ------+
//!                           v                 compression agreed
//!  our own, between units --> text ----------------------------------> bytes --> the socket
//!                                                                        ^
//!  packets of the child, of whose lines all go on -----------------------+
//! ```
//!
//! An LZ4 packet refers to the last 64 KiB of text before it. While nothing of our own comes between and nothing is left out,
//! the parent's text is the child's text; once it has been for so long, the child's packets mean the same to the parent as to
//! us, and go on without being compressed again. A word of our own ends that: it and what follows are compressed here, without
//! reference to anything before, until both texts are the same for long enough again.
//!
//! A packet that ends inside a line waits for the rest of the line: only then it is known whether all of it goes on.

use crate::wire::Packet;
use crate::wire::capability::Capabilities;
use crate::wire::compression::lz4::HISTORY;
use crate::wire::compression::{Compressor, HEADER_LEN, MAX_SENT_PAYLOAD};

/// Text that is kept as room for the next turn's.
const KEPT_TEXT: usize = 64 << 10;

/// What both sides have to have agreed on alike for a line of live data to mean the same to both.
const FORM: Capabilities = Capabilities::INTERPOLATED
    .with(Capabilities::IEEE754)
    .with(Capabilities::SLOTS)
    .with(Capabilities::DATA_WITH_ML)
    .with(Capabilities::ML_MODELS)
    .with(Capabilities::FLOAT_BASELINE);

/// Whether lines of live data that are of the form of `child` are of that of `parent`.
pub(super) fn are_alike(child: Capabilities, parent: Capabilities) -> bool {
    child.intersection(FORM) == parent.intersection(FORM)
}

/// Packets of the child whose last line is not complete.
#[derive(Debug, Default)]
struct Held {
    packets: Vec<u8>,
    /// Their whole lines.
    text: Vec<u8>,
}

/// What goes out on a link.
#[derive(Debug)]
pub(super) struct Outgoing {
    compressor: Option<Compressor>,
    /// The child's packets are of the kind that the parent takes.
    takes_packets: bool,
    /// In order, not compressed yet.
    text: Vec<u8>,
    /// In order, behind what was handed out and before `text`.
    bytes: Vec<u8>,
    /// Bytes at the end of the parent's text that are the child's text, without a hole; enough of them are enough.
    alike: usize,
    /// What went out last is a packet of the child's.
    forwards: bool,
    held: Held,
    /// The lines that went on last are the beginning of a unit.
    is_inside: bool,
}

impl Outgoing {
    /// `child` and `parent`: what each of them has agreed on with us.
    pub(super) fn new(child: Capabilities, parent: Capabilities) -> Self {
        const PACKETS: Capabilities = Capabilities::LZ4.with(Capabilities::BINARY);
        let packets = child.intersection(PACKETS);
        Self {
            compressor: Compressor::new(parent),
            takes_packets: are_alike(child, parent)
                && packets.contains(Capabilities::LZ4)
                && packets == parent.intersection(PACKETS),
            text: Vec::new(),
            bytes: Vec::new(),
            alike: 0,
            forwards: false,
            held: Held::default(),
            is_inside: false,
        }
    }

    /// Lines of the child, and what there is of our own, as soon as that is possible. `is_inside`: the last of them belongs
    /// to a unit that goes on.
    pub(super) fn pass(&mut self, lines: &[u8], own: &mut Vec<u8>, is_cut: bool, is_inside: bool) {
        self.give_up_packets();
        self.text.extend_from_slice(lines);
        self.alike = if is_cut { 0 } else { self.alike.saturating_add(lines.len()) };
        self.is_inside = is_inside;
        self.take_own(own);
    }

    /// A packet of the child, if it means the same to the parent.
    pub(super) fn pass_packet(&mut self, packet: Packet<'_>, is_inside: bool) -> bool {
        let Packet { bytes, text, before, whole } = packet;
        if !self.takes_packets || bytes.len() > HEADER_LEN + MAX_SENT_PAYLOAD {
            return false;
        }
        let mut passed = 0;
        if !self.forwards {
            // A line that is not complete may not be one that goes on.
            if whole == 0 || self.alike.saturating_add(before) < HISTORY {
                return false;
            }
            // The parent lacks the beginning of the line that the packet goes on with.
            self.text.extend_from_slice(&text[..before]);
            passed = before;
            self.compress();
            if let Some(compressor) = &mut self.compressor {
                compressor.restart_lz4();
            }
            self.forwards = true;
            self.alike = HISTORY;
        }
        self.is_inside = is_inside;
        if whole == text.len() {
            self.bytes.append(&mut self.held.packets);
            self.held.text.clear();
            self.bytes.extend_from_slice(bytes);
        } else {
            self.held.packets.extend_from_slice(bytes);
            self.held.text.extend_from_slice(&text[passed..whole]);
        }
        true
    }

    /// All that can go out now; nothing if there is nothing.
    pub(super) fn flush(&mut self, own: &mut Vec<u8>) -> Vec<u8> {
        self.take_own(own);
        self.compress();
        std::mem::take(&mut self.bytes)
    }

    /// Puts what is of our own behind all that came before, unless a unit is not complete.
    fn take_own(&mut self, own: &mut Vec<u8>) {
        if own.is_empty() || self.is_inside {
            return;
        }
        self.give_up_packets();
        self.alike = 0;
        if self.text.is_empty() {
            std::mem::swap(&mut self.text, own);
        } else {
            self.text.append(own);
            own.shrink_to(KEPT_TEXT);
        }
    }

    /// From here on what goes on is text. Held packets become the lines that they completed.
    fn give_up_packets(&mut self) {
        if std::mem::take(&mut self.forwards) {
            self.text.append(&mut self.held.text);
            self.held.packets.clear();
        }
    }

    fn compress(&mut self) {
        if self.text.is_empty() {
            return;
        }
        match &mut self.compressor {
            Some(compressor) => compressor.encode(&self.text, &mut self.bytes),
            None if self.bytes.is_empty() => std::mem::swap(&mut self.bytes, &mut self.text),
            None => self.bytes.extend_from_slice(&self.text),
        }
        self.text.clear();
        self.text.shrink_to(KEPT_TEXT);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::command::Command;
    use crate::wire::compression::Workspace;
    use crate::wire::{Inbound, Onward, Reader, Visitor};

    const PLAIN: Capabilities = Capabilities::INTERPOLATED.with(Capabilities::BINARY);
    const LZ4: Capabilities = PLAIN.with(Capabilities::LZ4);
    const ZSTD: Capabilities = PLAIN.with(Capabilities::ZSTD);

    /// One who hands on all units but those of charts named `t.*`, and has a word to say at some ends.
    struct Relay {
        outgoing: Outgoing,
        own: Vec<u8>,
        passing: bool,
        is_open: bool,
        /// Words of our own that may still be said.
        words: Vec<bool>,
        said: usize,
        forwarded: usize,
    }

    impl<'a> Visitor<'a> for Relay {
        type Output = Result<Onward, Box<Infallible>>;

        fn command(&mut self, command: Command<'a>) -> Self::Output {
            let is_end = matches!(command, Command::End2);
            if let Command::Begin2 { chart, .. } = command {
                self.passing = !chart.id.starts_with(b"t.");
            }
            let is_unit = matches!(command, Command::Begin2 { .. } | Command::Set2 { .. } | Command::End2);
            self.is_open = is_unit && !is_end;
            if !is_unit || (is_end && self.words.pop() == Some(true)) {
                self.said += 1;
                self.own.extend_from_slice(format!("FLUSH {}\n", self.said).as_bytes());
            }
            Ok(match is_unit && self.passing {
                true if is_end && !self.own.is_empty() => Onward::AsItIsThenOwn,
                true => Onward::AsItIs,
                false => Onward::Told,
            })
        }
    }

    impl Reader<Infallible> for Relay {
        fn pass(&mut self, lines: &[u8], is_cut: bool) {
            self.outgoing.pass(lines, &mut self.own, is_cut, self.passing && self.is_open);
        }

        fn pass_packet(&mut self, packet: Packet<'_>) -> bool {
            let is_passed = self.outgoing.pass_packet(packet, self.passing && self.is_open);
            self.forwarded += usize::from(is_passed);
            is_passed
        }
    }

    /// Units of a child, a line of which every so often is about something else.
    fn text(units: &[u32]) -> String {
        let mut text = String::new();
        for unit in units {
            let (kind, seed) = (unit % 211, u64::from(unit / 211));
            match kind {
                0 => writeln!(text, "LABEL \"l{seed}\" = 1 \"v\""),
                1 => writeln!(text, "BEGIN2 't.{seed}' 1 {seed} #\nSET2 'x' {seed} # A\nEND2"),
                _ => {
                    writeln!(text, "BEGIN2 'p.{}' 1 {} #", seed % 40, 1_700_000_000 + seed).expect("memory");
                    for dimension in 0..kind % 60 {
                        let value = seed.wrapping_mul(u64::from(dimension) + 7) % 9973;
                        writeln!(text, "SET2 'dimension{dimension}' {value} # A").expect("memory");
                    }
                    writeln!(text, "END2")
                }
            }
            .expect("memory");
        }
        text
    }

    /// Sends the text through, cut and flushed as told; what the parent reads, and how many packets were forwarded.
    fn relayed(
        text: &str,
        (child, parent): (Capabilities, Capabilities),
        cuts: &[usize],
        words: Vec<bool>,
    ) -> (Vec<u8>, usize) {
        let mut relay = Relay {
            outgoing: Outgoing::new(child, parent),
            own: Vec::new(),
            passing: false,
            is_open: false,
            words,
            said: 0,
            forwarded: 0,
        };
        let mut bytes = Vec::new();
        let mut compressor = Compressor::new(child);
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            let (part, behind) = rest.split_at((*cut).min(rest.len()));
            match &mut compressor {
                Some(compressor) => compressor.encode(part, &mut bytes),
                None => bytes.extend_from_slice(part),
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let (mut inbound, mut workspace) = (Inbound::new(child.compression()), Workspace::default());
        let (mut unread, mut sent) = (&bytes[..], Vec::new());
        let mut fed = 0;
        for cut in cuts.iter().cycle() {
            fed = (fed + 2 * cut + 100).min(unread.len());
            let taken = inbound.feed_through(&unread[..fed], &mut workspace, &mut relay).expect("a child");
            unread = &unread[taken..];
            fed -= taken;
            let Relay { outgoing, own, .. } = &mut relay;
            sent.extend(outgoing.flush(own));
            if fed == unread.len() {
                break;
            }
        }
        let mut read = Vec::new();
        let mut parent_side = Inbound::new(parent.compression());
        let mut parent_reads = Recording(&mut read);
        let taken = parent_side.feed_through(&sent, &mut workspace, &mut parent_reads).expect("a relay");
        assert_eq!(taken, sent.len());
        (read, relay.forwarded)
    }

    /// A parent that writes down what it reads.
    struct Recording<'a>(&'a mut Vec<u8>);

    impl<'a> Visitor<'a> for Recording<'_> {
        type Output = Result<Onward, Box<Infallible>>;

        fn command(&mut self, _: Command<'a>) -> Self::Output {
            Ok(Onward::AsItIs)
        }
    }

    impl Reader<Infallible> for Recording<'_> {
        fn pass(&mut self, lines: &[u8], _: bool) {
            self.0.extend_from_slice(lines);
        }

        fn pass_packet(&mut self, _: Packet<'_>) -> bool {
            false
        }
    }

    /// The child's units that go on, and the words of our own that came in between, which may be nowhere but between units.
    #[track_caller]
    fn check(text: &str, read: &[u8]) {
        let read = std::str::from_utf8(read).expect("text");
        let mut said = 0;
        let mut is_inside = false;
        let mut lines = String::new();
        for line in read.lines() {
            if let Some(number) = line.strip_prefix("FLUSH ") {
                said += 1;
                assert_eq!(number, said.to_string(), "our own are in order");
                assert!(!is_inside, "our own are between units");
                continue;
            }
            is_inside = line != "END2";
            lines.push_str(line);
            lines.push('\n');
        }
        let mut expected = String::new();
        let mut is_told = false;
        for line in text.lines() {
            is_told = line.starts_with("LABEL") || line.starts_with("BEGIN2 't.") || is_told;
            if !is_told {
                expected.push_str(line);
                expected.push('\n');
            }
            is_told &= line != "END2" && !line.starts_with("LABEL");
        }
        assert!(lines == expected, "the parent reads the child's lines");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 200, ..ProptestConfig::default() })]

        #[test]
        fn a_parent_reads_the_lines_that_go_on_and_words_of_our_own_between_units(
            units in proptest::collection::vec(2u32..4_000_000, 1..400),
            others in proptest::collection::vec((any::<prop::sample::Index>(), 0u32..2), 0..4),
            cuts in proptest::collection::vec(1usize..30_000, 1..6),
            mut words in proptest::collection::vec(proptest::bool::weighted(0.01), 0..400),
            kinds in prop::sample::select(vec![
                (LZ4, LZ4), (LZ4, PLAIN), (PLAIN, LZ4), (PLAIN, PLAIN), (LZ4, ZSTD), (ZSTD, LZ4),
                (LZ4, LZ4.without(Capabilities::BINARY)),
            ]),
        ) {
            let mut units = units;
            for (place, kind) in others {
                let place = place.index(units.len());
                units[place] = units[place] / 211 * 211 + kind;
            }
            let text = text(&units);
            words.reverse();
            let (read, _) = relayed(&text, kinds, &cuts, words);
            check(&text, &read);
        }
    }

    #[test]
    fn packets_are_forwarded_once_64_kib_are_the_same() {
        let units: Vec<u32> = (0..2000).map(|second| second * 211 + 50).collect();
        let text = text(&units);
        let packets = text.len() / 15_000;
        let (read, forwarded) = relayed(&text, (LZ4, LZ4), &[15_000], Vec::new());
        check(&text, &read);
        assert!(forwarded + 6 > packets, "{forwarded} of {packets}");
    }

    #[test]
    fn a_word_of_our_own_ends_that_for_64_kib() {
        let units: Vec<u32> = (0..2000).map(|second| second * 211 + 50).collect();
        let text = text(&units);
        let all = relayed(&text, (LZ4, LZ4), &[15_000], Vec::new()).1;
        let mut words = vec![false; 1000];
        words[0] = true;
        let (read, forwarded) = relayed(&text, (LZ4, LZ4), &[15_000], words);
        check(&text, &read);
        assert!((all - 7..all - 3).contains(&forwarded), "{forwarded} of {all}");
    }

    #[test]
    fn what_does_not_mean_the_same_is_not_forwarded() {
        let units: Vec<u32> = (0..2000).map(|second| second * 211 + 50).collect();
        let text = text(&units);
        for kinds in [(LZ4, ZSTD), (ZSTD, LZ4), (LZ4, LZ4.with(Capabilities::IEEE754)), (PLAIN, LZ4)] {
            let (read, forwarded) = relayed(&text, kinds, &[15_000], Vec::new());
            check(&text, &read);
            assert_eq!(forwarded, 0);
        }
    }
}
