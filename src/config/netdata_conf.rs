//! netdata.conf: the options that we use with all their names and defaults, and what a file makes of them.
//!
//! What Netdata has and we do nothing with is in [`UNUSED`] and [`UNUSED_SECTIONS`], so that it is told from a
//! misspelt name.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dbengine::Retention;

use super::access::{AccessLists, access_list};
use super::bind;
use super::collecting::{self, Collecting};
use super::diagnostic::Severity;
use super::ini::Ini;
use super::nearest::suggestion;
use super::options::{Findings, Known, Options, Origin, Unused};
use super::registry::{self, Registry};
use super::simple_pattern::SimplePattern;
use super::value::{self, Reading};
use super::{
    Cipher, Database, Directories, Health, LogTarget, MemoryMode, Replication, Tier, Tls, TlsVersion, Web,
};

/// Rows that a dimension keeps at least.
const RETENTION_MIN: i64 = 5;
const MIB: u64 = 1 << 20;
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
/// At least a row a day.
const UPDATE_EVERY_MAX: i64 = 86_400;

const fn known(
    section: &'static str,
    names: &'static [&'static str],
    old: &'static [(&'static str, &'static str)],
    default: &'static str,
) -> Known {
    Known { section, names, old, default }
}

const PRIVATE_NETWORKS: &str = "localhost fd* 10.* 192.168.* 172.16.* 172.17.* 172.18.* 172.19.* 172.20.* \
    172.21.* 172.22.* 172.23.* 172.24.* 172.25.* 172.26.* 172.27.* 172.28.* 172.29.* 172.30.* 172.31.* UNKNOWN";

