//! JSON objects and arrays whose parts are computed as they are written.

use serde::{Serialize, Serializer};

/// An object.
pub(super) struct Members<I>(pub(super) I);

impl<I, K, V> Serialize for Members<I>
where
    I: Iterator<Item = (K, V)> + Clone,
    K: Serialize,
    V: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone())
    }
}

/// An array.
pub(super) struct Elements<I>(pub(super) I);

impl<I, T> Serialize for Elements<I>
where
    I: Iterator<Item = T> + Clone,
    T: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}
