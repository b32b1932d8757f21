//! The child's lines as they are, for a parent that agreed on the same with us as the child did.
//!
//! A unit (`BEGIN` to `END`, `BEGIN2` to `END2`) goes on as a whole or not at all, which its first line decides: if the parent
//! knows the chart as it is now, by the child's slots, and takes live data of it. Whatever else the child says is told in the
//! words of the rest of this module, between two units; so definitions, questions and answers are the same for every child.

use std::sync::Arc;

use dbengine::prefetch_all;

use super::chart::{Progress, Stream};
use super::{Link, Sender};
use crate::catalog::{Chart, HostInfo};
use crate::wire::Packet;
use crate::wire::capability::Capabilities;
use crate::wire::command::Slot;

impl Stream {
    fn passes(&mut self, index: usize, chart: &Arc<Chart>) -> bool {
        let Some(sent) = self.charts.get(index) else { return false };
        let is_known = sent.passes
            && sent.progress == Progress::Live
            && !sent.variables_due
            && sent.sent.as_ref().is_some_and(|sent| Arc::ptr_eq(sent, chart));
        self.counters.rows += u64::from(is_known);
        self.counters.passed_rows += u64::from(is_known);
        is_known
    }
}

impl Sender {
    /// A unit of this chart comes soon.
    #[inline]
    pub fn expect_unit(&self, index: usize) {
        if let Link::Streaming(stream) = &self.link
            && let Some(chart) = stream.charts.get(index)
        {
            prefetch_all(chart);
        }
    }

    /// Whether a unit of samples goes on as it is.
    #[inline]
    pub fn passes_samples(&mut self, index: usize, chart: &Arc<Chart>, slot: Option<Slot>) -> bool {
        let Some(stream) = self.stream() else { return false };
        let has_slots = stream.agreed.contains(Capabilities::SLOTS);
        let is_by_slot = |stream: &Stream| {
            stream.charts.get(index).is_some_and(|sent| sent.slots.chart(index, &chart.id).slot == slot)
        };
        (!has_slots || is_by_slot(stream)) && stream.passes(index, chart)
    }

    /// Whether a unit of collected values does, which says that it is so many `microseconds` after the one before; that was
    /// collected at `collected_us`, and our arithmetic uses `used_us`.
    #[inline]
    pub fn passes_collected(
        &mut self,
        index: usize,
        chart: &Arc<Chart>,
        (microseconds, used_us): (i64, i64),
        collected_us: i64,
    ) -> bool {
        let Some(stream) = self.stream() else { return false };
        let trusts = stream.agreed.contains(Capabilities::REPLICATION)
            || stream.charts.get(index).is_some_and(|sent| collected_us > sent.resync_until_us);
        trusts && microseconds == used_us && stream.passes(index, chart)
    }

    /// Whether a line about the host's variables goes on as it is.
    pub fn passes_variables(&self) -> bool {
        matches!(&self.link, Link::Streaming(stream) if stream.passes)
    }

    /// Something of our own waits for the end of a unit.
    #[inline]
    pub fn has_own(&self) -> bool {
        matches!(&self.link, Link::Streaming(stream) if !stream.text.is_empty())
    }

    /// Lines of the child, as they are. `is_inside`: the last of them belongs to a unit that goes on. `is_cut`: behind them comes
    /// something else in the child's packets.
    pub fn pass(&mut self, lines: &[u8], is_cut: bool, is_inside: bool) {
        if let Some(stream) = self.stream() {
            stream.outgoing.pass(lines, &mut stream.text, is_cut, is_inside);
        }
    }

    /// A packet of the child, of whose lines all go on. Says no if it is to be passed as lines.
    pub fn pass_packet(&mut self, packet: Packet<'_>, is_inside: bool) -> bool {
        self.stream().is_some_and(|stream| {
            let is_passed = stream.outgoing.pass_packet(packet, is_inside);
            stream.counters.forwarded_packets += u64::from(is_passed);
            is_passed
        })
    }

    /// A line that went on has changed the chart from the one at `before` to this one, which the parent knows by that.
    pub fn follow_chart(&mut self, index: usize, before: *const Chart, chart: &Arc<Chart>) {
        let sent = self.stream().and_then(|stream| stream.charts.get_mut(index));
        if let Some(sent) = sent.and_then(|sent| sent.sent.as_mut())
            && std::ptr::eq(Arc::as_ptr(sent), before)
        {
            *sent = Arc::clone(chart);
        }
    }

    /// The same of the host.
    pub fn follow_host(&mut self, before: *const HostInfo, info: &Arc<HostInfo>) {
        let sent = self.stream().and_then(|stream| stream.info.as_mut());
        if let Some(sent) = sent
            && std::ptr::eq(Arc::as_ptr(sent), before)
        {
            *sent = Arc::clone(info);
        }
    }

    /// The child has given other slots: the chart is defined with them before its next row.
    pub fn forget_slots(&mut self, index: usize) {
        let sent = self.stream().and_then(|stream| stream.charts.get_mut(index));
        if let Some(sent) = sent.filter(|sent| sent.slots != super::Slots::Places) {
            sent.sent = None;
        }
    }
}