/// An empty default depends on the machine or on another option; `read` says how.
#[rustfmt::skip]
static TABLE: &[Known] = &[
    known("global", &["hostname"], &[], ""),

    known("directories", &["config"], &[("global", "config directory")], ""),
    known("directories", &["stock config"], &[("global", "stock config directory")], "/usr/lib/netdata/conf.d"),
    known("directories", &["log"], &[("global", "log directory")], ""),
    known("directories", &["web"], &[("global", "web files directory")], ""),
    known("directories", &["cache"], &[("global", "cache directory")], ""),
    known("directories", &["lib"], &[("global", "lib directory")], ""),
    known("directories", &["registry"], &[("registry", "registry db directory")], ""),
    known("directories", &["plugins"], &[("global", "plugins directory")], ""),

    known("db", &["db", "mode"], &[("global", "memory mode")], "dbengine"),
    known("db", &["update every"], &[("global", "update every")], "1"),
    known("db", &["retention"], &[("global", "history")], "3600"),
    known("db", &["gap when lost iterations above"], &[("global", "gap when lost iterations above")], "1"),
    known("db", &["cleanup obsolete charts after", "cleanup obsolete charts after secs"],
        &[("global", "cleanup obsolete charts after seconds")], "3600"),
    known("db", &["cleanup orphan hosts after", "cleanup orphan hosts after secs"],
        &[("global", "cleanup orphan hosts after seconds")], "3600"),
    known("db", &["delete obsolete charts files"], &[("global", "delete obsolete charts files")], "yes"),
    known("db", &["delete orphan hosts files"], &[("global", "delete orphan hosts files")], "yes"),
    known("db", &["storage tiers"], &[], "3"),
    known("db", &["dbengine tier 0 retention size", "dbengine tier 0 disk space MB", "dbengine tier 0 multihost disk space MB", "dbengine multihost disk space"],
        &[("global", "dbengine multihost disk space")], "1GiB"),
    known("db", &["dbengine tier 0 retention time", "dbengine tier 0 retention days"], &[], "14d"),
    known("db", &["dbengine tier 1 retention size", "dbengine tier 1 disk space MB", "dbengine tier 1 multihost disk space MB"],
        &[], "1GiB"),
    known("db", &["dbengine tier 1 retention time", "dbengine tier 1 retention days"], &[], "90d"),
    known("db", &["dbengine tier 1 update every iterations"], &[], "60"),
    known("db", &["dbengine tier 2 retention size", "dbengine tier 2 disk space MB", "dbengine tier 2 multihost disk space MB"],
        &[], "1GiB"),
    known("db", &["dbengine tier 2 retention time", "dbengine tier 2 retention days"], &[], "2y"),
    known("db", &["dbengine tier 2 update every iterations"], &[], "60"),
    known("db", &["dbengine tier 3 retention size", "dbengine tier 3 disk space MB", "dbengine tier 3 multihost disk space MB"],
        &[], "1GiB"),
    known("db", &["dbengine tier 3 retention time", "dbengine tier 3 retention days"], &[], "2y"),
    known("db", &["dbengine tier 3 update every iterations"], &[], "60"),
    known("db", &["dbengine tier 4 retention size", "dbengine tier 4 disk space MB", "dbengine tier 4 multihost disk space MB"],
        &[], "1GiB"),
    known("db", &["dbengine tier 4 retention time", "dbengine tier 4 retention days"], &[], "2y"),
    known("db", &["dbengine tier 4 update every iterations"], &[], "60"),
    known("db", &["dbengine page cache size", "dbengine page cache size MB"], &[("global", "page cache size")], "32MiB"),
    known("db", &["enable replication"], &[], "yes"),
    known("db", &["replication period", "seconds to replicate"], &[], "86400"),
    known("db", &["replication step", "seconds per replication step"], &[], "600"),

    known("web", &["mode"], &[], "static-threaded"),
    known("web", &["bind to"], &[("global", "bind to"), ("global", "bind socket to IP")], "*"),
    known("web", &["default port"], &[("global", "default port"), ("global", "port")], "19999"),
    known("web", &["listen backlog"], &[("global", "http port listen backlog")], "4096"),
    known("web", &["accept a streaming request every", "accept a streaming request every seconds"], &[], "0"),
    known("web", &["disconnect idle clients after", "disconnect idle clients after seconds"],
        &[("global", "disconnect idle web clients after seconds")], "60"),
    known("web", &["timeout for first request"], &[], "60"),
    known("web", &["enable gzip compression"], &[("global", "enable web responses gzip compression")], "yes"),
    known("web", &["gzip compression level"], &[("global", "web compression level")], "3"),
    known("web", &["respect do not track policy"], &[("global", "respect web browser do not track policy")], "no"),
    known("web", &["ssl key"], &[], ""),
    known("web", &["ssl certificate"], &[], ""),
    known("web", &["tls version"], &[], "1.3"),
    known("web", &["tls ciphers"], &[], "none"),
    known("web", &["allow connections from"], &[], "localhost *"),
    known("web", &["allow dashboard from"], &[], "localhost *"),
    known("web", &["allow badges from"], &[], "*"),
    known("web", &["allow streaming from"], &[], "*"),
    known("web", &["allow netdata.conf from"], &[], PRIVATE_NETWORKS),
    known("web", &["allow management from"], &[], "localhost"),

    known("logs", &["daemon", "error"], &[("global", "error log")], "stderr"),
    known("logs", &["access"], &[("global", "access log")], "none"),
    known("logs", &["health"], &[], "stderr"),

    known("health", &["enabled"], &[], "yes"),

    known("plugins", &["enable running new plugins"], &[], "yes"),
    known("plugins", &["check for new plugins every"], &[], "60"),
    known("plugins", &["netdata monitoring"], &[], "yes"),
    known("plugins", &["proc"], &[], "yes"),
    known("plugins", &["diskspace"], &[], "yes"),
    known("plugins", &["cgroups"], &[], "yes"),
    known("global statistics", &["update every"], &[], ""),

    known("registry", &["netdata unique id file"], &[], ""),
    known("registry", &["allow from"], &[], "*"),
    known("registry", &["enabled"], &[], "no"),
    known("registry", &["registry to announce"], &[], ""),
    known("registry", &["registry hostname"], &[], ""),
    known("registry", &["registry domain"], &[], ""),
    known("registry", &["registry expire idle persons", "registry expire idle persons days"], &[], "1y"),
    known("registry", &["max URL length"], &[], "1024"),
    known("registry", &["max URL name length"], &[], "50"),
    known("registry", &["verify browser cookies support"], &[], "yes"),
    known("registry", &["enable cookies SameSite and Secure"], &[], "yes"),
];

