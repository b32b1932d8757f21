//! A link that streams, and its charts.
//!
//! ```text
//!          CHART .. CHART_DEFINITION_END first last now           REND true
//! Unsent -----------------------------------------------> Held -------------> Live
//!    |                                                      ^                   |
//!    +- LeftOut: not in `send charts matching`              +--- defined anew --+
//! ```
//!
//! Without REPLICATION a chart is live as soon as it is defined. What a host without a database collects while a chart is held
//! is kept as the lines that will be sent, behind the state of its arithmetic as it was before them; any other host has its
//! rows, and they are sent as its past.

use std::collections::HashMap;
use std::sync::Arc;

use dbengine::{Row, SampleFlags};

use super::definitions::SCALE;
use super::functions::ParentCalls;
use super::outgoing::{Outgoing, are_alike};
use super::past::{Request, Requests};
use super::slots::Slots;
use super::{Order, Sender, SendingCounters};
use crate::catalog::function::Functions;
use crate::catalog::{Chart, HostInfo};
use crate::config::{SendPolicy, SimplePattern};
use crate::wire::capability::Capabilities;
use crate::wire::command::{Collected, Command, Instruction, PointFlags, VariableScope};
use crate::wire::document::Document;
use crate::wire::encoder::{Encoder, is_plain};
use crate::wire::instruction::{InstructionParser, InstructionTooLong};
use crate::wire::stream_path::{KEYWORD, MAX_DOCUMENT, PathElement};

/// Questions that may wait: one a chart, of all that a host may have.
const MOST_REQUESTS: usize = 1 << 20;
/// Intervals that a gap is told as; a longer one is told by its length.
const LONGEST_GAP: i64 = 60;

/// Where a chart's arithmetic stands: what a parent needs to go on with collected values.
#[derive(Clone, Debug, PartialEq)]
pub struct Stand {
    /// Unix microseconds.
    pub last_collected_us: i64,
    pub last_updated_us: i64,
    /// The last collected value of each dimension, and what was calculated of it.
    pub dimensions: Vec<(i64, f64)>,
}

/// What a parent says of the host and of whom it knows beyond us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The document of a `STREAM_PATH`, as it came.
    Path(Vec<u8>),
    NodeId(NodeId),
}

/// The words of a `NODE_ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeId {
    pub claim_id: Box<[u8]>,
    pub node_id: Box<[u8]>,
    pub url: Box<[u8]>,
}

/// What there is of a chart when it is defined.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its values arrive as collected.
    pub collects: bool,
    pub stand: Option<Stand>,
    /// The first and the last row that can be asked for, unix seconds; `None`: rows are not kept.
    pub kept: Option<(i64, i64)>,
    /// The newest row.
    pub newest: Option<(i64, Vec<f32>)>,
    /// Of its host, some of them perhaps its own.
    pub functions: Arc<Functions>,
    /// Those of the child.
    pub slots: Slots,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Progress {
    #[default]
    Unsent,
    LeftOut,
    Held,
    Live,
}

#[derive(Debug, Default)]
pub(super) struct SentChart {
    pub(super) progress: Progress,
    /// As the parent knows it. Another one is sent when it is another.
    pub(super) sent: Option<Arc<Chart>>,
    /// Its values go out as integers that its own dimensions do not describe.
    pub(super) scales: bool,
    pub(super) slots: Slots,
    /// The child's lines mean the same to the parent.
    pub(super) passes: bool,
    keeps_rows: bool,
    /// Its variables are others than those that were sent.
    pub(super) variables_due: bool,
    /// Until then the parent measures its intervals by its own clock (unix microseconds).
    pub(super) resync_until_us: i64,
    /// The newest row that went out as collected values, unix seconds; 0 for none.
    pub(super) last: i64,
    /// The newest row that the parent was told of when the chart was defined, unix seconds; 0 for none.
    pub(super) told: i64,
    /// Of a host without rows: the newest one as its past, and its time.
    pub(super) row: Vec<u8>,
    pub(super) row_time: i64,
    /// The state of its arithmetic at that time.
    pub(super) state: Vec<u8>,
    /// What was collected since.
    pub(super) held: Vec<u8>,
}

