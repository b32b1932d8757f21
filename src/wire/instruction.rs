//! [`Instruction`]s as bytes and back: what a parent sends to a child, always plain text.
//!
//! A child ignores what it does not understand, so reading never fails: nonsense is [`Instruction::Unknown`].

use memchr::memchr;

use super::command::Instruction;
use super::encoder::Line;
use super::number;
use super::parser::MAX_LINE;
use super::word::{Separators, Words};

/// Appends the line of `instruction`.
///
/// A `FUNCTION` without access and source is written as parents before 1.45 write it.
pub fn encode_instruction(instruction: &Instruction<'_>, out: &mut Vec<u8>) {
    let line = &mut Line { out };
    match *instruction {
        Instruction::ReplayChart { chart, start_streaming, after, before } => {
            line.word("REPLAY_CHART")
                .id(chart, b'"')
                .word(if start_streaming { " \"true\"" } else { " \"false\"" })
                .decimal(after)
                .decimal(before);
        }
        Instruction::Function { transaction, timeout_s, call, access, source } => {
            line.word("FUNCTION").bare(transaction).decimal(timeout_s.into()).text(call);
            if !access.is_empty() || !source.is_empty() {
                line.text(access).text(source);
            }
        }
        Instruction::FunctionCancel { transaction } => {
            line.word("FUNCTION_CANCEL").bare(transaction);
        }
        Instruction::FunctionProgress { transaction } => {
            line.word("FUNCTION_PROGRESS").bare(transaction);
        }
        Instruction::NodeId { claim_id, node_id, url } => {
            line.word("NODE_ID").id(claim_id, b'\'').id(node_id, b'\'').id(url, b'\'');
        }
        Instruction::Json { keyword } => {
            line.word("JSON").bare(keyword);
        }
        Instruction::Payload(raw) | Instruction::Unknown { keyword: raw } => line.out.extend_from_slice(raw),
        Instruction::JsonEnd => {
            line.word("JSON_PAYLOAD_END");
        }
    }
    out.push(b'\n');
}

/// What one line without its newline says, outside of a document; a blank line is unknown.
pub fn parse_instruction(line: &[u8]) -> Instruction<'_> {
    let mut words = Words::new(line, Separators::FromParent);
    let keyword = words.next().unwrap_or_default();
    understood(keyword, words).unwrap_or(Instruction::Unknown { keyword })
}

fn understood<'a>(keyword: &[u8], mut words: Words<'a>) -> Option<Instruction<'a>> {
    let filled = |word: Option<&'a [u8]>| word.filter(|word| !word.is_empty());
    match keyword {
        b"REPLAY_CHART" => Some(Instruction::ReplayChart {
            chart: filled(words.next())?,
            start_streaming: words.next()? == b"true",
            after: number::integer(words.next()?)?,
            before: number::integer(words.next()?)?,
        }),
        b"FUNCTION" => Some(Instruction::Function {
            transaction: filled(words.next())?,
            timeout_s: u32::try_from(number::integer(words.next()?)?).unwrap_or(0),
            call: filled(words.next())?,
            access: words.next().unwrap_or_default(),
            source: words.next().unwrap_or_default(),
        }),
        b"FUNCTION_CANCEL" => Some(Instruction::FunctionCancel { transaction: filled(words.next())? }),
        b"FUNCTION_PROGRESS" => Some(Instruction::FunctionProgress { transaction: filled(words.next())? }),
        b"NODE_ID" => {
            Some(Instruction::NodeId { claim_id: words.next()?, node_id: words.next()?, url: words.next()? })
        }
        b"JSON" => Some(Instruction::Json { keyword: words.next().unwrap_or_default() }),
        b"JSON_PAYLOAD_END" => Some(Instruction::JsonEnd),
        _ => None,
    }
}

/// A line from the parent is longer than any of its lines can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line from the parent is longer than {MAX_LINE} bytes")]
pub struct InstructionTooLong;

/// The reader of a parent's lines; it knows documents from instructions.
///
/// A `FUNCTION_PAYLOAD` is unknown, its lines are [`Instruction::Payload`], and its end is unknown again.
#[derive(Debug, Default)]
pub struct InstructionParser {
    /// The line that ends the document being read.
    document_end: Option<&'static [u8]>,
}

impl InstructionParser {
    pub fn new() -> InstructionParser {
        InstructionParser::default()
    }

