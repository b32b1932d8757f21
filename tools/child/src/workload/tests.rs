use super::*;
use crate::conduct::FaultKind;
use crate::database::{Database, ReplayFault, ReplicationStyle};
use crate::load::{Compression, Protocol};
use crate::value::{Column, Kind};

fn read(text: &str) -> Result<Workload, WorkloadError> {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("some.toml");
    fs::write(&file, text).expect("a file");
    Workload::read(&file)
}

/// The keys of the module's documentation.
fn documented() -> String {
    let lines = include_str!("../workload.rs").lines().map_while(|line| line.strip_prefix("//!"));
    let fenced = lines.skip_while(|line| !line.contains("```toml")).skip(1);
    let keys: Vec<&str> =
        fenced.take_while(|line| !line.contains("```")).map(|line| line.trim_start()).collect();
    keys.join("\n")
}

#[test]
fn every_documented_key_is_understood() {
    let workload = read(&documented()).expect("the documentation's example");
    assert_eq!((workload.warm_up_s, workload.duration_s, workload.rounds), (75, 60, Rounds(1)));
    let database = Database {
        retention_s: 3600,
        history_s: 300,
        style: ReplicationStyle::Exact,
        fault: Some(ReplayFault::Partial),
        send_buffer_bytes: 1 << 20,
    };
    let load = Load {
        children: 200,
        protocol: Protocol::V1,
        compression: Compression::Lz4,
        database: Some(database),
        ..Load::default()
    };
    assert_eq!(workload.load, load);
    assert_eq!(workload.arrival, Arrival { spread_s: 10.0, storm_every_s: 60, storm_away_s: 5 });
    assert_eq!(workload.churn, Some(Churn { share: 0.2, life_s: [20.0, 60.0], away_s: [5.0, 10.0] }));
    let cut = Fault { kind: FaultKind::Cut, share: 0.01, every_s: 30.0, for_s: 10.0 };
    assert_eq!(workload.faults, [cut]);
    let authorities = workload.tls.and_then(|tls| tls.authorities).expect("a file");
    assert!(authorities.is_absolute() && authorities.ends_with("ca.pem"), "{}", authorities.display());
}

#[test]
fn what_is_written_down_reads_back() {
    let workload = Workload::read(&workloads().join("v1-lz4-200x1000.toml")).expect("a workload");
    let text = toml::to_string(&workload).expect("it can be written");
    assert_eq!(read(&text).expect("it can be read"), workload);
}

fn workloads() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/workloads")
}

#[test]
fn all_workloads_of_the_repository_can_be_run() {
    let mut count = 0;
    for file in fs::read_dir(workloads()).expect("bench/workloads") {
        let file = file.expect("a file").path();
        Workload::read(&file).unwrap_or_else(|error| panic!("{error}"));
        count += 1;
    }
    assert!(count > 5, "{count}");
}

#[test]
fn recorded_columns_are_samples_of_their_child() {
    let workload = Workload::read(&workloads().join("v2-lz4-capture.toml")).expect("a workload");
    let load = &workload.load;
    assert!(load.columns.len() > 100, "{} columns", load.columns.len());
    let divisors = [1, 10, 100, 1000];
    assert!(load.columns.iter().all(|column| divisors.contains(&column.divisor)));
    // Some of a machine's metrics stand still, others do not.
    let moves = |column: &&Column| column.values.iter().any(|value| *value != column.values[0]);
    let moving = load.columns.iter().filter(moves).count();
    assert!((load.columns.len() / 10..load.columns.len()).contains(&moving), "{moving}");
    let Kind::Recorded(first) = load.kind(0) else { panic!("not recorded") };
    let Kind::Recorded(again) = load.kind(load.columns.len() as u64) else { panic!("not recorded") };
    assert!(std::ptr::eq(first, again));
}

#[test]
fn an_error_says_where_what_and_what_instead() {
    let cases = [
        ("[load]\nchilds = 3\n", &["some.toml", "line 2", "`childs`", "`children`"][..]),
        ("[load]\nprotocol = \"v3\"\n", &["line 2", "`v3`", "`v1` or `v2`"]),
        ("[load]\nchildren = 0\n", &["some.toml: load.children is 0; it takes 1 to 5000"]),
        ("[load]\nchildren = -1\n", &["line 2", "-1"]),
        ("[load]\nname = \"\"\n", &["load.name is empty"]),
        ("[load]\nvalues = \"loud\"\n", &["line 2", "`loud`", "`mixed`"]),
        ("[load]\nvalues = { capture = \"none.gz\" }\n", &["some.toml: load.values", "none.gz"]),
        ("[load.database]\nretention_s = 0\n", &["load.database.retention_s is 0"]),
        (
            "[churn]\nshare = 1.5\nlife_s = [1, 2]\naway_s = [1, 2]\n",
            &["churn.share is 1.5; it takes 0 to 1"],
        ),
        ("[churn]\nshare = 1\nlife_s = [9, 2]\naway_s = [1, 2]\n", &["churn.life_s is [9, 2]", "shorter"]),
        ("[churn]\nshare = 1\n", &["line 1", "`life_s`"]),
        ("[[fault]]\nkind = \"rude\"\nshare = 1\nevery_s = 1\n", &["line 2", "`rude`", "`half-open`"]),
        ("[[fault]]\nkind = \"cut\"\nshare = 1\nevery_s = 0\n", &["fault[0].every_s is 0; it takes 0.1 to"]),
        (
            "[[fault]]\nkind = \"half-open\"\nshare = 1\nevery_s = 1\n",
            &["fault[0].for_s is 0; it takes how long"],
        ),
        ("[arrival]\nstorm_every_s = 5\n", &["arrival.storm_every_s is without arrival.storm_away_s"]),
        ("[arrival]\nspread_s = nan\n", &["arrival.spread_s is NaN"]),
        ("rounds = 0", &["rounds is 0; it takes 1 to 100"]),
        ("load = 3", &["line 1"]),
        ("[load", &["line 1"]),
    ];
    for (text, expected) in cases {
        let said = read(text).expect_err(text).to_string();
        assert!(expected.iter().all(|part| said.contains(part)), "{text:?} gives: {said}");
    }
    let said = Workload::read(Path::new("/nowhere/some.toml")).expect_err("no file").to_string();
    assert!(said.starts_with("cannot read /nowhere/some.toml: "), "{said}");
}
