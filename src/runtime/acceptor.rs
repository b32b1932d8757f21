//! Listening sockets, and every connection's first moments: who it is, whether it may, who owns it.
//!
//! A child goes to the shard that owns its host, a browser to the query shard, each with the bytes already read and, if it
//! speaks TLS, the session that was agreed on here. Both hand-overs are bounded: a shard that does not take its arrivals makes new children wait for their turn, refused with
//! "busy", and a busy query shard closes new connections; neither stops the acceptor.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

use super::clock::Clock;
use super::terms::{InForce, Terms};
use super::transport::{InTransit, Movable, Transport};
use crate::config::{
    BindAddress, BindHost, BindTo, ChildPolicy, Client, CompressionAlgorithm, Denial, PortTls, Rights,
};
use crate::connection::tls::{self, HandshakeFailure};
use crate::connection::{Greeting, greet};
use crate::shard::message::{ApiKey, Arrival, Identity, Message};
use crate::shard::seats::{Seat, Seats};
use crate::shard::{bracketed, log_refusal, log_request, placement};
use crate::telemetry::Telemetry;
use crate::web::Scheme;
use crate::wire::capability::{Capabilities, Compression, negotiate};
use crate::wire::handshake::{Refusal, StreamRequest};

/// Connections that may be in their first moments at once; the rest waits in the listening socket's queue.
const GREETINGS_AT_ONCE: usize = 8192;
const FIRST_READ: usize = 4096;
/// TLS handshakes under way at once, each with up to some 30 KB of buffers; the rest waits its turn.
const HANDSHAKES_AT_ONCE: usize = 1024;
/// A handshake is two round trips and less than a millisecond of work for either side.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
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
pub(super) struct Visit {
    pub(super) transport: InTransit,
    pub(super) client: crate::web::Client,
    /// Bytes already read.
    pub(super) head: Vec<u8>,
}

/// A listening socket, and what a connection through it may do.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) listener: StdListener,
    pub(super) rights: Rights,
    pub(super) tls: PortTls,
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
        listeners.into_iter().map(|listener| Door { listener, rights: item.rights, tls: item.tls }).collect()
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
    pub(super) terms: InForce,
    pub(super) machine_guid: Uuid,
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    pub(super) visits: mpsc::Sender<Visit>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) clock: Clock,
    /// Unix microseconds of the last streaming request that was let through the rate limit.
    last_request_us: AtomicI64,
    greetings: Arc<Semaphore>,
    handshakes: Semaphore,
    seats: Arc<Seats>,
}

/// A connection whose owner is not known yet.
struct Caller {
    peer: SocketAddr,
    rights: Rights,
    port: PortTls,
    terms: Arc<Terms>,
    /// Its first request is to be complete by then.
    deadline: Instant,
}

impl Caller {
    /// What the port's `^SSL=` comes to for a connection.
    fn scheme(&self, transport: &Transport) -> Scheme {
        match (transport, &self.terms.tls, self.port) {
            (Transport::Tls(_), _, _) => Scheme::Https,
            (Transport::Plain(_), None, _) | (_, _, PortTls::Optional) => Scheme::Http,
            (Transport::Plain(_), Some(_), PortTls::Unsaid) => Scheme::HttpOfChildren,
            (Transport::Plain(_), Some(_), PortTls::Force) => Scheme::HttpToHttps,
        }
    }
}

impl Acceptor {
    pub(super) fn new(
        terms: InForce,
        machine_guid: Uuid,
        shards: Vec<mpsc::Sender<Message>>,
        visits: mpsc::Sender<Visit>,
        telemetry: Arc<Telemetry>,
        clock: Clock,
    ) -> Self {
        Self {
            terms,
            machine_guid,
            shards,
            visits,
            telemetry,
            clock,
            last_request_us: AtomicI64::new(i64::MIN),
            greetings: Arc::new(Semaphore::new(GREETINGS_AT_ONCE)),
            handshakes: Semaphore::new(HANDSHAKES_AT_ONCE),
            seats: Arc::default(),
        }
    }

