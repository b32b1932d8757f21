//! mainstem-child: a simulator of Netdata children. Thousands of hosts in one process and one thread stream to a
//! parent, in real time; what they collect is a formula, so that every sample the parent answers with can be checked.
//!
//! ```text
//! Workload (a file) --> Load (how many, what), Conduct (when, how well)
//!                          |
//!                          +--> Fleet --> a Child each: connect, greet, define, then a row of text every second
//!                                 |          its past, if it has a Database: replication answers what is asked
//!                                 |          text by Script, of values by value; packets of it by PacketEncoder;
//!                                 |          bytes out through an Outbox, and a Transport that encrypts them if there
//!                                 |          is Tls; what else it does, by its Habits
//!                                 +-----> Totals, Report
//!                                 +-----> freshness: asks the parent for what was just sent
//!                                 +-----> Verifier: asks the parent, compares with the formula
//! ```
//!
//! Children keep to the protocol, unless a [`Database`] is given a [`ReplayFault`], or a [`Workload`] some of
//! [`conduct::Fault`].

pub mod workload;

pub mod load;

pub mod conduct;

pub mod value;

pub mod capture;

pub mod database;

pub mod script;

pub mod tls;

mod transport;

pub mod packets;

mod outbox;

mod replication;

mod child;

pub mod fleet;

pub mod report;

pub mod freshness;

pub mod verify;

pub use database::{Database, ReplayFault, ReplicationStyle};
pub use fleet::{Fleet, Target};
pub use load::Load;
pub use report::{Report, Totals};
pub use tls::Tls;
pub use workload::Workload;

/// Raises the limits of this process to what thousands of sockets need, and asks the kernel for an io_uring: what
/// is refused is explained; the runtime would panic.
pub use mainstem::runtime::preflight::check as preflight;
