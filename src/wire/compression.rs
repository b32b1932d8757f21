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
//! anew inside a connection, so packets are decoded in order, all of them, by one [`Decompressor`].
//!
//! | agreed | a payload is                           | held for a connection                                   |
//! |--------|----------------------------------------|---------------------------------------------------------|
//! | LZ4    | a block that refers to the last 64 KiB | 68 KiB: history, and a little room; the rest is shared   |
//! | ZSTD   | a flush of one frame                   | 2.6 MB at level 3, 8.9 MB with a [window](MAX_WINDOW_LOG) of 8 MiB |
//! | GZIP   | a flush of one deflate stream          | 43 KB                                                   |
//! | BROTLI | a flush of one stream                  | 4.5 MB at the default window of 4 MiB; twice that at most |
//!
//! For all but LZ4, the text of a packet and the unfinished line before it are on top: 16 KiB, up to 80 with the longest line.
//! No packet, whatever it claims, makes more text than [`MAX_PLAINTEXT`]: its decoder stops a byte behind that.

mod brotli;
mod gzip;
pub mod lz4;
mod text;
mod zstd;

use std::fmt;

use memchr::memrchr;

use self::brotli::{BrotliDecoder, BrotliEncoder};
use self::gzip::{GzipDecoder, GzipEncoder};
pub use self::lz4::Workspace;
use self::lz4::{Lz4Encoder, Lz4Window, OpenLz4};
use self::text::TextBuffer;
use self::zstd::{ZstdDecoder, ZstdEncoder};
use super::capability::{Capabilities, Compression};

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

/// The binary logarithm of the largest window that a stream may ask for: what ZSTD up to level 19 and BROTLI by default
/// stay below, and what RFC 8878 wants every decoder of ZSTD to have.
pub const MAX_WINDOW_LOG: u32 = 23;
/// What Netdata's children compress with unless told otherwise, on each algorithm's own scale.
const DEFAULT_LEVEL: u32 = 3;

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

/// A packet that is not what was agreed, or is more than it may be. Nothing behind it can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {compression} packet of {len} bytes cannot be decoded: {reason}")]
pub struct CorruptPacket {
    pub compression: Compression,
    pub len: usize,
    pub reason: &'static str,
}

/// Why, when it is more than it may be. LZ4 does not tell it from damage.
pub const TOO_MUCH_TEXT: &str = "it holds more than 16384 bytes of text";
const _: () = assert!(MAX_PLAINTEXT == 16_384);

/// The decoder of one connection.
#[derive(Debug)]
pub enum Decompressor {
    Lz4(Lz4Window),
    Stream(StreamDecompressor),
}

impl Decompressor {
    pub fn new(compression: Compression) -> Decompressor {
        let decoder = match compression {
            Compression::Lz4 => return Decompressor::Lz4(Lz4Window::default()),
            Compression::Zstd => StreamDecoder::Zstd(ZstdDecoder::new()),
            Compression::Gzip => StreamDecoder::Gzip(GzipDecoder::new()),
            Compression::Brotli => StreamDecoder::Brotli(BrotliDecoder::new()),
        };
        Decompressor::Stream(StreamDecompressor { decoder, text: TextBuffer::default() })
    }

    /// Begins to decode packets that have come.
    pub fn open<'a>(&'a mut self, workspace: &'a mut Workspace) -> OpenDecompressor<'a> {
        match self {
            Decompressor::Lz4(window) => OpenDecompressor::Lz4(window.open(workspace)),
            Decompressor::Stream(stream) => OpenDecompressor::Stream(stream),
        }
    }
}

/// A decoder while the packets that have come are decoded.
#[derive(Debug)]
pub enum OpenDecompressor<'a> {
    Lz4(OpenLz4<'a>),
    Stream(&'a mut StreamDecompressor),
}

impl OpenDecompressor<'_> {
    /// Decodes the next payload; its text is behind what [`text`](Self::text) still held. After an error the decoder is of
    /// no use.
    ///
    /// Not more than 64 KiB of text may be left unconsumed, here and in the end.
    pub fn decode(&mut self, payload: &[u8]) -> Result<(), CorruptPacket> {
        match self {
            OpenDecompressor::Lz4(window) => window.decode(payload),
            OpenDecompressor::Stream(stream) => stream.decode(payload),
        }
    }

    /// The text that was not consumed yet.
    pub fn text(&self) -> &[u8] {
        match self {
            OpenDecompressor::Lz4(window) => window.text(),
            OpenDecompressor::Stream(stream) => stream.text.text(),
        }
    }

    /// Consumes the first `len` bytes of the text.
    pub fn consume(&mut self, len: usize) {
        match self {
            OpenDecompressor::Lz4(window) => window.consume(len),
            OpenDecompressor::Stream(stream) => stream.text.consume(len),
        }
    }
}

