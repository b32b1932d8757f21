//! What the memory modes keep, and what they lose: the real binary, stopped and killed.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mainstem::saved;
use serde_json::Value;
use uuid::Uuid;

use crate::child::{Child, V2, guid_of};
use crate::command::{Running, configuration, utf8};
use crate::harness::{PATIENCE, get, wait_for};

/// A parent's directories, its port, and a child's key.
struct Place {
    directory: tempfile::TempDir,
    address: SocketAddr,
    key: String,
    /// The first row, unix seconds.
    first: i64,
}

impl Place {
    /// A place whose hosts have these memory modes.
    fn new(modes: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = configuration(&directory.path().join("etc"));
        let file = directory.path().join("etc/stream.conf");
        let written = std::fs::read_to_string(&file).expect("stream.conf");
        let key = written.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        let key = key.filter(|key| key.len() == 36).expect("the section of a key").to_owned();
        let sections: String =
            modes.iter().map(|(host, mode)| format!("[{}]\nmemory mode = {mode}\n", guid_of(host))).collect();
        std::fs::write(&file, written + &sections).expect("changed");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        Self { directory, address, key, first: now - 600 }
    }

    fn start(&self) -> Running {
        let (etc, state) = (self.directory.path().join("etc"), self.directory.path().join("state"));
        let parent = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
        self.listens(&parent);
        parent
    }

    /// All lines up to the one that says that it listens.
    fn listens(&self, parent: &Running) -> Vec<String> {
        parent.read_to(&format!("listening on {}", self.address))
    }

    fn child(&self, host: &str) -> Child {
        let mut child = Child::connect_to(self.address, &self.key, host, V2);
        for chart in ["a.one", "a.two"] {
            child.send(&format!(
                "CHART \"{chart}\" \"\" \"Test\" \"things\" \"\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                 DIMENSION \"x\" \"\" \"absolute\" 1 1 \"\"\nDIMENSION \"y\" \"\" \"absolute\" 1 1 \"\"\n\
                 CHART_DEFINITION_END 0 0 0\n"
            ));
        }
        child
    }

    /// Sends rows of both charts, seconds of the test; waits until the parent has them.
    fn send(&self, child: &mut Child, host: &str, seconds: std::ops::Range<i64>) {
        let end = seconds.end;
        for second in seconds {
            let time = self.first + second;
            for chart in ["a.one", "a.two"] {
                child.send(&format!(
                    "BEGIN2 '{chart}' 1 {time} #\nSET2 'x' 1 {} A\nSET2 'y' 1 {} A\nEND2\n",
                    second * 3,
                    second as f64 / 8.0
                ));
            }
        }
        let newest = Some(self.first + end - 1);
        let newest_of = |place: &Place| place.rows(host).last().and_then(|row| row[0].as_i64());
        wait_for("the rows", PATIENCE, self, |place| newest_of(place) == newest);
    }

    /// The rows of a chart, as the API has them, the oldest first.
    fn rows(&self, host: &str) -> Vec<Value> {
        let (after, before) = (self.first - 1, self.first + 500);
        let path = format!(
            "/host/{host}/api/v1/data?chart=a.one&after={after}&before={before}&options=seconds,nonzero,flip"
        );
        let answer: Value = serde_json::from_slice(&get(self.address, &path).body).unwrap_or_default();
        let rows = answer["data"].as_array().cloned().unwrap_or_default();
        rows.into_iter().filter(|row| !row[1].is_null()).collect()
    }

    fn wait_for_rows(&self, host: &str, expected: &[Value]) {
        wait_for("the host", PATIENCE, self, |place| place.rows(host).len() == expected.len());
        assert_eq!(self.rows(host), expected, "{host}");
    }

    /// Whether the host is listed.
    fn knows(&self, host: &str) -> bool {
        let info: Value = serde_json::from_slice(&get(self.address, "/api/v1/info").body).unwrap_or_default();
        info["mirrored_hosts"].as_array().is_some_and(|names| names.iter().any(|name| name == host))
    }

    fn file(&self, host: &str) -> PathBuf {
        self.directory.path().join(format!("state/cache/rows/{}.rows", guid_of(host)))
    }
}

fn end(mut parent: Running, signal: &str) {
    parent.signal(signal);
    parent.process.wait().expect("it ends");
}

/// The newest second of both charts in a host's file.
fn newest_in(file: &Path, host: &Uuid) -> Option<i64> {
    let saved = saved::read(host, &std::fs::read(file).ok()?);
    let newest = |rows: &saved::SavedRows| {
        let in_rows = rows.rows.last().map(|row| row.time.0);
        in_rows.or_else(|| rows.pages.last().map(|page| page.span().last.0))
    };
    saved.charts.values().map(|(_, rows)| newest(rows)).min().flatten()
}

