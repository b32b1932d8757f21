//! mainstem: a parent for Netdata children.

pub mod wire;

pub mod collect;
