//! JSON objects that are written as they come, without being held.

use crate::web::format::{write_json_string, write_number};

/// An object that is being written; its members come one after the other.
#[derive(Debug)]
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
}

/// The place of a value.
#[derive(Debug)]
pub(super) struct Item<'a>(pub(super) &'a mut Vec<u8>);

impl<'a> Object<'a> {
    /// Begins one. It has no end before [`close`](Self::close).
    pub(super) fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out, is_first: true }
    }

    /// Goes on with one that was opened: its brace is the last that was written, or it has members already.
    pub(super) fn resume(out: &'a mut Vec<u8>) -> Object<'a> {
        let is_first = out.last() == Some(&b'{');
        Object { out, is_first }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// The name of the next member; its value is to follow.
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(b',');
        }
        write_json_string(name, self.out);
        self.out.push(b':');
        self.out
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        write_json_string(text, self.member(name));
    }

    pub(super) fn integer(&mut self, name: &str, integer: i64) {
        self.member(name).extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    }

    pub(super) fn count(&mut self, name: &str, count: usize) {
        self.member(name).extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    }

    /// `null` for what is no number.
    pub(super) fn number(&mut self, name: &str, number: f64) {
        write_number(number, self.member(name));
    }

    pub(super) fn flag(&mut self, name: &str, flag: bool) {
        self.member(name).extend_from_slice(if flag { b"true" } else { b"false" });
    }

    pub(super) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        Item(self.member(name)).object(write);
    }

    pub(super) fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(T, Item<'_>),
    ) {
        let out = self.member(name);
        out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(item, Item(out));
        }
        out.push(b']');
    }

    pub(super) fn texts<'t>(&mut self, name: &str, texts: impl IntoIterator<Item = &'t str>) {
        self.array(name, texts, |text, item| write_json_string(text, item.0));
    }
}

impl Item<'_> {
    pub(super) fn object(self, write: impl FnOnce(&mut Object<'_>)) {
        let mut object = Object::open(self.0);
        write(&mut object);
        object.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut out = Vec::new();
        let mut object = Object::open(&mut out);
        object.text("a \"b\"", "c\n");
        object.object("empty", |_| {});
        object.array("list", [1, 2], |number, item| item.object(|inner| inner.integer("n", number)));
        object.array("numbers", [1.5, f64::NAN], |number, item| write_number(number, item.0));
        object.flag("yes", true);
        object.close();
        let read: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
        let expected = serde_json::json!({
            "a \"b\"": "c\n", "empty": {}, "list": [{"n": 1}, {"n": 2}], "numbers": [1.5, null], "yes": true
        });
        assert_eq!(read, expected);
    }
}
