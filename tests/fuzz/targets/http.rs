//! Whatever is asked of a running parent over HTTP: it answers or hangs up, and no answer is an error of its own but 503.
//!
//! The first byte chooses how much of a request stands around the rest. Beside a few words of the API, the dictionary has
//! the names of its parameters.
#![no_main]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mainstem::config::{BindAddress, BindHost, BindTo, Config, PortTls, Rights};
use mainstem::runtime::Parent;
use mainstem::runtime::clock::Clock;
use mainstem::wire::handshake::{StreamRequest, encode_request};

/// What stands behind a request's target.
const END: &str = " HTTP/1.1\r\nConnection: close\r\n\r\n";
/// A second of the child's rows.
const FIRST: i64 = 1_795_342_200;

/// A parent with a child that had something to say.
fn parent() -> SocketAddr {
    static PARENT: OnceLock<(Parent, TcpStream)> = OnceLock::new();
    let (parent, _) = PARENT.get_or_init(|| {
        let state = std::env::temp_dir().join(format!("mainstem-fuzz-{}", std::process::id()));
        let mut config = Config::embedded(&state).expect("the embedded default").config;
        let key = std::fs::read_to_string(state.join("api.key")).expect("its key").trim().to_owned();
        config.web.bind = vec![BindTo {
            address: BindAddress::Tcp { host: BindHost::Ip([127, 0, 0, 1].into()), interface: None, port: 0 },
            rights: Rights::ALL,
            tls: PortTls::Unsaid,
        }];
        config.registry.enabled = true;
        let parent = Parent::start(config, uuid::Uuid::from_u128(9), Clock::System).expect("it starts");
        let mut child = TcpStream::connect(parent.addresses()[0]).expect("it listens");
        let request = StreamRequest {
            key,
            hostname: "child".into(),
            machine_guid: uuid::Uuid::from_u128(1).to_string(),
            ver: 64 + 512 + 16384,
            ..StreamRequest::default()
        };
        child.write_all(&encode_request(&request)).expect("sent");
        let _ = child.read(&mut [0; 256]).expect("a prompt");
        let mut lines = "CHART \"a.b\" \"\" \"t\" \"u\" \"f\" \"c\" \"line\" 1 1 \"\" \"p\" \"m\"\n\
                         CLABEL \"k\" \"v\" 1\nCLABEL_COMMIT\nDIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n\
                         DIMENSION \"e\" \"\" \"absolute\" 1 1 \"\"\n"
            .to_owned();
        for second in FIRST..FIRST + 600 {
            lines += &format!("BEGIN2 'a.b' 1 {second} #\nSET2 'd' {second} # A\nSET2 'e' 5 # A\nEND2\n");
        }
        child.write_all(lines.as_bytes()).expect("sent");
        std::thread::sleep(Duration::from_secs(1));
        (parent, child)
    });
    parent.addresses()[0]
}

fuzz_target!(|data: &[u8]| {
    let [choice, text @ ..] = data else { return };
    let (before, after): (&str, &str) = match choice % 16 {
        0 => ("", ""),
        1 => ("GET /", END),
        2 => ("GET /api/v1/", END),
        3 => ("GET /host/child/api/v1/data?chart=a.b&", END),
        4 => ("GET /api/v2/data?contexts=c&", END),
        5 => ("GET /api/v2/", END),
        6 => ("GET /api/v1/allmetrics?format=", END),
        7 => ("GET /host/child/api/v1/weights?method=", END),
        8 => ("GET /host/child/api/v1/badge.svg?chart=a.b&", END),
        9 => ("GET /host/child/api/v1/", END),
        10 => ("GET /api/v1/registry?action=", END),
        11 => ("GET /api/v2/weights?contexts=c&method=", END),
        12 => ("HEAD /host/child/", END),
        13 => ("GET /api/v3/", END),
        14 => ("POST /api/v2/nodes/forget?", END),
        _ => ("GET /api/v1/info HTTP/1.1\r\n", "\r\nConnection: close\r\n\r\n"),
    };
    let mut stream = TcpStream::connect(parent()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(9))).expect("a time-out");
    // It may hang up in the middle.
    let _ = stream.write_all(&[before.as_bytes(), text, after.as_bytes()].concat());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        let hung_up = std::io::ErrorKind::ConnectionReset;
        assert_eq!(error.kind(), hung_up, "no answer to {:?}", String::from_utf8_lossy(data));
    }
    if text.starts_with(b"HEAD ") && choice % 16 == 0 || choice % 16 == 12 {
        let first_end =
            answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        // A second request, or what is left of a damaged one, has its own answer.
        assert!(answer[first_end..].is_empty() || answer[first_end..].starts_with(b"HTTP/1."));
    }
    let status = answer.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    assert!(!status.starts_with(b"5") || status == b"503", "{}", String::from_utf8_lossy(&answer));
});
