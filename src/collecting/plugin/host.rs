//! [`HostText`]: the charts of one host in the text of a plugin, and what is collected of them.

use std::collections::{HashMap, HashSet};

use ecow::EcoString;

use super::{Bounds, Verdict, mistaken, shown};
use crate::wire::Encoder;
use crate::wire::command::{ChartDefinition, Command, DimensionDefinition, VariableScope};

/// What may be collected between one `BEGIN` and its `END`.
const MOST_COLLECTION_BYTES: usize = 4 << 20;
/// Labels of a chart.
const MOST_LABELS: usize = 200;
/// Variables of a chart, and of the host.
const MOST_VARIABLES: usize = 200;
/// Labels that say whose a chart is, which every agent adds to those that it collects.
const PLUGIN_LABEL: &[u8] = b"_collect_plugin";
const MODULE_LABEL: &[u8] = b"_collect_module";
/// Netdata's for a label that nobody has configured, and for the module of a chart that names none.
const AUTOMATIC: u32 = 1;
const NO_MODULE: &[u8] = b"[none]";
/// Netdata's: a chart whose time stays back by more of its intervals goes on by the clock.
const LATEST_INTERVALS: i64 = 5;

/// What all hosts of a plugin have in common.
#[derive(Debug)]
pub(super) struct Common {
    /// Of its file: `apps.plugin`.
    pub(super) file_name: EcoString,
    pub(super) update_every_s: u32,
    pub(super) bounds: Bounds,
    pub(super) encoder: Encoder,
}

/// A chart that the plugin has defined.
#[derive(Debug)]
struct Known {
    /// Its line.
    definition: Vec<u8>,
    /// Places of their lines, by id.
    dimensions: HashMap<Box<[u8]>, usize>,
    /// In the order in which they came.
    dimension_lines: Vec<Box<[u8]>>,
    /// Lines of its labels that say whose it is.
    origin: Vec<u8>,
    /// Lines of all labels that were committed last, with the commit.
    labels: Vec<u8>,
    variables: HashSet<Box<[u8]>>,
    update_every_us: i64,
    /// Unix microseconds of its last collection, as its receiver counts them.
    collected_us: Option<i64>,
}

/// Between `BEGIN` and `END`.
#[derive(Debug)]
struct Open {
    text: Vec<u8>,
    collected_us: i64,
}

/// One host.
#[derive(Debug, Default)]
pub(super) struct HostText {
    charts: HashMap<Box<[u8]>, Known>,
    dimensions: usize,
    variables: HashSet<Box<[u8]>>,
    /// The chart that is spoken of.
    scope: Option<Box<[u8]>>,
    /// The receiver knows that it is spoken of, in the text that is coming out.
    is_said: bool,
    open: Option<Open>,
    labels: Vec<u8>,
    label_count: usize,
}

/// What a command was to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// The end of a collection.
    Collection,
    /// Something else of its charts.
    Yes,
    /// Nothing.
    No,
}

impl Known {
    /// These are its labels, beside those that say whose it is.
    fn commit_labels(&mut self, lines: &[u8], common: &mut Common) {
        self.labels = [&self.origin, lines].concat();
        common.encoder.encode(&Command::ChartLabelCommit, &mut self.labels);
    }
}

impl HostText {
    /// Text of others may stand before what comes out next.
    pub(super) fn interrupt(&mut self) {
        self.is_said = false;
    }

    /// Nothing is spoken of any more.
    pub(super) fn leave_chart(&mut self) {
        self.scope = None;
        self.open = None;
        self.labels.clear();
        self.label_count = 0;
    }

    pub(super) fn scope(&self) -> Option<&[u8]> {
        self.scope.as_deref()
    }

