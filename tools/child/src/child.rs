//! One child: connects, is greeted or refused, defines its charts and sends their data, again and again.

mod end;

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mainstem::wire::capability::{Compression, negotiate};
use mainstem::wire::command::Instruction;
use mainstem::wire::handshake::{Reply, StreamRequest, encode_request, parse_reply};
use mainstem::wire::instruction::InstructionParser;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::conduct::{Deed, Habits};
use crate::database::{Database, Held, Timeline};
use crate::fleet::{Shared, Span, instant_of, now_us};
use crate::freshness::Departed;
use crate::outbox::{Outbox, Sent};
use crate::packets::PacketEncoder;
use crate::replication::{Answered, Queue, Request, Respondent, Turn};
use crate::script::{Collection, Identity, Script};
use crate::transport::Transport;
use crate::value::{ChildSeries, MICROSECONDS, mix};

pub(crate) use end::End;

/// How long a parent may take to accept and to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a child keeps for a parent that does not read, on top of its definitions. Netdata's `buffer size bytes`.
const MAX_WAITING: usize = 10 << 20;
/// The largest reply that is looked at, and the pieces in which instructions are read.
const RECEIVE: usize = 4096;

/// The life of one child, which ends with its task.
pub(crate) async fn live(shared: Rc<Shared>, number: usize, wait: Duration) {
    sleep(wait).await;
    let mut random = mix(shared.load.seed ^ mix(number as u64));
    let mut habits = Habits::new(&shared.conduct, shared.load.seed, number);
    loop {
        let end = match Connection::open(&shared, number).await {
            Ok(mut connection) => match connection.run(&mut habits).await {
                Ok(never) => match never {},
                Err(end) => end,
            },
            Err(end) => end,
        };
        shared.note_end(number, &end);
        random = mix(random);
        sleep(end.pause(random)).await;
    }
}

/// A chart, as far as its parent knows it.
/// ```text
///            REND .. true ..             a row
///  Defined -----------------> Replayed --------> Live
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Defined,
    Replayed,
    Live,
}

struct Connection<'s> {
    shared: &'s Shared,
    number: usize,
    transport: Transport,
    script: Rc<Script>,
    series: ChildSeries,
    encoder: Option<PacketEncoder>,
    outbox: Outbox,
    charts: Vec<Progress>,
    /// How many of them are live.
    live: usize,
    /// When the last row was collected.
    collected_us: i64,
    /// `None`: the child has no database, or the parent does not want to know of it.
    past: Option<Box<Past>>,
    accepted: Instant,
    instructions: InstructionParser,
    /// An instruction that has no end yet.
    unread: Vec<u8>,
    /// The first second since the last break, when all charts are live.
    first: Option<i64>,
    /// What becomes of the next row.
    spoil: Option<Spoil>,
    /// Nothing is read before this.
    deaf_until: Option<Instant>,
}

/// How a row is spoilt on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoil {
    /// Its second half is missing, and all that would have followed.
    Cut,
    /// Its bytes are others.
    Garbage,
}

/// The past of a child, as far as this connection goes.
struct Past {
    database: Database,
    timeline: Timeline,
    /// The first second that is held until the connection ends.
    first: i64,
    /// The newest second that is collected, and the one that was when the charts were defined.
    newest: i64,
    defined: i64,
    queue: Queue,
    /// Something was asked and is not on its way yet, or not all charts are live.
    is_catching_up: bool,
    known: Known,
}

/// The seconds that the parent has been offered without a gap, over all connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// `None`: not known before all charts are live.
    from: Option<i64>,
    /// Nothing was ever offered before the second that comes before `from`.
    begins: bool,
    until: i64,
}

impl Past {
    fn new(shared: &Shared, number: usize, script: &Script, database: Database) -> Past {
        let timeline = shared.timeline(number, &database);
        let newest = timeline.newest(now_us());
        let first = timeline.first_held(newest, database.retention_s, script.sends_samples());
        let known = match shared.known(number) {
            Some(known) if first <= known.until + script.update_every() => known,
            before => {
                let begins = before.is_none() && first <= newest;
                // Netdata's parents ask for what comes after the first second.
                let from = (first <= newest).then_some(first + script.update_every());
                Known { from, begins, until: newest }
            }
        };
        let queue = Queue::new(&database, script.charts());
        Past { database, timeline, first, newest, defined: newest, queue, is_catching_up: true, known }
    }

