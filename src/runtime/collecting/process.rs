//! Plugins as processes: found, started, read, ended, and started again by the rules of [`Restarts`].

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ecow::EcoString;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::guard::Guard;
use super::nodes::Told;
use super::{LINES, Round};
use crate::collecting::log_lines::LogLines;
use crate::collecting::plugin::{Bounds, PluginText, Verdict};
use crate::collecting::restarts::{Ended, Next, Restarts};
use crate::config::Config;

const SUFFIX: &str = ".plugin";
/// One read of a plugin's output.
const READ_BYTES: usize = 64 << 10;
/// A plugin that was told to end has so long.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
/// What a plugin that has ended wrote before is read, as long as it takes no longer than this: a child of it may hold its
/// output open.
const LAST_WORDS_WITHIN: Duration = Duration::from_millis(200);

/// One plugin, for as long as its round lasts.
pub(super) struct Plugin {
    /// Without its suffix.
    name: EcoString,
    path: PathBuf,
    update_every_s: u32,
    command_options: String,
    config: Arc<Config>,
    variables: Rc<Vec<(String, String)>>,
    guard: Rc<Guard>,
    round: Round,
    text: PluginText,
    /// What the links of its virtual nodes know.
    told: Told,
}

/// Looks for plugins again and again, and runs those that it finds, each once.
pub(super) async fn look_for_plugins(
    mut round: Round,
    config: Arc<Config>,
    variables: Vec<(String, String)>,
    bounds: Bounds,
    guard: Rc<Guard>,
) {
    let variables = Rc::new(variables);
    let plugins = &config.collecting.plugins;
    let mut known = HashSet::new();
    let mut running = JoinSet::new();
    loop {
        for (name, path) in find(&plugins.directories) {
            if !plugins.runs(&name) || !known.insert(name.clone()) {
                continue;
            }
            let settings = plugins.settings.get(&*name).cloned().unwrap_or_default();
            let update_every_s = settings.update_every_s.unwrap_or(config.database.update_every_s);
            let plugin = Plugin {
                text: PluginText::new(&format!("{name}{SUFFIX}"), update_every_s, bounds),
                name,
                path,
                update_every_s,
                command_options: settings.command_options,
                config: Arc::clone(&config),
                variables: Rc::clone(&variables),
                guard: Rc::clone(&guard),
                round: round.clone(),
                told: Told::default(),
            };
            running.spawn_local(plugin.live());
        }
        if !round.sleep(plugins.look_every).await {
            break;
        }
    }
    while running.join_next().await.is_some() {}
}

/// Names and paths of all plugins; of two with one name the one that comes first.
fn find(directories: &[PathBuf]) -> Vec<(EcoString, PathBuf)> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for directory in directories {
        // One that is not there may come.
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name =
                name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).filter(|name| !name.is_empty());
            if let Some(name) = name
                && seen.insert(EcoString::from(name))
            {
                found.push((name.into(), entry.path()));
            }
        }
    }
    found
}

/// How the reading of a plugin's output ended.
enum ReadingEnd {
    /// All is over.
    Over,
    /// The output, or the process itself.
    Closed,
    Judged(Verdict),
}

impl Plugin {
    /// Runs it until the round is over, or it is disabled.
    async fn live(mut self) {
        let mut restarts = Restarts::new(self.update_every_s);
        loop {
            let next = match self.run().await {
                None => return,
                Some((ended, verdict)) => {
                    let collections = self.text.collections();
                    if let Some(Verdict::Unintelligible(why)) = &verdict {
                        tracing::warn!(plugin = %self.name, "the plugin is ended: {why}");
                    }
                    tracing::info!(plugin = %self.name, collections, "the plugin has ended: {ended:?}");
                    restarts.ended(ended, collections, verdict.as_ref())
                }
            };
            match next {
                Next::StartAfter(pause) => {
                    if !self.round.sleep(pause).await {
                        return;
                    }
                }
                Next::Never(why) => {
                    match why {
                        Some(why) => tracing::error!(plugin = %self.name, "the plugin is disabled: {why}"),
                        None => tracing::info!(plugin = %self.name, "the plugin has asked to be disabled"),
                    }
                    return;
                }
            }
        }
    }

