//! One child, from its accepted request to its goodbye: [`Command`]s -> definitions in its [`Mirror`], samples in the
//! engine, and the parent's lines back.
//!
//! ```text
//!            CHART, DIMENSION …          REPLAY_CHART             REND … true
//! a chart:  ------------------> Defined -------------> Replicating ----------> Live
//!                                  ^                                            |
//!                                  +------ CHART_DEFINITION_END again ----------+
//! ```
//!
//! A receiver acts on whole units only: a row is stored at `END`, `END2`, or the end of a replayed group, so that a
//! connection cut in the middle of one leaves nothing half done. Unknown keywords are counted and skipped; structural
//! damage (data of an unknown chart, a bound passed) ends the connection, with its reason.
//!
//! What the child has and we have not is asked for chart by chart, see [`replication`]; what it can be asked to do is in
//! [`functions`], who is between us in [`stream_path`].
//!
//! Source: streaming protocol sections 4 to 6.

mod chart;

mod functions;

mod heads;

mod mirror;

mod order;

mod replication;

mod sending;

mod stream_path;

use std::collections::HashSet;
use std::convert::Infallible;

use dbengine::{Appended, Engine, Row, SampleFlags, UnixSeconds, prefetch_all};
use ecow::EcoString;

use crate::catalog::label::{LabelSource, clean_value};
use crate::catalog::{Label, Labels};
use crate::collect::{CollectedRow, Collection};
use crate::config::Limits;
use crate::sender::Sender;
use crate::telemetry::ChildCounters;
use crate::wire::capability::Capabilities;
use crate::wire::command::{Collected, Command, PointFlags, Reference, Slot, VariableScope};
use crate::wire::document::Document;
use crate::wire::stream_path::{KEYWORD, MAX_DOCUMENT, PathElement};
use crate::wire::{Encoder, InboundError, Onward};
use chart::text;
pub use chart::{ChartIndex, MirroredChart, Moved};
use functions::Calls;
use heads::{Expected, Heads, Record};
pub use mirror::Mirror;
pub use replication::{Pace, ReplicationProgress};
use replication::{Progress, Replay, Replication};
pub use sending::{Kept, Listener, kept};
use stream_path::Place;

/// How far ahead of our clock a sample may be stamped, in seconds; further ones would block the samples to come.
const FURTHEST_FUTURE_S: i64 = 86_400;
/// Kinds of unknown keywords that a connection logs; the rest is only counted.
const LOGGED_KEYWORDS: usize = 16;
/// Labels or variables that a host or a chart may have.
const MOST_LABELS: usize = 1000;

