//! The engine against a map of rows, and what its callers rely on by name.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::{GroupKey, SampleFlags, Samples};

const GAP: f32 = f32::NAN;

fn engine(page_rows: u16) -> Engine {
    Engine::new(EngineOptions { page_rows })
}

fn append(engine: &mut Engine, id: GroupId, time: i64, values: &[f32]) -> Appended {
    engine.append(id, UnixSeconds(time), Row { values, flags: None })
}

fn range(first: i64, last: i64) -> TimeRange {
    TimeRange { first: UnixSeconds(first), last: UnixSeconds(last) }
}

fn read(engine: &Engine, id: GroupId, column: usize, window: TimeRange) -> Vec<(i64, Option<u32>, u8)> {
    let mut samples = Samples { times: vec![1], values: vec![2.0], flags: vec![SampleFlags::RESET] };
    engine.read(id, window).column(column, TimeRange::ALL, &mut samples);
    assert_eq!(samples.times.len(), samples.values.len());
    assert!(samples.flags.is_empty() || samples.flags.len() == samples.values.len());
    let sample =
        |index: usize| (samples.times[index], bits(samples.values[index]), samples.flags_at(index).0);
    (0..samples.len()).map(sample).collect()
}

fn bits(value: f32) -> Option<u32> {
    if value.is_nan() { None } else { Some(value.to_bits()) }
}

#[test]
fn a_snapshot_may_go_to_another_thread() {
    fn check<T: Send + Sync + 'static>() {}
    check::<GroupSnapshot>();
}

#[test]
fn a_group_is_within_a_cache_line() {
    assert_eq!(size_of::<Option<Group>>(), 64);
}

#[test]
fn a_row_that_is_not_newer_is_stale() {
    let mut engine = engine(4);
    let id = engine.create_group(GroupKey(1), 1, 1, Keep::Rows(100));
    for time in [10, 11, 20] {
        assert_eq!(append(&mut engine, id, time, &[1.0]), Appended::Stored);
        assert_eq!(append(&mut engine, id, time, &[2.0]), Appended::Stale);
        assert_eq!(append(&mut engine, id, time - 1, &[2.0]), Appended::Stale);
        assert_eq!(append(&mut engine, id, i64::MIN, &[2.0]), Appended::Stale);
    }
    assert_eq!(engine.span(id), Some(range(10, 20)));
    assert_eq!(read(&engine, id, 0, TimeRange::ALL).len(), 3);
}

#[test]
fn the_past_is_filled_between_what_is_there_and_counts_as_kept_rows() {
    let mut engine = engine(4);
    let id = engine.create_group(GroupKey(1), 1, 1, Keep::Rows(100));
    for time in (1..=6).chain(20..=26) {
        if time == 20 {
            engine.part(id);
        }
        assert_eq!(append(&mut engine, id, time, &[time as f32]), Appended::Stored);
    }
    for time in 7..=19 {
        let row = [time as f32];
        let row = Row { values: &row, flags: None };
        assert_eq!(engine.fill(id, 1, UnixSeconds(time), row), Appended::Stored);
        assert_eq!(engine.fill(id, 1, UnixSeconds(time), row), Appended::Stale);
    }
    engine.end_fill(id);
    let expected: Vec<_> = (1..=26).map(|time| (time, bits(time as f32), 0)).collect();
    assert_eq!(read(&engine, id, 0, TimeRange::ALL), expected);
    assert_eq!(read(&engine, id, 0, range(5, 21)), expected[4..21]);
    assert_eq!(engine.span(id), Some(range(1, 26)));
    assert_eq!(engine.newest_time(id), UnixSeconds(26));
    assert_eq!(engine.statistics().samples, 26);
}

#[test]
fn the_newest_row_is_known_whatever_was_sealed() {
    let mut engine = engine(2);
    let id = engine.create_group(GroupKey(1), 1, 2, Keep::Rows(1));
    assert_eq!(engine.newest(id), None);
    for time in 0..10 {
        let values = [time as f32, -1.0];
        let _ = append(&mut engine, id, time, &values);
        assert_eq!(engine.newest(id), Some((UnixSeconds(time), &values[..])));
    }
    engine.widen(id, 3);
    assert_eq!(engine.newest(id), Some((UnixSeconds(9), &[9.0, -1.0][..])));
}

