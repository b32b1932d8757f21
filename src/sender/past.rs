//! What a parent asks of a chart's past, and the answers.
//!
//! An answer holds a part of the buffer at most, and none is begun while half of it is full: a parent with a long gap is told in
//! pieces, chart after chart in the order of its questions, and live data of other charts goes out between them. The last piece
//! ends with the state of the chart's arithmetic; from then on the chart is live.
//!
//! Source: streaming protocol section 6.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dbengine::{GroupKey, GroupSnapshot, Samples, TimeRange};

use super::Sender;
use super::chart::{Facts, Progress, SentChart, Stand, Stream, point_flags};
use super::definitions::SCALE;
use crate::catalog::Chart;
use crate::shard::event::ConnectionId;
use crate::wire::capability::Capabilities;
use crate::wire::command::{Command, PointFlags, Reference, ReplayedPoint};
use crate::wire::encoder::Encoder;

/// About what a value of an answer takes, its id included, and a row without values.
const BYTES_A_VALUE: usize = 48;
const BYTES_A_ROW: usize = 64;

/// `REPLAY_CHART`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub chart: Box<[u8]>,
    pub start_streaming: bool,
    /// Unix seconds; the first is not wanted itself.
    pub after: i64,
    pub before: i64,
}

/// Questions that wait for their answers, at most one a chart: the newest, at the place of the first.
#[derive(Debug, Default)]
pub(super) struct Requests {
    order: VecDeque<Box<[u8]>>,
    newest: HashMap<Box<[u8]>, Request, foldhash::quality::RandomState>,
}

impl Requests {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn put(&mut self, request: Request) {
        let chart = request.chart.clone();
        if self.newest.insert(chart.clone(), request).is_none() {
            self.order.push_back(chart);
        }
    }

    fn put_back(&mut self, request: Request) {
        let chart = request.chart.clone();
        // One that came meanwhile is newer.
        if !self.newest.contains_key(&chart) {
            self.newest.insert(chart.clone(), request);
            self.order.push_front(chart);
        }
    }

    fn take(&mut self) -> Option<Request> {
        self.newest.remove(&self.order.pop_front()?)
    }
}

/// What an answer is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub after: i64,
    pub before: i64,
    /// Nothing newer is left: live data follows.
    pub is_last: bool,
}

/// A link of a child's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkName {
    pub child: ConnectionId,
    pub attempt: u32,
}

/// What only the disk knows.
#[derive(Debug)]
pub enum PastWish {
    /// How far back these groups reach. What the shard knows of their files comes along.
    Oldest { link: LinkName, groups: Vec<(GroupKey, Option<TimeRange>)> },
    /// The rows of a window.
    Rows { link: LinkName, request: Request, window: Window, snapshot: Box<GroupSnapshot>, columns: usize },
}

/// What the disk said.
#[derive(Debug)]
pub enum Answered {
    /// Unix seconds; groups without rows on disk are left out.
    Oldest {
        link: LinkName,
        oldest: Vec<(GroupKey, i64)>,
    },
    Rows {
        link: LinkName,
        request: Request,
        window: Window,
        columns: Vec<Samples>,
    },
}

impl Answered {
    pub fn link(&self) -> LinkName {
        match self {
            Self::Oldest { link, .. } | Self::Rows { link, .. } => *link,
        }
    }
}

/// Windows of a host that may be read from disk at once.
const READS_AT_ONCE: usize = 4;

/// In `RBEGIN '' …`, which is of the chart named last.
const NO_CHART: Reference<'static> = Reference { slot: None, id: b"" };

/// What an answer is made of.
#[derive(Debug)]
pub struct Answer<'a> {
    pub window: Window,
    /// A column of the group each; empty for none.
    pub columns: &'a [Samples],
    pub stand: Option<Stand>,
    /// The first and the last row that can be asked for, unix seconds.
    pub kept: Option<(i64, i64)>,
}

