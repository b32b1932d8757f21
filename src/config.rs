//! [`Config`]: netdata.conf, stream.conf and mainstem.toml, read once, checked, as plain values.
//!
//! What is written becomes what is meant in two steps: [`ini`] and [`value`] read texts, `netdata_conf`, `stream_conf`
//! and `mainstem_toml` hold one table each of the options that we use, with all their names and defaults, and turn a file
//! into values. Below `main` nobody reads a configuration file.
//!
//! - A [`Config`] that exists can be run: what cannot be is an error, and then there is none. Everything else that looks
//!   like a mistake is a [`Diagnostic`] with its line; Netdata says nothing of most of them.
//! - Paths are absolute, times are [`Duration`]s, what was not set has its default.
//! - Loading changes nothing on disk, but for the embedded default: its API key is made when it is not there.
//! - Not here: health.d and exporting.conf, which belong to their modules.

mod access;

mod bind;

mod collecting;

mod diagnostic;

mod effective;

pub mod identity;

pub mod ini;

pub mod init;

mod mainstem_toml;

mod nearest;

mod netdata_conf;

mod options;

mod policy;

mod registry;

mod reload;

pub mod report;

mod role;

pub mod sending;

pub mod simple_pattern;

mod stream_conf;

mod tls;

pub mod value;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dbengine::Retention;

pub use self::access::{AccessLists, Client, Rights};
pub use self::bind::{BindAddress, BindHost, BindTo, PortTls};
pub use self::collecting::{Collecting, LinuxParts, PluginSettings, Plugins};
pub use self::diagnostic::{Diagnostic, Severity};
pub use self::effective::Effective;
pub use self::mainstem_toml::{Durability, Limits, LogFormat, Queries, Runtime, Storage};
pub use self::options::{Origin, Setting, is_uuid, redacted};
pub use self::policy::{ChildPolicy, Denial};
pub use self::registry::Registry;
pub use self::reload::waits_for_restart;
pub use self::role::Role;
pub use self::sending::{Destination, LinkOptions, ParentKey, SendPolicy, Trust};
pub use self::simple_pattern::SimplePattern;
pub use self::stream_conf::{ChildOptions, SectionKind, StreamSection, Streaming};
pub use self::tls::{Cipher, ClientCertificates, Demand, Tls, TlsVersion};
pub use self::value::OnDemand;

use self::ini::Ini;
use self::nearest::suggestion;
use self::netdata_conf::Surroundings;
use self::options::Findings;
use self::value::Reading;

/// Where everything that we write goes when neither file nor command line says so.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/mainstem";

/// Everything that was configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Our own host's name.
    pub hostname: String,
    pub directories: Directories,
    pub database: Database,
    pub web: Web,
    pub client_certificates: ClientCertificates,
    pub logs: Logs,
    pub health: Health,
    pub registry: Registry,
    /// What is collected of our own host.
    pub collecting: Collecting,
    /// Who may stream to us; ask [`Config::streaming_policy`].
    pub streaming: Streaming,
    pub runtime: Runtime,
    pub limits: Limits,
    pub queries: Queries,
    pub storage: Storage,
    /// The settings of netdata.conf in words.
    pub effective: Effective,
}

/// A configuration, where each of its values comes from, and what is worth a remark.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub settings: Vec<Setting>,
    /// Warnings and notes.
    pub diagnostics: Vec<Diagnostic>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directories {
    pub config: PathBuf,
    pub stock_config: PathBuf,
    pub web: PathBuf,
    /// Ids and keys.
    pub lib: PathBuf,
    /// Databases.
    pub cache: PathBuf,
    pub log: PathBuf,
    pub registry: PathBuf,
    pub machine_guid_file: PathBuf,
}

impl Directories {
    /// The catalog's file.
    pub fn catalog(&self) -> PathBuf {
        self.cache.join("catalog.redb")
    }

    /// Where the rows of hosts in the memory modes `save` and `map` are.
    pub fn rows(&self) -> PathBuf {
        self.cache.join("rows")
    }

    /// Where plugins keep their locks.
    pub fn lock(&self) -> PathBuf {
        self.lib.join("lock")
    }

