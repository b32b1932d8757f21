//! What a child most likely names next, and what it names else.

use super::chart::{ChartIndex, MirroredChart, text};
use super::heads::{Expected, Record};
use super::{DisconnectReason, Mirror, Receiver, Surroundings, unknown_dimension};
use crate::wire::command::Reference;

impl Receiver {
    /// The chart that a data line names: by its slot, by what followed the previous chart last time, or by its id.
    pub(super) fn find(
        &mut self,
        reference: Reference<'_>,
        keyword: &'static str,
        around: &mut Surroundings<'_>,
    ) -> Result<ChartIndex, DisconnectReason> {
        let slotted = reference.slot.and_then(|slot| *self.slots.get(slot.0.get() as usize - 1)?);
        let guess = slotted.or_else(|| Some(around.mirror.chart(self.previous?).follower));
        let guessed = guess.and_then(|guess| {
            let connected = self.charts.get(guess.index())?;
            Some((guess, self.heads.opens(connected.heads, reference.id)?))
        });
        let (found, expected) = match guessed {
            Some(found) => found,
            None => self.search_chart(reference.id, keyword, around.mirror)?,
        };
        self.expected = expected;
        if let Some(previous) = self.previous {
            around.mirror.chart(previous).follower = found;
        }
        Ok(found)
    }

    #[cold]
    #[inline(never)]
    fn search_chart(
        &mut self,
        id: &[u8],
        keyword: &'static str,
        mirror: &Mirror,
    ) -> Result<(ChartIndex, Expected), DisconnectReason> {
        let found = mirror.search(id).filter(|found| found.index() < self.charts.len());
        let found = found.ok_or_else(|| DisconnectReason::UnknownChart { keyword, chart: text(id) })?;
        Ok((found, self.expect(found, 0, mirror)))
    }

    /// What is expected when the dimension at `index` is next. Writes down how the chart's lines begin, if that is not done.
    pub(super) fn expect(&mut self, chart: ChartIndex, index: usize, mirror: &Mirror) -> Expected {
        if !self.charts[chart.index()].heads.is_written() {
            if self.heads.is_worth_clearing(self.charts.len()) {
                self.forget_heads();
            }
            let description = &mirror.charts()[chart.index()].chart;
            let slots = self.slots_of_dimensions(chart, description.dimensions.len());
            let dimensions = description.dimensions.iter().zip(slots);
            let dimensions =
                dimensions.map(|(dimension, slot)| Reference { slot, id: dimension.id.as_bytes() });
            let connected = &mut self.charts[chart.index()];
            let chart = Reference { slot: connected.slot, id: description.id.as_bytes() };
            connected.heads = self.heads.add(chart, dimensions);
        }
        self.heads.expect(self.charts[chart.index()].heads, index)
    }

    pub(super) fn forget_heads(&mut self) {
        self.heads.clear();
        self.charts.iter_mut().for_each(|chart| chart.heads = Record::default());
        self.expected = Expected::default();
        self.next_chart = None;
    }

    /// Forgets all that data lines have taught: the next is looked at for itself.
    #[cfg(test)]
    pub fn forget_lines(&mut self) {
        self.forget_heads();
        self.previous = None;
    }

    /// The line that begins the next chart's data is expected, the chart that came next the last time.
    #[inline(always)]
    pub(super) fn expect_follower(&mut self, chart: &MirroredChart) {
        let follower = self.charts.get(chart.follower.index());
        self.expected = follower.map_or(Expected::default(), |next| self.heads.chart(next.heads));
        self.next_chart = Some(chart.follower);
    }

    /// The chart whose line came with the expected head, and the first of its dimensions is expected.
    #[inline(always)]
    pub(super) fn take_expected_chart(&mut self) -> Option<ChartIndex> {
        let chart = self.next_chart.take().filter(|_| self.expected.is_chart())?;
        self.expected = self.heads.after(self.expected);
        Some(chart)
    }

    /// The place of the chart's dimension, if it is the expected one. What is expected may be of another chart, where data and answers
    /// come by turns.
    #[inline(always)]
    pub(super) fn follows(&mut self, chart: ChartIndex, id: &[u8]) -> Option<usize> {
        if !self.expected.is_dimension_of(self.charts[chart.index()].heads) {
            return None;
        }
        let next = self.heads.follows(self.expected, id)?;
        Some(std::mem::replace(&mut self.expected, next).index)
    }

    /// The place of the dimension, looked for by its id.
    #[cold]
    #[inline(never)]
    pub(super) fn search_dimension(
        &mut self,
        chart: ChartIndex,
        id: &[u8],
        keyword: &'static str,
        around: &mut Surroundings<'_>,
    ) -> Result<usize, DisconnectReason> {
        let mirrored = around.mirror.chart(chart);
        let index = mirrored.search_dimension(id).ok_or_else(|| unknown_dimension(keyword, mirrored, id))?;
        self.expected = self.expect(chart, index + 1, around.mirror);
        Ok(index)
    }

    /// The dimension that a data line names: by the order of last time, by its slot, or by its id. A child repeats its order, so
    /// that its slot is seldom needed.
    #[inline(always)]
    pub(super) fn dimension(
        &mut self,
        chart: ChartIndex,
        reference: Reference<'_>,
        keyword: &'static str,
        around: &mut Surroundings<'_>,
    ) -> Result<usize, DisconnectReason> {
        let index = match self.follows(chart, reference.id) {
            Some(index) => index,
            None => self.dimension_out_of_order(chart, reference, keyword, around)?,
        };
        // Beyond the row: the chart got the dimension after the row was opened, which no child does.
        if index >= self.values.len() {
            return Err(unknown_dimension(keyword, around.mirror.chart(chart), reference.id));
        }
        Ok(index)
    }

    #[cold]
    #[inline(never)]
    fn dimension_out_of_order(
        &mut self,
        chart: ChartIndex,
        reference: Reference<'_>,
        keyword: &'static str,
        around: &mut Surroundings<'_>,
    ) -> Result<usize, DisconnectReason> {
        let slots = &self.charts[chart.index()].slots;
        let slotted = reference.slot.and_then(|slot| slots.get(slot.0.get() as usize - 1));
        if let Some(index) = slotted.filter(|index| **index != u32::MAX) {
            self.expected = self.expect(chart, *index as usize, around.mirror);
            if let Some(index) = self.follows(chart, reference.id) {
                return Ok(index);
            }
        }
        self.search_dimension(chart, reference.id, keyword, around)
    }
}
