//! What of a configuration a running parent takes over when its files have changed, and what waits for a restart.

use super::options::Setting;
use super::{Config, Web};

/// The settings that are taken over, by file, section and name; with all of stream.conf.
#[rustfmt::skip]
const TAKEN_OVER: [(&str, &str, &str); 20] = [
    ("netdata.conf", "web", "allow connections from"),
    ("netdata.conf", "web", "allow dashboard from"),
    ("netdata.conf", "web", "allow badges from"),
    ("netdata.conf", "web", "allow streaming from"),
    ("netdata.conf", "web", "allow netdata.conf from"),
    ("netdata.conf", "web", "allow management from"),
    ("netdata.conf", "registry", "allow from"),
    ("netdata.conf", "web", "accept a streaming request every"),
    ("netdata.conf", "web", "timeout for first request"),
    ("netdata.conf", "web", "ssl key"),
    ("netdata.conf", "web", "ssl certificate"),
    ("netdata.conf", "web", "tls version"),
    ("netdata.conf", "web", "tls ciphers"),
    ("mainstem.toml", "limits", "charts_per_host"),
    ("mainstem.toml", "limits", "dimensions_per_host"),
    ("mainstem.toml", "limits", "slots"),
    ("mainstem.toml", "limits", "hosts"),
    ("mainstem.toml", "limits", "pending_bytes_per_child"),
    ("mainstem.toml", "tls", "client_ca"),
    ("mainstem.toml", "tls", "client_certificates"),
];

impl Config {
    /// This configuration with what can be taken over of a newer one.
    pub fn with_reloaded(&self, newer: Config) -> Config {
        let Config { web, streaming, limits, client_certificates, effective, .. } = newer;
        Config {
            web: Web {
                allow: web.allow,
                accept_a_streaming_request_every: web.accept_a_streaming_request_every,
                timeout_for_first_request: web.timeout_for_first_request,
                tls: web.tls,
                ..self.web.clone()
            },
            streaming,
            limits,
            client_certificates,
            effective: self.effective.with_reloaded(&effective, is_taken_over),
            ..self.clone()
        }
    }
}

/// What differs from the settings that the parent was started with and is not taken over: `[db] mode`.
pub fn waits_for_restart(started: &[Setting], now: &[Setting]) -> Vec<String> {
    // Each reading of these files records each option of their tables once, in the same order.
    let in_order = |setting: &&Setting| setting.belongs_to != "stream.conf";
    let pairs = started.iter().filter(in_order).zip(now.iter().filter(in_order));
    pairs
        .filter(|(before, now)| before.value != now.value && !is_taken_over(now))
        .map(|(_, now)| format!("[{}] {}", now.section, now.name))
        .collect()
}

fn is_taken_over(setting: &Setting) -> bool {
    let names = |(file, section, name): &(&str, &str, &str)| {
        *file == setting.belongs_to && *section == setting.section && setting.name.starts_with(name)
    };
    TAKEN_OVER.iter().any(names)
}

#[cfg(test)]
mod tests {
    use super::super::tests::load_texts;
    use super::*;

    const KEY: &str = "[11111111-2222-3333-4444-555555555555]\nenabled = yes\n";

    #[test]
    fn what_is_taken_over_has_the_names_of_the_tables() {
        let loaded = load_texts("", KEY, "").expect("no errors");
        for (file, section, name) in TAKEN_OVER {
            let known = |setting: &&Setting| {
                (setting.belongs_to, setting.section.as_str(), setting.name.as_str()) == (file, section, name)
            };
            assert_eq!(loaded.settings.iter().filter(known).count(), 1, "{file} [{section}] {name}");
        }
    }

    #[test]
    fn what_waits_is_named_and_the_rest_is_taken_over() {
        let netdata = "[db]\nmode = ram\nretention = 100\n[web]\nallow streaming from = 10.*\nssl key = k.pem\n\
                       bind to = localhost\ntls version = 1.2\n";
        let stream = "[99999999-2222-3333-4444-555555555555]\nenabled = yes\nretention = 77\n";
        let mainstem = "[limits]\nslots = 7\n[runtime]\nshards = 2\n";
        let started = load_texts("", KEY, "").expect("no errors");
        let now = load_texts(netdata, stream, mainstem).expect("no errors");
        let waiting = waits_for_restart(&started.settings, &now.settings);
        assert_eq!(waiting, ["[db] mode", "[db] retention", "[web] bind to", "[runtime] shards"]);

        let config = started.config.with_reloaded(now.config.clone());
        assert_eq!(config.database, started.config.database);
        assert_eq!(config.web.bind, started.config.web.bind);
        assert_eq!(config.runtime, started.config.runtime);
        assert_eq!(config.web.allow, now.config.web.allow);
        assert_eq!(config.web.tls, now.config.web.tls);
        assert_eq!((config.streaming, config.limits), (now.config.streaming, now.config.limits));
    }

    #[test]
    fn an_old_name_of_the_same_value_is_no_change() {
        let started = load_texts("[global]\nhistory = 100\n", KEY, "").expect("no errors");
        let now = load_texts("[db]\nretention = 100\n", KEY, "").expect("no errors");
        assert!(waits_for_restart(&started.settings, &now.settings).is_empty());
    }
}
