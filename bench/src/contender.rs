//! [`Contender`]: a parent that can be started; [`Running`]: one that was, and is ended when dropped.
//!
//! ```text
//! Role::Parent   children ──> it
//! Role::Proxy    children ──> it ──> a mainstem without a database, which nobody measures
//! ```

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use uuid::Uuid;

use crate::results::commit;

/// How long a parent may take to open its port, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a contender does with samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Parent,
    /// Sends them on, and keeps them in this memory mode.
    Proxy {
        mode: &'static str,
    },
}

/// Which parent, and what it does.
#[derive(Clone, Debug)]
pub(crate) struct Contender {
    pub(crate) make: Make,
    pub(crate) role: Role,
}

/// Whose program.
#[derive(Clone, Debug)]
pub(crate) enum Make {
    Mainstem {
        binary: PathBuf,
        /// It was built from this tree.
        ours: bool,
    },
    Netdata {
        binary: PathBuf,
    },
}

/// A parent that runs, with a directory and a port of its own.
#[derive(Debug)]
pub(crate) struct Running {
    process: Child,
    /// When its process was started.
    pub(crate) begun: Instant,
    pub(crate) address: SocketAddr,
    pub(crate) key: Uuid,
    /// Removed with all that the parent wrote.
    directory: TempDir,
    ended: bool,
    /// The parent that a proxy sends to, ended after it.
    behind: Option<Box<Running>>,
}

impl Contender {
    pub(crate) fn name(&self) -> &'static str {
        match (&self.make, self.role) {
            (Make::Mainstem { .. }, Role::Parent) => "mainstem",
            (Make::Netdata { .. }, Role::Parent) => "netdata",
            (Make::Mainstem { .. }, Role::Proxy { mode: "none" }) => "headless",
            (Make::Mainstem { .. }, Role::Proxy { .. }) => "with database",
            (Make::Netdata { .. }, Role::Proxy { mode: "none" }) => "netdata headless",
            (Make::Netdata { .. }, Role::Proxy { .. }) => "netdata with db",
        }
    }

    pub(crate) fn binary(&self) -> &Path {
        match &self.make {
            Make::Mainstem { binary, .. } | Make::Netdata { binary } => binary,
        }
    }

    /// What it says of itself; of a mainstem built from this tree also the commit.
    pub(crate) fn version(&self) -> Result<String> {
        match &self.make {
            Make::Mainstem { binary, ours: false } => said(binary, "--version"),
            Make::Mainstem { binary, ours: true } => {
                Ok(format!("{} {}", said(binary, "--version")?, commit()).trim().to_owned())
            }
            Make::Netdata { binary } => said(binary, "-V"),
        }
    }

    /// What it has on disk: its database of samples, and of what there is.
    pub(crate) fn kept_bytes(&self, running: &Running) -> Result<u64> {
        size_of(&running.directory().join(match self.make {
            Make::Mainstem { .. } => "state/cache",
            Make::Netdata { .. } => "netdata/cache",
        }))
    }

    /// Starts it and waits until its port is open.
    pub(crate) fn start(&self) -> Result<Running> {
        let (mode, behind) = match self.role {
            Role::Parent => ("dbengine", None),
            Role::Proxy { mode } => {
                let directory = tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?;
                (mode, Some(Box::new(Self::start_ours(directory, &in_mode("none"))?)))
            }
        };
        let to = behind.as_deref().map(|behind| (behind.address, behind.key));
        let mut running = Running::start(self.name(), |directory, port, key| match &self.make {
            Make::Mainstem { binary, .. } => {
                let command = mainstem(binary, directory, port, key, &in_mode(mode))?;
                if let Some((address, key)) = to {
                    let config = directory.join("config/stream.conf");
                    let rules = fs::read_to_string(&config)?;
                    fs::write(config, format!("{}{rules}", sending_to(address, key)))?;
                }
                Ok(command)
            }
            Make::Netdata { binary } => Ok(netdata(binary, directory, port, key, mode, to)),
        })?;
        running.behind = behind;
        Ok(running)
    }

    /// Starts the mainstem of this tree, which is beside this program, in a directory that may have a database. `settings`
    /// are further lines of netdata.conf.
    pub(crate) fn start_ours(directory: TempDir, settings: &str) -> Result<Running> {
        let binary = beside_us()?;
        Running::start_in(directory, "mainstem", |directory, port, key| {
            mainstem(&binary, directory, port, key, settings)
        })
    }
}

/// The mainstem of this tree.
fn beside_us() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("mainstem");
    ensure!(binary.is_file(), "there is no {}: 'make build' makes it", binary.display());
    Ok(binary)
}

impl Running {
    /// Starts what `command` says, given a directory, a port and a key, and waits until the port is open.
    pub(crate) fn start(
        name: &str,
        command: impl FnOnce(&Path, u16, Uuid) -> Result<Command>,
    ) -> Result<Running> {
        Running::start_in(tempfile::Builder::new().prefix("mainstem-bench-").tempdir()?, name, command)
    }

    /// The same in a directory that has something in it already.
    fn start_in(
        directory: TempDir,
        name: &str,
        command: impl FnOnce(&Path, u16, Uuid) -> Result<Command>,
    ) -> Result<Running> {
        let begun = Instant::now();
        let (process, address, key) = launch(name, directory.path(), command)?;
        let mut running = Running { process, begun, address, key, directory, ended: false, behind: None };
        running.wait_for_port(name)?;
        Ok(running)
    }

