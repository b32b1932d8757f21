//! Connections to parents of ours: names resolved, sockets connected and TLS agreed on where nobody waits for it, then handed
//! to the shard that asked.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

use crate::config::{Destination, Trust};
use crate::connection::tls::Session;
use crate::connection::trust::{self, Refused};
use crate::sender::choice::{Asked, Choice, StreamInfo, choose};
use crate::sender::{ConnectError, ConnectFailure, ConnectWish};
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
/// What a parent may take to connect, and to answer a question.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// An answer has some hundred bytes; Netdata's has up to 4 KiB.
const LONGEST_ANSWER: usize = 64 << 10;
/// Authorities' files are read again after this, so that a new one needs no restart and a thousand hosts read them once.
const TRUST_FOR: Duration = Duration::from_secs(60);

/// A connection that a shard wants for one of its children.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) shard: ShardId,
    pub(super) child: ConnectionId,
    pub(super) wish: Box<ConnectWish>,
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
            let Wish { child, wish, .. } = wish;
            let choice = choose_among(&wish, &trusted).await;
            let outcome = match choice.chosen {
                Some(chosen) => connect(&wish.destinations[chosen], &wish, &trusted).await,
                // The sender does not wait for it any more.
                None => Err(ConnectFailure { address: None, reason: io::Error::other("none chosen").into() }),
            };
            drop(permit);
            let ConnectWish { attempt, buffer_bytes, .. } = *wish;
            // A shard that has ended wants no connection any more.
            let _ = shard.send(Message::Connected { child, attempt, buffer_bytes, choice, outcome }).await;
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

/// Asks the parents, all at once, if there is a choice.
async fn choose_among(wish: &ConnectWish, trusted: &Trusted) -> Choice {
    if let [_] = &wish.destinations[..] {
        return Choice::only();
    }
    let questions = wish.destinations.iter().map(|destination| ask(destination, wish, trusted));
    choose(futures_util::future::join_all(questions).await, &wish.path)
}

/// What a parent says that it has of the host.
async fn ask(destination: &Destination, wish: &ConnectWish, trusted: &Trusted) -> Asked {
    let mut tried = None;
    let failed = |tried, reason| Asked::NotConnected(ConnectFailure { address: tried, reason });
    let connecting = async {
        let stream = connect_any(destination, &mut tried, ANSWERS_WITHIN).await?;
        if !destination.is_encrypted {
            return Ok(Box::new(stream) as Box<dyn Transport>);
        }
        let client = trusted.client(&wish.trust).await?;
        Ok(Box::new(shake_hands(stream, client, &destination.host).await?) as Box<dyn Transport>)
    };
    let stream = match tokio::time::timeout(ANSWERS_WITHIN.min(wish.timeout), connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(reason)) => return failed(tried, reason),
        Err(_) => return failed(tried, io::Error::from(ErrorKind::TimedOut).into()),
    };
    match tokio::time::timeout(ANSWERS_WITHIN, question(stream, destination, wish.host)).await {
        Ok(Ok(asked)) => asked,
        // Whatever speaks no HTTP is told apart from a parent when it is asked to take the host.
        Ok(Err(error)) if error.is_parse() => Asked::Unknown,
        Ok(Err(_)) => Asked::Closed,
        Err(_) => Asked::Silent,
    }
}

async fn question(
    stream: impl Transport + 'static,
    destination: &Destination,
    host: Uuid,
) -> Result<Asked, hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // What goes wrong there, the request tells.
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("/api/v3/stream_info?machine_guid={}", host.hyphenated()))
        .header(header::HOST, destination.to_string())
        .header(header::USER_AGENT, concat!("mainstem/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new());
    let Ok(request) = request else { return Ok(Asked::Unknown) };
    let answer = sender.send_request(request).await?;
    let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    connection.abort();
    let info = body.ok().and_then(|body| serde_json::from_slice::<StreamInfo>(&body.to_bytes()).ok());
    Ok(info.map_or(Asked::Unknown, Asked::Known))
}

/// A connection, encrypted or not.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

async fn connect(
    destination: &Destination,
    wish: &ConnectWish,
    trusted: &Trusted,
) -> Result<Connected, ConnectFailure> {
    let mut tried = None;
    let connecting = async {
        let stream = connect_any(destination, &mut tried, wish.timeout).await?;
        if !destination.is_encrypted {
            return Ok((stream.into_std()?.into(), None));
        }
        let client = trusted.client(&wish.trust).await?;
        let (socket, session) = encrypt(stream, client, &destination.host).await?;
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

async fn shake_hands(
    stream: TcpStream,
    client: Arc<ClientConfig>,
    host: &str,
) -> Result<TlsStream<TcpStream>, ConnectError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| ConnectError::Handshake(format!("{host}: {error}")))?;
    TlsConnector::from(client).connect(name, stream).await.map_err(|error| match Refused::of(&error) {
        Refused::Certificate(why) => ConnectError::NotBelieved(why),
        Refused::Handshake(why) => ConnectError::Handshake(why),
    })
}

/// The TLS handshake of a link.
async fn encrypt(
    stream: TcpStream,
    client: Arc<ClientConfig>,
    host: &str,
) -> Result<(OwnedFd, Box<Session>), ConnectError> {
    let refused = ConnectError::Handshake;
    let (socket, connection) = shake_hands(stream, client, host).await?.into_inner();
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
