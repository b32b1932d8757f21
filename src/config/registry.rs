//! `[registry]`: whether this parent remembers for browsers which hosts they looked at, and where it says they should ask.

use std::time::Duration;

use super::netdata_conf::{DAY, count};
use super::options::Options;
use super::value::{self, Reading};

/// A person's bookmarks are kept so long at least.
const LEAST_IDLE: Duration = DAY;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    /// Whether this parent is one.
    pub enabled: bool,
    /// The one that browsers are sent to; `None`: this parent, at the address it was asked at.
    pub announced: Option<String>,
    /// What we are called in its answers; `None`: our hostname.
    pub hostname: Option<String>,
    /// Of the cookies, if they are to be good for other hosts of a domain.
    pub domain: Option<String>,
    /// Persons that were not seen for so long are forgotten; `None`: never.
    pub forget_idle_after: Option<Duration>,
    /// Addresses of more bytes are refused.
    pub url_bytes: usize,
    /// Bytes of a name that are kept.
    pub name_bytes: usize,
    /// A browser has to bring a cookie back before it is somebody.
    pub verifies_cookies: bool,
    /// Cookies are said again with `SameSite=None; Secure`, for pages of other sites.
    pub cookies_for_other_sites: bool,
}

pub(super) fn read(options: &mut Options<'_>) -> Registry {
    let bytes = |text: &str| count(text, 10, 16_384);
    let optional = |text: &str| Reading::clean((!text.is_empty()).then(|| text.to_owned()));
    Registry {
        enabled: options.read("registry", "enabled", value::boolean),
        announced: options.read("registry", "registry to announce", |text| {
            if text.is_empty() || text.starts_with("http://") || text.starts_with("https://") {
                optional(text.trim_end_matches('/'))
            } else {
                Reading::wrong(format!(
                    "`{text}` is no address of a registry; it begins with http:// or https://"
                ))
            }
        }),
        hostname: options.read("registry", "registry hostname", optional),
        domain: options.read("registry", "registry domain", |text| {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
            if text.bytes().all(good) {
                optional(text)
            } else {
                Reading::wrong(format!("`{text}` is no domain"))
            }
        }),
        forget_idle_after: options.read("registry", "registry expire idle persons", |text| {
            let reading = value::duration(text, DAY);
            reading.map(|idle| idle.filter(|idle| !idle.is_zero()).map(|idle| idle.max(LEAST_IDLE)))
        }),
        url_bytes: options.read("registry", "max URL length", bytes) as usize,
        name_bytes: options.read("registry", "max URL name length", bytes) as usize,
        verifies_cookies: options.read("registry", "verify browser cookies support", value::boolean),
        cookies_for_other_sites: options.read(
            "registry",
            "enable cookies SameSite and Secure",
            value::boolean,
        ),
    }
}
