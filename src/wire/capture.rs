//! Recordings of real children, for tests. Their format is in `tests/golden/stream/README.md`.

use std::io::Read;
use std::path::Path;

use super::capability::{Capabilities, Compression, negotiate};
use super::compression::{Decompressor, HEADER_LEN, Workspace, decode_header};
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
    /// How much of this had come at a time (unix microseconds).
    pub(crate) arrived: Vec<(usize, i64)>,
    /// What the parent sent behind its prompt.
    pub(crate) from_parent: Vec<u8>,
}

impl Capture {
    pub(crate) fn load(connection: &str) -> Capture {
        let (mut child, mut parent, mut arrived) = directions(connection);
        let (request, taken) = StreamRequest::parse(&child).unwrap().unwrap();
        child.drain(..taken);
        arrived.iter_mut().for_each(|(length, _)| *length = length.saturating_sub(taken));
        let prompt = prompt_len(&parent);
        let reply = parse_reply(&parent[..prompt]).unwrap();
        parent.drain(..prompt);
        Capture { request, reply, from_child: child, arrived, from_parent: parent }
    }

    /// What was agreed on, as the child worked it out.
    pub(crate) fn agreed(&self) -> Capabilities {
        let Reply::Accepted(answered) = self.reply else { panic!("{:?}", self.reply) };
        negotiate(answered, Capabilities::from_bits(self.request.ver), &Compression::CHILD_ORDER)
    }

    /// The child's lines, with their newlines, and when each was complete (unix microseconds).
    pub(crate) fn lines(&self) -> Vec<(i64, Vec<u8>)> {
        let mut decompressor = self.agreed().compression().map(Decompressor::new);
        let mut workspace = Workspace::default();
        let (mut lines, mut line, mut taken) = (Vec::new(), Vec::new(), 0);
        for (length, at_us) in &self.arrived {
            let mut text = Vec::new();
            match &mut decompressor {
                None => {
                    text.extend_from_slice(&self.from_child[std::mem::replace(&mut taken, *length)..*length])
                }
                Some(decompressor) => {
                    while let Some((header, rest)) = self.from_child[taken..*length].split_first_chunk() {
                        let size = decode_header(*header).unwrap();
                        let Some(packet) = rest.get(..size) else { break };
                        let mut decompressor = decompressor.open(&mut workspace);
                        decompressor.decode(packet).unwrap();
                        text.extend_from_slice(decompressor.text());
                        let len = decompressor.text().len();
                        decompressor.consume(len);
                        taken += HEADER_LEN + size;
                    }
                }
            }
            for part in text.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.ends_with(b"\n") {
                    lines.push((*at_us, std::mem::take(&mut line)));
                }
            }
        }
        lines
    }
}

/// The bytes of the child and of the parent, and how many of the child's had come at a time.
fn directions(connection: &str) -> (Vec<u8>, Vec<u8>, Vec<(usize, i64)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/stream");
    let file = std::fs::File::open(folder.join(format!("{connection}.ndcap.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let head = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let start: serde_json::Value = serde_json::from_slice(&bytes[..head]).unwrap();
    let start_us = start["start_unix_ns"].as_i64().unwrap() / 1000;
    let mut records = &bytes[head + 1..];
    let (mut child, mut parent, mut arrived) = (Vec::new(), Vec::new(), Vec::new());
    while let Some((record, rest)) = records.split_first_chunk::<13>() {
        let len = u32::from_le_bytes(*record.last_chunk().unwrap()) as usize;
        let (payload, rest) = rest.split_at(len);
        match record[0] {
            b'C' => {
                child.extend_from_slice(payload);
                let after_ns = u64::from_le_bytes(*record[1..].first_chunk().unwrap());
                arrived.push((child.len(), start_us + after_ns as i64 / 1000));
            }
            b'P' => parent.extend_from_slice(payload),
            _ => {}
        }
        records = rest;
    }
    (child, parent, arrived)
}

/// The prompt has no end of its own: it is the old text, or it ends with the digits of its number.
fn prompt_len(parent: &[u8]) -> usize {
    let Some(equals) = parent.iter().take(60).position(|byte| *byte == b'=') else { return parent.len() };
    let digits = parent[equals + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    equals + 1 + digits
}
