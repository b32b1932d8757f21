//! Replication: what a child has and we have not, asked for chart by chart.
//!
//! ```text
//!             CHART_DEFINITION_END     REPLAY_CHART true            REND true
//! newest rows ---------------------> (the last few of them) ... RBEGIN RSET … -----> the chart is live
//! the past                            what lies before is missing: remembered, also by the store
//!                                     REPLAY_CHART false   (the oldest window of it)
//!                                     RBEGIN RSET … REND false, and the next window, chart after chart
//! ```
//!
//! A Netdata parent asks for the past first and for live data last. Here the newest rows of all charts come first, so that no
//! live data waits for history, its own or another chart's; then the past is filled in, a bounded number of points at a time over all
//! children of the shard. What is missing survives the connection and the parent: the next connection goes on with it.
//!
//! A chart's rows come in order of time within one answer, and every answer but the first lies in a time of which the chart has
//! no row: those of [`Missing`]. So what arrives late, twice, or without being asked for is either wanted or passed over.
//!
//! Source: streaming protocol section 6.

use std::collections::VecDeque;

use dbengine::{Appended, TimeRange, UnixSeconds};

use super::chart::{ChartIndex, Moved, text};
use super::{DisconnectReason, FURTHEST_FUTURE_S, Receiver, Surroundings, now_seconds};
use crate::catalog::Missing;
use crate::wire::command::{Command, Instruction, PointFlags, Reference, ReplayedPoint};
use crate::wire::instruction::encode_instruction;

/// How far ahead of our clock a replayed group may end that came without the child's clock, plus update every.
const REPLAY_AHEAD_S: i64 = 5;
/// Rows that are asked for before a chart is live.
const NEWEST_ROWS: i64 = 10;
/// The same of children from 2.3 on: they answer what is asked of their newest 100 rows with all rows until now.
const NEWEST_ROWS_FROM_2_3: i64 = 120;
/// How many rows are passed over one by one to find the end of a gap that a child does not look beyond; then more at a time.
const PASSED_SINGLY: u8 = 64;
/// The past is asked for in windows of whole pages, if `replication step` allows.
const PAGE_ROWS: i64 = 256;
/// Windows that one child may have to answer at once. New charts, whose newest rows come first, wait for no more.
const ASKED_OF_A_CHILD: usize = 4;
/// Points that all children of a shard may have to answer at once: what is received in a tenth of a second.
const POINTS_OF_A_SHARD: u64 = 512 << 10;
/// An answer that does not come within this is asked for again.
const ANSWER_WITHIN_US: i64 = 60_000_000;
/// How often the same is asked for.
const TRIES: u8 = 3;

/// What all children of a shard have been asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pace {
    points: u64,
}

impl Pace {
    /// Whether anybody may be asked for more.
    pub fn has_room(&self) -> bool {
        self.points < POINTS_OF_A_SHARD
    }
}

/// What a child says of a chart's rows in its database, unix seconds; 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offer {
    first: i64,
    last: i64,
    /// Its clock.
    now: i64,
}

/// What is asked for before a chart is live, and what then is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// Nothing.
    Live,
    /// The rows after `after` and until `before`, which are all that are newer than ours but for those of `missing`.
    Newest { after: i64, before: i64, missing: Option<TimeRange> },
}

/// How the rows of an offer begin. `newest` is the time of our newest row, 0 for none; `period` is how many seconds a chart
/// without rows is asked for; `rows` are asked for first, `step` seconds apart.
fn beginning(offer: Offer, newest: i64, period: i64, step: i64, rows: i64) -> Beginning {
    let Offer { first, now, .. } = offer;
    let last = offer.last.min(now);
    if first <= 0 || last <= 0 || first > last || newest > last {
        return Beginning::Live;
    }
    let from = if newest > 0 { newest } else { now.saturating_sub(period) };
    // Also when there is nothing: what was collected since the child said so comes with the answer.
    let after = from.max(first - step).min(last);
    let late = last - rows * step;
    if after >= late {
        return Beginning::Newest { after, before: last, missing: None };
    }
    let missing = TimeRange { first: UnixSeconds(after + 1), last: UnixSeconds(late) };
    Beginning::Newest { after: late, before: last, missing: Some(missing) }
}

