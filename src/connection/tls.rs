//! TLS: [`Server`], what the parent shows and demands, and [`Session`], the bytes of one child, or of one parent of ours, after
//! the handshake.
//!
//! The handshake itself is the acceptor's, or the connector's. From then on a session is bytes in, bytes out, as everything below the
//! runtime: it has no socket and never waits, so a shard decrypts in the turn that read.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, CipherSuite, CommonState, Connection, ProtocolVersion, ServerConfig};

use super::certificate::{Certificate, authorities};
pub use super::certificate::{CertificateError, Role, Validity};
use crate::config::{Cipher, ClientCertificates, Demand, Tls, TlsVersion};

/// What a parent that speaks TLS shows, and what it demands.
#[derive(Clone, Debug)]
pub struct Server {
    config: Arc<ServerConfig>,
    /// Of the certificate and its chain.
    pub validity: Validity,
    /// For log lines: where the certificate was read.
    pub path: Box<Path>,
}

impl Server {
    /// Reads what the configuration names. `None`: no TLS is configured, and none of the files lies where it would be
    /// looked for.
    pub fn load(tls: &Tls, clients: &ClientCertificates) -> Result<Option<Self>, CertificateError> {
        let (key, certificate) = match (&tls.key, &tls.certificate) {
            (Some(key), Some(certificate)) => (key, certificate),
            (None, Some(_)) if tls.is_required => {
                return Err(CertificateError::Half { set: Role::Certificate, missing: Role::Key });
            }
            (Some(_), None) if tls.is_required => {
                return Err(CertificateError::Half { set: Role::Key, missing: Role::Certificate });
            }
            _ => return Ok(None),
        };
        // A path that cannot even be looked at is an error further down.
        let is_missing = |path: &Path| path.try_exists().is_ok_and(|exists| !exists);
        if !tls.is_required && (is_missing(key) || is_missing(certificate)) {
            if !(is_missing(key) && is_missing(certificate)) {
                tracing::warn!(
                    "of {} and {} only one is there: TLS is off",
                    key.display(),
                    certificate.display()
                );
            }
            return Ok(None);
        }
        let mut provider = rustls::crypto::ring::default_provider();
        provider.cipher_suites.retain(|suite| {
            suite.tls13().is_some() || tls.ciphers.iter().any(|cipher| suite.suite() == openssl(*cipher))
        });
        let certificate = Certificate::read(certificate, key, &provider)?;
        let provider = Arc::new(provider);
        let verifier: Arc<dyn ClientCertVerifier> = match (clients.demand, &clients.ca) {
            (Demand::Off, _) | (_, None) => Arc::new(NoClientAuth),
            (demand, Some(ca)) => {
                let builder = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(authorities(ca)?),
                    Arc::clone(&provider),
                );
                let builder =
                    if demand == Demand::Optional { builder.allow_unauthenticated() } else { builder };
                builder.build().expect("there is an authority, and no revocation list that could be wrong")
            }
        };
        let versions: &[_] = match tls.newest_version {
            TlsVersion::V1_2 => &[&TLS12],
            TlsVersion::V1_3 => &[&TLS13, &TLS12],
        };
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("each version has a cipher suite")
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key)));
        let path = certificate.path.into();
        Ok(Some(Self { config: Arc::new(config), validity: certificate.validity, path }))
    }

    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn openssl(cipher: Cipher) -> CipherSuite {
    match cipher {
        Cipher::EcdsaAes256Gcm => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        Cipher::EcdsaAes128Gcm => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        Cipher::EcdsaChaCha20 => CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        Cipher::RsaAes256Gcm => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        Cipher::RsaAes128Gcm => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        Cipher::RsaChaCha20 => CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

/// A session after the handshake, from either end.
pub struct Session(Connection);

/// Its keys are nobody's business.
impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Session")
    }
}

/// How things stand after bytes were received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Open,
    /// The other side has said goodbye; whatever it sends now is not looked at.
    Ended,
}