/// Why a connection with a child ended.
#[derive(Debug, thiserror::Error)]
pub enum DisconnectReason {
    #[error("the child closed the connection")]
    ClosedByChild,
    #[error("socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("nothing received for {seconds} s")]
    Idle { seconds: u64 },
    #[error("a newer connection of the same machine GUID took over")]
    Replaced,
    #[error("the parent shuts down")]
    Shutdown,
    #[error("the child does not read: {pending} bytes are waiting for it")]
    NotReading { pending: usize },
    #[error(transparent)]
    Protocol(InboundError<Infallible>),
    #[error("{keyword} names chart '{chart}', which was not defined on this connection")]
    UnknownChart { keyword: &'static str, chart: EcoString },
    #[error("{keyword} names dimension '{dimension}', which chart '{chart}' does not have")]
    UnknownDimension { keyword: &'static str, chart: EcoString, dimension: EcoString },
    #[error("{keyword} outside of the block it belongs to")]
    OutOfPlace { keyword: &'static str },
    #[error("chart id '{id}' is not of the form type.id")]
    ChartId { id: EcoString },
    #[error("more than {limit} charts ([limits] charts per host)")]
    TooManyCharts { limit: usize },
    #[error("more than {limit} dimensions ([limits] dimensions per host)")]
    TooManyDimensions { limit: usize },
    #[error("slot {slot} is beyond {limit} ([limits] slots)")]
    SlotOutOfBounds { slot: u32, limit: usize },
    #[error("more than {limit} labels")]
    TooManyLabels { limit: usize },
    #[error("more than {limit} functions")]
    TooManyFunctions { limit: usize },
    #[error("a function says more than {limit} bytes of itself")]
    FunctionTooLong { limit: usize },
    #[error(
        "a loop: the host's samples pass through this parent {hops} hops from the host, and come back after {again}; \
         take it out of the destinations of one of the parents behind it"
    )]
    Loop { hops: u32, again: u32 },
}

impl DisconnectReason {
    /// The value of the `reason` label of the disconnections counter.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ClosedByChild => "closed_by_child",
            Self::Socket(_) => "socket_error",
            Self::Tls(_) => "tls_error",
            Self::Idle { .. } => "idle",
            Self::Replaced => "replaced",
            Self::Shutdown => "shutdown",
            Self::NotReading { .. } => "not_reading",
            Self::Protocol(
                InboundError::Corrupt(_) | InboundError::BadHeader(_) | InboundError::NoText { .. },
            ) => "decompression_failed",
            Self::Protocol(_) => "parse_error",
            Self::UnknownChart { .. } | Self::UnknownDimension { .. } | Self::OutOfPlace { .. } => {
                "parse_error"
            }
            Self::ChartId { .. } => "parse_error",
            Self::TooManyCharts { .. }
            | Self::TooManyDimensions { .. }
            | Self::SlotOutOfBounds { .. }
            | Self::TooManyLabels { .. }
            | Self::TooManyFunctions { .. }
            | Self::FunctionTooLong { .. } => "limit",
            Self::Loop { .. } => "loop",
        }
    }
}

impl From<InboundError<DisconnectReason>> for DisconnectReason {
    /// What a command led to is the reason itself; the rest is damage of the stream.
    fn from(error: InboundError<DisconnectReason>) -> Self {
        Self::Protocol(match error {
            InboundError::Apply(reason) => return reason,
            InboundError::Parse(error) => InboundError::Parse(error),
            InboundError::Corrupt(error) => InboundError::Corrupt(error),
            InboundError::PlainInsideLine => InboundError::PlainInsideLine,
            InboundError::BadHeader(bytes) => InboundError::BadHeader(bytes),
            InboundError::NoText { bytes } => InboundError::NoText { bytes },
        })
    }
}

/// What this connection knows of a chart.
#[derive(Clone, Debug, Default)]
struct ConnectedChart {
    progress: Progress,
    /// Some of its past is to be asked for, or was.
    is_filling: bool,
    slot: Option<Slot>,
    /// Dimension slot, minus one -> index; `u32::MAX` where no dimension has the slot.
    slots: Vec<u32>,
    /// How its data lines begin.
    heads: Record,
}

/// The raw lines that come, and what is to become of them.
#[derive(Debug)]
struct Payload {
    of: PayloadOf,
    document: Document,
}

#[derive(Debug)]
enum PayloadOf {
    Result { transaction: uuid::Uuid, code: u32, content_type: EcoString, expires: i64 },
    StreamPath,
}

/// Everything that a command may touch besides the receiver itself.
#[derive(Debug)]
pub struct Surroundings<'a> {
    pub mirror: &'a mut Mirror,
    pub engine: &'a mut Engine,
    pub limits: &'a Limits,
    pub counters: &'a mut ChildCounters,
    pub pace: &'a mut Pace,
    /// The host is sent on.
    pub sender: Option<&'a mut Sender>,
    /// Our clock, unix microseconds.
    pub now_us: i64,
    /// Lines for the child are appended here.
    pub out: &'a mut Vec<u8>,
}

