//! An ingest shard's executor: the loop between a [`Shard`] and the world.
//!
//! ```text
//! messages -> epoll set, one read each -> Shard::apply -> settle -> actions carried out -> sleep a tick, or not
//! ```
//!
//! The tick is what batches: a child's packets of some milliseconds are read at once. It is short in a rush, long
//! without children, and a message always ends it early. glommio can park with
//! runnable tasks (lost wake-up, docs/decisions/0001-runtime.md); the watchdog nudges a shard that oversleeps from outside.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{RecvTimeoutError, TrySendError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dbengine::StoreOptions;
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::catalog::CatalogSender;
use super::clock::Clock;
use super::connector::Wish;
use super::files::Files;
use super::keeper::Sealed;
use super::past::PastSender;
use super::rows::RowsSender;
use super::sockets::{Sockets, Turn};
use super::watchdog::Alarm;
use crate::catalog::HostNews;
use crate::config::Limits;
use crate::connection::tls::Session;
use crate::sender::ConnectFailure;
use crate::sender::choice::Choice;
use crate::shard::event::{Action, ConnectionId, Event};
use crate::shard::message::{Arrival, Message};
use crate::shard::placement::ShardId;
use crate::shard::{Cleanup, CommitEvery, Shard};
use crate::telemetry::Telemetry;

/// While children send what they collect. A turn of the executor costs as much as some hundred samples, and it finds
/// the processor's caches and what it has learned of the code cold, so it is to find the bytes of many children; a sample
/// may wait that long, a message does not. Who asks for rows finds all that have come: sockets are read first.
const TICK: Duration = Duration::from_millis(250);
/// The same while something is sent on to another parent, where each hop is to add less.
const TICK_ONWARD: Duration = Duration::from_millis(100);
/// While children are talked to: their answers are on the way.
const TICK_TALK: Duration = Duration::from_millis(5);
/// While bytes come faster than sockets hold.
const TICK_RUSH: Duration = Duration::from_millis(1);
/// While the clock is moved by hand: whoever moves it waits for the shard at each of its steps.
const TICK_BY_HAND: Duration = Duration::from_millis(1);
/// Without children.
const TICK_ALONE: Duration = Duration::from_millis(200);
/// Bytes of one turn that are a rush.
const RUSH_BYTES: u64 = 1 << 20;
/// Executors that are started for a shard, one after the other, until one begins to run.
const STARTS: u32 = 5;
const STARTS_WITHIN: Duration = Duration::from_secs(2);
/// Below 1 ms glommio's lost wake-up becomes frequent; its default of 100 ms delays everything else.
const PREEMPT_TIMER: Duration = Duration::from_millis(1);
/// Messages that one turn takes before the sockets get their chance.
const MESSAGES_A_TURN: usize = 256;
/// It looks at every child.
const REPORT_EVERY: Duration = Duration::from_millis(300);
const REPORT_STORAGE_EVERY: Duration = Duration::from_secs(10);

/// A shard that was told to stop waits so long for its disk; the journal has what is not written by then.
const STOP_WITHIN: Duration = Duration::from_secs(4);

/// What a shard needs to write its part of the database.
#[derive(Debug)]
pub(super) struct ShardStore {
    pub(super) options: StoreOptions,
    pub(super) commit_every: CommitEvery,
    pub(super) root: PathBuf,
    /// Files that readers are to open.
    pub(super) sealed: std::sync::mpsc::Sender<Sealed>,
}

/// What a shard's executor is made of.
#[derive(Debug)]
pub(super) struct Ingest {
    pub(super) id: ShardId,
    /// Our own.
    pub(super) machine_guid: Uuid,
    pub(super) limits: Limits,
    pub(super) cleanup: Cleanup,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Clock,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) readers: mpsc::Sender<HostNews>,
    pub(super) catalog: CatalogSender,
    pub(super) rows: RowsSender,
    /// Connections to parents are made at its other end.
    pub(super) connector: mpsc::Sender<Wish>,
    /// The disk's past is read at its other end.
    pub(super) past: PastSender,
    pub(super) store: Option<ShardStore>,
    /// A message on any of them wakes the executor, whatever state its main task is in.
    pub(super) nudges: Vec<mpsc::Receiver<()>>,
    /// The watchdog's.
    pub(super) alarm: Arc<Alarm>,
    pub(super) io_memory: usize,
    /// Pin the executor to this core.
    pub(super) core: Option<usize>,
}

