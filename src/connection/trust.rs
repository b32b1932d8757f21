//! [`Verifier`]: whom we believe where we are the client: parents that hosts are sent to, and, for `mainstem nodes`, our own.
//!
//! ```text
//! skipped                              whoever has the key of the certificate that it shows
//! the certificate itself is named      whoever has its key, while it is good, whatever its names
//! its authority is named, or system's  if its names have the destination's, while it is good
//! it is the only one (our own parent)  whoever has its key
//! ```
//!
//! The second row is what `openssl req -x509` makes of a parent that has no authority: a certificate that signed itself.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
};

use super::certificate::Validity;
use crate::config::Trust;

/// Why there is nobody to believe.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error(
        "{named} has no certificate that can be used{problems}; see '{option}' of [stream] in stream.conf"
    )]
    Nobody { named: String, option: &'static str, problems: String },
    #[error("the authorities cannot be used: {0}")]
    Unusable(String),
}

/// What a handshake with a parent needs. Reads files.
pub fn client(trust: &Trust) -> Result<Arc<ClientConfig>, TrustError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = if trust.skips_verification {
        Verifier::anybody(&provider)
    } else {
        Verifier::load(trust, &provider)?
    };
    client_of(verifier).map_err(|error| TrustError::Unusable(error.to_string()))
}

/// What a handshake needs with whoever has the key of this certificate.
pub fn client_of_only(certificate: CertificateDer<'static>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    client_of(Verifier { believed: Believed::Only(certificate), provider })
}

fn client_of(verifier: Verifier) -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Decides about the certificate that the other side shows. That it has the key of it is verified in any case.
#[derive(Debug)]
pub struct Verifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Believed {
    Anybody,
    Only(CertificateDer<'static>),
    Authorities {
        authorities: Arc<WebPkiServerVerifier>,
        /// What `CAfile` and `CApath` hold.
        named: Vec<CertificateDer<'static>>,
    },
}

impl Verifier {
    /// Takes every certificate.
    pub fn anybody(provider: &Arc<CryptoProvider>) -> Self {
        Self { believed: Believed::Anybody, provider: Arc::clone(provider) }
    }

    fn load(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Self, TrustError> {
        let Trust { ca_file, ca_path, .. } = trust;
        let is_named = ca_file.is_some() || ca_path.is_some();
        let found = if is_named {
            rustls_native_certs::load_certs_from_paths(ca_file.as_deref(), ca_path.as_deref())
        } else {
            rustls_native_certs::load_native_certs()
        };
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs.iter().cloned());
        if roots.is_empty() {
            let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
            let paths: Vec<String> = path(ca_file).into_iter().chain(path(ca_path)).collect();
            return Err(TrustError::Nobody {
                named: if is_named { paths.join(" and ") } else { "this system".to_owned() },
                option: if ca_file.is_some() || !is_named { "CAfile" } else { "CApath" },
                problems: found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default(),
            });
        }
        let authorities = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| TrustError::Unusable(error.to_string()))?;
        let named = if is_named { found.certs } else { Vec::new() };
        Ok(Self { believed: Believed::Authorities { authorities, named }, provider: Arc::clone(provider) })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (authorities, named) = match &self.believed {
            Believed::Anybody => return Ok(ServerCertVerified::assertion()),
            Believed::Only(certificate) if shown == certificate => {
                return Ok(ServerCertVerified::assertion());
            }
            Believed::Only(_) => return Err(CertificateError::ApplicationVerificationFailure.into()),
            Believed::Authorities { authorities, named } => (authorities, named),
        };
        if named.iter().any(|named| named == shown) {
            let validity =
                Validity::of(shown).ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
            let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            return if now < validity.first {
                Err(CertificateError::NotValidYet.into())
            } else if now > validity.last {
                Err(CertificateError::Expired.into())
            } else {
                Ok(ServerCertVerified::assertion())
            };
        }
        authorities.verify_server_cert(shown, intermediates, name, ocsp_response, now)
    }