    /// Where the samples are.
    pub fn database(&self) -> PathBuf {
        self.cache.join("db")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// Of our own host, and of children whose sections name none.
    pub mode: MemoryMode,
    /// Of our own host, and of children that do not say theirs.
    pub update_every_s: u32,
    /// Rows kept in the memory modes other than `dbengine`.
    pub retention_rows: u32,
    pub gap_when_lost_iterations_above: u32,
    /// `None`: never.
    pub cleanup_obsolete_charts_after: Option<Duration>,
    /// `None`: never.
    pub cleanup_orphan_hosts_after: Option<Duration>,
    /// The rows of obsolete charts go with them, in the memory modes that write them to files.
    pub delete_obsolete_charts_files: bool,
    /// The rows of orphan hosts go with them, in the memory modes that write them to files.
    pub delete_orphan_hosts_files: bool,
    pub replication: Replication,
    /// Of the dbengine, the finest first; at least one.
    pub tiers: Vec<Tier>,
    /// Bytes of pages read from the disk that are kept in memory.
    pub page_cache_bytes: u64,
}

/// One resolution of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Points of the tier below in one of this; 1 for the finest.
    pub factor: u32,
    pub retention: Retention,
}

/// What a parent asks a child for that it missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    pub enabled: bool,
    /// How far back at most.
    pub period: Duration,
    /// How much of it in one question; at least a second.
    pub step: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// Empty only with `mode = none`.
    pub bind: Vec<BindTo>,
    pub default_port: u16,
    pub listen_backlog: u32,
    /// `STREAM` requests that come faster are told that we are busy; zero: no limit.
    pub accept_a_streaming_request_every: Duration,
    /// `None`: never.
    pub disconnect_idle_clients_after: Option<Duration>,
    /// `None`: no limit.
    pub timeout_for_first_request: Option<Duration>,
    pub gzip: bool,
    /// 1 to 9.
    pub gzip_level: u32,
    /// Browsers that send `DNT: 1` are told nothing by the registry, and all whether they are tracked.
    pub respects_do_not_track: bool,
    pub tls: Tls,
    pub allow: AccessLists,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    pub daemon: LogTarget,
    pub access: LogTarget,
    pub health: LogTarget,
    pub format: LogFormat,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Of our own host, and of children whose sections do not say.
    pub enabled: bool,
}

/// Where a host's samples are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemoryMode {
    /// Nowhere: passed on only.
    None,
    Ram,
    Alloc,
    Map,
    Save,
    Dbengine,
}

impl MemoryMode {
    const NAMES: [(&'static str, MemoryMode); 6] = [
        ("none", MemoryMode::None),
        ("ram", MemoryMode::Ram),
        ("alloc", MemoryMode::Alloc),
        ("map", MemoryMode::Map),
        ("save", MemoryMode::Save),
        ("dbengine", MemoryMode::Dbengine),
    ];

    /// What an operator should know who chose it; `None` for the mode that keeps everything.
    fn promise(self) -> Option<&'static str> {
        Some(match self {
            MemoryMode::None => "`none` keeps only the newest row of a chart",
            MemoryMode::Ram | MemoryMode::Alloc => {
                "samples are in memory only, `retention` rows a chart: the end of the process loses them"
            }
            MemoryMode::Map => {
                "samples are in memory, `retention` rows a chart, and in a file a host: they survive the end of the \
                 process but for the last second or two, not a loss of power"
            }
            MemoryMode::Save => {
                "samples are in memory, `retention` rows a chart, and written at an orderly stop and on SIGUSR1: a \
                 crash loses all since"
            }
            MemoryMode::Dbengine => return None,
        })
    }

    /// Netdata silently takes `save` for a word that it does not know.
    fn read(text: &str) -> Reading<MemoryMode> {
        match Self::NAMES.iter().find(|(name, _)| *name == text) {
            Some(&(_, mode)) => match mode.promise() {
                Some(promise) => Reading::noted(mode, promise),
                None => Reading::clean(mode),
            },
            None => {
                let hint = suggestion(text, Self::NAMES.iter().map(|&(name, _)| name));
                Reading::unusable(format!("there is no memory mode `{text}`{hint}"))
            }
        }
    }
}

