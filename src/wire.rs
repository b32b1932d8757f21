//! The streaming protocol as bytes and values: no socket, no clock, no catalog.

pub mod command;
