//! The real binary, killed and started again, and on a disk that takes nothing more. A test binary of its own, because it
//! wants the machine to itself; one test after the other.
//!
//! | environment    | default |                              |
//! |----------------|---------|------------------------------|
//! | `CRASH_ROUNDS` | 3       | how often the parent is killed |

#[expect(dead_code, reason = "the other test binaries use more of it")]
mod harness;

mod place;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstem_child::Load;
use mainstem_child::load::Protocol;
use mainstem_child::value::{ChildSeries, Kind, MICROSECONDS};

use crate::harness::{PATIENCE, get, wait_for};
use crate::place::{Place, Running, text};

/// The machine has two cores: a load at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// How long the parent lives in a round.
const ROUND: Duration = Duration::from_secs(12);
/// The time between two commits, and the second being collected when the parent is killed.
const LOST_AT_MOST_S: i64 = 2;
/// How far a rate may be off that was made of real times of collection.
const RATE_PRECISION: f64 = 1e-3;
/// A connection's first interval is cut at its beginning by the arrival of the first collection, so that rates come true
/// only so many seconds later.
const RATES_AFTER_S: i64 = 5;

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("later than 1970").as_secs() as i64
}

fn load(children: usize, charts: usize, protocol: Protocol) -> Load {
    Load { children, charts, protocol, ..Load::default() }
}

/// Whether a sample at a second is what a parent may make of what was collected. Whether an absolute value is that of its
/// own second or of the one before depends on when the first collection after a connection arrived. `is_new`: the rows
/// began a few seconds before.
fn is_right(
    load: &Load,
    child: usize,
    chart: usize,
    dimension: usize,
    second: i64,
    found: f64,
    is_new: bool,
) -> bool {
    let series = ChildSeries::new(load.seed, child as u64).at(load.position(chart, dimension));
    let near =
        |expected: f64, precision: f64| (found - expected).abs() <= precision * expected.abs().max(1.0);
    match series.kind {
        _ if load.protocol == Protocol::V2 => near(series.stored(second), 1e-6),
        Kind::Counter if is_new => (0.0..=2.0 * series.rate() as f64).contains(&found),
        Kind::Counter => near(series.rate() as f64, RATE_PRECISION),
        _ => [0, 1]
            .iter()
            .any(|late| near(series.sample_of(series.collected((second - late) * MICROSECONDS)), 1e-6)),
    }
}

/// Compares all that is on disk of a load with the formula; gives back the seconds that each chart has.
fn compare(place: &Place, load: &Load) -> Vec<Vec<i64>> {
    let mut seconds = Vec::new();
    let (mut points, mut gaps) = (0_u64, 0_u64);
    for child in 0..load.children {
        for chart in 0..load.charts {
            let rows = place.dump(&load.hostname(child), &load.chart_id(chart));
            let (mut begun, mut newest) = (None, None);
            for (second, values) in &rows {
                assert_eq!(values.len(), load.dimensions);
                begun = newest.filter(|newest| second - newest == 1).and(begun).or(Some(*second));
                newest = Some(*second);
                let is_new = begun.is_some_and(|begun| second - begun < RATES_AFTER_S);
                for (dimension, value) in values.iter().enumerate() {
                    let Some(value) = value else {
                        gaps += 1;
                        continue;
                    };
                    points += 1;
                    let what = (load.hostname(child), load.chart_id(chart), dimension, second);
                    assert!(
                        is_right(load, child, chart, dimension, *second, *value, is_new),
                        "{what:?}: {value}"
                    );
                }
            }
            seconds.push(rows.into_keys().collect());
        }
    }
    println!("{points} points right, {gaps} gaps");
    seconds
}

#[test]
fn killed_again_and_again_it_loses_what_was_not_committed_and_nothing_else() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let rounds =
        std::env::var("CRASH_ROUNDS").map_or(3, |rounds| rounds.parse().expect("CRASH_ROUNDS is a number"));
    let place = Place::new("");
    let load = load(100, 10, Protocol::V1);
    let mut parent = place.parent("");
    let _children = place.children(&load);
    // The last second before each kill.
    let mut kills = Vec::new();
    for _ in 0..rounds {
        std::thread::sleep(ROUND);
        kills.push(now());
        parent.kill();
        parent = place.parent("");
    }
    std::thread::sleep(ROUND);
    parent.stop();

    let verified = place.db(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    // A child comes back between one and five seconds after it was cut off: a chart's rows end, and begin again.
    let mut lost = vec![0; rounds];
    for of_chart in compare(&place, &load) {
        for (kill, lost) in kills.iter().zip(&mut lost) {
            let before = of_chart.partition_point(|second| second <= kill);
            assert!(before > 0, "nothing from before the kill at {kill}: {of_chart:?}");
            *lost = (kill - of_chart[before - 1]).max(*lost);
        }
        // Nothing is missing but around a kill.
        for two in of_chart.windows(2).filter(|two| two[1] - two[0] > 1) {
            let explained = kills
                .iter()
                .any(|kill| two[0] >= kill - LOST_AT_MOST_S && two[0] <= *kill + 1 && two[1] > *kill);
            assert!(explained, "missing from {} to {}, killed at {kills:?}", two[0], two[1]);
        }
    }
    println!("{rounds} kills, seconds lost at most: {lost:?}");
    assert!(lost.iter().all(|lost| *lost <= LOST_AT_MOST_S), "{lost:?}, killed at {kills:?}");
}

