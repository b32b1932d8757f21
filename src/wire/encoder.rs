//! [`Encoder`]: [`Command`]s to bytes, as Netdata writes them.
//!
//! Two generations differ in quotes, in options and in numbers. What was agreed tells which one the other side knows:
//! with any of INTERPOLATED, IEEE754 and SLOTS it is 1.39 or later, and lines are those of 2.9; without, those of
//! 1.37.1. Both are exact to the byte for what real children send.

use super::capability::Capabilities;
use super::command::{
    Algorithm, ChartDefinition, ChartOptions, ChartType, Collected, Command, DimensionDefinition,
    DimensionOptions, FunctionDefinition, PointFlags, Reference, ReplayedPoint, VariableScope,
};
use super::number::{DoubleForm, IntegerForm};

/// Which lines the other side knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Generation {
    /// As 1.37.1.
    First,
    /// As 2.9.
    Second,
}

/// The writer of one connection.
#[derive(Clone, Debug)]
pub struct Encoder {
    agreed: Capabilities,
    generation: Generation,
    /// Integers of `BEGIN2` and `SET2`, slots of definitions and of these.
    live: IntegerForm,
    /// Integers of the replication lines, their slots included.
    replayed: IntegerForm,
    /// Values of `SET2`.
    live_value: DoubleForm,
    /// Values of `RSET` and `RDSTATE`.
    replayed_value: DoubleForm,
}

impl Encoder {
    pub fn new(agreed: Capabilities) -> Encoder {
        let second = Capabilities::INTERPOLATED | Capabilities::IEEE754 | Capabilities::SLOTS;
        let generation = if agreed.intersects(second) { Generation::Second } else { Generation::First };
        let base64 = agreed.contains(Capabilities::IEEE754);
        Encoder {
            agreed,
            generation,
            live: if base64 { IntegerForm::Base64 } else { IntegerForm::Hex },
            replayed: if base64 { IntegerForm::Base64 } else { IntegerForm::Decimal },
            live_value: if base64 { DoubleForm::Base64 } else { DoubleForm::Short },
            replayed_value: match generation {
                _ if base64 => DoubleForm::Base64,
                Generation::First => DoubleForm::Fixed,
                Generation::Second => DoubleForm::Short,
            },
        }
    }

