//! A child's functions: what it offers, and the calls that wait for its answers.
//!
//! ```text
//!            FUNCTION                              FUNCTION_RESULT_BEGIN … FUNCTION_RESULT_END
//!  a call: ------------> Waiting ----------------------------------------------------------> answered
//!                        |    ^ |   time is over, or nobody waits for the answer any more
//!    half its time is    |    | +----------------------------------------------------------> FUNCTION_CANCEL
//!    over: FUNCTION_-    |    | |   the connection ends
//!    PROGRESS            +----+ +----------------------------------------------------------> the caller is told
//!         the child's FUNCTION_PROGRESS: its time begins anew
//! ```
//!
//! Results come one after the other: of all calls of a child at most one result is held. A result that nobody waits for
//! is passed over, line by line.

use ecow::EcoString;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::chart::text;
use super::{DisconnectReason, Payload, PayloadOf, Receiver, Surroundings};
use crate::catalog::call::{CallError, CallOutcome, FunctionCall, FunctionResult};
use crate::catalog::function::{Access, Function};
use crate::wire::capability::Capabilities;
use crate::wire::command::{FunctionDefinition, Instruction};
use crate::wire::document::{Document, TooLong};
use crate::wire::instruction::encode_instruction;

/// Functions that a host may have: a child of 2.11 offers a dozen.
pub(super) const MOST_FUNCTIONS: usize = 1000;
/// With how many charts a host's functions may be offered, all functions together: a child of 1.44 has some hundred.
pub(super) const MOST_CHARTS_WITH_FUNCTIONS: usize = 10_000;
/// Bytes of what a function says of itself: more than a line of a real child has.
const MOST_FUNCTION_TEXT: usize = 16 * 1024;
/// Calls that may wait for one child.
const MOST_CALLS: usize = 16;
/// The longest result: what a Netdata of 1.37 buffers.
const MOST_RESULT_BYTES: usize = 10 << 20;

#[derive(Debug)]
struct Waiting {
    transaction: Uuid,
    answer: oneshot::Sender<CallOutcome>,
    timeout_s: u32,
    /// When its time is over.
    ends_us: i64,
    /// When the child is asked how far it is; none: it was.
    asks_us: Option<i64>,
}

impl Waiting {
    /// Its time begins.
    fn begin(&mut self, now_us: i64) {
        let timeout_us = i64::from(self.timeout_s) * 1_000_000;
        self.ends_us = now_us + timeout_us;
        self.asks_us = Some(now_us + timeout_us / 2);
    }
}

/// All calls of one child.
#[derive(Debug)]
pub(super) struct Calls {
    agreed: Capabilities,
    waiting: Vec<Waiting>,
}

impl Calls {
    pub(super) fn new(agreed: Capabilities) -> Self {
        Self { agreed, waiting: Vec::new() }
    }

    fn find(&self, transaction: &[u8]) -> Option<usize> {
        let transaction = Uuid::try_parse_ascii(transaction).ok()?;
        self.waiting.iter().position(|waiting| waiting.transaction == transaction)
    }
}

/// How a transaction is written: as 1.37 does it, without hyphens.
fn written(transaction: Uuid) -> String {
    transaction.simple().to_string()
}

impl Receiver {
    /// Calls a function.
    pub fn call(&mut self, call: FunctionCall, around: &mut Surroundings<'_>) {
        let FunctionCall { transaction, call, timeout_s, access, source, answer, .. } = call;
        if self.calls.waiting.len() >= MOST_CALLS {
            // Whoever asked may have left.
            let _ = answer.send(Err(CallError::TooMany { limit: MOST_CALLS }));
            return;
        }
        // Who may call what came with 1.45, as PROGRESS did. Older children do not expect the two words.
        let says_more = self.calls.agreed.contains(Capabilities::PROGRESS);
        let (access, source) = if says_more { (access.to_string(), source) } else { Default::default() };
        encode_instruction(
            &Instruction::Function {
                transaction: written(transaction).as_bytes(),
                timeout_s,
                call: call.as_bytes(),
                access: access.as_bytes(),
                source: source.as_bytes(),
            },
            around.out,
        );
        let mut waiting = Waiting { transaction, answer, timeout_s, ends_us: 0, asks_us: None };
        waiting.begin(around.now_us);
        self.calls.waiting.push(waiting);
    }

