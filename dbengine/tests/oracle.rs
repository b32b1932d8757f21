//! Random operations on the engine and on a plain map: both always tell the same.

use std::collections::{BTreeMap, VecDeque};

use dbengine::simulated_disk::SimulatedDisk;
use dbengine::{Appended, GroupKey, Row, TimeRange, UnixSeconds};
use proptest::prelude::*;

use crate::database::{Database, Rows, bits, options};

#[derive(Clone, Debug)]
enum Operation {
    /// A row so many seconds after the newest; 0 and less are late.
    Append {
        group: usize,
        after: i64,
        value: Option<i8>,
    },
    /// Many rows, a step apart.
    AppendMany {
        group: usize,
        rows: u8,
    },
    Widen {
        group: usize,
    },
    SetStep {
        group: usize,
        step: u8,
    },
    /// Some rows are left out, to be filled later.
    LeaveOut {
        group: usize,
        rows: u8,
    },
    /// Fills the first of those that were left out.
    Fill {
        group: usize,
        rows: u8,
        value: i8,
    },
    Commit {
        seconds: u8,
    },
    /// Stop in good order and start again.
    Restart,
    /// Lose the power right after a commit and start again.
    Crash,
    Read {
        group: usize,
        first: u8,
        last: u8,
    },
}

const GROUPS: usize = 3;
const START: i64 = 1_700_000_000;

fn operation() -> impl Strategy<Value = Operation> {
    let group = 0..GROUPS;
    prop_oneof![
        6 => (group.clone(), -2i64..400, any::<Option<i8>>())
            .prop_map(|(group, after, value)| Operation::Append { group, after, value }),
        6 => (group.clone(), 1u8..60).prop_map(|(group, rows)| Operation::AppendMany { group, rows }),
        1 => group.clone().prop_map(|group| Operation::Widen { group }),
        1 => (group.clone(), 1u8..10).prop_map(|(group, step)| Operation::SetStep { group, step }),
        2 => (group.clone(), 1u8..200).prop_map(|(group, rows)| Operation::LeaveOut { group, rows }),
        3 => (group.clone(), 1u8..80, any::<i8>())
            .prop_map(|(group, rows, value)| Operation::Fill { group, rows, value }),
        4 => (1u8..200).prop_map(|seconds| Operation::Commit { seconds }),
        1 => Just(Operation::Restart),
        1 => Just(Operation::Crash),
        4 => (group, any::<u8>(), any::<u8>())
            .prop_map(|(group, first, last)| Operation::Read { group, first, last }),
    ]
}

struct Known {
    id: dbengine::GroupId,
    step: u32,
    columns: usize,
    newest: i64,
    rows: Rows,
    /// What was left out and is not filled yet: the first times, steps and rows.
    left_out: VecDeque<(i64, u32, u8)>,
}

struct Pair {
    database: Database,
    groups: Vec<Known>,
    now: i64,
}

impl Pair {
    fn new() -> Pair {
        let mut database = Database::open(SimulatedDisk::new(1), options(), START);
        let groups = (0..GROUPS).map(|group| Known {
            id: database.create_group(GroupKey(group as u128), 1, 1),
            step: 1,
            columns: 1,
            newest: START,
            rows: BTreeMap::new(),
            left_out: VecDeque::new(),
        });
        let groups = groups.collect();
        Pair { database, groups, now: START }
    }

    fn append(&mut self, group: usize, after: i64, value: Option<i8>) {
        let known = &mut self.groups[group];
        let time = known.newest + after;
        let values: Vec<f32> = (0..known.columns)
            .map(|column| value.map_or(f32::NAN, |value| f32::from(value) + column as f32))
            .collect();
        let appended = self.database.append(known.id, time, &values, None);
        if known.rows.is_empty() || after > 0 {
            assert_eq!(appended, Appended::Stored);
            known.newest = time;
            known.rows.insert(time, values.iter().map(|value| bits(*value)).collect());
        } else {
            assert_eq!(appended, Appended::Stale);
        }
    }

    fn fill(&mut self, group: usize, rows: u8, value: i8) {
        let known = &mut self.groups[group];
        let Some((first, step, left)) = known.left_out.pop_front() else { return };
        let filled = rows.min(left);
        for row in 0..filled {
            let time = first + i64::from(row) * i64::from(step);
            let values = vec![f32::from(value); known.columns];
            let row = Row { values: &values, flags: None };
            let filled = self.database.engine.fill(known.id, step, UnixSeconds(time), row);
            assert_eq!(filled, Appended::Stored);
            known.rows.insert(time, values.iter().map(|value| bits(*value)).collect());
        }
        self.database.engine.end_fill(known.id);
        if filled < left {
            let next = first + i64::from(filled) * i64::from(step);
            known.left_out.push_front((next, step, left - filled));
        }
    }

    fn reopen(&mut self, disk: SimulatedDisk) {
        self.database = Database::open(disk, options(), self.now);
        for (group, known) in self.groups.iter_mut().enumerate() {
            known.id = self.database.create_group(GroupKey(group as u128), known.step, known.columns);
        }
    }

    fn commit(&mut self) {
        self.database.commit(self.now);
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Append { group, after, value } => self.append(group, after, value),
            Operation::AppendMany { group, rows } => {
                for row in 0..rows {
                    self.append(group, self.groups[group].step.into(), Some(row as i8 / 4));
                }
            }
            Operation::Widen { group } => {
                let known = &mut self.groups[group];
                known.columns += 1;
                self.database.engine.widen(known.id, known.columns);
            }
            Operation::SetStep { group, step } => {
                let known = &mut self.groups[group];
                known.step = step.into();
                self.database.engine.set_step(known.id, known.step);
            }
            Operation::LeaveOut { group, rows } => {
                let known = &mut self.groups[group];
                self.database.engine.part(known.id);
                let step = i64::from(known.step);
                known.left_out.push_back((known.newest + step, known.step, rows));
                self.append(group, (i64::from(rows) + 1) * step, Some(1));
            }
            Operation::Fill { group, rows, value } => self.fill(group, rows, value),
            Operation::Commit { seconds } => {
                self.now += i64::from(seconds);
                self.commit();
            }
            Operation::Restart => {
                let stopped = std::mem::replace(
                    &mut self.database,
                    Database::open(SimulatedDisk::new(1), options(), START),
                );
                self.reopen(stopped.stop());
            }
            Operation::Crash => {
                self.commit();
                let mut disk = self.database.disk.clone();
                disk.lose_power(None);
                self.reopen(disk);
            }
            Operation::Read { group, first, last } => {
                let oldest = self.groups[group].rows.keys().next().copied().unwrap_or(START);
                let span = (self.groups[group].newest - oldest).max(1);
                let at = |share: u8| UnixSeconds(oldest + span * i64::from(share) / 200);
                self.check(group, TimeRange { first: at(first.min(last)), last: at(first.max(last)) });
            }
        }
    }

    fn check(&self, group: usize, window: TimeRange) {
        let known = &self.groups[group];
        let mut expected: Rows = known
            .rows
            .range(window.first.0..=window.last.0)
            .map(|(time, row)| (*time, row.clone()))
            .collect();
        expected.values_mut().for_each(|row| row.resize(known.columns, None));
        assert_eq!(self.database.read(known.id, window), expected, "group {group} in {window}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_engine_tells_what_a_map_would(operations in prop::collection::vec(operation(), 1..60)) {
        let mut pair = Pair::new();
        for operation in &operations {
            pair.apply(operation);
        }
        for group in 0..GROUPS {
            pair.check(group, TimeRange::ALL);
        }
    }
}
