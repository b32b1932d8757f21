//! Whole configurations: what comes of texts, and what is said about them.

use super::*;

/// A directory for one test, gone after it.
pub(super) struct TestDir(PathBuf);

impl TestDir {
    pub(super) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mainstem-config-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) fn load_texts(netdata: &str, stream: &str, mainstem: &str) -> Result<Loaded, Vec<Diagnostic>> {
    let surroundings = Surroundings {
        config_dir: PathBuf::from("/conf"),
        state_dir: None,
        hostname: "this-machine".to_owned(),
        cores: 4,
    };
    let mut findings = Findings::default();
    let (netdata, said) = ini::parse(netdata, Path::new("/conf/netdata.conf"));
    findings.diagnostics.extend(said);
    let (stream, said) = ini::parse(stream, Path::new("/conf/stream.conf"));
    findings.diagnostics.extend(said);
    let netdata_conf = netdata_conf::read(&netdata, &surroundings, &mut findings);
    let mainstem = (mainstem, Path::new("/conf/mainstem.toml"));
    Config::assemble((&netdata, netdata_conf), &stream, mainstem, &surroundings, findings)
}

/// What is meant, without the words in which it was said.
pub(super) fn config_of(netdata: &str, stream: &str) -> Config {
    let config = load_texts(netdata, stream, "").expect("no errors").config;
    Config { effective: Effective::default(), ..config }
}

const KEY_SECTION: &str = "[11111111-2222-3333-4444-555555555555]\nenabled = yes\n";

/// What is said about a netdata.conf, warnings and errors only.
fn warnings(netdata: &str) -> Vec<String> {
    let diagnostics = match load_texts(netdata, KEY_SECTION, "") {
        Ok(loaded) => loaded.diagnostics,
        Err(diagnostics) => diagnostics,
    };
    diagnostics.iter().filter(|said| said.severity > Severity::Note).map(Diagnostic::to_string).collect()
}

#[test]
fn defaults_are_readable_and_nothing_is_said_about_them() {
    let loaded = load_texts("", KEY_SECTION, "").expect("no errors");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let config = loaded.config;
    assert_eq!(config.hostname, "this-machine");
    assert_eq!(config.database.mode, MemoryMode::Dbengine);
    assert_eq!(config.database.update_every_s, 1);
    assert_eq!(config.database.cleanup_orphan_hosts_after, Some(Duration::from_secs(3600)));
    assert_eq!(config.web.bind.len(), 1);
    assert_eq!(config.web.bind[0].address.to_string(), "*:19999");
    assert_eq!(config.web.gzip_level, 3);
    assert_eq!(config.web.accept_a_streaming_request_every, Duration::ZERO);
    assert_eq!(config.directories.config, Path::new("/conf"));
    assert_eq!(
        config.directories.machine_guid_file,
        Path::new("/var/lib/mainstem/registry/netdata.public.unique.id")
    );
    assert_eq!(config.logs.daemon, LogTarget::Stderr);
    assert_eq!(config.logs.access, LogTarget::Off);
}

#[test]
fn old_names_move_when_the_new_one_is_not_set() {
    #[track_caller]
    fn check(netdata: &str, mode: MemoryMode, notes: usize) {
        let loaded = load_texts(netdata, KEY_SECTION, "").expect("no errors");
        assert_eq!(loaded.config.database.mode, mode, "{netdata:?}");
        let said = loaded.diagnostics.iter().filter(|said| said.severity == Severity::Note).count();
        assert_eq!((said, loaded.diagnostics.len()), (notes, notes), "{:?}", loaded.diagnostics);
    }
    // One note says what the mode promises.
    check("[db]\nmode = ram", MemoryMode::Ram, 1);
    check("[db]\ndb = ram", MemoryMode::Ram, 1);
    check("[db]\nmode = ram\ndb = alloc", MemoryMode::Alloc, 1);
    check("[db]\nmode = dbengine", MemoryMode::Dbengine, 0);
    check("[global]\nmemory mode = ram", MemoryMode::Ram, 2);
    check("[global]\nmemory mode = ram\n[db]\nmode = map", MemoryMode::Map, 2);

    let old = "[global]\nbind socket to IP = 127.0.0.1\nport = 20000\nhistory = 100\nupdate every = 2\n\
               cleanup orphan hosts after seconds = 60\nlib directory = /l\n[registry]\nregistry db directory = /r";
    let config = config_of(old, KEY_SECTION);
    assert_eq!(config.web.bind[0].address.to_string(), "127.0.0.1:20000");
    assert_eq!((config.database.retention_rows, config.database.update_every_s), (100, 2));
    assert_eq!(config.database.cleanup_orphan_hosts_after, Some(Duration::from_secs(60)));
    assert_eq!(config.directories.lib, Path::new("/l"));
    assert_eq!(config.directories.registry, Path::new("/r"));
}