/// A link that streams.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) agreed: Capabilities,
    pub(super) encoder: Encoder,
    parser: InstructionParser,
    partial: Vec<u8>,
    /// Words of our own that are to go out.
    pub(super) text: Vec<u8>,
    pub(super) outgoing: Outgoing,
    /// Lines of the child's live data mean the same to the parent, if it knows what they are about.
    pub(super) passes: bool,
    /// As the parent knows it.
    pub(super) info: Option<Arc<HostInfo>>,
    /// As the parent knows it, or would.
    pub(super) path: Arc<[PathElement]>,
    /// As the parent knows them.
    pub(super) functions: Arc<Functions>,
    pub(super) calls: ParentCalls,
    /// A document of the parent's that is coming.
    document: Option<Document>,
    pub(super) news: Vec<News>,
    pub(super) charts: Vec<SentChart>,
    pub(super) requests: Requests,
    /// Answers whose rows are being read from disk.
    pub(super) reading: usize,
    /// The oldest row on disk by the key of a chart, unix seconds. No chart is defined before that is known.
    pub(super) oldest: Option<HashMap<u128, i64, foldhash::quality::RandomState>>,
    pub(super) has_asked: bool,
    /// Charts that were defined anew, and whose rows may not come any more.
    touched: Vec<usize>,
    patterns: SimplePattern,
    resync_iterations: u32,
    pub(super) buffer_bytes: usize,
    /// Of all held charts.
    pub(super) held_bytes: usize,
    /// There is more than the buffer holds.
    pub(super) overflow: bool,
    /// Bytes at the socket.
    pub(super) waiting: usize,
    /// When the parent took or sent something, or nothing waited.
    pub(super) progress_us: i64,
    pub(super) sent_bytes: u64,
    taken_bytes: u64,
    pub(super) sends: u64,
    pub(super) counters: SendingCounters,
}

impl Stream {
    /// `child`: what its child has agreed on with us.
    pub(super) fn new(agreed: Capabilities, child: Capabilities, policy: &SendPolicy, now_us: i64) -> Self {
        Self {
            agreed,
            encoder: Encoder::new(agreed),
            parser: InstructionParser::new(),
            partial: Vec::new(),
            text: Vec::new(),
            outgoing: Outgoing::new(child, agreed),
            passes: are_alike(child, agreed),
            info: None,
            path: Arc::default(),
            functions: Arc::default(),
            calls: ParentCalls::default(),
            document: None,
            news: Vec::new(),
            charts: Vec::new(),
            requests: Requests::default(),
            reading: 0,
            oldest: None,
            has_asked: false,
            touched: Vec::new(),
            patterns: policy.charts.clone(),
            resync_iterations: policy.link.resync_iterations,
            buffer_bytes: policy.link.buffer_bytes,
            held_bytes: 0,
            overflow: false,
            waiting: 0,
            progress_us: now_us,
            sent_bytes: 0,
            taken_bytes: 0,
            sends: 0,
            counters: SendingCounters::default(),
        }
    }

    /// Hands out what was appended.
    pub(super) fn flush(&mut self, now_us: i64, orders: &mut Vec<Order>) {
        let bytes = self.outgoing.flush(&mut self.text);
        if bytes.is_empty() {
            return;
        }
        if self.waiting == 0 {
            self.progress_us = now_us;
        }
        self.sent_bytes += bytes.len() as u64;
        self.counters.bytes += bytes.len() as u64;
        self.sends += 1;
        orders.push(Order::Send(bytes));
    }

    /// So many of the bytes that were handed out wait at the socket.
    pub(super) fn waits(&mut self, now_us: i64, waiting: usize) {
        let taken = self.sent_bytes - (waiting as u64).min(self.sent_bytes);
        if taken > self.taken_bytes || waiting == 0 {
            self.progress_us = now_us;
        }
        self.taken_bytes = taken;
        self.waiting = waiting;
    }

    /// Reads lines of the parent.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), InstructionTooLong> {
        self.partial.extend_from_slice(bytes);
        let partial = std::mem::take(&mut self.partial);
        let mut rest = &partial[..];
        while let Some(instruction) = self.parser.next(&mut rest)? {
            self.obey(instruction);
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }

