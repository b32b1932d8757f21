//! All children of a parent at once, because it was away.

use std::time::{Duration, Instant};

use mainstem::web::nodes::{Nodes, State};
use mainstem_child::Load;

use crate::ALONE;
use crate::harness::{get, wait_for};
use crate::place::{Place, Running};

/// However many they are, they stream again within this.
const ALL_WITHIN: Duration = Duration::from_secs(60);
/// Dimensions of a chart.
const DIMENSIONS: usize = 10;
/// A sample may be so old before its child counts as one that streams: a second's collection, and its way.
const NEWEST_WITHIN_S: i64 = 5;
/// Between two looks at all hosts, which are not for nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits until each child has sent a second's samples of all its charts, and sends on. Says how long it took.
fn until_all_stream(place: &Place, load: &Load) -> Duration {
    let begun = Instant::now();
    wait_for("all children to stream", 2 * ALL_WITHIN, place, |place| {
        std::thread::sleep(LOOK_EVERY);
        let answer = get(place.address, "/api/v2/nodes");
        let nodes: Nodes = serde_json::from_slice(&answer.body).expect("the nodes");
        let streams = nodes.nodes.iter().filter(|node| {
            let Some(connection) = &node.connection else { return false };
            node.state == State::Live
                && connection.rows >= load.charts as u64
                && connection.replication.charts_starting == 0
                && node.newest_sample.is_some_and(|newest| nodes.now - newest <= NEWEST_WITHIN_S)
        });
        streams.count() == load.children
    });
    begun.elapsed()
}

/// Processor time of a process so far, and what it has in memory.
fn use_of(process: &Running) -> (Duration, u64) {
    let directory = std::path::PathBuf::from(format!("/proc/{}", process.0.id()));
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).expect("a Linux");
    let nanoseconds = std::fs::read_dir(directory.join("task")).expect("its threads").map(|thread| {
        // A thread may end meanwhile.
        let text =
            std::fs::read_to_string(thread.expect("a thread").path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
    });
    let (status, nanoseconds) = (read("status"), nanoseconds.sum());
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let kilobytes: u64 = resident.and_then(|number| number.parse().ok()).expect("a number");
    (Duration::from_nanos(nanoseconds), kilobytes << 10)
}

/// | environment        | default |                      |
/// |--------------------|---------|----------------------|
/// | `STORM_CHILDREN`   | 400     |                      |
/// | `STORM_DIMENSIONS` | 100     | of each of them      |
#[test]
fn after_a_restart_all_children_stream_again_within_a_minute() {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let number_of = |name: &str, default| {
        std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok()).unwrap_or(default)
    };
    let load = Load {
        children: number_of("STORM_CHILDREN", 400),
        charts: number_of("STORM_DIMENSIONS", 100).div_ceil(DIMENSIONS),
        dimensions: DIMENSIONS,
        name: "storm".into(),
        ..Load::default()
    };
    let place = Place::new("");
    let mut parent = place.parent("");
    let _children = place.children(&load);
    until_all_stream(&place, &load);
    for way in ["killed", "stopped"] {
        match way {
            "killed" => parent.kill(),
            _ => parent.stop(),
        }
        let begun = Instant::now();
        parent = place.parent("");
        let listens = begun.elapsed();
        until_all_stream(&place, &load);
        let took = begun.elapsed();
        let (processor, resident) = use_of(&parent);
        println!(
            "{way}: it listens after {:.1} s, all stream after {:.1} s, {:.1} s of processor time, {} MB in memory",
            listens.as_secs_f64(),
            took.as_secs_f64(),
            processor.as_secs_f64(),
            resident / 1_000_000,
        );
        assert!(took <= ALL_WITHIN, "{} children took {took:?}", load.children);
    }
}