    fn held(&self) -> Option<Held> {
        (self.first <= self.newest).then_some(Held { first: self.first, last: self.newest })
    }
}

impl<'s> Connection<'s> {
    async fn open(shared: &'s Shared, number: usize) -> Result<Connection<'s>, End> {
        let address = shared.target.address;
        let stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(connected) => connected.map_err(End::Unreachable)?,
            Err(_) => return Err(End::Unreachable(io::ErrorKind::TimedOut.into())),
        };
        stream.set_nodelay(true).map_err(End::Failed)?;
        let mut transport = match &shared.target.tls {
            None => Transport::plain(stream),
            Some(tls) => match timeout(PATIENCE, Transport::secure(stream, tls)).await {
                Ok(secured) => secured.map_err(End::NotSecured)?,
                Err(_) => return Err(End::NotSecured(io::ErrorKind::TimedOut.into())),
            },
        };
        let offered = shared.load.offered();
        let request = encode_request(&request(shared, number, offered.version()));
        transport.write_all(&request).await.map_err(End::Failed)?;
        let mut reply = [0; RECEIVE];
        let length = match timeout(PATIENCE, transport.read(&mut reply)).await {
            Ok(length) => length.map_err(End::Failed)?,
            Err(_) => return Err(End::NoReply),
        };
        let agreed = match parse_reply(&reply[..length]) {
            Some(Reply::Accepted(theirs)) => negotiate(theirs, offered, &Compression::CHILD_ORDER),
            Some(refused) => return Err(End::Refused(refused)),
            None if length == 0 => return Err(End::NoReply),
            None => return Err(End::NotUnderstood(reply[..length].to_vec())),
        };
        let script = shared.script(agreed);
        let begun = if script.replicates() { Progress::Defined } else { Progress::Replayed };
        shared.note_acceptance(number);
        let database = shared.load.database.filter(|_| script.replicates());
        let past = database.map(|database| Box::new(Past::new(shared, number, &script, database)));
        Ok(Connection {
            shared,
            number,
            transport,
            series: shared.load.series(number),
            encoder: PacketEncoder::new(agreed),
            outbox: Outbox::default(),
            charts: vec![begun; script.charts()],
            live: 0,
            collected_us: 0,
            past,
            accepted: Instant::now(),
            instructions: InstructionParser::new(),
            unread: Vec::new(),
            first: None,
            spoil: None,
            deaf_until: None,
            script,
        })
    }

    async fn run(&mut self, habits: &mut Habits) -> Result<Infallible, End> {
        habits.begin(Instant::now());
        self.introduce()?;
        let mut due_us = match &self.past {
            // Whatever has become due since the charts were defined.
            Some(past) => past.timeline.collection(past.newest + self.script.update_every()).moment_us,
            None => self.due_after(now_us()),
        };
        let mut timer = pin!(sleep_until(instant_of(due_us)));
        loop {
            let turn = self.turn();
            tokio::select! {
                biased;
                () = &mut timer => {
                    self.collect(due_us)?;
                    due_us = self.next_due(due_us);
                    timer.as_mut().reset(instant_of(due_us));
                }
                () = at(habits.next()), if habits.next().is_some() => {
                    if let Some(deed) = habits.take(Instant::now()) {
                        self.misbehave(deed).await?;
                    }
                }
                () = at(self.deaf_until), if self.deaf_until.is_some() => self.deaf_until = None,
                ready = self.transport.readable(), if self.deaf_until.is_none() => {
                    ready.map_err(End::Failed)?;
                    self.read()?;
                }
                ready = self.transport.writable(), if !self.outbox.is_empty() || self.transport.has_unsent() => {
                    ready.map_err(End::Failed)?;
                    let sent = self.outbox.flush(&mut self.transport).map_err(End::Failed)?;
                    self.account(sent)?;
                }
                // Last, and an answer at a time: rows go out first, and other children have their turn.
                () = until(turn), if turn != Turn::Idle => self.answer()?,
            }
        }
    }

