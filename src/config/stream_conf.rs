//! stream.conf: who may stream to us, with which key, and how each child is kept; as it is written, section by section.
//!
//! `[stream]` holds what applies to all children, a section named by a UUID is an API key or a child's machine GUID.
//! Options have one name for both kinds from 2.0 on and two in 1.x; all of them are read in either kind. What a section
//! does not set it inherits, see [`ChildOptions::over`]; what comes of that for one child is in `policy`.

use std::time::Duration;

use super::access::access_list;
use super::diagnostic::Severity;
use super::ini::{Ini, Section};
use super::nearest::{nearest, suggestion};
use super::netdata_conf::{replication_step, retention, seconds_or_zero, update_every};
use super::options::{Findings, Known, Options, Origin, Unused, is_uuid, redacted};
use super::sending::{self, LinkOptions, SendingOptions, Trust};
use super::simple_pattern::SimplePattern;
use super::value::{self, OnDemand, Reading};
use super::{CompressionAlgorithm, MemoryMode};

/// The literal sections of Netdata's stock file; they match nothing.
const EXAMPLES: [&str; 2] = ["API_KEY", "MACHINE_GUID"];

/// Rows of a key's or a child's section; those that `[stream]` may set for all are under `stream`, too.
const CHILD: &str = "UUID";
const STREAM: &str = "stream";

const fn known(section: &'static str, names: &'static [&'static str], default: &'static str) -> Known {
    Known { section, names, old: &[], default }
}

/// The newest name first, then those of 1.x. An empty default: what the outer section or netdata.conf says.
#[rustfmt::skip]
static TABLE: &[Known] = &[
    known(STREAM, &["enabled"], "no"),
    known(STREAM, &["destination"], ""),
    known(STREAM, &["api key"], ""),
    known(STREAM, &["default port"], "19999"),
    known(STREAM, &["timeout", "timeout seconds"], "60"),
    known(STREAM, &["buffer size", "buffer size bytes"], "10485760"),
    known(STREAM, &["reconnect delay", "reconnect delay seconds"], "5"),
    known(STREAM, &["initial clock resync iterations"], "60"),
    known(STREAM, &["send charts matching"], "*"),
    known(STREAM, &["CApath"], ""),
    known(STREAM, &["CAfile"], ""),
    known(STREAM, &["ssl skip certificate verification"], "no"),

    known(CHILD, &["type"], ""),
    known(CHILD, &["enabled"], ""),
    known(CHILD, &["allow from"], "*"),
    // Of our own, for the section of an API key.
    known(CHILD, &["maximum hosts"], "0"),
    known(CHILD, &["db", "db mode", "memory mode", "default memory mode"], ""),
    known(CHILD, &["retention", "history", "default history"], ""),
    known(CHILD, &["update every"], ""),
    known(CHILD, &["health enabled", "health enabled by default"], ""),
    known(CHILD, &["postpone alerts on connect", "postpone alarms on connect",
        "postpone alarms on connect seconds", "default postpone alarms on connect",
        "default postpone alarms on connect seconds"], "60"),
    known(CHILD, &["enable compression"], "yes"),
    known(CHILD, &["compression algorithms order"], "lz4 zstd brotli gzip"),
    known(CHILD, &["enable replication"], ""),
    known(CHILD, &["replication period", "seconds to replicate"], ""),
    known(CHILD, &["replication step", "seconds per replication step"], ""),
    known(CHILD, &["proxy enabled", "default proxy enabled"], ""),
    known(CHILD, &["proxy destination", "default proxy destination"], ""),
    known(CHILD, &["proxy api key", "default proxy api key"], ""),
    known(CHILD, &["proxy send charts matching", "default proxy send charts matching"], ""),
];

#[rustfmt::skip]
static UNUSED: &[Unused] = &[
    Unused { section: STREAM, names: &[
        "zstd compression level", "lz4 compression acceleration",
        "brotli compression level", "gzip compression level", "parent using h2o",
    ] },
    Unused { section: CHILD, names: &[
        "health log history", "health log retention",
        "default health log history", "host tags", "is ephemeral node", "multiple connections",
        "default multiple connections", "web compression level", "zstd compression level",
        "lz4 compression acceleration", "brotli compression level", "gzip compression level",
    ] },
];

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Streaming {
    /// `[stream]`: for all children, weaker than their own sections.
    pub all: ChildOptions,
    /// How what is sent on is sent.
    pub link: LinkOptions,
    /// The sections named by a UUID.
    pub sections: Vec<StreamSection>,
}

/// A section named by a UUID.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamSection {
    /// In lower case.
    pub id: String,
    /// What the section says it is; unsaid it is either.
    pub kind: Option<SectionKind>,
    /// Unsaid: no for an API key, yes for a child.
    pub enabled: Option<bool>,
    /// Unsaid: from everywhere.
    pub allow_from: Option<SimplePattern>,
    /// Of an API key: hosts that may stream with it at once. Unsaid or 0: any number.
    pub maximum_hosts: Option<u32>,
    pub options: ChildOptions,
}

