//! Pages for people, built into the binary. They use only the public API.

/// The overview: every mirrored host, whether it streams, and its charts with their newest values.
pub const OVERVIEW: &str = include_str!("dashboard/overview.html");