#[test]
fn a_group_that_keeps_nothing_only_knows_its_newest_row() {
    let mut engine = engine(256);
    let id = engine.create_group(GroupKey(1), 1, 1, Keep::Nothing);
    for time in 0..1000 {
        assert_eq!(append(&mut engine, id, time, &[3.0]), Appended::Stored);
    }
    assert_eq!(append(&mut engine, id, 999, &[3.0]), Appended::Stale);
    assert_eq!(engine.newest(id), Some((UnixSeconds(999), &[3.0][..])));
    assert_eq!(engine.span(id), None);
    assert_eq!(engine.read(id, TimeRange::ALL).span(), None);
    assert_eq!(read(&engine, id, 0, TimeRange::ALL), []);
    let statistics = engine.statistics();
    assert_eq!((statistics.rows, statistics.samples, statistics.sealed.pages), (0, 0, 0));
    assert!(statistics.hot_bytes < 256);
}

#[test]
fn columns_and_step_may_change_before_and_between_rows() {
    let mut engine = engine(256);
    let id = engine.create_group(GroupKey(1), 1, 0, Keep::Rows(1000));
    engine.widen(id, 1);
    let _ = append(&mut engine, id, 1, &[1.0]);
    engine.widen(id, 2);
    engine.widen(id, 1);
    let _ = append(&mut engine, id, 2, &[2.0, 20.0]);
    engine.set_step(id, 10);
    let _ = append(&mut engine, id, 3, &[3.0, GAP]);
    let _ = append(&mut engine, id, 13, &[4.0, 40.0]);
    let one = |value: f32| Some(value.to_bits());
    assert_eq!(
        read(&engine, id, 0, TimeRange::ALL),
        [(1, one(1.0), 0), (2, one(2.0), 0), (3, one(3.0), 0), (13, one(4.0), 0)]
    );
    assert_eq!(
        read(&engine, id, 1, TimeRange::ALL),
        [(1, None, 0), (2, one(20.0), 0), (3, None, 0), (13, one(40.0), 0)]
    );
    assert_eq!(engine.read(id, TimeRange::ALL).step(), 10);
}

#[test]
fn rows_at_the_ends_of_time_are_rows() {
    let mut engine = engine(256);
    let id = engine.create_group(GroupKey(1), 1, 1, Keep::Rows(1000));
    for time in [i64::MIN, i64::MIN + 1, -1, 0, i64::MAX - 1, i64::MAX] {
        assert_eq!(append(&mut engine, id, time, &[time as f32]), Appended::Stored);
    }
    assert_eq!(append(&mut engine, id, i64::MIN, &[0.0]), Appended::Stale);
    assert_eq!(engine.span(id), Some(TimeRange::ALL));
    assert_eq!(read(&engine, id, 0, TimeRange::ALL).len(), 6);
    assert_eq!(read(&engine, id, 0, range(-1, i64::MAX - 1)).len(), 3);
}

#[test]
fn groups_that_begin_together_are_not_sealed_together() {
    let mut engine = engine(64);
    let ids: Vec<_> = (0..640).map(|_| engine.create_group(GroupKey(1), 1, 1, Keep::Rows(10_000))).collect();
    let mut pages = 0;
    for time in 0..640 {
        for &id in &ids {
            let _ = append(&mut engine, id, time, &[1.0]);
        }
        let now = engine.statistics().sealed.pages;
        assert!(now - pages <= 20, "{} pages in one second", now - pages);
        pages = now;
    }
    assert!(pages > 640 * 8);
}

