//! `mainstem nodes`: how the hosts of a running parent are, for people, and how one of them is dropped. It asks the parent
//! over HTTP, as any other program may.

mod address;

mod pinned;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use http::{Method, StatusCode, Uri};

use crate::config::identity::{self, ManagementKey};
use crate::config::{Config, DEFAULT_STATE_DIR};
use crate::web::nodes::{Node, Nodes, Sending, State};
use address::Address;

/// Of `mainstem nodes`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only hosts that are stale or offline.
    #[arg(long)]
    stale: bool,
    /// As JSON, as /api/v2/nodes has it.
    #[arg(long)]
    json: bool,
    /// Where the parent listens. Without it: where the configuration says, or http://127.0.0.1:19999.
    #[arg(long, global = true)]
    url: Option<Uri>,
    /// The configuration directory that the parent was started with.
    #[arg(long, global = true, value_name = "DIR")]
    pub config: Option<PathBuf>,
    /// The state directory that the parent was started with.
    #[arg(long, global = true, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Command {
    /// Drop hosts that are not connected: their charts, and what is in memory of their samples. What is on disk has no
    /// name any more, and goes with its files by retention.
    Forget {
        /// Hostnames or machine GUIDs.
        #[arg(required = true, value_name = "GUID|HOSTNAME")]
        hosts: Vec<String>,
    },
}

