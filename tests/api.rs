//! The HTTP API of a parent that holds the host of the golden answers, through a socket: statuses, headers, bodies.
//!
//! What a Netdata 1.37.1 parent was recorded answering is compared in [`golden_api`](super::golden_api).

use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::child::{Child, V2};
use crate::harness::{TestParent, parse_response, read, request as http};
use crate::synth::{FIRST, LAST, T, golden, parent};

#[test]
fn hosts_are_found_by_name_and_guid_and_get_their_slash() {
    let (parent, _clock, _child) = parent();
    for host in ["synth-a", "b0000000-0000-4000-a000-00000000000b"] {
        assert_eq!(parent.get(&format!("/host/{host}/api/v1/charts")).status, 200, "{host}");
    }
    assert_eq!(parent.get("/host/SYNTH-A/api/v1/charts").status, 404);
    assert_eq!(parent.json("/host/localhost/api/v1/info")["uid"], parent.machine_guid.to_string());
    assert_eq!(parent.json("//api//v1/info")["mirrored_hosts"][1], "synth-a");
    let response = parent.get("/host/synth-a?x=1");
    assert_eq!((response.status, response.header("location")), (308, "http://parent/host/synth-a/?x=1"));
    let nested = parent.get("/host/synth-a/host/synth-a/api/v1/info");
    assert_eq!((nested.status, nested.text().as_str()), (400, "Nesting of hosts is not allowed."));
    let page = parent.get("/host/synth-a/");
    assert!(page.status == 200 && page.header("content-type").starts_with("text/html"));
}

#[test]
fn the_dashboard_is_at_the_path_of_each_view_and_its_files_are_kept_for_good() {
    let (parent, _clock, _child) = parent();
    let page = parent.get("/");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self'"));
    assert!(page.header("cache-control").contains("no-cache"));
    for path in
        ["/index.html", "/compare", "/streaming", "/storage", "/host/synth-a/", "/host/synth-a/storage"]
    {
        let view = parent.get(path);
        assert_eq!((view.status, view.text()), (200, page.text()), "{path}");
    }
    let text = page.text();
    let files: Vec<&str> = text.split('"').filter(|word| word.starts_with("/assets/")).collect();
    assert!(files.len() >= 2, "{text}");
    for file in files {
        for path in [file.to_owned(), format!("/host/synth-a{file}")] {
            let answer = parent.get(&path);
            assert_eq!(answer.status, 200, "{path}");
            assert!(answer.header("cache-control").contains("immutable"), "{path}");
            assert!(answer.header("content-type").ends_with("; charset=utf-8"), "{path}");
        }
    }
    for path in ["/assets/nothing.js", "/assets", "/assets/", "/compare/more"] {
        assert_eq!(parent.get(path).status, 404, "{path}");
    }
    assert_eq!(parent.get("/assets/..%2Findex.html").status, 400);
}

#[test]
fn charts_are_described_as_a_real_parent_does() {
    let (parent, _clock, _child) = parent();
    let ours = parent.json("/host/synth-a/api/v1/charts");
    let theirs: Value = serde_json::from_slice(&golden("088-charts-synth.json")).expect("JSON");
    for (id, chart) in theirs["charts"].as_object().expect("charts") {
        for member in [
            "name",
            "type",
            "family",
            "context",
            "title",
            "units",
            "chart_type",
            "dimensions",
            "update_every",
            "first_entry",
        ] {
            assert_eq!(ours["charts"][id][member], chart[member], "{id}: {member}");
        }
    }
    assert_eq!(ours["dimensions_count"], theirs["dimensions_count"]);
    assert_eq!(parent.json("/host/synth-a/api/v1/chart?chart=synth.wave")["id"], "synth.wave");
}

#[test]
fn allmetrics_speaks_shell_json_and_prometheus() {
    let (parent, _clock, _child) = parent();
    let json = parent.json("/host/synth-a/api/v1/allmetrics%3Fformat=json&help=no&types=no&timestamps=yes");
    assert_eq!(json["synth.wave"]["dimensions"]["b"]["value"], (LAST % 60) as f64 / 4.0);
    assert_eq!(json["synth.wave"]["last_updated"], LAST);
    assert_eq!(json["synth.hid"]["dimensions"]["v"]["name"], "visible name");
    let filtered = parent.json("/host/synth-a/api/v1/allmetrics?format=json&filter=synth.n*");
    assert_eq!(filtered.as_object().expect("charts").len(), 1);

    let shell = parent.get("/host/synth-a/api/v1/allmetrics").text();
    assert!(shell.contains(&format!("\nNETDATA_SYNTH_WAVE_A=\"{}\"      # things\n", LAST % 10)), "{shell}");
    assert!(shell.contains("NETDATA_SYNTH_HID_VISIBLETOTAL=\"30\""));

    // The clock stands one second behind the golden answer's; its window ends one second earlier.
    let response =
        parent.get("/host/synth-a/api/v1/allmetrics?format=prometheus&types=yes&help=yes&server=a");
    assert_eq!(response.header("content-type"), "text/plain; version=0.0.4");
    let text = response.text();
    assert!(
        text.contains(
            "netdata_info{instance=\"synth-a\",application=\"netdata\",version=\"v1.37.1\",env=\"test\"} 1 "
        ),
        "{text}"
    );
    assert!(
        text.contains("netdata_synth_wave_things_average{chart=\"synth.wave\",family=\"wave\",dimension=\"a\"} 4.5000000 1795343435000\n"),
        "{text}"
    );
    assert_eq!(text.matches("# TYPE netdata_synth_wave_things_average gauge\n").count(), 1);
    let sum = parent
        .get("/host/synth-a/api/v1/allmetrics?format=prometheus&source=sum&timestamps=no&server=b")
        .text();
    assert!(
        sum.contains(
            "netdata_synth_wave_sum{chart=\"synth.wave\",family=\"wave\",dimension=\"c\"} 50.0000000\n"
        ),
        "{sum}"
    );
    let all = parent.get("/api/v1/allmetrics?format=prometheus_all_hosts&server=c").text();
    assert!(all.contains(",dimension=\"a\",instance=\"synth-a\"}"), "{all}");
}

