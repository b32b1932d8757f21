//! The power goes at every single operation of a workload: what was committed is there, nothing is invented.

use std::collections::{BTreeMap, BTreeSet};

use dbengine::simulated_disk::{Fault, SimulatedDisk};
use dbengine::{
    Appended, DatafileOptions, Disk, DiskOp, FileName, GroupId, GroupKey, SampleFlags, UnixSeconds, inspect,
    recover, repair,
};

use crate::database::{Database, Random, Rows, bits, options, rows_in_files};

const START: i64 = 1_700_000_000;
const GROUPS: u64 = 9;
/// The last group has nothing of these seconds, until they are filled.
const FILLED_LATER: std::ops::RangeInclusive<i64> = 300..=620;

/// Seconds of some groups, of every kind that matters: quick and slow ones, one that falls silent, one that comes late,
/// one that grows, one with flags, one whose past comes late.
struct Workload {
    random: Random,
    ids: Vec<GroupId>,
    values: Vec<Vec<f32>>,
    /// All rows that were stored.
    given: BTreeMap<GroupKey, Rows>,
    /// Their times, in the order in which they were.
    order: BTreeMap<GroupKey, Vec<i64>>,
    /// The rows of the last commit that was carried out whole, and earlier ones: their number, by group.
    committed: BTreeMap<GroupKey, usize>,
}

fn key(group: u64) -> GroupKey {
    GroupKey(u128::from(group + 1) << 70 | 7)
}

