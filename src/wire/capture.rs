//! Recordings of real children, for tests. Their format is in `tests/golden/stream/README.md`.

use std::io::Read;
use std::path::Path;

use super::handshake::{Reply, StreamRequest, parse_reply};

/// All streaming connections that were recorded.
pub(crate) const CONNECTIONS: [&str; 11] = [
    "01-v137-lz4.conn0",
    "02-v137-plain.conn0",
    "05-v2-plain.conn0",
    "07-v2-replay.conn0",
    "08-v137-cut.conn0",
    "08-v137-cut.conn1",
    "10-v137-to-v2.conn0",
    "12-v211-plain.conn0",
    "20-fake-v2-v1.conn0",
    "23-fake-v2-caps137-plain.conn0",
    "26-fake-v137-ver5.conn0",
];

/// One connection.
pub(crate) struct Capture {
    pub(crate) request: StreamRequest,
    pub(crate) reply: Reply,
    /// What the child sent behind its request.
    pub(crate) from_child: Vec<u8>,
    /// What the parent sent behind its prompt.
    pub(crate) from_parent: Vec<u8>,
}

impl Capture {
    pub(crate) fn load(connection: &str) -> Capture {
        let (mut child, mut parent) = directions(connection);
        let (request, taken) = StreamRequest::parse(&child).unwrap().unwrap();
        child.drain(..taken);
        let prompt = prompt_len(&parent);
        let reply = parse_reply(&parent[..prompt]).unwrap();
        parent.drain(..prompt);
        Capture { request, reply, from_child: child, from_parent: parent }
    }
}

/// The bytes of the child and of the parent.
fn directions(connection: &str) -> (Vec<u8>, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stream");
    let file = std::fs::File::open(folder.join(format!("{connection}.ndcap.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let head = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let mut records = &bytes[head + 1..];
    let (mut child, mut parent) = (Vec::new(), Vec::new());
    while let Some((record, rest)) = records.split_first_chunk::<13>() {
        let len = u32::from_le_bytes(*record.last_chunk().unwrap()) as usize;
        let (payload, rest) = rest.split_at(len);
        match record[0] {
            b'C' => child.extend_from_slice(payload),
            b'P' => parent.extend_from_slice(payload),
            _ => {}
        }
        records = rest;
    }
    (child, parent)
}

/// The prompt has no end of its own: it is the old text, or it ends with the digits of its number.
fn prompt_len(parent: &[u8]) -> usize {
    let Some(equals) = parent.iter().take(60).position(|byte| *byte == b'=') else { return parent.len() };
    let digits = parent[equals + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    equals + 1 + digits
}
