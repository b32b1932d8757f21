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
//! - Whatever a plugin leaves out is filled in: the plugin's name, its interval, the microseconds since the last collection,
//!   the labels that say whose a chart is.
//! - What a plugin collects of virtual nodes, hosts of their own, comes out beside, as the same kind of text for each.
//! - What it may not say ends it, with a [`Verdict`]. All that it can make us hold is bounded.
//!
//! No process and no clock: bytes come in, with the time of their reading.
//!
//! Source: configuration reference section 11.

mod host;

mod node;

mod settings;

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::wire::Encoder;
use crate::wire::capability::Capabilities;
use crate::wire::command::{Command, FunctionDefinition};
use crate::wire::parser::{ParseError, Parser};
use host::{Applied, Common, HostText};
use node::Nodes;
pub use node::{NodeDefinition, NodePiece};
use settings::Settings;

/// The longest result of a function; a receiver takes no longer one, and says so to the caller.
const MOST_RESULT_BYTES: usize = 10 << 20;
/// Functions, and charts that have them, all functions together.
const MOST_FUNCTIONS: usize = 100;
const MOST_CHARTS_WITH_FUNCTIONS: usize = 2000;
/// What a function says of itself.
const MOST_FUNCTION_TEXT: usize = 8 << 10;

/// What a plugin may not do, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Verdict {
    /// It asked for it.
    #[error("it asked to be disabled")]
    Disable,
    /// It asked to be ended.
    #[error("it asked to be ended")]
    Exit,
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

/// A function's result whose end has not come.
#[derive(Debug)]
struct PartOfResult {
    transaction: Vec<u8>,
    text: Vec<u8>,
}

/// The text of one plugin.
#[derive(Debug)]
pub struct PluginText {
    common: Common,
    parser: Parser,
    /// The start of a line whose end has not come.
    partial: Vec<u8>,
    own: HostText,
    nodes: Nodes,
    settings: Settings,
    /// With the charts that have them.
    functions: BTreeMap<Box<[u8]>, BTreeSet<Box<[u8]>>>,
    /// It offers others than when that was asked last.
    offers_changed: bool,
    result: Option<PartOfResult>,
    /// Transactions whose results came out.
    answered: Vec<Vec<u8>>,
    /// Collections in this run.
    collections: u64,
}

fn mistaken(text: impl Into<String>) -> Verdict {
    Verdict::Mistaken(text.into())
}

fn unknown(keyword: &[u8]) -> Verdict {
    Verdict::Unintelligible(format!("it wrote the unknown command '{}'", shown(keyword)))
}

fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 100;
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]);
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

impl PluginText {
    pub fn new(file_name: &str, update_every_s: u32, bounds: Bounds) -> Self {
        let encoder = Encoder::new(Capabilities::NONE);
        Self {
            common: Common { file_name: file_name.into(), update_every_s, bounds, encoder },
            parser: Parser::new(),
            partial: Vec::new(),
            own: HostText::default(),
            nodes: Nodes::default(),
            settings: Settings::default(),
            functions: BTreeMap::new(),
            offers_changed: false,
            result: None,
            answered: Vec::new(),
            collections: 0,
        }
    }