impl fmt::Display for MemoryMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, mode)| mode == self).map_or("", |&(name, _)| name);
        f.write_str(name)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompressionAlgorithm {
    Lz4,
    Zstd,
    Brotli,
    Gzip,
}

impl CompressionAlgorithm {
    /// LZ4 first: ZSTD costs a parent three times the CPU and 2 MiB a child.
    pub const DEFAULT_ORDER: [CompressionAlgorithm; 4] = [
        CompressionAlgorithm::Lz4,
        CompressionAlgorithm::Zstd,
        CompressionAlgorithm::Brotli,
        CompressionAlgorithm::Gzip,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CompressionAlgorithm::Lz4 => "lz4",
            CompressionAlgorithm::Zstd => "zstd",
            CompressionAlgorithm::Brotli => "brotli",
            CompressionAlgorithm::Gzip => "gzip",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::DEFAULT_ORDER.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Where one kind of log lines goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    Off,
    Stdout,
    Stderr,
    Syslog,
    File(PathBuf),
}

impl LogTarget {
    fn read(text: &str, log_dir: &Path) -> Reading<LogTarget> {
        match text {
            "none" | "off" | "/dev/null" | "" => Reading::clean(LogTarget::Off),
            "stdout" => Reading::clean(LogTarget::Stdout),
            "stderr" | "system" => Reading::clean(LogTarget::Stderr),
            "syslog" => Reading::clean(LogTarget::Syslog),
            "journal" => Reading::noted(
                LogTarget::Stderr,
                "lines go to standard error, from where systemd takes them to its journal",
            ),
            path => Reading::clean(LogTarget::File(log_dir.join(path))),
        }
    }
}

impl Config {
    /// Reads the files of a directory; without one, the embedded default. `state_dir` is the command line's and wins
    /// over `[directories] lib`, `cache` and `log`.
    ///
    /// On failure everything that was found, warnings too; at least one of it is an error.
    pub fn load(config_dir: Option<&Path>, state_dir: Option<&Path>) -> Result<Loaded, Vec<Diagnostic>> {
        let state_dir = state_dir.map(absolute);
        let Some(config_dir) = config_dir.map(absolute) else {
            return Self::embedded(&state_dir.unwrap_or_else(|| PathBuf::from(DEFAULT_STATE_DIR)));
        };
        let mut findings = Findings::default();
        match std::fs::metadata(&config_dir) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(vec![unreadable(&config_dir, "it is not a directory")]),
            Err(error) => return Err(vec![unreadable(&config_dir, &error.to_string())]),
        }
        let surroundings = Surroundings::of_this_machine(config_dir.clone(), state_dir);

        let netdata = read_ini(&config_dir.join("netdata.conf"), &mut findings)?;
        let netdata = netdata.unwrap_or_else(|| Ini::empty(&config_dir.join("netdata.conf")));
        let netdata_conf = netdata_conf::read(&netdata, &surroundings, &mut findings);

        // netdata.conf says where stream.conf is; the stock file is for those who have none.
        let own = netdata_conf.directories.config.join("stream.conf");
        let stock = netdata_conf.directories.stock_config.join("stream.conf");
        let stream = match read_ini(&own, &mut findings)? {
            Some(stream) => stream,
            None => read_ini(&stock, &mut findings)?.unwrap_or_else(|| Ini::empty(&own)),
        };

        let mainstem_file = config_dir.join("mainstem.toml");
        let mainstem = read_file(&mainstem_file, &mut findings)?.unwrap_or_default();
        Self::assemble(
            (&netdata, netdata_conf),
            &stream,
            (mainstem.as_str(), mainstem_file.as_path()),
            &surroundings,
            findings,
        )
    }

    /// What runs without any file: this machine only, and an API key of its own in the state directory.
    pub fn embedded(state_dir: &Path) -> Result<Loaded, Vec<Diagnostic>> {
        let state_dir = absolute(state_dir);
        let key = match identity::api_key(&state_dir) {
            Ok(key) => key,
            Err(error) => {
                let message = error.to_string();
                return Err(vec![Diagnostic::new(Severity::Error, error.path(), None, message)]);
            }
        };
        let mut findings = Findings::default();
        let surroundings = Surroundings::of_this_machine(state_dir.clone(), Some(state_dir));
        let file = Path::new("(embedded default)");
        let (netdata, said) = ini::parse("[web]\nbind to = 127.0.0.1:19999\n", file);
        findings.diagnostics.extend(said);
        let (stream, said) = ini::parse(&format!("[{key}]\ntype = api\nenabled = yes\n"), file);
        findings.diagnostics.extend(said);
        let netdata_conf = netdata_conf::read(&netdata, &surroundings, &mut findings);
        Self::assemble((&netdata, netdata_conf), &stream, ("", file), &surroundings, findings)
    }

