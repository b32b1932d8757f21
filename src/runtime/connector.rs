//! Connections to parents of ours: names resolved, sockets connected and TLS agreed on where nobody waits for it, then handed
//! to the shard that asked.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::config::{Destination, Trust};
use crate::connection::tls::Session;
use crate::connection::trust::{self, Refused};
use crate::sender::{ConnectError, ConnectFailure};
use crate::shard::event::ConnectionId;
use crate::shard::message::Message;
use crate::shard::placement::ShardId;

/// Connections that may wait to be made; a shard whose wish finds no room tries again later.
pub(super) const WAITING: usize = 4096;
/// Connections that are made at once.
const AT_ONCE: usize = 256;
/// A parent that is gone without a word is noticed after this and three probes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// Authorities' files are read again after this, so that a new one needs no restart and a thousand hosts read them once.
const TRUST_FOR: Duration = Duration::from_secs(60);

/// A connection that a shard wants for one of its children.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) shard: ShardId,
    pub(super) child: ConnectionId,
    pub(super) attempt: u32,
    pub(super) destination: Destination,
    pub(super) trust: Trust,
    pub(super) timeout: Duration,
    pub(super) buffer_bytes: usize,
}

/// Makes connections until told to stop.
pub(super) async fn run(
    mut wishes: mpsc::Receiver<Wish>,
    shards: Vec<mpsc::Sender<Message>>,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let trusted = Arc::new(Trusted::default());
    loop {
        let wish = tokio::select! {
            wish = wishes.recv() => wish,
            _ = stop.changed() => return,
        };
        let Some(wish) = wish else { return };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let shard = shards[wish.shard.index()].clone();
        let trusted = Arc::clone(&trusted);
        tokio::spawn(async move {
            let outcome = connect(&wish, &trusted).await;
            drop(permit);
            let Wish { child, attempt, buffer_bytes, .. } = wish;
            // A shard that has ended wants no connection any more.
            let _ = shard.send(Message::Connected { child, attempt, buffer_bytes, outcome }).await;
        });
    }
}

/// Whom we believe, as it was read lately.
#[derive(Default)]
struct Trusted(Mutex<Option<(Trust, Instant, Arc<ClientConfig>)>>);

impl Trusted {
    async fn client(&self, trust: &Trust) -> Result<Arc<ClientConfig>, ConnectError> {
        let mut known = self.0.lock().await;
        if let Some((of, since, client)) = &*known
            && of == trust
            && since.elapsed() < TRUST_FOR
        {
            return Ok(Arc::clone(client));
        }
        let named = trust.clone();
        let read = tokio::task::spawn_blocking(move || trust::client(&named)).await;
        let client = read
            .map_err(|error| error.to_string())
            .and_then(|read| read.map_err(|error| error.to_string()))
            .map_err(ConnectError::Handshake)?;
        *known = Some((trust.clone(), Instant::now(), Arc::clone(&client)));
        Ok(client)
    }
}

type Connected = (OwnedFd, Option<Box<Session>>);

async fn connect(wish: &Wish, trusted: &Trusted) -> Result<Connected, ConnectFailure> {
    let mut tried = None;
    let connecting = async {
        let stream = connect_any(&wish.destination, &mut tried, wish.timeout).await?;
        if !wish.destination.is_encrypted {
            return Ok((stream.into_std()?.into(), None));
        }
        let client = trusted.client(&wish.trust).await?;
        let (socket, session) = encrypt(stream, client, &wish.destination.host).await?;
        Ok((socket, Some(session)))
    };
    let outcome = tokio::time::timeout(wish.timeout, connecting).await;
    let reason = match outcome {
        Ok(Ok(connected)) => return Ok(connected),
        Ok(Err(reason)) => reason,
        Err(_) => io::Error::from(ErrorKind::TimedOut).into(),
    };
    Err(ConnectFailure { address: tried, reason })
}

/// The TLS handshake.
async fn encrypt(
    stream: TcpStream,
    client: Arc<ClientConfig>,
    host: &str,
) -> Result<(OwnedFd, Box<Session>), ConnectError> {
    let refused = ConnectError::Handshake;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| refused(format!("{host}: {error}")))?;
    let stream =
        TlsConnector::from(client).connect(name, stream).await.map_err(|error| {
            match Refused::of(&error) {
                Refused::Certificate(why) => ConnectError::NotBelieved(why),
                Refused::Handshake(why) => ConnectError::Handshake(why),
            }
        })?;
    let (socket, connection) = stream.into_inner();
    let mut early = Vec::new();
    let session = Session::new(connection, &mut early).map_err(|error| refused(error.to_string()))?;
    if !early.is_empty() {
        return Err(refused("it spoke before it was asked: it is no Netdata".to_owned()));
    }
    Ok((socket.into_std()?.into(), Box::new(session)))
}

/// The first of its addresses that takes the connection.
async fn connect_any(
    destination: &Destination,
    tried: &mut Option<SocketAddr>,
    timeout: Duration,
) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((destination.host.as_str(), destination.port)).await? {
        *tried = Some(address);
        match connect_to(address, destination.interface.as_deref()).await {
            Ok(stream) => return prepare(stream, timeout),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn connect_to(address: SocketAddr, interface: Option<&str>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.connect(address).await
}

fn prepare(stream: TcpStream, timeout: Duration) -> io::Result<TcpStream> {
    let options = SockRef::from(&stream);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_user_timeout(Some(timeout))?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    options.set_tcp_keepalive(&keepalive)?;
    Ok(stream)
}