impl Workload {
    fn begin(database: &mut Database, seed: u64) -> Workload {
        let mut ids = Vec::new();
        let mut values = Vec::new();
        for group in 0..GROUPS {
            let columns = 1 + group as usize % 4;
            let step = if group == 3 { 60 } else { 1 };
            database.engine.note(&group.to_le_bytes());
            ids.push(database.create_group(key(group), step, columns));
            values.push(vec![1.5; columns]);
        }
        Workload {
            random: Random(seed | 1),
            ids,
            values,
            given: BTreeMap::new(),
            order: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    fn give(&mut self, group: u64, time: i64, values: &[f32]) {
        let row = values.iter().map(|value| bits(*value)).collect();
        self.given.entry(key(group)).or_default().insert(time, row);
        self.order.entry(key(group)).or_default().push(time);
    }

    /// A part of the past that was left out, of some pages and less.
    fn fill(&mut self, database: &mut Database, second: i64) {
        let seconds = FILLED_LATER.start() + (second - 630) * 20..FILLED_LATER.start() + (second - 629) * 20;
        let id = self.ids[8];
        for past in seconds.filter(|past| FILLED_LATER.contains(past)) {
            let values = [past as f32 / 3.0];
            let row = dbengine::Row { values: &values, flags: None };
            let filled = database.engine.fill(id, 1, UnixSeconds(START + past), row);
            assert_eq!(filled, dbengine::Appended::Stored);
            self.give(8, START + past, &values);
        }
        database.engine.end_fill(id);
    }

    fn second(&mut self, database: &mut Database, second: i64) {
        for group in 0..GROUPS {
            let is_due = match group {
                3 => second % 60 == 0,
                4 => !(400..=1500).contains(&second),
                5 => second > 350,
                6 => self.random.below(10) > 0,
                8 => !FILLED_LATER.contains(&second),
                _ => true,
            };
            if !is_due {
                continue;
            }
            let place = group as usize;
            if group == 7 && second == 333 {
                self.values[place].push(9.0);
                database.engine.widen(self.ids[place], self.values[place].len());
            }
            if group == 8 && second == FILLED_LATER.end() + 1 {
                database.engine.part(self.ids[place]);
            }
            for value in &mut self.values[place] {
                match self.random.below(5) {
                    0 => *value += self.random.below(100) as f32 / 10.0,
                    1 => *value = f32::NAN,
                    2 => *value = self.random.below(1 << 20) as f32 / 7.0,
                    _ => {}
                }
            }
            let values = self.values[place].clone();
            let flags = (self.random.below(20) == 0).then(|| vec![SampleFlags::RESET; values.len()]);
            let stored = database.append(self.ids[place], START + second, &values, flags.as_deref());
            assert_eq!(stored, dbengine::Appended::Stored);
            self.give(group, START + second, &values);
        }
        self.fill(database, second);
    }

    fn was_committed(&mut self) {
        self.committed = self.given.iter().map(|(key, rows)| (*key, rows.len())).collect();
    }

    /// Looks at what came back.
    fn check(&self, found: impl Fn(GroupKey) -> Rows, context: &str) {
        for (key, given) in &self.given {
            let found = found(*key);
            let committed = self.committed.get(key).copied().unwrap_or_default();
            for time in self.order[key].iter().take(committed) {
                let row = &given[time];
                let found = found.get(time).map(|found| &found[..]);
                assert!(
                    found == Some(&row[..]),
                    "{context}: group {key} at {time}: {found:?} is not {row:?}"
                );
            }
            for (time, row) in &found {
                assert_eq!(given.get(time), Some(row), "{context}: group {key} at {time} was never given");
            }
        }
    }
}

/// The power goes while `op` is carried out: what is recovered?
fn lose_power_at(workload: &Workload, disk: &SimulatedDisk, op: &DiskOp, number: u64) {
    let mut disk = disk.clone();
    disk.reseed(number);
    disk.lose_power(Some(op.clone()));
    // Recovery may be interrupted, too, and is then done again.
    if number.is_multiple_of(3) {
        recover(&mut disk, &mut |_| {}).expect("a database");
        disk.lose_power(None);
    }
    let context = format!("power lost at operation {number}");
    let mut recovered = recover(&mut disk, &mut |_| {}).expect("a database");
    workload.check(|key| rows_in_files(&recovered.files, key), &context);
    recovered.finish(&mut disk).expect("the journal goes");
    let again = recover(&mut disk, &mut |_| {}).expect("a database");
    assert_eq!(again.rows, 0, "{context}");
    assert!(again.findings.is_empty(), "{context}: {:?}", again.findings);
    for group in 0..GROUPS {
        let before = rows_in_files(&recovered.files, key(group));
        assert_eq!(before, rows_in_files(&again.files, key(group)), "{context}");
    }
}

#[test]
fn whatever_was_committed_survives_a_loss_of_power_at_any_operation() {
    let mut database = Database::open(SimulatedDisk::new(17), options(), START);
    let mut workload = Workload::begin(&mut database, 17);
    let mut operations = 0;
    for second in 1..1300 {
        workload.second(&mut database, second);
        if second % 7 == 0 {
            database.engine.notes_stored(dbengine::NoteNumber(GROUPS));
        }
        database.engine.commit(UnixSeconds(START + second));
        database.drain(|disk, op| {
            operations += 1;
            lose_power_at(&workload, disk, op, operations);
        });
        workload.was_committed();
    }
    assert!(operations > 2500, "{operations} operations are too few to mean anything");
}

#[test]
fn a_note_of_the_last_moment_is_waited_for() {
    let mut database = Database::open(SimulatedDisk::new(5), options(), START);
    database.engine.note(b"a group");
    database.commit(START + 1);
    database.engine.note(b"the group is forgotten");
    database.engine.stop();
    // There are no rows to be written, and the disk is slow with the journal.
    assert!(!database.engine.stop_further(), "the second note is on its way");
    let recovered = recover(&mut database.stop(), &mut |_| {}).expect("a database");
    assert_eq!(recovered.notes, [&b"a group"[..], b"the group is forgotten"]);
}

#[test]
fn notes_are_found_until_another_place_has_them() {
    let mut database = Database::open(SimulatedDisk::new(3), options(), START);
    let mut workload = Workload::begin(&mut database, 3);
    for second in 1..2000 {
        workload.second(&mut database, second);
        database.commit(START + second);
    }
    let mut disk = database.disk.clone();
    disk.lose_power(None);
    let recovered = recover(&mut disk, &mut |_| {}).expect("a database");
    let notes: Vec<Vec<u8>> = (0..GROUPS).map(|group| group.to_le_bytes().to_vec()).collect();
    assert_eq!(recovered.notes, notes);

    database.engine.notes_stored(dbengine::NoteNumber(GROUPS));
    for second in 2000..3500 {
        workload.second(&mut database, second);
        database.commit(START + second);
    }
    let totals = database.engine.store_totals().expect("a store");
    assert!(totals.segments <= 3, "{totals:?}");
    let mut disk = database.disk;
    disk.lose_power(None);
    assert!(recover(&mut disk, &mut |_| {}).expect("a database").notes.is_empty());
}

#[test]
fn after_an_orderly_stop_nothing_is_left_to_recover() {
    let mut database = Database::open(SimulatedDisk::new(4), options(), START);
    let mut workload = Workload::begin(&mut database, 4);
    for second in 1..500 {
        workload.second(&mut database, second);
        database.commit(START + second);
    }
    database.engine.notes_stored(dbengine::NoteNumber(GROUPS));
    workload.was_committed();
    let mut disk = database.stop();
    disk.lose_power(None);
    let recovered = recover(&mut disk, &mut |_| {}).expect("a database");
    assert_eq!((recovered.rows, recovered.notes.len()), (0, 0));
    assert!(disk.list().unwrap().iter().all(|file| !matches!(file, FileName::Journal(_))));
    workload.check(|key| rows_in_files(&recovered.files, key), "after a stop");
}

#[test]
fn a_disk_that_fails_for_a_while_costs_nothing() {
    for (seed, fault) in [(5, Fault::Full), (6, Fault::Broken)] {
        let mut database = Database::open(SimulatedDisk::new(seed), options(), START);
        let mut workload = Workload::begin(&mut database, seed);
        database.engine.notes_stored(dbengine::NoteNumber(GROUPS));
        for second in 1..1500 {
            database.disk.fault = if (450..900).contains(&second) { fault } else { Fault::None };
            workload.second(&mut database, second);
            database.commit(START + second);
            if second == 700 {
                let error = database.engine.take_disk_error().expect("an error to tell of");
                assert!(error.to_string().contains(&error.message), "{error}");
                for (group, id) in workload.ids.iter().enumerate() {
                    let found = database.read(*id, dbengine::TimeRange::ALL);
                    assert_eq!(found, widened(&workload, key(group as u64)), "while the disk fails");
                }
            }
        }
        let totals = database.engine.store_totals().expect("a store");
        assert!(totals.datafiles.errors > 0 && totals.journal_errors > 0, "{totals:?}");
        assert_eq!(totals.datafiles.samples_lost, 0);
        workload.was_committed();
        let mut disk = database.disk;
        disk.lose_power(None);
        let recovered = recover(&mut disk, &mut |_| {}).expect("a database");
        workload.check(|key| rows_in_files(&recovered.files, key), "after the fault");
    }
}

/// The last batch of a segment fails when the next one has begun already.
#[test]
fn an_error_where_segments_meet_costs_nothing() {
    for faulty in 296..=306 {
        let mut database = Database::open(SimulatedDisk::new(7), options(), START);
        let mut workload = Workload::begin(&mut database, 7);
        for second in 1..1000 {
            database.disk.fault = if second == faulty { Fault::Broken } else { Fault::None };
            workload.second(&mut database, second);
            database.engine.notes_stored(dbengine::NoteNumber(GROUPS));
            database.commit(START + second);
            if second == faulty + 2 {
                let mut disk = database.disk.clone();
                disk.lose_power(None);
                let recovered = recover(&mut disk, &mut |_| {}).expect("a database");
                let committed = std::mem::take(&mut workload.committed);
                workload.was_committed();
                workload.check(|key| rows_in_files(&recovered.files, key), &format!("fault at {faulty}"));
                workload.committed = committed;
            }
        }
        let totals = database.engine.store_totals().expect("a store");
        assert!(totals.journal_errors > 0 && totals.segments <= 3, "fault at {faulty}: {totals:?}");
    }
}

/// Many samples make many commits a second, and what a checkpoint writes makes more of them; and all groups speak within a
/// second or two of a new segment.
#[test]
fn a_checkpoint_is_no_wave_however_often_is_committed() {
    const GROUPS: u64 = 60 * 100;
    const PAGE_ROWS: u64 = 16;
    let mut database = Database::open(SimulatedDisk::new(10), options(), START);
    let ids: Vec<_> = (0..GROUPS).map(|key| database.create_group(GroupKey(key.into()), 30, 1)).collect();
    let (mut written, mut most) = (0, 0);
    for second in 0..1500 {
        if second % 30 == 0 {
            for id in &ids {
                assert_eq!(database.append(*id, START + second, &[second as f32], None), Appended::Stored);
            }
        }
        for _ in 0..20 {
            database.commit(START + second);
        }
        let totals = database.engine.store_totals().expect("a store");
        assert!(totals.segments <= 3, "{totals:?}");
        most = most.max(totals.rows_rewritten - written);
        written = totals.rows_rewritten;
    }
    // With the third segment and each after it: of a page of eight minutes ten rows may be in a segment that goes.
    assert!(written > GROUPS, "{written} rows are written again");
    assert!(most <= GROUPS / 60 * PAGE_ROWS, "{most} rows of {written} are written again in one second");
}

/// Groups speak in a new segment before the checkpoint comes to them and writes again what the oldest segment has of them.
#[test]
fn the_power_goes_in_any_second_of_a_checkpoint() {
    const GROUPS: u64 = 150;
    let mut database = Database::open(SimulatedDisk::new(11), options(), START);
    let ids: Vec<_> = (0..GROUPS).map(|key| database.create_group(GroupKey(key.into()), 30, 1)).collect();
    let mut given: Vec<Rows> = vec![Rows::new(); ids.len()];
    for second in 0..1400 {
        for (group, id) in ids.iter().enumerate().filter(|(group, _)| (second + *group as i64) % 30 == 0) {
            let (time, value) = (START + second, group as f32 + second as f32 / 8.0);
            assert_eq!(database.append(*id, time, &[value], None), Appended::Stored);
            given[group].insert(time, vec![bits(value)]);
        }
        database.commit(START + second);
        let is_in_checkpoint = (598..670).contains(&second) || (898..970).contains(&second);
        if is_in_checkpoint || second % 100 == 0 {
            let mut disk = database.disk.clone();
            disk.lose_power(None);
            let recovered = recover(&mut disk, &mut |_| {}).expect("a database");
            for (key, rows) in given.iter().enumerate() {
                let found = rows_in_files(&recovered.files, GroupKey(key as u128));
                assert_eq!(found, *rows, "group {key}, power gone at {second}");
            }
        }
    }
    let totals = database.engine.store_totals().expect("a store");
    assert!(totals.rows_rewritten > 0 && totals.segments <= 3, "{totals:?}");
}

/// Rows as the engine reads them: those that are older than a column are gaps in it.
fn widened(workload: &Workload, key: GroupKey) -> Rows {
    let mut rows = workload.given.get(&key).cloned().unwrap_or_default();
    let columns = rows.values().map(Vec::len).max().unwrap_or_default();
    rows.values_mut().for_each(|row| row.resize(columns, None));
    rows
}

#[test]
fn beyond_the_budget_the_oldest_pages_go_and_are_counted() {
    let datafiles = DatafileOptions { waiting_bytes: 8 << 10, ..options() };
    let mut database = Database::open(SimulatedDisk::new(8), datafiles, START);
    let mut workload = Workload::begin(&mut database, 8);
    database.disk.fault = Fault::Full;
    for second in 1..1500 {
        workload.second(&mut database, second);
        database.commit(START + second);
    }
    let totals = database.engine.store_totals().expect("a store").datafiles;
    assert!(totals.pages_lost > 0 && totals.samples_lost > 0, "{totals:?}");
    assert!(totals.bytes_waiting <= 8 << 10, "{totals:?}");
    let newest = database.read(workload.ids[0], dbengine::TimeRange::ALL);
    assert!(newest.contains_key(&(START + 1499)) && !newest.contains_key(&(START + 1)));
}

#[test]
fn damage_is_told_of_and_costs_only_what_it_hit() {
    let mut database = Database::open(SimulatedDisk::new(9), options(), START);
    let mut workload = Workload::begin(&mut database, 9);
    for second in 1..800 {
        workload.second(&mut database, second);
        database.commit(START + second);
    }
    database.engine.notes_stored(dbengine::NoteNumber(GROUPS));
    workload.was_committed();
    let disk = database.stop();
    let files = disk.list().unwrap();
    let index = *files.iter().find(|file| matches!(file, FileName::Index { .. })).expect("an index");
    let data = *files.iter().find(|file| matches!(file, FileName::Data { .. })).expect("a datafile");

    // A broken index is made again, and nothing is missing.
    let mut damaged = disk.clone();
    damaged.flip(index, 100);
    for _ in 0..2 {
        let found = inspect(&mut damaged, &mut |_| {}).expect("a database");
        assert!(found.findings[0].to_string().contains(&index.to_string()), "{:?}", found.findings);
    }
    let recovered = recover(&mut damaged, &mut |_| {}).expect("a database");
    workload.check(|key| rows_in_files(&recovered.files, key), "with an index made again");
    assert!(recover(&mut damaged, &mut |_| {}).expect("a database").findings.is_empty());

    // One that is broken behind its groups is found when it is checked whole. Until then it answers nothing.
    let mut damaged = disk.clone();
    damaged.flip(index, 64 + 24 * GROUPS as usize + 30);
    let recovered = recover(&mut damaged, &mut |_| {}).expect("a database");
    assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
    let broken = recovered.files.tier(0).iter().find(|file| file.id == index.id()).expect("the file");
    assert!(broken.index.pages(key(0), dbengine::TimeRange::ALL).next().is_none());
    assert!(broken.index.verify().is_err());
    let repaired = repair(&mut damaged, broken).expect("a disk").expect("a file");
    repaired.index.verify().expect("a whole index");
    let files = recovered.files.without(0, index.id()).with(repaired);
    workload.check(|key| rows_in_files(&files, key), "with an index made again later");

    // A broken frame is an error where its pages are read; the others serve.
    let mut damaged = disk.clone();
    damaged.flip(data, 1500);
    let recovered = recover(&mut damaged, &mut |_| {}).expect("a database");
    let (mut broken, mut whole) = (BTreeSet::new(), 0);
    for group in 0..GROUPS {
        for (file, place) in recovered.files.pages(0, key(group), dbengine::TimeRange::ALL, &[]) {
            match file.read(place) {
                Ok(_) => whole += 1,
                Err(error) => {
                    assert!(error.to_string().contains(&data.to_string()), "{error}");
                    broken.insert(place.frame);
                }
            }
        }
    }
    assert!(broken.len() == 1 && whole > 200, "{broken:?} are broken, {whole} pages whole");
    let newest = recovered.files.newest();
    assert!(
        (0..GROUPS).all(|group| newest.get(key(group)).is_some_and(|newest| newest > UnixSeconds(START)))
    );
}