impl Session {
    /// Takes over a connection whose handshake is done. What it has decrypted already is appended to `plain`.
    pub fn new(connection: impl Into<Connection>, plain: &mut Vec<u8>) -> Result<Self, rustls::Error> {
        let mut connection = connection.into();
        // What waits to be sent is bounded where it waits: at the socket.
        connection.set_buffer_limit(None);
        let mut session = Self(connection);
        session.decrypt(plain)?;
        Ok(session)
    }

    /// Takes what came from the other side. All that is decrypted by it is appended to `plain`, so that nothing is left here
    /// that no socket would report; the start of a record waits for its end, 16 KiB at most.
    pub fn receive(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>) -> Result<Progress, rustls::Error> {
        while !bytes.is_empty() {
            // It takes some KiB at a time, none of them behind the goodbye.
            let taken = self.0.read_tls(&mut bytes).map_err(unexpected)?;
            if self.decrypt(plain)? == Progress::Ended || taken == 0 {
                return Ok(Progress::Ended);
            }
        }
        Ok(Progress::Open)
    }

    /// Encrypts bytes for the other side, and appends them to `out` with whatever else the session has to say.
    pub fn send(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        self.0.writer().write_all(plain).map_err(unexpected)?;
        self.flush(out);
        Ok(())
    }

    /// Appends to `out` what the session has to say for itself: tickets, keys, alerts.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        // A vector takes everything.
        while self.0.wants_write() && self.0.write_tls(out).is_ok() {}
    }

    /// Says goodbye.
    pub fn close(&mut self, out: &mut Vec<u8>) {
        self.0.send_close_notify();
        self.flush(out);
    }

    fn decrypt(&mut self, plain: &mut Vec<u8>) -> Result<Progress, rustls::Error> {
        let state = self.0.process_new_packets()?;
        let length = state.plaintext_bytes_to_read();
        self.0.reader().take(length as u64).read_to_end(plain).map_err(unexpected)?;
        Ok(if state.peer_has_closed() { Progress::Ended } else { Progress::Open })
    }
}

/// Reading from and writing to memory.
fn unexpected(error: io::Error) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// The version of a session, as a label.
pub fn version(connection: &CommonState) -> &'static str {
    match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        _ => "other",
    }
}

/// Why a handshake failed: the value of a counter's label, and what an operator can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeFailure {
    pub label: &'static str,
    pub advice: &'static str,
}

impl HandshakeFailure {
    pub const TIMEOUT: Self = Self {
        label: "timeout",
        advice: "the client does not go on with it: look after the network, or at what the client is",
    };
    const DISTRUST: Self = Self {
        label: "certificate_not_trusted",
        advice: "the client does not accept our certificate: it needs the certificate of the authority that signed it \
                 ('CAfile' in a child's stream.conf), and our name must be in ours; see its log",
    };
    const NO_CERTIFICATE: Self = Self {
        label: "no_client_certificate",
        advice: "'[tls] client_certificates' in mainstem.toml is \"required\", and the client shows none",
    };
    const BAD_CERTIFICATE: Self = Self {
        label: "client_certificate_refused",
        advice: "the client's certificate is not signed by '[tls] client_ca' of mainstem.toml, or has expired",
    };
    const INCOMPATIBLE: Self = Self {
        label: "incompatible",
        advice: "both sides have no version or cipher suite in common: TLS 1.2 is the oldest here; see 'tls version' and \
                 'tls ciphers' in netdata.conf",
    };
    const ALERT: Self =
        Self { label: "alert", advice: "the client gave up, for the reason it told; see its log" };
    const CLOSED: Self =
        Self { label: "closed", advice: "the client went away in the middle of it; its log may say why" };
    const SOCKET: Self = Self { label: "socket_error", advice: "look after the network" };
    const PROTOCOL: Self =
        Self { label: "protocol_error", advice: "what came is no TLS, or was changed on its way" };