#[test]
fn names_of_1_37_and_of_2_x_mean_the_same() {
    let old = "[db]\ncleanup obsolete charts after secs = 120\nseconds to replicate = 60\n\
               seconds per replication step = 10\n[web]\naccept a streaming request every seconds = 1\n\
               disconnect idle clients after seconds = 5\n[logs]\nerror = x.log";
    let new = "[db]\ncleanup obsolete charts after = 2m\nreplication period = 1m\n\
               replication step = 10s\n[web]\naccept a streaming request every = 1s\n\
               disconnect idle clients after = 5\n[logs]\ndaemon = x.log";
    assert_eq!(config_of(old, KEY_SECTION), config_of(new, KEY_SECTION));
    assert!(warnings(old).is_empty() && warnings(new).is_empty());
    assert_eq!(config_of(old, "").logs.daemon, LogTarget::File(PathBuf::from("/var/log/mainstem/x.log")));
}

#[test]
fn mistakes_in_netdata_conf_are_said_with_line_and_remedy() {
    #[track_caller]
    fn check(netdata: &str, expected: &str) {
        let said = warnings(netdata);
        assert_eq!(said.len(), 1, "{netdata:?}: {said:#?}");
        assert!(said[0].contains(expected), "{netdata:?}: {}", said[0]);
    }
    check(
        "[db]\nmode = RAM",
        "netdata.conf:2: warning: `[db] mode`: there is no memory mode `RAM`; did you mean `ram`?",
    );
    check("[db]\nmoed = ram", "netdata.conf:2: warning: there is no option `moed` in `[db]`");
    check("[db]\nretentoin = 1", "did you mean `retention`?");
    check("[bd]\nmode = ram", "did you mean `db`?");
    check("[global]\nbind too = x", "did you mean `bind to`?");
    check("[web]\nhostname = x", "`[global]` has an option of this name");
    check("[health]\nenabled = ye", "counts as `no`");
    check("[db]\nretention = 1", "5 is used");
    check("[db]\nupdate every = 0", "1 is used");
    check("[db]\ncleanup orphan hosts after = 1", "10 s is used");
    check("[web]\nbind to = *=steaming|badges", "did you mean `streaming`?");
    check("[web]\ngzip compression level = 12", "9 is used");
    check("[web]\nbind to = *:99999", "netdata.conf:2: error: `[web] bind to`: `*:99999` cannot be bound");
    check("[web]\nbind to =", "no port would answer");
    check("[web]\ndefault port = 70000", "error: `[web] default port`: port 70000 is out of range");
    check("[web]\nallow connections from =", "lets nobody in");
}

#[test]
fn netdatas_other_options_are_known() {
    let netdata = "[db]\ndbengine tier 1 backfill = new\n[plugins]\nproc = no\n\
                   [plugin:proc]\nx = y\n[system.cpu]\nenabled = no\n[global]\nrun as user = netdata\n";
    let loaded = load_texts(netdata, KEY_SECTION, "").expect("no errors");
    assert!(
        loaded.diagnostics.iter().all(|said| said.severity == Severity::Note),
        "{:?}",
        loaded.diagnostics
    );
    assert_eq!(loaded.diagnostics.len(), 4);
    assert!(loaded.diagnostics[0].message.contains("not used by this version"));
}

/// The shape of Debian's netdata.conf and stock stream.conf: nothing but that nobody may stream.
#[test]
fn stock_files_give_one_sensible_warning() {
    let netdata = "# NetData Configuration\n\n[global]\n\trun as user = netdata\n\tweb files owner = root\n\
                   \tweb files group = root\n\t# Netdata is not designed to be exposed\n\
                   \tbind socket to IP = 127.0.0.1\n";
    let stream = "[stream]\n    enabled = no\n    destination =\n    #CApath = /etc/ssl/certs/\n    api key =\n\
                  \x20   timeout seconds = 60\n    default port = 19999\n    send charts matching = *\n\
                  \x20   buffer size bytes = 10485760\n    reconnect delay seconds = 5\n\
                  \x20   initial clock resync iterations = 60\n\n[API_KEY]\n    type = api\n    enabled = no\n\
                  \x20   allow from = *\n    default postpone alarms on connect seconds = 60\n\n\
                  [MACHINE_GUID]\n    type = machine\n    enabled = no\n    allow from = *\n";
    let loaded = load_texts(netdata, stream, "").expect("no errors");
    let warnings: Vec<&Diagnostic> =
        loaded.diagnostics.iter().filter(|said| said.severity == Severity::Warning).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].message.contains("no API key is enabled"), "{}", warnings[0]);
    assert_eq!(loaded.config.web.bind[0].address.to_string(), "127.0.0.1:19999");
}

