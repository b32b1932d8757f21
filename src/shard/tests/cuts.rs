//! Recordings of real children, cut anywhere and continued on another connection: what is stored then is what is stored without
//! a cut.
//!
//! The child that comes back is another shard, which was told the recording without a cut: its rows are the child's database, its
//! arithmetic the child's.

use std::collections::BTreeMap;
use std::fmt::Write;

use dbengine::{SampleFlags, Samples, TimeRange};
use proptest::prelude::*;

use super::replication::question;
use super::*;
use crate::wire::capture::Capture;

/// With replication, from 1.37.1 to 2.11.
const REPLICATING: [&str; 8] = [
    "01-v137-lz4.conn0",
    "02-v137-plain.conn0",
    "05-v2-plain.conn0",
    "07-v2-replay.conn0",
    "08-v137-cut.conn0",
    "08-v137-cut.conn1",
    "10-v137-to-v2.conn0",
    "12-v211-plain.conn0",
];
/// Of a chart that its child had collected but once when it came back a Netdata parent takes the next collection for the first: the
/// rows of so many intervals may differ.
const FIRST_INTERVALS: i64 = 3;

/// What a child said, line by line, and when (unix microseconds).
struct Tale {
    capabilities: Capabilities,
    lines: Vec<(i64, Vec<u8>)>,
}

/// A place in a tale: so many lines, and so many bytes of the next one.
#[derive(Clone, Copy, Debug)]
struct Cut {
    lines: usize,
    bytes: usize,
}

/// What came of a tale that was cut.
struct Told {
    rows: Rows,
    /// Charts of which the child had not collected all dimensions twice when it came back.
    young: Vec<String>,
    /// Charts of whose past an answer was on its way then: the rest of it comes in what the recorded child says next, and what came
    /// before the cut nobody asks it again.
    unanswered: Vec<String>,
}

/// The rows of all charts: by chart and second, the values of all dimensions, as bits.
type Rows = BTreeMap<(String, i64), Vec<u32>>;

impl Tale {
    fn of(connection: &str) -> Self {
        let capture = Capture::load(connection);
        let capabilities = capture.agreed().without(Capabilities::COMPRESSIONS);
        assert!(capabilities.contains(Capabilities::REPLICATION), "{connection}");
        Self { capabilities, lines: capture.lines() }
    }

    /// Only these charts, and only what came within some seconds.
    fn short(connection: &str, charts: &[&str], seconds: i64) -> Self {
        let mut tale = Self::of(connection);
        let end_us = tale.lines[0].0 + seconds * SECOND;
        let mut is_told = false;
        tale.lines.retain(|(at_us, line)| {
            if let [b"CHART" | b"BEGIN" | b"RBEGIN", id, ..] = words(line)[..]
                && id != b"''"
            {
                is_told = charts.iter().any(|chart| unquoted(id) == chart.as_bytes());
            }
            is_told && *at_us < end_us
        });
        tale
    }

    /// A parent that this child has just connected to.
    fn begin(&self) -> (Story, ConnectionId) {
        let mut story = Story::begin();
        story.capabilities = self.capabilities;
        let ready_made = self.capabilities.contains(Capabilities::INTERPOLATED);
        story.program_version = if ready_made { "v2.9.0" } else { "v1.37.1" };
        let child = story.arrive(self.lines[0].0, 1, 7);
        (story, child)
    }

    /// Says some of it; what came together is said together.
    fn say(&self, story: &mut Story, child: ConnectionId, lines: std::ops::Range<usize>) {
        for together in self.lines[lines].chunk_by(|one, next| one.0 == next.0) {
            let text: Vec<u8> = together.iter().flat_map(|(_, line)| line.iter().copied()).collect();
            story.bytes(together[0].0, child, &text);
            story.actions.clear();
        }
    }

    /// The first end of a row from a place on.
    fn rest(&self, from: usize) -> usize {
        let is_end = |(_, line): &(i64, Vec<u8>)| matches!(words(line)[..], [b"END" | b"END2", ..]);
        let ends = self.lines[from..].iter().position(is_end);
        ends.map_or(self.lines.len(), |end| from + end + 1)
    }