    fn obey(&mut self, instruction: Instruction<'_>) {
        let can = |what| self.agreed.contains(what);
        match instruction {
            Instruction::ReplayChart { chart, start_streaming, after, before } => {
                let request = Request { chart: chart.into(), start_streaming, after, before };
                // The newest question about a chart is the one that counts.
                if self.requests.len() < MOST_REQUESTS {
                    self.requests.put(request);
                }
            }
            Instruction::Function { transaction, timeout_s, call, access, source }
                if can(Capabilities::FUNCTIONS) =>
            {
                self.calls.call(transaction, timeout_s, call, access, source);
            }
            Instruction::FunctionCancel { transaction } => self.calls.cancel(transaction),
            Instruction::FunctionProgress { transaction } if self.calls.is_waiting(transaction) => {
                let waits = Command::FunctionProgress { transaction, done: 0, all: 0 };
                self.encoder.encode(&waits, &mut self.text);
            }
            Instruction::NodeId { claim_id, node_id, url } if can(Capabilities::NODE_ID) => {
                let [claim_id, node_id, url] = [claim_id, node_id, url].map(Into::into);
                self.put_news(News::NodeId(NodeId { claim_id, node_id, url }));
            }
            Instruction::Json { keyword } => {
                let is_path = keyword == KEYWORD && can(Capabilities::PATHS);
                self.document = is_path.then(|| Document::new(MAX_DOCUMENT));
            }
            Instruction::Payload(line) => {
                if let Some(document) = &mut self.document {
                    document.line(line);
                }
            }
            Instruction::JsonEnd => {
                if let Some(document) = self.document.take() {
                    // One that is too long is as good as none.
                    self.put_news(News::Path(document.finish().unwrap_or_default()));
                }
            }
            _ => {}
        }
    }

    /// The newest of a kind is the one that counts.
    fn put_news(&mut self, news: News) {
        self.news.retain(|known| std::mem::discriminant(known) != std::mem::discriminant(&news));
        self.news.push(news);
    }

    fn chart_mut(&mut self, index: usize) -> &mut SentChart {
        if self.charts.len() <= index {
            self.charts.resize_with(index + 1, SentChart::default);
        }
        &mut self.charts[index]
    }

    fn define(&mut self, index: usize, chart: &Arc<Chart>, facts: &Facts, now_us: i64) {
        self.describe_functions(&facts.functions);
        let interpolated = self.agreed.contains(Capabilities::INTERPOLATED);
        let replicates = self.agreed.contains(Capabilities::REPLICATION);
        let (passes, has_slots) = (self.passes, self.agreed.contains(Capabilities::SLOTS));
        let is_wanted = self.patterns.matches(&*chart.id) || self.patterns.matches(&*chart.name);
        let resync_us = i64::from(self.resync_iterations) * i64::from(chart.update_every) * 1_000_000;
        let sent = self.chart_mut(index);
        if sent.sent.as_ref().is_some_and(|sent| sent.id != chart.id) {
            // Charts were forgotten, and this one has the place of another.
            let held = std::mem::take(sent).held.len();
            self.held_bytes -= held;
        }
        let sent = self.chart_mut(index);
        if !is_wanted {
            sent.progress = Progress::LeftOut;
            sent.sent = Some(Arc::clone(chart));
            return;
        }
        let known = sent.sent.replace(Arc::clone(chart));
        if matches!(sent.progress, Progress::Held | Progress::Live)
            && known.is_some_and(|known| differ_in_variables_only(&known, chart))
        {
            sent.variables_due = true;
            return;
        }
        sent.scales = !interpolated && !facts.collects;
        sent.slots = if passes { facts.slots.clone() } else { Slots::Places };
        sent.passes = passes && are_plain(chart) && (!has_slots || sent.slots.are_complete());
        sent.keeps_rows = facts.kept.is_some();
        sent.variables_due = false;
        sent.resync_until_us = now_us.saturating_add(resync_us);
        let was_held = std::mem::replace(&mut sent.progress, Progress::Live) == Progress::Held;
        if !was_held || !replicates {
            sent.last = facts.newest.as_ref().map_or(0, |(time, _)| *time);
        }
        self.describe_chart(index, chart);
        if !replicates {
            return;
        }
        self.charts[index].progress = Progress::Held;
        let now = now_us.div_euclid(1_000_000);
        let newest = facts.newest.as_ref().map(|(time, _)| (*time, *time));
        let (first, last) = facts.kept.or(newest).unwrap_or((0, 0));
        if !was_held {
            self.charts[index].told = last;
        }
        self.encoder.encode(&Command::ChartDefinitionEnd { first, last, now }, &mut self.text);
        // The parent's question about the first definition stands for both.
        if facts.kept.is_none() && !was_held {
            self.keep_newest(index, chart, facts, now);
        }
    }

