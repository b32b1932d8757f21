//! [`Transport`]: a connection with or without TLS, on its way from the acceptor to its owner.
//!
//! A shard gets a socket and a session. The query shard gets the TLS stream whole: hyper's way to end a connection, to
//! write half an answer and to wait for the rest is all in tokio-rustls, which has no door for a session made elsewhere.
//! Only the socket within belongs to one runtime and has to change it, so it stands in a [`Movable`].

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::connection::tls::Session;

/// A connection, as long as one runtime has it.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<Movable>>),
}

/// A connection between two runtimes.
#[derive(Debug)]
pub(super) struct InTransit {
    /// Non-blocking.
    socket: std::net::TcpStream,
    /// Without its socket.
    tls: Option<Box<TlsStream<Movable>>>,
}

/// The socket of a TLS stream, unless that is in transit.
#[derive(Debug)]
pub(super) struct Movable(Option<TcpStream>);

impl Movable {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn take(&mut self) -> io::Result<std::net::TcpStream> {
        self.0.take().ok_or(io::ErrorKind::NotConnected)?.into_std()
    }
}

impl Transport {
    /// Takes the connection out of its runtime.
    pub(super) fn depart(self) -> io::Result<InTransit> {
        match self {
            Self::Plain(stream) => Ok(InTransit { socket: stream.into_std()?, tls: None }),
            Self::Tls(mut stream) => Ok(InTransit { socket: stream.get_mut().0.take()?, tls: Some(stream) }),
        }
    }

    /// The socket and the session; what this has decrypted already is appended to `early`.
    pub(super) fn into_parts(self, early: &mut Vec<u8>) -> io::Result<(OwnedFd, Option<Box<Session>>)> {
        let InTransit { socket, tls } = self.depart()?;
        let session = match tls {
            None => None,
            Some(stream) => {
                let (_, connection) = stream.into_inner();
                Some(Box::new(Session::new(connection, early).map_err(io::Error::other)?))
            }
        };
        Ok((socket.into(), session))
    }

    /// The value of a counter's label.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Plain(_) => "plain",
            Self::Tls(_) => "tls",
        }
    }

    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(stream) => Some(stream),
            Self::Tls(stream) => stream.get_ref().0.0.as_ref(),
        }
    }

    /// Small writes go out at once.
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.socket().map_or(Ok(()), |socket| socket.set_nodelay(true))
    }
}

impl InTransit {
    /// Gives the connection to the runtime of this thread.
    pub(super) fn arrive(self) -> io::Result<Transport> {
        let socket = TcpStream::from_std(self.socket)?;
        Ok(match self.tls {
            None => Transport::Plain(socket),
            Some(mut stream) => {
                stream.get_mut().0.0 = Some(socket);
                Transport::Tls(stream)
            }
        })
    }
}

impl AsyncRead for Movable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.socket()?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Movable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }
}
