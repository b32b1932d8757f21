//! [`Reply`]: what a parent says to a request, and what a child makes of it.

use crate::wire::capability::Capabilities;

const V1_PROMPT: &str = "Hit me baby, push them over...";
const V2_PROMPT: &str = "Hit me baby, push them over and bring the host labels...";
const VERSION_PROMPT: &str = "Hit me baby, push them over with the version=";
/// A child takes a prompt for one only if it is shorter than the text and this.
const VERSION_PROMPT_SLACK: usize = 30;

/// A parent's answer, as far as a child can tell answers apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// What was agreed. For a child that reads it: what the parent's number stands for, to be negotiated once more
    /// with its own set.
    Accepted(Capabilities),
    NotPermitted,
    AlreadyStreaming,
    Localhost,
    VirtualNode,
    Busy,
    InternalError,
    Initializing,
}

const REFUSALS: [(Reply, &str); 7] = [
    (Reply::NotPermitted, "You are not permitted to access this. Check the logs for more info."),
    (Reply::AlreadyStreaming, "This GUID is already streaming to this server"),
    (Reply::Localhost, "Don't hit me baby, you are trying to stream my localhost back"),
    (Reply::VirtualNode, "Don't hit me baby, you are trying to stream my vnode back"),
    (Reply::Busy, "The server is too busy now to accept this request. Try later."),
    (Reply::InternalError, "The server encountered an internal error. Try later."),
    (Reply::Initializing, "The server is initializing. Try later."),
];

impl Reply {
    /// The exact bytes, to be sent in one write with nothing before or behind them.
    pub fn encode(self) -> Vec<u8> {
        match self {
            Reply::Accepted(agreed) => match agreed.version() {
                1 => V1_PROMPT.into(),
                2 => V2_PROMPT.into(),
                version => format!("{VERSION_PROMPT}{version}").into_bytes(),
            },
            refused => {
                let text = REFUSALS.iter().find(|(reply, _)| *reply == refused).map(|(_, text)| *text);
                text.unwrap_or_default().into()
            }
        }
    }
}

/// What the bytes of one read say, as a Netdata child sees them: `None` is "is it Netdata?".
pub fn parse_reply(bytes: &[u8]) -> Option<Reply> {
    if bytes == V1_PROMPT.as_bytes() {
        return Some(Reply::Accepted(Capabilities::from_version(1)));
    }
    if bytes == V2_PROMPT.as_bytes() {
        return Some(Reply::Accepted(Capabilities::from_version(2)));
    }
    if let Some(number) = bytes.strip_prefix(VERSION_PROMPT.as_bytes()) {
        let in_bounds = (1..VERSION_PROMPT_SLACK).contains(&number.len());
        return in_bounds.then(|| Reply::Accepted(Capabilities::from_version(decimal(number))));
    }
    REFUSALS.iter().find(|(_, text)| bytes == text.as_bytes()).map(|(reply, _)| *reply)
}

fn decimal(digits: &[u8]) -> u32 {
    let digits = digits.iter().map_while(|byte| char::from(*byte).to_digit(10));
    digits.fold(0, |value: u32, digit| value.wrapping_mul(10).wrapping_add(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prompt_is_the_one_of_a_real_parent() {
        let prompt = Reply::Accepted(Capabilities::from_version(16320)).encode();
        assert_eq!(prompt, b"Hit me baby, push them over with the version=16320");
        assert_eq!(prompt.len(), 50);
    }

    #[test]
    fn the_strongest_version_bit_chooses_the_prompt() {
        let cases = [
            (1, "Hit me baby, push them over..."),
            (2, "Hit me baby, push them over and bring the host labels..."),
            (3, "Hit me baby, push them over with the version=3"),
            (5, "Hit me baby, push them over with the version=5"),
            (64, "Hit me baby, push them over with the version=64"),
        ];
        for (version, expected) in cases {
            let prompt = Reply::Accepted(Capabilities::from_version(version)).encode();
            assert_eq!(String::from_utf8(prompt).unwrap(), expected);
        }
        assert_eq!(Reply::Accepted(Capabilities::NONE).encode(), V1_PROMPT.as_bytes());
    }

    #[test]
    fn a_child_reads_what_a_parent_writes() {
        for version in [1, 2, 3, 4, 5, 64, 16320, 130_874_304] {
            let reply = Reply::Accepted(Capabilities::from_version(version));
            assert_eq!(parse_reply(&reply.encode()), Some(reply));
        }
        for (reply, text) in REFUSALS {
            assert_eq!(reply.encode(), text.as_bytes());
            assert_eq!(parse_reply(text.as_bytes()), Some(reply));
        }
    }

    #[test]
    fn a_child_compares_by_exact_length() {
        for wrong in [
            "",
            "Hit me baby, push them over",
            "Hit me baby, push them over...\n",
            "Hit me baby, push them over with the version=",
            "Hit me baby, push them over with the version=64REPLAY_CHART \"a.b\" \"true\" 1 2\n",
            "This GUID is already streaming to this server\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(parse_reply(wrong.as_bytes()), None, "{wrong}");
        }
        let glued = parse_reply(b"Hit me baby, push them over with the version=64 and more");
        assert_eq!(glued, Some(Reply::Accepted(Capabilities::VCAPS)));
    }
}
