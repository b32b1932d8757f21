//! [`ChildPolicy`]: whether a child may stream, and how it is kept when it may.
//!
//! | # | check, in this order                                  | else                              |
//! |---|-------------------------------------------------------|-----------------------------------|
//! | 3 | the key's section has `type = api`, or none           | [`Denial::KeyIsNotApi`]           |
//! | 4 | it is enabled; unsaid it is not                       | [`Denial::KeyNotEnabled`]         |
//! | 5 | its `allow from` has the client's address             | [`Denial::KeyNotAllowedFrom`]     |
//! | 6 | the child's section has `type = machine`, or none     | [`Denial::GuidIsNotMachine`]      |
//! | 7 | it is enabled; unsaid it is                           | [`Denial::GuidNotEnabled`]        |
//! | 8 | its `allow from` has the client's address             | [`Denial::GuidNotAllowedFrom`]    |
//!
//! (Numbers as in the checks of a Netdata parent; those before and after are not of the configuration.) How the child is
//! kept: built-in < netdata.conf < `[stream]` < the key's section < the child's own.

use std::time::Duration;

use super::access::Client;
use super::sending::SendPolicy;
use super::stream_conf::{ChildOptions, SectionKind, StreamSection};
use super::value::OnDemand;
use super::{CompressionAlgorithm, Config, MemoryMode, Replication};

/// How one child is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildPolicy {
    pub memory_mode: MemoryMode,
    /// Rows kept in the memory modes other than `dbengine`.
    pub retention_rows: u32,
    /// In place of what the child says.
    pub update_every_s: Option<u32>,
    pub health: OnDemand,
    /// No alarm is raised so long after the child connected.
    pub postpone_alarms: Duration,
    pub compression: bool,
    /// All of them, the preferred first.
    pub compression_order: Vec<CompressionAlgorithm>,
    pub replication: Replication,
    /// Hosts that may stream with its key at once; none: any number.
    pub maximum_hosts: Option<u32>,
    /// Where it is sent on to; `None`: nowhere.
    pub sending: Option<Box<SendPolicy>>,
}

/// Why a child may not stream. It is told none of these.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    #[error("its API key's section has `type = {found}`")]
    KeyIsNotApi { found: String },
    #[error("its API key is not enabled")]
    KeyNotEnabled,
    #[error("its API key is not allowed from its address")]
    KeyNotAllowedFrom,
    #[error("its machine GUID's section has `type = {found}`")]
    GuidIsNotMachine { found: String },
    #[error("its machine GUID is disabled")]
    GuidNotEnabled,
    #[error("its machine GUID is not allowed from its address")]
    GuidNotAllowedFrom,
}

impl Config {
    /// What the configuration says about a child that comes with this key and this GUID (both of a UUID's form, in any
    /// case) from this address. The rights of the port and of `[web] allow streaming from` were checked before.
    pub fn streaming_policy(
        &self,
        api_key: &str,
        machine_guid: &str,
        client: impl Into<Client>,
    ) -> Result<ChildPolicy, Denial> {
        let client = client.into();
        let key = self.streaming.section(api_key);
        let machine = self.streaming.section(machine_guid);

        match key.and_then(|key| key.kind.as_ref()) {
            None | Some(SectionKind::Api) => {}
            Some(other) => return Err(Denial::KeyIsNotApi { found: other.name().to_owned() }),
        }
        let Some(key) = key.filter(|key| key.enabled == Some(true)) else {
            return Err(Denial::KeyNotEnabled);
        };
        if !is_allowed_from(key, client) {
            return Err(Denial::KeyNotAllowedFrom);
        }
        let maximum_hosts = key.maximum_hosts.filter(|most| *most > 0);
        let mut options = key.options.over(&self.streaming.all);
        if let Some(machine) = machine {
            match &machine.kind {
                None | Some(SectionKind::Machine) => {}
                Some(other) => return Err(Denial::GuidIsNotMachine { found: other.name().to_owned() }),
            }
            if machine.enabled == Some(false) {
                return Err(Denial::GuidNotEnabled);
            }
            if !is_allowed_from(machine, client) {
                return Err(Denial::GuidNotAllowedFrom);
            }
            options = machine.options.over(&options);
        }
        Ok(ChildPolicy { maximum_hosts, ..self.child_policy(options) })
    }

