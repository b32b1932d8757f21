//! Listening sockets, and every connection's first moments: who it is, whether it may, who owns it.
//!
//! A child goes to the shard that owns its host, a browser to the query shard, each with the bytes already read. Both
//! hand-overs are bounded: a shard that does not take its arrivals makes new children wait for their turn, refused with
//! "busy", and a busy query shard closes new connections; neither stops the acceptor.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use uuid::Uuid;

use super::clock::Clock;
use crate::config::{
    BindAddress, BindHost, BindTo, ChildPolicy, Client, CompressionAlgorithm, Config, Denial, Rights,
};
use crate::connection::{Greeting, greet};
use crate::shard::message::{Arrival, Message};
use crate::shard::{log_refusal, placement};
use crate::telemetry::Telemetry;
use crate::wire::capability::{Capabilities, Compression, negotiate};
use crate::wire::handshake::{Refusal, StreamRequest};

/// Connections that may be in their first moments at once; the rest waits in the listening socket's queue.
const GREETINGS_AT_ONCE: usize = 8192;
const FIRST_READ: usize = 4096;
/// In place of no limit: a year.
const FOR_EVER: Duration = Duration::from_secs(365 * 86_400);
/// Keepalive of a child's socket, as a 2.9 parent sets it: a dead peer is noticed within a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// After an error of accept(2), most likely no descriptors left, something has to be closed first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A browser's connection on its way to the query shard.
#[derive(Debug)]
pub struct Visit {
    /// Non-blocking.
    pub socket: std::net::TcpStream,
    pub peer: SocketAddr,
    /// What it may ask for.
    pub rights: Rights,
    /// Bytes already read.
    pub head: Vec<u8>,
}

/// A listening socket, and what a connection through it may do.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: StdListener,
    pub(super) rights: Rights,
}

/// Opens the sockets of one item of `bind to`. The error says which address, why, and what to do.
pub(super) fn open(item: &BindTo, backlog: u32) -> Result<Vec<Door>, String> {
    let BindAddress::Tcp { host, interface, port } = &item.address else {
        return Err(format!(
            "cannot listen on {}: unix sockets are not served; take the item out of '[web] bind to'",
            item.address
        ));
    };
    let interface = interface.as_deref();
    let doors = |listeners: Vec<StdListener>| {
        listeners.into_iter().map(|listener| Door { listener, rights: item.rights }).collect()
    };
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    let addresses: Vec<SocketAddr> = match host {
        BindHost::Any => {
            // One socket takes both families, unless the machine has no IPv6.
            let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), *port);
            return match listen(both, interface, backlog, false) {
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => {
                    let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), *port);
                    listen(any, interface, backlog, false).map_err(|error| explain(any, &error))
                }
                outcome => outcome.map_err(|error| explain(both, &error)),
            }
            .map(|listener| doors(vec![listener]));
        }
        BindHost::Ip(ip) => vec![SocketAddr::new(*ip, *port)],
        BindHost::Name(name) => (name.as_str(), *port)
            .to_socket_addrs()
            .map_err(|error| format!("cannot listen on {}: {error}; check '[web] bind to'", item.address))?
            .collect(),
    };
    let listeners: Result<Vec<StdListener>, String> = addresses
        .into_iter()
        .map(|address| listen(address, interface, backlog, true).map_err(|error| explain(address, &error)))
        .collect();
    listeners.map(doors)
}

fn listen(
    address: SocketAddr,
    interface: Option<&str>,
    backlog: i32,
    only_v6: bool,
) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted parent finds its port again at once. Never SO_REUSEPORT: two parents would share their children.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    let cure = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program, maybe Netdata, has this port: stop it, or choose another with '[web] default port' or \
             'bind to' in netdata.conf"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 and interfaces need privileges (CAP_NET_BIND_SERVICE, CAP_NET_RAW): choose another"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface has this address: check '[web] bind to' in netdata.conf"
        }
        _ => "check '[web] bind to' in netdata.conf",
    };
    format!("cannot listen on {address}: {error}; {cure}")
}

