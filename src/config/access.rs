//! Who may do what: [`Rights`] of a port, [`AccessLists`] by address, and both together for one client.
//!
//! A client has the rights that its address is allowed, cut down to those of the port it came through. Whom
//! `allow connections from` does not name is closed without a byte.

use std::net::IpAddr;
use std::ops::{BitAnd, BitOr, BitOrAssign};

use super::simple_pattern::{SimplePattern, WHITE_SPACE};

/// A set of the things that a port or a client may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    pub const NONE: Rights = Rights(0);
    /// Static files and the API.
    pub const DASHBOARD: Rights = Rights(1);
    pub const REGISTRY: Rights = Rights(1 << 1);
    pub const BADGES: Rights = Rights(1 << 2);
    pub const MANAGEMENT: Rights = Rights(1 << 3);
    /// `STREAM` requests.
    pub const STREAMING: Rights = Rights(1 << 4);
    /// `/netdata.conf`.
    pub const NETDATA_CONF: Rights = Rights(1 << 5);
    pub const ALL: Rights = Rights((1 << 6) - 1);

    /// The words of a `bind to` item.
    pub(crate) const WORDS: [(&'static str, Rights); 6] = [
        ("dashboard", Rights::DASHBOARD),
        ("registry", Rights::REGISTRY),
        ("badges", Rights::BADGES),
        ("management", Rights::MANAGEMENT),
        ("streaming", Rights::STREAMING),
        ("netdata.conf", Rights::NETDATA_CONF),
    ];

    /// Whether all of `other` are among these.
    pub fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether one of `other` is among these.
    pub fn intersects(self, other: Rights) -> bool {
        self.0 & other.0 != 0
    }

    /// These but for `other`.
    #[must_use]
    pub fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Rights) {
        self.0 |= other.0;
    }
}

impl BitAnd for Rights {
    type Output = Rights;

    fn bitand(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}

/// The other end of a connection, as access lists see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    Ip(IpAddr),
    /// Through a unix socket: `localhost`.
    Unix,
}

impl From<IpAddr> for Client {
    fn from(ip: IpAddr) -> Self {
        Client::Ip(ip)
    }
}

impl Client {
    /// Whether a list allows this client. The own machine is known by its address and as `localhost`; the first item
    /// that matches either decides. An IPv4 client of an IPv6 socket has its IPv4 address.
    pub fn is_allowed_by(self, list: &SimplePattern) -> bool {
        match self {
            Client::Unix => list.matches("localhost"),
            Client::Ip(ip) => {
                let ip = ip.to_canonical();
                let text = ip.to_string();
                if ip.is_loopback() {
                    list.matches_any_of(&[text.as_bytes(), b"localhost"])
                } else {
                    list.matches(&text)
                }
            }
        }
    }
}

/// The `allow ... from` lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLists {
    pub connections: SimplePattern,
    pub dashboard: SimplePattern,
    pub badges: SimplePattern,
    pub streaming: SimplePattern,
    pub netdata_conf: SimplePattern,
    pub management: SimplePattern,
    pub registry: SimplePattern,
}

impl AccessLists {
    /// What a client may do on a port with these rights; `None`: it is to be closed without an answer.
    pub fn rights_of(&self, client: Client, port: Rights) -> Option<Rights> {
        if !client.is_allowed_by(&self.connections) {
            return None;
        }
        let lists = [
            (&self.dashboard, Rights::DASHBOARD),
            (&self.badges, Rights::BADGES),
            (&self.streaming, Rights::STREAMING),
            (&self.netdata_conf, Rights::NETDATA_CONF),
            (&self.management, Rights::MANAGEMENT),
            (&self.registry, Rights::REGISTRY),
        ];
        let mut allowed = Rights::NONE;
        for (list, right) in lists {
            // The address is only put into words for a right that the port has.
            if port.contains(right) && client.is_allowed_by(list) {
                allowed |= right;
            }
        }
        Some(allowed)
    }
}

/// An access list as the files write it.
pub(crate) fn access_list(text: &str) -> SimplePattern {
    SimplePattern::new(text, WHITE_SPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(ip: &str) -> Client {
        Client::from(ip.parse::<IpAddr>().expect("an address"))
    }

    #[test]
    fn a_client_is_matched_by_its_address() {
        #[track_caller]
        fn check(list: &str, client: Client, expected: bool) {
            assert_eq!(client.is_allowed_by(&access_list(list)), expected, "{list:?} for {client:?}");
        }
        check("*", client("192.0.2.1"), true);
        check("192.0.2.*", client("192.0.2.1"), true);
        check("192.0.2.*", client("::ffff:192.0.2.1"), true);
        check("localhost", client("192.0.2.1"), false);
        check("localhost", client("127.0.0.1"), true);
        check("127.0.0.1", client("127.0.0.1"), true);
        check("localhost", client("::1"), true);
        check("::1", client("::1"), true);
        check("!127.0.0.1 *", client("127.0.0.1"), false);
        check("!localhost *", client("127.0.0.1"), false);
        check("fd*", client("fd00::1"), true);
        check("localhost", Client::Unix, true);
        check("127.0.0.1", Client::Unix, false);
        check("", client("127.0.0.1"), false);
    }

    #[test]
    fn rights_are_cut_down_to_the_ports() {
        let lists = AccessLists {
            connections: access_list("localhost 10.*"),
            dashboard: access_list("localhost"),
            badges: access_list("*"),
            streaming: access_list("10.*"),
            netdata_conf: access_list("localhost"),
            management: access_list("localhost"),
            registry: access_list("*"),
        };
        assert_eq!(lists.rights_of(client("192.0.2.1"), Rights::ALL), None);
        assert_eq!(
            lists.rights_of(client("10.0.0.1"), Rights::ALL),
            Some(Rights::BADGES | Rights::STREAMING | Rights::REGISTRY)
        );
        assert_eq!(lists.rights_of(client("10.0.0.1"), Rights::STREAMING), Some(Rights::STREAMING));
        assert_eq!(lists.rights_of(client("127.0.0.1"), Rights::STREAMING), Some(Rights::NONE));
    }
}