    // That the other side has the certificate's key.

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Why a handshake with a parent failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// We do not believe it.
    Certificate(String),
    /// Anything else: what happened, and what can be done about it.
    Handshake(String),
}

impl Refused {
    /// Of the error that ended the handshake.
    pub fn of(error: &io::Error) -> Self {
        const NO_TLS: &str = "a parent without a certificate, or something else, is there: remove ':SSL' from the \
                              destination where the network is trusted, or give the parent a certificate";
        let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) else {
            return Self::Handshake(match error.kind() {
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                    format!("it closed the connection; {NO_TLS}")
                }
                _ => error.to_string(),
            });
        };
        match cause {
            Error::InvalidCertificate(_) => Self::Certificate(cause.to_string()),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::Handshake(format!("its answer is no TLS; {NO_TLS}")),
            _ => Self::Handshake(cause.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::ServerConnection;

    use super::super::certificate::tests::written;
    use super::super::tls::Server;
    use super::*;
    use crate::config::{Cipher, ClientCertificates, Demand, Tls, TlsVersion};

    /// What a client of this trust says to a parent with this certificate.
    fn shake(trust: &Trust, tls: &Tls, name: &'static str) -> Result<(), Error> {
        let clients = ClientCertificates { ca: None, demand: Demand::Off };
        let server = Server::load(tls, &clients).expect("good").expect("configured");
        let mut server = ServerConnection::new(server.config()).expect("a server");
        let name = ServerName::try_from(name).expect("a name");
        let mut client = rustls::ClientConnection::new(client(trust).expect("somebody to believe"), name)
            .expect("a client");
        while client.is_handshaking() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).expect("written");
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                server.read_tls(&mut rest).expect("read");
                server.process_new_packets().expect("the client says nothing wrong");
            }
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).expect("written");
            }
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("read");
                client.process_new_packets()?;
            }
        }
        Ok(())
    }

    /// A parent's certificate that signed itself for `parent`, good until the end of that year.
    fn parent(directory: &std::path::Path, file: &str, last_year: i32) -> Tls {
        let mut params = rcgen::CertificateParams::new(vec!["parent".to_owned()]).expect("a name");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.not_before = rcgen::date_time_ymd(2015, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        let key = rcgen::KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("signed");
        Tls {
            key: Some(written(directory, &format!("{file}-key.pem"), &key.serialize_pem())),
            certificate: Some(written(directory, &format!("{file}.pem"), &certificate.pem())),
            is_required: true,
            newest_version: TlsVersion::V1_3,
            ciphers: Cipher::all(),
        }
    }

    #[test]
    fn a_certificate_that_is_named_is_believed_while_it_is_good_and_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let (good, other) = (parent(directory.path(), "good", 2049), parent(directory.path(), "other", 2049));
        let old = parent(directory.path(), "old", 2016);
        let named = |tls: &Tls| Trust { ca_file: tls.certificate.clone(), ..Trust::default() };
        assert_eq!(shake(&named(&good), &good, "parent"), Ok(()));
        assert_eq!(shake(&named(&good), &good, "elsewhere"), Ok(()), "it is itself whatever it is called");
        assert!(matches!(shake(&named(&other), &good, "parent"), Err(Error::InvalidCertificate(_))));
        assert_eq!(shake(&named(&old), &old, "parent"), Err(CertificateError::Expired.into()));
        let anybody = Trust { skips_verification: true, ..Trust::default() };
        assert_eq!(shake(&anybody, &old, "elsewhere"), Ok(()));
    }

    #[test]
    fn files_without_certificates_are_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let empty = written(directory.path(), "empty.pem", "nothing");
        let nobody = Trust { ca_file: Some(empty), ..Trust::default() };
        let error = client(&nobody).expect_err("nobody").to_string();
        assert!(error.contains("empty.pem has no certificate") && error.contains("'CAfile'"), "{error}");
        let nobody = Trust { ca_path: Some(directory.path().join("missing")), ..Trust::default() };
        let error = client(&nobody).expect_err("nobody").to_string();
        assert!(error.contains("missing has no certificate") && error.contains("'CApath'"), "{error}");
    }
}
