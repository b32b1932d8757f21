//! [`StreamRequest`]: who a child says it is.

use memchr::memchr;
use memchr::memmem;

use super::Refusal;

/// More than any Netdata sends (8 KiB before 2.1, 64 KiB is what parents from 1.39 on take).
pub const MAX_REQUEST: usize = 64 * 1024;

const METHOD: &[u8] = b"STREAM ";

/// Netdata 1.37 dies when it forwards a host without one of these, so they are always sent.
const FACTS_ALWAYS_SENT: [&str; 5] = [
    "NETDATA_SYSTEM_OS_NAME",
    "NETDATA_SYSTEM_OS_ID",
    "NETDATA_SYSTEM_OS_VERSION",
    "NETDATA_SYSTEM_KERNEL_NAME",
    "NETDATA_SYSTEM_KERNEL_VERSION",
];

const PROTOCOL_VERSION: &str = "NETDATA_PROTOCOL_VERSION";

/// Why bytes are no request; there is nothing to answer but to close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    #[error("the request does not begin with `STREAM `")]
    NotStream,
    #[error("the request's first line has no ` HTTP/`")]
    NoHttp,
    #[error("the request has more than {MAX_REQUEST} bytes")]
    TooLong,
}

/// What a child asks for, with defaults in place of what it left out.
///
/// Text is as decoded, with control characters turned into spaces and broken UTF-8 into replacement characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Empty when missing, as are `hostname` and `machine_guid`: see [`check`](Self::check).
    pub key: String,
    pub hostname: String,
    pub registry_hostname: String,
    pub machine_guid: String,
    /// Seconds; `None`: the parent's own.
    pub update_every: Option<u32>,
    pub os: String,
    pub timezone: String,
    pub abbrev_timezone: String,
    /// Seconds east of UTC.
    pub utc_offset: i32,
    pub hops: u32,
    pub ml_capable: bool,
    pub ml_enabled: bool,
    pub mc_version: u32,
    pub tags: String,
    /// What [`Capabilities::from_version`](crate::wire::capability::Capabilities::from_version) reads.
    pub ver: u32,
    pub program_name: String,
    pub program_version: String,
    /// The `NETDATA_*` parameters under the names they came with, in their order; without the protocol version, which
    /// is no fact about the host.
    pub system_info: Vec<(String, String)>,
    /// Parameters that we do not know.
    pub unknown: Vec<(String, String)>,
}

impl Default for StreamRequest {
    fn default() -> StreamRequest {
        StreamRequest {
            key: String::new(),
            hostname: String::new(),
            registry_hostname: String::new(),
            machine_guid: String::new(),
            update_every: None,
            os: "unknown".into(),
            timezone: "unknown".into(),
            abbrev_timezone: "UTC".into(),
            utc_offset: 0,
            hops: 1,
            ml_capable: false,
            ml_enabled: false,
            mc_version: 0,
            tags: String::new(),
            ver: 0,
            program_name: "unknown".into(),
            program_version: "unknown".into(),
            system_info: Vec::new(),
            unknown: Vec::new(),
        }
    }
}

impl StreamRequest {
    /// Reads the request at the front of `head` and tells how many bytes it took. `Ok(None)`: not complete yet, call
    /// again with more bytes behind it.
    pub fn parse(head: &[u8]) -> Result<Option<(StreamRequest, usize)>, HandshakeError> {
        let begun = head.len().min(METHOD.len());
        if head[..begun] != METHOD[..begun] {
            return Err(HandshakeError::NotStream);
        }
        let searched = &head[..head.len().min(MAX_REQUEST)];
        let Some(end) = memmem::find(searched, b"\r\n\r\n") else {
            return if head.len() < MAX_REQUEST { Ok(None) } else { Err(HandshakeError::TooLong) };
        };
        let first_line_end = memmem::find(&head[..end], b"\r\n").unwrap_or(end);
        let first_line = &head[METHOD.len()..first_line_end];
        let query_end = memmem::rfind(first_line, b" HTTP/").ok_or(HandshakeError::NoHttp)?;
        let mut request = StreamRequest::from_query(&first_line[..query_end]);
        request.read_headers(&head[first_line_end..end]);
        Ok(Some((request, end + b"\r\n\r\n".len())))
    }