    /// Appends the line of `command`.
    ///
    /// Quotes, backslashes and control bytes that would break the line are replaced by `_`. Slots and forms of numbers
    /// are as agreed; *whether* a command may be sent at all is the caller's to know.
    pub fn encode(&mut self, command: &Command<'_>, out: &mut Vec<u8>) {
        let line = &mut Line { out };
        match *command {
            Command::Chart(ref chart) => self.chart(chart, line),
            Command::ChartLabel { key, value, source } => {
                line.word("CLABEL").text(key).text(value).decimal(source.into());
            }
            Command::ChartLabelCommit => {
                line.word("CLABEL_COMMIT");
            }
            Command::Dimension(ref dimension) => self.dimension(dimension, line),
            Command::Variable { scope, name, value } => {
                line.word("VARIABLE");
                match scope {
                    VariableScope::Host => line.word(" HOST"),
                    VariableScope::Chart => line.word(" CHART"),
                    VariableScope::Unspecified => line,
                };
                line.bare(name).word(" =").double(value, DoubleForm::Fixed);
            }
            Command::ChartDefinitionEnd { first, last, now } => {
                line.word("CHART_DEFINITION_END").decimal(first).decimal(last).decimal(now);
            }
            Command::Begin { chart, microseconds } => {
                line.word("BEGIN").id(chart, b'"').decimal(microseconds);
            }
            Command::Set { dimension, value } => {
                line.word("SET").id(dimension, b'"');
                if let Some(value) = value {
                    line.word(" =").decimal(value);
                }
            }
            Command::End => {
                line.word("END");
            }
            Command::Begin2 { chart, update_every, end_time, wall_clock } => {
                self.reference(line.word("BEGIN2"), chart, self.live, b'\'');
                line.integer(update_every.into(), self.live).integer(end_time, self.live);
                if wall_clock == end_time {
                    line.word(" #");
                } else {
                    line.integer(wall_clock, self.live);
                }
            }
            Command::Set2 { dimension, collected, value, flags } => {
                self.set2(dimension, collected, value, flags, line);
            }
            Command::End2 => {
                line.word("END2");
            }
            Command::ReplayBegin { chart, point } => self.replay_begin(chart, point, line),
            Command::ReplaySet { dimension, value, flags } => {
                self.reference(line.word("RSET"), dimension, self.replayed, b'"');
                match self.generation {
                    Generation::First if flags.empty => line.word(" NAN"),
                    _ => line.double(value, self.replayed_value),
                };
                self.replayed_flags(flags, line);
            }
            Command::ReplayDimensionState {
                dimension,
                last_collected_us,
                last_collected_value,
                last_calculated,
                last_stored,
            } => {
                self.reference(line.word("RDSTATE"), dimension, self.replayed, self.replay_quote());
                line.integer(last_collected_us, self.replayed)
                    .integer(last_collected_value, self.replayed)
                    .double(last_calculated, self.replayed_value)
                    .double(last_stored, self.replayed_value);
            }
            Command::ReplayChartState { last_collected_us, last_updated_us } => {
                line.word("RSSTATE")
                    .integer(last_collected_us, self.replayed)
                    .integer(last_updated_us, self.replayed);
            }
            Command::ReplayEnd { update_every, first, last, start_streaming, after, before, wall_clock } => {
                line.word("REND")
                    .integer(update_every.into(), self.replayed)
                    .integer(first, self.replayed)
                    .integer(last, self.replayed);
                line.word(match (start_streaming, self.generation) {
                    // As long as `false`: Netdata writes both with one length.
                    (true, Generation::Second) => " true ",
                    (true, Generation::First) => " true",
                    (false, _) => " false",
                });
                line.integer(after, self.replayed)
                    .integer(before, self.replayed)
                    .integer(wall_clock, self.replayed);
            }
            Command::Label { key, value, source } => {
                line.word("LABEL").text(key).word(" =").decimal(source.into()).text(value);
            }
            Command::Overwrite => {
                line.word("OVERWRITE labels");
            }
            Command::ClaimedId { machine_guid, claim_id } => {
                let claim_id = claim_id.unwrap_or(b"NULL");
                match self.generation {
                    Generation::First => line.word("CLAIMED_ID").bare(machine_guid).bare(claim_id),
                    Generation::Second => line.word("CLAIMED_ID").id(machine_guid, b'\'').id(claim_id, b'\''),
                };
            }
            Command::Function(ref function) => self.function(function, line),
            Command::FunctionDel { global, name } => {
                line.word(if global { "FUNCTION_DEL GLOBAL" } else { "FUNCTION_DEL" }).text(name);
            }
            Command::FunctionResultBegin { transaction, code, content_type, expires } => {
                line.word("FUNCTION_RESULT_BEGIN")
                    .text(transaction)
                    .decimal(code.into())
                    .text(content_type)
                    .decimal(expires);
            }
            Command::Payload(raw) => line.out.extend_from_slice(raw),
            // The line goes on.
            Command::PayloadPart(raw) => return line.out.extend_from_slice(raw),
            Command::FunctionResultEnd => {
                line.word("FUNCTION_RESULT_END");
            }
            Command::FunctionProgress { transaction, done, all } => {
                line.word("FUNCTION_PROGRESS").id(transaction, b'\'').unsigned(done).unsigned(all);
            }
            Command::Json { keyword } => {
                line.word("JSON").bare(keyword);
            }
            Command::JsonEnd => {
                line.word("JSON_PAYLOAD_END");
            }
            Command::Ignored { keyword, rest } => {
                line.out.extend_from_slice(keyword);
                if !rest.is_empty() {
                    line.bare(rest);
                }
            }
            Command::Unknown { keyword } => line.out.extend_from_slice(keyword),
        }
        out.push(b'\n');
    }

    /// Appends what stands between the keyword and the values of the data line of a dimension, but for the space in front of it. Says
    /// where in it the id begins, which is written as it is: a line that it would break never comes.
    pub fn head(&self, dimension: Reference<'_>, out: &mut Vec<u8>) -> u8 {
        let before = self.name(dimension, out);
        out.extend_from_slice(if self.is_interpolated() { b" " } else { b" = " });
        before
    }

    /// The same of the line that begins the data of a chart.
    pub fn chart_head(&self, chart: Reference<'_>, out: &mut Vec<u8>) -> u8 {
        let before = self.name(chart, out);
        out.push(b' ');
        before
    }

