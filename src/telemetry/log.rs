//! Where log lines go: to standard error or a file, as text or as JSON; the access log apart.
//!
//! `RUST_LOG` decides what is logged when it is set (`RUST_LOG=debug`), else everything from `info` on.
//!
//! A file is opened again when it is told ([`reopen`]): whoever rotates logs has moved it away by then.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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

/// The files that are written to.
static FILES: Mutex<Vec<Arc<LogFile>>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn open(path: &Path) -> Result<File, LogError> {
        let open = || {
            if let Some(directory) = path.parent() {
                std::fs::create_dir_all(directory)?;
            }
            OpenOptions::new().create(true).append(true).open(path)
        };
        open().map_err(|cause| LogError { path: path.into(), cause })
    }
}

/// One event's line.
struct Line(Arc<LogFile>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0.file).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        lock(&self.0.file).flush()
    }
}

/// A file or a list of them is whole after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Goes on in files of the same names, which are made if they are not there. One that cannot be opened is written to as
/// it was.
pub fn reopen() -> Result<(), LogError> {
    let mut outcome = Ok(());
    for file in lock(&FILES).iter() {
        match LogFile::open(&file.path) {
            Ok(new) => *lock(&file.file) = new,
            Err(error) => outcome = Err(error),
        }
    }
    outcome
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
            let file = Mutex::new(LogFile::open(path)?);
            let file = Arc::new(LogFile { path: path.clone(), file });
            lock(&FILES).push(Arc::clone(&file));
            (BoxMakeWriter::new(move || Line(Arc::clone(&file))), false)
        }
    }))
}
