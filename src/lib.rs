//! mainstem: a parent for Netdata children.

pub mod wire;
