//! [`Body`]: an answer's bytes, whole or written as the client takes them.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use http_body::{Frame, SizeHint};
use hyper::body::Bytes;

use super::TURN;
use crate::runtime::breathe;
use crate::telemetry::Telemetry;

/// Pieces are about so long.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// A body that is written piece by piece. What it is written from stays in memory until then, what was written does not.
pub(super) trait Pieces: fmt::Debug {
    /// Adds the next piece, of about [`PIECE_BYTES`]; false when all was written.
    fn next(&mut self, out: &mut Vec<u8>) -> bool;
}

/// The body of a response.
pub struct Body(Kind);

enum Kind {
    Whole(Option<Bytes>),
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
    telemetry: Arc<Telemetry>,
}

impl fmt::Debug for Body {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Whole(bytes) => {
                formatter.debug_tuple("Body").field(&bytes.as_ref().map(Bytes::len)).finish()
            }
            Kind::Written(writing) => formatter.debug_tuple("Body").field(&writing.pieces).finish(),
        }
    }
}

impl Body {
    pub(super) fn whole(bytes: Vec<u8>) -> Body {
        Body(Kind::Whole(Some(bytes.into())))
    }

    /// `first` was written by `pieces` already.
    pub(super) fn written(
        first: Vec<u8>,
        pieces: Box<dyn Pieces>,
        gzip: Option<Compression>,
        telemetry: Arc<Telemetry>,
    ) -> Body {
        let gzip = gzip.map(|level| GzEncoder::new(Vec::new(), level));
        let turn = Instant::now();
        let is_over = false;
        Body(Kind::Written(Box::new(Writing { first, pieces, gzip, is_over, turn, breath: None, telemetry })))
    }
}

impl Writing {
    /// The next bytes to be sent; `None` when there are no more.
    fn next(&mut self) -> Option<Vec<u8>> {
        while !self.is_over {
            let mut piece = std::mem::take(&mut self.first);
            if piece.is_empty() {
                piece.reserve(PIECE_BYTES + PIECE_BYTES / 8);
                self.is_over = !self.pieces.next(&mut piece);
            }
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
                return Some(piece);
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
        let writing = match &mut self.0 {
            Kind::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Written(writing) => writing,
        };
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
        if let Some(piece) = &piece {
            writing.telemetry.http_sent_bytes.fetch_add(piece.len() as u64, Relaxed);
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Kind::Written(writing) => writing.is_over,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Written(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

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

    fn read(gzip: Option<Compression>) -> (Vec<u8>, usize) {
        let (mut numbers, mut first) = (Numbers(0), Vec::new());
        assert!(numbers.next(&mut first));
        let Body(Kind::Written(mut writing)) =
            Body::written(first, Box::new(numbers), gzip, Arc::new(Telemetry::new(1)))
        else {
            panic!("it is written in pieces")
        };
        let (mut all, mut pieces) = (Vec::new(), 0);
        while let Some(piece) = writing.next() {
            all.extend(piece);
            pieces += 1;
        }
        (all, pieces)
    }

    #[test]
    fn pieces_are_one_text_packed_or_not() {
        let expected: String = (0..5000).map(|number| number.to_string()).collect();
        let (plain, pieces) = read(None);
        assert_eq!((plain, pieces), (expected.clone().into_bytes(), 5));
        let (packed, _) = read(Some(Compression::new(3)));
        assert!(packed.len() < expected.len() / 2);
        let mut unpacked = String::new();
        flate2::read::GzDecoder::new(&*packed).read_to_string(&mut unpacked).unwrap();
        assert_eq!(unpacked, expected);
    }
}
