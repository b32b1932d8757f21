//! The command line of `mainstem-child`: a [`Workload`], from a file or from defaults, and what flags change of it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use mainstem_child::database::{ReplayFault, ReplicationStyle};
use mainstem_child::freshness::Asking;
use mainstem_child::load::{Compression, Protocol};
use mainstem_child::tls::{Tls, Trust};
use mainstem_child::verify::Verifier;
use mainstem_child::workload::TlsWish;
use mainstem_child::{Target, Workload};
use uuid::Uuid;

/// Simulates Netdata children: hosts that stream to a parent in real time, with values that can be checked.
///
/// What they do is a workload: a file, defaults, and what flags change of either.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// Where the parent listens.
    #[arg(long, value_name = "HOST:PORT")]
    parent: String,
    /// The API key that the parent knows.
    #[arg(long, value_name = "UUID")]
    key: Uuid,
    /// The workload; bench/workloads has some. Flags change it.
    #[arg(long, value_name = "FILE.toml")]
    workload: Option<PathBuf>,
    /// Speak TLS, to a parent that --tls-ca knows or --tls-insecure does not want to know.
    #[arg(long, requires = "trust")]
    tls: bool,
    /// The authorities whose certificates are accepted, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls", group = "trust")]
    tls_ca: Option<PathBuf>,
    /// Accept every certificate.
    #[arg(long, requires = "tls", group = "trust")]
    tls_insecure: bool,
    /// The name that the parent's certificate has to have. [default: the HOST of --parent]
    #[arg(long, value_name = "NAME", requires = "tls")]
    tls_name: Option<String>,
    /// How many children. [default: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=5000))]
    children: Option<u32>,
    /// Charts of a child. [default: 100]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    charts: Option<u32>,
    /// Dimensions of a chart. [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    dimensions: Option<u32>,
    /// Seconds between two samples. [default: 1]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    update_every: Option<u32>,
    /// v1: collected values. v2: finished samples; when the parent does not know them, v1. [default: v2]
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// What the children offer to compress with. [default: lz4]
    #[arg(long, value_enum)]
    compression: Option<Compression>,
    /// How much past each child keeps and replays; 0: none. [default: 0]
    #[arg(long, value_name = "SECONDS")]
    database: Option<u32>,
    /// How much of it there is at the start. It goes on while a child is not connected. [default: 0]
    #[arg(long, value_name = "SECONDS")]
    history: Option<u32>,
    /// 1.37: answers have the window that was asked for. 2.3: one that ends near now goes up to now. [default: 1.37]
    #[arg(long, value_enum)]
    replication_style: Option<ReplicationStyle>,
    /// The buffer of which an answer takes a quarter at most; while half of it waits nothing is answered.
    /// [default: 1048576]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1 << 12..=8 << 20))]
    send_buffer: Option<u32>,
    /// How children fail to replay: late=SECONDS, partial, silent, endless or wrong-order.
    #[arg(long, value_name = "FAULT")]
    replay_fault: Option<ReplayFault>,
    /// Seconds after which all connections are cut, again and again; 0: never. [default: 0]
    #[arg(long, value_name = "SECONDS", requires = "cut_for")]
    cut_every: Option<u64>,
    /// How long they stay cut.
    #[arg(long, value_name = "SECONDS", requires = "cut_every")]
    cut_for: Option<u64>,
    /// How long it lasts; 0: until a signal. With a workload's warm-up before it. [default: 0]
    #[arg(long, value_name = "SECONDS")]
    duration: Option<u64>,
    /// The time over which connections are spread. [default: 0]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    arrival: Option<f64>,
    /// What host names begin with: PREFIX-0001 and so on. Machine GUIDs follow from the names. [default: child]
    #[arg(long, value_name = "PREFIX")]
    name: Option<String>,
    /// Asks the parent's API for what was sent and compares, at the end and every so often. The exit code is 1 when a
    /// point is missing or wrong. With --database: at the end only, when the parent has all that it asks for (or after two
    /// minutes), but for everything since the children began.
    #[arg(long, value_name = "URL")]
    verify: Option<String>,
    /// Seconds between two verifications; 0: at the end only.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "verify")]
    pub(crate) verify_every: u64,
    /// Charts that a verification asks for, chosen at random among those of all children; 0: all.
    #[arg(long, value_name = "CHARTS", default_value_t = 100, requires = "verify")]
    verify_charts: usize,
    /// The longest time that a verification asks for at once.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, requires = "verify")]
    verify_window: u32,
    /// Asks the parent's API for samples that were just sent, twenty a second, and reports how long it took until each was
    /// in an answer.
    #[arg(long, value_name = "URL")]
    ask: Option<String>,
    /// Where the report goes as JSON.
    #[arg(long, value_name = "FILE.json")]
    pub(crate) report: Option<PathBuf>,
    /// Seconds between two lines about how it goes; 0: none.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) progress: u64,
    /// Another seed, other values. [default: 1]
    #[arg(long)]
    seed: Option<u64>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("'{text}' is no number"))?;
    if (0.0..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("0 to 86400 seconds".into()) }
}