    /// Of the error that ended the handshake.
    pub fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Self::CLOSED,
                _ => Self::SOCKET,
            };
        };
        match error {
            rustls::Error::AlertReceived(
                AlertDescription::UnknownCA
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown,
            ) => Self::DISTRUST,
            rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity,
            )
            | rustls::Error::PeerIncompatible(_) => Self::INCOMPATIBLE,
            rustls::Error::AlertReceived(_) => Self::ALERT,
            rustls::Error::NoCertificatesPresented => Self::NO_CERTIFICATE,
            rustls::Error::InvalidCertificate(_) => Self::BAD_CERTIFICATE,
            _ => Self::PROTOCOL,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};

    use super::super::certificate::tests::written;
    use super::*;

    /// Options that name a certificate of `parent`, and that certificate.
    fn options(directory: &Path) -> (Tls, RootCertStore) {
        let made = rcgen::generate_simple_self_signed(vec!["parent".to_owned()]).expect("made");
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).expect("an authority");
        let tls = Tls {
            key: Some(written(directory, "key.pem", &made.signing_key.serialize_pem())),
            certificate: Some(written(directory, "cert.pem", &made.cert.pem())),
            is_required: true,
            newest_version: TlsVersion::V1_3,
            ciphers: Cipher::all(),
        };
        (tls, roots)
    }

    const OFF: ClientCertificates = ClientCertificates { ca: None, demand: Demand::Off };

    fn client(roots: RootCertStore) -> ClientConnection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("parent").expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a client")
    }

    /// A client and our end, the handshake done; with it came what the client said at once.
    fn established(
        server: &Server,
        mut client: ClientConnection,
        said: &[u8],
    ) -> (ClientConnection, Session, Vec<u8>) {
        let mut ours = ServerConnection::new(server.config()).expect("our end");
        client.writer().write_all(said).expect("buffered");
        while client.is_handshaking() || ours.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("written");
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                ours.read_tls(&mut rest).expect("read");
                ours.process_new_packets().expect("good");
            }
            let mut bytes = Vec::new();
            while ours.wants_write() {
                ours.write_tls(&mut bytes).expect("written");
            }
            hear(&mut client, &bytes);
        }
        let mut early = Vec::new();
        let session = Session::new(ours, &mut early).expect("a session");
        (client, session, early)
    }

    /// What a client makes of encrypted bytes.
    fn hear(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        while !bytes.is_empty() {
            client.read_tls(&mut bytes).expect("read");
            let length = client.process_new_packets().expect("good").plaintext_bytes_to_read();
            client.reader().take(length as u64).read_to_end(&mut plain).expect("there");
        }
        plain
    }

    fn encrypted(client: &mut ClientConnection, plain: &[u8]) -> Vec<u8> {
        client.set_buffer_limit(None);
        client.writer().write_all(plain).expect("buffered");
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("written");
        }
        bytes
    }

    #[test]
    fn whatever_comes_in_is_out_at_once_however_it_is_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let (tls, roots) = options(directory.path());
        let text: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
            let tls = Tls { newest_version: version, ..tls.clone() };
            let server = Server::load(&tls, &OFF).expect("good").expect("configured");
            for length in [1, 7, 5000, 16_500, 1 << 20] {
                let (mut client, mut session, mut plain) =
                    established(&server, client(roots.clone()), b"STREAM ");
                let bytes = encrypted(&mut client, &text);
                for chunk in bytes.chunks(length) {
                    assert_eq!(session.receive(chunk, &mut plain), Ok(Progress::Open));
                }
                assert_eq!(plain.len(), 7 + text.len(), "cut to {length}");
                assert!(plain.starts_with(b"STREAM ") && plain.ends_with(&text));

                let mut out = Vec::new();
                session.send(&text, &mut out).expect("encrypted");
                assert_eq!(hear(&mut client, &out), text);
            }
        }
    }

    #[test]
    fn a_goodbye_ends_what_is_heard_and_what_came_before_it_counts() {
        let directory = tempfile::tempdir().expect("a directory");
        let (tls, roots) = options(directory.path());
        let server = Server::load(&tls, &OFF).expect("good").expect("configured");
        let (mut client, mut session, mut plain) = established(&server, client(roots), b"");
        let mut bytes = encrypted(&mut client, b"the last line\n");
        client.send_close_notify();
        client.write_tls(&mut bytes).expect("written");
        bytes.extend_from_slice(b"and what is no TLS");
        assert_eq!(session.receive(&bytes, &mut plain), Ok(Progress::Ended));
        assert_eq!(plain, b"the last line\n");
        assert_eq!(session.receive(b"more", &mut plain), Ok(Progress::Ended));
        let mut out = Vec::new();
        session.close(&mut out);
        let mut rest = &out[..];
        client.read_tls(&mut rest).expect("read");
        assert!(client.process_new_packets().expect("good").peer_has_closed());
    }

    #[test]
    fn damage_is_an_error_and_an_alert() {
        let directory = tempfile::tempdir().expect("a directory");
        let (tls, roots) = options(directory.path());
        let server = Server::load(&tls, &OFF).expect("good").expect("configured");
        let (mut client, mut session, mut plain) = established(&server, client(roots), b"");
        let mut bytes = encrypted(&mut client, b"BEGIN");
        *bytes.last_mut().expect("bytes") ^= 1;
        assert!(session.receive(&bytes, &mut plain).is_err());
        assert!(plain.is_empty());
        let mut out = Vec::new();
        session.flush(&mut out);
        assert!(!out.is_empty(), "the client is told");
    }

    #[test]
    fn files_that_are_not_named_need_not_be_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let (named, _) = options(directory.path());
        let unnamed = Tls { is_required: false, ..named.clone() };
        assert!(Server::load(&unnamed, &OFF).expect("good").is_some());
        std::fs::remove_file(directory.path().join("key.pem")).expect("removed");
        assert!(Server::load(&unnamed, &OFF).expect("off").is_none());
        assert!(matches!(Server::load(&named, &OFF), Err(CertificateError::Unreadable { .. })));
        let half = Tls { key: None, ..named };
        let error = Server::load(&half, &OFF).map(|_| ()).expect_err("half").to_string();
        assert!(error.starts_with("'[web] ssl certificate' in netdata.conf is set"), "{error}");
        let off = Tls { key: None, certificate: None, is_required: false, ..half };
        assert!(Server::load(&off, &OFF).expect("off").is_none());
    }

    #[test]
    fn only_what_is_listed_is_spoken() {
        let directory = tempfile::tempdir().expect("a directory");
        let (tls, roots) = options(directory.path());
        let listed = Tls { newest_version: TlsVersion::V1_2, ciphers: vec![Cipher::EcdsaChaCha20], ..tls };
        let server = Server::load(&listed, &OFF).expect("good").expect("configured");
        let (client, session, _) = established(&server, client(roots), b"");
        let suite = client.negotiated_cipher_suite().expect("one").suite();
        assert_eq!(suite, CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
        assert_eq!(version(&session.0), "1.2");
    }

    #[test]
    fn failures_have_a_label_each() {
        let of = |error: rustls::Error| {
            HandshakeFailure::of(&io::Error::new(io::ErrorKind::InvalidData, error)).label
        };
        assert_eq!(of(rustls::Error::AlertReceived(AlertDescription::UnknownCA)), "certificate_not_trusted");
        assert_eq!(of(rustls::Error::AlertReceived(AlertDescription::InternalError)), "alert");
        assert_eq!(of(rustls::Error::NoCertificatesPresented), "no_client_certificate");
        assert_eq!(of(rustls::CertificateError::Expired.into()), "client_certificate_refused");
        assert_eq!(of(rustls::PeerIncompatible::NoCipherSuitesInCommon.into()), "incompatible");
        assert_eq!(of(rustls::Error::DecryptError), "protocol_error");
        assert_eq!(HandshakeFailure::of(&io::ErrorKind::UnexpectedEof.into()).label, "closed");
        assert_eq!(HandshakeFailure::of(&io::ErrorKind::ConnectionReset.into()).label, "socket_error");
    }
}