/// Its id may be an API key, which no log line may show.
impl std::fmt::Debug for StreamSection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StreamSection").field("id", &redacted(&self.id)).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionKind {
    Api,
    Machine,
    /// Neither: the section refuses whoever comes with its UUID.
    Other(String),
}

/// What one section says of its children; `None` is inherited.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ChildOptions {
    pub memory_mode: Option<MemoryMode>,
    pub retention_rows: Option<u32>,
    pub update_every_s: Option<u32>,
    pub health: Option<OnDemand>,
    pub postpone_alarms: Option<Duration>,
    pub compression: Option<bool>,
    pub compression_order: Option<Vec<CompressionAlgorithm>>,
    pub replication: Option<bool>,
    pub replication_period: Option<Duration>,
    pub replication_step: Option<Duration>,
    pub sending: SendingOptions,
}

impl ChildOptions {
    /// These where they are set, else those of the outer section. Only `enable compression` is what both say: whoever
    /// switches it off for many does not mean all but one.
    pub fn over(&self, outer: &ChildOptions) -> ChildOptions {
        ChildOptions {
            memory_mode: self.memory_mode.or(outer.memory_mode),
            retention_rows: self.retention_rows.or(outer.retention_rows),
            update_every_s: self.update_every_s.or(outer.update_every_s),
            health: self.health.or(outer.health),
            postpone_alarms: self.postpone_alarms.or(outer.postpone_alarms),
            compression: match (self.compression, outer.compression) {
                (Some(inner), Some(outer)) => Some(inner && outer),
                (inner, outer) => inner.or(outer),
            },
            compression_order: self.compression_order.clone().or_else(|| outer.compression_order.clone()),
            replication: self.replication.or(outer.replication),
            replication_period: self.replication_period.or(outer.replication_period),
            replication_step: self.replication_step.or(outer.replication_step),
            sending: self.sending.over(&outer.sending),
        }
    }
}

impl Streaming {
    /// The section of an API key or a machine GUID, whatever their case. All sections are compared to their last byte,
    /// so that the time an answer takes says nothing about a key.
    pub fn section(&self, id: &str) -> Option<&StreamSection> {
        let mut found = None;
        for section in &self.sections {
            if same_in_constant_time(section.id.as_bytes(), id.as_bytes()) {
                found = Some(section);
            }
        }
        found
    }
}

/// Equal but for the case of ASCII letters; only the lengths are told by the time it takes.
fn same_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let difference = a
        .iter()
        .zip(b)
        .fold(0_u8, |difference, (a, b)| difference | (a.to_ascii_lowercase() ^ b.to_ascii_lowercase()));
    std::hint::black_box(difference) == 0
}

pub(crate) fn read(ini: &Ini, findings: &mut Findings) -> Streaming {
    let mut streaming = Streaming::default();
    let mut options = Options::new(ini, "stream.conf", TABLE, findings);
    streaming.link = link_options(&mut options);
    let own = own_sending(&mut options, &streaming.link);
    for section in &ini.sections {
        if section.name == STREAM {
            check_stream_names(&mut options, section);
            streaming.all = child_options(&mut options, section);
            streaming.all.sending = own.clone();
        } else if is_uuid(&section.name) {
            options.check_names(CHILD, section, UNUSED);
            let mut read = stream_section(&mut options, section);
            read.options.sending = proxy_options(&mut options, section, &streaming.link);
            streaming.add(read);
        } else if !EXAMPLES.contains(&section.name.as_str()) {
            let hint = suggestion(section.name.trim(), [STREAM]);
            // A key with a letter too few is still nearly a key.
            let shown = if section.name.len() < 20 { section.name.clone() } else { redacted(&section.name) };
            let message = format!(
                "`[{shown}]` is neither `[stream]` nor named by a UUID, an API key's or a child's, \
                 and is ignored{hint}"
            );
            options.say(Severity::Warning, Some(section.line), message);
        }
    }
    record_defaults(&mut options);
    for section in &streaming.sections {
        let sending = section.options.sending.over(&streaming.all.sending);
        // A section that says nothing of it lacks no more than `[stream]`.
        if let Some(lacking) =
            sending.lacks().filter(|_| section.options.sending != SendingOptions::default())
        {
            let message = format!(
                "`[{}]` is to be sent on (`proxy enabled`), and there is no `proxy {lacking}` here and no `{lacking}` in \
                 `[stream]`: its hosts are not sent",
                redacted(&section.id)
            );
            options.say(Severity::Warning, None, message);
        }
    }
    // Who only sends needs none.
    if !streaming.lets_someone_in() && streaming.all.sending.enabled != Some(true) {
        let message = "no API key is enabled, every child will be refused; a section named by a new UUID with \
                       `enabled = yes` is one, and `mainstem init` writes it";
        options.say(Severity::Warning, None, message);
    }
    streaming
}

