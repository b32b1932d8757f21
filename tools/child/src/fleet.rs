//! [`Fleet`]: all children of a load, in the thread that starts them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use mainstem::wire::capability::Capabilities;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::child::{self, End, Known};
use crate::conduct::Conduct;
use crate::database::{Database, ReplayFault, Timeline};
use crate::freshness::{Departed, Waited};
use crate::load::Load;
use crate::replication::Answered;
use crate::report::{Freshness, Percentiles, Replay, Report, Totals, add, own_cpu_seconds};
use crate::script::Script;
use crate::tls::Tls;

/// The longest lag that is told from longer ones.
const LONGEST_LAG_US: u64 = 600_000_000;

/// A parent asks for the next part of the past as soon as it has one; when it does not within this, it has all it wants.
const QUIET: Duration = Duration::from_secs(2);

/// Whom the children stream to.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    pub key: Uuid,
    /// `None`: in plain text.
    pub tls: Option<Tls>,
}

/// A stretch of time in which every sample of a child went out as the formula has it. Both ends are boundaries, and part
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub first: i64,
    pub last: i64,
    /// Finished samples were sent, not collected values.
    pub samples: bool,
    /// Nothing was ever sent of the time before the second that comes before `first`.
    pub begins: bool,
}

/// Running children. Dropping it ends them all.
#[derive(Debug)]
pub struct Fleet {
    shared: Rc<Shared>,
    children: RefCell<JoinSet<()>>,
    begun: Instant,
    cpu_before: Option<f64>,
}

/// What all children of the thread use.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) load: Load,
    pub(crate) conduct: Conduct,
    pub(crate) target: Target,
    pub(crate) totals: Arc<Totals>,
    pub(crate) scratch: RefCell<Scratch>,
    scripts: RefCell<Vec<(Capabilities, Rc<Script>)>>,
    lag_us: RefCell<Histogram<u64>>,
    freshness_us: RefCell<Histogram<u64>>,
    /// The parent's part of it.
    answering_us: RefCell<Histogram<u64>>,
    /// Who is told of the rows that depart next.
    departures: RefCell<Vec<oneshot::Sender<Departed>>>,
    /// By child; `None` while it is not streaming.
    spans: RefCell<Vec<Option<Span>>>,
    /// When the children were started, for those with a past.
    started_us: i64,
    /// By child, what is left of its last connection; `None` before that ended.
    known: RefCell<Vec<Option<Known>>>,
    /// By child: whether it was ever accepted.
    was_accepted: RefCell<Vec<bool>>,
    /// The longest time from a connection's begin until all its charts were live.
    until_live: Cell<Duration>,
    /// The longest lag of a row while answers were on their way.
    catch_up_lag_us: Cell<i64>,
    ends: RefCell<BTreeMap<&'static str, u64>>,
}

/// Buffers that are empty between two calls.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) text: Vec<u8>,
    pub(crate) packets: Vec<u8>,
    pub(crate) received: Vec<u8>,
}

impl Fleet {
    /// Starts the children; of well-behaved ones it is enough to say over which time their connections are spread. To be
    /// called inside a `LocalSet`, as `tokio_uring::start` is one.
    pub fn start(load: Load, target: Target, conduct: impl Into<Conduct>) -> Fleet {
        let histogram = || match Histogram::new_with_bounds(1, LONGEST_LAG_US, 3) {
            Ok(histogram) => RefCell::new(histogram),
            Err(error) => unreachable!("the bounds are right: {error}"),
        };
        let conduct = conduct.into();
        let arrival = conduct.arrival;
        let shared = Rc::new(Shared {
            target,
            totals: Arc::default(),
            scratch: RefCell::default(),
            scripts: RefCell::default(),
            lag_us: histogram(),
            freshness_us: histogram(),
            answering_us: histogram(),
            departures: RefCell::default(),
            conduct,
            spans: RefCell::new(vec![None; load.children]),
            started_us: now_us(),
            known: RefCell::new(vec![None; load.children]),
            was_accepted: RefCell::new(vec![false; load.children]),
            until_live: Cell::default(),
            catch_up_lag_us: Cell::default(),
            ends: RefCell::default(),
            load,
        });
        let fleet = Fleet {
            shared,
            children: RefCell::default(),
            begun: Instant::now(),
            cpu_before: own_cpu_seconds(),
        };
        fleet.resume(arrival);
        fleet
    }