    fn from_query(query: &[u8]) -> StreamRequest {
        let mut parameters: Vec<(String, String)> = Vec::new();
        for pair in query.split(|byte| *byte == b'&') {
            let Some(equals) = memchr(b'=', pair) else { continue };
            let (name, value) = (decode(&pair[..equals]), decode(&pair[equals + 1..]));
            let known = parameters.iter().any(|(earlier, _)| *earlier == name);
            if !name.is_empty() && !value.is_empty() && !known {
                parameters.push((name, value));
            }
        }
        let mut request = StreamRequest::default();
        let mut ver = None;
        let mut has_protocol_version = false;
        for (name, value) in parameters {
            match name.as_str() {
                "key" => request.key = value,
                "hostname" => request.hostname = value,
                "registry_hostname" => request.registry_hostname = value,
                "machine_guid" => request.machine_guid = value,
                "update_every" => {
                    request.update_every = u32::try_from(number(&value)).ok().filter(|seconds| *seconds > 0);
                }
                "os" => request.os = value,
                "timezone" => request.timezone = value,
                "abbrev_timezone" => request.abbrev_timezone = value,
                "utc_offset" => request.utc_offset = i32::try_from(number(&value)).unwrap_or(0),
                "hops" => request.hops = u32::try_from(number(&value)).unwrap_or(1),
                "ml_capable" => request.ml_capable = number(&value) != 0,
                "ml_enabled" => request.ml_enabled = number(&value) != 0,
                "mc_version" => request.mc_version = u32::try_from(number(&value)).unwrap_or(0),
                "tags" => request.tags = value,
                "ver" => ver = Some(u32::try_from(number(&value)).unwrap_or(0)),
                PROTOCOL_VERSION => has_protocol_version = true,
                _ if name.starts_with("NETDATA_") => request.system_info.push((name, value)),
                _ => request.unknown.push((name, value)),
            }
        }
        request.ver = ver.unwrap_or(u32::from(has_protocol_version));
        if request.registry_hostname.is_empty() {
            request.registry_hostname.clone_from(&request.hostname);
        }
        request
    }

    fn read_headers(&mut self, headers: &[u8]) {
        const USER_AGENT: &[u8] = b"user-agent:";
        let header = headers.split(|byte| *byte == b'\n').find_map(|line| {
            let name = line.get(..USER_AGENT.len())?;
            name.eq_ignore_ascii_case(USER_AGENT).then(|| printable(&line[USER_AGENT.len()..]))
        });
        let Some(agent) = header else { return };
        let (name, version) = agent.trim().split_once('/').unwrap_or((agent.trim(), ""));
        if !name.is_empty() {
            self.program_name = name.into();
        }
        if !version.is_empty() {
            self.program_version = version.into();
        }
    }

    /// The checks that need no configuration: what must be there is, and what must be a UUID is one.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.key.is_empty() {
            Err(Refusal::NoKey)
        } else if self.hostname.is_empty() {
            Err(Refusal::NoHostname)
        } else if self.machine_guid.is_empty() {
            Err(Refusal::NoMachineGuid)
        } else if !is_uuid(&self.key) {
            Err(Refusal::InvalidKey)
        } else if !is_uuid(&self.machine_guid) {
            Err(Refusal::InvalidMachineGuid)
        } else {
            Ok(())
        }
    }
}

/// Eight, four, four, four and twelve hex digits, as `uuid_parse` takes them; no braces, no `urn:`.
fn is_uuid(text: &str) -> bool {
    text.len() == 36 && uuid::Uuid::try_parse(text).is_ok()
}