#[test]
fn save_keeps_what_was_there_at_the_last_orderly_stop_or_signal() {
    let place = Place::new(&[("saved", "save")]);
    let mut parent = place.start();
    let mut child = place.child("saved");
    place.send(&mut child, "saved", 0..300);
    let whole = place.rows("saved");
    assert_eq!((whole[299][0].as_i64(), whole[299][1].as_f64()), (Some(place.first + 299), Some(897.0)));
    assert!(!place.file("saved").exists(), "nothing is written before it is asked for");
    parent.signal("TERM");
    let said = parent.read_to("memory mode save: rows saved").pop().expect("a line");
    for figure in ["hosts=1", "charts=2", "rows=600", "bytes=", "took_ms="] {
        assert!(said.contains(figure), "{figure}: {said}");
    }
    parent.process.wait().expect("it ends");

    let parent = place.start();
    place.wait_for_rows("saved", &whole);
    let mut child = place.child("saved");
    place.send(&mut child, "saved", 300..310);
    parent.signal("USR1");
    parent.read_to("memory mode save: rows saved");
    let more = place.rows("saved");
    place.send(&mut child, "saved", 310..320);
    end(parent, "KILL");

    let parent = place.start();
    place.wait_for_rows("saved", &more);
    end(parent, "KILL");
    let parent = place.start();
    place.wait_for_rows("saved", &more);
    end(parent, "TERM");
}

#[test]
fn save_forgets_a_host_that_was_never_saved() {
    let place = Place::new(&[("saved", "save"), ("mapped", "map")]);
    let parent = place.start();
    let mut child = place.child("saved");
    place.send(&mut child, "saved", 0..5);
    let mut mapped = place.child("mapped");
    place.send(&mut mapped, "mapped", 0..5);
    wait_for("the rows in the file", PATIENCE, &place, |place| {
        newest_in(&place.file("mapped"), &guid_of("mapped")) == Some(place.first + 4)
    });
    wait_for("the catalog on disk", PATIENCE, &place, |place| {
        get(place.address, "/metrics").text().contains("mainstem_catalog_dimensions 8\n")
    });
    end(parent, "KILL");
    let parent = place.start();
    wait_for("the other host", PATIENCE, &place, |place| place.knows("mapped"));
    assert!(!place.knows("saved"));
    drop(child);
    let mut child = place.child("saved");
    place.send(&mut child, "saved", 0..5);
    end(parent, "TERM");
}

#[test]
fn map_survives_the_end_of_the_process() {
    let place = Place::new(&[("mapped", "map")]);
    let guid = guid_of("mapped");
    let mut rows = Vec::new();
    for round in 0..3 {
        let parent = place.start();
        place.wait_for_rows("mapped", &rows);
        let mut child = place.child("mapped");
        for step in 0..3 {
            let from = round * 100 + step * 30;
            place.send(&mut child, "mapped", from..from + 30);
            if step == 0 {
                // So that the rest is appended.
                wait_for("the file", PATIENCE, &place, |place| {
                    newest_in(&place.file("mapped"), &guid).is_some()
                });
            }
        }
        // Up to round * 100 + 90, then on from round * 100 + 100: there are gaps.
        rows = place.rows("mapped");
        let newest = rows.last().and_then(|row| row[0].as_i64());
        wait_for("the rows in the file", PATIENCE, &place, |place| {
            newest_in(&place.file("mapped"), &guid) == newest
        });
        end(parent, if round == 1 { "TERM" } else { "KILL" });
    }
    let parent = place.start();
    place.wait_for_rows("mapped", &rows);
    end(parent, "KILL");
}

#[test]
fn a_damaged_file_is_told_and_the_rest_serves() {
    let place = Place::new(&[("broken", "save"), ("whole", "save"), ("mapped", "map")]);
    let parent = place.start();
    for host in ["broken", "whole", "mapped"] {
        let mut child = place.child(host);
        place.send(&mut child, host, 0..20);
    }
    let rows = place.rows("whole");
    end(parent, "TERM");
    let file = place.file("broken");
    let mut bytes = std::fs::read(&file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).expect("damaged");
    // Torn, as by the end of a process: no damage.
    let mapped = place.file("mapped");
    let torn = [std::fs::read(&mapped).expect("a file"), vec![7; 5]].concat();
    std::fs::write(&mapped, torn).expect("torn");

    let (etc, state) = (place.directory.path().join("etc"), place.directory.path().join("state"));
    let parent = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
    let said = place.listens(&parent).join("\n");
    assert!(said.contains(&format!("{}: at 32: a frame of", file.display())), "{said}");
    assert!(said.contains("the damaged file stays as"), "{said}");
    assert!(said.contains(&format!("{} ends in the middle of a frame at", mapped.display())), "{said}");
    place.wait_for_rows("whole", &rows);
    place.wait_for_rows("mapped", &rows);
    let mut child = place.child("broken");
    place.send(&mut child, "broken", 0..3);
    end(parent, "TERM");
    let names = std::fs::read_dir(file.parent().expect("a directory")).expect("listed");
    let aside: Vec<PathBuf> = names
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| utf8(path).contains(".damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    assert_eq!(std::fs::read(&aside[0]).expect("the damaged file"), bytes);
    let parent = place.start();
    wait_for("the new rows", PATIENCE, &place, |place| place.rows("broken").len() == 3);
    end(parent, "TERM");
}