    /// A slot, if there is one, and an id in the quotes of data lines. Says where the id begins.
    fn name(&self, reference: Reference<'_>, out: &mut Vec<u8>) -> u8 {
        let begin = out.len();
        let quote = if self.is_interpolated() { b'\'' } else { b'"' };
        if let Some(slot) =
            reference.slot.filter(|_| self.agreed.contains(Capabilities::INTERPOLATED | Capabilities::SLOTS))
        {
            out.extend_from_slice(b"SLOT:");
            self.live.write(slot.0.get().into(), out);
            out.push(b' ');
        }
        out.push(quote);
        let before = out.len() - begin;
        out.extend_from_slice(reference.id);
        out.push(quote);
        before as u8
    }

    /// Data lines are those of v2.
    fn is_interpolated(&self) -> bool {
        self.agreed.contains(Capabilities::INTERPOLATED)
    }

    fn reference(&self, line: &mut Line<'_>, reference: Reference<'_>, form: IntegerForm, quote: u8) {
        if let Some(slot) = reference.slot.filter(|_| self.agreed.contains(Capabilities::SLOTS)) {
            line.word(" SLOT:");
            form.write(slot.0.get().into(), line.out);
        }
        line.id(reference.id, quote);
    }

    /// What ids of charts and of dimensions' states stand in when replayed.
    fn replay_quote(&self) -> u8 {
        match self.generation {
            Generation::First => b'"',
            Generation::Second => b'\'',
        }
    }

    fn chart(&self, definition: &ChartDefinition<'_>, line: &mut Line<'_>) {
        self.reference(line.word("CHART"), definition.chart, self.live, b'"');
        line.text(definition.name)
            .text(definition.title)
            .text(definition.units)
            .text(definition.family)
            .text(definition.context)
            .word(match definition.chart_type {
                ChartType::Line => " \"line\"",
                ChartType::Area => " \"area\"",
                ChartType::Stacked => " \"stacked\"",
                ChartType::Heatmap => " \"heatmap\"",
            })
            .decimal(definition.priority)
            .decimal(definition.update_every.into());
        self.chart_options(definition.options, line);
        line.text(definition.plugin).text(definition.module);
    }

    fn chart_options(&self, options: ChartOptions, line: &mut Line<'_>) {
        let obsolete = if options.obsolete { "obsolete" } else { "" };
        let detail = if options.detail { "detail" } else { "" };
        let store_first = if options.store_first { "store_first" } else { "" };
        let hidden = if options.hidden { "hidden" } else { "" };
        match self.generation {
            _ if !options.given => line.words(&[]),
            Generation::First => line.words(&[obsolete, detail, store_first, hidden]),
            Generation::Second => line.words(&[obsolete, store_first, hidden]),
        };
    }

    fn dimension(&self, definition: &DimensionDefinition<'_>, line: &mut Line<'_>) {
        self.reference(line.word("DIMENSION"), definition.dimension, self.live, b'"');
        line.text(definition.name)
            .word(match definition.algorithm {
                Algorithm::Absolute => " \"absolute\"",
                Algorithm::Incremental => " \"incremental\"",
                Algorithm::PercentageOfAbsoluteRow => " \"percentage-of-absolute-row\"",
                Algorithm::PercentageOfIncrementalRow => " \"percentage-of-incremental-row\"",
            })
            .decimal(definition.multiplier)
            .decimal(definition.divisor);
        let DimensionOptions { obsolete, hidden, no_reset, float } = definition.options;
        let obsolete = if obsolete { "obsolete" } else { "" };
        let hidden = if hidden { "hidden" } else { "" };
        let no_reset = if no_reset { "noreset" } else { "" };
        if self.agreed.contains(Capabilities::FLOAT_BASELINE) {
            line.words(&[obsolete, hidden, no_reset, if float { "type=float" } else { "type=int" }]);
        } else {
            line.words(&[obsolete, hidden, no_reset]);
        }
    }