impl Ingest {
    /// Starts the executor and waits until its loop turns, or says why it does not.
    ///
    /// glommio loses a wake-up before an executor's first turn, too, when there is nobody yet who could be nudged: on a
    /// busy machine one start of some thousand sleeps for good. So one that does not turn within [`STARTS_WITHIN`] gets a
    /// rival; the first to turn is the shard, and the others end when they ever wake.
    pub(super) fn start(self) -> Result<ExecutorJoinHandle<()>, String> {
        let id = self.id;
        let (core, io_memory) = (self.core, self.io_memory);
        let ingest = Arc::new(Mutex::new(Some(self)));
        let mut rivals: Vec<Rival> = Vec::new();
        for attempt in 1..=STARTS {
            if attempt > 1 {
                tracing::warn!(
                    shard = id.0,
                    attempt,
                    "the shard's executor sleeps before its first turn; another is started"
                );
            }
            rivals.push(Ingest::spawn(&ingest, id, core, io_memory)?);
            let begun = Instant::now();
            while begun.elapsed() < STARTS_WITHIN && !rivals.is_empty() {
                let mut place = 0;
                while place < rivals.len() {
                    match rivals[place].is_ready.recv_timeout(STARTS_WITHIN / 20) {
                        Ok(Ok(())) => return Ok(rivals.swap_remove(place).handle),
                        Ok(Err(error)) => {
                            return Err(format!("shard {}: cannot watch sockets: {error}", id.0));
                        }
                        Err(RecvTimeoutError::Timeout) => place += 1,
                        Err(RecvTimeoutError::Disconnected) => {
                            let Rival { handle, .. } = rivals.swap_remove(place);
                            let is_left = ingest.lock().expect("nobody panics while it is held").is_some();
                            // glommio reports what went wrong inside its thread only to whoever joins it.
                            match handle.join() {
                                Err(error) => return Err(format!("shard {}: {error}", id.0)),
                                Ok(()) if is_left => {
                                    return Err(format!("shard {}: its executor ended at once", id.0));
                                }
                                // Another one was faster.
                                Ok(()) => {}
                            }
                        }
                    }
                }
            }
        }
        Err(format!("shard {}: none of {STARTS} executors began to run", id.0))
    }

    fn spawn(
        ingest: &Arc<Mutex<Option<Ingest>>>,
        id: ShardId,
        core: Option<usize>,
        io_memory: usize,
    ) -> Result<Rival, String> {
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let ingest = Arc::clone(ingest);
        let handle = LocalExecutorBuilder::new(core.map_or(Placement::Unbound, Placement::Fixed))
            .name(&format!("shard-{}", id.0))
            .io_memory(io_memory)
            .preempt_timer(PREEMPT_TIMER)
            .spawn(move || async move {
                let taken = ingest.lock().expect("nobody panics while it is held").take();
                let Some(mut ingest) = taken else { return };
                for mut nudge in std::mem::take(&mut ingest.nudges) {
                    glommio::spawn_local(async move { while nudge.recv().await.is_some() {} }).detach();
                }
                match Sockets::new(ingest.limits.pending_bytes_per_child) {
                    Ok(sockets) => {
                        // The starter waits for this one message.
                        let _ = ready.send(Ok(()));
                        Executor::new(ingest, sockets).run().await;
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error.to_string()));
                    }
                }
            })
            .map_err(|error| format!("shard {}: {error}", id.0))?;
        Ok(Rival { handle, is_ready })
    }
}

/// An executor that is to become the shard.
struct Rival {
    handle: ExecutorJoinHandle<()>,
    is_ready: std::sync::mpsc::Receiver<Result<(), String>>,
}

