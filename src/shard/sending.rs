//! Hosts that are sent on: a [`Sender`] beside the receiver of a connected child, and the link to a parent of ours.
//!
//! A sender lives as long as its child's connection; what it has learnt of its destinations outlives it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use dbengine::{GroupKey, Samples, TimeRange, UnixSeconds};

use super::event::{Action, ConnectionId};
use super::{Child, HostIndex, Shard};
use crate::catalog::Chart;
use crate::config::MemoryMode;
use crate::config::SendPolicy;
use crate::receiver::{DisconnectReason, Kept, Mirror, kept};
use crate::sender::choice::Choice;
use crate::sender::{
    Answer, Answered, ConnectFailure, LinkEnd, LinkName, News, Order, PastWish, Request, Sender,
    SendingCounters, SendingState, Window,
};
use crate::wire::capability::Capabilities;

/// Questions about the past that are answered in one turn, over all hosts.
const ANSWERS_A_TURN: usize = 256;
/// How often each sender is looked at, even if nothing has stirred it: its waiting has an end. A look at one that rests finds
/// nothing of it in the processor's caches.
const LOOK_EVERY_US: i64 = 500_000;

/// A sender and its connection.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) sender: Sender,
    link: Option<ConnectionId>,
    is_stirred: bool,
}

/// All senders of a shard.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// Places of the children whose hosts' links these are.
    links: HashMap<ConnectionId, usize>,
    senders: usize,
    /// Places of children to whose senders something has happened.
    stirred: VecDeque<usize>,
    looked_us: i64,
    /// Of senders whose children have left.
    past: SendingCounters,
    /// For columns of answers.
    columns: Vec<Samples>,
}

impl Sending {
    /// Something has happened to the sender of the child at this place: it is settled in this turn.
    #[inline]
    pub(super) fn stir(&mut self, place: usize, upstream: &mut Upstream) {
        if !std::mem::replace(&mut upstream.is_stirred, true) {
            self.stirred.push_back(place);
        }
    }

