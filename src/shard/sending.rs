//! Hosts that are sent on: a [`Sender`] beside the receiver of a connected child, and the link to a parent of ours.
//!
//! A sender lives as long as its child's connection; what it has learnt of its destinations outlives it.

use std::collections::HashMap;
use std::sync::Arc;

use dbengine::{Samples, TimeRange, UnixSeconds};

use super::event::{Action, ConnectionId};
use super::{Child, Shard};
use crate::config::SendPolicy;
use crate::receiver::{DisconnectReason, Mirror, kept};
use crate::sender::{Answer, ConnectFailure, LinkEnd, Order, Request, Sender, SendingCounters, SendingState};

/// Questions about the past that are answered in one turn, over all hosts.
const ANSWERS_A_TURN: usize = 256;

/// A sender and its connection.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) sender: Sender,
    link: Option<ConnectionId>,
}

/// All senders of a shard.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Places of the children whose hosts' links these are.
    links: HashMap<ConnectionId, usize>,
    senders: usize,
    /// The child whose parent was answered last.
    last_answered: usize,
    /// Of senders whose children have left.
    past: SendingCounters,
    /// For columns of answers.
    columns: Vec<Samples>,
}

impl Upstream {
    /// The state of a link, for operators.
    pub(super) fn state(&self) -> SendingState {
        self.sender.state()
    }
}

impl Shard {
    /// The sender of a child that has arrived.
    pub(super) fn begin_sending(
        &mut self,
        now_us: i64,
        host: usize,
        policy: Option<Box<SendPolicy>>,
    ) -> Option<Upstream> {
        let policy = policy?;
        self.sending.senders += 1;
        let destinations = self.attendance[host].destinations.take();
        let sender = Sender::new(policy, self.hosts[host].info(), destinations, now_us);
        Some(Upstream { sender, link: None })
    }

    /// The child of this sender has left.
    pub(super) fn end_sending(
        &mut self,
        now_us: i64,
        host: usize,
        mut upstream: Upstream,
        actions: &mut Vec<Action>,
    ) {
        let mut orders = Vec::new();
        upstream.sender.leave(now_us, &mut orders);
        self.sending.senders -= 1;
        self.sending.past.add(&upstream.sender.counters());
        carry(
            orders,
            &mut upstream,
            ConnectionId { place: u32::MAX, generation: 0 },
            &mut self.sending.links,
            actions,
        );
        self.attendance[host].destinations = Some(upstream.sender.into_destinations());
    }

    /// What all senders have to do in this turn.
    pub(super) fn settle_senders(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        if self.sending.senders == 0 {
            return;
        }
        let (children, next) = (self.children.len(), self.sending.last_answered + 1);
        let mut answers = 0;
        for place in (0..children).map(|step| (next + step) % children) {
            let Some(child) = &mut self.children[place] else { continue };
            let Child { connection, host, receiver, upstream: Some(upstream), .. } = child else { continue };
            let mirror = &self.hosts[*host];
            for index in upstream.sender.take_touched() {
                if let Some(mirrored) = mirror.charts().get(index)
                    && upstream.sender.needs(index, &mirrored.chart)
                    && let Some(chart) = mirror.search(mirrored.chart.id.as_bytes())
                    && let Some(facts) = mirror.facts(chart, receiver.collects(), &self.engine)
                {
                    upstream.sender.define(index, &mirrored.chart, &facts, now_us);
                }
            }
            while answers < ANSWERS_A_TURN
                && let Some(request) = upstream.sender.take_request()
            {
                answers += 1;
                self.sending.last_answered = place;
                let columns = &mut self.sending.columns;
                answer(&mut upstream.sender, &request, mirror, &self.engine, columns, now_us);
            }
            let mut orders = Vec::new();
            let end = upstream.sender.settle(now_us, mirror.shared_info(), &mut orders);
            let connection = *connection;
            carry(orders, upstream, connection, &mut self.sending.links, actions);
            if let Some(end) = end {
                self.telemetry.link_ends.add(end.label());
            }
        }
    }

    /// A connection that was asked for is there, or is not to be had.
    pub(super) fn link_connected(
        &mut self,
        now_us: i64,
        child: ConnectionId,
        attempt: u32,
        outcome: Result<ConnectionId, ConnectFailure>,
        actions: &mut Vec<Action>,
    ) {
        let place = child.place as usize;
        let waiting =
            self.children.get_mut(place).and_then(Option::as_mut).filter(|it| it.connection == child);
        let upstream = waiting.and_then(|child| Some((child.host, child.upstream.as_mut()?)));
        match (outcome, upstream) {
            (Ok(connection), Some((host, upstream))) => {
                let mut orders = Vec::new();
                let info = Arc::clone(self.hosts[host].shared_info());
                if !upstream.sender.connected(now_us, attempt, &info, &mut orders) {
                    actions.push(Action::Close { connection });
                    return;
                }
                upstream.link = Some(connection);
                self.sending.links.insert(connection, place);
                carry(orders, upstream, child, &mut self.sending.links, actions);
            }
            (Ok(connection), None) => actions.push(Action::Close { connection }),
            (Err(failure), Some((_, upstream))) => {
                if let Some(end) = upstream.sender.not_connected(now_us, attempt, failure) {
                    self.telemetry.link_ends.add(end.label());
                }
            }
            (Err(_), None) => {}
        }
    }