    /// Closes all connections, in the middle of whatever was being sent, until [`resume`](Self::resume). Children with a
    /// database go on collecting.
    pub async fn cut(&self) {
        let mut children = self.children.take();
        children.shutdown().await;
    }

    /// Lets the children connect again after [`cut`](Self::cut), spread over `arrival`. Does nothing without a cut.
    pub fn resume(&self, arrival: Duration) {
        let mut children = self.children.borrow_mut();
        if !children.is_empty() {
            return;
        }
        let count = self.shared.load.children;
        for number in 0..count {
            let wait = arrival.mul_f64(number as f64 / count as f64);
            children.spawn_local(child::live(Rc::clone(&self.shared), number, wait));
        }
    }

    /// Whether all charts of all children are live. Older windows of them may still be asked for.
    pub fn is_streaming(&self) -> bool {
        self.shared.totals.streaming.load(Relaxed) == self.shared.load.children as u64
    }

    /// Waits until all charts are live and the parent asks for no more of the past. Says whether that came within
    /// `patience`.
    pub async fn until_filled(&self, patience: Duration) -> bool {
        let late = match self.shared.load.database.and_then(|database| database.fault) {
            Some(ReplayFault::Late { seconds }) => Duration::from_secs(seconds.into()),
            _ => Duration::ZERO,
        };
        let totals = self.totals();
        let asked = || (totals.replay_requests.load(Relaxed), totals.replay_answers.load(Relaxed));
        let begun = Instant::now();
        let (mut before, mut since) = (asked(), begun);
        while begun.elapsed() < patience {
            tokio::time::sleep(QUIET / 20).await;
            let now = asked();
            if now != before || !self.is_streaming() {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() >= QUIET + late {
                return true;
            }
        }
        false
    }

    pub fn load(&self) -> &Load {
        &self.shared.load
    }

    pub fn totals(&self) -> &Arc<Totals> {
        &self.shared.totals
    }

    /// The time in which a child has streamed without a break; `None`: it does not stream now.
    pub fn span(&self, child: usize) -> Option<Span> {
        self.shared.spans.borrow().get(child).copied().flatten()
    }

    /// How late rows went out.
    pub fn lag(&self) -> Percentiles {
        Percentiles::of(&self.shared.lag_us.borrow())
    }

    /// How long it took until samples that had been sent were in an answer; `None`: nobody
    /// [asked](Fleet::ask_for_newest), or nothing came of it yet.
    pub fn freshness(&self) -> Option<Freshness> {
        let in_all = self.shared.freshness_us.borrow();
        let by_parent = self.shared.answering_us.borrow();
        let freshness =
            || Freshness { in_all: Percentiles::of(&in_all), by_parent: Percentiles::of(&by_parent) };
        (!in_all.is_empty()).then(freshness)
    }

    /// Forgets all waits so far, as those of the time in which all children arrive.
    pub fn reset_waits(&self) {
        self.shared.lag_us.borrow_mut().reset();
        self.shared.freshness_us.borrow_mut().reset();
        self.shared.answering_us.borrow_mut().reset();
    }

    /// The row that is handed to the kernel next.
    pub(crate) fn next_departure(&self) -> oneshot::Receiver<Departed> {
        let (sender, receiver) = oneshot::channel();
        self.shared.departures.borrow_mut().push(sender);
        receiver
    }

    pub(crate) fn note_freshness(&self, waited: Waited) {
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
        self.shared.freshness_us.borrow_mut().saturating_record(microseconds(waited.in_all));
        self.shared.answering_us.borrow_mut().saturating_record(microseconds(waited.by_parent));
    }

    /// What came of it so far.
    pub fn report(&self) -> Report {
        let shared = &self.shared;
        let totals = &shared.totals;
        let accepted = totals.accepted.load(Relaxed);
        let agreed = shared.scripts.borrow().iter().map(|(agreed, _)| agreed.to_string()).collect();
        Report {
            load: shared.load.clone(),
            agreed,
            seconds: self.begun.elapsed().as_secs_f64(),
            connected: totals.connected.load(Relaxed),
            streaming: totals.streaming.load(Relaxed),
            accepted,
            reconnects: totals.reconnects.load(Relaxed),
            ends: shared.ends.borrow().clone(),
            samples: totals.samples.load(Relaxed),
            rows: totals.rows.load(Relaxed),
            skipped_rows: totals.skipped_rows.load(Relaxed),
            misplaced_rows: totals.misplaced_rows.load(Relaxed),
            plain_bytes: totals.plain_bytes.load(Relaxed),
            wire_bytes: totals.wire_bytes.load(Relaxed),
            delayed_bytes: totals.delayed_bytes.load(Relaxed),
            blocked_seconds: totals.blocked_us.load(Relaxed) as f64 / 1e6,
            lag: self.lag(),
            freshness: self.freshness(),
            replay: Replay {
                requests: totals.replay_requests.load(Relaxed),
                answers: totals.replay_answers.load(Relaxed),
                rows: totals.replayed_rows.load(Relaxed),
                bytes: totals.replayed_bytes.load(Relaxed),
                lost_rows: totals.lost_rows.load(Relaxed),
                until_live_seconds: shared.until_live.get().as_secs_f64(),
                live_lag_max_ms: shared.catch_up_lag_us.get() as f64 / 1000.0,
            },
            cpu_seconds: self.cpu_before.and_then(|before| Some(own_cpu_seconds()? - before)),
            verified: None,
        }
    }

    /// Closes all connections.
    pub async fn stop(self) {
        self.cut().await;
    }
}

impl Shared {
    /// The text for what was agreed, made when the first child agrees to it.
    pub(crate) fn script(&self, agreed: Capabilities) -> Rc<Script> {
        let mut scripts = self.scripts.borrow_mut();
        if let Some((_, script)) = scripts.iter().find(|(other, _)| *other == agreed) {
            return Rc::clone(script);
        }
        let script = Rc::new(Script::new(&self.load, agreed));
        scripts.push((agreed, Rc::clone(&script)));
        script
    }