    /// Whether any call waits for its answer.
    pub fn is_called(&self) -> bool {
        !self.calls.waiting.is_empty()
    }

    /// Ends calls whose time is over, or for whose answer nobody waits, and asks how far others are.
    pub fn settle_calls(&mut self, around: &mut Surroundings<'_>) {
        let Surroundings { now_us, out, .. } = around;
        let asks = self.calls.agreed.contains(Capabilities::PROGRESS);
        let all = &mut self.calls.waiting;
        for waiting in all.extract_if(.., |waiting| waiting.ends_us <= *now_us || waiting.answer.is_closed())
        {
            let transaction = written(waiting.transaction);
            encode_instruction(&Instruction::FunctionCancel { transaction: transaction.as_bytes() }, out);
            // Whoever asked may have left.
            let _ = waiting.answer.send(Err(CallError::TimedOut { seconds: waiting.timeout_s }));
        }
        for waiting in all.iter_mut().filter(|_| asks) {
            if waiting.asks_us.take_if(|asks_us| *asks_us <= *now_us).is_some() {
                let transaction = written(waiting.transaction);
                encode_instruction(
                    &Instruction::FunctionProgress { transaction: transaction.as_bytes() },
                    out,
                );
            }
        }
    }

    pub(super) fn offer_function(
        &mut self,
        definition: &FunctionDefinition<'_>,
        around: &mut Surroundings<'_>,
    ) -> Result<(), DisconnectReason> {
        // 2.9 offers functions of the host whatever was agreed.
        if !self.calls.agreed.contains(Capabilities::FUNCTIONS) {
            around.counters.commands_without_effect += 1;
            return Ok(());
        }
        if definition.name.len() + definition.help.len() + definition.tags.len() > MOST_FUNCTION_TEXT {
            return Err(DisconnectReason::FunctionTooLong { limit: MOST_FUNCTION_TEXT });
        }
        let function = Function {
            help: text(definition.help),
            tags: text(definition.tags),
            timeout_s: definition.timeout_s,
            access: Access(definition.access),
            priority: definition.priority,
            is_global: definition.global,
            charts: Default::default(),
        };
        let chart = self.scope.filter(|_| !definition.global);
        around.mirror.set_function(text(definition.name), function, chart)
    }

    pub(super) fn begin_result(
        &mut self,
        (transaction, code, content_type, expires): (&[u8], u32, &[u8], i64),
        around: &mut Surroundings<'_>,
    ) {
        self.payload = self.calls.find(transaction).map(|found| Payload {
            of: PayloadOf::Result {
                transaction: self.calls.waiting[found].transaction,
                code,
                content_type: text(content_type),
                expires,
            },
            document: Document::new(MOST_RESULT_BYTES),
        });
        if self.payload.is_none() {
            around.counters.commands_without_effect += 1;
        }
    }

    /// A result is complete, of a call that may have ended meanwhile.
    pub(super) fn end_result(
        &mut self,
        transaction: Uuid,
        (code, content_type, expires): (u32, EcoString, i64),
        document: Document,
    ) {
        let all = &mut self.calls.waiting;
        let Some(found) = all.iter().position(|waiting| waiting.transaction == transaction) else { return };
        let answer = match document.finish() {
            Ok(body) => Ok(FunctionResult { code, content_type, expires, body }),
            Err(TooLong { limit }) => Err(CallError::TooLong { limit }),
        };
        // Whoever asked may have left.
        let _ = all.swap_remove(found).answer.send(answer);
    }

    /// The child works on a call.
    pub(super) fn progress(&mut self, transaction: &[u8], around: &mut Surroundings<'_>) {
        match self.calls.find(transaction) {
            Some(found) => self.calls.waiting[found].begin(around.now_us),
            None => around.counters.commands_without_effect += 1,
        }
    }
}