    /// The definitions of all charts until a place, as a child says them again, by chart.
    fn definitions(&self, until: usize) -> BTreeMap<String, Vec<u8>> {
        let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut chart = None;
        for (_, line) in &self.lines[..until] {
            match words(line)[..] {
                [b"CHART", id, ..] => chart = Some(String::from_utf8_lossy(unquoted(id)).into_owned()),
                [b"DIMENSION" | b"CLABEL" | b"CLABEL_COMMIT", ..] => {}
                _ => chart = None,
            }
            if let Some(chart) = &chart {
                all.entry(chart.clone()).or_default().extend_from_slice(line);
            }
        }
        all
    }

    /// Told without a cut.
    fn uncut(&self, until: usize) -> Story {
        let (mut story, child) = self.begin();
        self.say(&mut story, child, 0..until);
        story
    }

    /// The connection ends at `cut`; the child comes back `later` rows later and brings what was missed.
    fn cut(&self, cut: Cut, later: usize) -> Told {
        let (mut parent, child) = self.begin();
        self.say(&mut parent, child, 0..cut.lines);
        let (cut_us, half) = self
            .lines
            .get(cut.lines)
            .map_or((self.lines[cut.lines - 1].0, &[][..]), |line| (line.0, &line.1[..cut.bytes]));
        parent.bytes(cut_us, child, half);
        let ended = Event::Ended { connection: child, reason: DisconnectReason::ClosedByChild };
        parent.shard.apply(cut_us, ended, &mut parent.actions);

        let back = (0..=later).fold(cut.lines, |place, _| self.rest(place));
        let now_us = self.lines[back - 1].0;
        let it = self.uncut(back);
        let child = parent.arrive(now_us, 2, 7);
        parent.actions.clear();
        let (mut young, mut unanswered) = (Vec::new(), Vec::new());
        let defined_lately = |id: &str| {
            let lately =
                self.lines[..back].iter().rev().take_while(|(at, _)| now_us - at <= FIRST_INTERVALS * SECOND);
            lately.into_iter().any(
                |(_, line)| matches!(words(line)[..], [b"CHART", of, ..] if unquoted(of) == id.as_bytes()),
            )
        };
        for (id, definition) in self.definitions(back) {
            let (first, last) = it.span(&id);
            let now = now_us / SECOND;
            parent.bytes(now_us, child, &definition);
            parent.bytes(now_us, child, format!("CHART_DEFINITION_END {first} {last} {now}\n").as_bytes());
            if first == last || defined_lately(&id) {
                young.push(id.clone());
            }
            if !it.is_live(&id) {
                unanswered.push(id);
            }
        }
        let answer = |parent: &mut Story, now_us: i64, is_back: bool| {
            while let Some((chart, starts, after, before)) = parent.next_question() {
                // What begins a chart anew later on, the recording answers.
                if it.mirrored(&chart).is_some() && !unanswered.contains(&chart) && !(starts && is_back) {
                    parent.bytes(now_us, child, it.answer(&chart, starts, after, before, now_us).as_bytes());
                }
            }
        };
        answer(&mut parent, now_us, false);
        // A parent asks about a few charts at a time: about some only when those are live whose answers were on their way.
        for together in self.lines[back..].chunk_by(|one, next| one.0 == next.0) {
            let text: Vec<u8> = together.iter().flat_map(|(_, line)| line.iter().copied()).collect();
            parent.bytes(together[0].0, child, &text);
            answer(&mut parent, together[0].0, true);
        }
        assert_eq!(parent.shard.connections(), 1, "{cut:?}");
        Told { rows: parent.rows(), young, unanswered }
    }

