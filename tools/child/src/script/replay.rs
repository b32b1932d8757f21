//! The text of answers to `REPLAY_CHART`: rows of the past and where the child's own arithmetic stands.
//!
//! As with live rows, what stands before the numbers is made once.

use mainstem::wire::Encoder;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::command::{Command, PointFlags, Reference, ReplayedPoint};
use mainstem::wire::number::{DoubleForm, IntegerForm};

use super::{Collection, Script, beginning, slot};
use crate::database::Held;
use crate::load::Load;
use crate::value::{ChildSeries, Kind, MICROSECONDS};

/// The pieces that answers are put together from.
#[derive(Debug)]
pub(super) struct Pieces {
    /// By chart: `RBEGIN SLOT:#B 'load.chart_0001'`, with its newline.
    begins: Vec<Vec<u8>>,
    /// By chart: `RBEGIN SLOT:#B ''`, with a space behind.
    points: Vec<Vec<u8>>,
    /// By dimension: `RSET SLOT:#B "value_01"`, with a space behind.
    sets: Vec<Vec<u8>>,
    /// The end of such a line: ` A`, with its newline.
    flags: Vec<u8>,
    dimension_ids: Vec<String>,
    integers: IntegerForm,
    doubles: DoubleForm,
}

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) held: Option<Held>,
    pub(crate) start_streaming: bool,
    /// The window that was answered.
    pub(crate) after: i64,
    pub(crate) before: i64,
    /// The child's clock, in seconds.
    pub(crate) now: i64,
}

impl Pieces {
    pub(super) fn new(load: &Load, agreed: Capabilities, encoder: &mut Encoder) -> Pieces {
        let chart_ids = (0..load.charts).map(|chart| load.chart_id(chart));
        let begins = chart_ids.enumerate().map(|(chart, id)| {
            let chart = Reference { slot: slot(agreed, chart), id: id.as_bytes() };
            line(&Command::ReplayBegin { chart, point: None }, encoder)
        });
        let begins = begins.collect();
        let point = Some(ReplayedPoint { start: 1, end: 1, wall_clock: 1 });
        let points = (0..load.charts).map(|chart| {
            let chart = Reference { slot: slot(agreed, chart), id: b"" };
            beginning(&Command::ReplayBegin { chart, point }, encoder)
        });
        let points = points.collect();
        let dimension_ids: Vec<String> = (0..load.dimensions).map(|at| load.dimension_id(at)).collect();
        let flags = PointFlags { not_anomalous: true, ..PointFlags::default() };
        let set = |(dimension, id): (usize, &String)| {
            let dimension = Reference { slot: slot(agreed, dimension), id: id.as_bytes() };
            beginning(&Command::ReplaySet { dimension, value: 1.0, flags }, encoder)
        };
        let sets = dimension_ids.iter().enumerate().map(set).collect();
        let dimension = Reference { slot: None, id: b"x" };
        let mut end = line(&Command::ReplaySet { dimension, value: 1.0, flags }, encoder);
        let flags = end.split_off(end.iter().rposition(|byte| *byte == b' ').unwrap_or(0));
        let base64 = agreed.contains(Capabilities::IEEE754);
        let (integers, doubles) = match (base64, flags.contains(&b'"')) {
            (true, _) => (IntegerForm::Base64, DoubleForm::Base64),
            (false, true) => (IntegerForm::Decimal, DoubleForm::Fixed),
            (false, false) => (IntegerForm::Decimal, DoubleForm::Short),
        };
        Pieces { begins, points, sets, flags, dimension_ids, integers, doubles }
    }
}

fn line(command: &Command<'_>, encoder: &mut Encoder) -> Vec<u8> {
    let mut line = Vec::new();
    encoder.encode(command, &mut line);
    line
}

impl Script {
    /// The chart that the following rows are of.
    pub(crate) fn replay_begin(&self, chart: usize, out: &mut Vec<u8>) {
        if let Some(pieces) = &self.replay {
            out.extend_from_slice(&pieces.begins[chart]);
        }
    }

    /// The row of a second, as a live one would have been stored.
    pub(crate) fn replay_row(
        &self,
        chart: usize,
        child: ChildSeries,
        second: i64,
        now: i64,
        out: &mut Vec<u8>,
    ) {
        let Some(pieces) = &self.replay else { return };
        out.extend_from_slice(&pieces.points[chart]);
        pieces.integers.write(second - i64::from(self.update_every), out);
        out.push(b' ');
        pieces.integers.write(second, out);
        out.push(b' ');
        pieces.integers.write(now, out);
        out.push(b'\n');
        let samples = self.sends_samples();
        for (set, position) in pieces.sets.iter().zip(chart * pieces.sets.len()..) {
            let series = child.of_kind(self.kinds[position], position as u64);
            out.extend_from_slice(set);
            pieces
                .doubles
                .write(if samples { series.stored(second) } else { series.interpolated(second) }, out);
            out.extend_from_slice(&pieces.flags);
        }
    }

    /// Where the child's arithmetic stands after its newest collection.
    pub(crate) fn replay_state(
        &self,
        chart: usize,
        child: ChildSeries,
        newest: Collection,
        out: &mut Vec<u8>,
    ) {
        let Some(pieces) = &self.replay else { return };
        let mut encoder = Encoder::new(self.agreed);
        let Collection { second, moment_us, .. } = newest;
        for (dimension, id) in pieces.dimension_ids.iter().enumerate() {
            let position = chart * pieces.sets.len() + dimension;
            let series = child.of_kind(self.kinds[position], position as u64);
            let (last_collected_value, last_calculated, last_stored) = if self.sends_samples() {
                let stored = series.stored(second);
                (series.collected(second * MICROSECONDS), stored, stored)
            } else {
                let stored = series.interpolated(second);
                // Of a counter, what it gained since the boundary waits for the next one.
                let calculated = match series.kind {
                    Kind::Counter => {
                        stored * (moment_us - second * MICROSECONDS) as f64 / MICROSECONDS as f64
                    }
                    _ => stored,
                };
                (newest.value_of(series), calculated, stored)
            };
            let state = Command::ReplayDimensionState {
                dimension: Reference { slot: slot(self.agreed, dimension), id: id.as_bytes() },
                last_collected_us: moment_us,
                last_collected_value,
                last_calculated,
                last_stored,
            };
            encoder.encode(&state, out);
        }
        let state = Command::ReplayChartState {
            last_collected_us: moment_us,
            last_updated_us: second * MICROSECONDS,
        };
        encoder.encode(&state, out);
    }

    /// The end of an answer.
    pub(crate) fn replay_end(&self, ending: Ending, out: &mut Vec<u8>) {
        let Ending { held, start_streaming, after, before, now } = ending;
        let (first, last) = held.map_or((0, 0), |held| (held.first, held.last));
        let end = Command::ReplayEnd {
            update_every: self.update_every,
            first,
            last,
            start_streaming,
            after,
            before,
            wall_clock: now,
        };
        Encoder::new(self.agreed).encode(&end, out);
    }
}