impl Stream {
    /// Remembers the newest row, and where the arithmetic stands, of a chart whose rows are not kept.
    pub(super) fn keep_newest(&mut self, index: usize, chart: &Chart, facts: &Facts, now: i64) {
        let Self { encoder, charts, .. } = self;
        let kept = &mut charts[index];
        kept.row.clear();
        kept.state.clear();
        kept.row_time = 0;
        if let Some((time, values)) = &facts.newest {
            kept.row_time = *time;
            let point = ReplayedPoint {
                start: time - i64::from(chart.update_every),
                end: *time,
                wall_clock: now.max(*time),
            };
            encoder.encode(&Command::ReplayBegin { chart: NO_CHART, point: Some(point) }, &mut kept.row);
            for (column, (dimension, value)) in chart.dimensions.iter().zip(values).enumerate() {
                if !value.is_nan() {
                    let flags = PointFlags { not_anomalous: true, ..PointFlags::default() };
                    let (dimension, value) = (kept.slots.dimension(column, &dimension.id), f64::from(*value));
                    encoder.encode(&Command::ReplaySet { dimension, value, flags }, &mut kept.row);
                }
            }
        }
        if let Some(stand) = &facts.stand {
            let mut state = std::mem::take(&mut kept.state);
            write_stand(encoder, chart, stand, kept, &mut state);
            kept.state = state;
        }
    }

    /// The place is that of the chart which was asked for, and the parent knows it.
    fn known(&self, index: usize, request: &Request) -> Option<Arc<Chart>> {
        let sent = self.charts.get(index)?.sent.as_ref()?;
        (sent.id.as_bytes() == &*request.chart).then(|| Arc::clone(sent))
    }

    fn answer(&mut self, index: usize, request: &Request, answer: &Answer<'_>, now: i64) {
        let Some(chart) = self.known(index, request) else { return };
        let Answer { window, columns, stand, kept } = answer;
        self.counters.replication_answers += 1;
        let mut text = std::mem::take(&mut self.text);
        let out = &mut text;
        let sent = &self.charts[index];
        let named = sent.slots.chart(index, &chart.id);
        self.encoder.encode(&Command::ReplayBegin { chart: named, point: None }, out);
        let step = i64::from(chart.update_every);
        let mut places = vec![0; columns.len()];
        loop {
            let times = columns.iter().zip(&places).filter_map(|(column, at)| column.times.get(*at));
            let Some(time) = times.min().copied() else { break };
            let mut is_begun = false;
            for (column, (samples, at)) in columns.iter().zip(&mut places).enumerate() {
                if samples.times.get(*at) != Some(&time) {
                    continue;
                }
                let (value, flags) = (samples.values[*at], samples.flags_at(*at));
                *at += 1;
                let Some(dimension) = chart.dimensions.get(column).filter(|_| !value.is_nan()) else {
                    continue;
                };
                if !std::mem::replace(&mut is_begun, true) {
                    let point = ReplayedPoint { start: time - step, end: time, wall_clock: now.max(time) };
                    self.encoder.encode(&Command::ReplayBegin { chart: NO_CHART, point: Some(point) }, out);
                    self.counters.replayed_rows += 1;
                }
                let (dimension, value) = (sent.slots.dimension(column, &dimension.id), f64::from(value));
                let set = Command::ReplaySet { dimension, value, flags: point_flags(flags) };
                self.encoder.encode(&set, out);
            }
        }
        if window.is_last
            && let Some(stand) = stand
        {
            write_stand(&mut self.encoder, &chart, stand, sent, out);
            self.charts[index].last = stand.last_updated_us.div_euclid(1_000_000);
        }
        self.text = text;
        self.end_answer(index, &chart, *window, kept.unwrap_or_default(), now);
    }

    /// The answer about a chart whose rows are not kept: the newest one as it was when the chart was defined, and what came
    /// since.
    fn answer_held(&mut self, index: usize, request: &Request, now: i64) {
        let Some(chart) = self.known(index, request) else { return };
        self.counters.replication_answers += 1;
        let sent = &self.charts[index];
        let begin = Command::ReplayBegin { chart: sent.slots.chart(index, &chart.id), point: None };
        self.encoder.encode(&begin, &mut self.text);
        let is_wanted = request.after < sent.row_time && request.before > 0;
        if is_wanted {
            self.text.extend_from_slice(&sent.row);
            self.counters.replayed_rows += 1;
        }
        self.text.extend_from_slice(&sent.state);
        let time = sent.row_time;
        let window = Window { after: request.after, before: time.max(request.after), is_last: true };
        self.end_answer(index, &chart, window, (time, time), now);
        let sent = &mut self.charts[index];
        let held = std::mem::take(&mut sent.held);
        (sent.row, sent.state) = (Vec::new(), Vec::new());
        self.held_bytes -= held.len();
        self.text.extend_from_slice(&held);
    }

