//! ZSTD packets: one frame that never ends, a flush a packet.
//!
//! A frame says in its first bytes how far back it refers. Levels up to 8, the default 3 among them, use 2 MiB, those up to
//! 19 at most 8 MiB, the last three up to 128 MiB: more memory than a child is worth, so these are refused.
//!
//! The windows of many children are in no cache, and matches refer to anywhere in them: with 200 children four fifths of the
//! decoder's time was spent on waiting for the first byte of a match. So the library is built (`.cargo/config.toml`) to use the decoder
//! that it keeps for windows above 16 MiB, which asks for eight matches ahead: 0.215 -> 0.183 µs a sample of a whole parent.

use zstd::zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, get_error_name};

use super::MAX_WINDOW_LOG;

/// The decoder of one connection.
///
/// It holds 2.6 MB at level 3, 8.9 MB with the largest window: 96 KB of state, the window, and room for a block before and
/// behind it. The system gives memory for the window as it is first written.
pub(super) struct ZstdDecoder {
    context: DCtx<'static>,
}

impl ZstdDecoder {
    pub(super) fn new() -> ZstdDecoder {
        let mut context = DCtx::create();
        context
            .set_parameter(DParameter::WindowLogMax(MAX_WINDOW_LOG))
            .expect("a window that every build of the library has");
        ZstdDecoder { context }
    }

    /// Decodes all of `packet` to the front of `room`; how much that was. A full room may not be all.
    pub(super) fn decode(&mut self, packet: &[u8], room: &mut [u8]) -> Result<usize, &'static str> {
        let mut input = InBuffer::around(packet);
        let mut output = OutBuffer::around(room);
        loop {
            self.context.decompress_stream(&mut output, &mut input).map_err(get_error_name)?;
            // It also stops where a frame ends; another one may follow.
            if input.pos() == packet.len() || output.pos() == output.capacity() {
                return Ok(output.pos());
            }
        }
    }
}

/// The encoder of one connection.
pub(super) struct ZstdEncoder {
    context: CCtx<'static>,
}

impl ZstdEncoder {
    pub(super) fn new(level: u32) -> ZstdEncoder {
        let mut context = CCtx::create();
        context.set_parameter(CParameter::CompressionLevel(level as i32)).expect("a level of zstd's");
        ZstdEncoder { context }
    }

    /// Appends the packet's payload to `out`.
    pub(super) fn encode(&mut self, text: &[u8], out: &mut Vec<u8>) {
        out.reserve(zstd::zstd_safe::compress_bound(text.len()));
        let mut input = InBuffer::around(text);
        loop {
            out.reserve(64);
            let at = out.len();
            let mut output = OutBuffer::around_pos(out, at);
            let left = self
                .context
                .compress_stream2(&mut output, &mut input, ZSTD_EndDirective::ZSTD_e_flush)
                .map_err(get_error_name)
                .expect("memory is the only limit");
            if left == 0 && input.pos() == text.len() {
                break;
            }
        }
    }
}
