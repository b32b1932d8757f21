//! What a parent remembers of the one that ran before it.

use std::net::SocketAddr;
use std::path::Path;

use crate::child::{Child, V2, guid_of};
use crate::command::{Running, configuration, utf8};
use crate::harness::{PATIENCE, get, wait_for};

const DEFINITION: &str = "CHART \"test.chart\" \"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                          DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\nDIMENSION \"b\" \"\" \"incremental\" 1 8 \"\"\n\
                          CHART_DEFINITION_END 0 0 0\n";

fn start(directory: &Path, address: SocketAddr) -> Running {
    let (etc, state) = (directory.join("etc"), directory.join("state"));
    let parent = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
    parent.read_to(&format!("listening on {address}"));
    parent
}

fn json(address: SocketAddr, path: &str) -> serde_json::Value {
    serde_json::from_slice(&get(address, path).body).unwrap_or_default()
}

/// Whether the host is listed, and its child is connected.
fn reachable(address: SocketAddr) -> Option<bool> {
    let info = json(address, "/api/v1/info");
    let names = info["mirrored_hosts"].as_array()?;
    let index = names.iter().position(|name| name == "remembered")?;
    let status = &info["mirrored_hosts_status"][index];
    assert_eq!(status["guid"], guid_of("remembered").to_string());
    status["reachable"].as_bool()
}

#[test]
fn a_host_is_listed_before_its_child_returns_however_the_last_parent_ended() {
    for signal in ["TERM", "KILL"] {
        let directory = tempfile::tempdir().expect("a directory");
        let address = configuration(&directory.path().join("etc"));
        let stream_conf =
            std::fs::read_to_string(directory.path().join("etc/stream.conf")).expect("stream.conf");
        let key = stream_conf.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        let key = key.filter(|key| key.len() == 36).expect("the section of a key");
        let catalog = directory.path().join("state/cache/catalog.redb");

        let mut parent = start(directory.path(), address);
        let mut child = Child::connect_to(address, key, "remembered", V2);
        child.send(DEFINITION);
        wait_for("the catalog on disk", PATIENCE, &address, |address| {
            get(*address, "/metrics").text().contains("mainstem_catalog_dimensions 2\n")
        });
        assert!(catalog.is_file());
        let charts = json(address, "/host/remembered/api/v1/charts");
        parent.signal(signal);
        parent.process.wait().expect("it ends");
        drop(child);

        let parent = start(directory.path(), address);
        wait_for("the host", PATIENCE, &address, |address| reachable(*address).is_some());
        assert_eq!(reachable(address), Some(false), "{signal}");
        let remembered = json(address, "/host/remembered/api/v1/charts");
        assert_eq!(
            remembered["charts"]["test.chart"]["dimensions"],
            charts["charts"]["test.chart"]["dimensions"]
        );
        assert_eq!(remembered["charts"]["test.chart"]["units"], "things");
        assert_eq!(remembered["dimensions_count"], 2);

        let mut child = Child::connect_to(address, key, "remembered", V2);
        child.send(DEFINITION);
        wait_for("the child", PATIENCE, &address, |address| reachable(*address) == Some(true));
        drop(parent);
    }
}

#[test]
fn a_catalog_that_is_none_stops_the_start_and_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    configuration(&directory.path().join("etc"));
    let state = directory.path().join("state");
    std::fs::create_dir_all(state.join("cache")).expect("made");
    let catalog = state.join("cache/catalog.redb");
    std::fs::write(&catalog, "no catalog at all ".repeat(1000)).expect("written");
    let parent =
        Running::start(&["run", "--config", utf8(&directory.path().join("etc")), "--state", utf8(&state)]);
    let said = parent.read_to("catalog").pop().expect("a line");
    assert!(said.contains(utf8(&catalog)) && said.contains("move it away"), "{said}");
}
