//! [`Inbound`]: the bytes of one child, as they come, to its commands.
//!
//! ```text
//!                    compression agreed: packets               the text of a packet
//!  bytes --> Inbound ------------------------> Decompressor ------------------------> Parser --> Command
//!               |                                                                       ^
//!               +-----------------------------------------------------------------------+
//!                 none agreed: lines of plain text; or, agreed, such a line between two packets
//! ```
//!
//! The caller keeps what was not consumed: an incomplete line, header or packet. The end of a line whose beginning came
//! in an earlier packet is kept here, in the decompressor.

use memchr::memchr;

use super::capability::Compression;
use super::command::Command;
use super::compression::{
    CorruptPacket, Decompressor, HEADER_LEN, OpenDecompressor, SIGNATURE, Workspace, decode_header,
};
use super::parser::{MAX_LINE, ParseError, Parser, Visitor};

/// Why a connection cannot go on. There is nothing to resynchronise on: it is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InboundError<E> {
    #[error(transparent)]
    Parse(#[from] ParseError),
    #[error(transparent)]
    Corrupt(#[from] CorruptPacket),
    #[error("plain text in place of the packet that ends a line")]
    PlainInsideLine,
    #[error("the four bytes {0:02x?} begin like a packet's header and are none")]
    BadHeader([u8; HEADER_LEN]),
    /// A packet may be among them; those behind it would refer to text that was never there.
    #[error("{bytes} bytes between two packets are no text")]
    NoText { bytes: usize },
    /// What `apply` returned.
    #[error("{0}")]
    Apply(E),
}

/// What becomes of a line besides what it says, where a host is sent on to a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onward {
    /// What it says is told in words of our own, or not at all.
    Told,
    /// The line itself goes on.
    AsItIs,
    /// The same, and words of our own are to come behind it.
    AsItIsThenOwn,
}

/// Who reads a connection, line by line, and may want the lines themselves as well.
///
/// Every line is visited; those that go on come once more, in order and in pieces as large as possible.
///
/// What a visit says is returned line by line: an error is in a box, so that two registers hold it.
pub trait Reader<E>: for<'a> Visitor<'a, Output = Result<Onward, Box<E>>> {
    /// These whole lines go on as they are, all of them since the last piece. Behind them is the place for what the visit to them,
    /// and that to the line behind them, has to say of its own. `is_cut`: what comes next in the child's packets is not what
    /// follows them here.
    fn pass(&mut self, lines: &[u8], is_cut: bool);

    /// All lines that the packet completes go on. Says no if they cannot go on as a packet; then they are passed.
    fn pass_packet(&mut self, packet: Packet<'_>) -> bool;
}

/// A packet of which all lines that it completes go on as they are.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// As it came, with its header.
    pub bytes: &'a [u8],
    /// The line that was not complete before it, then its own text.
    pub text: &'a [u8],
    /// Bytes of `text` that came before it.
    pub before: usize,
    /// Bytes of `text` in whole lines.
    pub whole: usize,
}

/// A reader that hands nothing on.
struct Applying<'f, F>(&'f mut F);

impl<'a, E, F: FnMut(Command<'_>) -> Result<(), E>> Visitor<'a> for Applying<'_, F> {
    type Output = Result<Onward, Box<E>>;

    fn command(&mut self, command: Command<'a>) -> Self::Output {
        (self.0)(command).map(|()| Onward::AsItIs).map_err(Box::new)
    }
}