/// One stream that never ends, and the text that came out of it.
#[derive(Debug)]
pub struct StreamDecompressor {
    decoder: StreamDecoder,
    text: TextBuffer,
}

enum StreamDecoder {
    Zstd(ZstdDecoder),
    Gzip(GzipDecoder),
    Brotli(BrotliDecoder),
}

impl StreamDecompressor {
    fn decode(&mut self, payload: &[u8]) -> Result<(), CorruptPacket> {
        let room = self.text.room();
        let decoded = match &mut self.decoder {
            StreamDecoder::Zstd(decoder) => decoder.decode(payload, room),
            StreamDecoder::Gzip(decoder) => decoder.decode(payload, room),
            StreamDecoder::Brotli(decoder) => decoder.decode(payload, room),
        };
        let fitting = decoded.and_then(|len| if len <= MAX_PLAINTEXT { Ok(len) } else { Err(TOO_MUCH_TEXT) });
        match fitting {
            Ok(len) => {
                self.text.filled(len);
                Ok(())
            }
            Err(reason) => {
                Err(CorruptPacket { compression: self.decoder.compression(), len: payload.len(), reason })
            }
        }
    }
}

impl StreamDecoder {
    fn compression(&self) -> Compression {
        match self {
            StreamDecoder::Zstd(_) => Compression::Zstd,
            StreamDecoder::Gzip(_) => Compression::Gzip,
            StreamDecoder::Brotli(_) => Compression::Brotli,
        }
    }
}

impl fmt::Debug for StreamDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.compression().name())
    }
}

/// The encoder of one connection, for the child's side.
///
/// A message is cut into packets of at most [`MAX_SENT_PLAINTEXT`] bytes of text; with BINARY anywhere, without it
/// after the last newline that fits.
pub struct Compressor {
    algorithm: Algorithm,
    cuts_anywhere: bool,
    payload: Vec<u8>,
}

enum Algorithm {
    Lz4(Box<Lz4Encoder>),
    Zstd(ZstdEncoder),
    Gzip(GzipEncoder),
    Brotli(BrotliEncoder),
}

impl Compressor {
    /// The compressor of what was agreed, if it was one.
    pub fn new(agreed: Capabilities) -> Option<Compressor> {
        let algorithm = match agreed.compression()? {
            Compression::Lz4 => Algorithm::Lz4(Box::new(Lz4Encoder::new(agreed))),
            Compression::Zstd => Algorithm::Zstd(ZstdEncoder::new(DEFAULT_LEVEL)),
            Compression::Gzip => Algorithm::Gzip(GzipEncoder::new(DEFAULT_LEVEL)),
            Compression::Brotli => Algorithm::Brotli(BrotliEncoder::new(DEFAULT_LEVEL)),
        };
        let cuts_anywhere = agreed.contains(Capabilities::BINARY);
        Some(Compressor { algorithm, cuts_anywhere, payload: Vec::new() })
    }

    /// LZ4 packets of somebody else went out: the next ones of ours refer to nothing before.
    pub fn restart_lz4(&mut self) {
        if let Algorithm::Lz4(encoder) = &mut self.algorithm {
            encoder.restart();
        }
    }

    /// Appends the packets of `text` to `out`.
    pub fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if let Algorithm::Lz4(encoder) = &mut self.algorithm {
            return encoder.encode(text, out);
        }
        let mut rest = text;
        while !rest.is_empty() {
            let (part, behind) = rest.split_at(cut(rest, self.cuts_anywhere));
            self.payload.clear();
            match &mut self.algorithm {
                Algorithm::Lz4(_) => unreachable!("it cuts by itself"),
                Algorithm::Zstd(encoder) => encoder.encode(part, &mut self.payload),
                Algorithm::Gzip(encoder) => encoder.encode(part, &mut self.payload),
                Algorithm::Brotli(encoder) => encoder.encode(part, &mut self.payload),
            }
            // What cannot be compressed is stored, with a few bytes in front.
            assert!(self.payload.len() <= MAX_SENT_PAYLOAD, "a packet grew to {} bytes", self.payload.len());
            out.extend_from_slice(&encode_header(self.payload.len()));
            out.extend_from_slice(&self.payload);
            rest = behind;
        }
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").field("cuts_anywhere", &self.cuts_anywhere).finish_non_exhaustive()
    }
}

/// How much of `text` goes into the next packet.
fn cut(text: &[u8], cuts_anywhere: bool) -> usize {
    if text.len() <= MAX_SENT_PLAINTEXT {
        return text.len();
    }
    let newline = memrchr(b'\n', &text[..MAX_SENT_PLAINTEXT]).filter(|_| !cuts_anywhere);
    newline.map_or(MAX_SENT_PLAINTEXT, |last| last + 1)
}

#[cfg(test)]
pub(crate) mod tests;
