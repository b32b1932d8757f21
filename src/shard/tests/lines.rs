//! Lines as children write them, and nearly so, after whatever came before: one who compares each with last time's does what one
//! does who remembers none.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::passing::{CHILD, Chain, differences};
use super::*;
use crate::wire::Encoder;
use crate::wire::command::{Collected, Command, PointFlags, Reference, Slot};

/// Ids that begin alike, differ in case, or are more than one word. Of the last a data line says something else than its child means.
const CHARTS: [&str; 8] = ["a.b", "a.bb", "a.B", "a.b b", "ä.b", "a.b' 1", "SLOT:1.b", "a.\"b"];
const DIMENSIONS: [&str; 10] = ["d", "dd", "D", "d d", "é", "a.b", "d' 1", "d = 1", "SLOT:2", "d\""];
/// The first so many are ordinary.
const ORDINARY: usize = 4;

/// What a child says of a chart.
#[derive(Clone, Debug)]
struct Definition {
    chart: usize,
    slot: Option<u8>,
    /// In the order in which they come.
    dimensions: Vec<(usize, Option<u8>)>,
    is_incremental: bool,
    is_obsolete: bool,
    update_every: u32,
}

/// A line that is not what it was last time.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Longer,
    Shorter,
    OtherCase,
    OtherQuotes,
    NoQuotes,
    NoSlot,
    OtherSlot(u8),
    OtherId(usize),
    OtherForm,
    TwoSpaces,
    OneWordMore,
    OneWordLess,
    Twice,
    Missing,
    Late,
    /// Of this chart, in an answer about the past.
    Replayed(usize),
    /// The chart that is spoken of gets a dimension.
    Widened(usize),
}

/// What happens in a second.
#[derive(Clone, Debug)]
struct Second {
    definitions: Vec<Definition>,
    /// The order of charts and dimensions, as keys to sort by; the same twice in a row keeps the order.
    order: ([u8; CHARTS.len()], [u8; DIMENSIONS.len()]),
    microseconds: i64,
    odd: Option<(prop::sample::Index, Odd)>,
    /// Hours pass before it: what is obsolete is forgotten.
    is_late: bool,
}

fn one_of(all: usize) -> impl Strategy<Value = usize> {
    prop_oneof![30 => 0..ORDINARY, 1 => ORDINARY..all]
}

fn definition() -> impl Strategy<Value = Definition> {
    let slot = || prop::option::weighted(0.8, 1_u8..6);
    let dimensions = prop::collection::vec((one_of(DIMENSIONS.len()), slot()), 0..5);
    let flags = (any::<bool>(), prop::bool::weighted(0.1), 1_u32..3);
    (one_of(CHARTS.len()), slot(), dimensions, flags).prop_map(
        |(chart, slot, dimensions, (is_incremental, is_obsolete, update_every))| Definition {
            chart,
            slot,
            dimensions,
            is_incremental,
            is_obsolete,
            update_every,
        },
    )
}

fn odd() -> impl Strategy<Value = Odd> {
    prop_oneof![
        Just(Odd::Longer),
        Just(Odd::Shorter),
        Just(Odd::OtherCase),
        Just(Odd::OtherQuotes),
        Just(Odd::NoQuotes),
        Just(Odd::NoSlot),
        (1_u8..6).prop_map(Odd::OtherSlot),
        (0..CHARTS.len()).prop_map(Odd::OtherId),
        Just(Odd::OtherForm),
        Just(Odd::TwoSpaces),
        Just(Odd::OneWordMore),
        Just(Odd::OneWordLess),
        Just(Odd::Twice),
        Just(Odd::Missing),
        Just(Odd::Late),
        (0..ORDINARY).prop_map(Odd::Replayed),
        (0..DIMENSIONS.len()).prop_map(Odd::Widened),
    ]
}