/// Everything a new connection needs to find its owner.
#[derive(Debug)]
pub(super) struct Acceptor {
    pub(super) config: Arc<Config>,
    pub(super) machine_guid: Uuid,
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    pub(super) visits: mpsc::Sender<Visit>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Clock,
    /// Unix microseconds of the last streaming request that was let through the rate limit.
    last_request_us: AtomicI64,
    greetings: Arc<Semaphore>,
}

impl Acceptor {
    pub(super) fn new(
        config: Arc<Config>,
        machine_guid: Uuid,
        shards: Vec<mpsc::Sender<Message>>,
        visits: mpsc::Sender<Visit>,
        telemetry: Arc<Telemetry>,
        clock: Clock,
    ) -> Self {
        Self {
            config,
            machine_guid,
            shards,
            visits,
            telemetry,
            clock,
            last_request_us: AtomicI64::new(i64::MIN),
            greetings: Arc::new(Semaphore::new(GREETINGS_AT_ONCE)),
        }
    }

    /// Accepts until told to stop.
    pub(super) async fn run(self: Arc<Self>, door: Door, mut stop: watch::Receiver<bool>) {
        let rights = door.rights;
        let listener = match TcpListener::from_std(door.listener) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listening socket cannot be watched");
                return;
            }
        };
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.changed() => return,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let Ok(permit) = Arc::clone(&self.greetings).acquire_owned().await else { return };
                    let acceptor = Arc::clone(&self);
                    tokio::spawn(async move {
                        acceptor.greet(stream, peer, rights).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Reads until the connection has told who it is, and hands it over.
    async fn greet(&self, mut stream: TcpStream, peer: SocketAddr, port: Rights) {
        let Some(rights) = self.config.web.allow.rights_of(Client::from(peer.ip()), port) else {
            self.telemetry.dropped.add("connections_not_allowed");
            return;
        };
        let mut head = Vec::with_capacity(FIRST_READ);
        let wait = self.config.web.timeout_for_first_request.unwrap_or(FOR_EVER);
        let greeting = tokio::time::timeout(wait, async {
            loop {
                match stream.read_buf(&mut head).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
                match greet(&head) {
                    Greeting::Incomplete => {}
                    decided => return Some(decided),
                }
            }
        });
        match greeting.await {
            Err(_) => self.telemetry.dropped.add("first_request_timeout"),
            Ok(None) => self.telemetry.dropped.add("closed_before_a_request"),
            Ok(Some(Greeting::Browser)) => self.visit(stream, peer, rights, head),
            Ok(Some(Greeting::Child { request, consumed })) => {
                let early = head.split_off(consumed);
                self.child(stream, peer, rights, *request, early).await;
            }
            Ok(Some(Greeting::Tls)) => {
                self.telemetry.dropped.add("tls_not_configured");
                tracing::warn!(
                    peer = %peer,
                    "a client speaks TLS, which this parent does not: remove ':SSL' from the child's destination"
                );
            }
            Ok(Some(Greeting::Damaged(error))) => {
                self.telemetry.dropped.add("bad_request");
                tracing::warn!(peer = %peer, %error, "a streaming request cannot be read");
                // The peer may be gone already.
                let _ = stream
                    .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
            }
            Ok(Some(Greeting::Incomplete)) => {
                unreachable!("the loop above goes on while a greeting is incomplete")
            }
        }
    }

    fn visit(&self, stream: TcpStream, peer: SocketAddr, rights: Rights, head: Vec<u8>) {
        let socket = match stream.into_std() {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(peer = %peer, %error, "a connection cannot be handed to the query shard");
                return;
            }
        };
        if self.visits.try_send(Visit { socket, peer, rights, head }).is_err() {
            self.telemetry.dropped.add("query_shard_busy");
        }
    }

    /// A child's request: permitted and handed to its shard, or refused.
    async fn child(
        &self,
        mut stream: TcpStream,
        peer: SocketAddr,
        rights: Rights,
        request: StreamRequest,
        early: Vec<u8>,
    ) {
        match self.permit(&request, peer, rights) {
            Ok(permit) => {
                let Permit { machine_guid, capabilities, policy } = permit;
                let arrival = Arrival { machine_guid, request, capabilities, policy, peer, early };
                self.hand_over(stream, Box::new(arrival)).await;
            }
            Err(refusal) => {
                log_refusal(peer, &refusal, &request);
                self.telemetry.refusals.add(refusal.label());
                // The child may be gone already; it will find out by itself.
                let _ = stream.write_all(&refusal.reply_bytes()).await;
                let _ = stream.shutdown().await;
            }
        }
    }

    /// The checks of a streaming request, in the order in which a Netdata parent makes them.
    fn permit(&self, request: &StreamRequest, peer: SocketAddr, rights: Rights) -> Result<Permit, Refusal> {
        if !rights.contains(Rights::STREAMING) {
            return Err(Refusal::StreamingNotAllowed);
        }
        request.check()?;
        let machine_guid = Uuid::try_parse(&request.machine_guid).map_err(|_| Refusal::InvalidMachineGuid)?;
        let policy = self.config.streaming_policy(&request.key, &request.machine_guid, peer.ip())?;
        if machine_guid == self.machine_guid {
            return Err(Refusal::Localhost);
        }
        self.check_rate()?;
        let order: Vec<Compression> = if policy.compression {
            policy.compression_order.iter().map(|algorithm| compression(*algorithm)).collect()
        } else {
            Vec::new()
        };
        let offered = Capabilities::from_version(request.ver);
        let capabilities = negotiate(offered, Capabilities::OURS, &order);
        Ok(Permit { machine_guid, capabilities, policy })
    }

    /// `[web] accept a streaming request every seconds`.
    fn check_rate(&self) -> Result<(), Refusal> {
        let every = self.config.web.accept_a_streaming_request_every;
        let every_us = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
        let now_us = self.clock.now_us();
        let wait_us = self.last_request_us.load(Relaxed).saturating_add(every_us).saturating_sub(now_us);
        if every_us > 0 && wait_us > 0 {
            return Err(Refusal::Busy { wait_s: wait_us.unsigned_abs().div_ceil(1_000_000) });
        }
        self.last_request_us.store(now_us, Relaxed);
        Ok(())
    }

    async fn hand_over(&self, stream: TcpStream, arrival: Box<Arrival>) {
        let shard = placement::owner(&arrival.machine_guid, self.shards.len());
        let hostname = arrival.request.hostname.clone();
        let prepared = stream.into_std().and_then(|stream| {
            stream.set_nodelay(true)?;
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE_IDLE)
                .with_interval(KEEPALIVE_INTERVAL)
                .with_retries(KEEPALIVE_PROBES);
            SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
            Ok(OwnedFd::from(stream))
        });
        match prepared {
            // Waits for room: a shard takes its messages every few milliseconds.
            Ok(socket) => {
                if self.shards[shard.index()].send(Message::Arrived { socket, arrival }).await.is_err() {
                    tracing::debug!(hostname, "the parent stops; a new child is let go");
                }
            }
            Err(error) => {
                tracing::warn!(hostname, %error, "a child's socket cannot be prepared; it is closed")
            }
        }
    }
}

/// A child that may stream, and how.
#[derive(Debug)]
struct Permit {
    machine_guid: Uuid,
    capabilities: Capabilities,
    policy: ChildPolicy,
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::KeyIsNotApi { found } => Self::KeyIsNotApiKey { found },
            Denial::KeyNotEnabled => Self::KeyNotEnabled,
            Denial::KeyNotAllowedFrom => Self::KeyNotAllowedFromIp,
            Denial::GuidIsNotMachine { found } => Self::MachineGuidIsNotMachineGuid { found },
            Denial::GuidNotEnabled => Self::MachineGuidNotEnabled,
            Denial::GuidNotAllowedFrom => Self::MachineGuidNotAllowedFromIp,
        }
    }
}

fn compression(algorithm: CompressionAlgorithm) -> Compression {
    match algorithm {
        CompressionAlgorithm::Lz4 => Compression::Lz4,
        CompressionAlgorithm::Zstd => Compression::Zstd,
        CompressionAlgorithm::Brotli => Compression::Brotli,
        CompressionAlgorithm::Gzip => Compression::Gzip,
    }
}