    /// One run, from start to end; `None` when the round is over.
    async fn run(&mut self) -> Option<(Ended, Option<Verdict>)> {
        self.text.begin_run();
        let mut child = match self.start() {
            Ok(child) => child,
            Err(error) => {
                tracing::error!(plugin = %self.name, %error, "the plugin cannot be started");
                return Some((Ended::Unknown, None));
            }
        };
        let (Some(id), Some(input), Some(mut output), Some(errors)) =
            (child.id(), child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Some((Ended::Unknown, None));
        };
        let group = Pid::from_raw(id.cast_signed())?;
        self.guard.watch(group);
        tracing::info!(plugin = %self.name, pid = id, "the plugin runs");
        let (lines, waiting) = mpsc::channel(LINES);
        self.round.switchboard.borrow_mut().inputs.insert(self.name.clone(), lines);
        let mut helpers = JoinSet::new();
        // Its end of the pipe stays open as long as the plugin runs, whatever becomes of the other side.
        helpers.spawn_local(feed(input, waiting));
        helpers.spawn_local(log(self.name.clone(), errors, self.round.clone()));

        let end = self.read(&mut child, &mut output).await;
        if !matches!(end, ReadingEnd::Closed) || !matches!(child.try_wait(), Ok(Some(_))) {
            signal(group, Signal::TERM);
        }
        let status = match tokio::time::timeout(ENDS_WITHIN, child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                signal(group, Signal::KILL);
                child.wait().await
            }
        };
        // What it has started goes with it.
        signal(group, Signal::KILL);
        self.guard.forget(group);
        helpers.shutdown().await;
        self.hang_up().await;
        match end {
            ReadingEnd::Over => None,
            ReadingEnd::Closed => Some((ended(status), None)),
            ReadingEnd::Judged(verdict) => Some((ended(status), Some(verdict))),
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        // Inside of single quotes nothing else has a meaning.
        let path = self.path.to_string_lossy().replace('\'', r"'\''");
        let command = format!("exec '{path}' {} {}", self.update_every_s, self.command_options);
        Command::new("/bin/sh")
            .args([OsStr::new("-c"), OsStr::new(&command)])
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(existing(&self.config.directories.config))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    /// Reads what it writes, until that ends, it does, or something in it is wrong.
    async fn read(&mut self, child: &mut Child, output: &mut ChildStdout) -> ReadingEnd {
        let mut buffer = vec![0; READ_BYTES];
        let mut over = self.round.over.clone();
        loop {
            let length = tokio::select! {
                biased;
                _ = over.wait_for(|over| *over) => return ReadingEnd::Over,
                read = output.read(&mut buffer) => read.unwrap_or(0),
                _ = child.wait() => break,
            };
            if length == 0 {
                return ReadingEnd::Closed;
            }
            if let Err(end) = self.take(&buffer[..length]).await {
                return end;
            }
        }
        while let Ok(Ok(length @ 1..)) =
            tokio::time::timeout(LAST_WORDS_WITHIN, output.read(&mut buffer)).await
        {
            if let Err(end) = self.take(&buffer[..length]).await {
                return end;
            }
        }
        ReadingEnd::Closed
    }

    /// Sends on what is complete with these bytes.
    async fn take(&mut self, bytes: &[u8]) -> Result<(), ReadingEnd> {
        let mut pieces = Vec::new();
        let outcome = self.text.read(self.round.clock.now_us(), bytes, &mut pieces);
        {
            let calls = &mut self.round.switchboard.borrow_mut().calls;
            for transaction in self.text.take_answered() {
                calls.answered(&transaction);
            }
            if self.text.take_offers_changed() {
                calls.offer(&self.name, self.text.functions());
            }
        }
        self.tell();
        let mut over = self.round.over.clone();
        for piece in self.text.take_node_pieces() {
            self.round.nodes.send(piece, &mut self.text, &mut self.told, &mut over).await;
        }
        if !pieces.is_empty() {
            tokio::select! {
                sent = self.round.pieces.send(pieces) => {
                    sent.map_err(|_| ReadingEnd::Over)?;
                }
                // A shard that does not take them does not keep us from ending.
                _ = over.wait_for(|over| *over) => return Err(ReadingEnd::Over),
            }
        }
        outcome.map_err(ReadingEnd::Judged)
    }

    /// Hands it the lines that are an answer to what it has written.
    fn tell(&mut self) {
        let lines = self.text.take_lines();
        let board = self.round.switchboard.borrow();
        let Some(input) = board.inputs.get(&self.name) else { return };
        let refused = lines.into_iter().filter_map(|line| input.try_send(line).err()).count();
        if refused > 0 {
            tracing::warn!(
                plugin = %self.name,
                "the plugin does not read its standard input: {refused} of its jobs are not told that they are enabled"
            );
        }
    }

    /// It cannot be called any more, and those who wait for it are told.
    async fn hang_up(&mut self) {
        let mut farewell = Vec::new();
        {
            let mut board = self.round.switchboard.borrow_mut();
            board.inputs.remove(&self.name);
            board.calls.offer(&self.name, std::iter::empty());
            farewell.extend(board.calls.fail(&self.name, "The plugin has ended."));
        }
        self.text.withdraw_functions(&mut farewell);
        if !farewell.is_empty() && !*self.round.over.borrow() {
            // A shard that is gone needs to know nothing.
            let _ = self.round.pieces.send(farewell).await;
        }
    }
}

/// The directory, or one that is certainly there.
fn existing(directory: &Path) -> &Path {
    if directory.is_dir() { directory } else { Path::new("/") }
}

fn signal(group: Pid, signal: Signal) {
    // It may be gone.
    let _ = kill_process_group(group, signal);
}

fn ended(status: std::io::Result<ExitStatus>) -> Ended {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Ended::Exited(code),
            (None, Some(signal)) => Ended::Killed { signal },
            (None, None) => Ended::Unknown,
        },
        Err(_) => Ended::Unknown,
    }
}

/// Writes lines to a plugin's standard input, and keeps that open.
async fn feed(mut input: ChildStdin, mut lines: mpsc::Receiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if input.write_all(&line).await.is_err() {
            // It does not listen any more.
            return;
        }
    }
    // Its sender is gone, the plugin may not be.
    std::future::pending().await
}

/// Makes log lines of a plugin's standard error.
async fn log(plugin: EcoString, mut errors: ChildStderr, round: Round) {
    let mut lines = LogLines::default();
    let mut say = |line: &str| tracing::info!(target: "mainstem::plugin", plugin = %plugin, "{line}");
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = errors.read(&mut buffer).await {
        lines.read(round.clock.now_us(), &buffer[..length], &mut say);
    }
    lines.end(&mut say);
}