/// Options of sections that we use; a `#` stands for a number.
#[rustfmt::skip]
static UNUSED: &[Unused] = &[
    Unused { section: "global", names: &[
        "run as user", "host access prefix", "timezone", "OOM score", "process scheduling policy",
        "process scheduling priority", "process nice level", "pthread stack size", "libuv worker threads",
        "glibc malloc arena max for plugins", "glibc malloc arena max for netdata",
        "glibc arena max for plugins", "glibc arena max for netdata", "enable metric correlations",
        "metric correlations method", "is ephemeral node", "has unstable connection", "cpu cores",
        "enable zero metrics", "memory deduplication (ksm)", "dbengine disk space",
        "dbengine page fetch timeout", "dbengine page fetch retries", "dbengine extent pages", "home directory",
        "lock directory", "debug log", "facility log", "debug flags",
        "errors flood protection period", "errors to trigger flood protection", "TZ environment variable",
        "web x-frame-options header", "web compression strategy",
        "web files owner", "web files group", "profile", "crash reports", "pulse",
    ] },
    Unused { section: "directories", names: &[
        "home", "lock", "health config", "stock health config", "cloud.d",
    ] },
    Unused { section: "db", names: &[
        "dbengine disk space MB",
        "dbengine multihost disk space MB", "dbengine page cache with malloc", "dbengine pages per extent",
        "dbengine page fetch timeout secs", "dbengine page fetch retries",
        "dbengine page descriptors in file mapped memory", "dbengine extent cache size",
        "dbengine enable journal integrity check", "dbengine page type", "dbengine use direct io",
        "dbengine use all ram for caches", "dbengine out of memory protection",
        "dbengine journal v2 unmount time", "memory deduplication (ksm)",
        "dbengine tier # page cache size MB", "dbengine tier # page cache size",
        "dbengine tier # backfill", "dbengine tier backfill",
        "dbengine tier # update every", "replication threads", "replication prefetch",
        "enable zero metrics",
        "cleanup ephemeral hosts after", "cleanup ephemeral hosts after secs", "extreme cardinality protection",
        "extreme cardinality keep instances", "extreme cardinality min ephemerality",
    ] },
    Unused { section: "web", names: &[
        "web server threads", "web server max sockets", "allow connections by dns",
        "allow dashboard by dns", "allow badges by dns", "allow streaming by dns", "allow netdata.conf by dns",
        "allow management by dns", "gzip compression strategy",
        "x-frame-options response header", "web files owner", "web files group", "ses max window",
        "des max window", "ses max tg_des_window", "des max tg_des_window", "ssl skip certificate verification",
        "custom dashboard_info.js", "enable web responses gzip compression", "http port listen backlog",
    ] },
    Unused { section: "logs", names: &[
        "debug", "collector", "level", "facility", "debug flags", "errors flood protection period",
        "errors to trigger flood protection", "logs flood protection period", "logs to trigger flood protection",
        "severity level", "log to stderr",
    ] },
    Unused { section: "health", names: &[
        "silencers file", "default repeat warning", "default repeat critical",
        "in memory max health log entries", "rotate log every lines", "script to execute on alarm",
        "enable stock health configuration", "is ephemeral", "has unstable connection",
        "run at least every seconds", "run at least every", "postpone alarms during hibernation for seconds",
        "postpone alarms during hibernation for", "health log history", "health log retention",
        "health configuration directory", "stock health configuration directory", "enabled alarms",
        "use summary for notifications", "stock configs",
    ] },
    Unused { section: "registry", names: &[
        "netdata management api key file", "registry db file", "registry log file",
        "registry save db every new entries", "allow by dns",
    ] },
];

/// Sections of which nothing is used; one that ends in `:` stands for all that begin so.
#[rustfmt::skip]
static UNUSED_SECTIONS: &[&str] = &[
    "host labels", "sqlite", "pulse",
    "telemetry", "statsd", "cloud", "ml", "backend", "exporting:", "h2o",
];

/// What the machine and the command line say.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub config_dir: PathBuf,
    /// From the command line: it holds everything we write.
    pub state_dir: Option<PathBuf>,
    pub hostname: String,
    pub cores: usize,
}

/// What is meant.
#[derive(Debug)]
pub(crate) struct NetdataConf {
    pub hostname: String,
    pub directories: Directories,
    pub database: Database,
    pub web: Web,
    /// Of the daemon, of accesses, of health.
    pub log_targets: [LogTarget; 3],
    pub health: Health,
    pub registry: Registry,
    pub collecting: Collecting,
}

