//! [`VirtualNodes`]: hosts that plugins collect from afar. Each is a child in this process, as our own host is: its text goes
//! through a socket to the shard that owns its machine GUID.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{AGREED, COME_BACK_AFTER, PIECES, write};
use crate::catalog::HostInfo;
use crate::collecting::identity;
use crate::collecting::plugin::{NodeDefinition, NodePiece, PluginText};
use crate::config::Config;
use crate::runtime::clock::Clock;
use crate::shard::message::{ApiKey, Arrival, HERE, Identity, Message};
use crate::shard::placement::owner;
use crate::wire::capability::Capabilities;

/// One node's connection, or that there was one.
#[derive(Debug)]
struct Link {
    /// No other link of this round has it.
    number: u64,
    begun_us: i64,
    /// Closed when the shard has hung up.
    pieces: mpsc::Sender<Vec<u8>>,
}

/// The links of all plugins' nodes, for one round.
#[derive(Debug)]
pub(super) struct VirtualNodes {
    pub(super) config: Arc<Config>,
    pub(super) own: HostInfo,
    /// Every shard.
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    pub(super) clock: Clock,
    links: RefCell<HashMap<Uuid, Link>>,
    numbers: std::cell::Cell<u64>,
    tasks: RefCell<JoinSet<()>>,
}

/// What a plugin has told to which links.
#[derive(Debug, Default)]
pub(super) struct Told(HashMap<Uuid, u64>);

impl VirtualNodes {
    pub(super) fn new(
        config: Arc<Config>,
        own: HostInfo,
        shards: Vec<mpsc::Sender<Message>>,
        clock: Clock,
    ) -> Self {
        let (links, numbers, tasks) = Default::default();
        Self { config, own, shards, clock, links, numbers, tasks }
    }

    /// Hands a piece of a plugin's text to its node. It is lost while the node has no connection.
    pub(super) async fn send(
        &self,
        piece: NodePiece,
        text: &mut PluginText,
        told: &mut Told,
        over: &mut watch::Receiver<bool>,
    ) {
        let guid = piece.machine_guid;
        let Some(definition) = text.node(guid) else { return };
        let Some((number, pieces)) = self.link(definition).await else { return };
        let mut out = Vec::new();
        if told.0.insert(guid, number) != Some(number) {
            text.describe_node(guid, &mut out);
        }
        out.extend(piece.text);
        if out.is_empty() {
            return;
        }
        tokio::select! {
            // Whether it is taken or not: the next piece finds out.
            _ = pieces.send(out) => {}
            _ = over.wait_for(|over| *over) => {}
        }
    }

    /// The link of a node, begun if it has none and had none a moment ago.
    async fn link(&self, node: &NodeDefinition) -> Option<(u64, mpsc::Sender<Vec<u8>>)> {
        let now_us = self.clock.now_us();
        if let Some(Link { number, begun_us, pieces }) = self.links.borrow().get(&node.machine_guid) {
            if !pieces.is_closed() {
                return Some((*number, pieces.clone()));
            }
            if now_us - begun_us < COME_BACK_AFTER.as_micros() as i64 {
                return None;
            }
        }
        let number = self.numbers.replace(self.numbers.get() + 1);
        let (pieces, waiting) = mpsc::channel(PIECES);
        let link = Link { number, begun_us: now_us, pieces: pieces.clone() };
        self.links.borrow_mut().insert(node.machine_guid, link);
        if node.machine_guid == self.own.machine_guid {
            tracing::error!(
                "the virtual node {} is not collected: it has this parent's own machine GUID, {}",
                node.hostname,
                node.machine_guid
            );
            return None;
        }
        if let Err(error) = self.begin(node, waiting).await {
            tracing::error!(%error, "the virtual node {} ({}) cannot be collected", node.hostname, node.machine_guid);
            return None;
        }
        Some((number, pieces))
    }

    /// A child that has come.
    async fn begin(&self, node: &NodeDefinition, waiting: mpsc::Receiver<Vec<u8>>) -> io::Result<()> {
        let info = identity::node_info(&self.own, node);
        let (here, there) = std::os::unix::net::UnixStream::pair()?;
        here.set_nonblocking(true)?;
        there.set_nonblocking(true)?;
        let here = UnixStream::from_std(here)?;
        let capabilities = AGREED
            .into_iter()
            .fold(Capabilities::NONE, |all, one| all | one)
            .without(Capabilities::FUNCTIONS);
        let arrival = Arrival {
            machine_guid: node.machine_guid,
            key: ApiKey(Uuid::nil()),
            capabilities,
            policy: self.config.own_policy(),
            peer: HERE,
            parent: Identity {
                machine_guid: self.own.machine_guid,
                hostname: self.config.hostname.as_str().into(),
            },
            encrypted: false,
            seat: None,
            early: Vec::new(),
            request: info.introduction(),
        };
        let shard = &self.shards[owner(&node.machine_guid, self.shards.len()).index()];
        let arrived = Message::Arrived { socket: there.into(), session: None, arrival: Box::new(arrival) };
        shard.send(arrived).await.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        self.tasks.borrow_mut().spawn_local(carry(here, waiting, node.hostname.clone()));
        Ok(())
    }

    /// All plugins have ended: what they said last goes out.
    pub(super) async fn finish(&self) {
        self.links.borrow_mut().clear();
        let mut tasks = self.tasks.take();
        while tasks.join_next().await.is_some() {}
    }
}

/// Writes pieces until there are no more, or the shard hangs up. What the shard says back is for children that need it.
async fn carry(socket: UnixStream, waiting: mpsc::Receiver<Vec<u8>>, hostname: String) {
    let (mut reading, writing) = socket.into_split();
    let hearing = async {
        let mut buffer = [0; 4096];
        while let Ok(1..) = reading.read(&mut buffer).await {}
    };
    tokio::select! {
        _ = write(writing, waiting) => {}
        () = hearing => tracing::warn!(
            "the virtual node {hostname} has lost its connection; another is begun with what is collected of it next, a minute \
             after this one at the earliest"
        ),
    }
}
