//! [`SendPolicy`]: to which parents a host is sent on, and how.
//!
//! `[stream]` says it for all hosts, the section of an API key for those that came with it, the section of a machine GUID for
//! one: built-in < `[stream]` < key < GUID.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::options::is_uuid;
use super::simple_pattern::SimplePattern;
use super::value::{self, Reading};

/// Where Netdata listens.
pub(crate) const DEFAULT_PORT: u16 = 19_999;
/// Less than one definition of a large chart needs.
const LEAST_BUFFER: u64 = 64 << 10;
const MOST_BUFFER: u64 = 1 << 30;

/// A parent as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// A name or an address.
    pub host: String,
    /// Through which interface it is reached.
    pub interface: Option<String>,
    pub port: u16,
    /// `:SSL`.
    pub is_encrypted: bool,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(interface) = &self.interface {
            write!(f, "%{interface}")?;
        }
        write!(f, ":{}{}", self.port, if self.is_encrypted { ":SSL" } else { "" })
    }
}

/// A key that opens other parents: no log line may show it.
#[derive(Clone, PartialEq, Eq)]
pub struct ParentKey(pub String);

impl fmt::Debug for ParentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::redacted(&self.0))
    }
}

/// What one section says; `None` is inherited.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SendingOptions {
    pub enabled: Option<bool>,
    /// As written: what its items mean depends on the default port.
    pub destination: Option<String>,
    pub api_key: Option<ParentKey>,
    pub charts: Option<SimplePattern>,
}

impl SendingOptions {
    /// These where they are set, else those of the outer section.
    pub fn over(&self, outer: &SendingOptions) -> SendingOptions {
        SendingOptions {
            enabled: self.enabled.or(outer.enabled),
            destination: self.destination.clone().or_else(|| outer.destination.clone()),
            api_key: self.api_key.clone().or_else(|| outer.api_key.clone()),
            charts: self.charts.clone().or_else(|| outer.charts.clone()),
        }
    }

    /// What is still needed before anything can be sent, if it is to be.
    pub(crate) fn lacks(&self) -> Option<&'static str> {
        if self.enabled != Some(true) {
            None
        } else if self.destination.as_deref().is_none_or(str::is_empty) {
            Some("destination")
        } else if self.api_key.is_none() {
            Some("api key")
        } else {
            None
        }
    }
}

/// How links to parents behave; `[stream]` says it for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    pub default_port: u16,
    /// For a connection, for the answer to a request, and for a parent that takes nothing.
    pub timeout: Duration,
    /// What may wait for a parent that does not read.
    pub buffer_bytes: usize,
    /// After a lost connection, and when no parent can be reached.
    pub reconnect_delay: Duration,
    /// Intervals of a chart that a parent without replication measures by its own clock.
    pub resync_iterations: u32,
    pub trust: Trust,
}

/// Which parents with TLS are believed; without any of it those that the system's authorities vouch for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Trust {
    /// A directory of certificates, named by their hashes.
    pub ca_path: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub skips_verification: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            default_port: DEFAULT_PORT,
            timeout: Duration::from_secs(60),
            buffer_bytes: 10 << 20,
            reconnect_delay: Duration::from_secs(5),
            resync_iterations: 60,
            trust: Trust::default(),
        }
    }
}

/// To which parents a host is sent, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendPolicy {
    /// In the order in which they are tried; never empty.
    pub destinations: Vec<Destination>,
    pub api_key: ParentKey,
    /// Charts that are sent, by id or name.
    pub charts: SimplePattern,
    pub compression: bool,
    pub link: LinkOptions,
}

impl SendPolicy {
    /// `None`: the host is not sent.
    pub(crate) fn new(options: &SendingOptions, link: &LinkOptions, compression: bool) -> Option<Self> {
        if options.enabled != Some(true) {
            return None;
        }
        let destinations = destinations(options.destination.as_deref()?, link.default_port).value?;
        Some(Self {
            destinations,
            api_key: options.api_key.clone()?,
            charts: options.charts.clone().unwrap_or_else(|| charts("*")),
            compression,
            link: link.clone(),
        })
    }
}

/// Patterns of charts' ids and names.
pub(crate) fn charts(text: &str) -> SimplePattern {
    SimplePattern::new(text, super::simple_pattern::WHITE_SPACE)
}

pub(crate) fn api_key(text: &str) -> Reading<ParentKey> {
    if is_uuid(text) {
        Reading::clean(ParentKey(text.to_owned()))
    } else {
        Reading::unusable(
            "it is no UUID: write the key whose section in the parent's stream.conf has `enabled = yes`",
        )
    }
}

/// The items of a list of parents. What cannot be used of it is said, and left out.
pub(crate) fn destinations(text: &str, default_port: u16) -> Reading<Vec<Destination>> {
    let mut found = Vec::new();
    let mut complaint = None;
    for item in value::list(text) {
        match destination(item, default_port) {
            Ok(destination) => found.push(destination),
            Err(error) => complaint = complaint.or(Some(format!("`{item}`: {error}"))),
        }
    }
    match (found.is_empty(), complaint) {
        (false, None) => Reading::clean(found),
        (false, Some(complaint)) => Reading::odd(found, complaint),
        (true, Some(complaint)) => Reading::unusable(complaint),
        (true, None) => {
            Reading::unusable("it names no parent: write `host:port`, several with spaces between")
        }
    }
}

