//! Everything that a child may send after its handshake, through the whole shard: framing, decompression, parser,
//! receiver, collectors, engine. The first byte chooses what was agreed; the rest is cut at places it also chooses.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mainstem::config::{Config, Limits};
use mainstem::shard::{Cleanup, Shard};
use mainstem::shard::event::{ConnectionId, Event};
use mainstem::shard::message::{ApiKey, Arrival, Identity};
use mainstem::shard::placement::ShardId;
use mainstem::telemetry::Telemetry;
use mainstem::wire::capability::Capabilities;
use mainstem::wire::handshake::StreamRequest;

const NOW_US: i64 = 1_795_342_200_000_000;

fn arrival(config: &Config, key: &str, capabilities: Capabilities) -> Box<Arrival> {
    let machine_guid = uuid::Uuid::from_u128(1);
    let policy = config
        .streaming_policy(key, &machine_guid.to_string(), std::net::IpAddr::from([127, 0, 0, 1]))
        .expect("the embedded key");
    Box::new(Arrival {
        machine_guid,
        key: ApiKey(uuid::Uuid::nil()),
        request: StreamRequest::default(),
        capabilities,
        policy,
        peer: ([127, 0, 0, 1], 1).into(),
        parent: Identity { machine_guid: uuid::Uuid::from_u128(2), hostname: "parent".into() },
        encrypted: false,
        seat: None,
        early: Vec::new(),
    })
}

thread_local! {
    static PARENT: (Config, String) = {
        let state = std::env::temp_dir().join(format!("mainstem-fuzz-{}", std::process::id()));
        let config = Config::embedded(&state).expect("the embedded default").config;
        let key = std::fs::read_to_string(state.join("api.key")).expect("its key").trim().to_owned();
        (config, key)
    };
}

fuzz_target!(|data: &[u8]| {
    let [choice, bytes @ ..] = data else { return };
    let mut capabilities = Capabilities::OURS.without(Capabilities::COMPRESSIONS);
    if choice & 1 == 0 {
        capabilities = capabilities | Capabilities::LZ4;
    }
    if choice & 2 != 0 {
        capabilities = capabilities.without(Capabilities::INTERPOLATED);
    }
    PARENT.with(|(config, key)| {
        let limits = Limits { charts_per_host: 50, dimensions_per_host: 200, slots: 500, ..config.limits.clone() };
        let cleanup = Cleanup::new(&config.database);
        let mut shard = Shard::new(ShardId(0), limits, cleanup, Arc::new(Telemetry::new(1)), None);
        let mut actions = Vec::new();
        let connection = ConnectionId { place: 0, generation: 1 };
        shard.apply(NOW_US, Event::Arrived { connection, arrival: arrival(config, key, capabilities) }, &mut actions);
        let piece = 1 + usize::from(choice >> 2) * 7;
        for (number, bytes) in bytes.chunks(piece).enumerate() {
            let now_us = NOW_US + number as i64 * 250_000;
            shard.apply(now_us, Event::Received { connection, bytes }, &mut actions);
            shard.settle(now_us, &mut actions);
            actions.clear();
        }
    });
});