/// What is known of a question that is asked again, or further on.
#[derive(Clone, Copy, Debug, Default)]
struct Attempt {
    /// How often it had no answer, or an empty one.
    empty: u8,
    /// Seconds that were passed over before it, in search of the end of a gap.
    passed_over: i64,
}

/// A window of the past that a child was asked for.
#[derive(Debug)]
struct Asked {
    chart: ChartIndex,
    window: TimeRange,
    points: u64,
    at_us: i64,
    attempt: Attempt,
}

/// A chart of this connection, as far as live data is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Progress {
    #[default]
    Defined,
    /// Its newest rows were asked for, last at this time (unix seconds); live data follows the answer's end.
    Starting {
        since: u32,
        tries: u8,
    },
    Live,
}

/// The replication of one connection.
#[derive(Debug)]
pub(super) struct Replication {
    policy: crate::config::Replication,
    /// Rows of a chart that are asked for first.
    newest_rows: i64,
    /// Its answers end where its database has a gap, whatever comes behind it, and say nothing of that.
    stops_at_gaps: bool,
    /// Charts that are [`Progress::Starting`].
    starting: usize,
    /// Charts with a past to be asked for.
    waiting: VecDeque<(ChartIndex, Attempt)>,
    asked: Vec<Asked>,
}

/// How far the replication of a child is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicationProgress {
    /// Charts that are not live yet.
    pub charts_starting: u64,
    /// Charts that are live and lack some of their past.
    pub charts_filling: u64,
}

impl Replication {
    pub(super) fn new(policy: crate::config::Replication, program_version: &str) -> Self {
        let version = version(program_version);
        let newest_rows = if version >= (2, 3) { NEWEST_ROWS_FROM_2_3 } else { NEWEST_ROWS };
        // Measured with 1.37.1.
        let stops_at_gaps = version < (1, 38);
        Self { policy, newest_rows, stops_at_gaps, starting: 0, waiting: VecDeque::new(), asked: Vec::new() }
    }

    pub(super) fn progress(&self) -> ReplicationProgress {
        ReplicationProgress {
            charts_starting: self.starting as u64,
            charts_filling: (self.waiting.len() + self.asked.len()) as u64,
        }
    }

    /// Its charts have moved; those that are gone are asked for no more.
    pub(super) fn place(&mut self, moved: &Moved, pace: &mut Pace) {
        let place = |chart: &mut ChartIndex| match moved.place(*chart) {
            Some(place) => {
                *chart = place;
                true
            }
            None => false,
        };
        self.waiting.retain_mut(|(chart, _)| place(chart));
        for asked in self.asked.extract_if(.., |asked| !place(&mut asked.chart)) {
            pace.points -= asked.points;
        }
    }

    /// A chart that was so far is gone.
    pub(super) fn forget_beginning(&mut self, progress: Progress) {
        if matches!(progress, Progress::Starting { .. }) {
            self.starting -= 1;
        }
    }

    /// The connection has ended: nothing will be answered.
    pub(super) fn end(&mut self, pace: &mut Pace) {
        pace.points -= self.asked.drain(..).map(|asked| asked.points).sum::<u64>();
    }

    fn take_asked(&mut self, chart: ChartIndex, pace: &mut Pace) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.chart == chart)?;
        let asked = self.asked.remove(at);
        pace.points -= asked.points;
        Some(asked)
    }
}

/// The first two numbers of a version: 2 and 3 of `v2.3.1-12-nightly`.
fn version(text: &str) -> (u32, u32) {
    let mut numbers = text.trim_start_matches('v').split(|byte: char| !byte.is_ascii_digit());
    let mut number = || numbers.next().and_then(|number| number.parse().ok()).unwrap_or(0);
    (number(), number())
}

