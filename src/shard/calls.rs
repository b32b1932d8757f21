//! Calls of children's functions: handed to the receiver of the child, and looked after while they wait.

use super::Shard;
use super::event::Action;
use crate::catalog::call::{CallError, FunctionCall};
use crate::receiver::Receiver;

impl Shard {
    /// Calls a function of a connected child.
    pub(super) fn call(&mut self, now_us: i64, call: FunctionCall, actions: &mut Vec<Action>) {
        let host = self.by_guid.get(&call.host).copied();
        let is_called = |child: &Option<super::Child>| child.as_ref().map(|child| child.host) == host;
        let place = host.and_then(|_| self.children.iter().position(is_called));
        let Some(place) = place else {
            // Whoever asked may have left.
            let _ = call.answer.send(Err(CallError::NotConnected));
            return;
        };
        self.call_child(now_us, place, call, actions);
    }

    /// Calls a function of the child at this place.
    pub(super) fn call_child(
        &mut self,
        now_us: i64,
        place: usize,
        call: FunctionCall,
        actions: &mut Vec<Action>,
    ) {
        self.with_child(now_us, place, actions, |receiver, around| receiver.call(call, around));
        if !self.called.contains(&place) {
            self.called.push(place);
        }
    }

    /// Ends calls that have waited long enough.
    pub(super) fn settle_calls(&mut self, now_us: i64, actions: &mut Vec<Action>) {
        for place in std::mem::take(&mut self.called) {
            self.with_child(now_us, place, actions, Receiver::settle_calls);
            if self.children[place].as_ref().is_some_and(|child| child.receiver.is_called()) {
                self.called.push(place);
            }
        }
    }
}
