//! What a child sends, handed on to the [`Sender`] of its host.

use std::num::NonZeroU32;
use std::sync::Arc;

use dbengine::{Engine, UnixSeconds};

use super::chart::{ChartIndex, MirroredChart};
use super::{DisconnectReason, Mirror, Receiver, Surroundings};
use crate::catalog::{Chart, HostInfo};
use crate::collect::Collection;
use crate::sender::{Facts, Sender, Slots, Stand};
use crate::wire::command::{Collected, Command, PointFlags, Reference, Slot};
use crate::wire::{Onward, Packet, Reader, Visitor};

/// Where a description lies that a line may change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Described {
    Chart(*const Chart),
    Host(*const HostInfo),
}

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

/// Whether a unit of collected values that has begun, `microseconds` after the one before, goes on as it is.
#[inline]
pub(super) fn passes_collected(microseconds: i64, chart: ChartIndex, around: &mut Surroundings<'_>) -> bool {
    let Some(sender) = &mut around.sender else { return true };
    let mirrored = &around.mirror.charts()[chart.index()];
    let Some(collector) = &mirrored.collector else { return false };
    let intervals = (microseconds, collector.interval_us());
    sender.passes_collected(chart.index(), &mirrored.chart, intervals, around.now_us)
}

/// The receiver of a child, as the one who reads its lines.
#[derive(Debug)]
pub struct Listener<'r, 'a> {
    pub receiver: &'r mut Receiver,
    pub around: Surroundings<'a>,
}

impl<'l> Visitor<'l> for Listener<'_, '_> {
    type Output = Result<Onward, Box<DisconnectReason>>;

    #[inline(always)]
    fn command(&mut self, command: Command<'l>) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.apply(command, &mut self.around).map_err(Box::new)
    }

    #[inline(always)]
    fn head(&self) -> &[u8] {
        self.receiver.head()
    }

    #[inline(always)]
    fn begin_expected(&mut self, microseconds: i64) -> Option<Self::Output> {
        self.receiver.begin_expected(microseconds, &mut self.around)?;
        self.around.counters.commands += 1;
        Some(Ok(self.receiver.onward()))
    }

    #[inline(always)]
    fn begin2_expected(&mut self, update_every: u32, end_time: i64, wall_clock: i64) -> Option<Self::Output> {
        self.receiver.begin2_expected((update_every, end_time, wall_clock), &mut self.around)?;
        self.around.counters.commands += 1;
        Some(Ok(self.receiver.onward()))
    }

    #[inline(always)]
    fn set_expected(&mut self, value: i64) -> Option<Self::Output> {
        self.receiver.set_expected(value, &mut self.around)?;
        self.around.counters.commands += 1;
        Some(Ok(self.receiver.onward()))
    }

    #[inline(always)]
    fn set2_expected(&mut self, collected: Collected, value: f64, flags: PointFlags) -> Option<Self::Output> {
        self.receiver.set2_expected((collected, value, flags), &mut self.around)?;
        self.around.counters.commands += 1;
        Some(Ok(self.receiver.onward()))
    }

    #[inline(always)]
    fn begin(&mut self, chart: &'l [u8], microseconds: i64) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.begin(chart, microseconds, &mut self.around)?;
        Ok(self.receiver.onward())
    }

    #[inline(always)]
    fn begin2(
        &mut self,
        chart: Reference<'l>,
        update_every: u32,
        end_time: i64,
        wall_clock: i64,
    ) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.begin2(chart, update_every, end_time, wall_clock, &mut self.around)?;
        Ok(self.receiver.onward())
    }

    #[inline(always)]
    fn end(&mut self) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.end(&mut self.around)?;
        Ok(self.receiver.onward_at_end(&self.around))
    }

    #[inline(always)]
    fn end2(&mut self) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.end2(&mut self.around)?;
        Ok(self.receiver.onward_at_end(&self.around))
    }

    #[inline(always)]
    fn set(&mut self, dimension: &'l [u8], value: Option<i64>) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.set(dimension, value, &mut self.around)?;
        Ok(self.receiver.onward())
    }

    #[inline(always)]
    fn set2(
        &mut self,
        dimension: Reference<'l>,
        collected: Collected,
        value: f64,
        flags: PointFlags,
    ) -> Self::Output {
        self.around.counters.commands += 1;
        self.receiver.set2(dimension, collected, value, flags, &mut self.around)?;
        Ok(self.receiver.onward())
    }
}

