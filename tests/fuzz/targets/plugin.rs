//! Everything that a plugin may write, through its checks and on to the shard: whatever it is and however it is cut, a
//! receiver has nothing to object to in what comes out.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mainstem::collecting::plugin::{Bounds, PluginText};
use mainstem::config::Config;
use mainstem::shard::event::{Action, ConnectionId, Event};
use mainstem::shard::message::{ApiKey, Arrival, Identity};
use mainstem::shard::placement::ShardId;
use mainstem::shard::{Cleanup, Shard};
use mainstem::telemetry::Telemetry;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::handshake::StreamRequest;

const NOW_US: i64 = 1_795_342_200_000_000;
const OWN: uuid::Uuid = uuid::Uuid::from_u128(1);

thread_local! {
    static CONFIG: Config = {
        let state = std::env::temp_dir().join(format!("mainstem-fuzz-{}", std::process::id()));
        Config::embedded(&state).expect("the embedded default").config
    };
}

fn arrival(config: &Config) -> Box<Arrival> {
    Box::new(Arrival {
        machine_guid: OWN,
        key: ApiKey(uuid::Uuid::nil()),
        request: StreamRequest::default(),
        capabilities: Capabilities::V1 | Capabilities::VCAPS | Capabilities::CLABELS | Capabilities::FUNCTIONS,
        policy: config.own_policy(),
        peer: ([0, 0, 0, 0], 0).into(),
        parent: Identity { machine_guid: OWN, hostname: "parent".into() },
        encrypted: false,
        seat: None,
        early: Vec::new(),
    })
}

fuzz_target!(|data: &[u8]| {
    let [cut, bytes @ ..] = data else { return };
    CONFIG.with(|config| {
        let cleanup = Cleanup::new(&config.database);
        let telemetry = Arc::new(Telemetry::new(1));
        let mut shard =
            Shard::new(ShardId(0), config.limits.clone(), cleanup, telemetry, None).with_own_host(OWN);
        let connection = ConnectionId { place: 0, generation: 1 };
        let mut actions = Vec::new();
        shard.apply(NOW_US, Event::Arrived { connection, arrival: arrival(config) }, &mut actions);
        let mut plugin = PluginText::new("fuzz.plugin", 1, Bounds { charts: 50, dimensions: 200 });
        let mut now_us = NOW_US;
        for part in bytes.chunks(usize::from(*cut).max(1)) {
            now_us += 300_000;
            let mut pieces = Vec::new();
            let outcome = plugin.read(now_us, part, &mut pieces);
            shard.apply(now_us, Event::Received { connection, bytes: &pieces }, &mut actions);
            let is_cut_off = actions.iter().any(|action| matches!(action, Action::Close { .. }));
            assert!(!is_cut_off, "{}", String::from_utf8_lossy(&pieces));
            actions.clear();
            if outcome.is_err() {
                plugin.begin_run();
            }
        }
    });
});
