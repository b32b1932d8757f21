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
use super::parser::{MAX_LINE, ParseError, Parser};

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
    /// What `apply` returned.
    #[error("{0}")]
    Apply(E),
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
        let mut rest = input;
        match &mut self.framing {
            Framing::Plain => apply_all(&mut self.parser, &mut rest, apply)?,
            Framing::Packets(packets) => {
                feed_packets(&mut packets.open(workspace), &mut self.parser, &mut rest, apply)?;
            }
        }
        Ok(input.len() - rest.len())
    }
}

fn feed_packets<E>(
    packets: &mut OpenDecompressor<'_>,
    parser: &mut Parser,
    rest: &mut &[u8],
    apply: &mut impl FnMut(Command<'_>) -> Result<(), E>,
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
            let (mut line, behind) = rest.split_at(end + 1);
            *rest = behind;
            apply_all(parser, &mut line, apply)?;
            continue;
        }
        let Some((header, behind)) = rest.split_first_chunk::<HEADER_LEN>() else { return Ok(()) };
        let len = decode_header(*header).ok_or(InboundError::BadHeader(*header))?;
        let Some((payload, behind)) = behind.split_at_checked(len) else { return Ok(()) };
        *rest = behind;

        let before = packets.text().len();
        packets.decode(payload)?;
        let text = packets.text();
        // A long line in many small packets is not searched from its beginning with each of them. The parser knows
        // which may be longer.
        if memchr(b'\n', &text[before..]).is_some() || text.len() > MAX_LINE {
            let mut unread = text;
            apply_all(parser, &mut unread, apply)?;
            let taken = text.len() - unread.len();
            packets.consume(taken);
        }
    }
    Ok(())
}

fn apply_all<E>(
    parser: &mut Parser,
    text: &mut &[u8],
    apply: &mut impl FnMut(Command<'_>) -> Result<(), E>,
) -> Result<(), InboundError<E>> {
    while let Some(applied) = parser.visit(text, &mut *apply)? {
        applied.map_err(InboundError::Apply)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
