//! A sender through its life, without a socket: what a child says goes through a whole shard, what a parent says comes back.

use super::*;
use crate::config::{LinkOptions, ParentKey, sending};

const SECOND: i64 = 1_000_000;
const START: i64 = 1_795_342_200 * SECOND;

fn info() -> Arc<HostInfo> {
    Arc::new(HostInfo {
        machine_guid: uuid::Uuid::from_u128(0xA1),
        hostname: "web-1".into(),
        registry_hostname: "web-1".into(),
        os: "linux".into(),
        timezone: "Etc/UTC".into(),
        abbrev_timezone: "UTC".into(),
        utc_offset: 0,
        hops: 1,
        update_every: 1,
        program_name: "netdata".into(),
        program_version: "v1.37.1".into(),
        system: Default::default(),
        labels: Default::default(),
        variables: Default::default(),
        claim_id: None,
        memory_mode: crate::config::MemoryMode::None,
        history: 0,
    })
}

struct Story {
    sender: Sender,
    info: Arc<HostInfo>,
    now_us: i64,
    orders: Vec<Order>,
}

impl Story {
    fn begin(destinations: &str) -> Self {
        let policy = SendPolicy {
            destinations: sending::destinations(destinations, 19_999).value.expect("destinations"),
            api_key: ParentKey("11111111-2222-3333-4444-555555555555".to_owned()),
            charts: sending::charts("*"),
            compression: false,
            link: LinkOptions::default(),
        };
        let info = info();
        let sender = Sender::new(Box::new(policy), &info, Capabilities::NONE, None, START);
        Self { sender, info, now_us: START, orders: Vec::new() }
    }

    /// After so many seconds: what is asked for, a word each.
    fn wait(&mut self, seconds: i64) -> Vec<String> {
        self.now_us += seconds * SECOND;
        self.sender.settle(self.now_us, &self.info, &mut self.orders);
        self.orders()
    }

    fn orders(&mut self) -> Vec<String> {
        let word = |order: Order| match order {
            Order::Connect(wish) => format!("connect {}", wish.destinations[0]),
            Order::Send(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Order::Close => "close".to_owned(),
        };
        std::mem::take(&mut self.orders).into_iter().map(word).collect()
    }

    fn connect(&mut self) -> String {
        let attempt = self.sender.attempt;
        assert!(self.sender.connected(self.now_us, attempt, &self.info, &mut self.orders));
        self.orders().pop().expect("a request")
    }

    fn fail(&mut self) {
        let error = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failure = ConnectFailure { address: None, reason: error.into() };
        assert!(self.sender.not_connected(self.now_us, self.sender.attempt, failure).is_some());
    }

    fn hear(&mut self, text: &str) -> Option<&'static str> {
        let end = self.sender.received(self.now_us, text.as_bytes(), &self.info, &mut self.orders);
        end.map(|end| end.label())
    }
}

#[test]
fn a_host_introduces_itself_with_a_hop_more_and_keeps_who_it_is() {
    let mut story = Story::begin("parent");
    assert_eq!(story.wait(0), ["connect parent:19999"]);
    let request = story.connect();
    let (request, _) = StreamRequest::parse(request.as_bytes()).expect("a request").expect("all of it");
    assert_eq!((request.hops, &*request.hostname), (2, "web-1"));
    assert_eq!(request.machine_guid, story.info.machine_guid.to_string());
    assert_eq!((&*request.program_name, &*request.program_version), ("netdata", "v1.37.1"));
    assert!(request.system_info.iter().any(|(name, _)| name == "NETDATA_SYSTEM_KERNEL_VERSION"));
    assert_eq!(story.hear("Hit me baby, push them over with the version=64"), None);
    assert!(story.sender.is_streaming());
}

#[test]
fn each_refusal_keeps_its_destination_waiting_for_its_time() {
    let cases = [
        ("You are not permitted to access this. Check the logs for more info.", "not_permitted", 60),
        ("This GUID is already streaming to this server", "already_streaming", 35),
        ("Don't hit me baby, you are trying to stream my localhost back", "localhost", 3600),
        ("The server is too busy now to accept this request. Try later.", "busy", 120),
        ("The server encountered an internal error. Try later.", "internal_error", 300),
        ("The server is initializing. Try later.", "initializing", 120),
        ("HTTP/1.1 200 OK\r\n\r\n", "not_understood", 60),
    ];
    for (answer, label, seconds) in cases {
        let mut story = Story::begin("a");
        story.wait(0);
        story.connect();
        assert_eq!(story.hear(answer), Some(label));
        assert_eq!(story.orders(), ["close"]);
        let mut waited = 0;
        while story.wait(1).is_empty() {
            waited += 1;
            assert!(waited <= seconds + 5, "{answer}");
        }
        // The wait ends within a jittered reconnect delay after the time.
        assert!(waited + 1 >= seconds, "{answer}: {waited}");
    }
}

