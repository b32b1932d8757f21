//! The sockets of one shard: an epoll set, and one receive buffer for all of them.
//!
//! No task per connection and no readiness event per packet: once a tick the set is asked which sockets have bytes, and
//! each of them is read once into the shared buffer. Edge-triggered: a level-triggered set would look at each of them once more in
//! the next turn, only to find that nothing is left. What a turn leaves unread is kept in mind instead. Costs are those of a plain
//! epoll loop, 2 to 4 times less than a stream of the executor's own (docs/decisions/0001-runtime.md).
//!
//! A socket with a TLS session is read in the same turn; its bytes are decrypted into a second shared buffer, all of them,
//! since the set does not know what a session holds. Sockets without pay a pointer that is not there.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::connection::tls::{Progress, Session};
use crate::receiver::DisconnectReason;
use crate::shard::event::ConnectionId;

/// Room for one read: as much as a busy child sends in a few ticks.
const RECEIVE_BUFFER: usize = 256 << 10;
/// Sockets that one turn serves before messages get their chance, of those that have news and of those that have more than was read.
/// With two thousand samples on each that is some ten milliseconds.
const EVENTS_A_TURN: usize = 64;

/// A connection and what waits to be sent on it.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    session: Option<Box<Session>>,
    generation: u32,
    /// As it goes to the socket: encrypted, if there is a session.
    pending: Vec<u8>,
    /// The set reports when the socket takes bytes again.
    wants_write: bool,
    /// A connection to a parent of ours: bytes that may wait on it.
    link: Option<usize>,
}

/// What a turn brought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    pub(super) receives: u64,
    pub(super) received_bytes: u64,
    /// Some socket certainly has more: do not sleep.
    pub(super) more: bool,
}

/// The sockets of one shard.
pub(super) struct Sockets {
    set: OwnedFd,
    places: Vec<Option<Socket>>,
    free: Vec<u32>,
    generation: u32,
    buffer: Box<[u8]>,
    /// What was decrypted of the buffer.
    plain: Vec<u8>,
    events: Vec<epoll::Event>,
    /// Sockets that may have more than was read: the set tells of them only when yet more comes.
    unread: Vec<ConnectionId>,
    pending_limit: usize,
    links: usize,
    /// Links on which another number of bytes waits than before.
    news_of_links: Vec<ConnectionId>,
    pub(super) sent_bytes: u64,
    /// Children's sockets with a session.
    pub(super) encrypted: u64,
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Sockets").field("places", &self.places.len()).finish_non_exhaustive()
    }
}

impl Sockets {
    /// `pending_limit`: bytes that may wait for a child that does not read.
    pub(super) fn new(pending_limit: usize) -> io::Result<Self> {
        Ok(Self {
            set: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            places: Vec::new(),
            free: Vec::new(),
            generation: 0,
            buffer: vec![0; RECEIVE_BUFFER].into(),
            plain: Vec::new(),
            events: Vec::with_capacity(EVENTS_A_TURN),
            unread: Vec::new(),
            pending_limit,
            links: 0,
            news_of_links: Vec::new(),
            sent_bytes: 0,
            encrypted: 0,
        })
    }

    /// Takes over a connected, non-blocking socket, and its session. What the session has decrypted was taken from it.
    pub(super) fn add(&mut self, socket: OwnedFd, session: Option<Box<Session>>) -> io::Result<ConnectionId> {
        self.watch(socket, session, None)
    }

    fn watch(
        &mut self,
        socket: OwnedFd,
        mut session: Option<Box<Session>>,
        link: Option<usize>,
    ) -> io::Result<ConnectionId> {
        let stream = TcpStream::from(socket);
        let place = self.free.last().copied().unwrap_or(self.places.len() as u32);
        self.generation = self.generation.wrapping_add(1);
        let connection = ConnectionId { place, generation: self.generation };
        let mut pending = Vec::new();
        if let Some(session) = &mut session {
            session.flush(&mut pending);
        }
        let wants_write = !pending.is_empty();
        epoll::add(&self.set, &stream, epoll::EventData::new_u64(connection.to_bits()), flags(wants_write))?;
        let is_encrypted = session.is_some();
        self.links += usize::from(link.is_some());
        let generation = self.generation;
        let socket = Socket { stream, session, generation, pending, wants_write, link };
        if self.free.pop().is_some() {
            self.places[place as usize] = Some(socket);
        } else {
            self.places.push(Some(socket));
        }
        self.encrypted += u64::from(is_encrypted && link.is_none());
        Ok(connection)
    }