/// `[PROTOCOL:]HOST[%INTERFACE][:PORT][:SSL]`.
fn destination(item: &str, default_port: u16) -> Result<Destination, String> {
    const FORM: &str = "write `host`, `host:port` or `[IPv6 address]:port`";
    let rest = item.strip_prefix("tcp:").unwrap_or(item);
    if rest.starts_with("unix:") || rest.starts_with("udp:") {
        return Err(format!("parents are reached by TCP; {FORM}"));
    }
    let (rest, is_encrypted) = match rest.strip_suffix(":SSL") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (host, behind) = match rest.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or_else(|| format!("the `]` is missing; {FORM}"))?,
        None => rest.split_at(rest.find([':', '%']).unwrap_or(rest.len())),
    };
    let (interface, behind) = match behind.strip_prefix('%') {
        Some(interface) => {
            let (interface, behind) = interface.split_at(interface.find(':').unwrap_or(interface.len()));
            (Some(interface.to_owned()), behind)
        }
        None => (None, behind),
    };
    let port = match behind.strip_prefix(':') {
        Some(port) => super::bind::parse_port(port)?,
        None if behind.is_empty() => default_port,
        None => return Err(FORM.to_owned()),
    };
    if host.is_empty() || interface.as_deref() == Some("") {
        return Err(FORM.to_owned());
    }
    Ok(Destination { host: host.to_owned(), interface, port, is_encrypted })
}

pub(crate) fn port(text: &str) -> Reading<u16> {
    match super::bind::parse_port(text) {
        Ok(port) => Reading::clean(port),
        Err(error) => Reading::unusable(error),
    }
}

/// A file or a directory, or nothing.
pub(crate) fn path(text: &str) -> Reading<Option<PathBuf>> {
    match text {
        "" => Reading::clean(None),
        text if Path::new(text).is_absolute() => Reading::clean(Some(text.into())),
        _ => Reading::unusable("write it from the root on, with a `/` in front"),
    }
}

/// At least a second.
pub(crate) fn at_least_a_second(text: &str) -> Reading<Duration> {
    let least = Duration::from_secs(1);
    match value::duration(text, least) {
        Reading { value: Some(Some(duration)), complaint } => {
            Reading { value: Some(duration.max(least)), complaint }
        }
        Reading { value: Some(None), .. } => Reading::unusable("it cannot be switched off; write seconds"),
        Reading { complaint, .. } => Reading { value: None, complaint },
    }
}

pub(crate) fn buffer(text: &str) -> Reading<usize> {
    match value::size(text, 1) {
        Reading { value: Some(Some(bytes)), complaint } => {
            Reading { value: Some(bytes.clamp(LEAST_BUFFER, MOST_BUFFER) as usize), complaint }
        }
        Reading { value: Some(None), .. } => Reading::unusable("it cannot be switched off; write a size"),
        Reading { complaint, .. } => Reading { value: None, complaint },
    }
}

pub(crate) fn iterations(text: &str) -> Reading<u32> {
    value::integer(text, 0, 86_400).map(|iterations| iterations as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_in_every_form() {
        let read = |text: &str| {
            let Reading { value, complaint } = destinations(text, 19_999);
            let shown: Vec<String> = value.into_iter().flatten().map(|item| item.to_string()).collect();
            (shown.join(" "), complaint.map(|(_, text)| text))
        };
        let clean =
            |text: &str, expected: &str| assert_eq!(read(text), (expected.to_owned(), None), "{text}");
        clean("parent", "parent:19999");
        clean("tcp:10.0.0.1:20000 b", "10.0.0.1:20000 b:19999");
        clean("[::1]:7 [fe80::1%eth0]", "[::1]:7 [fe80::1%eth0]:19999");
        clean("a%eth0:7", "a%eth0:7");
        clean("a:1:SSL b:SSL [::1]:SSL", "a:1:SSL b:19999:SSL [::1]:19999:SSL");
        for (wrong, kept, word) in [
            ("a:b c", "c:19999", "`a:b`"),
            ("unix:/x", "", "TCP"),
            ("[::1", "", "]"),
            (":7", "", "host"),
            ("", "", "names no parent"),
        ] {
            let (shown, complaint) = read(wrong);
            assert_eq!(shown, kept, "{wrong}");
            assert!(complaint.as_deref().is_some_and(|text| text.contains(word)), "{wrong}: {complaint:?}");
        }
    }

    #[test]
    fn sizes_and_times_stay_in_bounds() {
        assert_eq!(buffer("1").value, Some(64 << 10));
        assert_eq!(buffer("10MiB").value, Some(10 << 20));
        assert_eq!(buffer("off").value, None);
        assert_eq!(at_least_a_second("0").value, Some(Duration::from_secs(1)));
        assert_eq!(at_least_a_second("1m").value, Some(Duration::from_secs(60)));
        assert_eq!(at_least_a_second("never").value, None);
    }
}
