//! [`Script`]: the text of the children, as one parent agreed to take it.
//!
//! All children of a load have the same charts, so all but the values is made once: the definitions, and of every line
//! of data what stands before its first number. The [`Encoder`] makes it; a row is then put together from pieces.
//! That, value included, takes 17 to 20 ns a sample of v1 and 34 to 37 ns of v2; 33 and 50 ns when the encoder writes
//! every line. LZ4 takes 80 ns on top of v2, with thousands of children, whose histories are in no cache.

mod replay;

use std::num::NonZeroU32;
use std::ops::Range;

use mainstem::wire::Encoder;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::command::{
    ChartDefinition, ChartOptions, ChartType, Collected, Command, DimensionDefinition, DimensionOptions,
    PointFlags, Reference, Slot,
};
use mainstem::wire::number::{DoubleForm, IntegerForm};

use crate::database::Held;
use crate::load::Load;
use crate::value::{ChildSeries, Kind, MICROSECONDS, Series};

pub(crate) use replay::Ending;

/// What is said of one host that stores nothing about itself.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    pub machine_guid: &'a str,
    pub hostname: &'a str,
}

/// When a row was collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collection {
    /// The boundary that it is the row of; a multiple of the interval.
    pub second: i64,
    /// Microseconds since 1970.
    pub moment_us: i64,
    /// The time since the collection before, 0 for the first.
    pub elapsed_us: i64,
}

impl Collection {
    /// A counter counts on while it waits to be collected; all else is what it was at the boundary.
    fn value_of(&self, series: Series) -> i64 {
        series.collected(match series.kind {
            Kind::Counter => self.moment_us,
            _ => self.second * MICROSECONDS,
        })
    }
}

/// The text of all children of a load that agreed to the same.
#[derive(Debug)]
pub struct Script {
    agreed: Capabilities,
    update_every: u32,
    charts: Vec<Chart>,
    /// The kinds of all dimensions, chart by chart.
    kinds: Vec<Kind>,
    /// `SET "value_01" =`, or `SET2 SLOT:#B 'value_01'`, with a space behind. All charts have the same dimensions.
    sets: Vec<Vec<u8>>,
    /// All definitions, each without its `CHART_DEFINITION_END`.
    definitions: Vec<u8>,
    /// `None`: the children have no past.
    replay: Option<replay::Pieces>,
}

#[derive(Debug)]
struct Chart {
    id: String,
    /// Its part of the definitions.
    definition: Range<usize>,
    /// `BEGIN "load.chart_0001"`, or `BEGIN2 SLOT:#B 'load.chart_0001' #B`, with a space behind.
    begin: Vec<u8>,
}

impl Script {
    pub fn new(load: &Load, agreed: Capabilities) -> Script {
        let mut encoder = Encoder::new(agreed);
        let mut definitions = Vec::new();
        let mut charts = Vec::new();
        let mut kinds = Vec::new();
        for chart in 0..load.charts {
            let begun = definitions.len();
            define(load, chart, agreed, &mut encoder, &mut definitions);
            let id = load.chart_id(chart);
            let begin = beginning(&begin_command(agreed, load, chart, &id), &mut encoder);
            charts.push(Chart { id, definition: begun..definitions.len(), begin });
            let positions = (0..load.dimensions).map(|dimension| load.position(chart, dimension));
            kinds.extend(positions.map(|position| load.kind(position)));
        }
        let sets = (0..load.dimensions)
            .map(|dimension| {
                let id = load.dimension_id(dimension);
                beginning(&set_command(agreed, dimension, &id), &mut encoder)
            })
            .collect();
        let replay = load.database.map(|_| replay::Pieces::new(load, agreed, &mut encoder));
        Script { agreed, update_every: load.update_every, charts, kinds, sets, definitions, replay }
    }

    pub fn charts(&self) -> usize {
        self.charts.len()
    }

    /// The dimensions of a chart.
    pub fn dimensions(&self) -> usize {
        self.sets.len()
    }

    /// Seconds between two rows.
    pub fn update_every(&self) -> i64 {
        self.update_every.into()
    }

    /// Bytes of all definitions.
    pub fn definitions_len(&self) -> usize {
        self.definitions.len()
    }

    /// Whether finished samples are sent, not collected values.
    pub fn sends_samples(&self) -> bool {
        self.agreed.contains(Capabilities::INTERPOLATED)
    }

