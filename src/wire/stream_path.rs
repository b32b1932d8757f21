//! The document of `JSON STREAM_PATH`: the agents through which a host's samples go, the host itself first.
//!
//! ```text
//! {"version":1,"streaming_path":[{"version":1,"hostname":"child","host_id":"…","node_id":null,"claim_id":null,"hops":0,
//!   "since":1795343770,"first_time_t":1795343770,"start_time":0,"shutdown_time":0,"capabilities":["V1",…],"flags":[]}]}
//! ```
//!
//! A child sends it up to itself; its parent appends itself and sends the whole of it back, so that every agent on the
//! way knows the others: who is behind whom, and since when.
//!
//! Source: streaming protocol section 4.1, and what 2.9 and 2.11 send in `tests/golden/stream`.

use ecow::EcoString;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The word behind `JSON`.
pub const KEYWORD: &[u8] = b"STREAM_PATH";
/// The longest document, in bytes: an element has about 500.
pub const MAX_DOCUMENT: usize = 64 * 1024;
/// Agents on one way.
pub const MAX_ELEMENTS: usize = 64;
/// Of the document, and of an element.
const VERSION: u32 = 1;

/// One agent on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathElement {
    pub version: u32,
    pub hostname: EcoString,
    pub host_id: Uuid,
    pub node_id: Option<Uuid>,
    pub claim_id: Option<Uuid>,
    /// Agents before it: 0 for the host itself.
    pub hops: u32,
    /// Unix seconds: since when it has the host's samples come in.
    pub since: i64,
    /// Unix seconds of the oldest sample that it has of the host.
    pub first_time_t: i64,
    /// Milliseconds that it takes to start; 0: not known.
    pub start_time: u64,
    /// Milliseconds that it takes to stop; 0: not known.
    pub shutdown_time: u64,
    /// What it can do, by the names that logs have, too.
    pub capabilities: Vec<EcoString>,
    /// `aclk`, `health`, `ml`, `ephemeral`, `virtual`.
    pub flags: Vec<EcoString>,
}

impl PathElement {
    /// An agent that is known by no cloud and has no flags.
    pub fn new(hostname: EcoString, host_id: Uuid) -> Self {
        Self {
            version: VERSION,
            hostname,
            host_id,
            node_id: None,
            claim_id: None,
            hops: 0,
            since: 0,
            first_time_t: 0,
            start_time: 0,
            shutdown_time: 0,
            capabilities: Vec::new(),
            flags: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
struct Received {
    version: u32,
    streaming_path: Vec<PathElement>,
}

/// The document as it is sent and shown.
#[derive(Debug, Serialize)]
pub struct StreamPath<'a> {
    version: u32,
    streaming_path: &'a [PathElement],
}

impl<'a> StreamPath<'a> {
    pub fn of(streaming_path: &'a [PathElement]) -> Self {
        Self { version: VERSION, streaming_path }
    }
}

/// What makes a document none that can be passed on.
#[derive(Debug, thiserror::Error)]
pub enum PathError {
    #[error("it is no stream path: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it is of version {0}")]
    Version(u32),
    #[error("it has {0} elements")]
    Elements(usize),
    #[error("the element of {0} has no time or no capability")]
    Incomplete(Uuid),
}

/// The elements of a document, in the order of their hops.
pub fn parse(document: &[u8]) -> Result<Vec<PathElement>, PathError> {
    let Received { version, streaming_path: mut elements } = serde_json::from_slice(document)?;
    if version != VERSION {
        return Err(PathError::Version(version));
    }
    if elements.is_empty() || elements.len() > MAX_ELEMENTS {
        return Err(PathError::Elements(elements.len()));
    }
    if let Some(element) =
        elements.iter().find(|element| element.since <= 0 || element.capabilities.is_empty())
    {
        return Err(PathError::Incomplete(element.host_id));
    }
    elements.sort_by_key(|element| element.hops);
    Ok(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::capture::Capture;
    use crate::wire::command::{Command, Instruction};
    use crate::wire::instruction::InstructionParser;
    use crate::wire::parser::Parser;

    fn from_child(capture: &Capture) -> Vec<u8> {
        let (mut parser, mut rest) = (Parser::new(), &capture.from_child[..]);
        while let Some(command) = parser.next(&mut rest).unwrap() {
            if let Command::Payload(document) = command {
                return document.to_vec();
            }
        }
        panic!("no path")
    }

    fn from_parent(capture: &Capture) -> Vec<u8> {
        let (mut parser, mut rest) = (InstructionParser::new(), &capture.from_parent[..]);
        while let Some(instruction) = parser.next(&mut rest).unwrap() {
            if let Instruction::Payload(document) = instruction {
                return document.to_vec();
            }
        }
        panic!("no path")
    }

    #[test]
    fn paths_of_real_children_and_parents_are_written_again_as_they_were() {
        for connection in ["05-v2-plain.conn0", "12-v211-plain.conn0"] {
            let capture = Capture::load(connection);
            for (document, hops) in [(from_child(&capture), 1), (from_parent(&capture), 2)] {
                let elements = parse(&document).unwrap();
                assert_eq!(elements.len(), hops);
                let written = serde_json::to_string(&StreamPath::of(&elements)).unwrap();
                assert_eq!(written, String::from_utf8(document).unwrap());
            }
        }
    }

    #[test]
    fn what_could_not_be_passed_on_is_no_path() {
        let mut element = PathElement::new("child".into(), Uuid::from_u128(1));
        let written = |elements: &[PathElement]| serde_json::to_vec(&StreamPath::of(elements)).unwrap();
        assert!(matches!(parse(&written(&[element.clone()])), Err(PathError::Incomplete(_))));
        element.since = 1;
        element.capabilities = vec!["V1".into()];
        assert!(parse(&written(&[element.clone()])).is_ok());
        assert!(matches!(parse(&written(&[])), Err(PathError::Elements(0))));
        assert!(matches!(parse(&written(&vec![element; 65])), Err(PathError::Elements(65))));
        for text in ["", "{}", "[]", "{\"version\":1,\"streaming_path\":[{\"hops\":-1}]}", "\u{1}"] {
            assert!(matches!(parse(text.as_bytes()), Err(PathError::Json(_))), "{text}");
        }
        let newer = br#"{"version":2,"streaming_path":[]}"#;
        assert!(matches!(parse(newer), Err(PathError::Version(2))));
        let nested = [b"[".repeat(40_000), b"]".repeat(40_000)].concat();
        assert!(parse(&nested).is_err());
    }
}
