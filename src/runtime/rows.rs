//! The thread that writes the files of hosts whose memory mode is `save` or `map`, and the reading of these at the start.
//! What is in them: [`crate::saved`].
//!
//! A file is written anew under another name, and gets its own when all of it is on the device: what a crash leaves is the
//! old file or the new one. What is appended is with the system, which outlives the process, but not a loss of power.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Instant, UNIX_EPOCH};

use dbengine::UnixSeconds;
use uuid::Uuid;

use crate::catalog::{CatalogChange, ChartRecord, Missing};
use crate::saved::{self, RestoredChart, SavedHost, SavedRows};
use crate::shard::placement::ShardId;
use crate::shard::{Contents, RowsOp};

/// How far the thread is with what a shard handed over.
#[derive(Debug, Default)]
struct Progress {
    /// Bytes that are no longer on their way, written or not.
    bytes: AtomicU64,
    /// Hosts whose files could not be written.
    failed: Mutex<Vec<Uuid>>,
}

/// A shard's end. What it hands over is bounded by itself.
#[derive(Debug)]
pub(super) struct RowsSender {
    shard: ShardId,
    channel: Sender<(ShardId, RowsOp)>,
    progress: Arc<Progress>,
    told: u64,
}

impl RowsSender {
    pub(super) fn send(&self, op: RowsOp) {
        // The thread ends after the shards, or it has panicked, and that ends the process.
        let _ = self.channel.send((self.shard, op));
    }

    /// How many bytes are no longer on their way, if that is news.
    pub(super) fn news(&mut self) -> Option<u64> {
        let bytes = self.progress.bytes.load(Relaxed);
        (std::mem::replace(&mut self.told, bytes) != bytes).then_some(bytes)
    }

    /// Hosts whose files could not be written since the last time.
    pub(super) fn failed(&self) -> Vec<Uuid> {
        std::mem::take(&mut *self.progress.failed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What one shard has saved since it was asked to.
#[derive(Debug, Default)]
struct Run {
    begun: Option<Instant>,
    charts: u64,
    rows: u64,
    bytes: u64,
    failed: u64,
}

/// The files, and those who write to them.
pub(super) struct Writer {
    directory: PathBuf,
    ops: Receiver<(ShardId, RowsOp)>,
    progress: Vec<Arc<Progress>>,
    runs: Vec<Run>,
    /// The last operation failed.
    failing: bool,
}

impl Writer {
    /// A sender for each of so many shards.
    pub(super) fn new(directory: PathBuf, shards: usize) -> (Writer, Vec<RowsSender>) {
        let (channel, ops) = channel();
        let progress: Vec<Arc<Progress>> = (0..shards).map(|_| Arc::default()).collect();
        let senders = progress.iter().enumerate().map(|(index, progress)| RowsSender {
            shard: ShardId(index as u16),
            channel: channel.clone(),
            progress: Arc::clone(progress),
            told: 0,
        });
        let senders = senders.collect();
        let mut runs = Vec::new();
        runs.resize_with(shards, Run::default);
        (Writer { directory, ops, progress, runs, failing: false }, senders)
    }

    /// Starts the thread. It ends when all senders are gone, and all is written.
    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("rows".into()).spawn(move || self.run())
    }

    fn run(mut self) {
        while let Ok((shard, op)) = self.ops.recv() {
            let length = op.bytes();
            match op {
                RowsOp::Replace { host, bytes, contents } => {
                    let result = replace(&self.directory, &host, &bytes);
                    if contents.is_saved {
                        self.runs[shard.index()].add(contents, length, result.is_ok());
                    }
                    self.tell(shard, host, result);
                }
                RowsOp::Append { host, bytes } => {
                    let result = append(&self.directory, &host, &bytes);
                    self.tell(shard, host, result);
                }
                RowsOp::Remove { host } => match fs::remove_file(path(&self.directory, &host)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        tracing::error!(%host, %error, "the rows of a forgotten host cannot be removed");
                    }
                    _ => {}
                },
                RowsOp::Saved { hosts } => self.saved(shard, hosts),
            }
            self.progress[shard.index()].bytes.fetch_add(length, Relaxed);
        }
    }

    fn tell(&mut self, shard: ShardId, host: Uuid, result: io::Result<()>) {
        match result {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("rows of the memory modes save and map are written again");
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        %host,
                        "{}: {error}. Rows stay in memory; mode map tries again, mode save when it is asked to: make \
                         room, or look after the disk",
                        path(&self.directory, &host).display()
                    );
                }
                let progress = &self.progress[shard.index()];
                progress.failed.lock().unwrap_or_else(PoisonError::into_inner).push(host);
            }
        }
    }

    fn saved(&mut self, shard: ShardId, hosts: u64) {
        let run = std::mem::take(&mut self.runs[shard.index()]);
        if hosts == 0 {
            return;
        }
        // The new names; what they lead to is there already.
        if let Err(error) = File::open(&self.directory).and_then(|directory| directory.sync_all()) {
            tracing::error!(%error, "{} cannot be synced", self.directory.display());
        }
        tracing::info!(
            shard = shard.0,
            hosts,
            charts = run.charts,
            rows = run.rows,
            bytes = run.bytes,
            failed = run.failed,
            took_ms = run.begun.map_or(0, |begun| begun.elapsed().as_millis()),
            "memory mode save: rows saved"
        );
    }
}