    fn end_answer(&mut self, index: usize, chart: &Chart, window: Window, kept: (i64, i64), now: i64) {
        let end = Command::ReplayEnd {
            update_every: chart.update_every,
            first: kept.0,
            last: kept.1,
            start_streaming: window.is_last,
            after: window.after,
            before: window.before,
            wall_clock: now,
        };
        self.encoder.encode(&end, &mut self.text);
        let progress = &mut self.charts[index].progress;
        if window.is_last && *progress == Progress::Held {
            *progress = Progress::Live;
        }
    }
}

/// Where a chart's arithmetic stands, a line a dimension and one for all.
fn write_stand(encoder: &mut Encoder, chart: &Chart, stand: &Stand, sent: &SentChart, out: &mut Vec<u8>) {
    for (column, (dimension, (last, calculated))) in
        chart.dimensions.iter().zip(&stand.dimensions).enumerate()
    {
        let calculated = if calculated.is_finite() { *calculated } else { 0.0 };
        let state = Command::ReplayDimensionState {
            dimension: sent.slots.dimension(column, &dimension.id),
            last_collected_us: stand.last_collected_us,
            last_collected_value: if sent.scales {
                (calculated * SCALE as f64).round() as i64
            } else {
                *last
            },
            last_calculated: calculated,
            last_stored: calculated,
        };
        encoder.encode(&state, out);
    }
    let Stand { last_collected_us, last_updated_us, .. } = *stand;
    encoder.encode(&Command::ReplayChartState { last_collected_us, last_updated_us }, out);
}

impl Sender {
    /// The next question that there is room to answer.
    pub fn take_request(&mut self) -> Option<Request> {
        let stream = self.stream()?;
        let is_full = stream.waiting + stream.text.len() > stream.buffer_bytes / 2;
        if is_full || stream.reading >= READS_AT_ONCE || !stream.agreed.contains(Capabilities::REPLICATION) {
            return None;
        }
        stream.requests.take()
    }

    /// A question whose rows are being read.
    pub fn begin_read(&mut self) {
        if let Some(stream) = self.stream() {
            stream.reading += 1;
        }
    }

    /// A question that has to wait, as the next one.
    pub fn put_back(&mut self, request: Request) {
        if let Some(stream) = self.stream() {
            stream.requests.put_back(request);
        }
    }

    /// What was begun has been read.
    pub fn end_read(&mut self) {
        if let Some(stream) = self.stream() {
            stream.reading = stream.reading.saturating_sub(1);
        }
    }

    /// Says once a link that how far back the host's charts reach is to be asked.
    pub fn wants_oldest(&mut self) -> Option<u32> {
        let attempt = self.attempt;
        let stream = self.stream()?;
        let is_first = stream.oldest.is_none() && !std::mem::replace(&mut stream.has_asked, true);
        is_first.then_some(attempt)
    }

    /// It could not be asked now.
    pub fn ask_oldest_again(&mut self) {
        if let Some(stream) = self.stream() {
            stream.has_asked = false;
        }
    }

    /// How far back charts reach on disk, by the keys of their groups. From now on charts are defined.
    pub fn set_oldest(&mut self, oldest: Vec<(GroupKey, i64)>) {
        if let Some(stream) = self.stream() {
            stream.oldest = Some(oldest.into_iter().map(|(key, first)| (key.0, first)).collect());
        }
    }

    /// The oldest row on disk of the chart of this key, unix seconds.
    pub fn oldest(&self, key: u128) -> Option<i64> {
        let super::Link::Streaming(stream) = &self.link else { return None };
        stream.oldest.as_ref()?.get(&key).copied()
    }

    pub fn link_name(&self, child: ConnectionId) -> LinkName {
        LinkName { child, attempt: self.attempt }
    }

    /// Whether this is its link, and it streams.
    pub fn is_on(&self, attempt: u32) -> bool {
        self.attempt == attempt && self.is_streaming()
    }

