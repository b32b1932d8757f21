//! [`Answer`]: what a handler gives back, and its way into an HTTP response.

use std::borrow::Cow;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::TURN;
use super::body::{Body, Pieces};
use crate::runtime::breathe;

/// Bodies that a gzip header would only make longer.
const GZIP_FROM_BYTES: usize = 256;
/// What is compressed before the time is looked at: some tenths of a millisecond.
const PACKED_AT_ONCE: usize = 16 << 10;
const CACHED_FOR: Duration = Duration::from_secs(86_400);

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// What a handler gives back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Cow<'static, str>,
    pub(super) body: Vec<u8>,
    /// The same request will have the same answer tomorrow.
    pub(super) cacheable: bool,
    /// Worth a client's wish for gzip.
    pub(super) gzip: bool,
    pub(super) headers: Vec<(HeaderName, String)>,
    /// Writes the body, if it is large; then there are no bytes of it here.
    pub(super) pieces: Option<Box<dyn Pieces>>,
}

impl Answer {
    pub(super) fn new(content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: content_type.into(),
            body: body.into(),
            cacheable: false,
            gzip: true,
            headers: Vec::new(),
            pieces: None,
        }
    }

    /// A body that is written as the client takes it.
    pub(super) fn in_pieces(content_type: &'static str, pieces: impl Pieces + 'static) -> Self {
        Self { pieces: Some(Box::new(pieces)), ..Self::new(content_type, Vec::new()) }
    }

    pub(super) fn error(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, ..Self::new(TEXT, text.into()) }
    }

    pub(super) fn html_error(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, ..Self::new(HTML, text.into()) }
    }

    /// A shard did not answer in time: come back.
    pub(super) fn overloaded() -> Self {
        Self::error(StatusCode::SERVICE_UNAVAILABLE, "The parent is overloaded, try again.")
            .with_header(header::RETRY_AFTER, "1")
    }

    /// A value as JSON.
    pub(super) fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self::new(JSON, body),
            Err(error) => {
                Self::error(StatusCode::INTERNAL_SERVER_ERROR, format!("Cannot write the answer: {error}"))
            }
        }
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The response to a request with these headers. A body is compressed by turns with whatever else there is to do.
    pub(super) async fn into_response(
        mut self,
        request: &HeaderMap,
        gzip: Option<Compression>,
    ) -> Response<Body> {
        let accepts_gzip = request
            .get(header::ACCEPT_ENCODING)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("gzip"));
        let gzip = gzip.filter(|_| accepts_gzip && self.gzip);
        if let Some(mut pieces) = self.pieces.take() {
            let mut first = Vec::new();
            if pieces.next(&mut first) {
                let body = Body::written(first, pieces, gzip);
                return self.head(request, body, gzip.is_some());
            }
            // All of it was written: its length can be told.
            self.body = first;
        }
        let body = std::mem::take(&mut self.body);
        match gzip.filter(|_| body.len() >= GZIP_FROM_BYTES) {
            Some(level) => {
                let packed = pack(&body, level).await;
                self.head(request, Body::whole(packed, body.len()), true)
            }
            None => {
                let all = body.len();
                self.head(request, Body::whole(body, all), false)
            }
        }
    }

    /// A response with this body.
    fn head(self, request: &HeaderMap, body: Body, is_compressed: bool) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(
            header::SERVER,
            HeaderValue::from_static(concat!("mainstem/", env!("CARGO_PKG_VERSION"))),
        );
        let origin = request.get(header::ORIGIN).cloned().unwrap_or(HeaderValue::from_static("*"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        headers.insert(header::VARY, HeaderValue::from_static("Origin, Accept-Encoding"));
        let content_type = HeaderValue::from_str(&self.content_type);
        headers.insert(
            header::CONTENT_TYPE,
            content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
        );
        let now = SystemTime::now();
        if self.cacheable && self.status == StatusCode::OK {
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
            insert(headers, header::EXPIRES, &httpdate::fmt_http_date(now + CACHED_FOR));
        } else {
            headers.insert(
                header::CACHE_CONTROL,
                HeaderValue::from_static("no-cache, no-store, must-revalidate"),
            );
            headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
            insert(headers, header::EXPIRES, &httpdate::fmt_http_date(now));
        }
        if is_compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for (name, value) in self.headers {
            if name == header::SET_COOKIE {
                // The only one that there may be several of.
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.append(name, value);
                }
            } else {
                insert(headers, name, &value);
            }
        }
        response
    }
}

/// A value that cannot be a header, such as one with a control character that a client made us echo, is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// A body as gzip. Others have their turn while it is compressed.
async fn pack(body: &[u8], level: Compression) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), level);
    let mut turn = Instant::now();
    for part in body.chunks(PACKED_AT_ONCE) {
        encoder.write_all(part).expect("memory takes all that is written");
        if turn.elapsed() >= TURN {
            breathe().await;
            turn = Instant::now();
        }
    }
    encoder.finish().expect("memory takes all that is written")
}

/// Text of a client's, safe inside HTML.
pub(super) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            '/' => escaped.push_str("&#x2F;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Read;

    use super::*;

    #[test]
    fn others_have_their_turn_while_a_body_is_compressed() {
        // What hardly can be compressed takes longest.
        let body: Vec<u8> =
            (0u32..2 << 20).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        tokio_uring::start(async {
            let (turns, is_over) = (Cell::new(0), Cell::new(false));
            let packing = async {
                let packed = pack(&body, Compression::new(9)).await;
                is_over.set(true);
                packed
            };
            let other = async {
                while !is_over.get() {
                    breathe().await;
                    turns.set(turns.get() + 1);
                }
            };
            let (packed, ()) = tokio::join!(packing, other);
            assert!(turns.get() > 3, "{} turns", turns.get());
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(&*packed).read_to_end(&mut unpacked).expect("gzip");
            assert!(unpacked == body);
        });
    }
}
