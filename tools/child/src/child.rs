//! One child: connects, is greeted or refused, defines its charts and sends their data, again and again.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use mainstem::wire::capability::{Compression, negotiate};
use mainstem::wire::command::Instruction;
use mainstem::wire::compression::Compressor;
use mainstem::wire::handshake::{Reply, StreamRequest, encode_request, parse_reply};
use mainstem::wire::instruction::InstructionParser;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::fleet::{Shared, Span, now_us};
use crate::outbox::{Outbox, Sent};
use crate::script::{Collection, Identity, Script};
use crate::transport::Transport;
use crate::value::{ChildSeries, MICROSECONDS, mix};

/// How long a parent may take to accept and to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a child keeps for a parent that does not read, on top of its definitions. Netdata's `buffer size bytes`.
const MAX_WAITING: usize = 10 << 20;
/// The largest reply that is looked at, and the pieces in which instructions are read.
const RECEIVE: usize = 4096;

/// Why a connection ended, or did not begin.
#[derive(Debug)]
pub(crate) enum End {
    Unreachable(io::Error),
    NotSecured(io::Error),
    NoReply,
    NotUnderstood(Vec<u8>),
    Refused(Reply),
    Closed,
    Failed(io::Error),
    Overflow,
}

impl End {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            End::Unreachable(_) => "the parent cannot be reached",
            End::NotSecured(_) => "TLS was not agreed",
            End::NoReply => "the parent did not answer",
            End::NotUnderstood(_) => "the answer is not Netdata's",
            End::Refused(Reply::NotPermitted) => "refused: not permitted",
            End::Refused(Reply::AlreadyStreaming) => "refused: already streaming",
            End::Refused(Reply::Localhost | Reply::VirtualNode) => "refused: the parent's own host",
            End::Refused(Reply::Busy) => "refused: busy",
            End::Refused(Reply::InternalError) => "refused: internal error",
            End::Refused(Reply::Initializing) => "refused: initializing",
            End::Refused(Reply::Accepted(_)) => "accepted",
            End::Closed => "the parent closed the connection",
            End::Failed(_) => "the connection failed",
            End::Overflow => "the parent did not read",
        }
    }

    /// Seconds after which a child tries again; it picks one of them. As Netdata 2.x does.
    fn pause(&self) -> RangeInclusive<u64> {
        match self {
            End::Unreachable(_) | End::Closed | End::Failed(_) | End::Overflow => 1..=5,
            End::NotSecured(_) => 60..=180,
            End::NoReply | End::Refused(Reply::Initializing) => 5..=30,
            End::Refused(Reply::AlreadyStreaming | Reply::Busy) => 5..=120,
            End::Refused(Reply::InternalError) => 5..=300,
            End::Refused(Reply::Localhost | Reply::VirtualNode) => 5..=3600,
            End::NotUnderstood(_) | End::Refused(Reply::NotPermitted | Reply::Accepted(_)) => 5..=60,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())?;
        match self {
            End::Unreachable(error) | End::NotSecured(error) | End::Failed(error) => write!(f, ": {error}"),
            End::NotUnderstood(reply) => write!(f, ": {:?}", String::from_utf8_lossy(reply)),
            _ => Ok(()),
        }
    }
}

/// The life of one child, which ends with its task.
pub(crate) async fn live(shared: Rc<Shared>, number: usize, wait: Duration) {
    sleep(wait).await;
    let mut random = mix(shared.load.seed ^ mix(number as u64));
    let mut known = false;
    loop {
        let end = match Connection::open(&shared, number).await {
            Ok(mut connection) => {
                shared.count(|totals| &totals.reconnects, known.into());
                known = true;
                match connection.run().await {
                    Ok(never) => match never {},
                    Err(end) => end,
                }
            }
            Err(end) => end,
        };
        shared.note_end(number, &end);
        random = mix(random);
        let pause_ms = (*end.pause().start() * 1000, *end.pause().end() * 1000);
        sleep(Duration::from_millis(pause_ms.0 + random % (pause_ms.1 - pause_ms.0 + 1))).await;
    }
}