    fn set2(
        &self,
        dimension: Reference<'_>,
        collected: Collected,
        value: f64,
        flags: PointFlags,
        line: &mut Line<'_>,
    ) {
        self.reference(line.word("SET2"), dimension, self.live, b'\'');
        let same = match collected {
            Collected::Integer(integer) => {
                line.integer(integer, self.live);
                value == integer as f64
            }
            Collected::Float(float) if self.agreed.contains(Capabilities::FLOAT_BASELINE) => {
                line.double(float, self.live_value);
                value == float
            }
            Collected::Float(float) => {
                let integer = float as i64;
                line.integer(integer, self.live);
                value == integer as f64
            }
        };
        if same {
            line.word(" #");
        } else {
            line.double(value, self.live_value);
        }
        line.word(flag_word(flags, true));
    }

    fn replay_begin(&self, chart: Reference<'_>, point: Option<ReplayedPoint>, line: &mut Line<'_>) {
        let quote = if point.is_some() { b'\'' } else { self.replay_quote() };
        self.reference(line.word("RBEGIN"), chart, self.replayed, quote);
        if let Some(ReplayedPoint { start, end, wall_clock }) = point {
            line.integer(start, self.replayed).integer(end, self.replayed).integer(wall_clock, self.replayed);
        }
    }

    fn replayed_flags(&self, flags: PointFlags, line: &mut Line<'_>) {
        line.word(match self.generation {
            Generation::First if flags.empty => " \"E\"",
            Generation::First if flags.reset => " \"R\"",
            Generation::First => " \"\"",
            Generation::Second => flag_word(flags, self.agreed.contains(Capabilities::INTERPOLATED)),
        });
    }

    fn function(&self, function: &FunctionDefinition<'_>, line: &mut Line<'_>) {
        line.word(if function.global { "FUNCTION GLOBAL" } else { "FUNCTION" })
            .text(function.name)
            .decimal(function.timeout_s.into())
            .text(function.help);
        // The words of 1.45 and later; an older parent does not mind them.
        let says_more = !function.tags.is_empty() || function.access != 0;
        if self.generation == Generation::Second || says_more {
            line.text(function.tags)
                .word(&format!(" {:#x}", function.access))
                .decimal(function.priority)
                .decimal(function.version.into());
        }
    }
}

fn flag_word(flags: PointFlags, with_anomaly: bool) -> &'static str {
    match (flags.not_anomalous && with_anomaly, flags.reset, flags.empty) {
        (false, false, false) => " ''",
        (true, false, false) => " A",
        (false, true, false) => " R",
        (true, true, false) => " AR",
        (false, false, true) => " E",
        (true, false, true) => " AE",
        (false, true, true) => " RE",
        (true, true, true) => " ARE",
    }
}

/// The byte cannot stand in an id.
fn breaks_id(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'\\') || byte.is_ascii_control()
}

/// Whether an id is written as it is.
pub fn is_plain(id: &str) -> bool {
    !id.bytes().any(breaks_id)
}

/// A line in the making: words, each with the space before it.
pub(super) struct Line<'o> {
    pub(super) out: &'o mut Vec<u8>,
}

