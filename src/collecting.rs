//! What is collected of our own host: by sources in this process, and by plugins, programs that write what they collect.
//!
//! ```text
//! sources, once an interval --+
//!                             +--> PluginText, one each: whole, checked pieces --> our own host's receiver
//! plugins' standard outputs --+
//! ```
//!
//! Our own host is a child that lives in this process: its text takes the way of every other child's
//! (docs/decisions/0010-collecting.md). Here is what needs neither a process nor a clock: text that is checked, rules of
//! restarts, lines for the log, calls of functions; `runtime` starts programs, reads and kills them.

pub mod calls;

pub mod environment;

pub mod identity;

pub mod log_lines;

pub mod own;

pub mod plugin;

pub mod restarts;

pub mod system;

/// Something in this process that collects.
pub trait Source {
    /// Stands for the name of a plugin's file.
    fn name(&self) -> &'static str;

    /// Seconds between its collections.
    fn update_every_s(&self) -> u32;

    /// Appends what it has collected, as a plugin would write it: whole lines, each chart defined before its first values.
    /// `elapsed_us` is the time since the last call, 0 at the first.
    fn collect(&mut self, elapsed_us: i64, out: &mut Vec<u8>);
}