    /// Whether a chart's data has to wait until the parent asked for its past.
    pub fn replicates(&self) -> bool {
        self.agreed.contains(Capabilities::REPLICATION)
    }

    /// The chart of an id.
    pub fn chart(&self, id: &[u8]) -> Option<usize> {
        // Ids end in their number and so are sorted up to the 10 000th.
        let hint = self.charts.partition_point(|chart| chart.id.as_bytes() < id);
        let is_it = |place: &usize| self.charts.get(*place).is_some_and(|chart| chart.id.as_bytes() == id);
        Some(hint).filter(is_it).or_else(|| (0..self.charts.len()).find(is_it))
    }

    /// Who the child is and what its labels are.
    pub fn greet(&self, identity: Identity<'_>, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(self.agreed);
        if self.agreed.contains(Capabilities::CLAIM) {
            let machine_guid = identity.machine_guid.as_bytes();
            encoder.encode(&Command::ClaimedId { machine_guid, claim_id: None }, out);
        }
        if self.agreed.contains(Capabilities::HLABELS) {
            let labels = [
                ("_hostname", identity.hostname),
                ("_os", "linux"),
                ("_architecture", "x86_64"),
                ("_is_parent", "false"),
            ];
            for (key, value) in labels {
                encoder
                    .encode(&Command::Label { key: key.as_bytes(), value: value.as_bytes(), source: 1 }, out);
            }
            encoder.encode(&Command::Overwrite, out);
        }
    }

    /// The definitions of all charts of a child, and what its database holds of them.
    pub fn define(&self, held: Option<Held>, now: i64, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(self.agreed);
        let (first, last) = held.map_or((0, 0), |held| (held.first, held.last));
        for chart in &self.charts {
            out.extend_from_slice(&self.definitions[chart.definition.clone()]);
            if self.replicates() {
                encoder.encode(&Command::ChartDefinitionEnd { first, last, now }, out);
            }
        }
    }

    /// The answer of a child without a database to `REPLAY_CHART`: there is no past, live data follows.
    pub fn replay(&self, chart: usize, now: i64, out: &mut Vec<u8>) {
        let mut encoder = Encoder::new(self.agreed);
        let slot = slot(self.agreed, chart);
        let chart = Reference { slot, id: self.charts[chart].id.as_bytes() };
        encoder.encode(&Command::ReplayBegin { chart, point: None }, out);
        let nothing = Ending { held: None, start_streaming: true, after: 0, before: 0, now };
        self.replay_end(nothing, out);
    }

    /// One chart's row of a child.
    pub fn row(&self, chart: usize, child: ChildSeries, collection: Collection, out: &mut Vec<u8>) {
        if self.sends_samples() {
            self.samples(chart, child, collection, out);
        } else {
            self.collected_values(chart, child, collection, out);
        }
    }

    fn collected_values(&self, chart: usize, child: ChildSeries, collection: Collection, out: &mut Vec<u8>) {
        let first = chart * self.sets.len();
        out.extend_from_slice(&self.charts[chart].begin);
        IntegerForm::Decimal.write(collection.elapsed_us, out);
        out.push(b'\n');
        for (set, position) in self.sets.iter().zip(first..) {
            let series = child.of_kind(self.kinds[position], position as u64);
            out.extend_from_slice(set);
            IntegerForm::Decimal.write(collection.value_of(series), out);
            out.push(b'\n');
        }
        out.extend_from_slice(b"END\n");
    }

    fn samples(&self, chart: usize, child: ChildSeries, collection: Collection, out: &mut Vec<u8>) {
        let (integers, doubles) = forms(self.agreed);
        let first = chart * self.sets.len();
        let wall_clock = collection.moment_us.div_euclid(MICROSECONDS);
        let before_us = (collection.second - i64::from(self.update_every)) * MICROSECONDS;
        out.extend_from_slice(&self.charts[chart].begin);
        integers.write(collection.second, out);
        if wall_clock == collection.second {
            out.extend_from_slice(b" #\n");
        } else {
            out.push(b' ');
            integers.write(wall_clock, out);
            out.push(b'\n');
        }
        for (set, position) in self.sets.iter().zip(first..) {
            let series = child.of_kind(self.kinds[position], position as u64);
            let (collected, value) = (series.collected(before_us), series.stored(collection.second));
            out.extend_from_slice(set);
            integers.write(collected, out);
            if value == collected as f64 {
                out.extend_from_slice(b" # A\n");
            } else {
                out.push(b' ');
                doubles.write(value, out);
                out.extend_from_slice(b" A\n");
            }
        }
        out.extend_from_slice(b"END2\n");
    }
}

