//! Connections to parents of ours: names resolved and sockets connected where nobody waits for it, then handed to the shard
//! that asked.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::config::Destination;
use crate::sender::ConnectFailure;
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

/// A connection that a shard wants for one of its children.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) shard: ShardId,
    pub(super) child: ConnectionId,
    pub(super) attempt: u32,
    pub(super) destination: Destination,
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
    loop {
        let wish = tokio::select! {
            wish = wishes.recv() => wish,
            _ = stop.changed() => return,
        };
        let Some(wish) = wish else { return };
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let shard = shards[wish.shard.index()].clone();
        tokio::spawn(async move {
            let outcome = connect(&wish.destination, wish.timeout).await;
            drop(permit);
            let Wish { child, attempt, buffer_bytes, .. } = wish;
            // A shard that has ended wants no connection any more.
            let _ = shard.send(Message::Connected { child, attempt, buffer_bytes, outcome }).await;
        });
    }
}

async fn connect(destination: &Destination, timeout: Duration) -> Result<OwnedFd, ConnectFailure> {
    let mut tried = None;
    let outcome = tokio::time::timeout(timeout, connect_any(destination, &mut tried, timeout)).await;
    let error = match outcome {
        Ok(Ok(socket)) => return Ok(socket),
        Ok(Err(error)) => error,
        Err(_) => ErrorKind::TimedOut.into(),
    };
    Err(ConnectFailure { address: tried, error })
}

/// The first of its addresses that takes the connection.
async fn connect_any(
    destination: &Destination,
    tried: &mut Option<SocketAddr>,
    timeout: Duration,
) -> io::Result<OwnedFd> {
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

fn prepare(stream: TcpStream, timeout: Duration) -> io::Result<OwnedFd> {
    let options = SockRef::from(&stream);
    options.set_tcp_nodelay(true)?;
    options.set_tcp_user_timeout(Some(timeout))?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    options.set_tcp_keepalive(&keepalive)?;
    Ok(stream.into_std()?.into())
}