#[test]
fn a_removed_group_leaves_nothing_but_its_snapshots() {
    let mut engine = engine(8);
    let id = engine.create_group(GroupKey(1), 1, 1, Keep::Rows(1000));
    for time in 0..100 {
        let _ = append(&mut engine, id, time, &[time as f32]);
    }
    let snapshot = engine.read(id, range(10, 90));
    engine.remove_group(id);
    assert_eq!(engine.statistics(), Statistics::default());
    assert_eq!(engine.create_group(GroupKey(1), 5, 2, Keep::Rows(1)), id);
    assert_eq!(engine.span(id), None);
    assert_eq!(engine.newest(id), None);
    assert_eq!(snapshot.span(), Some(range(10, 90)));
    let mut samples = Samples::default();
    snapshot.column(0, range(0, 50), &mut samples);
    assert_eq!(samples.times, (10..=50).collect::<Vec<_>>());
}

#[test]
fn flags_come_back_with_their_samples() {
    let mut engine = engine(4);
    let id = engine.create_group(GroupKey(1), 1, 2, Keep::Rows(1000));
    for time in 0..20 {
        let flags =
            [SampleFlags::NONE, if time % 7 == 3 { SampleFlags::ANOMALOUS } else { SampleFlags::NONE }];
        let flags = (time % 7 == 3).then_some(&flags[..]);
        let _ = engine.append(id, UnixSeconds(time), Row { values: &[1.0, 2.0], flags });
    }
    let flagged = |column| {
        let samples = read(&engine, id, column, TimeRange::ALL);
        samples.into_iter().filter(|(.., flags)| *flags != 0).map(|(time, ..)| time).collect::<Vec<_>>()
    };
    assert_eq!(flagged(0), [0; 0]);
    assert_eq!(flagged(1), [3, 10, 17]);
}

/// What a group should hold: by time, its values and flags.
struct Model {
    rows: BTreeMap<i64, Vec<(f32, u8)>>,
    step: u32,
    columns: usize,
    keep: u32,
}

#[derive(Clone, Debug)]
enum Operation {
    /// So many rows, each a step after the other.
    Append {
        rows: u8,
        seed: u32,
        flagged: bool,
    },
    /// A row at another time than the next.
    Jump {
        seconds: i64,
    },
    Widen {
        more: usize,
    },
    SetStep {
        step: u32,
    },
    /// The group is removed, and another created.
    Replace {
        step: u32,
        columns: usize,
        keep: u32,
    },
    Read {
        column: usize,
        first: i64,
        length: i64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => (1..40_u8, any::<u32>(), prop::bool::weighted(0.2))
            .prop_map(|(rows, seed, flagged)| Operation::Append { rows, seed, flagged }),
        4 => prop_oneof![-5..5_i64, 1..100_i64, 1000..10_000_000_000_i64]
            .prop_map(|seconds| Operation::Jump { seconds }),
        1 => (0..3_usize).prop_map(|more| Operation::Widen { more }),
        1 => (1..4_u32).prop_map(|step| Operation::SetStep { step }),
        1 => (1..4_u32, 0..20_usize, 0..100_u32)
            .prop_map(|(step, columns, keep)| Operation::Replace { step, columns, keep }),
        4 => (0..20_usize, -50..200_i64, -1..100_i64)
            .prop_map(|(column, first, length)| Operation::Read { column, first, length }),
    ]
}

/// Values of each class, from little state.
fn value(seed: u32, row: i64, column: usize) -> f32 {
    let die = (seed ^ row as u32 ^ (column as u32) << 8).wrapping_mul(0x9e37_79b9);
    match (seed as usize + column) % 6 {
        0 => 5.0,
        1 => (die >> 24) as f32,
        2 => -((die >> 20) as f32) / 100.0,
        3 if die >> 28 == 0 => GAP,
        3 => 0.1,
        4 => f32::from_bits(die),
        _ => (die as f32).sqrt(),
    }
}

