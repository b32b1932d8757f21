//! mainstem.toml: what Netdata has no word for. One table of the options, and what a file makes of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Severity};
use super::nearest::suggestion;
use super::options::{Findings, Origin, Setting};
use super::value;
use super::{ClientCertificates, Demand};

/// How many threads do the work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// Ingest shards; one core is left to queries and everything else.
    pub shards: usize,
    /// Whether each shard stays on its core.
    pub pin: bool,
}

/// What a child, or all of them, can make us hold. Passing one ends that child's connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub charts_per_host: usize,
    pub dimensions_per_host: usize,
    /// The highest number that a child may give to a chart, or to a dimension of a chart.
    pub slots: usize,
    pub hosts: usize,
    /// Bytes that wait to be sent to one child, or received from it and not yet worked on.
    pub pending_bytes_per_child: usize,
}

/// What questions over the API may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queries {
    /// A question that runs longer is given up.
    pub longest: Duration,
    /// What the points of one answer may take in memory.
    pub memory_bytes: usize,
    /// Questions that run or wait at once; one more is turned away.
    pub at_once: usize,
    /// Of those that read much, so many run at once; the others wait, and small ones pass them.
    pub large_at_once: usize,
}

/// What a commit of the database outlives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Durability {
    /// A loss of power: it has reached the device.
    Power,
    /// The end of the process: the system has it.
    Process,
}

/// How the database uses the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    pub durability: Durability,
    /// A crash loses so much at most.
    pub commit_interval: Duration,
    /// Bytes of pages that may wait in memory for a disk that does not take them.
    pub waiting_bytes: usize,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug)]
pub(crate) struct MainstemToml {
    pub runtime: Runtime,
    pub limits: Limits,
    pub queries: Queries,
    pub storage: Storage,
    pub client_certificates: ClientCertificates,
    pub log_format: LogFormat,
}

struct Known {
    table: &'static str,
    key: &'static str,
    /// As it is written in the file; empty: it depends on the machine.
    default: &'static str,
    /// Of numbers.
    min: u64,
    max: u64,
}

const fn known(table: &'static str, key: &'static str, default: &'static str, min: u64, max: u64) -> Known {
    Known { table, key, default, min, max }
}

/// A real child's lines stay below 16 KiB, and its charts below some ten thousand; these leave room for odd ones.
#[rustfmt::skip]
static TABLE: &[Known] = &[
    known("runtime", "shards", "", 1, 1024),
    known("runtime", "pin", "false", 0, 0),
    known("limits", "charts_per_host", "100000", 1, 10_000_000),
    known("limits", "dimensions_per_host", "1000000", 1, 100_000_000),
    known("limits", "slots", "200000", 1, 10_000_000),
    known("limits", "hosts", "100000", 1, 10_000_000),
    known("limits", "pending_bytes_per_child", "4194304", 65_536, 1 << 30),
    known("web", "query_seconds", "30", 1, 3600),
    known("web", "query_memory_bytes", "268435456", 1 << 20, 1 << 40),
    known("web", "queries", "256", 1, 1_000_000),
    known("web", "large_queries", "2", 1, 1000),
    known("storage", "durability", "\"power\"", 0, 0),
    known("storage", "commit_interval_ms", "1000", 100, 60_000),
    known("storage", "waiting_bytes", "268435456", 1 << 20, 1 << 40),
    known("tls", "client_ca", "", 0, 0),
    known("tls", "client_certificates", "\"off\"", 0, 0),
    known("logs", "format", "\"text\"", 0, 0),
];

