//! [`Tls`]: whom a child believes to be its parent.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstem::connection::trust::Verifier;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, Error, RootCertStore};

/// Which certificates are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust<'a> {
    /// Those that an authority in this PEM file has signed, and that are the parent's.
    Authorities(&'a Path),
    /// All, as `ssl skip certificate verification` has it.
    Anyone,
}

/// How children speak TLS; one for all of them.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("'{0}' is neither a host name nor an address")]
    Name(String),
    #[error("cannot read certificates from {}: {error}", .file.display())]
    Unreadable { file: PathBuf, error: pem::Error },
    #[error("there is no certificate in {}", .file.display())]
    Empty { file: PathBuf },
    #[error("a certificate in {} is not one of an authority: {error}", .file.display())]
    Unusable { file: PathBuf, error: Error },
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] Error),
}

impl Tls {
    /// `name` is what the parent's certificate has to be for: a host name or an address.
    pub fn new(name: &str, trust: Trust<'_>) -> Result<Tls, TlsError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match trust {
            Trust::Authorities(file) => builder.with_root_certificates(authorities(file)?),
            Trust::Anyone => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::anybody(&provider)))
            }
        };
        let mut config = builder.with_no_client_auth();
        // Real children do not resume sessions, and thousands of hosts do not share one.
        config.resumption = Resumption::disabled();
        Ok(Tls { config: Arc::new(config), name })
    }

    pub(crate) fn session(&self) -> io::Result<ClientConnection> {
        ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(io::Error::other)
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, TlsError> {
    let unreadable = |error| TlsError::Unreadable { file: file.to_owned(), error };
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
        let unusable = |error| TlsError::Unusable { file: file.to_owned(), error };
        store.add(certificate.map_err(unreadable)?).map_err(unusable)?;
    }
    if store.is_empty() { Err(TlsError::Empty { file: file.to_owned() }) } else { Ok(store) }
}