impl Model {
    fn append(&mut self, engine: &mut Engine, id: GroupId, time: i64, seed: u32, flagged: bool) {
        let values: Vec<f32> = (0..self.columns).map(|column| value(seed, time, column)).collect();
        let flags: Vec<_> =
            (0..self.columns).map(|column| SampleFlags((column as u8 ^ time as u8) % 4)).collect();
        let row = Row { values: &values, flags: flagged.then_some(&flags) };
        let is_newer = self.rows.last_key_value().is_none_or(|(newest, _)| time > *newest);
        let expected = if is_newer { Appended::Stored } else { Appended::Stale };
        assert_eq!(engine.append(id, UnixSeconds(time), row), expected);
        if is_newer {
            let flags = flags.iter().map(|flags| if flagged { flags.0 } else { 0 });
            self.rows.insert(time, values.into_iter().zip(flags).collect());
        }
    }

    fn newest(&self) -> i64 {
        self.rows.last_key_value().map_or(0, |(newest, _)| *newest)
    }

    /// Whole old pages may be gone, as long as enough rows are left; of those left, every sample is right.
    fn check(&mut self, engine: &Engine, id: GroupId, column: usize, window: TimeRange) {
        let span = engine.span(id);
        let lost = self.rows.keys().take_while(|time| span.is_some_and(|span| **time < span.first.0)).count();
        assert!(lost == 0 || self.rows.len() - lost >= self.keep as usize);
        for _ in 0..lost {
            self.rows.pop_first();
        }
        let held = self.rows.first_key_value().map(|(oldest, _)| range(*oldest, self.newest()));
        assert_eq!(span, held);
        let in_window = || self.rows.iter().filter(|(time, _)| window.contains(UnixSeconds(**time)));
        let snapshot = engine.read(id, window);
        let first = in_window().next().map(|(time, _)| *time);
        let last = in_window().next_back().map(|(time, _)| *time);
        assert_eq!(snapshot.span(), first.zip(last).map(|(first, last)| range(first, last)));
        assert_eq!((snapshot.columns(), snapshot.step()), (self.columns, self.step));
        if column < self.columns {
            let expected: Vec<_> = in_window()
                .map(|(time, samples)| {
                    let (value, flags) = samples.get(column).copied().unwrap_or((GAP, 0));
                    (*time, bits(value), flags)
                })
                .collect();
            assert_eq!(read(engine, id, column, window), expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_engine_is_a_map_of_rows(
        page_rows in prop_oneof![1..6_u16, 30..70_u16, Just(256_u16)],
        operations in prop::collection::vec(operation(), 1..60),
    ) {
        let mut engine = engine(page_rows);
        let bystander = engine.create_group(GroupKey(1), 1, 1, Keep::Rows(10));
        let mut id = engine.create_group(GroupKey(1), 1, 3, Keep::Rows(50));
        let mut model = Model { rows: BTreeMap::new(), step: 1, columns: 3, keep: 50 };
        for operation in operations {
            match operation {
                Operation::Append { rows, seed, flagged } => {
                    for row in 0..rows {
                        let time = model.newest() + i64::from(model.step);
                        model.append(&mut engine, id, time, seed, flagged && row % 8 == 0);
                    }
                }
                Operation::Jump { seconds } => {
                    let time = model.newest() + seconds;
                    model.append(&mut engine, id, time, 1, false);
                }
                Operation::Widen { more } => {
                    model.columns += more;
                    engine.widen(id, model.columns);
                }
                Operation::SetStep { step } => {
                    model.step = step;
                    engine.set_step(id, step);
                }
                Operation::Replace { step, columns, keep } => {
                    engine.remove_group(id);
                    id = engine.create_group(GroupKey(1), step, columns, Keep::Rows(keep));
                    model = Model { rows: BTreeMap::new(), step, columns, keep };
                }
                Operation::Read { column, first, length } => {
                    let first = model.newest() - first;
                    model.check(&engine, id, column, range(first, first + length));
                }
            }
        }
        for column in 0..=model.columns {
            model.check(&engine, id, column, TimeRange::ALL);
        }
        let statistics = engine.statistics();
        prop_assert_eq!(statistics.rows, model.rows.len() as u64);
        engine.remove_group(id);
        engine.remove_group(bystander);
        prop_assert_eq!(engine.statistics(), Statistics::default());
    }
}