    async fn misbehave(&mut self, deed: Deed) -> Result<(), End> {
        match deed {
            Deed::Leave { away } => return Err(End::Left { away }),
            Deed::Cut => self.spoil = Some(Spoil::Cut),
            Deed::Garbage => self.spoil = Some(Spoil::Garbage),
            Deed::SlowReader { lasts } => self.deaf_until = Some(Instant::now() + lasts),
            Deed::HalfOpen { lasts } => {
                self.restart_span();
                sleep(lasts).await;
                return Err(End::Vanished);
            }
        }
        Ok(())
    }

    fn turn(&mut self) -> Turn {
        let waiting = self.outbox.len();
        match &mut self.past {
            Some(past) if !past.queue.is_empty() => past.queue.turn(now_us(), waiting),
            _ => Turn::Idle,
        }
    }

    fn interval_us(&self) -> i64 {
        i64::from(self.shared.load.update_every) * MICROSECONDS
    }

    /// The first time after `now_us` at which this child sends.
    fn due_after(&self, now_us: i64) -> i64 {
        let phase_us = self.shared.load.phase_us(self.number);
        let interval_us = self.interval_us();
        ((now_us - phase_us).div_euclid(interval_us) + 1) * interval_us + phase_us
    }

    fn next_due(&mut self, due_us: i64) -> i64 {
        let next_us = due_us + self.interval_us();
        let now_us = now_us();
        // What a child with a database collected while the simulator was late, it sends late.
        if now_us < next_us + self.interval_us() || self.past.is_some() {
            return next_us;
        }
        let later_us = self.due_after(now_us);
        self.shared.count(|totals| &totals.skipped_rows, ((later_us - next_us) / self.interval_us()) as u64);
        self.restart_span();
        later_us
    }

    fn introduce(&mut self) -> Result<(), End> {
        let load = &self.shared.load;
        let machine_guid = load.machine_guid(self.number).to_string();
        let hostname = load.hostname(self.number);
        let now = now_us() / MICROSECONDS;
        let held = self.past.as_ref().and_then(|past| past.held());
        let script = Rc::clone(&self.script);
        self.say(None, |text| {
            script.greet(Identity { machine_guid: &machine_guid, hostname: &hostname }, text);
            script.define(held, now, text);
        })
    }

    /// Collects and sends the row that was due at `due_us`.
    fn collect(&mut self, due_us: i64) -> Result<(), End> {
        let second = (due_us - self.shared.load.phase_us(self.number)) / MICROSECONDS;
        let collection = match &mut self.past {
            Some(past) => {
                past.newest = second;
                past.timeline.collection(second)
            }
            None => {
                let moment_us = now_us();
                Collection { second, moment_us, elapsed_us: moment_us - self.collected_us }
            }
        };
        self.collected_us = collection.moment_us;
        let has_past = self.past.is_some();
        let script = Rc::clone(&self.script);
        let series = self.series;
        let mut rows = 0;
        let is_spoilt = self.spoil.is_some();
        let mut charts = std::mem::take(&mut self.charts);
        let said = self.say(Some(due_us), |text| {
            for (chart, progress) in charts.iter_mut().enumerate() {
                let elapsed_us = match progress {
                    Progress::Defined => continue,
                    Progress::Replayed if !has_past => 0,
                    Progress::Replayed | Progress::Live => collection.elapsed_us,
                };
                *progress = Progress::Live;
                rows += 1;
                script.row(chart, series, Collection { elapsed_us, ..collection }, text);
            }
        });
        self.charts = charts;
        said?;
        if rows == 0 || is_spoilt {
            return Ok(());
        }
        self.shared.count(|totals| &totals.samples, (rows * script.dimensions()) as u64);
        self.shared.count(|totals| &totals.rows, 1);
        if rows == self.charts.len() && self.live < rows {
            self.shared.count(|totals| &totals.streaming, 1);
            self.shared.note_all_live(self.accepted.elapsed());
        }
        self.live = rows;
        let moment_us = collection.moment_us;
        let misplaced = !script.sends_samples() && moment_us >= second * MICROSECONDS + self.interval_us();
        if misplaced {
            self.shared.count(|totals| &totals.misplaced_rows, 1);
            self.restart_span();
        } else if rows == self.charts.len() {
            let samples = script.sends_samples();
            let (first, begins) = match &mut self.past {
                Some(past) => {
                    let settled = past.timeline.settled(second, samples);
                    (*past.known.from.get_or_insert(settled), past.known.begins)
                }
                None => (*self.first.get_or_insert(second), false),
            };
            self.shared.set_span(self.number, Some(Span { first, last: second, samples, begins }));
        }
        Ok(())
    }