/// `+` is a space, `%41` is `A`; a `%` without two hex digits stands for itself.
fn decode(raw: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.first_chunk::<2>().filter(|_| *first == b'%').and_then(hex_pair);
        bytes.push(match (first, escaped) {
            (_, Some(byte)) => byte,
            (b'+', None) => b' ',
            (other, None) => *other,
        });
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    printable(&bytes)
}

fn hex_pair(digits: &[u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    Some((digit(digits[0])? * 16 + digit(digits[1])?) as u8)
}

fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(char::is_control, " ")
}

/// As C's `strtol` with base 0: `0x` is hex, a leading 0 octal; what follows the digits is ignored.
fn number(text: &str) -> i64 {
    let text = text.trim_start();
    let (negative, magnitude) = match text.strip_prefix('-') {
        Some(magnitude) => (true, magnitude),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, base) = match magnitude.as_bytes() {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        digits @ [b'0', ..] => (digits, 8),
        digits => (digits, 10),
    };
    let value = digits
        .iter()
        .map_while(|byte| char::from(*byte).to_digit(base))
        .fold(0_i64, |value, digit| value.saturating_mul(i64::from(base)).saturating_add(i64::from(digit)));
    if negative { -value } else { value }
}

/// The bytes of a request, in the order in which Netdata writes them, every value percent-encoded. To be sent in one
/// write, with nothing behind it until the reply has arrived.
///
/// An `&` inside a value is sent as `_`: parents decode before they split.
pub fn encode_request(request: &StreamRequest) -> Vec<u8> {
    let flag = |set: bool| u8::from(set).to_string();
    let mut out = METHOD.to_vec();
    let mut put = |name: &str, value: &str| {
        if out.len() > METHOD.len() {
            out.push(b'&');
        }
        encode(name, &mut out);
        out.push(b'=');
        encode(value, &mut out);
    };
    put("key", &request.key);
    put("hostname", &request.hostname);
    put("registry_hostname", &request.registry_hostname);
    put("machine_guid", &request.machine_guid);
    put("update_every", &request.update_every.unwrap_or(1).to_string());
    put("os", &request.os);
    put("timezone", &request.timezone);
    put("abbrev_timezone", &request.abbrev_timezone);
    put("utc_offset", &request.utc_offset.to_string());
    put("hops", &request.hops.to_string());
    put("ml_capable", &flag(request.ml_capable));
    put("ml_enabled", &flag(request.ml_enabled));
    put("mc_version", &request.mc_version.to_string());
    put("tags", &request.tags);
    put("ver", &request.ver.to_string());
    for (name, value) in request.system_info.iter().filter(|(name, _)| name != PROTOCOL_VERSION) {
        put(name, if value.is_empty() { "unknown" } else { value });
    }
    for fact in FACTS_ALWAYS_SENT {
        if !request.system_info.iter().any(|(name, _)| name == fact) {
            put(fact, "unknown");
        }
    }
    put(PROTOCOL_VERSION, "1.1");
    out.extend_from_slice(b" HTTP/1.1\r\nUser-Agent: ");
    out.extend_from_slice(printable(request.program_name.as_bytes()).as_bytes());
    out.push(b'/');
    out.extend_from_slice(printable(request.program_version.as_bytes()).as_bytes());
    out.extend_from_slice(b"\r\nAccept: */*\r\n\r\n");
    out
}

