//! [`Body`]: an answer's bytes, whole or written as the client takes them.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use hyper::body::Bytes;

use super::TURN;
use super::access::AccessLine;
use crate::runtime::breathe;

/// Pieces are about so long.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// A body that is written piece by piece. What it is written from stays in memory until then, what was written does not.
pub(super) trait Pieces: fmt::Debug {
    /// Adds the next piece, of about [`PIECE_BYTES`]; false when all was written.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;
}

/// The body of a response.
pub struct Body {
    kind: Kind,
    /// Learns what is sent.
    line: Option<AccessLine>,
}

enum Kind {
    Whole {
        bytes: Option<Bytes>,
        /// How many they were before they were compressed.
        all: usize,
    },
    Written(Box<Writing>),
}

struct Writing {
    /// The first piece, until it is sent.
    first: Vec<u8>,
    pieces: Box<dyn Pieces>,
    /// `None` when the client takes no gzip.
    gzip: Option<GzEncoder<Vec<u8>>>,
    is_over: bool,
    turn: Instant,
    /// Others have their turn.
    breath: Option<Pin<Box<dyn Future<Output = ()>>>>,
}

/// The next bytes to be sent.
struct Piece {
    bytes: Vec<u8>,
    /// How many they were before they were compressed.
    all: usize,
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Whole { bytes, .. } => {
                formatter.debug_tuple("Body").field(&bytes.as_ref().map(Bytes::len)).finish()
            }
            Kind::Written(writing) => formatter.debug_tuple("Body").field(&writing.pieces).finish(),
        }
    }
}

impl Body {
    /// `all`: how many bytes there were before they were compressed.
    pub(super) fn whole(bytes: Vec<u8>, all: usize) -> Body {
        Body { kind: Kind::Whole { bytes: Some(bytes.into()), all }, line: None }
    }

    /// `first` was written by `pieces` already.
    pub(super) fn written(first: Vec<u8>, pieces: Box<dyn Pieces>, gzip: Option<Compression>) -> Body {
        let gzip = gzip.map(|level| GzEncoder::new(Vec::new(), level));
        let turn = Instant::now();
        let writing = Writing { first, pieces, gzip, is_over: false, turn, breath: None };
        Body { kind: Kind::Written(Box::new(writing)), line: None }
    }

    /// What is sent of it is told by this line, which is over when the body is.
    pub(super) fn told_by(mut self, mut line: AccessLine) -> Body {
        if http_body::Body::is_end_stream(&self) {
            line.complete();
        }
        self.line = Some(line);
        self
    }
}

