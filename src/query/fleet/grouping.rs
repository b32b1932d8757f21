//! What makes series one group, and what becomes of their points.

use std::ops::BitOr;

use ecow::EcoString;

/// What members of a group have in common: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupBy(u8);

impl GroupBy {
    /// All that is selected is one group.
    pub const SELECTED: GroupBy = GroupBy(0);
    pub const DIMENSION: GroupBy = GroupBy(1);
    pub const INSTANCE: GroupBy = GroupBy(2);
    pub const LABEL: GroupBy = GroupBy(4);
    pub const NODE: GroupBy = GroupBy(8);
    pub const CONTEXT: GroupBy = GroupBy(16);
    pub const UNITS: GroupBy = GroupBy(32);

    /// In the order in which they are part of a group's id.
    const WORDS: [(&str, GroupBy); 6] = [
        ("dimension", GroupBy::DIMENSION),
        ("instance", GroupBy::INSTANCE),
        ("label", GroupBy::LABEL),
        ("node", GroupBy::NODE),
        ("context", GroupBy::CONTEXT),
        ("units", GroupBy::UNITS),
    ];
    /// Of each chart, what part of it is selected.
    const PERCENTAGE_OF_INSTANCE: &str = "percentage-of-instance";

    /// Words separated by commas, bars or spaces; `None` without one that is known.
    fn parse(text: &str) -> Option<GroupBy> {
        let known = |word: &str| match word {
            "selected" => Some(GroupBy::SELECTED),
            GroupBy::PERCENTAGE_OF_INSTANCE => Some(GroupBy::INSTANCE),
            word => GroupBy::WORDS.iter().find(|(known, _)| *known == word).map(|(_, by)| *by),
        };
        text.split([',', '|', ' ']).filter_map(known).reduce(|all, one| all | one)
    }

    pub fn contains(self, other: GroupBy) -> bool {
        self.0 & other.0 == other.0
    }

    /// The words of it.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        let selected = (self == GroupBy::SELECTED).then_some("selected");
        let words = GroupBy::WORDS.into_iter().filter(move |(_, by)| self.contains(*by));
        selected.into_iter().chain(words.map(|(word, _)| word))
    }
}

impl BitOr for GroupBy {
    type Output = GroupBy;

    fn bitor(self, other: GroupBy) -> GroupBy {
        GroupBy(self.0 | other.0)
    }
}

/// What becomes of the points that members of a group have in a row; who has none does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Aggregation {
    #[default]
    Average,
    Sum,
    Min,
    Max,
    /// The one of the largest magnitude, with its sign.
    Extremes,
    /// What percent of the sum of all in scope the sum of those shown is.
    Percentage,
}

impl Aggregation {
    const NAMES: [(&str, Aggregation); 8] = [
        ("average", Aggregation::Average),
        ("avg", Aggregation::Average),
        ("mean", Aggregation::Average),
        ("sum", Aggregation::Sum),
        ("min", Aggregation::Min),
        ("max", Aggregation::Max),
        ("extremes", Aggregation::Extremes),
        ("percentage", Aggregation::Percentage),
    ];

    /// Unknown ones are averages.
    fn parse(name: &str) -> Aggregation {
        Aggregation::NAMES.iter().find(|(known, _)| *known == name).map(|(_, one)| *one).unwrap_or_default()
    }

    pub fn name(self) -> &'static str {
        Aggregation::NAMES.iter().find(|(_, one)| *one == self).map_or("average", |(name, _)| name)
    }
}

/// Labels by which groups may differ; further ones are not looked at. Each is looked for in those of every chart.
const MOST_LABELS: usize = 16;

/// A grouping, and what it makes of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    pub by: GroupBy,
    /// Labels by which groups differ, with [`GroupBy::LABEL`].
    pub labels: Vec<EcoString>,
    pub aggregation: Aggregation,
}

impl Pass {
    /// From `group_by`, `group_by_label` and `aggregation` of the first pass and the second, empty where they are not given.
    /// Groups of the first are never larger than those of the second, which they become part of.
    pub(super) fn read(passes: [[&str; 3]; 2]) -> Vec<Pass> {
        let [first, second] = passes.map(|[by, labels, aggregation]| {
            let mut named: Vec<EcoString> = Vec::new();
            for label in labels.split([',', '|']).filter(|label| !label.is_empty()) {
                if named.len() < MOST_LABELS && !named.iter().any(|known| known == label) {
                    named.push(label.into());
                }
            }
            let labels = named;
            let is_percentage = by.contains(GroupBy::PERCENTAGE_OF_INSTANCE);
            let by = match GroupBy::parse(by) {
                None if !labels.is_empty() => Some(GroupBy::LABEL),
                by => by,
            };
            by.map(|by| Pass {
                by,
                labels,
                aggregation: if is_percentage {
                    Aggregation::Percentage
                } else {
                    Aggregation::parse(aggregation)
                },
            })
        });
        let aggregation = Aggregation::parse(passes[0][2]);
        let mut first = first.unwrap_or(Pass { by: GroupBy::DIMENSION, labels: Vec::new(), aggregation });
        let Some(second) = second else { return vec![first] };
        first.by = first.by | second.by;
        let missing = second.labels.iter().filter(|label| !first.labels.contains(label));
        let missing: Vec<EcoString> = missing.cloned().collect();
        first.labels.extend(missing);
        vec![first, second]
    }
}