fn link_options(options: &mut Options<'_>) -> LinkOptions {
    LinkOptions {
        default_port: options.read(STREAM, "default port", sending::port),
        timeout: options.read(STREAM, "timeout", sending::at_least_a_second),
        buffer_bytes: options.read(STREAM, "buffer size", sending::buffer),
        reconnect_delay: options.read(STREAM, "reconnect delay", sending::at_least_a_second),
        resync_iterations: options.read(STREAM, "initial clock resync iterations", sending::iterations),
        trust: Trust {
            ca_path: options.read(STREAM, "CApath", sending::path),
            ca_file: options.read(STREAM, "CAfile", sending::path),
            skips_verification: options.read(STREAM, "ssl skip certificate verification", value::boolean),
        },
    }
}

/// Where `[stream]` sends all hosts to.
fn own_sending(options: &mut Options<'_>, link: &LinkOptions) -> SendingOptions {
    let enabled = options.read(STREAM, "enabled", value::boolean);
    let Some(section) = options.ini.section(STREAM) else { return SendingOptions::default() };
    let read = SendingOptions {
        enabled: Some(enabled),
        destination: options.read_in(STREAM, section, "destination", destination_of(link)),
        api_key: options
            .read_in(STREAM, section, "api key", |text| match text {
                "" => Reading::clean(None),
                text => sending::api_key(text).map(Some),
            })
            .flatten(),
        charts: Some(
            options.read(STREAM, "send charts matching", |text| Reading::clean(sending::charts(text))),
        ),
    };
    if let Some(lacking) = read.lacks() {
        let line = options.ini.get(STREAM, "enabled").map(|entry| entry.line);
        let message = format!(
            "`[stream] enabled`: nothing is sent, because there is no `{lacking}`; a destination is `host:port` of a \
             parent, the api key a UUID that has `enabled = yes` in its stream.conf"
        );
        options.say(Severity::Warning, line, message);
    }
    read
}

/// A list of parents, checked, as it is written.
fn destination_of(link: &LinkOptions) -> impl Fn(&str) -> Reading<String> {
    let default_port = link.default_port;
    move |text| {
        if text.is_empty() {
            return Reading::clean(String::new());
        }
        sending::destinations(text, default_port).map(|_| text.to_owned())
    }
}

/// What is built in shows as `[stream]`'s, where a file would set it for all children.
fn record_defaults(options: &mut Options<'_>) {
    let all = options.ini.section(STREAM);
    for known in TABLE.iter().filter(|known| is_inherited(known) && !known.default.is_empty()) {
        let is_set = known.names.iter().any(|name| all.is_some_and(|all| all.get(name).is_some()));
        if !is_set {
            let (name, default) = (known.names[0].to_owned(), known.default.to_owned());
            options.record(STREAM.to_owned(), name, default, Origin::Default);
        }
    }
}

/// `[stream]` may set what its children inherit, and the sender's options, which need no word while nothing is sent:
/// every stock file sets them.
fn check_stream_names(options: &mut Options<'_>, section: &Section) {
    let own = TABLE.iter().filter(|known| known.section == STREAM);
    let inherited = TABLE.iter().filter(|known| is_inherited(known));
    let used: Vec<&'static str> =
        own.chain(inherited).flat_map(|known| known.names.iter().copied()).collect();
    let unused: Vec<&'static str> = UNUSED
        .iter()
        .filter(|unused| unused.section == STREAM)
        .flat_map(|unused| unused.names.iter().copied())
        .collect();
    for entry in &section.entries {
        let name = entry.name.as_str();
        if used.contains(&name) || unused.contains(&name) {
            continue;
        }
        let hint = match nearest(name, used.iter().chain(&unused).copied()) {
            Some(known) => format!("; did you mean `{known}`?"),
            None if TABLE.iter().any(|known| known.names.contains(&name)) => {
                "; it belongs into the section of an API key or a child".to_owned()
            }
            None => String::new(),
        };
        let message = format!("there is no option `{name}` in `[stream]`, it is ignored{hint}");
        options.say(Severity::Warning, Some(entry.line), message);
    }
}

fn is_inherited(known: &Known) -> bool {
    let name = known.names[0];
    known.section == CHILD
        && !["type", "enabled", "allow from", "maximum hosts"].contains(&name)
        && !name.starts_with("proxy ")
}

