//! [`Parent::reload`]: the configuration is read again, and new connections are judged by it.
//!
//! All of it or nothing: what cannot be used is refused as a whole, and the terms in force stay. No connection ends by it. A
//! child that would not be let in any more stays until it leaves by itself, and is counted in the log.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::oneshot;

use super::terms::Terms;
use super::{Parent, StartError};
use crate::config::{Config, Diagnostic, Loaded, Setting, Severity, waits_for_restart};
use crate::shard::message::{Admission, Message, Question};

/// A shard answers within milliseconds, unless it stalls.
const SHARD_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// What came of a reload; the log says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Done {
        /// Connected children that would not be let in any more.
        not_permitted: usize,
    },
    Refused,
}

impl Parent {
    /// Takes over what was read, as far as that is possible without a restart. `started` are the settings that this parent
    /// was started with.
    pub async fn reload(&self, started: &[Setting], loaded: Result<Loaded, Vec<Diagnostic>>) -> Reload {
        let outcome = match loaded {
            Ok(loaded) => {
                say(&loaded.diagnostics);
                self.take_over(started, loaded).await.map_err(|error| tracing::error!("{error}"))
            }
            Err(diagnostics) => {
                say(&diagnostics);
                Err(())
            }
        };
        let metrics = &self.telemetry().reload;
        match outcome {
            Ok(not_permitted) => {
                metrics.last.store(self.clock.now(), Relaxed);
                metrics.reloads.add("done");
                tracing::info!("the configuration was read again and is in force for new connections");
                Reload::Done { not_permitted }
            }
            Err(()) => {
                metrics.reloads.add("refused");
                tracing::error!("the new configuration is refused as a whole; the one before stays in force");
                Reload::Refused
            }
        }
    }

    /// How many connected children the new terms do not permit.
    async fn take_over(&self, started: &[Setting], loaded: Loaded) -> Result<usize, ReloadError> {
        let before = Arc::clone(&self.terms.borrow());
        let terms = Arc::new(Terms::new(before.config.with_reloaded(loaded.config))?);
        let now = self.clock.now();
        if terms.is_expired(now) && before.tls.is_some() && !before.is_expired(now) {
            return Err(ReloadError::Expired);
        }
        terms.announce(now, self.telemetry());
        self.terms.send_replace(Arc::clone(&terms));
        self.effective.send_replace(terms.config.effective.clone());
        if terms.config.limits != before.config.limits {
            for inbox in &self.inboxes {
                // A shard that stalls is the watchdog's to tell of, one that ended is found by those who join it.
                let _ = tokio::time::timeout(
                    SHARD_ANSWERS_WITHIN,
                    inbox.send(Message::Limits(terms.config.limits.clone())),
                )
                .await;
            }
        }
        let waiting = waits_for_restart(started, &loaded.settings);
        if !waiting.is_empty() {
            tracing::warn!("changed, needs a restart: {}", waiting.join(", "));
        }
        let connected = self.admissions().await;
        let not_permitted = connected.iter().filter(|child| !permits(&terms.config, child)).count();
        if not_permitted > 0 {
            tracing::warn!(
                children = not_permitted,
                "{not_permitted} of {} connected children are not permitted any more; they keep their connections until \
                 they leave",
                connected.len()
            );
        }
        Ok(not_permitted)
    }

    /// Of all connected children, but for those of shards that do not answer in time.
    async fn admissions(&self) -> Vec<Admission> {
        let mut all = Vec::new();
        for inbox in &self.inboxes {
            let (answer, answered) = oneshot::channel();
            let asked = async {
                inbox.send(Message::Asked(Question::Admissions { answer })).await.ok()?;
                answered.await.ok()
            };
            let admissions = tokio::time::timeout(SHARD_ANSWERS_WITHIN, asked).await;
            all.extend(admissions.ok().flatten().unwrap_or_default());
        }
        all
    }
}

/// Why a configuration that can be read is not taken over.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Terms(#[from] StartError),
    #[error("the new TLS certificate has expired already, and the one in force has not")]
    Expired,
}

/// Whether a child could come in anew, for all that the configuration says.
fn permits(config: &Config, child: &Admission) -> bool {
    let key = child.key.0.hyphenated().to_string();
    let rights = config.web.allow.rights_of(child.peer.ip().into(), crate::config::Rights::STREAMING);
    rights.is_some_and(|rights| !rights.is_empty())
        && config
            .streaming_policy(&key, &child.machine_guid.hyphenated().to_string(), child.peer.ip())
            .is_ok()
}

fn say(diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        match diagnostic.severity {
            Severity::Error => tracing::error!("{}", diagnostic.without_severity()),
            Severity::Warning => tracing::warn!("{}", diagnostic.without_severity()),
            Severity::Note => {}
        }
    }
}
