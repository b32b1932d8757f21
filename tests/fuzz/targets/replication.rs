//! Whatever a child answers, and when: its charts' rows stay in order of time, one a second at most.
//!
//! Four bytes are a step of the child: which line it sends, about which chart, and two times near the present.
#![no_main]

use std::sync::Arc;

use dbengine::{Samples, TimeRange};
use libfuzzer_sys::fuzz_target;
use mainstem::config::Config;
use mainstem::receiver::DisconnectReason;
use mainstem::shard::event::{Action, ConnectionId, Event};
use mainstem::shard::message::{ApiKey, Arrival, ChartGroup, Identity, Question};
use mainstem::shard::placement::ShardId;
use mainstem::shard::{Cleanup, Shard};
use mainstem::telemetry::Telemetry;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::handshake::StreamRequest;
use tokio::sync::oneshot;

const NOW: i64 = 1_795_342_200;

thread_local! {
    static PARENT: (Config, String) = {
        let state = std::env::temp_dir().join(format!("mainstem-fuzz-{}", std::process::id()));
        let config = Config::embedded(&state).expect("the embedded default").config;
        let key = std::fs::read_to_string(state.join("api.key")).expect("its key").trim().to_owned();
        (config, key)
    };
}

struct Story<'a> {
    config: &'a Config,
    key: &'a str,
    shard: Shard,
    actions: Vec<Action>,
    connection: ConnectionId,
    capabilities: Capabilities,
    version: &'static str,
    now_us: i64,
}

impl Story<'_> {
    fn arrive(&mut self) {
        let reason = DisconnectReason::ClosedByChild;
        let ended = Event::Ended { connection: self.connection, reason };
        self.shard.apply(self.now_us, ended, &mut self.actions);
        self.connection.generation += 1;
        let machine_guid = uuid::Uuid::from_u128(1);
        let address = std::net::IpAddr::from([127, 0, 0, 1]);
        let policy = self.config.streaming_policy(self.key, &machine_guid.to_string(), address);
        let arrival = Arrival {
            machine_guid,
            key: ApiKey(uuid::Uuid::from_u128(2)),
            request: StreamRequest { program_version: self.version.into(), ..StreamRequest::default() },
            capabilities: self.capabilities,
            policy: policy.expect("the embedded key"),
            peer: ([127, 0, 0, 1], 1).into(),
            parent: Identity { machine_guid: uuid::Uuid::from_u128(3), hostname: "parent".into() },
            encrypted: false,
            seat: None,
            early: Vec::new(),
        };
        let arrived = Event::Arrived { connection: self.connection, arrival: Box::new(arrival) };
        self.shard.apply(self.now_us, arrived, &mut self.actions);
    }

    fn say(&mut self, text: &str) {
        let received = Event::Received { connection: self.connection, bytes: text.as_bytes() };
        self.shard.apply(self.now_us, received, &mut self.actions);
    }

    fn pass(&mut self, seconds: i64) {
        self.now_us += seconds * 1_000_000;
        self.shard.settle(self.now_us, &mut self.actions);
    }

    fn check(&mut self) {
        let mut groups = Vec::new();
        for action in self.actions.drain(..) {
            if let Action::Publish(host) = action {
                groups = host.charts.iter().map(|chart| ChartGroup::from(&**chart)).collect();
            }
        }
        let (answer, mut answered) = oneshot::channel();
        let asked = Question::Rows { groups, window: TimeRange::ALL, answer };
        self.shard.apply(self.now_us, Event::Asked(asked), &mut self.actions);
        for snapshot in answered.try_recv().expect("an answer") {
            let mut samples = Samples::default();
            if snapshot.columns() > 0 {
                snapshot.column(0, TimeRange::ALL, &mut samples);
            }
            assert!(samples.times.windows(2).all(|two| two[0] < two[1]), "{:?}", samples.times);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let [choice, steps @ ..] = data else { return };
    let mut capabilities = Capabilities::OURS.without(Capabilities::COMPRESSIONS);
    if choice & 1 != 0 {
        capabilities = capabilities.without(Capabilities::INTERPOLATED);
    }
    PARENT.with(|(config, key)| {
        let mut config = config.clone();
        config.database.mode = mainstem::config::MemoryMode::Ram;
        let cleanup = Cleanup::new(&config.database);
        let telemetry = Arc::new(Telemetry::new(1));
        let mut story = Story {
            config: &config,
            key,
            shard: Shard::new(ShardId(0), config.limits.clone(), cleanup, telemetry, None),
            actions: Vec::new(),
            connection: ConnectionId { place: 0, generation: 1 },
            capabilities,
            version: ["v1.37.1", "v1.40.0", "v2.9.0", ""][usize::from(choice >> 1 & 3)],
            now_us: NOW * 1_000_000,
        };
        story.arrive();
        for step in steps.chunks_exact(4) {
            let chart = step[1] % 3;
            let (a, b) = (NOW - 300 + i64::from(step[2]), NOW - 300 + i64::from(step[3]));
            match step[0] % 12 {
                0 => story.say(&format!(
                    "CHART \"a.{chart}\" \"\" \"t\" \"u\" \"\" \"\" \"line\" 1 1 \"\" \"\" \"\"\n\
                     DIMENSION \"d\" \"\" \"incremental\" 1 1 \"\"\nCHART_DEFINITION_END {a} {b} {NOW}\n"
                )),
                1 => story.say(&format!("RBEGIN \"a.{chart}\"\n")),
                2 | 3 => story.say(&format!("RBEGIN '' {} {a} {NOW}\nRSET \"d\" {b} \"\"\n", a - 1)),
                4 => story.say(&format!("RBEGIN \"a.{chart}\" {a} {b} {NOW}\nRSET \"d\" 1 \"\"\n")),
                5 => story.say(&format!("RDSTATE \"d\" {a}000000 5 1.5 2.5\nRSSTATE {a}500000 {a}000000\n")),
                6 => story.say(&format!("REND 1 {a} {NOW} true {a} {b} {NOW}\n")),
                7 => story.say(&format!("REND 1 {a} {NOW} false {a} {b} {NOW}\n")),
                8 => story.say(&format!("BEGIN \"a.{chart}\" 1000000\nSET \"d\" = {a}\nEND\n")),
                9 => story.say(&format!("BEGIN2 'a.{chart}' 1 {a} #\nSET2 'd' 1 {b} A\nEND2\n")),
                10 => story.pass(i64::from(step[1] % 70)),
                _ => story.arrive(),
            }
        }
        story.pass(1);
        story.check();
    });
});
