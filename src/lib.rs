//! mainstem: a parent for Netdata children. It receives their streams, stores every sample, and serves them.
//!
//! ```text
//! sockets -> connection -> wire (handshake, decompress, parse) -> receiver -> collect -> dbengine
//!                                                                    |                      |
//!                                                                 catalog                   v
//! browsers, scripts <------------ web, dashboard <-------------------+------ query <--------+
//! ```
//!
//! Read downwards: a line uses only what stands below it in its block; the runtime carries between the blocks.

// The kernel: the only system calls, the only clock.

pub mod runtime;

// One core.

pub mod shard;

// The way in.

pub mod connection;

pub mod wire;

pub mod receiver;

pub mod sender;

// Our own host is a child that lives in this process.

pub mod collecting;

pub mod saved;

pub mod catalog;

pub mod collect;

// What this machine collects of itself.

pub mod linux;

// The way out. What lies between the two ways is the crate `dbengine`.

pub mod query;

pub mod web;

pub mod registry;

pub mod dashboard;

// The way out for those who have no parent running: what is on disk, read from there.

pub mod db;

// The same of a parent that runs: asked over HTTP.

pub mod nodes;

// What all of them need.

pub mod config;

pub mod telemetry;

pub mod allocator;