    /// How our own host is kept, and sent on: it is no child, so only the sending of `[stream]` counts.
    pub fn own_policy(&self) -> ChildPolicy {
        self.child_policy(ChildOptions {
            sending: self.streaming.all.sending.clone(),
            ..ChildOptions::default()
        })
    }

    /// What no section says is what netdata.conf says, or built in.
    fn child_policy(&self, options: ChildOptions) -> ChildPolicy {
        let database = &self.database;
        let health = if self.health.enabled { OnDemand::Yes } else { OnDemand::No };
        let compresses = self.streaming.all.compression.unwrap_or(true);
        let sending = SendPolicy::new(&options.sending, &self.streaming.link, compresses);
        ChildPolicy {
            sending: sending.map(Box::new),
            memory_mode: options.memory_mode.unwrap_or(database.mode),
            retention_rows: options.retention_rows.unwrap_or(database.retention_rows),
            update_every_s: options.update_every_s,
            health: options.health.unwrap_or(health),
            postpone_alarms: options.postpone_alarms.unwrap_or(Duration::from_secs(60)),
            compression: options.compression.unwrap_or(true),
            compression_order: options
                .compression_order
                .unwrap_or_else(|| CompressionAlgorithm::DEFAULT_ORDER.to_vec()),
            replication: Replication {
                enabled: options.replication.unwrap_or(database.replication.enabled),
                period: options.replication_period.unwrap_or(database.replication.period),
                step: options.replication_step.unwrap_or(database.replication.step),
            },
            maximum_hosts: None,
        }
    }
}

fn is_allowed_from(section: &StreamSection, client: Client) -> bool {
    section.allow_from.as_ref().is_none_or(|list| client.is_allowed_by(list))
}

