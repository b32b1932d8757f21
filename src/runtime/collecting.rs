//! The thread that collects of our own host: sources of this process are asked on whole intervals, plugins are run, and what
//! comes of both goes to our own host's shard through a socket, as a child's lines would.
//!
//! ```text
//! sources, a tick each interval --+
//!                                 +--> pieces --> socket --> our own host's receiver
//! plugins, a task each -----------+                |
//!      ^   \                                       |
//!      |    +---> text of virtual nodes --> a socket each --> their receivers
//!      +------------- calls of functions ----------+
//! ```
//!
//! The channel of pieces is bounded, and so is the socket: a shard that does not take them makes plugins wait at their pipes.

mod guard;

mod nodes;

mod process;

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use ecow::EcoString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use super::clock::Clock;
use crate::catalog::HostInfo;
use crate::collecting::calls::{Calls, Route};
use crate::collecting::own::OwnFigures;
use crate::collecting::plugin::{Bounds, PluginText};
use crate::collecting::system::System;
use crate::collecting::{Source, environment, identity};
use crate::config::Config;
use crate::shard::message::{ApiKey, Arrival, HERE, Identity, Message};
use crate::shard::placement::owner;
use crate::telemetry::Telemetry;
use crate::wire::capability::Capabilities;
use crate::wire::instruction::InstructionParser;
use guard::Guard;
use nodes::VirtualNodes;

/// Reads of plugins' outputs that may wait for the shard.
const PIECES: usize = 64;
/// Lines that may wait for a plugin: calls, and what it is told of its jobs.
const LINES: usize = 1024;
/// After the shard has cut the collectors off.
const COME_BACK_AFTER: Duration = Duration::from_secs(60);
/// How often a clock that is moved by hand is looked at.
const LOOK_BY_HAND: Duration = Duration::from_millis(1);
/// What our own host and its shard can say to each other: collected values, and functions.
const AGREED: [Capabilities; 8] = [
    Capabilities::V1,
    Capabilities::V2,
    Capabilities::VN,
    Capabilities::VCAPS,
    Capabilities::HLABELS,
    Capabilities::CLABELS,
    Capabilities::FUNCTIONS,
    Capabilities::PROGRESS,
];

/// What the thread is made of.
#[derive(Debug)]
pub(super) struct Collectors {
    pub(super) config: Arc<Config>,
    pub(super) machine_guid: Uuid,
    /// Every shard.
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Clock,
    pub(super) stopped: watch::Receiver<bool>,
}

/// What every plugin and source shares while one connection with the shard lasts.
#[derive(Clone, Debug)]
struct Round {
    /// Text for the shard, whole pieces.
    pieces: mpsc::Sender<Vec<u8>>,
    switchboard: Rc<RefCell<Switchboard>>,
    nodes: Rc<VirtualNodes>,
    clock: Clock,
    /// True when it is over.
    over: watch::Receiver<bool>,
}

/// Who can be called, and where.
#[derive(Debug, Default)]
struct Switchboard {
    calls: Calls,
    /// Standard inputs of the plugins that run.
    inputs: HashMap<EcoString, mpsc::Sender<Vec<u8>>>,
}

impl Collectors {
    /// Starts the thread, unless there is nothing to collect.
    pub(super) fn start(self) -> io::Result<Option<JoinHandle<()>>> {
        if self.config.collecting.is_off() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("collecting".into());
        thread.spawn(move || LocalSet::new().block_on(&runtime, self.run())).map(Some)
    }

    /// What this process collects itself.
    fn sources(&self) -> Vec<Box<dyn Source>> {
        let mut sources: Vec<Box<dyn Source>> = Vec::new();
        if let Some(every_s) = self.config.collecting.own_figures_every_s {
            let tiers = self.config.database.tiers.len();
            let telemetry = Arc::clone(&self.telemetry);
            sources.push(Box::new(OwnFigures::new(telemetry, self.clock.clone(), every_s, tiers)));
        }
        let system = System::new(self.config.collecting.linux, self.config.database.update_every_s);
        sources.extend(system.map(|system| Box::new(system) as Box<dyn Source>));
        sources
    }

    async fn run(mut self) {
        while !*self.stopped.borrow() {
            if let Err(error) = self.collect().await {
                tracing::error!(%error, "our own host cannot be collected");
            }
            tokio::select! {
                _ = self.stopped.wait_for(|stopped| *stopped) => {}
                () = tokio::time::sleep(COME_BACK_AFTER) => {}
            }
        }
    }

