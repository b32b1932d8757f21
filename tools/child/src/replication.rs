//! Replication, the child's side: requests in, answers out; no socket, no clock.
//!
//! ```text
//! REPLAY_CHART --> Queue::ask --> (late?) --> oldest `after` first --> Queue::take --> Respondent::answer --> text
//!                                                  ^
//!                    nothing is taken while the parent has not read what was answered before
//! ```
//!
//! - A chart has one request at most: a newer one replaces it.
//! - An answer ends after the row with which it has a quarter of the send buffer, with `false` and the second that it
//!   came to.
//! - `true` is said of answers that reach the newest collection, and with them goes where the arithmetic stands; so the
//!   next row is either in the answer or live.

use std::collections::{BTreeSet, VecDeque};

use crate::database::{Database, Held, ReplayFault, ReplicationStyle, Timeline};
use crate::script::{Ending, Script};
use crate::value::{ChildSeries, MICROSECONDS};

/// An answer takes one part in so many of the send buffer.
const ANSWER_SHARE: usize = 4;
/// No more is answered while one part in so many of the send buffer waits, until it is one part in so many.
const FULL_SHARE: usize = 2;
const DRAINED_SHARE: usize = 10;
/// How many intervals before now a window may end to be answered up to now.
const NEARLY_NOW: i64 = 100;

/// What a parent asks of a chart's past: the rows after `after`, up to `before`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) after: i64,
    pub(crate) before: i64,
    pub(crate) start_streaming: bool,
}

impl Request {
    /// `0 0`: nothing is wanted of the past.
    pub(crate) fn is_empty(self) -> bool {
        self.after == 0 || self.before == 0
    }

    /// The window that will be answered, at `now` in seconds.
    fn normalised(self, held: Held, now: i64, update_every: i64, style: ReplicationStyle) -> Request {
        let (after, mut before) = (self.after.min(self.before), self.after.max(self.before));
        if self.is_empty() || after > now {
            return Request { after: 0, before: 0, start_streaming: true };
        }
        let mut start_streaming = self.start_streaming;
        if style == ReplicationStyle::UpToNow && before >= now - NEARLY_NOW * update_every {
            start_streaming = true;
        }
        if start_streaming || before >= held.last {
            (before, start_streaming) = (held.last, true);
        }
        let oldest = held.first - update_every;
        let within = |second: i64| second.clamp(oldest, held.last);
        Request { after: within(after), before: within(before), start_streaming }
    }
}

/// What is to be done about requests now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing, until another request comes or the parent has read more.
    Idle,
    /// Nothing, until this moment.
    At { moment_us: i64 },
    /// One is to be answered.
    Now,
}

/// The requests of one connection.
#[derive(Debug)]
pub(crate) struct Queue {
    send_buffer: usize,
    delay_us: i64,
    is_silent: bool,
    /// By chart.
    requests: Vec<Option<Request>>,
    /// Those that may be answered, by their `after`.
    ready: BTreeSet<(i64, usize)>,
    /// Those that may not yet, and until when, in the order in which they came.
    delayed: VecDeque<(i64, usize)>,
    /// The parent has not read enough of the last answers.
    is_throttled: bool,
}