#[test]
fn a_full_disk_is_told_and_the_newest_samples_are_answered() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = Place::new("");
    let load = load(4, 40, Protocol::V2);
    // Files that would grow beyond the limit fail to be written to, as on a full disk; the signal for it is ignored.
    let mut parent = place.parent("trap '' XFSZ;");
    let mut children = place.children(&load);
    std::thread::sleep(Duration::from_secs(3));
    limit_files(&parent, Some(16 << 10));
    wait_for("an error in /metrics", PATIENCE, &place, |place| {
        let metrics = get(place.address, "/metrics").text();
        let of_shards = metrics.lines().filter(|line| line.starts_with("mainstem_disk_errors_total{"));
        of_shards.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() > 0.0
    });
    std::thread::sleep(Duration::from_secs(3));
    assert!(place.log().contains("the database cannot be written"), "{}", place.log());
    let path = format!(
        "/host/{}/api/v1/data?chart={}&after=-4&format=csv&options=natural-points",
        load.machine_guid(0),
        load.chart_id(0)
    );
    let answer = get(place.address, &path);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().lines().count() >= 4, "{}", answer.text());

    limit_files(&parent, None);
    wait_for("the disk to be written again", PATIENCE, &place, |place| {
        place.log().contains("the database is written again")
    });
    std::thread::sleep(Duration::from_secs(2));
    children.kill();
    parent.stop();
    for seconds in compare(&place, &load) {
        assert!(seconds.windows(2).all(|two| two[1] - two[0] == 1), "seconds are missing: {seconds:?}");
    }
}

/// Sets how large files may be that a process writes.
fn limit_files(process: &Running, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit { current: bytes.or(maximum), maximum };
    prlimit(Some(Pid::from_child(&process.0)), Resource::Fsize, limit).expect("a limit");
}

#[test]
fn what_is_on_disk_is_shown_verified_and_taken_out() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let place = Place::new("");
    let load = load(2, 3, Protocol::V2);
    let mut parent = place.parent("");
    let mut children = place.children(&load);
    std::thread::sleep(Duration::from_secs(6));
    // Beside the parent that runs on it, all is in the journal.
    let beside = compare(&place, &load);
    assert!(beside.iter().all(|seconds| seconds.len() >= 2), "{beside:?}");
    assert!(place.db(&["verify"]).status.success());
    children.kill();
    parent.stop();

    let info = place.db(&["info", "--json", "--encodings"]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).expect("JSON");
    let rows: usize = compare(&place, &load).iter().map(Vec::len).sum();
    assert_eq!(info["tiers"][0]["groups"], 6, "{info}");
    assert_eq!(info["tiers"][0]["samples"], rows as u64 * 10, "{info}");
    #[cfg(feature = "parquet")]
    parquet_is_as_dumped(&place, &load, rows);

    assert!(place.db(&["verify"]).status.success());
    let file = datafile(&place.database().join("tier-0"));
    let name = file.file_name().and_then(|name| name.to_str()).expect("a name of ours").to_owned();
    // The extent's header says where its last frame ends, at a multiple of 16 bytes: less than those are padding.
    let mut bytes = std::fs::read(&file).expect("it is there");
    let end = u32::from_le_bytes(bytes[16..20].try_into().expect("four bytes")) as usize;
    bytes[end - 16] ^= 0xff;
    std::fs::write(&file, bytes).expect("written");
    let verified = place.db(&["verify"]);
    let said = text(&verified.stdout);
    assert_eq!(verified.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("tier-0/{name} at ")), "{said}");
}

fn datafile(directory: &Path) -> PathBuf {
    let entries = std::fs::read_dir(directory).expect("the tier's directory");
    let mut paths = entries.map(|entry| entry.expect("an entry").path());
    paths.find(|path| path.extension().is_some_and(|extension| extension == "data")).expect("a datafile")
}

/// What the Parquet files hold is what was dumped.
#[cfg(feature = "parquet")]
fn parquet_is_as_dumped(place: &Place, load: &Load, rows: usize) {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    let target = place.directory.path().join("parquet");
    let exported = place.db(&["export", "--parquet", target.to_str().expect("a path of the test's own")]);
    assert!(exported.status.success(), "{}", text(&exported.stderr));
    let mut samples = 0;
    for child in 0..load.children {
        let host = load.hostname(child);
        let dumped: Vec<_> = (0..load.charts).map(|chart| place.dump(&host, &load.chart_id(chart))).collect();
        for day in std::fs::read_dir(target.join(format!("host={host}"))).expect("the host's days") {
            let file =
                std::fs::File::open(day.expect("a day").path().join("part-0.parquet")).expect("a file");
            let reader = SerializedFileReader::new(file).expect("Parquet");
            for row in reader.get_row_iter(None).expect("rows") {
                let row = row.expect("a row");
                let number = |column: usize| {
                    let text = row.get_string(column).expect("a name");
                    text.rsplit('_').next().and_then(|number| number.parse::<usize>().ok()).expect("a number")
                        - 1
                };
                let second = row.get_timestamp_millis(0).expect("a time") / 1000;
                let expected = dumped[number(1)][&second][number(4)];
                let found = (!row
                    .get_column_iter()
                    .nth(6)
                    .is_some_and(|(_, field)| matches!(field, parquet::record::Field::Null)))
                .then(|| row.get_float(6).expect("a value"));
                assert_eq!(found, expected.map(|value| value as f32), "{row}");
                assert_eq!(row.get_string(2).expect("a context"), &load.context(number(1)));
                samples += 1;
            }
        }
    }
    assert_eq!(samples, rows * load.dimensions);
}
