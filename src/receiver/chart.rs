//! One chart of a mirrored host: its description, and what is known of it from connection to connection.

use std::collections::HashMap;
use std::sync::Arc;

use dbengine::GroupId;
use ecow::EcoString;

use crate::catalog::{Chart, Dimension, Missing};
use crate::collect::{Collector, Reading};

/// Dimensions from which on an id is looked up by hash when it is not the expected one.
const HASHED_FROM_DIMENSIONS: usize = 16;

/// Place of a chart in its mirror, until charts are forgotten: then [`Moved`] says its new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartIndex(pub(super) u32);

impl ChartIndex {
    pub fn index(self) -> usize {
        self.0 as usize
    }

    /// The place of the chart that was defined as number `index`, from 0 on.
    #[cfg(test)]
    pub fn nth(index: usize) -> Self {
        Self(index as u32)
    }
}

/// Where charts are after some were forgotten, by where they were.
#[derive(Debug)]
pub struct Moved(pub(super) Vec<Option<ChartIndex>>);

impl Moved {
    /// None: it is forgotten, or was never there.
    pub(super) fn place(&self, chart: ChartIndex) -> Option<ChartIndex> {
        *self.0.get(chart.index())?
    }
}

pub(super) type ById = HashMap<Box<[u8]>, u32, foldhash::quality::RandomState>;

/// One chart of a mirrored host.
#[derive(Debug)]
pub struct MirroredChart {
    /// As in the description; here for those who have no time to look there.
    pub(super) group: GroupId,
    pub(super) update_every: u32,
    pub(super) columns: usize,
    /// As in its record in the store.
    pub(super) ordinal: u32,
    /// The store is to be told of it, and it is in the list for that.
    pub(super) unsaved: bool,
    /// The same of what is missing of it.
    pub(super) unsaved_missing: bool,
    /// None: nothing is.
    pub(super) missing: Option<Box<Missing>>,
    pub chart: Arc<Chart>,
    /// Only for charts that came as v1 data.
    pub(super) collector: Option<Box<Collector>>,
    /// Newest collected value a dimension, of v2 data.
    pub(super) collected: Vec<i64>,
    /// When the newest v2 data was collected, unix seconds.
    pub(super) collected_at: i64,
    /// The chart whose data followed this one's last time: the first guess for what comes next.
    pub(super) follower: ChartIndex,
    /// Those that were looked for by hash so far, of a chart that has many.
    pub(super) dimensions_by_id: Option<Box<ById>>,
}

impl MirroredChart {
    /// As in its record in the store.
    pub fn ordinal(&self) -> u32 {
        self.ordinal
    }

    /// How many rows are missing of it.
    pub(super) fn missing_rows(&self) -> u64 {
        let step = u64::from(self.update_every);
        self.missing.as_ref().map_or(0, |missing| missing.seconds().div_ceil(step))
    }

    /// The dimension of this id, looked for.
    #[cold]
    pub(super) fn search_dimension(&mut self, id: &[u8]) -> Option<usize> {
        let dimensions = &self.chart.dimensions;
        if dimensions.len() < HASHED_FROM_DIMENSIONS {
            let found = dimensions.iter().position(|dimension| dimension.id.as_bytes() == id);
            return found.or_else(|| {
                let readable = readable_if_damaged(id)?;
                dimensions.iter().position(|dimension| *dimension.id == *readable)
            });
        }
        let by_id = self.dimensions_by_id.get_or_insert_default();
        for (index, dimension) in dimensions.iter().enumerate().skip(by_id.len()) {
            by_id.insert(dimension.id.as_bytes().into(), index as u32);
        }
        let found = by_id.get(id).copied();
        found.or_else(|| by_id.get(readable_if_damaged(id)?.as_bytes()).copied()).map(|index| index as usize)
    }

    /// The collector of v1 data, made at the first need.
    pub(super) fn collector(&mut self) -> &mut Collector {
        let chart = &self.chart;
        self.collector.get_or_insert_with(|| {
            let mut collector = Collector::new(chart.update_every, chart.store_first);
            for dimension in &chart.dimensions {
                collector.add_dimension(reading(dimension));
            }
            Box::new(collector)
        })
    }

    /// Where the arithmetic of v1 data stands.
    #[cfg(test)]
    pub(crate) fn collector_state(&self) -> Option<crate::collect::State> {
        Some(self.collector.as_ref()?.state())
    }

    /// The last collected value of a dimension, before multiplier and divisor, and when it was collected (unix
    /// microseconds).
    pub fn last_collected(&self, dimension: usize) -> Option<(i64, i64)> {
        if let Some(collector) = &self.collector {
            return collector.last_collected(dimension);
        }
        let value = self.collected.get(dimension)?;
        (self.collected_at > 0).then_some((*value, self.collected_at * 1_000_000))
    }
}

pub(super) fn reading(dimension: &Dimension) -> Reading {
    Reading {
        algorithm: dimension.algorithm,
        multiplier: dimension.multiplier(),
        divisor: dimension.divisor(),
        no_reset_flag: dimension.no_reset,
    }
}

/// The name of a chart with its type in front. No name is an empty one, `NULL` and `(NULL)`; a given one may or may
/// not start with the type. Bytes that are not ASCII letters, digits, `.`, `-` or `_` become `_`, as at every parent.
pub(super) fn chart_name(id: &EcoString, type_name: &str, given: &[u8]) -> EcoString {
    let given = String::from_utf8_lossy(given);
    let bare = given.strip_prefix(type_name).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&given);
    let unnamed = bare.is_empty() || ["NULL", "(NULL)"].iter().any(|none| bare.eq_ignore_ascii_case(none));
    if unnamed {
        return id.clone();
    }
    let clean =
        |byte: u8| if byte.is_ascii_alphanumeric() || b".-_".contains(&byte) { byte as char } else { '_' };
    format!("{type_name}.{}", bare.bytes().map(clean).collect::<String>()).into()
}

/// What a child sent as text; bytes that are not UTF-8 are replaced.
pub(super) fn text(bytes: &[u8]) -> EcoString {
    EcoString::from(String::from_utf8_lossy(bytes))
}

/// The readable form of an id that is not valid UTF-8, under which its definition is kept.
pub(super) fn readable_if_damaged(id: &[u8]) -> Option<EcoString> {
    std::str::from_utf8(id).is_err().then(|| text(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chart_names_carry_their_type_once() {
        let cases = [
            ("", "t1.inc"),
            ("NULL", "t1.inc"),
            ("(null)", "t1.inc"),
            ("inc_name", "t1.inc_name"),
            ("t1.inc_name", "t1.inc_name"),
            ("inc name/ü", "t1.inc_name___"),
        ];
        for (given, expected) in cases {
            assert_eq!(&*chart_name(&"t1.inc".into(), "t1", given.as_bytes()), expected, "{given:?}");
        }
    }
}
