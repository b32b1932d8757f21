//! [`Outbox`]: bytes on their way to a parent that may be slower than we are.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::transport::Transport;

/// What a connection could not write yet, and since when.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    written: usize,
    /// Bytes taken and bytes written since the connection began.
    taken_total: u64,
    written_total: u64,
    blocked_since: Option<Instant>,
    /// Where the rows end that are not on their way, and when they were due.
    departures: VecDeque<Departure>,
}

#[derive(Debug)]
struct Departure {
    end: u64,
    due_us: i64,
}

/// What one attempt to write came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    /// Bytes that have to wait now and did not before.
    pub(crate) delayed: u64,
    /// How long everything was stuck, when it no longer is.
    pub(crate) blocked: Duration,
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() - self.written
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes `bytes`, and keeps what the socket does not take. A row was due at `due_us`.
    pub(crate) fn send(
        &mut self,
        transport: &mut Transport,
        bytes: &[u8],
        due_us: Option<i64>,
    ) -> io::Result<Sent> {
        self.taken_total += bytes.len() as u64;
        if let Some(due_us) = due_us {
            self.departures.push_back(Departure { end: self.taken_total, due_us });
        }
        let mut rest = bytes;
        let mut sent = 0;
        while self.is_empty() && !rest.is_empty() {
            let Some(count) = transport.try_write(rest)? else { break };
            rest = &rest[count..];
            sent += count as u64;
        }
        self.written_total += sent;
        if !rest.is_empty() {
            self.waiting.extend_from_slice(rest);
            self.blocked_since.get_or_insert_with(Instant::now);
        }
        Ok(Sent { bytes: sent, delayed: rest.len() as u64, blocked: Duration::ZERO })
    }

    /// Writes what waits, now that the socket may take more.
    pub(crate) fn flush(&mut self, transport: &mut Transport) -> io::Result<Sent> {
        transport.flush()?;
        let mut sent = Sent::default();
        while !self.is_empty() {
            let Some(count) = transport.try_write(&self.waiting[self.written..])? else { break };
            self.written += count;
            sent.bytes += count as u64;
        }
        self.written_total += sent.bytes;
        if self.is_empty() {
            // A burst is over: its memory is not kept for a hundred quiet seconds.
            self.waiting = Vec::new();
            self.written = 0;
            sent.blocked = self.blocked_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        } else if self.written > self.waiting.len() / 2 {
            self.waiting.drain(..self.written);
            self.written = 0;
        }
        Ok(sent)
    }

    /// When the next row was due whose last byte is written.
    pub(crate) fn departed(&mut self) -> Option<i64> {
        let first = self.departures.front().filter(|first| first.end <= self.written_total)?;
        let due_us = first.due_us;
        self.departures.pop_front();
        Some(due_us)
    }
}
