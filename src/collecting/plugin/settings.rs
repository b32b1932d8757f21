//! [`Settings`]: what a plugin lets be configured while it runs. Nobody can here; but a plugin of Netdata 2.x may begin none of
//! its jobs before it is told, for each, that it is enabled.
//!
//! ```text
//! CONFIG id create status type path source_type source 'commands' …  -->
//!                                                              <--  FUNCTION transaction timeout "config id enable" access source
//! FUNCTION_RESULT_BEGIN transaction … FUNCTION_RESULT_END            -->  nobody waits for it
//! ```
//!
//! Source: Netdata 2.x, external plugins and dynamic configuration.

use uuid::Uuid;

use crate::wire::command::Instruction;
use crate::wire::instruction::encode_instruction;
use crate::wire::word::{Separators, Words};

/// How long a plugin may take, in seconds; Netdata's.
const TIMEOUT_S: u32 = 10;
/// All that there are: it is us who asks.
const EVERY_ACCESS: &[u8] = b"0xffff";

#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Of the last transaction.
    number: u64,
    /// Lines for the plugin.
    lines: Vec<Vec<u8>>,
}

impl Settings {
    /// What stands behind `CONFIG`.
    pub(super) fn read(&mut self, rest: &[u8]) {
        let mut words = Words::new(rest, Separators::FromChild);
        let (Some(id), Some(b"create")) = (words.next(), words.next()) else { return };
        let status = words.next().unwrap_or_default();
        let kind = words.next().unwrap_or_default();
        let (source, commands) =
            (words.by_ref().nth(2).unwrap_or_default(), words.next().unwrap_or_default());
        let can_be_switched = commands
            .split(|byte| matches!(byte, b' ' | b'|'))
            .any(|one| matches!(one, b"enable" | b"disable"));
        // Templates are switched by their jobs.
        if kind == b"template" || !can_be_switched {
            return;
        }
        self.number += 1;
        let verb: &[u8] = if status == b"disabled" { b"disable" } else { b"enable" };
        let mut line = Vec::new();
        encode_instruction(
            &Instruction::Function {
                transaction: transaction(self.number).simple().to_string().as_bytes(),
                timeout_s: TIMEOUT_S,
                call: &[b"config ", id, b" ", verb].concat(),
                access: EVERY_ACCESS,
                source,
            },
            &mut line,
        );
        self.lines.push(line);
    }

    pub(super) fn take_lines(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.lines)
    }

    /// Whether this is the transaction of such a line.
    pub(super) fn asked(&self, transaction_of_result: &[u8]) -> bool {
        Uuid::try_parse_ascii(transaction_of_result)
            .is_ok_and(|result| (1..=u128::from(self.number)).contains(&result.as_u128()))
    }
}

/// Those of callers are random, and have a version.
fn transaction(number: u64) -> Uuid {
    Uuid::from_u128(number.into())
}