    /// One row of a chart, as lines. `None`: it is not to be sent.
    fn target(&mut self, index: usize) -> Option<(&mut Encoder, &mut SentChart, Target<'_>)> {
        let Self { encoder, charts, text, held_bytes, overflow, buffer_bytes, counters, .. } = self;
        let chart = charts.get_mut(index)?;
        let is_live = match chart.progress {
            Progress::Live => true,
            Progress::Held if !chart.keeps_rows => false,
            _ => return None,
        };
        counters.rows += 1;
        Some((encoder, chart, Target { is_live, text, held_bytes, overflow, buffer_bytes: *buffer_bytes }))
    }
}

/// Where a row's lines go.
struct Target<'a> {
    is_live: bool,
    text: &'a mut Vec<u8>,
    held_bytes: &'a mut usize,
    overflow: &'a mut bool,
    buffer_bytes: usize,
}

impl Target<'_> {
    /// Lets `write` append the lines to where they belong.
    fn append(self, held: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.is_live {
            return write(self.text);
        }
        let before = held.len();
        write(held);
        *self.held_bytes += held.len() - before;
        *self.overflow |= *self.held_bytes > self.buffer_bytes;
    }
}

/// No id of the chart is written otherwise in our definition than in the child's lines.
fn are_plain(chart: &Chart) -> bool {
    is_plain(&chart.id) && chart.dimensions.iter().all(|dimension| is_plain(&dimension.id))
}

fn differ_in_variables_only(known: &Chart, chart: &Chart) -> bool {
    let mut known = known.clone();
    known.variables.clone_from(&chart.variables);
    known == *chart
}

fn variables(encoder: &mut Encoder, chart: &Chart, out: &mut Vec<u8>) {
    for (name, value) in &chart.variables {
        let (scope, name) = (VariableScope::Chart, name.as_bytes());
        encoder.encode(&Command::Variable { scope, name, value: *value }, out);
    }
}

/// What the receiver of the host's child says.
impl Sender {
    /// Whether the parent knows another chart at this place than this one, or none.
    #[inline]
    pub fn needs(&self, index: usize, chart: &Arc<Chart>) -> bool {
        let super::Link::Streaming(stream) = &self.link else { return false };
        let sent = stream.charts.get(index).and_then(|known| known.sent.as_ref());
        stream.oldest.is_some() && sent.is_none_or(|sent| !Arc::ptr_eq(sent, chart))
    }

    /// A chart that it needs, before its next row.
    #[cold]
    pub fn define(&mut self, index: usize, chart: &Arc<Chart>, facts: &Facts, now_us: i64) {
        if let Some(stream) = self.stream() {
            stream.define(index, chart, facts, now_us);
        }
    }

    /// A chart was defined in a way after which it may have no more rows.
    pub fn touch(&mut self, index: usize) {
        if let Some(stream) = self.stream()
            && stream.touched.len() < MOST_REQUESTS
        {
            stream.touched.push(index);
        }
    }

    /// Charts that were touched and that the parent knows.
    pub fn take_touched(&mut self) -> Vec<usize> {
        let Some(stream) = self.stream() else { return Vec::new() };
        let Stream { touched, charts, .. } = stream;
        let is_known = |index: &usize| charts.get(*index).is_some_and(|chart| chart.sent.is_some());
        std::mem::take(touched).into_iter().filter(is_known).collect()
    }