    /// The sender on this link, and the place of its child.
    fn on_link(&mut self, link: ConnectionId) -> Option<(usize, usize, &mut Upstream)> {
        let place = *self.sending.links.get(&link)?;
        let child = self.children.get_mut(place)?.as_mut()?;
        Some((place, child.host, child.upstream.as_mut()?))
    }

    /// Bytes came from a parent.
    #[cold]
    pub(super) fn heard_from_parent(
        &mut self,
        now_us: i64,
        link: ConnectionId,
        bytes: &[u8],
        actions: &mut Vec<Action>,
    ) {
        let Some((place, host, _)) = self.on_link(link) else { return };
        let info = Arc::clone(self.hosts[host].shared_info());
        let Some((_, _, upstream)) = self.on_link(link) else { return };
        let mut orders = Vec::new();
        let end = upstream.sender.received(now_us, bytes, &info, &mut orders);
        let Some(Child { connection, upstream: Some(upstream), .. }) = &mut self.children[place] else {
            return;
        };
        carry(orders, upstream, *connection, &mut self.sending.links, actions);
        if let Some(end) = end {
            self.telemetry.link_ends.add(end.label());
        }
    }

    /// A link is gone.
    #[cold]
    pub(super) fn link_ended(&mut self, now_us: i64, link: ConnectionId, reason: DisconnectReason) {
        let Some((_, _, upstream)) = self.on_link(link) else { return };
        upstream.link = None;
        let end = match reason {
            DisconnectReason::NotReading { pending } => LinkEnd::Overflow { pending },
            DisconnectReason::Socket(error) => LinkEnd::Socket(error),
            _ => LinkEnd::Closed,
        };
        let end = upstream.sender.ended(now_us, end);
        self.sending.links.remove(&link);
        self.telemetry.link_ends.add(end.label());
    }

    /// So many bytes wait for a parent.
    pub(super) fn link_waits(&mut self, now_us: i64, link: ConnectionId, bytes: usize) {
        if let Some((_, _, upstream)) = self.on_link(link) {
            upstream.sender.waiting(now_us, bytes);
        }
    }

    /// What all senders have done.
    pub(super) fn sending_counters(&self) -> (SendingCounters, u64) {
        let mut sum = self.sending.past.clone();
        let mut streaming = 0;
        if self.sending.senders > 0 {
            for upstream in self.children.iter().flatten().filter_map(|child| child.upstream.as_ref()) {
                sum.add(&upstream.sender.counters());
                streaming += u64::from(upstream.sender.is_streaming());
            }
        }
        (sum, streaming)
    }
}

/// Makes actions of a sender's orders.
fn carry(
    orders: Vec<Order>,
    upstream: &mut Upstream,
    child: ConnectionId,
    links: &mut HashMap<ConnectionId, usize>,
    actions: &mut Vec<Action>,
) {
    for order in orders {
        match order {
            Order::Connect { attempt, destination, timeout } => {
                let buffer_bytes = upstream.sender.buffer_bytes();
                actions.push(Action::Connect { child, attempt, destination, timeout, buffer_bytes });
            }
            Order::Send(bytes) => {
                if let Some(connection) = upstream.link {
                    actions.push(Action::Send { connection, bytes });
                }
            }
            Order::Close => {
                if let Some(connection) = upstream.link.take() {
                    links.remove(&connection);
                    actions.push(Action::Close { connection });
                }
            }
        }
    }
}

/// Answers a parent's question about the past of a chart.
fn answer(
    sender: &mut Sender,
    request: &Request,
    mirror: &Mirror,
    engine: &dbengine::Engine,
    columns: &mut Vec<Samples>,
    now_us: i64,
) {
    let now = now_us.div_euclid(1_000_000);
    let Some(chart) = mirror.search(&request.chart) else { return };
    let index = chart.index();
    if !mirror.keeps_rows() {
        return sender.answer_held(index, request, now);
    }
    let mirrored = &mirror.charts()[index];
    let (group, step, width) =
        (mirrored.chart.group, mirrored.chart.update_every, mirrored.chart.dimensions.len());
    let kept = kept(engine, mirrored);
    let window = sender.window(request, kept, (step, width), now);
    let span =
        TimeRange { first: UnixSeconds(window.after.saturating_add(1)), last: UnixSeconds(window.before) };
    columns.resize_with(width, Samples::default);
    columns.truncate(width);
    columns.iter_mut().for_each(Samples::clear);
    if window.after > 0 && !span.is_empty() {
        let snapshot = engine.read(group, span);
        for (column, samples) in columns.iter_mut().enumerate() {
            snapshot.column(column, span, samples);
        }
    }
    let stand = window.is_last.then(|| mirrored.stand(engine.newest(group))).flatten();
    sender.answer(index, request, &Answer { window, columns, stand, kept: Some(kept) }, now);
}
