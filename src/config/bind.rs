//! [`BindTo`]: an item of `[web] bind to`, from its text to an address, its rights and its wish for TLS.
//!
//! ```text
//! bind to = item { (space | ",") item }                     at most 100
//! item    = ["tcp:" | "udp:"] host ["%" interface] [":" port] ["=" right { "|" right }] ["^SSL=" ("optional" | "force")]
//!         | "unix:" path
//! host    = "*" | "any" | "all" | IPv4 | "[" IPv6 "]" | name
//! right   = "dashboard" | "registry" | "badges" | "management" | "streaming" | "netdata.conf"
//! ```
//!
//! Without a list of rights an item has all of them, and so has a unix socket. Netdata reads `^SSL=` only behind such a
//! list; here it is read in any case. A bare IPv6 address without a port is taken, too.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use super::access::Rights;
use super::diagnostic::Severity;
use super::nearest::suggestion;
use super::value;

/// As many sockets as a Netdata opens.
const ITEMS_MAX: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindTo {
    pub address: BindAddress,
    pub rights: Rights,
    pub tls: PortTls,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAddress {
    Tcp { host: BindHost, interface: Option<String>, port: u16 },
    Unix(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindHost {
    /// All addresses of the machine, IPv6 and IPv4.
    Any,
    Ip(IpAddr),
    /// To be looked up; every address that it has is bound.
    Name(String),
}

/// What `^SSL=` says of unencrypted clients of a port, when there is a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PortTls {
    /// Nothing is said: browsers are sent to https, children are taken.
    Unsaid,
    /// All are taken.
    Optional,
    /// None is taken.
    Force,
}

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            BindAddress::Tcp { host, interface, port } => {
                match host {
                    BindHost::Any => f.write_str("*")?,
                    BindHost::Ip(IpAddr::V4(ip)) => write!(f, "{ip}")?,
                    BindHost::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
                    BindHost::Name(name) => f.write_str(name)?,
                }
                if let Some(interface) = interface {
                    write!(f, "%{interface}")?;
                }
                write!(f, ":{port}")
            }
        }
    }
}

/// The sockets of a `bind to`, and what is to be said about them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct BindList {
    pub items: Vec<BindTo>,
    pub complaints: Vec<(Severity, String)>,
}

/// Reads a whole `bind to`. An item that cannot be read is an error, and so is a list that opens nothing.
pub(crate) fn parse(text: &str, default_port: u16) -> BindList {
    let mut list = BindList::default();
    for item in value::list(text) {
        match parse_item(item, default_port, &mut list.complaints) {
            Ok(Some(bind)) => list.items.push(bind),
            Ok(None) => {}
            Err(cause) => {
                list.complaints.push((Severity::Error, format!("`{item}` cannot be bound: {cause}")))
            }
        }
    }
    if list.items.len() > ITEMS_MAX {
        list.complaints.push((Severity::Warning, format!("only the first {ITEMS_MAX} items are bound")));
        list.items.truncate(ITEMS_MAX);
    }
    let deaf = list.items.iter().all(|item| item.rights.is_empty());
    if deaf && list.complaints.iter().all(|(severity, _)| *severity != Severity::Error) {
        let message = "no port would answer anything; write `*`, or `localhost` for this machine only";
        list.complaints.push((Severity::Error, message.to_owned()));
    }
    list
}

/// `Ok(None)` for what is readable and not opened.
fn parse_item(
    item: &str,
    default_port: u16,
    complaints: &mut Vec<(Severity, String)>,
) -> Result<Option<BindTo>, String> {
    if let Some(path) = item.strip_prefix("unix:") {
        if !path.starts_with('/') {
            return Err("the path of a unix socket begins with `/`".to_owned());
        }
        let address = BindAddress::Unix(PathBuf::from(path));
        return Ok(Some(BindTo { address, rights: Rights::ALL, tls: PortTls::Unsaid }));
    }
    if item.starts_with("udp:") {
        let message = format!("`{item}` is not opened, the web server does not speak UDP");
        complaints.push((Severity::Warning, message));
        return Ok(None);
    }
    let item = item.strip_prefix("tcp:").unwrap_or(item);

    let (item, tls) = match item.split_once("^SSL=") {
        None => (item, PortTls::Unsaid),
        Some((item, "optional")) => (item, PortTls::Optional),
        Some((item, "force")) => (item, PortTls::Force),
        Some((_, word)) => return Err(format!("`^SSL=` is `optional` or `force`, not `{word}`")),
    };
    let (address, rights) = match item.split_once('=') {
        None => (item, Rights::ALL),
        Some((address, words)) => (address, parse_rights(words, complaints)),
    };
    let address = parse_address(address, default_port)?;
    Ok(Some(BindTo { address, rights, tls }))
}

fn parse_rights(words: &str, complaints: &mut Vec<(Severity, String)>) -> Rights {
    let mut rights = Rights::NONE;
    for word in words.split('|').filter(|word| !word.is_empty()) {
        match Rights::WORDS.iter().find(|(known, _)| *known == word) {
            Some(&(_, right)) => rights |= right,
            None => {
                let hint = suggestion(word, Rights::WORDS.iter().map(|&(known, _)| known));
                complaints.push((Severity::Warning, format!("there is no right `{word}`{hint}")));
            }
        }
    }
    if rights.is_empty() {
        complaints.push((Severity::Warning, format!("with the rights `{words}` this port answers nothing")));
    }
    rights
}

