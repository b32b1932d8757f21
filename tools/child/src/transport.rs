//! [`Transport`]: the bytes of one connection, plain or encrypted, without ever waiting in a read or a write.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use rustls::ClientConnection;
use tokio::net::TcpStream;

use crate::tls::Tls;

/// A socket, and the TLS session on it if there is one.
#[derive(Debug)]
pub(crate) struct Transport {
    stream: TcpStream,
    /// Apart, so that plain children pay for a pointer only.
    session: Option<Box<ClientConnection>>,
}

impl Transport {
    pub(crate) fn plain(stream: TcpStream) -> Transport {
        Transport { stream, session: None }
    }

    /// Greets the other side, which has to be whom `tls` trusts.
    pub(crate) async fn secure(stream: TcpStream, tls: &Tls) -> io::Result<Transport> {
        let mut session = Box::new(tls.session()?);
        while session.is_handshaking() {
            if session.wants_write() {
                stream.writable().await?;
                flush(&mut session, &stream)?;
                continue;
            }
            stream.readable().await?;
            match receive(&mut session, &stream) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(Transport { stream, session: Some(session) })
    }

    pub(crate) async fn readable(&self) -> io::Result<()> {
        self.stream.readable().await
    }

    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.stream.writable().await
    }

    /// What was taken, and is encrypted, but did not leave yet. [`flush`](Self::flush) sends it.
    pub(crate) fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.wants_write())
    }

    /// 0: the other side closed. `WouldBlock`: nothing has come.
    pub(crate) fn try_read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &mut self.session else { return self.stream.try_read(buffer) };
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => receive(session, &self.stream)?,
                // Closed without a farewell, as a process that is killed does.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                outcome => return outcome,
            };
        }
    }

    /// How many of `bytes` are taken; `None`: none can be now.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        let taken = match &mut self.session {
            None => self.stream.try_write(bytes),
            Some(session) => {
                flush(session, &self.stream)?;
                if session.wants_write() {
                    return Ok(None);
                }
                let taken = session.writer().write(bytes);
                flush(session, &self.stream)?;
                taken
            }
        };
        match taken {
            Ok(0) => Err(ErrorKind::WriteZero.into()),
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends what is encrypted, as far as the socket takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.session.as_mut().map_or(Ok(()), |session| flush(session, &self.stream))
    }

    /// Waits until all of `bytes` are sent.
    pub(crate) async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() || self.has_unsent() {
            self.writable().await?;
            if bytes.is_empty() {
                self.flush()?;
            } else if let Some(count) = self.try_write(bytes)? {
                bytes = &bytes[count..];
            }
        }
        Ok(())
    }

    /// Waits until something has come.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable().await?,
                outcome => return outcome,
            }
        }
    }
}

/// Takes what the socket has; 0: it has nothing any more.
fn receive(session: &mut ClientConnection, stream: &TcpStream) -> io::Result<usize> {
    let count = session.read_tls(&mut Socket(stream))?;
    if let Err(error) = session.process_new_packets() {
        // Tells the other side why, if it still listens.
        let _ = flush(session, stream);
        return Err(io::Error::new(ErrorKind::InvalidData, error));
    }
    Ok(count)
}

fn flush(session: &mut ClientConnection, stream: &TcpStream) -> io::Result<()> {
    while session.wants_write() {
        match session.write_tls(&mut Socket(stream)) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The socket as a session wants it: what cannot be done at once is `WouldBlock`.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