/// One child's connection.
#[derive(Debug)]
pub struct Receiver {
    /// An absent `A` means anomalous; else it means nothing.
    trusts_anomaly: bool,
    /// Values arrive as collected (v1) and are interpolated here.
    collects: bool,
    /// The chart that `CHART`, `BEGIN` or `BEGIN2` opened.
    scope: Option<ChartIndex>,
    /// The chart whose data came last, to guess the next.
    previous: Option<ChartIndex>,
    /// Between `BEGIN` and `END`.
    collecting: bool,
    /// The unit that came last, or is coming, goes on to the host's parent as it is; or there is no parent, and nobody who would
    /// have to be told.
    passing: bool,
    /// Unix seconds of the row between `BEGIN2` and `END2`.
    row_time: Option<i64>,
    /// When the row between `BEGIN2` and `END2` was collected.
    row_collected_at: i64,
    replication: Replication,
    replay: Option<Replay>,
    /// What v1 data has brought since `BEGIN`.
    collection: Collection,
    /// One value a dimension of the row being read, NaN where there is none.
    values: Vec<f32>,
    flags: Vec<SampleFlags>,
    any_flag: bool,
    /// The dimension that the next data line most likely names.
    expected: Expected,
    /// The chart that is expected, if one is.
    next_chart: Option<ChartIndex>,
    heads: Heads,
    charts: Vec<ConnectedChart>,
    /// Chart slot, minus one -> index.
    slots: Vec<Option<ChartIndex>>,
    labels: Labels,
    chart_labels: Labels,
    unknown_keywords: HashSet<EcoString>,
    calls: Calls,
    place: Place,
    agrees_on_paths: bool,
    agrees_on_node_ids: bool,
    /// Between a payload's first line and its last, if it is of use.
    payload: Option<Payload>,
}

impl Receiver {
    /// `program_version` is the child's, `own` our place on the host's way.
    pub fn new(
        capabilities: Capabilities,
        replication: crate::config::Replication,
        program_version: &str,
        own: PathElement,
    ) -> Self {
        Self {
            trusts_anomaly: capabilities.contains(Capabilities::ML_MODELS),
            collects: !capabilities.contains(Capabilities::INTERPOLATED),
            scope: None,
            previous: None,
            collecting: false,
            passing: false,
            row_time: None,
            row_collected_at: 0,
            replication: Replication::new(replication, program_version),
            replay: None,
            collection: Collection::default(),
            values: Vec::new(),
            flags: Vec::new(),
            any_flag: false,
            expected: Expected::default(),
            next_chart: None,
            heads: Heads::new(Encoder::new(capabilities)),
            charts: Vec::new(),
            slots: Vec::new(),
            labels: Labels::default(),
            chart_labels: Labels::default(),
            unknown_keywords: HashSet::new(),
            calls: Calls::new(capabilities),
            place: Place::new(own),
            agrees_on_paths: capabilities.contains(Capabilities::PATHS),
            agrees_on_node_ids: capabilities.contains(Capabilities::NODE_ID),
            payload: None,
        }
    }

    /// Forgets charts of its host with their rows, all but one that the child is speaking of at this moment. Says how
    /// many.
    pub fn forget(
        &mut self,
        mut gone: Vec<ChartIndex>,
        mirror: &mut Mirror,
        engine: &mut Engine,
        pace: &mut Pace,
    ) -> usize {
        let replayed = self.replay.as_ref().map(|replay| replay.chart);
        gone.retain(|chart| Some(*chart) != self.scope && Some(*chart) != replayed);
        let moved = mirror.forget(&gone, engine);
        let place = |chart: &mut Option<ChartIndex>| *chart = chart.and_then(|chart| moved.place(chart));
        place(&mut self.scope);
        place(&mut self.previous);
        self.slots.iter_mut().for_each(place);
        if let Some(replay) = &mut self.replay {
            replay.chart = moved.place(replay.chart).unwrap_or(replay.chart);
        }
        let mut index = 0..;
        self.charts.retain(|chart| {
            let stays = moved.place(ChartIndex(index.next().unwrap_or_default())).is_some();
            if !stays {
                self.replication.forget_beginning(chart.progress);
            }
            stays
        });
        self.forget_heads();
        self.replication.place(&moved, pace);
        gone.len()
    }

