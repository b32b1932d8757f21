//! [`Shard`]: all state of one core, and [`Shard::apply`], the only way to change it.
//!
//! A shard owns hosts: their mirrors, their samples, the connections of their children. It does no I/O and knows no
//! clock: events come in, actions go out, the runtime carries between it and the world. So a test can drive it
//! through any story, in any order, at any time of day.
//!
//! What it is not for: it does not decide who may stream (that was done before a child arrives here), and it never
//! waits.

mod calls;

pub mod event;

mod figures;

mod forgetting;

mod log;

pub mod message;

pub mod nodes;

pub mod placement;

mod saving;

pub mod seats;

mod sending;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use dbengine::{Engine, EngineOptions, GroupId, GroupSnapshot, Keep, NoteNumber, StoreOptions, UnixSeconds};
use uuid::Uuid;

use crate::catalog::{CatalogChange, HostInfo, HostRecord, HostState, Labels};
use crate::config::{Limits, MemoryMode};
use crate::receiver::{
    DisconnectReason, Listener, Mirror, Pace, Receiver, ReplicationProgress, Surroundings,
};
use crate::saved::RestoredChart;
use crate::telemetry::{ChildCounters, Telemetry};
use crate::wire::Inbound;
use crate::wire::capability::Capabilities;
use crate::wire::compression::Workspace;
use crate::wire::handshake::{Refusal, Reply};
use crate::wire::stream_path::PathElement;
use event::{Action, ConnectionId, Event};
pub use forgetting::Cleanup;
pub use log::{bracketed, log_access, log_refusal, log_request};
use message::{Admission, ApiKey, Arrival, ChartGroup, GroupState, HERE, LatestRow, Question};
use nodes::{Attendance, Duplicate, DuplicateOutcome, Speed};
use placement::ShardId;
use saving::Saving;
pub use saving::{Contents, RowsOp};
use seats::Seat;
use sending::{Sending, Upstream};

/// Readers see changed definitions at most so often, so that a child that defines a thousand charts is published once.
const PUBLISH_EVERY_US: i64 = 250_000;
/// A connection that was silent so long gives way to a new one of the same host; a livelier one stays.
const STALE_AFTER_US: i64 = 30_000_000;
/// A child that sends nothing for so long is gone: the receive time-out of a Netdata parent.
const IDLE_AFTER_US: i64 = 600_000_000;
/// When a child is told to come back that there was no room for.
const HOSTS_FULL_RETRY_S: u64 = 60;
const IDLE_CHECK_EVERY_US: i64 = 1_000_000;
/// How often children are looked at that had no room for a question. Those that answer are asked further at once.
const FILL_EVERY_US: i64 = 100_000;
/// Changes of the catalog that one turn hands out: some milliseconds of copying, however many children define their charts.
const CHANGES_A_TURN: usize = 4096;
/// Changes that may be on their way to the store, about 1 KB each. The rest waits as a mark at its chart.
const CHANGES_UNDER_WAY: u64 = 8 * CHANGES_A_TURN as u64;
/// How often the store learns that connected hosts are still there, for the day when the parent ends without a word.
const SEEN_EVERY_US: i64 = 600_000_000;

/// Rows wait so much longer for definitions that have not been handed out yet.
const LATEST_COMMIT_US: i64 = 5_000_000;

/// How often what was stored is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitEvery(pub Duration);

type HostIndex = usize;

/// A connected child.
#[derive(Debug)]
struct Child {
    connection: ConnectionId,
    host: HostIndex,
    key: ApiKey,
    peer: std::net::SocketAddr,
    encrypted: bool,
    capabilities: Capabilities,
    receiver: Receiver,
    /// Its host is sent on.
    upstream: Option<Box<Upstream>>,
    inbound: Inbound,
    /// The start of a line or packet whose end has not come.
    partial: Vec<u8>,
    counters: ChildCounters,
    speed: Speed,
    last_received_us: i64,
    /// Free again when the connection ends.
    _seat: Option<Seat>,
}

