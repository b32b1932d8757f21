//! [`Nodes`]: the virtual nodes of a plugin, hosts of their own that it collects from afar.
//!
//! ```text
//! HOST_DEFINE guid hostname, HOST_LABEL key value …, HOST_DEFINE_END   what follows is of this node
//! HOST guid                                                            what follows is of a node that it has defined
//! HOST localhost                                                       what follows is of our own host
//! ```
//!
//! Source: Netdata 2.x, external plugins.

use std::collections::HashMap;

use uuid::Uuid;

use super::host::{Common, HostText};
use super::{Verdict, mistaken, shown};
use crate::wire::command::Command;
use crate::wire::word::{Separators, Words};

/// Nodes of a plugin.
const MOST_NODES: usize = 1000;
/// Labels of a node, and bytes of one.
const MOST_LABELS: usize = 200;
const MOST_LABEL_BYTES: usize = 1024;
/// Netdata's for a label that a configuration says.
const CONFIGURED: u32 = 2;

/// What a plugin says of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDefinition {
    pub machine_guid: Uuid,
    pub hostname: String,
    /// By their keys, in the order in which they came.
    pub labels: Vec<(String, String)>,
}

/// Text for the receiver of a virtual node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePiece {
    pub machine_guid: Uuid,
    pub text: Vec<u8>,
}

#[derive(Debug)]
struct Node {
    definition: NodeDefinition,
    text: HostText,
}

/// All of one plugin.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    all: HashMap<Uuid, Node>,
    /// The one that is spoken of; else it is our own host.
    current: Option<Uuid>,
    /// Between `HOST_DEFINE` and `HOST_DEFINE_END`.
    defining: Option<NodeDefinition>,
    /// What has come out since it was taken.
    pieces: Vec<NodePiece>,
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

impl Nodes {
    /// A line of the keywords that begin with `HOST`.
    pub(super) fn read(&mut self, keyword: &[u8], rest: &[u8], common: &mut Common) -> Result<(), Verdict> {
        let mut words = Words::new(rest, Separators::FromChild);
        let wrong = |why: &str| mistaken(format!("{}: {why}", String::from_utf8_lossy(keyword)));
        let first = words.next().unwrap_or_default();
        let second = words.next().unwrap_or_default();
        let guid =
            || Uuid::try_parse_ascii(first).map_err(|_| wrong(&format!("'{}' is no GUID", shown(first))));
        match keyword {
            b"HOST" => {
                self.current = match first {
                    b"" | b"localhost" => None,
                    _ => Some(guid()?).filter(|guid| self.all.contains_key(guid)),
                };
                if self.current.is_none() && !matches!(first, b"" | b"localhost") {
                    return Err(wrong(&format!("the virtual node {} is not defined", shown(first))));
                }
                self.interrupt();
            }
            b"HOST_DEFINE" if self.defining.is_some() => return Err(wrong("another definition has no end")),
            b"HOST_DEFINE" => {
                if second.is_empty() {
                    return Err(wrong("word 2, the hostname, is missing"));
                }
                let (machine_guid, hostname) = (guid()?, text(second));
                self.defining = Some(NodeDefinition { machine_guid, hostname, labels: Vec::new() });
            }
            b"HOST_LABEL" => {
                let node = self.defining.as_mut().ok_or_else(|| wrong("no definition has begun"))?;
                if first.is_empty() {
                    return Err(wrong("word 1, the label's key, is missing"));
                }
                if node.labels.len() >= MOST_LABELS || first.len() + second.len() > MOST_LABEL_BYTES {
                    return Err(wrong(&format!(
                        "a virtual node has more than {MOST_LABELS} labels, or one of more than {MOST_LABEL_BYTES} bytes"
                    )));
                }
                node.labels.push((text(first), text(second)));
            }
            _ => {
                let definition = self.defining.take().ok_or_else(|| wrong("no definition has begun"))?;
                self.define(definition, common)?;
            }
        }
        Ok(())
    }

    fn define(&mut self, definition: NodeDefinition, common: &mut Common) -> Result<(), Verdict> {
        let guid = definition.machine_guid;
        let count = self.all.len();
        match self.all.get_mut(&guid) {
            Some(node) if node.definition == definition => {}
            Some(node) => {
                node.definition = definition;
                let mut labels = Vec::new();
                node.describe(common, &mut labels);
                self.piece(guid).append(&mut labels);
            }
            None if count >= MOST_NODES => {
                return Err(mistaken(format!("it has more than {MOST_NODES} virtual nodes")));
            }
            None => {
                self.all.insert(guid, Node { definition, text: HostText::default() });
                // One without charts is there, too.
                self.piece(guid);
            }
        }
        self.current = Some(guid);
        self.interrupt();
        Ok(())
    }

    /// The text of the node that is spoken of, and where what comes of it goes.
    pub(super) fn current(&mut self) -> Option<(&mut HostText, &mut Vec<u8>)> {
        let guid = self.current?;
        if self.pieces.last().is_none_or(|piece| piece.machine_guid != guid) {
            self.pieces.push(NodePiece { machine_guid: guid, text: Vec::new() });
        }
        Some((&mut self.all.get_mut(&guid)?.text, &mut self.pieces.last_mut()?.text))
    }

    fn piece(&mut self, machine_guid: Uuid) -> &mut Vec<u8> {
        self.pieces.push(NodePiece { machine_guid, text: Vec::new() });
        let last = self.pieces.len() - 1;
        &mut self.pieces[last].text
    }

    /// Text of others may stand before what comes out of any of them.
    pub(super) fn interrupt(&mut self) {
        self.all.values_mut().for_each(|node| node.text.interrupt());
    }

    /// The plugin was started anew. What it has defined stays.
    pub(super) fn begin_run(&mut self) {
        self.current = None;
        self.defining = None;
        self.all.values_mut().for_each(|node| node.text.leave_chart());
    }

    pub(super) fn take_pieces(&mut self) -> Vec<NodePiece> {
        std::mem::take(&mut self.pieces)
    }

    pub(super) fn definition(&self, machine_guid: Uuid) -> Option<&NodeDefinition> {
        self.all.get(&machine_guid).map(|node| &node.definition)
    }

    /// Appends all that was said of a node and its charts, for a receiver that has not heard of them.
    pub(super) fn describe(&self, machine_guid: Uuid, common: &mut Common, out: &mut Vec<u8>) {
        if let Some(node) = self.all.get(&machine_guid) {
            node.describe(common, out);
            node.text.definitions(out);
        }
    }
}

impl Node {
    /// Appends its labels.
    fn describe(&self, common: &mut Common, out: &mut Vec<u8>) {
        for (key, value) in &self.definition.labels {
            let label = Command::Label { key: key.as_bytes(), value: value.as_bytes(), source: CONFIGURED };
            common.encoder.encode(&label, out);
        }
        common.encoder.encode(&Command::Overwrite, out);
    }
}