/// `host [%interface] [:port]`
fn parse_address(text: &str, default_port: u16) -> Result<BindAddress, String> {
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        let host = BindHost::Ip(IpAddr::V6(ip));
        return Ok(BindAddress::Tcp { host, interface: None, port: default_port });
    }
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (ip, rest) = bracketed.split_once(']').ok_or("`[` without `]`")?;
            let ip: Ipv6Addr = ip.parse().map_err(|_| format!("`{ip}` is no IPv6 address"))?;
            (BindHost::Ip(IpAddr::V6(ip)), rest)
        }
        None => {
            let end = text.find(['%', ':']).unwrap_or(text.len());
            let host = match &text[..end] {
                "" => return Err("there is no address; write `*` for all".to_owned()),
                "*" | "any" | "all" => BindHost::Any,
                name => name.parse::<IpAddr>().map_or_else(|_| BindHost::Name(name.to_owned()), BindHost::Ip),
            };
            (host, &text[end..])
        }
    };
    let (rest, port) = match rest.split_once(':') {
        None => (rest, default_port),
        Some((rest, port)) => (rest, parse_port(port)?),
    };
    let interface = match rest.strip_prefix('%') {
        Some("") => return Err("there is no interface behind `%`".to_owned()),
        Some(interface) => Some(interface.to_owned()),
        None if rest.is_empty() => None,
        None => return Err(format!("`{rest}` behind the address is not understood")),
    };
    Ok(BindAddress::Tcp { host, interface, port })
}

/// A number of 1 to 65535, or one of the two service names that a web server is bound to. 0 is left to tests: the
/// kernel chooses.
pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    match text {
        "http" => return Ok(80),
        "https" => return Ok(443),
        _ => {}
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("`{text}` is no port; write a number of 1 to 65535"));
    }
    text.parse().map_err(|_| format!("port {text} is out of range; the last is 65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: BindHost, port: u16) -> BindAddress {
        BindAddress::Tcp { host, interface: None, port }
    }

    fn ip(text: &str) -> BindHost {
        BindHost::Ip(text.parse().expect("an address"))
    }

    #[test]
    fn the_grammar_by_example() {
        #[track_caller]
        fn check(text: &str, address: BindAddress, rights: Rights, tls: PortTls) {
            let list = parse(text, 19999);
            assert!(list.complaints.is_empty(), "{text:?}: {:?}", list.complaints);
            assert_eq!(list.items, [BindTo { address, rights, tls }], "{text:?}");
        }
        let (all, unsaid) = (Rights::ALL, PortTls::Unsaid);
        check("*", tcp(BindHost::Any, 19999), all, unsaid);
        check("any:80", tcp(BindHost::Any, 80), all, unsaid);
        check("all:http", tcp(BindHost::Any, 80), all, unsaid);
        check("127.0.0.1", tcp(ip("127.0.0.1"), 19999), all, unsaid);
        check("tcp:127.0.0.1:20000", tcp(ip("127.0.0.1"), 20000), all, unsaid);
        check("127.0.0.1:0", tcp(ip("127.0.0.1"), 0), all, unsaid);
        check("[::1]", tcp(ip("::1"), 19999), all, unsaid);
        check("[::1]:1", tcp(ip("::1"), 1), all, unsaid);
        check("::1", tcp(ip("::1"), 19999), all, unsaid);
        check("localhost:1", tcp(BindHost::Name("localhost".to_owned()), 1), all, unsaid);
        check("unix:/run/mainstem.sock", BindAddress::Unix(PathBuf::from("/run/mainstem.sock")), all, unsaid);
        check("*:1=streaming", tcp(BindHost::Any, 1), Rights::STREAMING, unsaid);
        check("*=dashboard|badges", tcp(BindHost::Any, 19999), Rights::DASHBOARD | Rights::BADGES, unsaid);
        check("*:1=netdata.conf^SSL=force", tcp(BindHost::Any, 1), Rights::NETDATA_CONF, PortTls::Force);
        check("*:1^SSL=optional", tcp(BindHost::Any, 1), all, PortTls::Optional);
        let interface = Some("eth0".to_owned());
        let address = BindAddress::Tcp { host: ip("fe80::1"), interface, port: 7 };
        check("[fe80::1]%eth0:7", address, all, unsaid);
    }

    #[test]
    fn what_cannot_be_bound_is_an_error() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let list = parse(text, 19999);
            let error = list.complaints.iter().find(|(severity, _)| *severity == Severity::Error);
            let (_, message) = error.unwrap_or_else(|| panic!("{text:?}: no error"));
            assert!(message.contains(expected), "{text:?}: {message}");
        }
        check("*:65536", "out of range");
        check("*:port", "no port");
        check("*:", "no port");
        check(":19999", "no address");
        check("[::1", "without");
        check("[nonsense]:1", "no IPv6");
        check("[::1]x", "not understood");
        check("*:1^SSL=maybe", "`optional` or `force`");
        check("unix:relative", "begins with");
        check("", "no port would answer");
        check("udp:*", "no port would answer");
        check("*=nothing", "no port would answer");
    }

    #[test]
    fn lists_have_spaces_or_commas_and_unknown_rights_are_said() {
        let list = parse("127.0.0.1:1, *:2=steaming|dashboard  udp:*:3", 19999);
        assert_eq!(list.items.len(), 2);
        assert_eq!(list.items[1].rights, Rights::DASHBOARD);
        assert_eq!(list.complaints.len(), 2);
        assert!(list.complaints[0].1.contains("did you mean `streaming`"), "{:?}", list.complaints);
        assert_eq!(list.items[1].address.to_string(), "*:2");
    }
}