impl Queue {
    pub(crate) fn new(database: &Database, charts: usize) -> Queue {
        let delay_us = match database.fault {
            Some(ReplayFault::Late { seconds }) => i64::from(seconds) * MICROSECONDS,
            _ => 0,
        };
        Queue {
            send_buffer: database.send_buffer_bytes,
            delay_us,
            is_silent: database.fault == Some(ReplayFault::Silent),
            requests: vec![None; charts],
            ready: BTreeSet::new(),
            delayed: VecDeque::new(),
            is_throttled: false,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ready.is_empty() && self.delayed.is_empty()
    }

    pub(crate) fn ask(&mut self, chart: usize, request: Request, now_us: i64) {
        if self.is_silent && !request.start_streaming {
            return;
        }
        if let Some(before) = self.requests[chart].replace(request) {
            self.ready.remove(&(before.after, chart));
            self.delayed.retain(|(_, other)| *other != chart);
        }
        if self.delay_us == 0 {
            self.ready.insert((request.after, chart));
        } else {
            self.delayed.push_back((now_us + self.delay_us, chart));
        }
    }

    /// What is to be done when so many bytes wait for the parent.
    pub(crate) fn turn(&mut self, now_us: i64, waiting: usize) -> Turn {
        let limit = self.send_buffer / if self.is_throttled { DRAINED_SHARE } else { FULL_SHARE };
        self.is_throttled = waiting > limit;
        if self.is_throttled {
            return Turn::Idle;
        }
        while self.delayed.front().is_some_and(|(moment_us, _)| *moment_us <= now_us) {
            let Some((_, chart)) = self.delayed.pop_front() else { break };
            if let Some(request) = self.requests[chart] {
                self.ready.insert((request.after, chart));
            }
        }
        match self.delayed.front() {
            _ if !self.ready.is_empty() => Turn::Now,
            Some((moment_us, _)) => Turn::At { moment_us: *moment_us },
            None => Turn::Idle,
        }
    }

    /// The request to be answered next.
    pub(crate) fn take(&mut self) -> Option<(usize, Request)> {
        let (_, chart) = self.ready.pop_first()?;
        Some((chart, self.requests[chart].take()?))
    }
}

/// A child's past at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Respondent<'a> {
    pub(crate) script: &'a Script,
    pub(crate) series: ChildSeries,
    pub(crate) timeline: Timeline,
    pub(crate) database: Database,
    /// `None`: nothing yet.
    pub(crate) held: Option<Held>,
    /// The child's clock, in seconds.
    pub(crate) now: i64,
}

/// What an answer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) rows: usize,
    pub(crate) start_streaming: bool,
}

impl Respondent<'_> {
    pub(crate) fn answer(&self, chart: usize, request: Request, out: &mut Vec<u8>) -> Answered {
        let Respondent { script, held, now, .. } = *self;
        script.replay_begin(chart, out);
        let Some(all) = held else {
            script.replay_end(Ending { held, start_streaming: true, after: 0, before: 0, now }, out);
            return Answered { rows: 0, start_streaming: true };
        };
        if self.database.fault == Some(ReplayFault::Endless) && !request.is_empty() {
            let after = request.after;
            script.replay_end(Ending { held, start_streaming: false, after, before: after, now }, out);
            return Answered::default();
        }
        let window = request.normalised(all, now, script.update_every(), self.database.style);
        let (rows, reached) = self.rows(chart, window, out);
        let is_whole = reached.is_none();
        let start_streaming = window.start_streaming && is_whole;
        if start_streaming {
            script.replay_state(chart, self.series, self.timeline.collection(all.last), out);
        }
        let before = reached.unwrap_or(window.before);
        script.replay_end(Ending { held, start_streaming, after: window.after, before, now }, out);
        Answered { rows, start_streaming }
    }

    /// Writes the rows of a window, as many as an answer may have; how many, and the last one if it is not the window's.
    fn rows(&self, chart: usize, window: Request, out: &mut Vec<u8>) -> (usize, Option<i64>) {
        let update_every = self.script.update_every();
        let most_bytes = self.database.send_buffer_bytes / ANSWER_SHARE;
        let most_rows = match self.database.fault {
            Some(ReplayFault::Partial) => ReplayFault::PARTIAL_ROWS,
            _ => usize::MAX,
        };
        let begun = out.len();
        let first = (window.after.div_euclid(update_every) + 1) * update_every;
        let mut ends = Vec::new();
        let mut cut = None;
        for second in (first..=window.before).step_by(update_every as usize) {
            self.script.replay_row(chart, self.series, second, self.now, out);
            ends.push(out.len());
            let is_full = out.len() - begun >= most_bytes || ends.len() == most_rows;
            if is_full && second + update_every <= window.before {
                cut = Some(second);
                break;
            }
        }
        if self.database.fault == Some(ReplayFault::WrongOrder) {
            disorder(&ends, begun, out);
        }
        (ends.len(), cut)
    }
}

/// Turns rows around that end where `ends` says, the first one beginning at `begun`, and repeats the newest.
fn disorder(ends: &[usize], begun: usize, out: &mut Vec<u8>) {
    let rows = out.split_off(begun);
    let starts = std::iter::once(&begun).chain(ends);
    let row = |(start, end): (&usize, &usize)| rows[start - begun..end - begun].to_vec();
    let mut all: Vec<Vec<u8>> = starts.zip(ends).map(row).collect();
    all.reverse();
    all.extend(all.first().cloned());
    out.extend(all.concat());
}

#[cfg(test)]
mod tests;