    /// Does what one line says, and says what becomes of the line.
    #[inline]
    pub fn apply(
        &mut self,
        command: Command<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<Onward, DisconnectReason> {
        match command {
            Command::Set { dimension, value } => self.set(dimension, value, around)?,
            Command::Begin { chart, microseconds } => self.begin(chart, microseconds, around)?,
            Command::End => {
                self.end(around)?;
                return Ok(self.onward_at_end(around));
            }
            Command::Set2 { dimension, collected, value, flags } => {
                self.set2(dimension, collected, value, flags, around)?;
            }
            Command::Begin2 { chart, update_every, end_time, wall_clock } => {
                self.begin2(chart, update_every, end_time, wall_clock, around)?;
            }
            Command::End2 => {
                self.end2(around)?;
                return Ok(self.onward_at_end(around));
            }
            Command::Variable { scope, name, value } => {
                return self.variable(scope, name, value, around);
            }
            other => {
                self.apply_rare(other, around)?;
                return Ok(Onward::Told);
            }
        }
        Ok(self.onward())
    }

    // v1 data

    #[inline(never)]
    fn begin(
        &mut self,
        id: &[u8],
        microseconds: i64,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        let chart = self.find(Reference { slot: None, id }, "BEGIN", around)?;
        self.begin_at(chart, microseconds, around);
        Ok(())
    }

    /// A line with the expected head. `None`: it is not a chart's.
    #[inline(always)]
    fn begin_expected(&mut self, microseconds: i64, around: &mut Surroundings<'_>) -> Option<()> {
        let chart = self.take_expected_chart().filter(|_| self.collects)?;
        self.begin_at(chart, microseconds, around);
        Some(())
    }

    #[inline(never)]
    fn begin_at(&mut self, chart: ChartIndex, microseconds: i64, around: &mut Surroundings<'_>) {
        self.store_replayed(around);
        let longest = around.mirror.longest_pause_us(chart);
        around.mirror.chart(chart).collector().begin(
            microseconds,
            around.now_us,
            longest,
            &mut self.collection,
        );
        self.expect_connected(around.mirror.expect_rows(chart, around.engine));
        self.open(chart);
        self.collecting = true;
        self.passing = sending::passes_collected(microseconds, chart, around);
    }

    #[inline(always)]
    fn set(
        &mut self,
        id: &[u8],
        value: Option<i64>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        let (Some(chart), true) = (self.scope, self.collecting) else {
            return Err(DisconnectReason::OutOfPlace { keyword: "SET" });
        };
        let index = match self.follows(chart, id) {
            Some(index) => index,
            None => self.search_dimension(chart, id, "SET", around)?,
        };
        if let Some(value) = value {
            self.collection.set(index, value);
            around.counters.collected_values += 1;
        }
        Ok(())
    }

    /// How the next data line most likely begins, behind its keyword. Empty: nothing is expected.
    #[inline(always)]
    fn head(&self) -> &[u8] {
        self.heads.head(self.expected)
    }

    /// A line with the expected head. `None`: it belongs to no unit.
    #[inline(always)]
    fn set_expected(&mut self, value: i64, around: &mut Surroundings<'_>) -> Option<()> {
        if !self.collecting {
            return None;
        }
        self.collection.set(self.expected.index, value);
        self.expected = self.heads.after(self.expected);
        around.counters.collected_values += 1;
        Some(())
    }

    #[inline(never)]
    fn end(&mut self, around: &mut Surroundings<'_>) -> Result<(), DisconnectReason> {
        let (Some(chart), true) = (self.scope.take(), self.collecting) else {
            return Err(DisconnectReason::OutOfPlace { keyword: "END" });
        };
        self.collecting = false;
        if around.sender.is_some() && !self.passing {
            self.announce(chart, around);
        }
        let Surroundings { mirror, engine, counters, now_us, sender, .. } = around;
        let mut sender = sender.as_deref_mut().filter(|sender| !self.passing && sender.is_streaming());
        let now = now_seconds(*now_us);
        let mirrored = mirror.chart(chart);
        self.expect_follower(mirrored);
        let group = mirrored.group;
        let newest_allowed = now + FURTHEST_FUTURE_S;
        let flags = &mut self.flags;
        mirrored.collector().end(*now_us, &mut self.collection, |row: CollectedRow<'_>| {
            flags.clear();
            flags.extend(
                row.resets.iter().map(|reset| if *reset { SampleFlags::RESET } else { SampleFlags::NONE }),
            );
            if row.time > newest_allowed {
                counters.rows_in_the_future += 1;
                return;
            }
            let row_flags = (!flags.is_empty()).then_some(&flags[..]);
            let stored = Row { values: row.values, flags: row_flags };
            store(engine, counters, group, row.time, stored);
            if let Some(sender) = &mut sender {
                let collected = |column: usize| row.collected.get(column).copied().flatten().unwrap_or(0);
                sender.stored(chart.index(), (row.time, now), stored, collected);
            }
        });
        if let Some(sender) = sender {
            sending::pass_on(sender, chart, mirrored, &self.collection);
        }
        Ok(())
    }

