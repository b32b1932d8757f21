//! mainstem-child: a simulator of Netdata children. Thousands of hosts in one process and one thread stream to a
//! parent, in real time; what they collect is a formula, so that every sample the parent answers with can be checked.
//!
//! ```text
//! Load (how many, what) --> Fleet --> a Child each: connect, greet, define, then a row of text every second
//!                             |          its past, if it has a Database: replication answers what is asked
//!                             |          text by Script, of values by value; bytes out through an Outbox, and a
//!                             |          Transport that encrypts them if there is Tls
//!                             +-----> Totals, Report
//!                             +-----> Verifier: asks the parent, compares with the formula
//! ```
//!
//! The children keep to the protocol, but for the one fault that a [`Database`] may be given ([`ReplayFault`]). Other
//! bad habits are for other tools.

pub mod load;

pub mod value;

pub mod database;

pub mod script;

pub mod tls;

mod transport;

mod outbox;

mod replication;

mod child;

pub mod fleet;

pub mod report;

pub mod verify;

pub use database::{Database, ReplayFault, ReplicationStyle};
pub use fleet::{Fleet, Target};
pub use load::Load;
pub use report::{Report, Totals};
pub use tls::Tls;

/// Raises the limits of this process to what thousands of sockets need, and asks the kernel for an io_uring: what
/// is refused is explained; the runtime would panic.
pub use mainstem::runtime::preflight::check as preflight;
