//! [`Stage`]: a part of a sample's way, or of a question's, alone and always with the same input.
//!
//! ```text
//! recv --> decompress --> parse --> collect (v1) --> store, journal --> seal --> extent
//!          '------------- apply: all of it, as a shard does it -----'        query <-- decode
//! ```
//!
//! A stage is compared with its *floor*: what the same bytes cost when nothing is made of them.
//!
//! The input is [`CHILDREN`] children of a thousand dimensions for [`SECONDS`] seconds, one child after the other each
//! second, as they come in life: what is kept of them does not fit in a core's own cache. The values are the simulator's.

mod engine;

mod input;

mod query;

mod wire;

pub use input::{CHILDREN, SECONDS};

/// A part of the way.
pub trait Stage {
    /// Samples that [`run`](Stage::run) takes.
    fn samples(&self) -> u64;

    /// Makes what `run` uses up.
    fn prepare(&mut self);

    /// The stage's work, once.
    fn run(&mut self);

    /// What it cannot be faster than.
    fn floor(&mut self);
}

/// A stage by its name.
pub struct Named {
    pub name: &'static str,
    /// What its floor does.
    pub floor: &'static str,
    /// Its instructions tell something: its work is not the kernel's.
    pub is_counted: bool,
    pub make: fn() -> Box<dyn Stage>,
}

const fn counted(name: &'static str, floor: &'static str, make: fn() -> Box<dyn Stage>) -> Named {
    Named { name, floor, is_counted: true, make }
}

/// All stages, in the order of a sample's way.
pub const ALL: [Named; 16] = [
    Named { name: "recv", floor: "memcpy of the bytes", is_counted: false, make: wire::recv },
    counted("decompress-lz4", "liblz4 on the same blocks", wire::lz4),
    counted("decompress-zstd", "memcpy of the text", wire::zstd),
    counted("decompress-gzip", "memcpy of the text", wire::gzip),
    counted("decompress-brotli", "memcpy of the text", wire::brotli),
    counted("parse-v1", "memchr over the text", wire::parse_v1),
    counted("parse-v2", "memchr over the text", wire::parse_v2),
    counted("collect", "memcpy of collected values", wire::collect),
    counted("store", "memcpy of the rows", engine::store),
    counted("journal", "memcpy of the rows", engine::journal),
    counted("apply-v1", "memchr over the text", wire::apply_v1),
    counted("apply-v2", "memchr over the text", wire::apply_v2),
    counted("seal", "memcpy of the rows", engine::seal),
    counted("extent", "memcpy of the pages", engine::extent),
    counted("decode", "memcpy of the rows", engine::decode),
    counted("query", "a sum of the samples", query::query),
];

/// The stage's work. The only function that instructions are counted in, by this name.
#[inline(never)]
pub fn measured(stage: &mut dyn Stage) {
    stage.run();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_can_be_run_again_and_again() {
        for named in &ALL {
            let mut stage = (named.make)();
            assert!(stage.samples() > 0, "{}", named.name);
            for _ in 0..2 {
                stage.prepare();
                measured(&mut *stage);
                stage.floor();
            }
        }
    }

    #[test]
    fn names_are_different() {
        let mut names: Vec<&str> = ALL.iter().map(|named| named.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