#[test]
fn a_parent_whose_tls_fails_is_left_alone_for_five_minutes() {
    let failures = [
        (ConnectError::NotBelieved("expired".into()), "certificate_not_trusted"),
        (ConnectError::Handshake("no TLS".into()), "tls_failed"),
    ];
    for (reason, label) in failures {
        let mut story = Story::begin("a:1:SSL");
        assert_eq!(story.wait(0), ["connect a:1:SSL"]);
        let failure = ConnectFailure { address: None, reason };
        let end = story.sender.not_connected(story.now_us, story.sender.attempt, failure);
        assert_eq!(end.map(|end| end.label()), Some(label));
        assert!((0..299).all(|_| story.wait(1).is_empty()), "{label}");
        assert!((0..6).any(|_| !story.wait(1).is_empty()), "{label}");
    }
}

#[test]
fn the_next_destination_is_tried_at_once_and_the_first_again_when_its_time_has_come() {
    let mut story = Story::begin("a b");
    assert_eq!(story.wait(0), ["connect a:19999"]);
    story.fail();
    assert_eq!(story.wait(0), ["connect b:19999"]);
    story.connect();
    story.hear("Hit me baby, push them over with the version=64");
    story.orders();
    assert!(story.wait(100).is_empty(), "a link that works is kept");
    let end = story.sender.ended(story.now_us, LinkEnd::Closed);
    assert_eq!(end.label(), "closed_by_parent");
    assert_eq!(story.wait(0), ["connect a:19999"]);
}

#[test]
fn a_parent_that_accepts_and_then_closes_is_tried_less_and_less_often() {
    let mut story = Story::begin("a");
    let mut links = |seconds: i64, end: fn(&mut Story)| {
        let until_us = story.now_us + seconds * SECOND;
        let mut links = 0;
        while story.now_us < until_us {
            if story.wait(1).is_empty() {
                continue;
            }
            story.connect();
            story.hear("Hit me baby, push them over with the version=64");
            story.orders();
            end(&mut story);
            story.orders();
            links += 1;
        }
        links
    };
    let at_once = |story: &mut Story| {
        assert_eq!(story.sender.ended(story.now_us, LinkEnd::Closed).label(), "closed_by_parent")
    };
    let damaged = |story: &mut Story| assert_eq!(story.hear(&"x".repeat(1 << 20)), Some("damaged"));
    let later = |story: &mut Story| {
        assert!(story.wait(60).is_empty());
        story.sender.ended(story.now_us, LinkEnd::Closed);
    };
    assert!((6..=9).contains(&links(300, at_once)), "5, 10, 20, 40, 80, 160 seconds, or half of that");
    assert!((12..=25).contains(&links(3600, at_once)), "five minutes, or half of that");
    assert!((12..=25).contains(&links(3600, damaged)));
    assert!(links(3600, later) > 50, "one that lived is begun again soon");
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    let mut story = Story::begin("a");
    story.wait(0);
    story.connect();
    assert!(story.wait(60).is_empty());
    assert_eq!(story.wait(1), ["close"]);
    assert_eq!(story.sender.state().last_reason.as_deref(), Some("it does not answer"));
}

#[test]
fn a_parent_that_takes_nothing_is_left() {
    let mut story = Story::begin("a");
    story.wait(0);
    story.connect();
    story.hear("Hit me baby, push them over with the version=448");
    assert!(story.orders()[0].starts_with("CLAIMED_ID "));
    story.sender.waiting(story.now_us, 10);
    assert!(story.wait(59).is_empty());
    story.sender.waiting(story.now_us, 5);
    assert!(story.wait(59).is_empty(), "it has taken some");
    assert_eq!(story.wait(2), ["close"]);
    assert!(!story.sender.is_streaming());
}

#[test]
fn news_of_an_attempt_that_was_given_up_reach_nobody() {
    let mut story = Story::begin("a");
    story.wait(0);
    assert!(!story.sender.connected(story.now_us, 7, &story.info, &mut story.orders));
    story.fail();
    let attempt = story.sender.attempt;
    assert!(!story.sender.connected(story.now_us, attempt, &story.info, &mut story.orders));
    assert!(story.orders().is_empty());
}

#[test]
fn no_debug_print_shows_a_key() {
    let story = Story::begin("a");
    assert!(!format!("{:?}", story.sender).contains("2222-3333"));
}