    // v2 data

    #[inline(never)]
    fn begin2(
        &mut self,
        reference: Reference<'_>,
        update_every: u32,
        end_time: i64,
        wall_clock: i64,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        let chart = self.find(reference, "BEGIN2", around)?;
        self.begin2_at(chart, reference.slot, (update_every, end_time, wall_clock), around);
        Ok(())
    }

    /// A line with the expected head. `None`: it is not a chart's.
    #[inline(always)]
    fn begin2_expected(&mut self, times: (u32, i64, i64), around: &mut Surroundings<'_>) -> Option<()> {
        let chart = self.take_expected_chart().filter(|_| !self.collects)?;
        let slot = self.charts[chart.index()].slot;
        self.begin2_at(chart, slot, times, around);
        Some(())
    }

    #[inline(never)]
    fn begin2_at(
        &mut self,
        chart: ChartIndex,
        slot: Option<Slot>,
        (update_every, end_time, wall_clock): (u32, i64, i64),
        around: &mut Surroundings<'_>,
    ) {
        self.store_replayed(around);
        let MirroredChart { update_every: known, columns, .. } = *around.mirror.chart(chart);
        let follower = around.mirror.expect_rows(chart, around.engine);
        self.expect_connected(follower);
        if let Some(sender) = &around.sender {
            sender.expect_unit(follower.index());
        }
        if update_every != 0 && update_every != known {
            around.mirror.set_update_every(chart, update_every, around.engine);
        }
        self.open(chart);
        self.start_row(columns);
        self.row_time = Some(end_time);
        self.row_collected_at = wall_clock;
        self.passing = around.sender.as_mut().is_none_or(|sender| {
            let mirrored = &around.mirror.charts()[chart.index()];
            sender.passes_samples(chart.index(), &mirrored.chart, slot)
        });
    }

    /// What this connection knows of the chart will be looked at when the one before it has ended.
    #[inline(always)]
    fn expect_connected(&self, chart: ChartIndex) {
        if let Some(next) = self.charts.get(chart.index()) {
            prefetch_all(next);
        }
    }

    #[inline(always)]
    fn set2(
        &mut self,
        reference: Reference<'_>,
        collected: Collected,
        value: f64,
        flags: PointFlags,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        let (Some(chart), Some(_)) = (self.scope, self.row_time) else {
            return Err(DisconnectReason::OutOfPlace { keyword: "SET2" });
        };
        let index = self.dimension(chart, reference, "SET2", around)?;
        self.set2_at(chart, index, (collected, value, flags), around);
        Ok(())
    }