impl Run {
    fn add(&mut self, contents: Contents, bytes: u64, is_written: bool) {
        self.begun.get_or_insert_with(Instant::now);
        self.failed += u64::from(!is_written);
        if is_written {
            self.charts += contents.charts;
            self.rows += contents.rows;
            self.bytes += bytes;
        }
    }
}

fn path(directory: &Path, host: &Uuid) -> PathBuf {
    directory.join(format!("{host}.rows"))
}

fn replace(directory: &Path, host: &Uuid, bytes: &[u8]) -> io::Result<()> {
    let path = path(directory, host);
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = match File::create(&new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(directory)?;
                File::create(&new)?
            }
            created => created?,
        };
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&new, &path)
    };
    write().inspect_err(|_| {
        // It would only take room, of which there may be too little.
        let _ = fs::remove_file(&new);
    })
}

fn append(directory: &Path, host: &Uuid, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).open(path(directory, host))?;
    let whole = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| {
        // Frames that follow on half a one could not be read.
        let _ = file.set_len(whole);
    })
}

/// Reads the rows of a host, if there are any; says what is wrong with its file. A damaged file keeps a second name, so that
/// it is still there when the host's rows have been written again.
pub(super) fn read(directory: &Path, host: &Uuid) -> SavedHost {
    let path = path(directory, host);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::error!("saved rows: {}: {error}; its host begins without them", path.display());
                set_aside(&path);
            }
            return SavedHost::default();
        }
    };
    let read = saved::read(host, &bytes);
    if let Some(at) = read.cut_at {
        tracing::info!("saved rows: {} ends in the middle of a frame at {at}", path.display());
    }
    if !read.damage.is_empty() {
        for damage in &read.damage {
            tracing::error!("saved rows: {}: {damage}", path.display());
        }
        if let Some(aside) = set_aside(&path) {
            tracing::error!(
                "saved rows: what can be read of {} serves; the damaged file stays as {}, remove it when you do not \
                 need it",
                path.display(),
                aside.display()
            );
        }
    }
    read
}

/// Gives a file another name beside its own, and says it.
fn set_aside(path: &Path) -> Option<PathBuf> {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified()).ok()?;
    let seconds = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let aside = path.with_extension(format!("rows.damaged-{seconds}"));
    match fs::hard_link(path, &aside) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            tracing::error!(
                "saved rows: {} gets no second name ({error}): copy it before its host's rows are written again",
                path.display()
            );
            None
        }
        _ => Some(aside),
    }
}

/// The charts of a host with their rows. What the file has and the catalog has not, since the last parent ended before it was
/// stored, is added to both. Charts without rows are forgotten, and a host that has no others: nothing of them was saved.
pub(super) fn restore(
    host: Uuid,
    charts: Vec<ChartRecord>,
    mut saved: SavedHost,
    changes: &mut Vec<CatalogChange>,
) -> Option<Vec<RestoredChart>> {
    let mut restored = Vec::new();
    let mut known = HashSet::new();
    let mut forgotten = Vec::new();
    let mut add = |record: ChartRecord, saved: SavedRows| {
        restored.push(RestoredChart { record, newest: UnixSeconds(0), saved, missing: Missing::default() });
    };
    for chart in charts {
        known.insert(chart.id.clone());
        match saved.charts.remove(&chart.key).filter(|(_, rows)| !rows.is_empty()) {
            // Columns are only ever added: the definition with more of them is the newer one.
            Some((newer, rows)) if newer.dimensions.len() > chart.dimensions.len() => {
                changes.push(CatalogChange::Chart { host, chart: newer.clone() });
                add(newer, rows);
            }
            Some((_, rows)) => add(chart, rows),
            None => forgotten.push(CatalogChange::ForgetChart { host, chart: chart.id }),
        }
    }
    for (chart, rows) in saved.charts.into_values() {
        if !rows.is_empty() && known.insert(chart.id.clone()) {
            changes.push(CatalogChange::Chart { host, chart: chart.clone() });
            add(chart, rows);
        }
    }
    if restored.is_empty() {
        changes.push(CatalogChange::ForgetHost(host));
        return None;
    }
    changes.append(&mut forgotten);
    restored.sort_by_key(|chart| chart.record.ordinal);
    Some(restored)
}

/// The hosts that have files.
pub(super) fn list(directory: &Path) -> Vec<Uuid> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| Uuid::try_parse(name.strip_suffix(".rows")?).ok()).collect()
}