fn encode(value: &str, out: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte),
            b'&' => out.push(b'_'),
            _ => out.extend_from_slice(format!("%{byte:02x}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "11111111-2222-3333-4444-555555555555";
    const GUID: &str = "aaaaaaaa-0000-4000-8000-000000000001";

    fn request_of(query: &str) -> StreamRequest {
        let head = format!("STREAM {query} HTTP/1.1\r\nUser-Agent: netdata/v1.37.1\r\nAccept: */*\r\n\r\n");
        let (request, taken) = StreamRequest::parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(taken, head.len());
        request
    }

    #[test]
    fn the_request_of_a_real_child_is_understood() {
        let request = request_of(&format!(
            "key={KEY}&hostname=child1&registry_hostname=child1&machine_guid={GUID}&update_every=1&os=linux\
             &timezone=Etc/UTC&abbrev_timezone=UTC&utc_offset=0&hops=1&ml_capable=0&ml_enabled=0&mc_version=1&tags=\
             &ver=16376&NETDATA_INSTANCE_CLOUD_TYPE=unknown&NETDATA_SYSTEM_OS_NAME=Debian+GNU%2fLinux\
             &NETDATA_CONTAINER_OS_NAME=Debian GNU/Linux&NETDATA_CONTAINER_OS_VERSION=12 (bookworm)\
             &NETDATA_SYSTEM_CPU_FREQ=2.596e+09&NETDATA_PROTOCOL_VERSION=1.1"
        ));
        let facts = [
            ("NETDATA_INSTANCE_CLOUD_TYPE", "unknown"),
            ("NETDATA_SYSTEM_OS_NAME", "Debian GNU/Linux"),
            ("NETDATA_CONTAINER_OS_NAME", "Debian GNU/Linux"),
            ("NETDATA_CONTAINER_OS_VERSION", "12 (bookworm)"),
            ("NETDATA_SYSTEM_CPU_FREQ", "2.596e 09"),
        ];
        let expected = StreamRequest {
            key: KEY.into(),
            hostname: "child1".into(),
            registry_hostname: "child1".into(),
            machine_guid: GUID.into(),
            update_every: Some(1),
            os: "linux".into(),
            timezone: "Etc/UTC".into(),
            mc_version: 1,
            ver: 16376,
            program_name: "netdata".into(),
            program_version: "v1.37.1".into(),
            system_info: facts.map(|(name, value)| (name.into(), value.into())).into(),
            ..StreamRequest::default()
        };
        assert_eq!(request, expected);
        assert_eq!(request.check(), Ok(()));
    }

    #[test]
    fn what_is_left_out_gets_its_default() {
        let request = request_of("hostname=h&tags=&=x&nothing");
        let expected = StreamRequest {
            hostname: "h".into(),
            registry_hostname: "h".into(),
            program_name: "netdata".into(),
            program_version: "v1.37.1".into(),
            ..StreamRequest::default()
        };
        assert_eq!(request, expected);
        assert_eq!(request_of("NETDATA_PROTOCOL_VERSION=1.1").ver, 1);
        assert_eq!(request_of("NETDATA_PROTOCOL_VERSION=1.1&ver=5").ver, 5);
    }

    #[test]
    fn the_query_is_split_before_it_is_decoded_and_the_first_value_wins() {
        let request =
            request_of("hostname=a%26key%3Db&os=one&os=two&shoe=size HTTP/44&timezone=100%&tags=%zz%4");
        assert_eq!(request.hostname, "a&key=b");
        assert_eq!(request.key, "");
        assert_eq!(request.os, "one");
        assert_eq!(request.unknown, [("shoe".into(), "size HTTP/44".into())]);
        assert_eq!(request.timezone, "100%");
        assert_eq!(request.tags, "%zz%4");
    }

    #[test]
    fn numbers_take_the_bases_of_c() {
        let request =
            request_of("update_every=0x10&utc_offset=-3600&hops=010&ver=0xFf&mc_version=7z&ml_capable=1");
        assert_eq!(request.update_every, Some(16));
        assert_eq!(request.utc_offset, -3600);
        assert_eq!(request.hops, 8);
        assert_eq!(request.ver, 255);
        assert_eq!(request.mc_version, 7);
        assert!(request.ml_capable && !request.ml_enabled);
        assert_eq!(request_of("update_every=0").update_every, None);
        assert_eq!(request_of("hops=-99999999999999999999").hops, 1);
    }

    #[test]
    fn what_must_be_there_is_asked_for_in_netdatas_order() {
        let cases = [
            (String::new(), Refusal::NoKey),
            ("key=x".into(), Refusal::NoHostname),
            ("key=x&hostname=h".into(), Refusal::NoMachineGuid),
            ("key=x&hostname=h&machine_guid=y".into(), Refusal::InvalidKey),
            (format!("key={{{KEY}&hostname=h&machine_guid={GUID}"), Refusal::InvalidKey),
            (format!("key={KEY}&hostname=h&machine_guid=y"), Refusal::InvalidMachineGuid),
        ];
        for (query, expected) in cases {
            assert_eq!(request_of(&query).check(), Err(expected), "{query}");
        }
        let upper = request_of(&format!("key={}&hostname=h&machine_guid={GUID}", KEY.to_uppercase()));
        assert_eq!(upper.check(), Ok(()));
    }

    #[test]
    fn a_request_may_arrive_in_any_pieces() {
        let whole = format!("STREAM key={KEY}&hostname=h HTTP/1.1\r\nUser-Agent: x\r\n\r\nCHART");
        let end = whole.len() - "CHART".len();
        for len in 0..end {
            assert_eq!(StreamRequest::parse(&whole.as_bytes()[..len]), Ok(None), "{len} bytes");
        }
        let (request, taken) = StreamRequest::parse(whole.as_bytes()).unwrap().unwrap();
        assert_eq!((request.program_name.as_str(), request.program_version.as_str()), ("x", "unknown"));
        assert_eq!(taken, end);
    }

    #[test]
    fn what_is_no_request_is_refused_early() {
        assert_eq!(StreamRequest::parse(b"GET "), Err(HandshakeError::NotStream));
        assert_eq!(StreamRequest::parse(b"STREAM x\r\n\r\n"), Err(HandshakeError::NoHttp));
        let endless = [b"STREAM ", &[b'x'; MAX_REQUEST][..]].concat();
        assert_eq!(StreamRequest::parse(&endless[..MAX_REQUEST - 1]), Ok(None));
        assert_eq!(StreamRequest::parse(&endless[..MAX_REQUEST]), Err(HandshakeError::TooLong));
    }

    #[test]
    fn control_bytes_do_not_reach_a_log() {
        assert_eq!(request_of("hostname=a%0ab%1b%ffc").hostname, "a b \u{fffd}c");
    }

    #[test]
    fn the_five_facts_that_1_37_dies_without_are_always_sent() {
        let request = StreamRequest {
            system_info: vec![("NETDATA_SYSTEM_OS_ID".into(), String::new())],
            ..StreamRequest::default()
        };
        let text = String::from_utf8(encode_request(&request)).unwrap();
        for fact in FACTS_ALWAYS_SENT {
            assert_eq!(text.matches(&format!("&{fact}=unknown")).count(), 1, "{fact}");
        }
        assert!(text.contains("&NETDATA_PROTOCOL_VERSION=1.1 HTTP/1.1\r\nUser-Agent: unknown/unknown\r\n"));
        assert!(text.ends_with("\r\n\r\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_request_comes_back_as_it_was_sent(
            hostname in "[ -%'-~é]{1,20}", tags in "[ -%'-~]{0,20}", fact in "[ -%'-~]{1,20}",
            ver in any::<u32>(), utc_offset in any::<i32>(), hops in any::<u32>(), ml_enabled in any::<bool>(),
        ) {
            let mut request = StreamRequest {
                key: KEY.into(), registry_hostname: hostname.clone(), hostname, machine_guid: GUID.into(),
                update_every: Some(2), tags, ver, utc_offset, hops, ml_enabled,
                program_name: "netdata".into(), program_version: "v2.9.0".into(),
                ..StreamRequest::default()
            };
            request.system_info = FACTS_ALWAYS_SENT.map(|name| (name.to_string(), fact.clone())).into();
            let bytes = encode_request(&request);
            prop_assert_eq!(StreamRequest::parse(&bytes), Ok(Some((request, bytes.len()))));
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = StreamRequest::parse(&[METHOD, &bytes, b" HTTP/1.1\r\n\r\n"].concat());
        }
    }
}
