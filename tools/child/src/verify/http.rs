//! One `GET`, on a connection of its own: all that asking a parent takes.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::tls::Tls;
use crate::transport::Transport;

/// How long a parent may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pieces in which it is read.
const RECEIVE: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub enum NoAnswer {
    Io(io::Error),
    TimedOut,
    /// The status, and how the body begins.
    Status(u16, String),
    /// What came is not HTTP.
    NotHttp,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoAnswer::Io(error) => write!(f, "{error}"),
            NoAnswer::TimedOut => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            NoAnswer::Status(status, body) => write!(f, "status {status}: {}", body.trim()),
            NoAnswer::NotHttp => f.write_str("the answer is not HTTP"),
        }
    }
}

impl std::error::Error for NoAnswer {}

/// The body that `path` has, when the status is 200.
pub async fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>, NoAnswer> {
    get_with(address, None, path).await
}

/// As [`get`], encrypted when there is `tls`.
pub async fn get_with(address: SocketAddr, tls: Option<&Tls>, path: &str) -> Result<Vec<u8>, NoAnswer> {
    let exchange = async {
        let stream = TcpStream::connect(address).await?;
        let mut transport = match tls {
            None => Transport::plain(stream),
            Some(tls) => Transport::secure(stream, tls).await?,
        };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        transport.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        let mut received = vec![0; RECEIVE];
        loop {
            match transport.read(&mut received).await? {
                0 => return Ok(bytes),
                count => bytes.extend_from_slice(&received[..count]),
            }
        }
    };
    let bytes = timeout(PATIENCE, exchange).await.map_err(|_| NoAnswer::TimedOut)?.map_err(NoAnswer::Io)?;
    let (status, body) = parse(&bytes).ok_or(NoAnswer::NotHttp)?;
    if status == 200 {
        Ok(body)
    } else {
        let beginning: String = String::from_utf8_lossy(&body).chars().take(200).collect();
        Err(NoAnswer::Status(status, beginning))
    }
}

/// Status and body of a whole answer.
fn parse(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let status = head.strip_prefix("http/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = &bytes[end + 4..];
    let chunked = head.lines().any(|line| {
        line.split_once(':')
            .is_some_and(|(name, value)| name == "transfer-encoding" && value.trim() == "chunked")
    });
    let body = if chunked { joined(body)? } else { body.to_vec() };
    Some((status, body))
}

/// The chunks of a body put together; `None`: the last one is missing.
fn joined(mut chunks: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = chunks.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&chunks[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, rest) = chunks.get(line + 2..)?.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        chunks = rest.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, expected: Option<(u16, &str)>) {
        let expected = expected.map(|(status, body)| (status, body.as_bytes().to_vec()));
        assert_eq!(parse(answer.as_bytes()), expected);
    }

    #[test]
    fn a_body_is_found_however_it_is_sent() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", Some((200, "ok")));
        check("HTTP/1.0 404 Not Found\r\n\r\n", Some((404, "")));
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            Some((200, "abc0123456789")),
        );
    }

    #[test]
    fn half_an_answer_is_none() {
        check("HTTP/1.1 200 OK\r\n", None);
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", None);
        check("Hit me baby\r\n\r\n", None);
    }
}
