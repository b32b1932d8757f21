//! The streaming protocol as bytes and values: no socket, no clock, no catalog.
//!
//! A connection carries one host. A child asks ([`handshake::StreamRequest`]), a parent answers
//! ([`handshake::Reply`]) with the [`capability::Capabilities`] both have, and from then on lines go both ways for as
//! long as the connection lives:
//!
//! ```text
//!  child                                                       parent
//!    |-- STREAM key=..&hostname=..&ver=N HTTP/1.1 .. ------------>|   StreamRequest::parse, check
//!    |<-- Hit me baby, push them over with the version=M ---------|   negotiate, Reply::encode
//!    |== lines, in packets if a compression was agreed ==========>|   Inbound, Command      (Encoder, Lz4Encoder)
//!    |<= lines, always plain =====================================|   encode_instruction    (InstructionParser)
//! ```
//!
//! There is no acknowledgement and no sequence number. What was in flight when a connection broke is lost, and
//! replication brings it again.
//!
//! # The grammar
//!
//! A line ends at `\n`; its words are cut as [`word`] says; its numbers are written as [`number`] says, and are told
//! by their prefix, whatever was agreed. `SLOT:n` stands only where SLOTS was agreed.
//!
//! ```text
//! child       = { definition | data | replayed | host | function | document }
//!
//! definition  = CHART [SLOT:n] "type.id" "name" "title" "units" "family" "context" "charttype" priority ue
//!                     "options" "plugin" "module"
//!               { CLABEL "key" "value" source } [ CLABEL_COMMIT ]
//!               { DIMENSION [SLOT:n] "id" "name" "algorithm" multiplier divisor "options" }
//!               { FUNCTION "name" timeout "help" [ "tags" 0xACCESS priority version ] }
//!               { VARIABLE CHART name = double }
//!               [ CHART_DEFINITION_END first last now ]                                    REPLICATION
//!
//! data        = BEGIN "type.id" usec { SET "id" = integer } END
//!             | BEGIN2 [SLOT:n] 'type.id' ue end_time (wall_clock | #)                     INTERPOLATED
//!               { SET2 [SLOT:n] 'id' collected (value | #) flags } END2
//!
//! replayed    = RBEGIN [SLOT:n] "type.id"                                                  REPLICATION
//!               { RBEGIN [SLOT:n] '' start end wall_clock { RSET [SLOT:n] "id" value flags } }
//!               { RDSTATE [SLOT:n] "id" collected_usec collected calculated stored }
//!               [ RSSTATE collected_usec updated_usec ]
//!               REND ue first last (true | false) after before wall_clock
//!
//! host        = { LABEL "key" = source "value" } OVERWRITE labels                          HLABELS
//!             | CLAIMED_ID machine_guid (claim_id | NULL)                                  CLAIM
//!             | VARIABLE HOST name = double
//!
//! function    = FUNCTION GLOBAL "name" timeout "help" [ "tags" 0xACCESS priority version ]
//!             | FUNCTION_DEL GLOBAL "name"                                                 FUNCTION_DEL
//!             | FUNCTION_RESULT_BEGIN "transaction" code "content type" expires            FUNCTIONS
//!               { raw line } FUNCTION_RESULT_END
//!             | FUNCTION_PROGRESS 'transaction' done all                                   PROGRESS
//!
//! document    = JSON keyword { raw line } JSON_PAYLOAD_END                                 PATHS, ML_MODELS
//!
//! flags       = A | R | AR | E | ''        A: not anomalous, R: a counter was reset, E: empty
//!
//! parent      = { REPLAY_CHART "type.id" "true|false" after before                         REPLICATION
//!             |   FUNCTION transaction timeout "call" [ "0xACCESS" "source" ]              FUNCTIONS
//!             |   FUNCTION_CANCEL transaction | FUNCTION_PROGRESS transaction
//!             |   NODE_ID 'claim id' 'node id' 'url'                                       NODE_ID
//!             |   JSON keyword { raw line } JSON_PAYLOAD_END }                             PATHS
//! ```
//!
//! The units above are what a child writes in one go. Units of different charts alternate freely, and the parser does
//! not insist on their order: what a line belongs to is the receiver's to know.
//!
//! # What always holds
//!
//! - Only whole lines are acted on: a connection often ends inside one, and what is there may look like a line.
//! - Foreign bytes never panic. Text is bounded by [`parser::MAX_LINE`], packets by
//!   [`compression::MAX_PLAINTEXT`], requests by [`handshake::MAX_REQUEST`].
//! - However bytes are cut into reads, the same commands come out.

pub mod capability;
pub mod command;
pub mod compression;
pub mod document;
pub mod encoder;
pub mod handshake;
pub mod inbound;
pub mod instruction;
pub mod number;
pub mod parser;
pub mod stream_path;
pub mod word;

#[cfg(test)]
pub(crate) mod capture;

pub use encoder::Encoder;
pub use inbound::{Inbound, InboundError, Onward, Packet, Reader};
pub use parser::{Visitor, begins_with};