/// The running loop.
struct Executor {
    id: ShardId,
    shard: Shard,
    sockets: Sockets,
    clock: Clock,
    inbox: mpsc::Receiver<Message>,
    readers: mpsc::Sender<HostNews>,
    catalog: CatalogSender,
    rows: RowsSender,
    connector: mpsc::Sender<Wish>,
    past: PastSender,
    disk: Option<(Files, std::sync::mpsc::Sender<Sealed>)>,
    /// The newest of hosts that the readers' channel had no room for: at most one a host.
    unpublished: HashMap<Uuid, HostNews>,
    telemetry: Arc<Telemetry>,
    alarm: Arc<Alarm>,
    actions: Vec<Action>,
    reported: Option<Instant>,
    stored_reported: Option<Instant>,
    /// Something was sent to a child since the last sleep.
    talked: bool,
    /// The sockets were read for a question, before it was their turn.
    early: Option<Turn>,
    commit_every: Duration,
    stopping: bool,
}

impl Executor {
    fn new(ingest: Ingest, sockets: Sockets) -> Self {
        let (mut disk, mut store) = (None, None);
        if let Some(ShardStore { options, commit_every, root, sealed }) = ingest.store {
            disk = Some((Files::new(root, ingest.id, Arc::clone(&ingest.telemetry)), sealed));
            store = Some((options, commit_every));
        }
        let commit_every = store.as_ref().map_or(Duration::MAX, |(_, CommitEvery(every))| *every);
        Self {
            id: ingest.id,
            shard: Shard::new(ingest.id, ingest.limits, ingest.cleanup, Arc::clone(&ingest.telemetry), store)
                .with_own_host(ingest.machine_guid),
            disk,
            sockets,
            clock: ingest.clock,
            inbox: ingest.inbox,
            readers: ingest.readers,
            catalog: ingest.catalog,
            rows: ingest.rows,
            connector: ingest.connector,
            past: ingest.past,
            unpublished: HashMap::new(),
            telemetry: ingest.telemetry,
            alarm: ingest.alarm,
            actions: Vec::new(),
            reported: None,
            stored_reported: None,
            talked: false,
            early: None,
            commit_every,
            stopping: false,
        }
    }

    async fn run(mut self) {
        loop {
            let messages = self.take_messages();
            let turn = self.early.take().unwrap_or_else(|| self.turn());
            let now_us = self.clock.now_us();
            if let Some(until) = self.catalog.news() {
                self.shard.apply(now_us, Event::CatalogStored { until }, &mut self.actions);
            }
            self.hear_of_rows(now_us);
            self.hear_of_disk(now_us);
            self.hear_of_links(now_us);
            self.shard.settle(now_us, &mut self.actions);
            if self.stopping {
                self.shard.stop(now_us, &mut self.actions);
            }
            self.carry_out();
            self.catalog.flush();
            self.report(turn);
            if self.stopping {
                self.catalog.finish();
                self.finish_disk().await;
                self.report(turn);
                return;
            }
            if turn.more || messages == MESSAGES_A_TURN {
                glommio::executor().yield_if_needed().await;
            } else {
                self.sleep(turn).await;
            }
        }
    }

    fn hear_of_disk(&mut self, now_us: i64) {
        let Some((files, _)) = &self.disk else { return };
        for done in files.take_done() {
            self.shard.apply(now_us, Event::DiskDone(done), &mut self.actions);
        }
    }

    fn hear_of_links(&mut self, now_us: i64) {
        for (link, bytes) in self.sockets.take_news_of_links() {
            self.shard.apply(now_us, Event::Waiting { link, bytes }, &mut self.actions);
        }
    }

    fn hear_of_rows(&mut self, now_us: i64) {
        if let Some(bytes) = self.rows.news() {
            self.shard.apply(now_us, Event::RowsWritten { bytes }, &mut self.actions);
            for host in self.rows.failed() {
                self.shard.apply(now_us, Event::RowsFailed { host }, &mut self.actions);
            }
        }
    }