    /// A line with the expected head. `None`: it belongs to no unit, or not to this row.
    #[inline(always)]
    fn set2_expected(
        &mut self,
        sample: (Collected, f64, PointFlags),
        around: &mut Surroundings<'_>,
    ) -> Option<()> {
        let (Some(chart), Some(_)) = (self.scope, self.row_time) else { return None };
        let index = self.expected.index;
        if index >= self.values.len() {
            return None;
        }
        self.set2_at(chart, index, sample, around);
        self.expected = self.heads.after(self.expected);
        Some(())
    }

    #[inline(always)]
    fn set2_at(
        &mut self,
        chart: ChartIndex,
        index: usize,
        (collected, value, flags): (Collected, f64, PointFlags),
        around: &mut Surroundings<'_>,
    ) {
        let mirrored = around.mirror.chart(chart);
        if mirrored.collected.len() < mirrored.columns {
            mirrored.collected.resize(mirrored.columns, 0);
        }
        mirrored.collected[index] = match collected {
            Collected::Integer(value) => value,
            Collected::Float(value) => value as i64,
        };
        self.fill(index, value, flags);
    }

    #[inline(never)]
    fn end2(&mut self, around: &mut Surroundings<'_>) -> Result<(), DisconnectReason> {
        let (Some(chart), Some(time)) = (self.scope.take(), self.row_time.take()) else {
            return Err(DisconnectReason::OutOfPlace { keyword: "END2" });
        };
        let is_told = around.sender.is_some() && !self.passing;
        if is_told {
            self.announce(chart, around);
        }
        let mirrored = around.mirror.chart(chart);
        mirrored.collected_at = self.row_collected_at;
        self.expect_follower(mirrored);
        self.store_row(chart, time, around);
        if is_told {
            self.pass_row_on(chart, time, around);
        }
        Ok(())
    }

    // rows

    /// Starts a row in which nothing is known.
    fn start_row(&mut self, columns: usize) {
        self.values.clear();
        self.values.resize(columns, f32::NAN);
        self.any_flag = false;
    }

    /// Puts one point into the row.
    #[inline(always)]
    fn fill(&mut self, index: usize, value: f64, flags: PointFlags) {
        let value = value as f32;
        if flags.empty || !value.is_finite() {
            return;
        }
        self.values[index] = value;
        let anomalous = self.trusts_anomaly && !flags.not_anomalous;
        if flags.reset || anomalous {
            if !self.any_flag {
                self.flags.clear();
                self.flags.resize(self.values.len(), SampleFlags::NONE);
                self.any_flag = true;
            }
            let mut sample = SampleFlags::NONE;
            if flags.reset {
                sample |= SampleFlags::RESET;
            }
            if anomalous {
                sample |= SampleFlags::ANOMALOUS;
            }
            self.flags[index] = sample;
        }
    }

    /// Gives the row to the engine.
    fn store_row(&mut self, chart: ChartIndex, time: i64, around: &mut Surroundings<'_>) {
        if time <= 0 || time > now_seconds(around.now_us) + FURTHEST_FUTURE_S {
            around.counters.rows_in_the_future += 1;
            return;
        }
        let MirroredChart { group, columns, .. } = *around.mirror.chart(chart);
        store(around.engine, around.counters, group, time, self.row(columns));
    }