pub(crate) fn read(text: &str, file: &Path, cores: usize, findings: &mut Findings) -> MainstemToml {
    let document = match DeTable::parse(text) {
        Ok(document) => document.into_inner(),
        Err(error) => {
            let line = error.span().map(|span| line_at(text, span.start));
            let message = format!("this is not TOML: {}", error.message());
            findings.diagnostics.push(Diagnostic::new(Severity::Error, file, line, message));
            DeTable::new()
        }
    };
    let mut keys = Keys { text, file, document: &document, findings };
    keys.check_names();
    let shards = cores.saturating_sub(1).max(1);
    MainstemToml {
        runtime: Runtime {
            shards: keys.number("runtime", "shards", shards),
            pin: keys.switch("runtime", "pin"),
        },
        limits: Limits {
            charts_per_host: keys.number("limits", "charts_per_host", 0),
            dimensions_per_host: keys.number("limits", "dimensions_per_host", 0),
            slots: keys.number("limits", "slots", 0),
            hosts: keys.number("limits", "hosts", 0),
            pending_bytes_per_child: keys.number("limits", "pending_bytes_per_child", 0),
        },
        queries: Queries {
            longest: Duration::from_secs(keys.number("web", "query_seconds", 0) as u64),
            memory_bytes: keys.number("web", "query_memory_bytes", 0),
            at_once: keys.number("web", "queries", 0),
            large_at_once: keys.number("web", "large_queries", 0),
        },
        storage: Storage {
            durability: keys.word(
                ("storage", "durability"),
                [("power", Durability::Power), ("process", Durability::Process)],
            ),
            commit_interval: Duration::from_millis(keys.number("storage", "commit_interval_ms", 0) as u64),
            waiting_bytes: keys.number("storage", "waiting_bytes", 0),
        },
        client_certificates: keys.client_certificates(),
        log_format: keys.word(("logs", "format"), [("text", LogFormat::Text), ("json", LogFormat::Json)]),
    }
}

/// A file under the table.
struct Keys<'a> {
    text: &'a str,
    file: &'a Path,
    document: &'a DeTable<'a>,
    findings: &'a mut Findings,
}

/// A value that is set: itself, its text in the file, and its line.
struct Written<'a> {
    value: &'a DeValue<'a>,
    text: &'a str,
    line: u32,
}

impl<'a> Keys<'a> {
    fn check_names(&mut self) {
        let document = self.document;
        for (name, value) in document.iter() {
            let table: &str = name.get_ref();
            let line = line_at(self.text, name.span().start);
            if !TABLE.iter().any(|known| known.table == table) {
                let hint = suggestion(table, TABLE.iter().map(|known| known.table));
                self.say(
                    Severity::Warning,
                    line,
                    format!("there is no table `[{table}]`, it is ignored{hint}"),
                );
                continue;
            }
            let DeValue::Table(keys) = value.get_ref() else {
                self.say(
                    Severity::Error,
                    line,
                    format!("`{table}` is a table: write `[{table}]`, its keys below"),
                );
                continue;
            };
            for (name, _) in keys.iter() {
                let key: &str = name.get_ref();
                let in_table = TABLE.iter().filter(|known| known.table == table).map(|known| known.key);
                if in_table.clone().all(|known| known != key) {
                    let hint = suggestion(key, in_table);
                    let line = line_at(self.text, name.span().start);
                    let message = format!("there is no key `{key}` in `[{table}]`, it is ignored{hint}");
                    self.say(Severity::Warning, line, message);
                }
            }
        }
    }