    /// Takes over a connected, non-blocking socket to a parent of ours. `limit`: bytes that may wait on it.
    pub(super) fn add_link(
        &mut self,
        socket: OwnedFd,
        session: Option<Box<Session>>,
        limit: usize,
    ) -> io::Result<ConnectionId> {
        self.watch(socket, session, Some(limit))
    }

    /// Connections to parents of ours.
    pub(super) fn links(&self) -> usize {
        self.links
    }

    pub(super) fn is_link(&mut self, connection: ConnectionId) -> bool {
        self.socket(connection).is_some_and(|socket| socket.link.is_some())
    }

    /// Links on which more bytes wait, or fewer, than was said the last time, and how many.
    pub(super) fn take_news_of_links(&mut self) -> Vec<(ConnectionId, usize)> {
        let news = std::mem::take(&mut self.news_of_links);
        let pending = |link: ConnectionId| Some((link, self.socket(link)?.pending.len()));
        news.into_iter().filter_map(pending).collect()
    }

    /// Reads every socket that has bytes, once, and hands the bytes to `received`; an error or an end is handed over
    /// as the reason, and the socket is gone then. Never blocks.
    pub(super) fn turn(
        &mut self,
        mut received: impl FnMut(ConnectionId, Result<&[u8], DisconnectReason>),
    ) -> io::Result<Turn> {
        self.events.clear();
        let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&self.set, spare_capacity(&mut self.events), Some(&now)) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(Turn::default()),
            Err(error) => return Err(error.into()),
        }
        let mut turn = Turn { more: self.events.len() == EVENTS_A_TURN, ..Turn::default() };
        let later = self.unread.split_off(self.unread.len().min(EVENTS_A_TURN));
        let unread = std::mem::replace(&mut self.unread, later);
        for connection in &unread {
            self.read(*connection, true, &mut turn, &mut received);
        }
        for index in 0..self.events.len() {
            let event = self.events[index];
            // The kernel packs the struct: its field is copied out before it is looked at.
            let data = event.data;
            let connection = ConnectionId::from_bits(data.u64());
            let happened = event.flags;
            if happened.contains(epoll::EventFlags::OUT)
                && self.socket(connection).is_some()
                && let Err(reason) = self.flush(connection)
            {
                self.remove(connection);
                received(connection, Err(reason));
                continue;
            }
            // One that is read until nothing is left needs no news of that.
            if !unread.contains(&connection) && !self.unread.contains(&connection) {
                // Behind the last bytes the end is not told of again.
                let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
                self.read(connection, happened.intersects(ends), &mut turn, &mut received);
            }
        }
        turn.more |= !self.unread.is_empty();
        Ok(turn)
    }

    /// Reads a socket once. `ends`: there may be an end behind its bytes.
    fn read(
        &mut self,
        connection: ConnectionId,
        ends: bool,
        turn: &mut Turn,
        received: &mut impl FnMut(ConnectionId, Result<&[u8], DisconnectReason>),
    ) {
        let Some(socket) = self.places.get_mut(connection.place as usize).and_then(Option::as_mut) else {
            return;
        };
        if socket.generation != connection.generation {
            return;
        }
        match socket.stream.read(&mut self.buffer) {
            Ok(0) => {
                self.remove(connection);
                received(connection, Err(DisconnectReason::ClosedByChild));
            }
            Ok(length) => {
                turn.receives += 1;
                turn.received_bytes += length as u64;
                if ends || length == self.buffer.len() {
                    self.unread.push(connection);
                }
                let Some(session) = &mut socket.session else {
                    return received(connection, Ok(&self.buffer[..length]));
                };
                self.plain.clear();
                let outcome = session.receive(&self.buffer[..length], &mut self.plain);
                // An alert: nothing else comes of what a child says, so nothing can pile up.
                session.flush(&mut socket.pending);
                let end = match (outcome, self.flush(connection)) {
                    (Ok(Progress::Open), Ok(())) => None,
                    (Ok(Progress::Ended), _) => Some(DisconnectReason::ClosedByChild),
                    (Ok(Progress::Open), Err(reason)) => Some(reason),
                    (Err(error), _) => Some(error.into()),
                };
                if !self.plain.is_empty() {
                    received(connection, Ok(&self.plain));
                }
                if let Some(reason) = end {
                    self.close(connection);
                    received(connection, Err(reason));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => self.unread.push(connection),
            Err(error) => {
                self.remove(connection);
                received(connection, Err(error.into()));
            }
        }
    }

    /// Sends bytes, at once as far as the socket takes them.
    pub(super) fn send(&mut self, connection: ConnectionId, bytes: Vec<u8>) -> Result<(), DisconnectReason> {
        let Some(socket) = self.socket(connection) else { return Ok(()) };
        let queued = match &mut socket.session {
            Some(session) => session.send(&bytes, &mut socket.pending),
            None if socket.pending.is_empty() => {
                socket.pending = bytes;
                Ok(())
            }
            None => {
                socket.pending.extend_from_slice(&bytes);
                Ok(())
            }
        };
        let outcome = queued.map_err(DisconnectReason::from).and_then(|()| self.flush(connection));
        let limit = self.pending_limit;
        match (outcome, self.socket(connection)) {
            (Ok(()), Some(socket)) if socket.pending.len() > socket.link.unwrap_or(limit) => {
                let pending = socket.pending.len();
                self.remove(connection);
                Err(DisconnectReason::NotReading { pending })
            }
            (Err(reason), _) => {
                self.remove(connection);
                Err(reason)
            }
            (Ok(()), _) => Ok(()),
        }
    }

    /// From now on so many bytes may wait for a child that does not read.
    pub(super) fn limit_pending(&mut self, pending_limit: usize) {
        self.pending_limit = pending_limit;
    }

    /// Closes a connection; what the socket does not take at once is lost.
    pub(super) fn close(&mut self, connection: ConnectionId) {
        if let Some(Socket { session: Some(session), pending, .. }) = self.socket(connection) {
            session.close(pending);
            // It is a courtesy, to those who still listen.
            let _ = self.flush(connection);
        }
        self.remove(connection);
    }

    fn socket(&mut self, connection: ConnectionId) -> Option<&mut Socket> {
        let socket = self.places.get_mut(connection.place as usize)?.as_mut()?;
        (socket.generation == connection.generation).then_some(socket)
    }

    /// Sends what waits, and asks the set to tell when there is room for the rest.
    fn flush(&mut self, connection: ConnectionId) -> Result<(), DisconnectReason> {
        let mut sent = 0;
        let set = rustix::fd::AsFd::as_fd(&self.set);
        let Some(socket) = self.places.get_mut(connection.place as usize).and_then(Option::as_mut) else {
            return Ok(());
        };
        let outcome = loop {
            if sent == socket.pending.len() {
                break Ok(());
            }
            match socket.stream.write(&socket.pending[sent..]) {
                Ok(0) => break Err(io::Error::from(ErrorKind::WriteZero)),
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        // What a link has taken at once nobody has to know.
        if socket.link.is_some() && (socket.wants_write || sent < socket.pending.len()) {
            self.news_of_links.push(connection);
        }
        if sent == socket.pending.len() {
            socket.pending = Vec::new();
        } else {
            socket.pending.drain(..sent);
        }
        self.sent_bytes += sent as u64;
        outcome?;
        let wants_write = !socket.pending.is_empty();
        if wants_write != socket.wants_write {
            socket.wants_write = wants_write;
            let data = epoll::EventData::new_u64(connection.to_bits());
            epoll::modify(set, &socket.stream, data, flags(wants_write)).map_err(io::Error::from)?;
        }
        Ok(())
    }

    /// Forgets a socket; dropping it closes it and takes it out of the set.
    fn remove(&mut self, connection: ConnectionId) {
        if let Some(socket) = self.socket(connection) {
            let (is_link, is_encrypted) = (socket.link.is_some(), socket.session.is_some());
            self.links -= usize::from(is_link);
            self.encrypted -= u64::from(is_encrypted && !is_link);
            self.places[connection.place as usize] = None;
            self.free.push(connection.place);
        }
    }
}

fn flags(wants_write: bool) -> epoll::EventFlags {
    let read = epoll::EventFlags::IN | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
    if wants_write { read | epoll::EventFlags::OUT } else { read }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    };

    use super::*;

    fn pair() -> (TcpStream, OwnedFd) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let child = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
        let (ours, _) = listener.accept().expect("the other end");
        ours.set_nonblocking(true).expect("non-blocking");
        (child, ours.into())
    }

    /// Turns until something came, which loopback takes its time for.
    fn next(sockets: &mut Sockets) -> (ConnectionId, Result<Vec<u8>, String>) {
        loop {
            let mut news = None;
            sockets
                .turn(|connection, outcome| {
                    news =
                        Some((connection, outcome.map(<[u8]>::to_vec).map_err(|reason| reason.to_string())));
                })
                .expect("a turn");
            if let Some(news) = news {
                return news;
            }
        }
    }

    #[test]
    fn bytes_and_the_end_come_in_order_and_a_place_is_used_again_under_a_new_name() {
        let mut sockets = Sockets::new(1 << 20).expect("an epoll set");
        let (mut child, ours) = pair();
        let first = sockets.add(ours, None).expect("added");
        child.write_all(b"hello").expect("sent");
        assert_eq!(next(&mut sockets), (first, Ok(b"hello".to_vec())));
        drop(child);
        let (connection, outcome) = next(&mut sockets);
        assert_eq!((connection, outcome.is_err()), (first, true));
        let (_child, ours) = pair();
        let second = sockets.add(ours, None).expect("added");
        assert_eq!(second.place, first.place);
        assert_ne!(second, first);
        assert!(sockets.send(first, b"late".to_vec()).is_ok(), "news of a closed connection reach nobody");
    }

    #[test]
    fn all_that_waits_is_read_though_nothing_more_comes() {
        let mut sockets = Sockets::new(1 << 20).expect("an epoll set");
        let (mut child, ours) = pair();
        sockets.buffer = vec![0; 1000].into();
        let connection = sockets.add(ours, None).expect("added");
        child.write_all(&[b'x'; 2500]).expect("sent");
        child.shutdown(std::net::Shutdown::Write).expect("shut");
        let socket = sockets.socket(connection).expect("open");
        while rustix::io::ioctl_fionread(&socket.stream).expect("its bytes") < 2500 {}
        let (mut lengths, mut reasons) = (Vec::new(), Vec::new());
        let mut turn = Turn { more: true, ..Turn::default() };
        while turn.more || lengths.is_empty() {
            let heard = |_, outcome: Result<&[u8], DisconnectReason>| match outcome {
                Ok(bytes) => lengths.push(bytes.len()),
                Err(reason) => reasons.push(reason.to_string()),
            };
            turn = sockets.turn(heard).expect("a turn");
        }
        assert_eq!(
            (lengths, reasons),
            (vec![1000, 1000, 500], vec![DisconnectReason::ClosedByChild.to_string()])
        );
    }

    #[test]
    fn a_child_that_does_not_read_is_given_up_at_the_limit() {
        let mut sockets = Sockets::new(100_000).expect("an epoll set");
        let (_child, ours) = pair();
        let connection = sockets.add(ours, None).expect("added");
        let outcome = (0..10_000).find_map(|_| sockets.send(connection, vec![b'x'; 10_000]).err());
        assert!(matches!(outcome, Some(DisconnectReason::NotReading { pending }) if pending > 100_000));
    }

    #[test]
    fn what_waited_is_sent_when_the_child_reads_again() {
        let mut sockets = Sockets::new(64 << 20).expect("an epoll set");
        let (mut child, ours) = pair();
        let connection = sockets.add(ours, None).expect("added");
        let total = 8 << 20;
        sockets.send(connection, vec![b'x'; total]).expect("queued");
        let reader = std::thread::spawn(move || {
            let mut read = 0;
            let mut buffer = vec![0; 1 << 16];
            while read < total {
                read += child.read(&mut buffer).expect("readable");
            }
            read
        });
        while !reader.is_finished() {
            // Once it has read everything the child closes, which may be seen here before its thread has ended.
            sockets.turn(|_, _| {}).expect("a turn");
        }
        assert_eq!(reader.join().expect("no panic"), total);
    }

    type TlsChild = StreamOwned<ClientConnection, TcpStream>;

    /// A child and our end of its connection, the handshake done.
    fn encrypted_pair() -> (TlsChild, OwnedFd, Box<Session>) {
        let made = rcgen::generate_simple_self_signed(vec!["parent".to_owned()]).expect("made");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("an authority");
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], made.signing_key.into())
            .expect("a certificate");
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("parent").expect("a name");
        let mut client = ClientConnection::new(Arc::new(client), name).expect("a client");
        let (mut child, ours) = pair();
        let handshake = std::thread::spawn(move || {
            while client.is_handshaking() {
                client.complete_io(&mut child).expect("a handshake");
            }
            StreamOwned::new(client, child)
        });
        let mut server = ServerConnection::new(Arc::new(config)).expect("a server");
        let mut stream = TcpStream::from(ours);
        stream.set_nonblocking(false).expect("blocking");
        while server.is_handshaking() {
            server.complete_io(&mut stream).expect("a handshake");
        }
        stream.set_nonblocking(true).expect("non-blocking");
        let mut early = Vec::new();
        let session = Session::new(server, &mut early).expect("a session");
        (handshake.join().expect("a child"), stream.into(), Box::new(session))
    }

    #[test]
    fn an_encrypted_child_is_heard_and_answered_and_both_say_goodbye() {
        let mut sockets = Sockets::new(64 << 20).expect("an epoll set");
        let (mut child, ours, session) = encrypted_pair();
        let connection = sockets.add(ours, Some(session)).expect("added");
        assert_eq!(sockets.encrypted, 1);
        let total = 3 << 20;
        let text = vec![b'x'; total];
        let talk = std::thread::spawn(move || {
            child.write_all(&text).expect("sent");
            child.flush().expect("sent");
            let mut answer = vec![0; text.len()];
            child.read_exact(&mut answer).expect("an answer");
            assert!(answer == text);
            child.conn.send_close_notify();
            child.flush().expect("sent");
            let mut rest = Vec::new();
            assert_eq!(child.read_to_end(&mut rest).expect("a goodbye"), 0);
        });
        let mut heard = 0;
        while heard < total {
            let (_, outcome) = next(&mut sockets);
            heard += outcome.expect("bytes").len();
        }
        assert_eq!(heard, total);
        sockets.send(connection, vec![b'x'; total]).expect("queued");
        assert_eq!(next(&mut sockets), (connection, Err(DisconnectReason::ClosedByChild.to_string())));
        talk.join().expect("no panic");
        assert_eq!(sockets.encrypted, 0);
    }

    #[test]
    fn an_encrypted_child_that_is_let_go_is_told_so() {
        let mut sockets = Sockets::new(1 << 20).expect("an epoll set");
        let (mut child, ours, session) = encrypted_pair();
        let connection = sockets.add(ours, Some(session)).expect("added");
        sockets.send(connection, b"no".to_vec()).expect("queued");
        sockets.close(connection);
        let mut answer = Vec::new();
        child.read_to_end(&mut answer).expect("the end is no truncation");
        assert_eq!(answer, b"no");
    }
}