fn stream_section<'a>(options: &mut Options<'a>, section: &'a Section) -> StreamSection {
    let kind = options.read_in(CHILD, section, "type", |text| match text {
        "api" => Reading::clean(SectionKind::Api),
        "machine" => Reading::clean(SectionKind::Machine),
        other => Reading::odd(
            SectionKind::Other(other.to_owned()),
            format!("`{other}` is neither `api` nor `machine`, whoever comes with this UUID is refused"),
        ),
    });
    StreamSection {
        id: section.name.to_ascii_lowercase(),
        kind,
        enabled: options.read_in(CHILD, section, "enabled", value::boolean),
        allow_from: options.read_in(CHILD, section, "allow from", |text| {
            let list = access_list(text);
            if list.matches_nothing() {
                return Reading::odd(
                    list,
                    "this list lets nobody in; write `*`, or the addresses that may stream",
                );
            }
            Reading::clean(list)
        }),
        maximum_hosts: options.read_in(CHILD, section, "maximum hosts", maximum_hosts),
        options: child_options(options, section),
    }
}

fn child_options<'a>(options: &mut Options<'a>, section: &'a Section) -> ChildOptions {
    ChildOptions {
        memory_mode: options.read_in(CHILD, section, "db", MemoryMode::read),
        retention_rows: options.read_in(CHILD, section, "retention", retention),
        update_every_s: options.read_in(CHILD, section, "update every", update_every),
        health: options.read_in(CHILD, section, "health enabled", value::on_demand),
        postpone_alarms: options.read_in(CHILD, section, "postpone alerts on connect", seconds_or_zero),
        compression: options.read_in(CHILD, section, "enable compression", value::boolean),
        compression_order: options.read_in(CHILD, section, "compression algorithms order", compression_order),
        replication: options.read_in(CHILD, section, "enable replication", value::boolean),
        replication_period: options.read_in(CHILD, section, "replication period", seconds_or_zero),
        replication_step: options.read_in(CHILD, section, "replication step", replication_step),
        sending: SendingOptions::default(),
    }
}

/// Where an API key's or a child's section sends its hosts to.
fn proxy_options<'a>(options: &mut Options<'a>, section: &'a Section, link: &LinkOptions) -> SendingOptions {
    SendingOptions {
        enabled: options.read_in(CHILD, section, "proxy enabled", value::boolean),
        destination: options
            .read_in(CHILD, section, "proxy destination", destination_of(link))
            .filter(|text| !text.is_empty()),
        api_key: options
            .read_in(CHILD, section, "proxy api key", |text| match text {
                "" => Reading::clean(None),
                text => sending::api_key(text).map(Some),
            })
            .flatten(),
        charts: options.read_in(CHILD, section, "proxy send charts matching", |text| {
            Reading::clean(sending::charts(text))
        }),
    }
}

/// 0 is any number.
fn maximum_hosts(text: &str) -> Reading<u32> {
    value::integer(text, 0, u32::MAX.into()).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
}

/// The algorithms of the list, then the others, in the built-in order.
fn compression_order(text: &str) -> Reading<Vec<CompressionAlgorithm>> {
    let mut order = Vec::new();
    let mut unknown = Vec::new();
    for word in value::list(text) {
        match CompressionAlgorithm::from_name(word) {
            Some(algorithm) if order.contains(&algorithm) => {}
            Some(algorithm) => order.push(algorithm),
            None => unknown.push(word),
        }
    }
    let listed = order.len();
    for algorithm in CompressionAlgorithm::DEFAULT_ORDER {
        if !order.contains(&algorithm) {
            order.push(algorithm);
        }
    }
    let known = "write some of `lz4 zstd brotli gzip`, the preferred first";
    if listed == 0 {
        return Reading::unusable(format!("`{text}` names no algorithm; {known}"));
    }
    if let Some(word) = unknown.first() {
        return Reading::odd(order, format!("there is no algorithm `{word}`; {known}"));
    }
    Reading::clean(order)
}

impl Streaming {
    /// The same UUID in another case is the same section: what it sets last counts.
    fn add(&mut self, section: StreamSection) {
        let Some(at) = self.sections.iter().position(|before| before.id == section.id) else {
            self.sections.push(section);
            return;
        };
        let before = &mut self.sections[at];
        before.kind = section.kind.or(before.kind.take());
        before.enabled = section.enabled.or(before.enabled);
        before.allow_from = section.allow_from.or(before.allow_from.take());
        before.maximum_hosts = section.maximum_hosts.or(before.maximum_hosts);
        before.options = section.options.over(&before.options);
    }

    pub(super) fn lets_someone_in(&self) -> bool {
        self.sections.iter().any(|section| {
            section.enabled == Some(true) && matches!(section.kind, None | Some(SectionKind::Api))
        })
    }
}