/// Changes what was said to be something else.
fn set<T>(place: &mut T, said: Option<impl TryInto<T>>) {
    if let Some(said) = said.and_then(|said| said.try_into().ok()) {
        *place = said;
    }
}

impl Arguments {
    /// The file's workload, with what flags change.
    pub(crate) fn workload(&self) -> Result<Workload> {
        let mut workload = match &self.workload {
            Some(file) => Workload::read(file)?,
            None => Workload::default(),
        };
        let load = &mut workload.load;
        set(&mut load.children, self.children);
        set(&mut load.charts, self.charts);
        set(&mut load.dimensions, self.dimensions);
        set(&mut load.update_every, self.update_every);
        set(&mut load.protocol, self.protocol);
        set(&mut load.compression, self.compression);
        set(&mut load.seed, self.seed);
        if let Some(name) = &self.name {
            load.name.clone_from(name);
        }
        match self.database {
            Some(0) => load.database = None,
            Some(retention_s) => load.database.get_or_insert_default().retention_s = retention_s,
            None => {}
        }
        match &mut load.database {
            Some(database) => {
                set(&mut database.history_s, self.history);
                set(&mut database.style, self.replication_style);
                set(&mut database.send_buffer_bytes, self.send_buffer);
                database.fault = self.replay_fault.or(database.fault);
            }
            None => {
                let flags = [
                    ("--history", self.history.is_some()),
                    ("--replication-style", self.replication_style.is_some()),
                    ("--send-buffer", self.send_buffer.is_some()),
                    ("--replay-fault", self.replay_fault.is_some()),
                ];
                if let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) {
                    bail!(
                        "{flag} needs children with a past: --database SECONDS, or [load.database] in the workload"
                    );
                }
            }
        }
        set(&mut workload.arrival.spread_s, self.arrival);
        set(&mut workload.arrival.storm_every_s, self.cut_every);
        set(&mut workload.arrival.storm_away_s, self.cut_for);
        set(&mut workload.duration_s, self.duration);
        if self.tls {
            workload.tls = Some(TlsWish { authorities: self.tls_ca.clone(), name: self.tls_name.clone() });
        }
        workload.check()?;
        Ok(workload)
    }

    pub(crate) fn target(&self, workload: &Workload) -> Result<Target> {
        let tls = workload.tls.as_ref().map(|wish| {
            let trust = wish.authorities.as_deref().map_or(Trust::Anyone, Trust::Authorities);
            Tls::new(wish.name.as_deref().unwrap_or(self.host()), trust)
        });
        Ok(Target { address: resolve(&self.parent)?, key: self.key, tls: tls.transpose()? })
    }

    /// The parent's name, without its port and the brackets of an address.
    fn host(&self) -> &str {
        let host = self.parent.rsplit_once(':').map_or(&*self.parent, |(host, _)| host);
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// `tls`: what the children speak, if they do.
    pub(crate) fn verifier(&self, workload: &Workload, tls: Option<&Tls>) -> Result<Option<Verifier>> {
        let Some(url) = &self.verify else { return Ok(None) };
        let (address, tls) = api("--verify", url, tls)?;
        let (window, seed) = (self.verify_window.into(), workload.load.seed);
        let verifier = Verifier::new(address, self.verify_charts, window, seed);
        Ok(Some(match tls {
            Some(tls) => verifier.with_tls(tls),
            None => verifier,
        }))
    }

    /// Whom to ask for samples that were just sent.
    pub(crate) fn asking(&self, tls: Option<&Tls>) -> Result<Option<Asking>> {
        let Some(url) = &self.ask else { return Ok(None) };
        let (address, tls) = api("--ask", url, tls)?;
        Ok(Some(Asking { tls, ..Asking::of(address) }))
    }
}