    /// The row as it was read. A dimension that was defined after it was opened is a gap in it.
    fn row(&mut self, columns: usize) -> Row<'_> {
        self.values.resize(columns, f32::NAN);
        if self.any_flag {
            self.flags.resize(columns, SampleFlags::NONE);
        }
        Row { values: &self.values, flags: self.any_flag.then_some(&self.flags[..]) }
    }

    /// The connection has ended. What had come of an answer counts.
    pub fn end_connection(&mut self, around: &mut Surroundings<'_>) {
        self.abandon_replay(around);
        self.replication.end(around.pace);
    }

    /// Makes a chart the one that data lines are about.
    fn open(&mut self, chart: ChartIndex) {
        self.scope = Some(chart);
        self.previous = Some(chart);
        self.next_chart = None;
        self.collecting = false;
        self.passing = false;
        self.row_time = None;
    }

    // everything that is not live data

    #[cold]
    #[inline(never)]
    fn apply_rare(
        &mut self,
        command: Command<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        match command {
            Command::Chart(definition) => {
                let chart =
                    around.mirror.define_chart(&definition, around.limits, around.engine, around.now_us)?;
                if self.charts.len() <= chart.index() {
                    self.charts.resize_with(chart.index() + 1, ConnectedChart::default);
                }
                if let Some(slot) = definition.chart.slot {
                    let at = bounded(slot, around.limits)?;
                    if self.slots.len() <= at {
                        self.slots.resize(at + 1, None);
                    }
                    self.slots[at] = Some(chart);
                    if self.charts[chart.index()].slot.replace(slot) != Some(slot) {
                        self.heads.remove(std::mem::take(&mut self.charts[chart.index()].heads));
                        if let Some(sender) = &mut around.sender {
                            sender.forget_slots(chart.index());
                        }
                    }
                }
                self.open(chart);
                self.expected = Expected::default();
                self.chart_labels = Labels::default();
                if definition.options.obsolete
                    && let Some(sender) = &mut around.sender
                {
                    sender.touch(chart.index());
                }
            }
            Command::Dimension(definition) => {
                let chart = self.scope.ok_or(DisconnectReason::OutOfPlace { keyword: "DIMENSION" })?;
                let index =
                    around.mirror.define_dimension(chart, &definition, around.limits, around.engine)?;
                self.heads.remove(std::mem::take(&mut self.charts[chart.index()].heads));
                self.expected = Expected::default();
                if let Some(slot) = definition.dimension.slot {
                    let at = bounded(slot, around.limits)?;
                    let slots = &mut self.charts[chart.index()].slots;
                    if slots.len() <= at {
                        slots.resize(at + 1, u32::MAX);
                    }
                    if std::mem::replace(&mut slots[at], index as u32) != index as u32
                        && let Some(sender) = &mut around.sender
                    {
                        sender.forget_slots(chart.index());
                    }
                }
            }
            Command::ChartLabel { key, value, source } => {
                insert_label(&mut self.chart_labels, key, value, source)?;
            }
            Command::ChartLabelCommit => {
                let chart = self.scope.ok_or(DisconnectReason::OutOfPlace { keyword: "CLABEL_COMMIT" })?;
                around.mirror.label_chart(chart, std::mem::take(&mut self.chart_labels));
            }
            Command::ChartDefinitionEnd { first, last, now } => {
                let chart =
                    self.scope.ok_or(DisconnectReason::OutOfPlace { keyword: "CHART_DEFINITION_END" })?;
                self.begin_replication(chart, (first, last, now), around);
            }
            Command::Label { key, value, source } => {
                insert_label(&mut self.labels, key, value, source)?;
            }
            Command::Overwrite => {
                let labels = std::mem::take(&mut self.labels);
                around.mirror.change_info(|info| info.labels = labels);
            }
            Command::ClaimedId { machine_guid, claim_id } => {
                let parse = |bytes: &[u8]| uuid::Uuid::try_parse_ascii(bytes).ok();
                if parse(machine_guid) == Some(around.mirror.info().machine_guid) {
                    let claim_id = claim_id.and_then(parse);
                    around.mirror.change_info(|info| info.claim_id = claim_id);
                }
            }
            Command::ReplayBegin { .. }
            | Command::ReplaySet { .. }
            | Command::ReplayDimensionState { .. }
            | Command::ReplayChartState { .. }
            | Command::ReplayEnd { .. } => self.replay(command, around)?,
            Command::Function(definition) => self.offer_function(&definition, around)?,
            Command::FunctionDel { name, .. } => around.mirror.remove_function(&text(name)),
            Command::FunctionResultBegin { transaction, code, content_type, expires } => {
                self.begin_result((transaction, code, content_type, expires), around);
            }
            Command::FunctionProgress { transaction, .. } => self.progress(transaction, around),
            Command::Json { keyword: KEYWORD } if self.agrees_on_paths => {
                self.payload =
                    Some(Payload { of: PayloadOf::StreamPath, document: Document::new(MAX_DOCUMENT) });
            }
            Command::Json { keyword } => self.count_unknown(keyword, around),
            Command::Payload(line) => {
                if let Some(payload) = &mut self.payload {
                    payload.document.line(line);
                }
            }
            Command::PayloadPart(part) => {
                if let Some(payload) = &mut self.payload {
                    payload.document.part(part);
                }
            }
            Command::FunctionResultEnd | Command::JsonEnd => match self.payload.take() {
                Some(Payload { of: PayloadOf::StreamPath, document }) => self.take_path(document, around)?,
                Some(Payload {
                    of: PayloadOf::Result { transaction, code, content_type, expires },
                    document,
                }) => self.end_result(transaction, (code, content_type, expires), document),
                None => {}
            },
            Command::Unknown { keyword } => self.count_unknown(keyword, around),
            _ => around.counters.commands_without_effect += 1,
        }
        Ok(())
    }

    #[cold]
    fn count_unknown(&mut self, keyword: &[u8], around: &mut Surroundings<'_>) {
        around.counters.unknown_keywords += 1;
        let keyword = text(keyword);
        if self.unknown_keywords.len() < LOGGED_KEYWORDS && !self.unknown_keywords.contains(&keyword) {
            tracing::warn!(
                target: "mainstem::stream",
                "sent command '{keyword}' which is not known by netdata, for host '{}': its lines are counted and skipped",
                around.mirror.info().hostname,
            );
            self.unknown_keywords.insert(keyword);
        }
    }

    #[cold]
    #[inline(never)]
    fn variable(
        &mut self,
        scope: VariableScope,
        name: &[u8],
        value: f64,
        around: &mut Surroundings<'_>,
    ) -> Result<Onward, DisconnectReason> {
        let limit = MOST_LABELS;
        let chart = match scope {
            VariableScope::Host => None,
            VariableScope::Chart | VariableScope::Unspecified => self.scope,
        };
        let known = match chart {
            Some(chart) => around.mirror.chart(chart).chart.variables.len(),
            None => around.mirror.info().variables.len(),
        };
        if known >= limit {
            return Err(DisconnectReason::TooManyLabels { limit });
        }
        let before = around.mirror.described(chart);
        around.mirror.set_variable(chart, text(name), value);
        Ok(self.onward_of_variable(chart, before, around))
    }
}

