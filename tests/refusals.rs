//! Every way in which a child is refused: what it is told, what operators find in the log, what is counted. And the lines of a
//! child that is taken in and goes.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use mainstem::wire::handshake::{StreamRequest, encode_request};

use crate::child::{Child, V1, greet, guid_of, request_with};
use crate::command::{Running, configuration, utf8};
use crate::harness::{get, parse_response, read_prompt};

const NOT_PERMITTED: &str = "You are not permitted to access this. Check the logs for more info.";
const BUSY: &str = "The server is too busy now to accept this request. Try later.";

/// Keys and machine GUIDs of stream.conf, each for one refusal.
const CLOSED: &str = "10000000-0000-4000-8000-000000000001";
const FROM_ELSEWHERE: &str = "10000000-0000-4000-8000-000000000002";
const NO_KEY: &str = "10000000-0000-4000-8000-000000000003";
const FULL: &str = "10000000-0000-4000-8000-000000000004";
const UNKNOWN: &str = "10000000-0000-4000-8000-000000000005";
const GUID_CLOSED: &str = "20000000-0000-4000-8000-000000000001";
const GUID_FROM_ELSEWHERE: &str = "20000000-0000-4000-8000-000000000002";
const NO_GUID: &str = "20000000-0000-4000-8000-000000000003";

struct Parent {
    running: Running,
    address: SocketAddr,
    key: String,
}

impl Parent {
    fn start(directory: &Path, netdata_conf: &str) -> Self {
        let (etc, state) = (directory.join("etc"), directory.join("state"));
        let address = configuration(&etc);
        let append = |name: &str, text: &str| {
            let mut file = std::fs::File::options().append(true).open(etc.join(name)).expect("it is there");
            file.write_all(text.as_bytes()).expect("written");
        };
        append("netdata.conf", &format!("{netdata_conf}\n[logs]\naccess = stderr\n"));
        append(
            "stream.conf",
            &format!(
                "\n[{CLOSED}]\nenabled = no\n[{FROM_ELSEWHERE}]\nenabled = yes\nallow from = 10.*\n\
                 [{NO_KEY}]\nenabled = yes\ntype = machine\n[{FULL}]\nenabled = yes\nmaximum hosts = 1\n\
                 [{GUID_CLOSED}]\nenabled = no\n[{GUID_FROM_ELSEWHERE}]\nallow from = 10.*\n[{NO_GUID}]\ntype = api\n"
            ),
        );
        let stream_conf = std::fs::read_to_string(etc.join("stream.conf")).expect("stream.conf");
        let key = stream_conf.lines().find_map(|line| line.strip_prefix('[')?.strip_suffix(']'));
        let key = key.filter(|key| key.len() == 36).expect("the section of a key").to_owned();
        let running = Running::start(&["run", "--config", utf8(&etc), "--state", utf8(&state)]);
        running.read_to("listening on ");
        Self { running, address, key }
    }

    fn request(&self, key: &str, hostname: &str) -> StreamRequest {
        request_with(key, hostname, guid_of(hostname), V1)
    }

    fn counted(&self, refusal: &str) -> u64 {
        let metrics = get(self.address, "/metrics").text();
        let line = format!("mainstem_refusals_total{{reason=\"{refusal}\"}} ");
        metrics.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }

    /// A refused request: the answer, the log's sentence behind who it is about, the access log's message, and the counter.
    #[track_caller]
    fn check(&self, request: &StreamRequest, answer: &str, sentence: &str, message: &str, counter: &str) {
        let (stream, answered) = greet(self.address, request);
        assert_eq!(answered, answer, "{counter}");
        let us = stream.local_addr().expect("an address");
        let client = format!("[{}]:{}", us.ip(), us.port());
        let line = self.running.read_to(sentence).pop().expect("the line that was waited for");
        assert!(line.contains(&format!("[receive from {client}]: ")), "{line}");
        assert!(request.key.is_empty() || !line.contains(&request.key), "no log shows a key: {line}");
        let line = self.running.read_to(message).pop().expect("the line that was waited for");
        let or_dash = |value: &str| if value.is_empty() { "-".to_owned() } else { value.to_owned() };
        let names = [
            format!("STREAM: '{client}' '{message}' host '{}' api key '", or_dash(&request.hostname)),
            format!("machine guid '{}'", or_dash(&request.machine_guid)),
        ];
        assert!(names.iter().all(|name| line.contains(name)), "{names:?} in {line}");
        assert!(request.key.is_empty() || !line.contains(&request.key), "no log shows a key: {line}");
        assert_eq!(self.counted(counter), 1, "{counter}");
    }
}