impl<E, F: FnMut(Command<'_>) -> Result<(), E>> Reader<E> for Applying<'_, F> {
    fn pass(&mut self, _: &[u8], _: bool) {}

    fn pass_packet(&mut self, _: Packet<'_>) -> bool {
        false
    }
}

/// How a connection's bytes become text.
#[derive(Debug)]
enum Framing {
    Plain,
    Packets(Decompressor),
}

/// The reader of one connection, from the first byte after the prompt on.
#[derive(Debug)]
pub struct Inbound {
    framing: Framing,
    parser: Parser,
}

impl Inbound {
    pub fn new(compression: Option<Compression>) -> Inbound {
        let framing = compression
            .map_or(Framing::Plain, |compression| Framing::Packets(Decompressor::new(compression)));
        Inbound { framing, parser: Parser::new() }
    }

    /// Calls `apply` with every command that `input` completes, in order. Returns how many bytes of `input` were
    /// consumed; the caller presents the rest again, in front of the bytes that come next. The workspace may be any.
    ///
    /// The same commands come out, and the same error after them, however the bytes are cut. After an error the reader
    /// is of no use.
    pub fn feed<E>(
        &mut self,
        input: &[u8],
        workspace: &mut Workspace,
        apply: &mut impl FnMut(Command<'_>) -> Result<(), E>,
    ) -> Result<usize, InboundError<E>> {
        self.feed_through(input, workspace, &mut Applying(apply))
    }

    /// The same for a reader that wants lines as they are, too.
    pub fn feed_through<E, R: Reader<E>>(
        &mut self,
        input: &[u8],
        workspace: &mut Workspace,
        reader: &mut R,
    ) -> Result<usize, InboundError<E>> {
        let mut rest = input;
        match &mut self.framing {
            Framing::Plain => {
                let Read { taken, passed } = read(&mut self.parser, rest, reader)?;
                reader.pass(&rest[passed..taken], false);
                rest = &rest[taken..];
            }
            Framing::Packets(packets) => {
                feed_packets(&mut packets.open(workspace), &mut self.parser, &mut rest, reader)?;
            }
        }
        Ok(input.len() - rest.len())
    }
}

fn feed_packets<E, R: Reader<E>>(
    packets: &mut OpenDecompressor<'_>,
    parser: &mut Parser,
    rest: &mut &[u8],
    reader: &mut R,
) -> Result<(), InboundError<E>> {
    while let Some(first) = rest.first() {
        if *first != SIGNATURE {
            if !packets.text().is_empty() {
                return Err(InboundError::PlainInsideLine);
            }
            let searched = &rest[..rest.len().min(MAX_LINE + 1)];
            let Some(end) = memchr(b'\n', searched) else {
                return if searched.len() > MAX_LINE { Err(ParseError::LineTooLong.into()) } else { Ok(()) };
            };
            // A blank line is consumed here whether or not the parser makes a command of it.
            let (line, behind) = rest.split_at(end + 1);
            if !is_text(line) {
                return Err(InboundError::NoText { bytes: line.len() });
            }
            *rest = behind;
            let Read { taken, passed } = read(parser, line, reader)?;
            // No packet refers to it.
            reader.pass(&line[passed..taken], true);
            continue;
        }
        let Some((header, behind)) = rest.split_first_chunk::<HEADER_LEN>() else { return Ok(()) };
        let len = decode_header(*header).ok_or(InboundError::BadHeader(*header))?;
        let Some((payload, behind)) = behind.split_at_checked(len) else { return Ok(()) };
        let bytes = &rest[..HEADER_LEN + len];
        *rest = behind;

        let before = packets.text().len();
        packets.decode(payload)?;
        let text = packets.text();
        // A long line in many small packets is not searched from its beginning with each of them. The parser knows
        // which may be longer.
        let may_end_line = memchr(b'\n', &text[before..]).is_some() || text.len() > MAX_LINE;
        let read = if may_end_line { read(parser, text, reader)? } else { Read::default() };
        let packet = Packet { bytes, text, before, whole: read.taken };
        if read.passed > 0 || !reader.pass_packet(packet) {
            reader.pass(&text[read.passed..read.taken], false);
        }
        packets.consume(read.taken);
    }
    Ok(())
}

/// Whether a line can be one that somebody wrote.
fn is_text(line: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t');
    !line.iter().any(is_control) && std::str::from_utf8(line).is_ok()
}

/// What came of a text.
#[derive(Clone, Copy, Debug, Default)]
struct Read {
    /// Bytes in whole lines.
    taken: usize,
    /// Bytes whose lines were passed, or are not to be; 0 if all lines go on as they are.
    passed: usize,
}

/// Lets the reader apply all whole lines. Those behind the last that does not go on are not passed yet.
fn read<E, R: Reader<E>>(parser: &mut Parser, text: &[u8], reader: &mut R) -> Result<Read, InboundError<E>> {
    let mut rest = text;
    let mut passed = 0;
    loop {
        let begin = text.len() - rest.len();
        let Some(applied) = parser.visit(&mut rest, reader)? else {
            return Ok(Read { taken: text.len() - rest.len(), passed });
        };
        let onward = applied.map_err(|error| InboundError::Apply(*error))?;
        if onward != Onward::AsItIs {
            let end = text.len() - rest.len();
            let is_told = onward == Onward::Told;
            reader.pass(&text[passed..if is_told { begin } else { end }], is_told);
            passed = end;
        }
    }
}

#[cfg(test)]
mod tests;
