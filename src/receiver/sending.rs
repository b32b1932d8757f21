//! What a child sends, handed on to the [`Sender`] of its host.

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
    pub fn facts(&self, chart: ChartIndex, collects: bool, engine: &Engine) -> Option<Facts> {
        let mirrored = &self.charts()[chart.index()];
        let newest = engine.newest(mirrored.group);
        let stand = mirrored.stand(newest);
        if collects && stand.is_none() {
            return None;
        }
        let kept = self.keeps_rows().then(|| kept(engine, mirrored));
        Some(Facts { collects, stand, kept, newest: newest.map(|(time, values)| (time.0, values.to_vec())) })
    }
}

/// The first and the last row of a chart that can be sent without a look at the disk; 0 for none.
pub fn kept(engine: &Engine, mirrored: &MirroredChart) -> (i64, i64) {
    let span = engine.read(mirrored.group, dbengine::TimeRange::ALL).span();
    span.map_or((0, 0), |span| (span.first.0, span.last.0))
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
        if let Some(facts) = around.mirror.facts(chart, self.collects, around.engine) {
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