#[test]
fn who_asks_finds_all_that_has_come() {
    // By the system's clock: with one that is moved by hand a shard reads its sockets all the time.
    let parent = TestParent::start();
    let mut child = Child::connect(&parent, "quick", V2);
    child.send("CHART \"q.c\" \"\" \"t\" \"u\" \"f\" \"q.c\" \"line\" 1 1 \"\" \"p\" \"m\"\nDIMENSION \"d\" \"\" \"absolute\" 1 1 \"\"\n");
    parent.wait("the chart", |parent| parent.get("/host/quick/api/v1/chart?chart=q.c").status == 200);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    for row in now - 60..now - 40 {
        child.send(&format!("BEGIN2 'q.c' 1 {row} #\nSET2 'd' 1 {} A\nEND2\n", row % 100));
        let path = format!("/host/quick/api/v1/data?chart=q.c&after={row}&before={row}&format=json");
        assert_eq!(parent.json(&path)["data"][0], serde_json::json!([row, row % 100]), "row {row}");
    }
}

#[test]
fn a_2_x_child_that_asks_before_it_connects_gets_one_whole_answer() {
    let (parent, _clock, _child) = parent();
    for (guid, status) in
        [("b0000000-0000-4000-a000-00000000000b", 200), ("b0000000-0000-4000-a000-000000000000", 404)]
    {
        let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
        let head = format!(
            "GET /api/v3/stream_info?machine_guid={guid} HTTP/1.1\r\nHost: parent:19999\r\nUser-Agent: netdata/v2.9.0\r\n\
             Accept: */*\r\nAccept-Encoding: identity\r\nTE: identity\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
             Connection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        // The child's way to read: until one read has brought a byte of the body.
        let mut buffer = [0; 8192];
        let length = read(&mut stream, &mut buffer).expect("an answer");
        let response = parse_response(&buffer[..length]);
        assert!(response.head.contains("\r\nContent-Length: "), "{}", response.head);
        assert_eq!(
            response.header("content-length"),
            response.body.len().to_string(),
            "all in the first read"
        );
        let info: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert_eq!((info["status"].as_u64(), response.status), (Some(status), status as u16));
        assert_eq!(info["host_id"], parent.machine_guid.to_string());
        if status == 200 {
            assert_eq!((&info["ingest_type"], &info["ingest_status"]), (&"child".into(), &"online".into()));
            assert_eq!((&info["first_time_s"], &info["last_time_s"]), (&FIRST.into(), &LAST.into()));
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("the end");
        assert!(rest.is_empty(), "not a byte more");
    }
}

#[test]
fn answers_are_compressed_cached_and_shared_as_asked() {
    let (parent, _clock, _child) = parent();
    let path = format!("/host/synth-a/api/v1/data?chart=synth.wave&after={}&before={T}", T - 100);
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: parent\r\nAccept-Encoding: gzip\r\nOrigin: http://dash.test\r\nConnection: close\r\n\r\n"
    );
    let response = http(parent.address, &head);
    assert_eq!(response.header("content-encoding"), "gzip");
    assert_eq!(response.header("access-control-allow-origin"), "http://dash.test");
    assert_eq!(response.header("cache-control"), "public");
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(&response.body[..]).read_to_end(&mut body).expect("gzip");
    assert_eq!(body, parent.get(&path).body);
    let relative = parent.get("/host/synth-a/api/v1/data?chart=synth.wave&after=-10");
    assert_eq!(relative.header("cache-control"), "no-cache, no-store, must-revalidate");
    let options = http(
        parent.address,
        "OPTIONS /host/synth-a/api/v1/info HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n",
    );
    assert_eq!((options.status, options.text().as_str()), (200, "OK"));
    assert_eq!(options.header("access-control-max-age"), "1209600");
}

#[test]
fn a_connection_is_kept_for_several_requests() {
    let (parent, _clock, _child) = parent();
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    for _ in 0..3 {
        stream.write_all(b"GET /version.txt HTTP/1.1\r\nHost: p\r\n\r\n").expect("sent");
        let mut buffer = [0; 4096];
        let length = read(&mut stream, &mut buffer).expect("an answer");
        assert_eq!(parse_response(&buffer[..length]).status, 200);
    }
}