    /// Writes what the stopped shard still has.
    async fn finish_disk(&mut self) {
        let begun = Instant::now();
        loop {
            let now_us = self.clock.now_us();
            self.hear_of_rows(now_us);
            self.hear_of_disk(now_us);
            if let Some(until) = self.catalog.news() {
                self.shard.apply(now_us, Event::CatalogStored { until }, &mut self.actions);
            }
            let stopped = self.shard.is_stopped(now_us, &mut self.actions);
            self.carry_out();
            if stopped {
                return;
            }
            // What has no journal is waited for.
            if begun.elapsed() > STOP_WITHIN && !self.shard.is_saving() {
                tracing::warn!(
                    shard = self.id.0,
                    "the disk is too slow to write all pages now; the journal has the rest for the next start"
                );
                return;
            }
            glommio::timer::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits for the next tick; a message ends the wait, but for a ping, which is only answered.
    async fn sleep(&mut self, turn: Turn) {
        let tick = if turn.received_bytes >= RUSH_BYTES {
            TICK_RUSH
        } else if self.clock.is_moved_by_hand() {
            TICK_BY_HAND
        } else if std::mem::take(&mut self.talked) {
            TICK_TALK
        } else if self.sockets.links() > 0 {
            TICK_ONWARD
        } else if self.shard.connections() > 0 {
            TICK
        } else {
            TICK_ALONE
        };
        let ends = Instant::now() + tick.min(self.commit_every);
        self.alarm.set(ends);
        loop {
            let left = ends.saturating_duration_since(Instant::now());
            let message = tokio::select! {
                biased;
                message = self.inbox.recv() => message,
                () = async { glommio::timer::Timer::new(left).await; } => return,
            };
            match message {
                // It is no reason for a turn.
                Some(ping @ Message::Ping { .. }) => self.hear(ping),
                Some(message) => return self.hear(message),
                // Nobody is left who could say anything: the parent is gone.
                None => {
                    self.stopping = true;
                    return;
                }
            }
        }
    }

    fn take_messages(&mut self) -> usize {
        for count in 0..MESSAGES_A_TURN {
            match self.inbox.try_recv() {
                Ok(message) => self.hear(message),
                Err(_) => return count,
            }
        }
        MESSAGES_A_TURN
    }

    fn hear(&mut self, message: Message) {
        self.telemetry.shards[self.id.index()].messages.fetch_add(1, Relaxed);
        let now_us = self.clock.now_us();
        match message {
            Message::Arrived { socket, session, arrival } => self.adopt(socket, session, arrival),
            Message::Connected { child, attempt, buffer_bytes, choice, outcome } => {
                let added = outcome.and_then(|(socket, session)| {
                    let failed = |error: io::Error| ConnectFailure { address: None, reason: error.into() };
                    self.sockets.add_link(socket, session, buffer_bytes).map_err(failed)
                });
                let event = Event::Connected { child, attempt, choice, outcome: added };
                self.shard.apply(now_us, event, &mut self.actions);
            }
            Message::Past(answered) => {
                self.shard.apply(now_us, Event::Past(answered), &mut self.actions);
            }
            Message::Asked(question) => {
                // Once for all questions that have come.
                if self.early.is_none() {
                    self.early = Some(self.turn());
                }
                self.shard.apply(self.clock.now_us(), Event::Asked(question), &mut self.actions);
            }
            Message::Forget { host, answer } => {
                self.shard.apply(now_us, Event::Forget { host, answer }, &mut self.actions);
            }
            Message::Restored { host, charts } => {
                self.shard.apply(now_us, Event::Restored { host, charts }, &mut self.actions);
            }
            Message::Published(file) => {
                self.shard.apply(now_us, Event::Published(file), &mut self.actions);
            }
            Message::Limits(limits) => {
                self.sockets.limit_pending(limits.pending_bytes_per_child);
                self.shard.apply(now_us, Event::Limits(limits), &mut self.actions);
            }
            Message::Save => self.shard.apply(now_us, Event::Save, &mut self.actions),
            Message::Lost { host, charts } => {
                self.shard.apply(now_us, Event::Lost { host, charts }, &mut self.actions);
            }
            Message::Ping { answer } => {
                // The watchdog may have given up waiting.
                let _ = answer.send(());
            }
            Message::Stop => self.stopping = true,
        }
    }

    fn adopt(&mut self, socket: OwnedFd, session: Option<Box<Session>>, arrival: Box<Arrival>) {
        match self.sockets.add(socket, session) {
            Ok(connection) => {
                let now_us = self.clock.now_us();
                self.shard.apply(now_us, Event::Arrived { connection, arrival }, &mut self.actions);
                self.carry_out();
            }
            Err(error) => tracing::error!(
                shard = self.id.0,
                hostname = arrival.request.hostname,
                %error,
                "a child's socket cannot be watched; it is closed and will come back"
            ),
        }
    }

    /// Reads the sockets.
    fn turn(&mut self) -> Turn {
        let Self { shard, sockets, clock, actions, .. } = self;
        let turn = sockets.turn(|connection, outcome| {
            // Asked after the bytes were read: a child's first intervals are measured by it.
            let now_us = clock.now_us();
            let event = match outcome {
                Ok(bytes) => Event::Received { connection, bytes },
                Err(reason) => Event::Ended { connection, reason },
            };
            shard.apply(now_us, event, actions);
        });
        turn.unwrap_or_else(|error| {
            tracing::error!(shard = self.id.0, %error, "the shard cannot watch its sockets any more; it stops");
            self.stopping = true;
            Turn::default()
        })
    }

    /// Does what the shard asked for. Sending may end connections, which may ask for more.
    fn carry_out(&mut self) {
        while !self.actions.is_empty() {
            for action in std::mem::take(&mut self.actions) {
                match action {
                    Action::Send { connection, bytes } => self.send(connection, bytes),
                    Action::Close { connection } => self.sockets.close(connection),
                    Action::Connect { child, wish } => {
                        let (shard, attempt) = (self.id, wish.attempt);
                        let wish = Wish { shard, child, wish };
                        if self.connector.try_send(wish).is_err() {
                            let error = io::Error::other("too many connections are being made");
                            let outcome = Err(ConnectFailure { address: None, reason: error.into() });
                            let event = Event::Connected { child, attempt, choice: Choice::only(), outcome };
                            self.shard.apply(self.clock.now_us(), event, &mut self.actions);
                        }
                    }
                    Action::Past(wish) => {
                        if let Err(TrySendError::Full((_, wish)) | TrySendError::Disconnected((_, wish))) =
                            self.past.try_send((self.id, wish))
                        {
                            self.shard.past_refused(wish);
                        }
                    }
                    Action::Publish(snapshot) => {
                        self.unpublished.insert(snapshot.info.machine_guid, HostNews::Changed(snapshot));
                    }
                    Action::Forget(host) => {
                        self.unpublished.insert(host, HostNews::Forgotten(host));
                    }
                    Action::Store { until, changes } => self.catalog.send(until, changes),
                    Action::Rows(op) => self.rows.send(op),
                    Action::Disk(op) => {
                        if let Some((files, _)) = &self.disk {
                            files.carry_out(op);
                        }
                    }
                    Action::Seal(file) => {
                        if let Some((_, sealed)) = &self.disk {
                            // The keeper outlives the shards.
                            let _ = sealed.send(Sealed { shard: self.id, file });
                        }
                    }
                }
            }
        }
        if !self.unpublished.is_empty() {
            self.unpublished.retain(|_, news| self.readers.try_send(news.clone()).is_err());
        }
    }

    fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) {
        // What goes on to a parent is not answered.
        self.talked |= !self.sockets.is_link(connection);
        if let Err(reason) = self.sockets.send(connection, bytes) {
            let now_us = self.clock.now_us();
            self.shard.apply(now_us, Event::Ended { connection, reason }, &mut self.actions);
        }
    }

    fn report(&mut self, turn: Turn) {
        let metrics = &self.telemetry.shards[self.id.index()];
        metrics.turns.fetch_add(1, Relaxed);
        metrics.receives.fetch_add(turn.receives, Relaxed);
        metrics.received_bytes.store(self.shard.received_bytes(), Relaxed);
        let is_due = self.stopping || self.clock.is_moved_by_hand();
        if is_due || self.reported.is_none_or(|reported| reported.elapsed() >= REPORT_EVERY) {
            self.reported = Some(Instant::now());
            metrics.sent_bytes.store(self.sockets.sent_bytes, Relaxed);
            metrics.tls_connections.store(self.sockets.encrypted, Relaxed);
            self.shard.report(metrics);
        }
        if self.stored_reported.is_none_or(|reported| reported.elapsed() >= REPORT_STORAGE_EVERY) {
            self.stored_reported = Some(Instant::now());
            self.shard.report_storage(metrics);
        }
    }
}