    pub(super) fn apply(
        &mut self,
        now_us: i64,
        command: &Command<'_>,
        common: &mut Common,
        out: &mut Vec<u8>,
    ) -> Result<Applied, Verdict> {
        match *command {
            Command::Set { dimension, value } => self.set(dimension, value, common)?,
            Command::Begin { chart, microseconds } => self.begin(now_us, chart, microseconds, common)?,
            Command::End => {
                self.end(common, out)?;
                return Ok(Applied::Collection);
            }
            Command::Chart(definition) => self.chart(definition, common, out)?,
            Command::Dimension(ref definition) => self.dimension(definition, common, out)?,
            // The chart's own line says it.
            Command::ChartLabel { key, .. } if [PLUGIN_LABEL, MODULE_LABEL].contains(&key) => {}
            Command::ChartLabel { .. } => {
                self.label_count += 1;
                if self.label_count > MOST_LABELS {
                    return Err(mistaken(format!("a chart has more than {MOST_LABELS} labels")));
                }
                common.encoder.encode(command, &mut self.labels);
            }
            Command::ChartLabelCommit => {
                let said = std::mem::take(&mut self.labels);
                self.label_count = 0;
                let known = self.say_chart("CLABEL_COMMIT", out)?;
                known.commit_labels(&said, common);
                out.extend_from_slice(&known.labels);
            }
            Command::Variable { scope, name, value } => self.variable(scope, name, value, common, out)?,
            _ => return Ok(Applied::No),
        }
        Ok(Applied::Yes)
    }

    /// Appends all that it has defined, for a receiver that has not heard of it.
    pub(super) fn definitions(&self, out: &mut Vec<u8>) {
        for known in self.charts.values() {
            out.extend_from_slice(&known.definition);
            known.dimension_lines.iter().for_each(|line| out.extend_from_slice(line));
            out.extend_from_slice(&known.labels);
        }
    }

    /// Tells the receiver which chart is spoken of.
    pub(super) fn say_scope(&mut self, keyword: &str, out: &mut Vec<u8>) -> Result<(), Verdict> {
        self.say_chart(keyword, out).map(|_| ())
    }

    /// The chart that is spoken of, which the receiver is told first.
    fn say_chart(&mut self, keyword: &str, out: &mut Vec<u8>) -> Result<&mut Known, Verdict> {
        let known = self.scope.as_ref().and_then(|scope| self.charts.get_mut(scope));
        let known = known.ok_or_else(|| mistaken(format!("{keyword} without a chart")))?;
        if !std::mem::replace(&mut self.is_said, true) {
            out.extend_from_slice(&known.definition);
        }
        Ok(known)
    }

    fn chart(
        &mut self,
        definition: ChartDefinition<'_>,
        common: &mut Common,
        out: &mut Vec<u8>,
    ) -> Result<(), Verdict> {
        let Common { file_name, update_every_s, bounds, encoder } = common;
        let id = definition.chart.id;
        let update_every = match definition.update_every {
            0 => *update_every_s,
            given => given,
        };
        let plugin = if definition.plugin.is_empty() { file_name.as_bytes() } else { definition.plugin };
        let mut line = Vec::new();
        encoder.encode(&Command::Chart(ChartDefinition { update_every, plugin, ..definition }), &mut line);
        let update_every_us = i64::from(update_every) * 1_000_000;
        let mut origin = Vec::new();
        let module = if definition.module.is_empty() { NO_MODULE } else { definition.module };
        for (key, value) in [(PLUGIN_LABEL, plugin), (MODULE_LABEL, module)] {
            encoder.encode(&Command::ChartLabel { key, value, source: AUTOMATIC }, &mut origin);
        }
        let count = self.charts.len();
        let is_new = !self.charts.contains_key(id);
        match self.charts.get_mut(id) {
            Some(known) => {
                known.definition = line;
                known.origin = origin;
                known.update_every_us = update_every_us;
            }
            None if count >= bounds.charts => {
                return Err(mistaken(format!("it has more than {} charts", bounds.charts)));
            }
            None => {
                let known = Known {
                    definition: line,
                    dimensions: HashMap::new(),
                    dimension_lines: Vec::new(),
                    origin,
                    labels: Vec::new(),
                    variables: HashSet::new(),
                    update_every_us,
                    collected_us: None,
                };
                self.charts.insert(id.into(), known);
            }
        }
        self.leave_chart();
        self.scope = Some(id.into());
        self.is_said = false;
        let known = self.say_chart("CHART", out)?;
        if is_new {
            known.commit_labels(&[], common);
            out.extend_from_slice(&known.labels);
        }
        Ok(())
    }

