//! [`Terms`]: by what new connections are judged. A reload replaces them as a whole; connections keep those they came
//! under.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use jiff::Timestamp;
use tokio::sync::watch;

use super::StartError;
use crate::config::{Config, PortTls, Severity};
use crate::connection::tls::Server;
use crate::telemetry::Telemetry;

/// How long before its end a certificate is worth a warning.
const EXPIRES_SOON_S: i64 = 14 * 86_400;

#[derive(Debug)]
pub(super) struct Terms {
    pub(super) config: Config,
    /// Whether TLS is spoken, and as whom.
    pub(super) tls: Option<Server>,
}

/// The terms in force.
pub(super) type InForce = watch::Receiver<Arc<Terms>>;

impl Terms {
    /// Reads what the configuration names. A parent that was told to encrypt does not go on without.
    pub(super) fn new(config: Config) -> Result<Self, StartError> {
        let tls = Server::load(&config.web.tls, &config.client_certificates)?;
        let forced = config.web.bind.iter().find(|item| item.tls == PortTls::Force);
        if let (None, Some(item)) = (&tls, forced) {
            return Err(StartError::NothingToEncryptWith { address: item.address.to_string() });
        }
        Ok(Self { config, tls })
    }

    /// Whether no client that looks at it accepts the certificate.
    pub(super) fn is_expired(&self, now_s: i64) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.validity.last < now_s)
    }

    /// Says from when to when the certificate is good, and tells of it in `/metrics`.
    pub(super) fn announce(&self, now_s: i64, telemetry: &Telemetry) {
        telemetry.tls.expires.store(self.tls.as_ref().map_or(0, |tls| tls.validity.last), Relaxed);
        match self.remark(now_s) {
            None => {}
            Some((Severity::Note, text)) => tracing::info!("{text}"),
            Some((Severity::Warning, text)) => tracing::warn!("{text}"),
            Some((Severity::Error, text)) => tracing::error!("{text}"),
        }
    }

    /// What there is to say of the certificate's time.
    pub(super) fn remark(&self, now_s: i64) -> Option<(Severity, String)> {
        let tls = self.tls.as_ref()?;
        let path = tls.path.display();
        let time = |second| Timestamp::from_second(second).unwrap_or_default();
        let (first, last) = (time(tls.validity.first), time(tls.validity.last));
        Some(if tls.validity.last < now_s {
            let text = format!(
                "the TLS certificate {path} expired at {last}: only clients that do not verify it connect with TLS; write \
                 a new one, then restart, or send SIGHUP to a running parent"
            );
            (Severity::Error, text)
        } else if tls.validity.first > now_s {
            let text = format!(
                "the TLS certificate {path} is not good before {first}: until then only clients that do not verify it \
                 connect with TLS; look after the clock of this machine, or write another"
            );
            (Severity::Error, text)
        } else if tls.validity.last - now_s < EXPIRES_SOON_S {
            (
                Severity::Warning,
                format!("the TLS certificate {path} expires at {last}; write a new one and send SIGHUP"),
            )
        } else {
            (Severity::Note, format!("the TLS certificate {path} is good until {last}"))
        })
    }
}