    fn assemble(
        (netdata, netdata_conf): (&Ini, netdata_conf::NetdataConf),
        stream: &Ini,
        (mainstem_toml, mainstem_file): (&str, &Path),
        surroundings: &Surroundings,
        mut findings: Findings,
    ) -> Result<Loaded, Vec<Diagnostic>> {
        let streaming = stream_conf::read(stream, &mut findings);
        role::check(netdata, &netdata_conf, &streaming, &mut findings);
        let own = mainstem_toml::read(mainstem_toml, mainstem_file, surroundings.cores, &mut findings);
        if own.client_certificates.demand == Demand::Required
            && netdata_conf.web.bind.iter().any(|item| item.tls != PortTls::Force)
        {
            let message = "`[tls] client_certificates`: \"required\" is asked of clients that encrypt; without \
                           `^SSL=force` on each port of `[web] bind to` others come in without a certificate";
            findings.diagnostics.push(Diagnostic::new(Severity::Warning, mainstem_file, None, message));
        }
        if findings.has_errors() {
            return Err(findings.diagnostics);
        }
        let netdata_conf::NetdataConf {
            hostname,
            directories,
            database,
            web,
            log_targets,
            health,
            registry,
            collecting,
        } = netdata_conf;
        let [daemon, access, health_log] = log_targets;
        let config = Config {
            hostname,
            directories,
            database,
            web,
            client_certificates: own.client_certificates,
            logs: Logs { daemon, access, health: health_log, format: own.log_format },
            health,
            registry,
            collecting,
            streaming,
            runtime: own.runtime,
            limits: own.limits,
            queries: own.queries,
            storage: own.storage,
            effective: Effective::of(&findings.settings),
        };
        Ok(Loaded { config, settings: findings.settings, diagnostics: findings.diagnostics })
    }
}

impl Surroundings {
    fn of_this_machine(config_dir: PathBuf, state_dir: Option<PathBuf>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Self { config_dir, state_dir, hostname: system_hostname(), cores }
    }
}

/// What the machine is called; `localhost` when it has no name.
pub fn system_hostname() -> String {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match hostname.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

fn absolute(path: &Path) -> PathBuf {
    // It fails for an empty path and without a current directory; the path as given then says what is wrong.
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

fn read_ini(file: &Path, findings: &mut Findings) -> Result<Option<Ini>, Vec<Diagnostic>> {
    let Some(text) = read_file(file, findings)? else {
        return Ok(None);
    };
    let (ini, diagnostics) = ini::parse(&text, file);
    findings.diagnostics.extend(diagnostics);
    Ok(Some(ini))
}

/// `None`: it is not there. One that is there and cannot be read is an error, with all that was found before it.
fn read_file(file: &Path, findings: &mut Findings) -> Result<Option<String>, Vec<Diagnostic>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(text_of(bytes, file, findings))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let mut diagnostics = std::mem::take(&mut findings.diagnostics);
            diagnostics.push(unreadable(file, &error.to_string()));
            Err(diagnostics)
        }
    }
}

fn text_of(bytes: Vec<u8>, file: &Path, findings: &mut Findings) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = u32::try_from(good.iter().filter(|&&byte| byte == b'\n').count() + 1).ok();
        let message = "this line is not UTF-8; what cannot be read in it is replaced";
        findings.diagnostics.push(Diagnostic::new(Severity::Warning, file, line, message));
        String::from_utf8_lossy(error.as_bytes()).into_owned()
    })
}

fn unreadable(path: &Path, cause: &str) -> Diagnostic {
    let message = format!("it cannot be read: {cause}; it must be readable for the user that runs mainstem");
    Diagnostic::new(Severity::Error, path, None, message)
}

#[cfg(test)]
mod tests;