/// What a flag's URL means: whom to ask, and encrypted how.
fn api(flag: &str, url: &str, tls: Option<&Tls>) -> Result<(SocketAddr, Option<Tls>)> {
    let (scheme, address) = url.split_once("://").with_context(|| format!("{flag} needs an URL"))?;
    let address = resolve(address.trim_end_matches('/'))?;
    match scheme {
        "http" => Ok((address, None)),
        "https" => {
            let tls = tls.with_context(|| format!("{flag} with https:// needs --tls"))?;
            Ok((address, Some(tls.clone())))
        }
        _ => bail!("{flag} needs an URL that begins with http:// or https://"),
    }
}

fn resolve(address: &str) -> Result<SocketAddr> {
    let mut found = address.to_socket_addrs().with_context(|| format!("'{address}' is no HOST:PORT"))?;
    found.next().with_context(|| format!("'{address}' has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mainstem_child::database::Database;

    const PARENT: [&str; 5] = [
        "mainstem-child",
        "--parent=127.0.0.1:1",
        "--key=11111111-2222-3333-4444-555555555555",
        "--progress=0",
        "--seed=7",
    ];

    fn workload(flags: &[&str]) -> Result<Workload> {
        Arguments::try_parse_from(PARENT.iter().chain(flags))?.workload()
    }

    /// A workload as a file, for as long as what is returned beside it lives.
    fn file(text: &str) -> (String, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("some.toml");
        std::fs::write(&file, text).expect("a file");
        (format!("--workload={}", file.display()), directory)
    }

    #[test]
    fn without_a_file_flags_change_the_defaults() {
        let found =
            workload(&["--children=5", "--database=60", "--cut-every=9", "--cut-for=2"]).expect("flags");
        let mut expected = Workload::default();
        (expected.load.children, expected.load.seed) = (5, 7);
        expected.load.database = Some(Database { retention_s: 60, ..Database::default() });
        (expected.arrival.storm_every_s, expected.arrival.storm_away_s) = (9, 2);
        assert_eq!(found, expected);
    }

    #[test]
    fn flags_change_what_a_file_says_and_nothing_else() {
        let text =
            "duration_s = 30\n[load]\nchildren = 9\nprotocol = \"v1\"\n[load.database]\nhistory_s = 5\n";
        let (file, _directory) = file(text);
        let found = workload(&[&file, "--children=5", "--replay-fault=partial"]).expect("a workload");
        assert_eq!((found.load.children, found.load.protocol, found.duration_s), (5, Protocol::V1, 30));
        let database = found.load.database.expect("a database");
        assert_eq!((database.history_s, database.fault), (5, Some(ReplayFault::Partial)));
        assert_eq!(workload(&[&file, "--database=0"]).expect("a workload").load.database, None);
    }

    #[test]
    fn what_needs_a_past_says_so() {
        let said = workload(&["--history=5"]).expect_err("no database").to_string();
        assert!(said.contains("--history") && said.contains("--database"), "{said}");
    }

    #[test]
    fn arrivals_cannot_take_for_ever() {
        assert!(workload(&["--arrival=90000"]).is_err());
        assert!(workload(&["--arrival=soon"]).is_err());
    }
}