/// All state of one core.
#[derive(Debug)]
pub struct Shard {
    id: ShardId,
    /// Our own host, if it may be one of these.
    own: Option<Uuid>,
    limits: Limits,
    cleanup: Cleanup,
    engine: Engine,
    commit_every_us: i64,
    committed_us: i64,
    /// The last news of the disk was an error.
    disk_fails: bool,
    hosts: Vec<Mirror>,
    /// Of each of the hosts.
    attendance: Vec<Attendance>,
    by_guid: HashMap<Uuid, HostIndex>,
    /// By the connection's place.
    children: Vec<Option<Child>>,
    saving: Saving,
    sending: Sending,
    pace: Pace,
    /// What the children's packets are decoded in.
    workspace: Workspace,
    /// The child that was asked for its past last.
    last_filled: usize,
    filled_us: i64,
    /// Places of children whose functions were called.
    called: Vec<usize>,
    /// What children did whose connections have ended.
    past: ChildCounters,
    received_bytes: u64,
    /// Hosts whose readers do not know the newest.
    changed: Vec<HostIndex>,
    /// Hosts of which the store does not know the newest.
    unsaved: VecDeque<HostIndex>,
    /// Hosts that the store is to forget.
    hosts_to_forget: VecDeque<CatalogChange>,
    /// Changes that were ever handed out to the store.
    handed_out: u64,
    /// How many of them it has on disk.
    stored: u64,
    published_us: i64,
    idle_checked_us: i64,
    seen_us: i64,
    cleaned_up_us: i64,
    /// Connected hosts of which nothing new came when that was looked at last.
    stale_hosts: u64,
    forgotten_hosts: u64,
    forgotten_charts: u64,
    /// Lines for the child whose bytes are being read.
    out: Vec<u8>,
    telemetry: Arc<Telemetry>,
}

impl Shard {
    /// Without `store` all samples stay in memory.
    pub fn new(
        id: ShardId,
        limits: Limits,
        cleanup: Cleanup,
        telemetry: Arc<Telemetry>,
        store: Option<(StoreOptions, CommitEvery)>,
    ) -> Self {
        let commit_every_us = store.as_ref().map_or(i64::MAX, |(_, every)| every.0.as_micros() as i64);
        let engine = match store {
            Some((store, _)) => Engine::with_store(EngineOptions::default(), store, UnixSeconds(0)),
            None => Engine::new(EngineOptions::default()),
        };
        Self {
            id,
            own: None,
            limits,
            cleanup,
            engine,
            commit_every_us,
            committed_us: 0,
            disk_fails: false,
            hosts: Vec::new(),
            attendance: Vec::new(),
            by_guid: HashMap::new(),
            children: Vec::new(),
            saving: Saving::default(),
            sending: Sending::default(),
            pace: Pace::default(),
            workspace: Workspace::default(),
            last_filled: 0,
            filled_us: 0,
            called: Vec::new(),
            past: ChildCounters::default(),
            received_bytes: 0,
            changed: Vec::new(),
            unsaved: VecDeque::new(),
            hosts_to_forget: VecDeque::new(),
            handed_out: 0,
            stored: 0,
            published_us: 0,
            idle_checked_us: 0,
            seen_us: 0,
            cleaned_up_us: 0,
            stale_hosts: 0,
            forgotten_hosts: 0,
            forgotten_charts: 0,
            out: Vec::new(),
            telemetry,
        }
    }

    /// The host of this machine GUID is our own: it comes from this process, and is no child to those who count them.
    pub fn with_own_host(mut self, machine_guid: Uuid) -> Self {
        self.own = Some(machine_guid);
        self
    }

    fn is_own(&self, host: HostIndex) -> bool {
        self.own == Some(self.hosts[host].info().machine_guid)
    }

