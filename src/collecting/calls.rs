//! [`Calls`]: which plugin a call of a function of our own host goes to, and which calls wait for their answers.

use std::collections::HashMap;

use ecow::EcoString;

use crate::wire::Encoder;
use crate::wire::capability::Capabilities;
use crate::wire::command::{Command, Instruction};
use crate::wire::instruction::encode_instruction;

/// The functions of all plugins, and their calls. There are never more than the receiver lets wait.
#[derive(Debug, Default)]
pub struct Calls {
    /// Whose each function is.
    functions: HashMap<Box<[u8]>, EcoString>,
    /// By transaction, who is to answer.
    waiting: HashMap<Vec<u8>, EcoString>,
}

/// What is to be done about a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A line for this plugin.
    Plugin {
        name: EcoString,
        line: Vec<u8>,
    },
    /// An answer for the caller.
    Answer(Vec<u8>),
    Nothing,
}

impl Calls {
    /// These are all functions that a plugin offers now.
    pub fn offer<'a>(&mut self, plugin: &str, functions: impl Iterator<Item = &'a [u8]>) {
        self.functions.retain(|_, owner| owner != plugin);
        self.functions.extend(functions.map(|name| (name.into(), plugin.into())));
    }

    /// Someone calls, or has stopped to wait.
    pub fn route(&mut self, instruction: &Instruction<'_>) -> Route {
        match *instruction {
            Instruction::Function { transaction, call, .. } => {
                let Some(name) = self.owner(call).cloned() else {
                    return Route::Answer(failure(transaction, 404, "No plugin has this function."));
                };
                let mut line = Vec::new();
                // With access and source, which plugins of 2.x insist on; older ones do not mind.
                encode_instruction(instruction, &mut line);
                self.waiting.insert(transaction.to_vec(), name.clone());
                Route::Plugin { name, line }
            }
            Instruction::FunctionCancel { transaction } => {
                self.waiting.remove(transaction);
                Route::Nothing
            }
            _ => Route::Nothing,
        }
    }

    /// An answer has come.
    pub fn answered(&mut self, transaction: &[u8]) {
        self.waiting.remove(transaction);
    }

    /// A plugin has ended, or does not listen: the answers for those who wait for it.
    pub fn fail(&mut self, plugin: &str, why: &str) -> Vec<u8> {
        let mut answers = Vec::new();
        for (transaction, _) in self.waiting.extract_if(|_, owner| owner == plugin) {
            answers.extend(failure(&transaction, 503, why));
        }
        answers
    }

    /// Whose function a call names: the longest name counts that it begins with.
    fn owner(&self, call: &[u8]) -> Option<&EcoString> {
        let ends = (0..=call.len()).rev().filter(|end| call.get(*end).is_none_or(|byte| *byte == b' '));
        ends.map(|end| call[..end].trim_ascii_end()).find_map(|name| self.functions.get(name))
    }
}

/// An answer that says why there is none.
fn failure(transaction: &[u8], code: u32, why: &str) -> Vec<u8> {
    let body = serde_json::json!({ "status": code, "error_message": why }).to_string();
    let mut encoder = Encoder::new(Capabilities::NONE);
    let mut text = Vec::new();
    for command in [
        Command::FunctionResultBegin { transaction, code, content_type: b"application/json", expires: 0 },
        Command::Payload(body.as_bytes()),
        Command::FunctionResultEnd,
    ] {
        encoder.encode(&command, &mut text);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(calls: &mut Calls, transaction: &[u8], call: &[u8]) -> Route {
        calls.route(&Instruction::Function {
            transaction,
            timeout_s: 10,
            call,
            access: b"0x1",
            source: b"someone",
        })
    }

    #[test]
    fn a_call_goes_to_the_plugin_of_the_longest_name() {
        let mut calls = Calls::default();
        calls.offer("a", [&b"top"[..]].into_iter());
        calls.offer("b", [&b"top ten"[..]].into_iter());
        let to = |calls: &mut Calls, call: &[u8]| match called(calls, b"t", call) {
            Route::Plugin { name, line } => format!("{name}: {}", String::from_utf8_lossy(&line)),
            other => format!("{other:?}"),
        };
        assert_eq!(to(&mut calls, b"top ten x"), "b: FUNCTION t 10 \"top ten x\" \"0x1\" \"someone\"\n");
        assert_eq!(to(&mut calls, b"top x"), "a: FUNCTION t 10 \"top x\" \"0x1\" \"someone\"\n");
        assert!(
            matches!(called(&mut calls, b"u", b"topx"), Route::Answer(text) if text.starts_with(b"FUNCTION_RESULT_BEGIN \"u\" 404 "))
        );
        calls.offer("b", std::iter::empty());
        assert_eq!(to(&mut calls, b"top ten"), "a: FUNCTION t 10 \"top ten\" \"0x1\" \"someone\"\n");
    }

    #[test]
    fn those_who_wait_for_a_plugin_that_ends_are_told() {
        let mut calls = Calls::default();
        calls.offer("a", [&b"top"[..]].into_iter());
        for transaction in [&b"1"[..], b"2", b"3"] {
            called(&mut calls, transaction, b"top");
        }
        calls.answered(b"1");
        assert_eq!(calls.route(&Instruction::FunctionCancel { transaction: b"2" }), Route::Nothing);
        assert!(calls.fail("other", "").is_empty());
        let told = String::from_utf8(calls.fail("a", "it has ended")).expect("text");
        assert_eq!(
            told,
            "FUNCTION_RESULT_BEGIN \"3\" 503 \"application/json\" 0\n\
             {\"error_message\":\"it has ended\",\"status\":503}\nFUNCTION_RESULT_END\n"
        );
        assert!(calls.fail("a", "").is_empty());
    }
}