    /// Starts one more in the directory of this one, which was ended.
    pub(crate) fn start_again(
        &mut self,
        name: &str,
        command: impl FnOnce(&Path, u16, Uuid) -> Result<Command>,
    ) -> Result<()> {
        assert!(self.ended, "one at a time in a directory");
        self.begun = Instant::now();
        (self.process, self.address, self.key) = launch(name, self.directory.path(), command)?;
        self.ended = false;
        self.wait_for_port(name)
    }

    /// Starts the mainstem of this tree once more, as [`Contender::start_ours`] does.
    pub(crate) fn start_ours_again(&mut self, settings: &str) -> Result<()> {
        let binary = beside_us()?;
        self.start_again("mainstem", |directory, port, key| mainstem(&binary, directory, port, key, settings))
    }

    fn wait_for_port(&mut self, name: &str) -> Result<()> {
        let begun = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.process.try_wait()? {
                self.ended = true;
                bail!("{name} ended with {status}: {}", self.output());
            }
            ensure!(begun.elapsed() < PATIENCE, "{name} did not open its port: {}", self.output());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// All that it writes is below this.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it, and tells how long that took.
    pub(crate) fn stop(mut self) -> Result<Duration> {
        let begun = Instant::now();
        let status = self.end()?;
        ensure!(status.success(), "the parent ended with {status}: {}", self.output());
        Ok(begun.elapsed())
    }

    /// Tells it to end, and waits for that.
    pub(crate) fn end(&mut self) -> Result<ExitStatus> {
        self.ended = true;
        let pid = self.process.id().to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().context("kill")?;
        let begun = Instant::now();
        while told.success() && begun.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process.kill()?;
        Ok(self.process.wait()?)
    }

    /// The end of what it printed.
    fn output(&self) -> String {
        let text = fs::read_to_string(self.directory.path().join("output")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.ended
            && let Err(error) = self.end()
        {
            eprintln!("the parent with the id {} could not be ended: {error:#}", self.process.id());
        }
    }
}

fn launch(
    name: &str,
    directory: &Path,
    command: impl FnOnce(&Path, u16, Uuid) -> Result<Command>,
) -> Result<(Child, SocketAddr, Uuid)> {
    let key = Uuid::new_v4();
    // Asked for and given back: whoever takes it in between makes the start fail, with a message.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let mut command = command(directory, port, key)?;
    let output = File::create(directory.join("output"))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let process = command.spawn().with_context(|| format!("cannot start {name}"))?;
    Ok((process, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), key))
}

/// Runs mainstem on `directory`, collecting nothing itself, with `settings` as further lines of netdata.conf.
fn mainstem(binary: &Path, directory: &Path, port: u16, key: Uuid, settings: &str) -> Result<Command> {
    let config = directory.join("config");
    fs::create_dir_all(&config)?;
    let off = "[plugins]\n    netdata monitoring = no\n    proc = no\n    diskspace = no\n    cgroups = no\n";
    let netdata_conf = format!("{off}[web]\n    bind to = 127.0.0.1:{port}\n{settings}");
    fs::write(config.join("netdata.conf"), netdata_conf)?;
    fs::write(config.join("stream.conf"), format!("[{key}]\n    enabled = yes\n"))?;
    let mut command = Command::new(binary);
    command.arg("--config").arg(config).arg("--state").arg(directory.join("state"));
    Ok(command)
}

/// A bare parent: no collectors, no health, no machine learning, normal priority; see tests/peer/README.md. Without
/// replication, which the simulated children have no use for.
fn netdata(
    binary: &Path,
    directory: &Path,
    port: u16,
    key: Uuid,
    mode: &str,
    to: Option<(SocketAddr, Uuid)>,
) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/peer/run.sh"));
    command.arg("parent").arg(directory.join("netdata")).env("NETDATA", binary);
    command.args([format!("PORT={port}"), format!("KEY={key}")]);
    command.args(["REPLICATION=no", "TIERS=3", "CACHE=64", "DISK=4096"]).arg(format!("MODE={mode}"));
    if let Some((address, key)) = to {
        command.args([format!("PARENT={address}"), format!("PARENTKEY={key}")]);
    }
    command
}

/// Lines of netdata.conf.
fn in_mode(mode: &str) -> String {
    format!("[db]\n    mode = {mode}\n")
}

/// Lines of stream.conf.
fn sending_to(address: SocketAddr, key: Uuid) -> String {
    format!("[stream]\n    enabled = yes\n    destination = {address}\n    api key = {key}\n")
}

/// Bytes of all files below a directory, as far as the disk has any of them.
fn size_of(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).with_context(|| format!("{}", directory.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += match metadata.is_dir() {
            true => size_of(&entry.path())?,
            // Files may be as long as they will be one day.
            false => metadata.len().min(metadata.blocks() * 512),
        };
    }
    Ok(bytes)
}

/// The first line that a program prints when asked.
fn said(binary: &Path, argument: &str) -> Result<String> {
    let output = Command::new(binary)
        .arg(argument)
        .output()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    Ok(text(&output.stdout).lines().next().unwrap_or_default().to_owned())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}