    /// An integer within its range, or a size as text (`"4MiB"`). `machine` is the default of what has none in the table.
    fn number(&mut self, table: &'static str, key: &'static str, machine: usize) -> usize {
        let known = row(table, key);
        let default = known.default.parse().unwrap_or(machine);
        let Some(written) = self.get(table, key) else {
            self.record(known, default.to_string(), Origin::Default);
            return default;
        };
        let number = match written.value {
            DeValue::Integer(integer) => i128::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) => value::size(text, 1).value.flatten().map(i128::from),
            _ => None,
        };
        let range = i128::from(known.min)..=i128::from(known.max);
        match number.filter(|number| range.contains(number)).and_then(|number| usize::try_from(number).ok()) {
            Some(number) => {
                self.record_written(known, &written);
                number
            }
            None => {
                let message = format!(
                    "`[{table}] {key}` is a number of {} to {}, not {}",
                    known.min, known.max, written.text
                );
                self.say(Severity::Error, written.line, message);
                default
            }
        }
    }

    fn switch(&mut self, table: &'static str, key: &'static str) -> bool {
        let known = row(table, key);
        let default = known.default == "true";
        let Some(written) = self.get(table, key) else {
            self.record(known, known.default.to_owned(), Origin::Default);
            return default;
        };
        if let DeValue::Boolean(on) = written.value {
            self.record_written(known, &written);
            return *on;
        }
        let message = format!("`[{table}] {key}` is `true` or `false`, not {}", written.text);
        self.say(Severity::Error, written.line, message);
        default
    }

    /// `[tls]`: who must show a certificate is nothing without who signs them.
    fn client_certificates(&mut self) -> ClientCertificates {
        let ca = self.path("tls", "client_ca");
        let demand = self.word(
            ("tls", "client_certificates"),
            [("off", Demand::Off), ("optional", Demand::Optional), ("required", Demand::Required)],
        );
        match (demand, &ca) {
            (Demand::Off, Some(_)) => {
                let message = "`[tls] client_ca` has no effect while `client_certificates` is \"off\"";
                self.say(Severity::Warning, self.line_of("tls", "client_ca"), message.to_owned());
            }
            (Demand::Optional | Demand::Required, None) => {
                let message = "`[tls] client_certificates` needs `client_ca`: the file with the certificate of the \
                               authority that signs them";
                self.say(Severity::Error, self.line_of("tls", "client_certificates"), message.to_owned());
            }
            _ => {}
        }
        ClientCertificates { ca, demand }
    }

    /// Of a key that is set.
    fn line_of(&self, table: &str, key: &str) -> u32 {
        self.get(table, key).map_or(1, |written| written.line)
    }

    /// A file; relative ones count from the directory of this one.
    fn path(&mut self, table: &'static str, key: &'static str) -> Option<PathBuf> {
        let known = row(table, key);
        let Some(written) = self.get(table, key) else {
            self.record(known, known.default.to_owned(), Origin::Default);
            return None;
        };
        match written.value {
            DeValue::String(text) if !text.is_empty() => {
                self.record_written(known, &written);
                Some(self.file.parent().unwrap_or(Path::new("")).join(&**text))
            }
            _ => {
                let message = format!("`[{table}] {key}` is the name of a file, not {}", written.text);
                self.say(Severity::Error, written.line, message);
                None
            }
        }
    }

    /// One of some words, the first of which is the default.
    fn word<T: Copy, const N: usize>(
        &mut self,
        (table, key): (&'static str, &'static str),
        words: [(&str, T); N],
    ) -> T {
        let known = row(table, key);
        let first = words[0].1;
        let Some(written) = self.get(known.table, known.key) else {
            self.record(known, known.default.to_owned(), Origin::Default);
            return first;
        };
        let found = words
            .into_iter()
            .find(|(word, _)| matches!(written.value, DeValue::String(text) if text == word));
        let Some((_, value)) = found else {
            let names: Vec<String> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let message = format!("`[{table}] {key}` is {}, not {}", names.join(" or "), written.text);
            self.say(Severity::Error, written.line, message);
            return first;
        };
        self.record_written(known, &written);
        value
    }

    fn get(&self, table: &str, key: &str) -> Option<Written<'a>> {
        let document: &'a DeTable<'a> = self.document;
        let text: &'a str = self.text;
        let (_, value) = document.iter().find(|(name, _)| name.get_ref() == table)?;
        let DeValue::Table(keys) = value.get_ref() else { return None };
        let (_, value) = keys.iter().find(|(name, _)| name.get_ref() == key)?;
        let span = value.span();
        let line = line_at(text, span.start);
        Some(Written { value: value.get_ref(), text: text.get(span).unwrap_or_default(), line })
    }

    fn record_written(&mut self, known: &Known, written: &Written<'_>) {
        let origin = Origin::File { file: self.file.to_path_buf(), line: written.line };
        self.record(known, written.text.to_owned(), origin);
    }

    fn record(&mut self, known: &Known, value: String, origin: Origin) {
        self.findings.settings.push(Setting {
            belongs_to: "mainstem.toml",
            section: known.table.to_owned(),
            name: known.key.to_owned(),
            value,
            origin,
        });
    }

    fn say(&mut self, severity: Severity, line: u32, message: String) {
        self.findings.diagnostics.push(Diagnostic::new(severity, self.file, Some(line), message));
    }
}