/// A chart, as far as its parent knows it.
/// ```text
///            REPLAY_CHART                a row
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
    compressor: Option<Compressor>,
    outbox: Outbox,
    charts: Vec<Progress>,
    /// How many of them are live.
    live: usize,
    /// When the last row was collected.
    collected_us: i64,
    instructions: InstructionParser,
    /// An instruction that has no end yet.
    unread: Vec<u8>,
    /// The first second since the last break, when all charts are live.
    first: Option<i64>,
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
        shared.count(|totals| &totals.accepted, 1);
        shared.count(|totals| &totals.connected, 1);
        Ok(Connection {
            shared,
            number,
            transport,
            series: ChildSeries::new(shared.load.seed, number as u64),
            compressor: Compressor::new(agreed),
            outbox: Outbox::default(),
            charts: vec![begun; script.charts()],
            live: 0,
            collected_us: 0,
            instructions: InstructionParser::new(),
            unread: Vec::new(),
            first: None,
            script,
        })
    }

    async fn run(&mut self) -> Result<Infallible, End> {
        self.introduce()?;
        let mut due_us = self.due_after(now_us());
        let mut timer = pin!(sleep_until(instant_of(due_us)));
        loop {
            tokio::select! {
                biased;
                () = &mut timer => {
                    self.collect(due_us)?;
                    due_us = self.next_due(due_us);
                    timer.as_mut().reset(instant_of(due_us));
                }
                ready = self.transport.readable() => {
                    ready.map_err(End::Failed)?;
                    self.read()?;
                }
                ready = self.transport.writable(), if !self.outbox.is_empty() || self.transport.has_unsent() => {
                    ready.map_err(End::Failed)?;
                    let sent = self.outbox.flush(&mut self.transport).map_err(End::Failed)?;
                    self.account(sent)?;
                }
            }
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
        if now_us < next_us + self.interval_us() {
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
        let script = Rc::clone(&self.script);
        self.say(None, |text| {
            script.greet(Identity { machine_guid: &machine_guid, hostname: &hostname }, text);
            script.define(now, text);
        })
    }

    /// Collects and sends the row that was due at `due_us`.
    fn collect(&mut self, due_us: i64) -> Result<(), End> {
        let second = (due_us - self.shared.load.phase_us(self.number)) / MICROSECONDS;
        let moment_us = now_us();
        let elapsed_us = moment_us - self.collected_us;
        self.collected_us = moment_us;
        let script = Rc::clone(&self.script);
        let series = self.series;
        let mut rows = 0;
        let mut charts = std::mem::take(&mut self.charts);
        let said = self.say(Some(due_us), |text| {
            for (chart, progress) in charts.iter_mut().enumerate() {
                let elapsed_us = match progress {
                    Progress::Defined => continue,
                    Progress::Replayed => 0,
                    Progress::Live => elapsed_us,
                };
                *progress = Progress::Live;
                rows += 1;
                script.row(chart, series, Collection { second, moment_us, elapsed_us }, text);
            }
        });
        self.charts = charts;
        said?;
        if rows == 0 {
            return Ok(());
        }
        self.shared.count(|totals| &totals.samples, (rows * script.dimensions()) as u64);
        self.shared.count(|totals| &totals.rows, 1);
        if rows == self.charts.len() && self.live < rows {
            self.shared.count(|totals| &totals.streaming, 1);
        }
        self.live = rows;
        let misplaced = !script.sends_samples() && moment_us >= second * MICROSECONDS + self.interval_us();
        if misplaced {
            self.shared.count(|totals| &totals.misplaced_rows, 1);
            self.restart_span();
        } else if rows == self.charts.len() {
            let first = *self.first.get_or_insert(second);
            let span = Span { first, last: second, samples: script.sends_samples() };
            self.shared.set_span(self.number, Some(span));
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
                    Ok(Some(Instruction::ReplayChart { chart, .. })) => {
                        asked.extend(self.script.chart(chart))
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

    /// Tells that these charts have no past; their next row goes out.
    fn replay(&mut self, asked: &[usize]) -> Result<(), End> {
        if asked.is_empty() {
            return Ok(());
        }
        let script = Rc::clone(&self.script);
        let now = now_us() / MICROSECONDS;
        for chart in asked {
            if self.charts[*chart] == Progress::Defined {
                self.charts[*chart] = Progress::Replayed;
            }
        }
        self.say(None, |text| asked.iter().for_each(|chart| script.replay(*chart, now, text)))
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
        let bytes = match &mut self.compressor {
            None => &scratch.text,
            Some(compressor) => {
                scratch.packets.clear();
                compressor.encode(&scratch.text, &mut scratch.packets);
                &scratch.packets
            }
        };
        let sent = self.outbox.send(&mut self.transport, bytes, due_us).map_err(End::Failed)?;
        self.account(sent)
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
            self.shared.note_lag(now_us() - due_us);
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
        self.shared.totals.connected.fetch_sub(1, Relaxed);
        if self.live == self.charts.len() {
            self.shared.totals.streaming.fetch_sub(1, Relaxed);
        }
    }
}

/// When to wake for a moment of the clock on the wall.
fn instant_of(moment_us: i64) -> Instant {
    let ahead = u64::try_from(moment_us - now_us()).unwrap_or(0);
    Instant::now() + Duration::from_micros(ahead)
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
