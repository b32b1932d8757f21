//! [`Refusal`]: why a parent does not take a child, in every place where that is said.

use super::Reply;

/// Why a request is refused; the order is that of the checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The child does not encrypt, on a port where all must.
    NotEncrypted,
    /// The socket or `[web] allow streaming from` does not let this client stream.
    StreamingNotAllowed,
    NoKey,
    NoHostname,
    NoMachineGuid,
    InvalidKey,
    InvalidMachineGuid,
    /// The key's section has another `type`, the one found.
    KeyIsNotApiKey {
        found: String,
    },
    KeyNotEnabled,
    KeyNotAllowedFromIp,
    /// The machine GUID's section has another `type`, the one found.
    MachineGuidIsNotMachineGuid {
        found: String,
    },
    MachineGuidNotEnabled,
    MachineGuidNotAllowedFromIp,
    /// The child streams this very parent back to it.
    Localhost,
    /// The child streams one of this parent's virtual nodes back to it.
    VirtualNode,
    /// So many hosts stream with this key already, as many as may.
    TooManyHosts {
        most: u32,
    },
    /// The rate limit; how long until a request will be taken.
    Busy {
        wait_s: u64,
    },
    /// Another connection streams this host; how long ago it was last heard of.
    AlreadyStreaming {
        idle_s: u64,
    },
    /// The machine GUID is known, under another hostname.
    DifferentHostname,
    Initializing,
    InternalError,
}

/// What the log's sentences name. Whoever logs decides how much of a key may be seen.
#[derive(Clone, Copy, Debug)]
pub struct LogFacts<'a> {
    /// `[IP]:PORT`.
    pub client: &'a str,
    pub hostname: &'a str,
    pub key: &'a str,
    pub machine_guid: &'a str,
}

/// What a client gets that may not stream at all: a page, since it may be anybody.
const FORBIDDEN_PAGE: &str = "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
                              Content-Length: 46\r\n\r\nYou are not allowed to access this resource.\r\n";

/// What a child gets that does not encrypt where it must; a Netdata parent takes its `STREAM` for no request at all.
const BAD_REQUEST_PAGE: &str = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n\
                                Content-Length: 27\r\n\r\nI don't understand you...\r\n";

impl Refusal {
    /// The exact bytes to answer before closing.
    pub fn reply_bytes(&self) -> Vec<u8> {
        match self {
            Refusal::NotEncrypted => BAD_REQUEST_PAGE.into(),
            Refusal::StreamingNotAllowed => FORBIDDEN_PAGE.into(),
            Refusal::Localhost => Reply::Localhost.encode(),
            Refusal::VirtualNode => Reply::VirtualNode.encode(),
            Refusal::Busy { .. } | Refusal::TooManyHosts { .. } => Reply::Busy.encode(),
            Refusal::AlreadyStreaming { .. } => Reply::AlreadyStreaming.encode(),
            Refusal::Initializing => Reply::Initializing.encode(),
            Refusal::InternalError => Reply::InternalError.encode(),
            // One text for all of these: an attacker learns nothing from it.
            Refusal::NoKey
            | Refusal::NoHostname
            | Refusal::NoMachineGuid
            | Refusal::InvalidKey
            | Refusal::InvalidMachineGuid
            | Refusal::KeyIsNotApiKey { .. }
            | Refusal::KeyNotEnabled
            | Refusal::KeyNotAllowedFromIp
            | Refusal::MachineGuidIsNotMachineGuid { .. }
            | Refusal::MachineGuidNotEnabled
            | Refusal::MachineGuidNotAllowedFromIp
            | Refusal::DifferentHostname => Reply::NotPermitted.encode(),
        }
    }