#[test]
fn every_refusal_has_its_words_its_lines_and_its_counter() {
    let directory = tempfile::tempdir().expect("a directory");
    let parent = Parent::start(directory.path(), "");
    let good = parent.request(&parent.key, "h");
    let with = |change: &dyn Fn(&mut StreamRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    let key = |key: &str| with(&|request| request.key = key.into());
    let guid = |guid: &str| with(&|request| request.machine_guid = guid.into());
    let cases = [
        (key(""), "request without an API key. Forbidding access.", "NO KEY", "no_key"),
        (
            with(&|request| request.hostname.clear()),
            "request without a hostname. Forbidding access.",
            "NO HOSTNAME",
            "no_hostname",
        ),
        (
            guid(""),
            "request without a machine GUID. Forbidding access.",
            "NO MACHINE GUID",
            "no_machine_guid",
        ),
        (
            key("secret"),
            "is not valid GUID (use the command uuidgen to generate one). Forbidding access.",
            "INVALID KEY",
            "invalid_key",
        ),
        (
            guid("x"),
            "machine GUID 'x' is not GUID. Forbidding access.",
            "INVALID MACHINE GUID",
            "invalid_machine_guid",
        ),
        (key(UNKNOWN), "is not allowed. Forbidding access.", "KEY NOT ENABLED", "key_not_enabled"),
        (
            key(FROM_ELSEWHERE),
            "is not permitted from this IP. Forbidding access.",
            "KEY NOT ALLOWED FROM THIS IP",
            "key_not_allowed_from_ip",
        ),
        (
            key(NO_KEY),
            "is a machine GUID. Forbidding access.",
            "API KEY GIVEN IS NOT API KEY",
            "key_is_not_api_key",
        ),
        (
            guid(GUID_CLOSED),
            "machine GUID '20000000-0000-4000-8000-000000000001' is not allowed. Forbidding access.",
            "MACHINE GUID NOT ENABLED",
            "machine_guid_not_enabled",
        ),
        (
            guid(GUID_FROM_ELSEWHERE),
            "Machine GUID '20000000-0000-4000-8000-000000000002' is not permitted from this IP. Forbidding access.",
            "MACHINE GUID NOT ALLOWED FROM THIS IP",
            "machine_guid_not_allowed_from_ip",
        ),
        (
            guid(NO_GUID),
            "machine GUID '20000000-0000-4000-8000-000000000003' is a api GUID. Forbidding access.",
            "MACHINE GUID GIVEN IS NOT A MACHINE GUID",
            "machine_guid_is_not_machine_guid",
        ),
    ];
    for (request, sentence, message, counter) in cases {
        parent.check(&request, NOT_PERMITTED, sentence, &format!("ACCESS DENIED - {message}"), counter);
    }
    let own = get(parent.address, "/api/v1/info").text();
    let own: serde_json::Value = serde_json::from_str(&own).expect("JSON");
    parent.check(
        &guid(own["uid"].as_str().expect("its machine GUID")),
        "Don't hit me baby, you are trying to stream my localhost back",
        "is my own. Did you copy the parent/proxy machine GUID to a child, or is this an inter-agent loop?",
        "DENIED - ATTEMPT TO RECEIVE METRICS FROM MACHINE_GUID IDENTICAL TO PARENT",
        "localhost",
    );
    let _one = Child::connect_to(parent.address, FULL, "one", V1);
    parent.check(
        &parent.request(FULL, "two"),
        BUSY,
        "1 hosts stream with API key '",
        "REJECTED - TOO MANY HOSTS OF THIS KEY",
        "too_many_hosts",
    );
    parent.check(
        &parent.request(&parent.key, "one"),
        "This GUID is already streaming to this server",
        "multiple connections for same host detected - existing connection is active (within last 0 sec), rejecting \
         new connection.",
        "REJECTED - ALREADY CONNECTED",
        "already_streaming",
    );
}

#[test]
fn who_comes_too_soon_is_told_when_to_come_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let parent = Parent::start(directory.path(), "[web]\naccept a streaming request every = 3600");
    let _first = Child::connect_to(parent.address, &parent.key, "first", V1);
    parent.check(
        &parent.request(&parent.key, "second"),
        BUSY,
        "too busy to accept new streaming request. Will be allowed in 3600 secs.",
        "REJECTED - BUSY TRY LATER",
        "busy",
    );
}

