//! [`PluginText`]: what a plugin writes, cut into pieces that can stand between those of others.
//!
//! ```text
//!            CHART, BEGIN                DIMENSION, VARIABLE, CLABEL …
//!   nothing ---------------> a chart  <---------------------------------+
//!      ^                        |  |                                    |
//!      |   END: one piece       |  +------------------------------------+
//!      +------------------------+
//!          FLUSH: no piece
//! ```
//!
//! - What comes out is text of the streaming protocol (v1) that no receiver objects to. A collection comes out at its `END`,
//!   with its values; a function's result when it is complete; a definition behind the chart that it is of, again if need be.
//! - Whatever a plugin leaves out is filled in: the plugin's name, its interval, the microseconds since the last collection.
//! - What it may not say ends it, with a [`Verdict`]. All that it can make us hold is bounded.
//!
//! No process and no clock: bytes come in, with the time of their reading.
//!
//! Source: configuration reference section 11.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ecow::EcoString;

use crate::wire::Encoder;
use crate::wire::capability::Capabilities;
use crate::wire::command::{
    ChartDefinition, Command, DimensionDefinition, FunctionDefinition, VariableScope,
};
use crate::wire::parser::{ParseError, Parser};

/// The longest result of a function; a receiver takes no longer one, and says so to the caller.
const MOST_RESULT_BYTES: usize = 10 << 20;
/// What may be collected between one `BEGIN` and its `END`.
const MOST_COLLECTION_BYTES: usize = 4 << 20;
/// Labels of a chart.
const MOST_LABELS: usize = 200;
/// Variables of a chart, and of the host.
const MOST_VARIABLES: usize = 200;
/// Functions, and charts that have them, all functions together.
const MOST_FUNCTIONS: usize = 100;
const MOST_CHARTS_WITH_FUNCTIONS: usize = 2000;
/// What a function says of itself.
const MOST_FUNCTION_TEXT: usize = 8 << 10;
/// Netdata's: a chart whose time stays back by more of its intervals goes on by the clock.
const LATEST_INTERVALS: i64 = 5;

/// What a plugin may not do, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// It asked for it.
    #[error("it asked to be disabled")]
    Disable,
    /// It speaks of what is not there, or of too much: it is not started again.
    #[error("{0}")]
    Mistaken(String),
    /// It cannot be understood: it is ended, and started again if it did well before.
    #[error("{0}")]
    Unintelligible(String),
}

/// How much a plugin may define.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub charts: usize,
    pub dimensions: usize,
}

/// A chart that the plugin has defined.
#[derive(Debug)]
struct Known {
    /// Its line.
    definition: Vec<u8>,
    dimensions: HashSet<Box<[u8]>>,
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

/// A function's result whose end has not come.
#[derive(Debug)]
struct PartOfResult {
    transaction: Vec<u8>,
    text: Vec<u8>,
}

/// The text of one plugin.
#[derive(Debug)]
pub struct PluginText {
    /// Of its file: `apps.plugin`.
    file_name: EcoString,
    update_every_s: u32,
    bounds: Bounds,
    parser: Parser,
    encoder: Encoder,
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
    charts: HashMap<Box<[u8]>, Known>,
    dimensions: usize,
    host_variables: HashSet<Box<[u8]>>,
    /// With the charts that have them.
    functions: BTreeMap<Box<[u8]>, BTreeSet<Box<[u8]>>>,
    /// It offers others than when that was asked last.
    offers_changed: bool,
    /// The chart that is spoken of.
    scope: Option<Box<[u8]>>,
    /// The receiver knows that it is spoken of, in the text that is coming out.
    is_said: bool,
    open: Option<Open>,
    labels: Vec<u8>,
    label_count: usize,
    result: Option<PartOfResult>,
    /// Transactions whose results came out.
    answered: Vec<Vec<u8>>,
    /// Collections in this run.
    collections: u64,
}

fn mistaken(text: impl Into<String>) -> Verdict {
    Verdict::Mistaken(text.into())
}

fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

impl PluginText {
    pub fn new(file_name: &str, update_every_s: u32, bounds: Bounds) -> Self {
        Self {
            file_name: file_name.into(),
            update_every_s,
            bounds,
            parser: Parser::new(),
            encoder: Encoder::new(Capabilities::NONE),
            partial: Vec::new(),
            charts: HashMap::new(),
            dimensions: 0,
            host_variables: HashSet::new(),
            functions: BTreeMap::new(),
            offers_changed: false,
            scope: None,
            is_said: false,
            open: None,
            labels: Vec::new(),
            label_count: 0,
            result: None,
            answered: Vec::new(),
            collections: 0,
        }
    }

    /// The plugin was started anew. What it has defined stays.
    pub fn begin_run(&mut self) {
        self.parser = Parser::new();
        self.partial = Vec::new();
        self.leave_chart();
        self.result = None;
        self.collections = 0;
    }

    /// Collections since it was started.
    pub fn collections(&self) -> u64 {
        self.collections
    }

    /// Names of the functions that it offers.
    pub fn functions(&self) -> impl Iterator<Item = &[u8]> {
        self.functions.keys().map(|name| &**name)
    }

