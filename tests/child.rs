//! A child that says what it is told: for handshakes, scripts of lines, and bad habits.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use mainstem::wire::handshake::{StreamRequest, encode_request};
use uuid::Uuid;

use crate::harness::{TestParent, read, read_prompt};

/// What protocol v1 children with labels and replication offer, uncompressed.
pub(crate) const V1: u32 = 64 + 128 + 256 + 512 + 4096 + 8192;
/// The same with finished values.
pub(crate) const V2: u32 = V1 + 16384;

/// The request of a child.
pub(crate) fn request(parent: &TestParent, hostname: &str, machine_guid: Uuid, ver: u32) -> StreamRequest {
    request_with(&parent.key, hostname, machine_guid, ver)
}

pub(crate) fn request_with(key: &str, hostname: &str, machine_guid: Uuid, ver: u32) -> StreamRequest {
    StreamRequest {
        key: key.into(),
        hostname: hostname.into(),
        registry_hostname: hostname.into(),
        machine_guid: machine_guid.to_string(),
        update_every: Some(1),
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        ver,
        program_name: "netdata".into(),
        program_version: "v1.37.1".into(),
        ..StreamRequest::default()
    }
}

/// Sends a request and gives back the connection and the answer to it.
pub(crate) fn greet(address: SocketAddr, request: &StreamRequest) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).expect("the parent listens");
    stream.set_nodelay(true).expect("no delay");
    stream.write_all(&encode_request(request)).expect("sent");
    let prompt = read_prompt(&mut stream);
    (stream, prompt)
}

/// A connected child.
pub(crate) struct Child {
    pub(crate) stream: TcpStream,
}

impl Child {
    pub(crate) fn connect(parent: &TestParent, hostname: &str, ver: u32) -> Self {
        Self::connect_to(parent.address, &parent.key, hostname, ver)
    }

    pub(crate) fn connect_to(address: SocketAddr, key: &str, hostname: &str, ver: u32) -> Self {
        let (stream, prompt) = greet(address, &request_with(key, hostname, guid_of(hostname), ver));
        assert_eq!(prompt, format!("Hit me baby, push them over with the version={ver}"));
        Self { stream }
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("sent");
    }

    /// Whether the parent has closed the connection; waits for it.
    pub(crate) fn is_closed_by_parent(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match read(&mut self.stream, &mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return error.kind() == std::io::ErrorKind::ConnectionReset,
            }
        }
    }
}

/// A machine GUID that belongs to a hostname.
pub(crate) fn guid_of(hostname: &str) -> Uuid {
    let mut bytes = [0xA5; 16];
    for (index, byte) in hostname.bytes().enumerate() {
        bytes[index % 16] ^= byte.rotate_left(index as u32 / 16);
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}