#[test]
fn whose_address_may_not_stream_gets_a_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let parent = Parent::start(directory.path(), "[web]\nallow streaming from = 10.*");
    let (_, page) = greet(parent.address, &parent.request(&parent.key, "h"));
    assert_eq!(parse_response(page.as_bytes()).status, 403);
    parent.running.read_to("streaming is not allowed from this IP. Forbidding access.");
    parent.running.read_to("ACCESS DENIED - STREAMING NOT ALLOWED FROM THIS IP");
    assert_eq!(parent.counted("streaming_not_allowed"), 1);
}

/// What a parent says of a child that comes, speaks and goes, in the words of the guide's traces.
#[test]
fn a_childs_life_is_in_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    let parent = Parent::start(directory.path(), "");
    let mut child = Child::connect_to(parent.address, &parent.key, "costa-pc", V1);
    let us = child.stream.local_addr().expect("an address");
    let client = format!("[{}]:{}", us.ip(), us.port());
    let expect = |said: &str| {
        let line = parent.running.read_to(said).pop().expect("the line that was waited for");
        assert!(line.contains(&client) || said.starts_with("Host "), "{line}");
    };
    for said in [
        "]: clients wants to STREAM metrics.",
        "]: new client connection.",
        "]: receive thread created (task id ",
        "]: client willing to stream metrics for host 'costa-pc' with machine_guid '",
        "Host 'costa-pc' with guid '",
        "]: initializing communication...",
        "]: established link with negotiated capabilities: ",
        "]: receiving metrics...",
        "' 'CONNECTED' host 'costa-pc' api key '",
    ] {
        expect(said);
    }
    child.send("B\n");
    parent.running.read_to("sent command 'B' which is not known by netdata, for host 'costa-pc'");
    child.send(
        "CHART \"a.b\" \"\" \"\" \"\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\nBEGIN \"a.b\"\nSET \"c\" = 1\n",
    );
    expect("requested a SET on chart 'a.b' of host 'costa-pc', without a dimension");
    expect("]: disconnected (completed 0 updates)");
    expect("]: receive thread ended (task id ");
    expect("'DISCONNECTED' host 'costa-pc'");

    let mut child = Child::connect_to(parent.address, &parent.key, "costa-pc", V1);
    child.send("BEGI");
    drop(child);
    parent.running.read_to("read failed: end of file");
}

#[test]
fn what_a_request_has_and_nobody_uses_is_in_the_log_but_not_all_of_very_much() {
    let directory = tempfile::tempdir().expect("a directory");
    let parent = Parent::start(directory.path(), "");
    let request = encode_request(&parent.request(&parent.key, "talkative"));
    let request = String::from_utf8(request).expect("text");
    let more: String = (0..20).map(|number| format!("&more{number}=a%20b")).collect();
    let request = request.replacen(" HTTP/1.1", &format!("{more} HTTP/1.1"), 1);
    let mut stream = TcpStream::connect(parent.address).expect("the parent listens");
    stream.write_all(request.as_bytes()).expect("sent");
    assert!(read_prompt(&mut stream).starts_with("Hit me baby"));
    let us = stream.local_addr().expect("an address");
    let lines = parent.running.read_to("]: new client connection.");
    let of_client = format!("STREAM [receive from [{}]:{}]: ", us.ip(), us.port());
    let said: Vec<&str> = lines.iter().filter_map(|line| Some(line.split_once(&of_client)?.1)).collect();
    let unused = |number| format!("request has parameter 'more{number}' = 'a b', which is not used.");
    let mut expected = vec!["clients wants to STREAM metrics.".to_owned()];
    expected.extend((0..16).map(unused));
    expected.push("request has 4 more parameters which are not used.".into());
    expected.push("new client connection.".into());
    assert_eq!(said, expected);
}