    /// Takes the next whole line off the front of `input`, and blank ones before it.
    /// `Ok(None)`: it is not complete; call again with more bytes behind what is left.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Instruction<'a>>, InstructionTooLong> {
        loop {
            let searched = &input[..input.len().min(MAX_LINE + 1)];
            let Some(end) = memchr(b'\n', searched) else {
                return if searched.len() > MAX_LINE { Err(InstructionTooLong) } else { Ok(None) };
            };
            let line = &input[..end];
            *input = &input[end + 1..];
            if self.document_end.is_some_and(|end| line != end) {
                return Ok(Some(Instruction::Payload(line)));
            }
            self.document_end = None;
            let instruction = parse_instruction(line);
            match instruction {
                Instruction::Unknown { keyword: b"" } => continue,
                Instruction::Unknown { keyword: b"FUNCTION_PAYLOAD" } => {
                    self.document_end = Some(b"FUNCTION_PAYLOAD_END");
                }
                Instruction::Json { .. } => self.document_end = Some(b"JSON_PAYLOAD_END"),
                _ => {}
            }
            return Ok(Some(instruction));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, expected: Instruction<'_>) {
        assert_eq!(parse_instruction(line.as_bytes()), expected);
        let mut out = Vec::new();
        encode_instruction(&expected, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("{line}\n"));
    }

    #[test]
    fn instructions_are_those_of_real_parents() {
        check(
            "REPLAY_CHART \"t1.abs\" \"true\" 1795342279 1795342280",
            Instruction::ReplayChart {
                chart: b"t1.abs",
                start_streaming: true,
                after: 1_795_342_279,
                before: 1_795_342_280,
            },
        );
        check(
            "REPLAY_CHART \"a.b\" \"false\" 0 0",
            Instruction::ReplayChart { chart: b"a.b", start_streaming: false, after: 0, before: 0 },
        );
        let call = Instruction::Function {
            transaction: b"aaaa-bbbb",
            timeout_s: 10,
            call: b"hello  x=1 y",
            access: b"",
            source: b"",
        };
        check("FUNCTION aaaa-bbbb 10 \"hello  x=1 y\"", call);
        let call = Instruction::Function {
            transaction: b"t",
            timeout_s: 10,
            call: b"top",
            access: b"0x13",
            source: b"user=x",
        };
        check("FUNCTION t 10 \"top\" \"0x13\" \"user=x\"", call);
        check("FUNCTION_CANCEL t", Instruction::FunctionCancel { transaction: b"t" });
        check("FUNCTION_PROGRESS t", Instruction::FunctionProgress { transaction: b"t" });
        check(
            "NODE_ID 'c' 'n' 'https://x.y/?a=b'",
            Instruction::NodeId { claim_id: b"c", node_id: b"n", url: b"https://x.y/?a=b" },
        );
        check("JSON STREAM_PATH", Instruction::Json { keyword: b"STREAM_PATH" });
        check("JSON_PAYLOAD_END", Instruction::JsonEnd);
    }

    #[test]
    fn nonsense_is_unknown() {
        for line in
            ["BOGUS cmd", "REPLAY_CHART", "REPLAY_CHART \"\" \"true\" 1 2", "FUNCTION t x", "FUNCTION_CANCEL"]
        {
            let keyword = line.split(' ').next().unwrap().as_bytes();
            assert_eq!(parse_instruction(line.as_bytes()), Instruction::Unknown { keyword });
        }
        assert_eq!(parse_instruction(b" "), Instruction::Unknown { keyword: b"" });
    }

    #[test]
    fn documents_are_told_from_instructions() {
        let mut text: &[u8] = b"JSON STREAM_PATH\nFUNCTION_CANCEL t\n\nJSON_PAYLOAD_END\n\n\
            FUNCTION_PAYLOAD t 1 \"x\"\nJSON y\nFUNCTION_PAYLOAD_END\nFUNCTION_CANCEL t\nREPLAY";
        let mut parser = InstructionParser::new();
        let mut found = Vec::new();
        while let Some(instruction) = parser.next(&mut text).unwrap() {
            found.push(instruction);
        }
        let expected = [
            Instruction::Json { keyword: b"STREAM_PATH" },
            Instruction::Payload(b"FUNCTION_CANCEL t"),
            Instruction::Payload(b""),
            Instruction::JsonEnd,
            Instruction::Unknown { keyword: b"FUNCTION_PAYLOAD" },
            Instruction::Payload(b"JSON y"),
            Instruction::Unknown { keyword: b"FUNCTION_PAYLOAD_END" },
            Instruction::FunctionCancel { transaction: b"t" },
        ];
        assert_eq!(found, expected);
        assert_eq!(text, b"REPLAY");
        let mut endless: &[u8] = &[b'x'; MAX_LINE + 1];
        assert_eq!(parser.next(&mut endless), Err(InstructionTooLong));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>(), keyword in "(REPLAY_CHART|FUNCTION|NODE_ID|JSON)? ?") {
            parse_instruction(&[keyword.as_bytes(), &bytes].concat());
        }
    }
}
