//! The functions of a host, offered to its parent, and the parent's calls of them.
//!
//! A call goes on to the host's child as one of a visitor does; what comes of it goes back under the transaction that the
//! parent gave it. The parent's question how far a call is means as little here as that we still wait: whether the child still
//! works on it our receiver finds out by itself.
//!
//! Source: streaming protocol section 4.1 (`FUNCTION` and results) and 4.2.

use std::collections::BTreeSet;
use std::sync::Arc;

use ecow::EcoString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::chart::{Progress, SentChart, Stream};
use crate::catalog::call::{CallError, CallOutcome, FunctionCall, FunctionResult};
use crate::catalog::function::{Access, Function, Functions};
use crate::wire::capability::Capabilities;
use crate::wire::command::{Command, FunctionDefinition};
use crate::wire::number;

/// What a function may take whose call does not say it, in seconds.
const DEFAULT_TIMEOUT_S: u32 = 10;

/// A call of the parent's that waits.
#[derive(Debug)]
struct Waiting {
    /// As the parent wrote it.
    transaction: Box<[u8]>,
    answer: oneshot::Receiver<CallOutcome>,
}

/// The parent's calls.
#[derive(Debug, Default)]
pub(super) struct ParentCalls {
    /// Those that the child was not asked yet.
    wanted: Vec<FunctionCall>,
    waiting: Vec<Waiting>,
}

impl ParentCalls {
    /// The parent calls a function. How many may wait, the child's receiver decides.
    pub(super) fn call(
        &mut self,
        transaction: &[u8],
        timeout_s: u32,
        call: &[u8],
        access: &[u8],
        source: &[u8],
    ) {
        let (sender, answer) = oneshot::channel();
        self.waiting.push(Waiting { transaction: transaction.into(), answer });
        self.wanted.push(FunctionCall {
            host: Uuid::nil(),
            transaction: Uuid::try_parse_ascii(transaction).unwrap_or_else(|_| Uuid::new_v4()),
            call: String::from_utf8_lossy(call).into_owned(),
            timeout_s: if timeout_s == 0 { DEFAULT_TIMEOUT_S } else { timeout_s },
            // A parent before 1.45 does not say what its visitor may do, who then may do what needs nothing.
            access: Access(number::unsigned(access).unwrap_or_default()),
            source: String::from_utf8_lossy(source).into_owned(),
            answer: sender,
        });
    }

    /// The parent does not want an answer any more. The child is told when its receiver sees that nobody listens.
    pub(super) fn cancel(&mut self, transaction: &[u8]) {
        self.waiting.retain(|waiting| *waiting.transaction != *transaction);
    }

    pub(super) fn is_waiting(&self, transaction: &[u8]) -> bool {
        self.waiting.iter().any(|waiting| *waiting.transaction == *transaction)
    }

    /// Calls that the child is to be asked, those of the host `host`.
    pub(super) fn take_wanted(&mut self, host: Uuid) -> impl Iterator<Item = FunctionCall> {
        std::mem::take(&mut self.wanted).into_iter().map(move |call| FunctionCall { host, ..call })
    }
}

fn definition<'a>(name: &'a str, function: &'a Function) -> FunctionDefinition<'a> {
    FunctionDefinition {
        global: function.is_global,
        name: name.as_bytes(),
        timeout_s: function.timeout_s,
        help: function.help.as_bytes(),
        tags: function.tags.as_bytes(),
        access: function.access.0,
        priority: function.priority,
        version: 0,
    }
}

impl Stream {
    /// Says what the host can be asked to do, as far as the parent does not know it.
    pub(super) fn describe_functions(&mut self, functions: &Arc<Functions>) {
        if Arc::ptr_eq(&self.functions, functions) || !self.agreed.contains(Capabilities::FUNCTIONS) {
            return;
        }
        let known = std::mem::replace(&mut self.functions, Arc::clone(functions));
        let mut again = BTreeSet::new();
        for (name, function) in functions.iter() {
            let before = known.get(name);
            let is_new = before.is_none_or(|before| !before.is_described_as(function));
            if function.is_global {
                if is_new {
                    self.encoder.encode(&Command::Function(definition(name, function)), &mut self.text);
                }
                continue;
            }
            let has_told = |id| !is_new && before.is_some_and(|before| before.charts.contains(id));
            again.extend(function.charts.iter().filter(|id| !has_told(*id)));
        }
        self.describe_again(&again);
        if self.agreed.contains(Capabilities::FUNCTION_DEL) {
            let is_gone = |name| !functions.contains_key(name);
            for (name, _) in known.iter().filter(|(name, function)| function.is_global && is_gone(*name)) {
                let gone = Command::FunctionDel { global: true, name: name.as_bytes() };
                self.encoder.encode(&gone, &mut self.text);
            }
        }
    }

    /// Charts that the parent knows without some of their functions are defined once more.
    fn describe_again(&mut self, ids: &BTreeSet<&EcoString>) {
        if ids.is_empty() {
            return;
        }
        let is_meant = |(_, sent): &(usize, &SentChart)| {
            matches!(sent.progress, Progress::Held | Progress::Live)
                && sent.sent.as_ref().is_some_and(|chart| ids.contains(&chart.id))
        };
        let meant = self.charts.iter().enumerate().filter(is_meant);
        let meant: Vec<_> = meant.filter_map(|(index, sent)| Some((index, sent.sent.clone()?))).collect();
        for (index, chart) in meant {
            self.describe_chart(index, &chart);
        }
    }

    /// The functions of a chart, behind its definition.
    pub(super) fn describe_functions_of(&mut self, chart: &str) {
        let Self { encoder, text, functions, .. } = self;
        for (name, function) in functions.iter().filter(|(_, function)| function.charts.contains(chart)) {
            encoder.encode(&Command::Function(definition(name, function)), text);
        }
    }

    /// Hands on the answers that have come.
    pub(super) fn answer_calls(&mut self) {
        if self.calls.waiting.is_empty() {
            return;
        }
        let most = self.buffer_bytes / 2;
        let Self { encoder, text, calls, .. } = self;
        calls.waiting.retain_mut(|waiting| {
            let outcome = match waiting.answer.try_recv() {
                Ok(outcome) => outcome,
                Err(oneshot::error::TryRecvError::Empty) => return true,
                Err(oneshot::error::TryRecvError::Closed) => Err(CallError::NotConnected),
            };
            let fits = |result: &FunctionResult| result.body.len() <= most;
            let outcome = outcome.and_then(|result| {
                if fits(&result) { Ok(result) } else { Err(CallError::TooLong { limit: most }) }
            });
            let result = outcome.unwrap_or_else(refusal);
            let begin = Command::FunctionResultBegin {
                transaction: &waiting.transaction,
                code: result.code,
                content_type: result.content_type.as_bytes(),
                expires: result.expires,
            };
            encoder.encode(&begin, text);
            encoder.encode(&Command::Payload(&result.body), text);
            encoder.encode(&Command::FunctionResultEnd, text);
            false
        });
    }
}

/// Why there is no answer, in the form that children give it.
fn refusal(error: CallError) -> FunctionResult {
    let body = serde_json::json!({ "status": error.code(), "error_message": error.to_string() });
    FunctionResult {
        code: error.code().into(),
        content_type: "application/json".into(),
        expires: 0,
        body: body.to_string().into_bytes(),
    }
}