impl Line<'_> {
    /// Text of our own, with its space if it wants one.
    pub(super) fn word(&mut self, word: &str) -> &mut Self {
        self.out.extend_from_slice(word.as_bytes());
        self
    }

    /// Foreign text in double quotes. An apostrophe does it no harm.
    pub(super) fn text(&mut self, text: &[u8]) -> &mut Self {
        self.quoted(text, b'"', |byte| byte == b'"' || byte == b'\\' || byte.is_ascii_control())
    }

    /// A foreign id. It has to be the same in every line, whatever quotes that line has.
    pub(super) fn id(&mut self, id: &[u8], quote: u8) -> &mut Self {
        self.quoted(id, quote, breaks_id)
    }

    fn quoted(&mut self, text: &[u8], quote: u8, breaks: impl Fn(u8) -> bool) -> &mut Self {
        self.out.extend_from_slice(&[b' ', quote]);
        self.out.extend(text.iter().map(|byte| if breaks(*byte) { b'_' } else { *byte }));
        self.out.push(quote);
        self
    }

    /// A foreign word without quotes, which has to stay one.
    pub(super) fn bare(&mut self, word: &[u8]) -> &mut Self {
        let breaks = |byte: u8| matches!(byte, b' ' | b'=' | b'"' | b'\'' | b'\\') || byte.is_ascii_control();
        self.out.push(b' ');
        self.out.extend(word.iter().map(|byte| if breaks(*byte) { b'_' } else { *byte }));
        self
    }

    /// Options: all of them joined by spaces, those not set being empty.
    fn words(&mut self, words: &[&str]) -> &mut Self {
        self.out.extend_from_slice(b" \"");
        for (position, word) in words.iter().enumerate() {
            if position > 0 {
                self.out.push(b' ');
            }
            self.out.extend_from_slice(word.as_bytes());
        }
        self.out.push(b'"');
        self
    }

    pub(super) fn decimal(&mut self, value: i64) -> &mut Self {
        self.integer(value, IntegerForm::Decimal)
    }

    fn unsigned(&mut self, value: u64) -> &mut Self {
        self.out.push(b' ');
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
        self
    }

    fn integer(&mut self, value: i64, form: IntegerForm) -> &mut Self {
        self.out.push(b' ');
        form.write(value, self.out);
        self
    }

    fn double(&mut self, value: f64, form: DoubleForm) -> &mut Self {
        self.out.push(b' ');
        form.write(value, self.out);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::parser::Parser;

    const SECOND: Capabilities =
        Capabilities::INTERPOLATED.with(Capabilities::IEEE754).with(Capabilities::SLOTS);

    /// Reads `lines` and writes them again, which must not change a byte.
    #[track_caller]
    fn check_unchanged(agreed: Capabilities, lines: &str) {
        check(agreed, lines, lines);
    }

    #[track_caller]
    fn check(agreed: Capabilities, lines: &str, expected: &str) {
        let (mut parser, mut encoder, mut out) = (Parser::new(), Encoder::new(agreed), Vec::new());
        let mut rest = lines.as_bytes();
        while let Some(command) = parser.next(&mut rest).unwrap() {
            encoder.encode(&command, &mut out);
        }
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn lines_of_1_37_come_out_as_they_went_in() {
        check_unchanged(
            Capabilities::REPLICATION,
            "CHART \"t1.inc\" \"inc_name\" \"It's a test\" \"units/s\" \"fam\" \"t1.inc\" \"area\" 1001 1 \"   \" \"p\" \"m\"\n\
             CHART \"t1.x\" \"\" \"\" \"\" \"\" \"\" \"heatmap\" 1000 0 \"\" \"\" \"\"\n\
             CHART \"t1.x\" \"\" \"\" \"\" \"\" \"\" \"line\" 1000 1 \"obsolete detail store_first hidden\" \"\" \"\"\n\
             CLABEL \"_collect_plugin\" \"test.plugin\" 536870913\n\
             CLABEL_COMMIT\n\
             DIMENSION \"b\" \"b\" \"absolute\" -3 7 \" hidden \"\n\
             DIMENSION \"b\" \"b\" \"incremental\" 1 1 \"  noreset\"\n\
             FUNCTION \"hello\" 15 \"says hello\"\n\
             VARIABLE CHART name = 12.5000000\n\
             CHART_DEFINITION_END 1795342279 1795342280 1795342281\n\
             BEGIN \"t1.abs\" 1016533\n\
             SET \"a b\" = -36\n\
             END\n\
             LABEL \"_os\" = 9 \"linux\"\n\
             OVERWRITE labels\n\
             CLAIMED_ID aaaaaaaa-0000-4000-8000-000000000001 NULL\n\
             RBEGIN \"t1.abs\"\n\
             RBEGIN '' 1795342280 1795342281 1795342281\n\
             RSET \"a\" -4.3000000 \"\"\n\
             RSET \"a\" -4.3000000 \"R\"\n\
             RSET \"b\" NAN \"E\"\n\
             RDSTATE \"a\" 1795342281916288 -43 -4.3000000 -4.3000000\n\
             RSSTATE 1795342281916282 1795342281000000\n\
             REND 1 1795342280 1795342281 true 1795342279 1795342281 1795342281\n\
             REND 1 1795342280 1795342281 false 1795342279 1795342281 1795342281\n\
             FUNCTION_RESULT_BEGIN \"aaaa-bbbb\" 200 \"application/json\" 1795342764\n\
             {\"a\":1,\n \"txt\":\"line = two\"}\n\n\
             FUNCTION_RESULT_END\n",
        );
    }

    #[test]
    fn lines_of_2_9_come_out_as_they_went_in() {
        check_unchanged(
            SECOND,
            "CHART SLOT:#DE \"t1.inc\" \"\" \"\" \"\" \"\" \"\" \"line\" 1001 1 \" store_first \" \"p\" \"m\"\n\
             DIMENSION SLOT:#B \"b\" \"b\" \"absolute\" -3 7 \" hidden \"\n\
             BEGIN2 SLOT:#B 't1.abs' #B #BrAsvX #\n\
             SET2 SLOT:#B 'a' -#B @D/jMzMzMzMz A\n\
             SET2 SLOT:#C 'b' #Bk # AR\n\
             SET2 'c' #H @MALbbbbbbbb ''\n\
             END2\n\
             BEGIN2 SLOT:#H 'system.cpu' #B #BrAr/G #BrAr/J\n\
             RBEGIN SLOT:#B 't1.abs'\n\
             RBEGIN SLOT:#B '' #BrAsvU #BrAsvV #BrAsvX\n\
             RSET SLOT:#B \"a\" @L/pmZmZmZmZ A\n\
             RDSTATE SLOT:#B 'a' #GYNtqzWo8 -#B @L+5mZmZmZma @L+5mZmZmZma\n\
             RSSTATE #GYNtqzWtY #GYNtqyiGA\n\
             REND #B #BrAsvP #BrAsvW true  #BrAsvP #BrAsvW #BrAsvX\n\
             REND #B #BrAsvP #BrAsvW false #BrAsvP #BrAsvW #BrAsvX\n\
             CLAIMED_ID 'aaaaaaaa-0000-4000-8000-000000000001' 'aaaaaaaa-0000-4000-8000-000000000002'\n\
             FUNCTION GLOBAL \"top\" 15 \"help\" \"tags\" 0x13 101 2\n\
             FUNCTION_DEL GLOBAL \"top\"\n\
             FUNCTION_PROGRESS 't' 3 10\n\
             JSON STREAM_PATH\n{\"version\":1}\nJSON_PAYLOAD_END\n",
        );
    }

    #[test]
    fn without_ieee754_numbers_are_hex_and_decimal() {
        check_unchanged(
            Capabilities::INTERPOLATED | Capabilities::SLOTS,
            "BEGIN2 SLOT:0x1 't1.abs' 0x1 0x6B02CC1A #\n\
             SET2 SLOT:0x2 'b' 0x8 -4.2857143 A\n\
             RBEGIN SLOT:1 '' 1795342280 1795342281 1795342281\n\
             RSET SLOT:1 \"a\" -4.3 A\n",
        );
    }

    #[test]
    fn slots_are_written_only_if_agreed() {
        check(Capabilities::INTERPOLATED, "BEGIN2 SLOT:#B 'a.b' #B #C #D\n", "BEGIN2 'a.b' 0x1 0x2 0x3\n");
    }

    #[test]
    fn doubles_are_collected_only_if_agreed() {
        let line = "SET2 'a' @D/4AAAAAAAA # A\n";
        check_unchanged(SECOND | Capabilities::FLOAT_BASELINE, line);
        check(SECOND, line, "SET2 'a' #B @D/4AAAAAAAA A\n");
        let types = Capabilities::FLOAT_BASELINE;
        check_unchanged(types, "DIMENSION \"b\" \"b\" \"absolute\" 1 1 \" hidden  type=float\"\n");
        check_unchanged(types, "DIMENSION \"b\" \"b\" \"absolute\" 1 1 \"   type=int\"\n");
    }

    #[test]
    fn anomalies_are_replayed_only_with_interpolated_data() {
        check(Capabilities::SLOTS, "RSET \"a\" 1 A\n", "RSET \"a\" 1 ''\n");
        check(Capabilities::INTERPOLATED, "RSET \"a\" 1 A\n", "RSET \"a\" 1 A\n");
    }

    #[test]
    fn what_would_break_a_line_is_replaced() {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(Capabilities::NONE);
        encoder.encode(&Command::Set { dimension: b"a\"b'c\\d\ne", value: Some(1) }, &mut out);
        encoder.encode(&Command::Label { key: b"k\x7f", value: b"it's \"\\\r", source: 1 }, &mut out);
        encoder.encode(&Command::Json { keyword: b"A B" }, &mut out);
        assert_eq!(out, b"SET \"a_b_c_d_e\" = 1\nLABEL \"k_\" = 1 \"it's ___\"\nJSON A_B\n");
    }
}
