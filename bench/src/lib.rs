//! What a sample goes through on its way, stage by stage, for whoever counts or times it: `benches/` and
//! `mainstem-bench instructions`.

pub mod stages;