    /// The status that a parent's log gives to the refusal; on the wire it is not seen.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::NotEncrypted => 400,
            Refusal::StreamingNotAllowed | Refusal::Localhost | Refusal::VirtualNode => 403,
            Refusal::AlreadyStreaming { .. } => 409,
            Refusal::Busy { .. } | Refusal::TooManyHosts { .. } | Refusal::Initializing => 503,
            Refusal::InternalError => 500,
            _ => 401,
        }
    }

    /// MESSAGE of the access log, the words of Netdata 1.37 where it has any.
    pub fn access_message(&self) -> &'static str {
        match self {
            Refusal::NotEncrypted => "ACCESS DENIED - NOT ENCRYPTED",
            Refusal::StreamingNotAllowed => "ACCESS DENIED - STREAMING NOT ALLOWED FROM THIS IP",
            Refusal::NoKey => "ACCESS DENIED - NO KEY",
            Refusal::NoHostname => "ACCESS DENIED - NO HOSTNAME",
            Refusal::NoMachineGuid => "ACCESS DENIED - NO MACHINE GUID",
            Refusal::InvalidKey => "ACCESS DENIED - INVALID KEY",
            Refusal::InvalidMachineGuid => "ACCESS DENIED - INVALID MACHINE GUID",
            Refusal::KeyIsNotApiKey { .. } => "ACCESS DENIED - API KEY GIVEN IS NOT API KEY",
            Refusal::KeyNotEnabled => "ACCESS DENIED - KEY NOT ENABLED",
            Refusal::KeyNotAllowedFromIp => "ACCESS DENIED - KEY NOT ALLOWED FROM THIS IP",
            Refusal::MachineGuidIsNotMachineGuid { .. } => {
                "ACCESS DENIED - MACHINE GUID GIVEN IS NOT A MACHINE GUID"
            }
            Refusal::MachineGuidNotEnabled => "ACCESS DENIED - MACHINE GUID NOT ENABLED",
            Refusal::MachineGuidNotAllowedFromIp => "ACCESS DENIED - MACHINE GUID NOT ALLOWED FROM THIS IP",
            Refusal::Localhost => "DENIED - ATTEMPT TO RECEIVE METRICS FROM MACHINE_GUID IDENTICAL TO PARENT",
            Refusal::VirtualNode => {
                "DENIED - ATTEMPT TO RECEIVE METRICS FROM MACHINE_GUID OF A VIRTUAL NODE OF THE PARENT"
            }
            Refusal::TooManyHosts { .. } => "REJECTED - TOO MANY HOSTS OF THIS KEY",
            Refusal::Busy { .. } => "REJECTED - BUSY TRY LATER",
            Refusal::AlreadyStreaming { .. } => "REJECTED - ALREADY CONNECTED",
            Refusal::DifferentHostname => {
                "ACCESS DENIED - MACHINE GUID IS CONNECTED WITH A DIFFERENT HOSTNAME"
            }
            Refusal::Initializing => "REJECTED - INITIALIZING",
            Refusal::InternalError => "FAILED - INTERNAL ERROR",
        }
    }

    /// The sentence of the error log, the words of Netdata 1.37 where it has any.
    pub fn log_sentence(&self, facts: LogFacts<'_>) -> String {
        let LogFacts { client, hostname, key, machine_guid } = facts;
        match self {
            Refusal::NotEncrypted => format!(
                "STREAM {hostname} [receive from {client}]: The server is configured to always use encrypted \
                 connections, please enable the SSL on child with hostname '{hostname}'."
            ),
            Refusal::StreamingNotAllowed => {
                format!(
                    "STREAM [receive from {client}]: streaming is not allowed from this IP. Forbidding access."
                )
            }
            Refusal::NoKey => {
                format!("STREAM [receive from {client}]: request without an API key. Forbidding access.")
            }
            Refusal::NoHostname => {
                format!("STREAM [receive from {client}]: request without a hostname. Forbidding access.")
            }
            Refusal::NoMachineGuid => {
                format!("STREAM [receive from {client}]: request without a machine GUID. Forbidding access.")
            }
            Refusal::InvalidKey => format!(
                "STREAM [receive from {client}]: API key '{key}' is not valid GUID (use the command uuidgen to \
                 generate one). Forbidding access."
            ),
            Refusal::InvalidMachineGuid => format!(
                "STREAM [receive from {client}]: machine GUID '{machine_guid}' is not GUID. Forbidding access."
            ),
            Refusal::KeyIsNotApiKey { found } => {
                format!(
                    "STREAM [receive from {client}]: API key '{key}' is a {found} GUID. Forbidding access."
                )
            }
            Refusal::KeyNotEnabled => {
                format!("STREAM [receive from {client}]: API key '{key}' is not allowed. Forbidding access.")
            }
            Refusal::KeyNotAllowedFromIp => format!(
                "STREAM [receive from {client}]: API key '{key}' is not permitted from this IP. Forbidding access."
            ),
            Refusal::MachineGuidIsNotMachineGuid { found } => format!(
                "STREAM [receive from {client}]: machine GUID '{machine_guid}' is a {found} GUID. Forbidding access."
            ),
            Refusal::MachineGuidNotEnabled => format!(
                "STREAM [receive from {client}]: machine GUID '{machine_guid}' is not allowed. Forbidding access."
            ),
            Refusal::MachineGuidNotAllowedFromIp => format!(
                "STREAM [receive from {client}]: Machine GUID '{machine_guid}' is not permitted from this IP. \
                 Forbidding access."
            ),
            Refusal::Localhost => format!(
                "STREAM {hostname} [receive from {client}]: denied to receive metrics, machine GUID [{machine_guid}] \
                 is my own. Did you copy the parent/proxy machine GUID to a child, or is this an inter-agent loop?"
            ),
            Refusal::VirtualNode => format!(
                "STREAM {hostname} [receive from {client}]: denied to receive metrics, machine GUID [{machine_guid}] \
                 is one of my virtual nodes."
            ),
            Refusal::TooManyHosts { most } => format!(
                "STREAM {hostname} [receive from {client}]: {most} hosts stream with API key '{key}' already, its \
                 `maximum hosts` in stream.conf, rejecting new connection."
            ),
            Refusal::Busy { wait_s } => format!(
                "STREAM [receive from {client}]: too busy to accept new streaming request. Will be allowed in \
                 {wait_s} secs."
            ),
            Refusal::AlreadyStreaming { idle_s } => format!(
                "STREAM {hostname} [receive from {client}]: multiple connections for same host detected - existing \
                 connection is active (within last {idle_s} sec), rejecting new connection."
            ),
            Refusal::DifferentHostname => format!(
                "STREAM {hostname} [receive from {client}]: machine GUID '{machine_guid}' is connected with a \
                 different hostname. Forbidding access."
            ),
            Refusal::Initializing => format!(
                "STREAM {hostname} [receive from {client}]: this parent is initializing, rejecting new connection."
            ),
            Refusal::InternalError => format!(
                "STREAM {hostname} [receive from {client}]: an internal error, rejecting new connection."
            ),
        }
    }

    /// The name of the refusal's counter.
    pub fn label(&self) -> &'static str {
        match self {
            Refusal::NotEncrypted => "not_encrypted",
            Refusal::StreamingNotAllowed => "streaming_not_allowed",
            Refusal::NoKey => "no_key",
            Refusal::NoHostname => "no_hostname",
            Refusal::NoMachineGuid => "no_machine_guid",
            Refusal::InvalidKey => "invalid_key",
            Refusal::InvalidMachineGuid => "invalid_machine_guid",
            Refusal::KeyIsNotApiKey { .. } => "key_is_not_api_key",
            Refusal::KeyNotEnabled => "key_not_enabled",
            Refusal::KeyNotAllowedFromIp => "key_not_allowed_from_ip",
            Refusal::MachineGuidIsNotMachineGuid { .. } => "machine_guid_is_not_machine_guid",
            Refusal::MachineGuidNotEnabled => "machine_guid_not_enabled",
            Refusal::MachineGuidNotAllowedFromIp => "machine_guid_not_allowed_from_ip",
            Refusal::Localhost => "localhost",
            Refusal::VirtualNode => "virtual_node",
            Refusal::TooManyHosts { .. } => "too_many_hosts",
            Refusal::Busy { .. } => "busy",
            Refusal::AlreadyStreaming { .. } => "already_streaming",
            Refusal::DifferentHostname => "different_hostname",
            Refusal::Initializing => "initializing",
            Refusal::InternalError => "internal_error",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: LogFacts<'_> =
        LogFacts { client: "[10.0.0.1]:41000", hostname: "h", key: "K", machine_guid: "G" };

    #[test]
    fn each_refusal_speaks_as_netdata_does() {
        let denied = "You are not permitted to access this. Check the logs for more info.";
        let cases = [
            (
                Refusal::NoKey,
                denied,
                "ACCESS DENIED - NO KEY",
                "STREAM [receive from [10.0.0.1]:41000]: request without an API key. Forbidding access.",
            ),
            (
                Refusal::KeyNotEnabled,
                denied,
                "ACCESS DENIED - KEY NOT ENABLED",
                "STREAM [receive from [10.0.0.1]:41000]: API key 'K' is not allowed. Forbidding access.",
            ),
            (
                Refusal::KeyIsNotApiKey { found: "machine".into() },
                denied,
                "ACCESS DENIED - API KEY GIVEN IS NOT API KEY",
                "STREAM [receive from [10.0.0.1]:41000]: API key 'K' is a machine GUID. Forbidding access.",
            ),
            (
                Refusal::MachineGuidNotAllowedFromIp,
                denied,
                "ACCESS DENIED - MACHINE GUID NOT ALLOWED FROM THIS IP",
                "STREAM [receive from [10.0.0.1]:41000]: Machine GUID 'G' is not permitted from this IP. \
                 Forbidding access.",
            ),
            (
                Refusal::Localhost,
                "Don't hit me baby, you are trying to stream my localhost back",
                "DENIED - ATTEMPT TO RECEIVE METRICS FROM MACHINE_GUID IDENTICAL TO PARENT",
                "STREAM h [receive from [10.0.0.1]:41000]: denied to receive metrics, machine GUID [G] is my own. \
                 Did you copy the parent/proxy machine GUID to a child, or is this an inter-agent loop?",
            ),
            (
                Refusal::AlreadyStreaming { idle_s: 3 },
                "This GUID is already streaming to this server",
                "REJECTED - ALREADY CONNECTED",
                "STREAM h [receive from [10.0.0.1]:41000]: multiple connections for same host detected - existing \
                 connection is active (within last 3 sec), rejecting new connection.",
            ),
            (
                Refusal::Busy { wait_s: 7 },
                "The server is too busy now to accept this request. Try later.",
                "REJECTED - BUSY TRY LATER",
                "STREAM [receive from [10.0.0.1]:41000]: too busy to accept new streaming request. Will be allowed \
                 in 7 secs.",
            ),
            (
                Refusal::TooManyHosts { most: 50 },
                "The server is too busy now to accept this request. Try later.",
                "REJECTED - TOO MANY HOSTS OF THIS KEY",
                "STREAM h [receive from [10.0.0.1]:41000]: 50 hosts stream with API key 'K' already, its `maximum \
                 hosts` in stream.conf, rejecting new connection.",
            ),
        ];
        for (refusal, reply, message, sentence) in cases {
            assert_eq!(refusal.reply_bytes(), reply.as_bytes());
            assert_eq!(refusal.access_message(), message);
            assert_eq!(refusal.log_sentence(FACTS), sentence);
        }
    }

    #[test]
    fn pages_tell_their_own_length() {
        for page in [FORBIDDEN_PAGE, BAD_REQUEST_PAGE] {
            let (head, body) = page.split_once("\r\n\r\n").unwrap();
            assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        }
    }
}