    fn dimension(
        &mut self,
        definition: &DimensionDefinition<'_>,
        common: &mut Common,
        out: &mut Vec<u8>,
    ) -> Result<(), Verdict> {
        let most = common.bounds.dimensions;
        let has_room = self.dimensions < most;
        let known = self.say_chart("DIMENSION", out)?;
        let mut line = Vec::new();
        common.encoder.encode(&Command::Dimension(*definition), &mut line);
        out.extend_from_slice(&line);
        let id = definition.dimension.id;
        match known.dimensions.get(id) {
            Some(place) => known.dimension_lines[*place] = line.into(),
            None if !has_room => return Err(mistaken(format!("it has more than {most} dimensions"))),
            None => {
                known.dimensions.insert(id.into(), known.dimension_lines.len());
                known.dimension_lines.push(line.into());
                self.dimensions += 1;
            }
        }
        Ok(())
    }

    fn variable(
        &mut self,
        scope: VariableScope,
        name: &[u8],
        value: f64,
        common: &mut Common,
        out: &mut Vec<u8>,
    ) -> Result<(), Verdict> {
        let scope = match scope {
            VariableScope::Unspecified if self.scope.is_none() => VariableScope::Host,
            VariableScope::Unspecified => VariableScope::Chart,
            given => given,
        };
        let names = match scope {
            VariableScope::Host => &mut self.variables,
            _ => &mut self.say_chart("VARIABLE CHART", out)?.variables,
        };
        if !names.contains(name) {
            if names.len() >= MOST_VARIABLES {
                return Err(mistaken(format!("there are more than {MOST_VARIABLES} variables")));
            }
            names.insert(name.into());
        }
        common.encoder.encode(&Command::Variable { scope, name, value }, out);
        Ok(())
    }

    fn begin(
        &mut self,
        now_us: i64,
        id: &[u8],
        microseconds: i64,
        common: &mut Common,
    ) -> Result<(), Verdict> {
        let known = self
            .charts
            .get(id)
            .ok_or_else(|| mistaken(format!("BEGIN of the unknown chart '{}'", shown(id))))?;
        let (microseconds, collected_us) = interval(known, now_us, microseconds);
        self.leave_chart();
        let mut text = Vec::new();
        common.encoder.encode(&Command::Begin { chart: id, microseconds }, &mut text);
        self.scope = Some(id.into());
        // Another chart may have been said last.
        self.is_said = false;
        self.open = Some(Open { text, collected_us });
        Ok(())
    }

    fn set(&mut self, dimension: &[u8], value: Option<i64>, common: &mut Common) -> Result<(), Verdict> {
        let known = self.scope.as_ref().and_then(|scope| self.charts.get(scope));
        let (Some(known), Some(open)) = (known, &mut self.open) else {
            return Err(mistaken("SET outside of BEGIN and END"));
        };
        if !known.dimensions.contains_key(dimension) {
            return Err(mistaken(format!("SET of the unknown dimension '{}'", shown(dimension))));
        }
        if open.text.len() > MOST_COLLECTION_BYTES {
            let message = format!("a collection is longer than {MOST_COLLECTION_BYTES} bytes");
            return Err(Verdict::Unintelligible(message));
        }
        common.encoder.encode(&Command::Set { dimension, value }, &mut open.text);
        Ok(())
    }

    fn end(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Verdict> {
        let known = self.scope.as_ref().and_then(|scope| self.charts.get_mut(scope));
        let (Some(known), Some(mut open)) = (known, self.open.take()) else {
            return Err(mistaken("END without BEGIN"));
        };
        known.collected_us = Some(open.collected_us);
        common.encoder.encode(&Command::End, &mut open.text);
        out.append(&mut open.text);
        self.leave_chart();
        self.is_said = false;
        Ok(())
    }
}

/// The microseconds since a chart's last collection, and the time of this one. Netdata's rules: a plugin's own count holds,
/// unless it gives none, or the chart's time has come away from the clock.
fn interval(known: &Known, now_us: i64, microseconds: i64) -> (i64, i64) {
    let Some(last_us) = known.collected_us else { return (0, now_us) };
    let by_clock = now_us.saturating_sub(last_us);
    let is_late = by_clock > LATEST_INTERVALS * known.update_every_us;
    if by_clock < 0 {
        // The receiver asks its clock.
        (0, now_us)
    } else if microseconds <= 0 || is_late {
        (by_clock, now_us)
    } else {
        (microseconds, last_us.saturating_add(microseconds))
    }
}