    pub(crate) fn note_lag(&self, microseconds: i64) {
        self.lag_us.borrow_mut().saturating_record(u64::try_from(microseconds).unwrap_or(0).max(1));
    }

    /// Tells one who waits for it.
    pub(crate) fn note_departure(&self, departed: Departed) {
        if let Some(waiting) = self.departures.borrow_mut().pop() {
            // Nobody waits any more when the run is over.
            let _ = waiting.send(departed);
        }
    }

    pub(crate) fn note_lag_while_catching_up(&self, microseconds: i64) {
        self.catch_up_lag_us.set(self.catch_up_lag_us.get().max(microseconds));
    }

    pub(crate) fn note_all_live(&self, after: Duration) {
        self.until_live.set(self.until_live.get().max(after));
    }

    pub(crate) fn note_acceptance(&self, child: usize) {
        let before = std::mem::replace(&mut self.was_accepted.borrow_mut()[child], true);
        self.count(|totals| &totals.reconnects, before.into());
        self.count(|totals| &totals.accepted, 1);
        self.count(|totals| &totals.connected, 1);
    }

    pub(crate) fn note_answer(&self, answered: Answered, bytes: usize) {
        self.count(|totals| &totals.replay_answers, 1);
        self.count(|totals| &totals.replayed_rows, answered.rows as u64);
        self.count(|totals| &totals.replayed_bytes, bytes as u64);
    }

    pub(crate) fn timeline(&self, child: usize, database: &Database) -> Timeline {
        Timeline::new(&self.load, child, database.history_s, self.started_us)
    }

    pub(crate) fn known(&self, child: usize) -> Option<Known> {
        self.known.borrow()[child]
    }

    pub(crate) fn set_known(&self, child: usize, known: Known) {
        self.known.borrow_mut()[child] = Some(known);
    }

    pub(crate) fn set_span(&self, child: usize, span: Option<Span>) {
        self.spans.borrow_mut()[child] = span;
    }

    /// Counts why a connection ended; the first of each kind is told at once.
    pub(crate) fn note_end(&self, child: usize, end: &End) {
        let mut ends = self.ends.borrow_mut();
        let count = ends.entry(end.kind()).or_default();
        *count += 1;
        if *count == 1 {
            eprintln!("{}: {end}", self.load.hostname(child));
        }
    }

    pub(crate) fn count(&self, counter: impl FnOnce(&Totals) -> &std::sync::atomic::AtomicU64, by: u64) {
        add(counter(&self.totals), by);
    }
}

/// Microseconds since 1970.
pub(crate) fn now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX)
}

/// When to wake for a moment of the clock on the wall.
pub(crate) fn instant_of(moment_us: i64) -> tokio::time::Instant {
    let ahead = u64::try_from(moment_us - now_us()).unwrap_or(0);
    tokio::time::Instant::now() + Duration::from_micros(ahead)
}

#[cfg(test)]
mod tests;