    /// The children that came over the network.
    fn strangers(&self) -> impl Iterator<Item = &Child> {
        self.children.iter().flatten().filter(|child| !self.is_own(child.host) && child.peer != HERE)
    }

    /// Changes the state by what happened at `now_us` (unix microseconds), and appends what is to be done about it.
    pub fn apply(&mut self, now_us: i64, event: Event<'_>, actions: &mut Vec<Action>) {
        match event {
            Event::Received { connection, bytes } => self.received(now_us, connection, bytes, actions),
            Event::Arrived { connection, arrival } => self.arrived(now_us, connection, *arrival, actions),
            Event::Ended { connection, reason } => self.ended(now_us, connection, reason, actions),
            Event::Connected { child, attempt, choice, outcome } => {
                self.link_connected(now_us, (child, attempt), choice, outcome, actions);
            }
            Event::Past(answered) => self.past_read(now_us, *answered),
            Event::Waiting { link, bytes } => self.link_waits(now_us, link, bytes),
            Event::Asked(question) => self.answer(now_us, question, actions),
            Event::Forget { host, answer } => {
                // Whoever asked may have left.
                let _ = answer.send(self.forget_by_hand(&host, actions));
            }
            Event::Restored { host, charts } => self.restored(now_us, *host, charts),
            Event::CatalogStored { until } => {
                self.stored = until;
                self.engine.notes_stored(NoteNumber(until));
            }
            Event::DiskDone(done) => {
                self.engine.disk_done(&done);
                self.tell_of_disk(done.result.is_ok());
                self.disk(actions);
            }
            Event::Published(file) => self.engine.published(file),
            Event::Save => self.save(),
            Event::Limits(limits) => self.limits = limits,
            Event::RowsWritten { bytes } => self.saving.set_written(bytes),
            Event::RowsFailed { host } => self.saving.failed(now_us, &host),
            Event::Lost { host, charts } => self.lost(host, &charts, actions),
        }
    }

    /// What holds after every turn: changed hosts are published and on their way to the store, silent children are let go.
    pub fn settle(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        self.clean_up(now_us, actions);
        self.keep_rows(now_us, actions);
        if now_us - self.published_us >= PUBLISH_EVERY_US && !self.changed.is_empty() {
            self.published_us = now_us;
            for host in std::mem::take(&mut self.changed) {
                if self.hosts[host].take_changed() {
                    actions.push(Action::Publish(Arc::new(self.hosts[host].snapshot(self.id))));
                }
            }
        }
        if now_us - self.idle_checked_us >= IDLE_CHECK_EVERY_US {
            self.idle_checked_us = now_us;
            let idle = |child: &&Child| now_us - child.last_received_us > IDLE_AFTER_US;
            let silent: Vec<ConnectionId> =
                self.strangers().filter(idle).map(|child| child.connection).collect();
            for connection in silent {
                let seconds = IDLE_AFTER_US.unsigned_abs() / 1_000_000;
                self.disconnect(now_us, connection, DisconnectReason::Idle { seconds }, actions);
            }
            self.look_at_children(now_us);
            self.ask_again(now_us, actions);
        }
        if now_us - self.filled_us >= FILL_EVERY_US {
            self.filled_us = now_us;
            self.ask_for_past(now_us, actions);
        }
        self.settle_calls(now_us, actions);
        self.settle_senders(now_us, actions);
        if now_us - self.seen_us >= SEEN_EVERY_US {
            self.seen_us = now_us;
            for host in self.children.iter().flatten().map(|child| child.host).collect::<Vec<_>>() {
                self.hosts[host].mark_seen();
                self.mark_changed(host);
            }
        }
        if self.handed_out - self.stored < CHANGES_UNDER_WAY {
            self.hand_out(now_us, CHANGES_A_TURN, actions);
        }
        // Rows are not committed before the definitions that they need, unless the store takes too long.
        let late_us = if self.unsaved.is_empty() {
            self.commit_every_us
        } else {
            self.commit_every_us.saturating_add(LATEST_COMMIT_US)
        };
        let is_due = self.unsaved.is_empty() && self.engine.is_commit_due();
        if is_due || now_us - self.committed_us >= late_us {
            self.committed_us = now_us;
            self.engine.commit(UnixSeconds(now_us.div_euclid(1_000_000)));
            self.disk(actions);
        }
    }

