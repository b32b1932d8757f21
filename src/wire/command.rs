//! [`Command`]: every line that a child sends, as a value; [`Instruction`]: every line that a parent sends.
//!
//! Values borrow from the bytes they were parsed from. Names are the protocol's: ids are bytes as they came, times
//! are unix seconds or microseconds of the *child's* clock, slots count from 1. Nothing here knows what a line means
//! for the catalog or the store; that is the receiver's part.
//!
//! Source: streaming protocol, child to parent and parent to child lines of Netdata 1.33 to 2.11.

use std::num::NonZeroU32;

/// A number that a child gave to a chart (per connection) or to a dimension (per chart), counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(pub NonZeroU32);

/// A chart or a dimension as a line names it: always its id, and its slot when the child numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference<'a> {
    pub slot: Option<Slot>,
    pub id: &'a [u8],
}

/// How collected values become samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Algorithm {
    #[default]
    Absolute,
    Incremental,
    PercentageOfAbsoluteRow,
    PercentageOfIncrementalRow,
}

/// How a chart wants to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ChartType {
    #[default]
    Line,
    Area,
    Stacked,
    Heatmap,
}

/// The words of a `CHART` line's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ChartOptions {
    /// False when the options were an empty string, which sets nothing and does not clear an `obsolete` mark.
    pub given: bool,
    pub obsolete: bool,
    pub detail: bool,
    pub store_first: bool,
    pub hidden: bool,
}

/// `CHART [SLOT:n] "type.id" "name" "title" "units" "family" "context" "charttype" priority ue "options" "plugin" "module"`.
/// Empty fields are empty here; the receiver knows the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChartDefinition<'a> {
    pub chart: Reference<'a>,
    pub name: &'a [u8],
    pub title: &'a [u8],
    pub units: &'a [u8],
    pub family: &'a [u8],
    pub context: &'a [u8],
    pub chart_type: ChartType,
    /// 1000 when missing or unreadable.
    pub priority: i64,
    /// Seconds between samples; 0 when missing: the host's.
    pub update_every: u32,
    pub options: ChartOptions,
    pub plugin: &'a [u8],
    pub module: &'a [u8],
}

/// The words of a `DIMENSION` line's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct DimensionOptions {
    pub obsolete: bool,
    pub hidden: bool,
    /// `noreset` or `nooverflow`: counter resets are not to be flagged.
    pub no_reset: bool,
    /// `type=float` (2.10+): the collected value of `SET2` is a double.
    pub float: bool,
}

/// `DIMENSION [SLOT:n] "id" "name" "algorithm" multiplier divisor "options"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DimensionDefinition<'a> {
    pub dimension: Reference<'a>,
    pub name: &'a [u8],
    pub algorithm: Algorithm,
    /// Never 0.
    pub multiplier: i64,
    /// Never 0.
    pub divisor: i64,
    pub options: DimensionOptions,
}

/// The flags of a stored point as `SET2` and `RSET` write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PointFlags {
    /// `A` was present: the child found the point normal.
    pub not_anomalous: bool,
    /// `R`: a counter reset or overflow happened.
    pub reset: bool,
    /// `E`: there is no value; a gap.
    pub empty: bool,
}

/// The bits of a label's source that mean something outside of the child: 1 automatic, 2 configured, 4 kubernetes,
/// 8 cloud link. Commands carry the low 32 bits as they came: 1.37 adds bit 29, 2.9 bit 31, and a number may be negative.
pub const LABEL_SOURCE_MASK: u32 = 0x1fff_ffff;

/// What a `VARIABLE` line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VariableScope {
    Host,
    Chart,
    /// No scope word: the current chart if there is one, else the host.
    Unspecified,
}

/// A collected value of `SET2`: an integer, or a double with FLOAT_BASELINE.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Collected {
    Integer(i64),
    Float(f64),
}

/// The window of one `RBEGIN '' start end wall_clock` group, unix seconds; `wall_clock` 0 when it was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedPoint {
    pub start: i64,
    pub end: i64,
    pub wall_clock: i64,
}

/// `FUNCTION [GLOBAL] "name" timeout "help" "tags" 0xACCESS priority version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionDefinition<'a> {
    pub global: bool,
    pub name: &'a [u8],
    /// Seconds; 0 on the wire means 10.
    pub timeout_s: u32,
    pub help: &'a [u8],
    pub tags: &'a [u8],
    pub access: u64,
    pub priority: i64,
    pub version: u32,
}