    /// Accepts until told to stop.
    pub(super) async fn run(self: Arc<Self>, door: Door, mut stop: watch::Receiver<bool>) {
        let (rights, port) = (door.rights, door.tls);
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
                        acceptor.greet(stream, peer, rights, port).await;
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
    async fn greet(&self, stream: TcpStream, peer: SocketAddr, port_rights: Rights, port: PortTls) {
        let terms = Arc::clone(&self.terms.borrow());
        let web = &terms.config.web;
        let Some(rights) = web.allow.rights_of(Client::from(peer.ip()), port_rights) else {
            self.telemetry.dropped.add("connections_not_allowed");
            return;
        };
        let deadline = Instant::now() + web.timeout_for_first_request.unwrap_or(FOR_EVER);
        let caller = Caller { peer, rights, port, terms, deadline };
        // Only looked at: whoever reads it next, a handshake or a request, begins with it.
        let mut first = [0];
        let Some(peeked) = self.in_time(&caller, stream.peek(&mut first)).await else { return };
        let transport = match greet(&first[..peeked]) {
            Greeting::Tls => match self.encrypt(stream, &caller).await {
                Some(transport) => transport,
                None => return,
            },
            _ => Transport::Plain(stream),
        };
        self.hear(transport, &caller).await;
    }

    /// What was read, unless nothing comes any more, or not in time.
    async fn in_time(&self, caller: &Caller, read: impl Future<Output = io::Result<usize>>) -> Option<usize> {
        match timeout_at(caller.deadline, read).await {
            Ok(Ok(length)) if length > 0 => Some(length),
            Ok(_) => {
                self.telemetry.dropped.add("closed_before_a_request");
                None
            }
            Err(_) => {
                self.telemetry.dropped.add("first_request_timeout");
                None
            }
        }
    }

    /// The TLS handshake.
    async fn encrypt(&self, stream: TcpStream, caller: &Caller) -> Option<Transport> {
        let peer = caller.peer;
        let Some(server) = &caller.terms.tls else {
            // A socket with unread bytes ends with a reset; the client is to see an end.
            let _ = stream.try_read(&mut [0; FIRST_READ]);
            self.telemetry.dropped.add("tls_not_configured");
            tracing::warn!(
                %peer,
                "a client speaks TLS, and this parent has no certificate: set '[web] ssl key' and 'ssl certificate' in \
                 netdata.conf, or remove ':SSL' from the child's destination"
            );
            return None;
        };
        let Ok(_permit) = self.handshakes.acquire().await else { return None };
        let deadline = caller.deadline.min(Instant::now() + HANDSHAKE_WITHIN);
        let handshake = TlsAcceptor::from(server.config()).accept(Movable::new(stream));
        let (failure, error) = match timeout_at(deadline, handshake).await {
            Ok(Ok(stream)) => {
                self.telemetry.tls.handshakes.add(tls::version(stream.get_ref().1));
                return Some(Transport::Tls(Box::new(stream)));
            }
            Ok(Err(error)) => (HandshakeFailure::of(&error), error),
            Err(_) => (HandshakeFailure::TIMEOUT, io::ErrorKind::TimedOut.into()),
        };
        self.telemetry.tls.failures.add(failure.label);
        let HandshakeFailure { label: reason, advice } = failure;
        tracing::warn!(%peer, reason, "the TLS handshake failed: {error}; {advice}");
        None
    }

    /// The first request of a connection that needs no more secrets.
    async fn hear(&self, mut transport: Transport, caller: &Caller) {
        let mut head = Vec::with_capacity(FIRST_READ);
        let greeting = loop {
            if self.in_time(caller, transport.read_buf(&mut head)).await.is_none() {
                return;
            }
            match greet(&head) {
                Greeting::Incomplete => {}
                decided => break decided,
            }
        };
        let peer = caller.peer;
        match greeting {
            Greeting::Browser => self.visit(transport, caller, head),
            Greeting::Child { request, consumed } => {
                let early = head.split_off(consumed);
                self.child(transport, caller, *request, early).await;
            }
            Greeting::Damaged(error) => {
                self.telemetry.dropped.add("bad_request");
                tracing::warn!(%peer, %error, "a streaming request cannot be read");
                let page = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                answer(transport, page).await;
            }
            Greeting::Tls => {
                self.telemetry.dropped.add("bad_request");
                tracing::warn!(%peer, "a client speaks TLS within TLS; a proxy may encrypt what is encrypted already");
            }
            Greeting::Incomplete => unreachable!("the loop above goes on while a greeting is incomplete"),
        }
    }

    fn visit(&self, transport: Transport, caller: &Caller, head: Vec<u8>) {
        let peer = caller.peer;
        let client = crate::web::Client { peer, rights: caller.rights, scheme: caller.scheme(&transport) };
        let label = transport.label();
        let transport = match transport.depart() {
            Ok(transport) => transport,
            Err(error) => {
                tracing::warn!(%peer, %error, "a connection cannot be handed to the query shard");
                return;
            }
        };
        self.telemetry.transports.add(label);
        if self.visits.try_send(Visit { transport, client, head }).is_err() {
            self.telemetry.dropped.add("query_shard_busy");
        }
    }

    /// A child's request: permitted and handed to its shard, or refused.
    async fn child(&self, transport: Transport, caller: &Caller, request: StreamRequest, early: Vec<u8>) {
        let peer = caller.peer;
        log_request(peer, &request);
        let is_plain = matches!(transport, Transport::Plain(_));
        let outcome = if is_plain && caller.port == PortTls::Force {
            Err(Refusal::NotEncrypted)
        } else {
            self.permit(&request, caller)
        };
        match outcome {
            Ok(Permit { machine_guid, key, capabilities, policy, seat }) => {
                let hostname = caller.terms.config.hostname.as_str().into();
                let parent = Identity { machine_guid: self.machine_guid, hostname };
                let arrival = Arrival {
                    machine_guid,
                    key,
                    request,
                    capabilities,
                    policy,
                    peer,
                    parent,
                    encrypted: !is_plain,
                    seat: Some(seat),
                    early,
                };
                self.hand_over(transport, Box::new(arrival)).await;
            }
            Err(refusal) => {
                log_refusal(peer, &refusal, &request, None);
                self.telemetry.refusals.add(refusal.label());
                answer(transport, &refusal.reply_bytes()).await;
            }
        }
    }

    /// The checks of a streaming request, in the order in which a Netdata parent makes them.
    fn permit(&self, request: &StreamRequest, caller: &Caller) -> Result<Permit, Refusal> {
        if !caller.rights.contains(Rights::STREAMING) {
            return Err(Refusal::StreamingNotAllowed);
        }
        request.check()?;
        let machine_guid = Uuid::try_parse(&request.machine_guid).map_err(|_| Refusal::InvalidMachineGuid)?;
        let key = ApiKey(Uuid::try_parse(&request.key).map_err(|_| Refusal::InvalidKey)?);
        let config = &caller.terms.config;
        let policy = config.streaming_policy(&request.key, &request.machine_guid, caller.peer.ip())?;
        if machine_guid == self.machine_guid {
            return Err(Refusal::Localhost);
        }
        let most = policy.maximum_hosts;
        let seat = self.seats.take(key, machine_guid, most);
        let seat = seat.ok_or(Refusal::TooManyHosts { most: most.unwrap_or_default() })?;
        self.check_rate(config.web.accept_a_streaming_request_every)?;
        let order: Vec<Compression> = if policy.compression {
            policy.compression_order.iter().map(|algorithm| compression(*algorithm)).collect()
        } else {
            Vec::new()
        };
        let offered = Capabilities::from_version(request.ver);
        let capabilities = negotiate(offered, Capabilities::OURS, &order);
        Ok(Permit { machine_guid, key, capabilities, policy, seat })
    }

    /// `[web] accept a streaming request every seconds`.
    fn check_rate(&self, every: Duration) -> Result<(), Refusal> {
        let every_us = i64::try_from(every.as_micros()).unwrap_or(i64::MAX);
        let now_us = self.clock.now_us();
        let wait_us = self.last_request_us.load(Relaxed).saturating_add(every_us).saturating_sub(now_us);
        if every_us > 0 && wait_us > 0 {
            return Err(Refusal::Busy { wait_s: wait_us.unsigned_abs().div_ceil(1_000_000) });
        }
        self.last_request_us.store(now_us, Relaxed);
        Ok(())
    }

    async fn hand_over(&self, transport: Transport, mut arrival: Box<Arrival>) {
        let shard = placement::owner(&arrival.machine_guid, self.shards.len());
        let hostname = arrival.request.hostname.clone();
        let peer = bracketed(arrival.peer);
        let label = transport.label();
        let prepared = transport.into_parts(&mut arrival.early).and_then(|(socket, session)| {
            let options = SockRef::from(&socket);
            options.set_tcp_nodelay(true)?;
            let keepalive = TcpKeepalive::new()
                .with_time(KEEPALIVE_IDLE)
                .with_interval(KEEPALIVE_INTERVAL)
                .with_retries(KEEPALIVE_PROBES);
            options.set_tcp_keepalive(&keepalive)?;
            Ok((socket, session))
        });
        match prepared {
            // Waits for room: a shard takes its messages every few milliseconds.
            Ok((socket, session)) => {
                self.telemetry.transports.add(label);
                if self.shards[shard.index()]
                    .send(Message::Arrived { socket, session, arrival })
                    .await
                    .is_err()
                {
                    tracing::debug!(hostname, "the parent stops; a new child is let go");
                }
            }
            Err(error) => {
                tracing::warn!(
                    target: "mainstem::stream",
                    "STREAM {hostname} [receive from {peer}]: file descriptor given is not a valid stream: the child's \
                     socket cannot be prepared ({error}); it is closed"
                );
            }
        }
    }
}

/// The last words to a connection, which may be gone already.
async fn answer(mut transport: Transport, bytes: &[u8]) {
    let farewell = async {
        transport.write_all(bytes).await?;
        transport.shutdown().await
    };
    // Whoever does not read them gets no second chance.
    let _ = tokio::time::timeout(HANDSHAKE_WITHIN, farewell).await;
}

/// A child that may stream, and how.
#[derive(Debug)]
struct Permit {
    machine_guid: Uuid,
    key: ApiKey,
    capabilities: Capabilities,
    policy: ChildPolicy,
    seat: Seat,
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