    /// Children are asked for parts of their past, the one first that comes after the last.
    fn ask_for_past(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        let children = self.children.len();
        let next = self.last_filled + 1;
        for place in (0..children).map(|step| (next + step) % children) {
            if !self.pace.has_room() {
                return;
            }
            if let Some(child) = &self.children[place]
                && child.receiver.replication_progress().charts_filling > 0
            {
                self.last_filled = place;
                self.with_child(now_us, place, actions, Receiver::ask_for_past);
            }
        }
    }

    /// Children are asked again for what they did not answer.
    fn ask_again(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        for place in 0..self.children.len() {
            if let Some(child) = &self.children[place]
                && child.receiver.replication_progress() != ReplicationProgress::default()
            {
                self.with_child(now_us, place, actions, Receiver::ask_again);
            }
        }
    }

    /// Lets a child's receiver do something that may send lines.
    fn with_child(
        &mut self,
        now_us: i64,
        place: usize,
        actions: &mut Vec<Action>,
        action: impl FnOnce(&mut Receiver, &mut Surroundings<'_>),
    ) {
        let Some(child) = &mut self.children[place] else { return };
        if let Some(upstream) = &mut child.upstream {
            self.sending.stir(place, upstream);
        }
        let mut around = Surroundings {
            mirror: &mut self.hosts[child.host],
            engine: &mut self.engine,
            limits: &self.limits,
            counters: &mut child.counters,
            pace: &mut self.pace,
            sender: child.upstream.as_mut().map(|upstream| &mut upstream.sender),
            now_us,
            out: &mut self.out,
        };
        action(&mut child.receiver, &mut around);
        let (connection, host) = (child.connection, child.host);
        if !self.out.is_empty() {
            actions.push(Action::Send { connection, bytes: std::mem::take(&mut self.out) });
        }
        self.mark_changed(host);
    }

    /// Hands on what the engine asks for.
    fn disk(&mut self, actions: &mut Vec<Action>) {
        while let Some(op) = self.engine.poll_disk() {
            actions.push(Action::Disk(op));
        }
        while let Some(file) = self.engine.poll_sealed() {
            actions.push(Action::Seal(file));
        }
    }

    /// Says when the disk begins to fail, and when it works again.
    fn tell_of_disk(&mut self, works: bool) {
        if let Some(error) = self.engine.take_disk_error() {
            if !std::mem::replace(&mut self.disk_fails, true) {
                tracing::error!(
                    shard = self.id.0,
                    "the database cannot be written: {error}. Samples are kept in memory and written when that is \
                     possible again; make room, or look after the disk"
                );
            }
        } else if works && std::mem::take(&mut self.disk_fails) {
            tracing::info!(shard = self.id.0, "the database is written again");
        }
    }

    /// Hands out changes for the store, as many as `most`.
    fn hand_out(&mut self, now_us: i64, most: usize, actions: &mut Vec<Action>) {
        let now = UnixSeconds(now_us.div_euclid(1_000_000));
        let mut changes = Vec::new();
        // Before what came since, which may have the same machine GUIDs.
        while changes.len() < most
            && let Some(forgotten) = self.hosts_to_forget.pop_front()
        {
            changes.push(forgotten);
        }
        while changes.len() < most
            && let Some(host) = self.unsaved.pop_front()
        {
            self.hosts[host].take_unsaved(now, most, &mut changes);
            if self.hosts[host].is_unsaved() {
                self.unsaved.push_front(host);
            }
        }
        if !changes.is_empty() {
            if self.engine.has_store() {
                let mut note = Vec::new();
                for change in &changes {
                    note.clear();
                    change.encode(&mut note);
                    self.engine.note(&note);
                }
            }
            self.handed_out += changes.len() as u64;
            actions.push(Action::Store { until: self.handed_out, changes });
        }
    }

    /// The shard stops: every child is let go, and the store is to know everything.
    pub fn stop(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        let connections: Vec<ConnectionId> =
            self.children.iter().flatten().map(|child| child.connection).collect();
        for connection in connections {
            self.disconnect(now_us, connection, DisconnectReason::Shutdown, actions);
        }
        self.hand_out(now_us, usize::MAX, actions);
        self.save_all(now_us);
        self.engine.stop();
        self.disk(actions);
    }

    /// After [`stop`](Self::stop): whether all that the shard had is on disk, or on its way to the files of its hosts.
    pub fn is_stopped(&mut self, now_us: i64, actions: &mut Vec<Action>) -> bool {
        if self.is_saving() {
            self.keep_rows(now_us, actions);
        }
        let stopped = self.engine.stop_further();
        self.disk(actions);
        stopped && !self.is_saving()
    }

    /// Children connected now.
    pub fn connections(&self) -> usize {
        self.children.iter().flatten().count()
    }

    /// Bytes received from children so far.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    // arrival

    fn arrived(
        &mut self,
        now_us: i64,
        connection: ConnectionId,
        mut arrival: Arrival,
        actions: &mut Vec<Action>,
    ) {
        let hostname = arrival.request.hostname.clone();
        let peer = arrival.peer;
        let known = self.by_guid.get(&arrival.machine_guid).copied();
        let is_own = self.own == Some(arrival.machine_guid);
        if let Some(host) = known
            && let Some(other) = self.children.iter().flatten().find(|child| child.host == host)
        {
            let silent_us = now_us - other.last_received_us;
            let silent_s = silent_us / 1_000_000;
            let (existing, stale) = (other.peer, other.connection);
            let is_alive = silent_us < STALE_AFTER_US;
            let outcome = if is_alive { DuplicateOutcome::Refused } else { DuplicateOutcome::TookOver };
            let at = now_us.div_euclid(1_000_000);
            let duplicate = Duplicate { at, peer, hostname: hostname.as_str().into(), existing, outcome };
            self.remember_duplicate(host, duplicate);
            if is_alive {
                let refusal = Refusal::AlreadyStreaming { idle_s: silent_s.unsigned_abs() };
                self.refuse(connection, refusal, &arrival, Some(existing), actions);
                return;
            }
            tracing::info!(
                target: "mainstem::stream",
                existing = bracketed(existing),
                "STREAM {hostname} [receive from {}]: multiple connections for same host detected - existing \
                 connection is dead ({silent_s} sec), accepting new connection.",
                bracketed(peer),
            );
            self.disconnect(now_us, stale, DisconnectReason::Replaced, actions);
        }
        if known.is_none() && !is_own && self.hosts.len() >= self.limits.hosts {
            tracing::error!(
                target: "mainstem::stream",
                "STREAM {hostname} [receive from {}]: refused: this shard mirrors {} hosts already; raise \
                 [limits] hosts in mainstem.toml",
                bracketed(peer),
                self.hosts.len(),
            );
            self.refuse(connection, Refusal::Busy { wait_s: HOSTS_FULL_RETRY_S }, &arrival, None, actions);
            return;
        }
        let since = UnixSeconds(now_us.div_euclid(1_000_000));
        let state = if is_own { HostState::Localhost } else { HostState::Connected { since, peer } };
        let info = host_info(&arrival);
        let host = match known {
            Some(host) => {
                let keep = keep(&info, &self.engine);
                self.saving.wake(&info.machine_guid);
                self.hosts[host].introduce(info, state, keep, &mut self.engine);
                host
            }
            None => {
                let keep = keep(&info, &self.engine);
                self.add_host(Mirror::new(info, state, keep))
            }
        };
        let place = connection.place as usize;
        let mut upstream = self
            .begin_sending(now_us, host, arrival.capabilities, arrival.policy.sending.clone())
            .map(Box::new);
        if let Some(upstream) = &mut upstream {
            self.sending.stir(place, upstream);
        }
        if self.children.len() <= place {
            self.children.resize_with(place + 1, || None);
        }
        self.children[place] = Some(Child {
            connection,
            host,
            key: arrival.key,
            peer,
            encrypted: arrival.encrypted,
            capabilities: arrival.capabilities,
            receiver: Receiver::new(
                arrival.capabilities,
                arrival.policy.replication,
                &arrival.request.program_version,
                own_element(&arrival, since),
            ),
            upstream,
            inbound: Inbound::new(arrival.capabilities.compression()),
            partial: Vec::new(),
            counters: ChildCounters::default(),
            speed: Speed::begin(now_us),
            last_received_us: now_us,
            _seat: arrival.seat.take(),
        });
        self.mark_changed(host);
        // Our own host knows what was agreed, and waits for no answer.
        if !is_own {
            self.telemetry.shards[self.id.index()].accepted.fetch_add(1, Relaxed);
            log::taken_in(connection, &arrival, known.is_none());
            actions.push(Action::Send { connection, bytes: Reply::Accepted(arrival.capabilities).encode() });
        }
        if !arrival.early.is_empty() {
            self.received(now_us, connection, &arrival.early, actions);
        }
    }

    /// A host of another day. Its child will find its charts as it left them.
    fn restored(&mut self, now_us: i64, host: HostRecord, charts: Vec<RestoredChart>) {
        if self.by_guid.contains_key(&host.info.machine_guid) {
            return;
        }
        let keep = keep(&host.info, &self.engine);
        let mirror = Mirror::restore(host, charts, keep, &mut self.engine, now_us);
        let host = self.add_host(mirror);
        self.mark_changed(host);
    }

    fn add_host(&mut self, mirror: Mirror) -> HostIndex {
        let host = self.hosts.len();
        self.by_guid.insert(mirror.info().machine_guid, host);
        self.hosts.push(mirror);
        self.attendance.push(Attendance::default());
        host
    }

    fn refuse(
        &self,
        connection: ConnectionId,
        refusal: Refusal,
        arrival: &Arrival,
        existing: Option<std::net::SocketAddr>,
        actions: &mut Vec<Action>,
    ) {
        log_refusal(arrival.peer, &refusal, &arrival.request, existing);
        self.telemetry.refusals.add(refusal.label());
        actions.push(Action::Send { connection, bytes: refusal.reply_bytes() });
        actions.push(Action::Close { connection });
    }

    // the stream

    fn received(&mut self, now_us: i64, connection: ConnectionId, bytes: &[u8], actions: &mut Vec<Action>) {
        let Some(child) = self.children.get_mut(connection.place as usize).and_then(Option::as_mut) else {
            return self.heard_from_parent(now_us, connection, bytes, actions);
        };
        if child.connection != connection {
            return;
        }
        child.last_received_us = now_us;
        child.counters.received_bytes += bytes.len() as u64;
        let host = child.host;
        if self.own != Some(self.hosts[host].info().machine_guid) {
            self.received_bytes += bytes.len() as u64;
        }
        let mut partial = std::mem::take(&mut child.partial);
        let input = if partial.is_empty() {
            bytes
        } else {
            partial.extend_from_slice(bytes);
            &partial[..]
        };
        let Child { receiver, inbound, counters, upstream, .. } = child;
        if let Some(upstream) = upstream {
            self.sending.stir(connection.place as usize, upstream);
        }
        let around = Surroundings {
            mirror: &mut self.hosts[host],
            engine: &mut self.engine,
            limits: &self.limits,
            counters,
            pace: &mut self.pace,
            sender: upstream.as_mut().map(|upstream| &mut upstream.sender),
            now_us,
            out: &mut self.out,
        };
        let filled = around.counters.filled_rows;
        let mut listener = Listener { receiver, around };
        let outcome = inbound.feed_through(input, &mut self.workspace, &mut listener);
        let Listener { receiver, mut around } = listener;
        receiver.ask_for_past(&mut around);
        if around.counters.filled_rows > filled && around.mirror.info().memory_mode == MemoryMode::Map {
            // What was appended to its file does not come after these.
            self.saving.forget(&around.mirror.info().machine_guid);
        }
        let outcome = match outcome {
            Ok(consumed) => {
                let rest = input.len() - consumed;
                if partial.is_empty() {
                    partial.extend_from_slice(&bytes[consumed..]);
                } else {
                    partial.copy_within(consumed.., 0);
                    partial.truncate(rest);
                }
                // What a replication burst needed is not kept for a child that sends a kilobyte a second.
                if rest == 0 {
                    partial = Vec::new();
                }
                child.partial = partial;
                Ok(())
            }
            Err(error) => Err(DisconnectReason::from(error)),
        };
        if !self.out.is_empty() {
            actions.push(Action::Send { connection, bytes: std::mem::take(&mut self.out) });
        }
        self.mark_changed(host);
        if let Err(reason) = outcome {
            self.disconnect(now_us, connection, reason, actions);
        }
    }

    /// Remembers to publish a host, and to hand it out to the store, if there is anything new to see.
    fn mark_changed(&mut self, host: HostIndex) {
        if self.hosts[host].is_changed() && !self.changed.contains(&host) {
            self.changed.push(host);
        }
        if self.hosts[host].is_unsaved() && !self.unsaved.contains(&host) {
            self.unsaved.push_back(host);
        }
    }

    /// Ends a connection from our side.
    fn disconnect(
        &mut self,
        now_us: i64,
        connection: ConnectionId,
        reason: DisconnectReason,
        actions: &mut Vec<Action>,
    ) {
        self.ended(now_us, connection, reason, actions);
        actions.push(Action::Close { connection });
    }

    fn ended(
        &mut self,
        now_us: i64,
        connection: ConnectionId,
        reason: DisconnectReason,
        actions: &mut Vec<Action>,
    ) {
        let place = connection.place as usize;
        let is_it = |child: &Child| child.connection == connection;
        if !self.children.get(place).and_then(Option::as_ref).is_some_and(is_it) {
            return self.link_ended(now_us, connection, reason, actions);
        }
        // Nothing is said any more.
        self.with_child(now_us, place, &mut Vec::new(), Receiver::end_connection);
        let Some(mut child) = self.children[place].take() else { return };
        if let Some(upstream) = child.upstream.take() {
            self.end_sending(now_us, child.host, *upstream, actions);
        }
        figures::add(&mut self.past, &child.counters);
        self.attendance[child.host].leave(now_us, &reason, &child.counters);
        let is_own = self.is_own(child.host);
        let mirror = &mut self.hosts[child.host];
        if is_own {
            log::own_ended(&reason);
        } else {
            self.telemetry.disconnections.add(reason.label());
            log::ended(connection, child.peer, mirror.info(), child.counters.rows, &reason);
        }
        mirror.leave(now_us, reason.to_string().into());
        self.mark_changed(child.host);
    }

    // questions

    /// The group of a chart, unless it has been forgotten since its chart was published.
    fn held(&self, group: ChartGroup) -> Option<GroupId> {
        self.engine.has(group.id, group.key).then_some(group.id)
    }

    /// Whoever asked may have left; then the answer is for nobody.
    fn answer(&mut self, now_us: i64, question: Question, actions: &mut Vec<Action>) {
        match question {
            Question::Nodes { answer } => {
                let _ = answer.send(self.nodes(now_us));
            }
            Question::Spans { groups, answer } => {
                let span = |group: ChartGroup| self.held(group).and_then(|group| self.engine.span(group));
                let _ = answer.send(groups.into_iter().map(span).collect());
            }
            Question::States { groups, answer } => {
                let state = |group| GroupState {
                    span: self.engine.span(group),
                    newest: self.engine.newest(group).map_or_else(Vec::new, |(_, values)| values.to_vec()),
                };
                let states =
                    groups.into_iter().map(|group| self.held(group).map_or_else(GroupState::default, state));
                let _ = answer.send(states.collect());
            }
            Question::Rows { groups, window, answer } => {
                let rows = |group: ChartGroup| match self.held(group) {
                    Some(id) => self.engine.read(id, window),
                    None => GroupSnapshot::empty(group.key, window),
                };
                let _ = answer.send(groups.into_iter().map(rows).collect());
            }
            Question::Admissions { answer } => {
                let admission = |child: &Child| Admission {
                    machine_guid: self.hosts[child.host].info().machine_guid,
                    key: child.key,
                    peer: child.peer,
                };
                let _ = answer.send(self.strangers().map(admission).collect());
            }
            Question::Call(call) => self.call(now_us, *call, actions),
            Question::Latest { host, answer } => {
                let mirror = self.by_guid.get(&host).map(|index| &self.hosts[*index]);
                let rows = mirror.into_iter().flat_map(Mirror::charts).map(|mirrored| {
                    let newest = self.engine.newest(mirrored.chart.group);
                    LatestRow {
                        time: newest.map_or(0, |(time, _)| time.0),
                        values: newest.map_or_else(Vec::new, |(_, values)| values.to_vec()),
                        collected: (0..mirrored.chart.dimensions.len())
                            .map(|dimension| mirrored.last_collected(dimension))
                            .collect(),
                    }
                });
                let _ = answer.send(rows.collect());
            }
        }
    }
}

/// What the engine holds of a host's rows.
fn keep(info: &HostInfo, engine: &Engine) -> Keep {
    match info.memory_mode {
        MemoryMode::None => Keep::Nothing,
        MemoryMode::Dbengine if engine.has_store() => Keep::OnDisk,
        _ => Keep::Rows(info.history),
    }
}

/// Our place on the way of a host's samples.
fn own_element(arrival: &Arrival, since: UnixSeconds) -> PathElement {
    let parent = &arrival.parent;
    PathElement {
        // A child that does not say streams itself.
        hops: arrival.request.hops.max(1),
        since: since.0,
        capabilities: Capabilities::OURS.names().map(Into::into).collect(),
        ..PathElement::new(parent.hostname.clone(), parent.machine_guid)
    }
}

fn host_info(arrival: &Arrival) -> HostInfo {
    let request = &arrival.request;
    HostInfo {
        machine_guid: arrival.machine_guid,
        hostname: request.hostname.as_str().into(),
        registry_hostname: request.registry_hostname.as_str().into(),
        os: request.os.as_str().into(),
        timezone: request.timezone.as_str().into(),
        abbrev_timezone: request.abbrev_timezone.as_str().into(),
        utc_offset: request.utc_offset,
        // A child that does not say streams itself; only we are none away.
        hops: if arrival.machine_guid == arrival.parent.machine_guid { 0 } else { request.hops.max(1) },
        update_every: arrival.policy.update_every_s.or(request.update_every).unwrap_or(1).max(1),
        program_name: request.program_name.as_str().into(),
        program_version: request.program_version.as_str().into(),
        system: request
            .system_info
            .iter()
            .map(|(name, value)| (name.as_str().into(), value.as_str().into()))
            .collect(),
        labels: Labels::default(),
        variables: Default::default(),
        claim_id: None,
        memory_mode: arrival.policy.memory_mode,
        history: arrival.policy.retention_rows,
    }
}

#[cfg(test)]
mod tests;
