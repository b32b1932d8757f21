//! Children whose data comes in another order than last time, or under other slots: each value is its own dimension's.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::*;
use crate::wire::Encoder;
use crate::wire::command::{Collected, Command, PointFlags, Reference, Slot};

const MOST_CHARTS: usize = 4;
const MOST_DIMENSIONS: usize = 4;

/// What happens in a second.
#[derive(Clone, Debug)]
struct Second {
    /// This chart is defined before its data, with so many dimensions, its slots moved on by so much.
    defined: Option<(usize, usize, u32)>,
    /// The order of charts, as keys to sort by; the same twice in a row keeps the order.
    charts: [u8; MOST_CHARTS],
    /// The same of the dimensions of all charts.
    dimensions: [u8; MOST_DIMENSIONS],
}

fn second() -> impl Strategy<Value = Second> {
    let keys = |most: u8| prop_oneof![3 => Just([0_u8; 4]), 1 => prop::array::uniform4(0..most)];
    let defined = prop::option::weighted(0.3, (0..MOST_CHARTS, 1..=MOST_DIMENSIONS, 0_u32..3));
    (defined, keys(4), keys(4)).prop_map(|(defined, charts, dimensions)| Second {
        defined,
        charts,
        dimensions,
    })
}

/// A chart as its child has defined it.
#[derive(Clone, Copy, Debug, Default)]
struct Defined {
    dimensions: usize,
    /// Of the chart and of its dimensions.
    shift: u32,
}

struct Child {
    story: Story,
    connection: ConnectionId,
    encoder: Encoder,
    charts: [Defined; MOST_CHARTS],
    time: i64,
}

fn slot(number: usize, shift: u32, among: usize) -> Option<Slot> {
    NonZeroU32::new((number as u32 + shift) % among as u32 + 1).map(Slot)
}

impl Child {
    fn arrive(capabilities: Capabilities) -> Self {
        let mut story = Story::begin();
        story.capabilities = capabilities;
        let connection = story.arrive(START, 1, 7);
        let agreed = negotiate(capabilities, Capabilities::OURS, &[]);
        let encoder = Encoder::new(agreed);
        let mut child = Self { story, connection, encoder, charts: Default::default(), time: START / SECOND };
        for chart in 0..MOST_CHARTS {
            child.define(chart, 2, 0);
        }
        child
    }

    fn say(&mut self, text: &[u8]) {
        let text = std::str::from_utf8(text).expect("text");
        self.story.say(self.time * SECOND, self.connection, text);
    }

    /// A slot stays with a dimension, if it moves with the chart.
    fn define(&mut self, chart: usize, dimensions: usize, shift: u32) {
        let dimensions = dimensions.max(self.charts[chart].dimensions);
        self.charts[chart] = Defined { dimensions, shift };
        let word = |slot: Option<Slot>| format!("SLOT:{}", slot.map_or(0, |slot| slot.0.get()));
        let mut text = CHART.lines().next().expect("a line").replace("a.b", &format!("a.{chart}"));
        text = text.replace("CHART", &format!("CHART {}", word(slot(chart, 0, MOST_CHARTS)))) + "\n";
        for dimension in 0..dimensions {
            let slot = word(slot(dimension, shift, MOST_DIMENSIONS));
            text += &format!("DIMENSION {slot} \"d{dimension}\" \"\" \"absolute\" 1 1 \"\"\n");
        }
        self.say(text.as_bytes());
    }

    /// Data of all charts in this order. What is in the newest row of each then.
    fn collect(&mut self, second: &Second) -> BTreeMap<(usize, String), f32> {
        self.time += 1;
        if let Some((chart, dimensions, shift)) = second.defined {
            self.define(chart, dimensions, shift);
        }
        let mut charts: Vec<usize> = (0..MOST_CHARTS).collect();
        charts.sort_by_key(|chart| second.charts[*chart]);
        let mut said = BTreeMap::new();
        let mut text = Vec::new();
        for chart in charts {
            let Defined { dimensions, shift } = self.charts[chart];
            let id = format!("a.{chart}");
            let reference = Reference { slot: slot(chart, 0, MOST_CHARTS), id: id.as_bytes() };
            let (time, flags) = (self.time, PointFlags { not_anomalous: true, reset: false, empty: false });
            self.encoder.encode(
                &Command::Begin2 { chart: reference, update_every: 1, end_time: time, wall_clock: time },
                &mut text,
            );
            let mut order: Vec<usize> = (0..dimensions).collect();
            order.sort_by_key(|dimension| second.dimensions[*dimension]);
            for dimension in order {
                let value = (self.time - START / SECOND) * 100 + (chart * 10 + dimension) as i64;
                let id = format!("d{dimension}");
                let dimension =
                    Reference { slot: slot(dimension, shift, MOST_DIMENSIONS), id: id.as_bytes() };
                let (collected, value) = (Collected::Integer(value), value as f64);
                self.encoder.encode(&Command::Set2 { dimension, collected, value, flags }, &mut text);
                said.insert((chart, id), value as f32);
            }
            self.encoder.encode(&Command::End2, &mut text);
        }
        self.say(&text);
        said
    }