impl Writing {
    /// The next piece; `None` when there are no more.
    fn next(&mut self) -> Option<Piece> {
        let mut all = 0;
        while !self.is_over {
            let mut piece = std::mem::take(&mut self.first);
            if piece.is_empty() {
                piece.reserve(PIECE_BYTES + PIECE_BYTES / 8);
                self.is_over = !self.pieces.next(&mut piece);
            }
            all += piece.len();
            if let Some(mut gzip) = self.gzip.take() {
                // Memory takes all that is written.
                gzip.write_all(&piece).ok()?;
                if self.is_over {
                    piece = gzip.finish().ok()?;
                } else {
                    piece = std::mem::take(gzip.get_mut());
                    self.gzip = Some(gzip);
                }
            }
            if !piece.is_empty() {
                return Some(Piece { bytes: piece, all });
            }
        }
        None
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Body { kind, line } = &mut *self;
        let (piece, is_over) = match kind {
            Kind::Whole { bytes, all } => (bytes.take().map(|bytes| (bytes, *all)), true),
            Kind::Written(writing) => {
                if writing.breath.is_none() && writing.turn.elapsed() >= TURN {
                    writing.breath = Some(Box::pin(breathe()));
                }
                if let Some(breath) = &mut writing.breath {
                    if breath.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    writing.breath = None;
                    writing.turn = Instant::now();
                }
                let piece = writing.next();
                (piece.map(|piece| (piece.bytes.into(), piece.all)), writing.is_over)
            }
        };
        if let Some(line) = line {
            if let Some((bytes, all)) = &piece {
                line.add(bytes.len(), *all);
            }
            if is_over {
                line.complete();
            }
        }
        Poll::Ready(piece.map(|(bytes, _)| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Whole { bytes, .. } => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Written(writing) => writing.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole { bytes, .. } => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Written(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read;
    use std::sync::{Arc, Mutex};

    use http::{Method, StatusCode, Uri};

    use super::*;
    use crate::telemetry::Telemetry;

    #[derive(Debug)]
    struct Numbers(u32);

    impl Pieces for Numbers {
        fn next(&mut self, out: &mut Vec<u8>) -> bool {
            let from = self.0;
            self.0 += 1000;
            (from..self.0).for_each(|number| out.extend_from_slice(number.to_string().as_bytes()));
            self.0 < 5000
        }
    }

    /// All that comes of a body before so many pieces were taken.
    async fn taken(mut body: Body, pieces: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for _ in 0..pieces {
            let next = poll_fn(|context| http_body::Body::poll_frame(Pin::new(&mut body), context)).await;
            let Some(Ok(frame)) = next else { break };
            all.extend_from_slice(&frame.into_data().expect("data"));
        }
        all
    }

    fn numbers(gzip: Option<Compression>) -> Body {
        let (mut numbers, mut first) = (Numbers(0), Vec::new());
        assert!(numbers.next(&mut first));
        Body::written(first, Box::new(numbers), gzip)
    }

    #[test]
    fn pieces_are_one_text_packed_or_not() {
        tokio_uring::start(async {
            let expected: String = (0..5000).map(|number| number.to_string()).collect();
            assert_eq!(taken(numbers(None), 5).await, expected.as_bytes());
            let packed = taken(numbers(Some(Compression::new(3))), 9).await;
            assert!(packed.len() < expected.len() / 2);
            let mut unpacked = String::new();
            flate2::read::GzDecoder::new(&*packed).read_to_string(&mut unpacked).unwrap();
            assert_eq!(unpacked, expected);
        });
    }

    #[test]
    fn the_access_log_says_what_was_sent_when_it_was() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let writer = Arc::clone(&lines);
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || Lines(Arc::clone(&writer)))
            .finish();
        let telemetry = Arc::new(Telemetry::new(1));
        let line = |method: Method, is_answered: bool| {
            let uri = Uri::from_static("/api/v2/data?points=0");
            let mut line =
                AccessLine::new(([10, 0, 0, 7], 42170).into(), method, uri, Arc::clone(&telemetry));
            if is_answered {
                line.answered(StatusCode::OK);
            }
            line
        };
        let get = || line(Method::GET, true);
        tracing::subscriber::with_default(subscriber, || {
            tokio_uring::start(async {
                taken(numbers(None).told_by(get()), 9).await;
                taken(numbers(None).told_by(get()), 2).await;
                taken(numbers(Some(Compression::new(3))).told_by(get()), 9).await;
                taken(Body::whole(vec![7; 10], 30).told_by(get()), 1).await;
                taken(Body::whole(Vec::new(), 0).told_by(get()), 0).await;
                taken(Body::whole(vec![7; 10], 10).told_by(line(Method::HEAD, true)), 0).await;
                taken(Body::whole(vec![7; 10], 10).told_by(get()), 0).await;
                drop(line(Method::GET, false));
            });
        });
        let text = String::from_utf8(lines.lock().unwrap().clone()).unwrap();
        let told: Vec<(&str, bool)> = text
            .lines()
            .map(|line| {
                assert!(line.contains("'[10.0.0.7]:42170' '"), "{line}");
                let sizes = line.split_once("points=0' ").expect("a request").1;
                let end = sizes.find(" bytes").expect("sizes");
                (&sizes[..end], line.ends_with(" ms, the client left before the end)"))
            })
            .collect();
        // 10 numbers of one digit, 90 of two, 900 of three, 4000 of four.
        let packed = told[2].0.strip_prefix("200 (sent/all = ").and_then(|rest| rest.strip_suffix("/18890"));
        let packed: usize = packed.expect("its length").parse().expect("a number");
        assert!(packed > 1000 && packed < 12_000 && !told[2].1, "{text}");
        assert_eq!(told[..2], [("200 (sent/all = 18890/18890", false), ("200 (sent/all = 6890/6890", true)]);
        assert_eq!(
            told[3..],
            [
                ("200 (sent/all = 10/30", false),
                ("200 (sent/all = 0/0", false),
                ("200 (sent/all = 0/0", false),
                ("200 (sent/all = 0/0", true),
                ("- (sent/all = 0/0", true),
            ]
        );
        let sent = telemetry.http_sent_bytes.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(sent as usize, 18_890 + 6890 + packed + 10);
    }

    /// Log lines as they are written.
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
}
