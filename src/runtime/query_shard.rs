//! The query shard: HTTP on a tokio-uring thread.
//!
//! Sockets are tokio's, served by hyper; pages of sealed files will be read by the ring. One rule comes with that: a
//! task that stays runnable starves the ring, so long work yields with [`breathe`], never with `yield_now`.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, watch};
use tokio::time::Sleep;

use super::acceptor::Visit;
use super::transport::Transport;
use crate::catalog::HostNews;
use crate::web::Api;

/// How long requests that are being answered may go on when the parent stops.
const GRACE: Duration = Duration::from_secs(2);
/// A request's head: as much as Netdata children may send, and no browser does.
const HEAD_BYTES: usize = 64 << 10;

/// What the query shard listens to.
#[derive(Debug)]
pub(super) struct QueryShard {
    pub(super) visits: mpsc::Receiver<Visit>,
    pub(super) published: mpsc::Receiver<HostNews>,
    pub(super) stop: watch::Receiver<bool>,
    /// How long a connection may be silent before its next request; `None`: for ever.
    pub(super) header_timeout: Option<Duration>,
    /// How long a client may take none of what is written to it; `None`: for ever.
    pub(super) write_timeout: Option<Duration>,
}

impl QueryShard {
    /// Starts the thread; returns when its runtime turns.
    pub(super) fn start(
        self,
        api: impl FnOnce() -> Api + Send + 'static,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("query".into()).spawn(move || {
            tokio_uring::start(async move {
                // The starter waits for this one message.
                let _ = ready.send(());
                self.run(Rc::new(api())).await;
            });
        })?;
        match is_ready.recv() {
            Ok(()) => Ok(thread),
            Err(_) => Err(io::Error::other("the query shard's runtime did not start")),
        }
    }

    async fn run(mut self, api: Rc<Api>) {
        let mut stopped = self.stop.clone();
        loop {
            tokio::select! {
                visit = self.visits.recv() => match visit {
                    Some(visit) => self.serve(visit, &api),
                    None => break,
                },
                Some(news) = self.published.recv() => api.hear(news),
                _ = stopped.changed() => break,
            }
        }
        let deadline = tokio::time::Instant::now() + GRACE;
        while api.visitors() > 0 && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn serve(&self, visit: Visit, api: &Rc<Api>) {
        let Visit { transport, client, head } = visit;
        let peer = client.peer;
        let stream = match transport.arrive() {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%peer, %error, "a connection cannot be watched");
                return;
            }
        };
        // Answers are written whole or in large pieces: Nagle's algorithm would only delay their ends.
        let _ = stream.set_nodelay();
        let io = TokioIo::new(Rewound { head, read: 0, stream, patience: self.write_timeout, waits: None });
        let visitor = api.enter();
        let api = Rc::clone(api);
        let mut stop = self.stop.clone();
        let header_timeout = self.header_timeout;
        tokio_uring::spawn(async move {
            let service = service_fn(|request: http::Request<Incoming>| {
                let api = Rc::clone(&api);
                async move { Ok::<_, Infallible>(api.handle(request, client).await) }
            });
            let mut http = http1::Builder::new();
            http.title_case_headers(true)
                .max_buf_size(HEAD_BYTES)
                .timer(TokioTimer::new())
                .header_read_timeout(header_timeout);
            let connection = http.serve_connection(io, service);
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                _ = stop.changed() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "an HTTP connection ended early");
            }
            drop(visitor);
        });
    }
}

/// Lets the ring and other requests have their turn.
pub(crate) async fn breathe() {
    tokio_uring::no_op().await.unwrap_or_default();
}

/// A stream whose first bytes were read already, and whose other end has to go on reading.
#[derive(Debug)]
struct Rewound {
    head: Vec<u8>,
    read: usize,
    stream: Transport,
    patience: Option<Duration>,
    /// Ends when the other end has taken nothing for too long; `None` while it takes what is written.
    waits: Option<Pin<Box<Sleep>>>,
}

impl Rewound {
    /// What became of a write: one that has waited for too long is an error, as what is held for it would be held for ever.
    fn patiently<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waits = None;
            return written;
        }
        let Some(patience) = self.patience else { return Poll::Pending };
        let waits = self.waits.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match waits.as_mut().poll(context) {
            Poll::Ready(()) => {
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read < self.head.len() {
            let length = buffer.remaining().min(self.head.len() - self.read);
            buffer.put_slice(&self.head[self.read..self.read + length]);
            self.read += length;
            if self.read == self.head.len() {
                self.head = Vec::new();
                self.read = 0;
            }
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.patiently(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.patiently(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.patiently(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
