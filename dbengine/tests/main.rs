//! The whole engine with its disk: crashes, faults, and random operations against a plain map.

mod crash;

mod database;

mod format;

mod oracle;

mod tiers;
