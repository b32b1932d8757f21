//! What a child sends, handed on to the [`Sender`] of its host.

use std::sync::Arc;

use dbengine::{Engine, UnixSeconds};

use super::chart::{ChartIndex, MirroredChart};
use super::{Mirror, Receiver, Surroundings};
use crate::collect::Collection;
use crate::sender::{Facts, Sender, Stand};

impl MirroredChart {
    /// Where its arithmetic stands. Samples that come ready made stand at the newest of them.
    pub fn stand(&self, newest: Option<(UnixSeconds, &[f32])>) -> Option<Stand> {
        if let Some(collector) = &self.collector {
            let (last_collected_us, last_updated_us) = collector.times()?;
            let dimensions = collector.carried().collect();
            return Some(Stand { last_collected_us, last_updated_us, dimensions });
        }
        let (time, values) = newest?;
        let collected = |column: usize| self.collected.get(column).copied().unwrap_or(0);
        let dimensions =
            values.iter().enumerate().map(|(column, value)| (collected(column), f64::from(*value))).collect();
        let newest_us = time.0.saturating_mul(1_000_000);
        Some(Stand { last_collected_us: newest_us, last_updated_us: newest_us, dimensions })
    }
}

impl Mirror {
    /// What there is of a chart for a parent. `None`: not enough to begin with.
    pub fn facts(
        &self,
        chart: ChartIndex,
        collects: bool,
        engine: &Engine,
        sender: &Sender,
    ) -> Option<Facts> {
        let mirrored = &self.charts()[chart.index()];
        let newest = engine.newest(mirrored.group);
        let stand = mirrored.stand(newest);
        if collects && stand.is_none() {
            return None;
        }
        let kept = self.keeps_rows().then(|| {
            let Kept { first, last, .. } = kept(engine, mirrored, sender.oldest(mirrored.chart.key));
            (first, last)
        });
        Some(Facts {
            collects,
            stand,
            kept,
            newest: newest.map(|(time, values)| (time.0, values.to_vec())),
            functions: Arc::clone(self.functions()),
        })
    }
}

/// The rows of a chart that can be sent, unix seconds; 0 for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub first: i64,
    pub last: i64,
    /// From here on no disk is needed.
    pub first_in_memory: i64,
}

/// `oldest` is that of the disk.
pub fn kept(engine: &Engine, mirrored: &MirroredChart, oldest: Option<i64>) -> Kept {
    let in_memory = engine.read(mirrored.group, dbengine::TimeRange::ALL).span();
    let last = engine.newest_time(mirrored.group).0;
    let first_in_memory = in_memory.map_or(last.saturating_add(1), |span| span.first.0);
    let first = oldest.map_or(first_in_memory, |oldest| oldest.min(first_in_memory));
    if first > last {
        Kept { first: 0, last: 0, first_in_memory: 0 }
    } else {
        Kept { first, last, first_in_memory }
    }
}

/// Collected values, for a parent that takes them.
pub(super) fn pass_on(
    sender: &mut Sender,
    chart: ChartIndex,
    mirrored: &MirroredChart,
    collection: &Collection,
) {
    if let Some(collector) = &mirrored.collector {
        let collected_us = collector.times().map_or(0, |(collected_us, _)| collected_us);
        sender.collected(chart.index(), collector.interval_us(), collected_us, collection.collected());
    }
}

impl Receiver {
    /// Defines a chart for the parent before its next row, if that is not done. One whose past is still being asked for
    /// waits: its parent would not get that any more.
    #[inline]
    pub(super) fn announce(&mut self, chart: ChartIndex, around: &mut Surroundings<'_>) {
        let Some(sender) = &mut around.sender else { return };
        if !sender.needs(chart.index(), &around.mirror.charts()[chart.index()].chart)
            || self.charts[chart.index()].is_filling
        {
            return;
        }
        if let Some(facts) = around.mirror.facts(chart, self.collects, around.engine, sender) {
            let description = &around.mirror.charts()[chart.index()].chart;
            sender.define(chart.index(), description, &facts, around.now_us);
        }
    }

    /// A row of samples that came ready made.
    pub(super) fn pass_row_on(&mut self, chart: ChartIndex, time: i64, around: &mut Surroundings<'_>) {
        let Surroundings { mirror, sender: Some(sender), .. } = around else { return };
        let mirrored = &mirror.charts()[chart.index()];
        let (columns, wall_clock) = (mirrored.columns, self.row_collected_at);
        let collected = |column: usize| mirrored.collected.get(column).copied().unwrap_or(0);
        sender.stored(chart.index(), (time, wall_clock), self.row(columns), collected);
    }

    /// Whether values of its child arrive as collected.
    pub fn collects(&self) -> bool {
        self.collects
    }
}