    /// The plugin was started anew. What it has defined stays.
    pub fn begin_run(&mut self) {
        self.parser = Parser::new();
        self.partial = Vec::new();
        self.own.leave_chart();
        self.nodes.begin_run();
        self.settings = Settings::default();
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
            self.common.encoder.encode(&Command::FunctionDel { global: true, name: &name }, out);
        }
    }

    /// Transactions whose results came out since this was asked last.
    pub fn take_answered(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.answered)
    }

    /// Lines for its standard input, since this was asked last.
    pub fn take_lines(&mut self) -> Vec<Vec<u8>> {
        self.settings.take_lines()
    }

    /// What has come out for virtual nodes since this was asked last, in order.
    pub fn take_node_pieces(&mut self) -> Vec<NodePiece> {
        self.nodes.take_pieces()
    }

    /// What it says of a virtual node.
    pub fn node(&self, machine_guid: Uuid) -> Option<&NodeDefinition> {
        self.nodes.definition(machine_guid)
    }

    /// Appends all that it has said of a virtual node and its charts, for a receiver that has not heard of them.
    pub fn describe_node(&mut self, machine_guid: Uuid, out: &mut Vec<u8>) {
        self.nodes.describe(machine_guid, &mut self.common, out);
    }

    /// Takes what the plugin wrote, and appends the pieces for our own host that are complete with it. What it said before a
    /// mistake counts.
    pub fn read(&mut self, now_us: i64, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Verdict> {
        self.own.interrupt();
        self.nodes.interrupt();
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
        let (host, host_out) = match self.nodes.current() {
            Some((host, host_out)) => (host, host_out),
            None => (&mut self.own, &mut *out),
        };
        match host.apply(now_us, command, &mut self.common, host_out)? {
            Applied::Collection => {
                self.collections += 1;
                return Ok(());
            }
            Applied::Yes => return Ok(()),
            Applied::No => {}
        }
        match *command {
            // Nobody could call those of a virtual node.
            Command::Function(_) | Command::FunctionDel { .. } if self.nodes.current().is_some() => Ok(()),
            Command::Function(ref definition) => self.function(definition, out),
            Command::FunctionDel { name, .. } => {
                if self.functions.remove(name).is_some() {
                    self.offers_changed = true;
                    self.common.encoder.encode(command, out);
                }
                Ok(())
            }
            Command::FunctionProgress { .. } => {
                self.common.encoder.encode(command, out);
                Ok(())
            }
            Command::FunctionResultBegin { transaction, .. } => {
                let mut text = Vec::new();
                self.common.encoder.encode(command, &mut text);
                self.result = Some(PartOfResult { transaction: transaction.to_vec(), text });
                Ok(())
            }
            Command::Payload(_) | Command::PayloadPart(_) => {
                if let Some(PartOfResult { text, .. }) = &mut self.result
                    && text.len() <= MOST_RESULT_BYTES
                {
                    self.common.encoder.encode(command, text);
                }
                Ok(())
            }
            Command::FunctionResultEnd => {
                if let Some(PartOfResult { transaction, mut text }) = self.result.take()
                    && !self.settings.asked(&transaction)
                {
                    if text.last() != Some(&b'\n') {
                        text.push(b'\n');
                    }
                    out.append(&mut text);
                    self.common.encoder.encode(command, out);
                    self.answered.push(transaction);
                }
                Ok(())
            }
            // Meant for streaming.
            Command::Label { .. } | Command::Overwrite => Ok(()),
            Command::Ignored { keyword, rest } => self.of_plugins(keyword, rest),
            Command::Unknown { keyword } => Err(unknown(keyword)),
            _ => Err(Verdict::Unintelligible("it wrote a command of children".to_owned())),
        }
    }

    /// What only plugins say.
    fn of_plugins(&mut self, keyword: &[u8], rest: &[u8]) -> Result<(), Verdict> {
        match keyword {
            b"FLUSH" => match self.nodes.current() {
                Some((host, _)) => host.leave_chart(),
                None => self.own.leave_chart(),
            },
            b"DISABLE" => return Err(Verdict::Disable),
            b"EXIT" => return Err(Verdict::Exit),
            b"CONFIG" => self.settings.read(rest),
            b"HOST" | b"HOST_DEFINE" | b"HOST_LABEL" | b"HOST_DEFINE_END" => {
                self.nodes.read(keyword, rest, &mut self.common)?;
            }
            // Nothing follows from them here; those of jobs are of experiments before `CONFIG`.
            b"TRUST_DURATIONS"
            | b"PLUGIN_KEEPALIVE"
            | b"DYNCFG_ENABLE"
            | b"DYNCFG_REGISTER_MODULE"
            | b"DYNCFG_REGISTER_JOB"
            | b"DYNCFG_RESET"
            | b"REPORT_JOB_STATUS"
            | b"DELETE_JOB" => {}
            _ => return Err(unknown(keyword)),
        }
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
            self.own.say_scope("FUNCTION", out)?;
        }
        self.offers_changed |= is_new;
        let known: usize = self.functions.values().map(BTreeSet::len).sum();
        let charts = self.functions.entry(definition.name.into()).or_default();
        if let Some(chart) = self.own.scope().filter(|_| !definition.global)
            && !charts.contains(chart)
        {
            if known >= MOST_CHARTS_WITH_FUNCTIONS {
                return Err(mistaken(format!(
                    "more than {MOST_CHARTS_WITH_FUNCTIONS} charts have functions"
                )));
            }
            charts.insert(chart.into());
        }
        self.common.encoder.encode(&Command::Function(*definition), out);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