impl SectionKind {
    fn name(&self) -> &str {
        match self {
            SectionKind::Api => "api",
            SectionKind::Machine => "machine",
            SectionKind::Other(name) => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::tests::config_of;
    use super::*;

    const KEY: &str = "11111111-2222-3333-4444-55555555555a";
    const GUID: &str = "5a7b1d94-e65d-11f1-9f2e-0242ac110002";

    fn ask(netdata: &str, stream: &str) -> Result<ChildPolicy, Denial> {
        let ip: IpAddr = "192.0.2.7".parse().expect("an address");
        config_of(netdata, stream).streaming_policy(KEY, GUID, ip)
    }

    #[test]
    fn the_checks_in_their_order() {
        #[track_caller]
        fn check(key: &str, machine: &str, expected: Option<Denial>) {
            let stream = format!("[{KEY}]\n{key}\n[{GUID}]\n{machine}\n");
            assert_eq!(ask("", &stream).err(), expected, "{stream}");
        }
        let machine_typed = Denial::KeyIsNotApi { found: "machine".to_owned() };
        let odd_typed = Denial::KeyIsNotApi { found: "proxy".to_owned() };
        let api_typed = Denial::GuidIsNotMachine { found: "api".to_owned() };
        check("enabled = yes", "", None);
        check("enabled = yes\ntype = api", "enabled = yes\ntype = machine", None);
        check("enabled = yes\ntype = machine", "", Some(machine_typed));
        check("enabled = yes\ntype = proxy", "", Some(odd_typed));
        check("", "", Some(Denial::KeyNotEnabled));
        check("enabled = no", "", Some(Denial::KeyNotEnabled));
        check("enabled = ye", "", Some(Denial::KeyNotEnabled));
        check("enabled = yes\nallow from = 10.*", "", Some(Denial::KeyNotAllowedFrom));
        check("enabled = yes\nallow from = 192.0.2.*", "", None);
        check("enabled = yes\nallow from = !192.0.2.7 *", "", Some(Denial::KeyNotAllowedFrom));
        check("enabled = yes", "type = api\nenabled = no", Some(api_typed));
        check("enabled = yes", "enabled = no", Some(Denial::GuidNotEnabled));
        check("enabled = yes", "allow from = localhost", Some(Denial::GuidNotAllowedFrom));
        assert_eq!(ask("", ""), Err(Denial::KeyNotEnabled));
    }

    #[test]
    fn keys_have_no_case() {
        let stream = format!("[{}]\nenabled = yes\n", KEY.to_uppercase());
        assert!(ask("", &stream).is_ok());
        let twice =
            format!("[{}]\nenabled = no\nupdate every = 7\n[{KEY}]\nenabled = yes\n", KEY.to_uppercase());
        assert_eq!(ask("", &twice).map(|policy| policy.update_every_s), Ok(Some(7)));
    }

    #[test]
    fn a_keys_section_says_how_many_hosts_may_stream_with_it() {
        for (key, machine, expected) in [
            ("", "", None),
            ("maximum hosts = 3", "", Some(3)),
            ("maximum hosts = 0", "", None),
            ("maximum hosts = many", "", None),
            ("maximum hosts = 3", "maximum hosts = 9", Some(3)),
        ] {
            let stream = format!("[{KEY}]\nenabled = yes\n{key}\n[{GUID}]\n{machine}\n");
            assert_eq!(ask("", &stream).map(|policy| policy.maximum_hosts), Ok(expected), "{stream}");
        }
    }

    #[test]
    fn the_inner_section_wins() {
        #[track_caller]
        fn check(netdata: &str, all: &str, key: &str, machine: &str, expected: MemoryMode) {
            let stream = format!("[stream]\n{all}\n[{KEY}]\nenabled = yes\n{key}\n[{GUID}]\n{machine}\n");
            let policy = ask(netdata, &stream).expect("allowed");
            assert_eq!(policy.memory_mode, expected, "{netdata}{stream}");
        }
        let ram = "[db]\nmode = ram\n";
        check("", "", "", "", MemoryMode::Dbengine);
        check(ram, "", "", "", MemoryMode::Ram);
        check(ram, "db = alloc", "", "", MemoryMode::Alloc);
        check(ram, "db = alloc", "default memory mode = map", "", MemoryMode::Map);
        check(ram, "db = alloc", "default memory mode = map", "memory mode = none", MemoryMode::None);
        check(ram, "", "db = save\ndefault memory mode = map", "", MemoryMode::Save);
        // A word that nobody knows is as if it was not there.
        check(ram, "", "default memory mode = RAM2", "", MemoryMode::Ram);
    }

    #[test]
    fn compression_is_on_unless_a_section_switches_it_off() {
        for said in [["", "", ""], ["yes", "", ""], ["yes", "yes", "yes"], ["", "", "yes"]] {
            assert!(compresses(said), "{said:?}");
        }
        for said in
            [["no", "", ""], ["", "no", ""], ["", "", "no"], ["no", "yes", "yes"], ["yes", "no", "yes"]]
        {
            assert!(!compresses(said), "{said:?}");
        }
    }

    /// `enable compression` in `[stream]`, the key's and the machine's section.
    fn compresses(said: [&str; 3]) -> bool {
        let [all, key, machine] = said
            .map(|said| if said.is_empty() { String::new() } else { format!("enable compression = {said}") });
        let stream = format!("[stream]\n{all}\n[{KEY}]\nenabled = yes\n{key}\n[{GUID}]\n{machine}\n");
        ask("", &stream).expect("allowed").compression
    }

    #[test]
    fn old_and_new_names_are_read_in_either_section() {
        let old = format!(
            "[{KEY}]\nenabled = yes\ndefault history = 100\nhealth enabled by default = auto\n\
             default postpone alarms on connect seconds = 7\nenable compression = no\nenable replication = no\n\
             seconds to replicate = 60\nseconds per replication step = 6\nupdate every = 2\n\
             compression algorithms order = gzip zstd\n"
        );
        let new = format!(
            "[{KEY}]\nenabled = yes\n[{GUID}]\nretention = 100\nhealth enabled = auto\n\
             postpone alerts on connect = 7s\nenable compression = no\nenable replication = no\n\
             replication period = 1m\nreplication step = 6\nupdate every = 2s\n\
             compression algorithms order = gzip,zstd\n"
        );
        let expected = ChildPolicy {
            memory_mode: MemoryMode::Dbengine,
            retention_rows: 100,
            update_every_s: Some(2),
            health: OnDemand::Auto,
            postpone_alarms: Duration::from_secs(7),
            compression: false,
            compression_order: vec![
                CompressionAlgorithm::Gzip,
                CompressionAlgorithm::Zstd,
                CompressionAlgorithm::Lz4,
                CompressionAlgorithm::Brotli,
            ],
            replication: Replication {
                enabled: false,
                period: Duration::from_secs(60),
                step: Duration::from_secs(6),
            },
            maximum_hosts: None,
            sending: None,
        };
        assert_eq!(ask("", &old), Ok(expected.clone()));
        assert_eq!(ask("", &new), Ok(expected));
    }

    #[test]
    fn a_host_is_sent_where_its_innermost_section_says() {
        const OTHER: &str = "22222222-2222-3333-4444-555555555555";
        #[track_caller]
        fn check(all: &str, key: &str, machine: &str, expected: Option<&str>) {
            let stream = format!("[stream]\n{all}\n[{KEY}]\nenabled = yes\n{key}\n[{GUID}]\n{machine}\n");
            let sending = ask("", &stream).expect("allowed").sending;
            let shown = sending.map(|sending| {
                let to: Vec<String> = sending.destinations.iter().map(ToString::to_string).collect();
                let charts = sending.charts.matches("system.cpu");
                format!("{} {} {charts}", to.join(" "), &sending.api_key.0[..2])
            });
            assert_eq!(shown.as_deref(), expected, "{stream}");
        }
        let all = format!("enabled = yes\ndestination = a b:7\napi key = {KEY}");
        let off = all.replace("yes", "no");
        let key = format!("default proxy api key = {OTHER}\ndefault proxy destination = c");
        check("", "", "", None);
        check(&all, "", "", Some("a:19999 b:7 11 true"));
        check(&format!("default port = 5\n{all}"), "", "", Some("a:5 b:7 11 true"));
        check(&off, "", "", None);
        check(&off, "default proxy enabled = yes", "", Some("a:19999 b:7 11 true"));
        check(&all, "default proxy enabled = no", "", None);
        check(&all, "default proxy enabled = no", "proxy enabled = yes", Some("a:19999 b:7 11 true"));
        check(&all, &key, "", Some("c:19999 22 true"));
        check(
            &all,
            &key,
            "proxy destination = d:1\nproxy send charts matching = !system.* *",
            Some("d:1 22 false"),
        );
        check(
            "send charts matching = disk.*",
            "",
            &format!(
                "proxy enabled = yes\nproxy destination = d\n\
              proxy api key = {KEY}"
            ),
            None.or(Some("d:19999 11 false")),
        );
        check("enabled = yes\ndestination = a", "", "", None);
        check(&format!("enabled = yes\napi key = {KEY}"), "", "", None);
    }

    #[test]
    fn the_table_names_the_built_in_values() {
        let names = CompressionAlgorithm::DEFAULT_ORDER.map(CompressionAlgorithm::name).join(" ");
        assert_eq!(
            ask("", &format!("[stream]\ncompression algorithms order = {names}\n[{KEY}]\nenabled = yes")),
            ask("", &format!("[{KEY}]\nenabled = yes\n"))
        );
        let loaded = super::super::tests::load_texts("", "", "").expect("no errors");
        let shown = |name: &str| {
            loaded
                .settings
                .iter()
                .any(|setting| setting.name == "compression algorithms order" && setting.value == name)
        };
        assert!(shown(&names));
    }

    #[test]
    fn the_built_in_policy() {
        let policy = ask("", &format!("[{KEY}]\nenabled = yes\n")).expect("allowed");
        assert_eq!(policy.compression_order, CompressionAlgorithm::DEFAULT_ORDER);
        assert_eq!(policy.postpone_alarms, Duration::from_secs(60));
        assert_eq!(policy.retention_rows, 3600);
        assert_eq!(policy.health, OnDemand::Yes);
        assert_eq!(policy.replication.period, Duration::from_secs(86_400));
        let disabled = ask("[health]\nenabled = no", &format!("[{KEY}]\nenabled = yes\n")).expect("allowed");
        assert_eq!(disabled.health, OnDemand::No);
    }
}
