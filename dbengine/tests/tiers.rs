//! Tiers are what their samples say, wherever files begin and end, and however often deriving is interrupted.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use dbengine::simulated_disk::SimulatedDisk;
use dbengine::{
    Disk, DiskDone, DiskError, DiskOp, Fetch, FileId, FileName, FileSet, GroupId, GroupKey, Index, ReadAt,
    SampleFlags, Samples, TimeRange, UnixSeconds, derive, recover,
};

use crate::database::{Database, Random, options};

const START: i64 = 1_700_000_000;
const KEY: GroupKey = GroupKey(5);
const COLUMNS: usize = 2;

/// Samples of a column by time.
type Column = BTreeMap<i64, (f32, SampleFlags)>;

fn fill(database: &mut Database, id: GroupId, seconds: i64) -> [Column; COLUMNS] {
    let mut random = Random(9);
    let mut given: [Column; COLUMNS] = Default::default();
    for second in 0..seconds {
        if random.below(50) == 0 {
            continue;
        }
        let time = START + second;
        let values = [random.below(1000) as f32 / 10.0, if random.below(3) == 0 { f32::NAN } else { -1.5 }];
        let flags = [if random.below(9) == 0 { SampleFlags::ANOMALOUS } else { SampleFlags::NONE }; COLUMNS];
        let _ = database.append(id, time, &values, Some(&flags));
        for (column, given) in given.iter_mut().enumerate() {
            given.insert(time, (values[column], flags[column]));
        }
        database.commit(time);
    }
    given
}

/// The rows of a tier as they must be.
fn expected(given: &Column, step: i64, fetch: Fetch) -> BTreeMap<i64, f32> {
    let mut rows: BTreeMap<i64, Vec<(f32, SampleFlags)>> = BTreeMap::new();
    for (time, sample) in given.iter().filter(|(_, (value, _))| !value.is_nan()) {
        rows.entry((time + step - 1) / step * step).or_default().push(*sample);
    }
    let of = |samples: Vec<(f32, SampleFlags)>| {
        let sum: f64 = samples.iter().map(|(value, _)| f64::from(*value)).sum();
        let count = samples.len() as f64;
        let anomalous = samples.iter().filter(|(_, flags)| flags.contains(SampleFlags::ANOMALOUS)).count();
        let by_size = |a: &&f32, b: &&f32| a.abs().total_cmp(&b.abs());
        let values: Vec<f32> = samples.iter().map(|(value, _)| *value).collect();
        match fetch {
            Fetch::Average => (sum / count) as f32,
            Fetch::Sum => sum as f32,
            Fetch::Smallest => *values.iter().min_by(by_size).unwrap(),
            Fetch::Largest => *values.iter().max_by(by_size).unwrap(),
            Fetch::AnomalyRate => 100.0 * anomalous as f32 / count as f32,
        }
    };
    rows.into_iter().map(|(time, samples)| (time, of(samples))).collect()
}

/// The rows of tier 1 or 2, put together from all tiers and what the engine has.
fn found(
    database: &Database,
    files: &FileSet,
    id: GroupId,
    tier: u8,
    step: u32,
    column: usize,
    fetch: Fetch,
) -> BTreeMap<i64, f32> {
    let mut snapshot = database.engine.read(id, TimeRange::ALL);
    let covered = snapshot.files().unwrap().to_vec();
    let mut pages = Vec::new();
    for number in 1..=tier {
        let sources =
            if number == tier { files.tier(number).iter().collect() } else { files.underived(number) };
        for file in sources {
            pages.extend(file.index.pages(KEY, TimeRange::ALL).map(|place| file.read(place).unwrap()));
        }
    }
    let mut raw = Vec::new();
    for file in files.underived(0).into_iter().filter(|file| !covered.contains(&file.id)) {
        raw.extend(file.index.pages(KEY, TimeRange::ALL).map(|place| file.read(place).unwrap()));
    }
    for page in snapshot.on_disk() {
        let name = FileName::Data { tier: 0, id: page.file };
        raw.push(dbengine::read_from(name, &*database.disk.open(name).unwrap().0, page.place).unwrap());
    }
    snapshot.add_pages(raw);
    snapshot.roll_up(step, pages);
    let mut samples = Samples::default();
    snapshot.tier_column(column, TimeRange::ALL, fetch, &mut samples);
    samples.times.into_iter().zip(samples.values).collect()
}