#[test]
fn mistakes_in_stream_conf_are_said_and_keys_are_not() {
    #[track_caller]
    fn check(stream: &str, expected: &str) {
        // Another key is enabled: that nobody may stream is not said.
        let other = "[99999999-aaaa-bbbb-cccc-dddddddddddd]\nenabled = yes\n";
        let stream = format!("{other}{KEY_SECTION}{stream}");
        let loaded = load_texts("", &stream, "").expect("no errors");
        let said: Vec<String> = loaded.diagnostics.iter().map(Diagnostic::to_string).collect();
        assert_eq!(said.len(), 1, "{stream:?}: {said:#?}");
        assert!(said[0].contains(expected), "{stream:?}: {}", said[0]);
        assert!(!said[0].contains("2222-3333"), "a key is shown: {}", said[0]);
    }
    check("enabeld = no", "did you mean `enabled`?");
    check("default memory mode = RAM", "there is no memory mode `RAM`");
    check("health enabled = maybe", "write `yes`, `no` or `auto`");
    check("type = apy", "neither `api` nor `machine`");
    check("compression algorithms order = lz5", "names no algorithm");
    check("compression algorithms order = lz4 lz5", "no algorithm `lz5`");
    check("allow from =", "lets nobody in");
    check("host tags = x", "not used by this version");
    check("proxy enabled = yes", "there is no `proxy destination` here and no `destination` in `[stream]`");
    check("[stream]\nenabled = yes", "there is no `destination`");
    check("[stream]\nenabled = yes\ndestination = a", "there is no `api key`");
    check("[stream]\ndestination = a:b c", "`a:b`");
    check("[stream]\napi key = x", "no UUID");
    check("[stream]\nallow from = *", "belongs into the section");
    check("[stream]\ndestinatoin = x", "did you mean `destination`?");
    check("[steram]\nenabled = no", "did you mean `stream`?");
    check("[11111111-2222-3333-4444-55555555555]\nenabled = yes", "`[11111111...]` is neither");
}

#[test]
fn the_embedded_default_is_for_this_machine_only() {
    let dir = TestDir::new("embedded");
    let loaded = Config::embedded(dir.path()).expect("no errors");
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    assert_eq!(loaded.config.web.bind[0].address.to_string(), "127.0.0.1:19999");
    assert!(loaded.config.directories.lib.starts_with(dir.path()));
    let key = identity::api_key(dir.path()).expect("the same key");
    let ip: std::net::IpAddr = "127.0.0.1".parse().expect("an address");
    assert!(loaded.config.streaming_policy(&key, "5a7b1d94-e65d-11f1-9f2e-0242ac110002", ip).is_ok());
    assert!(!report::settings(&loaded).contains(&key));
}

#[test]
fn files_are_read_from_their_directory() {
    let dir = TestDir::new("load");
    std::fs::write(dir.path().join("netdata.conf"), "[directories]\nlib = /l\ncache = c\n").expect("written");
    std::fs::write(dir.path().join("stream.conf"), KEY_SECTION).expect("written");
    let loaded = Config::load(Some(dir.path()), None).expect("no errors");
    assert_eq!(loaded.config.directories.lib, Path::new("/l"));
    assert_eq!(loaded.config.directories.cache, dir.path().join("c"));

    let commanded = Config::load(Some(dir.path()), Some(Path::new("/s"))).expect("no errors");
    assert_eq!(commanded.config.directories.lib, Path::new("/s"));
    assert_eq!(commanded.diagnostics.len(), 2, "{:?}", commanded.diagnostics);

    std::fs::write(dir.path().join("mainstem.toml"), "[runtime\n").expect("written");
    let errors = Config::load(Some(dir.path()), None).expect_err("no TOML");
    assert!(errors.iter().any(|said| said.is_error() && said.line.is_some()), "{errors:?}");

    let nowhere = Config::load(Some(&dir.path().join("nowhere")), None).expect_err("not there");
    assert!(nowhere[0].to_string().contains("nowhere: error: it cannot be read"), "{nowhere:?}");
}

#[test]
fn an_unreadable_file_is_an_error() {
    let dir = TestDir::new("unreadable");
    // A directory in a file's place cannot be read by any user.
    std::fs::create_dir_all(dir.path().join("stream.conf")).expect("made");
    let errors = Config::load(Some(dir.path()), None).expect_err("a directory");
    assert!(errors.iter().any(|said| said.is_error() && said.file.ends_with("stream.conf")), "{errors:?}");
}