    /// What of a question is answered at once, of a chart with so many columns.
    pub fn window(
        &self,
        index: usize,
        request: &Request,
        kept: (i64, i64),
        (step, columns): (u32, usize),
        now: i64,
    ) -> Window {
        let share = self.policy.link.buffer_bytes / 4;
        let rows = (share / (BYTES_A_ROW + columns * BYTES_A_VALUE)).max(1);
        let told = self.told(index);
        window(request, told, kept, i64::from(step), i64::try_from(rows).unwrap_or(i64::MAX), now)
    }

    pub fn answer(&mut self, index: usize, request: &Request, answer: &Answer<'_>, now: i64) {
        if let Some(stream) = self.stream() {
            stream.answer(index, request, answer, now);
        }
    }

    pub fn answer_held(&mut self, index: usize, request: &Request, now: i64) {
        if let Some(stream) = self.stream() {
            stream.answer_held(index, request, now);
        }
    }
}

/// What of a question is answered at once. `told`: the newest row that the parent knew of when it asked. `rows`: not more.
fn window(request: &Request, told: i64, (first, last): (i64, i64), step: i64, rows: i64, now: i64) -> Window {
    let (mut after, mut before) = (request.after.min(request.before), request.after.max(request.before));
    if after <= 0 && request.start_streaming && last > told {
        // It wants nothing of what it knows of. What came since was held back and belongs to what it wants.
        (after, before) = (told.max(first - step), last);
    }
    if after <= 0 || last <= 0 || after > now {
        return Window { after: request.after, before: request.before, is_last: true };
    }
    let after = after.max(first - step).min(last);
    let is_last = request.start_streaming || before >= last;
    let before = if is_last { last } else { before.max(after) };
    let most = after.saturating_add(rows.saturating_mul(step));
    if before > most {
        return Window { after, before: most, is_last: false };
    }
    Window { after, before, is_last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_questions_about_a_chart_the_newer_is_answered() {
        let request = |chart: &str, after| Request {
            chart: chart.as_bytes().into(),
            start_streaming: false,
            after,
            before: 9,
        };
        let mut requests = Requests::default();
        requests.put(request("a.a", 1));
        requests.put(request("b.b", 2));
        requests.put(request("a.a", 3));
        assert_eq!(requests.len(), 2);
        assert_eq!(requests.take(), Some(request("a.a", 3)));
        requests.put(request("a.a", 4));
        requests.put_back(request("a.a", 3));
        requests.put_back(request("c.c", 5));
        let rest: Vec<Request> = std::iter::from_fn(|| requests.take()).collect();
        assert_eq!(rest, [request("c.c", 5), request("b.b", 2), request("a.a", 4)]);
    }

    #[test]
    fn a_window_is_what_was_asked_for_as_far_as_there_are_rows_and_room() {
        #[track_caller]
        fn check(asked: (bool, i64, i64), rows: i64, expected: (i64, i64, bool)) {
            let (start_streaming, after, before) = asked;
            let request = Request { chart: (*b"a.b").into(), start_streaming, after, before };
            let found = window(&request, 2000, (1000, 2000), 1, rows, 2001);
            assert_eq!((found.after, found.before, found.is_last), expected, "{asked:?} {rows}");
        }
        check((true, 1500, 1600), 10_000, (1500, 2000, true));
        check((false, 1500, 1600), 10_000, (1500, 1600, false));
        check((false, 1500, 2000), 10_000, (1500, 2000, true));
        check((false, 1600, 1500), 10_000, (1500, 1600, false));
        check((true, 1500, 2000), 100, (1500, 1600, false));
        check((true, 500, 2000), 100, (999, 1099, false));
        check((true, 0, 0), 100, (0, 0, true));
        check((true, 5000, 6000), 100, (5000, 6000, true));
        check((true, 2000, 2000), 100, (2000, 2000, true));
    }

    #[test]
    fn who_wants_nothing_of_the_past_gets_what_came_since_the_definition() {
        let request = Request { chart: (*b"a.b").into(), start_streaming: true, after: 0, before: 0 };
        let check = |told, kept, expected: (i64, i64, bool)| {
            let found = window(&request, told, kept, 1, 100, 2001);
            assert_eq!((found.after, found.before, found.is_last), expected, "{told} {kept:?}");
        };
        check(0, (0, 0), (0, 0, true));
        check(0, (1990, 2000), (1989, 2000, true));
        check(1995, (1990, 2000), (1995, 2000, true));
        check(2000, (1990, 2000), (0, 0, true));
        check(0, (1000, 2000), (999, 1099, false));
    }
}
