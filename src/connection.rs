//! [`Greeting`]: a connection until we know who it is. One port serves children and browsers, with TLS and without; the
//! first bytes decide.

mod certificate;

pub mod tls;

pub mod trust;

use crate::wire::handshake::{HandshakeError, StreamRequest};

/// The type of a record that holds a ClientHello.
const TLS_HANDSHAKE: u8 = 0x16;
const STREAM_METHOD: &[u8] = b"STREAM ";

/// Who the first bytes of a connection are from.
#[derive(Debug)]
pub enum Greeting {
    /// They may still become anything, or a child's request is not complete.
    Incomplete,
    /// A TLS handshake.
    Tls,
    /// A child; `consumed` bytes were its request.
    Child { request: Box<StreamRequest>, consumed: usize },
    /// It began like a child and went on like none.
    Damaged(HandshakeError),
    /// Anything else speaks HTTP, or will be told that it does not.
    Browser,
}

/// Tells who sent `bytes`, the first ones of a connection, however few have come so far.
pub fn greet(bytes: &[u8]) -> Greeting {
    let Some(first) = bytes.first() else { return Greeting::Incomplete };
    if *first == TLS_HANDSHAKE {
        return Greeting::Tls;
    }
    let compared = bytes.len().min(STREAM_METHOD.len());
    if bytes[..compared] != STREAM_METHOD[..compared] {
        return Greeting::Browser;
    }
    if bytes.len() < STREAM_METHOD.len() {
        return Greeting::Incomplete;
    }
    match StreamRequest::parse(bytes) {
        Ok(None) => Greeting::Incomplete,
        Ok(Some((request, consumed))) => Greeting::Child { request: Box::new(request), consumed },
        Err(error) => Greeting::Damaged(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide_however_few_they_are() {
        let request = b"STREAM key=k&hostname=h&machine_guid=g HTTP/1.1\r\nUser-Agent: netdata/v1\r\n\r\n";
        let is_incomplete = |bytes: &[u8]| matches!(greet(bytes), Greeting::Incomplete);
        assert!((0..request.len()).all(|length| is_incomplete(&request[..length])));
        assert!(matches!(greet(request), Greeting::Child { consumed, .. } if consumed == request.len()));
        assert!(matches!(greet(b"\x16\x03\x01"), Greeting::Tls));
        assert!(matches!(greet(b"GET / HTTP/1.1\r\n"), Greeting::Browser));
        assert!(matches!(greet(b"STREAMS"), Greeting::Browser));
        assert!(matches!(greet(b"\xff"), Greeting::Browser));
    }
}
