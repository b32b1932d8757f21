//! GZIP packets: deflate with gzip's header in front of the first, flushed to a byte's border with each packet, without an
//! end and so without gzip's trailer.

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// Magic, deflate, no optional fields; a time, a hint and a system follow that nobody reads. zlib writes no others.
const HEADER: [u8; 4] = [0x1f, 0x8b, 8, 0];
const HEADER_LEN: usize = 10;

/// The decoder of one connection. It holds deflate's window of 32 KiB and 11 KiB of tables.
#[derive(Debug)]
pub(super) struct GzipDecoder {
    inflate: Decompress,
    begun: bool,
}

impl GzipDecoder {
    pub(super) fn new() -> GzipDecoder {
        GzipDecoder { inflate: Decompress::new(false), begun: false }
    }

    /// Decodes all of `packet` to the front of `room`; how much that was. A full room may not be all.
    pub(super) fn decode(&mut self, packet: &[u8], room: &mut [u8]) -> Result<usize, &'static str> {
        let mut rest = packet;
        if !self.begun {
            let (header, behind) = packet.split_first_chunk::<HEADER_LEN>().ok_or("no gzip header")?;
            if !header.starts_with(&HEADER) {
                return Err("no gzip header");
            }
            rest = behind;
            self.begun = true;
        }
        let mut written = 0;
        loop {
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(rest, &mut room[written..], FlushDecompress::Sync)
                .map_err(|_| "no deflate stream")?;
            let read = (self.inflate.total_in() - before.0) as usize;
            let new = (self.inflate.total_out() - before.1) as usize;
            rest = &rest[read..];
            written += new;
            match status {
                Status::StreamEnd => return Err("the stream ends, and a child's never does"),
                _ if written == room.len() => return Ok(written),
                _ if read == 0 && new == 0 && rest.is_empty() => return Ok(written),
                _ if read == 0 && new == 0 => return Err("no progress"),
                _ => {}
            }
        }
    }
}

/// The encoder of one connection.
#[derive(Debug)]
pub(super) struct GzipEncoder {
    deflate: Compress,
    begun: bool,
}

impl GzipEncoder {
    pub(super) fn new(level: u32) -> GzipEncoder {
        GzipEncoder { deflate: Compress::new(flate2::Compression::new(level), false), begun: false }
    }

    /// Appends the packet's payload to `out`.
    pub(super) fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if !self.begun {
            out.extend_from_slice(&HEADER);
            // No time, no hint, Unix: what zlib writes.
            out.extend_from_slice(&[0, 0, 0, 0, 0, 3]);
            self.begun = true;
        }
        let mut rest = text;
        loop {
            out.reserve(text.len() + 64);
            let before = self.deflate.total_in();
            self.deflate.compress_vec(rest, out, FlushCompress::Sync).expect("deflate takes all text");
            rest = &rest[(self.deflate.total_in() - before) as usize..];
            // Room that is left over says that the flush is complete.
            if rest.is_empty() && out.len() < out.capacity() {
                return;
            }
        }
    }
}