    /// Compares what is stored with what is without a cut.
    fn check(&self, expected: &Rows, cut: Cut, later: usize) {
        let Told { rows: found, young, unanswered } = self.cut(cut, later);
        let cut_s = self.lines[cut.lines.min(self.lines.len() - 1)].0 / SECOND;
        let is_excused = |(chart, second): &(String, i64)| {
            young.contains(chart) && (second - cut_s).abs() <= 10 * FIRST_INTERVALS
        };
        for (place, values) in expected.iter().filter(|(place, _)| !is_excused(place)) {
            let what = format!("{place:?}, cut at {cut:?} ({cut_s}), back {later} rows later");
            let Some(found) = found.get(place) else {
                assert!(unanswered.contains(&place.0), "missing: {what}");
                continue;
            };
            let is_near = |(one, other): (&u32, &u32)| {
                let (one, other) = (f32::from_bits(*one), f32::from_bits(*other));
                one == other
                    || one.is_nan() && other.is_nan()
                    || (one - other).abs() <= 1e-6 * one.abs().max(1.0)
            };
            assert!(
                values.len() == found.len() && values.iter().zip(found).all(is_near),
                "{what}: {:?} is not {:?}",
                floats(found),
                floats(values)
            );
        }
        let invented = found.keys().find(|place| !expected.contains_key(*place) && !is_excused(place));
        assert_eq!(invented, None, "cut at {cut:?}, back {later} rows later");
    }
}

fn floats(bits: &[u32]) -> Vec<f32> {
    bits.iter().map(|bits| f32::from_bits(*bits)).collect()
}

/// The words of a line but for its slot.
fn words(line: &[u8]) -> Vec<&[u8]> {
    let words = line.trim_ascii_end().split(|byte| *byte == b' ');
    words.filter(|word| !word.starts_with(b"SLOT:")).take(3).collect()
}

fn unquoted(word: &[u8]) -> &[u8] {
    let quote = |byte: &u8| matches!(byte, b'"' | b'\'');
    match word {
        [first, inner @ .., last] if quote(first) && quote(last) => inner,
        _ => word,
    }
}

impl Story {
    fn bytes(&mut self, now_us: i64, connection: ConnectionId, bytes: &[u8]) {
        self.shard.apply(now_us, Event::Received { connection, bytes }, &mut self.actions);
    }

    fn next_question(&mut self) -> Option<(String, bool, i64, i64)> {
        while !self.actions.is_empty() {
            let Action::Send { connection, mut bytes } = self.actions.remove(0) else { continue };
            let end = bytes.iter().position(|byte| *byte == b'\n')?;
            let rest = bytes.split_off(end + 1);
            if !rest.is_empty() {
                self.actions.insert(0, Action::Send { connection, bytes: rest });
            }
            let line = String::from_utf8_lossy(&bytes).into_owned();
            if line.starts_with("REPLAY_CHART") {
                return Some(question(&line));
            }
        }
        None
    }

    fn mirrored(&self, chart: &str) -> Option<&crate::receiver::MirroredChart> {
        self.shard.hosts[0].charts().iter().find(|mirrored| mirrored.chart.id == chart)
    }

    /// The first and the last second of a chart; 0 for none.
    fn span(&self, chart: &str) -> (i64, i64) {
        let span = self.mirrored(chart).and_then(|mirrored| self.shard.engine.span(mirrored.chart.group));
        span.map_or((0, 0), |span| (span.first.0, span.last.0))
    }

    /// Whether the child has been asked for the chart's past, and has answered.
    fn is_live(&self, chart: &str) -> bool {
        let receiver = &self.shard.children.iter().flatten().next().expect("the child").receiver;
        self.mirrored(chart).is_some() && receiver.is_chart_live(chart, &self.shard.hosts[0])
    }