    /// A row of collected values, `microseconds` after the one before it; collected at `collected_us`.
    pub fn collected(&mut self, index: usize, microseconds: i64, collected_us: i64, values: &[Option<i64>]) {
        let Some(stream) = self.stream() else { return };
        if stream.agreed.contains(Capabilities::INTERPOLATED) {
            return;
        }
        let trusts = stream.agreed.contains(Capabilities::REPLICATION);
        let Some((encoder, chart, target)) = stream.target(index) else { return };
        let Some(sent) = chart.sent.clone() else { return };
        let microseconds =
            if trusts || collected_us > chart.resync_until_us { microseconds.max(0) } else { 0 };
        let due = std::mem::take(&mut chart.variables_due);
        target.append(&mut chart.held, |out| {
            encoder.encode(&Command::Begin { chart: sent.id.as_bytes(), microseconds }, out);
            if due {
                variables(encoder, &sent, out);
            }
            for (dimension, value) in sent.dimensions.iter().zip(values) {
                if value.is_some() {
                    let dimension = dimension.id.as_bytes();
                    encoder.encode(&Command::Set { dimension, value: *value }, out);
                }
            }
            encoder.encode(&Command::End, out);
        });
    }

    /// A row of samples; `collected` is the last collected value of a dimension.
    pub fn stored(
        &mut self,
        index: usize,
        (time, wall_clock): (i64, i64),
        row: Row<'_>,
        collected: impl Fn(usize) -> i64,
    ) {
        let Some(stream) = self.stream() else { return };
        let interpolated = stream.agreed.contains(Capabilities::INTERPOLATED);
        if !interpolated && !stream.charts.get(index).is_some_and(|chart| chart.scales) {
            return;
        }
        let Some((encoder, chart, target)) = stream.target(index) else { return };
        let Some(sent) = chart.sent.clone() else { return };
        let due = std::mem::take(&mut chart.variables_due);
        let SentChart { held, last, slots, .. } = chart;
        if !interpolated {
            return target.append(held, |out| scaled(encoder, &sent, last, time, row, out));
        }
        target.append(held, |out| {
            let Chart { id, update_every, .. } = &*sent;
            let begin = Command::Begin2 {
                chart: slots.chart(index, id),
                update_every: *update_every,
                end_time: time,
                wall_clock,
            };
            encoder.encode(&begin, out);
            if due {
                variables(encoder, &sent, out);
            }
            for (column, dimension) in sent.dimensions.iter().enumerate().take(row.values.len()) {
                let value = row.values[column];
                if !value.is_nan() {
                    let set = Command::Set2 {
                        dimension: slots.dimension(column, &dimension.id),
                        collected: Collected::Integer(collected(column)),
                        value: f64::from(value),
                        flags: flags(row, column),
                    };
                    encoder.encode(&set, out);
                }
            }
            encoder.encode(&Command::End2, out);
        });
    }
}

/// A row of samples as collected values: on its boundary, so that the parent stores what it says. Gaps are told one by one, or
/// the parent would draw lines over the last of them.
fn scaled(encoder: &mut Encoder, chart: &Chart, last: &mut i64, time: i64, row: Row<'_>, out: &mut Vec<u8>) {
    let step = i64::from(chart.update_every);
    let mut passed = if *last > 0 { time - *last } else { 0 };
    *last = time;
    let id = chart.id.as_bytes();
    if passed > step && passed <= LONGEST_GAP * step {
        while passed > step {
            encoder.encode(&Command::Begin { chart: id, microseconds: step * 1_000_000 }, out);
            encoder.encode(&Command::End, out);
            passed -= step;
        }
    }
    encoder.encode(&Command::Begin { chart: id, microseconds: passed * 1_000_000 }, out);
    for (dimension, value) in chart.dimensions.iter().zip(row.values) {
        if !value.is_nan() {
            let value = Some((f64::from(*value) * SCALE as f64).round() as i64);
            encoder.encode(&Command::Set { dimension: dimension.id.as_bytes(), value }, out);
        }
    }
    encoder.encode(&Command::End, out);
}

pub(super) fn flags(row: Row<'_>, column: usize) -> PointFlags {
    let flags = row.flags.and_then(|flags| flags.get(column)).copied().unwrap_or_default();
    point_flags(flags)
}

pub(super) fn point_flags(flags: SampleFlags) -> PointFlags {
    PointFlags {
        not_anomalous: !flags.contains(SampleFlags::ANOMALOUS),
        reset: flags.contains(SampleFlags::RESET),
        empty: false,
    }
}