/// An answer to a `REPLAY_CHART`, as far as it was read.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) chart: ChartIndex,
    /// The group being read, when its times were acceptable.
    point: Option<ReplayedPoint>,
    /// It is about a chart that is live already: its state is known better from its data.
    was_live: bool,
    /// The child told where its arithmetic stands.
    restored: bool,
    /// Whether it told of each dimension that it has collected it.
    collected: Vec<bool>,
    /// From the first to the last row that was filled in.
    filled: Option<TimeRange>,
    /// From the first to the last row that was newer than ours.
    appended: Option<TimeRange>,
}

impl Receiver {
    /// The chart's past is to be asked for, if it is not yet.
    fn wait(&mut self, chart: ChartIndex, attempt: Attempt) {
        if !std::mem::replace(&mut self.charts[chart.index()].is_filling, true) {
            self.replication.waiting.push_back((chart, attempt));
        }
    }

    /// The answer about a window of a chart's past has come, or is not waited for any longer.
    fn take_asked(&mut self, chart: ChartIndex, pace: &mut Pace) -> Option<Asked> {
        let asked = self.replication.take_asked(chart, pace)?;
        self.charts[chart.index()].is_filling = false;
        Some(asked)
    }

    /// A child has defined a chart, and says what it has of it.
    pub(super) fn begin_replication(
        &mut self,
        chart: ChartIndex,
        (first, last, now): (i64, i64, i64),
        around: &mut Surroundings<'_>,
    ) {
        if matches!(self.charts[chart.index()].progress, Progress::Starting { .. }) {
            return;
        }
        let policy = self.replication.policy;
        let mirrored = around.mirror.chart(chart);
        let (group, step, columns) = (mirrored.group, i64::from(mirrored.update_every), mirrored.columns);
        let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        let period = around.mirror.rows_kept().map_or(seconds(policy.period), |rows| {
            seconds(policy.period).min(i64::from(rows).saturating_mul(step))
        });
        // What is stamped later than this is not stored.
        let last = last.min(now_seconds(around.now_us) + FURTHEST_FUTURE_S);
        let can_ask = policy.enabled && columns > 0 && around.mirror.keeps_rows();
        let beginning = if can_ask {
            let newest = around.engine.newest_time(group).0;
            beginning(Offer { first, last, now }, newest, period, step, self.replication.newest_rows)
        } else {
            Beginning::Live
        };
        let (after, before) = match beginning {
            Beginning::Live => (0, 0),
            Beginning::Newest { after, before, missing } => {
                if let Some(missing) = missing {
                    self.add_missing(chart, missing, around);
                }
                (after, before)
            }
        };
        if can_ask && first > 0 {
            // What the child has not any more.
            let gone = TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(first - 1) };
            around.mirror.change_missing(chart, |all| all.remove(gone));
            self.part_if_filled_later(chart, around);
            if around.mirror.missing(chart).is_some() {
                self.wait(chart, Attempt::default());
            }
        }
        self.ask_for_newest(chart, after, before, 0, around);
    }

    /// Rows that are newer than all begin a page, if older ones may come after them.
    fn part_if_filled_later(&self, chart: ChartIndex, around: &mut Surroundings<'_>) {
        let group = around.mirror.chart(chart).group;
        let newest = around.engine.newest_time(group);
        let is_ahead = |missing: &Missing| missing.spans().last().is_some_and(|span| span.last > newest);
        if around.mirror.missing(chart).is_some_and(is_ahead) {
            around.engine.part(group);
        }
    }

    /// Asks for rows after which the chart is live; after 0 and before 0 for none.
    fn ask_for_newest(
        &mut self,
        chart: ChartIndex,
        after: i64,
        before: i64,
        tries: u8,
        around: &mut Surroundings<'_>,
    ) {
        self.send_request(chart, true, after, before, around);
        if !matches!(self.charts[chart.index()].progress, Progress::Starting { .. }) {
            self.replication.starting += 1;
        }
        let since = u32::try_from(now_seconds(around.now_us)).unwrap_or(0);
        self.charts[chart.index()].progress = Progress::Starting { since, tries };
    }

    fn send_request(
        &self,
        chart: ChartIndex,
        start_streaming: bool,
        after: i64,
        before: i64,
        around: &mut Surroundings<'_>,
    ) {
        let id = &around.mirror.chart(chart).chart.id;
        let request = Instruction::ReplayChart { chart: id.as_bytes(), start_streaming, after, before };
        encode_instruction(&request, around.out);
        around.counters.replication_requests += 1;
    }

    fn is_live(&mut self, chart: ChartIndex) {
        let progress = &mut self.charts[chart.index()].progress;
        if matches!(std::mem::replace(progress, Progress::Live), Progress::Starting { .. }) {
            self.replication.starting -= 1;
        }
    }

    /// Asks for parts of the past, as far as there is room.
    pub fn ask_for_past(&mut self, around: &mut Surroundings<'_>) {
        while self.replication.starting == 0
            && self.replication.asked.len() < ASKED_OF_A_CHILD
            && around.pace.has_room()
            && let Some((chart, attempt)) = self.replication.waiting.pop_front()
        {
            let missing = around.mirror.missing(chart);
            let Some(span) = missing.and_then(|missing| missing.spans().first().copied()) else {
                self.charts[chart.index()].is_filling = false;
                continue;
            };
            let mirrored = around.mirror.chart(chart);
            let (step, columns) = (i64::from(mirrored.update_every), mirrored.columns as u64);
            let most = i64::try_from(self.replication.policy.step.as_secs()).unwrap_or(i64::MAX) / step;
            let rows = if most > PAGE_ROWS { most - most % PAGE_ROWS } else { most.max(1) };
            let last = span.first.plus(rows.saturating_mul(step) - 1).min(span.last);
            let window = TimeRange { first: span.first, last };
            self.send_request(chart, false, window.first.0 - 1, window.last.0, around);
            let points = (window.last.since(window.first) / step + 1).unsigned_abs() * columns;
            around.pace.points += points;
            self.replication.asked.push(Asked { chart, window, points, at_us: around.now_us, attempt });
        }
    }

    /// Whether live data of a chart flows.
    #[cfg(test)]
    pub(crate) fn is_chart_live(&self, chart: &str, mirror: &super::Mirror) -> bool {
        let found = mirror.charts().iter().position(|mirrored| mirrored.chart.id == chart);
        found.and_then(|index| self.charts.get(index)).is_some_and(|chart| chart.progress == Progress::Live)
    }

    /// How far its replication is.
    pub fn replication_progress(&self) -> ReplicationProgress {
        self.replication.progress()
    }

    /// Asks again for what was not answered. To be called now and then.
    pub fn ask_again(&mut self, around: &mut Surroundings<'_>) {
        if self.replication.starting > 0 {
            let now = now_seconds(around.now_us);
            for index in 0..self.charts.len() {
                let Progress::Starting { since, tries } = self.charts[index].progress else { continue };
                if (now - i64::from(since)) * 1_000_000 < ANSWER_WITHIN_US {
                    continue;
                }
                let chart = ChartIndex(index as u32);
                if tries + 1 < TRIES {
                    self.ask_for_newest(chart, 0, 0, tries + 1, around);
                } else {
                    // It is taken as live when its data comes, and is not waited for any longer.
                    around.counters.replication_given_up += 1;
                    self.is_live(chart);
                }
            }
        }
        let now_us = around.now_us;
        while let Some(late) =
            self.replication.asked.iter().find(|asked| now_us - asked.at_us >= ANSWER_WITHIN_US)
        {
            let chart = late.chart;
            if let Some(asked) = self.take_asked(chart, around.pace) {
                self.without_progress(asked, around);
            }
        }
    }

    /// An answer did not come, or had nothing in it.
    fn without_progress(&mut self, asked: Asked, around: &mut Surroundings<'_>) {
        let Asked { chart, window, attempt, .. } = asked;
        if attempt.empty + 1 < TRIES {
            self.wait(chart, Attempt { empty: attempt.empty + 1, ..attempt });
            return;
        }
        around.counters.replication_given_up += 1;
        around.mirror.change_missing(chart, |missing| missing.remove(window));
        if around.mirror.missing(chart).is_some() {
            self.wait(chart, Attempt::default());
        }
    }

    /// A line of an answer.
    pub(super) fn replay(
        &mut self,
        command: Command<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        const OUTSIDE: DisconnectReason = DisconnectReason::OutOfPlace { keyword: "replication line" };
        if self.collecting || self.row_time.is_some() {
            return Err(DisconnectReason::OutOfPlace { keyword: "replication line" });
        }
        match command {
            Command::ReplayBegin { chart, point: None } => {
                let chart = self.find_replayed(chart, around)?;
                self.open_replay(chart, around);
            }
            Command::ReplayBegin { chart, point: Some(point) } => {
                self.store_replayed(around);
                if !chart.id.is_empty() {
                    let chart = self.find_replayed(chart, around)?;
                    if self.replay.as_ref().is_none_or(|replay| replay.chart != chart) {
                        self.open_replay(chart, around);
                    }
                }
                let replay = self.replay.as_mut().ok_or(OUTSIDE)?;
                let chart = replay.chart;
                let (update_every, columns) = around.mirror.shape(chart);
                let end_limit = match point.wall_clock {
                    0 => now_seconds(around.now_us) + update_every + REPLAY_AHEAD_S,
                    wall_clock => wall_clock.saturating_add(update_every + 1),
                };
                let acceptable = point.start > 0
                    && point.start < point.end
                    && point.start < end_limit
                    && point.end < end_limit;
                replay.point = acceptable.then_some(point);
                self.start_row(columns);
                self.expected = self.expect(chart, 0, around.mirror);
            }
            Command::ReplaySet { dimension, value, flags } => {
                self.replay_set(dimension, value, flags, around)?
            }
            Command::ReplayDimensionState {
                dimension,
                last_collected_us,
                last_collected_value,
                last_calculated,
                ..
            } => {
                self.store_replayed(around);
                let &Replay { chart, was_live, .. } = self.replay.as_ref().ok_or(OUTSIDE)?;
                if self.collects && !was_live {
                    let index = match self.follows(chart, dimension.id) {
                        Some(index) => index,
                        None => self.search_dimension(chart, dimension.id, "RDSTATE", around)?,
                    };
                    let replay = self.replay.as_mut().ok_or(OUTSIDE)?;
                    if replay.collected.len() <= index {
                        replay.collected.resize(index + 1, false);
                    }
                    replay.collected[index] = last_collected_us > 0;
                    around.mirror.chart(chart).collector().restore_dimension(
                        index,
                        last_collected_value,
                        last_calculated,
                    );
                }
            }
            Command::ReplayChartState { last_collected_us, last_updated_us } => {
                self.store_replayed(around);
                let replay = self.replay.as_mut().ok_or(OUTSIDE)?;
                // Also without a replayed point: it tells when the child's next interval begins, which is better than
                // our clock. A 1.37 parent does the same, a 2.x parent does not.
                if self.collects && !replay.was_live {
                    replay.restored = true;
                    let collector = around.mirror.chart(replay.chart).collector();
                    collector.restore(last_collected_us, last_updated_us);
                }
            }
            Command::ReplayEnd { first, last, start_streaming, before, .. } => {
                self.store_replayed(around);
                let replay = self.replay.take().ok_or(OUTSIDE)?;
                self.end_replay(replay, Offer { first, last, now: 0 }, start_streaming, before, around);
            }
            _ => {}
        }
        Ok(())
    }

    fn open_replay(&mut self, chart: ChartIndex, around: &mut Surroundings<'_>) {
        self.abandon_replay(around);
        self.replay = Some(Replay {
            chart,
            point: None,
            was_live: self.charts[chart.index()].progress == Progress::Live,
            restored: false,
            collected: Vec::new(),
            filled: None,
            appended: None,
        });
    }

    fn replay_set(
        &mut self,
        dimension: Reference<'_>,
        value: f64,
        flags: PointFlags,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        let replay =
            self.replay.as_ref().ok_or(DisconnectReason::OutOfPlace { keyword: "replication line" })?;
        let (chart, was_live) = (replay.chart, replay.was_live);
        if replay.point.is_some() {
            let index = self.dimension(chart, dimension, "RSET", around)?;
            self.fill(index, value, flags);
            if self.collects && !was_live {
                around.mirror.chart(chart).collector().replayed(index);
            }
        }
        Ok(())
    }

    /// What has come of an answer counts, whatever becomes of the rest.
    pub(super) fn abandon_replay(&mut self, around: &mut Surroundings<'_>) {
        if let Some(replay) = self.replay.take() {
            self.settle_replay(&replay, around);
        }
    }

    /// What an answer brought is not missing any more.
    fn settle_replay(&mut self, replay: &Replay, around: &mut Surroundings<'_>) {
        if replay.filled.is_some() {
            around.engine.end_fill(around.mirror.chart(replay.chart).group);
        }
        let asked = self.replication.asked.iter().find(|asked| asked.chart == replay.chart);
        for span in [replay.filled, replay.appended].into_iter().flatten() {
            // An answer begins where it was asked to, or the child has nothing there.
            let begin = asked.filter(|asked| asked.window.contains(span.first));
            let span = begin.map_or(span, |asked| TimeRange { first: asked.window.first, ..span });
            around.mirror.change_missing(replay.chart, |missing| missing.remove(span));
        }
        if replay.appended.is_some() {
            self.part_if_filled_later(replay.chart, around);
        }
    }

    fn end_replay(
        &mut self,
        replay: Replay,
        offer: Offer,
        start_streaming: bool,
        before: i64,
        around: &mut Surroundings<'_>,
    ) {
        self.settle_replay(&replay, around);
        let chart = replay.chart;
        if offer.first > 0 {
            let gone = TimeRange { first: UnixSeconds(i64::MIN), last: UnixSeconds(offer.first - 1) };
            around.mirror.change_missing(chart, |missing| missing.remove(gone));
        }
        if let Progress::Starting { tries, .. } = self.charts[chart.index()].progress {
            if start_streaming {
                self.is_live(chart);
                if self.replication.stops_at_gaps {
                    self.look_behind_gap(chart, before, around);
                }
                if self.collects && !replay.restored {
                    around.mirror.chart(chart).collector().replication_is_over(around.now_us);
                } else if self.collects && before > 0 && offer.first < offer.last {
                    // Also without a replayed row: the answer may lie within an interval of a chart that is collected now
                    // and then. Of a chart that the child itself collected but once, or that it was asked nothing of, a
                    // Netdata parent takes the next collection for the first, whatever is told of its state.
                    let collector = around.mirror.chart(chart).collector();
                    for (index, was_collected) in replay.collected.iter().enumerate() {
                        if *was_collected {
                            collector.was_collected(index);
                        }
                    }
                }
            } else {
                self.go_on_with_newest(&replay, offer, before, tries, around);
            }
            return;
        }
        let Some(asked) = self.take_asked(chart, around.pace) else { return };
        let got = replay.filled.into_iter().chain(replay.appended).map(|span| span.last.0).max();
        if self.replication.stops_at_gaps {
            self.pass_over_gap(&asked, got, around);
            return;
        }
        let reached = got.unwrap_or(0).max(before.min(asked.window.last.0));
        let has_progress = reached >= asked.window.first.0;
        if has_progress {
            let done = TimeRange { first: asked.window.first, last: UnixSeconds(reached) };
            around.mirror.change_missing(chart, |missing| missing.remove(done));
            if around.mirror.missing(chart).is_some() {
                self.wait(chart, Attempt::default());
            }
        } else if around.mirror.missing(chart).is_some() {
            self.without_progress(asked, around);
        }
    }

    /// The newest rows that were asked for may end at a gap: then what comes behind it is missing.
    fn look_behind_gap(&mut self, chart: ChartIndex, before: i64, around: &mut Surroundings<'_>) {
        let newest = around.engine.newest_time(around.mirror.chart(chart).group);
        // A chart without any row was asked for what comes behind all that it lacks.
        let asked_after = around.mirror.missing(chart).and_then(|missing| missing.spans().last());
        let known = asked_after.map_or(newest, |span| span.last.max(newest));
        let rest = TimeRange { first: known.plus(1), last: UnixSeconds(before) };
        if known.0 > 0 && !rest.is_empty() {
            self.add_missing(chart, rest, around);
            self.part_if_filled_later(chart, around);
            self.wait(chart, Attempt::default());
        }
    }

    fn add_missing(&self, chart: ChartIndex, span: TimeRange, around: &mut Surroundings<'_>) {
        around.mirror.change_missing(chart, |missing| {
            missing.add(span);
            true
        });
    }

    /// The next question begins behind the last row that came, or so much later that the gap may have ended. If that was too
    /// much, half of it is looked at again.
    fn pass_over_gap(&mut self, asked: &Asked, got: Option<i64>, around: &mut Surroundings<'_>) {
        let Asked { chart, window, attempt, .. } = *asked;
        let (step, _) = around.mirror.shape(chart);
        let (last, next) = if let Some(last) = got {
            let half = attempt.passed_over / 2 / step * step;
            if half > 0 {
                let again = TimeRange { first: window.first.minus(half), last: window.first.minus(1) };
                self.add_missing(chart, again, around);
            }
            (last, Attempt { empty: 0, passed_over: half })
        } else {
            let passed_over = match attempt.empty.checked_sub(PASSED_SINGLY) {
                None => step,
                Some(times) => step.saturating_mul(2 << times.min(20)),
            };
            // Never more than half of what is left.
            let left = (window.last.since(window.first) + 1) / 2 / step * step;
            let passed_over = passed_over.min(left).max(step);
            let last = window.first.0.saturating_add(passed_over - 1);
            (last, Attempt { empty: attempt.empty.saturating_add(1), passed_over })
        };
        let done = TimeRange { first: window.first, last: UnixSeconds(last.min(window.last.0)) };
        around.mirror.change_missing(chart, |missing| missing.remove(done));
        if around.mirror.missing(chart).is_some() {
            self.wait(chart, next);
        }
    }

    /// The child has not started to stream although it was asked to: its answer was cut, or a second has passed meanwhile.
    fn go_on_with_newest(
        &mut self,
        replay: &Replay,
        offer: Offer,
        before: i64,
        tries: u8,
        around: &mut Surroundings<'_>,
    ) {
        let newest = around.engine.newest_time(around.mirror.chart(replay.chart).group).0;
        let after = newest.max(before);
        let has_progress = replay.appended.is_some() || replay.filled.is_some();
        let tries = if has_progress { 0 } else { tries + 1 };
        if tries >= TRIES {
            around.counters.replication_given_up += 1;
            self.is_live(replay.chart);
        } else if tries + 1 < TRIES && after > 0 && after < offer.last {
            self.ask_for_newest(replay.chart, after, offer.last, tries, around);
        } else {
            self.ask_for_newest(replay.chart, 0, 0, tries, around);
        }
    }

    /// The chart of an `RBEGIN`, which is not a sign of what comes next among live data.
    fn find_replayed(
        &mut self,
        reference: Reference<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<ChartIndex, DisconnectReason> {
        let found = around.mirror.search(reference.id).filter(|found| found.index() < self.charts.len());
        found.ok_or_else(|| DisconnectReason::UnknownChart { keyword: "RBEGIN", chart: text(reference.id) })
    }

    /// Stores the replayed group that was being read, if one was: behind all rows, or where the chart lacks some. Live data and it are
    /// read into the same row, so it ends where they begin.
    #[inline]
    pub(super) fn store_replayed(&mut self, around: &mut Surroundings<'_>) {
        let Some(replay) = &mut self.replay else { return };
        let Some(point) = replay.point.take() else { return };
        let chart = replay.chart;
        let group = around.mirror.chart(chart).group;
        let time = UnixSeconds(point.end);
        let step = u32::try_from(point.end - point.start).unwrap_or(u32::MAX);
        around.counters.replayed_rows += 1;
        if time > around.engine.newest_time(group) {
            let extend = |span: TimeRange| TimeRange { last: time, ..span };
            replay.appended = Some(replay.appended.map_or(TimeRange { first: time, last: time }, extend));
            let (update_every, _) = around.mirror.shape(chart);
            if i64::from(step) != update_every {
                around.mirror.set_update_every(chart, step, around.engine);
            }
            self.store_row(chart, point.end, around);
            return;
        }
        let was_appended = replay.appended.is_some_and(|span| span.contains(time));
        let is_missing =
            !was_appended && around.mirror.missing(chart).is_some_and(|missing| missing.contains(time));
        if !is_missing {
            around.counters.stale_rows += 1;
            return;
        }
        let (_, columns) = around.mirror.shape(chart);
        let row = self.row(columns);
        let samples = row.values.len() as u64;
        match around.engine.fill(group, step, time, row) {
            Appended::Stored => {
                around.counters.rows += 1;
                around.counters.filled_rows += 1;
                around.counters.samples += samples;
                around.counters.newest_sample = around.counters.newest_sample.max(time.0);
                if let Some(replay) = &mut self.replay {
                    let extend = |span: TimeRange| TimeRange { last: time, ..span };
                    replay.filled = Some(replay.filled.map_or(TimeRange { first: time, last: time }, extend));
                }
            }
            Appended::Stale => around.counters.stale_rows += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(first: i64, last: i64) -> Offer {
        Offer { first, last, now: last + 1 }
    }

    fn span(first: i64, last: i64) -> Option<TimeRange> {
        Some(TimeRange { first: UnixSeconds(first), last: UnixSeconds(last) })
    }

    #[test]
    fn the_newest_rows_come_first_and_what_lies_before_is_missing() {
        let newest = |after, before, missing| Beginning::Newest { after, before, missing };
        let begin = |offer, ours| beginning(offer, ours, 86_400, 1, 10);
        assert_eq!(begin(offer(1000, 1700), 0), newest(1690, 1700, span(1000, 1690)));
        assert_eq!(begin(offer(1000, 1700), 1500), newest(1690, 1700, span(1501, 1690)));
        assert_eq!(begin(offer(1000, 1700), 1690), newest(1690, 1700, None));
        assert_eq!(begin(offer(1000, 1700), 1695), newest(1695, 1700, None));
        assert_eq!(begin(offer(1000, 1700), 500), newest(1690, 1700, span(1000, 1690)));
        assert_eq!(begin(offer(1000, 1700), 1700), newest(1700, 1700, None));
        assert_eq!(begin(offer(7, 7), 0), newest(6, 7, None));
        assert_eq!(beginning(offer(1000, 1700), 0, 300, 1, 10), newest(1690, 1700, span(1402, 1690)));
        assert_eq!(beginning(offer(1000, 1700), 1200, 300, 60, 10), newest(1200, 1700, None));
    }

    #[test]
    fn what_cannot_be_answered_is_not_asked_for() {
        for offer in [offer(0, 0), offer(0, 5), offer(5, 0), offer(10, 5), offer(-1, -1)] {
            assert_eq!(beginning(offer, 0, 86_400, 1, 10), Beginning::Live, "{offer:?}");
        }
        assert_eq!(beginning(offer(1000, 1700), 9999, 86_400, 1, 10), Beginning::Live);
        let from_the_future = Offer { first: 5000, last: 6000, now: 100 };
        assert_eq!(beginning(from_the_future, 0, 86_400, 1, 10), Beginning::Live);
    }

    #[test]
    fn a_version_begins_with_two_numbers() {
        for (text, expected) in
            [("v1.37.1", (1, 37)), ("v2.3.0", (2, 3)), ("2.10.1-12-nightly", (2, 10)), ("unknown", (0, 0))]
        {
            assert_eq!(version(text), expected, "{text}");
        }
    }
}