fn second() -> impl Strategy<Value = Second> {
    let definitions = prop_oneof![4 => Just(Vec::new()), 1 => prop::collection::vec(definition(), 1..4)];
    let charts = prop_oneof![3 => Just([0; CHARTS.len()]), 1 => prop::array::uniform(0_u8..4)];
    let dimensions = prop_oneof![3 => Just([0; DIMENSIONS.len()]), 1 => prop::array::uniform(0_u8..4)];
    let microseconds = prop_oneof![4 => Just(1_000_000), 1 => Just(0), 1 => 1_i64..5_000_000];
    let odd = prop::option::weighted(0.3, (any::<prop::sample::Index>(), odd()));
    (definitions, (charts, dimensions), microseconds, odd, prop::bool::weighted(0.05)).prop_map(
        |(definitions, order, microseconds, odd, is_late)| Second {
            definitions,
            order,
            microseconds,
            odd,
            is_late,
        },
    )
}

fn slot(number: Option<u8>) -> Option<Slot> {
    number.and_then(|number| NonZeroU32::new(number.into())).map(Slot)
}

/// A child, and what it has said of its charts last.
struct Child {
    encoder: Encoder,
    is_second: bool,
    charts: BTreeMap<usize, Definition>,
}

impl Child {
    /// In quotes that it does not have itself.
    fn quoted(id: &str) -> String {
        if id.contains('"') { format!("'{id}'") } else { format!("\"{id}\"") }
    }

    fn slot(number: Option<u8>) -> String {
        number.map_or(String::new(), |number| format!("SLOT:{number} "))
    }

    fn dimension((dimension, slot): (usize, Option<u8>), is_incremental: bool) -> String {
        let algorithm = if is_incremental { "incremental" } else { "absolute" };
        let (slot, id) = (Self::slot(slot), Self::quoted(DIMENSIONS[dimension]));
        format!("DIMENSION {slot}{id} \"\" \"{algorithm}\" 1 1 \"\"\n")
    }

    fn define(&mut self, definition: &Definition) -> Vec<String> {
        let Definition { chart, update_every, .. } = *definition;
        let (slot, id) = (Self::slot(definition.slot), Self::quoted(CHARTS[chart]));
        let options = if definition.is_obsolete { "obsolete" } else { "" };
        let mut lines = vec![format!(
            "CHART {slot}{id} \"\" \"t\" \"u\" \"f\" \"a.b\" \"line\" 1 {update_every} \"{options}\" \"p\" \"m\"\n"
        )];
        let dimensions = definition.dimensions.iter();
        lines.extend(dimensions.map(|dimension| Self::dimension(*dimension, definition.is_incremental)));
        self.charts.insert(chart, definition.clone());
        lines
    }

    fn write(&mut self, command: &Command<'_>) -> String {
        let mut text = Vec::new();
        self.encoder.encode(command, &mut text);
        String::from_utf8(text).expect("text")
    }

    /// The data of all charts that it speaks of, as it writes them.
    fn collect(&mut self, second: &Second, time: i64) -> Vec<String> {
        let charts = self.charts.values().filter(|chart| !chart.is_obsolete);
        let mut charts: Vec<Definition> = charts.cloned().collect();
        charts.sort_by_key(|chart| second.order.0[chart.chart]);
        let mut lines = Vec::new();
        for chart in charts {
            let reference = Reference { slot: slot(chart.slot), id: CHARTS[chart.chart].as_bytes() };
            let microseconds = second.microseconds;
            lines.push(self.write(&match self.is_second {
                true => Command::Begin2 {
                    chart: reference,
                    update_every: chart.update_every,
                    end_time: time,
                    wall_clock: time,
                },
                false => Command::Begin { chart: reference.id, microseconds },
            }));
            let mut dimensions = chart.dimensions;
            dimensions.sort_by_key(|(dimension, _)| second.order.1[*dimension]);
            for (dimension, of_dimension) in dimensions {
                let value = time % 1000 * 100 + (chart.chart * 10 + dimension) as i64;
                let flags = PointFlags { not_anomalous: true, reset: dimension == 1, empty: false };
                let dimension = Reference { slot: slot(of_dimension), id: DIMENSIONS[dimension].as_bytes() };
                lines.push(self.write(&match self.is_second {
                    true => {
                        let (collected, value) = (Collected::Integer(value), value as f64);
                        Command::Set2 { dimension, collected, value, flags }
                    }
                    false => Command::Set { dimension: dimension.id, value: Some(value) },
                }));
            }
            lines.push(self.write(if self.is_second { &Command::End2 } else { &Command::End }));
        }
        lines
    }

