//! [`Piecewise`]: a body told by an async function that stops whenever a piece is full, until the client has taken that.
//!
//! What it writes from is its own: it is held until the client has all of the body or leaves. It waits for nothing but its
//! client, so no timer and no channel may be awaited in it; what may fail is done before the first byte.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::body::{PIECE_BYTES, Pieces};
use super::object::{Item, Object};

/// What a body is written to.
#[derive(Debug)]
pub(super) struct Writer {
    /// The piece that is being written.
    pub(super) out: Vec<u8>,
    full: Rc<RefCell<Vec<u8>>>,
}

impl Writer {
    /// To be called after each item: when there is a piece, the client takes it first.
    pub(super) async fn pause(&mut self) {
        if self.out.len() >= PIECE_BYTES {
            self.full.replace(std::mem::take(&mut self.out));
            let mut is_taken = false;
            std::future::poll_fn(|_| {
                if std::mem::replace(&mut is_taken, true) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// The object that is being written.
    pub(super) fn object(&mut self) -> Object<'_> {
        Object::resume(&mut self.out)
    }

    /// Begins an object that is a member.
    pub(super) fn begin(&mut self, name: &str) {
        self.object().member(name).push(b'{');
    }

    /// Ends an object.
    pub(super) fn end(&mut self) {
        self.out.push(b'}');
    }

    /// A member that is an array, an item a step.
    pub(super) async fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, Item<'_>),
    ) {
        self.object().member(name).push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            write(item, Item(&mut self.out));
            self.pause().await;
        }
        self.out.push(b']');
    }
}

/// A body that is written by a function.
pub(super) struct Piecewise {
    full: Rc<RefCell<Vec<u8>>>,
    writing: Pin<Box<dyn Future<Output = ()>>>,
}

impl fmt::Debug for Piecewise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Piecewise").finish_non_exhaustive()
    }
}

impl Piecewise {
    pub(super) fn new(write: impl AsyncFnOnce(&mut Writer) + 'static) -> Piecewise {
        let full: Rc<RefCell<Vec<u8>>> = Rc::default();
        let mut writer = Writer { out: Vec::new(), full: Rc::clone(&full) };
        let writing = Box::pin(async move {
            write(&mut writer).await;
            writer.full.replace(writer.out);
        });
        Piecewise { full, writing }
    }
}

impl Pieces for Piecewise {
    fn next(&mut self, out: &mut Vec<u8>) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let is_over = self.writing.as_mut().poll(&mut context).is_ready();
        let mut piece = self.full.take();
        if out.is_empty() {
            *out = piece;
        } else {
            out.append(&mut piece);
        }
        !is_over
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_body_is_written_no_further_than_it_is_taken() {
        let written = Rc::new(Cell::new(0));
        let counter = Rc::clone(&written);
        let mut body = Piecewise::new(async move |writer: &mut Writer| {
            writer.out.push(b'{');
            writer.begin("inner");
            writer.object().integer("one", 1);
            writer.end();
            let items = (0..100_000).inspect(|item| counter.set(*item));
            writer.array("items", items, |item, place| place.0.extend(item.to_string().bytes())).await;
            writer.object().text("last", "x");
            writer.end();
        });
        let (mut all, mut pieces) = (Vec::new(), 0);
        loop {
            let mut piece = Vec::new();
            let is_more = body.next(&mut piece);
            assert!(piece.len() < PIECE_BYTES + 100, "{}", piece.len());
            pieces += 1;
            all.append(&mut piece);
            assert!(written.get() < pieces * 20_000, "{} items in {pieces} pieces", written.get());
            if !is_more {
                break;
            }
        }
        let read: serde_json::Value = serde_json::from_slice(&all).expect("JSON");
        let items = serde_json::Value::from((0..100_000).collect::<Vec<_>>());
        assert_eq!(read, serde_json::json!({"inner": {"one": 1}, "items": items, "last": "x"}));
        assert_eq!(pieces, all.len() as i32 / PIECE_BYTES as i32 + 1);
    }
}
