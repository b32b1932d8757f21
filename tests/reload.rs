//! SIGHUP: what changes, what stays, and that nobody loses a connection.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::child::{Child, V1, guid_of, request_with};
use crate::command::{Running, configuration, utf8};
use crate::harness::{PATIENCE, get, wait_for};
use crate::tls::{Authority, EncryptedChild, connect};

const OTHER_KEY: &str = "99999999-2222-3333-4444-555555555555";
const CHART: &str = "\"\" \"Test\" \"things\" \"\" \"\" \"line\" 1000 1 \"\" \"p\" \"m\"\n\
                     DIMENSION \"a\" \"\" \"absolute\" 1 1 \"\"\nCHART_DEFINITION_END 0 0 0\n";

/// A parent's configuration, and the parent.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    key: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = configuration(&directory.path().join("etc"));
        let written = std::fs::read_to_string(directory.path().join("etc/stream.conf")).expect("stream.conf");
        let key = written.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        let key = key.filter(|key| key.len() == 36).expect("the section of a key").to_owned();
        Self { directory, address, key }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("etc").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("written");
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut file = std::fs::File::options().append(true).open(self.file(name)).expect("there");
        file.write_all(text.as_bytes()).expect("written");
    }

    pub(crate) fn start(&self) -> Running {
        let (etc, state) = (self.directory.path().join("etc"), self.directory.path().join("state"));
        let parent = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
        parent.read_to(&format!("listening on {}", self.address));
        parent
    }

    /// What a child with this key is answered.
    fn ask(&self, key: &str, hostname: &str) -> String {
        crate::child::greet(self.address, &request_with(key, hostname, guid_of(hostname), V1)).1
    }
}

/// The lines of a reload that is done.
pub(crate) fn reload(parent: &Running) -> String {
    parent.signal("HUP");
    parent.read_to("is in force for new connections").join("\n")
}

fn metric(address: SocketAddr, line: &str) -> bool {
    get(address, "/metrics").text().lines().any(|found| found == line)
}

#[test]
fn keys_come_and_go_and_whoever_is_connected_stays() {
    let place = Place::new();
    let parent = place.start();
    let refused = "You are not permitted to access this. Check the logs for more info.";
    let accepted = format!("Hit me baby, push them over with the version={V1}");
    assert_eq!(place.ask(OTHER_KEY, "new"), refused);
    let mut child = Child::connect_to(place.address, &place.key, "old", V1);

    place.write("stream.conf", &format!("[{OTHER_KEY}]\nenabled = yes\n"));
    let said = reload(&parent);
    assert!(said.contains("1 of 1 connected children are not permitted any more"), "{said}");
    assert!(!said.contains("needs a restart"), "{said}");
    assert_eq!(place.ask(OTHER_KEY, "new"), accepted);
    assert_eq!(place.ask(&place.key, "late"), refused);

    child.send(&format!("CHART \"test.chart\" {CHART}"));
    wait_for("the connected child's chart", PATIENCE, &place.address, |address| {
        get(*address, "/host/old/api/v1/charts").text().contains("test.chart")
    });
    assert!(metric(place.address, "mainstem_config_reloads_total{result=\"done\"} 1"));
    assert!(!metric(place.address, "mainstem_config_last_reload_seconds 0"));
}

#[test]
fn a_broken_configuration_is_refused_as_a_whole() {
    let place = Place::new();
    let parent = place.start();
    place.write("stream.conf", &format!("[{OTHER_KEY}]\nenabled = yes\n"));
    place.write("mainstem.toml", "[limits]\nslots = many\n");
    parent.signal("HUP");
    let said = parent.read_to("refused as a whole").join("\n");
    assert!(said.contains("mainstem.toml:2"), "{said}");
    let refused = "You are not permitted to access this. Check the logs for more info.";
    assert_eq!(place.ask(OTHER_KEY, "new"), refused);
    assert!(place.ask(&place.key, "old").starts_with("Hit me baby"));
    assert!(metric(place.address, "mainstem_config_reloads_total{result=\"refused\"} 1"));

    // So is one whose certificate is not there.
    place.write("mainstem.toml", "");
    place.append("netdata.conf", "ssl key = nowhere.pem\n");
    parent.signal("HUP");
    let said = parent.read_to("refused as a whole").join("\n");
    assert!(
        said.contains("cert.pem cannot be read") || said.contains("nowhere.pem cannot be read"),
        "{said}"
    );
    assert_eq!(place.ask(OTHER_KEY, "new"), refused);
}

