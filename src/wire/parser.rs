//! [`Parser`]: bytes to [`Command`]s, a line each.
//!
//! ```text
//!                FUNCTION_RESULT_BEGIN, JSON
//!   Lines ------------------------------------> Payload { end: FUNCTION_RESULT_END | JSON_PAYLOAD_END }
//!     ^  <------------------------------------    |
//!     |      a line that is exactly `end`         | every other line, as it is
//!     +-- every other line                        +--> Command::Payload
//! ```
//!
//! A payload's line may be of any length, since documents often are one line: it comes in parts of [`MAX_LINE`] bytes.
//!
//! Data lines are what a parent reads all day. They are recognised by their first bytes and read in one pass
//! ([`hot`]); whatever looks unusual in them, and every other line, is cut into words first ([`line`]). Both ways give
//! the same commands.
//!
//! A missing word that a line cannot do without is an error, as it is to Netdata. An unreadable number is not: it is
//! what could be read of it, or 0.

mod hot;
mod line;
mod visitor;

use memchr::memchr;

use super::command::Command;
use super::compression::SIGNATURE;
pub use hot::begins_with;
pub use visitor::Visitor;

/// The longest line outside of payloads, without its newline. The longest that any Netdata takes is 15 487 bytes.
pub const MAX_LINE: usize = 64 * 1024;

/// A line that cannot be acted on: the child is broken, and its connection is to be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    #[error("a line is longer than {MAX_LINE} bytes")]
    LineTooLong,
    /// Where no compression was agreed, this is how a child that compresses all the same shows itself.
    #[error("a line begins with {SIGNATURE:#x}, as a compressed packet does")]
    Packet,
    #[error("{keyword}: word {position}, {name}, {wrong}")]
    Word {
        keyword: &'static str,
        /// Counted from the keyword, which is word 0.
        position: usize,
        /// What the word should have been.
        name: &'static str,
        wrong: Wrong,
    },
}

/// What is wrong with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("is missing")]
    Missing,
    #[error("is no type and id with a dot between them")]
    NoTypeAndId,
    #[error("is no UUID")]
    NoUuid,
}

/// Where in the grammar a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Lines,
    Payload(Document),
    /// A part of a payload's line was given out, the rest is not the line that ends the payload.
    InsidePayloadLine(Document),
}

/// What raw lines belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    FunctionResult,
    Json,
}

impl Document {
    fn end(self) -> &'static [u8] {
        match self {
            Document::FunctionResult => b"FUNCTION_RESULT_END",
            Document::Json => b"JSON_PAYLOAD_END",
        }
    }

    fn end_command(self) -> Command<'static> {
        match self {
            Document::FunctionResult => Command::FunctionResultEnd,
            Document::Json => Command::JsonEnd,
        }
    }
}

/// One who wants commands as values.
struct AsCommand;

impl<'a> Visitor<'a> for AsCommand {
    type Output = Command<'a>;

    fn command(&mut self, command: Command<'a>) -> Command<'a> {
        command
    }
}

/// The reader of one connection's plain text.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
}

impl Parser {
    pub fn new() -> Parser {
        Parser::default()
    }

    /// Takes the next whole command off the front of `input`, and blank lines before it.
    /// `Ok(None)`: its line is not complete; call again with more bytes behind what is left.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Command<'a>>, ParseError> {
        self.visit(input, &mut AsCommand)
    }

    /// [`next`](Self::next) for those who read all day: tells the visitor, and returns what it returned.
    #[inline(always)]
    pub fn visit<'a, V: Visitor<'a>>(
        &mut self,
        input: &mut &'a [u8],
        visitor: &mut V,
    ) -> Result<Option<V::Output>, ParseError> {
        if self.state == State::Lines
            && let Some((returned, taken)) = hot::visit(input, visitor)
        {
            *input = &input[taken..];
            return Ok(Some(returned));
        }
        Ok(self.next_by_words(input)?.map(|command| visitor.command(command)))
    }

    /// The same as [`next`](Self::next) for lines of any shape.
    fn next_by_words<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Command<'a>>, ParseError> {
        loop {
            if self.state == State::Lines && input.first() == Some(&SIGNATURE) {
                return Err(ParseError::Packet);
            }
            let searched = &input[..input.len().min(MAX_LINE + 1)];
            let Some(end) = memchr(b'\n', searched) else {
                if searched.len() <= MAX_LINE {
                    return Ok(None);
                }
                let (State::Payload(document) | State::InsidePayloadLine(document)) = self.state else {
                    return Err(ParseError::LineTooLong);
                };
                self.state = State::InsidePayloadLine(document);
                let (part, rest) = input.split_at(MAX_LINE);
                *input = rest;
                return Ok(Some(Command::PayloadPart(part)));
            };
            let line = &input[..end];
            *input = &input[end + 1..];
            if let Some(command) = self.command(line)? {
                return Ok(Some(command));
            }
        }
    }

    /// What a line without its newline says; `None`: it is blank.
    fn command<'a>(&mut self, line: &'a [u8]) -> Result<Option<Command<'a>>, ParseError> {
        match self.state {
            State::Lines => {}
            State::Payload(document) if line == document.end() => {
                self.state = State::Lines;
                return Ok(Some(document.end_command()));
            }
            State::Payload(document) | State::InsidePayloadLine(document) => {
                self.state = State::Payload(document);
                return Ok(Some(Command::Payload(line)));
            }
        }
        let command = line::command(line)?;
        match command {
            Some(Command::FunctionResultBegin { .. }) => {
                self.state = State::Payload(Document::FunctionResult)
            }
            Some(Command::Json { .. }) => self.state = State::Payload(Document::Json),
            _ => {}
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests;