#[test]
fn tiers_are_put_together_without_a_seam() {
    let mut database = Database::open(SimulatedDisk::new(2), options(), START);
    let id = database.create_group(KEY, 1, COLUMNS);
    let given = fill(&mut database, id, 9000);
    let mut files = database.files.clone();
    assert!(files.tier(0).len() > 8, "{} files", files.tier(0).len());
    // All but the newest two become minutes, all but the newest two of these an hour.
    for tier in 0..2u8 {
        let sources = files.tier(tier).to_vec();
        let sources = &sources[..sources.len() - 2];
        let together = if tier == 0 { 1 } else { 3 };
        for sources in sources.chunks_exact(together) {
            let derived = derive(&mut database.disk, sources, 60).expect("derived");
            assert!(derived.broken.is_empty());
            files.add(Arc::new(derived.file.expect("a file")));
        }
    }
    assert!(files.tier(2).len() >= 2 && !files.underived(1).is_empty() && !files.underived(0).is_empty());
    for (tier, step) in [(1, 60), (2, 3600)] {
        for (column, given) in given.iter().enumerate() {
            for fetch in [Fetch::Average, Fetch::Sum, Fetch::Smallest, Fetch::Largest, Fetch::AnomalyRate] {
                let found = found(&database, &files, id, tier, step, column, fetch);
                let expected = expected(given, step.into(), fetch);
                assert_eq!(found.len(), expected.len(), "tier {tier}, {fetch:?}");
                for ((time, value), (at, wanted)) in found.iter().zip(&expected) {
                    assert_eq!(time, at);
                    let close = (value - wanted).abs() <= wanted.abs() * 1e-5;
                    assert!(close, "tier {tier}, {fetch:?}, at {time}: {value} is not {wanted}");
                }
            }
        }
    }
}

/// A disk that is gone after some operations.
struct Interrupted<'a> {
    disk: &'a mut SimulatedDisk,
    left: usize,
}

impl Disk for Interrupted<'_> {
    fn list(&self) -> io::Result<Vec<FileName>> {
        self.disk.list()
    }

    fn open(&self, file: FileName) -> io::Result<(Arc<dyn ReadAt>, u64)> {
        self.disk.open(file)
    }

    fn index(&self, tier: u8, id: FileId) -> io::Result<Index> {
        self.disk.index(tier, id)
    }

    fn carry_out(&mut self, op: DiskOp) -> DiskDone {
        if self.left == 0 {
            let error = DiskError { file: op.file, message: "interrupted".into() };
            return DiskDone { id: op.id, result: Err(error) };
        }
        self.left -= 1;
        self.disk.carry_out(op)
    }
}

#[test]
fn a_crash_in_between_repeats_the_derivation_and_doubles_nothing() {
    let mut database = Database::open(SimulatedDisk::new(3), options(), START);
    let id = database.create_group(KEY, 1, COLUMNS);
    fill(&mut database, id, 3000);
    let sources = database.files.tier(0)[..2].to_vec();
    let whole = derive(&mut database.disk.clone(), &sources, 60).expect("derived").file.expect("a file");
    let rows = |file: &dbengine::SealedFile| {
        let pages = file.index.pages(KEY, TimeRange::ALL);
        pages.map(|place| file.read(place).unwrap().as_bytes().to_vec()).collect::<Vec<_>>()
    };
    let mut completed = false;
    for left in 0.. {
        let mut disk = database.disk.clone();
        disk.reseed(left as u64);
        let derived = derive(&mut Interrupted { disk: &mut disk, left }, &sources, 60);
        disk.lose_power(None);
        let recovered = recover(&mut disk, &mut |_| {}).expect("a database");
        let mut files = recovered.files;
        if files.tier(1).is_empty() {
            assert!(derived.is_err() && files.underived(0).len() == files.tier(0).len());
            files.add(Arc::new(derive(&mut disk, &sources, 60).expect("derived").file.expect("a file")));
        }
        assert_eq!(files.tier(1).len(), 1, "after {left} operations");
        assert_eq!(rows(&files.tier(1)[0]), rows(&whole), "after {left} operations");
        assert_eq!(files.underived(0).len(), files.tier(0).len() - 2);
        if derived.is_ok() {
            completed = true;
            break;
        }
    }
    assert!(completed);
    assert!(whole.index.span().first >= UnixSeconds(START));
}