    /// Collects until the shard does not listen any more, or all is to stop.
    async fn collect(&self) -> io::Result<()> {
        let own = identity::host_info(&self.config, self.machine_guid);
        let (here, there) = std::os::unix::net::UnixStream::pair()?;
        here.set_nonblocking(true)?;
        there.set_nonblocking(true)?;
        let (reading, writing) = UnixStream::from_std(here)?.into_split();
        let arrived =
            Message::Arrived { socket: there.into(), session: None, arrival: Box::new(self.arrival(&own)) };
        let shard = &self.shards[owner(&self.machine_guid, self.shards.len()).index()];
        if shard.send(arrived).await.is_err() {
            return Ok(());
        }
        let (pieces, waiting) = mpsc::channel(PIECES);
        let (end, over) = watch::channel(false);
        let nodes = Rc::new(VirtualNodes::new(
            Arc::clone(&self.config),
            own.clone(),
            self.shards.clone(),
            self.clock.clone(),
        ));
        let round = Round {
            pieces,
            switchboard: Rc::default(),
            nodes: Rc::clone(&nodes),
            clock: self.clock.clone(),
            over,
        };
        let mut tasks = JoinSet::new();
        for source in self.sources() {
            tasks.spawn_local(round.clone().tick(source, self.bounds()));
        }
        if !self.config.collecting.plugins.directories.is_empty() {
            let guard = Guard::start().map(Rc::new)?;
            let variables = environment::variables(&self.config, &own);
            // Plugins that need it say so themselves.
            let _ = std::fs::create_dir_all(self.config.directories.lock());
            let plugins = process::look_for_plugins(
                round.clone(),
                Arc::clone(&self.config),
                variables,
                self.bounds(),
                guard,
            );
            tasks.spawn_local(plugins);
        }
        let hearing = round.hear(reading);
        // A round that holds a sender would keep the channel of pieces open.
        drop(round);
        let mut stopped = self.stopped.clone();
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => {}
            outcome = write(writing, waiting) => {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "our own host's shard has hung up");
                }
            }
            () = hearing => {}
        }
        // Plugins are told to end, and waited for.
        let _ = end.send(true);
        while tasks.join_next().await.is_some() {}
        nodes.finish().await;
        Ok(())
    }

    fn bounds(&self) -> Bounds {
        let limits = &self.config.limits;
        Bounds { charts: limits.charts_per_host, dimensions: limits.dimensions_per_host }
    }

    /// Our own host as a child that was let in.
    fn arrival(&self, own: &HostInfo) -> Arrival {
        let request = own.introduction();
        Arrival {
            machine_guid: self.machine_guid,
            key: ApiKey(Uuid::nil()),
            capabilities: AGREED.into_iter().fold(Capabilities::NONE, |all, one| all | one),
            policy: self.config.own_policy(),
            peer: HERE,
            parent: Identity {
                machine_guid: self.machine_guid,
                hostname: self.config.hostname.as_str().into(),
            },
            encrypted: false,
            seat: None,
            early: Vec::new(),
            request,
        }
    }
}

impl Round {
    /// Asks a source once an interval.
    async fn tick(mut self, mut source: Box<dyn Source>, bounds: Bounds) {
        let every_us = i64::from(source.update_every_s().max(1)) * 1_000_000;
        let name = source.name();
        let mut text = PluginText::new(name, source.update_every_s().max(1), bounds);
        let mut before_us = None;
        let mut collected = Vec::new();
        loop {
            let due_us = self.clock.now_us().div_euclid(every_us) * every_us + every_us;
            if !self.wait_until(due_us).await {
                return;
            }
            let now_us = self.clock.now_us();
            let elapsed_us = before_us.replace(now_us).map_or(0, |before_us| now_us - before_us);
            collected.clear();
            source.collect(elapsed_us, &mut collected);
            let mut pieces = Vec::new();
            let outcome = text.read(now_us, &collected, &mut pieces);
            if self.pieces.send(pieces).await.is_err() {
                return;
            }
            if let Err(verdict) = outcome {
                tracing::error!("the collector {name} ends by a mistake of its own: {verdict}");
                return;
            }
        }
    }

    /// Whether that time came before the end.
    async fn wait_until(&mut self, due_us: i64) -> bool {
        loop {
            let left_us = due_us - self.clock.now_us();
            if left_us <= 0 {
                return true;
            }
            let pause = if self.clock.is_moved_by_hand() {
                LOOK_BY_HAND
            } else {
                Duration::from_micros(left_us.unsigned_abs())
            };
            if !self.sleep(pause).await {
                return false;
            }
        }
    }

    /// Whether the time passed before the end.
    async fn sleep(&mut self, pause: Duration) -> bool {
        tokio::select! {
            _ = self.over.wait_for(|over| *over) => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Hands calls of functions to their plugins until the shard closes. Holds nothing that keeps the pieces open.
    fn hear(&self, mut from: OwnedReadHalf) -> impl Future<Output = ()> + use<> {
        let (switchboard, answers) = (Rc::clone(&self.switchboard), self.pieces.downgrade());
        async move {
            let mut parser = InstructionParser::new();
            let mut bytes = Vec::new();
            loop {
                match from.read_buf(&mut bytes).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
                let mut rest = &bytes[..];
                let mut answer = Vec::new();
                while let Ok(Some(instruction)) = parser.next(&mut rest) {
                    let mut board = switchboard.borrow_mut();
                    match board.calls.route(&instruction) {
                        Route::Plugin { name, line } => {
                            let input = board.inputs.get(&name);
                            if input.is_none_or(|input| input.try_send(line).is_err()) {
                                answer.extend(board.calls.fail(&name, "The plugin does not take calls now."));
                            }
                        }
                        Route::Answer(text) => answer.extend(text),
                        Route::Nothing => {}
                    }
                }
                let taken = bytes.len() - rest.len();
                bytes.drain(..taken);
                if !answer.is_empty()
                    && let Some(answers) = answers.upgrade()
                    && answers.send(answer).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

/// Writes pieces as they come, until nobody has any more.
async fn write(mut to: OwnedWriteHalf, mut pieces: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
    while let Some(piece) = pieces.recv().await {
        to.write_all(&piece).await?;
    }
    Ok(())
}