    /// Whether these have changed since this was asked last.
    pub fn take_offers_changed(&mut self) -> bool {
        std::mem::take(&mut self.offers_changed)
    }

    /// Forgets its functions, and appends what says so.
    pub fn withdraw_functions(&mut self, out: &mut Vec<u8>) {
        for name in std::mem::take(&mut self.functions).into_keys() {
            self.encoder.encode(&Command::FunctionDel { global: true, name: &name }, out);
        }
    }

    /// Transactions whose results came out since this was asked last.
    pub fn take_answered(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.answered)
    }

    /// Takes what the plugin wrote, and appends the pieces that are complete with it. What it said before a mistake counts.
    pub fn read(&mut self, now_us: i64, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Verdict> {
        self.is_said = false;
        let mut text = std::mem::take(&mut self.partial);
        text.extend_from_slice(bytes);
        let mut rest = &text[..];
        let mut parser = std::mem::take(&mut self.parser);
        loop {
            match parser.next(&mut rest) {
                Ok(Some(command)) => self.apply(now_us, &command, out)?,
                Ok(None) => break,
                Err(error @ ParseError::Word { .. }) => return Err(mistaken(error.to_string())),
                Err(error) => return Err(Verdict::Unintelligible(error.to_string())),
            }
        }
        self.parser = parser;
        self.partial = rest.to_vec();
        Ok(())
    }

    fn apply(&mut self, now_us: i64, command: &Command<'_>, out: &mut Vec<u8>) -> Result<(), Verdict> {
        match *command {
            Command::Set { dimension, value } => self.set(dimension, value),
            Command::Begin { chart, microseconds } => self.begin(now_us, chart, microseconds),
            Command::End => self.end(out),
            Command::Chart(definition) => self.chart(definition, out),
            Command::Dimension(ref definition) => self.dimension(definition, out),
            Command::ChartLabel { .. } => {
                self.label_count += 1;
                if self.label_count > MOST_LABELS {
                    return Err(mistaken(format!("a chart has more than {MOST_LABELS} labels")));
                }
                self.encoder.encode(command, &mut self.labels);
                Ok(())
            }
            Command::ChartLabelCommit => {
                self.say_chart("CLABEL_COMMIT", out)?;
                self.label_count = 0;
                out.append(&mut self.labels);
                self.encoder.encode(command, out);
                Ok(())
            }
            Command::Variable { scope, name, value } => self.variable(scope, name, value, out),
            Command::Function(ref definition) => self.function(definition, out),
            Command::FunctionResultBegin { transaction, .. } => {
                let mut text = Vec::new();
                self.encoder.encode(command, &mut text);
                self.result = Some(PartOfResult { transaction: transaction.to_vec(), text });
                Ok(())
            }
            Command::Payload(_) | Command::PayloadPart(_) => {
                if let Some(PartOfResult { text, .. }) = &mut self.result
                    && text.len() <= MOST_RESULT_BYTES
                {
                    self.encoder.encode(command, text);
                }
                Ok(())
            }
            Command::FunctionResultEnd => {
                if let Some(PartOfResult { transaction, mut text }) = self.result.take() {
                    if text.last() != Some(&b'\n') {
                        text.push(b'\n');
                    }
                    out.append(&mut text);
                    self.encoder.encode(command, out);
                    self.answered.push(transaction);
                }
                Ok(())
            }
            Command::Ignored { keyword: b"FLUSH" } => {
                self.leave_chart();
                Ok(())
            }
            Command::Ignored { keyword: b"DISABLE" } => Err(Verdict::Disable),
            // Of plugins of later Netdatas: nothing follows from them here.
            Command::Ignored { keyword: b"TRUST_DURATIONS" | b"PLUGIN_KEEPALIVE" } => Ok(()),
            // Meant for streaming.
            Command::Label { .. } | Command::Overwrite => Ok(()),
            Command::Ignored { keyword } | Command::Unknown { keyword } => {
                Err(Verdict::Unintelligible(format!("it wrote the unknown command '{}'", shown(keyword))))
            }
            _ => Err(Verdict::Unintelligible("it wrote a command of children".to_owned())),
        }
    }

    /// Nothing is spoken of any more.
    fn leave_chart(&mut self) {
        self.scope = None;
        self.open = None;
        self.labels.clear();
        self.label_count = 0;
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

    fn chart(&mut self, definition: ChartDefinition<'_>, out: &mut Vec<u8>) -> Result<(), Verdict> {
        let id = definition.chart.id;
        let update_every = match definition.update_every {
            0 => self.update_every_s,
            given => given,
        };
        let file_name = self.file_name.clone();
        let plugin = if definition.plugin.is_empty() { file_name.as_bytes() } else { definition.plugin };
        let mut line = Vec::new();
        self.encoder
            .encode(&Command::Chart(ChartDefinition { update_every, plugin, ..definition }), &mut line);
        let update_every_us = i64::from(update_every) * 1_000_000;
        let count = self.charts.len();
        match self.charts.get_mut(id) {
            Some(known) => {
                known.definition = line;
                known.update_every_us = update_every_us;
            }
            None if count >= self.bounds.charts => {
                return Err(mistaken(format!("it has more than {} charts", self.bounds.charts)));
            }
            None => {
                let known = Known {
                    definition: line,
                    dimensions: HashSet::new(),
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
        self.say_chart("CHART", out).map(|_| ())
    }

    fn dimension(&mut self, definition: &DimensionDefinition<'_>, out: &mut Vec<u8>) -> Result<(), Verdict> {
        let most = self.bounds.dimensions;
        let has_room = self.dimensions < most;
        let known = self.say_chart("DIMENSION", out)?;
        let id = definition.dimension.id;
        if !known.dimensions.contains(id) {
            if !has_room {
                return Err(mistaken(format!("it has more than {most} dimensions")));
            }
            known.dimensions.insert(id.into());
            self.dimensions += 1;
        }
        self.encoder.encode(&Command::Dimension(*definition), out);
        Ok(())
    }

    fn variable(
        &mut self,
        scope: VariableScope,
        name: &[u8],
        value: f64,
        out: &mut Vec<u8>,
    ) -> Result<(), Verdict> {
        let scope = match scope {
            VariableScope::Unspecified if self.scope.is_none() => VariableScope::Host,
            VariableScope::Unspecified => VariableScope::Chart,
            given => given,
        };
        let names = match scope {
            VariableScope::Host => &mut self.host_variables,
            _ => &mut self.say_chart("VARIABLE CHART", out)?.variables,
        };
        if !names.contains(name) {
            if names.len() >= MOST_VARIABLES {
                return Err(mistaken(format!("there are more than {MOST_VARIABLES} variables")));
            }
            names.insert(name.into());
        }
        self.encoder.encode(&Command::Variable { scope, name, value }, out);
        Ok(())
    }

    fn function(&mut self, definition: &FunctionDefinition<'_>, out: &mut Vec<u8>) -> Result<(), Verdict> {
        if definition.name.len() + definition.help.len() + definition.tags.len() > MOST_FUNCTION_TEXT {
            return Err(mistaken(format!("a function says more than {MOST_FUNCTION_TEXT} bytes of itself")));
        }
        let is_new = !self.functions.contains_key(definition.name);
        if is_new && self.functions.len() >= MOST_FUNCTIONS {
            return Err(mistaken(format!("it has more than {MOST_FUNCTIONS} functions")));
        }
        if !definition.global {
            self.say_chart("FUNCTION", out)?;
        }
        self.offers_changed |= is_new;
        let known: usize = self.functions.values().map(BTreeSet::len).sum();
        let charts = self.functions.entry(definition.name.into()).or_default();
        if let Some(chart) = self.scope.as_ref().filter(|_| !definition.global)
            && !charts.contains(chart)
        {
            if known >= MOST_CHARTS_WITH_FUNCTIONS {
                return Err(mistaken(format!(
                    "more than {MOST_CHARTS_WITH_FUNCTIONS} charts have functions"
                )));
            }
            charts.insert(chart.clone());
        }
        self.encoder.encode(&Command::Function(*definition), out);
        Ok(())
    }

    fn begin(&mut self, now_us: i64, id: &[u8], microseconds: i64) -> Result<(), Verdict> {
        let known = self
            .charts
            .get(id)
            .ok_or_else(|| mistaken(format!("BEGIN of the unknown chart '{}'", shown(id))))?;
        let (microseconds, collected_us) = interval(known, now_us, microseconds);
        self.leave_chart();
        let mut text = Vec::new();
        self.encoder.encode(&Command::Begin { chart: id, microseconds }, &mut text);
        self.scope = Some(id.into());
        // Another chart may have been said last.
        self.is_said = false;
        self.open = Some(Open { text, collected_us });
        Ok(())
    }

    fn set(&mut self, dimension: &[u8], value: Option<i64>) -> Result<(), Verdict> {
        let known = self.scope.as_ref().and_then(|scope| self.charts.get(scope));
        let (Some(known), Some(open)) = (known, &mut self.open) else {
            return Err(mistaken("SET outside of BEGIN and END"));
        };
        if !known.dimensions.contains(dimension) {
            return Err(mistaken(format!("SET of the unknown dimension '{}'", shown(dimension))));
        }
        if open.text.len() > MOST_COLLECTION_BYTES {
            let message = format!("a collection is longer than {MOST_COLLECTION_BYTES} bytes");
            return Err(Verdict::Unintelligible(message));
        }
        self.encoder.encode(&Command::Set { dimension, value }, &mut open.text);
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Verdict> {
        let known = self.scope.as_ref().and_then(|scope| self.charts.get_mut(scope));
        let (Some(known), Some(mut open)) = (known, self.open.take()) else {
            return Err(mistaken("END without BEGIN"));
        };
        known.collected_us = Some(open.collected_us);
        self.encoder.encode(&Command::End, &mut open.text);
        out.append(&mut open.text);
        self.leave_chart();
        self.is_said = false;
        self.collections += 1;
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

#[cfg(test)]
mod tests;
