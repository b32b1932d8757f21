//! `mainstem init DIR`: a first configuration, with a fresh API key, and what a child writes to use it.
//!
//! Nothing is ever overwritten.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Initialised {
    pub written: Vec<PathBuf>,
    /// The stream.conf of a child; it holds the API key.
    pub child_stream_conf: String,
}

#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("nothing was written, because there is already {}; move it away, or name another directory",
        list_of(.files))]
    Exists { files: Vec<PathBuf> },
    #[error("{} cannot be written: {cause}; name a directory in which you may write", .path.display())]
    Write { path: PathBuf, cause: io::Error },
}

/// Writes the files. `parent` is this machine as its children name it, perhaps with a port.
pub fn init(dir: &Path, parent: &str) -> Result<Initialised, InitError> {
    let key = Uuid::new_v4().to_string();
    let files = [
        (dir.join("netdata.conf"), netdata_conf(), 0o644),
        // It holds the key: for its owner and group only.
        (dir.join("stream.conf"), stream_conf(&key), 0o640),
        (dir.join("mainstem.toml"), mainstem_toml(), 0o644),
    ];
    let present = |path: &&PathBuf| fs::symlink_metadata(path).is_ok();
    let existing: Vec<PathBuf> = files.iter().map(|(path, ..)| path).filter(present).cloned().collect();
    if !existing.is_empty() {
        return Err(InitError::Exists { files: existing });
    }
    fs::create_dir_all(dir).map_err(|cause| InitError::Write { path: dir.to_path_buf(), cause })?;
    let mut written = Vec::new();
    for (path, text, mode) in files {
        write(&path, &text, mode).map_err(|cause| InitError::Write { path: path.clone(), cause })?;
        written.push(path);
    }
    Ok(Initialised { written, child_stream_conf: child_stream_conf(parent, &key) })
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn list_of(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn netdata_conf() -> String {
    "\
# The parent itself. Options and their meanings are those of Netdata; a line without `#` differs from the default.
# What is in force, and where it comes from: mainstem check

[global]
    # The name of this machine on the dashboard.
    # hostname = the system's

[directories]
    # Ids and keys, and the databases.
    # lib = /var/lib/mainstem
    # cache = /var/cache/mainstem

[db]
    # Where samples are kept: dbengine (disk), map (memory, and a file a host that survives the end of the process), save
    # (memory, written at an orderly stop and on SIGUSR1), ram or alloc (memory), none to keep nothing.
    # mode = dbengine

    # Rows kept in the modes other than dbengine.
    # retention = 3600

    # How long an obsolete chart, or a child that is away, stays in the modes other than dbengine; and whether its rows
    # go with it in map and save.
    # cleanup obsolete charts after = 1h
    # cleanup orphan hosts after = 1h
    # delete obsolete charts files = yes
    # delete orphan hosts files = yes

    # Ask children for what was missed while they were away.
    # enable replication = yes
    # replication period = 1d

[web]
    # One port for children, the API and the dashboard.
    # bind to = *
    # default port = 19999

    # Children come with an API key, browsers with nothing: they are let in from private networks only.
    allow dashboard from = localhost fd* 10.* 192.168.* 172.16.* 172.17.* 172.18.* 172.19.* 172.20.* 172.21.* \
172.22.* 172.23.* 172.24.* 172.25.* 172.26.* 172.27.* 172.28.* 172.29.* 172.30.* 172.31.*

    # Addresses that may stream, on top of each key's own list.
    # allow streaming from = *

    # TLS is spoken when both files are there; with ^SSL=force behind it a port takes nobody without.
    # ssl key = ssl/key.pem
    # ssl certificate = ssl/cert.pem

[logs]
    # A path, or stderr, stdout, syslog, none.
    # daemon = stderr
    # access = none

[health]
    # enabled = yes
"
    .to_owned()
}

fn stream_conf(key: &str) -> String {
    format!(
        "\
# Who may stream to this parent. Keep this file to yourself: whoever has a key can send.
# A section is named by an API key, or by the machine GUID of one child to treat it in its own way.

[{key}]
    type = api
    enabled = yes

    # Addresses that may use this key.
    # allow from = *

    # How its children are kept, where netdata.conf is not to decide.
    # db = dbengine
    # health enabled = auto
    # compression algorithms order = lz4 zstd brotli gzip
"
    )
}

fn mainstem_toml() -> String {
    "\
# What Netdata has no word for.

[runtime]
# Threads that receive and store; by default one less than there are cores.
# shards = 3
# Keep each of them on one core.
# pin = false

[limits]
# What a child can make this parent hold. A child that passes one is disconnected.
# charts_per_host = 100000
# dimensions_per_host = 1000000
# slots = 200000
# hosts = 100000
# pending_bytes_per_child = \"4MiB\"

[web]
# What a question over the API may take: seconds, and memory for the points of its answer. One that would take more is refused.
# query_seconds = 30
# query_memory_bytes = \"256MiB\"
# Questions that run or wait at once, and how many of those that read much may run. One more is told to come back.
# queries = 256
# large_queries = 2

[tls]
# Whether clients that encrypt show a certificate (\"off\", \"optional\", \"required\"), and whose.
# client_certificates = \"optional\"
# client_ca = \"ssl/clients.pem\"

[logs]
# \"text\", or \"json\" for machines.
# format = \"text\"
"
    .to_owned()
}

/// What a child writes into its own stream.conf.
pub fn child_stream_conf(parent: &str, api_key: &str) -> String {
    format!("[stream]\n    enabled = yes\n    destination = {parent}\n    api key = {api_key}\n")
}

#[cfg(test)]
mod tests {
    use super::super::tests::TestDir;
    use super::super::{Config, OnDemand};
    use super::*;

    #[test]
    fn what_is_written_reads_back_without_a_remark() {
        let dir = TestDir::new("init");
        let conf = dir.path().join("conf");
        let made = init(&conf, "parent.example:19999").expect("written");
        assert_eq!(made.written.len(), 3);
        let loaded = Config::load(Some(&conf), Some(&dir.path().join("state"))).expect("no errors");
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        let key = made
            .child_stream_conf
            .lines()
            .find_map(|line| line.trim().strip_prefix("api key = "))
            .expect("a key")
            .to_owned();
        let ip: std::net::IpAddr = "192.0.2.1".parse().expect("an address");
        let policy = loaded.config.streaming_policy(&key, "5a7b1d94-e65d-11f1-9f2e-0242ac110002", ip);
        assert_eq!(policy.map(|policy| policy.health), Ok(OnDemand::Yes));
    }

    /// A comment that shows an option shows one that exists.
    #[test]
    fn commented_options_are_real_ones() {
        let uncommented = |text: &str| {
            let lines = text.lines().map(|line| match line.trim().strip_prefix("# ") {
                Some(option)
                    if option.split_once(" = ").is_some_and(|(name, _)| !name.contains(['.', ','])) =>
                {
                    option.to_owned()
                }
                _ => line.to_owned(),
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        let dir = TestDir::new("init-comments");
        let key = "11111111-2222-3333-4444-555555555555";
        for (name, text) in [
            ("netdata.conf", netdata_conf()),
            ("stream.conf", stream_conf(key)),
            ("mainstem.toml", mainstem_toml()),
        ] {
            fs::write(dir.path().join(name), uncommented(&text)).expect("written");
        }
        let loaded = Config::load(Some(dir.path()), None).expect("no errors");
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    }

    #[test]
    fn nothing_is_overwritten() {
        let dir = TestDir::new("init-again");
        fs::write(dir.path().join("stream.conf"), "mine").expect("written");
        let error = init(dir.path(), "parent").expect_err("refused");
        assert!(error.to_string().contains("stream.conf"), "{error}");
        assert!(!error.to_string().contains("netdata.conf"), "{error}");
        assert!(!dir.path().join("netdata.conf").exists());
        assert_eq!(fs::read_to_string(dir.path().join("stream.conf")).expect("readable"), "mine");
    }
}