    fn restart_span(&mut self) {
        self.first = None;
        self.shared.set_span(self.number, None);
    }

    /// Reads what the parent sent, and answers.
    fn read(&mut self) -> Result<(), End> {
        let mut received = std::mem::take(&mut self.shared.scratch.borrow_mut().received);
        received.resize(RECEIVE, 0);
        let outcome = self.read_with(&mut received);
        self.shared.scratch.borrow_mut().received = received;
        outcome
    }

    fn read_with(&mut self, received: &mut [u8]) -> Result<(), End> {
        loop {
            let length = match self.transport.try_read(received) {
                Ok(0) => return Err(End::Closed),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(End::Failed(error)),
            };
            self.unread.extend_from_slice(&received[..length]);
            let unread = std::mem::take(&mut self.unread);
            let mut rest = &unread[..];
            let mut asked = Vec::new();
            loop {
                match self.instructions.next(&mut rest) {
                    Ok(Some(Instruction::ReplayChart { chart, start_streaming, after, before })) => {
                        if let Some(chart) = self.script.chart(chart) {
                            asked.push((chart, Request { after, before, start_streaming }));
                        }
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return Err(End::Failed(io::Error::other(error))),
                }
            }
            self.unread = rest.to_vec();
            self.replay(&asked)?;
        }
    }

    /// Tells that these charts have no past, and their next row goes out; or notes what is asked of their past.
    fn replay(&mut self, asked: &[(usize, Request)]) -> Result<(), End> {
        if asked.is_empty() {
            return Ok(());
        }
        self.shared.count(|totals| &totals.replay_requests, asked.len() as u64);
        let now_us = now_us();
        if let Some(past) = &mut self.past {
            past.is_catching_up = true;
            asked.iter().for_each(|(chart, request)| past.queue.ask(*chart, *request, now_us));
            return Ok(());
        }
        asked.iter().for_each(|(chart, _)| self.release(*chart));
        let script = Rc::clone(&self.script);
        let now = now_us / MICROSECONDS;
        self.say(None, |text| asked.iter().for_each(|(chart, _)| script.replay(*chart, now, text)))
    }

    /// The chart's next row goes out.
    fn release(&mut self, chart: usize) {
        if self.charts[chart] == Progress::Defined {
            self.charts[chart] = Progress::Replayed;
        }
    }

    /// Answers the request whose turn it is, if it has come.
    fn answer(&mut self) -> Result<(), End> {
        let waiting = self.outbox.len();
        let now_us = now_us();
        let Some(past) = &mut self.past else { return Ok(()) };
        if past.queue.turn(now_us, waiting) != Turn::Now {
            return Ok(());
        }
        let Some((chart, request)) = past.queue.take() else { return Ok(()) };
        let script = Rc::clone(&self.script);
        let respondent = Respondent {
            script: &script,
            series: self.series,
            timeline: past.timeline,
            database: past.database,
            held: past.held(),
            now: now_us / MICROSECONDS,
        };
        // The parent had all that the definition told of, and does not ask for what was collected since.
        let is_lost = request.is_empty() && self.charts[chart] == Progress::Defined;
        if is_lost && past.newest > past.defined && past.defined >= past.first {
            past.known.from = Some(past.newest + script.update_every());
            past.known.begins = false;
            self.shared.count(|totals| &totals.lost_rows, 1);
        }
        let mut answered = Answered::default();
        let mut bytes = 0;
        self.say(None, |text| {
            answered = respondent.answer(chart, request, text);
            bytes = text.len();
        })?;
        if answered.start_streaming {
            self.release(chart);
        }
        self.shared.note_answer(answered, bytes);
        Ok(())
    }

    /// Sends what `write` writes; a row was due at `due_us`.
    fn say(&mut self, due_us: Option<i64>, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), End> {
        let shared = self.shared;
        let scratch = &mut *shared.scratch.borrow_mut();
        scratch.text.clear();
        write(&mut scratch.text);
        if scratch.text.is_empty() {
            return Ok(());
        }
        shared.count(|totals| &totals.plain_bytes, scratch.text.len() as u64);
        let bytes = match &mut self.encoder {
            None => &scratch.text,
            Some(encoder) => {
                scratch.packets.clear();
                encoder.encode(&scratch.text, &mut scratch.packets);
                &scratch.packets
            }
        };
        let spoil = due_us.and_then(|_| self.spoil.take());
        let sent = match spoil {
            None => self.outbox.send(&mut self.transport, bytes, due_us),
            Some(Spoil::Cut) => self.outbox.send(&mut self.transport, &bytes[..bytes.len() / 2], None),
            Some(Spoil::Garbage) => {
                let random = |at: usize| mix(at as u64 ^ bytes.len() as u64) as u8;
                let garbage: Vec<u8> = (0..bytes.len()).map(random).collect();
                self.outbox.send(&mut self.transport, &garbage, None)
            }
        };
        self.account(sent.map_err(End::Failed)?)?;
        if spoil == Some(Spoil::Cut) { Err(End::Cut) } else { Ok(()) }
    }

    fn account(&mut self, sent: Sent) -> Result<(), End> {
        self.shared.count(|totals| &totals.wire_bytes, sent.bytes);
        if sent.delayed > 0 {
            self.shared.count(|totals| &totals.delayed_bytes, sent.delayed);
        }
        if !sent.blocked.is_zero() {
            self.shared.count(|totals| &totals.blocked_us, sent.blocked.as_micros() as u64);
        }
        // What is encrypted has not left yet.
        while !self.transport.has_unsent()
            && let Some(due_us) = self.outbox.departed()
        {
            let lag_us = now_us() - due_us;
            self.shared.note_lag(lag_us);
            let second = (due_us - self.shared.load.phase_us(self.number)) / MICROSECONDS;
            self.shared.note_departure(Departed { child: self.number, second, at: Instant::now() });
            if self.past.as_ref().is_some_and(|past| past.is_catching_up) {
                self.shared.note_lag_while_catching_up(lag_us);
            }
        }
        if let Some(past) = &mut self.past {
            past.is_catching_up &=
                self.live < self.charts.len() || !past.queue.is_empty() || !self.outbox.is_empty();
        }
        if self.outbox.len() > MAX_WAITING + self.script.definitions_len() {
            return Err(End::Overflow);
        }
        Ok(())
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        self.shared.set_span(self.number, None);
        if let Some(past) = &self.past {
            self.shared.set_known(self.number, Known { until: past.newest, ..past.known });
        }
        self.shared.totals.connected.fetch_sub(1, Relaxed);
        if self.live == self.charts.len() {
            self.shared.totals.streaming.fetch_sub(1, Relaxed);
        }
    }
}

/// At a moment; never, if there is none.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn until(turn: Turn) {
    match turn {
        Turn::Now => tokio::task::yield_now().await,
        Turn::At { moment_us } => sleep_until(instant_of(moment_us)).await,
        Turn::Idle => std::future::pending().await,
    }
}

fn request(shared: &Shared, number: usize, ver: u32) -> StreamRequest {
    let facts = [
        ("NETDATA_SYSTEM_OS_NAME", "Simulated"),
        ("NETDATA_SYSTEM_OS_ID", "simulated"),
        ("NETDATA_SYSTEM_OS_VERSION", env!("CARGO_PKG_VERSION")),
        ("NETDATA_SYSTEM_KERNEL_NAME", "Linux"),
        ("NETDATA_SYSTEM_KERNEL_VERSION", "6.1"),
        ("NETDATA_SYSTEM_ARCHITECTURE", "x86_64"),
        ("NETDATA_SYSTEM_CPU_LOGICAL_CPU_COUNT", "1"),
    ];
    StreamRequest {
        key: shared.target.key.to_string(),
        hostname: shared.load.hostname(number),
        registry_hostname: shared.load.hostname(number),
        machine_guid: shared.load.machine_guid(number).to_string(),
        update_every: Some(shared.load.update_every),
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        mc_version: 1,
        ver,
        program_name: env!("CARGO_PKG_NAME").into(),
        program_version: format!("v{}", env!("CARGO_PKG_VERSION")),
        system_info: facts.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        ..StreamRequest::default()
    }
}