impl Reader<DisconnectReason> for Listener<'_, '_> {
    fn pass(&mut self, lines: &[u8], is_cut: bool) {
        if let Some(sender) = &mut self.around.sender {
            sender.pass(lines, is_cut, self.receiver.is_inside_passed());
        }
    }

    fn pass_packet(&mut self, packet: Packet<'_>) -> bool {
        let is_inside = self.receiver.is_inside_passed();
        self.around.sender.as_mut().is_some_and(|sender| sender.pass_packet(packet, is_inside))
    }
}

impl Receiver {
    /// A link to a parent has begun: the rest of the unit that is coming, if one is, would be none to it.
    pub fn begin_link(&mut self) {
        self.passing = false;
    }

    /// The last line belongs to a unit that goes on and is not complete.
    fn is_inside_passed(&self) -> bool {
        self.passing && self.scope.is_some()
    }

    /// What becomes of a line inside a unit.
    #[inline(always)]
    pub(super) fn onward(&self) -> Onward {
        if self.passing { Onward::AsItIs } else { Onward::Told }
    }

    /// What becomes of the line that ended a unit.
    #[inline]
    pub(super) fn onward_at_end(&self, around: &Surroundings<'_>) -> Onward {
        match &around.sender {
            Some(sender) if self.passing && sender.has_own() => Onward::AsItIsThenOwn,
            _ => self.onward(),
        }
    }

    /// What becomes of the line that set a variable of a chart, or of the host; `before` is what was described before.
    pub(super) fn onward_of_variable(
        &self,
        chart: Option<ChartIndex>,
        before: Described,
        around: &mut Surroundings<'_>,
    ) -> Onward {
        let Surroundings { mirror, sender: Some(sender), .. } = around else { return Onward::Told };
        let is_inside = self.is_inside_passed();
        match (chart, before) {
            (Some(chart), Described::Chart(before)) if is_inside => {
                sender.follow_chart(chart.index(), before, &mirror.charts()[chart.index()].chart);
            }
            (None, Described::Host(before)) if is_inside || sender.passes_variables() => {
                sender.follow_host(before, mirror.shared_info());
            }
            _ => return Onward::Told,
        }
        Onward::AsItIs
    }

    /// The slots that the child gave to a chart and its dimensions.
    fn slots(&self, chart: ChartIndex, columns: usize) -> Slots {
        let Some(connected) = self.charts.get(chart.index()) else { return Slots::default() };
        Slots::of_child(connected.slot, self.slots_of_dimensions(chart, columns))
    }

    /// The slots that the child gave to the dimensions of a chart, in our order of them.
    pub(super) fn slots_of_dimensions(&self, chart: ChartIndex, columns: usize) -> Vec<Option<Slot>> {
        let connected = &self.charts[chart.index()];
        let mut dimensions = vec![None; columns];
        for (at, column) in connected.slots.iter().enumerate() {
            if let Some(place) = dimensions.get_mut(*column as usize) {
                *place = u32::try_from(at + 1).ok().and_then(NonZeroU32::new).map(Slot);
            }
        }
        dimensions
    }

    /// What there is of a chart for a parent. `None`: not enough to begin with.
    pub fn facts(
        &self,
        chart: ChartIndex,
        mirror: &Mirror,
        engine: &Engine,
        sender: &Sender,
    ) -> Option<Facts> {
        let mirrored = &mirror.charts()[chart.index()];
        let newest = engine.newest(mirrored.group);
        let stand = mirrored.stand(newest);
        if self.collects && stand.is_none() {
            return None;
        }
        let kept = mirror.keeps_rows().then(|| {
            let Kept { first, last, .. } = kept(engine, mirrored, sender.oldest(mirrored.chart.key));
            (first, last)
        });
        Some(Facts {
            collects: self.collects,
            stand,
            kept,
            newest: newest.map(|(time, values)| (time.0, values.to_vec())),
            functions: Arc::clone(mirror.functions()),
            slots: self.slots(chart, mirrored.chart.dimensions.len()),
        })
    }

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
        if let Some(facts) = self.facts(chart, around.mirror, around.engine, sender) {
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
}