pub(crate) fn read(ini: &Ini, surroundings: &Surroundings, findings: &mut Findings) -> NetdataConf {
    let mut options = Options::new(ini, "netdata.conf", TABLE, findings);
    check_sections(&mut options);
    let directories = directories(&mut options, surroundings);
    let database = database(&mut options);
    NetdataConf {
        collecting: collecting::read(&mut options, surroundings, database.update_every_s),
        hostname: options.read_or("global", "hostname", &surroundings.hostname, |text| match text {
            "" => Reading::unusable("a host needs a name"),
            name => Reading::clean(name.to_owned()),
        }),
        database,
        web: web(&mut options, &directories.config),
        log_targets: log_targets(&mut options, &directories.log),
        health: Health { enabled: options.read("health", "enabled", value::boolean) },
        registry: registry::read(&mut options),
        directories,
    }
}

fn check_sections(options: &mut Options<'_>) {
    let ini = options.ini;
    for section in &ini.sections {
        let name = section.name.as_str();
        if collecting::is_of_plugins(name) {
            continue;
        }
        let is_used = TABLE.iter().any(|known| known.section == name);
        let is_unused = UNUSED_SECTIONS
            .iter()
            .any(|known| if known.ends_with(':') { name.starts_with(*known) } else { name == *known });
        if is_used {
            options.check_names(name, section, UNUSED);
        } else if is_unused || name.contains('.') {
            // `[system.cpu]`, `[net.eth0]`: a chart's own section in older files.
            if !section.entries.is_empty() {
                let message = format!("`[{name}]` is not used by this version");
                options.say(Severity::Note, Some(section.line), message);
            }
        } else {
            let sections = TABLE.iter().map(|known| known.section).chain(UNUSED_SECTIONS.iter().copied());
            let hint = suggestion(name.trim(), sections);
            let message = format!("there is no section `[{name}]`, it is ignored{hint}");
            options.say(Severity::Warning, Some(section.line), message);
        }
    }
}

fn directories(options: &mut Options<'_>, surroundings: &Surroundings) -> Directories {
    let base = surroundings.config_dir.as_path();
    let config = path(options, "directories", "config", base, base);
    let stock_config = options.read("directories", "stock config", |text| absolute(text, base));
    let web = path(options, "directories", "web", Path::new("/usr/share/netdata/web"), base);
    let (lib, cache, log) = match &surroundings.state_dir {
        Some(state) => (
            commanded(options, "lib", state),
            commanded(options, "cache", &state.join("cache")),
            commanded(options, "log", &state.join("log")),
        ),
        None => (
            path(options, "directories", "lib", Path::new("/var/lib/mainstem"), base),
            path(options, "directories", "cache", Path::new("/var/cache/mainstem"), base),
            path(options, "directories", "log", Path::new("/var/log/mainstem"), base),
        ),
    };
    let registry = path(options, "directories", "registry", &lib.join("registry"), base);
    let id_file = registry.join("netdata.public.unique.id");
    let machine_guid_file = path(options, "registry", "netdata unique id file", &id_file, base);
    Directories { config, stock_config, web, lib, cache, log, registry, machine_guid_file }
}

/// A path of the file; relative ones count from the configuration directory.
fn path(
    options: &mut Options<'_>,
    section: &'static str,
    name: &str,
    default: &Path,
    base: &Path,
) -> PathBuf {
    options.read_or(section, name, &default.to_string_lossy(), |text| absolute(text, base))
}

fn absolute(text: &str, base: &Path) -> Reading<PathBuf> {
    match text {
        "" => Reading::unusable("there is no path"),
        text => Reading::clean(base.join(text)),
    }
}

/// A directory that the command line has decided on; what the file says of it is told to count no more.
fn commanded(options: &mut Options<'_>, name: &'static str, path: &Path) -> PathBuf {
    if let Some(entry) = options.ini.get("directories", name) {
        let message =
            format!("`[directories] {name}` is ignored: the command line names the state directory");
        options.say(Severity::Note, Some(entry.line), message);
    }
    let shown = path.display().to_string();
    options.record("directories".to_owned(), name.to_owned(), shown, Origin::CommandLine);
    path.to_path_buf()
}