    /// What a child with this database answers.
    fn answer(&self, chart: &str, starts: bool, after: i64, before: i64, now_us: i64) -> String {
        let mirrored = self.mirrored(chart).expect("a chart of it");
        let step = i64::from(mirrored.chart.update_every);
        let ((first, last), now) = (self.span(chart), now_us / SECOND);
        let until = if starts { last } else { before };
        let mut lines = format!("RBEGIN \"{chart}\"\n");
        let mut rows: BTreeMap<i64, String> = BTreeMap::new();
        for (index, dimension) in mirrored.chart.dimensions.iter().enumerate() {
            let mut samples = Samples::default();
            self.shard.engine.read(mirrored.chart.group, TimeRange::ALL).column(
                index,
                TimeRange::ALL,
                &mut samples,
            );
            for (place, (time, value)) in samples.times.iter().zip(&samples.values).enumerate() {
                if before == 0 || *time <= after || *time > until {
                    continue;
                }
                let flags = samples.flags.get(place).copied().unwrap_or(SampleFlags::NONE);
                let row = rows.entry(*time).or_default();
                let (reset, normal) = (
                    if flags.contains(SampleFlags::RESET) { "R" } else { "" },
                    if flags.contains(SampleFlags::ANOMALOUS) { "" } else { "A" },
                );
                let _ = match value.is_nan() {
                    true => writeln!(row, "RSET \"{}\" NAN \"E\"", dimension.id),
                    false => writeln!(row, "RSET \"{}\" {value} \"{normal}{reset}\"", dimension.id),
                };
            }
        }
        for (time, row) in rows {
            let _ = write!(lines, "RBEGIN '' {} {time} {now}\n{row}", time - step);
        }
        if let Some(state) = mirrored.collector_state().filter(|_| starts) {
            let (collected_us, updated_us) = (state.last_collected_us, state.last_updated_us);
            for (dimension, told) in mirrored.chart.dimensions.iter().zip(state.dimensions) {
                let (was_collected, value, carry) = told;
                let at_us = if was_collected { collected_us } else { 0 };
                let _ = writeln!(lines, "RDSTATE \"{}\" {at_us} {value} {carry} 0", dimension.id);
            }
            let _ = writeln!(lines, "RSSTATE {collected_us} {updated_us}");
        }
        let until = if before == 0 { 0 } else { until };
        let _ = writeln!(lines, "REND {step} {first} {last} {starts} {after} {until} {now}");
        lines
    }

    fn rows(&self) -> Rows {
        let mut rows = Rows::new();
        for mirrored in self.shard.hosts[0].charts() {
            let chart = &mirrored.chart;
            for index in 0..chart.dimensions.len() {
                let mut samples = Samples::default();
                self.shard.engine.read(chart.group, TimeRange::ALL).column(
                    index,
                    TimeRange::ALL,
                    &mut samples,
                );
                for (time, value) in samples.times.iter().zip(&samples.values) {
                    let row = rows.entry((chart.id.to_string(), *time)).or_default();
                    // A dimension that came later has no column in the rows before.
                    row.resize(index, f32::NAN.to_bits());
                    row.push(value.to_bits());
                }
            }
        }
        rows
    }
}

#[test]
fn a_child_that_is_cut_after_any_line_leaves_no_wrong_value() {
    const CHARTS: [&str; 6] =
        ["synth.abs", "synth.inc", "synth.pct_inc", "synth.gaps", "synth.every3", "synth.mixed"];
    let tale = Tale::short("02-v137-plain.conn0", &CHARTS, 40);
    let expected = tale.uncut(tale.lines.len()).rows();
    assert!(expected.len() > 150, "{} rows", expected.len());
    for lines in 1..tale.lines.len() {
        tale.check(&expected, Cut { lines, bytes: 0 }, lines % 20);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_child_that_is_cut_anywhere_leaves_no_wrong_value(
        connection in prop::sample::select(&REPLICATING[..]),
        place in any::<prop::sample::Index>(),
        bytes in any::<prop::sample::Index>(),
        later in 0_usize..3000,
    ) {
        let tale = Tale::of(connection);
        let expected = tale.uncut(tale.lines.len()).rows();
        let lines = 1 + place.index(tale.lines.len() - 1);
        let bytes = bytes.index(tale.lines[lines].1.len());
        tale.check(&expected, Cut { lines, bytes }, later);
    }
}

#[test]
fn a_dimension_may_come_just_before_its_child_comes_back() {
    let tale = Tale::of("10-v137-to-v2.conn0");
    let expected = tale.uncut(tale.lines.len()).rows();
    tale.check(&expected, Cut { lines: 60_644, bytes: 58 }, 2434);
}