    /// Makes one of the lines another.
    fn make_odd(&self, lines: &mut [String], at: usize, odd: Odd, time: i64) {
        let line = lines[at].clone();
        let id = line.find(['"', '\'']).and_then(|begin| Some((begin, line.rfind(&line[begin..=begin])?)));
        let id = id.filter(|(begin, end)| begin < end);
        // The line with something else in the place of its id and the quotes around it.
        let with = |text: &dyn Fn(&str, &str) -> String| {
            id.map_or_else(
                || line.clone(),
                |(begin, end)| {
                    let (quote, id) = (&line[begin..=begin], &line[begin + 1..end]);
                    format!("{}{}{}", &line[..begin], text(quote, id), &line[end + 1..])
                },
            )
        };
        let without_slot = || match (line.find("SLOT:"), id) {
            (Some(slot), Some((begin, _))) if slot < begin => format!("{}{}", &line[..slot], &line[begin..]),
            _ => line.clone(),
        };
        let bare = line.trim_end();
        lines[at] = match odd {
            Odd::Longer => with(&|quote, id| format!("{quote}{id}d{quote}")),
            Odd::Shorter => with(&|quote, id| {
                let last = id.char_indices().next_back().map_or(0, |(at, _)| at);
                format!("{quote}{}{quote}", &id[..last])
            }),
            Odd::OtherCase => with(&|quote, id| {
                let other =
                    if id.contains(char::is_lowercase) { id.to_uppercase() } else { id.to_lowercase() };
                format!("{quote}{other}{quote}")
            }),
            Odd::OtherQuotes => with(&|quote, id| {
                let other = if quote == "'" { '"' } else { '\'' };
                format!("{other}{id}{other}")
            }),
            Odd::NoQuotes => with(&|_, id| id.to_owned()),
            Odd::NoSlot => without_slot(),
            Odd::OtherSlot(number) => {
                let line = without_slot();
                line.split_once(' ').map_or(line.clone(), |(keyword, rest)| {
                    format!("{keyword} {}{rest}", Self::slot(Some(number)))
                })
            }
            Odd::OtherId(number) => {
                let ids: &[&str] = if line.starts_with("BEGIN") { &CHARTS } else { &DIMENSIONS };
                with(&|quote, _| format!("{quote}{}{quote}", ids[number]))
            }
            Odd::OtherForm if line.starts_with("SET2") => line.replacen("SET2", "SET", 1),
            Odd::OtherForm if line.starts_with("SET") => line.replacen("SET", "SET2", 1),
            Odd::OtherForm if line.starts_with("BEGIN2") => line.replacen("BEGIN2", "BEGIN", 1),
            Odd::OtherForm if line.starts_with("BEGIN") => line.replacen("BEGIN", "BEGIN2", 1),
            Odd::OtherForm if line.starts_with("END2") => line.replacen("END2", "END", 1),
            Odd::OtherForm => line.replacen("END", "END2", 1),
            Odd::TwoSpaces => line.replacen(' ', "  ", 1),
            Odd::OneWordMore => format!("{bare} 5\n"),
            Odd::OneWordLess => bare.rsplit_once(' ').map_or(line.clone(), |(less, _)| format!("{less}\n")),
            Odd::Twice => line.repeat(2),
            Odd::Missing => String::new(),
            Odd::Late => {
                let next = (at + 1).min(lines.len() - 1);
                std::mem::replace(&mut lines[next], line.clone())
            }
            Odd::Replayed(chart) => {
                let id = Self::quoted(CHARTS[chart]);
                let dimensions = self.charts.get(&chart).map_or(&[][..], |chart| &chart.dimensions);
                let one = |(dimension, of): &(usize, Option<u8>)| {
                    let (slot, id) = (Self::slot(*of), Self::quoted(DIMENSIONS[*dimension]));
                    format!("RSET {slot}{id} 7 \"A\"\n")
                };
                let row: String = dimensions.iter().rev().map(one).collect();
                format!("RBEGIN {id} {} {time} {time}\n{row}{line}", time - 1)
            }
            Odd::Widened(dimension) => format!("{}{line}", Self::dimension((dimension, None), false)),
        };
    }
}