/// Appends a row and counts what became of it.
fn store(
    engine: &mut Engine,
    counters: &mut ChildCounters,
    group: dbengine::GroupId,
    time: i64,
    row: Row<'_>,
) {
    match engine.append(group, UnixSeconds(time), row) {
        Appended::Stored => {
            counters.rows += 1;
            counters.samples += row.values.len() as u64;
            counters.newest_sample = counters.newest_sample.max(time);
        }
        Appended::Stale => counters.stale_rows += 1,
    }
}

fn now_seconds(now_us: i64) -> i64 {
    now_us.div_euclid(1_000_000)
}

fn bounded(slot: Slot, limits: &Limits) -> Result<usize, DisconnectReason> {
    let at = slot.0.get() as usize - 1;
    if at >= limits.slots {
        return Err(DisconnectReason::SlotOutOfBounds { slot: slot.0.get(), limit: limits.slots });
    }
    Ok(at)
}

fn insert_label(labels: &mut Labels, key: &[u8], value: &[u8], source: u32) -> Result<(), DisconnectReason> {
    if labels.len() >= MOST_LABELS {
        return Err(DisconnectReason::TooManyLabels { limit: MOST_LABELS });
    }
    let value = clean_value(&text(value));
    labels.insert(Label { name: text(key), value, source: LabelSource::from_wire(source) });
    Ok(())
}

fn unknown_dimension(keyword: &'static str, mirrored: &MirroredChart, id: &[u8]) -> DisconnectReason {
    DisconnectReason::UnknownDimension { keyword, chart: mirrored.chart.id.clone(), dimension: text(id) }
}
