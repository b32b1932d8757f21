//! Any line, by its words.

use std::num::NonZeroU32;

use memchr::memmem;

use super::{ParseError, Wrong};
use crate::wire::command::{
    Algorithm, ChartDefinition, ChartOptions, ChartType, Collected, Command, DimensionDefinition,
    DimensionOptions, FunctionDefinition, PointFlags, Reference, ReplayedPoint, Slot, VariableScope,
};
use crate::wire::number;
use crate::wire::word::{Separators, Words};

/// Where a chart without a priority stands.
const DEFAULT_PRIORITY: i64 = 1000;
/// What a function gets that announces no timeout, or 0.
const DEFAULT_TIMEOUT_S: u32 = 10;
/// Where a function of a child before 1.45 stands, which announces none.
const DEFAULT_FUNCTION_PRIORITY: i64 = 100;
/// Bits of who may call a function: who sees the dashboard; who is signed in, to the host's space, and may see what is sensitive.
const ANONYMOUS_DATA: u64 = 0x8;
const SIGNED_IN: u64 = 0x13;

/// What a line without its newline says, outside of payloads; `None`: it has no words.
pub(super) fn command(line: &[u8]) -> Result<Option<Command<'_>>, ParseError> {
    let mut words = Words::new(line, Separators::FromChild);
    let Some(keyword) = words.next() else { return Ok(None) };
    let fields = |keyword| Fields { keyword, words: words.clone(), position: 0 };
    let command = match keyword {
        b"SET" => set(fields("SET"))?,
        b"SET2" => set2(fields("SET2"))?,
        b"BEGIN" => begin(fields("BEGIN"))?,
        b"BEGIN2" => begin2(fields("BEGIN2"))?,
        b"END" => Command::End,
        b"END2" => Command::End2,
        b"RSET" => replay_set(fields("RSET"))?,
        b"RBEGIN" => replay_begin(fields("RBEGIN"))?,
        b"RDSTATE" => replay_dimension_state(fields("RDSTATE"))?,
        b"RSSTATE" => replay_chart_state(fields("RSSTATE")),
        b"REND" => replay_end(fields("REND"))?,
        b"CHART" => chart(fields("CHART"))?,
        b"CLABEL" => chart_label(fields("CLABEL"))?,
        b"CLABEL_COMMIT" => Command::ChartLabelCommit,
        b"DIMENSION" => dimension(fields("DIMENSION"))?,
        b"VARIABLE" => variable(fields("VARIABLE"))?,
        b"CHART_DEFINITION_END" => chart_definition_end(fields("CHART_DEFINITION_END")),
        b"LABEL" => label(fields("LABEL"))?,
        b"OVERWRITE" => Command::Overwrite,
        b"CLAIMED_ID" => claimed_id(fields("CLAIMED_ID"))?,
        b"FUNCTION" => function(fields("FUNCTION"))?,
        b"FUNCTION_DEL" => function_del(fields("FUNCTION_DEL"))?,
        b"FUNCTION_RESULT_BEGIN" => function_result_begin(fields("FUNCTION_RESULT_BEGIN")),
        b"FUNCTION_PROGRESS" => function_progress(fields("FUNCTION_PROGRESS"))?,
        b"JSON" => Command::Json { keyword: fields("JSON").text() },
        // Lines between plugins and their agent, experiments, and ends of what never began.
        b"FLUSH"
        | b"DISABLE"
        | b"TIMESTAMP"
        | b"HOST"
        | b"HOST_DEFINE"
        | b"HOST_LABEL"
        | b"HOST_DEFINE_END"
        | b"CONFIG"
        | b"EXIT"
        | b"TRUST_DURATIONS"
        | b"PLUGIN_KEEPALIVE"
        | b"DYNCFG_ENABLE"
        | b"DYNCFG_REGISTER_MODULE"
        | b"DYNCFG_REGISTER_JOB"
        | b"DYNCFG_RESET"
        | b"REPORT_JOB_STATUS"
        | b"DELETE_JOB"
        | b"FUNCTION_RESULT_END"
        | b"JSON_PAYLOAD_END" => Command::Ignored { keyword, rest: words.remainder() },
        _ => Command::Unknown { keyword },
    };
    Ok(Some(command))
}

