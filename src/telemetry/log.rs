//! Where log lines go: to standard error or a file, as text or as JSON; the access log apart.
//!
//! `RUST_LOG` decides what is logged when it is set (`RUST_LOG=debug`), else everything from `info` on.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::{LogFormat, LogTarget, Logs};

/// The target of access log events.
const ACCESS: &str = "mainstem::access";

/// A log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "the log file {} cannot be opened: {cause}; make its directory writable for the user that runs mainstem, or set \
     '[logs]' in netdata.conf", .path.display()
)]
pub struct LogError {
    path: PathBuf,
    cause: io::Error,
}

/// Starts logging for the whole process.
pub fn start(logs: &Logs) -> Result<(), LogError> {
    let levels = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let is_access = |wanted: bool| FilterFn::new(move |event| (event.target() == ACCESS) == wanted);
    let daemon =
        layer(&logs.daemon, logs.format)?.map(|layer| layer.with_filter(levels.and(is_access(false))));
    let access = layer(&logs.access, logs.format)?.map(|layer| layer.with_filter(is_access(true)));
    // A second start, as in tests, keeps the first one's logs.
    let _ = Registry::default().with(daemon).with(access).try_init();
    Ok(())
}

fn layer<S>(
    target: &LogTarget,
    format: LogFormat,
) -> Result<Option<Box<dyn Layer<S> + Send + Sync>>, LogError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    let Some((writer, colours)) = writer(target)? else { return Ok(None) };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(colours);
    Ok(Some(match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }))
}

/// Where to write, and whether it is a terminal that shows colours.
fn writer(target: &LogTarget) -> Result<Option<(BoxMakeWriter, bool)>, LogError> {
    use std::io::IsTerminal;
    Ok(Some(match target {
        LogTarget::Off => return Ok(None),
        LogTarget::Stdout => (BoxMakeWriter::new(io::stdout), io::stdout().is_terminal()),
        // Who supervises the process, systemd for one, takes its standard error to the system's log.
        LogTarget::Stderr | LogTarget::Syslog => (BoxMakeWriter::new(io::stderr), io::stderr().is_terminal()),
        LogTarget::File(path) => {
            let open = || {
                if let Some(directory) = path.parent() {
                    std::fs::create_dir_all(directory)?;
                }
                OpenOptions::new().create(true).append(true).open(path)
            };
            let file = open().map_err(|cause| LogError { path: path.clone(), cause })?;
            (BoxMakeWriter::new(Mutex::new(file)), false)
        }
    }))
}
