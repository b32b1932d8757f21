//! Who is told what lines say.

use crate::wire::command::{Collected, Command, PointFlags, Reference};

/// Who is told what lines say, each as it is read.
///
/// A [`Command`] is as large as the largest line, and was made, copied and taken apart for every value, which took a tenth of
/// the whole cost of a sample. So data lines, which are nearly all, come word by word, for those who want them so.
pub trait Visitor<'a>: Sized {
    type Output;

    /// A line that has no method of its own here, or is not written as children write it.
    fn command(&mut self, command: Command<'a>) -> Self::Output;

    #[inline(always)]
    fn set(&mut self, dimension: &'a [u8], value: Option<i64>) -> Self::Output {
        self.command(Command::Set { dimension, value })
    }

    #[inline(always)]
    fn set2(
        &mut self,
        dimension: Reference<'a>,
        collected: Collected,
        value: f64,
        flags: PointFlags,
    ) -> Self::Output {
        self.command(Command::Set2 { dimension, collected, value, flags })
    }
}