impl Chain {
    /// The child's receiver has read nothing, as far as lines to come are concerned.
    fn forget_lines(&mut self) {
        let children = self.proxy.shard.children.iter_mut().flatten();
        children.for_each(|child| child.receiver.forget_lines());
    }

    /// All that lines have led to.
    fn outcome(&self) -> Vec<String> {
        let shard = &self.proxy.shard;
        let mut all = Vec::new();
        for mirrored in shard.hosts[0].charts() {
            let last: Vec<_> =
                (0..mirrored.chart.dimensions.len()).map(|at| mirrored.last_collected(at)).collect();
            let newest = shard.engine.newest(mirrored.chart.group);
            let state = mirrored.collector_state();
            all.push(format!("{:?} {newest:?} {last:?} {state:?}", mirrored.chart.id));
        }
        all.push(format!("{:?} {:?}", self.counters(), shard.telemetry.disconnections));
        all.extend(Self::told(&self.proxy));
        all.extend(Self::told(&self.parent));
        all
    }

    fn is_connected(&self) -> bool {
        self.proxy.shard.connections() == 1
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn what_lines_were_last_time_changes_nothing_of_what_they_say(
        seconds in prop::collection::vec(second(), 1..16),
        form in prop::sample::select(vec![
            Capabilities::NONE,
            Capabilities::SLOTS,
            Capabilities::INTERPOLATED,
            Capabilities::INTERPOLATED.with(Capabilities::SLOTS),
            Capabilities::INTERPOLATED.with(Capabilities::SLOTS).with(Capabilities::IEEE754),
        ]),
    ) {
        let agreed = CHILD.without(Capabilities::COMPRESSIONS).without(Capabilities::INTERPOLATED)
            .without(Capabilities::SLOTS).without(Capabilities::IEEE754).with(form);
        let chain = || Chain::begin(MemoryMode::Ram, agreed, agreed.with(Capabilities::REPLICATION));
        let (mut remembering, mut forgetful) = (chain(), chain());
        let mut child = Child {
            encoder: Encoder::new(agreed),
            is_second: form.contains(Capabilities::INTERPOLATED),
            charts: BTreeMap::new(),
        };
        let usual = |chart: usize| Definition {
            chart,
            slot: Some(chart as u8 + 1),
            dimensions: vec![(0, Some(1)), (1, Some(2)), (3, Some(3))],
            is_incremental: false,
            is_obsolete: false,
            update_every: 1,
        };
        let mut lines: Vec<String> = (0..3).flat_map(|chart| child.define(&usual(chart))).collect();
        for second in &seconds {
            let passing = if second.is_late { 7200 * SECOND } else { SECOND };
            let time = remembering.now_us / SECOND + passing / SECOND;
            lines.extend(second.definitions.iter().flat_map(|definition| child.define(definition)));
            let mut data = child.collect(second, time);
            if let Some((at, odd)) = second.odd.as_ref().filter(|_| !data.is_empty()) {
                let at = at.index(data.len());
                child.make_odd(&mut data, at, *odd, time);
            }
            lines.append(&mut data);
            for chain in [&mut remembering, &mut forgetful] {
                chain.now_us += passing;
                // It is not silent.
                chain.hear(b"\n");
                chain.turn();
            }
            for line in &lines {
                remembering.hear(line.as_bytes());
                forgetful.forget_lines();
                forgetful.hear(line.as_bytes());
            }
            remembering.turn();
            forgetful.turn();
            let differ = differences(&remembering.outcome(), &forgetful.outcome());
            prop_assert!(differ.is_empty(), "{differ:#?} after\n{}", lines.concat());
            if !remembering.is_connected() {
                break;
            }
            lines.clear();
        }
    }
}