    /// The sender of this child, to which something has happened, and its host; `None` when the child has left.
    fn stirred_of<'c>(
        &mut self,
        children: &'c mut [Option<Child>],
        child: ConnectionId,
    ) -> Option<(HostIndex, &'c mut Upstream)> {
        let place = child.place as usize;
        let waiting = children.get_mut(place)?.as_mut().filter(|it| it.connection == child)?;
        let upstream = waiting.upstream.as_mut()?;
        self.stir(place, upstream);
        Some((waiting.host, upstream))
    }
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
        child: Capabilities,
        policy: Option<Box<SendPolicy>>,
    ) -> Option<Upstream> {
        let policy = policy?;
        self.sending.senders += 1;
        let destinations = self.attendance[host].destinations.take();
        let sender = Sender::new(policy, self.hosts[host].info(), child, destinations, now_us);
        Some(Upstream { sender, link: None, is_stirred: false })
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

    /// What senders have to do in this turn: those that something has happened to, and now and then all.
    pub(super) fn settle_senders(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        if self.sending.senders == 0 {
            return;
        }
        if now_us - self.sending.looked_us >= LOOK_EVERY_US {
            self.sending.looked_us = now_us;
            for (place, child) in self.children.iter_mut().enumerate() {
                if let Some(upstream) = child.as_mut().and_then(|child| child.upstream.as_mut()) {
                    self.sending.stir(place, upstream);
                }
            }
        }
        let mut answers = 0;
        let mut ended = Vec::new();
        // Whose parents wait for more answers: those first that got none in this turn.
        let (mut unheard, mut unfinished) = (VecDeque::new(), VecDeque::new());
        while let Some(place) = self.sending.stirred.pop_front() {
            let Some(child) = self.children.get_mut(place).and_then(Option::as_mut) else { continue };
            let Child { connection, host, receiver, upstream: Some(upstream), .. } = child else { continue };
            upstream.is_stirred = false;
            let mirror = &self.hosts[*host];
            let child = *connection;
            if let Some(attempt) = upstream.sender.wants_oldest() {
                if mirror.info().memory_mode == MemoryMode::Dbengine && self.engine.has_store() {
                    let group = |chart: &Chart| (GroupKey(chart.key), self.engine.span(chart.group));
                    let groups = mirror.charts().iter().map(|mirrored| group(&mirrored.chart)).collect();
                    actions
                        .push(Action::Past(PastWish::Oldest { link: LinkName { child, attempt }, groups }));
                } else {
                    upstream.sender.set_oldest(Vec::new());
                }
            }
            for index in upstream.sender.take_touched() {
                if let Some(mirrored) = mirror.charts().get(index)
                    && upstream.sender.needs(index, &mirrored.chart)
                    && let Some(chart) = mirror.search(mirrored.chart.id.as_bytes())
                    && let Some(facts) = receiver.facts(chart, mirror, &self.engine, &upstream.sender)
                {
                    upstream.sender.define(index, &mirrored.chart, &facts, now_us);
                }
            }
            let answered_before = answers;
            while answers < ANSWERS_A_TURN
                && let Some(request) = upstream.sender.take_request()
            {
                answers += 1;
                let columns = &mut self.sending.columns;
                let wish =
                    answer(&mut upstream.sender, child, &request, mirror, &self.engine, columns, now_us);
                actions.extend(wish.map(Action::Past));
            }
            if answers == ANSWERS_A_TURN {
                upstream.is_stirred = true;
                if answers == answered_before { &mut unheard } else { &mut unfinished }.push_back(place);
            }
            upstream.sender.describe_path(mirror.stream_path());
            upstream.sender.describe_functions(mirror.functions());
            let mut orders = Vec::new();
            let end = upstream.sender.settle(now_us, mirror.shared_info(), &mut orders);
            carry(orders, upstream, child, &mut self.sending.links, actions);
            if let Some(end) = end {
                self.telemetry.link_ends.add(end.label());
                ended.push(place);
            }
        }
        unheard.append(&mut unfinished);
        self.sending.stirred = unheard;
        for place in ended {
            self.parents_left(now_us, place, actions);
        }
    }

    /// A connection that was asked for is there, or is not to be had.
    pub(super) fn link_connected(
        &mut self,
        now_us: i64,
        (child, attempt): (ConnectionId, u32),
        choice: Choice,
        outcome: Result<ConnectionId, ConnectFailure>,
        actions: &mut Vec<Action>,
    ) {
        let place = child.place as usize;
        let mut upstream = self.sending.stirred_of(&mut self.children, child);
        if let Some((_, upstream)) = &mut upstream {
            for end in upstream.sender.chose(now_us, attempt, choice) {
                self.telemetry.link_ends.add(end.label());
            }
        }
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

    /// The sender on this link, to which something has happened, and the place of its child.
    fn on_link(&mut self, link: ConnectionId) -> Option<(usize, usize, &mut Upstream)> {
        let place = *self.sending.links.get(&link)?;
        let child = self.children.get_mut(place)?.as_mut()?;
        let upstream = child.upstream.as_mut()?;
        self.sending.stir(place, upstream);
        Some((place, child.host, upstream))
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
        let was_streaming = upstream.sender.is_streaming();
        let end = upstream.sender.received(now_us, bytes, &info, &mut orders);
        let Some(Child { connection, receiver, upstream: Some(upstream), .. }) = &mut self.children[place]
        else {
            return;
        };
        if !was_streaming {
            receiver.begin_link();
        }
        carry(orders, upstream, *connection, &mut self.sending.links, actions);
        let (calls, news) = (upstream.sender.take_calls(info.machine_guid), upstream.sender.take_news());
        let has_ended = end.is_some();
        if let Some(end) = end {
            self.telemetry.link_ends.add(end.label());
        }
        for call in calls {
            self.call_child(now_us, place, call, actions);
        }
        for said in news {
            self.with_child(now_us, place, actions, |receiver, around| match &said {
                News::Path(document) => receiver.take_path_beyond(Some(document), around),
                News::NodeId(named) => receiver.take_node_id(named, around),
            });
        }
        if has_ended {
            self.parents_left(now_us, place, actions);
        }
    }

    /// The link of a child's host has ended, and with it what is known of those behind us.
    fn parents_left(&mut self, now_us: i64, place: usize, actions: &mut Vec<Action>) {
        self.with_child(now_us, place, actions, |receiver, around| receiver.take_path_beyond(None, around));
    }

    /// A link is gone.
    #[cold]
    pub(super) fn link_ended(
        &mut self,
        now_us: i64,
        link: ConnectionId,
        reason: DisconnectReason,
        actions: &mut Vec<Action>,
    ) {
        let Some((place, _, upstream)) = self.on_link(link) else { return };
        upstream.link = None;
        let end = match reason {
            DisconnectReason::NotReading { pending } => LinkEnd::Overflow { pending },
            DisconnectReason::Socket(error) => LinkEnd::Socket(error),
            _ => LinkEnd::Closed,
        };
        let end = upstream.sender.ended(now_us, end);
        self.sending.links.remove(&link);
        self.telemetry.link_ends.add(end.label());
        self.parents_left(now_us, place, actions);
    }

    /// So many bytes wait for a parent.
    pub(super) fn link_waits(&mut self, now_us: i64, link: ConnectionId, bytes: usize) {
        if let Some((_, _, upstream)) = self.on_link(link) {
            upstream.sender.waiting(now_us, bytes);
        }
    }

    /// The disk has said what a sender wanted to know.
    pub(super) fn past_read(&mut self, now_us: i64, answered: Answered) {
        let LinkName { child, attempt } = answered.link();
        let Some((host, upstream)) = self.sending.stirred_of(&mut self.children, child) else { return };
        let sender = &mut upstream.sender;
        if !sender.is_on(attempt) {
            return;
        }
        match answered {
            Answered::Oldest { oldest, .. } => sender.set_oldest(oldest),
            Answered::Rows { request, window, columns, .. } => {
                sender.end_read();
                let mirror = &self.hosts[host];
                let Some(chart) = mirror.search(&request.chart) else { return };
                let mirrored = &mirror.charts()[chart.index()];
                let Kept { first, last, .. } =
                    kept(&self.engine, mirrored, sender.oldest(mirrored.chart.key));
                let answer = Answer { window, columns: &columns, stand: None, kept: Some((first, last)) };
                sender.answer(chart.index(), &request, &answer, now_us.div_euclid(1_000_000));
            }
        }
    }

    /// There is no room for a wish.
    pub fn past_refused(&mut self, wish: PastWish) {
        let (link, request) = match wish {
            PastWish::Oldest { link, .. } => (link, None),
            PastWish::Rows { link, request, .. } => (link, Some(request)),
        };
        let Some((_, upstream)) = self.sending.stirred_of(&mut self.children, link.child) else { return };
        match request {
            Some(request) => {
                upstream.sender.end_read();
                upstream.sender.put_back(request);
            }
            None => upstream.sender.ask_oldest_again(),
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
            Order::Connect(wish) => actions.push(Action::Connect { child, wish }),
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

/// Answers a parent's question about the past of a chart, or says what has to be read before.
fn answer(
    sender: &mut Sender,
    child: ConnectionId,
    request: &Request,
    mirror: &Mirror,
    engine: &dbengine::Engine,
    columns: &mut Vec<Samples>,
    now_us: i64,
) -> Option<PastWish> {
    let now = now_us.div_euclid(1_000_000);
    let chart = mirror.search(&request.chart)?;
    let index = chart.index();
    if !mirror.keeps_rows() {
        sender.answer_held(index, request, now);
        return None;
    }
    let mirrored = &mirror.charts()[index];
    let (group, step, width) =
        (mirrored.chart.group, mirrored.chart.update_every, mirrored.chart.dimensions.len());
    let Kept { first, last, first_in_memory } = kept(engine, mirrored, sender.oldest(mirrored.chart.key));
    let mut window = sender.window(index, request, (first, last), (step, width), now);
    // What is read from disk ends where memory begins: the rest is asked for again, and nothing can come in between.
    let is_on_disk = window.after > 0 && window.after + 1 < first_in_memory && window.before > window.after;
    if is_on_disk {
        window = Window { before: window.before.min(first_in_memory - 1), is_last: false, ..window };
    }
    let span =
        TimeRange { first: UnixSeconds(window.after.saturating_add(1)), last: UnixSeconds(window.before) };
    if is_on_disk {
        sender.begin_read();
        let (snapshot, link) = (Box::new(engine.read(group, span)), sender.link_name(child));
        return Some(PastWish::Rows { link, request: request.clone(), window, snapshot, columns: width });
    }
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
    sender.answer(index, request, &Answer { window, columns, stand, kept: Some((first, last)) }, now);
    None
}
