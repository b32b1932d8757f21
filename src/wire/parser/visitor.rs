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

    /// What the next data line most likely says between its keyword and its values, byte by byte. Empty: nothing is expected.
    #[inline(always)]
    fn head(&self) -> &[u8] {
        &[]
    }

    /// `BEGIN` of the chart whose head was expected. `None`: read it word by word.
    #[inline(always)]
    fn begin_expected(&mut self, _microseconds: i64) -> Option<Self::Output> {
        None
    }

    /// `BEGIN2` of the chart whose head was expected. `None`: read it word by word.
    #[inline(always)]
    fn begin2_expected(
        &mut self,
        _update_every: u32,
        _end_time: i64,
        _wall_clock: i64,
    ) -> Option<Self::Output> {
        None
    }

    /// `SET` of the dimension whose head was expected. `None`: read it word by word.
    #[inline(always)]
    fn set_expected(&mut self, _value: i64) -> Option<Self::Output> {
        None
    }

    /// `SET2` of the dimension whose head was expected. `None`: read it word by word.
    #[inline(always)]
    fn set2_expected(&mut self, _: Collected, _value: f64, _: PointFlags) -> Option<Self::Output> {
        None
    }

    #[inline(always)]
    fn begin(&mut self, chart: &'a [u8], microseconds: i64) -> Self::Output {
        self.command(Command::Begin { chart, microseconds })
    }

    #[inline(always)]
    fn begin2(
        &mut self,
        chart: Reference<'a>,
        update_every: u32,
        end_time: i64,
        wall_clock: i64,
    ) -> Self::Output {
        self.command(Command::Begin2 { chart, update_every, end_time, wall_clock })
    }

    #[inline(always)]
    fn end(&mut self) -> Self::Output {
        self.command(Command::End)
    }

    #[inline(always)]
    fn end2(&mut self) -> Self::Output {
        self.command(Command::End2)
    }

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