#[test]
fn logs_go_on_in_a_new_file_when_the_old_one_was_moved_away() {
    let place = Place::new();
    place.append("netdata.conf", "[logs]\naccess = access.log\n");
    let parent = place.start();
    assert_eq!(get(place.address, "/-/healthy?first").status, 200);
    let log = place.directory.path().join("state/log/access.log");
    let moved = log.with_extension("1");
    let has =
        |path: &PathBuf, text: &str| std::fs::read_to_string(path).is_ok_and(|lines| lines.contains(text));
    wait_for("the first line", PATIENCE, &log, |log| has(log, "?first"));
    std::fs::rename(&log, &moved).expect("moved");
    reload(&parent);
    assert_eq!(get(place.address, "/-/healthy?second").status, 200);
    wait_for("the second line", PATIENCE, &log, |log| has(log, "?second"));
    assert!(has(&moved, "?first") && !has(&moved, "?second"));
}

#[test]
fn limits_and_access_lists_change_and_what_needs_a_restart_is_named() {
    let place = Place::new();
    place.write("mainstem.toml", "[limits]\ncharts_per_host = 1\n");
    let parent = place.start();
    let charts: String = (0..2).map(|number| format!("CHART \"test.c{number}\" {CHART}")).collect();
    let mut child = Child::connect_to(place.address, &place.key, "wide", V1);
    child.send(&charts);
    assert!(child.is_closed_by_parent());
    parent.read_to("more than 1 charts");

    place.write("mainstem.toml", "[limits]\ncharts_per_host = 2\n[runtime]\npin = true\n");
    place.append("netdata.conf", "allow dashboard from = 10.*\n[db]\nmode = ram\n");
    let said = reload(&parent);
    assert!(said.contains("changed, needs a restart: [db] mode, [runtime] pin"), "{said}");
    let mut child = Child::connect_to(place.address, &place.key, "wide", V1);
    child.send(&charts);
    child.send("BEGIN \"test.c1\" 0\nSET \"a\" = 1\nEND\n");
    assert_eq!(get(place.address, "/metrics").status, 403);
    // It is still there: the host's second connection is refused.
    assert_eq!(place.ask(&place.key, "wide"), "This GUID is already streaming to this server");
}

#[test]
fn certificates_are_replaced_while_children_stream() {
    let place = Place::new();
    let authority = Authority::new();
    let first = authority.sign_for_parent("first");
    let copy = |from: &crate::tls::Signed| {
        std::fs::copy(&from.certificate_file, place.file("cert.pem")).expect("copied");
        std::fs::copy(&from.key_file, place.file("key.pem")).expect("copied");
    };
    let bind = format!("[web]\nbind to = {}^SSL=optional\n", place.address);
    place.append("netdata.conf", &format!("{bind}ssl key = key.pem\nssl certificate = cert.pem\n"));
    copy(&first);
    let parent = place.start();
    let client = authority.client();
    let shown = || {
        let stream = connect(place.address, &client).expect("a handshake");
        stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
    };
    assert_eq!(shown(), first.der());
    let mut child = EncryptedChild::connect(place.address, &client, &place.key, "steady");

    let second = authority.sign("second", &["127.0.0.1"], 2050);
    copy(&second);
    let said = reload(&parent);
    assert!(said.contains("is good until 2050-12-31T00:00:00Z"), "{said}");
    assert_eq!(shown(), second.der());
    child.send(&format!("CHART \"test.chart\" {CHART}"));
    wait_for("the child's chart", PATIENCE, &place.address, |address| {
        get(*address, "/host/steady/api/v1/charts").text().contains("test.chart")
    });
    assert!(
        get(place.address, "/metrics")
            .text()
            .contains("mainstem_tls_certificate_expiry_seconds 2556057600\n")
    );

    // Half a renewal, and one that is too old, are refused.
    let third = authority.sign("third", &["127.0.0.1"], 2051);
    std::fs::copy(&third.certificate_file, place.file("cert.pem")).expect("copied");
    parent.signal("HUP");
    let said = parent.read_to("refused as a whole").join("\n");
    assert!(said.contains("does not belong to the first certificate in"), "{said}");
    copy(&authority.sign("old", &["127.0.0.1"], 2016));
    parent.signal("HUP");
    let said = parent.read_to("refused as a whole").join("\n");
    assert!(said.contains("has expired already"), "{said}");
    assert_eq!(shown(), second.der());
}
