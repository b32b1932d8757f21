//! Trust in one certificate, whatever names it has: that of the parent whose configuration we have read.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::connection::trust;

/// A client that talks to whoever has the key of the first certificate in `file`.
pub(super) fn client(file: &Path) -> anyhow::Result<Arc<ClientConfig>> {
    let certificate = CertificateDer::from_pem_file(file)
        .with_context(|| format!("the parent's certificate {}", file.display()))?;
    Ok(trust::client_of_only(certificate)?)
}