    fn newest(&self) -> BTreeMap<(usize, String), f32> {
        let mut rows = BTreeMap::new();
        for chart in self.story.shard.hosts[0].charts() {
            let number = chart.chart.id["a.".len()..].parse().expect("a number");
            let (time, values) = self.story.shard.engine.newest(chart.chart.group).expect("a row");
            assert_eq!(time.0, self.time);
            for (dimension, value) in chart.chart.dimensions.iter().zip(values) {
                rows.insert((number, dimension.id.to_string()), *value);
            }
        }
        rows
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_value_is_its_own_dimensions(seconds in prop::collection::vec(second(), 1..12)) {
        let replication = Capabilities::REPLICATION;
        let slots = Capabilities::INTERPOLATED.with(Capabilities::SLOTS);
        let forms = [Capabilities::INTERPOLATED, slots, slots.with(Capabilities::IEEE754)];
        for form in forms {
            let mut child = Child::arrive(Capabilities::OURS.without(Capabilities::INTERPOLATED)
                .without(Capabilities::SLOTS).without(Capabilities::IEEE754).without(replication).with(form));
            for second in &seconds {
                let said = child.collect(second);
                prop_assert_eq!(child.newest(), said);
            }
        }
    }
}

#[test]
fn a_state_is_its_own_dimensions_whatever_came_before_it() {
    let mut story = Story::begin();
    story.capabilities = Capabilities::OURS.without(Capabilities::INTERPOLATED);
    let child = story.arrive(START, 1, 7);
    let wide = CHART.replace("a.b", "w.x") + "DIMENSION \"a.b\" \"\" \"absolute\" 1 1 \"\"\n";
    let text = wide
        + CHART
        + "BEGIN \"w.x\" 0\nSET \"d\" = 1\nEND\nBEGIN \"a.b\" 0\nSET \"d\" = 1\nEND\nBEGIN \"w.x\" 1000000\n";
    story.say(START, child, &(text + "SET \"d\" = 1\nEND\n"));
    // Expected is the chart a.b, which is an id of a dimension, too.
    story.say(START, child, "RBEGIN \"w.x\"\nRDSTATE \"a.b\" 1 7 0 0\nRDSTATE \"d\" 1 8 0 0\nRSSTATE 1 1\n");
    let state = story.shard.hosts[0].charts()[0].collector_state().expect("it collects");
    let last = |index: usize| state.dimensions[index].1;
    assert_eq!((last(0), last(1)), (8, 7));
    // Expected is the second dimension of a wide chart, when a narrow one is told.
    story.say(START, child, "RBEGIN \"a.b\"\nRDSTATE \"a.b\" 1 7 0 0\n");
    assert_eq!(story.shard.telemetry.disconnections.get("parse_error"), 1, "it has no such dimension");
}

#[test]
fn an_answer_inside_of_a_unit_is_damage() {
    for (form, unit) in [
        (Capabilities::NONE, "BEGIN \"a.b\" 0\n".to_owned()),
        (Capabilities::INTERPOLATED, format!("BEGIN2 'a.b' 1 {} #\n", START / SECOND)),
    ] {
        let mut story = Story::begin();
        story.capabilities = Capabilities::OURS.without(Capabilities::INTERPOLATED).with(form);
        let child = story.arrive(START, 1, 7);
        story.say(START, child, &(CHART.to_owned() + &unit + "RBEGIN \"a.b\"\n"));
        assert_eq!(story.shard.telemetry.disconnections.get("parse_error"), 1);
    }
}

#[test]
fn live_data_inside_of_an_answer_is_its_own_charts() {
    let time = START / SECOND;
    let charts = CHART.replace("a.b", "a.0")
        + &CHART.replace("a.b", "a.1")
        + "DIMENSION \"e\" \"\" \"absolute\" 1 1 \"\"\n";
    let replayed = format!("RBEGIN \"a.1\" {} {time} {time}\n", time - 1);
    // Flags of the replayed row, then a live row that has none.
    let mut story = Story::begin();
    story.capabilities = Capabilities::OURS.without(Capabilities::INTERPOLATED);
    let child = story.arrive(START, 1, 7);
    story.say(
        START,
        child,
        &(charts.clone() + "BEGIN \"a.0\" 0\nSET \"d\" = 1\nEND\n" + &replayed + "RSET \"d\" 1 \"AR\"\n"),
    );
    story.say(START + SECOND, child, "BEGIN \"a.0\" 1000000\nSET \"d\" = 1\nEND\nRSET \"e\" 1 \"AR\"\n");
    assert_eq!(story.shard.connections(), 1);
    // A live row does not become a replayed one.
    let mut story = Story::begin();
    let child = story.arrive(START, 1, 7);
    story.say(START, child, &(charts + &replayed + "RSET \"d\" 1 \"A\"\n"));
    story.say(
        START,
        child,
        &format!("BEGIN2 'a.0' 1 {time} #\nSET2 'd' 7 # A\nEND2\nREND 1 0 0 true 0 0 {time}\n"),
    );
    let shard = &story.shard;
    let newest = |chart: usize| {
        shard.engine.newest(shard.hosts[0].charts()[chart].chart.group).map(|(_, values)| values.to_vec())
    };
    assert_eq!(newest(0), Some(vec![7.0]));
    let of_replayed = newest(1).expect("its row");
    assert!(of_replayed[0] == 1.0 && of_replayed[1].is_nan(), "{of_replayed:?}");
}