/// One line from a child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command<'a> {
    // definitions
    Chart(ChartDefinition<'a>),
    ChartLabel {
        key: &'a [u8],
        value: &'a [u8],
        source: u32,
    },
    ChartLabelCommit,
    Dimension(DimensionDefinition<'a>),
    Variable {
        scope: VariableScope,
        name: &'a [u8],
        value: f64,
    },
    /// The child's retention of the chart just defined and its clock, unix seconds.
    ChartDefinitionEnd {
        first: i64,
        last: i64,
        now: i64,
    },

    // v1 data
    /// `microseconds` since the previous collection; 0 when absent or unreadable.
    Begin {
        chart: &'a [u8],
        microseconds: i64,
    },
    /// `None`: the line had no value, nothing was collected.
    Set {
        dimension: &'a [u8],
        value: Option<i64>,
    },
    End,

    // v2 data
    Begin2 {
        chart: Reference<'a>,
        update_every: u32,
        end_time: i64,
        wall_clock: i64,
    },
    Set2 {
        dimension: Reference<'a>,
        collected: Collected,
        value: f64,
        flags: PointFlags,
    },
    End2,

    // replication
    /// `RBEGIN "id"`: of which chart the following groups are. `RBEGIN '' start end now` has an empty id: one group.
    ReplayBegin {
        chart: Reference<'a>,
        point: Option<ReplayedPoint>,
    },
    ReplaySet {
        dimension: Reference<'a>,
        value: f64,
        flags: PointFlags,
    },
    ReplayDimensionState {
        dimension: Reference<'a>,
        last_collected_us: i64,
        last_collected_value: i64,
        last_calculated: f64,
        last_stored: f64,
    },
    ReplayChartState {
        last_collected_us: i64,
        last_updated_us: i64,
    },
    ReplayEnd {
        update_every: u32,
        first: i64,
        last: i64,
        /// The flag `start streaming`: replication of the chart is finished, live data follows.
        start_streaming: bool,
        after: i64,
        before: i64,
        wall_clock: i64,
    },

    // the host
    /// `value` may hold several words, as 1.33 sends them unquoted.
    Label {
        key: &'a [u8],
        value: &'a [u8],
        source: u32,
    },
    Overwrite,
    /// `claim_id` is `None` for `NULL`.
    ClaimedId {
        machine_guid: &'a [u8],
        claim_id: Option<&'a [u8]>,
    },

    // functions and documents
    Function(FunctionDefinition<'a>),
    FunctionDel {
        global: bool,
        name: &'a [u8],
    },
    FunctionResultBegin {
        transaction: &'a [u8],
        code: u32,
        content_type: &'a [u8],
        expires: i64,
    },
    /// A raw line of a function's result or of a JSON document, without its newline: all of it, or what is left of it
    /// after its parts.
    Payload(&'a [u8]),
    /// The next part of such a line that is longer than other lines may be.
    PayloadPart(&'a [u8]),
    FunctionResultEnd,
    FunctionProgress {
        transaction: &'a [u8],
        done: u64,
        all: u64,
    },
    Json {
        keyword: &'a [u8],
    },
    JsonEnd,

    /// A keyword of the protocol that means nothing to a parent (`FLUSH`, `DISABLE`, `TIMESTAMP`, `DYNCFG_*`, …). `rest` is
    /// what follows on its line, for those who read plugins.
    Ignored {
        keyword: &'a [u8],
        rest: &'a [u8],
    },
    /// A keyword we have never heard of: newer children must keep working, so it is counted and skipped.
    Unknown {
        keyword: &'a [u8],
    },
}

/// One line from a parent to a child, plain text whatever was agreed for the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction<'a> {
    /// `after` and `before` are unix seconds, `after` exclusive; `0 0` asks for nothing.
    ReplayChart {
        chart: &'a [u8],
        start_streaming: bool,
        after: i64,
        before: i64,
    },
    Function {
        transaction: &'a [u8],
        timeout_s: u32,
        call: &'a [u8],
        access: &'a [u8],
        source: &'a [u8],
    },
    FunctionCancel {
        transaction: &'a [u8],
    },
    FunctionProgress {
        transaction: &'a [u8],
    },
    NodeId {
        claim_id: &'a [u8],
        node_id: &'a [u8],
        url: &'a [u8],
    },
    Json {
        keyword: &'a [u8],
    },
    Payload(&'a [u8]),
    JsonEnd,
    Unknown {
        keyword: &'a [u8],
    },
}
