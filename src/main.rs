//! The command `mainstem`: arguments, configuration, start, wait for a signal, stop.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use mainstem::allocator::Allocator;
use mainstem::config::{
    Config, DEFAULT_STATE_DIR, Loaded, Severity, identity, init, report, system_hostname,
};
use mainstem::db;
use mainstem::nodes;
use mainstem::runtime::Parent;
use mainstem::runtime::clock::Clock;
use mainstem::telemetry::log;
use uuid::Uuid;

/// A parent for Netdata children: receives, stores and serves the metrics of thousands of them.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: Places,
}

#[derive(Subcommand)]
enum Command {
    /// Run the parent (also what a bare `mainstem` does).
    Run(Places),
    /// Write a commented configuration with a fresh API key into a directory.
    Init {
        /// The directory; it is made when it is not there, and nothing in it is overwritten.
        directory: PathBuf,
    },
    /// Check the configuration: what is in force and where it comes from. Exits with 1 on errors.
    Check(Places),
    /// Show how the hosts of a running parent are: live, stale or offline. Also drops hosts that do not come back.
    Nodes(nodes::Arguments),
    /// Look at the database on disk, also while a parent runs on it. Changes nothing.
    Db {
        #[command(flatten)]
        places: Places,
        #[command(subcommand)]
        command: db::Command,
    },
}

#[derive(clap::Args)]
struct Places {
    /// The directory of netdata.conf, stream.conf and mainstem.toml. Without it an embedded default serves this
    /// machine only, on port 19999.
    #[arg(long, value_name = "DIR")]
    config: Option<PathBuf>,
    /// Where ids, keys and databases are kept.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl Places {
    /// The configuration, or all that is wrong with it on standard error.
    fn load(&self) -> Result<Loaded, ExitCode> {
        Config::load(self.config.as_deref(), self.state.as_deref()).map_err(|diagnostics| {
            for diagnostic in &diagnostics {
                eprintln!("{diagnostic}");
            }
            ExitCode::FAILURE
        })
    }
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    Allocator::give_back_at_once();
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        None => run(&arguments.run),
        Some(Command::Run(places)) => run(&places),
        Some(Command::Check(places)) => Ok(check(&places)),
        Some(Command::Nodes(arguments)) => ask(&arguments),
        Some(Command::Db { places, command }) => database(&places, &command),
        Some(Command::Init { directory }) => write_configuration(&directory),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("mainstem: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(places: &Places) -> anyhow::Result<ExitCode> {
    let loaded = match places.load() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let Loaded { config, settings, diagnostics } = loaded;
    log::start(&config.logs)?;
    for diagnostic in diagnostics.iter().filter(|diagnostic| diagnostic.severity > Severity::Note) {
        tracing::warn!("{}", diagnostic.without_severity());
    }
    let (guid, remark) = identity::machine_guid(&config.directories.machine_guid_file)?;
    if let Some(remark) = remark {
        tracing::warn!("{}", remark.without_severity());
    }
    let guid = Uuid::try_parse(&guid).context("the machine GUID")?;
    let key = places.config.is_none().then(|| identity::api_key(&config.directories.lib)).transpose()?;

    // The signals are listened to before anything starts, so that none is missed.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut signals = runtime.block_on(async { Signals::new() }).context("cannot listen to signals")?;
    tracing::info!("role: {}; machine GUID {guid}", config.role());
    let parent = Parent::start(config, guid, Clock::System)?;
    for address in parent.addresses() {
        tracing::info!("listening on {address}; machine GUID {guid}");
    }
    if let Some(key) = key
        && let Some(address) = parent.addresses().first()
    {
        println!(
            "To stream to this parent, a child on this machine needs in its stream.conf:\n\n{}",
            init::child_stream_conf(&address.to_string(), &key)
        );
    }

    loop {
        match runtime.block_on(signals.next()) {
            Signal::Save => parent.save(),
            Signal::Reload => {
                if let Err(error) = log::reopen() {
                    tracing::error!("{error}");
                }
                let loaded = Config::load(places.config.as_deref(), places.state.as_deref());
                runtime.block_on(parent.reload(&settings, loaded));
            }
            Signal::Stop => break,
        }
    }
    tracing::info!("stopping; a second signal ends the process at once");
    std::thread::spawn(move || {
        while runtime.block_on(signals.next()) != Signal::Stop {}
        std::process::exit(130);
    });
    parent.stop();
    Ok(ExitCode::SUCCESS)
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    /// SIGTERM and Ctrl-C: an orderly end.
    Stop,
    /// SIGUSR1: rows of memory mode `save` are written.
    Save,
    /// SIGHUP: log files are opened and the configuration is read again.
    Reload,
}

/// The signals that are listened to.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    user: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.user.recv() => Signal::Save,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

fn check(places: &Places) -> ExitCode {
    match places.load() {
        Ok(loaded) => {
            print!("{}", report::settings(&loaded));
            eprint!("{}", report::diagnostics(&loaded));
            match Parent::check(&loaded.config, &Clock::System) {
                Ok(None) => ExitCode::SUCCESS,
                Ok(Some((severity, text))) => {
                    eprintln!("{severity}: {text}");
                    if severity == Severity::Error { ExitCode::FAILURE } else { ExitCode::SUCCESS }
                }
                Err(error) => {
                    eprintln!("error: {error}");
                    ExitCode::FAILURE
                }
            }
        }
        Err(code) => code,
    }
}

fn ask(arguments: &nodes::Arguments) -> anyhow::Result<ExitCode> {
    // Without a configuration there is nothing to read: loading the embedded default would make its state directory.
    if arguments.config.is_none() {
        return nodes::run(arguments, None);
    }
    let places = Places { config: arguments.config.clone(), state: arguments.state.clone() };
    match places.load() {
        Ok(loaded) => nodes::run(arguments, Some(&loaded.config)),
        Err(code) => Ok(code),
    }
}

fn database(places: &Places, command: &db::Command) -> anyhow::Result<ExitCode> {
    // Without a configuration a state directory would be made where there is none.
    let state = places.state.clone().unwrap_or_else(|| DEFAULT_STATE_DIR.into());
    if places.config.is_none() && !state.join("api.key").exists() {
        bail!("{} is no state directory of a parent; name it with --state, or --config DIR", state.display());
    }
    match places.load() {
        Ok(loaded) => db::run(command, &loaded.config),
        Err(code) => Ok(code),
    }
}

fn write_configuration(directory: &std::path::Path) -> anyhow::Result<ExitCode> {
    if directory.as_os_str().is_empty() {
        bail!("the directory has no name");
    }
    let made = init::init(directory, &system_hostname())?;
    for path in &made.written {
        println!("wrote {}", path.display());
    }
    println!(
        "\nStart the parent with: mainstem run --config {}\n\nA child streams to it with this stream.conf:\n\n{}",
        directory.display(),
        made.child_stream_conf
    );
    Ok(ExitCode::SUCCESS)
}
