use super::*;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::{TlsError, Trust};

/// A parent with a certificate of its own making, that says back what it hears until the child closes.
struct Echo {
    address: SocketAddr,
    authority: Authority,
    server: JoinHandle<io::Result<Vec<u8>>>,
}

/// A certificate that is its own authority, in a file.
struct Authority {
    directory: tempfile::TempDir,
    made: rcgen::CertifiedKey<rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let made = rcgen::generate_simple_self_signed(["parent.example".to_owned()]).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("authority.pem"), made.cert.pem()).expect("written");
        Authority { directory, made }
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }
}

impl Echo {
    fn start() -> Echo {
        let authority = Authority::new();
        let key = PrivatePkcs8KeyDer::from(authority.made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![authority.made.cert.der().clone()], key.into())
            .expect("a key that fits");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let server = std::thread::spawn(move || {
            let (socket, _) = listener.accept()?;
            let session = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(session, socket);
            let mut heard = Vec::new();
            let mut buffer = [0; 5000];
            loop {
                let count = match stream.read(&mut buffer) {
                    Ok(0) => return Ok(heard),
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(heard),
                    outcome => outcome?,
                };
                heard.extend_from_slice(&buffer[..count]);
                stream.write_all(&buffer[..count])?;
            }
        });
        Echo { address, authority, server }
    }

    /// What it heard, when the child is gone.
    fn heard(self) -> io::Result<Vec<u8>> {
        self.server.join().expect("no panic")
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(future)
}

async fn secure(echo: &Echo, tls: &Tls) -> io::Result<Transport> {
    Transport::secure(TcpStream::connect(echo.address).await?, tls).await
}

#[test]
fn encrypted_bytes_arrive_as_they_were_and_so_does_the_answer() {
    let echo = Echo::start();
    let tls = Tls::new("parent.example", Trust::Authorities(&echo.authority.file())).expect("an authority");
    let said: Vec<u8> = (0..300_000_u32).map(|number| (number * 7 / 8) as u8).collect();
    let answered = run(async {
        let mut transport = secure(&echo, &tls).await.expect("agreed");
        let (mut written, mut answered) = (0, Vec::new());
        let mut buffer = [0; 4096];
        while answered.len() < said.len() {
            if written < said.len() {
                written += transport.try_write(&said[written..]).expect("open").unwrap_or(0);
            }
            tokio::select! {
                ready = transport.readable() => ready.expect("open"),
                ready = transport.writable(), if transport.has_unsent() => {
                    ready.expect("open");
                    transport.flush().expect("open");
                }
            }
            loop {
                match transport.try_read(&mut buffer) {
                    Ok(count) => answered.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        answered
    });
    assert!(answered == said, "{} bytes of {} came back", answered.len(), said.len());
    assert!(echo.heard().expect("a quiet end") == said);
}

#[test]
fn a_request_is_sent_whole_and_its_reply_is_read() {
    let echo = Echo::start();
    let tls = Tls::new("127.0.0.1", Trust::Anyone).expect("an address");
    run(async {
        let mut transport = secure(&echo, &tls).await.expect("agreed");
        transport.write_all(b"STREAM key=1").await.expect("sent");
        let mut buffer = [0; 100];
        let count = transport.read(&mut buffer).await.expect("an answer");
        assert_eq!(&buffer[..count], b"STREAM key=1");
    });
}

#[test]
fn a_parent_that_is_not_trusted_hears_nothing() {
    for (name, is_known) in [("other.example", true), ("parent.example", false)] {
        let echo = Echo::start();
        let another = Authority::new();
        let authority = if is_known { &echo.authority } else { &another }.file();
        let tls = Tls::new(name, Trust::Authorities(&authority)).expect("an authority");
        let error = run(secure(&echo, &tls)).expect_err("not to be trusted");
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
        assert!(echo.heard().is_err());
    }
}

#[test]
fn what_cannot_be_trusted_is_said_at_the_start() {
    assert!(matches!(Tls::new("not a name", Trust::Anyone), Err(TlsError::Name(_))));
    let missing = PathBuf::from("/nonexistent/authorities.pem");
    assert!(matches!(Tls::new("a.b", Trust::Authorities(&missing)), Err(TlsError::Unreadable { .. })));
    let directory = tempfile::tempdir().expect("a directory");
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").expect("written");
    assert!(matches!(Tls::new("a.b", Trust::Authorities(&empty)), Err(TlsError::Empty { .. })));
}
