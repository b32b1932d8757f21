//! The agents on a host's way to us: what the child knows of it, ourselves behind that, and all of it sent back.
//!
//! A path that leads through us before it reaches the child is a loop: that child's connection ends, with its reason.
//! Elements behind the child are of an earlier connection and are left out.

use super::{DisconnectReason, Receiver, Surroundings};
use crate::sender::NodeId;
use crate::wire::command::Instruction;
use crate::wire::document::Document;
use crate::wire::instruction::encode_instruction;
use crate::wire::stream_path::{self, KEYWORD, PathElement, StreamPath};

/// Our place on the way.
#[derive(Debug)]
pub(super) struct Place {
    /// Our own element, complete once the first path has come.
    own: PathElement,
    is_complete: bool,
    /// The log has a line about a path that is none.
    complained: bool,
}

impl Place {
    pub(super) fn new(own: PathElement) -> Self {
        Self { own, is_complete: false, complained: false }
    }
}

impl Receiver {
    /// The child has said who is before us.
    pub(super) fn take_path(
        &mut self,
        document: Document,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        // One that is too long is as good as none.
        let document = document.finish().unwrap_or_default();
        let mut elements = match stream_path::parse(&document) {
            Ok(elements) => elements,
            Err(error) => {
                around.counters.commands_without_effect += 1;
                if !std::mem::replace(&mut self.place.complained, true) {
                    let host = &*around.mirror.info().hostname;
                    tracing::warn!(host, %error, "the child's stream path is not understood and passed over");
                }
                return Ok(());
            }
        };
        self.complete_place(around);
        let own = &self.place.own;
        elements.retain(|element| element.hops < own.hops);
        if let Some(ours) = elements.iter().find(|element| element.host_id == own.host_id) {
            return Err(DisconnectReason::Loop { hops: ours.hops, again: own.hops });
        }
        elements.push(own.clone());
        if around.mirror.set_stream_path(elements) {
            self.tell_path(around);
        }
        Ok(())
    }

    /// A parent of ours has said who is behind us: all of the way, or nothing of it when the link to it has ended.
    pub fn take_path_beyond(&mut self, document: Option<&[u8]>, around: &mut Surroundings<'_>) {
        let own = &self.place.own;
        let elements = match document.map(stream_path::parse) {
            None => Vec::new(),
            Some(Ok(mut elements)) => {
                elements.retain(|element| element.hops > own.hops && element.host_id != own.host_id);
                elements
            }
            Some(Err(error)) => {
                let host = &*around.mirror.info().hostname;
                tracing::debug!(host, %error, "the parent's stream path is not understood and passed over");
                return;
            }
        };
        if around.mirror.set_path_beyond(elements) {
            self.tell_path(around);
        }
    }

    /// A parent of ours has said what its cloud calls the host.
    pub fn take_node_id(&mut self, named: &NodeId, around: &mut Surroundings<'_>) {
        around.mirror.set_node_id(uuid::Uuid::try_parse_ascii(&named.node_id).ok());
        if self.agrees_on_node_ids {
            let NodeId { claim_id, node_id, url } = named;
            encode_instruction(&Instruction::NodeId { claim_id, node_id, url }, around.out);
        }
    }

    /// Tells the child the whole way.
    fn tell_path(&self, around: &mut Surroundings<'_>) {
        let path = around.mirror.whole_path();
        if !self.agrees_on_paths || path.is_empty() {
            return;
        }
        encode_instruction(&Instruction::Json { keyword: KEYWORD }, around.out);
        // Writing to memory does not fail, and the path's parts are texts and numbers.
        let document = serde_json::to_vec(&StreamPath::of(path)).unwrap_or_default();
        encode_instruction(&Instruction::Payload(&document), around.out);
        encode_instruction(&Instruction::JsonEnd, around.out);
    }

    /// The oldest of our samples is looked for once a connection: it takes a look at every chart.
    fn complete_place(&mut self, around: &Surroundings<'_>) {
        if !std::mem::replace(&mut self.place.is_complete, true) {
            let spans = around.mirror.charts().iter().filter_map(|chart| around.engine.span(chart.group));
            let first = spans.map(|span| span.first.0).min();
            self.place.own.first_time_t = first.unwrap_or(self.place.own.since);
        }
    }
}
