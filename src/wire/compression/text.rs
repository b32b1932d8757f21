//! [`TextBuffer`]: what a stream's packets became, until it is consumed.
//!
//! The window of such a stream is inside its library, so no history is kept here: text that was consumed is gone.
//!
//! ```text
//!  0           taken    end              buffer.len()
//!  |  consumed |  text  |  room for one  |
//! ```

use super::MAX_PLAINTEXT;

/// A byte more than a packet may fill: the decoder that reaches it was given too much.
const ROOM: usize = MAX_PLAINTEXT + 1;

/// The text of one connection.
#[derive(Debug, Default)]
pub(super) struct TextBuffer {
    /// Empty until the first packet, then as long as the longest unfinished line and one packet's text.
    buffer: Vec<u8>,
    taken: usize,
    end: usize,
}

impl TextBuffer {
    /// Room for the text of one packet and one byte, behind the text that is there.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.taken > 0 {
            // The beginning of a line, mostly nothing.
            self.buffer.copy_within(self.taken..self.end, 0);
            self.end -= self.taken;
            self.taken = 0;
        }
        if self.buffer.len() < self.end + ROOM {
            self.buffer.resize(self.end + ROOM, 0);
        }
        &mut self.buffer[self.end..self.end + ROOM]
    }

    /// The first `len` bytes of the room are text now.
    pub(super) fn filled(&mut self, len: usize) {
        assert!(len <= MAX_PLAINTEXT, "a packet is longer than it may be");
        self.end += len;
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.buffer[self.taken..self.end]
    }

    pub(super) fn consume(&mut self, len: usize) {
        assert!(len <= self.end - self.taken, "more consumed than there is");
        self.taken += len;
    }
}
