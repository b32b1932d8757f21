//! Labels: names and values that a child gives to itself or to a chart.

use std::sync::Arc;

use dbengine::tight;
use ecow::EcoString;
use serde::{Deserialize, Serialize};

/// Where a label comes from: bits, several may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LabelSource(u32);

impl LabelSource {
    /// The bits that are not an agent's internal marks (29 to 31).
    const MEANINGFUL: u32 = 0x1FFF_FFFF;
    const AUTOMATIC: u32 = 1;

    /// From the number on the wire.
    pub fn from_wire(bits: u32) -> Self {
        Self(bits & Self::MEANINGFUL)
    }

    /// The number as the protocol writes it.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// Found by the agent itself, not configured by its user.
    pub fn is_automatic(self) -> bool {
        self.0 & Self::AUTOMATIC != 0
    }
}

/// A label's value as every parent keeps it: letters, digits, space and a few signs; `;` and `=` become `:`, `,` becomes
/// `.`, `\` becomes `/`, everything else that is ASCII `_`.
pub fn clean_value(value: &str) -> EcoString {
    let clean = |character: char| match character {
        ';' | '=' => ':',
        ',' => '.',
        '\\' => '/',
        kept if kept.is_ascii_alphanumeric() || !kept.is_ascii() || ".-_/:@()+ ".contains(kept) => kept,
        _ => '_',
    };
    value.chars().map(clean).collect()
}

/// One label. Part of the format of [`store::record`](super::store::record).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    pub name: EcoString,
    pub value: EcoString,
    pub source: LabelSource,
}

/// A set of labels in the order they came; names are unique. A clone shares them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Label>", into = "Vec<Label>")]
pub struct Labels(Arc<Vec<Label>>);

impl From<Vec<Label>> for Labels {
    fn from(labels: Vec<Label>) -> Labels {
        Labels(Arc::new(labels))
    }
}

impl From<Labels> for Vec<Label> {
    fn from(labels: Labels) -> Vec<Label> {
        Arc::unwrap_or_clone(labels.0)
    }
}

impl Labels {
    /// Adds a label, or replaces the one of that name.
    pub fn insert(&mut self, label: Label) {
        let labels = Arc::make_mut(&mut self.0);
        match labels.iter_mut().find(|known| known.name == label.name) {
            Some(known) => *known = label,
            None => tight::push(labels, label),
        }
    }

    /// Shares those of `others` if they are the same: those of neighbouring charts mostly are.
    pub fn share(&mut self, others: &Labels) {
        if self.0 == others.0 {
            self.0 = Arc::clone(&others.0);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Label> + Clone {
        self.0.iter()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|label| &*label.name == name).map(|label| &*label.value)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