/// Asks the parent. `config` is what was read of the directory that was named.
pub fn run(arguments: &Arguments, config: Option<&Config>) -> anyhow::Result<ExitCode> {
    let parent = Address::find(arguments.url.as_ref(), config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &arguments.command {
        None => {
            let filter = if arguments.stale { "?state=stale,offline" } else { "" };
            let path = format!("/api/v2/nodes{filter}");
            let (status, body) = runtime.block_on(parent.ask(Method::GET, &path, None))?;
            if status != StatusCode::OK {
                bail!("{} answers {status}: {}", parent.url, printable(&body).trim());
            }
            let text = if arguments.json {
                body + "\n"
            } else {
                let nodes = serde_json::from_str(&body)
                    .with_context(|| format!("{} is no mainstem of this version", parent.url))?;
                table(&nodes)
            };
            print(&text)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Forget { hosts }) => {
            let lib = match (config, &arguments.state) {
                (Some(config), _) => &config.directories.lib,
                (None, Some(state)) => state,
                (None, None) => Path::new(DEFAULT_STATE_DIR),
            };
            let key = management_key(lib)?;
            let mut code = ExitCode::SUCCESS;
            for host in hosts {
                let path = format!("/api/v2/nodes/forget?node={}", encoded(host));
                let (status, body) = runtime.block_on(parent.ask(Method::POST, &path, Some(&key)))?;
                let said = printable(&body);
                match status {
                    StatusCode::OK => print(&(said.trim_end().to_owned() + "\n"))?,
                    StatusCode::FORBIDDEN => bail!(
                        "{} does not let us manage it ({}): this address must be in '[web] allow management from', its \
                         port must have the right, and the key must be that of {}",
                        parent.url,
                        said.trim(),
                        identity::management_key_file(lib).display()
                    ),
                    _ => {
                        eprintln!("mainstem: {}", said.trim());
                        code = ExitCode::FAILURE;
                    }
                }
            }
            Ok(code)
        }
    }
}

fn management_key(lib: &Path) -> anyhow::Result<ManagementKey> {
    let key = identity::existing_management_key(lib)
        .context("the management key cannot be read; be the user that runs the parent")?;
    key.with_context(|| {
        format!(
            "there is no management key in {}, where a parent puts it when it starts; name the directories that it was \
             started with by --config and --state",
            identity::management_key_file(lib).display()
        )
    })
}

/// Text for a URL's query.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// What others have written, for a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

fn print(text: &str) -> io::Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

const COLUMNS: usize = 10;
const HEADS: [&str; COLUMNS] =
    ["HOSTNAME", "STATE", "SINCE", "LAG", "SAMPLES/S", "REPLICATION", "SENT ON", "VERSION", "HOPS", "REASON"];
/// Numbers stand at the right of these columns.
const RIGHT: [usize; 4] = [2, 3, 4, 8];

/// All hosts, a line each, and a line with their number.
fn table(all: &Nodes) -> String {
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(all.nodes.iter().map(|node| row(node, all.now)));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if RIGHT.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let count = |state: State| all.nodes.iter().filter(|node| node.state == state).count();
    let _ = writeln!(
        text,
        "\n{} live, {} stale, {} offline",
        count(State::Live),
        count(State::Stale),
        count(State::Offline)
    );
    text
}

fn row(node: &Node, now: i64) -> [String; COLUMNS] {
    let connection = node.connection.as_ref();
    let none = || "-".to_owned();
    let since = connection.map_or(node.last_seen, |connection| connection.since);
    let is_child = node.state != State::Localhost;
    [
        printable(&node.hostname),
        node.state.name().to_owned(),
        if is_child { span(now - since) } else { none() },
        connection.and(node.lag_seconds).map_or_else(none, span),
        connection.map_or_else(none, |connection| format!("{:.1}", connection.samples_per_second)),
        replication(node),
        node.sending.as_ref().map_or_else(none, |sending| {
            let since = span(now - sending.since);
            if sending.streaming { since } else { format!("not for {since}") }
        }),
        printable(&node.version),
        node.hops.to_string(),
        reason(node, now),
    ]
}

/// What is on its way, and what is missing.
fn replication(node: &Node) -> String {
    let progress = node.connection.as_ref().map(|connection| &connection.replication);
    let charts = progress.map_or(0, |progress| progress.charts_starting + progress.charts_filling);
    match (charts, node.missing_rows) {
        (0, 0) => "-".to_owned(),
        (0, rows) => format!("{rows} rows missing"),
        (charts, 0) => format!("{charts} charts"),
        (charts, rows) => format!("{charts} charts, {rows} rows"),
    }
}

/// Why it is not here, or not sent on, and who else says to be it.
fn reason(node: &Node, now: i64) -> String {
    let last = node.last_disconnect.as_ref().filter(|_| node.connection.is_none());
    let mut reasons: Vec<String> = last.map(|last| printable(&last.reason)).into_iter().collect();
    if let Some(Sending { streaming: false, to, last_reason: Some(why), .. }) = &node.sending {
        reasons.push(format!("not sent to {}: {}", printable(to), printable(why)));
    }
    if let Some(second) = &node.duplicate {
        reasons.push(format!(
            "{} has the same machine GUID ({}, {} ago)",
            second.peer,
            second.outcome.replace('_', " "),
            span(now - second.at)
        ));
    }
    reasons.join("; ")
}

/// A stretch of time in the largest unit of which there are two.
fn span(seconds: i64) -> String {
    const UNITS: [(i64, &str); 3] = [(86_400, "d"), (3600, "h"), (60, "min")];
    let unit = UNITS.iter().find(|(unit, _)| seconds >= 2 * unit);
    unit.map_or_else(|| format!("{seconds} s"), |(unit, name)| format!("{} {name}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nodes() -> Nodes {
        let node = |hostname: &str, state: &str, more: serde_json::Value| {
            let mut node = json!({
                "machine_guid": "b0000000-0000-4000-a000-00000000000b", "hostname": hostname, "state": state,
                "last_seen": 1000, "hops": 1, "program": "netdata", "version": "v2.3.0", "os": "linux",
                "memory_mode": "dbengine", "labels": {}, "charts": 1, "dimensions": 1, "missing_rows": 0,
                "disconnects": 0
            });
            node.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            node
        };
        let connection = |since: i64, filling: u64| {
            json!({
                "since": since, "peer": "10.0.0.7:4000", "tls": false, "compression": "lz4", "capabilities": [],
                "received_bytes": 1, "rows": 1, "samples": 1, "bytes_per_second": 1.0, "rows_per_second": 1.0,
                "samples_per_second": 2000.25,
                "replication": {
                    "charts_starting": 0, "charts_filling": filling, "requests": 0, "replayed_rows": 0,
                    "filled_rows": 0, "given_up": 0
                }
            })
        };
        let duplicate = json!({
            "at": 8000, "peer": "10.0.0.9:4000", "hostname": "b", "existing": "10.0.0.7:4000", "outcome": "refused"
        });
        let stale = json!({"connection": connection(8140, 0), "lag_seconds": 59, "duplicate": duplicate});
        let sending = |streaming: bool, since: i64, reason: Option<&str>| {
            json!({
                "to": "parent.example:19999", "streaming": streaming, "since": since, "capabilities": [],
                "waiting_bytes": 0, "sent_bytes": 0, "last_reason": reason
            })
        };
        let gone = json!({"last_disconnect": {"at": 1000, "reason": "the child\u{1b}[2J closed"}});
        let live = json!({
            "connection": connection(1000, 3), "lag_seconds": 1, "missing_rows": 90,
            "sending": sending(true, 8000, Some("it closed the connection"))
        });
        let own = json!({"hops": 0, "sending": sending(false, 8190, Some("it refused: busy"))});
        serde_json::from_value(json!({"now": 8200, "nodes": [
            node("alpha", "live", live), node("beta", "stale", stale), node("gamma", "offline", gone),
            node("parent", "localhost", own),
        ]}))
        .unwrap()
    }

    #[test]
    fn people_get_a_table() {
        let expected = "\
HOSTNAME  STATE      SINCE   LAG  SAMPLES/S  REPLICATION        SENT ON       VERSION  HOPS  REASON
alpha     live         2 h   1 s     2000.2  3 charts, 90 rows  3 min         v2.3.0      1
beta      stale       60 s  59 s     2000.2  -                  -             v2.3.0      1  10.0.0.9:4000 has the same machine GUID (refused, 3 min ago)
gamma     offline      2 h     -          -  -                  -             v2.3.0      1  the child [2J closed
parent    localhost      -     -          -  -                  not for 10 s  v2.3.0      0  not sent to parent.example:19999: it refused: busy

1 live, 1 stale, 1 offline
";
        assert_eq!(table(&nodes()), expected);
    }

    #[test]
    fn a_span_is_told_in_the_unit_that_suits_it() {
        for (seconds, expected) in
            [(-3, "-3 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")]
        {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn a_query_is_encoded() {
        assert_eq!(encoded("a b/ü&c"), "a%20b%2F%C3%BC%26c");
    }
}