fn row(table: &str, key: &str) -> &'static Known {
    TABLE
        .iter()
        .find(|known| known.table == table && known.key == key)
        .unwrap_or_else(|| panic!("`[{table}] {key}` is not in the table of mainstem.toml"))
}

fn line_at(text: &str, offset: usize) -> u32 {
    let before = text.as_bytes().iter().take(offset);
    u32::try_from(before.filter(|&&byte| byte == b'\n').count() + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> (MainstemToml, Findings) {
        let mut findings = Findings::default();
        let own = read(text, Path::new("mainstem.toml"), 4, &mut findings);
        (own, findings)
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        let (own, findings) = read_text("");
        assert!(findings.diagnostics.is_empty(), "{:?}", findings.diagnostics);
        assert_eq!(findings.settings.len(), TABLE.len());
        assert_eq!(own.runtime, Runtime { shards: 3, pin: false });
        assert_eq!(own.limits.charts_per_host, 100_000);
        assert_eq!(own.limits.pending_bytes_per_child, 4 << 20);
        assert_eq!(own.log_format, LogFormat::Text);
    }

    #[test]
    fn what_is_set_counts() {
        let text = "[runtime]\nshards = 7\npin = true\n[limits]\nhosts = 0x10\n\
                    pending_bytes_per_child = \"8MiB\"\n[logs]\nformat = \"json\"\n";
        let (own, findings) = read_text(text);
        assert!(findings.diagnostics.is_empty(), "{:?}", findings.diagnostics);
        assert_eq!(own.runtime, Runtime { shards: 7, pin: true });
        assert_eq!((own.limits.hosts, own.limits.pending_bytes_per_child), (16, 8 << 20));
        assert_eq!(own.log_format, LogFormat::Json);
        let (own, _) = read_text("[web]\nquery_seconds = 5\nquery_memory_bytes = \"1GiB\"\nqueries = 9\n");
        let expected =
            Queries { longest: Duration::from_secs(5), memory_bytes: 1 << 30, at_once: 9, large_at_once: 2 };
        assert_eq!(own.queries, expected);
        let (own, _) = read_text("[tls]\nclient_ca = \"ca.pem\"\nclient_certificates = \"optional\"\n");
        let expected = ClientCertificates { ca: Some("ca.pem".into()), demand: Demand::Optional };
        assert_eq!(own.client_certificates, expected);
        let hosts = findings.settings.iter().find(|setting| setting.name == "hosts").expect("recorded");
        assert_eq!(hosts.origin, Origin::File { file: "mainstem.toml".into(), line: 5 });
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        #[track_caller]
        fn check(text: &str, severity: Severity, line: u32, expected: &str) {
            let (_, findings) = read_text(text);
            assert_eq!(findings.diagnostics.len(), 1, "{text:?}: {:?}", findings.diagnostics);
            let said = &findings.diagnostics[0];
            assert_eq!((said.severity, said.line), (severity, Some(line)), "{text:?}: {said}");
            assert!(said.message.contains(expected), "{text:?}: {said}");
        }
        check("[runtime]\nshard = 1", Severity::Warning, 2, "did you mean `shards`");
        check("\n[runtim]\nshards = 1", Severity::Warning, 2, "did you mean `runtime`");
        check("shards = 1", Severity::Warning, 1, "no table");
        check("runtime = 1", Severity::Error, 1, "is a table");
        check("[runtime]\nshards = 0", Severity::Error, 2, "1 to 1024, not 0");
        check("[runtime]\nshards = \"many\"", Severity::Error, 2, "not \"many\"");
        check("[runtime]\n\npin = 1", Severity::Error, 3, "`true` or `false`");
        check("[logs]\nformat = \"xml\"", Severity::Error, 2, "\"text\" or \"json\", not \"xml\"");
        check("[tls]\nclient_certificates = \"required\"", Severity::Error, 2, "needs `client_ca`");
        check("[tls]\nclient_ca = \"ca.pem\"", Severity::Warning, 2, "no effect");
        check("[tls]\nclient_ca = 1", Severity::Error, 2, "the name of a file, not 1");
        check("[runtime]\nshards = \n", Severity::Error, 2, "not TOML");
    }
}