/// The words behind a keyword.
struct Fields<'a> {
    keyword: &'static str,
    words: Words<'a>,
    /// Of the word taken last.
    position: usize,
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        self.position += 1;
        self.words.next()
    }

    fn error(&self, name: &'static str, wrong: Wrong) -> ParseError {
        ParseError::Word { keyword: self.keyword, position: self.position, name, wrong }
    }

    /// A word that must be there, and not empty.
    fn required(&mut self, name: &'static str) -> Result<&'a [u8], ParseError> {
        match self.next() {
            Some(word) if !word.is_empty() => Ok(word),
            _ => Err(self.error(name, Wrong::Missing)),
        }
    }

    /// A word that must be there, but may be empty.
    fn present(&mut self, name: &'static str) -> Result<&'a [u8], ParseError> {
        self.next().ok_or_else(|| self.error(name, Wrong::Missing))
    }

    fn required_integer(&mut self, name: &'static str) -> Result<i64, ParseError> {
        Ok(number::integer(self.required(name)?).unwrap_or(0))
    }

    fn text(&mut self) -> &'a [u8] {
        self.next().unwrap_or_default()
    }

    fn integer(&mut self) -> Option<i64> {
        number::integer(self.next()?)
    }

    fn integer_or_0(&mut self) -> i64 {
        self.integer().unwrap_or(0)
    }

    fn double(&mut self) -> f64 {
        number::double(self.text())
    }

    /// Takes the next word if it is `word`.
    fn take(&mut self, word: &[u8]) -> bool {
        let taken = self.words.clone().next() == Some(word);
        if taken {
            self.next();
        }
        taken
    }

    /// The slot that stands before an id; the word is taken even if its number is unusable.
    fn slot(&mut self) -> Option<Slot> {
        let number = self.words.clone().next()?.strip_prefix(b"SLOT:")?;
        self.next();
        slot_of(number::integer(number)?)
    }

    /// An id that must not be empty, and its slot.
    fn reference(&mut self, name: &'static str) -> Result<Reference<'a>, ParseError> {
        Ok(Reference { slot: self.slot(), id: self.required(name)? })
    }
}

/// A slot, if `number` can be one.
pub(super) fn slot_of(number: i64) -> Option<Slot> {
    u32::try_from(number).ok().and_then(NonZeroU32::new).map(Slot)
}

/// Seconds, as far as they can be told.
pub(super) fn update_every_of(number: i64) -> u32 {
    number.clamp(0, i64::from(u32::MAX)) as u32
}

pub(super) fn flags_of(word: &[u8]) -> PointFlags {
    PointFlags {
        not_anomalous: word.contains(&b'A'),
        reset: word.contains(&b'R'),
        empty: word.contains(&b'E'),
    }
}

pub(super) fn collected_of(word: &[u8]) -> Collected {
    if number::is_double(word) {
        Collected::Float(number::double(word))
    } else {
        Collected::Integer(number::integer(word).unwrap_or(0))
    }
}

/// The value of a point, of which `#` says that it equals what was collected.
pub(super) fn value_of(word: &[u8], collected: Collected) -> f64 {
    match (word, collected) {
        (b"#", Collected::Integer(integer)) => integer as f64,
        (b"#", Collected::Float(float)) => float,
        _ => number::double(word),
    }
}

fn has(options: &[u8], option: &str) -> bool {
    memmem::find(options, option.as_bytes()).is_some()
}

fn chart(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let chart = fields.reference("the chart's id")?;
    let dot = memchr::memchr(b'.', chart.id);
    if dot.is_none_or(|dot| dot == 0 || dot + 1 == chart.id.len()) {
        return Err(fields.error("the chart's id", Wrong::NoTypeAndId));
    }
    let name = fields.text();
    let title = fields.text();
    let units = fields.text();
    let family = fields.text();
    let context = fields.text();
    let chart_type = match fields.text() {
        b"area" => ChartType::Area,
        b"stacked" => ChartType::Stacked,
        b"heatmap" => ChartType::Heatmap,
        _ => ChartType::Line,
    };
    let priority = fields.integer().unwrap_or(DEFAULT_PRIORITY);
    let update_every = update_every_of(fields.integer_or_0());
    let options = fields.text();
    Ok(Command::Chart(ChartDefinition {
        chart,
        name,
        title,
        units,
        family,
        context,
        chart_type,
        priority,
        update_every,
        options: ChartOptions {
            given: !options.is_empty(),
            obsolete: has(options, "obsolete"),
            detail: has(options, "detail"),
            store_first: has(options, "store_first"),
            hidden: has(options, "hidden"),
        },
        plugin: fields.text(),
        module: fields.text(),
    }))
}

fn chart_label(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let key = fields.required("the label's key")?;
    let value = fields.present("the label's value")?;
    Ok(Command::ChartLabel { key, value, source: fields.integer_or_0() as u32 })
}

fn dimension(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let dimension = fields.reference("the dimension's id")?;
    let name = fields.text();
    let algorithm = match fields.text() {
        b"incremental" => Algorithm::Incremental,
        b"percentage-of-absolute-row" => Algorithm::PercentageOfAbsoluteRow,
        b"percentage-of-incremental-row" => Algorithm::PercentageOfIncrementalRow,
        _ => Algorithm::Absolute,
    };
    let factor = |number: Option<i64>| number.filter(|factor| *factor != 0).unwrap_or(1);
    let multiplier = factor(fields.integer());
    let divisor = factor(fields.integer());
    let options = fields.text();
    Ok(Command::Dimension(DimensionDefinition {
        dimension,
        name,
        algorithm,
        multiplier,
        divisor,
        options: DimensionOptions {
            obsolete: has(options, "obsolete"),
            hidden: has(options, "hidden"),
            no_reset: has(options, "noreset") || has(options, "nooverflow"),
            float: has(options, "type=float"),
        },
    }))
}

fn variable(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let scope = if fields.take(b"HOST") || fields.take(b"GLOBAL") {
        VariableScope::Host
    } else if fields.take(b"CHART") || fields.take(b"LOCAL") {
        VariableScope::Chart
    } else {
        VariableScope::Unspecified
    };
    Ok(Command::Variable { scope, name: fields.required("the variable's name")?, value: fields.double() })
}

fn chart_definition_end(mut fields: Fields<'_>) -> Command<'_> {
    Command::ChartDefinitionEnd {
        first: fields.integer_or_0(),
        last: fields.integer_or_0(),
        now: fields.integer_or_0(),
    }
}

fn begin(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let chart = fields.reference("the chart's id")?;
    Ok(Command::Begin { chart: chart.id, microseconds: fields.integer_or_0() })
}

fn set(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let dimension = fields.reference("the dimension's id")?;
    let value = fields.next().filter(|word| !word.is_empty());
    Ok(Command::Set { dimension: dimension.id, value: value.map(|word| number::integer(word).unwrap_or(0)) })
}

fn begin2(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let chart = fields.reference("the chart's id")?;
    let update_every = update_every_of(fields.required_integer("update every")?);
    let end_time = fields.required_integer("the end time")?;
    // `#BrAr/J` is a number: only the whole word tells.
    let wall_clock = match fields.required("the wall clock")? {
        b"#" => end_time,
        word => number::integer(word).unwrap_or(0),
    };
    Ok(Command::Begin2 { chart, update_every, end_time, wall_clock })
}

fn set2(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let dimension = fields.reference("the dimension's id")?;
    let collected = collected_of(fields.required("the collected value")?);
    let value = value_of(fields.required("the value")?, collected);
    let flags = flags_of(fields.present("the flags")?);
    Ok(Command::Set2 { dimension, collected, value, flags })
}

fn replay_begin(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let slot = fields.slot();
    let id = fields.present("the chart's id")?;
    let point = match (fields.next(), fields.next()) {
        (Some(start), Some(end)) => Some(ReplayedPoint {
            start: number::integer(start).unwrap_or(0),
            end: number::integer(end).unwrap_or(0),
            wall_clock: fields.integer_or_0(),
        }),
        _ => None,
    };
    Ok(Command::ReplayBegin { chart: Reference { slot, id }, point })
}

fn replay_set(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let dimension = fields.reference("the dimension's id")?;
    let value = fields.double();
    Ok(Command::ReplaySet { dimension, value, flags: flags_of(fields.text()) })
}

fn replay_dimension_state(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    Ok(Command::ReplayDimensionState {
        dimension: fields.reference("the dimension's id")?,
        last_collected_us: fields.integer_or_0(),
        last_collected_value: fields.integer_or_0(),
        last_calculated: fields.double(),
        last_stored: fields.double(),
    })
}

fn replay_chart_state(mut fields: Fields<'_>) -> Command<'_> {
    Command::ReplayChartState {
        last_collected_us: fields.integer_or_0(),
        last_updated_us: fields.integer_or_0(),
    }
}

fn replay_end(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    Ok(Command::ReplayEnd {
        update_every: update_every_of(fields.required_integer("update every")?),
        first: fields.required_integer("the first time")?,
        last: fields.required_integer("the last time")?,
        start_streaming: fields.required("start streaming")? == b"true",
        after: fields.required_integer("after")?,
        before: fields.required_integer("before")?,
        wall_clock: fields.integer_or_0(),
    })
}

fn label(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let key = fields.required("the label's key")?;
    let source = fields.integer_or_0() as u32;
    // Unquoted values of 1.33 run to the end of the line.
    let value = if fields.words.next_is_quoted() { fields.text() } else { fields.words.remainder() };
    Ok(Command::Label { key, value, source })
}

fn claimed_id(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let machine_guid = fields.required("the machine GUID")?;
    if uuid::Uuid::try_parse_ascii(machine_guid).is_err() {
        return Err(fields.error("the machine GUID", Wrong::NoUuid));
    }
    let claim_id = match fields.required("the claim id")? {
        b"NULL" => None,
        claim_id if uuid::Uuid::try_parse_ascii(claim_id).is_ok() => Some(claim_id),
        _ => return Err(fields.error("the claim id", Wrong::NoUuid)),
    };
    Ok(Command::ClaimedId { machine_guid, claim_id })
}

fn function(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    let global = fields.take(b"GLOBAL");
    let name = fields.required("the function's name")?;
    let timeout = u32::try_from(fields.integer_or_0()).unwrap_or(0);
    Ok(Command::Function(FunctionDefinition {
        global,
        name,
        timeout_s: if timeout == 0 { DEFAULT_TIMEOUT_S } else { timeout },
        help: fields.text(),
        tags: fields.text(),
        access: access(fields.text()),
        priority: fields.integer().unwrap_or(DEFAULT_FUNCTION_PRIORITY),
        version: u32::try_from(fields.integer_or_0()).unwrap_or(0),
    }))
}

/// A number, or the role that plugins name instead.
fn access(word: &[u8]) -> u64 {
    match word {
        b"" => 0,
        b"any" => ANONYMOUS_DATA,
        _ => number::unsigned(word).unwrap_or(SIGNED_IN),
    }
}

fn function_del(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    Ok(Command::FunctionDel { global: fields.take(b"GLOBAL"), name: fields.required("the function's name")? })
}

/// Never an error: the payload that follows has to be skipped in any case.
fn function_result_begin(mut fields: Fields<'_>) -> Command<'_> {
    Command::FunctionResultBegin {
        transaction: fields.text(),
        code: u32::try_from(fields.integer_or_0()).unwrap_or(0),
        content_type: fields.text(),
        expires: fields.integer_or_0(),
    }
}

fn function_progress(mut fields: Fields<'_>) -> Result<Command<'_>, ParseError> {
    Ok(Command::FunctionProgress {
        transaction: fields.required("the transaction")?,
        done: number::unsigned(fields.text()).unwrap_or(0),
        all: number::unsigned(fields.text()).unwrap_or(0),
    })
}