fn database(options: &mut Options<'_>) -> Database {
    Database {
        mode: options.read("db", "db", MemoryMode::read),
        update_every_s: options.read("db", "update every", update_every),
        retention_rows: options.read("db", "retention", retention),
        gap_when_lost_iterations_above: options
            .read("db", "gap when lost iterations above", |text| count(text, 1, 1_000_000)),
        cleanup_obsolete_charts_after: options.read("db", "cleanup obsolete charts after", cleanup_after),
        cleanup_orphan_hosts_after: options.read("db", "cleanup orphan hosts after", cleanup_after),
        delete_obsolete_charts_files: options.read("db", "delete obsolete charts files", value::boolean),
        delete_orphan_hosts_files: options.read("db", "delete orphan hosts files", value::boolean),
        replication: Replication {
            enabled: options.read("db", "enable replication", value::boolean),
            period: options.read("db", "replication period", seconds_or_zero),
            step: options.read("db", "replication step", replication_step),
        },
        tiers: tiers(options),
        page_cache_bytes: options
            .read("db", "dbengine page cache size", |text| value::size(text, MIB))
            .unwrap_or(u64::MAX),
    }
}

/// The tiers of the dbengine. Bare numbers are MiB and days, as in all of these keys' history.
fn tiers(options: &mut Options<'_>) -> Vec<Tier> {
    const SIZES: [&str; 5] = [
        "dbengine tier 0 retention size",
        "dbengine tier 1 retention size",
        "dbengine tier 2 retention size",
        "dbengine tier 3 retention size",
        "dbengine tier 4 retention size",
    ];
    const TIMES: [&str; 5] = [
        "dbengine tier 0 retention time",
        "dbengine tier 1 retention time",
        "dbengine tier 2 retention time",
        "dbengine tier 3 retention time",
        "dbengine tier 4 retention time",
    ];
    const FACTORS: [&str; 5] = [
        "",
        "dbengine tier 1 update every iterations",
        "dbengine tier 2 update every iterations",
        "dbengine tier 3 update every iterations",
        "dbengine tier 4 update every iterations",
    ];
    let count = options.read("db", "storage tiers", |text| count(text, 1, 5)) as usize;
    let tiers = (0..5).map(|tier| {
        let bytes = options.read("db", SIZES[tier], |text| {
            value::size(text, MIB).map(|size| size.filter(|bytes| *bytes > 0))
        });
        let time = options.read("db", TIMES[tier], |text| {
            value::duration(text, DAY).map(|time| time.filter(|time| !time.is_zero()))
        });
        let factor =
            if tier == 0 { 1 } else { options.read("db", FACTORS[tier], |text| self::count(text, 2, 255)) };
        let seconds = time.map(|time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
        Tier { factor, retention: Retention { bytes, seconds } }
    });
    // All are read, so that none of their keys counts as unknown.
    let all: Vec<Tier> = tiers.collect();
    all.into_iter().take(count).collect()
}

fn web(options: &mut Options<'_>, base: &Path) -> Web {
    let listens = options.read("web", "mode", |text| match text {
        "none" => Reading::odd(false, "no port is opened: no child and no browser can connect"),
        "static-threaded" => Reading::clean(true),
        other => Reading::noted(true, format!("`{other}` makes no difference here; only `none` does")),
    });
    let default_port = options.read("web", "default port", |text| match bind::parse_port(text) {
        Ok(0) => Reading::wrong("port 0 is out of range; the first is 1"),
        Ok(port) => Reading::clean(port),
        Err(cause) => Reading::wrong(cause),
    });
    let bind = options.read("web", "bind to", |text| Reading::clean(text.to_owned()));
    let bind_line = bind_line(options);
    let list = bind::parse(&bind, default_port);
    for (severity, complaint) in list.complaints {
        // Nothing is bound at all: what could not be is not worth a stop.
        let severity = if listens { severity } else { severity.min(Severity::Warning) };
        options.say(severity, bind_line, format!("`[web] bind to`: {complaint}"));
    }
    let allow_connections = options.read("web", "allow connections from", |text| {
        let list = access_list(text);
        if list.matches_nothing() {
            return Reading::wrong("this list lets nobody in; write `*`, or the addresses that may connect");
        }
        Reading::clean(list)
    });
    Web {
        bind: if listens { list.items } else { Vec::new() },
        default_port,
        listen_backlog: options.read("web", "listen backlog", |text| count(text, 1, 65_535)),
        accept_a_streaming_request_every: options.read(
            "web",
            "accept a streaming request every",
            seconds_or_zero,
        ),
        disconnect_idle_clients_after: options.read("web", "disconnect idle clients after", patience),
        timeout_for_first_request: options.read("web", "timeout for first request", patience),
        gzip: options.read("web", "enable gzip compression", value::boolean),
        gzip_level: options.read("web", "gzip compression level", |text| count(text, 1, 9)),
        respects_do_not_track: options.read("web", "respect do not track policy", value::boolean),
        tls: Tls {
            is_required: ["ssl key", "ssl certificate"]
                .iter()
                .any(|name| options.ini.get("web", name).is_some_and(|entry| !entry.value.is_empty())),
            key: tls_file(options, "ssl key", "ssl/key.pem", base),
            certificate: tls_file(options, "ssl certificate", "ssl/cert.pem", base),
            newest_version: options.read("web", "tls version", TlsVersion::read),
            ciphers: options.read("web", "tls ciphers", Cipher::read_list),
        },
        allow: AccessLists {
            connections: allow_connections,
            dashboard: allowed(options, "web", "allow dashboard from"),
            badges: allowed(options, "web", "allow badges from"),
            streaming: allowed(options, "web", "allow streaming from"),
            netdata_conf: allowed(options, "web", "allow netdata.conf from"),
            management: allowed(options, "web", "allow management from"),
            registry: allowed(options, "registry", "allow from"),
        },
    }
}

/// Where `bind to` is written, under whichever of its names.
fn bind_line(options: &Options<'_>) -> Option<u32> {
    let names = [("web", "bind to"), ("global", "bind to"), ("global", "bind socket to IP")];
    names.iter().find_map(|(section, name)| options.ini.get(section, name)).map(|entry| entry.line)
}

fn allowed(options: &mut Options<'_>, section: &'static str, name: &str) -> SimplePattern {
    options.read(section, name, |text| Reading::clean(access_list(text)))
}

/// An empty value switches TLS off.
fn tls_file(options: &mut Options<'_>, name: &str, default: &str, base: &Path) -> Option<PathBuf> {
    let default = base.join(default);
    options.read_or("web", name, &default.to_string_lossy(), |text| {
        Reading::clean(if text.is_empty() { None } else { Some(base.join(text)) })
    })
}

fn log_targets(options: &mut Options<'_>, log_dir: &Path) -> [LogTarget; 3] {
    ["daemon", "access", "health"]
        .map(|name| options.read("logs", name, |text| LogTarget::read(text, log_dir)))
}

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn count(text: &str, min: i64, max: i64) -> Reading<u32> {
    value::integer(text, min, max).map(|number| u32::try_from(number).unwrap_or(0))
}

/// 2.x writes a duration, 1.x a number of seconds.
pub(crate) fn update_every(text: &str) -> Reading<u32> {
    let reading = value::duration(text, SECOND);
    let Some(Some(duration)) = reading.value else {
        return Reading::unusable(format!(
            "`{text}` is no number of seconds; write one of 1 to {UPDATE_EVERY_MAX}"
        ));
    };
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let clamped = seconds.clamp(1, UPDATE_EVERY_MAX);
    // Between 1 and a day: it fits.
    let value = u32::try_from(clamped).unwrap_or(1);
    if seconds != clamped {
        return Reading::odd(
            value,
            format!("`{text}` is outside of 1 to {UPDATE_EVERY_MAX} s; {clamped} is used"),
        );
    }
    Reading { value: Some(value), complaint: reading.complaint }
}

pub(crate) fn retention(text: &str) -> Reading<u32> {
    count(text, RETENTION_MIN, i64::from(u32::MAX))
}

/// Off and 0 are the same.
pub(crate) fn seconds_or_zero(text: &str) -> Reading<Duration> {
    value::duration(text, SECOND).map(|duration| duration.unwrap_or(Duration::ZERO))
}

/// Off and 0 are for ever: a parent without any patience would answer nobody.
fn patience(text: &str) -> Reading<Option<Duration>> {
    value::duration(text, SECOND).map(|duration| duration.filter(|duration| !duration.is_zero()))
}

pub(crate) fn replication_step(text: &str) -> Reading<Duration> {
    let reading = seconds_or_zero(text);
    if reading.value.is_some_and(|step| step < SECOND) {
        return Reading::odd(SECOND, format!("`{text}` is too short a step; 1 s is used"));
    }
    reading
}

/// Netdata's least is 10 s; off is never.
fn cleanup_after(text: &str) -> Reading<Option<Duration>> {
    const LEAST: Duration = Duration::from_secs(10);
    let reading = value::duration(text, SECOND);
    if reading.value.flatten().is_some_and(|after| after < LEAST) {
        return Reading::odd(Some(LEAST), format!("`{text}` is less than 10 s; 10 s is used"));
    }
    reading
}