/// How the encoder writes the numbers of finished samples.
fn forms(agreed: Capabilities) -> (IntegerForm, DoubleForm) {
    if agreed.contains(Capabilities::IEEE754) {
        (IntegerForm::Base64, DoubleForm::Base64)
    } else {
        (IntegerForm::Hex, DoubleForm::Short)
    }
}

fn slot(agreed: Capabilities, index: usize) -> Option<Slot> {
    let number = NonZeroU32::new(u32::try_from(index + 1).ok()?)?;
    agreed.contains(Capabilities::SLOTS).then_some(Slot(number))
}

fn define(load: &Load, chart: usize, agreed: Capabilities, encoder: &mut Encoder, out: &mut Vec<u8>) {
    let id = load.chart_id(chart);
    let context = load.context(chart);
    let definition = ChartDefinition {
        chart: Reference { slot: slot(agreed, chart), id: id.as_bytes() },
        name: b"",
        title: b"Values that can be checked",
        units: b"units",
        family: b"load",
        context: context.as_bytes(),
        chart_type: ChartType::Line,
        priority: 1000 + chart as i64,
        update_every: load.update_every,
        options: ChartOptions { given: true, ..ChartOptions::default() },
        plugin: b"mainstem-child",
        module: b"formula",
    };
    encoder.encode(&Command::Chart(definition), out);
    if agreed.contains(Capabilities::CLABELS) {
        let value = format!("instance_{}", chart % 10 + 1);
        let labels = [("_collect_plugin", "mainstem-child"), ("instance", &value)];
        for (key, value) in labels {
            let (key, value) = (key.as_bytes(), value.as_bytes());
            encoder.encode(&Command::ChartLabel { key, value, source: 1 }, out);
        }
        encoder.encode(&Command::ChartLabelCommit, out);
    }
    for dimension in 0..load.dimensions {
        let id = load.dimension_id(dimension);
        let kind = load.kind(load.position(chart, dimension));
        let definition = DimensionDefinition {
            dimension: Reference { slot: slot(agreed, dimension), id: id.as_bytes() },
            name: id.as_bytes(),
            algorithm: kind.algorithm(),
            multiplier: 1,
            divisor: kind.divisor(),
            options: DimensionOptions::default(),
        };
        encoder.encode(&Command::Dimension(definition), out);
    }
}

/// The line that begins a chart's row, with some numbers.
fn begin_command<'a>(agreed: Capabilities, load: &Load, chart: usize, id: &'a str) -> Command<'a> {
    if agreed.contains(Capabilities::INTERPOLATED) {
        let chart = Reference { slot: slot(agreed, chart), id: id.as_bytes() };
        Command::Begin2 { chart, update_every: load.update_every, end_time: 1, wall_clock: 1 }
    } else {
        Command::Begin { chart: id.as_bytes(), microseconds: 1 }
    }
}

/// The line of a dimension's value, with some value.
fn set_command<'a>(agreed: Capabilities, dimension: usize, id: &'a str) -> Command<'a> {
    if agreed.contains(Capabilities::INTERPOLATED) {
        let dimension = Reference { slot: slot(agreed, dimension), id: id.as_bytes() };
        let flags = PointFlags { not_anomalous: true, ..PointFlags::default() };
        Command::Set2 { dimension, collected: Collected::Integer(1), value: 1.0, flags }
    } else {
        Command::Set { dimension: id.as_bytes(), value: Some(1) }
    }
}

/// What stands before the words of a line that change from row to row.
fn beginning(command: &Command<'_>, encoder: &mut Encoder) -> Vec<u8> {
    let changing = match command {
        Command::Begin2 { .. } => 2,
        Command::Set2 { .. } | Command::ReplayBegin { .. } => 3,
        Command::ReplaySet { .. } => 2,
        _ => 1,
    };
    let mut line = Vec::new();
    encoder.encode(command, &mut line);
    for _ in 0..changing {
        while line.pop().is_some() && line.last() != Some(&b' ') {}
    }
    line
}

#[cfg(test)]
mod tests;
